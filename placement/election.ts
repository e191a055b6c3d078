/**
 * The election: which worker runs the placement service. One of these in every worker.
 *
 * A pure state machine: events with `now` in, actions out. A lease in the store says who; that it lapses is too slow to
 * wait for, so whoever finds the holder gone asks for the lease `instead` of its term. Two services at once are harmless:
 * terms order their views.
 *
 *     following ─ service absent ───────────────────────────┐
 *         ▲     ─ silent ─▶ echo wanted ─ echoed ─▶ pausing ─▶ trying ─ got it ─▶ serving
 *         │                                                    │ another has it     │ lost, resigned, or a later term heard
 *         └────────────────────────────────────────────────────┴────────────────────┘
 *
 * Invariants:
 * - EL1 Only who got the lease serves, under its term, until it hears of a later one or that it is another's.
 * - EL2 If nobody serves, a worker that can be heard tries, within `silentMs` or as soon as the service is found absent.
 * - EL3 Who hears nothing, not even itself, does not try: it would take the lease from a service that everybody else hears.
 * - EL4 A holder of a new term is not replaced before `graceMs`.
 */
import type { PlacementLimits } from './limits.ts';
import { viewsPerTerm } from './service.ts';
import { SteadyClock } from './steady.ts';

export type ElectionAction =
  /** Ask the store for the lease `placement`; its answer goes to `leased`, its failure to `failed`. */
  | { readonly kind: 'try'; readonly instead?: number }
  /** Run the service under this term; one that runs under another ends. */
  | { readonly kind: 'serve'; readonly term: number }
  /** End the service, if it runs. */
  | { readonly kind: 'stop' }
  /** Send something to a subject of one's own, through the transport; when it is there: `echoed`. */
  | { readonly kind: 'echo' };

export interface ElectionParts {
  /** Of this worker: the holder that the store is told. */
  readonly id: string;
  readonly limits: PlacementLimits;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly now: number;
}

/** `until`: when the next step is due. */
type State =
  | { readonly kind: 'following' }
  /** Nothing was heard of the service: does it not run, or is this worker cut off? */
  | { readonly kind: 'doubting'; readonly until: number }
  | { readonly kind: 'pausing'; readonly until: number }
  | { readonly kind: 'trying'; readonly until: number }
  | { readonly kind: 'serving'; readonly until: number }
  | { readonly kind: 'resigned'; readonly until: number };

export class Election {
  readonly #id: string;
  readonly #limits: PlacementLimits;
  readonly #random: () => number;
  readonly #clock: SteadyClock;
  #state: State = { kind: 'following' };
  /** The highest term known, of the lease or of a view. */
  #term = 0;
  /** The term to replace: of the holder heard of last, and since when. */
  #rival: number | undefined;
  #rivalAt = Number.NEGATIVE_INFINITY;
  /** What was the highest term known when the store was last asked. */
  #askedTerm = 0;
  /** When the service was last heard. */
  #heardAt = 0;
  /** The term under which the service runs here, and that of the lease, which is lower if the store was put back. */
  #servingTerm: number | undefined;
  #leaseTerm: number | undefined;

  constructor({ id, limits, random, now }: ElectionParts) {
    this.#id = id;
    this.#limits = limits;
    this.#random = random;
    this.#clock = new SteadyClock(now, limits.lagMs);
  }

  /** The term under which the service runs here; undefined: it does not. */
  get servingTerm(): number | undefined {
    return this.#servingTerm;
  }

  /** A service published a view: it lives. */
  viewHeard(version: number, now: number): ElectionAction[] {
    this.#step(now);
    const term = Math.floor(version / viewsPerTerm);
    if (term < this.#term) return [];
    this.#heardAt = this.#clock.time;
    if (term > this.#term) this.#meet(term);
    if (this.#servingTerm !== undefined) return term > this.#servingTerm ? this.#follow() : [];
    return this.#state.kind === 'doubting' || this.#state.kind === 'pausing' ? this.#follow() : [];
  }

  /** Nobody listens at the subject of the service. */
  serviceAbsent(now: number): ElectionAction[] {
    const time = this.#step(now);
    const mayTry = this.#state.kind === 'following' || this.#state.kind === 'doubting';
    if (mayTry && time >= this.#rivalAt + this.#limits.graceMs) this.#pause();
    return [];
  }

  /** What `echo` asked for has come back: the connection is sound. */
  echoed(now: number): ElectionAction[] {
    this.#step(now);
    if (this.#state.kind === 'doubting') this.#pause();
    return [];
  }

  /**
   * The store's answer to `try`: who has the lease now. A new lease has a term above all that were known when it was asked
   * for, unless the store was put back (P8): then this service takes the next number itself, or nobody would heed its views.
   */
  leased({ holder, term }: { readonly holder: string; readonly term: number }, now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind === 'resigned') return [];
    if (holder !== this.#id) {
      this.#heardAt = time;
      this.#meet(term);
      return this.#follow();
    }
    // The answer to a question from before a later term was heard.
    if (this.#state.kind !== 'trying') return [];
    const isKept = this.#servingTerm !== undefined && this.#leaseTerm === term;
    const wasPutBack = term <= this.#askedTerm;
    if (!isKept && !wasPutBack && term < this.#term) return this.#follow();
    this.#state = { kind: 'serving', until: time + this.#limits.leaseMs / 3 };
    if (isKept) return [];
    this.#leaseTerm = term;
    this.#servingTerm = wasPutBack ? this.#term + 1 : term;
    this.#term = this.#servingTerm;
    return [{ kind: 'serve', term: this.#servingTerm }];
  }

  /** The store could not be asked. A service goes on: if somebody else has the lease, its views will say so. */
  failed(now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind !== 'trying') return [];
    if (this.#servingTerm !== undefined) this.#state = { kind: 'serving', until: time + this.#limits.graceMs };
    else this.#state = { kind: 'pausing', until: time + this.#limits.graceMs };
    return [];
  }

  /** This worker leaves: it ends the service and never tries again. The caller gives the lease up. */
  resign(now: number): ElectionAction[] {
    this.#step(now);
    const wasServing = this.#servingTerm !== undefined;
    this.#servingTerm = undefined;
    this.#state = { kind: 'resigned', until: Number.POSITIVE_INFINITY };
    return wasServing ? [{ kind: 'stop' }] : [];
  }

  /** To be called at `nextTickAt`. */
  tick(now: number): ElectionAction[] {
    const time = this.#step(now);
    const { kind } = this.#state;
    if (time < this.#nextAt || kind === 'resigned') return [];
    if (kind !== 'following' && kind !== 'doubting') return this.#try();
    this.#state = { kind: 'doubting', until: time + this.#limits.graceMs };
    return [{ kind: 'echo' }];
  }

  get nextTickAt(): number {
    return this.#clock.outer(this.#nextAt);
  }

  get #nextAt(): number {
    return this.#state.kind === 'following' ? this.#heardAt + this.#limits.silentMs : this.#state.until;
  }

  #step(now: number): number {
    return this.#clock.step(now, this.#nextAt);
  }

  /** Somebody has the lease, or serves, under this term. */
  #meet(term: number): void {
    this.#term = Math.max(this.#term, term);
    if (term === this.#rival) return;
    this.#rival = term;
    this.#rivalAt = this.#clock.time;
  }

  #follow(): ElectionAction[] {
    this.#state = { kind: 'following' };
    if (this.#servingTerm === undefined) return [];
    this.#servingTerm = undefined;
    return [{ kind: 'stop' }];
  }

  #pause(): void {
    this.#state = { kind: 'pausing', until: this.#clock.time + this.#random() * this.#limits.pauseMs };
  }

  /** The answer may never come: asked again after a lease's life, by when it is free anyway. */
  #try(): ElectionAction[] {
    this.#state = { kind: 'trying', until: this.#clock.time + this.#limits.leaseMs };
    this.#askedTerm = this.#term;
    const instead = this.#servingTerm === undefined ? this.#rival : undefined;
    return [instead === undefined ? { kind: 'try' } : { kind: 'try', instead }];
  }
}
