/**
 * The layout of the embedded store: its keys and values, byte by byte.
 *
 *   heads     address                              → version, wakeAt, head      one put and one read per small commit;
 *                                                                               a negative version: a tombstone
 *   records   length of address, address, name     → bytes                      an entity's records lie side by side
 *   wakes     home, wakeAt, address                → nothing                    soonest first
 *   meta      'format' | 'users' | 'identity' | 'epoch/' number → JSON | JSON | JSON | epoch, owner
 *             'pin/' home, address | 'lease/' name → worker | JSON
 *             'raised/' number → the epoch of its last claim, and that which a pin has raised it to since
 *
 * A change that an older version would misread is a new format: raise `formatVersion` in `folder.ts`.
 *
 * Invariants:
 * - SY1 A key is a string whose UTF-8 bytes are LMDB's key. Their order is the order of the store's interface.
 * - SY2 A key of one entity never reads as one of another, whatever characters addresses and names contain (NUL included).
 */
import { SkerryError } from '../../../core/errors.ts';
import type { Address } from '../../../core/message.ts';
import type { Commit, Epoch, Partition, RecordName, Version, Wake } from '../../store.ts';

/** LMDB's own limit with pages of 4,096 bytes. */
const keyBytesMax = 1_978;

/** Writes keys straight into LMDB's buffers. A key that does not fit is truncated there, and then rejected as too long. */
export const stringKeys = {
  writeKey: (key: string, target: Buffer, start: number) => start + target.write(key, start, 'utf8'),
  readKey: (source: Buffer, start: number, end: number) => source.toString('utf8', start, end),
};

/** Address and name, after the address' length in two 7-bit characters of one byte each. */
export function recordKey(address: Address, name: RecordName): string {
  const length = Buffer.byteLength(address);
  return String.fromCharCode(length >> 7, length & 127) + address + name;
}

export function epochKey(partition: Partition): string {
  return `epoch/${partition}`;
}

export function raisedKey(partition: Partition): string {
  return `raised/${partition}`;
}

export function leaseKey(name: string): string {
  return `lease/${name}`;
}

/** Prefix of the keys of a home's pins, or of all pins. */
export function pinPrefix(home: Partition | undefined): string {
  return home === undefined ? 'pin/' : `pin/${partitionKey(home)}`;
}

export function pinKey(home: Partition, address: Address): string {
  return pinPrefix(home) + address;
}

/** The address in the key of a pin. */
export function pinnedIn(key: string): Address {
  return key.slice('pin/00000000'.length);
}

/** Prefix of the keys of a partition's wakes. */
export function partitionKey(partition: Partition): string {
  return partition.toString(16).padStart(8, '0');
}

const scratch = new DataView(new ArrayBuffer(8));

/** Partition, time, address. */
export function wakeKey(partition: Partition, { wakeAt, address }: Wake): string {
  return partitionKey(partition) + timeKey(wakeAt) + address;
}

export function wakeOf(key: string): Wake {
  return { wakeAt: timeOf(key.slice(8, 24)), address: key.slice(24) };
}

/** A float64 as 16 hexadecimal digits that sort like the numbers: the sign bit inverted, negative numbers inverted. */
function timeKey(ms: number): string {
  scratch.setFloat64(0, ms + 0); // -0 is 0
  const high = scratch.getUint32(0);
  const low = scratch.getUint32(4);
  const isNegative = high >= 0x80000000;
  return digits(isNegative ? ~high : high ^ 0x80000000) + digits(isNegative ? ~low : low);
}

function timeOf(key: string): number {
  const high = Number.parseInt(key.slice(0, 8), 16);
  const low = Number.parseInt(key.slice(8), 16);
  const isNegative = high < 0x80000000;
  scratch.setUint32(0, isNegative ? ~high : high ^ 0x80000000);
  scratch.setUint32(4, isNegative ? ~low : low);
  return scratch.getFloat64(0);
}

function digits(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}

/** Bytes before the head: version and wake time, each a float64. */
const prefixBytes = 16;

/** Buffer for values. LMDB copies a value before `put` returns. */
let values = Buffer.allocUnsafeSlow(65_536);

/** The value in `heads`; overwritten by the next value. */
export function headValue({ version, wakeAt, head, leaves }: Commit): Uint8Array {
  const length = prefixBytes + head.length;
  if (length > values.length) values = Buffer.allocUnsafeSlow(length);
  values.writeDoubleBE(leaves === 'tombstone' ? -version : version, 0);
  values.writeDoubleBE(wakeAt ?? Number.NaN, 8);
  values.set(head, prefixBytes);
  return values.subarray(0, length);
}

/** The value in `records`; overwritten by the next value. Copying a few bytes is cheaper than passing LMDB a new address. */
export function recordValue(bytes: Uint8Array): Uint8Array {
  if (bytes.length > 4_096) return bytes;
  values.set(bytes);
  return values.subarray(0, bytes.length);
}

export function headOf(value: Uint8Array): Uint8Array {
  return value.subarray(prefixBytes);
}

/** The part of an entity that a commit checks; version 0: the entity does not exist. */
export function presentOf(value: Uint8Array | undefined): { version: Version; wakeAt: number | undefined } {
  if (value === undefined) return { version: 0, wakeAt: undefined };
  const view = new DataView(value.buffer, value.byteOffset, prefixBytes);
  const wakeAt = view.getFloat64(8);
  return { version: Math.abs(view.getFloat64(0)), wakeAt: Number.isNaN(wakeAt) ? undefined : wakeAt };
}

/** Whether the entity was removed, so that it is not listed (S11). */
export function isTombstone(value: Uint8Array): boolean {
  return ((value[0] ?? 0) & 0x80) !== 0;
}

/** A partition that was pinned to and never claimed has an epoch and no owner. */
export function epochValue(epoch: Epoch, owner = ''): Uint8Array {
  const value = Buffer.alloc(8 + Buffer.byteLength(owner));
  value.writeDoubleBE(epoch, 0);
  value.write(owner, 8, 'utf8');
  return value;
}

export function epochOf(value: Buffer | undefined): { epoch: Epoch; owner: string | undefined } {
  return value === undefined
    ? { epoch: 0, owner: undefined }
    : { epoch: value.readDoubleBE(0), owner: value.length > 8 ? value.toString('utf8', 8) : undefined };
}

export function raisedValue(claimed: Epoch, raised: Epoch): Uint8Array {
  const value = Buffer.alloc(16);
  value.writeDoubleBE(claimed, 0);
  value.writeDoubleBE(raised, 8);
  return value;
}

/** The epoch of a partition's last claim. Any rise of the epoch that was not noted as a pin's was a claim. */
export function claimedOf(value: Buffer | undefined, epoch: Epoch): Epoch {
  return value?.readDoubleBE(8) === epoch ? value.readDoubleBE(0) : epoch;
}

/** Called before the transaction, because a call that is rejected here must not have started (S5). */
export function refuseTooLarge({ address, head, records }: Commit, valueBytesMax: number): void {
  let largest = head.length;
  for (const [name, value] of records) {
    if (value !== null && value.length > largest) largest = value.length;
    // A UTF-16 unit takes at most three bytes, so most names need no counting.
    if (
      (address.length + name.length) * 3 + 2 > keyBytesMax &&
      Buffer.byteLength(recordKey(address, name)) > keyBytesMax
    )
      throw new SkerryError(
        'too-large',
        `The name of a record of ${address} is too long: with the address it can have ${keyBytesMax - 2} bytes`,
      );
  }
  if (largest > valueBytesMax)
    throw new SkerryError(
      'too-large',
      `A value of ${address} has ${largest} bytes; the limit of this store is ${valueBytesMax} (valueBytesMax)`,
    );
}
