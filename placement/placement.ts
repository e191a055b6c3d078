/**
 * Placement: what follows from a view by hashing alone: address → partition → the worker that should own it.
 *
 * Owns the numbers of partitions. An address hashes to its *home*, a number below the view's `partitions`, and is kept
 * there for ever. What is owned is the home itself, or a partition above it with an epoch of its own: that of a group (all
 * types that require the same labels) or that of one pinned entity. The rest by `partitions` is always the home.
 *
 * Invariants:
 * - PL1 The partition of an address depends on its type's labels and on whether it is pinned, not on whether the worker
 *   that it is pinned to is there.
 * - PL2 The owner of a partition is in the view, is not leaving, and hosts a type that may live there, with its labels.
 * - PL3 A pinned entity is on the worker of its pin, and while that is away or cannot run it, where it would be without.
 * - PL4 No two groups, and no group and pin, share a number; all numbers are below 2^53.
 */
import { typeOf } from '../core/message.ts';
import { hash, partitionOf } from './hash.ts';
import { ownersOf } from './rendezvous.ts';
import type { HostedType, Pin, View, WorkerEntry } from './view.ts';

/** Twice 2^32 numbers above each home must stay below 2^53. */
export const partitionsMax = 65_536;

/** Above the homes come the groups, above those the pins. */
const groupLayer = 1;
const pinLayer = 2 ** 32 + 1;

/** Types that require the same labels. */
interface Group {
  readonly layer: number;
  readonly labels: Set<string>;
  readonly types: Set<string>;
}

/** Made once per view; lookups cost a hash and, where there are pins or labels, a look into a map. */
export class Placement {
  readonly view: View;
  /** All partitions, rising. */
  readonly partitionNumbers: readonly number[];
  readonly #partitions: number;
  /** Layer of the types that require labels. */
  readonly #layers: ReadonlyMap<string, number>;
  readonly #pinned: ReadonlyMap<string, number>;
  readonly #homeOwners: readonly WorkerEntry[];
  /** Of groups and pins. */
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

  /** Where an entity is owned: its pin's own partition, its group's, or its home. */
  partitionOf(address: string): number {
    if (this.#pinned.size === 0) return this.withoutPin(address);
    return this.#pinned.get(address) ?? this.withoutPin(address);
  }

  /** Where the entities of a partition are kept. */
  homeOf(partition: number): number {
    return partition % this.#partitions;
  }

  /** Who should own a partition. Undefined: nobody who could is in the view, or the view has no such partition. */
  workerOf(partition: number): WorkerEntry | undefined {
    return partition < this.#partitions ? this.#homeOwners[partition] : this.#ownersAbove.get(partition);
  }

  /** All that this worker should own, rising. */
  partitionsOf(workerName: string): number[] {
    return [...(this.#byWorker.get(workerName) ?? [])];
  }

  /** Where an entity is owned while it is not pinned: its group's partition, or its home. */
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

  /** Two pins of one number (a chance of 2^-32 within one home) share their partition: the first address decides. */
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

/** The partition that a pinned entity has to itself: what `Store.pin` is told. */
export function pinnedPartition(address: string, partitions: number): number {
  return partitionOf(address, partitions) + partitions * (pinLayer + hash(`pin:${address}`));
}

/** Whether a partition is that of a pinned entity. */
export function isOfPin(partition: number, partitions: number): boolean {
  return partition >= partitions * pinLayer;
}

/** By the hash of their labels; sets of labels that share a hash (a chance of 2^-32) are one group and require both. */
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

/** Of the types that require any. */
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

/** Labels that a type requires: of two versions of an application that do not agree, what either says. */
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
