/**
 * Signals: what workers and clients say to each other about the cluster itself: who is there, which view holds, who hands
 * which partition to whom. Positional arrays with a version, like frames, on subjects of their own.
 *
 * A signal may be lost, late, doubled or out of order: whoever needs the answer asks again, and the store has the last word.
 * What tells that somebody lives has a stamp or answers a numbered question, so that what is late shows (`freshness.ts`).
 *
 * Longer than 400 lines because what a signal is, how it is written and how it is read stand side by side.
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

/** An entity as it leaves one worker's memory for another's: what the store has of it, without a read. */
export interface WarmEntity {
  readonly address: string;
  readonly loaded: Loaded;
  /** Its activities, by partner. */
  readonly activities: readonly (readonly [string, Uint8Array])[];
}

export type ControlMessage =
  /** The service tells the view, with its stamp; or (0) somebody else does. */
  | { readonly kind: 'view'; readonly view: View; readonly sent: number }
  /** Somebody asks for the view; the answer goes to `replyTo`. */
  | { readonly kind: 'resolve'; readonly replyTo: string }
  /** A worker says that it is there, and which view it goes by. `sent`: its stamp. */
  | { readonly kind: 'announce'; readonly entry: WorkerEntry; readonly viewVersion: number; readonly sent: number }
  /** Somebody found that nobody listens at a worker's subject: the worker `by`, or (empty) a client. */
  | { readonly kind: 'absent'; readonly id: string; readonly by: string }
  | { readonly kind: 'ping'; readonly mark: PingMark }
  | { readonly kind: 'pong'; readonly id: string; readonly mark: PingMark; readonly sent: number }
  /** What a candidate for the service tells itself: it comes back if the connection is sound. */
  | { readonly kind: 'echo'; readonly number: number }
  /** A worker that hears no fresh view asks the service whether it is there. */
  | { readonly kind: 'doubt'; readonly id: string; readonly number: number }
  /** It is, under this term; with the number of the question, and its stamp. */
  | { readonly kind: 'present'; readonly number: number; readonly term: number; readonly sent: number }
  /** A worker that leaves has handed everything off (0), or the service says by its view that a process is out for ever. */
  | { readonly kind: 'gone'; readonly id: string; readonly viewVersion: number }
  /** Pins have changed in the store. */
  | { readonly kind: 'pinned' }
  /** A worker asks for partitions that are its by a view: who has them? */
  | {
      readonly kind: 'seek';
      readonly id: string;
      readonly view: View;
      readonly partitions: readonly number[];
      /** Its number, rising: the answer has it. */
      readonly ask: number;
    }
  /** And wants them from who has them. */
  | {
      readonly kind: 'release';
      readonly id: string;
      readonly view: View;
      readonly partitions: readonly number[];
      readonly ask: number;
    }
  /** The answer: these are not the sender's, or not any more, or are not going to be given. */
  | { readonly kind: 'none'; readonly id: string; readonly partitions: readonly number[]; readonly ask: number }
  /** The answer to `seek`: the sender has them, runs them until it shall release them, and takes what comes for them. */
  | { readonly kind: 'keeping'; readonly id: string; readonly partitions: readonly number[]; readonly ask: number }
  /** The answer: nothing of it is under way any more. `count` parts in all, with the entities that were in memory. */
  | {
      readonly kind: 'released';
      readonly id: string;
      readonly ask: number;
      readonly partition: number;
      readonly epoch: number;
      /** What the store had of it then; undefined: unknown, and `entities` are of no use. */
      readonly mark: number | undefined;
      readonly index: number;
      readonly count: number;
      readonly entities: readonly WarmEntity[];
    }
  /** A worker has claimed partitions, by these epochs: who has volatile entities of them in memory? */
  | {
      readonly kind: 'fetch';
      readonly id: string;
      readonly view: View;
      readonly partitions: readonly number[];
      readonly epochs: readonly number[];
      readonly ask: number;
      /** For each the sending that it is to go on with, and from which slice; 0 and 0, or no lists: from the beginning. */
      readonly batches: readonly number[];
      readonly slices: readonly number[];
    }
  /** The answer: the sender has nothing of these. */
  | { readonly kind: 'bare'; readonly id: string; readonly partitions: readonly number[]; readonly ask: number }
  /** Or all that it has of one, in slices of one value (`worker/volatile-images.ts`). */
  | {
      readonly kind: 'carried';
      readonly id: string;
      /** By which the sender claims. */
      readonly name: string;
      readonly partition: number;
      readonly epoch: number;
      readonly ask: number;
      /** Number of the sending, larger with each. */
      readonly batch: number;
      readonly index: number;
      readonly count: number;
      readonly bytes: Uint8Array;
      /** Nothing more comes until the asker asks again. */
      readonly isLast: boolean;
      /** Entities of the partition that are too much for one sending. */
      readonly leftCount: number;
    }
  /** By this claim the sender runs what came in this sending (0: in none), but for these. It says so until it is `settled`. */
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

/** `sentAt`: what the sender's clock shows, 0: it does not say. */
export function encodeControl(signal: ControlMessage, sentAt = 0): Uint8Array {
  return encode([controlVersion, controlKinds.indexOf(signal.kind), sentAt, ...columnsOf(signal)]);
}

function columnsOf(signal: ControlMessage): unknown[] {
  switch (signal.kind) {
    case 'view':
      return [viewRow(signal.view), signal.sent];
    case 'resolve':
      return [signal.replyTo];
    case 'announce':
      return [entryRow(signal.entry), signal.viewVersion, signal.sent];
    case 'absent':
      return [signal.id, signal.by];
    case 'ping':
      return [signal.mark.term, signal.mark.at];
    case 'pong':
      return [signal.id, signal.mark.term, signal.mark.at, signal.sent];
    case 'gone':
      return [signal.id, signal.viewVersion];
    case 'echo':
      return [signal.number];
    case 'doubt':
      return [signal.id, signal.number];
    case 'present':
      return [signal.number, signal.term, signal.sent];
    case 'pinned':
      return [];
    case 'seek':
    case 'release':
      return [signal.id, viewRow(signal.view), signal.partitions, signal.ask];
    case 'none':
    case 'keeping':
    case 'bare':
      return [signal.id, signal.partitions, signal.ask];
    case 'fetch':
      return fetchColumns(signal);
    case 'boarded':
      return [signal.id, signal.partition, signal.epoch, signal.batch, signal.except];
    case 'settled':
      return [signal.id, signal.partition, signal.epoch];
    case 'released': {
      const { id, ask, partition, epoch, mark, index, count, entities } = signal;
      return [id, ask, partition, epoch, mark ?? null, index, count, entities.map(warmRow)];
    }
    case 'carried': {
      const { id, name, partition, epoch, ask, batch, index, count, bytes, isLast, leftCount } = signal;
      return [id, name, partition, epoch, ask, batch, index, count, bytes, isLast, leftCount];
    }
  }
}

function fetchColumns(signal: Extract<ControlMessage, { kind: 'fetch' }>): unknown[] {
  const { id, view, partitions, epochs, ask, batches, slices } = signal;
  return [id, viewRow(view), partitions, epochs, ask, batches, slices];
}

/** Throws an error that says what is wrong with it. */
export function decodeControl(bytes: Uint8Array): ControlMessage & { readonly sentAt: number } {
  const row = rowOf(bytes);
  const version = row.number();
  if (version !== controlVersion) throw new Error(`signal of version ${version}, not ${controlVersion}`);
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

/** Milliseconds of some clock. Beyond what a date may be it would make everything after it late for good. */
function readStamp(row: Row): number {
  const stamp = row.number();
  if (!(Math.abs(stamp) <= stampMax)) throw new Error(`a stamp of ${stamp}`);
  return stamp;
}

function viewRow({ version, partitions, workers, pins }: View): unknown[] {
  return [version, partitions, workers.map(entryRow), pins.map(({ address, worker }) => [address, worker])];
}

/** The most partitions that a cluster may have: nobody is made to compute more by a view that comes from outside. */
export const partitionsMax = 65_536;

/** Hashes that a view takes in every process that follows it, partitions times weights: a second's work. */
const viewHashesMax = 2 ** 26;

function readView(from: Row): View {
  const row = new Row(from.any());
  const version = row.number();
  // Beyond those no view is the next one: none would ever be followed any more.
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

/** Names and ids are shown, and ids become parts of subjects. How long they may be is for who lets workers in; here they are short. */
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
  // So many hashes does each partition take for the worker, in every process that follows the view.
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
  throw new Error('neither a count nor nothing');
}

export function readTexts(row: Row): string[] {
  const value = row.any();
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string')) throw new Error('not a list of texts');
  return value;
}

function readNumbers(row: Row): number[] {
  const value = row.any();
  if (!Array.isArray(value) || !value.every((one) => Number.isSafeInteger(one)))
    throw new Error('not a list of numbers');
  return value;
}
