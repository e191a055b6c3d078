/**
 * Writes an entity: from the record's changes to a commit.
 *
 * Owns the place of each part: in the head, or in which records. `record-format.ts` defines their columns, `core/record.ts` their
 * names. The store knows neither.
 *
 *     head      [format, state version, now, snapshot bytes, patches, patch bytes, whole state | null, forget date,
 *                all activities | null]
 *     s         a large state;  u<number>  patches after it, in order
 *     p<partner> activity, where the head has none;  o<partner>\0<seq> outbox;  t timer;  x hold;  f effect;  d dead letter;  n trial;  h history
 *
 * Invariants:
 * - F1 `restore` makes from the output of `drain` a record equal to the drained one.
 * - F2 A small state is written whole in the head. A larger one is written as a patch while the patches since the last snapshot are
 *   smaller than it, and otherwise as a new snapshot. So the amount written is proportional to the change.
 * - F3 If activities are few and small, all are in the head. Otherwise each is a record and the head has none. An activity in the
 *   head leaves memory only with the entity.
 * - F4 Everything written can be read: an invalid number is not written, and one that an earlier version wrote is read as a valid
 *   date or count.
 * - F5 If a later version wrote data (a format, a column, a kind of record) that this version would lose in rewriting the entity, the
 *   entity is unreadable here: it is rejected with `store-format`, and the store keeps it as it is.
 */
import { isEmpty } from '../../core/activity.ts';
import type { Behaviour } from '../../core/behaviour.ts';
import type { PartnerId } from '../../core/message.ts';
import { type EntityRecord, forgetChanges, type RecordName, recordName, rowsOf } from '../../core/record.ts';
import { wholeBytesMax } from '../../core/turn-drafts.ts';
import { encode } from '../wire/codec.ts';
import { encodeActivity, encodeHead, encodePart, type Head, packActivities } from './record-format.ts';

/** Most patches that an activation replays. */
const patchCountMax = 4_096;

/** Most activities in a head, and most bytes of them. They return to it at half of both, not each time one is removed. */
const headPartnersMax = 8;
const headPartnerBytesMax = 1_024;

/** Layout of the stored entity, as the head records it. */
export interface EntityLayout {
  /** Bytes of the snapshot record; 0: none, the state is in the head. */
  snapshotBytes: number;
  /** Patch records after the snapshot, numbered from 0, and their bytes. */
  patchCount: number;
  patchBytes: number;
  /** Whether the head has all activities (F3). */
  hasActivities: boolean;
  /** A partner whose activity alone is too large for the head; only in memory. */
  large: PartnerId | undefined;
}

export function newLayout(): EntityLayout {
  return { snapshotBytes: 0, patchCount: 0, patchBytes: 0, hasActivities: true, large: undefined };
}

export interface Drained {
  readonly head: Uint8Array;
  readonly records: (readonly [RecordName, Uint8Array | null])[];
}

/** A part of an entity by its name, encoded. */
export type Named = readonly [string, Uint8Array];

/** An entity in a worker's memory, encoded for another worker. */
export interface Image {
  readonly head: Uint8Array;
  readonly records: readonly Named[];
  /** Activities by partner. */
  readonly activities: readonly Named[];
}

/** Where the activities are: `rested` has those of an entity at rest (`packActivities`); `countMax` may be in memory. */
export interface PartnersOf {
  readonly rested?: string | undefined;
  readonly countMax?: number;
}

/** Takes the record's present changes, encoded (R1). It has none afterwards. */
export function drain(
  record: EntityRecord,
  layout: EntityLayout,
  behaviour: Behaviour,
  partners: PartnersOf = {},
): Drained {
  const records: [RecordName, Uint8Array | null][] = [];
  const activities = writeActivities(record, layout, partners, records);
  for (const [name, change] of record.changes.records)
    if (change !== 'activity') records.push([name, change === null ? null : encodePart(change)]);
  const inHead = writeState(record, layout, records);
  const head = headOf(record, layout, behaviour, { state: inHead, activities });
  // Not kept for the next turn: a million idle entities would each hold their state twice.
  forgetChanges(record.changes);
  return { head, records };
}

function headOf(
  { now, forgetAt }: EntityRecord,
  { snapshotBytes, patchCount, patchBytes }: EntityLayout,
  { version: stateVersion }: Behaviour,
  { state, activities }: Pick<Head, 'state' | 'activities'>,
): Uint8Array {
  return encodeHead({ stateVersion, now, snapshotBytes, patchCount, patchBytes, state, forgetAt, activities });
}

/**
 * What a store would load for a record without changes, made from memory for a worker that takes the entity over (F1). Its state
 * is one whole; the layout in the store is passed on as it is.
 */
export function imageOf(record: EntityRecord, layout: EntityLayout, behaviour: Behaviour): Image {
  const records = rowsOf(record).map(([name, row]): Named => [name, encodePart(row)]);
  const activities: Named[] = [];
  if (!layout.hasActivities)
    for (const activity of record.activities.values())
      if (!isEmpty(activity)) activities.push([activity.partner, encodeActivity(activity)]);
  const inHead = layout.hasActivities
    ? packActivities(record, record.activities.size, Number.POSITIVE_INFINITY)
    : undefined;
  const head = headOf(record, layout, behaviour, {
    state: encode(record.state.value),
    activities: typeof inHead === 'object' ? inHead : null,
  });
  return { head, records, activities };
}

/** Decides the place of the activities (F3). Returns those that the head contains. */
function writeActivities(
  record: EntityRecord,
  layout: EntityLayout,
  { rested, countMax = headPartnersMax }: PartnersOf,
  records: [RecordName, Uint8Array | null][],
): Uint8Array | null {
  const wereInHead = layout.hasActivities;
  if (rested !== undefined) return wereInHead ? Buffer.from(rested, 'latin1') : null;
  const whole = record.isComplete ? packForHead(record, layout, countMax) : undefined;
  layout.hasActivities = whole !== undefined;
  if (whole === undefined && wereInHead && !record.isComplete)
    throw new Error(`Skerry bug, please report: ${record.address} has lost its partners from memory`);
  if (whole !== undefined && wereInHead) return whole;
  const { activities, changes } = record;
  if (layout.hasActivities !== wereInHead)
    for (const partner of activities.keys()) {
      const name = recordName.activity(partner);
      if (!changes.records.has(name)) changes.records.set(name, 'activity');
    }
  for (const [name, change] of changes.records) {
    if (change !== 'activity') continue;
    const activity = whole === undefined ? activities.get(name.slice(1)) : undefined;
    records.push([name, activity === undefined || isEmpty(activity) ? null : encodeActivity(activity)]);
  }
  return whole ?? null;
}

function packForHead(record: EntityRecord, layout: EntityLayout, countMax: number): Uint8Array | undefined {
  const { activities, changes } = record;
  const part = layout.hasActivities ? 1 : 2;
  if (activities.size > Math.min(countMax, headPartnersMax) / part) return undefined;
  const { large } = layout;
  // An activity may be large: do not encode it with each commit only to find that out again.
  if (large !== undefined && activities.has(large) && !changes.records.has(recordName.activity(large)))
    return undefined;
  const packed = packActivities(record, headPartnersMax, headPartnerBytesMax / part);
  layout.large = typeof packed === 'string' ? packed : undefined;
  return typeof packed === 'string' ? undefined : packed;
}

/** Decides the place of the state (F2). Returns the part that the head contains. */
function writeState(
  record: EntityRecord,
  layout: EntityLayout,
  records: [RecordName, Uint8Array | null][],
): Uint8Array | null {
  const { changes } = record;
  const patch = changes.patches === undefined ? undefined : joinPatches(changes.patches);
  const isWorth =
    patch !== undefined &&
    layout.patchCount < patchCountMax &&
    layout.patchBytes + patch.length <= layout.snapshotBytes;
  // Small patches may have made a large state small. Checked at the 8th, 16th, 32nd, … patch, so that it costs little.
  const seen = isWorth && isLookedAt(layout.patchCount) ? encode(record.state.value) : undefined;
  if (seen !== undefined) record.stateBytes = seen.length;
  if (record.stateBytes <= wholeBytesMax) {
    dropPatches(layout, records);
    if (layout.snapshotBytes > 0) records.push([recordName.snapshot(), null]);
    layout.snapshotBytes = 0;
    return seen ?? changes.whole ?? encode(record.state.value);
  }
  if (!changes.isStateChanged && layout.snapshotBytes > 0) return null;
  if (isWorth && !(seen !== undefined && 2 * seen.length <= layout.snapshotBytes)) {
    records.push([recordName.patch(layout.patchCount), patch]);
    layout.patchCount += 1;
    layout.patchBytes += patch.length;
    return null;
  }
  const whole = seen ?? changes.whole ?? encode(record.state.value);
  dropPatches(layout, records);
  records.push([recordName.snapshot(), whole]);
  record.stateBytes = whole.length;
  layout.snapshotBytes = whole.length;
  return null;
}

/** Whether the state is measured before the next patch. */
function isLookedAt(patchCount: number): boolean {
  return patchCount >= 8 && (patchCount & (patchCount - 1)) === 0;
}

function joinPatches(patches: readonly Uint8Array[]): Uint8Array {
  return encode(patches);
}

function dropPatches(layout: EntityLayout, records: [RecordName, Uint8Array | null][]): void {
  for (let index = 0; index < layout.patchCount; index++) records.push([recordName.patch(index), null]);
  layout.patchCount = 0;
  layout.patchBytes = 0;
}
