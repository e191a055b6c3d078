/**
 * Waiting for what happens by itself after a call was answered: messages that are delivered, an order that is confirmed.
 *
 * Asked too often, the questions would be the load; too seldom, the time until the answer is a guess. So the first question comes
 * when it usually is nearly done, and each further one after a tenth of the time that has passed: what is measured is late by
 * a twentieth on average. Who finds it done at the first question came too late, perhaps by far, and comes sooner the next time.
 */
import { setTimeout as pause } from 'node:timers/promises';

const firstGuessMs = 10;
const weight = 0.1;
const sooner = 0.95;

/** What a pace knows of time, ms. */
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
