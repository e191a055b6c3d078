/** Points in time and spans as people read them. Pure. */

const units: readonly (readonly [ms: number, name: string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
];

/** The largest unit that fits, rounded down: `3 min`. */
export function span(ms: number): string {
  for (const [size, name] of units) if (Math.abs(ms) >= size) return `${Math.floor(Math.abs(ms) / size)} ${name}`;
  return `${Math.floor(Math.abs(ms))} ms`;
}

/** `3 min ago`, `in 2 h`. */
export function relative(at: number, now: number): string {
  return at <= now ? `${span(now - at)} ago` : `in ${span(at - now)}`;
}

const two = (count: number) => String(count).padStart(2, '0');

/** Local time of day, if that is of the same day as `now`; else with the date. */
export function clockText(at: number, now: number): string {
  const text = timeText(at);
  return text.slice(0, 10) === timeText(now).slice(0, 10) ? text.slice(11) : text;
}

/** Local time: `2026-01-31 17:05:09`. */
export function timeText(at: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return 'never';
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
