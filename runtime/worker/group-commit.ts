/**
 * Group commit: the one file that knows 'store first, then release' (P1, P2).
 *
 *     turns ──▶ gathering ──flush──▶ flying ──store accepted──▶ released
 *                                      └──rejected or failed──▶ activation dropped, requests tried again
 *       of a volatile type ──▶ released at once, and written when its interval is over
 *
 * Owns the entities that wait for the store and the groups in flight. While groups are in flight the next one gathers, so that its
 * size follows the load without a timer. Two may be in flight at once (`groupsAtOnce`): while the store writes one, turns fill and
 * this sends the other.
 *
 * Invariants:
 * - G1 A batch of a type that is durable by turn is released only after the store has accepted the commit that carries it.
 * - G2 An entity is in one group at a time, and its commits reach the store in the order of its versions.
 * - G3 When a commit is rejected or fails, its activation is dropped with every later turn.
 * - G4 At most `groupsAtOnce` are in flight, whoever requests them. A loss of commits is detected by comparison with the previous reply
 *   (P8), which a call sent beside another does not know.
 */
import type { Durability } from '../../core/behaviour.ts';
import { isSkerryError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import { forgetChanges, wakeTime } from '../../core/record.ts';
import type { Activation } from '../entity/activation.ts';
import type { Batch } from '../entity/batch.ts';
import type { Ownership } from '../entity/ownership.ts';
import { drain } from '../entity/record-writer.ts';
import type { Schedule } from '../entity/schedule.ts';
import { type Environment, type Moment, momentOf } from '../environment.ts';
import type { Counter, Counters } from '../meter.ts';
import { type Commit, type Outcome, type Store, StoreAway } from '../store.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Recovery } from './recovery.ts';
import type { Release } from './release.ts';

/** Minimum number of entities that may wait, however little the store has committed so far: bursts must not start one by one. */
const behindCountMin = 256;
/** Weight of the last group in the measured rate of the store. */
const smoothing = 0.3;

export type Failure = Exclude<Outcome, 'committed'> | 'store-refused' | 'store-away' | 'store-unknown';

export interface GroupCommitParts {
  readonly store: Store;
  readonly limits: Limits;
  readonly environment: Environment;
  readonly ownership: Ownership;
  readonly counters: Counters;
  readonly dates: Schedule;
  readonly release: Release;
  readonly recovery: Recovery;
  readonly dispatcher: Dispatcher;
}

/** Commits that do not belong to an activation. */
interface Beside {
  readonly make: () => readonly Commit[];
  readonly resolve: (outcomes: Outcome[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Flying {
  readonly activation: Activation;
  readonly batch: Batch;
  readonly version: number;
  readonly wakeAt: number | undefined;
}

export class GroupCommit {
  readonly #parts: GroupCommitParts;
  readonly #store: Store;
  readonly #limits: Limits;
  readonly #environment: Environment;
  readonly #ownership: Ownership;
  #waiting: Activation[] = [];
  readonly #beside: Beside[] = [];
  #underWayCount = 0;
  #waitedMs = 0;
  /** Entities that the store commits per millisecond, smoothed. Until it has committed some, any number may wait. */
  #takenPerMs = Number.POSITIVE_INFINITY;
  #concludedAt = 0;
  #isScheduled = false;
  #nextConcluded: (() => void)[] = [];
  readonly #groups: Counter;
  readonly #commits: Counter;
  readonly #concluded: Counter;

  constructor(parts: GroupCommitParts) {
    this.#parts = parts;
    this.#store = parts.store;
    this.#limits = parts.limits;
    this.#environment = parts.environment;
    this.#ownership = parts.ownership;
    this.#groups = parts.counters.of('groups');
    this.#commits = parts.counters.of('commits');
    this.#concluded = parts.counters.of('groups-concluded');
  }

  /** The record changed without a turn. */
  readonly commitAlone = (activation: Activation): void => {
    activation.entity.version += 1;
    activation.batch();
    this.commit(activation);
  };

  /** The activation has a batch, which waits for the store unless its type is volatile. */
  commit(activation: Activation): void {
    const { durability } = activation.behaviour;
    if (durability === 'turn' || (durability !== 'none' && activation.isHeld)) this.add(activation);
    else this.#leaveAtOnce(activation, durability);
  }

  /** The output of volatile types does not wait for a store. Types with an interval are written when it is over. */
  #leaveAtOnce(activation: Activation, durability: Exclude<Durability, 'turn'>): void {
    const { release, dates } = this.#parts;
    const batch = activation.takeVolatile();
    if (batch !== undefined) release.released(activation, batch, activation.entity.version);
    // A write that waits for the store needs a batch to go with. Otherwise a busy entity would never be written.
    if (activation.isQueued) activation.batch().since = batch?.since ?? 0;
    else if (activation.gathering !== undefined) this.add(activation);
    if (durability === 'none') forgetChanges(activation.entity.changes);
    else if (activation.planWrite(this.#environment.now() + durability.intervalMs))
      dates.wakeBy(activation, activation.writeAt);
  }

  /** The activation has a batch that waits for the store. */
  add(activation: Activation): void {
    if (activation.isQueued) return;
    activation.queue();
    // Changes that the commit in flight does not carry go when it has been concluded (G2).
    if (activation.flying === undefined) this.#enqueue(activation);
  }

  #enqueue(activation: Activation): void {
    if (activation.gathering !== undefined) activation.gathering.since = this.#environment.steady();
    this.#waiting.push(activation);
    this.#schedule();
  }

  /**
   * Commits that do not belong to an activation: their own group, before those that wait (G4). They are made when it is sent, because
   * the partition may have been handed off by then (HO1); then there are none. Resolves with as many outcomes.
   */
  beside(make: () => readonly Commit[]): Promise<Outcome[]> {
    return new Promise((resolve, reject) => {
      this.#beside.push({ make, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when the group in flight, or the next one, has been concluded; soon if nothing waits. */
  concluded(): Promise<void> {
    return new Promise<void>((resolve) => {
      if (this.isBusy) this.#nextConcluded.push(resolve);
      else this.#environment.soon(resolve);
    });
  }

  /** Whether the store is slower than the turns: more entities wait than it commits in `storeWaitMsMax`, or one for longer. */
  get isBehind(): boolean {
    const { length } = this.#waiting;
    if (length === 0) return false;
    if (length > Math.max(behindCountMin, this.#takenPerMs * this.#limits.storeWaitMsMax)) return true;
    const since = this.#waiting[0]?.gathering?.since;
    return since !== undefined && this.#environment.steady() - since > this.#limits.storeWaitMsMax;
  }

  /** How long the last concluded entity had waited, ms; 0 if none waits now. */
  get waitMs(): number {
    return this.isBusy ? this.#waitedMs : 0;
  }

  /** Whether anything waits for the store. */
  get isBusy(): boolean {
    return this.#underWayCount > 0 || this.#waiting.length > 0 || this.#beside.length > 0;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#underWayCount >= this.#store.groupsAtOnce) return;
    this.#isScheduled = true;
    this.#environment.soon(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  /** Sends a group, unless enough are in flight. */
  flush(): void {
    if (this.#underWayCount >= this.#store.groupsAtOnce) return;
    const beside = this.#beside.shift();
    if (beside !== undefined) return this.#sendBeside(beside);
    const { flying, commits } = this.#takeGroup();
    if (flying.length === 0) {
      if (this.#waiting.length > 0) return this.#schedule();
      return;
    }
    this.#underWayCount += 1;
    this.#groups.add();
    this.#commits.add(commits.length);
    const startedAt = momentOf(this.#environment);
    this.#store.commit(commits).then(
      (outcomes) => this.#conclude(flying, outcomes, startedAt),
      (error: unknown) => this.#fail(flying, error),
    );
  }

  #sendBeside({ make, resolve, reject }: Beside): void {
    const commits = make();
    if (commits.length === 0) {
      resolve([]);
      return this.flush();
    }
    this.#underWayCount += 1;
    const end = () => this.#end();
    this.#store.commit(commits).then(resolve, reject).then(end, end);
    this.#schedule();
  }

  /** Takes as many as wait, within the limits of a group: one that is too large would keep all others waiting. */
  #takeGroup(): { flying: Flying[]; commits: Commit[] } {
    const { groupCountMax, groupBytesMax } = this.#limits;
    const flying: Flying[] = [];
    const commits: Commit[] = [];
    let bytes = 0;
    let taken = 0;
    while (taken < this.#waiting.length && flying.length < groupCountMax && bytes < groupBytesMax) {
      const activation = this.#waiting[taken++] as Activation;
      const batch = activation.takeOff();
      if (batch === undefined) continue;
      const { version } = activation.entity;
      const wakeAt = wakeTime(activation.entity);
      const commit = this.#written(activation, version, wakeAt);
      if (commit === undefined) continue;
      flying.push({ activation, batch, version, wakeAt });
      commits.push(commit);
      bytes += commit.head.length;
      for (const [, record] of commit.records) bytes += record === null ? 0 : record.length;
    }
    this.#waiting = this.#waiting.slice(taken);
    return { flying, commits };
  }

  /** Undefined if it cannot be encoded. That fails its entity, and not the others of its group. */
  #written(activation: Activation, version: number, wakeAt: number | undefined): Commit | undefined {
    try {
      return this.#commitOf(activation, version, wakeAt);
    } catch (error) {
      this.#parts.recovery.failed(activation, 'store-refused', error);
      return undefined;
    }
  }

  #commitOf(activation: Activation, version: number, wakeAt: number | undefined): Commit {
    const { head, records } = drain(activation.entity, activation.layout, activation.behaviour, {
      rested: activation.rested,
      countMax: this.#limits.activityCountMax,
    });
    activation.written();
    return {
      partition: activation.partition,
      epoch: this.#ownership.epochOf(activation.partition),
      address: activation.address,
      expected: activation.storedVersion,
      version,
      head,
      records,
      wakeBefore: activation.storedWakeAt,
      wakeAt,
    };
  }

  #conclude(flying: readonly Flying[], outcomes: readonly Outcome[], startedAt: Moment): void {
    const since = flying[0]?.batch.since ?? 0;
    this.#measure(flying.length, since, startedAt.steady);
    for (let index = 0; index < flying.length; index++) {
      const { activation, batch, version, wakeAt } = flying[index] as Flying;
      if (activation.phase === 'dropped') continue;
      const outcome = outcomes[index] ?? 'stale-version';
      if (outcome !== 'committed') {
        this.#parts.recovery.failed(activation, outcome, undefined);
        continue;
      }
      activation.land(version, wakeAt);
      this.#ownership.prove(activation.partition, startedAt);
      if (activation.isQueued) this.#enqueue(activation);
      else if (activation.gathering !== undefined) this.add(activation);
      this.#parts.release.stored(activation, batch, version);
    }
    this.#end();
  }

  #measure(count: number, since: number, startedAt: number): void {
    const now = this.#environment.steady();
    if (since > 0) this.#waitedMs = now - since;
    const began = Math.max(this.#concludedAt, startedAt);
    const perMs = count / Math.max(1, now - began);
    if (this.#takenPerMs === Number.POSITIVE_INFINITY) this.#takenPerMs = perMs;
    else this.#takenPerMs += (perMs - this.#takenPerMs) * smoothing;
    this.#concludedAt = now;
  }

  /** A group has been concluded, one way or the other. */
  #end(): void {
    this.#underWayCount -= 1;
    this.#concluded.add();
    for (const resolve of this.#nextConcluded.splice(0)) resolve();
    this.flush();
    this.#parts.dispatcher.resume();
  }

  #fail(flying: readonly Flying[], error: unknown): void {
    const isNone = isSkerryError(error) && error.effect === 'none';
    const failure = error instanceof StoreAway ? 'store-away' : isNone ? 'store-refused' : 'store-unknown';
    for (const { activation } of flying)
      if (activation.phase !== 'dropped') this.#parts.recovery.failed(activation, failure, error);
    this.#end();
  }
}
