/**
 * The carriage: volatile entities between two stays in memory, on one worker or two.
 *
 *     activation ends by a move, a lost claim or a failed write ─▶ kept ─┬─ activated here ────────────────────▶ settled
 *                                                                       ├─ carried to the owner ─ it has them ▶ settled
 *                                                                       └─ nobody comes within `carryMs` ─────▶ gone, and said so
 *
 * What the store has of a type that is not durable by turn is old or nothing: its memory is the entity. So it outlives the stay.
 * Owns what is kept and which of two images is the entity; when a stay ends is `handover.ts` and `failures.ts`, who asks for
 * images and who confirms that it has them `tenancy.ts`.
 *
 * Invariants:
 * - CA1 A planned move takes nothing from a volatile entity: state, activities, answers, outbox, timers, holds, effects and dead
 *   letters go along. Only a crash loses them.
 * - CA2 An image is used only if nobody has claimed the partition since the entity ran by it: another owner began anew, or had a
 *   later one. Of two images, and of an image and what is stored, the later one is the entity.
 * - CA3 An image is kept until an owner says that it has it, or `carryMs` have passed.
 */
import type { Address } from '../core/message.ts';
import type { Activation } from './activation.ts';
import { decode, encode, Row } from './codec.ts';
import type { Environment } from './environment.ts';
import { encodeActivity, imageOf } from './persistence.ts';
import { readWarm, type WarmEntity, warmRow } from './signals.ts';
import type { Claim, Partition } from './store.ts';

/** A volatile entity as it left memory. */
export interface Carried extends WarmEntity {
  /** By which it ran. */
  readonly partition: Partition;
  /** Whether all its activities are here: the store may have others of an `interval` type. */
  readonly isComplete: boolean;
}

/** Commits that change nothing but the version may come between, as many as end a doubt: an image is later than they are. */
const fenceCountMax = 16;

interface Kept {
  readonly carried: Carried;
  readonly since: number;
  /** Its worker was taken for dead meanwhile: only the claim of the partition itself says that nobody else ran it (CA2). */
  isForsaken: boolean;
}

export class Carriage {
  readonly #environment: Environment;
  readonly #carryMs: number;
  readonly #kept = new Map<Address, Kept>();

  constructor(environment: Environment, { carryMs }: { readonly carryMs: number }) {
    this.#environment = environment;
    this.#carryMs = carryMs;
  }

  get count(): number {
    return this.#kept.size;
  }

  /** The activation of a volatile type is about to end: what it is is kept. Of other types the store has it. */
  keep(activation: Activation): void {
    const { behaviour, phase } = activation;
    if (behaviour.durability === 'turn' || phase === 'loading' || phase === 'dropped') return;
    this.put(carriedOf(activation));
  }

  put(carried: Carried): void {
    const known = this.#kept.get(carried.address);
    if (known !== undefined && known.carried.loaded.version > carried.loaded.version) return;
    this.#kept.set(carried.address, { carried, since: this.#environment.steady(), isForsaken: false });
  }

  get(address: Address): Carried | undefined {
    return this.#kept.get(address)?.carried;
  }

  /** An owner has it. */
  settled(address: Address): void {
    this.#kept.delete(address);
  }

  /** What another owner may have, by the partition that each belongs to now. */
  byPartition(partitionOf: (address: Address) => Partition): Map<Partition, Carried[]> {
    const found = new Map<Partition, Carried[]>();
    for (const { carried, isForsaken } of this.#kept.values()) {
      const partition = partitionOf(carried.address);
      if (isForsaken && partition !== carried.partition) continue;
      const list = found.get(partition);
      if (list === undefined) found.set(partition, [carried]);
      else list.push(carried);
    }
    return found;
  }

  /** A partition was claimed here: what ran by it here is the entity only if the last claim was this worker's too (CA2). */
  claimed({ partition, before }: Claim, name: string): void {
    for (const [address, { carried }] of this.#kept)
      if (carried.partition === partition && before !== name) this.#kept.delete(address);
  }

  /** This worker is taken for dead: others begin anew. */
  forsake(): void {
    for (const kept of this.#kept.values()) kept.isForsaken = true;
  }

  /** Let go of what nobody has asked for. What runs here is only waiting for the store. */
  sweep(isHere: (address: Address) => boolean): void {
    if (this.#kept.size === 0) return;
    const until = this.#environment.steady() - this.#carryMs;
    const gone: Address[] = [];
    for (const [address, { since }] of this.#kept) if (since <= until && !isHere(address)) gone.push(address);
    if (gone.length === 0) return;
    for (const address of gone) this.#kept.delete(address);
    this.#environment.log.warn(
      { count: gone.length, first: gone[0] },
      'entities that are not durable by turn moved away and no owner took them: what they had not written is lost',
    );
  }
}

function carriedOf({ address, entity, layout, behaviour, partition, storedVersion }: Activation): Carried {
  const { head, records, activities: known } = imageOf(entity, layout, behaviour);
  // Where the store may have more of them, an empty one says that this one is gone.
  const activities = entity.isComplete
    ? known
    : [...entity.activities.values()].map((one) => [one.partner, encodeActivity(one)] as const);
  const version = Math.max(entity.version, storedVersion) + fenceCountMax;
  return {
    address,
    loaded: { version, head, wakeAt: undefined, records },
    activities,
    partition,
    isComplete: entity.isComplete,
  };
}

/** Images as bytes, in slices that fit into a signal each: one entity may be larger than that, and there may be thousands. */
export function slicesOf(all: readonly Carried[], bytesMax: number): Uint8Array[] {
  if (all.length === 0) return [];
  const bytes = encode(all.map((one) => [warmRow(one), one.partition, one.isComplete]));
  const slices: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += bytesMax) slices.push(bytes.subarray(at, at + bytesMax));
  return slices;
}

/** Throws an error that says what is wrong with it. */
export function carriedIn(slices: readonly Uint8Array[]): Carried[] {
  return new Row([decode(Buffer.concat(slices))])
    .rows()
    .map((row) => ({ ...readWarm(new Row(row.any())), partition: row.count(), isComplete: row.boolean() }));
}
