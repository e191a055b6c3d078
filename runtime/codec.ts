/**
 * Bytes: values as msgpack, and frames of envelopes as positional arrays.
 *
 * Invariants:
 * - K1 What does not decode as a frame of this version is refused as a whole with an error, never half read.
 */
import type { Content } from '../core/activity.ts';
import type { Envelope, MessageEnvelope, QueryEnvelope, ReplyEnvelope, StreamEnvelope } from './envelope.ts';
import { Packer } from './packing.ts';
import { LastText, Unpacker } from './unpacking.ts';

/** Frames of another version are refused. */
export const frameVersion = 1;

export const contentKinds: readonly Content['kind'][] = [
  'operation',
  'confirm',
  'cancel',
  'answer',
  'dead-retry',
  'dead-drop',
  'effect',
  'outbox-drop',
];
export const streamKinds: readonly StreamEnvelope['kind'][] = [
  'ack',
  'close',
  'closed',
  'stale',
  'probe',
  'probed',
  'room',
];
export const replyStatuses: readonly ReplyEnvelope['status'][] = [
  'answer',
  'overloaded',
  'store-failed',
  'unknown-type',
  'denied',
  'moved',
  'not-loaded',
  'not-run',
  'expired',
  'unsent',
];

/** Of values alone: a row may be half written when a value is asked for. */
const values = new Packer();

/**
 * Encode a value that `storable` let through. The bytes are a part of a larger buffer that they keep alive together with
 * their neighbours: what is kept for long is copied by whoever keeps it (`retained`). Throws for what is not plain data.
 */
export function encode(value: unknown): Uint8Array {
  values.begin();
  values.value(value);
  return values.end();
}

/** A value that is the caller's own: bytes in it are copies (P11). Throws for what is not plain data (K2). */
export function decode(bytes: Uint8Array): unknown {
  return wholeOf(bytes, false);
}

function wholeOf(bytes: Uint8Array, asViews: boolean): unknown {
  const from = new Unpacker(bytes);
  const value = from.value(asViews);
  if (!from.isAtEnd) throw new Error('something follows the value');
  return value;
}

/** A row whose bytes are views of those that it was read from: for what is read here and handed on. */
export function rowOf(bytes: Uint8Array): Row {
  return new Row(wholeOf(bytes, true));
}

/** Bytes that an envelope adds to a frame beyond its payload, at most: for the bound on frames. */
export const envelopeOverheadBytes = 4_096;

/** What a frame says about its sender: the view that it went by, and how often its envelopes were forwarded. */
export interface FrameHead {
  readonly viewVersion: number;
  readonly hops: number;
}

/**
 * Where partitions are found that the view gives to somebody else: at the worker of this id. A frame of its own, with one row of a
 * kind that an older reader refuses with the whole frame (K1): it goes by its view, as before.
 */
export interface Whereabouts {
  readonly id: string;
  readonly partitions: readonly number[];
}

const packer = new Packer();

export function encodeWhereabouts({ id, partitions }: Whereabouts, viewVersion: number): Uint8Array {
  packer.begin();
  packer.array(4);
  packer.number(frameVersion);
  packer.number(viewVersion);
  packer.number(0);
  packer.array(2 + partitions.length);
  packer.number(whereaboutsKind);
  packer.text(id);
  for (const partition of partitions) packer.number(partition);
  return packer.end();
}

export function encodeFrame(envelopes: readonly Envelope[], { viewVersion, hops }: FrameHead): Uint8Array {
  packer.begin();
  packer.array(3 + envelopes.length);
  packer.number(frameVersion);
  packer.number(viewVersion);
  packer.number(hops);
  for (const envelope of envelopes) packEnvelope(envelope);
  return packer.end();
}

function packEnvelope(envelope: Envelope): void {
  switch (envelope.kind) {
    case 'message':
      return packMessage(envelope);
    case 'query':
      packer.array(columns.query);
      packer.number(1);
      packer.text(envelope.to);
      packer.text(envelope.replyTo);
      packer.number(envelope.call);
      packer.text(envelope.identity);
      packer.text(envelope.operation);
      packer.bytes(envelope.payload);
      return packer.number(envelope.deadline);
    case 'reply':
      packer.array(columns.reply);
      packer.number(2);
      packer.text(envelope.to);
      packer.number(envelope.call);
      packer.number(replyStatuses.indexOf(envelope.status));
      return packer.bytes(envelope.bytes);
    default:
      packer.array(columns.stream);
      packer.number(3);
      packer.number(streamKinds.indexOf(envelope.kind));
      packer.text(envelope.to);
      packer.text(envelope.from);
      packer.number(envelope.session);
      return packer.number(envelope.number);
  }
}

function packMessage({ to, from, replyTo, call, identity, arrival, content }: MessageEnvelope): void {
  packer.array(columns.message);
  packer.number(0);
  packer.text(to);
  packer.text(from);
  packer.text(replyTo);
  packer.number(call);
  packer.text(identity);
  packer.number(arrival.session);
  packer.number(arrival.seq);
  packer.number(arrival.floor);
  packer.number(arrival.expires);
  packer.number(arrival.sent);
  packer.number(arrival.keepMs);
  packContent(packer, content);
}

/** How many columns `packContent` writes. */
export const contentColumns = 5;

export function packContent(to: Packer, content: Content): void {
  to.number(contentKinds.indexOf(content.kind));
  to.text(content.operation);
  to.bytes(content.payload);
  to.text(content.hold);
  to.boolean(content.wantsAnswer);
}

const whereaboutsKind = 4;

/** Of a row of a frame, its kind included. */
const columns = { message: 12 + contentColumns, query: 8, reply: 5, stream: 6 } as const;

/** A row being read column by column; every column is checked for what it must be. */
export class Row {
  readonly #columns: readonly unknown[];
  #next = 0;

  constructor(columns: unknown) {
    if (!Array.isArray(columns)) throw new Error('not a row');
    this.#columns = columns;
  }

  get isAtEnd(): boolean {
    return this.#next >= this.#columns.length;
  }

  /** Columns that are not read yet. */
  get left(): number {
    return this.#columns.length - this.#next;
  }

  any(): unknown {
    return this.#columns[this.#next++];
  }

  string(): string {
    const value = this.any();
    if (typeof value !== 'string') throw new Error(`column ${this.#next} is not a string`);
    return value;
  }

  number(): number {
    const value = this.any();
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw new Error(`column ${this.#next} is not a number`);
  }

  /** A whole number from 0. */
  count(): number {
    const value = this.any();
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw new Error(`column ${this.#next} is not a count`);
  }

  /**
   * A date that was stored, ms, whatever it is: records that an earlier version wrote have dates that never come, and must be
   * read all the same. What is no number is long past.
   */
  storedDate(): number {
    const value = this.any();
    if (typeof value !== 'number') throw new Error(`column ${this.#next} is not a date`);
    return value >= 0 ? Math.min(value, Number.MAX_SAFE_INTEGER) : 0;
  }

  /** A count that was stored. One that nobody can have counted, which anybody could once send, counts nothing. */
  storedCount(): number {
    const value = this.any();
    if (typeof value !== 'number') throw new Error(`column ${this.#next} is not a count`);
    return Number.isSafeInteger(value) && value >= 0 ? value : 0;
  }

  boolean(): boolean {
    return this.any() === true;
  }

  bytes(): Uint8Array {
    const value = this.any();
    if (value instanceof Uint8Array) return value;
    throw new Error(`column ${this.#next} is not bytes`);
  }

  bytesOrNull(): Uint8Array | null {
    const value = this.any();
    if (value === null || value instanceof Uint8Array) return value;
    throw new Error(`column ${this.#next} is neither bytes nor null`);
  }

  oneOf<Value>(values: readonly Value[]): Value {
    const value = values[this.number()];
    if (value === undefined) throw new Error(`column ${this.#next} is out of range`);
    return value;
  }

  oneOfNames<const Name extends string>(names: readonly Name[]): Name {
    const value = this.string();
    const name = names.find((known) => known === value);
    if (name === undefined) throw new Error(`column ${this.#next} is none of ${names.join(', ')}`);
    return name;
  }

  content(): Content {
    return {
      kind: this.oneOf(contentKinds),
      operation: this.string(),
      payload: this.bytes(),
      hold: this.string(),
      wantsAnswer: this.boolean(),
    };
  }

  rows(): Row[] {
    const value = this.any();
    if (!Array.isArray(value)) throw new Error(`column ${this.#next} is not a list`);
    return value.map((row) => new Row(row));
  }
}

/** Texts that most envelopes of a frame have in common. */
const last = {
  from: new LastText(),
  replyTo: new LastText(),
  identity: new LastText(),
  operation: new LastText(),
  client: new LastText(),
};

export interface Frame extends FrameHead {
  readonly envelopes: Envelope[];
  readonly whereabouts?: Whereabouts;
}

/** A frame's head, and its envelopes or what it says of whereabouts (K1). Throws an error that says what is wrong with it. */
export function decodeFrame(bytes: Uint8Array): Frame {
  const frame = new Unpacker(bytes);
  const count = frame.array() - 3;
  if (count < 0) throw new Error('a frame without its head');
  const version = frame.number();
  if (version !== frameVersion) throw new Error(`frame of version ${version}, not ${frameVersion}`);
  const head = { viewVersion: frame.count(), hops: frame.count() };
  const envelopes: Envelope[] = [];
  let whereabouts: Whereabouts | undefined;
  for (let index = 0; index < count; index++) {
    const length = frame.array();
    const kind = frame.number();
    if (kind === whereaboutsKind && count === 1) whereabouts = readWhereabouts(frame, length);
    else envelopes.push(readEnvelope(frame, length, kind));
  }
  if (!frame.isAtEnd) throw new Error('something follows the frame');
  return whereabouts === undefined ? { ...head, envelopes } : { ...head, envelopes, whereabouts };
}

function readWhereabouts(frame: Unpacker, length: number): Whereabouts {
  if (length < 3) throw new Error(`a row of ${length} columns says nothing of whereabouts`);
  const id = frame.text();
  const partitions: number[] = [];
  // One by one: a length that the bytes do not bear out must not cost anything.
  for (let index = 2; index < length; index++) partitions.push(frame.count());
  return { id, partitions };
}

function readEnvelope(frame: Unpacker, length: number, kind: number): Envelope {
  if (kind === 0 && length === columns.message) return readMessage(frame);
  if (kind === 1 && length === columns.query) return readQuery(frame);
  if (kind === 2 && length === columns.reply) {
    return {
      kind: 'reply',
      to: frame.text(last.client),
      call: frame.count(),
      status: frame.oneOf(replyStatuses),
      bytes: frame.bytes(),
    } satisfies ReplyEnvelope;
  }
  if (kind === 3 && length === columns.stream) {
    return {
      kind: frame.oneOf(streamKinds),
      to: frame.text(),
      from: frame.text(),
      session: frame.count(),
      number: frame.whole(),
    } satisfies StreamEnvelope;
  }
  throw new Error(`an unknown envelope, of kind ${kind} and ${length} columns`);
}

function readQuery(frame: Unpacker): QueryEnvelope {
  return {
    kind: 'query',
    to: frame.text(),
    replyTo: frame.text(last.replyTo),
    call: frame.count(),
    identity: frame.text(last.identity),
    operation: frame.text(last.operation),
    payload: frame.bytes(),
    deadline: frame.date(),
  };
}

function readMessage(frame: Unpacker): MessageEnvelope {
  return {
    kind: 'message',
    to: frame.text(),
    from: frame.text(last.from),
    replyTo: frame.text(last.replyTo),
    call: frame.count(),
    identity: frame.text(last.identity),
    arrival: {
      session: frame.count(),
      seq: frame.count(),
      floor: frame.count(),
      expires: frame.date(),
      sent: frame.date(),
      keepMs: frame.date(),
    },
    content: {
      kind: frame.oneOf(contentKinds),
      operation: frame.text(last.operation),
      payload: frame.bytes(),
      hold: frame.text(),
      wantsAnswer: frame.boolean(),
    },
  };
}
