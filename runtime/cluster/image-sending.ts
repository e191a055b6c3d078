/**
 * Image sending: sends the images of volatile entities slice by slice, at the pace of the workers that fetch them.
 *
 *     opened ─ its turn comes ─▶ begun: of each image its length is found ─ all are ─▶ ready: slices are made as they go out
 *
 * Owns the amount sent per request, and the position from which a batch resumes. `worker/volatile-images.ts` decides who may
 * have an image; the other end is `image-fetching.ts`.
 *
 * Invariants:
 * - SE1 A request is answered with slices of at most `windowBytesMax`, shared by all current requesters, or with one slice
 *   (P12). The rest follows on further requests.
 * - SE2 A batch does not change while it is sent: its slices are of one moment, however often each is sent.
 * - SE3 Images and slices are made one at a time: a batch in progress keeps at most one slice and one image as bytes to send.
 */

import { type Offer, Slices } from '../worker/image-format.ts';
import type { Receiver } from '../worker/volatile-images.ts';

export interface SendingLimits {
  /** Most bytes sent per request. */
  readonly windowBytesMax: number;
  /** Most bytes of images per partition and worker. Both ends keep them in memory as one value. */
  readonly imagesBytesMax: number;
}

export const sendingLimits: SendingLimits = { windowBytesMax: 4_194_304, imagesBytesMax: 536_870_912 };

/** Largest slice, bytes. A window has several, and the total for many requesters stays small. */
const sliceBytesMax = 262_144;
/** A requester that does not continue for this long starts again, ms. */
const idleMs = 10_000;

export interface Sending extends Receiver {
  /** Version of the view of the request. A later view may bring other entities. */
  readonly view: number;
  readonly slices: Slices;
  /** Images whose length is not known yet; undefined: not begun. */
  waiting: Offer[] | undefined;
  /** Entities that do not fit into it. */
  leftCount: number;
  /** How often it was announced. */
  saidCount: number;
  /** The latest request that continued it. */
  ask: number;
  at: number;
}

/** Whether its slices can go out. */
export function isReady({ waiting }: Sending): boolean {
  return waiting !== undefined && waiting.length === 0;
}

/** Number of a batch that is never complete: it announces that the real one is coming. */
export function numberOfComing({ batch }: Sending): number {
  return batch - 1;
}

/** The batch and slice from which a requester continues; 0 and 0: it has none. */
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

  /** Bytes that this requester gets per request. */
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
