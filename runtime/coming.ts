/**
 * A partition on its way to this worker, as `tenancy.ts` sees it: who may have it, who was asked what, and what waits for it.
 */
import { type Carried, carriedIn } from './carriage.ts';
import type { Forwarded } from './handover.ts';
import type { Signal, WarmEntity } from './signals.ts';
import type { Claim, Epoch, Mark, Partition } from './store.ts';

export type Asked = Extract<Signal, { kind: 'seek' | 'release' }>;

/** What the last owner of a partition had in memory, by which epoch, and what the store had then. */
interface Memory {
  readonly epoch: Epoch;
  readonly mark: Mark | undefined;
  readonly warm: WarmEntity[];
  parts: number;
}

type CarriedSignal = Extract<Signal, { kind: 'carried' }>;

/** Volatile entities as one worker sends them, slice by slice. */
interface Cargo {
  readonly name: string;
  readonly batch: number;
  readonly slices: (Uint8Array | undefined)[];
  left: number;
}

/** A partition on its way to this worker. */
export interface Coming {
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
  /** From whom it gets volatile entities. */
  readonly cargo: Map<string, Cargo>;
  readonly waiting: { readonly envelope: Forwarded; readonly hops: number }[];
}

/** Whether somebody runs it until it is wanted. */
export function isKept({ keeper, isWanted, isClaiming }: Coming): boolean {
  return keeper !== undefined && !isWanted && !isClaiming;
}

/** Whether the store has what the last owner had in memory: all of it, and nothing that came after (TY2). */
export function isAsReleased({ previous, mark }: Claim, released: Memory): boolean {
  return previous === released.epoch && mark === released.mark;
}

/** Everybody of whom there is no answer yet, in one signal each. */
export function asksOf(comings: readonly Coming[]): Pick<Asked, 'kind' | 'id' | 'partitions'>[] {
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

/** Take a slice in; whether everything that its sender has is here now. Slices of an earlier sending are of no use. */
export function addCargo({ cargo }: Coming, { id, name, batch, index, count, bytes }: CarriedSignal): boolean {
  let known = cargo.get(id);
  if (known === undefined || known.batch < batch) {
    known = { name, batch, slices: new Array(count).fill(undefined), left: count };
    cargo.set(id, known);
  }
  if (known.batch === batch && index < known.slices.length && known.slices[index] === undefined) {
    known.slices[index] = bytes;
    known.left -= 1;
  }
  return known.batch === batch && known.left === 0;
}

/** Whether so many slices of this sender are here: a signal may be lost. */
export function hasCargo({ cargo }: Coming, id: string, count: number): boolean {
  const known = cargo.get(id);
  return count === 0 || (known?.slices.length === count && known.left === 0);
}

/**
 * What came along that is used (CA2): of what ran by this very partition only what its last owner sent. Of what ran elsewhere,
 * as of an entity that was pinned meanwhile, the sender's word counts: it gives nothing away that another may have begun.
 */
export function cargoOf({ cargo, partition }: Coming, { before }: Claim): Carried[] {
  return [...cargo.values()].flatMap(({ name, slices, left }) =>
    left > 0 ? [] : carriedIn(slices as Uint8Array[]).filter((one) => one.partition !== partition || name === before),
  );
}
