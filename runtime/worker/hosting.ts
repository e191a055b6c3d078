/**
 * Hosting: whether an entity may run here, by the claims that this worker has.
 *
 *     address ─ the view ─▶ partition ─ claimed, not leaving ─▶ its own by the pins of the claim? ─ yes ─▶ runs here
 *                                                                    └ no: view or claim is old ─▶ dispute ─▶ the store says which
 *
 * Owns the pins by which each partition was claimed, and the set of partitions being handed off.
 *
 * Invariants:
 * - HT1 An entity runs here only by the partition that it belongs to by the store's pins, whatever the view says (P3).
 * - HT2 A claim that is in force with pins that the store no longer has is made again: nobody else would run the entity (P7).
 */
import type { Limits } from '../../core/limits.ts';
import type { Address } from '../../core/message.ts';
import { partitionOf } from '../../placement/hash.ts';
import { isOfPin } from '../../placement/placement.ts';
import type { Pin } from '../../placement/view.ts';
import type { Ownership } from '../entity/ownership.ts';
import type { Environment } from '../environment.ts';
import type { Claim, Epoch, Partition, Store } from '../store.ts';
import type { Activations } from './activations.ts';

export interface HostingParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly store: Store;
  readonly ownership: Ownership;
  readonly activations: Activations;
  /** By the current view; without it, the hash of the address. */
  readonly partitionOf?: ((address: Address) => Partition) | undefined;
}

/** Entities about which a claim, by its epoch, and the view disagree. */
interface Dispute {
  readonly epoch: Epoch;
  readonly addresses: Set<Address>;
}

export class Hosting {
  readonly #parts: HostingParts;
  /** The claim by which they ran. */
  readonly #leaving = new Map<Partition, Epoch>();
  /** The pinned entities of its home when a partition was claimed. A later pin makes the claim stale (S8). */
  readonly #pinned = new Map<Partition, ReadonlySet<Address>>();
  readonly #disputes = new Map<Partition, Dispute>();
  /** The partition of an entity by the current view. */
  readonly partitionOf: (address: Address) => Partition;

  constructor(parts: HostingParts) {
    this.#parts = parts;
    const { partitions } = parts.store;
    this.partitionOf = parts.partitionOf ?? ((address) => partitionOf(address, partitions));
  }

  /** Whether this worker owns the partition and is not handing it off. */
  has(partition: Partition): boolean {
    return this.#parts.ownership.has(partition) && !this.#leaving.has(partition);
  }

  /** Whether this worker owns the entity's partition. */
  isHere(address: Address): boolean {
    return this.#parts.ownership.has(this.partitionOf(address));
  }

  /** Whether the partition is being handed off. Envelopes for it are kept for the next owner. */
  isLeaving(partition: Partition): boolean {
    return this.#leaving.has(partition);
  }

  /** From here on no turn of the partition starts. */
  leave(partition: Partition, epoch: Epoch): void {
    this.#leaving.set(partition, epoch);
  }

  /** Whether it is still leaving by that claim: neither lost meanwhile nor acquired again. */
  isLeavingBy(partition: Partition, epoch: Epoch): boolean {
    return this.#leaving.get(partition) === epoch && this.#parts.ownership.epochOf(partition) === epoch;
  }

  /** The handoff by that claim is complete. */
  left(partition: Partition, epoch: Epoch): void {
    if (this.#leaving.get(partition) === epoch) this.#leaving.delete(partition);
  }

  /** Whether the partition was leaving. It is not any more. */
  stay(partition: Partition): boolean {
    return this.#leaving.delete(partition);
  }

  /** From here on the pins of this claim decide what runs by it. */
  claimed({ partition, pins }: Claim): void {
    if (pins.length > 0) this.#pinned.set(partition, addressesOf(pins));
    else this.#pinned.delete(partition);
  }

  /** Whether an entity may run here by this partition. If view and claim disagree, one of them is old. */
  mayRun(address: Address, partition: Partition): boolean {
    if (!this.has(partition)) return false;
    if (!this.isElsewhere(partition, address)) return true;
    this.#dispute(address, partition);
    return false;
  }

  /**
   * One of them is old. If it is the claim, its epoch usually tells. But a pin raises several epochs, one after the other, and may be
   * interrupted between two (HT2).
   */
  #dispute(address: Address, partition: Partition): void {
    const { ownership, environment, limits } = this.#parts;
    const epoch = ownership.epochOf(partition);
    const known = this.#disputes.get(partition);
    if (known?.epoch === epoch) return void known.addresses.add(address);
    const dispute = { epoch, addresses: new Set([address]) };
    this.#disputes.set(partition, dispute);
    ownership.verify([partition]);
    // Usually it is the view, which agrees with the claim a moment later.
    environment.after(limits.retryMs, () => void this.#resolve(partition, dispute));
  }

  async #resolve(partition: Partition, dispute: Dispute): Promise<void> {
    const { ownership, store } = this.#parts;
    const isOver = () => this.#disputes.get(partition) !== dispute || ownership.epochOf(partition) !== dispute.epoch;
    const differing = () =>
      isOver() ? [] : [...dispute.addresses].filter((address) => this.partitionOf(address) === partition);
    if (differing().length > 0) {
      // If the store does not tell, another claim does no harm.
      const pinned = await store.pins().then(addressesOf, () => undefined);
      const isOld = differing().some((address) => pinned?.has(address) !== this.#isPinned(partition, address));
      if (isOld) ownership.lose(partition);
    }
    if (this.#disputes.get(partition) === dispute) this.#disputes.delete(partition);
  }

  /**
   * Whether an entity belonged to another partition by the pins of the moment of this claim, whatever the view says. Otherwise its home
   * and its pin could both have an owner with a valid epoch (HT1).
   */
  isElsewhere(partition: Partition, address: Address): boolean {
    const { store, activations } = this.#parts;
    // A view without any worker for the type assigns it to the home; the next one with a worker, to the group.
    if (partition < store.partitions && activations.requiresLabels(address)) return true;
    return this.#isPinned(partition, address) !== isOfPin(partition, store.partitions);
  }

  /** When the partition was claimed. */
  #isPinned(partition: Partition, address: Address): boolean {
    return this.#pinned.get(partition)?.has(address) === true;
  }
}

function addressesOf(pins: readonly Pin[]): ReadonlySet<Address> {
  return new Set(pins.map(({ address }) => address));
}
