/**
 * The entities that are in this worker's memory: how they get there and when they leave.
 *
 * Owns activation (one batch of reads for everything that was asked for in a tick), reading single activities, and the
 * sweep that passivates what is idle or too much. The sweep is a clock hand over the table: what was not used since it
 * last passed goes first: close to least-recently-used, without a list to keep in order.
 *
 * Invariants:
 * - E1 An address has at most one activation that is not dropped.
 * - E2 Only an activation at rest is passivated: nothing that is not durable is forgotten.
 */
import { type Activity, isOver, mayForget, newActivity } from '../core/activity.ts';
import type { Behaviour } from '../core/behaviour.ts';

import type { Limits } from '../core/limits.ts';
import { type Address, type PartnerId, typeOf } from '../core/message.ts';
import { type EntityRecord, recordName } from '../core/record.ts';
import { Activation } from './activation.ts';
import type { Environment } from './environment.ts';
import { decodeActivity, decodeHistory, freshRecord, restore, restoreActivity } from './persistence.ts';
import type { Loaded, Partition, Store } from './store.ts';

export interface ResidentParts {
  readonly store: Store;
  readonly environment: Environment;
  readonly limits: Limits;
  readonly behaviours: ReadonlyMap<string, Behaviour>;
  readonly ready: (activation: Activation) => void;
  readonly failed: (activation: Activation, error: unknown) => void;
  /** Records of the activation were forgotten: to be committed. */
  readonly forgotten: (activation: Activation) => void;
  /** An activation at rest leaves memory. */
  readonly passivated: (activation: Activation) => void;
}

/** Activities that one step of the search for forgettable ones reads, and the pause between two searches, ms. */
const sweepPageCount = 256;
/** Messages that wait whose activities are read together with the one that is needed now. */
const readAheadCount = 64;
const sweepPauseMs = 60_000;
/** After this long without a message an activation gives back all but its state, ms. */
const restMs = 2_000;

/** When an activity's inbound side may go, ms; Infinity: there is none. */
function forgetDate({ inbound }: Activity, limits: Limits): number {
  if (inbound === undefined) return Number.POSITIVE_INFINITY;
  const closed = inbound.closedAt > 0 ? inbound.closedAt + limits.transitMaxMs + limits.skewMaxMs : Number.POSITIVE_INFINITY;
  return Math.min(closed, inbound.keepUntil) + 1;
}

type ActivityRows = (readonly [string, Uint8Array])[];

export class Residents {
  readonly #parts: ResidentParts;
  readonly #activations = new Map<Address, Activation>();
  #toLoad: Activation[] = [];
  #hand: IterableIterator<Activation> | undefined;

  constructor(parts: ResidentParts) {
    this.#parts = parts;
  }

  get count(): number {
    return this.#activations.size;
  }

  get(address: Address): Activation | undefined {
    return this.#activations.get(address);
  }

  all(): IterableIterator<Activation> {
    return this.#activations.values();
  }

  /** The entity's activation, begun if there is none; undefined: no behaviour for its type. */
  activate(address: Address, partition: Partition): Activation | undefined {
    const known = this.#activations.get(address);
    if (known !== undefined) return known;
    const behaviour = this.#parts.behaviours.get(typeOf(address));
    if (behaviour === undefined) return undefined;
    const activation = new Activation(address, partition, behaviour);
    this.#activations.set(address, activation);
    if (this.#toLoad.length === 0) this.#parts.environment.soon(() => this.#load());
    this.#toLoad.push(activation);
    return activation;
  }

  /** From here the activation runs nothing and releases nothing (V2). */
  drop(activation: Activation): void {
    activation.phase = 'dropped';
    if (this.#activations.get(activation.address) === activation) this.#activations.delete(activation.address);
  }

  async #load(): Promise<void> {
    const activations = this.#toLoad;
    this.#toLoad = [];
    const { store, limits } = this.#parts;
    try {
      const [loaded, activities] = await Promise.all([
        store.load(activations),
        Promise.all(activations.map((activation) => store.scan(activation, 'p', { limit: limits.activityCountMax + 1 }))),
      ]);
      for (const [index, activation] of activations.entries()) await this.#restore(activation, loaded[index], activities[index] ?? []);
    } catch (error) {
      for (const activation of activations) if (activation.phase === 'loading') this.#parts.failed(activation, error);
    }
  }

  async #restore(activation: Activation, loaded: Loaded | undefined, rows: ActivityRows): Promise<void> {
    if (activation.phase === 'dropped') return;
    try {
      if (loaded === undefined) activation.record = freshRecord(activation.address, activation.behaviour);
      else await this.#restoreStored(activation, loaded, rows);
    } catch (error) {
      this.#parts.failed(activation, error);
      return;
    }
    this.#numberVolatile(activation);
    activation.phase = 'ready';
    this.#parts.ready(activation);
  }

  async #restoreStored(activation: Activation, loaded: Loaded, rows: ActivityRows): Promise<void> {
    const { record, layout } = restore(activation.address, loaded, activation.behaviour);
    activation.storedVersion = loaded.version;
    activation.storedWakeAt = loaded.wakeAt;
    activation.layout = layout;
    for (const [name, bytes] of rows) restoreActivity(record, name.slice(1), bytes);
    record.isComplete = rows.length <= this.#parts.limits.activityCountMax;
    // Where there are too many, those with something in the outbox are needed now, the others when their partner writes.
    const missing = record.isComplete ? [] : [...record.activities.values()].filter((activity) => activity.outbound?.session === 0).map((activity) => activity.partner);
    if (missing.length > 0) await this.#readInto(activation, record, missing);
    activation.record = record;
  }

  /** Versions name sessions; where a crash loses turns they must still grow, so they follow the clock. */
  #numberVolatile({ behaviour, entity }: Activation): void {
    if (behaviour.durability !== 'turn') entity.version = Math.max(entity.version, Math.floor(this.#parts.environment.now()) * 1_000);
  }

  async #readInto(activation: Activation, record: EntityRecord, partners: readonly PartnerId[]): Promise<void> {
    const found = await this.#parts.store.read(activation, partners.map(recordName.activity));
    for (const [index, partner] of partners.entries()) restoreActivity(record, partner, found[index]);
  }

  /** Read an activity that a turn needs, and those that what waits will need; the activation is ready again afterwards. */
  readActivity(activation: Activation, partner: PartnerId): void {
    activation.phase = 'reading';
    const { entity } = activation;
    const partners = new Set([partner]);
    for (const item of activation.mailbox.peek(readAheadCount)) if (item.kind === 'message' && !entity.activities.has(item.from)) partners.add(item.from);
    this.#readInto(activation, entity, [...partners]).then(
      () => {
        if (activation.phase === 'dropped') return;
        // A first contact: an empty activity says that the store has been asked.
        for (const one of partners) if (!entity.activities.has(one)) entity.activities.set(one, newActivity(one));
        activation.phase = 'ready';
        this.#parts.ready(activation);
      },
      (error: unknown) => {
        if (activation.phase !== 'dropped') this.#parts.failed(activation, error);
      },
    );
  }

  /** After a commit: activities beyond the bound that the store knows and nothing needs leave memory (P10). */
  trimActivities(activation: Activation): void {
    const { entity } = activation;
    const { activityCountMax } = this.#parts.limits;
    let excess = entity.activities.size - activityCountMax;
    if (excess <= 0 || activation.behaviour.durability !== 'turn') return;
    for (const [partner, activity] of entity.activities) {
      if (excess <= 0) return;
      const isNeeded = (activity.outbound?.unacked.length ?? 0) > 0 || activity.outbound?.isClosing === true;
      if (isNeeded || activation.ahead?.has(partner) || entity.changes.records.has(recordName.activity(partner))) continue;
      entity.activities.delete(partner);
      activation.flights?.delete(partner);
      entity.isComplete = false;
      excess -= 1;
      const forgetAt = forgetDate(activity, this.#parts.limits);
      if (forgetAt < Number.POSITIVE_INFINITY && (entity.forgetAt === 0 || forgetAt < entity.forgetAt)) entity.forgetAt = forgetAt;
    }
  }

  /**
   * Let go of what no copy can come for any more (A3); true if something changed. The caller commits. Activities that
   * are not in memory are looked through page by page, at most once a minute.
   */
  forget(activation: Activation, now: number): boolean {
    const { entity } = activation;
    const { limits } = this.#parts;
    let isChanged = false;
    let next = Number.POSITIVE_INFINITY;
    for (const activity of entity.activities.values()) {
      if (activity.inbound === undefined) continue;
      if (mayForget(activity.inbound, now, limits)) {
        activity.inbound = undefined;
        if (isOver(activity, now, limits)) entity.activities.delete(activity.partner);
        entity.changes.records.set(recordName.activity(activity.partner), 'activity');
        isChanged = true;
      } else if (activity.inbound.closedAt > 0) {
        next = Math.min(next, forgetDate(activity, limits));
      }
    }
    if (entity.isComplete) entity.forgetAt = next === Number.POSITIVE_INFINITY ? 0 : next;
    else if (entity.forgetAt > 0 && entity.forgetAt <= now) {
      entity.forgetAt = now + sweepPauseMs;
      void this.#forgetStored(activation, undefined, next);
      return true;
    }
    return isChanged;
  }

  async #forgetStored(activation: Activation, after: string | undefined, soonest: number): Promise<void> {
    const { store, limits, environment } = this.#parts;
    const page = await store.scan(activation, 'p', after === undefined ? { limit: sweepPageCount } : { after, limit: sweepPageCount }).catch(() => []);
    if (activation.phase === 'dropped') return;
    const { entity } = activation;
    let next = soonest;
    for (const [name, bytes] of page) {
      const partner = name.slice(1);
      if (entity.activities.has(partner)) continue;
      const activity = decodeActivity(partner, bytes);
      if (isOver(activity, environment.now(), limits)) entity.changes.records.set(name, 'activity');
      else next = Math.min(next, forgetDate(activity, limits));
    }
    if (after === undefined) entity.unseenCount = 0;
    entity.unseenCount += page.length;
    const last = page[sweepPageCount - 1];
    if (last !== undefined) return this.#forgetStored(activation, last[0], next);
    entity.forgetAt = next === Number.POSITIVE_INFINITY ? 0 : Math.max(next, environment.now() + sweepPauseMs);
    this.#parts.forgotten(activation);
  }

  /** Let go of history that is older than its type keeps it; looked for now and then, a page at a time. */
  trimHistory(activation: Activation): void {
    const { historyMs } = activation.behaviour;
    const now = this.#parts.environment.now();
    if (historyMs === undefined || now < activation.historyDueAt) return;
    activation.historyDueAt = now + Math.max(historyMs / 16, sweepPauseMs);
    this.#parts.store.scan(activation, 'h', { limit: sweepPageCount }).then(
      (page) => {
        if (activation.phase === 'dropped') return;
        const old = page.filter(([, bytes]) => decodeHistory(bytes).at < now - historyMs);
        if (old.length === sweepPageCount) activation.historyDueAt = now;
        for (const [name] of old) activation.entity.changes.records.set(name, null);
        if (old.length > 0) this.#parts.forgotten(activation);
      },
      () => undefined,
    );
  }

  /** An activation that rests keeps its state; what it remembers about partners is in the store (DESIGN section 12). */
  #compact(activation: Activation): void {
    activation.compact();
    const { entity } = activation;
    if (activation.behaviour.durability !== 'turn' || entity.outboxCount > 0 || entity.activities.size === 0) return;
    for (const activity of entity.activities.values()) if (activity.outbound !== undefined) return;
    entity.unseenCount += entity.activities.size;
    entity.activities.clear();
    entity.isComplete = false;
    this.#planForgetting(activation);
  }

  /** What is not in memory is not seen to be over: when it has become much, it is looked through. */
  #planForgetting({ entity }: Activation): void {
    const { environment, limits } = this.#parts;
    if (entity.unseenCount > limits.activityCountMax && entity.forgetAt === 0) entity.forgetAt = environment.now() + limits.doubtMs;
  }

  /** Move the hand on: passivate what is at rest and idle, or beyond the bound. A bounded step. */
  sweep(stepCount: number): void {
    const { limits, environment } = this.#parts;
    const now = environment.now();
    for (let step = 0; step < stepCount; step++) {
      this.#hand ??= this.#activations.values();
      const { value: activation, done } = this.#hand.next();
      if (done || activation === undefined) {
        this.#hand = undefined;
        return;
      }
      if (!activation.isAtRest) continue;
      if (now - activation.usedAt >= restMs) this.#compact(activation);
      const idleMs = this.count > limits.activationCountMax ? 0 : limits.idleMs;
      if (now - activation.usedAt >= idleMs) {
        this.drop(activation);
        this.#parts.passivated(activation);
      }
    }
  }
}

