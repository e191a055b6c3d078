/**
 * Freshness: whether a sign of life is new. Signals may be late, doubled or out of order, by minutes; what a process said
 * long ago does not show that it lives.
 *
 * A process stamps its signs with its own clock (`Stamps`). Clocks differ, so who hears them compares how long each was
 * under way with the quickest: one that took `lateMs` longer is late.
 *
 * Invariants:
 * - FR1 Each sign counts once, and none counts after a later one of the same process.
 * - FR2 A sign that was under way longer than the quickest by `lateMs` does not count, however the clocks differ.
 */

/**
 * Clocks of two machines drift apart by about this share of the time that passes, mostly. One that is being corrected may run some
 * per cent too fast, and one whose machine stood still is behind for good: then all signs seem late until an answer proves one.
 */
const driftShare = 0.001;

export class Freshness {
  #stamp = Number.NEGATIVE_INFINITY;
  /** How long the quickest sign was under way, by two clocks that differ; and when it was heard. */
  #quickest = Number.POSITIVE_INFINITY;
  #time = 0;

  /** A sign was heard at `time`. If it is fresh, it counts. */
  hear(stamp: number, time: number, lateMs: number): boolean {
    const drifted = this.#quickest + (time - this.#time) * driftShare;
    if (stamp <= this.#stamp || time - stamp > drifted + lateMs) return false;
    this.#note(stamp, time, Math.min(drifted, time - stamp));
    return true;
  }

  /** A sign that is fresh for another reason: it answers what was asked just now. */
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
 * The stamps of one process: its clock as it was at the first of them, and from there on the time that has passed. A clock that
 * is set back must not make them late: all others would take the process for silent.
 */
export class Stamps {
  #start: number | undefined;
  #last = Number.NEGATIVE_INFINITY;

  /** `now`: by the clock; `steady`: time that only passes, ms. */
  next(now: number, steady: number): number {
    this.#start ??= now - steady;
    this.#last = Math.max(this.#start + steady, this.#last + 1);
    return this.#last;
  }
}
