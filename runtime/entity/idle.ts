/**
 * Idle activations: an activation that has not been called for a moment gives back memory, and restores it with the next item.
 *
 *     ready ──no call──▶ at rest: state, and its activities as one text ──an item──▶ ready, as before
 *
 * Owns the memory of an idle entity (a worker has a million), without a read of the store for the next call. An entity with too many
 * partners for that leaves their activities in the store, and notes who the partners are (`partner-filter.ts`).
 *
 * Invariants:
 * - RS1 An activation at rest equals the stored entity. What is restored is the same, and as complete.
 */
import { forgetDate } from '../../core/activity.ts';
import type { Limits } from '../../core/limits.ts';
import { type EntityRecord, planSearch } from '../../core/record.ts';
import type { Environment } from '../environment.ts';
import type { Activation } from './activation.ts';
import { BloomPartnerFilter, noteStored } from './partner-filter.ts';
import { packActivities } from './record-format.ts';
import { restoreActivities } from './record-reader.ts';

/** Most partners of an entity at rest that stay in memory, and most bytes of their activities. */
const keptCountMax = 16;
const keptBytesMax = 2_048;
const minuteMs = 60_000;
/** Later than all dates, and a small integer. */
const minutesMax = 2 ** 30;

/** Gives back what the activation does not need. It is durable, and nothing waits for it. */
export function rest(
  activation: Activation,
  { environment, limits }: { environment: Environment; limits: Limits },
): void {
  activation.compact();
  const { entity } = activation;
  if (
    activation.isSearching ||
    activation.behaviour.durability !== 'turn' ||
    entity.outboxCount > 0 ||
    entity.activities.size === 0
  )
    return;
  for (const activity of entity.activities.values()) if (activity.outbound !== undefined) return;
  const rested = entity.isComplete ? textOf(entity) : undefined;
  // Activities in the head stay in memory (F3). They were within these bounds when written, and only shrink until the next write.
  if (rested === undefined && activation.layout.hasActivities) return;
  activation.rest(rested, minutesUntilForgotten(entity, limits));
  if (rested === undefined) leaveToStore(entity, environment.now(), limits);
  entity.activities.clear();
  entity.isComplete = false;
}

/**
 * When the first of its partners may be forgotten. The wake that it has anyway checks this, because a client that has gone does not
 * say so. A small integer, because a date takes 16 bytes more per entity.
 */
function minutesUntilForgotten(entity: EntityRecord, limits: Limits): number {
  let date = minuteMs * minutesMax;
  for (const { inbound } of entity.activities.values()) date = Math.min(date, forgetDate(inbound, limits));
  return Math.ceil(date / minuteMs);
}

/** Whether that time has come. Until then it need not be recalled. */
export function mayForgetRested({ restedMinutes }: Activation, now: number): boolean {
  return now >= restedMinutes * minuteMs;
}

/** The encoded activities, or undefined if they are too large. Latin-1: one byte per character. */
function textOf(entity: EntityRecord): string | undefined {
  const packed = packActivities(entity, keptCountMax, keptBytesMax);
  if (packed === undefined || typeof packed === 'string') return undefined;
  return Buffer.from(packed.buffer, packed.byteOffset, packed.length).toString('latin1');
}

/**
 * Restores it as it was before it rested (RS1). A turn that needs no partner (a timer, a query) need not call this. Returns false if
 * nothing was missing.
 */
export function recall(activation: Activation): boolean {
  const rested = activation.takeRested();
  if (rested === undefined) return false;
  const { entity } = activation;
  restoreActivities(entity, Buffer.from(rested, 'latin1'));
  entity.isComplete = true;
  return true;
}

/** Activities that are not in memory are not seen to expire. When there are many, they are searched. */
function leaveToStore(entity: EntityRecord, now: number, limits: Limits): void {
  entity.unseenCount += entity.activities.size;
  if (entity.isComplete) entity.stored = new BloomPartnerFilter();
  for (const activity of entity.activities.values()) noteStored(entity, activity);
  // Closed streams have their date already. From here on it is the date of a search.
  if (entity.forgetAt > 0) planSearch(entity, entity.forgetAt);
  // A long-lived idempotency key must not keep all others alive.
  const isPlanned = entity.searchAt > 0 && entity.searchAt <= now + limits.horizonMs;
  if (entity.unseenCount > limits.activityCountMax && !isPlanned) planSearch(entity, now + limits.doubtMs);
}
