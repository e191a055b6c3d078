/**
 * Who is out of the view. The departed: ids of workers that were in it, as long as they are remembered. Applicants: workers
 * that have announced themselves, and have to answer a ping before they get in.
 *
 * An announcement alone admits nobody: it may be from a process that is dead by now. One that was found absent or was silent
 * may have been suspected wrongly, and may return by answering. One that said that it is gone, or whose name another process
 * has got, never returns.
 *
 * Invariants:
 * - DP1 Who has left or was replaced is not admitted again while it is remembered; who was suspected is, by answering.
 * - DP2 At most `rememberedCountMax` ids are remembered, for `rememberMs`; the oldest go first.
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

  /** It has left for ever, as one hears after it was suspected. */
  leave(id: string): void {
    const departure = this.#departures.get(id);
    if (departure !== undefined) departure.isForEver = true;
  }

  /** A process is admitted: it departed no more, and others of its name never return. */
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

/** One that is there, and the stamp of its answer. */
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

  /** One announces itself; true: ping it now. */
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
    // Who leaves does not change its mind.
    applicant.entry = { ...entry, isLeaving: entry.isLeaving || applicant.entry.isLeaving };
    applicant.announcedAt = time;
    if (time < applicant.pingedAt + this.#limits.pingMs) return false;
    applicant.pingedAt = time;
    return true;
  }

  /** It has answered. */
  answered(id: string, sent: number, time: number): Present | undefined {
    const applicant = this.#applicants.get(id);
    if (applicant === undefined) return undefined;
    applicant.answeredAt = time;
    applicant.sent = sent;
    return applicant;
  }

  /** One that wants this name, is there, and may have it. */
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
