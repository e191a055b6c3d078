/**
 * Writes msgpack: rows of known columns, column by column (docs/decisions/0011-rows-by-hand.md), and plain data, whose shape
 * only the application knows. `msgpack-reader.ts` reads both.
 *
 * Invariants:
 * - K4 A value that `storable` has checked is written, whatever the names of its fields. The work is linear in the output.
 */
import { defaultLimits } from '../../core/limits.ts';

/** The extension that encodes undefined, the only one written: type 0, one byte of 0. */
const undefinedBytes: readonly [number, number, number] = [0xd4, 0, 0];

/** Most levels of nesting. Stored values have at most `depthMax`; answers, patches and rows add a few. */
export const levelMax = defaultLimits.depthMax + 8;

/** Bytes of one page. Output is written into pages, and each value is a view of its page. */
const pageBytes = 65_536;
/** Longest text written byte by byte; a call of the engine's own encoder costs as much as this. */
const shortText = 48;
/** The same for byte arrays. */
const shortBytes = 32;

/** Writes rows, one at a time: from `begin` to `end`. */
export class MsgpackWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(pageBytes);
  #view = new DataView(this.#bytes.buffer);
  #start = 0;
  #at = 0;

  begin(): void {
    // After a large value a new page is used, so that small values do not keep the large page alive.
    if (this.#bytes.length > pageBytes) this.#page(pageBytes);
    this.#start = this.#at;
  }

  /** The bytes written since `begin`: a view of a page, which it keeps alive. */
  end(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#at);
  }

  /** Bytes since `begin`. */
  get length(): number {
    return this.#at - this.#start;
  }

  /** Drops the bytes written since `begin`. */
  abandon(): void {
    this.#at = this.#start;
  }

  array(length: number): void {
    this.#need(5);
    if (length < 16) this.#bytes[this.#at++] = 0x90 | length;
    else if (length < 65_536) this.#short(0xdc, length);
    else this.#long(0xdd, length);
  }

  /** A number in a column. Throws for a number that readers of columns reject, because the row could never be read. */
  number(value: number): void {
    if (value >>> 0 !== value && !Number.isFinite(value)) throw new Error('a column’s number is invalid');
    this.#number(value);
  }

  #number(value: number): void {
    this.#need(9);
    if (value >>> 0 === value) {
      if (value < 128) this.#bytes[this.#at++] = value;
      else if (value < 256) this.#byte(0xcc, value);
      else if (value < 65_536) this.#short(0xcd, value);
      else this.#long(0xce, value);
      return;
    }
    if (value >> 0 === value) return this.#negative(value);
    this.#bytes[this.#at] = 0xcb;
    this.#view.setFloat64(this.#at + 1, value);
    this.#at += 9;
  }

  #negative(value: number): void {
    if (value >= -32) this.#bytes[this.#at++] = value;
    else if (value >= -128) this.#byte(0xd0, value);
    else if (value >= -32_768) this.#short(0xd1, value);
    else this.#long(0xd2, value);
  }

  boolean(value: boolean): void {
    this.#need(1);
    this.#bytes[this.#at++] = value ? 0xc3 : 0xc2;
  }

  nothing(): void {
    this.#need(1);
    this.#bytes[this.#at++] = 0xc0;
  }

  text(value: string): void {
    const { length } = value;
    this.#need(length * 3 + 5);
    if (length > shortText) return this.#anyText(value);
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start + (length < 32 ? 1 : 2);
    for (let index = 0; index < length; index++) {
      const unit = value.charCodeAt(index);
      if (unit > 127) return this.#anyText(value);
      bytes[at++] = unit;
    }
    if (length < 32) bytes[start] = 0xa0 | length;
    else this.#byte(0xd9, length);
    this.#at = at;
  }

  bytes(value: Uint8Array): void {
    const { length } = value;
    this.#need(length + 5);
    if (length < 256) this.#byte(0xc4, length);
    else if (length < 65_536) this.#short(0xc5, length);
    else this.#long(0xc6, length);
    this.#put(value);
  }

  /** A value that is already encoded. */
  encoded(value: Uint8Array): void {
    this.#need(value.length);
    this.#put(value);
  }

  /** Plain data that `storable` has checked. Throws for other values (K4). */
  value(value: unknown, level = 1): void {
    switch (typeof value) {
      case 'string':
        return this.text(value);
      case 'number':
        return this.#number(value);
      case 'boolean':
        return this.boolean(value);
      case 'undefined':
        this.#need(3);
        for (const byte of undefinedBytes) this.#bytes[this.#at++] = byte;
        return;
      case 'bigint':
        return this.#bigint(value);
      case 'object':
        return value === null ? this.nothing() : this.#parts(value, level);
      default:
        throw new Error('not plain data');
    }
  }

  #parts(value: object, level: number): void {
    if (value instanceof Uint8Array) return this.bytes(value);
    if (level > levelMax) throw new Error('nested too deep');
    if (Array.isArray(value)) {
      const { length } = value;
      this.array(length);
      for (let index = 0; index < length; index++) {
        const part: unknown = value[index];
        if (typeof part === 'number') this.#number(part);
        else this.value(part, level + 1);
      }
      return;
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) throw new Error('not plain data');
    const fields = value as Readonly<Record<string, unknown>>;
    const keys = Object.keys(fields);
    this.#map(keys.length);
    for (const key of keys) {
      this.text(key);
      this.value(fields[key], level + 1);
    }
  }

  #map(length: number): void {
    this.#need(5);
    if (length < 16) this.#bytes[this.#at++] = 0x80 | length;
    else if (length < 65_536) this.#short(0xde, length);
    else this.#long(0xdf, length);
  }

  #bigint(value: bigint): void {
    this.#need(9);
    this.#bytes[this.#at] = value < 0n ? 0xd3 : 0xcf;
    this.#view.setBigUint64(this.#at + 1, BigInt.asUintN(64, value));
    this.#at += 9;
  }

  #put(value: Uint8Array): void {
    const { length } = value;
    if (length > shortBytes) this.#bytes.set(value, this.#at);
    else for (let index = 0; index < length; index++) this.#bytes[this.#at + index] = value[index] as number;
    this.#at += length;
  }

  #anyText(value: string): void {
    // Written as if every character took one byte, which is usually true. If not, the text is moved.
    const guessed = headerOf(value.length);
    const length = this.#bytes.write(value, this.#at + guessed, 'utf8');
    const header = headerOf(length);
    const start = this.#at + guessed;
    if (header !== guessed) this.#bytes.copyWithin(this.#at + header, start, start + length);
    if (header === 1) this.#bytes[this.#at++] = 0xa0 | length;
    else if (header === 2) this.#byte(0xd9, length);
    else if (header === 3) this.#short(0xda, length);
    else this.#long(0xdb, length);
    this.#at += length;
  }

  #byte(type: number, value: number): void {
    this.#bytes[this.#at] = type;
    this.#bytes[this.#at + 1] = value;
    this.#at += 2;
  }

  #short(type: number, value: number): void {
    this.#bytes[this.#at] = type;
    this.#bytes[this.#at + 1] = value >>> 8;
    this.#bytes[this.#at + 2] = value & 255;
    this.#at += 3;
  }

  #long(type: number, value: number): void {
    const bytes = this.#bytes;
    const at = this.#at;
    bytes[at] = type;
    bytes[at + 1] = value >>> 24;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 8;
    bytes[at + 4] = value;
    this.#at = at + 5;
  }

  #need(count: number): void {
    if (this.#at + count > this.#bytes.length) this.#turn(count);
  }

  /** Starts a new page with the part of the row written so far. */
  #turn(count: number): void {
    const begun = this.#bytes.subarray(this.#start, this.#at);
    this.#page(Math.max(pageBytes, (begun.length + count) * 2));
    this.#bytes.set(begun);
    this.#at = begun.length;
  }

  #page(length: number): void {
    this.#bytes = Buffer.allocUnsafeSlow(length);
    this.#view = new DataView(this.#bytes.buffer);
    this.#start = 0;
    this.#at = 0;
  }
}

/** Bytes of the length prefix of a text with so many bytes. */
function headerOf(length: number): number {
  if (length < 32) return 1;
  if (length < 256) return 2;
  return length < 65_536 ? 3 : 5;
}
