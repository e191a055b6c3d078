/**
 * Freshness: whether a sign of life is new. Messages may be late, duplicated or out of order, by minutes; an old message does
 * not show that its sender is alive.
 *
 * A process stamps its messages with its own clock (`Stamps`). Because clocks differ, the receiver compares how long each
 * message took with the fastest one: a message that took `lateMs` longer is late.
 *
 * Invariants:
 * - FR1 Each message counts once, and none counts after a later one of the same process.
 * - FR2 A message that took `lateMs` longer than the fastest does not count, however the clocks differ.
 */

/**
 * Usual drift between the clocks of two machines, as a share of the time that passes. A clock being corrected may run some per
 * cent fast, and one whose machine stood still is behind for good. All messages then seem late until an answer proves one fresh.
 */
const driftShare = 0.001;

export class Freshness {
  #stamp = Number.NEGATIVE_INFINITY;
  /** How long the fastest message took, measured by two different clocks, and when it was heard. */
  #quickest = Number.POSITIVE_INFINITY;
  #time = 0;

  /** A message was heard at `time`. Returns whether it is fresh. */
  hear(stamp: number, time: number, lateMs: number): boolean {
    const drifted = this.#quickest + (time - this.#time) * driftShare;
    if (stamp <= this.#stamp || time - stamp > drifted + lateMs) return false;
    this.#note(stamp, time, Math.min(drifted, time - stamp));
    return true;
  }

  /** A message that is fresh for another reason: it answers a current request. */
  prove(stamp: number, time: number): void {
    this.#note(stamp, time, time - stamp);
  }

  #note(stamp: number, time: number, quickest: number): void {
    this.#stamp = Math.max(this.#stamp, stamp);
    this.#quickest = quickest;
    this.#time = time;
  }
}

/**
 * The stamps of one process: its clock at the first stamp plus the time passed since. If the clock is set back, stamps must
 * not become late, or all others would take the process for silent.
 */
export class Stamps {
  #start: number | undefined;
  #last = Number.NEGATIVE_INFINITY;

  /** `now`: the wall clock; `steady`: the monotonic clock, ms. */
  next(now: number, steady: number): number {
    this.#start ??= now - steady;
    this.#last = Math.max(this.#start + steady, this.#last + 1);
    return this.#last;
  }
}
