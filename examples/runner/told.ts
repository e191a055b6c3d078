/** Calls that are repeated until their caller is told. */
import { setTimeout as pause } from 'node:timers/promises';
import { isSkerryError } from '../../core/index.ts';

/** For longer than any fault of the runner lasts, ms. */
const patienceMs = 120_000;
const betweenMs = 50;

/**
 * Asks again what was too much at the moment or has no known outcome. The call must have an idempotency key, or change nothing: then it
 * takes effect once, and a repeated call gets the first answer. Rejects with any other error, and when it took too long.
 */
export async function untilTold<Answer>(call: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
  const startedMs = performance.now();
  for (let tries = 1; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      if (signal?.aborted === true || !isPassing(error) || performance.now() - startedMs > patienceMs) throw error;
    }
    await pause(betweenMs * Math.min(tries, 20));
  }
}

function isPassing(error: unknown): boolean {
  if (!isSkerryError(error)) return false;
  const isAway = error.code === 'store-failed' || error.code === 'transport-failed';
  return error.effect === 'unknown' || isAway || error.code === 'overloaded' || error.code === 'deadline';
}
