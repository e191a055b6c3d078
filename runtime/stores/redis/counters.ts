/**
 * What this process knows of the partitions that it has in Redis, so that a server that lost commits is found out (P8).
 *
 * Only the owner of a partition writes with its epoch, and each of its commits raises the partition's counter. So the
 * counter that an owner has seen is exact, and a server that has a lower one has lost what it had acknowledged, whoever has
 * claimed the partition since: claims leave the counter alone. An epoch that is lower says the same. Owns no connection: it is told what the server answered.
 *
 * Invariants:
 * - RC1 A partition that has gone back is lost: its epoch is nobody's here any more, until the partition is claimed again.
 * - RC2 Each loss is told once.
 * - RC3 A mark is the counter of a server that has everything which was accepted by an epoch. All that a server can have of an
 *   epoch is among what its owner sent; if each of that was answered, a server that has as many has the same (S10).
 */
import type { Epoch, Loss, Mark, Partition } from '../../store.ts';

/** Epoch and commit counter of a partition. */
export interface Known {
  epoch: Epoch;
  counter: number;
}

interface Had extends Known {
  /** What the counter was when the partition was claimed, and one for each commit that was accepted since. */
  written: number;
  /** Calls with commits that were not answered, or never will be. */
  openCount: number;
}

interface ByEpoch {
  readonly partition: Partition;
  readonly epoch: Epoch;
}

export class RedisCounters {
  readonly #had = new Map<Partition, Had>();
  readonly #lost = new Map<Partition, Epoch>();
  readonly #tells = new Set<(loss: Loss) => void>();

  /** Have losses told where they are seen; returns the end of it. */
  onLoss(tell: (loss: Loss) => void): () => void {
    this.#tells.add(tell);
    return () => void this.#tells.delete(tell);
  }

  get partitions(): Partition[] {
    return [...this.#had.keys()];
  }

  claimed(partition: Partition, epoch: Epoch, counter: number): void {
    this.#had.set(partition, { epoch, counter, written: counter, openCount: 0 });
    this.#lost.delete(partition);
  }

  isLost(partition: Partition, epoch: Epoch): boolean {
    return this.#lost.get(partition) === epoch;
  }

  /** What the counter must be at least for a commit with this epoch. */
  least(partition: Partition, epoch: Epoch): number {
    const had = this.#had.get(partition);
    return had?.epoch === epoch ? had.counter : 0;
  }

  /** The highest epoch that is known: the next one has to be above it. */
  epochOf(partition: Partition): Epoch {
    return this.#had.get(partition)?.epoch ?? 0;
  }

  /** What the server must have at least, if it is asked from now on: to be handed to `seen` with its answer. */
  known(partition: Partition): Known | undefined {
    const had = this.#had.get(partition);
    return had === undefined ? undefined : { epoch: had.epoch, counter: had.counter };
  }

  /** Commits with this epoch are on their way. Unless `answered` follows, nobody knows what became of them. */
  sent({ partition, epoch }: ByEpoch): void {
    const had = this.#had.get(partition);
    if (had?.epoch === epoch) had.openCount += 1;
  }

  /** So many of them were accepted, and no other will be. */
  answered({ partition, epoch }: ByEpoch, acceptedCount: number): void {
    const had = this.#had.get(partition);
    if (had?.epoch !== epoch) return;
    had.openCount -= 1;
    had.written += acceptedCount;
  }

  /** Undefined: nobody knows what the server should have (RC3). */
  markOf(partition: Partition, epoch: Epoch): Mark | undefined {
    const had = this.#had.get(partition);
    return had?.epoch === epoch && had.openCount === 0 && !this.isLost(partition, epoch) ? had.written : undefined;
  }

  /**
   * The server answered with this epoch and counter; says what is lost, once (RC2). It is held against what was known when
   * it was asked: answers may be looked at in another order than that in which they were given.
   */
  seen(partition: Partition, { epoch, counter }: Known, asked: Known | undefined): Loss | undefined {
    const had = this.#had.get(partition);
    if (had === undefined || asked === undefined) return undefined;
    if (epoch >= asked.epoch && counter >= asked.counter) {
      if (epoch === had.epoch && counter > had.counter) had.counter = counter;
      return undefined;
    }
    // What is lost belongs to an earlier claim of this process: it has read everything again since.
    if (had.epoch !== asked.epoch || this.isLost(partition, had.epoch)) return undefined;
    this.#lost.set(partition, had.epoch);
    const loss = { partition, epoch: had.epoch, commits: Math.max(0, asked.counter - counter) };
    for (const tell of [...this.#tells]) tell(loss);
    return loss;
  }
}
