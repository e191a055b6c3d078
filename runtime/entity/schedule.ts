/**
 * A schedule: one alarm for many dates, as a heap of dates over the environment's `after`.
 *
 * Dates are by the machine's clock, which may be set, or stand still while the machine sleeps. So the clock is checked at least once
 * a minute, and no date is late by more than that.
 *
 * Owns when a key is due next. A key has one date, the last one set. The caller decides what happens then.
 */

import type { Environment } from '../environment.ts';
import { type Dated, DateHeap } from './date-heap.ts';

interface Entry extends Dated {
  readonly key: string;
}

/** Most replaced entries that are never worth removing. */
const spareCount = 1_024;
/** Maximum interval between checks of the clock, ms. */
const lookMs = 60_000;

export class Schedule {
  readonly #environment: Environment;
  readonly #run: (key: string) => void;
  readonly #heap = new DateHeap<Entry>();
  readonly #dates = new Map<string, Entry>();
  #order = 0;
  #alarmAt = Infinity;
  #cancelAlarm: (() => void) | undefined;

  constructor(environment: Environment, run: (key: string) => void) {
    this.#environment = environment;
    this.#run = run;
  }

  get size(): number {
    return this.#dates.size;
  }

  /** The key is due at `at` (ms), in place of its earlier date. NaN is not a date: it would stop all others. */
  set(key: string, at: number): void {
    if (Number.isNaN(at)) return this.delete(key);
    const known = this.#dates.get(key);
    if (known?.at === at) return;
    const entry = { at, order: this.#order++, key };
    this.#dates.set(key, entry);
    if (this.#heap.size >= 2 * this.#dates.size + spareCount) this.#clear();
    else this.#heap.push(entry);
    if (at < this.#alarmAt) this.#arm(at);
  }

  /** Like `set`, unless the key is due sooner already. */
  setEarlier(key: string, at: number): void {
    const known = this.#dates.get(key);
    if (known === undefined ? !Number.isNaN(at) : known.at > at) this.set(key, at);
  }

  /** The entity wants to be woken by then. */
  readonly wakeBy = ({ address }: { readonly address: string }, at: number): void => this.setEarlier(address, at);

  delete(key: string): void {
    this.#dates.delete(key);
  }

  close(): void {
    this.#cancelAlarm?.();
    this.#cancelAlarm = undefined;
    this.#alarmAt = -Infinity;
    this.#dates.clear();
    this.#heap.clear();
  }

  #arm(at: number): void {
    this.#cancelAlarm?.();
    this.#alarmAt = at;
    const ms = Math.min(lookMs, Math.max(0, at - this.#environment.now()));
    this.#cancelAlarm = this.#environment.after(ms, () => this.#ring());
  }

  #ring(): void {
    this.#alarmAt = Infinity;
    this.#cancelAlarm = undefined;
    const now = this.#environment.now();
    for (let first = this.#heap.first; first !== undefined && first.at <= now; first = this.#heap.first) {
      this.#heap.pop();
      // An entry that is not its key's current one was replaced or deleted: it stays in the heap and is skipped here.
      if (this.#dates.get(first.key) !== first) continue;
      this.#dates.delete(first.key);
      this.#run(first.key);
    }
    const next = this.#heap.first;
    if (next !== undefined && next.at < this.#alarmAt) this.#arm(next.at);
  }

  /** Removes replaced and deleted entries, which would stay until their dates, possibly for long. */
  #clear(): void {
    this.#heap.clear();
    for (const entry of this.#dates.values()) this.#heap.push(entry);
  }
}
