/**
 * The election: which worker runs the placement service. One of these in every worker.
 *
 * A pure state machine: events with `now` in, actions out. A lease in the store says who, and the holder renews it all the
 * time. Who does not hear the service looks at the lease: if it is not renewed for `lapseMs`, its holder is gone, and the
 * lease is taken in the very state in which it was seen. If it is renewed, the holder lives, and it is this worker that is
 * cut off: it is *apart*. So the side of a cut network that has the lease keeps it. Two services at once are harmless: terms
 * order their views.
 *
 *     following ─ service absent ────────────────────────┐          ┌── renewed: apart ──┐
 *         ▲     ─ silent ─▶ echo wanted ─ echoed ─▶ pausing ─▶ trying ─ another has it ─▶ watching
 *         │                                                    │ got it
 *         │                                                    ▼
 *         └─ heard ── (all of them)   lost, or a later term ◀─ serving ─ own voice not heard: renews no more ─▶ echo wanted
 *
 * Invariants:
 * - EL1 Only who got the lease serves, under its term, until it hears of a later one or that it is another's.
 * - EL2 If nobody serves, a worker that can be heard serves `lapseMs` after it has found the service absent, or was silent to
 *   for `silentMs`. One that leaves gives those who stay `graceMs` more: it would give the service away again at once.
 * - EL3 Who hears nothing, not even itself, does not try, and does not renew: it would keep the lease from those who hear each
 *   other.
 * - EL4 A lease that is renewed is never taken, by whomever its holder is not heard.
 * - EL5 Only a fresh view from the service itself (`freshness.ts`), or its answer to a question of now, shows that it lives: not a
 *   view that is late, doubled or retold. So who hears the service is not apart from it for longer than a question takes, also
 *   where the two clocks have come to differ.
 * - EL6 A service that has published nothing that was heard here may be silent by its own choice, since it waits for workers
 *   to announce themselves: who has heard nothing of a term is apart from its service only `silentMs` after it saw that term.
 * - EL7 What the store has forgotten binds nobody: if the lease that it shows is of a lower term than one known, it went back (P8),
 *   and who serves by that lease is the service. Nobody may have heard of the higher term who could say so to that one.
 */
import { Freshness } from './freshness.ts';
import type { PlacementLimits } from './limits.ts';
import { viewsPerTerm } from './service.ts';
import { SteadyClock } from './steady-clock.ts';

export type ElectionAction =
  /** Ask the store for the lease `placement`; its answer goes to `leased`, its failure to `failed`. */
  | { readonly kind: 'try'; readonly instead?: SeenLease }
  /** Ask who has it, and change nothing; the answer goes to `leased` too. */
  | { readonly kind: 'look' }
  /** Run the service under this term; one that runs under another ends. */
  | { readonly kind: 'serve'; readonly term: number }
  /** End the service, if it runs. */
  | { readonly kind: 'stop' }
  /**
   * Send something to a subject of one's own, through the transport; when it is there: `echoed`, with the same number. And ask
   * the service, if another one runs it, whether it is there: `present`, with that number.
   */
  | { readonly kind: 'echo'; readonly number: number }
  /** This worker is cut off from the service, which `holder` runs: it renews its lease, and is not heard. */
  | { readonly kind: 'apart'; readonly holder: string }
  /** It is not cut off any more. */
  | { readonly kind: 'together' };

/** A lease as it was seen: its term, and until when it was last renewed. */
export interface SeenLease {
  readonly term: number;
  readonly until: number;
}

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
  /** Another one has the lease: is it renewed? */
  | { readonly kind: 'watching'; readonly until: number }
  | { readonly kind: 'serving'; readonly until: number }
  | { readonly kind: 'resigned'; readonly until: number };

export class Election {
  readonly #id: string;
  readonly #limits: PlacementLimits;
  readonly #random: () => number;
  readonly #clock: SteadyClock;
  #state: State = { kind: 'following' };
  /** The highest term that was ever known: what is served here is above it. */
  #highest = 0;
  /** That of the service: the highest, unless the store went back (EL7); since when; and whether it was heard under it. */
  #term = 0;
  #termAt = 0;
  #isTermHeard = false;
  /** The lease as it was last seen in another's hands, since it is watched. */
  #seen: SeenLease | undefined;
  #isApart = false;
  #isLeaving = false;
  /** Of the service of that term, which another process runs than that of the one before, with another clock. */
  #freshness = new Freshness();
  #freshTerm = 0;
  #echoNumber = 0;
  #echoedAt = 0;
  /** While it watches on: the last echo has not come back. */
  #isUnheard = false;
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

  /** A view was heard. `sent`: the stamp of the service that published it; 0: somebody tells it again. */
  viewHeard(version: number, sent: number, now: number): ElectionAction[] {
    const time = this.#step(now);
    const term = Math.floor(version / viewsPerTerm);
    if (term < this.#term || this.#state.kind === 'resigned') return [];
    this.#heed(term, time);
    if (sent > 0 && this.#freshness.hear(sent, time, this.#limits.suspectMs)) {
      this.#heardAt = time;
      this.#isTermHeard = true;
      if (this.#servingTerm === undefined) return this.#follow();
    }
    return this.#servingTerm !== undefined && term > this.#servingTerm ? this.#follow() : [];
  }

  /** Its lease may have been seen before any view of it. */
  #heed(term: number, time: number): void {
    if (term !== this.#freshTerm) this.#freshness = new Freshness();
    this.#freshTerm = term;
    this.#learn(term, time);
  }

  /** The service has answered the question that went with an echo. `sent`: its stamp, as of a view. */
  present({ number, term, sent }: { number: number; term: number; sent: number }, now: number): ElectionAction[] {
    const time = this.#step(now);
    const isOfNow = number === this.#echoNumber && time <= this.#echoedAt + this.#limits.suspectMs;
    const isOver = this.#servingTerm !== undefined || this.#state.kind === 'resigned';
    // It may serve under a higher term than that of its lease, if the store went back.
    if (!isOfNow || isOver || term < this.#term || term > this.#highest) return [];
    this.#heed(term, time);
    this.#isTermHeard = true;
    // From here on its views are measured by this: their way has not become longer, but one of the two clocks was slower.
    this.#freshness.prove(sent, time);
    this.#heardAt = time;
    return this.#follow();
  }

  /** Nobody listens at the subject of the service. */
  serviceAbsent(now: number): ElectionAction[] {
    this.#step(now);
    if (this.#state.kind === 'following' || this.#state.kind === 'doubting') this.#pause();
    return [];
  }

  /** What `echo` asked for has come back: the connection is sound. */
  echoed(number: number, now: number): ElectionAction[] {
    const time = this.#step(now);
    if (number !== this.#echoNumber) return [];
    this.#isUnheard = false;
    if (this.#state.kind === 'doubting') this.#pause();
    if (this.#state.kind !== 'serving') return [];
    this.#heardAt = time;
    return this.#try();
  }

  /** More workers were lost at once than are left: the others get time to take the lease, if it is this one that is cut off. */
  yield(now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind === 'serving') this.#state = { kind: 'serving', until: time + this.#limits.yieldMs };
    return [];
  }

  /**
   * The store's answer to `try`: who has the lease now. A new lease has a term above all that were known when it was asked
   * for, unless the store was put back (P8): then this service takes the next number itself, or nobody would heed its views.
   */
  leased({ holder, term, until }: SeenLease & { readonly holder: string }, now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind === 'resigned') return [];
    if (holder !== this.#id) return this.#another({ term, until }, holder);
    // The answer to a question from before a later term was heard.
    if (this.#state.kind !== 'trying') return [];
    const isKept = this.#servingTerm !== undefined && this.#leaseTerm === term;
    const wasPutBack = term <= this.#askedTerm;
    if (!isKept && !wasPutBack && term < this.#highest) return this.#follow();
    this.#state = { kind: 'serving', until: time + this.#limits.renewMs };
    if (isKept) return [];
    this.#leaseTerm = term;
    this.#servingTerm = wasPutBack ? this.#highest + 1 : term;
    this.#learn(this.#servingTerm, time);
    this.#freshness = new Freshness();
    this.#freshTerm = this.#term;
    this.#heardAt = time;
    return [...this.#join(), { kind: 'serve', term: this.#servingTerm }];
  }

  /** Another one has the lease. Whether it renews it shows the next look at it. */
  #another(seen: SeenLease, holder: string): ElectionAction[] {
    const { time } = this.#clock;
    const before = this.#seen;
    this.#learn(seen.term, time);
    const stopped = this.#servingTerm === undefined ? [] : this.#follow();
    if (this.#state.kind !== 'trying' && stopped.length === 0) return [];
    if (seen.term < this.#term) this.#turnTo(seen.term, time);
    this.#seen = seen;
    this.#state = { kind: 'watching', until: time + this.#limits.lapseMs };
    this.#isUnheard = false;
    if (before === undefined) return stopped;
    // It watches on, and may be cut off by now: only who still hears itself tries again (EL3).
    this.#isUnheard = true;
    const isRenewed = before.term === seen.term && before.until !== seen.until;
    const mayBeSilent = !this.#isTermHeard && time < this.#termAt + this.#limits.silentMs;
    if (!isRenewed || mayBeSilent || this.#isApart) return [...stopped, this.#echo()];
    this.#isApart = true;
    return [{ kind: 'apart', holder }, this.#echo()];
  }

  /** The store could not be asked. A service goes on: if somebody else has the lease, its views will say so. */
  failed(now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind !== 'trying') return [];
    // It may have failed for the holder too: what was seen before that says nothing of it.
    this.#seen = undefined;
    if (this.#servingTerm !== undefined) this.#state = { kind: 'serving', until: time + this.#limits.graceMs };
    else this.#state = { kind: 'pausing', until: time + this.#limits.graceMs };
    return [];
  }

  /** This worker is about to leave: of two who could serve it is not the one (EL2). */
  leaving(): void {
    this.#isLeaving = true;
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
    const isHeard = time < this.#heardAt + this.#limits.silentMs;
    const isUnsure = kind === 'following' || kind === 'doubting' || (kind === 'watching' && this.#isUnheard);
    if (kind === 'serving' && !isHeard) this.#state = { kind, until: time + this.#limits.graceMs };
    else if (isUnsure) this.#state = { kind: 'doubting', until: time + this.#limits.graceMs };
    else return this.#try();
    return kind === 'serving' ? [{ kind: 'look' }, this.#echo()] : [this.#echo()];
  }

  #learn(term: number, time: number): void {
    if (term > this.#term) this.#turnTo(term, time);
  }

  #turnTo(term: number, time: number): void {
    this.#term = term;
    this.#termAt = time;
    this.#isTermHeard = false;
    this.#highest = Math.max(this.#highest, term);
  }

  #echo(): ElectionAction {
    this.#echoNumber += 1;
    this.#echoedAt = this.#clock.time;
    return { kind: 'echo', number: this.#echoNumber };
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

  #follow(): ElectionAction[] {
    this.#state = { kind: 'following' };
    this.#seen = undefined;
    const joined = this.#join();
    if (this.#servingTerm === undefined) return joined;
    this.#servingTerm = undefined;
    return [...joined, { kind: 'stop' }];
  }

  #join(): ElectionAction[] {
    if (!this.#isApart) return [];
    this.#isApart = false;
    return [{ kind: 'together' }];
  }

  #pause(): void {
    const { pauseMs, graceMs } = this.#limits;
    const pause = this.#random() * pauseMs + (this.#isLeaving ? graceMs : 0);
    this.#state = { kind: 'pausing', until: this.#clock.time + pause };
  }

  /** The answer may never come: then it is asked for again. */
  #try(): ElectionAction[] {
    this.#state = { kind: 'trying', until: this.#clock.time + this.#limits.silentMs };
    this.#askedTerm = this.#highest;
    const instead = this.#servingTerm === undefined ? this.#seen : undefined;
    return [instead === undefined ? { kind: 'try' } : { kind: 'try', instead }];
  }
}
