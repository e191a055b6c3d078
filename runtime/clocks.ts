/**
 * Clock skew: detects that another machine's clock differs from this one by more than `skewMaxMs`, and logs it.
 *
 * Dates on messages are safe between clocks that differ by less (`core/activity.ts`). Beyond that, calls end without an answer
 * or are remembered for too long, for no visible reason. So a process that receives the time of another clock checks it, and
 * logs a difference once for each other process.
 */
import type { Limits } from '../core/limits.ts';
import type { Environment } from './environment.ts';

/** Other processes remembered as logged. Beyond it, they may be logged again. */
const toldCountMax = 1_000;

export class Clocks {
  readonly #environment: Environment;
  readonly #skewMaxMs: number;
  readonly #told = new Set<string>();

  constructor({ environment, limits }: { readonly environment: Environment; readonly limits: Limits }) {
    this.#environment = environment;
    this.#skewMaxMs = limits.skewMaxMs;
  }

  /** How far another clock is ahead of this one (negative: behind), ms, if it is more than `skewMaxMs`; else 0. */
  apart(theirs: number): number {
    const ms = theirs - this.#environment.now();
    return Math.abs(ms) > this.#skewMaxMs ? ms : 0;
  }

  /** Notes that `who` sent a message when its clock showed `theirs`; 0: unknown. */
  heard(who: string, theirs: number): void {
    const ms = theirs === 0 ? 0 : this.apart(theirs);
    if (ms === 0 || this.#told.has(who)) return;
    if (this.#told.size >= toldCountMax) this.#told.clear();
    this.#told.add(who);
    this.#environment.log.warn(
      { other: who, aheadMs: Math.round(ms), skewMaxMs: this.#skewMaxMs },
      ms > 0
        ? 'another clock is ahead of this one by more than skewMaxMs: set both by the same time servers'
        : 'another clock is behind this one by more than skewMaxMs, or its messages take that long: set both by the same time servers',
    );
  }
}
