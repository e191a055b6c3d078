/**
 * Periods of timers: when a periodic timer is next due, and what becomes of dates that nobody could run.
 *
 *     dates:   d1 ──── d2 ──── d3 ──── d4 ─ now ─ d5        d1 is stored as due
 *     'once'   d4 (missed 3)                  'each'  d1, d2, d3, d4         'skip'  as 'once' if d4 is at most graceMs ago, else none
 *
 * Owns the check of what applications give, and the policies. Does not own the syntax of cron (`cron.ts`), nor when a turn runs.
 *
 * Invariants:
 * - PT1 The next date is computed from the date before it, never from the clock: a series does not drift.
 * - PT2 The next date is part of the commit of the turn that ran for the one before: each date has at most one committed turn, and no
 *   end of that turn (done, refused, given up) ends the series.
 */
import type { Cron, Every, MissedDates } from './behaviour.ts';
import { nextCron, parseCron } from './cron.ts';
import { SkerryError } from './errors.ts';
import { dateMsMax, durationProblem } from './limits.ts';
import { described } from './options.ts';
import type { Period, Timer } from './timer.ts';

const everyMsMin = 10;
const cronLengthMax = 256;
/** An IANA zone by name. Offsets such as +01:00 are read by some releases of Node only. */
const zoneForm = /^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/;
/** Each turn of a series looks through the dates that are left: of a cron, 2 ms for so many. */
const upToMax = 1_000;
/** Dates that are counted one by one, of a cron expression. */
const countMax = 10_000;
const graceMs = 60_000;

const wrong = (text: string): SkerryError => new SkerryError('invalid-input', text);

/** Whether a time is one of a series. */
export function isPeriodic(when: unknown): when is Every | Cron {
  return typeof when === 'object' && when !== null && ('everyMs' in when || 'cron' in when);
}

/** A period as an application gives it. Throws `invalid-input` for one that is wrong or never due. */
export function periodOf(given: Every | Cron): Period {
  const known = 'everyMs' in given ? ['everyMs'] : ['cron', 'zone'];
  for (const name of Object.keys(given))
    if (![...known, 'missed', 'upTo', 'graceMs'].includes(name))
      throw wrong(`A periodic timer takes { everyMs } or { cron, zone }, with missed, upTo and graceMs; not ${name}`);
  const policy = policyOf(given);
  if (!('everyMs' in given)) return { everyMs: 0, ...scheduleOf(given), ...policy, missedCount: 0 };
  const { everyMs } = given;
  if (!Number.isSafeInteger(everyMs) || everyMs < everyMsMin || durationProblem(everyMs) !== undefined)
    throw wrong(`everyMs must be a whole number of milliseconds from ${everyMsMin}, not ${described(everyMs)}`);
  return { everyMs, cron: '', zone: '', ...policy, missedCount: 0 };
}

function scheduleOf({ cron, zone = 'UTC' }: Cron): Pick<Period, 'cron' | 'zone'> {
  if (typeof cron !== 'string' || cron.length > cronLengthMax)
    throw wrong(`cron must be a string of at most ${cronLengthMax} characters, not ${described(cron)}`);
  if (typeof zone !== 'string' || !zoneForm.test(zone))
    throw wrong(`zone must be the IANA name of a time zone, such as 'Europe/Berlin', not ${named(zone)}`);
  try {
    parseCron(cron);
  } catch (error) {
    throw new SkerryError('invalid-input', `The cron '${cron}' is wrong: ${(error as Error).message}`, {
      cause: error,
    });
  }
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
  } catch (error) {
    throw new SkerryError('invalid-input', `This process knows no time zone '${zone}'`, { cause: error });
  }
  return { cron: cron.trim().replace(/\s+/g, ' '), zone };
}

function named(zone: unknown): string {
  return typeof zone === 'string' ? `'${zone.slice(0, 64)}'` : described(zone);
}

function policyOf({ missed = 'once', upTo, graceMs: given }: MissedDates): Pick<Period, 'missed' | 'upTo' | 'graceMs'> {
  if (missed !== 'once' && missed !== 'skip' && missed !== 'each')
    throw wrong(`missed must be 'once', 'skip' or 'each', not ${described(missed)}`);
  if (upTo !== undefined && missed !== 'each') throw wrong(`upTo is for { missed: 'each' } only`);
  if (given !== undefined && missed !== 'skip') throw wrong(`graceMs is for { missed: 'skip' } only`);
  if (upTo !== undefined && !(Number.isSafeInteger(upTo) && upTo >= 1 && upTo <= upToMax))
    throw wrong(`upTo must be a whole number from 1 to ${upToMax}, not ${described(upTo)}`);
  const problem = given === undefined ? undefined : durationProblem(given);
  if (problem !== undefined) throw wrong(`graceMs ${problem}`);
  return { missed, upTo: missed === 'each' ? (upTo ?? 100) : 1, graceMs: Math.ceil(given ?? graceMs) };
}

/** The first date of a series that begins now. */
export function firstDate(period: Period, now: number): number {
  const date = nextDate(period, now);
  if (date === undefined) throw wrong('A periodic timer is not due before the end of time');
  return date;
}

/** PT1. Undefined: there is none that JavaScript can represent. */
function nextDate({ everyMs, cron, zone }: Period, date: number): number | undefined {
  const next = cron === '' ? date + everyMs : nextCron(parsed(cron), zone, date);
  return next !== undefined && next <= dateMsMax ? next : undefined;
}

let last: { readonly text: string; readonly cron: ReturnType<typeof parseCron> } | undefined;

/** Of many entities the same one, mostly. */
function parsed(text: string): ReturnType<typeof parseCron> {
  if (last?.text !== text) last = { text, cron: parseCron(text) };
  return last.cron;
}

/** What is to be done for a series that is due. */
export interface Firing {
  /** The date that its turn runs for; undefined: none, all have been missed. */
  readonly date: number | undefined;
  /** Dates before it, since the last turn of the series, that have no turn. */
  readonly missedCount: number;
  /** The series after this; undefined: it has no further date. */
  readonly next: Timer | undefined;
}

/** What a timer that is due is to do at `now`, by its policy. */
export function firingOf(timer: Timer, period: Period, now: number): Firing {
  const { count, latest } = datesUntil(timer.due, period, Math.max(now, timer.due));
  const [date = timer.due] = latest;
  const missedCount = period.missedCount + count - latest.length;
  const isSkipped = period.missed === 'skip' && now - date > period.graceMs;
  const due = nextDate(period, date);
  const counted = isSkipped ? missedCount + 1 : 0;
  const next = due === undefined ? undefined : { ...timer, due, period: { ...period, missedCount: counted } };
  return { date: isSkipped ? undefined : date, missedCount, next };
}

/** The dates from `due` until now: how many, and the latest of them, up to `upTo`. */
function datesUntil(due: number, period: Period, now: number): { count: number; latest: number[] } {
  const { everyMs, cron, upTo } = period;
  if (cron === '') {
    const count = Math.floor((now - due) / everyMs) + 1;
    const kept = Math.min(count, upTo);
    return { count, latest: Array.from({ length: kept }, (_, index) => due + (count - kept + index) * everyMs) };
  }
  const whole = walk(due, period, { now, countMax });
  if (whole !== undefined) return whole;
  // Too many to count: the latest ones lie in a span before now that has enough of them, as all of it has.
  for (let span = upTo * 60_000; ; span *= 2) {
    const first = span > now - due ? due : nextDate(period, now - span);
    const found = first === undefined ? undefined : walk(first, period, { now, countMax: Infinity });
    if (found !== undefined && found.count >= upTo) return { count: countMax, latest: found.latest };
  }
}

/** From date to date; undefined: there are more than `countMax`. */
function walk(
  first: number,
  period: Period,
  { now, countMax }: { now: number; countMax: number },
): { count: number; latest: number[] } | undefined {
  const dates: number[] = [];
  let date: number | undefined = first;
  for (; date !== undefined && date <= now; date = nextDate(period, date)) {
    if (dates.length === countMax) return undefined;
    dates.push(date);
  }
  return { count: dates.length, latest: dates.slice(-period.upTo) };
}

/**
 * The series after a date whose turn was refused or given up (PT2). Cannot fail: where the next date cannot be computed, because this
 * process knows the zone or the text no more, the series is tried again in an hour.
 */
export function seriesAfter(timer: Timer, period: Period, now: number): Timer | undefined {
  try {
    return firingOf(timer, period, now).next;
  } catch {
    return { ...timer, due: now + 3_600_000 };
  }
}
