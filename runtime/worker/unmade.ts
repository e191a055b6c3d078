/**
 * Entities that have work of their own but cannot be activated, because their `initial` or an upgrade threw. A client gets the error
 * and may call again; a timer or an outbox has no caller that would.
 *
 * Owns when each is tried again, and that a series of tries is logged once.
 *
 * Invariants:
 * - UM1 An entity with work of its own, or with an image, whose dates are in no store, is tried again until it can be activated, after
 *   pauses that double from `retryMs` to `retryMsMax`.
 * - UM2 A bounded number of series is remembered. If the one tried longest ago is dropped, its next try begins a new series (P12).
 */
import type { Limits } from '../../core/limits.ts';
import type { Address } from '../../core/message.ts';

const seriesCountMax = 10_000;

export class Unmade {
  readonly #limits: Pick<Limits, 'retryMs' | 'retryMsMax'>;
  /** The last pause of each, ms; the one tried longest ago first. */
  readonly #pauses = new Map<Address, number>();

  constructor(limits: Pick<Limits, 'retryMs' | 'retryMsMax'>) {
    this.#limits = limits;
  }

  has(address: Address): boolean {
    return this.#pauses.has(address);
  }

  /** The pause before the next try, ms. */
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

  /** Whether it had a series, which is over now. */
  made(address: Address): boolean {
    return this.#pauses.size > 0 && this.#pauses.delete(address);
  }
}
