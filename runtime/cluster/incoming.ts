/**
 * A partition on its way to this worker, as `acquisition.ts` sees it: who may have it, who was asked what, and what waits for it.
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

/** A partition on its way to this worker. */
export interface Incoming {
  readonly partition: Partition;
  /** Workers that may have it and have not said that they do not. */
  readonly asked: Set<string>;
  /** One that runs it until it is wanted. */
  keeper: string | undefined;
  isWanted: boolean;
  /** Numbers of the asks by which it is sought, and wanted: answers to earlier ones are of another time. */
  readonly soughtBy: number;
  wantedBy: number;
  since: number;
  askedAt: number;
  isClaiming: boolean;
  released: Memory | undefined;
  /** When its claim began, and what it gave; undefined: it is not claimed yet. */
  claimedAt: Moment | undefined;
  epoch: Epoch | undefined;
  readonly waiting: { readonly envelope: Forwarded; readonly hops: number }[];
}

/** Whether somebody runs it until it is wanted. */
export function isKept({ keeper, isWanted, isClaiming }: Incoming): boolean {
  return keeper !== undefined && !isWanted && !isClaiming;
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
  for (const { partition, isWanted, asked } of comings) {
    const kind = isWanted ? 'release' : 'seek';
    for (const id of asked) {
      const ask = asks.get(`${kind} ${id}`) ?? { kind, id, partitions: [] };
      ask.partitions.push(partition);
      asks.set(`${kind} ${id}`, ask);
    }
  }
  return [...asks.values()];
}
