/**
 * Cron: the dates that an expression of five fields and a time zone name.
 *
 *     minute 0-59   hour 0-23   day of month 1-31   month 1-12 or JAN-DEC   day of week 0-7 or SUN-SAT (0 and 7: Sunday)
 *
 * Owns the syntax and what happens when clocks change (docs/decisions/0032-periodic-timers.md). It is own code since the parsers that
 * were tried lose or double dates at the changes of clocks.
 *
 * Invariants:
 * - CD1 With hours that are named, each wall time that the expression names is due once: at the first instant at which the zone's clock
 *   shows it or a later time. Times that one change skips are due together, as one date.
 * - CD2 With every hour (the hour field begins with `*`), every instant is due whose wall time the expression names.
 */
import { dateMsMax } from './limits.ts';
import { type WallClock, wallClockOf } from './wall-clock.ts';

/** Numbers of a field, or names for them. */
interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const months = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const weekdays = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

const fields = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, names: ['', ...months] },
  { name: 'day of week', min: 0, max: 7, names: weekdays },
] as const satisfies readonly Field[];

const dayMs = 86_400_000;
/** 29 February is at most eight years away (from 2096 to 2104), and no other day is further. */
const searchDays = 9 * 366;

/** What a text of cron asks for: for each field, the numbers that are due, in order. */
export interface CronFields {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly weekdays: ReadonlySet<number>;
  readonly hasDays: boolean;
  readonly hasWeekdays: boolean;
  /** Every hour, so that instants count and not wall times (CD2). */
  readonly isEveryHour: boolean;
}

/** Throws a RangeError that says what is wrong. */
export function parseCron(text: string): CronFields {
  const found = text.trim().split(/\s+/);
  if (text.trim().startsWith('@'))
    throw new RangeError(
      `'${text.trim()}' is a nickname: write its five fields, such as '0 0 * * *' for every midnight`,
    );
  if (found.length !== fields.length)
    throw new RangeError(`it has ${found.length} fields, not the five ${fields.map(({ name }) => name).join(', ')}`);
  const [minutes, hours, days, inMonths, onWeekdays] = fields.map((field, at) => readField(field, found[at] ?? '')) as [
    number[],
    number[],
    number[],
    number[],
    number[],
  ];
  const cron: CronFields = {
    minutes,
    hours,
    days: new Set(days),
    months: new Set(inMonths),
    weekdays: new Set(onWeekdays.map((day) => day % 7)),
    hasDays: found[2] !== '*',
    hasWeekdays: found[4] !== '*',
    isEveryHour: (found[1] ?? '').startsWith('*'),
  };
  if (nextWall(cron, 0) === undefined) throw new RangeError('no year has such a day');
  return cron;
}

function readField(field: Field, text: string): number[] {
  const numbers = new Set<number>();
  for (const part of text.split(',')) for (const number of readPart(field, part)) numbers.add(number);
  return [...numbers].sort((one, other) => one - other);
}

function readPart(field: Field, part: string): number[] {
  const [, range = '', , step] = /^([^/]+)(\/(\d{1,4}))?$/.exec(part) ?? [];
  const wrong = new RangeError(
    `'${part}' is no ${field.name}: write ${field.min} to ${field.max}, a range as ${field.min}-${field.max}, '*', or a step as */5`,
  );
  const [first, last, ...more] = range === '*' ? [`${field.min}`, `${field.max}`] : range.split('-');
  if (first === undefined || more.length > 0) throw wrong;
  const low = readNumber(field, first);
  const high = last === undefined ? (step === undefined ? low : field.max) : readNumber(field, last);
  const every = step === undefined ? 1 : Number(step);
  if (low === undefined || high === undefined || high < low || every < 1) throw wrong;
  return Array.from({ length: Math.floor((high - low) / every) + 1 }, (_, index) => low + index * every);
}

function readNumber({ min, max, names }: Field, text: string): number | undefined {
  const named = text === '' ? -1 : (names?.indexOf(text.toUpperCase()) ?? -1);
  const number = named >= 0 ? named : /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  return number >= min && number <= max ? number : undefined;
}

/** The first date after an instant, ms since 1970; undefined: none that JavaScript can represent. */
export function nextCron(cron: CronFields, zone: string, after: number): number | undefined {
  const clock = wallClockOf(zone);
  const date = cron.isEveryHour ? nextInstant(cron, clock, after) : nextNamed(cron, clock, after);
  return date === undefined || date > dateMsMax - 2 * dayMs ? undefined : date;
}

/** CD1: `firstAt` keeps the order of wall times, so the next is the first one that the clock has not shown yet. */
function nextNamed(cron: CronFields, clock: WallClock, after: number): number | undefined {
  const wall = nextWall(cron, clock.latestBy(after) + 1);
  return wall === undefined ? undefined : clock.firstAt(wall);
}

/** CD2: offset after offset, each for as long as it lasts. */
function nextInstant(cron: CronFields, clock: WallClock, after: number): number | undefined {
  let from = after + 1;
  for (;;) {
    // Beyond three days of searching, nothing is due before the wall time that comes next.
    const by = from + 3 * dayMs;
    for (const end of [...clock.changes(from, by).map(({ at }) => at), by]) {
      const wall = nextWall(cron, clock.shownAt(from));
      if (wall === undefined) return undefined;
      const date = from + wall - clock.shownAt(from);
      if (date < end) return date;
      from = end;
    }
    const wall = nextWall(cron, clock.shownAt(from));
    if (wall === undefined) return undefined;
    from = Math.max(from, wall - 3 * dayMs);
  }
}

/** The first wall time from `from` on that the expression names; undefined: there is none. */
function nextWall(cron: CronFields, from: number): number | undefined {
  const start = Math.floor(from / dayMs);
  for (let day = start; day < start + searchDays; day++) {
    const date = new Date(day * dayMs);
    if (!cron.months.has(date.getUTCMonth() + 1) || !isOnDay(cron, date)) continue;
    const time = nextTime(cron, Math.max(0, Math.ceil((from - day * dayMs) / 60_000)));
    if (time !== undefined) return day * dayMs + time * 60_000;
  }
  return undefined;
}

/** As in Unix: if both days of month and days of week are named, either will do. */
function isOnDay({ days, weekdays: on, hasDays, hasWeekdays }: CronFields, date: Date): boolean {
  const isDay = days.has(date.getUTCDate());
  const isWeekday = on.has(date.getUTCDay());
  return hasDays && hasWeekdays ? isDay || isWeekday : isDay && isWeekday;
}

/** In minutes of the day. */
function nextTime({ hours, minutes }: CronFields, from: number): number | undefined {
  const hour = Math.floor(from / 60);
  for (const one of hours) {
    if (one < hour) continue;
    const minute = minutes.find((candidate) => one > hour || candidate >= from % 60);
    if (minute !== undefined) return one * 60 + minute;
  }
  return undefined;
}
