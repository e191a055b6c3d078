/**
 * Images: volatile entities as they left memory, and their encoding for other workers.
 *
 * Owns the format of a batch of images. An entity's image, and a slice of a batch, are made only when needed, one at a time.
 *
 * Invariants:
 * - IM1 An image is the entity at the end of its stay: a dropped activation does not change any more (V2).
 * - IM2 A slice is the same each time it is made.
 */
import type { Address } from '../../core/message.ts';
import type { Activation } from '../entity/activation.ts';
import { encodeActivity } from '../entity/record-format.ts';
import { imageOf } from '../entity/record-writer.ts';
import type { Claim, Epoch, Partition } from '../store.ts';
import { decodeBegun, encode, encodedHead, Row } from '../wire/codec.ts';
import { readTexts, readWarm, type WarmEntity, warmRow } from '../wire/control-messages.ts';

/** A volatile entity as it left memory. Its content is encoded when it is first read. */
export interface Carried extends WarmEntity {
  /** The partition by which it ran. */
  readonly partition: Partition;
  /** The epoch of the claim by which it ran, or was last taken over. */
  readonly epoch: Epoch;
  /** Whether all its activities are here. Of an `interval` type the store may have others. */
  readonly isComplete: boolean;
}

/** An image as one worker has it. */
export interface Offer {
  readonly carried: Carried;
  /** The owner's name in that worker's claims. */
  readonly name: string;
  /** Ids of other workers that may have run it since. */
  readonly givenTo: readonly string[];
  /** That worker was presumed dead meanwhile: only the claim of the partition proves that no other worker ran it (CA2). */
  readonly isForsaken: boolean;
}

/** Most commits that change only the version, as for ending a doubt. An image is later than those. */
const fenceCountMax = 16;

type Held = Pick<WarmEntity, 'loaded' | 'activities'>;

/** Keeps the activation until the image is made, and then the image. */
class LateImage implements Carried {
  readonly address: Address;
  readonly partition: Partition;
  readonly epoch: Epoch;
  readonly isComplete: boolean;
  readonly #version: number;
  #activation: Activation | undefined;
  #held: Held | undefined;

  constructor(activation: Activation) {
    const { address, partition, entity, storedVersion } = activation;
    this.address = address;
    this.partition = partition;
    this.epoch = entity.lineage.epoch;
    this.isComplete = entity.isComplete;
    this.#version = Math.max(entity.version, storedVersion) + fenceCountMax;
    this.#activation = activation;
  }

  get loaded(): WarmEntity['loaded'] {
    return this.#image().loaded;
  }

  get activities(): WarmEntity['activities'] {
    return this.#image().activities;
  }

  #image(): Held {
    if (this.#held !== undefined) return this.#held;
    const { entity, layout, behaviour } = this.#activation as Activation;
    const { head, records, activities: known } = imageOf(entity, layout, behaviour);
    // If the store may have more of them, an empty activity marks this one as removed.
    const activities = this.isComplete
      ? known
      : [...entity.activities.values()].map((one) => [one.partner, encodeActivity(one)] as const);
    this.#held = { loaded: { version: this.#version, head, wakeAt: undefined, records }, activities };
    this.#activation = undefined;
    return this.#held;
  }
}

/** The activation is dropped before anything else runs. */
export function carriedOf(activation: Activation): Carried {
  return new LateImage(activation);
}

/** The same image, taken over by this claim. */
class BoardedImage implements Carried {
  readonly address: Address;
  readonly partition: Partition;
  readonly epoch: Epoch;
  readonly isComplete: boolean;
  readonly #carried: Carried;

  constructor({ partition, epoch }: Claim, carried: Carried) {
    this.address = carried.address;
    this.partition = partition;
    this.epoch = epoch;
    this.isComplete = carried.isComplete;
    this.#carried = carried;
  }

  get loaded(): WarmEntity['loaded'] {
    return this.#carried.loaded;
  }

  get activities(): WarmEntity['activities'] {
    return this.#carried.activities;
  }
}

export function boardedBy(claim: Claim, carried: Carried): Carried {
  return new BoardedImage(claim, carried);
}

// ---- encoding

function bytesOfOffer({ carried, givenTo, isForsaken }: Offer): Uint8Array {
  return encode([warmRow(carried), carried.partition, carried.isComplete, givenTo, isForsaken, carried.epoch]);
}

/**
 * A list of images, cut into slices that fit into a control message each. An entity may be larger than that, and there may be
 * thousands. Only the length of each image is known in advance; the bytes of a slice are made when it is sent.
 */
export class Slices {
  readonly #sliceBytes: number;
  readonly #offers: Offer[] = [];
  /** The end of each image, from the first on. */
  readonly #ends: number[] = [];
  /** The last image that was encoded: a large one is in many slices. */
  #made: { readonly index: number; readonly bytes: Uint8Array } | undefined;

  constructor(sliceBytes: number) {
    this.#sliceBytes = sliceBytes;
  }

  /** Adds an image, unless the total would exceed `bytesMax`. */
  add(offer: Offer, bytesMax: number): boolean {
    const { length } = bytesOfOffer(offer);
    if (this.bytes + length > bytesMax) return false;
    this.#offers.push(offer);
    this.#ends.push(this.bytes + length);
    return true;
  }

  /** Bytes of all images. */
  get bytes(): number {
    return this.#ends[this.#ends.length - 1] ?? 0;
  }

  get #head(): Uint8Array {
    return encodedHead(this.#offers.length);
  }

  get count(): number {
    return Math.ceil((this.#head.length + this.bytes) / this.#sliceBytes);
  }

  get sliceBytes(): number {
    return this.#sliceBytes;
  }

  slice(index: number): Uint8Array {
    const head = this.#head;
    const from = index * this.#sliceBytes;
    const until = Math.min(from + this.#sliceBytes, head.length + this.bytes);
    const slice = new Uint8Array(until - from);
    // The parts of the whole that lie within the slice.
    const put = (bytes: Uint8Array, at: number) => {
      const [begin, end] = [Math.max(at, from), Math.min(at + bytes.length, until)];
      if (begin < end) slice.set(bytes.subarray(begin - at, end - at), begin - from);
    };
    put(head, 0);
    for (let at = this.#indexAt(from - head.length); at < this.#offers.length; at++) {
      const start = head.length + (this.#ends[at - 1] ?? 0);
      if (start >= until) break;
      put(this.#bytesOf(at), start);
    }
    return slice;
  }

  /** The first image that ends after a position. */
  #indexAt(position: number): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] as number) > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #bytesOf(index: number): Uint8Array {
    if (this.#made?.index !== index) this.#made = { index, bytes: bytesOfOffer(this.#offers[index] as Offer) };
    return this.#made.bytes;
  }
}

/** The images that the worker of this name has sent, one after the other. Throws an error that says what is wrong with the bytes. */
export class OfferReader {
  readonly offers: Offer[] = [];
  readonly #name: string;
  readonly #next: () => unknown;
  #left: number;

  constructor(slices: readonly Uint8Array[], name: string) {
    this.#name = name;
    const { count, next } = decodeBegun(slices.length === 1 ? (slices[0] as Uint8Array) : Buffer.concat(slices));
    this.#left = count;
    this.#next = next;
  }

  /** Reads one image. Returns false after the last. */
  read(): boolean {
    if (this.#left > 0) this.offers.push(offerOf(new Row(this.#next()), this.#name));
    this.#left -= 1;
    if (this.#left > 0) return true;
    this.#next();
    return false;
  }
}

function offerOf(row: Row, name: string): Offer {
  const entity = readWarm(new Row(row.any()));
  const [partition, isComplete, givenTo, isForsaken] = [row.count(), row.boolean(), readTexts(row), row.boolean()];
  // A worker that does not say when may have run it at any time.
  const epoch = row.isAtEnd ? 0 : row.count();
  return { name, carried: { ...entity, partition, epoch, isComplete }, givenTo, isForsaken };
}
