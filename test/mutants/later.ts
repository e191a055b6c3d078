/** Mutants of later answers: given once, kept, not before they are durable, to who asked, and ended. */
import type { Mutant } from './list.ts';

const answering = { file: 'core/answering.ts', tests: ['core/later'] } as const;
const turns = { file: 'runtime/entity/turns.ts', tests: ['entity/later'] } as const;

export const laterMutants: readonly Mutant[] = [
  {
    ...answering,
    name: 'a later answer is given twice',
    promise: 'LA1',
    find: "  scope.remove('later', open.id);\n  if (isOfCall(open))",
    replace: '  if (isOfCall(open))',
  },
  {
    ...answering,
    name: 'an entity whose time is over is told nothing',
    promise: 'LA3',
    find: '    if (!open.wantsAnswer || isOfCall(open)) continue;\n',
    replace: "    if (open.id !== '') continue;\n",
  },
  {
    ...turns,
    name: 'a later answer leaves before its turn is durable',
    promise: 'P2',
    find: "waiting?.take(later) ?? []) batch.addEnvelope(replyOf(caller, 'answer', bytes));",
    replace: "waiting?.take(later) ?? []) this.#parts.post(replyOf(caller, 'answer', bytes));",
  },
  {
    ...turns,
    name: 'a next owner does not know who waits',
    promise: 'WT1',
    find: '    if (kept === undefined) return this.#waits(activation, envelope);\n',
    replace: '    if (kept === undefined) return;\n',
  },
  {
    ...turns,
    name: 'another request under a key waits for the answer of the first',
    promise: 'N4',
    find: 'open.request.length > 0 && !isRequest(',
    replace: 'open.request.length < 0 && !isRequest(',
  },
  {
    file: 'core/scope.ts',
    tests: ['core/later', 'entity/later'],
    name: 'a later answer is not kept for repeats',
    promise: 'P5',
    find: 'this.answered.filter((one) => this.#keep(one))',
    replace: 'this.answered.slice()',
  },
];
