/**
 * The extension of an envelope: numbered entries of bytes, in one optional column at the end of its row.
 *
 * It lets later versions of the protocol add data that earlier ones can skip. It is carried unchanged, and read by code that
 * knows the number of an entry.
 *
 *     [number, bytes, number, bytes, …]
 *
 * Invariants:
 * - EX1 An entry with an unknown number is skipped when read, and kept when the envelope is forwarded.
 * - EX2 Numbers are strictly ascending, so that equal extensions are equal bytes. An extension has at most
 *   `extensionBytesMax` bytes.
 * - EX3 Entries from `workerEntryMin` on are for workers only: at a door an envelope that has one is rejected.
 */

import { MsgpackReader } from './msgpack-reader.ts';
import { MsgpackWriter } from './msgpack-writer.ts';

/** At least one entry, as msgpack (EX2). */
export type Extension = Uint8Array & { readonly isExtension?: never };

/** Most bytes of one extension. */
const extensionBytesMax = 1_024;
/** The first entry number that only workers may use (EX3). */
const workerEntryMin = 128;
/** The largest number that an entry may have. */
const entryNumberMax = 65_535;
/** Entry 1 of a client's message: the number of the call before it in its stream that is not given up. */
const behindEntry = 1;

/** An empty array. */
const noEntries = new Uint8Array([0x90]);

const packer = new MsgpackWriter();

/** Encodes entries. Throws if their numbers do not ascend, or if they are too large (EX2). */
export function extensionOf(entries: readonly (readonly [number: number, bytes: Uint8Array])[]): Extension {
  packer.begin();
  packer.array(2 * entries.length);
  for (const [number, bytes] of entries) {
    packer.number(number);
    packer.bytes(bytes);
  }
  return readExtension(new MsgpackReader(packer.end()));
}

/** The extension with one entry more, whose number is higher than all of it (EX2). */
export function withEntry(extension: Extension | undefined, number: number, bytes: Uint8Array): Extension {
  const entries: (readonly [number, Uint8Array])[] = [];
  const from = new MsgpackReader(extension ?? noEntries);
  for (let left = from.array(); left > 0; left -= 2) entries.push([from.count(), from.bytes()]);
  return extensionOf([...entries, [number, bytes]]);
}

/** Reads the column at the reader's position, without decoding its entries. Throws if it is not an extension (EX2). */
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

/** The bytes of an entry; undefined if absent. */
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

/** Says that all numbers between that one and the message's own are given up. */
export function behind(number: number): Extension {
  packer.begin();
  packer.number(number);
  return extensionOf([[behindEntry, packer.end().slice()]]);
}

/** Which number a message is behind; undefined if it does not say, or nothing that can be read. */
export function behindIn(extension: Extension | undefined): number | undefined {
  const bytes = entryIn(extension, behindEntry);
  try {
    return bytes && new MsgpackReader(bytes).count();
  } catch {
    return undefined;
  }
}

/** Whether an extension has an entry that only workers may use (EX3). */
export function hasWorkerEntries(extension: Extension): boolean {
  const from = new MsgpackReader(extension);
  for (let left = from.array(); left > 0; left -= 2) {
    if (from.count() >= workerEntryMin) return true;
    from.bytes();
  }
  return false;
}
