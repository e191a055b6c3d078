/**
 * Reads untrusted msgpack: rows of known columns, column by column, and plain data.
 *
 * Invariants:
 * - K2 Reading makes plain objects and arrays only. `__proto__` never reaches a prototype, and the only extension read is that
 *   of undefined.
 * - K3 Reading stays within the given bytes. A column of another kind than requested throws.
 * - K5 Time and memory are linear in the bytes: nothing is made twice, nor for a length that exceeds the bytes.
 */
import { isFarIndex, scatter } from '../../core/storable.ts';
import { levelMax } from './msgpack-writer.ts';

/** Longest word that is cached, and the number of cached words. */
const knownWordMax = 32;
const knownWordCount = 1_024;
const knownWords = new Array<string>(knownWordCount).fill('');
/** Their bytes and their lengths. */
const knownWordBytes = new DataView(new ArrayBuffer(knownWordCount * knownWordMax));
const knownWordLengths = new Uint8Array(knownWordCount);

/** Longest text of a column that is recognised, bytes. */
const lastTextMax = 128;

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** The last text of a column. Most texts of a column equal the one before, and then the same string is returned. */
export class LastText {
  text = '';
  readonly bytes: DataView = new DataView(new ArrayBuffer(lastTextMax));
  length = 0;
}

/** Reads rows and plain data (K3). Its errors say what is wrong and never show the content. */
export class MsgpackReader {
  readonly #bytes: Buffer;
  #lazyView: DataView | undefined;
  #at = 0;

  constructor(bytes: Uint8Array) {
    const { buffer, byteOffset, byteLength } = bytes;
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
  }

  get #view(): DataView {
    const { buffer, byteOffset, byteLength } = this.#bytes;
    this.#lazyView ??= new DataView(buffer, byteOffset, byteLength);
    return this.#lazyView;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Number of columns of the row that starts here. */
  array(): number {
    const type = this.#type();
    if ((type & 0xf0) === 0x90) return type & 0x0f;
    if (type === 0xdc) return this.#unsigned(2);
    if (type === 0xdd) return this.#unsigned(4);
    throw this.#wrong('a list');
  }

  /** Requires a row of exactly `length` columns. */
  row(columns: number): void {
    const length = this.array();
    if (length !== columns) throw new Error(`a row of ${length} columns, not ${columns}`);
  }

  /** A finite number. */
  number(): number {
    const type = this.#type();
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 256;
    if (type === 0xcb) return this.#finite(this.#view.getFloat64(this.#take(8)));
    if (type === 0xca) return this.#finite(this.#view.getFloat32(this.#take(4)));
    if (type >= 0xcc && type <= 0xce) return this.#unsigned(1 << (type - 0xcc));
    if (type === 0xd0) return this.#view.getInt8(this.#take(1));
    if (type === 0xd1) return this.#view.getInt16(this.#take(2));
    if (type === 0xd2) return this.#view.getInt32(this.#take(4));
    throw this.#wrong('a number');
  }

  /** A whole number from 0. */
  count(): number {
    const value = this.number();
    if (!isCount(value)) throw this.#wrong('a count');
    return value;
  }

  /** A date, or a duration, in ms: from 0 to the largest whole number. */
  date(): number {
    const value = this.number();
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) throw this.#wrong('a date');
    return value;
  }

  /** A whole number that may be below 0. */
  whole(): number {
    const value = this.number();
    if (!Number.isSafeInteger(value)) throw this.#wrong('a whole number');
    return value;
  }

  boolean(): boolean {
    const type = this.#type();
    if (type !== 0xc2 && type !== 0xc3) throw this.#wrong('a boolean');
    return type === 0xc3;
  }

  text(last?: LastText): string {
    const length = this.#textLength();
    const start = this.#take(length);
    if (length === 0) return '';
    if (last === undefined || length > lastTextMax) return this.#bytes.toString('utf8', start, start + length);
    if (last.length === length && this.#isSame(last.bytes, 0, start, length)) return last.text;
    last.text = this.#bytes.toString('utf8', start, start + length);
    last.length = length;
    this.#copy(last.bytes, 0, start, length);
    return last.text;
  }

  #textLength(): number {
    const type = this.#type();
    if ((type & 0xe0) === 0xa0) return type & 0x1f;
    if (type >= 0xd9 && type <= 0xdb) return this.#unsigned(1 << (type - 0xd9));
    throw this.#wrong('a text');
  }

  /** Compares four bytes at a time, in half the time that comparing characters takes. */
  #isSame(known: DataView, at: number, start: number, length: number): boolean {
    const view = this.#view;
    const words = length & ~3;
    let index = 0;
    for (; index < words; index += 4) if (view.getUint32(start + index) !== known.getUint32(at + index)) return false;
    for (; index < length; index++) if (view.getUint8(start + index) !== known.getUint8(at + index)) return false;
    return true;
  }

  #copy(known: DataView, at: number, start: number, length: number): void {
    for (let index = 0; index < length; index++) known.setUint8(at + index, this.#bytes[start + index] as number);
  }

  /** Bytes as a view of the given bytes. */
  bytes(): Uint8Array {
    const type = this.#type();
    if (type < 0xc4 || type > 0xc6) throw this.#wrong('bytes');
    return this.#part(this.#unsigned(1 << (type - 0xc4)));
  }

  /**
   * Plain data (K2). Byte arrays in it are copies, or with `asViews` views of the given bytes. Throws for invalid bytes, and for
   * data nested too deep.
   */
  value(asViews = false, level = 1): unknown {
    const type = this.#type();
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 256;
    if (type < 0x90) return this.#map(type & 0x0f, asViews, level);
    if (type < 0xa0) return this.#list(type & 0x0f, asViews, level);
    if (type < 0xc0) return this.#word(type & 0x1f);
    if (type === 0xcd) return this.#unsigned(2);
    if (type === 0xce) return this.#unsigned(4);
    if (type >= 0xca && type <= 0xd3) return this.#numberOf(type);
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6: {
        const bytes = this.#part(this.#unsigned(1 << (type - 0xc4)));
        return asViews ? bytes : new Uint8Array(bytes);
      }
      case 0xd4:
        if (this.#unsigned(2) !== 0) throw this.#wrong('plain data');
        return undefined;
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#word(this.#unsigned(1 << (type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#list(this.#unsigned(type === 0xdc ? 2 : 4), asViews, level);
      case 0xde:
      case 0xdf:
        return this.#map(this.#unsigned(type === 0xde ? 2 : 4), asViews, level);
      default:
        throw this.#wrong('plain data');
    }
  }

  #numberOf(type: number): number | bigint {
    switch (type) {
      case 0xcc:
        return this.#unsigned(1);
      case 0xcd:
        return this.#unsigned(2);
      case 0xce:
        return this.#unsigned(4);
      case 0xca:
        return this.#view.getFloat32(this.#take(4));
      case 0xcb:
        return this.#view.getFloat64(this.#take(8));
      case 0xcf:
        return this.#view.getBigUint64(this.#take(8));
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      default:
        return this.#view.getBigInt64(this.#take(8));
    }
  }

  /** Each element takes at least one byte, so a length that exceeds the bytes is rejected before anything is made. */
  #checkRoom(bytes: number, level: number): void {
    if (bytes > this.#bytes.length - this.#at) throw new Error('the input ends too early');
    if (level > levelMax) throw new Error('nested too deep');
  }

  #list(length: number, asViews: boolean, level: number): unknown[] {
    this.#checkRoom(length, level);
    const list = new Array<unknown>(length);
    for (let index = 0; index < length; index++) list[index] = this.value(asViews, level + 1);
    return list;
  }

  #map(length: number, asViews: boolean, level: number): object {
    this.#checkRoom(2 * length, level);
    const fields: Record<string, unknown> = {};
    for (let index = 0; index < length; index++) {
      const key = this.#word(this.#textLength());
      if (key === '__proto__') throw this.#wrong('a name that data may have');
      if (isFarIndex(key, index)) scatter(fields);
      fields[key] = this.value(asViews, level + 1);
    }
    return fields;
  }

  /** A text in a value. Names of fields recur, so short ones are cached. */
  #word(length: number): string {
    const start = this.#take(length);
    if (length === 0) return '';
    if (length > knownWordMax) return this.#bytes.toString('utf8', start, start + length);
    const bytes = this.#bytes;
    const first = bytes[start] as number;
    const middle = bytes[start + (length >> 1)] as number;
    const last = bytes[start + length - 1] as number;
    const slot = (length * 61 + first * 17 + middle * 5 + last) & (knownWordCount - 1);
    const at = slot * knownWordMax;
    if (knownWordLengths[slot] === length && this.#isSame(knownWordBytes, at, start, length))
      return knownWords[slot] as string;
    const word = bytes.toString('utf8', start, start + length);
    knownWords[slot] = word;
    knownWordLengths[slot] = length;
    this.#copy(knownWordBytes, at, start, length);
    return word;
  }

  #part(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Undefined: a number from a later version. */
  oneOf<Value>(values: readonly Value[]): Value | undefined {
    const number = this.number();
    const value = values[number];
    if (value === undefined && !isCount(number)) throw this.#wrong('a count');
    return value;
  }

  /** Number of bytes read. */
  get position(): number {
    return this.#at;
  }

  /** The bytes read since a position, as a view of the given bytes. */
  since(position: number): Uint8Array {
    return this.#bytes.subarray(position, this.#at);
  }

  /** Skips one value of any kind without decoding it. Throws for invalid msgpack, and for data nested too deep. */
  skip(level = 1): void {
    const type = this.#type();
    if (type < 0x80 || type >= 0xe0) return;
    if (type < 0x90) return this.#skipParts(2 * (type & 0x0f), level);
    if (type < 0xa0) return this.#skipParts(type & 0x0f, level);
    if (type < 0xc0) return void this.#take(type & 0x1f);
    if (type >= 0xca && type <= 0xd3) return void this.#numberOf(type);
    // One byte is the type of an extension.
    if (type >= 0xd4 && type <= 0xd8) return void this.#take(1 + (1 << (type - 0xd4)));
    switch (type) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return void this.#take(this.#unsigned(1 << (type - 0xc4)));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return void this.#take(this.#unsigned(1 << (type - 0xc7)) + 1);
      case 0xd9:
      case 0xda:
      case 0xdb:
        return void this.#take(this.#unsigned(1 << (type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#skipParts(this.#unsigned(type === 0xdc ? 2 : 4), level);
      case 0xde:
      case 0xdf:
        return this.#skipParts(2 * this.#unsigned(type === 0xde ? 2 : 4), level);
      default:
        throw this.#wrong('msgpack');
    }
  }

  #skipParts(count: number, level: number): void {
    this.#checkRoom(count, level);
    for (let index = 0; index < count; index++) this.skip(level + 1);
  }

  #type(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  #unsigned(count: number): number {
    const at = this.#take(count);
    const bytes = this.#bytes;
    const first = bytes[at] as number;
    if (count === 1) return first;
    if (count === 2) return (first << 8) | (bytes[at + 1] as number);
    const low = ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
    return first * 0x1_00_00_00 + low;
  }

  /** The position of the next `length` bytes. */
  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw new Error('the input ends too early');
    this.#at = at + count;
    return at;
  }

  #finite(value: number): number {
    if (Number.isFinite(value)) return value;
    throw this.#wrong('a number');
  }

  #wrong(what: string): Error {
    return new Error(`the value that ends at byte ${this.#at} is not ${what}`);
  }
}
