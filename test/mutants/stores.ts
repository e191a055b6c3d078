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
  {
    name: 'what has left an outbox still takes its room',
    promise: 'P12',
    file: 'core/record.ts',
    find: '  record.outboxBytes -= bytesOf(message);\n',
    replace: '',
    tests: ['turn-limits'],
  },
  {
    name: 'outboxes are bounded by count alone',
    promise: 'P12',
    file: 'core/scope.ts',
    find: '    if (outboxBytes + bytes > outboxBytesMax)',
    replace: '    if (outboxBytes + bytes > Infinity)',
    tests: ['turn-limits'],
  },
  {
    name: 'a part that goes leaves its bytes',
    promise: 'P12',
    file: 'core/record.ts',
    find: '    this.bytes = left;\n',
    replace: '',
    tests: ['turn-limits'],
  },
  {
    name: 'what one turn asks for is gathered, however much it is',
    promise: 'P12',
    file: 'core/scope.ts',
    find: '    if (this.#bytes > outboxBytesMax) {',
    replace: '    if (this.#bytes > Infinity) {',
    tests: ['turn-limits'],
  },
  {
    name: 'warm entities go along, however large they are',
    promise: 'P12',
    file: 'runtime/handover.ts',
    find: '  if (leaving.warmBytes <= warmBytesMax) leaving.warm.push(entity);',
    replace: '  leaving.warmBytes = 0;\n  leaving.warm.push(entity);',
    tests: ['handoff'],
  },
  {
    name: 'turns go by their own limit, whatever NATS takes',
    promise: 'M8',
    file: 'runtime/frames.ts',
    find: 'get: () => Math.min(limits.messageBytesMax, transport.frameBytesMax - envelopeOverheadBytes),',
    replace: 'get: () => limits.messageBytesMax,',
    tests: ['nats-payload'],
  },
];
