/**
 * A partition on its way to this worker, as `acquisition.ts` sees it: who may have it, who was asked what, and what waits for it.
 *
 *     sought ◀──▶ kept ──▶ wanted ─┐
 *        └─────────────────────────┴─▶ claiming ──▶ claimed ──▶ owned
 *                                         └ the store failed ─▶ as before
 */
import type { Moment } from '../environment.ts';
import type { Claim, Epoch, Mark, Partition } from '../store.ts';
import type { ControlMessage, WarmEntity } from '../wire/control-messages.ts';
import type { Forwarded } from '../worker/handoff.ts';

export type Asked = Extract<ControlMessage, { kind: 'seek' | 'release' }>;

/** What the last owner of a partition had in memory, by which epoch, and what the store had then. */
interface Memory {
  readonly epoch: Epoch;
  readonly mark: Mark | undefined;
  readonly warm: WarmEntity[];
  parts: number;
}

/** Everybody who may have it is asked. */
interface Sought {
  readonly kind: 'sought';
}

/** One runs it until it is wanted. */
interface Kept {
  readonly kind: 'kept';
  readonly by: string;
}

/** It is to be released. */
interface Wanted {
  readonly kind: 'wanted';
  /** Who kept it, unless that one says that it does not have it. */
  readonly from: string | undefined;
  /** Number of the ask, as `soughtBy`. */
  readonly ask: number;
  released: Memory | undefined;
}

/** Its claim is on its way to the store. */
interface Claiming {
  readonly kind: 'claiming';
  /** What it is again if the store fails. */
  readonly before: Sought | Kept | Wanted;
}

/** Its claim is in force, and what others have of it in memory is being fetched. */
interface Claimed {
  readonly kind: 'claimed';
  /** When the claim began. */
  readonly at: Moment;
  readonly epoch: Epoch | undefined;
  readonly released: Memory | undefined;
}

/** A partition on its way to this worker. */
export interface Incoming {
  readonly partition: Partition;
  /** Workers that may have it and have not said that they do not. */
  readonly asked: Set<string>;
  state: Sought | Kept | Wanted | Claiming | Claimed;
  /** Number of the ask by which it is sought: answers to earlier ones are of another time. */
  readonly soughtBy: number;
  /** Since when it is sought, or wanted, ms of steady time. */
  since: number;
  askedAt: number;
  readonly waiting: { readonly envelope: Forwarded; readonly hops: number }[];
}

/** Whether somebody runs it until it is wanted. */
export function isKept({ state }: Incoming): boolean {
  return state.kind === 'kept';
}

/** Whether it is claimed, or will be in this tick. */
export function isClaimed({ state }: Incoming): boolean {
  return state.kind === 'claiming' || state.kind === 'claimed';
}

/** Who runs it, or ran it when it was wanted. */
export function keeperOf({ state }: Incoming): string | undefined {
  if (state.kind === 'kept') return state.by;
  return state.kind === 'wanted' ? state.from : undefined;
}

/** That worker does not have it. */
export function isNotAt(coming: Incoming, id: string): void {
  coming.asked.delete(id);
  if (keeperOf(coming) !== id) return;
  const { state } = coming;
  coming.state = state.kind === 'wanted' ? { ...state, from: undefined } : { kind: 'sought' };
}

/** It is to come now, and answers to the ask of that number are of it. */
export function want(coming: Incoming, ask: number, since: number): void {
  coming.state = { kind: 'wanted', from: keeperOf(coming), ask, released: undefined };
  coming.since = since;
}

/** A part of what its last owner had in memory is here; whether that was the last one. */
export function takeIn(
  wanted: Wanted,
  { epoch, mark, count, entities }: Extract<ControlMessage, { kind: 'released' }>,
): boolean {
  if (wanted.released === undefined || wanted.released.epoch < epoch)
    wanted.released = { epoch, mark, warm: [], parts: 0 };
  const { released } = wanted;
  if (released.epoch !== epoch) return false;
  released.parts += 1;
  released.warm.push(...entities);
  return released.parts >= count;
}

/** Its claim is about to be sent. */
export function startClaim(coming: Incoming): void {
  const { state } = coming;
  if (state.kind !== 'claiming' && state.kind !== 'claimed') coming.state = { kind: 'claiming', before: state };
}

/** The store has claimed it. */
export function concludeClaim(coming: Incoming, at: Moment, epoch: Epoch | undefined): void {
  coming.state = { kind: 'claimed', at, epoch, released: releasedOf(coming) };
}

/** The store did not claim it. */
export function cancelClaim(coming: Incoming): void {
  if (coming.state.kind === 'claiming') coming.state = coming.state.before;
}

/** What its last owner had in memory. */
export function releasedOf({ state }: Incoming): Memory | undefined {
  const open = state.kind === 'claiming' ? state.before : state;
  return open.kind === 'wanted' || open.kind === 'claimed' ? open.released : undefined;
}

/** By which it was claimed. */
export function epochOf({ state }: Incoming): Epoch | undefined {
  return state.kind === 'claimed' ? state.epoch : undefined;
}

/** Whether the store has what the last owner had in memory: all of it, and nothing that came after (TY2). */
export function isAsReleased({ previous, mark }: Claim, released: Memory): boolean {
  return previous === released.epoch && mark === released.mark;
}

/**
 * How many commits the store has forgotten since the last owner released it, at least (P8): the claim by which that one had it, or some of
 * what it had written. Undefined: none, as far as that shows.
 */
export function forgottenSince({ claimed, mark }: Claim, released: Memory): number | undefined {
  const count = Math.max(0, (released.mark ?? 0) - mark);
  return count > 0 || claimed < released.epoch ? count : undefined;
}

/** Everybody of whom there is no answer yet, in one signal each. */
export function asksOf(comings: readonly Incoming[]): Pick<Asked, 'kind' | 'id' | 'partitions'>[] {
  const asks = new Map<string, { kind: Asked['kind']; id: string; partitions: Partition[] }>();
  for (const { partition, state, asked } of comings) {
    const kind = state.kind === 'wanted' ? 'release' : 'seek';
    for (const id of asked) {
      const ask = asks.get(`${kind} ${id}`) ?? { kind, id, partitions: [] };
      ask.partitions.push(partition);
      asks.set(`${kind} ${id}`, ask);
    }
  }
  return [...asks.values()];
}
