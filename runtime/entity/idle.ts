/**
 * Resting: what an activation gives back that nobody has called for a moment, and has again when somebody does.
 *
 *     ready ──nobody calls──▶ at rest: state, and its partners as one text ──an item──▶ ready, as it was
 *
 * Owns how little an idle entity costs (a worker has a million) without a read of the store for the next call. One that has
 * too many partners for that leaves them to the store, and notes who they are (`partner-filter.ts`).
 *
 * Invariants:
 * - RS1 What rests is what the store has; what comes back is the same, and as complete.
 */
import { forgetDate } from '../../core/activity.ts';
import type { Limits } from '../../core/limits.ts';
import { type EntityRecord, planSearch } from '../../core/record.ts';
import type { Environment } from '../environment.ts';
import type { Activation } from './activation.ts';
import { BloomPartnerFilter, noteStored } from './partner-filter.ts';
import { packActivities } from './record-format.ts';
import { restoreActivities } from './record-reader.ts';

/** Partners of an entity at rest that stay in memory with it, and the bytes that they may take together. */
const keptCountMax = 16;
const keptBytesMax = 2_048;
const minuteMs = 60_000;
/** Beyond all dates, and a small integer. */
const minutesMax = 2 ** 30;

/** Give back what it does not need. It is durable, and waits for nothing. */
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
  // What is in the head stays in memory (F3); it is within these bounds when it was written, and becomes less until it is again.
  if (rested === undefined && activation.layout.hasActivities) return;
  activation.rest(rested, minutesUntilForgotten(entity, limits));
  if (rested === undefined) leaveToStore(entity, environment.now(), limits);
  entity.activities.clear();
  entity.isComplete = false;
}

/**
 * When the first of its partners may be forgotten, by what wakes it anyway: nobody else tells it of a client that is gone. A
 * small integer, since a date takes 16 bytes more of each entity.
 */
function minutesUntilForgotten(entity: EntityRecord, limits: Limits): number {
  let date = minuteMs * minutesMax;
  for (const { inbound } of entity.activities.values()) date = Math.min(date, forgetDate(inbound, limits));
  return Math.ceil(date / minuteMs);
}

/** Whether it is time for that: until then it need not be recalled. */
export function mayForgetRested({ restedMinutes }: Activation, now: number): boolean {
  return now >= restedMinutes * minuteMs;
}

/** Everything about its partners, or undefined if that is much. Latin-1: a text of one byte a character costs no more than they do. */
function textOf(entity: EntityRecord): string | undefined {
  const packed = packActivities(entity, keptCountMax, keptBytesMax);
  if (packed === undefined || typeof packed === 'string') return undefined;
  return Buffer.from(packed.buffer, packed.byteOffset, packed.length).toString('latin1');
}

/**
 * As it was before it rested (RS1). What needs no partner (a timer, a query) need not ask. False: it has nothing more than it
 * had.
 */
export function recall(activation: Activation): boolean {
  const rested = activation.takeRested();
  if (rested === undefined) return false;
  const { entity } = activation;
  restoreActivities(entity, Buffer.from(rested, 'latin1'));
  entity.isComplete = true;
  return true;
}

/** What is not in memory is not seen to be over: when it has become much, it is looked through. */
function leaveToStore(entity: EntityRecord, now: number, limits: Limits): void {
  entity.unseenCount += entity.activities.size;
  if (entity.isComplete) entity.stored = new BloomPartnerFilter();
  for (const activity of entity.activities.values()) noteStored(entity, activity);
  // Closed streams have their date already; from here it is that of a search.
  if (entity.forgetAt > 0) planSearch(entity, entity.forgetAt);
  // An idempotency key that lives long must not keep all others alive.
  const isPlanned = entity.searchAt > 0 && entity.searchAt <= now + limits.horizonMs;
  if (entity.unseenCount > limits.activityCountMax && !isPlanned) planSearch(entity, now + limits.doubtMs);
}
