/**
 * Bytes: values by msgpack, and frames of envelopes as positional arrays. The only file that imports msgpackr.
 *
 * Invariants:
 * - K1 What does not decode as a frame of this version is refused as a whole with an error, never half read.
 * - K2 Decoding makes plain objects and arrays only; `__proto__` never reaches a prototype.
 */
import { Packr } from 'msgpackr';
import type { Arrival, Content } from '../core/activity.ts';
import { defaultLimits } from '../core/limits.ts';
import type { Envelope, MessageEnvelope, QueryEnvelope, ReplyEnvelope, StreamEnvelope } from './envelope.ts';

const packr = new Packr({ useRecords: false, mapsAsObjects: true, moreTypes: false });

/** Frames of another version are refused. */
export const frameVersion = 1;

const contentKinds: readonly Content['kind'][] = [
  'operation',
  'confirm',
  'cancel',
  'answer',
  'dead-retry',
  'dead-drop',
  'effect',
];
const streamKinds: readonly StreamEnvelope['kind'][] = ['ack', 'close', 'closed', 'stale', 'probe', 'probed'];
const replyStatuses: readonly ReplyEnvelope['status'][] = [
  'answer',
  'overloaded',
  'store-failed',
  'unknown-type',
  'denied',
  'moved',
  'not-loaded',
];

/**
 * Encode a value that `storable` let through. The bytes are a part of a larger buffer that they keep alive together with
 * their neighbours: what is kept for long is copied by whoever keeps it (`retained`).
 */
export function encode(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** A value that is the caller's own: bytes in it are copies (P11). Throws for what is not plain data (K2). */
export function decode(bytes: Uint8Array): unknown {
  return plain(packr.unpack(bytes), 0);
}

/** What is stored is at most `depthMax` deep; answers, patches and rows put it a few levels deeper. */
const levelMax = defaultLimits.depthMax + 8;

/**
 * The unpacker also makes dates, sets, expressions, errors, typed arrays and cycles, whatever its options say: from bytes
 * that we never write, so only somebody else's. It has no switch for that, and its table of extensions is shared with
 * every other user of the package in the process.
 */
function plain(value: unknown, level: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (level > levelMax) throw new Error('nested too deep');
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const part: unknown = value[index];
      if (typeof part !== 'object' || part === null) continue;
      const own = plain(part, level + 1);
      if (own !== part) value[index] = own;
    }
    return value;
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) throw new Error('not plain data');
  const parts = value as Record<string, unknown>;
  for (const key of Object.keys(parts)) {
    const part = parts[key];
    if (typeof part !== 'object' || part === null) continue;
    const own = plain(part, level + 1);
    if (own !== part) parts[key] = own;
  }
  return value;
}

/** A row whose bytes are views of those that it was read from: for what is read here and handed on. */
export function rowOf(bytes: Uint8Array): Row {
  return new Row(packr.unpack(bytes));
}

/** Bytes that an envelope adds to a frame beyond its payload, at most: for the bound on frames. */
export const envelopeOverheadBytes = 4_096;

/** What a frame says about its sender: the view that it went by, and how often its envelopes were forwarded. */
export interface FrameHead {
  readonly viewVersion: number;
  readonly hops: number;
}

export function encodeFrame(envelopes: readonly Envelope[], { viewVersion, hops }: FrameHead): Uint8Array {
  const columns: unknown[] = [frameVersion, viewVersion, hops];
  for (const envelope of envelopes) columns.push(envelopeRow(envelope));
  return encode(columns);
}

function envelopeRow(envelope: Envelope): unknown[] {
  switch (envelope.kind) {
    case 'message': {
      const { arrival, content } = envelope;
      return [
        0,
        envelope.to,
        envelope.from,
        envelope.replyTo,
        envelope.call,
        envelope.identity,
        arrival.session,
        arrival.seq,
        arrival.floor,
        arrival.expires,
        arrival.sent,
        arrival.keepMs,
        ...contentRow(content),
      ];
    }
    case 'query':
      return [
        1,
        envelope.to,
        envelope.replyTo,
        envelope.call,
        envelope.identity,
        envelope.operation,
        envelope.payload,
        envelope.deadline,
      ];
    case 'reply':
      return [2, envelope.to, envelope.call, replyStatuses.indexOf(envelope.status), envelope.bytes];
    default:
      return [3, streamKinds.indexOf(envelope.kind), envelope.to, envelope.from, envelope.session, envelope.number];
  }
}

/** Five columns. */
export function contentRow(content: Content): unknown[] {
  return [contentKinds.indexOf(content.kind), content.operation, content.payload, content.hold, content.wantsAnswer];
}

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

  boolean(): boolean {
    return this.any() === true;
  }

  bytes(): Uint8Array {
    const value = this.any();
    if (value instanceof Uint8Array) return value;
    throw new Error(`column ${this.#next} is not bytes`);
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

/** A frame's head and envelopes (K1). Throws an error that says what is wrong with it. */
export function decodeFrame(bytes: Uint8Array): FrameHead & { readonly envelopes: Envelope[] } {
  const frame = rowOf(bytes);
  const version = frame.number();
  if (version !== frameVersion) throw new Error(`frame of version ${version}, not ${frameVersion}`);
  const head = { viewVersion: frame.number(), hops: frame.number() };
  const envelopes: Envelope[] = [];
  while (!frame.isAtEnd) envelopes.push(readEnvelope(new Row(frame.any())));
  return { ...head, envelopes };
}

function readEnvelope(row: Row): Envelope {
  switch (row.number()) {
    case 0:
      return readMessage(row);
    case 1:
      return {
        kind: 'query',
        to: row.string(),
        replyTo: row.string(),
        call: row.number(),
        identity: row.string(),
        operation: row.string(),
        payload: row.bytes(),
        deadline: row.number(),
      } satisfies QueryEnvelope;
    case 2:
      return {
        kind: 'reply',
        to: row.string(),
        call: row.number(),
        status: row.oneOf(replyStatuses),
        bytes: row.bytes(),
      } satisfies ReplyEnvelope;
    case 3:
      return {
        kind: row.oneOf(streamKinds),
        to: row.string(),
        from: row.string(),
        session: row.number(),
        number: row.number(),
      } satisfies StreamEnvelope;
    default:
      throw new Error('unknown envelope');
  }
}

function readMessage(row: Row): MessageEnvelope {
  const head = {
    kind: 'message',
    to: row.string(),
    from: row.string(),
    replyTo: row.string(),
    call: row.number(),
    identity: row.string(),
  } as const;
  const arrival: Arrival = {
    session: row.number(),
    seq: row.number(),
    floor: row.number(),
    expires: row.number(),
    sent: row.number(),
    keepMs: row.number(),
  };
  return { ...head, arrival, content: row.content() };
}
