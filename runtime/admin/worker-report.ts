/**
 * The report of a worker for tools: its partitions, its handoffs and its figures; and the operations of the types that it
 * hosts.
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { AnyOperation } from '../../core/operation.ts';
import type { Epoch, Partition } from '../store.ts';
import { numbersOf } from '../wire/admin-messages.ts';
import { Row } from '../wire/codec.ts';

export interface WorkerReport {
  readonly id: string;
  readonly name: string;
  readonly pid: number;
  /** Time of the worker's clock, ms since 1970. */
  readonly now: number;
  readonly startedAt: number;
  readonly viewVersion: number;
  /** Whether the worker is in the view and has claimed every partition that the view assigns to it. */
  readonly isReady: boolean;
  /** Whether it runs the placement service. */
  readonly isServing: boolean;
  /** Describes a split of the cluster, as far as the worker knows; '': none. */
  readonly split: string;
  readonly partitions: readonly OwnedPartition[];
  /** Incoming partitions. */
  readonly coming: readonly Partition[];
  readonly figures: ReportFigures;
  /** Its limit of that name, ms; undefined: an earlier version of the worker does not report it. */
  readonly skewMaxMs?: number | undefined;
}

export interface OwnedPartition {
  readonly partition: Partition;
  readonly epoch: Epoch;
  /** Whether it is being handed off. */
  readonly isLeaving: boolean;
}

/** The first two are current; the others count since the worker started. */
export interface ReportFigures {
  readonly activations: number;
  readonly queued: number;
  readonly turns: number;
  readonly overloaded: number;
  /** Partitions acquired. */
  readonly moved: number;
  /** Envelopes forwarded to another worker. */
  readonly forwarded: number;
}

export function reportRow({ id, name, pid, now, startedAt, viewVersion, ...rest }: WorkerReport): unknown[] {
  const { isReady, isServing, split, partitions, coming, figures, skewMaxMs } = rest;
  const { activations, queued, turns, overloaded, moved, forwarded } = figures;
  return [
    id,
    name,
    pid,
    now,
    startedAt,
    viewVersion,
    isReady,
    isServing,
    split,
    partitions.map(({ partition, epoch, isLeaving }) => [partition, epoch, isLeaving]),
    coming,
    [activations, queued, turns, overloaded, moved, forwarded],
    skewMaxMs ?? null,
  ];
}

/** Throws an error that says what is wrong with it. */
export function readReport(value: unknown): WorkerReport {
  const row = new Row(value);
  return {
    id: row.string(),
    name: row.string(),
    pid: row.number(),
    now: row.number(),
    startedAt: row.number(),
    viewVersion: row.number(),
    isReady: row.boolean(),
    isServing: row.boolean(),
    split: row.string(),
    partitions: row.rows().map((one) => ({ partition: one.number(), epoch: one.number(), isLeaving: one.boolean() })),
    coming: numbersOf(row.any()),
    figures: readFigures(new Row(row.any())),
    skewMaxMs: maybeNumber(row.any()),
  };
}

function readFigures(row: Row): ReportFigures {
  return {
    activations: row.number(),
    queued: row.number(),
    turns: row.number(),
    overloaded: row.number(),
    moved: row.number(),
    forwarded: row.number(),
  };
}

/** The data of a type that a caller without its contract needs. */
export interface KnownType {
  readonly type: string;
  /** How long its history is kept, ms; undefined: not kept. */
  readonly historyMs: number | undefined;
  readonly operations: readonly KnownOperation[];
  /** Version of its states; it also reads earlier ones. Undefined: an earlier version of the worker does not report it. */
  readonly version?: number | undefined;
}

export interface KnownOperation {
  readonly name: string;
  readonly kind: AnyOperation['kind'];
  /** Duration of the hold of a tentative operation, ms; undefined: the limit `holdMs`. */
  readonly holdMs: number | undefined;
}

const operationKinds: readonly AnyOperation['kind'][] = ['command', 'query', 'tentative'];

export function knownTypes(behaviours: readonly Behaviour[]): KnownType[] {
  return behaviours.map(({ contract, historyMs, version }) => ({
    type: contract.type,
    historyMs,
    version,
    operations: Object.entries(contract.operations).map(([name, operation]) => ({
      name,
      kind: operation.kind,
      holdMs: operation.kind === 'tentative' ? operation.holdMs : undefined,
    })),
  }));
}

export function typesRow(types: readonly KnownType[]): unknown[] {
  return types.map(({ type, historyMs, operations, version }) => [
    type,
    historyMs ?? null,
    operations.map(({ name, kind, holdMs }) => [name, operationKinds.indexOf(kind), holdMs ?? null]),
    version ?? null,
  ]);
}

/** Throws an error that says what is wrong with it. */
export function readTypes(value: unknown): KnownType[] {
  return new Row([value]).rows().map((row) => ({
    type: row.string(),
    historyMs: maybeNumber(row.any()),
    operations: row.rows().map((operation) => ({
      name: operation.string(),
      kind: operation.oneOf(operationKinds),
      holdMs: maybeNumber(operation.any()),
    })),
    // An earlier version of the worker does not report it.
    version: maybeNumber(row.any()),
  }));
}

function maybeNumber(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

/** One worker's knowledge of an entity. */
export interface EntityPlace {
  /** The worker that should own it, by this worker's view. */
  readonly partition: Partition;
  /** The epoch of this worker's claim of its partition; undefined: not claimed. */
  readonly epoch: Epoch | undefined;
  /** Whether the entity is in this worker's memory. */
  readonly isActive: boolean;
}

export function placeRow({ partition, epoch, isActive }: EntityPlace): unknown[] {
  return [partition, epoch ?? null, isActive];
}

/** Throws an error that says what is wrong with it. */
export function readPlace(value: unknown): EntityPlace {
  const row = new Row(value);
  return { partition: row.number(), epoch: maybeNumber(row.any()), isActive: row.boolean() };
}
