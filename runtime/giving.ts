/**
 * Giving: what a worker answers to those who seek or want partitions, or have claimed them.
 *
 * Owns in which signals a partition goes, and what goes with it. Who gets what, and asks again, is `tenancy.ts` and
 * `fetching.ts`; what becomes of activations `handover.ts`.
 */
import { bundlesOf, overheadBytes } from './bundles.ts';
import { type Offer, slicesOf } from './carriage.ts';
import type { Asked } from './coming.ts';
import type { Given } from './handover.ts';
import type { Signal } from './signals.ts';
import type { Epoch, Partition } from './store.ts';
import type { Worker } from './worker.ts';

export interface GivingParts {
  readonly id: string;
  readonly name: string;
  readonly worker: () => Worker;
  readonly signal: (id: string, signal: Signal) => void;
  /** Bytes that one signal may have. */
  readonly signalBytesMax: () => number;
  /** Id of who has it by the view that holds. */
  readonly workerOf: (partition: Partition) => string | undefined;
}

export class Giving {
  readonly #parts: GivingParts;
  /** Sendings of volatile entities. */
  #batch = 0;

  constructor(parts: GivingParts) {
    this.#parts = parts;
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
  fetched({ id, partitions, epochs, ask }: Extract<Signal, { kind: 'fetch' }>): void {
    const worker = this.#parts.worker();
    const theirs = new Map<Partition, Epoch>();
    for (const [index, partition] of partitions.entries())
      if (this.#parts.workerOf(partition) === id) theirs.set(partition, epochs[index] ?? 0);
    for (const [partition, epoch] of theirs) worker.yieldTo(partition, epoch);
    const offers = theirs.size === 0 ? undefined : worker.offers;
    const bare = partitions.filter((partition) => {
      const [epoch, found] = [theirs.get(partition), offers?.get(partition)];
      return epoch === undefined || found === undefined || !this.#carry(id, found, { partition, epoch, ask });
    });
    if (bare.length > 0) this.#parts.signal(id, { kind: 'bare', id: this.#parts.id, partitions: bare, ask });
  }

  /** Whether they are sent: a claim that is over gets nothing any more. */
  #carry(to: string, offers: readonly Offer[], at: { partition: Partition; epoch: Epoch; ask: number }): boolean {
    const { id, name, signalBytesMax, worker } = this.#parts;
    const batch = ++this.#batch;
    const receiver = { id: to, batch, partition: at.partition, epoch: at.epoch };
    if (!worker().carriage.give(offers, receiver)) return false;
    const slices = slicesOf(offers, signalBytesMax() - overheadBytes);
    for (const [index, bytes] of slices.entries())
      this.#parts.signal(to, { kind: 'carried', id, name, ...at, batch, index, count: slices.length, bytes });
    return true;
  }

  /** A claim is over with what it was given. It says so until it hears this. */
  boarded(signal: Extract<Signal, { kind: 'boarded' }>): void {
    const { id, partition, epoch, except } = signal;
    this.#parts.worker().carriage.boarded(signal, except);
    this.#parts.signal(id, { kind: 'settled', id: this.#parts.id, partition, epoch });
  }

  #tell(id: string, { ask, partition, epoch, mark, warm }: Given & { readonly ask: number }): void {
    const bundles = bundlesOf(warm, this.#parts.signalBytesMax());
    for (const [index, entities] of bundles.entries()) {
      const at = { ask, partition, epoch, mark, index, count: bundles.length };
      this.#parts.signal(id, { kind: 'released', id: this.#parts.id, ...at, entities });
    }
  }
}
