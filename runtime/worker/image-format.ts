/**
 * Images: volatile entities as they left memory, and the bytes that they are on their way.
 *
 * Owns the format of a sending, and that none of it is made before it is needed, nor in one go: of an entity its image, of a
 * sending one slice.
 *
 * Invariants:
 * - IM1 What an image says is what the entity was when its stay ended: whoever is dropped changes no more (V2).
 * - IM2 A slice is the same each time it is made.
 */
import type { Address } from '../../core/message.ts';
import type { Activation } from '../entity/activation.ts';
import { encodeActivity } from '../entity/record-format.ts';
import { imageOf } from '../entity/record-writer.ts';
import type { Claim, Epoch, Partition } from '../store.ts';
import { decodeBegun, encode, encodedHead, Row } from '../wire/codec.ts';
import { readTexts, readWarm, type WarmEntity, warmRow } from '../wire/control-messages.ts';

/** A volatile entity as it left memory. What it holds is made when it is first looked at. */
export interface Carried extends WarmEntity {
  /** By which it ran. */
  readonly partition: Partition;
  /** Of the claim by which it ran, or was boarded since. */
  readonly epoch: Epoch;
  /** Whether all its activities are here: the store may have others of an `interval` type. */
  readonly isComplete: boolean;
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

/** Commits that change nothing but the version may come between, as many as end a doubt: an image is later than they are. */
const fenceCountMax = 16;

type Held = Pick<WarmEntity, 'loaded' | 'activities'>;

/** Holds on to the activation until the image is made, and from then on to the image. */
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
    // Where the store may have more of them, an empty one says that this one is gone.
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

/** The same image, boarded by this claim. */
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

// ---- as bytes

function bytesOfOffer({ carried, givenTo, isForsaken }: Offer): Uint8Array {
  return encode([warmRow(carried), carried.partition, carried.isComplete, givenTo, isForsaken, carried.epoch]);
}

/**
 * One list of images, cut into slices that fit into a signal each: one entity may be larger than that, and there may be
 * thousands. Of each it is only known how long it is; the bytes of a slice are made when it goes out.
 */
export class Slices {
  readonly #sliceBytes: number;
  readonly #offers: Offer[] = [];
  /** Where the image after each ends, from the first on. */
  readonly #ends: number[] = [];
  /** The last that was made: a large one is in many slices. */
  #made: { readonly index: number; readonly bytes: Uint8Array } | undefined;

  constructor(sliceBytes: number) {
    this.#sliceBytes = sliceBytes;
  }

  /** One more, unless all together take more than so many bytes then. */
  add(offer: Offer, bytesMax: number): boolean {
    const { length } = bytesOfOffer(offer);
    if (this.bytes + length > bytesMax) return false;
    this.#offers.push(offer);
    this.#ends.push(this.bytes + length);
    return true;
  }

  /** Of all images. */
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
    // Those parts of the whole that lie within the slice.
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

  /** The first image that ends behind it. */
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

/** What the worker of this name has sent, one image after the other. Throws an error that says what is wrong with it. */
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

  /** Read one; false: that was the last. */
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
  // Who does not say it may have run it at any time.
  const epoch = row.isAtEnd ? 0 : row.count();
  return { name, carried: { ...entity, partition, epoch, isComplete }, givenTo, isForsaken };
}
