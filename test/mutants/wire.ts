/** Mutants of what lets two versions of Skerry be one cluster. */
import type { Mutant } from './list.ts';

const codec = { file: 'runtime/wire/codec.ts', tests: ['wire/codec', 'wire/extension'] } as const;
const post = { file: 'runtime/routing/router.ts', tests: ['routing/router'] } as const;

export const wireMutants: readonly Mutant[] = [
  {
    ...codec,
    name: 'a kind of a later version spoils its frame',
    promise: 'K6',
    find: '  if (kind > hintKind && Number.isSafeInteger(kind)) return skipRow(frame, length);\n',
    replace: '',
  },
  {
    ...codec,
    name: 'a status of a later version is a reply without one',
    promise: 'K6',
    find: '    return status && (',
    replace: '    return (',
  },
  {
    ...codec,
    name: 'every frame is of the latest version',
    promise: 'K7',
    find: '  let version = protocol.from;\n',
    replace: '  let version = extensionVersion;\n',
  },
  {
    ...post,
    name: 'extensions go to whoever cannot read them (units)',
    promise: 'M9',
    find: '(this.#versions.get(subject) ?? 0) >= extensionVersion;',
    replace: 'true;',
  },
  {
    ...post,
    tests: [],
    name: 'extensions go to whoever cannot read them (simulator)',
    promise: 'M9',
    find: '    outgoing.envelopes.push(this.#readable(envelope, subject));\n',
    replace: '    outgoing.envelopes.push(envelope);\n',
  },
  {
    ...post,
    name: 'what is forwarded loses its extension',
    promise: 'EX1',
    find: '    this.#enqueue(`${subject} ${hops}`, subject, envelope, hops + 1);\n',
    replace: '    this.#enqueue(`${subject} ${hops}`, subject, { ...envelope, extension: undefined }, hops + 1);\n',
  },
  {
    file: 'runtime/wire/extension.ts',
    tests: ['wire/extension'],
    name: 'entries come in any order',
    promise: 'EX2',
    find: 'number <= before || number > entryNumberMax',
    replace: 'number > entryNumberMax',
  },
  {
    file: 'runtime/routing/ingress.ts',
    tests: ['routing/ingress'],
    name: 'anybody says what only workers say in extensions',
    promise: 'EX3',
    find: '    if (envelope.extension !== undefined && hasWorkerEntries(envelope.extension)) return false;\n',
    replace: '',
  },
  {
    file: 'placement/service.ts',
    tests: ['placement/service'],
    name: 'who nobody understands is let in',
    promise: 'PS7',
    find: '&& this.#isUnderstood(entry)',
    replace: '',
  },
  {
    file: 'placement/service.ts',
    tests: ['placement/service'],
    name: 'who is not understood any more when it answers is let in',
    promise: 'PS7',
    find: ' || !this.#isUnderstood(present.entry)',
    replace: '',
  },
  {
    file: 'placement/departed-workers.ts',
    tests: ['placement/service'],
    name: 'who is not understood inherits a name',
    promise: 'PS7',
    find: ' && isFit(entry)',
    replace: '',
  },
];
