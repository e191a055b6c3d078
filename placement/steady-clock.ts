/**
 * Steady time: the time that passed while the process ran, which a failure detector may count as silence.
 *
 * A paused process resumes with a clock that has jumped, and every other process seems to have been silent meanwhile. A clock
 * that is set back hides silence for as long. So steady time is the time between two steps, at most until a little after the
 * next step was due.
 *
 * Invariants:
 * - SC1 Steady time never goes back. Between two steps it passes by at most the planned pause plus `lagMs`.
 */
export class SteadyClock {
  readonly #lagMs: number;
  /** The outer clock at the last step. */
  #now: number;
  #time = 0;

  constructor(now: number, lagMs: number) {
    this.#now = now;
    this.#lagMs = lagMs;
  }

  /** Steady time of the last step. */
  get time(): number {
    return this.#time;
  }

  /** Makes a step at `now` of the outer clock. `due` is the steady time at which this step was planned. */
  step(now: number, due: number): number {
    const planned = Math.max(0, due - this.#time);
    this.#time += Math.min(Math.max(0, now - this.#now), planned + this.#lagMs);
    this.#now = now;
    return this.#time;
  }

  /** The time of the outer clock at which a steady time is due, if no step comes earlier. */
  outer(time: number): number {
    return this.#now + Math.max(0, time - this.#time);
  }
}
