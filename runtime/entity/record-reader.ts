/**
 * Reads an entity: from what a store loaded, or another worker handed off, back to a record. `record-writer.ts` writes it,
 * `record-format.ts` defines the columns.
 */
import type { Activity, OutboxMessage } from '../../core/activity.ts';
import { isEmpty, newActivity, newOutbound } from '../../core/activity.ts';
import type { Behaviour } from '../../core/behaviour.ts';
import { SkerryError } from '../../core/errors.ts';
import { defaultLimits, durationMsMax, type Limits } from '../../core/limits.ts';
import { type Address, keyOf, type PartnerId } from '../../core/message.ts';
import { joinOutbox } from '../../core/outbox.ts';
import { applyPatch, editsIn } from '../../core/patch.ts';
import {
  activityWith,
  addPart,
  type EntityRecord,
  idIn,
  kindIn,
  newRecord,
  type OutboxRow,
  type RecordName,
  recordName,
  rowsOf,
} from '../../core/record.ts';
import { storable } from '../../core/storable.ts';
import type { Loaded } from '../store.ts';
import { decode, encode } from '../wire/codec.ts';
import { decodeActivity, decodeHead, decodePart, newer, unpackActivities } from './record-format.ts';
import { type EntityLayout, newLayout } from './record-writer.ts';

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

/** The record and layout of a loaded entity (F1), with the state upgraded to the behaviour's version. Throws `store-format`. */
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

/** The record as it was stored, whatever its behaviour is now. Throws `store-format`. */
export function restoreStored(
  address: Address,
  loaded: Loaded,
): { record: EntityRecord; layout: EntityLayout; stateVersion: number } {
  const head = decodeHead(address, loaded.head);
  const { activities } = head;
  const record = newRecord(address, undefined);
  record.version = loaded.version;
  record.now = head.now;
  record.forgetAt = head.forgetAt;
  const layout: EntityLayout = {
    snapshotBytes: head.snapshotBytes,
    patchCount: head.patchCount,
    patchBytes: head.patchBytes,
    hasActivities: activities !== null,
    large: undefined,
  };
  restoreParts(record, loaded.records);
  if (activities !== null) restoreActivities(record, activities);
  restoreState(record, head.state ?? undefined, loaded.records);
  return { record, layout, stateVersion: head.stateVersion };
}

/**
 * Prepares a record from memory to be written whole over the entity in the store, at whatever version that is. Returns the layout to
 * write it by, and whether the store still has a delayed message that the record has sent or is about to. `rows`: the requested
 * activities of the store. Streams that were closing are closed anew with this write (CL1).
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
  for (const [name] of stored?.records ?? []) if (!isOfState(name)) changes.records.set(name, null);
  if (record.isComplete) for (const [name] of rows) changes.records.set(name, 'activity');
  for (const { partner, outbound } of record.activities.values()) {
    if (outbound !== undefined) outbound.isClosing = false;
    changes.records.set(recordName.activity(partner), 'activity');
  }
  for (const [name, row] of rowsOf(record)) changes.records.set(name, row);
  return { layout: before?.layout ?? newLayout(), hasSent };
}

/** The store lost commits since all partners were in the head (F3): there are these, and those in memory, of which empty ones are gone. */
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
    if (kindIn(name) !== 'patch') continue;
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
      `${record.address} has a state of version ${stateVersion}; this behaviour of '${behaviour.contract.type}' has version ${behaviour.version}`,
    );
  }
  if (stateVersion === behaviour.version) return;
  for (let version = stateVersion; version < behaviour.version; version++) {
    const next: unknown = behaviour.upgrades[version]?.(record.state.value);
    // It would replace the state for good.
    if (next === undefined)
      throw new SkerryError(
        'invalid-definition',
        `The upgrade of '${behaviour.contract.type}' from version ${version} returned nothing: it must return the state, even if it changes the state in place`,
      );
    record.state.value = storable(next, `${record.address} upgraded from version ${version}`, stateBytesMax);
  }
  const whole = encode(record.state.value);
  record.stateBytes = whole.length;
  record.changes.whole = whole;
  record.changes.patches = undefined;
  record.changes.isStateChanged = true;
}

/** Parts of a contract's initial state that a stored state lacks or has as another type, at the first level only. */
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

/** A value that may be null or undefined may be of any type. */
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
    const kind = kindIn(name);
    if (kind === 'snapshot' || kind === 'patch') continue;
    if (kind === undefined || kind === 'activities' || kind === 'history') throw newer(`records '${name[0]}'`);
    if (kind === 'outbox') restoreOutbox(record, decodePart(kind, bytes));
    else addPart(record, kind, idIn(name), decodePart(kind, bytes));
  }
}

/** Outbox records come before their activity is read. They wait in it, in order. */
function restoreOutbox(record: EntityRecord, { partner, message: stored }: OutboxRow): void {
  const message: OutboxMessage = { ...stored, expires: ended(stored.expires, record.now) };
  const activity = activityWith(record, partner);
  activity.outbound ??= newOutbound(0, 0);
  activity.outbound.unacked.push(message);
  joinOutbox(record, message);
}

function isOfState(name: RecordName): boolean {
  const kind = kindIn(name);
  return kind === 'snapshot' || kind === 'patch';
}

/** Puts an activity from the store into the record, with the unacknowledged messages that wait for it. */
export function restoreActivity(record: EntityRecord, partner: PartnerId, bytes: Uint8Array | undefined): void {
  if (bytes !== undefined) place(record, decodeActivity(partner, bytes));
  else if ((record.activities.get(partner)?.outbound?.unacked.length ?? 0) > 0) place(record, newActivity(partner));
}

/** The same for all activities encoded by `packActivities`. */
export function restoreActivities(record: EntityRecord, packed: Uint8Array): void {
  for (const activity of unpackActivities(packed)) place(record, activity);
}

/** Until when something is remembered. Records of earlier versions may say for ever, and get an end too (A7). */
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
