/**
 * The wall clock of a time zone: what it shows at an instant, and when it first shows a time.
 *
 * Owns the offsets of zones, looked up through `Intl.DateTimeFormat` and remembered by blocks of time. A wall time is a number: the
 * instant at which a clock in UTC shows the same, ms since 1970.
 *
 * Invariants:
 * - WC1 A clock has shown a wall time from the first instant on at which it shows that time or a later one. So a time that is skipped
 *   is shown when the skip ends, and one that is repeated is shown at its first pass: each wall time has exactly one such instant.
 */

/** Its offset from UTC changes at `at`, ms since 1970. */
interface Change {
  readonly at: number;
  readonly offset: number;
}

/** Blocks of offsets that are remembered over all zones, and formatters. */
const blockCountMax = 4_096;
const zoneCountMax = 64;
const blockMs = 32 * 86_400_000;
/** No zone has ever changed its offset twice within this. */
const stepMs = 3 * 3_600_000;
/** No clock is further from UTC than this, nor set by more. */
const spanMs = 27 * 3_600_000;

export class WallClock {
  readonly #format: Intl.DateTimeFormat;
  readonly #blocks = new Map<number, readonly Change[]>();

  /** Throws a RangeError for a zone that does not exist. */
  constructor(zone: string) {
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  /** What it shows at an instant. */
  shownAt(instant: number): number {
    return instant + this.#offsetAt(instant);
  }

  /** The latest time that it has shown by an instant: more than it shows, for a while after it was set back. */
  latestBy(instant: number): number {
    let latest = this.shownAt(instant);
    for (const { at, offset } of this.changes(instant - spanMs, instant)) latest = Math.max(latest, at - 1 + offset);
    return latest;
  }

  /** The first instant at which it shows this time or a later one (WC1). */
  firstAt(wall: number): number {
    const from = wall - spanMs;
    let instant = wall - this.#offsetAt(from);
    for (const { at } of this.changes(from, wall + spanMs)) {
      if (instant < at) return instant;
      instant = Math.max(at, wall - this.#offsetAt(at));
    }
    return instant;
  }

  /** The changes of its offset after `after`, up to `by`, each with the offset before it. */
  changes(after: number, by: number): Change[] {
    const found: Change[] = [];
    for (let block = Math.floor(after / blockMs); block * blockMs <= by; block++) {
      const [first, ...rest] = this.#block(block);
      let before = first?.offset ?? 0;
      for (const { at, offset } of rest) {
        if (at > after && at <= by) found.push({ at, offset: before });
        before = offset;
      }
    }
    return found;
  }

  #offsetAt(instant: number): number {
    let offset = 0;
    for (const change of this.#block(Math.floor(instant / blockMs))) {
      if (change.at > instant) break;
      ({ offset } = change);
    }
    return offset;
  }

  /** The offset that a block begins with, and its changes. A change at its very end is also the beginning of the next one. */
  #block(number: number): readonly Change[] {
    let block = this.#blocks.get(number);
    if (block !== undefined) return block;
    block = this.#search(number * blockMs, (number + 1) * blockMs);
    if (this.#blocks.size >= blockCountMax / zoneCountMax) this.#blocks.clear();
    this.#blocks.set(number, block);
    return block;
  }

  #search(from: number, to: number): Change[] {
    // One step before: a change at the first instant of a block belongs to it.
    let offset = this.#read(from - 1);
    const found: Change[] = [{ at: from - 1, offset }];
    for (let at = from - 1; at < to - 1; ) {
      const next = Math.min(at + stepMs, to - 1);
      const then = this.#read(next);
      if (then !== offset) found.push({ at: this.#bisect(at, next, then), offset: then });
      offset = then;
      at = next;
    }
    return found;
  }

  /** The first instant after `low`, up to `high`, that has this offset. */
  #bisect(low: number, high: number, offset: number): number {
    let before = low;
    let since = high;
    while (since - before > 1) {
      const middle = Math.floor((before + since) / 2);
      if (this.#read(middle) === offset) since = middle;
      else before = middle;
    }
    return since;
  }

  #read(instant: number): number {
    const second = Math.floor(instant / 1_000) * 1_000;
    const shown = { year: 0, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
    for (const { type, value } of this.#format.formatToParts(second))
      if (type in shown) shown[type as keyof typeof shown] = Number(value);
    const { year, month, day, hour, minute, second: seconds } = shown;
    return Date.UTC(year, month - 1, day, hour, minute, seconds) - second;
  }
}

const clocks = new Map<string, WallClock>();

/** The wall clock of a zone, as the process knows its zones. Throws a RangeError for one that does not exist. */
export function wallClockOf(zone: string): WallClock {
  let clock = clocks.get(zone);
  if (clock !== undefined) return clock;
  clock = new WallClock(zone);
  if (clocks.size >= zoneCountMax) clocks.clear();
  clocks.set(zone, clock);
  return clock;
}
