/**
 * The clocks of others: whether one differs from this machine's by more than it may (`skewMaxMs`), and who is told so.
 *
 * Dates on messages are safe between clocks that differ by less (`core/activity.ts`). Beyond that calls end in silence or are
 * remembered for too long, and nobody sees why: so whoever hears what another clock showed says so, once for each other.
 */
import type { Limits } from '../core/limits.ts';
import type { Environment } from './environment.ts';

/** Others that are remembered as told of; with more, the first are told of again. */
const toldCountMax = 1_000;

export class Clocks {
  readonly #environment: Environment;
  readonly #skewMaxMs: number;
  readonly #told = new Set<string>();

  constructor({ environment, limits }: { readonly environment: Environment; readonly limits: Limits }) {
    this.#environment = environment;
    this.#skewMaxMs = limits.skewMaxMs;
  }

  /** By how much another clock is ahead of this one, ms, if that is more than it may be (ahead or, negative, behind); else 0. */
  apart(theirs: number): number {
    const ms = theirs - this.#environment.now();
    return Math.abs(ms) > this.#skewMaxMs ? ms : 0;
  }

  /** Somebody sent something when their clock showed `theirs`; 0: it does not say. */
  heard(who: string, theirs: number): void {
    const ms = theirs === 0 ? 0 : this.apart(theirs);
    if (ms === 0 || this.#told.has(who)) return;
    if (this.#told.size >= toldCountMax) this.#told.clear();
    this.#told.add(who);
    this.#environment.log.warn(
      { other: who, aheadMs: Math.round(ms), skewMaxMs: this.#skewMaxMs },
      ms > 0
        ? 'another clock is ahead of this one by more than it may be: set both by the same time servers'
        : 'another clock is behind this one by more than it may be, or what it sends takes that long: set both by the same time servers',
    );
  }
}
