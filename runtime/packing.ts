/**
 * Rows of known columns as msgpack, written and read column by column: envelopes and the records of entities, of which
 * there are several in every call. What msgpackr makes of the same values is the same bytes; it is told nothing by the
 * columns, though, and takes two to four times as long (docs/decisions/0011-rows-by-hand.md). Values whose form only the
 * application knows stay with it (`codec.ts`).
 *
 * Invariants:
 * - K3 Reading stays within the bytes that it was given, and every column is of the kind that was asked for, or it throws.
 */

/** Bytes of one page: what is written lies in pages, of which each value is a part. */
const pageBytes = 65_536;
/** Longest text that is written byte by byte; a call of the engine's own writer costs as much as this. */
const shortText = 48;
/** The same for bytes. */
const shortBytes = 32;

/** Writes rows. One at a time: from `begin` to `end`. */
export class Packer {
  #bytes: Buffer = Buffer.allocUnsafeSlow(pageBytes);
  #view = new DataView(this.#bytes.buffer);
  #start = 0;
  #at = 0;

  begin(): void {
    this.#start = this.#at;
  }

  /** What was written since `begin`: a part of a page, which it keeps alive. */
  end(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#at);
  }

  /** Bytes since `begin`. */
  get length(): number {
    return this.#at - this.#start;
  }

  /** Forget what was written since `begin`. */
  abandon(): void {
    this.#at = this.#start;
  }

  array(length: number): void {
    this.#need(5);
    if (length < 16) this.#bytes[this.#at++] = 0x90 | length;
    else if (length < 65_536) this.#short(0xdc, length);
    else this.#long(0xdd, length);
  }

  /** Any number but NaN. */
  number(value: number): void {
    this.#need(9);
    if (value >>> 0 === value) {
      if (value < 128) this.#bytes[this.#at++] = value;
      else if (value < 256) this.#byte(0xcc, value);
      else if (value < 65_536) this.#short(0xcd, value);
      else this.#long(0xce, value);
      return;
    }
    this.#bytes[this.#at] = 0xcb;
    this.#view.setFloat64(this.#at + 1, value);
    this.#at += 9;
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

  /** A value that is msgpack already. */
  encoded(value: Uint8Array): void {
    this.#need(value.length);
    this.#put(value);
  }

  #put(value: Uint8Array): void {
    const { length } = value;
    if (length > shortBytes) this.#bytes.set(value, this.#at);
    else for (let index = 0; index < length; index++) this.#bytes[this.#at + index] = value[index] as number;
    this.#at += length;
  }

  #anyText(value: string): void {
    const length = Buffer.byteLength(value);
    if (length < 32) this.#bytes[this.#at++] = 0xa0 | length;
    else if (length < 256) this.#byte(0xd9, length);
    else if (length < 65_536) this.#short(0xda, length);
    else this.#long(0xdb, length);
    this.#at += this.#bytes.write(value, this.#at, 'utf8');
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
    this.#bytes[this.#at] = type;
    this.#view.setUint32(this.#at + 1, value);
    this.#at += 5;
  }

  #need(count: number): void {
    if (this.#at + count > this.#bytes.length) this.#turn(count);
  }

  /** On with a new page, which begins with what of the row there is. */
  #turn(count: number): void {
    const begun = this.#bytes.subarray(this.#start, this.#at);
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(pageBytes, (begun.length + count) * 2));
    this.#view = new DataView(this.#bytes.buffer);
    this.#bytes.set(begun);
    this.#start = 0;
    this.#at = begun.length;
  }
}

/** The last text of a column, in which most texts are the one before: then it is that very string, which is made once. */
export class LastText {
  text = '';
}

/** Reads rows (K3). What it throws says what is wrong. */
export class Unpacker {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #at = 0;

  constructor({ buffer, byteOffset, byteLength }: Uint8Array) {
    this.#bytes = Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
    this.#view = new DataView(buffer, byteOffset, byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** How many columns the row has that begins here. */
  array(): number {
    const type = this.#type();
    if ((type & 0xf0) === 0x90) return type & 0x0f;
    if (type === 0xdc) return this.#unsigned(2);
    if (type === 0xdd) return this.#unsigned(4);
    throw this.#wrong('a list');
  }

  /** A row of exactly so many columns. */
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
    if (!Number.isSafeInteger(value) || value < 0) throw this.#wrong('a count');
    return value;
  }

  boolean(): boolean {
    const type = this.#type();
    if (type !== 0xc2 && type !== 0xc3) throw this.#wrong('a truth value');
    return type === 0xc3;
  }

  text(last?: LastText): string {
    const length = this.#textLength();
    const start = this.#take(length);
    if (length === 0) return '';
    if (last !== undefined && this.#isText(last.text, start, length)) return last.text;
    const text = this.#bytes.toString('utf8', start, start + length);
    if (last !== undefined) last.text = text;
    return text;
  }

  #textLength(): number {
    const type = this.#type();
    if ((type & 0xe0) === 0xa0) return type & 0x1f;
    if (type >= 0xd9 && type <= 0xdb) return this.#unsigned(1 << (type - 0xd9));
    throw this.#wrong('a text');
  }

  /** Only ASCII is compared: of other texts bytes and characters differ. */
  #isText(text: string, start: number, length: number): boolean {
    if (text.length !== length) return false;
    for (let index = 0; index < length; index++) {
      const byte = this.#bytes[start + index] as number;
      if (byte > 127 || byte !== text.charCodeAt(index)) return false;
    }
    return true;
  }

  /** Bytes that are a view of those that were given. */
  bytes(): Uint8Array {
    const type = this.#type();
    if (type < 0xc4 || type > 0xc6) throw this.#wrong('bytes');
    const length = this.#unsigned(1 << (type - 0xc4));
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  oneOf<Value>(values: readonly Value[]): Value {
    const value = values[this.number()];
    if (value === undefined) throw this.#wrong('in range');
    return value;
  }

  #type(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  #unsigned(count: number): number {
    const at = this.#take(count);
    if (count === 1) return this.#bytes[at] as number;
    return count === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  /** Where the next so many bytes are. */
  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw new Error('it ends too early');
    this.#at = at + count;
    return at;
  }

  #finite(value: number): number {
    if (Number.isFinite(value)) return value;
    throw this.#wrong('a number');
  }

  #wrong(what: string): Error {
    return new Error(`what ends at byte ${this.#at} is not ${what}`);
  }
}
