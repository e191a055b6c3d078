/** Mutants of enumerate(): situations that it would not look at, and some that it would take for others. */
import type { Mutant } from './list.ts';

const tests = ['testing/enumerate'];

export const enumerateMutants: readonly Mutant[] = [
  {
    name: 'enumerate() does not tell situations apart by what is under way',
    promise: 'P7',
    file: 'runtime/testing/steps.ts',
    find: 'for (const { id } of stream) key += `,${id}`;',
    replace: '',
    tests,
  },
  {
    name: 'enumerate() processes messages of one stream in any order',
    promise: 'P6',
    file: 'runtime/testing/steps.ts',
    find: 'streams[slot] = [...(streams[slot] ?? noMessages), message];',
    replace: 'streams[slot] = [message, ...(streams[slot] ?? noMessages)];',
    tests,
  },
  {
    name: 'time does not pass while a message of an enumeration is under way',
    promise: 'P7',
    file: 'runtime/testing/steps.ts',
    find: 'if (isUnderway && (!choices.delays ||',
    replace: 'if (isUnderway && (choices.delays ||',
    tests,
  },
  {
    name: 'enumerate() ends without a word when there are too many situations',
    promise: 'P7',
    file: 'runtime/testing/search.ts',
    find: 'if (this.states >= this.#statesMax) throw this.#tooMany();',
    replace: 'if (this.states >= this.#statesMax) return false;',
    tests,
  },
  {
    name: 'enumerate() does not look for situations that never end',
    promise: 'P7',
    file: 'runtime/testing/search.ts',
    find: 'if (first < 0) return undefined;',
    replace: 'if (first < 1e9) return undefined;',
    tests,
  },
  {
    name: 'enumerate() does not notice that a handler sees the time of day',
    promise: 'P7',
    file: 'runtime/testing/entity-states.ts',
    find: 'movedMs: isRelative ? anotherTimeMs : 0 });',
    replace: 'movedMs: 0 });',
    tests,
  },
  {
    name: 'the states of an enumeration have no version where ids were made with it',
    promise: 'P4',
    file: 'runtime/testing/entity-states.ts',
    find: 'if (!this.#parts.isExact && !hasMadeIds(',
    replace: 'if (!this.#parts.isExact || !hasMadeIds(',
    tests,
  },
];
