/**
 * The carriage: volatile entities between two stays in memory, on one worker or two.
 *
 *     activation ends by a move, a lost claim or a failed write ─▶ kept ─┬─ its partition claimed here ─────────────▶ boarded
 *                                                                       ├─ given to who claimed it ─┬─ boarded there ▶ settled
 *                                                                       │        └─ not boarded ◀────┘
 *                                                                       └─ nobody comes within `carryMs` ──────────▶ gone, and said so
 *
 * What the store has of a type that is not durable by turn is old or nothing: its memory is the entity. So it outlives the stay.
 * Owns what is kept, to whom it was given, and which of several images is the entity. Who asks for images is `cluster/image-fetching.ts`, who
 * answers `cluster/outgoing.ts`; when a stay ends is `handoff.ts` and `recovery.ts`.
 *
 * Invariants:
 * - CA1 A planned move takes nothing from a volatile entity: state, activities, answers, outbox, timers, holds, effects and dead
 *   letters go along. Only a crash loses them.
 * - CA2 An image is used only where nobody can have run it since who keeps it, and nobody has begun anew: who it was given to has
 *   answered, and so has who had the partition, as far as the store knows who that was (P8). Of several images, and of an image
 *   and what is stored, that of the latest claim is the entity, and of one claim the latest.
 * - CA3 An image is kept until an owner says that it has it, or `carryMs` have passed since who claimed it last asked. It is given only to who has claimed the
 *   entity's partition.
 */
import type { Address } from '../../core/message.ts';
import type { Activation } from '../entity/activation.ts';
import { encodeActivity, imageOf } from '../entity/record-writer.ts';
import type { Environment } from '../environment.ts';
import type { Claim, Epoch, Partition } from '../store.ts';
import { decode, encode, Row } from '../wire/codec.ts';
import { readTexts, readWarm, type WarmEntity, warmRow } from '../wire/control-messages.ts';

/** A volatile entity as it left memory. */
export interface Carried extends WarmEntity {
  /** By which it ran. */
  readonly partition: Partition;
  /** Of the claim by which it ran, or was boarded since. */
  readonly epoch: Epoch;
  /** Whether all its activities are here: the store may have others of an `interval` type. */
  readonly isComplete: boolean;
}

/** Commits that change nothing but the version may come between, as many as end a doubt: an image is later than they are. */
const fenceCountMax = 16;

/** Who was given an image, by which claim, in which sending: until it says what became of that it may run the entity. */
export interface Receiver {
  readonly id: string;
  readonly partition: Partition;
  readonly epoch: Epoch;
  readonly batch: number;
}

/** An image as one worker has it. */
export interface Offer {
  readonly carried: Carried;
  /** By which that worker claims. */
  readonly name: string;
  /** Ids of others that may have run it since. */
  readonly givenTo: readonly string[];
  /** That worker was taken for dead meanwhile: only the claim of the partition itself says that nobody else ran it (CA2). */
  readonly isForsaken: boolean;
}

/** Whom a claim has heard of the images that there are. */
export interface Heard {
  /** Ids of those that have answered, and one's own. */
  readonly ids: ReadonlySet<string>;
  /** By which those claim. */
  readonly names: ReadonlySet<string>;
}

export const nobodyHeard: Heard = { ids: new Set(), names: new Set() };

interface Kept {
  readonly carried: Carried;
  readonly since: number;
  receivers: readonly Receiver[];
  isForsaken: boolean;
}

export class VolatileImages {
  readonly #environment: Environment;
  readonly #carryMs: number;
  readonly #name: string;
  readonly #kept = new Map<Address, Kept>();
  /** Claims that are over with what they were given, and since when. */
  readonly #ended = new Map<string, number>();
  /** When who has claimed a partition last asked for its images: much takes its time. */
  readonly #askedAt = new Map<Partition, number>();

  /** `name`: by which the worker claims. */
  constructor(environment: Environment, { carryMs }: { readonly carryMs: number }, name: string) {
    this.#environment = environment;
    this.#carryMs = carryMs;
    this.#name = name;
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
    const since = this.#environment.steady();
    this.#kept.set(carried.address, { carried, since, receivers: [], isForsaken: false });
  }

  get(address: Address): Carried | undefined {
    return this.#kept.get(address)?.carried;
  }

  /** It runs here. */
  settled(address: Address): void {
    this.#kept.delete(address);
  }

  /** What may be an entity's latest image, by the partition that each belongs to now. */
  offers(partitionOf: (address: Address) => Partition): Map<Partition, Offer[]> {
    const found = new Map<Partition, Offer[]>();
    for (const { carried, receivers, isForsaken } of this.#kept.values()) {
      const partition = partitionOf(carried.address);
      if (isForsaken && partition !== carried.partition) continue;
      const givenTo = [...new Set(receivers.map(({ id }) => id))];
      const offer = { carried, name: this.#name, givenTo, isForsaken };
      const list = found.get(partition);
      if (list === undefined) found.set(partition, [offer]);
      else list.push(offer);
    }
    return found;
  }

  // ---- giving

  /** Its owner is taking in what belongs to this partition. */
  asked(partition: Partition): void {
    this.#askedAt.set(partition, this.#environment.steady());
  }

  /** Whether these may be sent to who has claimed their partition: from here on it may run them. */
  give(offers: readonly Offer[], receiver: Receiver): boolean {
    if (this.#ended.has(keyOf(receiver))) return false;
    for (const { carried } of offers) {
      const kept = this.#kept.get(carried.address);
      if (kept !== undefined) kept.receivers = [...kept.receivers, receiver];
    }
    return true;
  }

  /** A claim is over with what it was given: it runs what came in that sending, but for these, and nothing else (CA3). */
  boarded(receiver: Receiver, except: readonly Address[]): void {
    const key = keyOf(receiver);
    const left = new Set(except);
    // What asks late, for the same claim, gets nothing.
    this.#ended.set(key, this.#environment.steady());
    for (const [address, kept] of this.#kept) {
      const mine = kept.receivers.filter((one) => keyOf(one) === key);
      if (mine.some(({ batch }) => batch === receiver.batch) && !left.has(address)) this.#kept.delete(address);
      else if (mine.length > 0) kept.receivers = kept.receivers.filter((one) => keyOf(one) !== key);
    }
  }

  // ---- getting

  /** A partition was claimed here: of all the images of its entities those that are used. They are this worker's from here on. */
  board(claim: Claim, offers: readonly Offer[], heard: Heard): Address[] {
    const byAddress = new Map<Address, Offer>();
    for (const offer of offers) {
      const { address } = offer.carried;
      const other = byAddress.get(address);
      byAddress.set(address, other === undefined ? offer : laterOf(other, offer));
    }
    const boarded: Address[] = [];
    for (const [address, offer] of byAddress) {
      this.#kept.delete(address);
      if (!isUsable(offer, claim, heard)) continue;
      this.put({ ...offer.carried, partition: claim.partition, epoch: claim.epoch });
      boarded.push(address);
    }
    const lost = byAddress.size - boarded.length;
    if (lost > 0)
      this.#environment.log.warn(
        { partition: claim.partition, count: lost },
        'entities that are not durable by turn begin anew: a worker that may have run them later is not there any more',
      );
    return boarded;
  }

  /** This worker is taken for dead: others begin anew. */
  forsake(): void {
    for (const kept of this.#kept.values()) kept.isForsaken = true;
  }

  /** Let go of what nobody has asked for. What runs here is only waiting for the store. */
  sweep(partitionOf: (address: Address) => Partition, isHere: (partition: Partition) => boolean): void {
    const until = this.#environment.steady() - this.#carryMs;
    for (const [partition, at] of this.#askedAt) if (at <= until) this.#askedAt.delete(partition);
    for (const [key, at] of this.#ended) if (at <= until) this.#ended.delete(key);
    if (this.#kept.size === 0) return;
    const gone: Address[] = [];
    for (const [address, { since }] of this.#kept) {
      if (since > until) continue;
      const partition = partitionOf(address);
      if (!isHere(partition) && !this.#askedAt.has(partition)) gone.push(address);
    }
    if (gone.length === 0) return;
    for (const address of gone) this.#kept.delete(address);
    this.#environment.log.warn(
      { count: gone.length, first: gone[0] },
      'entities that are not durable by turn moved away and no owner took them: what they had not written is lost',
    );
  }
}

function keyOf({ id, partition, epoch }: Omit<Receiver, 'batch'>): string {
  return `${id} ${partition} ${epoch}`;
}

/**
 * Of two images of an entity. A version follows the one that it began with, or else the epoch of its claim, so the larger one
 * is later. Of copies of one image that of the latest claim: whoever else was given one since has heard of that.
 */
export function laterOf(one: Offer, other: Offer): Offer {
  const [a, b] = [one.carried.loaded.version, other.carried.loaded.version];
  if (a !== b) return a > b ? one : other;
  return one.carried.epoch >= other.carried.epoch ? one : other;
}

/** Whether the latest image that is known is the latest that there was (CA2). */
export function isUsable(
  { carried, name, givenTo, isForsaken }: Offer,
  { partition, claimed, before }: Pick<Claim, 'partition' | 'claimed' | 'before'>,
  { ids, names }: Heard,
): boolean {
  if (!givenTo.every((id) => ids.has(id))) return false;
  // Elsewhere it ran until it came to belong here, and who has begun it here since and is there would have answered.
  if (carried.partition !== partition || before === name) return true;
  if (isForsaken) return false;
  // A store that went back names who had it before all this: whoever was given the image since is known all the same (P8).
  return claimed < carried.epoch || (before !== undefined && names.has(before));
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
    epoch: entity.lineage.epoch,
    isComplete: entity.isComplete,
  };
}

/** Images as bytes, in slices that fit into a signal each: one entity may be larger than that, and there may be thousands. */
export function slicesOf(offers: readonly Offer[], bytesMax: number): Uint8Array[] {
  const bytes = encode(
    offers.map(({ carried, givenTo, isForsaken }) => [
      warmRow(carried),
      carried.partition,
      carried.isComplete,
      givenTo,
      isForsaken,
      carried.epoch,
    ]),
  );
  const slices: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += bytesMax) slices.push(bytes.subarray(at, at + bytesMax));
  return slices;
}

/** What the worker of this name has sent. Throws an error that says what is wrong with it. */
export function offersIn(slices: readonly Uint8Array[], name: string): Offer[] {
  return new Row([decode(Buffer.concat(slices))]).rows().map((row) => {
    const entity = readWarm(new Row(row.any()));
    const [partition, isComplete, givenTo, isForsaken] = [row.count(), row.boolean(), readTexts(row), row.boolean()];
    // Who does not say it may have run it at any time.
    const epoch = row.isAtEnd ? 0 : row.count();
    return { name, carried: { ...entity, partition, epoch, isComplete }, givenTo, isForsaken };
  });
}
