/**
 * Giving: what a worker answers to those who seek or want partitions, or have claimed them.
 *
 * Owns in which signals a partition goes, and what goes with it. Who gets what, and asks again, is `acquisition.ts` and
 * `image-fetching.ts`; what becomes of activations `worker/handoff.ts`.
 */

import type { Environment } from '../environment.ts';
import type { Epoch, Partition } from '../store.ts';
import type { ControlMessage } from '../wire/control-messages.ts';
import { chunksOf, overheadBytes } from '../wire/handoff-chunks.ts';
import type { Given } from '../worker/handoff.ts';
import type { Offer } from '../worker/volatile-images.ts';
import type { Worker } from '../worker/worker.ts';
import { ImageSending, type Place, type Sending, type SendingLimits } from './image-sending.ts';
import type { Asked } from './incoming.ts';

type Fetch = Extract<ControlMessage, { kind: 'fetch' }>;
type Carried = Extract<ControlMessage, { kind: 'carried' }>;

/** A claim of another worker that asks for what there is. */
interface Wanting {
  readonly id: string;
  readonly partition: Partition;
  readonly epoch: Epoch;
  readonly ask: number;
}

/** What answers one fetch, and how many bytes of it there may still be. */
interface Answer {
  readonly carried: Carried[];
  readonly bare: Partition[];
  bytesLeft: number;
}

/** What nobody goes on with is looked for this often, ms. */
const sweepMs = 5_000;

export interface OutgoingParts {
  readonly environment: Environment;
  readonly sendingLimits?: SendingLimits;
  readonly id: string;
  readonly name: string;
  readonly worker: () => Worker;
  readonly signal: (id: string, signal: ControlMessage) => void;
  /** Bytes that one signal may have. */
  readonly signalBytesMax: () => number;
  /** Id of who has it by the view that holds. */
  readonly workerOf: (partition: Partition) => string | undefined;
}

export class Outgoing {
  readonly #parts: OutgoingParts;
  readonly #sendings: ImageSending;
  #isSweeping = false;
  /** When images were last on their way, by steady time. */
  sentAt = Number.NEGATIVE_INFINITY;

  constructor(parts: OutgoingParts) {
    this.#parts = parts;
    this.#sendings = new ImageSending(parts.sendingLimits);
  }

  close(): void {
    this.#sendings.clear();
  }

  /** Somebody seeks or wants partitions by a view that is followed here by now. What is leaving is answered by what follows. */
  asked({ kind, id, partitions, ask }: Asked): void {
    const worker = this.#parts.worker();
    const mine = partitions.filter((partition) => worker.has(partition) && this.#parts.workerOf(partition) === id);
    const had = new Set(mine);
    const none = partitions.filter((partition) => !had.has(partition) && !worker.isLeaving(partition));
    if (none.length > 0) this.#parts.signal(id, { kind: 'none', id: this.#parts.id, partitions: none, ask });
    if (mine.length === 0) return;
    if (kind === 'release') void this.#give(id, mine, ask);
    else this.#parts.signal(id, { kind: 'keeping', id: this.#parts.id, partitions: mine, ask });
  }

  async #give(id: string, partitions: readonly Partition[], ask: number): Promise<void> {
    for (const given of await this.#parts.worker().give(partitions)) this.#tell(id, { ...given, ask });
  }

  /**
   * Somebody has claimed partitions, by a view that is followed here: what ran by an earlier claim ends, whatever it waits for, and
   * all the images of their entities are that claim's (CA3).
   */
  fetched(fetch: Fetch): void {
    const { id, partitions, epochs, ask } = fetch;
    const worker = this.#parts.worker();
    const theirs = new Map<Partition, Epoch>();
    for (const [index, partition] of partitions.entries())
      if (this.#parts.workerOf(partition) === id) theirs.set(partition, epochs[index] ?? 0);
    // What was boarded by a later claim is about to run here.
    for (const [partition, epoch] of theirs) if (!worker.yieldTo(partition, epoch)) theirs.delete(partition);
    let offers: ReadonlyMap<Partition, readonly Offer[]> | undefined;
    const offersOf = (partition: Partition) => {
      offers ??= worker.offers;
      return offers.get(partition);
    };
    const answer: Answer = { carried: [], bare: [], bytesLeft: this.#sendings.windowFor(id) };
    for (const [index, partition] of partitions.entries()) {
      const epoch = theirs.get(partition);
      const place = { batch: fetch.batches[index] ?? 0, slice: fetch.slices[index] ?? 0 };
      if (epoch === undefined) answer.bare.push(partition);
      else this.#carry({ id, partition, epoch, ask }, place, () => offersOf(partition), answer);
    }
    this.#answer(id, ask, answer);
  }

  /** First what there is nothing of: whoever has the last slice then knows of all that was asked for. */
  #answer(id: string, ask: number, { bare, carried }: Answer): void {
    if (bare.length > 0) this.#parts.signal(id, { kind: 'bare', id: this.#parts.id, partitions: bare, ask });
    if (carried.length === 0) return;
    this.sentAt = this.#parts.environment.steady();
    const last = carried.length - 1;
    for (const [index, one] of carried.entries()) this.#parts.signal(id, { ...one, isLast: index === last });
    this.#sweepLater();
  }

  /** What of a partition goes out now: from where the asker wants its sending to go on, or else of a new one. */
  #carry(wanting: Wanting, place: Place, offersOf: () => readonly Offer[] | undefined, answer: Answer): void {
    const { partition } = wanting;
    const known = this.#sendings.get(wanting);
    // Late, or doubled: a later ask has been answered.
    if (known !== undefined && wanting.ask <= known.ask) return;
    const isKnown = known?.batch === place.batch && (known.slices[0]?.length ?? 0) <= this.#sliceBytes;
    const offers = isKnown ? undefined : offersOf();
    const { images } = this.#parts.worker();
    if (isKnown || offers !== undefined) images.asked(partition);
    else return void answer.bare.push(partition);
    // It asks again once it has what goes out now.
    if (answer.bytesLeft <= 0) return;
    const sending = isKnown ? known : this.#begin(wanting, offers ?? []);
    if (sending === undefined) answer.bare.push(partition);
    else this.#goOn(sending, wanting, place.batch === sending.batch ? place.slice : 0, answer);
  }

  get #sliceBytes(): number {
    return this.#parts.signalBytesMax() - overheadBytes;
  }

  /** Undefined: a claim that is over gets nothing any more. */
  #begin({ id, partition, epoch }: Wanting, offers: readonly Offer[]): Sending | undefined {
    const receiver = { id, partition, epoch, batch: this.#sendings.nextBatch() };
    const fitting = this.#sendings.fitting(offers);
    if (!this.#parts.worker().images.give(fitting, receiver)) return undefined;
    const leftCount = offers.length - fitting.length;
    if (leftCount > 0)
      this.#parts.environment.log.error(
        { partition, count: leftCount, of: offers.length },
        'a partition has more in memory than may go along with it: entities that are not durable by turn begin anew',
      );
    return this.#sendings.begin(receiver, fitting, { leftCount, bytesMax: this.#sliceBytes });
  }

  #goOn(sending: Sending, { partition, epoch, ask }: Wanting, from: number, answer: Answer): void {
    const { id, name, environment } = this.#parts;
    const { batch, slices, leftCount } = sending;
    sending.ask = ask;
    sending.at = environment.steady();
    for (let index = from; index < slices.length; index++) {
      const bytes = slices[index] ?? new Uint8Array(0);
      if (answer.carried.length > 0 && answer.bytesLeft < bytes.length) answer.bytesLeft = 0;
      if (answer.bytesLeft <= 0) return;
      const at = { partition, epoch, ask, batch, index, count: slices.length };
      answer.carried.push({ kind: 'carried', id, name, ...at, bytes, isLast: false, leftCount });
      answer.bytesLeft -= bytes.length;
    }
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

  /** A claim is over with what it was given. It says so until it hears this. */
  boarded(signal: Extract<ControlMessage, { kind: 'boarded' }>): void {
    const { id, partition, epoch, except } = signal;
    this.#sendings.end(signal);
    this.#parts.worker().images.boarded(signal, except);
    this.#parts.signal(id, { kind: 'settled', id: this.#parts.id, partition, epoch });
  }

  #tell(id: string, { ask, partition, epoch, mark, warm }: Given & { readonly ask: number }): void {
    const bundles = chunksOf(warm, this.#parts.signalBytesMax());
    for (const [index, entities] of bundles.entries()) {
      const at = { ask, partition, epoch, mark, index, count: bundles.length };
      this.#parts.signal(id, { kind: 'released', id: this.#parts.id, ...at, entities });
    }
  }
}
