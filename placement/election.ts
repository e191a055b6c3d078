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

type State =
  | { readonly kind: 'following' }
  /** Nothing was heard of the service: is it that, or the connection? */
  | { readonly kind: 'doubting'; readonly askAgainAt: number }
  | { readonly kind: 'pausing'; readonly tryAt: number }
  | { readonly kind: 'trying'; readonly askAgainAt: number }
  | { readonly kind: 'serving'; readonly renewAt: number }
  | { readonly kind: 'resigned' };

export class Election {
  readonly #id: string;
  readonly #limits: PlacementLimits;
  readonly #random: () => number;
  readonly #clock: SteadyClock;
  #state: State = { kind: 'following' };
  /** The latest term known, and since when. */
  #term = 0;
  #termAt = Number.NEGATIVE_INFINITY;
  /** When the service was last heard. */
  #heardAt = 0;
  /** The term under which the service runs here. */
  #servingTerm: number | undefined;

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
    this.#learn(term);
    if (this.#servingTerm !== undefined) return term > this.#servingTerm ? this.#follow() : [];
    return this.#state.kind === 'doubting' || this.#state.kind === 'pausing' ? this.#follow() : [];
  }

  /** Nobody listens at the subject of the service. */
  serviceAbsent(now: number): ElectionAction[] {
    const time = this.#step(now);
    const mayTry = this.#state.kind === 'following' || this.#state.kind === 'doubting';
    if (mayTry && time >= this.#termAt + this.#limits.graceMs) this.#pause();
    return [];
  }

  /** What `echo` asked for has come back: the connection is sound. */
  echoed(now: number): ElectionAction[] {
    this.#step(now);
    if (this.#state.kind === 'doubting') this.#pause();
    return [];
  }

  /** The store's answer to `try`: who has the lease now. */
  leased(lease: { readonly holder: string; readonly term: number }, now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind === 'resigned') return [];
    this.#learn(lease.term);
    if (lease.holder !== this.#id) {
      this.#heardAt = time;
      return this.#follow();
    }
    this.#state = { kind: 'serving', renewAt: time + this.#limits.leaseMs / 3 };
    if (this.#servingTerm === lease.term) return [];
    this.#servingTerm = lease.term;
    return [{ kind: 'serve', term: lease.term }];
  }

  /** The store could not be asked. A service goes on: if somebody else has the lease, its views will say so. */
  failed(now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind !== 'trying') return [];
    if (this.#servingTerm !== undefined) this.#state = { kind: 'serving', renewAt: time + this.#limits.graceMs };
    else this.#state = { kind: 'pausing', tryAt: time + this.#limits.graceMs };
    return [];
  }

  /** This worker leaves: it ends the service and never tries again. The caller gives the lease up. */
  resign(now: number): ElectionAction[] {
    this.#step(now);
    const wasServing = this.#servingTerm !== undefined;
    this.#servingTerm = undefined;
    this.#state = { kind: 'resigned' };
    return wasServing ? [{ kind: 'stop' }] : [];
  }

  /** To be called at `nextTickAt`. */
  tick(now: number): ElectionAction[] {
    const time = this.#step(now);
    if (time < this.#nextAt) return [];
    switch (this.#state.kind) {
      case 'following':
      case 'doubting':
        this.#state = { kind: 'doubting', askAgainAt: time + this.#limits.graceMs };
        return [{ kind: 'echo' }];
      case 'pausing':
      case 'trying':
      case 'serving':
        return this.#try();
      case 'resigned':
        return [];
    }
  }

  get nextTickAt(): number {
    return this.#clock.outer(this.#nextAt);
  }

  get #nextAt(): number {
    const state = this.#state;
    switch (state.kind) {
      case 'following':
        return this.#heardAt + this.#limits.silentMs;
      case 'doubting':
      case 'trying':
        return state.askAgainAt;
      case 'pausing':
        return state.tryAt;
      case 'serving':
        return state.renewAt;
      case 'resigned':
        return Number.POSITIVE_INFINITY;
    }
  }

  #step(now: number): number {
    return this.#clock.step(now, this.#nextAt);
  }

  #learn(term: number): void {
    if (term <= this.#term) return;
    this.#term = term;
    this.#termAt = this.#clock.time;
  }

  #follow(): ElectionAction[] {
    this.#state = { kind: 'following' };
    if (this.#servingTerm === undefined) return [];
    this.#servingTerm = undefined;
    return [{ kind: 'stop' }];
  }

  #pause(): void {
    this.#state = { kind: 'pausing', tryAt: this.#clock.time + this.#random() * this.#limits.pauseMs };
  }

  /** The answer may never come: asked again after a lease's life, by when it is free anyway. */
  #try(): ElectionAction[] {
    this.#state = { kind: 'trying', askAgainAt: this.#clock.time + this.#limits.leaseMs };
    const isReplacing = this.#servingTerm === undefined && this.#term > 0;
    return [isReplacing ? { kind: 'try', instead: this.#term } : { kind: 'try' }];
  }
}
