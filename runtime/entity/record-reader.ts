/**
 * How an entity is read: from what a store loaded, or another worker passed on, back to a record. The format and what
 * promises that the two fit together are `record-writer.ts`'s, which writes it.
 */
import type {
  Activity,
  Content,
  Inbound,
  KeptAnswer,
  Outbound,
  OutboxMessage,
  SealedSession,
} from '../../core/activity.ts';
import { isEmpty, newActivity, newOutbound } from '../../core/activity.ts';
import type { Behaviour } from '../../core/behaviour.ts';
import { SkerryError } from '../../core/errors.ts';
import { defaultLimits, durationMsMax, type Limits } from '../../core/limits.ts';
import { type Address, keyOf, type PartnerId } from '../../core/message.ts';
import { applyPatch, editsIn } from '../../core/patch.ts';
import type {
  DeadLetter,
  EntityRecord,
  HeldOperation,
  HistoryItem,
  PendingEffect,
  Timer,
  Trial,
} from '../../core/record.ts';
import { activityWith, addPart, joinOutbox, newRecord, recordName } from '../../core/record.ts';
import { retained, storable } from '../../core/storable.ts';
import type { Loaded } from '../store.ts';
import { decode, encode, Row, rowOf } from '../wire/codec.ts';
import { type EntityLayout, formatVersion, newLayout } from './record-writer.ts';

/** The record of an entity that was never committed. Throws what the contract's `initial` throws. */
export function freshRecord(
  address: Address,
  behaviour: Behaviour,
  { stateBytesMax }: Limits = defaultLimits,
): EntityRecord {
  const state = storable(behaviour.contract.initial(keyOf(address)), `initial state of ${address}`, stateBytesMax);
  const record = newRecord(address, state);
  record.stateBytes = encode(state).length;
  return record;
}

/** The record and layout of what was loaded (F1), the state upgraded to the behaviour's version. Throws `store-format`. */
export function restore(
  address: Address,
  loaded: Loaded,
  behaviour: Behaviour,
  limits: Limits = defaultLimits,
): { record: EntityRecord; layout: EntityLayout } {
  const { record, layout, stateVersion } = restoreStored(address, loaded);
  upgrade(record, stateVersion, behaviour, limits);
  return { record, layout };
}

/** The version of a state; undefined: a newer Skerry wrote it, and nothing of it can be read here. */
export function stateVersionOf({ head }: Loaded): number | undefined {
  const row = rowOf(head);
  return row.number() > formatVersion ? undefined : row.number();
}

/** The record as it was stored, whatever its behaviour is now. Throws `store-format`. */
export function restoreStored(
  address: Address,
  loaded: Loaded,
): { record: EntityRecord; layout: EntityLayout; stateVersion: number } {
  const head = rowOf(loaded.head);
  const format = head.number();
  if (format > formatVersion)
    throw new SkerryError(
      'store-format',
      `${address} was written by a newer Skerry (format ${format}; this one reads ${formatVersion})`,
    );
  const stateVersion = head.number();
  const record = newRecord(address, undefined);
  record.version = loaded.version;
  record.now = head.storedDate();
  const [snapshotBytes, patchCount, patchBytes] = [head.number(), head.number(), head.number()];
  const inHead = head.bytesOrNull();
  record.forgetAt = head.storedDate();
  const activities = format > 1 ? head.bytesOrNull() : null;
  checkEnd(head);
  const layout: EntityLayout = {
    snapshotBytes,
    patchCount,
    patchBytes,
    hasActivities: activities !== null,
    large: undefined,
  };
  restoreParts(record, loaded.records);
  if (activities !== null) restoreActivities(record, activities);
  restoreState(record, inHead ?? undefined, loaded.records);
  return { record, layout, stateVersion };
}

/**
 * Have a record that came from memory be written whole over what the store has of its entity, at whatever version that is: the
 * layout to write it by, and whether the store still has a delayed message that the record has sent or is about to. `rows`: the
 * activities that the store has, as many as were asked for. What was closing is closed anew, with this write (CL1).
 */
export function overwrite(
  record: EntityRecord,
  stored: Loaded | undefined,
  rows: readonly (readonly [string, Uint8Array])[],
): { readonly layout: EntityLayout; readonly hasSent: boolean } {
  const before = stored === undefined ? undefined : restoreStored(record.address, stored);
  const hasSent = [...(before?.record.timers.values() ?? [])].some(
    ({ name, to }) => to !== '' && !record.timers.has(name),
  );
  record.version = Math.max(record.version, (stored?.version ?? 0) + 1);
  if (before?.layout.hasActivities === true && !record.isComplete) complete(record, before.record);
  const { changes } = record;
  changes.isStateChanged = true;
  changes.whole = undefined;
  changes.patches = undefined;
  for (const [name] of stored?.records ?? []) if (name[0] !== 's' && name[0] !== 'u') changes.records.set(name, null);
  if (record.isComplete) for (const [name] of rows) changes.records.set(name, 'activity');
  for (const { partner, outbound } of record.activities.values()) {
    if (outbound !== undefined) outbound.isClosing = false;
    changes.records.set(recordName.activity(partner), 'activity');
    for (const message of outbound?.unacked ?? [])
      changes.records.set(recordName.outbox(partner, message.seq), { partner, message });
  }
  for (const timer of record.timers.values()) changes.records.set(recordName.timer(timer.name), timer);
  for (const hold of record.holds.values()) changes.records.set(recordName.hold(hold.id), hold);
  for (const effect of record.effects.values()) changes.records.set(recordName.effect(effect.id), effect);
  for (const letter of record.dead.values()) changes.records.set(recordName.dead(letter.id), letter);
  return { layout: before?.layout ?? newLayout(), hasSent };
}

/** The store went back to when all partners were in the head (F3): there are these, and those in memory, of which an empty one is gone. */
function complete(record: EntityRecord, before: EntityRecord): void {
  for (const [partner, activity] of before.activities) {
    if (record.activities.has(partner)) continue;
    record.activities.set(partner, activity);
    for (const message of activity.outbound?.unacked ?? []) joinOutbox(record, message);
  }
  for (const [partner, one] of record.activities) if (isEmpty(one)) record.activities.delete(partner);
  record.isComplete = true;
}

function restoreState(record: EntityRecord, inHead: Uint8Array | undefined, records: Loaded['records']): void {
  if (inHead !== undefined) {
    record.state.value = decode(inHead);
    record.stateBytes = inHead.length;
    return;
  }
  for (const [name, bytes] of records) {
    if (name === recordName.snapshot()) {
      record.state.value = decode(bytes);
      record.stateBytes = bytes.length;
    }
  }
  for (const [name, bytes] of records) {
    if (name[0] !== 'u') continue;
    for (const patch of patchesIn(decode(bytes)))
      record.state.value = applyPatch(record.state.value, editsIn(decode(patch)));
    record.stateBytes += bytes.length;
  }
}

function patchesIn(stored: unknown): readonly Uint8Array[] {
  if (!Array.isArray(stored) || !stored.every((patch) => patch instanceof Uint8Array)) throw new Error('not patches');
  return stored;
}

function upgrade(record: EntityRecord, stateVersion: number, behaviour: Behaviour, { stateBytesMax }: Limits): void {
  if (stateVersion > behaviour.version) {
    throw new SkerryError(
      'store-format',
      `${record.address} has a state of version ${stateVersion}; this behaviour of '${behaviour.contract.type}' knows ${behaviour.version}`,
    );
  }
  if (stateVersion === behaviour.version) return;
  for (let version = stateVersion; version < behaviour.version; version++) {
    const next: unknown = behaviour.upgrades[version]?.(record.state.value);
    // It would be written in place of the state, for good.
    if (next === undefined)
      throw new SkerryError(
        'invalid-definition',
        `The upgrade of '${behaviour.contract.type}' from version ${version} returned nothing: it must return the state, also where it changes it in place`,
      );
    record.state.value = storable(next, `${record.address} upgraded from version ${version}`, stateBytesMax);
  }
  const whole = encode(record.state.value);
  record.stateBytes = whole.length;
  record.changes.whole = whole;
  record.changes.patches = undefined;
  record.changes.isStateChanged = true;
}

/** What of a contract's state at first a stored one lacks, or has as something else; not below the first level. */
export function misfitsOf(state: unknown, initial: unknown): string[] {
  if (isOther(state, initial)) return [`it is ${kindOf(state)}, not ${kindOf(initial)}`];
  if (kindOf(initial) !== 'an object') return [];
  const stored: Readonly<Record<string, unknown>> = Object(state);
  return Object.entries(Object(initial)).flatMap(([name, value]) => {
    if (value === undefined) return [];
    if (!Object.hasOwn(stored, name)) return [`${name} is missing`];
    return isOther(stored[name], value) ? [`${name} is ${kindOf(stored[name])}, not ${kindOf(value)}`] : [];
  });
}

/** What may be null or undefined may be anything. */
function isOther(stored: unknown, initial: unknown): boolean {
  return (
    (stored ?? undefined) !== undefined && (initial ?? undefined) !== undefined && kindOf(stored) !== kindOf(initial)
  );
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (value instanceof Uint8Array) return 'bytes';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function restoreParts(record: EntityRecord, records: Loaded['records']): void {
  for (const [name, bytes] of records) {
    if (name[0] === 's' || name[0] === 'u') continue;
    const row = rowOf(bytes);
    if (name[0] === 'o') restoreOutbox(record, row);
    else if (name[0] === 't') addPart(record, 'timers', name.slice(1), readTimer(row));
    else if (name[0] === 'x') addPart(record, 'holds', name.slice(1), readHold(row));
    else if (name[0] === 'f') addPart(record, 'effects', name.slice(1), readEffect(row));
    else if (name[0] === 'd') addPart(record, 'dead', name.slice(1), readDead(row));
    else if (name[0] === 'n') addPart(record, 'trials', name.slice(1), readTrial(row));
    else throw newer(`records '${name[0]}'`);
    checkEnd(row);
  }
}

/** What this version would lose when it writes the record anew is not read at all (F5). */
function checkEnd(row: Row): void {
  if (!row.isAtEnd) throw newer(`${row.left} more columns`);
}

function newer(what: string): SkerryError {
  return new SkerryError('store-format', `It was written by a newer Skerry, and has ${what} than this one knows`);
}

/** A content that stays in memory: without the page that it was read from. */
function keptContent(row: Row): Content {
  const content = row.content();
  return { ...content, payload: retained(content.payload) };
}

function readTimer(row: Row): Timer {
  return {
    name: row.string(),
    due: row.storedDate(),
    order: row.storedCount(),
    to: row.string(),
    content: keptContent(row),
  };
}

function readHold(row: Row): HeldOperation {
  return {
    id: row.string(),
    operation: row.string(),
    payload: retained(row.bytes()),
    until: row.storedDate(),
    isLapsed: row.boolean(),
  };
}

function readEffect(row: Row): PendingEffect {
  return { id: row.string(), name: row.string(), payload: retained(row.bytes()) };
}

export function readDead(row: Row): DeadLetter {
  const head = {
    id: row.string(),
    side: row.oneOfNames(['receiver', 'sender']),
    partner: row.string(),
    reason: row.string(),
    at: row.storedDate(),
    attempts: row.storedCount(),
  } as const;
  const content = keptContent(row);
  return { ...head, content, stack: row.isAtEnd ? '' : row.string() };
}

function readTrial(row: Row): Trial {
  return { key: row.string(), ends: row.storedCount(), epoch: row.storedCount(), until: row.storedDate() };
}

/** Outbox records come before their activity is read: they wait in it, in order. */
function restoreOutbox(record: EntityRecord, row: Row): void {
  const partner = row.string();
  const seq = row.storedCount();
  const expires = ended(row.storedDate(), record.now);
  const message: OutboxMessage = { seq, expires, content: keptContent(row) };
  const activity = activityWith(record, partner);
  activity.outbound ??= newOutbound(0, 0);
  activity.outbound.unacked.push(message);
  joinOutbox(record, message);
}

/** Put an activity that was read from the store into the record, with the unacknowledged messages that wait for it. */
export function restoreActivity(record: EntityRecord, partner: PartnerId, bytes: Uint8Array | undefined): void {
  if (bytes !== undefined) place(record, decodeActivity(partner, bytes));
  else if ((record.activities.get(partner)?.outbound?.unacked.length ?? 0) > 0) place(record, newActivity(partner));
}

/** The same with all that `packActivities` put together. */
export function restoreActivities(record: EntityRecord, packed: Uint8Array): void {
  const row = new Row(decode(packed));
  while (row.left > 0) {
    const partner = row.string();
    place(record, readActivity(partner, new Row(row.any())));
  }
}

/** Until when something is remembered: what an earlier version let ask for ever has an end, too (A7). */
function ended(date: number, now: number): number {
  return date > now + durationMsMax ? now + defaultLimits.lifeMsMax : date;
}

function place(record: EntityRecord, activity: Activity): void {
  const { partner, outbound } = activity;
  const { inbound } = activity;
  if (inbound !== undefined) inbound.keepUntil = ended(inbound.keepUntil, record.now);
  if (outbound !== undefined) outbound.unacked = record.activities.get(partner)?.outbound?.unacked ?? [];
  record.activities.set(partner, activity);
}

export function decodeActivity(partner: PartnerId, bytes: Uint8Array): Activity {
  // Not a view: the application's state about the partner stays in memory and may hold bytes (P11).
  return readActivity(partner, new Row(decode(bytes)));
}

function readActivity(partner: PartnerId, row: Row): Activity {
  const activity = newActivity(partner);
  const inbound = row.any();
  if (inbound !== null) activity.inbound = readInbound(new Row(inbound));
  const outbound = row.any();
  if (outbound !== null) activity.outbound = readOutbound(new Row(outbound));
  activity.application.value = row.any();
  checkEnd(row);
  return activity;
}

function readOutbound(row: Row): Outbound {
  const session = row.storedCount();
  const next = row.storedCount();
  const isClosing = row.boolean();
  const outbound = newOutbound(session, row.storedDate());
  outbound.next = next;
  outbound.isClosing = isClosing;
  // Formats 1 and 2 have no such column.
  if (row.isAtEnd) return outbound;
  outbound.sealed = row.rows().map(readSealed);
  checkEnd(row);
  return outbound;
}

function readSealed(row: Row): SealedSession {
  const sealed = { session: row.storedCount(), end: row.storedCount() };
  checkEnd(row);
  return sealed;
}

function readInbound(row: Row): Inbound {
  const inbound = {
    session: row.storedCount(),
    through: row.storedCount(),
    keepUntil: row.storedDate(),
    closedAt: row.storedDate(),
    answers: row.rows().map(readAnswer),
  };
  checkEnd(row);
  return inbound;
}

function readAnswer(row: Row): KeptAnswer {
  const answer = { seq: row.storedCount(), bytes: retained(row.bytes()), until: row.storedDate() };
  if (row.isAtEnd) return answer;
  const request = retained(row.bytes());
  checkEnd(row);
  return { ...answer, request };
}

export function decodeHistory(bytes: Uint8Array): HistoryItem {
  const row = rowOf(bytes);
  return {
    version: row.storedCount(),
    at: row.storedDate(),
    partner: row.string(),
    kind: row.string(),
    operation: row.string(),
    payload: row.bytes(),
    status: row.string(),
    sent: row.rows().map((sent) => ({ to: sent.string(), kind: sent.string(), operation: sent.string() })),
    state: row.bytes(),
  };
}
