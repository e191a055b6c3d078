/**
 * Ending: a worker that stops finishes what it has begun, but waits for nobody who does not answer.
 *
 * Owns how long that is. A store that hangs would else keep a process for ever that was told to end.
 *
 * Invariants:
 * - EN1 Waiting ends when it is over, or when nothing at all has gone on for `stillMs`: however much there is, it is not given up
 *   while it goes on.
 */
import type { Environment } from '../environment.ts';

/** Longer than a store's own time limits, mostly, and than anything in a worker pauses, ms. */
export const stillMs = 10_000;
/** For what only makes it easier for those who come after, ms. */
const briefMs = 2_000;

/** How far a worker is with its life: its parts look at it, the worker alone moves it on. */
export interface Life {
  /** It finishes what it has begun, and takes nothing new. */
  readonly isDraining: boolean;
  /** Nothing is run, released or sent any more. */
  readonly isStopped: boolean;
}

export interface Ending {
  readonly isOver: () => boolean;
  /** Changes whenever something has gone on. */
  readonly progress: () => string;
}

/** Resolves with whether it came to be over. */
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

/** Wait for something that the end does not need, for `briefMs` at most. */
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
