/**
 * Durable increments while workers come and go: how long keys are without an answer.
 *
 * After a kill one call each goes at once to a key of every partition that lived at that worker: its answer is the recovery. Of a
 * move the pause of a partition is the longest call to any of its keys within a second of the moment at which its new owner was
 * heard of, the usual time of a call included.
 */
import { Counter } from '../entities.ts';
import { drive, type Lane } from '../load.ts';
import { type Measured, seriesMs } from '../plan.ts';
import { callers, keyName, type Scenario, type Stand } from '../scenario.ts';
import { checkCounts } from './counter.ts';

const aroundSlots = 1_000 / seriesMs;

interface Moved {
  readonly partition: number;
  readonly slot: number;
}

class Watchman {
  readonly #stand: Stand;
  readonly #add: (key: number) => Promise<unknown>;
  readonly #startedAt = performance.now();
  readonly #partitionOf: readonly number[];
  /** A key of each partition. */
  readonly #sample = new Map<number, number>();
  /** Longest call by partition and slot, ms. */
  readonly #worst = new Map<number, number[]>();
  #owners: Map<number, string | undefined>;
  #viewVersion: number;
  readonly #moved: Moved[] = [];
  readonly #recoveries: number[] = [];
  readonly #probes: Promise<void>[] = [];

  constructor(stand: Stand, add: (key: number) => Promise<unknown>) {
    this.#stand = stand;
    this.#add = add;
    this.#partitionOf = Array.from({ length: stand.work.keys }, (_, key) => this.#where(key).partition);
    for (const [key, partition] of this.#partitionOf.entries()) this.#sample.set(partition, key);
    this.#owners = this.#ownersNow();
    this.#viewVersion = stand.post.view?.version ?? 0;
    stand.onFault = (kind, worker) => kind === 'kill' && this.#killed(worker);
  }

  #where(key: number) {
    return this.#stand.post.where(Counter.type, keyName(this.#stand.work, key));
  }

  #ownersNow(): Map<number, string | undefined> {
    return new Map(Array.from(this.#sample, ([partition, key]) => [partition, this.#where(key).worker]));
  }

  ended({ key, startedAt }: Lane, now: number): void {
    const slot = this.#slotOf(now);
    const partition = this.#partitionOf[key] ?? 0;
    const slots = this.#worst.get(partition) ?? [];
    if (now - startedAt > (slots[slot] ?? 0)) slots[slot] = now - startedAt;
    this.#worst.set(partition, slots);
    if (this.#stand.post.view?.version !== this.#viewVersion) this.#viewed(slot);
  }

  #slotOf(now: number): number {
    return Math.floor((now - this.#startedAt) / seriesMs);
  }

  #viewed(slot: number): void {
    this.#viewVersion = this.#stand.post.view?.version ?? 0;
    const owners = this.#ownersNow();
    for (const [partition, worker] of owners)
      if (worker !== undefined && worker !== this.#owners.get(partition)) this.#moved.push({ partition, slot });
    this.#owners = owners;
  }

  #killed(worker: string): void {
    const at = performance.now();
    const { journal, work } = this.#stand;
    for (const [partition, key] of this.#sample) {
      if (this.#owners.get(partition) !== worker) continue;
      const name = keyName(work, key);
      const probe = this.#add(key).then(
        () => {
          journal.acked(name);
          this.#recoveries.push(performance.now() - at);
        },
        (error: unknown) => journal.failed(name, error),
      );
      this.#probes.push(probe);
    }
  }

  async extra(): Promise<Measured['extra']> {
    await Promise.all(this.#probes);
    return {
      recoveryMs: this.#recoveries,
      pauseMs: this.#moved.map((moved) => this.#pauseOf(moved)),
    };
  }

  #pauseOf({ partition, slot }: Moved): number {
    const slots = this.#worst.get(partition) ?? [];
    let most = 0;
    for (let at = Math.max(0, slot - aroundSlots); at <= slot + aroundSlots; at++)
      most = Math.max(most, slots[at] ?? 0);
    return most;
  }
}

async function run(stand: Stand): Promise<Measured> {
  const { pick, work } = stand;
  const journal = stand.journal.numbered((key) => keyName(work, key));
  const of = callers(stand, Counter);
  const watchman = new Watchman(stand, (key) => of(key).add({ by: 1 }));
  const measured = await drive(
    (lane) => {
      lane.key = pick();
      return of(lane.key).add({ by: 1 });
    },
    stand.load,
    {
      ended: (lane, now) => {
        journal.acked(lane.key);
        watchman.ended(lane, now);
      },
      failed: ({ key }, error) => journal.failed(key, error),
    },
  );
  return { ...measured, extra: await watchman.extra() };
}

const base = {
  unit: 'calls',
  isDurable: true,
  run,
  check: checkCounts,
};

export const move: Scenario = {
  ...base,
  name: 'move',
  summary: 'durable increments while workers leave in order and come back',
  defaults: {
    workers: 2,
    concurrency: 256,
    durationMs: 20_000,
    repeats: 3,
    faults: [
      { kind: 'move', atMs: 5_000 },
      { kind: 'move', atMs: 12_000 },
    ],
  },
  steps: () => [{ name: 'move' }],
};

export const failover: Scenario = {
  ...base,
  name: 'failover',
  summary: 'durable increments while workers are killed and started again',
  defaults: {
    workers: 3,
    concurrency: 256,
    durationMs: 60_000,
    repeats: 3,
    faults: Array.from({ length: 11 }, (_, kill) => ({ kind: 'kill' as const, atMs: 3_000 + kill * 5_000 })),
  },
  steps: () => [{ name: 'failover' }],
};
