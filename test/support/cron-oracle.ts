/**
 * The dates of a cron expression, found slowly: by `Intl.DateTimeFormat` for every minute.
 *
 * It follows docs/decisions/0032-periodic-timers.md, not the code: it walks from minute to minute and remembers the latest
 * wall time that was shown.
 */
const minuteMs = 60_000;

/** An independent parser of simple expressions: numbers, lists, ranges, steps. */
function matcher(text: string, min: number, max: number): (value: number) => boolean {
  const allowed = new Set<number>();
  for (const part of text.split(',')) {
    const [range = '', step = '1'] = part.split('/');
    const bounds = range === '*' ? [min, max] : range.split('-').map(Number);
    const low = bounds[0] ?? min;
    const high = bounds[1] ?? (part.includes('/') ? max : low);
    for (let value = low; value <= high; value += Number(step)) allowed.add(value);
  }
  return (value) => allowed.has(value);
}

export interface Oracle {
  /** Whether the fields match a wall time, given as the ms of a UTC clock that shows it. */
  readonly names: (wall: number) => boolean;
  readonly isEveryHour: boolean;
}

export function oracleOf(cron: string): Oracle {
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = cron.split(' ');
  const inMinute = matcher(minute, 0, 59);
  const inHour = matcher(hour, 0, 23);
  const onDay = matcher(day, 1, 31);
  const inMonth = matcher(month, 1, 12);
  const onWeekday = matcher(weekday, 0, 7);
  const names = (wall: number): boolean => {
    const date = new Date(wall);
    const isDay = onDay(date.getUTCDate());
    const isWeekday = onWeekday(date.getUTCDay()) || (date.getUTCDay() === 0 && onWeekday(7));
    const isOn = day !== '*' && weekday !== '*' ? isDay || isWeekday : isDay && isWeekday;
    return isOn && inMinute(date.getUTCMinutes()) && inHour(date.getUTCHours()) && inMonth(date.getUTCMonth() + 1);
  };
  return { names, isEveryHour: hour.startsWith('*') };
}

/** The wall time of a zone at every minute of a span. It is the slow part, so it is computed once for all expressions. */
export function shownOver(zone: string, from: number, to: number): readonly number[] {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
  const shown: number[] = [];
  for (let at = from; at < to; at += minuteMs) {
    const [, day, month, year, hour, minute] = /(\d+)\/(\d+)\/(\d+), (\d+):(\d+)/.exec(format.format(at)) ?? [];
    shown.push(Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute)));
  }
  return shown;
}

/** The dates within a span. Its first minutes only serve to know which wall times have been shown already. */
export function datesOver(
  { names, isEveryHour }: Oracle,
  from: number,
  shown: readonly number[],
  leadMinutes: number,
): number[] {
  const dates: number[] = [];
  let latest = shown[0] ?? 0;
  for (const [index, wall] of shown.entries()) {
    let isDue = false;
    if (isEveryHour) isDue = names(wall);
    else for (let time = latest + minuteMs; time <= wall; time += minuteMs) isDue ||= names(time);
    latest = Math.max(latest, wall);
    if (isDue && index >= leadMinutes) dates.push(from + index * minuteMs);
  }
  return dates;
}
