/**
 * What a worker says of lost history (P8): one line for each loss, with the partitions, and how many entities it had of them in
 * memory.
 *
 *     the store tells ─▶ partitions gather for a second ─▶ one line
 *     a partner tells ─▶ the same, unless the store has told of the partition
 *
 * Owns when it is said, and that it is said once. What becomes of the memory is `recovery.ts`, of the streams `entity/delivery.ts`.
 *
 * Invariants:
 * - LR1 A partition's loss is in one line, however many of its entities and their partners notice it.
 * - LR2 Who has claimed a partition says what the store has forgotten of it since its last owner released it, also before anything of it runs.
 */
import type { Sign } from '../entity/delivery.ts';
import type { Environment } from '../environment.ts';
import type { Loss, Partition } from '../store.ts';

/** A store that goes back is found out partition by partition, all within moments. */
const gatherMs = 1_000;
/** Partners that notice a loss within this time notice the one that was said already, ms: a copy lives no longer by default. */
const sameLossMs = 86_400_000;

interface Gathering {
  readonly partitions: Set<Partition>;
  commits: number;
  entities: number;
  /** The first one that a partner knows more of. */
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

  /** The store has lost commits; so many entities of them were in memory, and are dropped. */
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

  /** What has gathered is said now. */
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
