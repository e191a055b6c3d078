/**
 * The epochs and commit counters of this process's partitions in Redis, by which a loss of commits is detected (P8).
 *
 * Only the owner of a partition writes with its epoch, and each of its commits raises the partition's counter. So the counter
 * that an owner knows is exact. A server with a lower counter has lost acknowledged commits, whatever worker has claimed the
 * partition since, because claims do not change the counter. A lower epoch shows the same. Owns no connection: its caller passes
 * the server's replies.
 *
 * Invariants:
 * - RC1 A partition with a loss is lost to this process: its epoch, and each one before, is stale here until the partition is claimed
 *   again. A server that went back may have an earlier epoch of this process again.
 * - RC2 Each loss is reported once.
 * - RC3 A mark is the counter of a server that has everything accepted by an epoch. A server can only have commits of an epoch
 *   that its owner sent; if each of those was answered, a server with the same count has the same commits (S10).
 */
import type { Epoch, Loss, Mark, Partition } from '../../store.ts';

/** Epoch and commit counter of a partition. */
export interface Known {
  epoch: Epoch;
  counter: number;
}

interface Had extends Known {
  /** The counter when the partition was claimed, plus one for each commit accepted since. */
  written: number;
  /** Calls with commits that are not answered yet, or never will be. */
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

  /** Report losses when they are detected. Returns an unsubscribe function. */
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
    return epoch <= (this.#lost.get(partition) ?? -1);
  }

  /** The lowest valid counter for a commit with this epoch. */
  least(partition: Partition, epoch: Epoch): number {
    const had = this.#had.get(partition);
    return had?.epoch === epoch ? had.counter : 0;
  }

  /** The highest known epoch. The next one must be greater. */
  epochOf(partition: Partition): Epoch {
    return this.#had.get(partition)?.epoch ?? 0;
  }

  /** The state that the server must have at least, for calls from now on. Pass it to `seen` with the reply. */
  known(partition: Partition): Known | undefined {
    const had = this.#had.get(partition);
    return had === undefined ? undefined : { epoch: had.epoch, counter: had.counter };
  }

  /** Commits with this epoch are in flight. Unless `answered` follows, their outcome is unknown. */
  sent({ partition, epoch }: ByEpoch): void {
    const had = this.#had.get(partition);
    if (had?.epoch === epoch) had.openCount += 1;
  }

  /** This many of them were accepted, and no others will be. */
  answered({ partition, epoch }: ByEpoch, acceptedCount: number): void {
    const had = this.#had.get(partition);
    if (had?.epoch !== epoch) return;
    had.openCount -= 1;
    had.written += acceptedCount;
  }

  /** Undefined: the server's expected state is unknown (RC3). */
  markOf(partition: Partition, epoch: Epoch): Mark | undefined {
    const had = this.#had.get(partition);
    return had?.epoch === epoch && had.openCount === 0 && !this.isLost(partition, epoch) ? had.written : undefined;
  }

  /**
   * The server replied with this epoch and counter. Reports a loss once (RC2). The reply is compared with what was known at the
   * time of the call, because replies may be processed in another order than they were made.
   */
  seen(partition: Partition, { epoch, counter }: Known, asked: Known | undefined): Loss | undefined {
    const had = this.#had.get(partition);
    if (had === undefined || asked === undefined) return undefined;
    if (epoch >= asked.epoch && counter >= asked.counter) {
      if (epoch === had.epoch && counter > had.counter) had.counter = counter;
      return undefined;
    }
    // The loss belongs to an earlier claim of this process, which has read everything again since.
    if (had.epoch !== asked.epoch || this.isLost(partition, had.epoch)) return undefined;
    this.#lost.set(partition, had.epoch);
    const loss = { partition, epoch: had.epoch, commits: Math.max(0, asked.counter - counter) };
    for (const tell of [...this.#tells]) tell(loss);
    return loss;
  }
}
