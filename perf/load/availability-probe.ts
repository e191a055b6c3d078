/**
 * The availability probe: a stream of calls, one per key, that measures for how long keys are unavailable while workers come and go.
 *
 * After a kill, one call goes at once to a key of every partition of that worker; its answer marks the recovery. For a move, the
 * pause of a partition is its longest call that began between one second before its new owner was known and three seconds after.
 * That includes the latency of some hundred normal calls.
 */

import { type Measured, seriesMs } from '../plan.ts';
import { keyName, type Stand } from '../scenario.ts';
import type { NumberedJournal } from './journal.ts';
import { drive, type Lane } from './load.ts';

export interface KeyCalls {
  /** Type of the entities that are called. */
  readonly type: string;
  readonly call: (key: number) => Promise<unknown>;
  /** Idempotency keys of calls that change state. */
  readonly journal?: NumberedJournal;
}

const slotsBefore = 1_000 / seriesMs;
const slotsAfter = 3_000 / seriesMs;

interface Moved {
  readonly partition: number;
  readonly slot: number;
}

export class Watchman {
  readonly #stand: Stand;
  readonly #calls: KeyCalls;
  readonly #startedAt = performance.now();
  readonly #partitionOf: readonly number[];
  /** A key of each partition. */
  readonly #sample = new Map<number, number>();
  /** Longest call by partition and slot, ms. */
  readonly #worst = new Map<number, number[]>();
  /** Owner of each partition in the newest view received. */
  readonly #owners: Map<number, string | undefined>;
  #viewVersion: number;
  readonly #moved: Moved[] = [];
  /** Workers whose partitions are taken over, not moved. */
  readonly #killed = new Set<string>();
  readonly #recoveries: number[] = [];
  readonly #probes: Promise<void>[] = [];

  constructor(stand: Stand, calls: KeyCalls) {
    this.#stand = stand;
    this.#calls = calls;
    this.#partitionOf = Array.from({ length: stand.work.keys }, (_, key) => this.#where(key).partition);
    for (const [key, partition] of this.#partitionOf.entries()) this.#sample.set(partition, key);
    this.#owners = this.#ownersNow();
    this.#viewVersion = stand.post.view?.version ?? 0;
    stand.onFault = (kind, worker) => {
      if (kind === 'kill') this.#probe(worker);
      else this.#killed.clear();
    };
  }

  #where(key: number) {
    return this.#stand.post.where(this.#calls.type, keyName(this.#stand.work, key));
  }

  #ownersNow(): Map<number, string | undefined> {
    return new Map(Array.from(this.#sample, ([partition, key]) => [partition, this.#where(key).worker]));
  }

  ended({ key, startedAt }: Lane, now: number): void {
    // Filed under its start time, so that a call that hangs for longer than the move is counted too.
    const slot = this.#slotOf(startedAt);
    const partition = this.#partitionOf[key] ?? 0;
    const slots = this.#worst.get(partition) ?? [];
    if (now - startedAt > (slots[slot] ?? 0)) slots[slot] = now - startedAt;
    this.#worst.set(partition, slots);
    if (this.#stand.post.view?.version !== this.#viewVersion) this.#viewed(this.#slotOf(now));
  }

  #slotOf(now: number): number {
    return Math.max(0, Math.floor((now - this.#startedAt) / seriesMs));
  }

  #viewed(slot: number): void {
    this.#viewVersion = this.#stand.post.view?.version ?? 0;
    for (const [partition, worker] of this.#ownersNow()) {
      const before = this.#owners.get(partition);
      if (worker === undefined || worker === before) continue;
      this.#owners.set(partition, worker);
      if (before !== undefined && !this.#killed.has(before)) this.#moved.push({ partition, slot });
    }
    const owning = new Set(this.#owners.values());
    for (const worker of this.#killed) if (!owning.has(worker)) this.#killed.delete(worker);
  }

  #probe(worker: string): void {
    const at = performance.now();
    this.#killed.add(worker);
    for (const [partition, key] of this.#sample) {
      if (this.#owners.get(partition) !== worker) continue;
      const probe = this.#calls.call(key).then(
        () => {
          this.#calls.journal?.acked(key);
          this.#recoveries.push(performance.now() - at);
        },
        (error: unknown) => this.#calls.journal?.failed(key, error),
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
    for (let at = Math.max(0, slot - slotsBefore); at <= slot + slotsAfter; at++) most = Math.max(most, slots[at] ?? 0);
    return most;
  }
}

/** A generator's load on random keys; probed for availability if the plan has faults. */
export async function driveKeys(stand: Stand, calls: KeyCalls): Promise<Measured> {
  const { pick, load, work } = stand;
  const { call, journal } = calls;
  const watchman = work.isDisturbed === true ? new Watchman(stand, calls) : undefined;
  const measured = await drive(
    (lane) => {
      lane.key = pick();
      return call(lane.key);
    },
    load,
    {
      ended: (lane, now) => {
        journal?.acked(lane.key);
        watchman?.ended(lane, now);
      },
      failed: ({ key }, error) => journal?.failed(key, error),
    },
  );
  return watchman === undefined ? measured : { ...measured, extra: await watchman.extra() };
}
