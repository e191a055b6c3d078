/**
 * Shutdown: a worker that stops finishes what it has begun, but does not wait without end.
 *
 * Owns the length of the wait. Otherwise a store that hangs would keep a process for ever that was told to stop.
 *
 * Invariants:
 * - EN1 Waiting ends when the work is done, or when there has been no progress for `stillMs`. Work that makes progress is not given
 *   up, however much it is.
 */
import type { Environment } from '../environment.ts';

/** Usually longer than a store's own time limits, and than any pause in a worker, ms. */
export const stillMs = 10_000;
/** Maximum wait for work that only helps the next owner, ms. */
const briefMs = 2_000;

/** The phase of a worker's life. Its parts read it, only the worker changes it. */
export interface Life {
  /** It finishes what it has begun, and accepts nothing new. */
  readonly isDraining: boolean;
  /** Nothing is run, released or sent any more. */
  readonly isStopped: boolean;
}

export interface Ending {
  readonly isOver: () => boolean;
  /** Changes with every progress. */
  readonly progress: () => string;
}

/** Resolves with whether the work was done. */
export async function ends(environment: Environment, { isOver, progress }: Ending): Promise<boolean> {
  let last = progress();
  let since = environment.steady();
  while (!isOver()) {
    const now = environment.steady();
    const present = progress();
    if (present !== last) since = now;
    else if (now - since >= stillMs) return false;
    last = present;
    // Not 'soon', which takes all time while something waits for the store.
    await new Promise<void>((resolve) => void environment.after(1, resolve));
  }
  return true;
}

/** Waits at most `briefMs` for work that the end does not need. */
export function briefly(environment: Environment, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const cancel = environment.after(briefMs, resolve);
    const over = () => {
      cancel();
      resolve();
    };
    promise.then(over, over);
  });
}
