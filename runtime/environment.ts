/**
 * Time, random numbers and scheduling as arguments. This is the only file of the runtime that takes them from the machine.
 *
 * Everything else gets an `Environment`. The simulator passes its own, so that one seed repeats a whole run.
 */
import { randomBytes } from 'node:crypto';
import type { Log } from './log.ts';
import type { Meter } from './meter.ts';
import { type TurnWatch, watchTurns } from './watchdog.ts';

/** Clock, timers, random numbers and log of a process. */
export interface Environment {
  /** The wall clock, ms since 1970: for dates. It may be wrong, and may be set forward or back. */
  now(): number;
  /** A monotonic clock, ms: for durations. It may stand still while the machine sleeps. */
  steady(): number;
  /** Run once after `ms`. Returns a function that cancels it. */
  after(ms: number, run: () => void): () => void;
  /** Run soon: after the current event and after waiting input. */
  soon(run: () => void): void;
  /** A random number, 0 <= random() < 1. */
  random(): number;
  /** A globally unique name. */
  newId(): string;
  readonly log: Log;
  /** Receives every count of this process, under the names in `docs/operations.md`. Absent: counts are only summed. */
  readonly meter?: Meter;
  /** Report turns that run for longer than `limitMs` while they run. Absent: not supported. */
  watchTurns?(limitMs: number): TurnWatch;
}

/** A moment by both clocks. */
export interface Moment {
  readonly now: number;
  readonly steady: number;
}

export function momentOf(environment: Environment): Moment {
  return { now: environment.now(), steady: environment.steady() };
}

/**
 * The date of an earlier moment by the wall clock as it is set now, ms; never later than the true one. The wall clock alone
 * would be late if it was set back since; the monotonic clock alone would be if it stood still while the machine slept.
 */
export function dateOf(moment: Moment, environment: Environment): number {
  return Math.min(moment.now, Math.floor(moment.steady + environment.now() - environment.steady()));
}

/** The machine's clocks, for stores: they do not get their callers' environment. */
export const machineNow = (): number => Date.now();
export const machineSteady = (): number => performance.now();

/** A globally unique name. */
export const newMachineId = (): string => randomBytes(12).toString('base64url');

/** The environment of the machine: its clocks, timers and random numbers, with this log. */
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
 * Resolves when every waiting promise job has run, and every job that those add: the simulator's step between two events.
 * Call it from a promise job: Node then runs a `nextTick` callback only when no job is left.
 */
export function promiseJobsDone(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

/** The same from anywhere. It also lets the process handle unhandled rejections, messages and signals. */
export function everythingDone(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
