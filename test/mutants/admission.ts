/** Mutants of what a busy worker takes in. */
import type { Mutant } from './list.ts';

const file = 'runtime/worker/admission.ts';
const tests = ['worker/admission'];

export const admissionMutants: readonly Mutant[] = [
  {
    name: 'a call that would wait for longer than its deadline is taken in',
    promise: 'P12',
    file,
    find: '    this.#lateUntil = now + lateMs;\n    return false;',
    replace: '    return true;',
    tests,
  },
  {
    name: 'an overloaded worker fills its queue up to the deadlines',
    promise: 'P12',
    file,
    find: 'this.#perMs <= leftMs * share)',
    replace: 'this.#perMs <= leftMs)',
    tests,
  },
  {
    name: 'a call is refused by its deadline although none was late',
    promise: 'P12',
    file,
    find: 'if (now >= this.#lateUntil || this.#perMs',
    replace: 'if (this.#perMs',
    tests,
  },
  {
    name: 'a pause of the store is a rate',
    promise: 'P12',
    file,
    find: 'if (!this.isMeasuring || now - this.#answeredAt > stallMs) {',
    replace: 'if (!this.isMeasuring) {',
    tests,
  },
  {
    name: 'a worker without a queue takes what it answers for all that it could',
    promise: 'P12',
    file,
    find: 'if (this.#least > 0) this.#perMs +=',
    replace: 'if (this.#least >= 0) this.#perMs +=',
    tests,
  },
  {
    name: 'a call that is over is refused as one too many',
    promise: 'P12',
    file,
    find: 'this.#perMs === 0 || leftMs <= 0) return true;',
    replace: 'this.#perMs === 0) return true;',
    tests,
  },
  {
    name: 'a client under many names is many clients',
    promise: 'P12',
    file,
    find: "return identity === '' ? `.${replyTo}` : identity;",
    replace: 'return `${identity}.${replyTo}`;',
    tests,
  },
  {
    name: 'all clients that ask are remembered',
    promise: 'P12',
    file,
    find: 'this.size < clientCountMax || this.has(client) ? client : others;',
    replace: 'this.size >= 0 ? client : others;',
    tests,
  },
  {
    name: 'who asks for little waits as long as who asks for most',
    promise: 'P12',
    file: 'runtime/worker/dispatcher.ts',
    find: 'this.#before(activation), isLight === true);',
    replace: 'this.#before(activation), false);',
    tests,
  },
  {
    name: 'who asks for most may fill all that is held',
    promise: 'P12',
    file: 'runtime/worker/dispatcher.ts',
    find: 'isLight === false ? commonShare : 1)',
    replace: 'isLight === false ? 1 : 1)',
    tests,
  },
  {
    name: 'a copy of what is held is refused by an overloaded worker',
    promise: 'P12',
    file: 'runtime/worker/dispatcher.ts',
    find: "if (!mayEnter) return isCopy(activation, item) ? 'copy' : this.#turnAway(activation, item);",
    replace: 'if (!mayEnter) return this.#turnAway(activation, item);',
    tests,
  },
];
