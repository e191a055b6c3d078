/**
 * Giving: what a worker answers to those who seek or want partitions.
 *
 * Owns in which signals a partition goes, and what goes with it. Who gets what, and asks again, is `tenancy.ts`; what becomes of
 * activations `handover.ts`.
 */
import { bundlesOf, overheadBytes } from './bundles.ts';
import { type Carried, slicesOf } from './carriage.ts';
import type { Asked } from './coming.ts';
import type { Given } from './handover.ts';
import type { Signal } from './signals.ts';
import type { Partition } from './store.ts';
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
    const { carried } = worker;
    const others = partitions.filter((partition) => !had.has(partition) && !worker.isLeaving(partition));
    for (const partition of others) this.#carry(id, partition, carried.get(partition), true);
    const none = others.filter((partition) => !carried.has(partition));
    if (none.length > 0) this.#parts.signal(id, { kind: 'none', id: this.#parts.id, partitions: none, ask });
    if (mine.length === 0) return;
    if (kind === 'release') void this.#give(id, mine, ask);
    else this.#parts.signal(id, { kind: 'keeping', id: this.#parts.id, partitions: mine, ask });
  }

  async #give(id: string, partitions: readonly Partition[], ask: number): Promise<void> {
    const worker = this.#parts.worker();
    const giving = worker.give(partitions);
    // What is only in memory does not wait for the store, however long that takes.
    const sent = new Map(worker.carried);
    for (const partition of partitions) this.#carry(id, partition, sent.get(partition), false);
    for (const given of await giving) {
      // What could not be written comes to it.
      const carried = worker.carried.get(given.partition);
      const count =
        carried?.length === sent.get(given.partition)?.length
          ? this.#slicesOf(carried).length
          : this.#carry(id, given.partition, carried, false);
      this.#tell(id, { ...given, ask }, count);
    }
  }

  #slicesOf(carried: readonly Carried[] = []): Uint8Array[] {
    return slicesOf(carried, this.#parts.signalBytesMax() - overheadBytes);
  }

  /** Send volatile entities; they stay here until their new owner says that it has them (CA3). Returns in how many slices. */
  #carry(to: string, partition: Partition, carried: readonly Carried[] | undefined, isAll: boolean): number {
    const slices = this.#slicesOf(carried);
    const { id, name } = this.#parts;
    const [count, batch] = [slices.length, ++this.#batch];
    for (const [index, bytes] of slices.entries())
      this.#parts.signal(to, { kind: 'carried', id, name, partition, batch, index, count, isAll, bytes });
    return count;
  }

  /** Who asked for volatile entities has them. */
  boarded(partitions: readonly Partition[]): void {
    const { carriage, carried } = this.#parts.worker();
    for (const partition of partitions)
      for (const { address } of carried.get(partition) ?? []) carriage.settled(address);
  }

  #tell(id: string, { ask, partition, epoch, mark, warm }: Given & { readonly ask: number }, carried: number): void {
    const bundles = bundlesOf(warm, this.#parts.signalBytesMax());
    for (const [index, entities] of bundles.entries()) {
      const at = { ask, partition, epoch, mark, index, count: bundles.length };
      this.#parts.signal(id, { kind: 'released', id: this.#parts.id, ...at, entities, carried });
    }
  }
}
