/**
 * Image unloading: reads the images that all workers have sent of a partition, one by one.
 *
 * Owns the handling of batches that are incomplete or unreadable. `image-fetching.ts` decides when and for whom to read.
 */

import type { Log } from '../log.ts';
import type { Claim } from '../store.ts';
import { type Offer, OfferReader } from '../worker/image-format.ts';

/** One batch of one worker, slice by slice. */
export interface Cargo {
  readonly name: string;
  readonly batch: number;
  readonly count: number;
  readonly slices: Map<number, Uint8Array>;
  readonly leftCount: number;
  /** The first slice that is missing. */
  next: number;
  bytes: number;
}

/** The images of a partition from other workers. */
export interface Fetched {
  readonly claim: Claim;
  readonly offers: readonly Offer[];
  /** Ids of the workers that have answered. */
  readonly answered: ReadonlySet<string>;
  /** Numbers of complete batches, by the id of their sender; 0: possibly sent by an earlier view. */
  readonly batches: ReadonlyMap<string, number>;
}

interface Load {
  readonly claim: Claim;
  readonly answered: Set<string>;
  readonly cargo: ReadonlyMap<string, Cargo>;
  /** Asked before, by another view. */
  readonly isAgain: boolean;
}

export class ImageUnloading {
  readonly claim: Claim;
  readonly #log: Log;
  readonly #answered: Set<string>;
  readonly #cargo: [id: string, Cargo][];
  readonly #offers: Offer[] = [];
  readonly #batches: Map<string, number>;
  #reader: OfferReader | undefined;

  constructor({ claim, answered, cargo, isAgain }: Load, log: Log) {
    this.claim = claim;
    this.#log = log;
    this.#answered = answered;
    this.#cargo = [...cargo];
    this.#batches = new Map(isAgain ? [...answered].map((id) => [id, 0]) : []);
  }

  /** All images, when none is left to read. */
  get fetched(): Fetched {
    return { claim: this.claim, offers: this.#offers, answered: this.#answered, batches: this.#batches };
  }

  /** One image more; false: that was all. */
  read(): boolean {
    const [next] = this.#cargo;
    if (next === undefined) return false;
    const [id, cargo] = next;
    if (this.#reader === undefined) this.#check(id, cargo);
    if (this.#answered.has(id) && this.#readOne(id, cargo)) return true;
    this.#cargo.shift();
    this.#reader = undefined;
    return true;
  }

  #check(id: string, { name, bytes, slices, count, leftCount }: Cargo): void {
    if (this.#answered.has(id) && leftCount === 0) return;
    this.#log.error(
      { partition: this.claim.partition, worker: name, bytes, slices: slices.size, of: count, leftCount },
      'a partition arrived without some of its volatile entities: these start anew',
    );
  }

  /** False: that was the last, or it cannot be read. */
  #readOne(id: string, { name, batch, slices, count }: Cargo): boolean {
    try {
      if (this.#reader === undefined) {
        this.#reader = new OfferReader(wholeOf(slices, count), name);
        // They are here a second time by now.
        slices.clear();
      }
      if (this.#reader.read()) return true;
      for (const offer of this.#reader.offers) this.#offers.push(offer);
      this.#batches.set(id, batch);
    } catch (error) {
      this.#answered.delete(id);
      this.#log.error(
        { partition: this.claim.partition, worker: name, error: String(error) },
        'a partition arrived with volatile entities that cannot be read: they start anew',
      );
    }
    return false;
  }
}

function wholeOf(slices: ReadonlyMap<number, Uint8Array>, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => slices.get(index) ?? new Uint8Array(0));
}
