/**
 * Time, chance and scheduling, as arguments: the only file of the runtime that takes them from the machine.
 *
 * Everything else gets an `Environment`; the simulator passes its own, so that one seed repeats a whole run.
 */
import { randomBytes } from 'node:crypto';
import type { Log } from './log.ts';
import { type TurnWatch, watchTurns } from './watchdog.ts';

export interface Environment {
  /** Milliseconds since 1970, as the machine's clock shows them: for dates. It may be wrong, and be set on or back. */
  now(): number;
  /** Milliseconds since some moment: for durations. Nobody sets it; while the machine sleeps it may stand still. */
  steady(): number;
  /** Run once after `ms`; the function that comes back cancels it. */
  after(ms: number, run: () => void): () => void;
  /** Run soon, after what is under way and after input that waits. */
  soon(run: () => void): void;
  /** 0 <= random() < 1. */
  random(): number;
  /** A name that nobody else has. */
  newId(): string;
  readonly log: Log;
  /** Have turns watched that run for longer than that, ms; where nobody can, nobody does. */
  watchTurns?(limitMs: number): TurnWatch;
}

/** A moment, by both. */
export interface Moment {
  readonly now: number;
  readonly steady: number;
}

export function momentOf(environment: Environment): Moment {
  return { now: environment.now(), steady: environment.steady() };
}

/**
 * When a moment was by the clock as it is set now, ms: never later than it was. The clock alone would say too late where it was set
 * back since; steady time alone, where it stood still while the machine slept.
 */
export function dateOf(moment: Moment, environment: Environment): number {
  return Math.min(moment.now, Math.floor(moment.steady + environment.now() - environment.steady()));
}

/** For stores, which their callers' clocks do not reach. */
export const machineNow = (): number => Date.now();
export const machineSteady = (): number => performance.now();

/** A name that nobody else has. */
export const newMachineId = (): string => randomBytes(12).toString('base64url');

/** The machine's own clock, timers and chance. */
export function machineEnvironment(log: Log): Environment {
  const environment: Environment = {
    now: Date.now,
    steady: machineSteady,
    after: (ms, run) => {
      const timer = setTimeout(run, Math.min(ms, 2_147_483_647));
      return () => clearTimeout(timer);
    },
    soon: (run) => void setImmediate(run),
    random: Math.random,
    newId: newMachineId,
    log,
    watchTurns: (limitMs) => watchTurns(limitMs, environment),
  };
  return environment;
}

/**
 * Resolves when every promise job has run that waits now or comes of those: the simulator's step between two events. To be
 * called from a promise job: Node runs what `nextTick` queued there only when there is no job left.
 */
export function promiseJobsDone(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

/** The same from anywhere, and lets the process do what else it has to: unhandled rejections, messages, signals. */
export function everythingDone(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
