/**
 * Sendings: images of volatile entities on their way out, slice by slice, as those who asked for them take them in.
 *
 *     opened ─ its turn comes ─▶ begun: of each image its length is found ─ all are ─▶ ready: slices are made as they go out
 *
 * Owns how much goes out by one ask, and what is kept so that a sending can go on where it stopped. Who may have what is
 * `worker/volatile-images.ts`; the other end is `image-fetching.ts`.
 *
 * Invariants:
 * - SE1 One ask is answered with at most `windowBytesMax` of slices, shared by all who are being sent something, or one slice (P12).
 *   What is left goes out when it is asked for.
 * - SE2 A sending does not change while it goes on: its slices are of one moment, however often each is sent.
 * - SE3 Images and slices are made one at a time; of a sending that goes on no more than a slice and an image are held as bytes to be sent.
 */

import { type Offer, Slices } from '../worker/image-format.ts';
import type { Receiver } from '../worker/volatile-images.ts';

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
  /** Number of the view by which it was asked for: a later one may bring other entities. */
  readonly view: number;
  readonly slices: Slices;
  /** Images whose length is not known yet; undefined: it is not begun. */
  waiting: Offer[] | undefined;
  /** Entities that it has no room for. */
  leftCount: number;
  /** How often it was said that it is coming. */
  saidCount: number;
  /** The latest ask that it was continued by. */
  ask: number;
  at: number;
}

/** Whether its slices can go out. */
export function isReady({ waiting }: Sending): boolean {
  return waiting !== undefined && waiting.length === 0;
}

/** Number of a sending that is never whole: what is said by it is that the other is coming. */
export function numberOfComing({ batch }: Sending): number {
  return batch - 1;
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

  /** An earlier one to the same claim is over. */
  open(claim: Omit<Receiver, 'batch'>, more: { view: number; bytesMax: number }): Sending {
    this.#batch += 2;
    const sending: Sending = {
      ...claim,
      batch: this.#batch,
      view: more.view,
      slices: new Slices(Math.min(more.bytesMax, sliceBytesMax)),
      waiting: undefined,
      leftCount: 0,
      saidCount: 0,
      ask: 0,
      at: 0,
    };
    this.#byClaim.set(keyOf(claim), sending);
    return sending;
  }

  /** One image more is part of it; the one that there is no room for comes back. */
  pack(sending: Sending): Offer | undefined {
    const offer = sending.waiting?.pop();
    if (offer === undefined || sending.slices.add(offer, this.#limits.imagesBytesMax)) return undefined;
    sending.leftCount += 1;
    return offer;
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
