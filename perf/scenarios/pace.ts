/**
 * Polling for completion after a call was answered: messages that are delivered, an order that is confirmed.
 *
 * Polls that are too frequent would be the load; with polls that are too rare, the measured time would be a guess. So the first poll
 * comes shortly before the usual time, and each further one after another tenth of the time passed. Measured times are late by a
 * twentieth on average. If the first poll finds the work done, it came too late, perhaps by far, and comes sooner the next time.
 */
import { setTimeout as pause } from 'node:timers/promises';

const firstGuessMs = 10;
const weight = 0.1;
const sooner = 0.95;

/** The clock of a pace, ms. */
export interface PaceTime {
  now(): number;
  pause(ms: number): Promise<unknown>;
}

const machineTime: PaceTime = { now: () => performance.now(), pause: (ms) => pause(ms) };

export class Pace {
  readonly #time: PaceTime;
  #usualMs = firstGuessMs;

  constructor(time = machineTime) {
    this.#time = time;
  }

  /** Rejects with the code `deadline` if it has not happened after `mostMs`. */
  async until(isDone: () => Promise<boolean>, mostMs = 30_000): Promise<void> {
    const from = this.#time.now();
    await this.#time.pause(this.#usualMs * 0.9);
    if (await isDone()) {
      this.#usualMs *= sooner;
      return;
    }
    for (;;) {
      const passedMs = this.#time.now() - from;
      if (passedMs > mostMs) throw Object.assign(new Error(`not done after ${mostMs} ms`), { code: 'deadline' });
      await this.#time.pause(Math.max(1, passedMs / 10));
      if (await isDone()) break;
    }
    this.#usualMs += (this.#time.now() - from - this.#usualMs) * weight;
  }
}
