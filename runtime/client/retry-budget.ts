/**
 * The retry budget of a client: how long it waits before a retry, and how many retries it may send.
 *
 * Owns the pauses, which follow the smoothed latency of answers (RFC 6298), and the budget. Retries after an event (a later
 * view, a floor that moved, a restored connection) are not counted.
 *
 * Invariants:
 * - C4 Retries without such an event are at most a share of the calls made (`retryShareMax`) plus a burst
 *   (`retryBurstCountMax`), so that an entity that does not answer gets no additional load.
 */
import type { Limits } from '../../core/limits.ts';
import type { Environment } from '../environment.ts';

/** The first pause is at most this many times `retryMs`, whatever the latency. */
const patienceTimes = 8;

export class RetryBudget {
  readonly #environment: Environment;
  readonly #limits: Limits;
  /** Retries left, and the time of that count, ms. */
  #copies: number;
  #copiesAt: number;
  /** Smoothed latency of answers and its variation, ms. */
  #latencyMs = 0;
  #varianceMs = 0;

  constructor({ environment, limits }: { environment: Environment; limits: Limits }) {
    this.#environment = environment;
    this.#limits = limits;
    this.#copies = limits.retryBurstCountMax;
    this.#copiesAt = environment.steady();
  }

  /** A call was made. */
  called(): void {
    const { retryBurstCountMax, retryShareMax } = this.#limits;
    this.#copies = Math.min(retryBurstCountMax, this.#copies + retryShareMax);
  }

  answered(latencyMs: number): void {
    this.#varianceMs += (Math.abs(latencyMs - this.#latencyMs) - this.#varianceMs) / 4;
    this.#latencyMs += (latencyMs - this.#latencyMs) / 8;
  }

  /** Length of the next pause after `pauses` earlier ones, ms. */
  pauseMs(pauses: number): number {
    const { retryMs, retryMsMax } = this.#limits;
    // Copies of a call do not help a slow entity.
    const usual = Math.min(this.#latencyMs + 4 * this.#varianceMs, patienceTimes * retryMs);
    const pause = Math.min(Math.max(retryMs, usual) * 2 ** pauses, retryMsMax);
    return Math.ceil(pause * (0.75 + this.#environment.random() / 2));
  }

  /** Whether a retry may be sent now; if so, it is counted (C4). */
  mayCopy(now: number): boolean {
    const { retryBurstCountMax, retryMsMax } = this.#limits;
    const spared = (Math.max(0, now - this.#copiesAt) / retryMsMax) * retryBurstCountMax;
    this.#copiesAt = now;
    this.#copies = Math.min(retryBurstCountMax, this.#copies + spared);
    if (this.#copies < 1) return false;
    this.#copies -= 1;
    return true;
  }
}
