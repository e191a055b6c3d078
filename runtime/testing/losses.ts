/**
 * Losses of the simulated store: it returns to an earlier content, as a server does that is restarted from older data (P8).
 *
 * Owns the commit counter of each partition, each process's knowledge of the counters, and the making of the older store. A
 * process detects a loss by the rule of the Redis store, `stores/redis/counters.ts`, which whole clusters test here.
 */
import { pinnedPartition } from '../../placement/placement.ts';
import type { Commit, Epoch, Loss, Mark, Outcome, Partition } from '../store.ts';
import { type MemoryOptions, MemoryStore } from '../stores/memory.ts';
import { type Known, RedisCounters } from '../stores/redis/counters.ts';
import type { Image } from './image.ts';
import type { SimulatedNode } from './virtual-time.ts';

/** What a process knew of partitions when it made a call. */
export type Asked = ReadonlyMap<Partition, Known | undefined>;

/** What the store has of partitions when it answers. */
export type Present = ReadonlyMap<Partition, Known>;

export interface Witness {
  readonly node: SimulatedNode;
  readonly partition: Partition;
}

export class Losses {
  readonly #counters = new Map<Partition, number>();
  readonly #known = new Map<SimulatedNode, RedisCounters>();
  readonly #report: (node: SimulatedNode, partition: Partition) => void;

  /** `report`: a process reports that commits are missing. */
  constructor(report: (node: SimulatedNode, partition: Partition) => void) {
    this.#report = report;
  }

  #of(node: SimulatedNode): RedisCounters {
    let known = this.#known.get(node);
    if (known === undefined) {
      known = new RedisCounters();
      this.#known.set(node, known);
    }
    return known;
  }

  asked(node: SimulatedNode, partitions: Iterable<Partition>): Asked {
    const known = this.#of(node);
    return new Map([...partitions].map((partition) => [partition, known.known(partition)]));
  }

  present(partitions: readonly Partition[], epochs: readonly Epoch[]): Present {
    return new Map(
      partitions.map((partition, index) => [
        partition,
        { epoch: epochs[index] ?? 0, counter: this.#counters.get(partition) ?? 0 },
      ]),
    );
  }

  /** Whether the store is behind what the owner knew. The commit is then rejected as one of a stale epoch. */
  isBehind({ partition, epoch }: Commit, asked: Asked): boolean {
    const known = asked.get(partition);
    return known?.epoch === epoch && (this.#counters.get(partition) ?? 0) < known.counter;
  }

  committed({ partition }: Commit): void {
    this.#counters.set(partition, (this.#counters.get(partition) ?? 0) + 1);
  }

  /** A process passes these to the store. */
  sent(node: SimulatedNode, group: readonly Commit[]): void {
    for (const commit of group) this.#of(node).sent(commit);
  }

  /** The process learns their outcome. */
  answered(node: SimulatedNode, group: readonly Commit[], outcomes: readonly Outcome[]): void {
    for (const [index, commit] of group.entries())
      this.#of(node).answered(commit, outcomes[index] === 'committed' ? 1 : 0);
  }

  markOf(node: SimulatedNode, partition: Partition, epoch: Epoch): Mark | undefined {
    return this.#of(node).markOf(partition, epoch);
  }

  /** The answer has reached the caller. */
  heard(node: SimulatedNode, present: Present, asked: Asked): void {
    for (const [partition, now] of present)
      if (this.#of(node).seen(partition, now, asked.get(partition)) !== undefined) this.#report(node, partition);
  }

  onLoss(node: SimulatedNode, tell: (loss: Loss) => void): () => void {
    return this.#of(node).onLoss(tell);
  }

  claimed(node: SimulatedNode, present: Present, asked: Asked): void {
    this.heard(node, present, asked);
    for (const [partition, { epoch, counter }] of present) this.#of(node).claimed(partition, epoch, counter);
  }

  isLost(node: SimulatedNode, partition: Partition, epoch: Epoch): boolean {
    return this.#of(node).isLost(partition, epoch);
  }

  /** What a reconnected process checks. */
  partitionsOf(node: SimulatedNode): readonly Partition[] {
    return this.#of(node).partitions;
  }

  get nodes(): readonly SimulatedNode[] {
    return [...this.#known.keys()];
  }

  /** Saves the present counters. */
  keep(): ReadonlyMap<Partition, number> {
    return new Map(this.#counters);
  }

  /** Restores saved counters for some partitions. Returns the nodes that had acknowledgements of lost commits, and must detect the loss. */
  goBack(kept: ReadonlyMap<Partition, number>, isGone: (partition: Partition) => boolean): Witness[] {
    for (const partition of this.#counters.keys())
      if (isGone(partition)) this.#counters.set(partition, kept.get(partition) ?? 0);
    return [...this.#known].flatMap(([node, known]) =>
      known.partitions
        .filter((partition) => isGone(partition) && !known.isLost(partition, known.epochOf(partition)))
        .filter((partition) => (known.known(partition)?.counter ?? 0) > (this.#counters.get(partition) ?? 0))
        .map((partition) => ({ node, partition })),
    );
  }
}

/** A store with the content of the image, epochs included. */
export async function storeOf(
  image: Image,
  options: MemoryOptions & { readonly partitions: number },
): Promise<MemoryStore> {
  const { partitions } = options;
  const store = new MemoryStore({ ...options, epochs: image.epochs });
  for (const { address, partition, version, head, wakeAt, records, leaves } of image.entities.values()) {
    const home = partition % partitions;
    const commit = { partition: home, epoch: image.epochs.get(home) ?? 0, address, expected: 0, version, head };
    await store.commit([{ ...commit, records: [...records], wakeBefore: undefined, wakeAt, leaves }]);
  }
  for (const [address, worker] of image.pins) await store.pin(address, pinnedPartition(address, partitions), worker);
  return store;
}
