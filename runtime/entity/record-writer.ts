/**
 * How an entity is written: from the record's changes to a commit.
 *
 * Owns what is written where: in the head, or in which records. Their columns are `record-format.ts`, their names `core/record.ts`;
 * the store knows neither.
 *
 *     head      [format, state version, now, snapshot bytes, patches, patch bytes, whole state | null, forget date,
 *                all activities | null]
 *     s         a large state;  u<number>  patches after it, in order
 *     p<partner> activity, where the head has none;  o<partner>\0<seq> outbox;  t timer;  x hold;  f effect;  d dead letter;  n trial;  h history
 *
 * Invariants:
 * - F1 What `restore` makes of what `drain` wrote equals the record that was drained.
 * - F2 A state is written whole in the head when small, else as a patch when the patches since the last snapshot are
 *   smaller than it, else as a new snapshot: what is written is in proportion to what changed.
 * - F3 Activities that are few and small are in the head, all of them; else each is a record, and the head has none. Of what is
 *   in the head nothing leaves memory before the entity does.
 * - F4 What is written can be read: a number that is none is not written, and one that an earlier version wrote is read as a
 *   date or count that can be.
 * - F5 What this version would lose when it writes an entity anew, since a later one wrote it (a format, a column, a kind of record), makes
 *   the entity unreadable here: it is refused with `store-format`, and the store keeps it as it is.
 */
import { isEmpty } from '../../core/activity.ts';
import type { Behaviour } from '../../core/behaviour.ts';
import type { PartnerId } from '../../core/message.ts';
import { type EntityRecord, forgetChanges, type RecordName, recordName, rowsOf } from '../../core/record.ts';
import { wholeBytesMax } from '../../core/turn-drafts.ts';
import { encode } from '../wire/codec.ts';
import { encodeActivity, encodeHead, encodePart, type Head, packActivities } from './record-format.ts';

/** Patches that one activation replays at most. */
const patchCountMax = 4_096;

/** Activities in a head: how many, and their bytes. They come back into it at half of both, not each time one goes. */
const headPartnersMax = 8;
const headPartnerBytesMax = 1_024;

/** What the head remembers about how the entity is stored. */
export interface EntityLayout {
  /** Bytes of the snapshot record; 0: there is none, the state is in the head. */
  snapshotBytes: number;
  /** Patch records after the snapshot, numbered from 0, and their bytes. */
  patchCount: number;
  patchBytes: number;
  /** The head has all activities (F3). */
  hasActivities: boolean;
  /** Whose activity is too large for that alone; only in memory. */
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

/** What is in a worker's memory of an entity, for another worker's. */
export interface Image {
  readonly head: Uint8Array;
  readonly records: readonly Named[];
  /** By partner. */
  readonly activities: readonly Named[];
}

/** What of the partners is where: `rested` has those of an entity at rest (`packActivities`), `countMax` may be in memory. */
export interface PartnersOf {
  readonly rested?: string | undefined;
  readonly countMax?: number;
}

/** Take the record's changes as they are now, encoded (R1); afterwards it has none. */
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
 * What a store would load of a record that has no changes, made from memory: for a worker that takes the entity over (F1).
 * Its state is one whole; how it is laid out in the store is told as it is.
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

/** Where the activities go (F3); returns what of them the head holds. */
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
  // What the application keeps about a partner may be large: not to be encoded with each commit, to find that out again.
  if (large !== undefined && activities.has(large) && !changes.records.has(recordName.activity(large)))
    return undefined;
  const packed = packActivities(record, headPartnersMax, headPartnerBytesMax / part);
  layout.large = typeof packed === 'string' ? packed : undefined;
  return typeof packed === 'string' ? undefined : packed;
}

/** Where the state goes (F2); returns what of it the head holds. */
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
  // Small patches may have made a large state small: seen at the 8th, the 16th, the 32nd, … so that looking costs little.
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
