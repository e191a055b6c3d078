/**
 * Ownership: the partitions that this worker owns, their epochs, and when the store last confirmed each.
 *
 * Owns the proof of ownership that messages carry as `sent` and that queries wait for (P9). The worker makes the claims.
 *
 * Invariants:
 * - O1 `provenAt` is never later than a moment at which the store had this worker's epoch, however the clock was set since.
 * - O2 A query is answered only after a check that began after it ran, of the epoch by which it ran, or with a commit that
 *   carries it.
 * - O3 Partitions that are lost together are reported together, so that the cost of dropping their entities does not grow with the
 *   number of partitions.
 */
import { type Lineage, lineageOf } from '../../core/activity.ts';
import { dateOf, type Environment, type Moment, momentOf } from '../environment.ts';
import type { Epoch, Partition, Store } from '../store.ts';

interface Owned {
  readonly epoch: Epoch;
  readonly lineage: Lineage;
  proven: Moment;
  /** Monotonic time. */
  readonly cautiousUntil: number;
}

interface Check {
  readonly partition: Partition;
  /** The epoch by which the waiting output was made. If the partition was lost and claimed again since, that proves nothing. */
  readonly epoch: Epoch;
  readonly owned: () => void;
  readonly lost: () => void;
}

export class Ownership {
  readonly #store: Store;
  readonly #environment: Environment;
  readonly #onLost: (partitions: ReadonlySet<Partition>) => void;
  readonly #owned = new Map<Partition, Owned>();
  #waiting: Check[] = [];
  #isUnderWay = false;
  #isClosed = false;

  constructor(store: Store, environment: Environment, onLost: (partitions: ReadonlySet<Partition>) => void) {
    this.#store = store;
    this.#environment = environment;
    this.#onLost = onLost;
  }

  /** `at`: when the claim began. `cautiousUntil`: monotonic time, ms, if the former owner crashed (`crash-notes.ts`); else 0. */
  take(partition: Partition, epoch: Epoch, at: Moment, cautiousUntil = 0): void {
    const lineage = lineageOf(this.#store.id, epoch);
    this.#owned.set(partition, { epoch, lineage, proven: at, cautiousUntil });
  }

  /** The store said that another worker owns it. */
  lose(partition: Partition): void {
    this.loseAll([partition]);
  }

  /** The same for many partitions: a listener searches all entities only once (O3). */
  loseAll(partitions: Iterable<Partition>): void {
    const lost = new Set<Partition>();
    for (const partition of partitions) if (this.#owned.delete(partition)) lost.add(partition);
    if (lost.size > 0) this.#onLost(lost);
  }

  /** Handed off in order: nobody is notified. */
  release(partition: Partition): void {
    this.#owned.delete(partition);
  }

  has(partition: Partition): boolean {
    return this.#owned.has(partition);
  }

  get partitions(): IterableIterator<Partition> {
    return this.#owned.keys();
  }

  epochOf(partition: Partition): Epoch {
    return this.#owned.get(partition)?.epoch ?? 0;
  }

  /** The epoch of the present claim. */
  lineageOf(partition: Partition): Lineage | undefined {
    return this.#owned.get(partition)?.lineage;
  }

  /** By the clock as it is set now, ms (O1). */
  provenAt(partition: Partition): number {
    const owned = this.#owned.get(partition);
    return owned === undefined ? 0 : dateOf(owned.proven, this.#environment);
  }

  cautiousUntil(partition: Partition): number {
    return this.#owned.get(partition)?.cautiousUntil ?? 0;
  }

  /** `at`: when the call that proves it began. */
  prove(partition: Partition, at: Moment): void {
    const owned = this.#owned.get(partition);
    if (owned !== undefined && owned.proven.steady < at.steady) owned.proven = at;
  }

  /** Checks in the store that the partition is still this worker's. One check serves all that wait by then (O2). */
  check(partition: Partition, owned: () => void, lost: () => void): void {
    this.#waiting.push({ partition, epoch: this.epochOf(partition), owned, lost });
    if (!this.#isUnderWay) this.#start();
  }

  /** Gives up partitions that the store says another worker owns. */
  verify(partitions: readonly Partition[]): void {
    const nothing = () => undefined;
    for (const partition of partitions) this.check(partition, nothing, nothing);
  }

  /** Makes no further checks, and calls back nobody who waits. */
  close(): void {
    this.#isClosed = true;
  }

  #start(): void {
    this.#isUnderWay = true;
    // Requests of the same tick share this check, which starts after all of them.
    this.#environment.soon(() => {
      if (this.#isClosed) return;
      const checks = this.#waiting;
      this.#waiting = [];
      const partitions = [...new Set(checks.map((check) => check.partition))];
      const startedAt = momentOf(this.#environment);
      this.#store.epochs(partitions).then(
        (epochs) =>
          this.#conclude(
            checks,
            new Map(partitions.map((partition, index) => [partition, epochs[index] ?? 0])),
            startedAt,
          ),
        (error: unknown) => this.#fail(checks, error),
      );
    });
  }

  #conclude(checks: readonly Check[], epochs: ReadonlyMap<Partition, Epoch>, startedAt: Moment): void {
    const isStillOwned = (partition: Partition) => this.#owned.get(partition)?.epoch === epochs.get(partition);
    this.loseAll([...epochs.keys()].filter((partition) => !isStillOwned(partition)));
    for (const { partition, epoch, owned, lost } of checks) {
      const isStill = isStillOwned(partition);
      if (isStill) this.prove(partition, startedAt);
      if (isStill && epoch === epochs.get(partition)) owned();
      else lost();
    }
    this.#next();
  }

  #fail(checks: readonly Check[], error: unknown): void {
    this.#environment.log.warn(
      { error: String(error) },
      'an ownership check failed; callers retry the requests that waited for it',
    );
    for (const { lost } of checks) lost();
    this.#next();
  }

  #next(): void {
    if (this.#isClosed) return;
    if (this.#waiting.length > 0) this.#start();
    else this.#isUnderWay = false;
  }
}
