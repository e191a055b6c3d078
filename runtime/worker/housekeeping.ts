/**
 * Housekeeping: the work that an entity does by itself between messages, and its next date.
 *
 * Owns the date at which an entity is woken, in memory or not. `entity/turns.ts`, `entity/delivery.ts` and `entity/retention.ts` run
 * what is due then.
 *
 * Invariants:
 * - W3 An entity with work of its own is woken for it, in memory or not.
 */
import type { Limits } from '../../core/limits.ts';
import { ownTime, wakeTime } from '../../core/record.ts';
import type { Activation } from '../entity/activation.ts';
import type { Delivery } from '../entity/delivery.ts';
import type { Effects } from '../entity/effects.ts';
import type { Retention } from '../entity/retention.ts';
import type { Schedule } from '../entity/schedule.ts';
import type { StreamClosing } from '../entity/stream-closing.ts';
import type { Environment } from '../environment.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { GroupCommit } from './group-commit.ts';

export interface HousekeepingParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly dates: Schedule;
  readonly delivery: Delivery;
  readonly closing: StreamClosing;
  readonly retention: Retention;
  readonly effects: Effects;
  readonly commits: GroupCommit;
  readonly dispatcher: Dispatcher;
}

export class Housekeeping {
  readonly #parts: HousekeepingParts;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  /** The activation can run turns, for the first time or again: its own work continues, and waiting items are run. */
  readonly ready = (activation: Activation): void => {
    // After a read it may have turns that are not durable. Their messages go with their commit (P2).
    if (activation.flights === undefined && activation.isDurable) this.#parts.delivery.resume(activation);
    this.startEffects(activation);
    this.plan(activation);
    this.#parts.dispatcher.enlist(activation);
  };

  /** A batch may leave: its entity may have work of its own. */
  released(activation: Activation): void {
    this.plan(activation);
  }

  /** Sets the wake time that the store has just got, or has returned. */
  plan(activation: Activation): void {
    const next = nextDate(activation);
    if (next < Number.POSITIVE_INFINITY) this.#parts.dates.setEarlier(activation.address, next);
  }

  /** Starts effects that the store has and nobody runs: after a start, or a stay outside memory. */
  startEffects(activation: Activation): void {
    if (!activation.isDurable) return;
    for (const effect of activation.entity.effects.values()) {
      if (!activation.hasOutcome(effect.id))
        this.#parts.effects.start(activation.address, activation.behaviour, effect);
    }
  }

  /** After due items have run: does the rest, and sets the date of the next wake (W3). */
  afterWake(activation: Activation): void {
    const { environment, delivery, dates } = this.#parts;
    const now = environment.now();
    const retryAt = delivery.retry(activation, now);
    this.startEffects(activation);
    // A turn that throws is tried again at its own date, not at the one that it missed.
    const next = Math.min(retryAt, this.tidy(activation, false), nextDate(activation, now));
    if (next < Number.POSITIVE_INFINITY) dates.setEarlier(activation.address, Math.max(next, now + 1));
  }

  /**
   * Writes acknowledgements, closes quiet streams, forgets what may be forgotten. Returns when there is more to do. `isLast`: the worker
   * is leaving, so changes that may wait are written now.
   */
  tidy(activation: Activation, isLast: boolean): number {
    const { environment, closing, retention, commits } = this.#parts;
    const now = environment.now();
    const { entity, behaviour } = activation;
    const quiet = closing.closeIdle(activation, now);
    const isForgetting = retention.forget(activation, now, quiet.next);
    const isWriteDue = activation.writeAt !== 0 && (activation.writeAt <= now || isLast);
    // A past date that nobody needs would wake the entity again after every start.
    const { storedWakeAt } = activation;
    const isWakeStale =
      activation.isDurable && storedWakeAt !== undefined && storedWakeAt <= now && (wakeTime(entity) ?? now + 1) > now;
    if (quiet.isChanged || isForgetting || isWriteDue || isWakeStale) {
      entity.version += 1;
      activation.written();
      activation.batch();
      if (behaviour.durability === 'none') commits.commit(activation);
      else commits.add(activation);
    }
    return Math.min(quiet.next, activation.writeAt === 0 ? Number.POSITIVE_INFINITY : activation.writeAt);
  }

  /** The activation has left memory. Its date stays. */
  passivated(activation: Activation): void {
    const { environment, limits, delivery, dates } = this.#parts;
    const next = Math.min(nextDate(activation, environment.now()), delivery.retry(activation, 0));
    // A proof for a retransmission, or an effect, may be in flight. They would be left without a date.
    const { outboxCount, effects } = activation.entity;
    const again = outboxCount > 0 || effects.size > 0 ? environment.now() + limits.retryMs : Number.POSITIVE_INFINITY;
    if (Math.min(next, again) < Number.POSITIVE_INFINITY) dates.setEarlier(activation.address, Math.min(next, again));
  }
}

/**
 * The first of an entity's dates but for those of messages under way, which are `entity/delivery.ts`'s: of its parts and of what it may
 * forget, of tries again, and of what waits to be written with something else. `after`: dates of parts until then have had their wake.
 */
function nextDate({ entity, retries, writeAt }: Activation, after?: number): number {
  let next = ownTime(entity, after) ?? Number.POSITIVE_INFINITY;
  if (writeAt !== 0) next = Math.min(next, writeAt);
  if (retries !== undefined) for (const { at } of retries.values()) next = Math.min(next, at);
  return next;
}
