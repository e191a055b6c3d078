/**
 * Control messages: membership, views and handoffs, between workers and clients. They are positional arrays with a version,
 * like frames, on their own subjects.
 *
 * A control message may be lost, late, duplicated or out of order. A process that needs an answer repeats its request, and
 * the store decides. Messages that show that a process is alive carry a stamp, or answer a numbered request, so that a late
 * one is recognised (`freshness.ts`).
 *
 * Longer than 400 lines because the type, the encoding and the decoding of each message stand side by side.
 */
import { isWorkerId, isWorkerName } from '../../placement/announcement.ts';
import { weightMax } from '../../placement/rendezvous.ts';
import type { PingMark } from '../../placement/service.ts';
import { type HostedType, type Pin, protocolOf, type View, type WorkerEntry } from '../../placement/view.ts';
import type { Loaded } from '../store.ts';
import { encode, Row, rowOf } from './codec.ts';

export const controlVersion = 4;

/** The latest date there is, ms. */
const stampMax = 8.64e15;

/** A stored entity as it is handed off from one worker's memory to another's, which saves a read. */
export interface WarmEntity {
  readonly address: string;
  readonly loaded: Loaded;
  /** Its activities, by partner. */
  readonly activities: readonly (readonly [string, Uint8Array])[];
}

export type ControlMessage =
  /** The view, from the service with its stamp, or from another process (0). */
  | { readonly kind: 'view'; readonly view: View; readonly sent: number }
  /** A request for the view. The answer goes to `replyTo`. */
  | { readonly kind: 'resolve'; readonly replyTo: string }
  /** A worker announces itself, and the view that it follows. `sent`: its stamp. */
  | { readonly kind: 'announce'; readonly entry: WorkerEntry; readonly viewVersion: number; readonly sent: number }
  /** A report that a worker's subject has no listener, by the worker `by` or (empty) a client. */
  | { readonly kind: 'absent'; readonly id: string; readonly by: string }
  | { readonly kind: 'ping'; readonly mark: PingMark }
  | { readonly kind: 'pong'; readonly id: string; readonly mark: PingMark; readonly sent: number }
  /** A candidate for the service sends this to itself, to test its connection. */
  | { readonly kind: 'echo'; readonly number: number }
  /** A worker that hears no fresh view asks whether the service is alive. */
  | { readonly kind: 'doubt'; readonly id: string; readonly number: number }
  /** The answer: the service is alive under this term. `number` is that of the request, `sent` its stamp. */
  | { readonly kind: 'present'; readonly number: number; readonly term: number; readonly sent: number }
  /** A leaving worker has handed everything off (`viewVersion` 0), or the service has removed a process for ever by that view. */
  | { readonly kind: 'gone'; readonly id: string; readonly viewVersion: number }
  /** Pins have changed in the store. */
  | { readonly kind: 'pinned' }
  /** A worker looks for the owners of partitions that a view assigns to it. */
  | {
      readonly kind: 'seek';
      readonly id: string;
      readonly view: View;
      readonly partitions: readonly number[];
      /** Number of the request, ascending. The answer repeats it. */
      readonly ask: number;
    }
  /** A worker requests partitions from their owner. */
  | {
      readonly kind: 'release';
      readonly id: string;
      readonly view: View;
      readonly partitions: readonly number[];
      readonly ask: number;
    }
  /** The answer: the sender does not own these, or will not hand them off. */
  | { readonly kind: 'none'; readonly id: string; readonly partitions: readonly number[]; readonly ask: number }
  /** The answer to `seek`: the sender owns these, and runs them until it is requested to release them. */
  | { readonly kind: 'keeping'; readonly id: string; readonly partitions: readonly number[]; readonly ask: number }
  /** The answer to `release`: the sender has stopped the partition. `count` parts carry the entities that were in memory. */
  | {
      readonly kind: 'released';
      readonly id: string;
      readonly ask: number;
      readonly partition: number;
      readonly epoch: number;
      /** The store's mark of the partition then; undefined: unknown, and `entities` cannot be used. */
      readonly mark: number | undefined;
      readonly index: number;
      readonly count: number;
      readonly entities: readonly WarmEntity[];
    }
  /** A worker has claimed partitions by these epochs, and looks for images of their volatile entities. */
  | {
      readonly kind: 'fetch';
      readonly id: string;
      readonly view: View;
      readonly partitions: readonly number[];
      readonly epochs: readonly number[];
      readonly ask: number;
      /** For each partition, the batch and slice to resume from; 0 and 0, or empty lists: from the start. */
      readonly batches: readonly number[];
      readonly slices: readonly number[];
    }
  /** The answer: the sender has no images of these. */
  | { readonly kind: 'bare'; readonly id: string; readonly partitions: readonly number[]; readonly ask: number }
  /** The answer: the sender's images of one partition, in slices of one value (`worker/volatile-images.ts`). */
  | {
      readonly kind: 'carried';
      readonly id: string;
      /** The owner's name in the sender's claims. */
      readonly name: string;
      readonly partition: number;
      readonly epoch: number;
      readonly ask: number;
      /** Number of the batch, ascending. */
      readonly batch: number;
      readonly index: number;
      readonly count: number;
      readonly bytes: Uint8Array;
      /** Whether the sender sends nothing more before the next request. */
      readonly isLast: boolean;
      /** Number of entities of the partition that did not fit into this batch. */
      readonly leftCount: number;
    }
  /** By this claim the sender runs the entities of this batch (0: none), except these. It repeats this until `settled`. */
  | {
      readonly kind: 'boarded';
      readonly id: string;
      readonly partition: number;
      readonly epoch: number;
      readonly batch: number;
      readonly except: readonly string[];
    }
  /** The answer to `boarded`. */
  | { readonly kind: 'settled'; readonly id: string; readonly partition: number; readonly epoch: number };

export type ControlKind = ControlMessage['kind'];

export const controlKinds: readonly ControlKind[] = [
  'view',
  'resolve',
  'announce',
  'absent',
  'ping',
  'pong',
  'gone',
  'pinned',
  'release',
  'none',
  'keeping',
  'released',
  'seek',
  'carried',
  'boarded',
  'echo',
  'doubt',
  'present',
  'fetch',
  'bare',
  'settled',
];

/** `sentAt`: the time of the sender's clock, 0: unknown. */
export function encodeControl(message: ControlMessage, sentAt = 0): Uint8Array {
  return encode([controlVersion, controlKinds.indexOf(message.kind), sentAt, ...columnsOf(message)]);
}

function columnsOf(message: ControlMessage): unknown[] {
  switch (message.kind) {
    case 'view':
      return [viewRow(message.view), message.sent];
    case 'resolve':
      return [message.replyTo];
    case 'announce':
      return [entryRow(message.entry), message.viewVersion, message.sent];
    case 'absent':
      return [message.id, message.by];
    case 'ping':
      return [message.mark.term, message.mark.at];
    case 'pong':
      return [message.id, message.mark.term, message.mark.at, message.sent];
    case 'gone':
      return [message.id, message.viewVersion];
    case 'echo':
      return [message.number];
    case 'doubt':
      return [message.id, message.number];
    case 'present':
      return [message.number, message.term, message.sent];
    case 'pinned':
      return [];
    case 'seek':
    case 'release':
      return [message.id, viewRow(message.view), message.partitions, message.ask];
    case 'none':
    case 'keeping':
    case 'bare':
      return [message.id, message.partitions, message.ask];
    case 'fetch':
      return fetchColumns(message);
    case 'boarded':
      return [message.id, message.partition, message.epoch, message.batch, message.except];
    case 'settled':
      return [message.id, message.partition, message.epoch];
    case 'released': {
      const { id, ask, partition, epoch, mark, index, count, entities } = message;
      return [id, ask, partition, epoch, mark ?? null, index, count, entities.map(warmRow)];
    }
    case 'carried': {
      const { id, name, partition, epoch, ask, batch, index, count, bytes, isLast, leftCount } = message;
      return [id, name, partition, epoch, ask, batch, index, count, bytes, isLast, leftCount];
    }
  }
}

function fetchColumns(message: Extract<ControlMessage, { kind: 'fetch' }>): unknown[] {
  const { id, view, partitions, epochs, ask, batches, slices } = message;
  return [id, viewRow(view), partitions, epochs, ask, batches, slices];
}

/** Throws an error that says what is wrong with it. */
export function decodeControl(bytes: Uint8Array): ControlMessage & { readonly sentAt: number } {
  const row = rowOf(bytes);
  const version = row.number();
  if (version !== controlVersion) throw new Error(`control message of version ${version}, not ${controlVersion}`);
  const kind = row.oneOf(controlKinds);
  const sentAt = row.number();
  return { ...readSignal(kind, row), sentAt };
}

function readSignal(kind: ControlKind, row: Row): ControlMessage {
  switch (kind) {
    case 'view':
      return { kind, view: readView(row), sent: readStamp(row) };
    case 'resolve':
      return { kind, replyTo: row.string() };
    case 'announce':
      return { kind, entry: readEntry(new Row(row.any())), viewVersion: row.count(), sent: readStamp(row) };
    case 'absent':
      return { kind, id: row.string(), by: row.string() };
    case 'ping':
      return { kind, mark: readMark(row) };
    case 'pong':
      return { kind, id: row.string(), mark: readMark(row), sent: readStamp(row) };
    case 'gone':
      return { kind, id: row.string(), viewVersion: row.count() };
    case 'echo':
      return { kind, number: row.count() };
    case 'doubt':
      return { kind, id: readId(row), number: row.count() };
    case 'present':
      return { kind, number: row.count(), term: row.count(), sent: readStamp(row) };
    case 'pinned':
      return { kind };
    case 'seek':
    case 'release':
      return { kind, id: row.string(), view: readView(row), partitions: readNumbers(row), ask: row.count() };
    case 'none':
    case 'keeping':
    case 'bare':
      return { kind, id: row.string(), partitions: readNumbers(row), ask: row.count() };
    case 'fetch':
      return readFetch(kind, row);
    case 'boarded':
      return readBoarded(kind, row);
    case 'settled':
      return { kind, id: row.string(), partition: row.count(), epoch: row.count() };
    case 'released':
      return readReleased(kind, row);
    case 'carried':
      return readCarried(kind, row);
  }
}

function readBoarded(kind: 'boarded', row: Row): ControlMessage {
  return {
    kind,
    id: row.string(),
    partition: row.count(),
    epoch: row.count(),
    batch: row.count(),
    except: readTexts(row),
  };
}

function readReleased(kind: 'released', row: Row): ControlMessage {
  return {
    kind,
    id: row.string(),
    ask: row.count(),
    partition: row.count(),
    epoch: row.count(),
    mark: readOptional(row),
    index: row.count(),
    count: row.count(),
    entities: row.rows().map(readWarm),
  };
}

function readCarried(kind: 'carried', row: Row): ControlMessage {
  return {
    kind,
    id: row.string(),
    name: row.string(),
    partition: row.count(),
    epoch: row.count(),
    ask: row.count(),
    batch: row.count(),
    index: row.count(),
    count: row.count(),
    bytes: row.bytes(),
    isLast: row.isAtEnd ? false : row.boolean(),
    leftCount: row.isAtEnd ? 0 : row.count(),
  };
}

function readFetch(kind: 'fetch', row: Row): ControlMessage {
  const [id, view, partitions, epochs] = [row.string(), readView(row), readNumbers(row), readNumbers(row)];
  if (epochs.length !== partitions.length) throw new Error('not an epoch for each partition');
  const ask = row.count();
  const [batches, slices] = row.isAtEnd ? [[], []] : [readNumbers(row), readNumbers(row)];
  for (const { length } of [batches, slices])
    if (length > 0 && length !== partitions.length) throw new Error('not a place for each partition');
  if (slices.some((slice) => slice < 0)) throw new Error('a slice before the first');
  return { kind, id, view, partitions, epochs, ask, batches, slices };
}

function readMark(row: Row): PingMark {
  return { term: row.count(), at: row.number() };
}

/** A time of some clock, ms. A stamp beyond any date would make every later one look late. */
function readStamp(row: Row): number {
  const stamp = row.number();
  if (!(Math.abs(stamp) <= stampMax)) throw new Error(`a stamp of ${stamp}`);
  return stamp;
}

function viewRow({ version, partitions, workers, pins }: View): unknown[] {
  return [version, partitions, workers.map(entryRow), pins.map(({ address, worker }) => [address, worker])];
}

/** Most partitions of a cluster. It bounds the work that an untrusted view can cause. */
export const partitionsMax = 65_536;

/** Most hashes (partitions times weights) that a process computes to follow a view: about a second's work. */
const viewHashesMax = 2 ** 26;

function readView(from: Row): View {
  const row = new Row(from.any());
  const version = row.number();
  // After a view with a larger version no later one could be numbered, and none would be followed.
  if (!Number.isSafeInteger(version) || version < 0) throw new Error(`a view of version ${version}`);
  const partitions = row.number();
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > partitionsMax)
    throw new Error(`a view of ${partitions} partitions`);
  const workers = row.rows().map(readEntry);
  if (new Set(workers.map(({ name }) => name)).size < workers.length) throw new Error('two workers of one name');
  const hashes = workers.reduce((sum, { weight }) => sum + weight, 0) * partitions;
  if (hashes > viewHashesMax) throw new Error(`a view that takes ${hashes} hashes`);
  const pins = row.rows().map((pin): Pin => ({ address: pin.string(), worker: pin.string() }));
  return { version, partitions, workers, pins };
}

function entryRow(entry: WorkerEntry): unknown[] {
  const { name, id, weight, labels, types, version, isLeaving } = entry;
  const { from, to } = protocolOf(entry);
  const hosted = types.map(({ type, labels: needed }) => [type, needed]);
  return [name, id, weight, labels, hosted, version, isLeaving, from, to];
}

/** Names and ids are shown, and ids become parts of subjects. The service enforces their limit; here they are only bounded. */
const nameLengthMax = 128;

function readName(row: Row): string {
  const name = row.string();
  if (name.length > nameLengthMax || !isWorkerName(name)) throw new Error('not a name of a worker');
  return name;
}

function readId(row: Row): string {
  const id = row.string();
  if (id.length > nameLengthMax || !isWorkerId(id)) throw new Error('not an id of a worker');
  return id;
}

function readEntry(row: Row): WorkerEntry {
  const entry: WorkerEntry = {
    name: readName(row),
    id: readId(row),
    weight: row.number(),
    labels: readTexts(row),
    types: row.rows().map((type): HostedType => ({ type: type.string(), labels: readTexts(type) })),
    version: row.string(),
    isLeaving: row.boolean(),
    protocol: row.isAtEnd ? undefined : { from: row.count(), to: row.count() },
  };
  // The weight is the number of hashes per partition that every process computes for this worker.
  if (!Number.isInteger(entry.weight) || entry.weight < 1 || entry.weight > weightMax)
    throw new Error(`a weight of ${entry.weight}`);
  return entry;
}

export function warmRow({ address, loaded, activities }: WarmEntity): unknown[] {
  return [address, loaded.version, loaded.head, loaded.wakeAt ?? null, loaded.records, activities];
}

export function readWarm(row: Row): WarmEntity {
  const address = row.string();
  const version = row.count();
  const head = row.bytes();
  const wakeAt = readOptional(row);
  return {
    address,
    loaded: {
      version,
      head,
      wakeAt,
      records: readNamed(row),
    },
    activities: readNamed(row),
  };
}

function readNamed(row: Row): (readonly [string, Uint8Array])[] {
  return row.rows().map((named) => [named.string(), named.bytes()] as const);
}

function readOptional(row: Row): number | undefined {
  const value = row.any();
  if (value === null || value === undefined) return undefined;
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value);
  throw new Error('neither a count nor null');
}

export function readTexts(row: Row): string[] {
  const value = row.any();
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string')) throw new Error('not a list of strings');
  return value;
}

function readNumbers(row: Row): number[] {
  const value = row.any();
  if (!Array.isArray(value) || !value.every((one) => Number.isSafeInteger(one)))
    throw new Error('not a list of numbers');
  return value;
}
