/**
 * The departed: ids of workers that are out of the view, as long as they are remembered.
 *
 * One that was found absent or was silent may have been suspected wrongly: it may return once it has answered a ping, so
 * that a worker that can announce itself but not be reached does not go in and out for ever. One that said that it is
 * gone, or whose name another process has got, never returns.
 *
 * Invariants:
 * - DP1 Who has left or was replaced is not admitted again while it is remembered; who was suspected is, by answering.
 * - DP2 At most `rememberedCountMax` ids are remembered, for `rememberMs`; the oldest go first.
 */
import type { PlacementLimits } from './limits.ts';
import type { WorkerEntry } from './view.ts';

interface Departure {
  readonly at: number;
  readonly isForEver: boolean;
  /** What it announced since: it has been pinged, and this is waiting for the answer. */
  entry: WorkerEntry | undefined;
  pingedAt: number;
}

export class Departed {
  readonly #limits: PlacementLimits;
  /** Oldest first. */
  readonly #departures = new Map<string, Departure>();

  constructor(limits: PlacementLimits) {
    this.#limits = limits;
  }

  has(id: string): boolean {
    return this.#departures.has(id);
  }

  isForEver(id: string): boolean {
    return this.#departures.get(id)?.isForEver === true;
  }

  add(id: string, whether: 'may return' | 'never again', time: number): void {
    this.#departures.delete(id);
    const isForEver = whether === 'never again';
    this.#departures.set(id, { at: time, isForEver, entry: undefined, pingedAt: Number.NEGATIVE_INFINITY });
    for (const [oldest] of this.#departures) {
      if (this.#departures.size <= this.#limits.rememberedCountMax) return;
      this.#departures.delete(oldest);
    }
  }

  delete(id: string): void {
    this.#departures.delete(id);
  }

  /** One that may return announces itself; true: ping it now. */
  ask(entry: WorkerEntry, time: number): boolean {
    const departure = this.#departures.get(entry.id);
    if (departure === undefined || departure.isForEver) return false;
    departure.entry = entry;
    if (time < departure.pingedAt + this.#limits.pingMs) return false;
    departure.pingedAt = time;
    return true;
  }

  /** It has answered: what it announced, if it may return. */
  answered(id: string): WorkerEntry | undefined {
    return this.#departures.get(id)?.entry;
  }

  forget(time: number): void {
    for (const [id, { at }] of this.#departures) {
      if (time < at + this.#limits.rememberMs) return;
      this.#departures.delete(id);
    }
  }
}
