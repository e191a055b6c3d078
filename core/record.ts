/**
 * The record of an entity in memory: its state, its parts (activities, timers, holds, effects, …), and its unsaved changes.
 *
 * Owns the kinds of parts (`parts`) and their names in the store. `runtime/entity/record-format.ts` encodes them,
 * `runtime/worker/group-commit.ts` commits them. A new kind is a type and a descriptor here, its columns there, and its use.
 *
 * Longer than 400 lines because a kind of part is its type, its descriptor and its table in the record.
 *
 * Invariants:
 * - R1 Every change of a part since the last drain is in `changes`, so that one commit can carry it.
 * - R2 `version` grows by one with each change that is to be committed as a whole, and with nothing else.
 */
import type { Activity, Content, Lineage, OutboxMessage } from './activity.ts';
import { lineageOf, newActivity } from './activity.ts';
import type { AgreementNews, AgreementPart } from './agreement-part.ts';
import type { LaterAnswer } from './later.ts';
import type { Limits } from './limits.ts';
import type { Address, PartnerId } from './message.ts';
import { keyOf } from './message.ts';
import { noParts, Parts, type Table, Weighed } from './small-map.ts';
import type { Timer } from './timer.ts';

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

/** A note that a turn or effect is about to run, so that runs which end the process are counted (`runtime/entity/crash-notes.ts`). */
export interface Trial {
  readonly key: string;
  /** Unclean ends of a worker while it ran. */
  readonly ends: number;
  /** The epoch of the claim under which it was noted. */
  readonly epoch: number;
  /** When it can no longer be requested and the note is removed, ms. */
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
  /** What the turn did to agreements; absent: nothing. */
  readonly agreements?: readonly AgreementNews[];
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
  readonly later: LaterAnswer;
  readonly agreements: AgreementPart;
}
export type PartName = keyof PartTypes;
/** Kinds whose parts are all in memory while the entity is. Each is a field of its record. */
export type TableName = Exclude<PartName, 'activities' | 'outbox' | 'history'>;
/** Kinds whose parts are written as they were when they changed. An activity is written as it is at the commit. */
export type RowName = Exclude<PartName, 'activities'>;
/** A part of some kind. */
export type PartOf<Kind extends PartName> = PartTypes[Kind];

/** The descriptor of a kind of parts. */
export interface PartKind<Part> {
  /** The first letter of its records' names, which orders them in the store. */
  readonly letter: string;
  /** The rest of that name, unique within the kind. Any Unicode. */
  readonly idOf: (part: Part) => string;
  /** Its records stay in the store until they are needed. Other kinds are loaded with the entity. */
  readonly isLazy?: true;
  /** When the entity has to be awake for it, ms. */
  readonly dueOf?: (part: Part) => number | undefined;
  /** Pending work: an entity without a store stays in memory while it has some. */
  readonly isWork?: true;
  /** The limits on the number of parts and on the bytes that they carry. */
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
  later: { letter: 'l', idOf: ({ id }) => id, dueOf: ({ until }) => until, ...work },
  agreements: { letter: 'g', idOf: ({ id }) => id, dueOf: ({ due }) => due || undefined, ...work },
};

export const parts: { readonly [Name in PartName]: PartKind<PartTypes[Name]> } = {
  ...tables,
  activities: { letter: 'p', idOf: ({ partner }) => partner, isLazy: true },
  outbox: { letter: 'o', idOf: ({ partner, message }) => outboxId(partner, message.seq), isWork: true },
  history: { letter: 'h', idOf: ({ version }) => digits(version), isLazy: true },
};

/** A large state and the patches after it. These records belong to no part. */
const stateLetters = { snapshot: 's', patch: 'u' } as const;

export const partNames = Object.keys(parts) as readonly PartName[];
const tableNames = Object.keys(tables) as readonly TableName[];
const datedNames = tableNames.filter((name) => tables[name].dueOf !== undefined);

/** The name of an entity's record in the store: the letter of its kind, then its id. */
export type RecordName = string;

/** Names of the records that are read or written by their subject. */
export const recordName = {
  activity: (partner: PartnerId): RecordName => parts.activities.letter + partner,
  outbox: (partner: PartnerId, seq: number): RecordName => parts.outbox.letter + outboxId(partner, seq),
  history: (version: number): RecordName => parts.history.letter + digits(version),
  snapshot: (): RecordName => stateLetters.snapshot,
  patch: (index: number): RecordName => stateLetters.patch + digits(index),
} as const;

const byLetter: ReadonlyMap<string, PartName> = new Map(partNames.map((name) => [parts[name].letter, name]));

/** The kind of the record with this name; undefined: an unknown kind. */
export function kindIn(name: RecordName): PartName | keyof typeof stateLetters | undefined {
  const letter = name.charAt(0);
  if (letter === stateLetters.snapshot) return 'snapshot';
  if (letter === stateLetters.patch) return 'patch';
  return byLetter.get(letter);
}

/** The id in the name of a record: all after its letter. */
export function idIn(name: RecordName): string {
  return name.slice(1);
}

/** A part as it is to be stored. */
export type PartRow<Kind extends RowName = RowName> = {
  [Name in Kind]: { readonly kind: Name; readonly part: PartTypes[Name] };
}[Kind];

/** A change that a drain takes to the store: a new part, null if removed, 'activity' for the activity as it is then. */
export type RecordChange = null | 'activity' | PartRow;

/** A set of partners with false positives: `has` may be wrong when it says yes, never when it says no. */
export interface PartnerFilter {
  readonly count: number;
  add(partner: PartnerId): void;
  has(partner: PartnerId): boolean;
}

/** Only `addPart` adds to them. */
export type Tables = { [Name in TableName]: Table<PartTypes[Name]> };

export interface EntityRecord extends Tables {
  readonly address: Address;
  readonly key: string;
  /** Sessions and ids made by its turns begin with this lineage. */
  lineage: Lineage;
  version: number;
  readonly state: { value: unknown };
  /** Size of the encoded state, bytes. Exact if the state is small; slightly too large if it is written as patches. */
  stateBytes: number;
  /** Time of the last turn, ms. */
  now: number;
  readonly activities: Parts<PartnerId, Activity>;
  /** Whether `activities` holds every activity that the store has. */
  isComplete: boolean;
  /** If not: partners that the store may have further activities with. Undefined: any partner. */
  stored: PartnerFilter | undefined;
  /** When an idle stream is next to be closed or an activity forgotten, ms; 0: never. */
  forgetAt: number;
  /** When activities that are not in memory are next searched, ms; 0: never. `forgetAt` is no later. */
  searchAt: number;
  /** A lower bound of the activities that may be in the store but not in memory. */
  unseenCount: number;
  /** Unacknowledged messages over all activities, and their payload bytes. */
  outboxCount: number;
  outboxBytes: number;
  readonly changes: Changes;
}

export interface Changes {
  isStateChanged: boolean;
  /** The encoded state after the last turn, if it is small enough to be written whole each time. */
  whole: Uint8Array | undefined;
  /** Encoded patches of the turns since the last drain; undefined: the state must be written whole. */
  patches: readonly Uint8Array[] | undefined;
  readonly records: Parts<RecordName, RecordChange>;
}

/** Clears the changes: they have been written or, for a volatile type, never will be. */
export function forgetChanges(changes: Changes): void {
  changes.records.clear();
  changes.isStateChanged = false;
  changes.whole = undefined;
  changes.patches = noPatches;
}

const noPatches: readonly Uint8Array[] = [];

/** For records whose entity sends nothing. */
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
    later: noParts,
    agreements: noParts,
    forgetAt: 0,
    searchAt: 0,
    unseenCount: 0,
    outboxCount: 0,
    outboxBytes: 0,
    changes: { isStateChanged: false, whole: undefined, patches: noPatches, records: new Parts() },
  };
}

/** Whether the store may have an activity with this partner that is not in memory and must be read before it is used. */
export function isUnread(record: EntityRecord, partner: PartnerId): boolean {
  const { isComplete, activities, stored } = record;
  return !isComplete && !activities.has(partner) && stored?.has(partner) !== false;
}

/** Adds a part to a table. Most tables of most entities are empty and shared. */
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

/** Adds a part in place of one with the same id, and records the change (R1). */
export function putPart<Name extends TableName>(record: EntityRecord, name: Name, part: PartTypes[Name]): void {
  putRow(record, { kind: name, part } as PartRow<Name>);
}

/** The same for a row. */
export function putRow<Name extends TableName>(record: EntityRecord, row: PartRow<Name>): void {
  const { kind, part }: { readonly kind: Name; readonly part: PartTypes[Name] } = row;
  const { letter, idOf } = tables[kind];
  const id = idOf(part);
  addPart(record, kind, id, part);
  record.changes.records.set(letter + id, row as RecordChange);
}

/** Records that the part is to be stored as it is now (R1). */
export function notePart<Kind extends RowName>(record: EntityRecord, kind: Kind, part: PartTypes[Kind]): void {
  const name = parts[kind].letter + parts[kind].idOf(part);
  record.changes.records.set(name, { kind, part } as RecordChange);
}

/** Removes a part and records the change (R1). */
export function dropPart(record: EntityRecord, name: TableName, id: string): void {
  record[name].delete(id);
  record.changes.records.set(tables[name].letter + id, null);
}

/** Every row that a store has of an entity, except activities. */
export function rowsOf(record: EntityRecord): [RecordName, PartRow][] {
  const rows: ReturnType<typeof rowsOf> = [];
  for (const { partner, outbound } of record.activities.values())
    for (const message of outbound?.unacked ?? [])
      rows.push([recordName.outbox(partner, message.seq), { kind: 'outbox', part: { partner, message } }]);
  for (const kind of tableNames)
    for (const [id, part] of record[kind]) rows.push([tables[kind].letter + id, { kind, part } as PartRow<TableName>]);
  return rows;
}

/** Whether the entity has pending work apart from its outbox. */
export function hasWork(record: EntityRecord): boolean {
  return tableNames.some((name) => tables[name].isWork === true && record[name].size > 0);
}

/**
 * The entity's time, ms. It does not go back with a clock that does, such as another worker's or a corrected one. A last turn further
 * ahead than skewMaxMs does not count: otherwise one turn under a wrong clock would falsify all later dates.
 */
export function timeOf({ now }: EntityRecord, clock: number, skewMaxMs: number): number {
  return now > clock && now <= clock + skewMaxMs ? now : clock;
}

/** The sooner of two dates; 0 means no date. */
export function sooner(one: number, other: number): number {
  if (one === 0 || other === 0) return one + other;
  return Math.min(one, other);
}

/** When the entity must next be awake even if nobody calls it, ms; 0: at once; undefined: never. */
export function wakeTime(record: EntityRecord): number | undefined {
  return record.outboxCount > 0 || record.effects.size > 0 ? 0 : ownTime(record);
}

/** The same without messages and effects, which are in progress already. Dates up to `after` have been handled. */
export function ownTime(record: EntityRecord, after = Number.NEGATIVE_INFINITY): number | undefined {
  const { forgetAt } = record;
  let soonest = forgetAt > 0 && forgetAt > after ? forgetAt : undefined;
  for (const name of datedNames) if (record[name].size > 0) soonest = soonestOf(record, name, { after, soonest });
  return soonest;
}

/** When the entity must be awake for a part; undefined: never, or the part is gone. */
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

/** The activity with a partner. It is created if there is none. */
export function activityWith(record: EntityRecord, partner: PartnerId): Activity {
  let activity = record.activities.get(partner);
  if (activity === undefined) {
    activity = newActivity(partner);
    record.activities.set(partner, activity);
  }
  return activity;
}

/** Plans a search of the activities that are not in memory, at this time at the latest. */
export function planSearch(record: EntityRecord, at: number): void {
  record.searchAt = sooner(record.searchAt, at);
  record.forgetAt = sooner(record.forgetAt, record.searchAt);
}
