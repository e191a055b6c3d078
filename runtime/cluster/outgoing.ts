/**
 * Outgoing partitions: answers workers that seek, want or have claimed partitions of this worker.
 *
 * Owns the control messages that hand a partition off, and their content. `acquisition.ts` and `image-fetching.ts` are the
 * other end; `worker/handoff.ts` handles the activations.
 *
 * Invariants:
 * - GI1 Each fetch is answered in the tick in which it arrives: with the available images, or with the notice that they are
 *   coming. No single step takes longer with more entities, except for releasing them.
 */

import type { Environment } from '../environment.ts';
import type { Partition } from '../store.ts';
import type { ControlMessage } from '../wire/control-messages.ts';
import { chunksOf, overheadBytes } from '../wire/handoff-chunks.ts';
import type { Given } from '../worker/handoff.ts';
import { inSteps, type StepLimits } from '../worker/steps.ts';
import type { Worker } from '../worker/worker.ts';
import {
  ImageSending,
  isReady,
  numberOfComing,
  type Place,
  type Sending,
  type SendingLimits,
} from './image-sending.ts';
import type { Asked } from './incoming.ts';

type Fetch = Extract<ControlMessage, { kind: 'fetch' }>;
type Carried = Extract<ControlMessage, { kind: 'carried' }>;

/** A claim of another worker that requests images, and the batch that answers it. */
interface Wanting {
  readonly sending: Sending;
  readonly ask: number;
  /** The first slice to send. */
  readonly from: number;
}

/** The answer to one fetch: its position, and the bytes that it may still send. */
interface Answer {
  readonly id: string;
  readonly ask: number;
  readonly view: number;
  wanted: Wanting[];
  readonly carried: Carried[];
  bare: Partition[];
  bytesLeft: number;
}

/** More slices than any batch has. */
const comingCount = 2 ** 31;
/** Interval at which abandoned batches are dropped, ms. */
const sweepMs = 5_000;

export interface OutgoingParts {
  readonly environment: Environment;
  readonly sendingLimits?: SendingLimits;
  readonly stepLimits?: StepLimits;
  readonly id: string;
  readonly name: string;
  readonly worker: () => Worker;
  readonly sendControl: (id: string, message: ControlMessage) => void;
  /** Most bytes of one control message. */
  readonly signalBytesMax: () => number;
  /** Id of the partition's worker by the current view. */
  readonly workerOf: (partition: Partition) => string | undefined;
  /** Version of the current view. */
  readonly viewVersion: () => number;
}

export class Outgoing {
  readonly #parts: OutgoingParts;
  readonly #sendings: ImageSending;
  #isSweeping = false;
  /** Answers in progress, one after the other. */
  #answers: Answer[] = [];
  #isAnswering = false;
  /** When images were last in flight, monotonic time. */
  sentAt = Number.NEGATIVE_INFINITY;

  constructor(parts: OutgoingParts) {
    this.#parts = parts;
    this.#sendings = new ImageSending(parts.sendingLimits);
  }

  close(): void {
    this.#answers = [];
    this.#sendings.clear();
  }

  /** Another worker seeks or wants partitions, by a view that this worker follows. Partitions being released get their answer later. */
  asked({ kind, id, partitions, ask }: Asked): void {
    const worker = this.#parts.worker();
    const mine = partitions.filter((partition) => worker.has(partition) && this.#parts.workerOf(partition) === id);
    const had = new Set(mine);
    const none = partitions.filter((partition) => !had.has(partition) && !worker.isLeaving(partition));
    if (none.length > 0) this.#parts.sendControl(id, { kind: 'none', id: this.#parts.id, partitions: none, ask });
    if (mine.length === 0) return;
    if (kind === 'release') void this.#give(id, mine, ask);
    else this.#parts.sendControl(id, { kind: 'keeping', id: this.#parts.id, partitions: mine, ask });
  }

  async #give(id: string, partitions: readonly Partition[], ask: number): Promise<void> {
    for (const given of await this.#parts.worker().give(partitions)) this.#release(id, { ...given, ask });
  }

  /**
   * Another worker has claimed partitions, by a view that this worker follows. What ran here by an earlier claim ends at once,
   * and the images of its entities belong to the new claim (CA3). Images that take longer to prepare are announced (GI1).
   */
  fetched(fetch: Fetch): void {
    const { id, ask, partitions } = fetch;
    const bytesLeft = this.#sendings.windowFor(id);
    const answer: Answer = { id, ask, view: fetch.view.version, wanted: [], carried: [], bare: [], bytesLeft };
    const claims = partitions.map((partition, index) => ({ partition, epoch: fetch.epochs[index] ?? 0 }));
    const theirs = claims.filter(({ partition }) => this.#parts.workerOf(partition) === id);
    // What was boarded by a later claim is about to run here.
    const yielded = this.#parts.worker().yieldTo(theirs);
    for (const [index, { partition }] of claims.entries())
      if (yielded.has(partition)) this.#want(fetch, index, answer);
      else answer.bare.push(partition);
    if (answer.wanted.length === 0 || answer.bytesLeft <= 0) return this.#tell(answer, true);
    // Earlier requests, and this one.
    const wanted = new Set(answer.wanted.map(({ sending }) => sending));
    for (const other of this.#answers) other.wanted = other.wanted.filter(({ sending }) => !wanted.has(sending));
    this.#answers.push(answer);
    this.#work();
    const coming = answer.wanted[0]?.sending;
    if (coming === undefined || !this.#answers.includes(answer)) return;
    this.#tell(answer, false);
    this.#say(coming, ask);
  }

  /** What of it can go out at once does: nobody has to wait for it behind something else. */
  #want(fetch: Fetch, index: number, answer: Answer): void {
    const { id, ask } = fetch;
    const worker = this.#parts.worker();
    const [partition = 0, epoch = 0] = [fetch.partitions[index], fetch.epochs[index]];
    const claim = { id, partition, epoch };
    const known = this.#sendings.get(claim);
    // Late or duplicated: a later request has been answered.
    if (known !== undefined && ask <= known.ask) return;
    const place = { batch: fetch.batches[index] ?? 0, slice: fetch.slices[index] ?? 0 };
    const isKnown = known !== undefined && this.#isOf(known, place, answer.view);
    if (!isKnown && !worker.hasOffersOf(partition)) return void answer.bare.push(partition);
    worker.images.asked(partition);
    const bytesMax = this.#sliceBytes;
    const sending = isKnown ? known : this.#sendings.open(claim, { view: answer.view, bytesMax });
    sending.ask = ask;
    sending.at = this.#parts.environment.steady();
    const wanting = { sending, ask, from: place.batch === sending.batch ? place.slice : 0 };
    if (isReady(sending)) this.#goOn(wanting, answer);
    else answer.wanted.push(wanting);
  }

  /** Whether a sending goes on from there, or from its beginning: the asker has heard that it is coming, or nothing yet. */
  #isOf(sending: Sending, { batch }: Place, view: number): boolean {
    if (sending.slices.sliceBytes > this.#sliceBytes) return false;
    if (batch === 0) return sending.view === view;
    return batch === sending.batch || batch === numberOfComing(sending);
  }

  get #sliceBytes(): number {
    return this.#parts.signalBytesMax() - overheadBytes;
  }

  #work(): void {
    if (this.#isAnswering) return;
    this.#isAnswering = true;
    const part = () => {
      this.#isAnswering = this.#part();
      return this.#isAnswering;
    };
    inSteps(this.#parts.environment, part, this.#parts.stepLimits);
  }

  /** Sends one part of the first answer. Returns false if there is none. */
  #part(): boolean {
    const [answer] = this.#answers;
    if (answer === undefined) return false;
    const [wanting] = answer.wanted;
    // The requester continues once it has these.
    if (wanting === undefined || answer.bytesLeft <= 0 || this.#parts.viewVersion() > answer.view) {
      this.#answers.shift();
      this.#tell(answer, true);
    } else if (this.#sendings.get(wanting.sending) !== wanting.sending) answer.wanted.shift();
    else if (isReady(wanting.sending)) {
      answer.wanted.shift();
      this.#goOn(wanting, answer);
    } else if (wanting.sending.waiting === undefined) this.#begin(wanting, answer);
    else this.#pack(wanting.sending);
    return true;
  }

  /** A claim that is over, or followed by a later one, gets nothing. */
  #begin({ sending }: Wanting, answer: Answer): void {
    const { id, partition, epoch, batch } = sending;
    const worker = this.#parts.worker();
    const isTheirs = worker.yieldTo([sending]).has(partition);
    const offers = isTheirs ? worker.offersOf(partition) : [];
    if (offers.length > 0 && worker.images.give(offers, { id, partition, epoch, batch })) {
      sending.waiting = [...offers].reverse();
      return;
    }
    answer.wanted.shift();
    this.#sendings.end(sending);
    answer.bare.push(partition);
  }

  #pack(sending: Sending): void {
    const left = this.#sendings.pack(sending);
    if (left !== undefined) this.#parts.worker().images.notGiven(left.carried.address, sending);
    const { partition, leftCount } = sending;
    if (leftCount === 0 || !isReady(sending)) return;
    this.#parts.environment.log.error(
      { partition, count: leftCount },
      'a partition has more volatile entities than a handoff can carry: the rest start anew',
    );
  }

  #goOn({ sending, ask, from }: Wanting, answer: Answer): void {
    const { id, name } = this.#parts;
    const { batch, partition, epoch, slices, leftCount } = sending;
    const { count } = slices;
    for (let index = from; index < count && answer.bytesLeft > 0; index++) {
      const bytes = slices.slice(index);
      if (answer.carried.length > 0 && answer.bytesLeft < bytes.length) answer.bytesLeft = 0;
      if (answer.bytesLeft <= 0) return;
      const at = { partition, epoch, ask, batch, index, count };
      answer.carried.push({ kind: 'carried', id, name, ...at, bytes, isLast: false, leftCount });
      answer.bytesLeft -= bytes.length;
    }
  }

  /** Partitions without images are answered first, so that the last slice completes the answer. */
  #tell(answer: Answer, isOver: boolean): void {
    const { id, ask, bare } = answer;
    if (bare.length > 0) this.#parts.sendControl(id, { kind: 'bare', id: this.#parts.id, partitions: bare, ask });
    answer.bare = [];
    const carried = answer.carried.splice(0);
    if (carried.length === 0) return;
    this.sentAt = this.#parts.environment.steady();
    const last = carried.length - 1;
    for (const [index, one] of carried.entries())
      this.#parts.sendControl(id, { ...one, isLast: isOver && index === last });
    this.#sweepLater();
  }

  /** An empty slice of a batch that is never complete. It tells the requester that this worker is alive, in earlier protocols too. */
  #say(sending: Sending, ask: number): void {
    const { id, name, environment } = this.#parts;
    const { partition, epoch } = sending;
    this.sentAt = environment.steady();
    this.#parts.sendControl(sending.id, {
      ...{ kind: 'carried', id, name, partition, epoch, ask, batch: numberOfComing(sending), index: sending.saidCount },
      ...{ count: comingCount, bytes: new Uint8Array(0), isLast: false, leftCount: 0 },
    });
    sending.saidCount += 1;
    this.#sweepLater();
  }

  #sweepLater(): void {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    this.#parts.environment.after(sweepMs, () => {
      this.#isSweeping = false;
      this.#sendings.sweep(this.#parts.environment.steady());
      if (this.#sendings.count > 0) this.#sweepLater();
    });
  }

  /** The claim has used its images. It repeats the report until it gets this answer. */
  boarded(message: Extract<ControlMessage, { kind: 'boarded' }>): void {
    const { id, partition, epoch, except } = message;
    this.#sendings.end(message);
    this.#parts.worker().images.boarded(message, except);
    this.#parts.sendControl(id, { kind: 'settled', id: this.#parts.id, partition, epoch });
  }

  #release(id: string, { ask, partition, epoch, mark, warm }: Given & { readonly ask: number }): void {
    const bundles = chunksOf(warm, this.#parts.signalBytesMax());
    for (const [index, entities] of bundles.entries()) {
      const at = { ask, partition, epoch, mark, index, count: bundles.length };
      this.#parts.sendControl(id, { kind: 'released', id: this.#parts.id, ...at, entities });
    }
  }
}
