/** Mutants of removal and expiry: what stays of a removed entity, and for how long. */
import type { Mutant } from './list.ts';

export const removalMutants: readonly Mutant[] = [
  {
    name: 'the folder lists tombstones',
    promise: 'P16',
    file: 'runtime/stores/lmdb/reading.ts',
    find: 'isWanted: ({ value }) => !isTombstone(value) }',
    replace: 'isWanted: () => true }',
    tests: ['stores/stores'],
  },
  {
    name: 'a removed entity leaves its records in the folder',
    promise: 'P16',
    file: 'runtime/stores/lmdb/store.ts',
    find: '    if (isGone) this.#removeRecords(records, commit.address);\n    else this',
    replace: '    this',
    tests: ['stores/stores'],
  },
  {
    name: 'a removed entity leaves its lazy records in Redis',
    promise: 'P16',
    file: 'runtime/stores/redis/scripts.ts',
    find: "call('DEL', key, lazy, names)",
    replace: "call('DEL', key)",
    tests: ['stores/redis'],
  },
];
