/**
 * Time as it passed for a process that ran: what a failure detector may count as somebody's silence.
 *
 * A process that was paused wakes with a clock that has jumped, and everybody seems to have been silent meanwhile; a clock
 * that is put back makes nobody silent for as long. So time is what passed between two steps, at most until a little after
 * the next step was due.
 *
 * Invariants:
 * - SC1 Steady time never goes back, and passes by at most the pause that was planned and `lagMs` between two steps.
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

  /** Make a step at `now` of the outer clock; `due` is the steady time at which the next one was planned. */
  step(now: number, due: number): number {
    const planned = Math.max(0, due - this.#time);
    this.#time += Math.min(Math.max(0, now - this.#now), planned + this.#lagMs);
    this.#now = now;
    return this.#time;
  }

  /** When the outer clock should show a steady time, if nothing comes between. */
  outer(time: number): number {
    return this.#now + Math.max(0, time - this.#time);
  }
}
