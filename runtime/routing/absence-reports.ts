/** Who was found absent of late: so that the service is told once, however many frames nobody took. */
import type { Environment } from '../environment.ts';

/** Told of the same absent worker at most this often, ms. */
const againMs = 200;

export class AbsenceReports {
  readonly #environment: Environment;
  readonly #toldAt = new Map<string, number>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Whether it is time to tell of this one; if so, it counts as told. */
  isNews(id: string): boolean {
    const now = this.#environment.steady();
    if (now - (this.#toldAt.get(id) ?? Number.NEGATIVE_INFINITY) < againMs) return false;
    for (const [other, at] of this.#toldAt) if (now - at >= againMs) this.#toldAt.delete(other);
    this.#toldAt.set(id, now);
    return true;
  }
}
