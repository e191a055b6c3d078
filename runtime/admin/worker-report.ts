/**
 * What a worker tells tools of itself: which partitions it has, what is coming and going, its figures; and what may be
 * asked of the types that it hosts.
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
  /** By its own clock, ms since 1970. */
  readonly now: number;
  readonly startedAt: number;
  readonly viewVersion: number;
  /** In the view, with everything claimed that is its own by it. */
  readonly isReady: boolean;
  /** It runs the placement service. */
  readonly isServing: boolean;
  /** What of the cluster is cut off from what, as far as it knows; '': nothing. */
  readonly split: string;
  readonly partitions: readonly OwnedPartition[];
  /** On their way to it. */
  readonly coming: readonly Partition[];
  readonly figures: ReportFigures;
  /** Its limit of that name, ms; undefined: an earlier worker does not say it. */
  readonly skewMaxMs?: number | undefined;
}

export interface OwnedPartition {
  readonly partition: Partition;
  readonly epoch: Epoch;
  /** It is being handed over. */
  readonly isLeaving: boolean;
}

/** Counts since the worker started, but for the first two, which are of now. */
export interface ReportFigures {
  readonly activations: number;
  readonly queued: number;
  readonly turns: number;
  readonly overloaded: number;
  /** Partitions that came to it. */
  readonly moved: number;
  /** Envelopes that it sent on to where their entity is. */
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

/** A type, as much of it as somebody needs who has no contract and wants to call it by name. */
export interface KnownType {
  readonly type: string;
  /** How long its history is kept, ms; undefined: it keeps none. */
  readonly historyMs: number | undefined;
  readonly operations: readonly KnownOperation[];
  /** Of the states that it reads: this and earlier ones; undefined: whoever told of it did not say. */
  readonly version?: number | undefined;
}

export interface KnownOperation {
  readonly name: string;
  readonly kind: AnyOperation['kind'];
  /** Of a tentative operation; undefined: the limit `holdMs`. */
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
    // An earlier worker does not say it.
    version: maybeNumber(row.any()),
  }));
}

function maybeNumber(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

/** What one worker has of an entity. */
export interface EntityPlace {
  /** Where it should be owned, by the view that this worker goes by. */
  readonly partition: Partition;
  /** Of this worker's claim of that partition; undefined: it has it not. */
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
