/**
 * The record of an entity in memory: its state, its parts (activities, timers, holds, effects, …), and its unsaved changes.
 *
 * Owns the kinds of parts (`parts`) and their names in the store. `runtime/entity/record-format.ts` encodes them,
 * `runtime/worker/group-commit.ts` commits them. A new kind is a type and a descriptor here, its columns there, and its use.
 *
 * Invariants:
 * - R1 Every change of a part since the last drain is in `changes`, so that one commit can carry it.
 * - R2 `version` grows by one with each change that is to be committed as a whole, and with nothing else.
 */
import type { Activity, Content, Lineage, OutboxMessage } from './activity.ts';
import { lineageOf, newActivity } from './activity.ts';
import type { Limits } from './limits.ts';
import type { Address, PartnerId } from './message.ts';
import { keyOf } from './message.ts';
import { noParts, Parts, type Table, Weighed } from './small-map.ts';

/** A message to the entity itself at a time; with `to`, a message that then goes into the outbox for another entity. */
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

/** An accepted tentative operation. A lapsed one is kept to answer a late confirm. */
export interface HeldOperation {
  readonly id: string;
  readonly operation: string;
  readonly payload: Uint8Array;
  readonly until: number;
  readonly isLapsed: boolean;
}

/** An effect that a turn has performed and that has no outcome yet. */
export interface PendingEffect {
  readonly id: string;
  readonly name: string;
  readonly payload: Uint8Array;
}

/** A message that is not tried again automatically, with the reason (P7). */
export interface DeadLetter {
  readonly id: string;
  /** 'receiver': its turn kept failing in this entity. 'sender': it left this entity's outbox unacknowledged. */
  readonly side: 'receiver' | 'sender';
  readonly partner: PartnerId;
  readonly content: Content;
  readonly reason: string;
  /** The stack of the last error, for people to read; '' if there was none. */
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

/** One committed turn of an entity's history. */
export interface HistoryItem {
  readonly version: number;
  readonly at: number;
  readonly partner: PartnerId;
  readonly kind: string;
  readonly operation: string;
  /** The encoded input; for an effect, its outcome. */
  readonly payload: Uint8Array;
  /** The status of the answer; for an effect `done` or `failed`, unless its turn was refused. */
  readonly status: string;
  readonly sent: readonly { readonly to: PartnerId; readonly kind: string; readonly operation: string }[];
  /** The encoded state after the turn, if the turn changed it and it is small; else empty. */
  readonly state: Uint8Array;
}

/** An unacknowledged message in an entity's outbox. */
export interface OutboxRow {
  readonly partner: PartnerId;
  readonly message: OutboxMessage;
}

interface PartTypes {
  readonly activities: Activity;
  readonly outbox: OutboxRow;
  readonly history: HistoryItem;
  readonly timers: Timer;
  readonly holds: HeldOperation;
  readonly effects: PendingEffect;
  readonly dead: DeadLetter;
  readonly trials: Trial;
}
export type PartName = keyof PartTypes;
/** Kinds whose parts are all in memory while their entity is: each is a field of its record. */
export type TableName = Exclude<PartName, 'activities' | 'outbox' | 'history'>;
/** Kinds of parts that are written when they change; an activity is written as it is when its entity is. */
export type RowName = Exclude<PartName, 'activities'>;
/** A part of some kind. */
export type PartOf<Kind extends PartName> = PartTypes[Kind];

/** What is to be known of a kind of parts, whatever they are for. */
export interface PartKind<Part> {
  /** What the names of its records begin with; it orders them in the store. */
  readonly letter: string;
  /** The rest of that name, which no other part of its kind has. Any Unicode. */
  readonly idOf: (part: Part) => string;
  /** Its records stay in the store until they are needed: others are loaded with the entity. */
  readonly isLazy?: true;
  /** When its entity is to be awake for it, ms. */
  readonly dueOf?: (part: Part) => number;
  /** The entity is about to do something: with no store behind it, it stays in memory. */
  readonly isWork?: true;
  /** How many an entity may have, and how many bytes they may carry. */
  readonly room?: { readonly countMax: keyof Limits; readonly bytesMax: keyof Limits };
}

const digits = (count: number): string => count.toString(36).padStart(11, '0');
const outboxId = (partner: PartnerId, seq: number): string => `${partner}\0${digits(seq)}`;
const work = { isWork: true, room: { countMax: 'timerCountMax', bytesMax: 'timerBytesMax' } } as const;

const tables: { readonly [Name in TableName]: PartKind<PartTypes[Name]> } = {
  timers: { letter: 't', idOf: ({ name }) => name, dueOf: ({ due }) => due, ...work },
  holds: { letter: 'x', idOf: ({ id }) => id, dueOf: ({ until }) => until, ...work },
  effects: { letter: 'f', idOf: ({ id }) => id, ...work },
  dead: { letter: 'd', idOf: ({ id }) => id },
  trials: { letter: 'n', idOf: ({ key }) => key, dueOf: ({ until }) => until },
};

export const parts: { readonly [Name in PartName]: PartKind<PartTypes[Name]> } = {
  ...tables,
  activities: { letter: 'p', idOf: ({ partner }) => partner, isLazy: true },
  outbox: { letter: 'o', idOf: ({ partner, message }) => outboxId(partner, message.seq), isWork: true },
  history: { letter: 'h', idOf: ({ version }) => digits(version), isLazy: true },
};

/** A large state, and the patches after it: records of no part. */
const stateLetters = { snapshot: 's', patch: 'u' } as const;

export const partNames = Object.keys(parts) as readonly PartName[];
const tableNames = Object.keys(tables) as readonly TableName[];
const datedNames = tableNames.filter((name) => tables[name].dueOf !== undefined);

/** Names of an entity's records in the store: a letter that says what it is, and its id. */
export type RecordName = string;

/** Names of records that are asked for by what they are about. */
export const recordName = {
  activity: (partner: PartnerId): RecordName => parts.activities.letter + partner,
  outbox: (partner: PartnerId, seq: number): RecordName => parts.outbox.letter + outboxId(partner, seq),
  history: (version: number): RecordName => parts.history.letter + digits(version),
  snapshot: (): RecordName => stateLetters.snapshot,
  patch: (index: number): RecordName => stateLetters.patch + digits(index),
} as const;

const byLetter: ReadonlyMap<string, PartName> = new Map(partNames.map((name) => [parts[name].letter, name]));

/** What a record of this name is; undefined: of no kind that is known here. */
export function kindIn(name: RecordName): PartName | keyof typeof stateLetters | undefined {
  const letter = name.charAt(0);
  if (letter === stateLetters.snapshot) return 'snapshot';
  if (letter === stateLetters.patch) return 'patch';
  return byLetter.get(letter);
}

/** The id in the name of a record: what follows its letter. */
export function idIn(name: RecordName): string {
  return name.slice(1);
}

/** A part as the store is to have it. */
export type PartRow<Kind extends RowName = RowName> = {
  [Name in Kind]: { readonly kind: Name; readonly part: PartTypes[Name] };
}[Kind];

/** What one drain takes to the store: name → its new content, null for gone, 'activity' for 'as it is then'. */
export type RecordChange = null | 'activity' | PartRow;

/** Partners, or a few more: what it says no of, it does not have. */
export interface PartnerFilter {
  readonly count: number;
  add(partner: PartnerId): void;
  has(partner: PartnerId): boolean;
}

/** Added to by `addPart` alone. */
export type Tables = { [Name in TableName]: Table<PartTypes[Name]> };

export interface EntityRecord extends Tables {
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

/** Put a part into one of the tables, which most entities have nothing in. */
export function addPart<Name extends TableName>(
  record: EntityRecord,
  name: Name,
  id: string,
  part: PartTypes[Name],
): void {
  const tables: Record<Name, Table<PartTypes[Name]>> = record as never;
  if (tables[name] === noParts) tables[name] = new Weighed<PartTypes[Name]>();
  tables[name].set(id, part);
}

/** The entity has this part from here on, in place of one of its id (R1). */
export function putPart<Name extends TableName>(record: EntityRecord, name: Name, part: PartTypes[Name]): void {
  putRow(record, { kind: name, part } as PartRow<Name>);
}

/** The same with what goes to the store. */
export function putRow<Name extends TableName>(record: EntityRecord, row: PartRow<Name>): void {
  const { kind, part }: { readonly kind: Name; readonly part: PartTypes[Name] } = row;
  const { letter, idOf } = tables[kind];
  const id = idOf(part);
  addPart(record, kind, id, part);
  record.changes.records.set(letter + id, row as RecordChange);
}

/** The store is to have it as it is now (R1). */
export function notePart<Kind extends RowName>(record: EntityRecord, kind: Kind, part: PartTypes[Kind]): void {
  const name = parts[kind].letter + parts[kind].idOf(part);
  record.changes.records.set(name, { kind, part } as RecordChange);
}

/** A part is gone (R1). */
export function dropPart(record: EntityRecord, name: TableName, id: string): void {
  record[name].delete(id);
  record.changes.records.set(tables[name].letter + id, null);
}

/** All that a store has as records of their own of an entity that it knows, but for its activities. */
export function rowsOf(record: EntityRecord): [RecordName, PartRow][] {
  const rows: ReturnType<typeof rowsOf> = [];
  for (const { partner, outbound } of record.activities.values())
    for (const message of outbound?.unacked ?? [])
      rows.push([recordName.outbox(partner, message.seq), { kind: 'outbox', part: { partner, message } }]);
  for (const kind of tableNames)
    for (const [id, part] of record[kind]) rows.push([tables[kind].letter + id, { kind, part } as PartRow<TableName>]);
  return rows;
}

/** Whether there is anything that the entity is about to do, beside its outbox. */
export function hasWork(record: EntityRecord): boolean {
  return tableNames.some((name) => tables[name].isWork === true && record[name].size > 0);
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

/** The same without what is under way already: messages and effects. `after`: dates until then have had their wake. */
export function ownTime(record: EntityRecord, after = Number.NEGATIVE_INFINITY): number | undefined {
  const { forgetAt } = record;
  let soonest = forgetAt > 0 && forgetAt > after ? forgetAt : undefined;
  for (const name of datedNames) if (record[name].size > 0) soonest = soonestOf(record, name, { after, soonest });
  return soonest;
}

/** When the entity is to be awake for a part; undefined: not at all, or it has gone. */
export function dateOf<Name extends TableName>(record: Tables, name: Name, id: string): number | undefined {
  const { [name]: table } = record;
  const part = table.get(id);
  return part === undefined ? undefined : tables[name].dueOf?.(part);
}

function soonestOf<Name extends TableName>(
  record: Tables,
  name: Name,
  { after, soonest }: { after: number; soonest: number | undefined },
): number | undefined {
  const { dueOf } = tables[name];
  let first = soonest;
  for (const part of record[name].values()) {
    const due = dueOf?.(part) ?? after;
    if (due > after && (first === undefined || due < first)) first = due;
  }
  return first;
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

/** Have the activities that are not in memory looked through by then. */
export function planSearch(record: EntityRecord, at: number): void {
  record.searchAt = sooner(record.searchAt, at);
  record.forgetAt = sooner(record.forgetAt, record.searchAt);
}
