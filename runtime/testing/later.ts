/**
 * What a release after this one may say, and this one does not know: entries in extensions, and envelopes of further kinds. Added
 * to the frames of processes that speak the version which has room for it, to those that announce that they do.
 */
import { decodeFrame, encode, encodeFrame, extensionVersion, rowOf } from '../wire/codec.ts';
import type { Envelope } from '../wire/envelope.ts';
import { entryIn, extensionOf } from '../wire/extension.ts';
import type { SeededRandom } from './random.ts';

/** A number that nobody here knows; of those that anybody may say. */
const laterEntry = 99;
const laterKind = 77;

/** The frame as a later release would have written it; `undefined`: this one it would have left as it is. */
export function asLater(frame: Uint8Array, chance: SeededRandom): Uint8Array | undefined {
  const { envelopes, hint, viewVersion, hops } = decodeFrame(frame);
  if (hint !== undefined || envelopes.length === 0 || chance.hits(0.3)) return undefined;
  const marked = encodeFrame(envelopes.map(withMark), { viewVersion, hops });
  if (chance.hits(0.7)) return marked;
  const columns: unknown[] = [];
  const row = rowOf(marked);
  while (!row.isAtEnd) columns.push(row.any());
  const at = chance.between(3, columns.length);
  columns.splice(at, 0, [laterKind, 'said by a later release', { of: [1, null, true] }]);
  return encode(columns);
}

function withMark(envelope: Envelope): Envelope {
  if (envelope.kind === 'reply') return envelope;
  return { ...envelope, extension: envelope.extension ?? extensionOf([[laterEntry, markOf(envelope)]]) };
}

function markOf({ to }: Envelope): Uint8Array {
  return new TextEncoder().encode(to);
}

/** What has become of the mark of an envelope on its way; it may have been left out, but not be another's. */
export function isMarkIntact(envelope: Envelope): boolean {
  const { extension } = envelope;
  if (extension === undefined) return true;
  const mark = entryIn(extension, laterEntry);
  return mark !== undefined && Buffer.from(mark).equals(markOf(envelope));
}

/** Whether a frame can be read by whoever speaks up to this version. */
export function isReadableBy(frame: Uint8Array, version: number): boolean {
  return version >= extensionVersion || decodeFrame(frame).version < extensionVersion;
}
