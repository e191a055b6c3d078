/**
 * What is sent to Redis, as bytes: commands in its wire format, and groups of commits as the arguments of their script.
 *
 * Owns the hot path between a commit and the socket: everything is written once, into one buffer of sufficient size. Does
 * not own what the arguments mean (`scripts.ts`) nor the names of the keys (`layout.ts`).
 */
import type { Commit, Epoch, Partition } from '../../store.ts';
import { headPrefixBytes, isLazy, type RedisLayout } from './layout.ts';
import { commitScript } from './scripts.ts';

export type Argument = string | number | Uint8Array;

/** The commits of one partition that go into one call, by their places in the group. */
export interface Share {
  readonly partition: Partition;
  readonly epoch: Epoch;
  /** The commit counter that the partition has at least, as far as is known (P8). */
  readonly counter: number;
  readonly places: number[];
}

/** Length, two line ends and the type of an argument take no more than this. */
const frameBytes = 24;

class Writer {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytesMax: number) {
    this.#bytes = Buffer.allocUnsafeSlow(bytesMax);
  }

  done(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  array(length: number): void {
    this.#frame(42, length);
  }

  text(text: string): void {
    const { length } = text;
    if (length > 96) return this.#longText(text);
    const bytes = this.#bytes;
    const start = this.#at;
    this.#frame(36, length);
    let at = this.#at;
    for (let index = 0; index < length; index += 1) {
      const unit = text.charCodeAt(index);
      if (unit > 127) {
        this.#at = start;
        return this.#longText(text);
      }
      bytes[at++] = unit;
    }
    this.#at = at;
    this.#end();
  }

  /** A key: its start, and an address behind it. */
  key(start: Uint8Array, address: string): void {
    const { length } = address;
    const from = this.#at;
    this.#frame(36, start.length + length);
    const bytes = this.#bytes;
    let at = this.#at;
    for (let index = 0; index < start.length; index += 1) bytes[at++] = start[index] as number;
    for (let index = 0; index < length; index += 1) {
      const unit = address.charCodeAt(index);
      if (unit > 127) {
        this.#at = from;
        this.#frame(36, start.length + Buffer.byteLength(address));
        bytes.set(start, this.#at);
        this.#at += start.length;
        this.#at += bytes.write(address, this.#at, 'utf8');
        return this.#end();
      }
      bytes[at++] = unit;
    }
    this.#at = at;
    this.#end();
  }

  bytes(value: Uint8Array): void {
    this.#frame(36, value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    this.#end();
  }

  head({ version, wakeAt, head, leaves }: Commit): void {
    this.#frame(36, headPrefixBytes + head.length);
    this.#at = this.#bytes.writeDoubleBE(leaves === 'tombstone' ? -version : version, this.#at);
    this.#at = this.#bytes.writeDoubleBE(wakeAt ?? Number.NaN, this.#at);
    this.#bytes.set(head, this.#at);
    this.#at += head.length;
    this.#end();
  }

  /** What a commit's arguments start with. */
  about(expected: number, flags: number, count: number): void {
    this.#frame(36, 12);
    this.#at = this.#bytes.writeDoubleBE(expected, this.#at);
    this.#at = this.#bytes.writeUInt32BE(((flags << 24) | count) >>> 0, this.#at);
    this.#end();
  }

  counts(...counts: readonly number[]): void {
    this.#frame(36, counts.length * 4);
    for (const count of counts) this.#at = this.#bytes.writeUInt32BE(count, this.#at);
    this.#end();
  }

  #longText(text: string): void {
    this.#frame(36, Buffer.byteLength(text));
    this.#at += this.#bytes.write(text, this.#at, 'utf8');
    this.#end();
  }

  #frame(type: number, length: number): void {
    const bytes = this.#bytes;
    bytes[this.#at] = type;
    let digits = 1;
    for (let rest = length; rest >= 10; rest = Math.trunc(rest / 10)) digits += 1;
    let rest = length;
    for (let at = this.#at + digits; at > this.#at; at -= 1) {
      bytes[at] = 48 + (rest % 10);
      rest = Math.trunc(rest / 10);
    }
    this.#at += digits + 1;
    this.#end();
  }

  #end(): void {
    this.#bytes[this.#at] = 13;
    this.#bytes[this.#at + 1] = 10;
    this.#at += 2;
  }
}

/** One command, its name first. */
export function requestOf(parts: readonly Argument[]): Buffer {
  const values = parts.map((part) => (typeof part === 'number' ? String(part) : part));
  const room = (value: string | Uint8Array): number =>
    frameBytes + (typeof value === 'string' ? value.length * 3 : value.length);
  const writer = new Writer(values.reduce((sum, value) => sum + room(value), frameBytes));
  writer.array(values.length);
  for (const value of values) {
    if (typeof value === 'string') writer.text(value);
    else writer.bytes(value);
  }
  return writer.done();
}

/** How the records of a commit divide. */
interface Parts {
  readonly eager: number;
  readonly removed: number;
  readonly lazy: number;
  readonly lazyRemoved: number;
}

const noRecords: Parts = { eager: 0, removed: 0, lazy: 0, lazyRemoved: 0 };

function partsOf({ records, leaves }: Commit): Parts {
  if (leaves === 'nothing') return noRecords;
  let [eager, removed, lazy, lazyRemoved] = [0, 0, 0, 0];
  for (const [name, value] of records) {
    if (isLazy(name)) {
      if (value === null) lazyRemoved += 1;
      else lazy += 1;
    } else if (value === null) removed += 1;
    else eager += 1;
  }
  return { eager, removed, lazy, lazyRemoved };
}

/** Whether a commit touches nothing but the entity's own key, and puts only there. */
const isOneHash = ({ leaves }: Commit, parts: Parts): boolean =>
  leaves !== 'nothing' && parts.removed + parts.lazy + parts.lazyRemoved === 0;

/** 0: as before. 1: another time. 2: none any more. A first commit has nothing before it, whatever it says. */
function wakeFlag({ expected, wakeBefore, wakeAt, leaves }: Commit): 0 | 1 | 2 {
  if (leaves === 'nothing') return 2;
  if (wakeAt !== undefined) return wakeAt === wakeBefore && expected !== 0 ? 0 : 1;
  return wakeBefore === undefined ? 0 : 2;
}

/** One call of the commit script for all of these, in their order. */
export function commitRequest(layout: RedisLayout, group: readonly Commit[], shares: readonly Share[]): Buffer {
  const parts: Parts[] = [];
  let [keys, values, room] = [0, 1, 256];
  for (const { partition, places } of shares) {
    const tagRoom = layout.tag(partition).length + 16 + frameBytes;
    keys += 3 + places.length;
    values += 4;
    room += 7 * (tagRoom + 20);
    for (const place of places) {
      const commit = group[place] as Commit;
      const its = partsOf(commit);
      parts[place] = its;
      const isMore = !isOneHash(commit, its);
      if (isMore) keys += 2;
      values += 3 + (wakeFlag(commit) === 1 ? 1 : 0) + (isMore ? 1 : 0);
      values += 2 * (its.eager + its.lazy) + its.removed + its.lazyRemoved;
      room += 3 * (tagRoom + commit.address.length * 3) + 6 * frameBytes + commit.head.length + 32;
      for (const [name, value] of commit.records)
        room += 2 * frameBytes + name.length * 3 + (value === null ? 0 : value.length);
    }
  }
  const writer = new Writer(room);
  writer.array(3 + keys + values);
  writer.text('EVALSHA');
  writer.text(commitScript.sha);
  writer.text(String(keys));
  writeKeys(writer, layout, { group, shares, parts });
  writeValues(writer, layout, { group, shares, parts });
  return writer.done();
}

interface Work {
  readonly group: readonly Commit[];
  readonly shares: readonly Share[];
  /** By place. */
  readonly parts: readonly Parts[];
}

function writeKeys(writer: Writer, layout: RedisLayout, { group, shares, parts }: Work): void {
  for (const { partition, places } of shares) {
    writer.text(layout.ownership(partition));
    writer.text(layout.wakes(partition));
    writer.text(layout.addresses(partition));
    const starts = layout.starts(partition);
    for (const place of places) {
      const commit = group[place] as Commit;
      writer.key(starts.entity, commit.address);
      if (isOneHash(commit, parts[place] as Parts)) continue;
      writer.key(starts.lazyRecords, commit.address);
      writer.key(starts.lazyNames, commit.address);
    }
  }
}

function writeValues(writer: Writer, layout: RedisLayout, { group, shares, parts }: Work): void {
  writer.text(String(shares.length));
  for (const { partition, epoch, counter, places } of shares) {
    writer.text(String(epoch));
    writer.text(String(counter));
    writer.text(String(layout.starts(partition).entity.length + 1));
    writer.text(String(places.length));
    for (const place of places) writeCommit(writer, group[place] as Commit, parts[place] as Parts);
  }
}

function writeCommit(writer: Writer, commit: Commit, parts: Parts): void {
  const wake = wakeFlag(commit);
  const isMore = !isOneHash(commit, parts);
  const leaves = commit.leaves === undefined ? 0 : commit.leaves === 'tombstone' ? 8 : 16;
  writer.about(commit.expected, wake | (isMore ? 4 : 0) | leaves, 2 + 2 * parts.eager);
  writer.text('');
  writer.head(commit);
  if (parts !== noRecords) writeRecords(writer, commit, false, true);
  if (wake === 1) writer.text(String(commit.wakeAt));
  if (!isMore) return;
  writer.counts(parts.removed, parts.lazy, parts.lazyRemoved);
  if (parts === noRecords) return;
  writeRecords(writer, commit, false, false);
  writeRecords(writer, commit, true, true);
  writeRecords(writer, commit, true, false);
}

/** Names, with their values where they are put. */
function writeRecords(writer: Writer, { records }: Commit, lazy: boolean, put: boolean): void {
  for (const [name, value] of records) {
    if (isLazy(name) !== lazy || (value !== null) !== put) continue;
    writer.text(name);
    if (value !== null) writer.bytes(value);
  }
}
