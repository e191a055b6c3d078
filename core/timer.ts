/**
 * A timer of an entity, and the series that it may be one of.
 *
 * Owns the forms. `periods.ts` owns what a series does, `scope.ts` the rest.
 */
import type { Content } from './activity.ts';
import type { PartnerId } from './message.ts';

/** A message to the entity itself at a time; with `to`, a message that then goes into the outbox for another entity. */
export interface Timer {
  readonly name: string;
  readonly due: number;
  /** Orders timers that are due at the same time. */
  readonly order: number;
  readonly to: PartnerId;
  readonly content: Content;
  /** It is a series, and `due` its next date. */
  readonly period?: Period;
}

/** How a series goes on. */
export interface Period {
  /** 0: by `cron`. */
  readonly everyMs: number;
  /** '': by `everyMs`. */
  readonly cron: string;
  readonly zone: string;
  readonly missed: 'once' | 'skip' | 'each';
  readonly upTo: number;
  readonly graceMs: number;
  /** Dates before `due`, since the last turn of the series, that have no turn. */
  readonly missedCount: number;
}

/** Whether it is a message rather than a timer that the application has named. */
export function isUnnamed(timer: string): boolean {
  return timer.startsWith('~');
}
