/**
 * What an entity is in memory: its state, activities, timers, holds, effects and dead letters, and which of them the
 * store does not know yet.
 *
 * Owns the names under which the parts are stored. Does not own how they are encoded (`runtime/entity/record-writer.ts`) nor
 * when they are committed (`runtime/worker/group-commit.ts`).
 *
 * Invariants:
 * - R1 Every change of a part since the last drain is in `changes`, so that one commit can carry it.
 * - R2 `version` grows by one with each change that is to be committed as a whole, and with nothing else.
 */
import type { Activity, Content, Lineage, Outbound, OutboxMessage } from './activity.ts';
import { lineageOf, newActivity, send, withdraw } from './activity.ts';
import type { Address, PartnerId } from './message.ts';
import { keyOf } from './message.ts';
import { noParts, Parts } from './small-map.ts';

/**
 * Names of an entity's records in the store. The first letter is the table: it orders records and lets a store leave
 * `activity`, `dead` and `history` records where they are until they are needed. Any Unicode may follow.
 */
export type RecordName = string;

const digits = (count: number): string => count.toString(36).padStart(11, '0');

export const recordName = {
  activity: (partner: PartnerId): RecordName => `p${partner}`,
  outbox: (partner: PartnerId, seq: number): RecordName => `o${partner}\0${digits(seq)}`,
  timer: (name: string): RecordName => `t${name}`,
  hold: (id: string): RecordName => `x${id}`,
  effect: (id: string): RecordName => `f${id}`,
  dead: (id: string): RecordName => `d${id}`,
  trial: (key: string): RecordName => `n${key}`,
  history: (version: number): RecordName => `h${digits(version)}`,
  snapshot: (): RecordName => 's',
  patch: (index: number): RecordName => `u${digits(index)}`,
} as const;

/** A message to itself at a time; with `to`, one that then goes into the outbox for another entity. */
export interface Timer {
  readonly name: string;
  readonly due: number;
  /** Orders timers that are due at the same time. */
  readonly order: number;
  readonly to: PartnerId;
  readonly content: Content;
}

/** Whether it is a message rather than a timer that the application has named. */
export function isUnnamed(timer: string): boolean {
  return timer.startsWith('~');
}

/** A tentative operation that was accepted. Once lapsed it is remembered to answer a late confirm. */
export interface HeldOperation {
  readonly id: string;
  readonly operation: string;
  readonly payload: Uint8Array;
  readonly until: number;
  readonly isLapsed: boolean;
}

export interface PendingEffect {
  readonly id: string;
  readonly name: string;
  readonly payload: Uint8Array;
}

/** A message that will not be tried again by itself, with the reason (P7). */
export interface DeadLetter {
  readonly id: string;
  /** 'receiver': its turn kept failing here. 'sender': it left this entity's outbox unacknowledged. */
  readonly side: 'receiver' | 'sender';
  readonly partner: PartnerId;
  readonly content: Content;
  readonly reason: string;
  /** Of what was thrown last, for people; '' where nothing was. */
  readonly stack: string;
  readonly at: number;
  readonly attempts: number;
}

/** A note that something is about to be run: should the process end, its tries are counted (`runtime/entity/crash-notes.ts`). */
export interface Trial {
  readonly key: string;
  /** Unclean ends of a worker while it was under way. */
  readonly ends: number;
  /** Of the claim by which it was noted. */
  readonly epoch: number;
  /** From then on nobody asks for it again, ms: the note goes. */
  readonly until: number;
}

/** One committed turn as `history` keeps it. */
export interface HistoryItem {
  readonly version: number;
  readonly at: number;
  readonly partner: PartnerId;
  readonly kind: string;
  readonly operation: string;
  /** The input; of an effect its outcome. */
  readonly payload: Uint8Array;
  /** Of the answer; of an effect `done` or `failed`, unless its turn was refused. */
  readonly status: string;
  readonly sent: readonly { readonly to: PartnerId; readonly kind: string; readonly operation: string }[];
  /** The state after the turn if the turn changed it and it is small; else empty. */
  readonly state: Uint8Array;
}

/** What one drain takes to the store: name → its new content, null for gone, 'activity' for 'as it is then'. */
export type RecordChange =
  | null
  | 'activity'
  | OutboxRow
  | Timer
  | HeldOperation
  | PendingEffect
  | DeadLetter
  | Trial
  | HistoryItem;

export interface OutboxRow {
  readonly partner: PartnerId;
  readonly message: OutboxMessage;
}

/** Partners, or a few more: what it says no of, it does not have. */
export interface PartnerFilter {
  readonly count: number;
  add(partner: PartnerId): void;
  has(partner: PartnerId): boolean;
}

export interface EntityRecord {
  readonly address: Address;
  readonly key: string;
  /** What sessions and ids of its turns begin with. */
  lineage: Lineage;
  version: number;
  readonly state: { value: unknown };
  /** Size of the encoded state, bytes: exact when small, at most a little too large when written as patches. */
  stateBytes: number;
  /** Time of the last turn, ms. */
  now: number;
  readonly activities: Parts<PartnerId, Activity>;
  /** Whether every activity that the store has is in `activities`. */
  isComplete: boolean;
  /** Where not: partners of which the store may have one beyond those. Undefined: any partner. */
  stored: PartnerFilter | undefined;
  // Added to by `addPart` alone.
  timers: Table<Timer>;
  holds: Table<HeldOperation>;
  effects: Table<PendingEffect>;
  dead: Table<DeadLetter>;
  trials: Table<Trial>;
  /** When a quiet stream is next to be closed or a record forgotten, ms; 0: nothing waits for that. */
  forgetAt: number;
  /** When the activities that are not in memory are next looked through, ms; 0: not at all. `forgetAt` is no later. */
  searchAt: number;
  /** Activities that may be in the store and not in memory, at least. */
  unseenCount: number;
  /** Messages not yet acknowledged, over all activities, and the bytes of what they carry. */
  outboxCount: number;
  outboxBytes: number;
  readonly changes: Changes;
}

export interface Changes {
  isStateChanged: boolean;
  /** The state encoded as it is after the last turn, where it is small enough to be written whole each time. */
  whole: Uint8Array | undefined;
  /** Encoded patches of the turns since the last drain, or undefined: the state must be written whole. */
  patches: readonly Uint8Array[] | undefined;
  readonly records: Parts<RecordName, RecordChange>;
}

/** Nobody is to write these any more: they have been, or never will be (volatile types). */
export function forgetChanges(changes: Changes): void {
  changes.records.clear();
  changes.isStateChanged = false;
  changes.whole = undefined;
  changes.patches = noPatches;
}

const noPatches: readonly Uint8Array[] = [];

/** Of records that nobody sends from. */
const noLineage = lineageOf('', 0);

export function newRecord(address: Address, state: unknown, lineage = noLineage): EntityRecord {
  return {
    address,
    key: keyOf(address),
    lineage,
    version: 0,
    state: { value: state },
    stateBytes: 0,
    now: 0,
    activities: new Parts(),
    isComplete: true,
    stored: undefined,
    timers: noParts,
    holds: noParts,
    effects: noParts,
    dead: noParts,
    trials: noParts,
    forgetAt: 0,
    searchAt: 0,
    unseenCount: 0,
    outboxCount: 0,
    outboxBytes: 0,
    changes: { isStateChanged: false, whole: undefined, patches: noPatches, records: new Parts() },
  };
}

/** Whether the store may have an activity with this partner that is not in memory: it must be read before it is used. */
export function isUnread(record: EntityRecord, partner: PartnerId): boolean {
  const { isComplete, activities, stored } = record;
  return !isComplete && !activities.has(partner) && stored?.has(partner) !== false;
}

type Tables = Pick<EntityRecord, 'timers' | 'holds' | 'effects' | 'dead' | 'trials'>;
type PartOf<Of> = Of extends Parts<string, infer Part> ? Part : never;

/** A table that knows how many bytes its parts carry. */
export type Table<Part> = Parts<string, Part> & { readonly bytes: number };

class Weighed<Part extends object> extends Parts<string, Part> {
  bytes = 0;

  override set(key: string, part: Part): void {
    this.bytes += bytesOf(part) - bytesOf(this.get(key));
    super.set(key, part);
  }

  override delete(key: string): boolean {
    const left = this.bytes - bytesOf(this.get(key));
    const isGone = super.delete(key);
    this.bytes = left;
    return isGone;
  }

  override clear(): void {
    super.clear();
    this.bytes = 0;
  }
}

/** What something that a turn has decided on carries. */
export function bytesOf(part: { readonly content?: Content; readonly payload?: Uint8Array } | undefined): number {
  return (part?.content?.payload ?? part?.payload)?.length ?? 0;
}

/** Put a part into one of the tables that most entities have nothing in. */
export function addPart<Name extends keyof Tables>(
  record: EntityRecord,
  name: Name,
  key: string,
  part: PartOf<Tables[Name]>,
): void {
  const tables: Record<Name, Table<PartOf<Tables[Name]>>> = record as never;
  if (tables[name] === noParts) tables[name] = new Weighed<PartOf<Tables[Name]>>();
  tables[name].set(key, part);
}

/**
 * The entity's time, ms: it does not go back with a clock that does (another worker's, a corrected one), but follows none that
 * was further ahead than the clocks of workers may be: one turn under a wrong clock would make all later dates as wrong.
 */
export function timeOf({ now }: EntityRecord, clock: number, skewMaxMs: number): number {
  return now > clock && now <= clock + skewMaxMs ? now : clock;
}

/** The sooner of two dates, of which 0 is none. */
export function sooner(one: number, other: number): number {
  if (one === 0 || other === 0) return one + other;
  return Math.min(one, other);
}

/** When the entity next wants to be woken though nobody calls, ms; 0: at once; undefined: not at all. */
export function wakeTime(record: EntityRecord): number | undefined {
  return record.outboxCount > 0 || record.effects.size > 0 ? 0 : ownTime(record);
}

/** The same without what is under way already: messages and effects. */
export function ownTime(record: EntityRecord): number | undefined {
  let soonest: number | undefined = record.forgetAt === 0 ? undefined : record.forgetAt;
  if (record.timers.size > 0)
    for (const timer of record.timers.values()) if (soonest === undefined || timer.due < soonest) soonest = timer.due;
  if (record.holds.size > 0)
    for (const hold of record.holds.values()) if (soonest === undefined || hold.until < soonest) soonest = hold.until;
  if (record.trials.size > 0)
    for (const { until } of record.trials.values()) if (soonest === undefined || until < soonest) soonest = until;
  return soonest;
}

/** The activity with a partner, begun if there is none. */
export function activityWith(record: EntityRecord, partner: PartnerId): Activity {
  let activity = record.activities.get(partner);
  if (activity === undefined) {
    activity = newActivity(partner);
    record.activities.set(partner, activity);
  }
  return activity;
}

/** It is in an outbox of the entity. */
export function joinOutbox(record: EntityRecord, message: OutboxMessage): void {
  record.outboxCount += 1;
  record.outboxBytes += bytesOf(message);
}

/** It is in none any more. */
export function leaveOutbox(record: EntityRecord, message: OutboxMessage): void {
  record.outboxCount -= 1;
  record.outboxBytes -= bytesOf(message);
}

/** Number a message for a partner and put it into the outbox (R1). */
export function enqueueMessage(
  record: EntityRecord,
  activity: Activity,
  content: Content,
  dates: { now: number; expires: number },
): OutboxMessage {
  const message = send(activity, content, record.lineage, dates);
  joinOutbox(record, message);
  record.changes.records.set(recordName.outbox(activity.partner, message.seq), { partner: activity.partner, message });
  record.changes.records.set(recordName.activity(activity.partner), 'activity');
  return message;
}

/** What is never sent again by itself: a dead letter of its sender, named after the version that has it (P7). */
export function buryUnsent(
  record: EntityRecord,
  partner: PartnerId,
  { seq, content }: OutboxMessage,
  { version, reason, at }: { version: number; reason: string; at: number },
): DeadLetter {
  // Several may be buried by one commit.
  const id = record.dead.has(`${version}`) ? `${version}-${seq}` : `${version}`;
  const letter: DeadLetter = { id, side: 'sender', stack: '', partner, content, reason, at, attempts: 0 };
  addPart(record, 'dead', id, letter);
  record.changes.records.set(recordName.dead(id), letter);
  return letter;
}

/** A message that a turn takes out of an outbox. */
export interface Withdrawal {
  readonly activity: Activity;
  readonly outbound: Outbound;
  readonly message: OutboxMessage;
}

/** It leaves the outbox for the dead letters, in one commit (R1, P7). */
export function withdrawMessage(
  record: EntityRecord,
  { activity: { partner }, outbound, message }: Withdrawal,
  burial: { version: number; reason: string; at: number },
): void {
  withdraw(outbound, message, burial.at);
  leaveOutbox(record, message);
  record.changes.records.set(recordName.outbox(partner, message.seq), null);
  record.changes.records.set(recordName.activity(partner), 'activity');
  buryUnsent(record, partner, message, burial);
}

/** Have the activities that are not in memory looked through by then. */
export function planSearch(record: EntityRecord, at: number): void {
  record.searchAt = sooner(record.searchAt, at);
  record.forgetAt = sooner(record.forgetAt, record.searchAt);
}
