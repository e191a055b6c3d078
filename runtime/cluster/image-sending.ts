/**
 * Sendings: images of volatile entities on their way out, slice by slice, as those who asked for them take them in.
 *
 * Owns how much goes out by one ask, and what is kept so that a sending can go on where it stopped. Who may have what is
 * `worker/volatile-images.ts`; the other end is `image-fetching.ts`.
 *
 * Invariants:
 * - SE1 One ask is answered with at most `windowBytesMax` of slices, shared by all who are being sent something, or one slice (P12).
 *   What is left goes out when it is asked for.
 * - SE2 A sending does not change while it goes on: its slices are of one moment, however often each is sent.
 */

import { bytesOf } from '../wire/handoff-chunks.ts';
import { type Offer, type Receiver, slicesOf } from '../worker/volatile-images.ts';

export interface SendingLimits {
  /** Bytes that go out by one ask. */
  readonly windowBytesMax: number;
  /** Bytes of images that one partition may take along from one worker: both ends have them in memory as one value. */
  readonly imagesBytesMax: number;
}

export const sendingLimits: SendingLimits = { windowBytesMax: 4_194_304, imagesBytesMax: 536_870_912 };

/** A window is several slices, and what many ask for at once stays small: a slice is at most so large, bytes. */
const sliceBytesMax = 262_144;
/** Whoever does not go on for so long, ms, begins anew. */
const idleMs = 10_000;

export interface Sending extends Receiver {
  readonly slices: readonly Uint8Array[];
  /** Entities that it has no room for. */
  readonly leftCount: number;
  /** The latest ask that it was continued by. */
  ask: number;
  at: number;
}

/** Where an asker wants a sending to go on; 0 of 0: it has nothing of any. */
export interface Place {
  readonly batch: number;
  readonly slice: number;
}

export class ImageSending {
  readonly #limits: SendingLimits;
  readonly #byClaim = new Map<string, Sending>();
  #batch = 0;

  constructor(limits: SendingLimits = sendingLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#byClaim.size;
  }

  /** Bytes that this one gets by one ask. */
  windowFor(id: string): number {
    const ids = new Set([id]);
    for (const sending of this.#byClaim.values()) ids.add(sending.id);
    return this.#limits.windowBytesMax / ids.size;
  }

  get(claim: Omit<Receiver, 'batch'>): Sending | undefined {
    return this.#byClaim.get(keyOf(claim));
  }

  nextBatch(): number {
    return ++this.#batch;
  }

  /** Of these images those that one sending has room for. */
  fitting(offers: readonly Offer[]): readonly Offer[] {
    let bytes = 0;
    return offers.filter(({ carried, givenTo }) => {
      const size = bytesOf(carried) + 64 * (1 + givenTo.length);
      if (bytes + size > this.#limits.imagesBytesMax) return false;
      bytes += size;
      return true;
    });
  }

  /** An earlier one to the same claim is over. */
  begin(receiver: Receiver, offers: readonly Offer[], more: { leftCount: number; bytesMax: number }): Sending {
    const slices = slicesOf(offers, Math.min(more.bytesMax, sliceBytesMax));
    const sending = { ...receiver, slices, leftCount: more.leftCount, ask: 0, at: 0 };
    this.#byClaim.set(keyOf(receiver), sending);
    return sending;
  }

  end(claim: Omit<Receiver, 'batch'>): void {
    this.#byClaim.delete(keyOf(claim));
  }

  sweep(now: number): void {
    for (const [key, { at }] of this.#byClaim) if (now - at >= idleMs) this.#byClaim.delete(key);
  }

  clear(): void {
    this.#byClaim.clear();
  }
}

function keyOf({ id, partition, epoch }: Omit<Receiver, 'batch'>): string {
  return `${id} ${partition} ${epoch}`;
}
