/**
 * When a client sends a call again by itself: how long it waits, and how many copies it may send.
 *
 * Owns the pauses, which follow how long answers take (smoothed as RFC 6298 has it), and the budget of copies. What news asks
 * for (a later view, a floor that moved, a connection that is there again) is not its business.
 *
 * Invariants:
 * - C4 Copies that no news asks for are a share of what is called (`retryShareMax`), and some at any time
 *   (`retryBurstCountMax`): an entity that does not answer is not asked the more for it.
 */
import type { Limits } from '../../core/limits.ts';
import type { Environment } from '../environment.ts';

/** However long answers take, a copy is first sent after at most so many times `retryMs`. */
const patienceTimes = 8;

export class RetryBudget {
  readonly #environment: Environment;
  readonly #limits: Limits;
  /** Copies that may be sent, and until when that is reckoned, ms. */
  #copies: number;
  #copiesAt: number;
  /** How long answers take, smoothed, and by how much that varies, ms. */
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

  /** How long to wait after so many pauses, ms. */
  pauseMs(pauses: number): number {
    const { retryMs, retryMsMax } = this.#limits;
    // Who is slow is not helped by copies of what it has already.
    const usual = Math.min(this.#latencyMs + 4 * this.#varianceMs, patienceTimes * retryMs);
    const pause = Math.min(Math.max(retryMs, usual) * 2 ** pauses, retryMsMax);
    return Math.ceil(pause * (0.75 + this.#environment.random() / 2));
  }

  /** Whether a copy may be sent now; if so it counts (C4). */
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
