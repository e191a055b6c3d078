/**
 * Retention: removes parts of an entity from memory, or from the store, when nobody can need them any more (P10).
 *
 * Owns when activities beyond the bound leave memory, and when records of streams and history leave the store. `idle.ts` gives back
 * the memory of activations at rest. `core/activity.ts` says that a record may go (A3); `stream-closing.ts` closes streams.
 */
import { type Activity, forgetDate, isOver, mayForget } from '../../core/activity.ts';
import type { Limits } from '../../core/limits.ts';
import { parts, planSearch, recordName, sooner } from '../../core/record.ts';
import type { Environment } from '../environment.ts';
import type { Store } from '../store.ts';
import type { Activation } from './activation.ts';
import { mayForgetRested, recall } from './idle.ts';
import { BloomPartnerFilter, noteStored, partnerCountMax } from './partner-filter.ts';
import { decodeActivity, glancePart } from './record-format.ts';

export interface RetentionParts {
  readonly store: Store;
  readonly environment: Environment;
  readonly limits: Limits;
  /** Called when records were forgotten, to be committed. */
  readonly forgotten: (activation: Activation) => void;
  /** The activation wants to be woken by then. */
  readonly wakeBy: (activation: Activation, at: number) => void;
}

/** Activities read by one step of a search, and the pause between two searches, ms. */
const sweepPageCount = 256;
const sweepPauseMs = 60_000;

/** A search through all stored activities. */
interface Search {
  /** The name of the last one read. */
  readonly after: string | undefined;
  /** When one of them may be forgotten, ms. */
  readonly soonest: number;
  readonly seen: BloomPartnerFilter;
}

export class Retention {
  readonly #parts: RetentionParts;

  constructor(parts: RetentionParts) {
    this.#parts = parts;
  }

  /** Schedules the searches of a volatile type, which no stored wake starts. */
  released(activation: Activation): void {
    if (activation.behaviour.durability === 'none') this.planVolatile(activation);
  }

  /** After a commit: drops what need not stay in memory. */
  stored(activation: Activation): void {
    this.trimActivities(activation);
    this.trimHistory(activation);
  }

  /** Activities beyond the bound leave memory if the store has them and nothing needs them (P10). */
  trimActivities(activation: Activation): void {
    const { entity } = activation;
    const { activityCountMax } = this.#parts.limits;
    let excess = entity.activities.size - activityCountMax;
    if (excess <= 0 || activation.isSearching || activation.behaviour.durability !== 'turn') return;
    // They have no records (F3).
    if (activation.layout.hasActivities) return;
    // A read in flight may return older data than what would leave memory here.
    if (activation.phase !== 'ready') return;
    for (const [partner, activity] of entity.activities) {
      if (excess <= 0) return;
      // An open stream stays, to be closed: in the store nobody would see that it is quiet.
      if (
        activity.outbound !== undefined ||
        activation.ahead?.has(partner) ||
        entity.changes.records.has(recordName.activity(partner))
      )
        continue;
      entity.activities.delete(partner);
      activation.flights?.delete(partner);
      if (entity.isComplete) entity.stored = new BloomPartnerFilter();
      entity.isComplete = false;
      noteStored(entity, activity);
      excess -= 1;
      const forgetAt = forgetDate(activity.inbound, this.#parts.limits);
      if (forgetAt < Number.POSITIVE_INFINITY) planSearch(entity, forgetAt);
    }
  }

  /**
   * Forgets activities of which no copy can arrive any more (A3). Returns true if something changed; the caller commits. Activities
   * that are not in memory are searched page by page, at most once a minute. `closeAt` is when a stream is next closed. An activation
   * at rest has no open stream.
   */
  forget(activation: Activation, now: number, closeAt: number): boolean {
    const { entity } = activation;
    const { limits } = this.#parts;
    const isPlanned = entity.forgetAt > 0 && entity.forgetAt <= now;
    if (activation.rested !== undefined && !isPlanned && !mayForgetRested(activation, now)) return false;
    recall(activation);
    let isChanged = false;
    let next = closeAt;
    for (const activity of entity.activities.values()) {
      if (activity.inbound === undefined) continue;
      const name = recordName.activity(activity.partner);
      // An activity that is not durable yet is not forgotten: its last answer must be found in the store at least once.
      if (mayForget(activity.inbound, now, limits) && !entity.changes.records.has(name)) {
        activity.inbound = undefined;
        // If activities are in the store as well, an empty one marks this one as removed until the store knows it too.
        if (isOver(activity, now, limits) && entity.isComplete) entity.activities.delete(activity.partner);
        entity.changes.records.set(name, 'activity');
        isChanged = true;
      } else if (activity.inbound.closedAt > 0) {
        next = Math.min(next, Math.max(forgetDate(activity.inbound, limits), now + limits.trimIdleMs));
      }
    }
    const isSearchDue = !entity.isComplete && entity.searchAt > 0 && entity.searchAt <= now && !activation.isSearching;
    if (isSearchDue) {
      entity.searchAt = now + sweepPauseMs;
      activation.search(true);
      void this.#forgetStored(activation, {
        after: undefined,
        soonest: Number.POSITIVE_INFINITY,
        seen: new BloomPartnerFilter(),
      });
    }
    entity.forgetAt = sooner(next === Number.POSITIVE_INFINITY ? 0 : next, entity.isComplete ? 0 : entity.searchAt);
    return isChanged;
  }

  async #forgetStored(activation: Activation, { after, soonest, seen }: Search): Promise<void> {
    const { store, environment } = this.#parts;
    const page = await store
      .scan(
        activation,
        parts.activities.letter,
        after === undefined ? { limit: sweepPageCount } : { after, limit: sweepPageCount },
      )
      .catch(() => undefined);
    if (activation.phase === 'dropped') return;
    const { entity } = activation;
    if (page === undefined) {
      activation.search(false);
      planSearch(entity, environment.now() + sweepPauseMs);
      return this.#parts.wakeBy(activation, entity.forgetAt);
    }
    let next = soonest;
    for (const [name, bytes] of page) {
      const partner = name.slice(1);
      if (seen.count <= partnerCountMax) seen.add(partner);
      if (entity.activities.has(partner)) continue;
      const activity = decodeActivity(partner, bytes);
      next = Math.min(next, this.#forgetOne(activation, activity));
    }
    if (after === undefined) entity.unseenCount = 0;
    entity.unseenCount += page.length;
    const last = page[sweepPageCount - 1];
    if (last !== undefined) return this.#forgetStored(activation, { after: last[0], soonest: next, seen });
    activation.search(false);
    // None left memory meanwhile, so every activity that the store has now is in memory or was read.
    entity.stored = seen.count > partnerCountMax ? undefined : seen;
    entity.searchAt = next === Number.POSITIVE_INFINITY ? 0 : Math.max(next, environment.now() + sweepPauseMs);
    entity.forgetAt = sooner(entity.forgetAt, entity.searchAt);
    if (entity.changes.records.size > 0) this.#parts.forgotten(activation);
    else if (entity.forgetAt > 0) this.#parts.wakeBy(activation, entity.forgetAt);
  }

  /** Loads an activity found by a search if there is something to do about it. Returns when it may be forgotten, ms. */
  #forgetOne({ entity }: Activation, activity: Activity): number {
    const { environment, limits } = this.#parts;
    const now = environment.now();
    const { partner } = activity;
    const isOld = activity.inbound !== undefined && mayForget(activity.inbound, now, limits);
    if (isOld) {
      activity.inbound = undefined;
      entity.changes.records.set(recordName.activity(partner), 'activity');
    }
    // An empty activity keeps the stored one from being read again. An open stream is seen to be quiet, and closed.
    if (isOld || activity.outbound !== undefined) entity.activities.set(partner, activity);
    if (activity.outbound !== undefined) entity.forgetAt = sooner(entity.forgetAt, now);
    return forgetDate(activity.inbound, limits);
  }

  /** No write ever wakes a volatile type, so its activities are searched at intervals (P10). */
  planVolatile(activation: Activation): void {
    const { entity } = activation;
    const { environment, limits, wakeBy } = this.#parts;
    if (entity.forgetAt !== 0 || entity.activities.size <= limits.activityCountMax) return;
    entity.forgetAt = environment.now() + sweepPauseMs;
    wakeBy(activation, entity.forgetAt);
  }

  /** Removes history older than its type keeps it; at intervals, a page at a time. */
  trimHistory(activation: Activation): void {
    const { historyMs } = activation.behaviour;
    const now = this.#parts.environment.now();
    if (historyMs === undefined || now < activation.historyDueAt) return;
    activation.planHistory(now + Math.max(historyMs / 16, sweepPauseMs));
    this.#parts.store.scan(activation, parts.history.letter, { limit: sweepPageCount }).then(
      (page) => {
        if (activation.phase === 'dropped') return;
        const old = page.filter(([, bytes]) => glancePart('history', bytes).at < now - historyMs);
        if (old.length === sweepPageCount) activation.planHistory(now);
        for (const [name] of old) activation.entity.changes.records.set(name, null);
        if (old.length > 0) this.#parts.forgotten(activation);
      },
      () => undefined,
    );
  }
}
