/**
 * Volatile images: volatile entities between two stays in memory, on one worker or two.
 *
 *     activation ends by a move, a lost claim or a failed write ─▶ kept ─┬─ its partition claimed here ─────────────▶ boarded
 *                                                                       ├─ given to who claimed it ─┬─ boarded there ▶ settled
 *                                                                       │        └─ not boarded ◀────┘
 *                                                                       └─ nobody comes within `carryMs` ──────────▶ gone, and said so
 *
 * For a type that is not durable by turn, the store has an old state or none: its memory is the entity. So the memory outlives the
 * stay. Owns the kept images, the claims that they were given to, and the decision which of several images is the entity.
 * `image-format.ts` defines an image, `cluster/image-fetching.ts` requests them, `cluster/outgoing.ts` answers; `handoff.ts` and
 * `recovery.ts` end stays.
 *
 * Invariants:
 * - CA1 A planned move takes nothing from a volatile entity: state, activities, answers, outbox, timers, holds, effects and dead
 *   letters go along. Only a crash loses them.
 * - CA2 An image is used only where nobody can have run it since its holder, and nobody has started the entity anew: every worker that
 *   it was given to has answered, and so has the last owner known to the store (P8). Of several images, and of an image and the
 *   stored entity, the one of the latest claim is the entity, and within a claim the latest.
 * - CA3 An image is kept until an owner confirms that it has it, or until `carryMs` after the last request of the latest claim. It is
 *   given only to the worker that has claimed the entity's partition.
 */
import type { Address } from '../../core/message.ts';
import type { Activation } from '../entity/activation.ts';
import type { Environment } from '../environment.ts';
import type { Claim, Epoch, Partition } from '../store.ts';
import { boardedBy, type Carried, carriedOf, type Offer } from './image-format.ts';

/** The claim and batch by which an image was given away. Until that claim reports, it may run the entity. */
export interface Receiver {
  readonly id: string;
  readonly partition: Partition;
  readonly epoch: Epoch;
  readonly batch: number;
}

/** The workers that a claim has heard of the existing images. */
export interface Heard {
  /** Ids of the workers that have answered, and its own. */
  readonly ids: ReadonlySet<string>;
  /** The owner's names in their claims. */
  readonly names: ReadonlySet<string>;
}

export const nobodyHeard: Heard = { ids: new Set(), names: new Set() };

const noIds: readonly string[] = [];

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
  /** The same by the homes of their partitions: an entity may change its partition, but never its home. */
  readonly #byHome = new Map<Partition, Map<Address, Kept>>();
  readonly #partitions: number;
  /** Claims that have used or refused their images, and since when. */
  readonly #ended = new Map<string, number>();
  /** When the latest claim of a partition last requested its images: many images take time. */
  readonly #askedAt = new Map<Partition, number>();

  /** `name`: the owner's name in this worker's claims; `partitions`: the number of homes. */
  constructor(
    environment: Environment,
    { carryMs }: { readonly carryMs: number },
    { name, partitions }: { readonly name: string; readonly partitions: number },
  ) {
    this.#environment = environment;
    this.#carryMs = carryMs;
    this.#name = name;
    this.#partitions = partitions;
  }

  get count(): number {
    return this.#kept.size;
  }

  /** The activation of a volatile type is about to be dropped: keeps its image. Other types are in the store. */
  keep(activation: Activation): void {
    const { behaviour, phase } = activation;
    if (behaviour.durability === 'turn' || phase === 'loading' || phase === 'dropped') return;
    this.put(carriedOf(activation));
  }

  put(carried: Carried): void {
    const since = this.#environment.steady();
    const kept: Kept = { carried, since, receivers: [], isForsaken: false };
    this.#kept.set(carried.address, kept);
    const home = carried.partition % this.#partitions;
    const there = this.#byHome.get(home);
    if (there === undefined) this.#byHome.set(home, new Map([[carried.address, kept]]));
    else there.set(carried.address, kept);
  }

  #letGo(address: Address): void {
    const kept = this.#kept.get(address);
    if (kept === undefined) return;
    this.#kept.delete(address);
    const home = kept.carried.partition % this.#partitions;
    const there = this.#byHome.get(home);
    there?.delete(address);
    if (there?.size === 0) this.#byHome.delete(home);
  }

  #keptAt(partition: Partition): Iterable<Kept> {
    return this.#byHome.get(partition % this.#partitions)?.values() ?? [];
  }

  get(address: Address): Carried | undefined {
    return this.#kept.get(address)?.carried;
  }

  /** The entity runs here. */
  settled(address: Address): void {
    this.#letGo(address);
  }

  /** Whether there is any image of a partition, by its present entities. */
  has(partition: Partition, partitionOf: (address: Address) => Partition): boolean {
    for (const kept of this.#keptAt(partition)) if (isOffered(kept, partition, partitionOf)) return true;
    return false;
  }

  /** Images that may be the latest of the entities that belong to a partition now. */
  offers(partition: Partition, partitionOf: (address: Address) => Partition): Offer[] {
    const offers: Offer[] = [];
    for (const kept of this.#keptAt(partition)) {
      if (!isOffered(kept, partition, partitionOf)) continue;
      const { carried, receivers, isForsaken } = kept;
      const givenTo = receivers.length === 0 ? noIds : [...new Set(receivers.map(({ id }) => id))];
      offers.push({ carried, name: this.#name, givenTo, isForsaken });
    }
    return offers;
  }

  /** Whether any kept image belongs to a partition with this property. */
  some(holds: (address: Address) => boolean): boolean {
    for (const address of this.#kept.keys()) if (holds(address)) return true;
    return false;
  }

  // ---- giving away

  /** The owner of this partition is fetching its images. */
  asked(partition: Partition): void {
    this.#askedAt.set(partition, this.#environment.steady());
  }

  /** Whether these may be sent to the worker that has claimed their partition. From here on it may run them. */
  give(offers: readonly Offer[], receiver: Receiver): boolean {
    if (this.#ended.has(keyOf(receiver))) return false;
    for (const { carried } of offers) {
      const kept = this.#kept.get(carried.address);
      if (kept !== undefined) kept.receivers = [...kept.receivers, receiver];
    }
    return true;
  }

  /** There was no room for it. */
  notGiven(address: Address, { batch }: Receiver): void {
    const kept = this.#kept.get(address);
    if (kept !== undefined) kept.receivers = kept.receivers.filter((one) => one.batch !== batch);
  }

  /** A claim reports: it runs the images of that batch, except these, and no others (CA3). */
  boarded(receiver: Receiver, except: readonly Address[]): void {
    const key = keyOf(receiver);
    const left = new Set(except);
    // A late request of the same claim gets nothing.
    this.#ended.set(key, this.#environment.steady());
    for (const kept of this.#keptAt(receiver.partition)) {
      const { address } = kept.carried;
      const mine = kept.receivers.filter((one) => keyOf(one) === key);
      if (mine.some(({ batch }) => batch === receiver.batch) && !left.has(address)) this.#letGo(address);
      else if (mine.length > 0) kept.receivers = kept.receivers.filter((one) => keyOf(one) !== key);
    }
  }

  // ---- taking over

  /** A partition was claimed here: chooses among all images of its entities. They are this worker's from here on. */
  board(claim: Claim, offers: readonly Offer[], heard: Heard): Address[] {
    const byAddress = new Map<Address, Offer>();
    for (const offer of offers) {
      const { address } = offer.carried;
      const other = byAddress.get(address);
      byAddress.set(address, other === undefined ? offer : laterOf(other, offer));
    }
    const boarded: Address[] = [];
    for (const [address, offer] of byAddress) {
      this.#letGo(address);
      if (!isUsable(offer, claim, heard)) continue;
      this.put(boardedBy(claim, offer.carried));
      boarded.push(address);
    }
    const lost = byAddress.size - boarded.length;
    if (lost > 0)
      this.#environment.log.warn(
        { partition: claim.partition, count: lost },
        'volatile entities start anew: a worker that may have run them later is gone',
      );
    return boarded;
  }

  /** This worker is presumed dead: others start its entities anew. */
  forsake(): void {
    for (const kept of this.#kept.values()) kept.isForsaken = true;
  }

  /** Drops images that were not requested. Images of entities that run here only wait for the store. */
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
    for (const address of gone) this.#letGo(address);
    this.#environment.log.warn(
      { count: gone.length, first: gone[0] },
      'volatile entities moved away and no owner took them: their unwritten changes are lost',
    );
  }
}

function isOffered(
  { carried, isForsaken }: Kept,
  partition: Partition,
  partitionOf: (address: Address) => Partition,
): boolean {
  return (!isForsaken || partition === carried.partition) && partitionOf(carried.address) === partition;
}

function keyOf({ id, partition, epoch }: Omit<Receiver, 'batch'>): string {
  return `${id} ${partition} ${epoch}`;
}

/**
 * The later of two images of an entity. A version follows the one that it began with, or the epoch of its claim, so the larger one is
 * later. Of copies of one image, that of the latest claim: it has heard from every other worker that got one.
 */
export function laterOf(one: Offer, other: Offer): Offer {
  const [a, b] = [one.carried.loaded.version, other.carried.loaded.version];
  if (a !== b) return a > b ? one : other;
  return one.carried.epoch >= other.carried.epoch ? one : other;
}

/** Whether the latest known image is the latest that ever existed (CA2). */
export function isUsable(
  { carried, name, givenTo, isForsaken }: Offer,
  { partition, claimed, before }: Pick<Claim, 'partition' | 'claimed' | 'before'>,
  { ids, names }: Heard,
): boolean {
  if (!givenTo.every((id) => ids.has(id))) return false;
  // Elsewhere it ran until it came to belong here. A worker that has started it here since, and is alive, would have answered.
  if (carried.partition !== partition || before === name) return true;
  if (isForsaken) return false;
  // A store that lost commits names an earlier owner. Workers that got the image since are known all the same (P8).
  return claimed < carried.epoch || (before !== undefined && names.has(before));
}
