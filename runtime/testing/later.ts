/**
 * Additions of a later release that this one does not know: extension entries, and envelopes of further kinds. They are added to
 * frames between processes that announce the protocol version with room for them.
 */
import { decodeFrame, encode, encodeFrame, extensionVersion, rowOf } from '../wire/codec.ts';
import type { Envelope } from '../wire/envelope.ts';
import { entryIn, withEntry } from '../wire/extension.ts';
import type { SeededRandom } from './random.ts';

/** An entry number that no code here knows, from the range for any sender. */
const laterEntry = 99;
const laterKind = 77;

/** The frame as a later release would have written it; `undefined`: without additions. */
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
  // Sent again or forwarded, it may have its mark already.
  const { extension } = envelope;
  if (entryIn(extension, laterEntry) !== undefined) return envelope;
  return { ...envelope, extension: withEntry(extension, laterEntry, markOf(envelope)) };
}

function markOf({ to }: Envelope): Uint8Array {
  return new TextEncoder().encode(to);
}

/** Checks the mark of an envelope on its way. It may be missing, but must not belong to another envelope. */
export function isMarkIntact(envelope: Envelope): boolean {
  const mark = entryIn(envelope.extension, laterEntry);
  return mark === undefined || Buffer.from(mark).equals(markOf(envelope));
}

/** Whether a process that speaks up to this version can read the frame. */
export function isReadableBy(frame: Uint8Array, version: number): boolean {
  return version >= extensionVersion || decodeFrame(frame).version < extensionVersion;
}
