/**
 * The election: decides which worker runs the placement service. Every worker has one.
 *
 * A pure state machine: events with `now` in, actions out. A lease in the store names the holder, which renews it all the
 * time. A worker that does not hear the service reads the lease. If it is not renewed for `lapseMs`, its holder is gone, and
 * the worker takes the lease, provided that it is unchanged since. If it is renewed, the holder is alive and this worker is
 * cut off: *apart*. So the side of a split network that has the lease keeps it. Two services at once are harmless, because
 * terms order their views.
 *
 *     following ─ service absent ────────────────────────┐          ┌── renewed: apart ──┐
 *         ▲     ─ silent ─▶ echo wanted ─ echoed ─▶ pausing ─▶ trying ─ another has it ─▶ watching
 *         │                                                    │ got it
 *         │                                                    ▼
 *         └─ heard ── (all of them)   lost, or a later term ◀─ serving ─ own voice not heard: renews no more ─▶ echo wanted
 *
 * Invariants:
 * - EL1 Only the worker that got the lease serves, under its term, until it hears of a later one or loses the lease.
 * - EL2 If no service runs, a worker that can be heard serves `lapseMs` after it found the service absent, or after `silentMs`
 *   of silence. A leaving worker gives the others `graceMs` more, because it would give the service up again at once.
 * - EL3 A worker that hears nothing, not even its own echo, neither tries nor renews. It would keep the lease from workers that
 *   hear each other.
 * - EL4 A renewed lease is never taken, even by a worker that does not hear its holder.
 * - EL5 Only a fresh view from the service itself (`freshness.ts`), or its answer to a current request, shows that it is alive;
 *   a late, duplicated or relayed view does not. So a worker that hears the service is apart from it for at most one request,
 *   even where the two clocks have come to differ.
 * - EL6 A service that has published nothing here may be silent on purpose, while it waits for announcements. A worker that has
 *   heard nothing of a term is apart from its service only `silentMs` after it saw that term.
 * - EL7 A lease that the store has lost binds nobody. If the lease read has a lower term than one known, the store has lost
 *   commits (P8), and the holder of the lease read is the service: it may have no way to learn of the higher term.
 */
import { Freshness } from './freshness.ts';
import type { PlacementLimits } from './limits.ts';
import { viewsPerTerm } from './service.ts';
import { SteadyClock } from './steady-clock.ts';

export type ElectionAction =
  /** Try to get the lease `placement` from the store. The answer goes to `leased`, a failure to `failed`. */
  | { readonly kind: 'try'; readonly instead?: SeenLease }
  /** Read the lease without changing it. The answer goes to `leased` too. */
  | { readonly kind: 'look' }
  /** Run the service under this term. A service under another term ends. */
  | { readonly kind: 'serve'; readonly term: number }
  /** Stop the service, if it runs. */
  | { readonly kind: 'stop' }
  /**
   * Send a message to one's own subject through the transport. When it arrives, call `echoed` with its number. Also ask the
   * service, if another process runs it, whether it is alive; it answers `present` with that number.
   */
  | { readonly kind: 'echo'; readonly number: number }
  /** This worker is cut off from the service, which `holder` runs: its lease is renewed, but it is not heard. */
  | { readonly kind: 'apart'; readonly holder: string }
  /** This worker is no longer cut off. */
  | { readonly kind: 'together' };

/** A lease as it was read: its term, and the time of its last renewal. */
export interface SeenLease {
  readonly term: number;
  readonly until: number;
}

export interface ElectionParts {
  /** The name by which this worker holds the lease. */
  readonly id: string;
  readonly limits: PlacementLimits;
  /** A random number, 0 <= random() < 1. */
  readonly random: () => number;
  readonly now: number;
}

/** `until`: when the next step is due. */
type State =
  | { readonly kind: 'following' }
  /** The service is not heard: either it does not run, or this worker is cut off. */
  | { readonly kind: 'doubting'; readonly until: number }
  | { readonly kind: 'pausing'; readonly until: number }
  | { readonly kind: 'trying'; readonly until: number }
  /** Another worker has the lease; wait whether it is renewed. */
  | { readonly kind: 'watching'; readonly until: number }
  | { readonly kind: 'serving'; readonly until: number }
  | { readonly kind: 'resigned'; readonly until: number };

export class Election {
  readonly #id: string;
  readonly #limits: PlacementLimits;
  readonly #random: () => number;
  readonly #clock: SteadyClock;
  #state: State = { kind: 'following' };
  /** The highest term ever known. A service here uses a higher one. */
  #highest = 0;
  /** The term of the service (the highest, unless the store lost commits, EL7), its start, and whether it was heard. */
  #term = 0;
  #termAt = 0;
  #isTermHeard = false;
  /** The lease as last read in another's hands, since it is watched. */
  #seen: SeenLease | undefined;
  #isApart = false;
  #isLeaving = false;
  /** Freshness of the service of that term. Each term has its own, because another process with another clock runs it. */
  #freshness = new Freshness();
  #freshTerm = 0;
  #echoNumber = 0;
  #echoedAt = 0;
  /** While watching: the last echo has not come back. */
  #isUnheard = false;
  /** The highest term known when the store was last called. */
  #askedTerm = 0;
  /** When the service was last heard. */
  #heardAt = 0;
  /** The term of the service here, and the term of its lease, which is lower after the store lost commits. */
  #servingTerm: number | undefined;
  #leaseTerm: number | undefined;

  constructor({ id, limits, random, now }: ElectionParts) {
    this.#id = id;
    this.#limits = limits;
    this.#random = random;
    this.#clock = new SteadyClock(now, limits.lagMs);
  }

  /** The term of the service here; undefined: it does not run. */
  get servingTerm(): number | undefined {
    return this.#servingTerm;
  }

  /** A view was heard. `sent`: the stamp of the service that published it; 0: another process relayed it. */
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

  /** The lease may have been read before any view of it was heard. */
  #heed(term: number, time: number): void {
    if (term !== this.#freshTerm) this.#freshness = new Freshness();
    this.#freshTerm = term;
    this.#learn(term, time);
  }

  /** The service has answered the request sent with an echo. `sent`: its stamp, as of a view. */
  present({ number, term, sent }: { number: number; term: number; sent: number }, now: number): ElectionAction[] {
    const time = this.#step(now);
    const isOfNow = number === this.#echoNumber && time <= this.#echoedAt + this.#limits.suspectMs;
    const isOver = this.#servingTerm !== undefined || this.#state.kind === 'resigned';
    // Its term may be higher than that of its lease, if the store lost commits.
    if (!isOfNow || isOver || term < this.#term || term > this.#highest) return [];
    this.#heed(term, time);
    this.#isTermHeard = true;
    // Its views are measured from here on: their way has not become longer, but one of the two clocks was slower.
    this.#freshness.prove(sent, time);
    this.#heardAt = time;
    return this.#follow();
  }

  /** The subject of the service has no listener. */
  serviceAbsent(now: number): ElectionAction[] {
    this.#step(now);
    if (this.#state.kind === 'following' || this.#state.kind === 'doubting') this.#pause();
    return [];
  }

  /** The echo has come back: the connection works. */
  echoed(number: number, now: number): ElectionAction[] {
    const time = this.#step(now);
    if (number !== this.#echoNumber) return [];
    this.#isUnheard = false;
    if (this.#state.kind === 'doubting') this.#pause();
    if (this.#state.kind !== 'serving') return [];
    this.#heardAt = time;
    return this.#try();
  }

  /** More workers were lost at once than are left. If this one is cut off, the others get time to take the lease. */
  yield(now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind === 'serving') this.#state = { kind: 'serving', until: time + this.#limits.yieldMs };
    return [];
  }

  /**
   * The store's answer to `try`: the lease as it is now. A new lease has a higher term than all known when it was requested,
   * unless the store lost commits (P8). Then this service uses the next number itself, or its views would be ignored.
   */
  leased({ holder, term, until }: SeenLease & { readonly holder: string }, now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind === 'resigned') return [];
    if (holder !== this.#id) return this.#another({ term, until }, holder);
    // An answer to a call from before a later term was heard.
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

  /** Another worker has the lease. The next read shows whether it renews it. */
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
    // This worker may be cut off by now: it tries again only if its echo comes back (EL3).
    this.#isUnheard = true;
    const isRenewed = before.term === seen.term && before.until !== seen.until;
    const mayBeSilent = !this.#isTermHeard && time < this.#termAt + this.#limits.silentMs;
    if (!isRenewed || mayBeSilent || this.#isApart) return [...stopped, this.#echo()];
    this.#isApart = true;
    return [{ kind: 'apart', holder }, this.#echo()];
  }

  /** The store call failed. A running service continues: if another worker has the lease, its views will show it. */
  failed(now: number): ElectionAction[] {
    const time = this.#step(now);
    if (this.#state.kind !== 'trying') return [];
    // The call may have failed for the holder too, so the lease as read before proves nothing.
    this.#seen = undefined;
    if (this.#servingTerm !== undefined) this.#state = { kind: 'serving', until: time + this.#limits.graceMs };
    else this.#state = { kind: 'pausing', until: time + this.#limits.graceMs };
    return [];
  }

  /** This worker is about to leave, so others should serve rather than it (EL2). */
  leaving(): void {
    this.#isLeaving = true;
  }

  /** This worker leaves. It stops the service and never tries again. The caller gives up the lease. */
  resign(now: number): ElectionAction[] {
    this.#step(now);
    const wasServing = this.#servingTerm !== undefined;
    this.#servingTerm = undefined;
    this.#state = { kind: 'resigned', until: Number.POSITIVE_INFINITY };
    return wasServing ? [{ kind: 'stop' }] : [];
  }

  /** Call at `nextTickAt`. */
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

  /** The answer may never come; then the call is repeated. */
  #try(): ElectionAction[] {
    this.#state = { kind: 'trying', until: this.#clock.time + this.#limits.silentMs };
    this.#askedTerm = this.#highest;
    const instead = this.#servingTerm === undefined ? this.#seen : undefined;
    return [instead === undefined ? { kind: 'try' } : { kind: 'try', instead }];
  }
}
