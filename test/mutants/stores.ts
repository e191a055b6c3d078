/** Mutants of stores and of bounds: what a loss is noticed by, and how much is held. */
import type { Mutant } from './list.ts';

const witness = { file: 'runtime/stores/lmdb-witness.ts', tests: ['witness'] } as const;

export const storeMutants: readonly Mutant[] = [
  {
    ...witness,
    name: 'the uses of a folder are counted when it is opened and closed alone',
    promise: 'P8',
    find: 'if (now - this.#raisedAt < raiseMs) return undefined;',
    replace: 'if (now >= 0) return undefined;',
  },
  {
    ...witness,
    name: 'every commit of a folder is a use',
    promise: 'SW2',
    find: '    this.#raisedAt = now;\n',
    replace: '',
  },
  {
    ...witness,
    name: 'a commit that failed has raised the uses of its folder',
    promise: 'SW2',
    find: '    this.#raisedAt = Number.NEGATIVE_INFINITY;\n',
    replace: '',
  },
  {
    name: 'a folder is closed before its last note is written',
    promise: 'SW1',
    file: 'runtime/stores/lmdb.ts',
    find: '      await this.#noted;\n',
    replace: '',
    tests: ['witness'],
  },
  {
    name: 'a commit is acknowledged before the note that it raised',
    promise: 'SW2',
    file: 'runtime/stores/lmdb.ts',
    find: 'if (used !== undefined) await this.#note(used);',
    replace: 'if (used !== undefined) void this.#note(used);',
    tests: ['witness'],
  },
];
