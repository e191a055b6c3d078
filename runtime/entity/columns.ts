/**
 * Columns: how a row of an entity's record is gone through, by one list for writing and reading.
 *
 *     const trial: RowFormat<Trial> = (to, { key, ends }) => ({ key: to.text(key), ends: to.count(ends) });
 *
 * Written, each column takes the value that it is given; read, it gives the one that is there, and what it is given is nothing. So
 * a column cannot be written and not read, nor in another place. It costs about what rows by hand do: no list is looked through and
 * no field is found by its name.
 */
import type { Content } from '../../core/activity.ts';
import { retained } from '../../core/storable.ts';
import { contentColumns, packContent, type Row } from '../wire/codec.ts';
import type { MsgpackWriter } from '../wire/msgpack-writer.ts';

/** The columns of a row, in their order: returns the part with what they hold. While it is read there is nothing of the part yet. */
export type RowFormat<Part> = (columns: Columns, part: Part) => Part;

export interface Columns {
  text(value: string): string;
  /** The last column of a row, which rows of earlier versions lack: there it is ''. */
  addedText(value: string): string;
  count(value: number): number;
  date(value: number): number;
  boolean(value: boolean): boolean;
  bytes(value: Uint8Array): Uint8Array;
  oneOf<Name extends string>(names: readonly Name[], value: Name): Name;
  /** What a message asks: several columns. */
  content(value: Content): Content;
  /** Read: how many more columns the row has, since not all rows of its kind have all. */
  readonly left: number;
  /** Rows in one column. */
  rows<Part>(format: RowFormat<Part>, parts: readonly Part[]): readonly Part[];
}

/** What a format is given of a part that is being read. */
export const unread = {} as never;

export function writeRow<Part>(to: MsgpackWriter, format: RowFormat<Part>, part: Part): void {
  to.array(widthOf(format));
  format(new Writing(to), part);
}

/** `checkEnd`: told of each row in it when its columns are read; it rejects those that have more. */
export function readRow<Part>(row: Row, format: RowFormat<Part>, checkEnd?: (row: Row) => void): Part {
  const part = format(new Reading(row, checkEnd), unread);
  checkEnd?.(row);
  return part;
}

class Writing implements Columns {
  readonly left = 0;
  readonly #to: MsgpackWriter;

  constructor(to: MsgpackWriter) {
    this.#to = to;
  }

  text(value: string): string {
    this.#to.text(value);
    return value;
  }

  addedText(value: string): string {
    return this.text(value);
  }

  count(value: number): number {
    this.#to.number(value);
    return value;
  }

  date(value: number): number {
    this.#to.number(value);
    return value;
  }

  boolean(value: boolean): boolean {
    this.#to.boolean(value);
    return value;
  }

  bytes(value: Uint8Array): Uint8Array {
    this.#to.bytes(value);
    return value;
  }

  oneOf<Name extends string>(_names: readonly Name[], value: Name): Name {
    this.#to.text(value);
    return value;
  }

  content(value: Content): Content {
    packContent(this.#to, value);
    return value;
  }

  rows<Part>(format: RowFormat<Part>, parts: readonly Part[]): readonly Part[] {
    this.#to.array(parts.length);
    for (const part of parts) writeRow(this.#to, format, part);
    return parts;
  }
}

/** Bytes stay in memory without the page that they were read from. */
class Reading implements Columns {
  readonly #row: Row;
  readonly #checkEnd: ((row: Row) => void) | undefined;

  constructor(row: Row, checkEnd: ((row: Row) => void) | undefined) {
    this.#row = row;
    this.#checkEnd = checkEnd;
  }

  get left(): number {
    return this.#row.left;
  }

  text(): string {
    return this.#row.string();
  }

  addedText(): string {
    return this.#row.isAtEnd ? '' : this.#row.string();
  }

  count(): number {
    return this.#row.storedCount();
  }

  date(): number {
    return this.#row.storedDate();
  }

  boolean(): boolean {
    return this.#row.boolean();
  }

  bytes(): Uint8Array {
    return retained(this.#row.bytes());
  }

  oneOf<Name extends string>(names: readonly Name[]): Name {
    return this.#row.oneOfNames(names);
  }

  content(): Content {
    const content = this.#row.content();
    return { ...content, payload: retained(content.payload) };
  }

  rows<Part>(format: RowFormat<Part>): readonly Part[] {
    return this.#row.rows().map((row) => readRow(row, format, this.#checkEnd));
  }
}

/** Gives back what it is given, with its dates moved. */
class Moving implements Columns {
  readonly left = 0;
  readonly date: (value: number) => number;

  constructor(move: (date: number) => number) {
    this.date = move;
  }

  text = (value: string) => value;
  addedText = (value: string) => value;
  count = (value: number) => value;
  boolean = (value: boolean) => value;
  bytes = (value: Uint8Array) => value;
  oneOf = <Name extends string>(_names: readonly Name[], value: Name) => value;
  content = (value: Content) => value;
  rows = <Part>(format: RowFormat<Part>, parts: readonly Part[]): readonly Part[] =>
    parts.map((part) => format(this, part));
}

/** The same part with each of its dates moved. */
export function movedRow<Part>(format: RowFormat<Part>, part: Part, move: (date: number) => number): Part {
  // A column that not all rows have is kept as it is.
  return { ...part, ...format(new Moving(move), part) };
}

/** Counts them; what it is given back is of no use. */
class Counting implements Columns {
  width = 0;
  readonly left = 0;

  #more<Value>(value: Value, count = 1): Value {
    this.width += count;
    return value;
  }

  text = (value: string) => this.#more(value);
  addedText = (value: string) => this.#more(value);
  count = (value: number) => this.#more(value);
  date = (value: number) => this.#more(value);
  boolean = (value: boolean) => this.#more(value);
  bytes = (value: Uint8Array) => this.#more(value);
  oneOf = <Name extends string>(_names: readonly Name[], value: Name) => this.#more(value);
  content = (value: Content) => this.#more(value, contentColumns);
  rows = <Part>(_format: RowFormat<Part>, parts: readonly Part[]) => this.#more(parts);
}

const widths = new Map<unknown, number>();

function widthOf<Part>(format: RowFormat<Part>): number {
  const known = widths.get(format);
  if (known !== undefined) return known;
  const counting = new Counting();
  format(counting, unread);
  widths.set(format, counting.width);
  return counting.width;
}
