/**
 * An incoming partition, for `acquisition.ts`: its possible owners, the requests sent to them, and the messages that wait for it.
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

/** The last owner's entities in memory, its epoch, and the store's mark of the partition then. */
interface Memory {
  readonly epoch: Epoch;
  readonly mark: Mark | undefined;
  readonly warm: WarmEntity[];
  parts: number;
}

/** Every worker that may own it is asked. */
interface Sought {
  readonly kind: 'sought';
}

/** A worker runs it until it is wanted. */
interface Kept {
  readonly kind: 'kept';
  readonly by: string;
}

/** Its release was requested. */
interface Wanted {
  readonly kind: 'wanted';
  /** The worker that kept it, unless it has denied that it owns it. */
  readonly from: string | undefined;
  /** Number of the request, as `soughtBy`. */
  readonly ask: number;
  released: Memory | undefined;
}

/** Its claim is in flight to the store. */
interface Claiming {
  readonly kind: 'claiming';
  /** The state to return to if the store fails. */
  readonly before: Sought | Kept | Wanted;
}

/** Its claim is in force, and images of other workers are being fetched. */
interface Claimed {
  readonly kind: 'claimed';
  /** When the claim began. */
  readonly at: Moment;
  readonly epoch: Epoch | undefined;
  readonly released: Memory | undefined;
}

/** An incoming partition. */
export interface Incoming {
  readonly partition: Partition;
  /** Workers that may own it and have not denied it. */
  readonly asked: Set<string>;
  state: Sought | Kept | Wanted | Claiming | Claimed;
  /** Number of the first valid `seek` request. Answers to earlier ones are ignored. */
  readonly soughtBy: number;
  /** Since when it is sought, or wanted, ms of steady time. */
  since: number;
  askedAt: number;
  readonly waiting: { readonly envelope: Forwarded; readonly hops: number }[];
}

/** Whether another worker runs it until it is wanted. */
export function isKept({ state }: Incoming): boolean {
  return state.kind === 'kept';
}

/** Whether it is claimed, or will be in this tick. */
export function isClaimed({ state }: Incoming): boolean {
  return state.kind === 'claiming' || state.kind === 'claimed';
}

/** The worker that runs it, or ran it when it was wanted. */
export function keeperOf({ state }: Incoming): string | undefined {
  if (state.kind === 'kept') return state.by;
  return state.kind === 'wanted' ? state.from : undefined;
}

/** That worker does not own it. */
export function isNotAt(coming: Incoming, id: string): void {
  coming.asked.delete(id);
  if (keeperOf(coming) !== id) return;
  const { state } = coming;
  coming.state = state.kind === 'wanted' ? { ...state, from: undefined } : { kind: 'sought' };
}

/** Its release is requested now, by the request with that number. */
export function want(coming: Incoming, ask: number, since: number): void {
  coming.state = { kind: 'wanted', from: keeperOf(coming), ask, released: undefined };
  coming.since = since;
}

/** A part of its last owner's memory has arrived. Returns whether it was the last. */
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

/** Its last owner's memory. */
export function releasedOf({ state }: Incoming): Memory | undefined {
  const open = state.kind === 'claiming' ? state.before : state;
  return open.kind === 'wanted' || open.kind === 'claimed' ? open.released : undefined;
}

/** The epoch of its claim. */
export function epochOf({ state }: Incoming): Epoch | undefined {
  return state.kind === 'claimed' ? state.epoch : undefined;
}

/** Whether the store holds exactly what the last owner had in memory, and nothing later (TY2). */
export function isAsReleased({ previous, mark }: Claim, released: Memory): boolean {
  return previous === released.epoch && mark === released.mark;
}

/**
 * Minimum number of commits that the store has lost since the last owner's release (P8): that owner's claim, or some of its
 * commits. Undefined: no loss shows.
 */
export function forgottenSince({ claimed, mark }: Claim, released: Memory): number | undefined {
  const count = Math.max(0, (released.mark ?? 0) - mark);
  return count > 0 || claimed < released.epoch ? count : undefined;
}

/** The requests to workers that have not answered yet, one control message each. */
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
