/**
 * Entities that could not be made although they have something to do by themselves: their `initial` or an upgrade threw. A client
 * that called is told so and may call again; a timer or an outbox has nobody who would.
 *
 * Owns when each is tried again, and that a series of tries is said once.
 *
 * Invariants:
 * - UM1 An entity with something to do is tried again until it can be made, after pauses that double from `retryMs` to
 *   `retryMsMax`.
 * - UM2 So many series are remembered, at most: of the one that was tried longest ago the next try begins a new one (P12).
 */
import type { Limits } from '../../core/limits.ts';
import type { Address } from '../../core/message.ts';

const seriesCountMax = 10_000;

export class Unmade {
  readonly #limits: Pick<Limits, 'retryMs' | 'retryMsMax'>;
  /** The last pause of each, ms; the one that was tried longest ago first. */
  readonly #pauses = new Map<Address, number>();

  constructor(limits: Pick<Limits, 'retryMs' | 'retryMsMax'>) {
    this.#limits = limits;
  }

  has(address: Address): boolean {
    return this.#pauses.has(address);
  }

  /** After which pause it is tried again, ms. */
  failed(address: Address): number {
    const { retryMs, retryMsMax } = this.#limits;
    const last = this.#pauses.get(address);
    const pause = Math.min(last === undefined ? retryMs : 2 * last, retryMsMax);
    this.#pauses.delete(address);
    this.#pauses.set(address, pause);
    const [oldest] = this.#pauses.size > seriesCountMax ? this.#pauses.keys() : [];
    if (oldest !== undefined) this.#pauses.delete(oldest);
    return pause;
  }

  /** Whether there was a series of it, which is over. */
  made(address: Address): boolean {
    return this.#pauses.size > 0 && this.#pauses.delete(address);
  }
}
