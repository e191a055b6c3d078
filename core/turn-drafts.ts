/**
 * The drafts of one turn: the entity's state and its application states about partners, while the turn may change them.
 *
 * Owns one recorder for all drafts, so that one undo reverts them all (T1), and the encoded changes that `apply` writes to the record.
 * The turn's other decisions are in `scope.ts`.
 */
import type { Activity } from './activity.ts';
import type { Behaviour } from './behaviour.ts';
import { SkerryError } from './errors.ts';
import { isEntityPartner, type PartnerId, typeOf } from './message.ts';
import { activityWith, type EntityRecord, recordName } from './record.ts';
import { type Holder, Recorder } from './recorder.ts';
import type { TurnEnvironment } from './request.ts';
import { storable } from './storable.ts';

/** A state of at most this many encoded bytes is written whole with each commit; a larger one as a patch if that is smaller. */
export const wholeBytesMax = 2_048;

export class Drafts {
  readonly #record: EntityRecord;
  readonly #behaviour: Behaviour;
  readonly #environment: TurnEnvironment;
  #recorder: Recorder | undefined;
  #root: unknown;
  #isRootOpen = false;
  #touched: Set<Activity> | undefined;
  /** Initial application states. Kept only if changed, so that reading one remembers nothing (P10). */
  #begun: Map<Activity, Holder> | undefined;
  #patch: Uint8Array | undefined;
  #whole: Uint8Array | undefined;
  isStateChanged = false;

  constructor(record: EntityRecord, behaviour: Behaviour, environment: TurnEnvironment) {
    this.#record = record;
    this.#behaviour = behaviour;
    this.#environment = environment;
  }

  get state(): unknown {
    if (!this.#isRootOpen) {
      this.#root = this.#recording().open(this.#record.state);
      this.#isRootOpen = true;
    }
    return this.#root;
  }

  set state(value: unknown) {
    this.#recording().replace(this.#record.state, value);
    this.#isRootOpen = false;
  }

  #recording(): Recorder {
    const { stateBytesMax } = this.#environment.limits;
    this.#recorder ??= new Recorder(this.#record.stateBytes > wholeBytesMax, undefined, stateBytesMax);
    return this.#recorder;
  }

  /** Whether the contract declares an application state for this partner's type. */
  hasActivityState(partner: PartnerId): boolean {
    return (
      partner !== '' && isEntityPartner(partner) && Object.hasOwn(this.#behaviour.contract.activities, typeOf(partner))
    );
  }

  /** The draft of the application state about a partner whose activity is in memory. */
  activityState(partner: PartnerId): unknown {
    const activity = this.#touch(partner);
    if (activity.application.value !== undefined) return this.#recording().open(activity.application);
    this.#begun ??= new Map();
    let begun = this.#begun.get(activity);
    if (begun === undefined) {
      begun = { value: storable(this.#behaviour.contract.activities[typeOf(partner)]?.(), `activity with ${partner}`) };
      this.#begun.set(activity, begun);
    }
    return this.#recording().open(begun);
  }

  setActivityState(partner: PartnerId, value: unknown): void {
    const activity = this.#touch(partner);
    this.#begun?.delete(activity);
    this.#recording().replace(activity.application, value);
  }

  #touch(partner: PartnerId): Activity {
    const activity = activityWith(this.#record, partner);
    this.#touched ??= new Set();
    this.#touched.add(activity);
    return activity;
  }

  /** Runs every check of the drafts that can still fail, after the handler returned (T2). */
  settle(): void {
    if (this.#recorder === undefined) return;
    this.#recorder.settle();
    this.isStateChanged = this.#recorder.isChanged(this.#record.state);
    if (this.isStateChanged) this.#encodeState(this.#recorder);
    if (this.#touched !== undefined)
      for (const { partner, application } of this.#touched) this.#checkActivity(partner, application, this.#recorder);
    if (this.#begun !== undefined)
      for (const [{ partner }, begun] of this.#begun) this.#checkActivity(partner, begun, this.#recorder);
  }

  #encodeState(recorder: Recorder): void {
    const record = this.#record;
    const environment = this.#environment;
    const ops = recorder.patch(record.state);
    if (ops !== 'whole') this.#patch = environment.encode(ops);
    if (this.#patch === undefined || record.stateBytes + this.#patch.length > environment.limits.stateBytesMax) {
      this.#patch = undefined;
      this.#whole = environment.encode(recorder.whole(record.state));
      this.#checkState(this.#whole.length);
    }
  }

  #checkState(bytes: number): void {
    const { stateBytesMax } = this.#environment.limits;
    if (bytes > stateBytesMax)
      throw new SkerryError(
        'too-large',
        `The state of ${this.#record.address} would take ${bytes} bytes; stateBytesMax is ${stateBytesMax}`,
      );
  }

  #checkActivity(partner: PartnerId, holder: Holder, recorder: Recorder): void {
    if (holder.value === undefined || !recorder.isChanged(holder)) return;
    const bytes = this.#environment.encode(recorder.whole(holder)).length;
    const { activityBytesMax } = this.#environment.limits;
    if (bytes > activityBytesMax)
      throw new SkerryError(
        'too-large',
        `The activity of ${this.#record.address} with ${partner} would take ${bytes} bytes; activityBytesMax is ${activityBytesMax}`,
      );
  }

  /** Reverts every change. */
  undo(): void {
    this.#recorder?.undo();
    this.#recorder = undefined;
    this.isStateChanged = false;
    this.#dropUnused();
    this.#touched = undefined;
    this.#begun = undefined;
  }

  /** Forgets activities that were only read. */
  #dropUnused(): void {
    if (this.#touched === undefined) return;
    for (const activity of this.#touched) {
      const isEmpty =
        activity.inbound === undefined && activity.outbound === undefined && activity.application.value === undefined;
      // If the store has more activities than memory, an empty one records that the store has none for this partner.
      if (isEmpty && this.#record.isComplete) this.#record.activities.delete(activity.partner);
    }
  }

  /** Applies the changes to the record. Cannot fail. */
  apply(): void {
    if (this.isStateChanged) this.#applyState();
    if (this.#touched !== undefined) for (const activity of this.#touched) this.#applyActivity(activity);
    this.#dropUnused();
  }

  #applyActivity(activity: Activity): void {
    const begun = this.#begun?.get(activity);
    const holder = begun ?? activity.application;
    if (this.#recorder?.isChanged(holder) !== true) return;
    activity.application.value = holder.value;
    this.#record.changes.records.set(recordName.activity(activity.partner), 'activity');
  }

  #applyState(): void {
    const record = this.#record;
    const { changes } = record;
    changes.isStateChanged = true;
    if (this.#whole !== undefined) {
      changes.whole = this.#whole;
      changes.patches = undefined;
      record.stateBytes = this.#whole.length;
    } else if (this.#patch !== undefined) {
      changes.whole = undefined;
      changes.patches = changes.patches?.concat(this.#patch);
      record.stateBytes += this.#patch.length;
    }
  }

  /** Revokes the drafts. */
  end(): void {
    this.#recorder?.keep();
    this.#recorder = undefined;
  }
}
