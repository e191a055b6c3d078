/**
 * The codec: encodes values as msgpack, and frames of envelopes as positional arrays.
 *
 * Longer than 400 lines because the columns of each envelope are written and read side by side.
 *
 * Invariants:
 * - K1 A frame that does not decode, or is of an unknown version, is rejected as a whole with an error, never half read.
 * - K6 An envelope with an unknown kind, kind of content or status is skipped, if its number could be of a later version. The
 *   other envelopes of its frame are read.
 * - K7 A frame has the lowest version that can encode it: 3 if an envelope has a kind of content that came with it, 2 if one has an
 *   extension, else 1.
 */
import type { Content } from '../../core/activity.ts';
import type { ProtocolRange } from '../../placement/view.ts';
import type { Envelope, MessageEnvelope, QueryEnvelope, ReplyEnvelope, StreamEnvelope } from './envelope.ts';
import { readExtension } from './extension.ts';
import { LastText, MsgpackReader } from './msgpack-reader.ts';
import { MsgpackWriter } from './msgpack-writer.ts';

/** Frame versions that this code reads and writes. */
export const protocol: ProtocolRange = { from: 1, to: 3 };
/** The first version with extensions (K7). */
export const extensionVersion = 2;
/** The first version with the kinds of content below: what has one is not sent to a worker that reads no such version (K7). */
const laterVersion = 3;
const laterKinds: ReadonlySet<Content['kind']> = new Set(['later-answer']);

export const contentKinds: readonly Content['kind'][] = [
  'operation',
  'confirm',
  'cancel',
  'answer',
  'dead-retry',
  'dead-drop',
  'effect',
  'outbox-drop',
  'later-answer',
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

/** For values only: another writer may be in the middle of a row when a value is encoded. */
const values = new MsgpackWriter();

/**
 * Encode a value that `storable` has checked. The bytes are a view of a larger buffer, which they keep alive; code that keeps
 * them for long copies them (`retained`). Throws for a value that is not plain data.
 */
export function encode(value: unknown): Uint8Array {
  values.begin();
  values.value(value);
  return values.end();
}

/** Decode a value. The caller owns it: byte arrays in it are copies (P11). Throws for bytes that are not plain data (K2). */
export function decode(bytes: Uint8Array): unknown {
  return wholeOf(bytes, false);
}

function wholeOf(bytes: Uint8Array, asViews: boolean): unknown {
  const from = new MsgpackReader(bytes);
  const value = from.value(asViews);
  if (!from.isAtEnd) throw new Error('extra bytes follow the value');
  return value;
}

/** How a list of so many values begins: they follow, each as `encode` writes it. */
export function encodedHead(count: number): Uint8Array {
  values.begin();
  values.array(count);
  return values.end();
}

/** A list whose values are read one by one, each the caller's own; `next` after the last says whether something follows. */
export function decodeBegun(bytes: Uint8Array): { readonly count: number; readonly next: () => unknown } {
  const from = new MsgpackReader(bytes);
  const count = from.array();
  let left = count;
  const next = () => {
    if (left-- > 0) return from.value(false, 2);
    if (!from.isAtEnd) throw new Error('extra bytes follow the value');
    return undefined;
  };
  return { count, next };
}

/** A row whose byte columns are views of the given bytes, for data that is passed on. */
export function rowOf(bytes: Uint8Array): Row {
  return new Row(wholeOf(bytes, true));
}

/** Most bytes that an envelope adds to a frame beyond its payload. */
export const envelopeOverheadBytes = 4_096;

/** The head of a frame: its sender's view, and how often its envelopes have been forwarded. */
export interface FrameHead {
  readonly viewVersion: number;
  readonly hops: number;
}

/** Tells that the worker of this id owns partitions that the view assigns to another. It is alone in its frame. */
export interface LocationHint {
  readonly id: string;
  readonly partitions: readonly number[];
}

const packer = new MsgpackWriter();

export function encodeLocationHint({ id, partitions }: LocationHint, viewVersion: number): Uint8Array {
  packer.begin();
  packer.array(4);
  packer.number(protocol.from);
  packer.number(viewVersion);
  packer.number(0);
  packer.array(2 + partitions.length);
  packer.number(hintKind);
  packer.text(id);
  for (const partition of partitions) packer.number(partition);
  return packer.end();
}

/** The lowest version of a frame that can have it. */
export function versionOf(envelope: Envelope): number {
  if (envelope.kind === 'message' && laterKinds.has(envelope.content.kind)) return laterVersion;
  return envelope.extension === undefined ? protocol.from : extensionVersion;
}

export function encodeFrame(envelopes: readonly Envelope[], { viewVersion, hops }: FrameHead): Uint8Array {
  let version = protocol.from;
  for (const envelope of envelopes) version = Math.max(version, versionOf(envelope));
  packer.begin();
  packer.array(3 + envelopes.length);
  packer.number(version);
  packer.number(viewVersion);
  packer.number(hops);
  for (const envelope of envelopes) {
    const { extension } = envelope;
    packColumns(envelope, extension === undefined ? 0 : 1);
    if (extension !== undefined) packer.encoded(extension);
  }
  return packer.end();
}

/** `more`: columns that follow. */
function packColumns(envelope: Envelope, more: number): void {
  switch (envelope.kind) {
    case 'message':
      return packMessage(envelope, more);
    case 'query':
      packer.array(columns.query + more);
      packer.number(1);
      packer.text(envelope.to);
      packer.text(envelope.replyTo);
      packer.number(envelope.call);
      packer.text(envelope.identity);
      packer.text(envelope.operation);
      packer.bytes(envelope.payload);
      return packer.number(envelope.deadline);
    case 'reply':
      packer.array(columns.reply + more);
      packer.number(2);
      packer.text(envelope.to);
      packer.number(envelope.call);
      packer.number(replyStatuses.indexOf(envelope.status));
      return packer.bytes(envelope.bytes);
    default:
      packer.array(columns.stream + more);
      packer.number(3);
      packer.number(streamKinds.indexOf(envelope.kind));
      packer.text(envelope.to);
      packer.text(envelope.from);
      packer.number(envelope.session);
      return packer.number(envelope.number);
  }
}

function packMessage({ to, from, replyTo, call, identity, arrival, content }: MessageEnvelope, more: number): void {
  packer.array(columns.message + more);
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

export function packContent(to: MsgpackWriter, content: Content): void {
  to.number(contentKinds.indexOf(content.kind));
  to.text(content.operation);
  to.bytes(content.payload);
  to.text(content.hold);
  to.boolean(content.wantsAnswer);
}

const hintKind = 4;

/** Of a row of a frame, its kind included. */
const columns = { message: 12 + contentColumns, query: 8, reply: 5, stream: 6 } as const;
/** The same by the number of the kind. */
const columnsOf: readonly number[] = [columns.message, columns.query, columns.reply, columns.stream];

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
  readonly version: number;
  readonly envelopes: Envelope[];
  readonly hint: LocationHint | undefined;
  /** Number of envelopes skipped because a later version wrote them (K6). */
  readonly skipped: number;
}

/**
 * Decodes a frame: its head, and its envelopes or its location hint (K1). Throws an error that says what is wrong with it.
 * `versions`: the accepted versions.
 */
export function decodeFrame(bytes: Uint8Array, versions: ProtocolRange = protocol): Frame {
  const frame = new MsgpackReader(bytes);
  const count = frame.array() - 3;
  if (count < 0) throw new Error('the head of the frame is missing');
  const version = frame.number();
  if (!(version >= versions.from && version <= versions.to))
    throw new Error(`frame of version ${version}, not ${versions.from} to ${versions.to}`);
  const viewVersion = frame.count();
  const hops = frame.count();
  const envelopes: Envelope[] = [];
  let hint: LocationHint | undefined;
  let skipped = 0;
  for (let index = 0; index < count; index++) {
    const length = frame.array();
    const kind = frame.number();
    if (kind === hintKind && count === 1) {
      hint = readHint(frame, length);
      continue;
    }
    const envelope = readEnvelope(frame, length, kind);
    if (envelope === undefined) skipped += 1;
    else envelopes.push(envelope);
  }
  if (!frame.isAtEnd) throw new Error('extra columns follow the frame');
  return { version, viewVersion, hops, envelopes, skipped, hint };
}

function readHint(frame: MsgpackReader, length: number): LocationHint {
  if (length < 3) throw new Error(`a location hint of ${length} columns`);
  const id = frame.text();
  const partitions: number[] = [];
  // One by one, so that a false length costs nothing.
  for (let index = 2; index < length; index++) partitions.push(frame.count());
  return { id, partitions };
}

/** Undefined if a later version wrote it (K6). */
function readEnvelope(frame: MsgpackReader, length: number, kind: number): Envelope | undefined {
  const known = columnsOf[kind];
  if (length === known) return readColumns(frame, kind);
  if (kind > hintKind && Number.isSafeInteger(kind)) return skipRow(frame, length);
  if (known === undefined || length !== known + 1) throw new Error(`an envelope of kind ${kind} and ${length} columns`);
  const envelope = readColumns(frame, kind);
  const extension = readExtension(frame);
  return envelope && { ...envelope, extension };
}

function skipRow(frame: MsgpackReader, length: number): undefined {
  for (let index = 1; index < length; index++) frame.skip();
}

function readColumns(frame: MsgpackReader, kind: number): Envelope | undefined {
  if (kind === 0) return readMessage(frame);
  if (kind === 1) return readQuery(frame);
  if (kind === 2) {
    const to = frame.text(last.client);
    const call = frame.count();
    const status = frame.oneOf(replyStatuses);
    const bytes = frame.bytes();
    return status && ({ kind: 'reply', to, call, status, bytes } satisfies ReplyEnvelope);
  }
  const streamKind = frame.oneOf(streamKinds);
  const to = frame.text();
  const from = frame.text();
  const session = frame.count();
  const number = frame.whole();
  return streamKind && ({ kind: streamKind, to, from, session, number } satisfies StreamEnvelope);
}

function readQuery(frame: MsgpackReader): QueryEnvelope {
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

function readMessage(frame: MsgpackReader): MessageEnvelope | undefined {
  const to = frame.text();
  const from = frame.text(last.from);
  const replyTo = frame.text(last.replyTo);
  const call = frame.count();
  const identity = frame.text(last.identity);
  const arrival = {
    session: frame.count(),
    seq: frame.count(),
    floor: frame.count(),
    expires: frame.date(),
    sent: frame.date(),
    keepMs: frame.date(),
  };
  const kind = frame.oneOf(contentKinds);
  const operation = frame.text(last.operation);
  const payload = frame.bytes();
  const hold = frame.text();
  const wantsAnswer = frame.boolean();
  if (kind === undefined) return undefined;
  const content = { kind, operation, payload, hold, wantsAnswer };
  return { kind: 'message', to, from, replyTo, call, identity, arrival, content };
}
