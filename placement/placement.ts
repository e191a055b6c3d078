/**
 * Placement: derived from a view by hashing alone: address → partition → the worker that should own it.
 *
 * Owns the numbering of partitions. An address hashes to its *home*, a number below the view's `partitions`, and is stored
 * there for ever. The unit of ownership is the home itself, or a partition above it with its own epoch: that of a group (all
 * types that require the same labels) or of one pinned entity. A partition modulo `partitions` is always its home.
 *
 * Invariants:
 * - PL1 The partition of an address depends on its type's labels and on whether it is pinned, not on whether the worker of its
 *   pin is in the view.
 * - PL2 The owner of a partition is in the view, is not leaving, and hosts a type that may live there, with its labels.
 * - PL3 A pinned entity is on the worker of its pin. While that worker is away or cannot run it, it is placed as if unpinned.
 * - PL4 Two groups, or a group and a pin, never share a number. All numbers are below 2^53.
 */
import { typeOf } from '../core/message.ts';
import { hash, partitionOf } from './hash.ts';
import { ownersOf } from './rendezvous.ts';
import type { HostedType, Pin, View, WorkerEntry } from './view.ts';

/** 2 × 2^32 numbers above each home must stay below 2^53. */
export const partitionsMax = 65_536;

/** Groups are numbered above the homes, pins above the groups. */
const groupLayer = 1;
const pinLayer = 2 ** 32 + 1;

/** Types that require the same labels. */
interface Group {
  readonly layer: number;
  readonly labels: Set<string>;
  readonly types: Set<string>;
}

/** Made once per view. A lookup costs a hash and, with pins or labels, a map lookup. */
export class Placement {
  readonly view: View;
  /** All partitions, ascending. */
  readonly partitionNumbers: readonly number[];
  readonly #partitions: number;
  /** The layer of each type that requires labels. */
  readonly #layers: ReadonlyMap<string, number>;
  readonly #pinned: ReadonlyMap<string, number>;
  readonly #homeOwners: readonly WorkerEntry[];
  /** Owners of groups and pins. */
  readonly #ownersAbove = new Map<number, WorkerEntry | undefined>();
  readonly #byWorker = new Map<string, number[]>();

  constructor(view: View) {
    this.view = view;
    this.#partitions = view.partitions;
    const groups = groupsOf(view);
    this.#layers = new Map(groups.flatMap(({ layer, types }) => [...types].map((type) => [type, layer] as const)));
    this.#homeOwners = this.#ownersAt(0, (worker) => worker.types.some(({ type }) => !this.#layers.has(type)));
    for (const group of groups) this.#placeGroup(group);
    this.#pinned = new Map(view.pins.map(({ address }) => [address, pinnedPartition(address, view.partitions)]));
    for (const pin of view.pins) this.#placePin(pin);
    const homes = Array.from({ length: view.partitions }, (_, home) => home);
    this.partitionNumbers = [...homes, ...[...this.#ownersAbove.keys()].sort((one, other) => one - other)];
    for (const partition of this.partitionNumbers) this.#note(partition);
  }

  /** The partition that owns an entity: its pin's own, its group's, or its home. */
  partitionOf(address: string): number {
    if (this.#pinned.size === 0) return this.withoutPin(address);
    return this.#pinned.get(address) ?? this.withoutPin(address);
  }

  /** The partition that stores the entities of a partition. */
  homeOf(partition: number): number {
    return partition % this.#partitions;
  }

  /** The worker that should own a partition. Undefined if no worker of the view can, or the view has no such partition. */
  workerOf(partition: number): WorkerEntry | undefined {
    return partition < this.#partitions ? this.#homeOwners[partition] : this.#ownersAbove.get(partition);
  }

  /** All partitions that a worker should own, ascending. */
  partitionsOf(workerName: string): number[] {
    return [...(this.#byWorker.get(workerName) ?? [])];
  }

  /** The partition that owns an entity while it is not pinned: its group's, or its home. */
  withoutPin(address: string): number {
    const home = partitionOf(address, this.#partitions);
    if (this.#layers.size === 0) return home;
    return home + this.#partitions * (this.#layers.get(typeOf(address)) ?? 0);
  }

  #ownersAt(layer: number, canRun: (worker: WorkerEntry) => boolean): WorkerEntry[] {
    const first = this.#partitions * layer;
    const numbers = Array.from({ length: this.#partitions }, (_, home) => first + home);
    return ownersOf(
      numbers,
      this.view.workers.filter((worker) => !worker.isLeaving && canRun(worker)),
    );
  }

  #placeGroup({ layer, labels, types }: Group): void {
    const owners = this.#ownersAt(layer, (worker) => hosts(worker, types) && hasAll(worker, labels));
    for (let home = 0; home < this.#partitions; home++)
      this.#ownersAbove.set(this.#partitions * layer + home, owners[home]);
  }

  /** Two pins with one number (probability 2^-32 within one home) share their partition; the first address decides. */
  #placePin({ address, worker: name }: Pin): void {
    const partition = pinnedPartition(address, this.#partitions);
    if (this.#ownersAbove.has(partition)) return;
    const type = typeOf(address);
    const labels = labelsOf(type, this.view);
    const chosen = this.view.workers.find((worker) => worker.name === name);
    const canRun =
      chosen !== undefined && !chosen.isLeaving && hosts(chosen, new Set([type])) && hasAll(chosen, labels);
    this.#ownersAbove.set(partition, canRun ? chosen : this.workerOf(this.withoutPin(address)));
  }

  #note(partition: number): void {
    const name = this.workerOf(partition)?.name;
    if (name === undefined) return;
    const list = this.#byWorker.get(name);
    if (list === undefined) this.#byWorker.set(name, [partition]);
    else list.push(partition);
  }
}

/** The partition of a pinned entity alone, as passed to `Store.pin`. */
export function pinnedPartition(address: string, partitions: number): number {
  return partitionOf(address, partitions) + partitions * (pinLayer + hash(`pin:${address}`));
}

/** Whether a partition is that of a pinned entity. */
export function isOfPin(partition: number, partitions: number): boolean {
  return partition >= partitions * pinLayer;
}

/** Groups by the hash of their labels. Sets of labels with the same hash (probability 2^-32) are one group that requires both. */
function groupsOf(view: View): Group[] {
  const groups = new Map<number, Group>();
  for (const [type, labels] of labelsByType(view)) {
    const layer = groupLayer + hash([...labels].sort().join(','));
    const group = groups.get(layer) ?? { layer, labels: new Set(), types: new Set() };
    for (const label of labels) group.labels.add(label);
    group.types.add(type);
    groups.set(layer, group);
  }
  return [...groups.values()];
}

/** The types that require labels. */
function labelsByType({ workers }: View): Map<string, Set<string>> {
  const byType = new Map<string, Set<string>>();
  for (const { types } of workers)
    for (const { type, labels } of types) {
      if (labels.length === 0) continue;
      const known = byType.get(type) ?? new Set();
      for (const label of labels) known.add(label);
      byType.set(type, known);
    }
  return byType;
}

/** Labels that a type requires. If two versions of an application differ, the union. */
function labelsOf(type: string, { workers }: View): Set<string> {
  const hosted: readonly HostedType[] = workers.flatMap(({ types }) => types.filter((one) => one.type === type));
  return new Set(hosted.flatMap(({ labels }) => labels));
}

function hosts(worker: WorkerEntry, types: ReadonlySet<string>): boolean {
  return worker.types.some(({ type }) => types.has(type));
}

function hasAll(worker: WorkerEntry, labels: ReadonlySet<string>): boolean {
  return [...labels].every((label) => worker.labels.includes(label));
}
