/**
 * How an entity is written: from the record's changes to a commit, and from what a store loaded back to a record.
 *
 * Owns the format of heads and records (`formatVersion`); the names of records are `core/record.ts`, the store knows neither.
 *
 *     head      [format, state version, now, snapshot bytes, patches, patch bytes, whole state | null, forget date]
 *     s         a large state;  u<number>  patches after it, in order
 *     p<partner> activity;  o<partner>\0<seq> outbox;  t timer;  x hold;  f effect;  d dead letter;  h history
 *
 * Invariants:
 * - F1 What `restore` makes of what `drain` wrote equals the record that was drained.
 * - F2 A state is written whole in the head when small, else as a patch when the patches since the last snapshot are
 *   smaller than it, else as a new snapshot: what is written is in proportion to what changed.
 */
import type { Activity, Content, Inbound, KeptAnswer, OutboxMessage } from '../core/activity.ts';
import { isEmpty, newActivity } from '../core/activity.ts';
import type { Behaviour } from '../core/behaviour.ts';
import { wholeBytesMax } from '../core/drafts.ts';
import { SkerryError } from '../core/errors.ts';
import { type Address, keyOf, type PartnerId } from '../core/message.ts';
import type { Parts } from '../core/parts.ts';
import { applyPatch } from '../core/patch.ts';
import type {
  DeadLetter,
  EntityRecord,
  HeldOperation,
  HistoryItem,
  OutboxRow,
  PendingEffect,
  RecordChange,
  RecordName,
  Timer,
} from '../core/record.ts';
import { activityWith, forgetChanges, newRecord, recordName } from '../core/record.ts';
import { retained, storable } from '../core/storable.ts';
import { contentRow, decode, encode, Row, rowOf } from './codec.ts';
import type { Loaded } from './store.ts';

export const formatVersion = 1;

/** Patches that one activation replays at most. */
const patchCountMax = 4_096;

/** What the head remembers about how the state is stored. */
export interface StateLayout {
  /** Bytes of the snapshot record; 0: there is none, the state is in the head. */
  snapshotBytes: number;
  /** Patch records after the snapshot, numbered from 0, and their bytes. */
  patchCount: number;
  patchBytes: number;
}

export function newLayout(): StateLayout {
  return { snapshotBytes: 0, patchCount: 0, patchBytes: 0 };
}

export interface Drained {
  readonly head: Uint8Array;
  readonly records: (readonly [RecordName, Uint8Array | null])[];
}

/** Take the record's changes as they are now, encoded (R1); afterwards it has none. */
export function drain(record: EntityRecord, layout: StateLayout, behaviour: Behaviour): Drained {
  const records: [RecordName, Uint8Array | null][] = [];
  for (const [name, change] of record.changes.records) records.push([name, encodeChange(record, name, change)]);
  const inHead = writeState(record, layout, records);
  const head = encode([
    formatVersion,
    behaviour.version,
    record.now,
    layout.snapshotBytes,
    layout.patchCount,
    layout.patchBytes,
    inHead,
    record.forgetAt,
  ]);
  // Not kept for the next turn: a million idle entities would each hold their state twice.
  forgetChanges(record.changes);
  return { head, records };
}

/** Where the state goes (F2); returns what of it the head holds. */
function writeState(
  record: EntityRecord,
  layout: StateLayout,
  records: [RecordName, Uint8Array | null][],
): Uint8Array | null {
  const { changes } = record;
  if (record.stateBytes <= wholeBytesMax) {
    dropPatches(layout, records);
    if (layout.snapshotBytes > 0) records.push([recordName.snapshot(), null]);
    layout.snapshotBytes = 0;
    return changes.whole ?? encode(record.state.value);
  }
  if (!changes.isStateChanged && layout.snapshotBytes > 0) return null;
  const patch = changes.patches === undefined ? undefined : joinPatches(changes.patches);
  const isWorth =
    patch !== undefined &&
    layout.patchCount < patchCountMax &&
    layout.patchBytes + patch.length <= layout.snapshotBytes;
  if (isWorth) {
    records.push([recordName.patch(layout.patchCount), patch]);
    layout.patchCount += 1;
    layout.patchBytes += patch.length;
    return null;
  }
  const whole = changes.whole ?? encode(record.state.value);
  dropPatches(layout, records);
  records.push([recordName.snapshot(), whole]);
  record.stateBytes = whole.length;
  layout.snapshotBytes = whole.length;
  return null;
}

function joinPatches(patches: readonly Uint8Array[]): Uint8Array {
  return encode(patches);
}

function dropPatches(layout: StateLayout, records: [RecordName, Uint8Array | null][]): void {
  for (let index = 0; index < layout.patchCount; index++) records.push([recordName.patch(index), null]);
  layout.patchCount = 0;
  layout.patchBytes = 0;
}

function encodeChange(record: EntityRecord, name: RecordName, change: RecordChange): Uint8Array | null {
  if (change === null) return null;
  if (change === 'activity') {
    const activity = record.activities.get(name.slice(1));
    return activity === undefined || isEmpty(activity) ? null : encodeActivity(activity);
  }
  if ('message' in change) return encodeOutbox(change);
  if ('due' in change) return encode([change.name, change.due, change.order, change.to, ...contentRow(change.content)]);
  if ('isLapsed' in change) return encode([change.id, change.operation, change.payload, change.until, change.isLapsed]);
  if ('side' in change)
    return encode([
      change.id,
      change.side,
      change.partner,
      change.reason,
      change.at,
      change.attempts,
      ...contentRow(change.content),
    ]);
  if ('status' in change) return encodeHistory(change);
  return encode([change.id, change.name, change.payload]);
}

function encodeOutbox({ partner, message }: OutboxRow): Uint8Array {
  return encode([partner, message.seq, message.expires, ...contentRow(message.content)]);
}

function encodeHistory(item: HistoryItem): Uint8Array {
  return encode([
    item.version,
    item.at,
    item.partner,
    item.kind,
    item.operation,
    item.payload,
    item.status,
    item.sent.map((sent) => [sent.to, sent.kind, sent.operation]),
    item.state,
  ]);
}

export function decodeHistory(bytes: Uint8Array): HistoryItem {
  const row = rowOf(bytes);
  return {
    version: row.number(),
    at: row.number(),
    partner: row.string(),
    kind: row.string(),
    operation: row.string(),
    payload: row.bytes(),
    status: row.string(),
    sent: row.rows().map((sent) => ({ to: sent.string(), kind: sent.string(), operation: sent.string() })),
    state: row.bytes(),
  };
}

export function encodeActivity({ inbound, outbound, application }: Activity): Uint8Array {
  return encode([
    inbound === undefined
      ? null
      : [
          inbound.session,
          inbound.through,
          inbound.keepUntil,
          inbound.closedAt,
          inbound.answers.map(({ seq, bytes, until }) => [seq, bytes, until]),
        ],
    outbound === undefined ? null : [outbound.session, outbound.next, outbound.isClosing, outbound.activeAt],
    application.value,
  ]);
}

export function decodeActivity(partner: PartnerId, bytes: Uint8Array): Activity {
  // Not a view: the application's state about the partner stays in memory and may hold bytes (P11).
  const row = new Row(decode(bytes));
  const activity = newActivity(partner);
  const inbound = row.any();
  if (inbound !== null) activity.inbound = readInbound(new Row(inbound));
  const outbound = row.any();
  if (outbound !== null) {
    const columns = new Row(outbound);
    activity.outbound = {
      session: columns.number(),
      next: columns.number(),
      unacked: [],
      isClosing: columns.boolean(),
      activeAt: columns.number(),
    };
  }
  activity.application.value = row.any();
  return activity;
}

function readInbound(row: Row): Inbound {
  return {
    session: row.number(),
    through: row.number(),
    keepUntil: row.number(),
    closedAt: row.number(),
    answers: row
      .rows()
      .map((answer): KeptAnswer => ({ seq: answer.number(), bytes: retained(answer.bytes()), until: answer.number() })),
  };
}

/** The record of an entity that was never committed. Throws what the contract's `initial` throws. */
export function freshRecord(address: Address, behaviour: Behaviour): EntityRecord {
  const state = storable(behaviour.contract.initial(keyOf(address)), `initial state of ${address}`);
  const record = newRecord(address, state);
  record.stateBytes = encode(state).length;
  return record;
}

/** The record and layout of what was loaded (F1), the state upgraded to the behaviour's version. Throws `store-format`. */
export function restore(
  address: Address,
  loaded: Loaded,
  behaviour: Behaviour,
): { record: EntityRecord; layout: StateLayout } {
  const { record, layout, stateVersion } = restoreStored(address, loaded);
  upgrade(record, stateVersion, behaviour);
  return { record, layout };
}

/** The record as it was stored, whatever its behaviour is now. Throws `store-format`. */
export function restoreStored(
  address: Address,
  loaded: Loaded,
): { record: EntityRecord; layout: StateLayout; stateVersion: number } {
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
  record.now = head.number();
  const layout: StateLayout = { snapshotBytes: head.number(), patchCount: head.number(), patchBytes: head.number() };
  const inHead = head.any();
  record.forgetAt = head.number();
  restoreParts(record, loaded.records);
  restoreState(record, inHead instanceof Uint8Array ? inHead : undefined, loaded.records);
  return { record, layout, stateVersion };
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
    for (const patch of decode(bytes) as Uint8Array[])
      record.state.value = applyPatch(record.state.value, decode(patch) as never);
    record.stateBytes += bytes.length;
  }
}

function upgrade(record: EntityRecord, stateVersion: number, behaviour: Behaviour): void {
  if (stateVersion > behaviour.version) {
    throw new SkerryError(
      'store-format',
      `${record.address} has a state of version ${stateVersion}; this behaviour of '${behaviour.contract.type}' knows ${behaviour.version}`,
    );
  }
  if (stateVersion === behaviour.version) return;
  for (let version = stateVersion; version < behaviour.version; version++) {
    record.state.value = storable(
      behaviour.upgrades[version]?.(record.state.value),
      `${record.address} upgraded from version ${version}`,
    );
  }
  const whole = encode(record.state.value);
  record.stateBytes = whole.length;
  record.changes.whole = whole;
  record.changes.patches = undefined;
  record.changes.isStateChanged = true;
}

function restoreParts(record: EntityRecord, records: Loaded['records']): void {
  for (const [name, bytes] of records) {
    if (name[0] === 's' || name[0] === 'u') continue;
    const row = rowOf(bytes);
    if (name[0] === 'o') restoreOutbox(record, row);
    else if (name[0] === 't') addTo(record.timers, readTimer(row));
    else if (name[0] === 'x') addTo(record.holds, readHold(row));
    else if (name[0] === 'f') addTo(record.effects, readEffect(row));
    else if (name[0] === 'd') addTo(record.dead, readDead(row));
  }
}

function addTo<Part extends { readonly id: string } | { readonly name: string }>(
  parts: Parts<string, Part>,
  part: Part,
): void {
  parts.set('id' in part ? part.id : part.name, part);
}

/** A content that stays in memory: without the page that it was read from. */
function keptContent(row: Row): Content {
  const content = row.content();
  return { ...content, payload: retained(content.payload) };
}

function readTimer(row: Row): Timer {
  return { name: row.string(), due: row.number(), order: row.number(), to: row.string(), content: keptContent(row) };
}

function readHold(row: Row): HeldOperation {
  return {
    id: row.string(),
    operation: row.string(),
    payload: retained(row.bytes()),
    until: row.number(),
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
    at: row.number(),
    attempts: row.number(),
  } as const;
  return { ...head, content: keptContent(row) };
}

/** Outbox records come before their activity is read: they wait in it, in order. */
function restoreOutbox(record: EntityRecord, row: Row): void {
  const partner = row.string();
  const message: OutboxMessage = { seq: row.number(), expires: row.number(), content: keptContent(row) };
  const activity = activityWith(record, partner);
  activity.outbound ??= { session: 0, next: 0, unacked: [], isClosing: false, activeAt: 0 };
  activity.outbound.unacked.push(message);
  record.outboxCount += 1;
}

/** Put an activity that was read from the store into the record, with the unacknowledged messages that wait for it. */
export function restoreActivity(record: EntityRecord, partner: PartnerId, bytes: Uint8Array | undefined): void {
  const waiting = record.activities.get(partner)?.outbound?.unacked ?? [];
  const activity = bytes === undefined ? newActivity(partner) : decodeActivity(partner, bytes);
  if (activity.outbound !== undefined) activity.outbound.unacked = waiting;
  if (bytes !== undefined || waiting.length > 0) record.activities.set(partner, activity);
}
