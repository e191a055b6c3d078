/**
 * The extension of an envelope: what it says beside its columns, in numbered entries of bytes, in one column at the end of its row.
 *
 * So that a later version can say more to its like without being unreadable to this one. It is carried as it came, and
 * looked into by whoever knows a number.
 *
 *     [number, bytes, number, bytes, …]
 *
 * Invariants:
 * - EX1 An entry of a number that nobody knows here is passed over by whoever reads, and goes along when the envelope is forwarded.
 * - EX2 Numbers rise: an entry is there once, and what is the same is the same bytes. All together are at most `extensionBytesMax`.
 * - EX3 Numbers from `workerEntryMin` are for workers to say: at a door an envelope that has one is refused.
 */

import { MsgpackReader } from './msgpack-reader.ts';
import { MsgpackWriter } from './msgpack-writer.ts';

/** Entries as msgpack, at least one (EX2). */
export type Extension = Uint8Array & { readonly isExtension?: never };

/** Bytes of one extension at most. */
const extensionBytesMax = 1_024;
/** Entries from here on are believed of workers only; below, of anybody. */
const workerEntryMin = 128;
/** The largest number that an entry may have. */
const entryNumberMax = 65_535;

const packer = new MsgpackWriter();

/** In order of their numbers (EX2). Throws if they are not, or too large. */
export function extensionOf(entries: readonly (readonly [number: number, bytes: Uint8Array])[]): Extension {
  packer.begin();
  packer.array(2 * entries.length);
  for (const [number, bytes] of entries) {
    packer.number(number);
    packer.bytes(bytes);
  }
  return readExtension(new MsgpackReader(packer.end()));
}

/** The column that begins here, as it is. Throws for what is none (EX2). */
export function readExtension(from: MsgpackReader): Extension {
  const start = from.position;
  const count = from.array();
  if (count === 0 || count % 2 !== 0) throw new Error(`an extension of ${count} columns`);
  let before = 0;
  for (let index = 0; index < count; index += 2) {
    const number = from.count();
    if (number <= before || number > entryNumberMax) throw new Error('entries of an extension are out of order');
    before = number;
    from.bytes();
    if (from.position - start > extensionBytesMax) throw new Error(`an extension over ${extensionBytesMax} bytes`);
  }
  return from.since(start);
}

/** What an entry says; undefined: it is not there. */
export function entryIn(extension: Extension | undefined, wanted: number): Uint8Array | undefined {
  if (extension === undefined) return undefined;
  const from = new MsgpackReader(extension);
  for (let left = from.array(); left > 0; left -= 2) {
    const number = from.count();
    const bytes = from.bytes();
    if (number === wanted) return bytes;
  }
  return undefined;
}

/** Whether there is something in it that only workers say (EX3). */
export function hasWorkerEntries(extension: Extension): boolean {
  const from = new MsgpackReader(extension);
  for (let left = from.array(); left > 0; left -= 2) {
    if (from.count() >= workerEntryMin) return true;
    from.bytes();
  }
  return false;
}
