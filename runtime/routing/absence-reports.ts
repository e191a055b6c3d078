/** Limits absence reports to one per worker in 200 ms, however many frames found the worker absent. */
import type { Environment } from '../environment.ts';

/** Minimum interval between two reports of the same worker, ms. */
const againMs = 200;

export class AbsenceReports {
  readonly #environment: Environment;
  readonly #reportedAt = new Map<string, number>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Whether a report of this worker is due. If so, it counts as made. */
  isNews(id: string): boolean {
    const now = this.#environment.steady();
    if (now - (this.#reportedAt.get(id) ?? Number.NEGATIVE_INFINITY) < againMs) return false;
    for (const [other, at] of this.#reportedAt) if (now - at >= againMs) this.#reportedAt.delete(other);
    this.#reportedAt.set(id, now);
    return true;
  }
}
