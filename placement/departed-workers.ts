/**
 * Workers outside the view. Departed workers: ids that were in a view, as long as they are remembered. Applicants: workers
 * that have announced themselves, and must answer a ping before they are admitted.
 *
 * An announcement alone admits nobody, because its process may be dead by now. A worker that was found absent or silent may
 * have been suspected wrongly, and may return by answering. A worker that has left, or whose name another process has got,
 * never returns.
 *
 * Invariants:
 * - DP1 A worker that left or was replaced is not admitted again while it is remembered. A suspected one is, if it answers.
 * - DP2 At most `rememberedCountMax` ids are remembered, for `rememberMs`; the oldest are dropped first.
 * - DP3 At most `workerCountMax` applicants are remembered, each for `deadMs` after its last announcement.
 */
import type { PlacementLimits } from './limits.ts';
import type { WorkerEntry } from './view.ts';

interface Departure {
  readonly name: string;
  readonly at: number;
  isForEver: boolean;
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

  add({ id, name }: { readonly id: string; readonly name: string }, isForEver: boolean, time: number): void {
    this.#departures.delete(id);
    this.#departures.set(id, { name, at: time, isForEver });
    for (const [oldest] of this.#departures) {
      if (this.#departures.size <= this.#limits.rememberedCountMax) return;
      this.#departures.delete(oldest);
    }
  }

  /** A suspected worker turns out to have left for ever. */
  leave(id: string): void {
    const departure = this.#departures.get(id);
    if (departure !== undefined) departure.isForEver = true;
  }

  /** A process is admitted. Other processes with its name never return. */
  admit({ id, name }: WorkerEntry): void {
    this.#departures.delete(id);
    for (const departure of this.#departures.values()) if (departure.name === name) departure.isForEver = true;
  }

  forget(time: number): void {
    for (const [id, { at }] of this.#departures) {
      if (time < at + this.#limits.rememberMs) return;
      this.#departures.delete(id);
    }
  }
}

/** A living process, and the stamp of its answer. */
export interface Present {
  readonly entry: WorkerEntry;
  readonly sent: number;
}

interface Applicant {
  entry: WorkerEntry;
  sent: number;
  announcedAt: number;
  pingedAt: number;
  answeredAt: number;
}

export class Applicants {
  readonly #limits: PlacementLimits;
  readonly #applicants = new Map<string, Applicant>();

  constructor(limits: PlacementLimits) {
    this.#limits = limits;
  }

  /** A process announces itself. Returns true if it should be pinged now. */
  ask(entry: WorkerEntry, time: number): boolean {
    const never = Number.NEGATIVE_INFINITY;
    const applicant = this.#applicants.get(entry.id) ?? {
      entry,
      sent: never,
      announcedAt: time,
      pingedAt: never,
      answeredAt: never,
    };
    if (this.#applicants.size >= this.#limits.workerCountMax && !this.#applicants.has(entry.id)) return false;
    this.#applicants.set(entry.id, applicant);
    // A worker that leaves does not change its mind.
    applicant.entry = { ...entry, isLeaving: entry.isLeaving || applicant.entry.isLeaving };
    applicant.announcedAt = time;
    if (time < applicant.pingedAt + this.#limits.pingMs) return false;
    applicant.pingedAt = time;
    return true;
  }

  /** The applicant has answered. */
  answered(id: string, sent: number, time: number): Present | undefined {
    const applicant = this.#applicants.get(id);
    if (applicant === undefined) return undefined;
    applicant.answeredAt = time;
    applicant.sent = sent;
    return applicant;
  }

  /** A living applicant that wants this name and may have it. */
  heirOf(name: string, time: number, isFit = (_: WorkerEntry) => true): Present | undefined {
    const since = time - this.#limits.suspectMs;
    const heirs = [...this.#applicants.values()].filter(
      ({ entry, answeredAt, announcedAt }) =>
        entry.name === name && answeredAt >= since && announcedAt >= since && isFit(entry),
    );
    return heirs.at(-1);
  }

  delete(id: string): void {
    this.#applicants.delete(id);
  }

  forget(time: number): void {
    for (const [id, { announcedAt }] of this.#applicants)
      if (time >= announcedAt + this.#limits.deadMs) this.#applicants.delete(id);
  }
}
