/**
 * A set of partners that may have false positives, and never has false negatives.
 *
 * An entity with more partners than fit in memory has the others in the store. This set knows which, so that a partner that
 * certainly writes for the first time costs no read. Eight to sixteen bytes per partner: a hash table with open addressing, at
 * most half full.
 */
import { type Activity, isEmpty } from '../../core/activity.ts';
import type { PartnerId } from '../../core/message.ts';
import type { EntityRecord } from '../../core/record.ts';
import { hash } from '../../placement/hash.ts';

const slotCountMin = 64;
/** Most partners in the set. Beyond it each first contact costs a read, which is cheaper than the memory. */
export const partnerCountMax = 262_144;

/** The partner leaves memory, and the store has it. */
export function noteStored(record: EntityRecord, activity: Activity): void {
  const { stored } = record;
  if (stored === undefined || isEmpty(activity)) return;
  stored.add(activity.partner);
  if (stored.count > partnerCountMax) record.stored = undefined;
}

export class BloomPartnerFilter {
  /** Hashes; 0: free. */
  #slots = new Uint32Array(slotCountMin);
  #count = 0;

  /** Number of hashes. Partners with the same hash count once. */
  get count(): number {
    return this.#count;
  }

  add(partner: PartnerId): void {
    if ((this.#count + 1) * 2 > this.#slots.length) this.#grow();
    this.#put(hashOf(partner));
  }

  has(partner: PartnerId): boolean {
    const hashed = hashOf(partner);
    return this.#slots[this.#slotOf(hashed)] === hashed;
  }

  #put(hashed: number): void {
    const slot = this.#slotOf(hashed);
    if (this.#slots[slot] === hashed) return;
    this.#slots[slot] = hashed;
    this.#count += 1;
  }

  /** The slot of a hash, or the free one for it. At least half is free, so the search ends. */
  #slotOf(hashed: number): number {
    const mask = this.#slots.length - 1;
    let slot = hashed & mask;
    while (this.#slots[slot] !== 0 && this.#slots[slot] !== hashed) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    this.#count = 0;
    for (const hashed of old) if (hashed !== 0) this.#put(hashed);
  }
}

function hashOf(partner: PartnerId): number {
  return hash(partner) || 1;
}
