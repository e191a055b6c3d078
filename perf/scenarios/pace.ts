/**
 * Waiting for what happens by itself after a call was answered: messages that are delivered, an order that is confirmed.
 *
 * Asked too often, the questions would be the load; too seldom, the time until the answer is a guess. So the first question comes
 * when it usually takes that long, and the next after a tenth of it: what is measured is late by a twentieth on average.
 */
import { setTimeout as pause } from 'node:timers/promises';

const firstGuessMs = 10;
const weight = 0.1;

export class Pace {
  #usualMs = firstGuessMs;

  /** Rejects with the code `deadline` if it has not happened after `mostMs`. */
  async until(isDone: () => Promise<boolean>, mostMs = 30_000): Promise<void> {
    const from = performance.now();
    await pause(this.#usualMs * 0.9);
    while (!(await isDone())) {
      if (performance.now() - from > mostMs)
        throw Object.assign(new Error(`not done after ${mostMs} ms`), { code: 'deadline' });
      await pause(Math.max(1, this.#usualMs / 10));
    }
    this.#usualMs += (performance.now() - from - this.#usualMs) * weight;
  }
}
