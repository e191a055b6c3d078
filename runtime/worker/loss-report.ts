/**
 * The loss report of a worker: one log line for each loss of history (P8), with its partitions and the number of their entities in
 * memory.
 *
 *     the store reports ───▶ partitions gather for a second ─▶ one line
 *     a partner's evidence ─▶ the same, unless the store has reported the partition
 *
 * Owns when a loss is reported, and that it is reported once. `recovery.ts` handles the memory, `entity/delivery.ts` the streams.
 *
 * Invariants:
 * - LR1 The loss of a partition is in one line, however many entities and partners notice it.
 * - LR2 The worker that claims a partition reports what the store has lost since the last owner released it, before anything of it runs.
 */
import type { Sign } from '../entity/delivery.ts';
import type { Environment } from '../environment.ts';
import type { Loss, Partition } from '../store.ts';

/** How long partitions are gathered, ms. A loss is detected partition by partition, all within moments. */
const gatherMs = 1_000;
/** Evidence of partners within this time belongs to the loss already reported, ms: by default a copy lives no longer. */
const sameLossMs = 86_400_000;

interface Gathering {
  readonly partitions: Set<Partition>;
  commits: number;
  entities: number;
  /** The first entity that a partner knows more of. */
  readonly sign: Sign | undefined;
}

export class LossReport {
  readonly #environment: Environment;
  readonly #worker: string;
  #found: Gathering | undefined;
  #noticed: Gathering | undefined;
  readonly #saidAt = new Map<Partition, number>();

  constructor(environment: Environment, worker: string) {
    this.#environment = environment;
    this.#worker = worker;
  }

  /** The store has lost commits. This many entities were in memory, and are dropped. */
  found({ partition, commits }: Loss, entities: number): void {
    if (partition === undefined) {
      this.#environment.log.error(
        { worker: this.#worker },
        'the data folder was put back to an earlier state: acknowledged commits are lost; the cluster continues from the folder (P8)',
      );
      return;
    }
    this.#found ??= this.#begin(undefined, () => this.#sayFound());
    this.#found.partitions.add(partition);
    this.#found.commits += commits;
    this.#found.entities += entities;
    this.#saidAt.set(partition, this.#environment.now());
  }

  /** A partner knows more of an entity than the store does. */
  readonly noticed = (sign: Sign): void => {
    const { partition } = sign;
    const now = this.#environment.now();
    if (this.#noticed?.partitions.has(partition)) {
      this.#noticed.entities += 1;
      return;
    }
    if (now - (this.#saidAt.get(partition) ?? Number.NEGATIVE_INFINITY) < sameLossMs) return;
    this.#noticed ??= this.#begin(sign, () => this.#sayNoticed());
    this.#noticed.partitions.add(partition);
    this.#noticed.entities += 1;
    this.#saidAt.set(partition, now);
  };

  /** Writes the line. */
  close(): void {
    this.#sayFound();
    this.#sayNoticed();
  }

  #begin(sign: Sign | undefined, say: () => void): Gathering {
    this.#environment.after(gatherMs, say);
    return { partitions: new Set(), commits: 0, entities: 0, sign };
  }

  #sayFound(): void {
    if (this.#found === undefined) return;
    const { partitions, commits, entities } = this.#found;
    this.#found = undefined;
    this.#environment.log.error(
      { worker: this.#worker, partitions: [...partitions], commits, entities },
      'the store has lost acknowledged commits: it was restarted from older data, or a replica that was behind took over; this worker dropped its entities of these partitions from memory (P8)',
    );
  }

  #sayNoticed(): void {
    if (this.#noticed === undefined) return;
    const { partitions, entities, sign } = this.#noticed;
    this.#noticed = undefined;
    this.#environment.log.error(
      { worker: this.#worker, partitions: [...partitions], entities, entity: sign?.entity, partner: sign?.partner },
      'the store has lost history: partners of these entities remember later messages than the store does; one pair is named (P8)',
    );
  }
}
