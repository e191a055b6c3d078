/**
 * The placement service: one of the workers hears all the others, decides who is there, and publishes views.
 *
 * A pure state machine: events with `now` in, actions out; `runtime/service-host.ts` drives it. It guards nothing: two of
 * them at once, or one that errs, cost time and never data, as ownership is the store's. Who runs it is `election.ts`'s.
 *
 *     announced ─▶ in the view ─┬─ says that it leaves ─▶ leaving ─ has gone ─▶ out for ever
 *                    ▲          ├─ a ping finds nobody ──────────┐
 *                    │          └─ silent ─▶ pinged ─ silent ────┴▶ out ─ announced, answers a ping ─┐
 *                    └───────────────────────────────────────────────────────────────────────────────┘
 *
 * Invariants:
 * - PS1 Versions strictly rise; each view has at most one worker of a name, in order of names.
 * - PS2 A worker at whose subject nobody listens is out with the ping that finds it so, one that is silent after `deadMs`.
 * - PS3 Who announces itself and answers pings gets into the view and stays there; who has left or was replaced never does.
 * - PS4 A name changes hands only when its holder leaves, is dead, or is found absent: never while it answers.
 * - PS5 What it remembers is bounded, whatever it is told.
 */
import { isSameEntry, isSoundEntry } from './announcement.ts';
import { Departed } from './departed.ts';
import type { PlacementLimits } from './limits.ts';
import { SteadyClock } from './steady.ts';
import { isSameView, type Pin, type View, type WorkerEntry } from './view.ts';

export type ServiceAction =
  | { readonly kind: 'publish'; readonly view: View }
  | { readonly kind: 'ping'; readonly id: string };

export interface ServiceParts {
  /** Of the lease under which it runs. */
  readonly term: number;
  readonly partitions: number;
  /** The last one known: its workers stay until they prove to be dead. */
  readonly view: View | undefined;
  readonly pins: readonly Pin[];
  readonly limits: PlacementLimits;
  readonly now: number;
}

/** How many views one term can number. */
export const viewsPerTerm = 2 ** 20;

interface Member {
  entry: WorkerEntry;
  heardAt: number;
  /** Undefined: no ping is without an answer. */
  pingedAt: number | undefined;
  /** Another process that wants the name: it gets it when this one is out, if it is still there. */
  challenger: { readonly entry: WorkerEntry; readonly at: number } | undefined;
}

export class PlacementService {
  readonly #term: number;
  readonly #partitions: number;
  readonly #limits: PlacementLimits;
  readonly #clock: SteadyClock;
  readonly #members = new Map<string, Member>();
  /** Name → id. */
  readonly #names = new Map<string, string>();
  readonly #departed: Departed;
  #pins: readonly Pin[];
  /** The last view published. */
  #view: View | undefined;
  #count: number;
  /** All in steady time. */
  #publishAt = Number.POSITIVE_INFINITY;
  #publishedAt = 0;
  #checkedAt = 0;
  readonly #silentUntil: number;
  /** Workers adopted from the view known that were not yet pinged. */
  #unasked: string[] = [];
  /** Announcements that were not sound, or too many. */
  refusedCount = 0;

  constructor({ term, partitions, view, pins, limits, now }: ServiceParts) {
    this.#term = term;
    this.#partitions = partitions;
    this.#limits = limits;
    this.#clock = new SteadyClock(now, limits.lagMs);
    this.#departed = new Departed(limits);
    this.#pins = sortedPins(pins);
    const known = (view?.version ?? 0) - term * viewsPerTerm;
    this.#count = known < viewsPerTerm ? Math.max(0, known) : 0;
    for (const entry of view?.workers ?? []) this.#admit(entry);
    this.#unasked = [...this.#members.keys()];
    if (view !== undefined) this.#publishAt = 0;
    // There is a view that it has not seen: an empty one would take everything from everybody.
    this.#silentUntil = view === undefined && term > 1 ? limits.suspectMs : 0;
  }

  /** A worker announces itself: new, changed, or just to be heard. */
  announced(entry: WorkerEntry, now: number): ServiceAction[] {
    this.#step(now);
    if (!this.#isWelcome(entry)) return this.#due();
    const member = this.#members.get(entry.id);
    if (member !== undefined) {
      this.#heard(member);
      this.#change(member, entry);
      return this.#due();
    }
    const holder = this.#members.get(this.#names.get(entry.name) ?? '');
    if (holder !== undefined) return this.#challenge(holder, entry);
    if (this.#departed.has(entry.id)) {
      const mayPing = this.#departed.ask(entry, this.#clock.time);
      return [...(mayPing ? [pingTo(entry.id)] : []), ...this.#due()];
    }
    this.#admit(entry);
    return this.#due();
  }

  /** Somebody found that nobody listens at a worker's subject. */
  absent(id: string, now: number): ServiceAction[] {
    this.#step(now);
    const member = this.#members.get(id);
    return [...(member === undefined ? [] : this.#ping(member)), ...this.#due()];
  }

  /** Whether a process never gets into the view again: it has left, or was replaced, perhaps while it hung and heard nothing. */
  isOut(id: string): boolean {
    return this.#departed.isForEver(id);
  }

  /** A worker answered a ping. */
  ponged(id: string, now: number): ServiceAction[] {
    this.#step(now);
    const member = this.#members.get(id);
    if (member !== undefined) {
      this.#heard(member);
    } else {
      const entry = this.#departed.answered(id);
      if (entry !== undefined && !this.#names.has(entry.name) && this.#hasRoom) this.#admit(entry);
    }
    return this.#due();
  }

  /** Nobody listens where a worker was pinged: it has crashed, and is out at once. */
  pingAbsent(id: string, now: number): ServiceAction[] {
    this.#step(now);
    this.#remove(id, 'may return');
    return this.#due();
  }

  /** A worker has handed everything off and ends. */
  gone(id: string, now: number): ServiceAction[] {
    this.#step(now);
    this.#remove(id, 'never again');
    return this.#due();
  }

  /** All pins as the store has them now. */
  pinned(pins: readonly Pin[], now: number): ServiceAction[] {
    this.#step(now);
    const sorted = sortedPins(pins);
    const isSame =
      sorted.length === this.#pins.length &&
      sorted.every((pin, index) => {
        const other = this.#pins[index];
        return pin.address === other?.address && pin.worker === other.worker;
      });
    this.#pins = sorted;
    if (!isSame) this.#publishBy(0);
    return this.#due();
  }

  /** Somebody tells a view of this term that is another's: a store that went back has given it twice (P8). The next is above that. */
  viewHeard(view: View, now: number): ServiceAction[] {
    this.#step(now);
    const count = view.version - this.#term * viewsPerTerm;
    const isRival =
      count > this.#count || (count === this.#count && this.#view !== undefined && !isSameView(view, this.#view));
    if (isRival && count < viewsPerTerm) {
      this.#count = count;
      this.#publishBy(0);
    }
    return this.#due();
  }

  /** To be called at `nextTickAt`. */
  tick(now: number): ServiceAction[] {
    const time = this.#step(now);
    const pings: ServiceAction[] = this.#unasked.flatMap((id) => this.#pingMember(id));
    this.#unasked = [];
    if (time >= this.#checkedAt + this.#limits.checkMs) {
      this.#checkedAt = time;
      for (const [id, member] of this.#members) {
        const silentMs = time - member.heardAt;
        if (silentMs >= this.#limits.deadMs) this.#remove(id, 'may return');
        else if (silentMs >= this.#limits.suspectMs) pings.push(...this.#ping(member));
      }
      this.#departed.forget(time);
    }
    return [...pings, ...this.#due()];
  }

  get nextTickAt(): number {
    return this.#clock.outer(this.#nextAt);
  }

  get #nextAt(): number {
    if (this.#unasked.length > 0) return this.#clock.time;
    return Math.min(Math.max(this.#publishAt, this.#silentUntil), this.#checkedAt + this.#limits.checkMs);
  }

  get #hasRoom(): boolean {
    return this.#members.size < this.#limits.workerCountMax;
  }

  #step(now: number): number {
    return this.#clock.step(now, this.#nextAt);
  }

  /** Whether an announcement is to be considered at all; each id has one name. */
  #isWelcome(entry: WorkerEntry): boolean {
    const isSound = isSoundEntry(entry, this.#limits);
    const member = isSound ? this.#members.get(entry.id) : undefined;
    const isItself = member === undefined || member.entry.name === entry.name;
    const hasRoom = member !== undefined || this.#hasRoom || this.#names.has(entry.name);
    if (!isSound || !isItself || !hasRoom) this.refusedCount += 1;
    return isSound && isItself && hasRoom && !this.#departed.isForEver(entry.id);
  }

  #admit(entry: WorkerEntry): void {
    this.#members.set(entry.id, {
      entry,
      heardAt: this.#clock.time,
      pingedAt: undefined,
      challenger: undefined,
    });
    this.#names.set(entry.name, entry.id);
    this.#departed.delete(entry.id);
    this.#publishBy(this.#limits.gatherMs);
  }

  #heard(member: Member): void {
    member.heardAt = this.#clock.time;
    member.pingedAt = undefined;
  }

  /** Who leaves does not change its mind: an announcement from before that comes late must not keep it. */
  #change(member: Member, entry: WorkerEntry): void {
    const isLeaving = entry.isLeaving || member.entry.isLeaving;
    const changed = isLeaving === entry.isLeaving ? entry : { ...entry, isLeaving };
    if (isSameEntry(member.entry, changed)) return;
    member.entry = changed;
    this.#publishBy(this.#limits.gatherMs);
  }

  /**
   * Another process has the name of one that is in the view: it was restarted, or it is the paused one that was replaced
   * and wakes (which a service that has just taken over cannot know). So the present holder is asked, not believed dead.
   */
  #challenge(holder: Member, entry: WorkerEntry): ServiceAction[] {
    holder.challenger = { entry, at: this.#clock.time };
    if (!holder.entry.isLeaving) return [...this.#ping(holder), ...this.#due()];
    this.#remove(holder.entry.id, 'never again');
    return this.#due();
  }

  #pingMember(id: string): ServiceAction[] {
    const member = this.#members.get(id);
    return member === undefined ? [] : this.#ping(member);
  }

  #ping(member: Member): ServiceAction[] {
    const { time } = this.#clock;
    if (member.pingedAt !== undefined && time < member.pingedAt + this.#limits.pingMs) return [];
    member.pingedAt = time;
    return [pingTo(member.entry.id)];
  }

  #remove(id: string, whether: 'may return' | 'never again'): void {
    const member = this.#members.get(id);
    if (member === undefined) {
      if (whether === 'never again' && this.#departed.has(id)) this.#departed.add(id, whether, this.#clock.time);
      return;
    }
    const heir = this.#heirOf(member);
    this.#members.delete(id);
    this.#names.delete(member.entry.name);
    this.#departed.add(id, heir === undefined ? whether : 'never again', this.#clock.time);
    if (heir !== undefined) this.#admit(heir);
    this.#publishBy(0);
  }

  /** Who wants a member's name and has said so just now. */
  #heirOf({ challenger }: Member): WorkerEntry | undefined {
    if (challenger === undefined) return undefined;
    return this.#clock.time > challenger.at + this.#limits.suspectMs ? undefined : challenger.entry;
  }

  #publishBy(ms: number): void {
    this.#publishAt = Math.min(this.#publishAt, this.#clock.time + ms);
  }

  /** The view, if it has changed and it is time, or if it was last published long ago. */
  #due(): ServiceAction[] {
    const { time } = this.#clock;
    if (time >= this.#publishAt && time >= this.#silentUntil) return this.#publish();
    const isOld = this.#view !== undefined && time >= this.#publishedAt + this.#limits.republishMs;
    if (!isOld || this.#view === undefined) return [];
    this.#publishedAt = time;
    return [{ kind: 'publish', view: this.#view }];
  }

  /** A term whose numbers are used up is silent, so that somebody takes over with the next one. */
  #publish(): ServiceAction[] {
    this.#publishAt = Number.POSITIVE_INFINITY;
    this.#publishedAt = this.#clock.time;
    if (this.#count >= viewsPerTerm - 1) {
      this.#view = undefined;
      return [];
    }
    this.#count += 1;
    const workers = [...this.#members.values()].map(({ entry }) => entry);
    workers.sort((one, other) => (one.name < other.name ? -1 : 1));
    const version = this.#term * viewsPerTerm + this.#count;
    this.#view = { version, partitions: this.#partitions, workers, pins: this.#pins };
    return [{ kind: 'publish', view: this.#view }];
  }
}

function pingTo(id: string): ServiceAction {
  return { kind: 'ping', id };
}

function sortedPins(pins: readonly Pin[]): Pin[] {
  return [...pins].sort((one, other) => (one.address < other.address ? -1 : 1));
}
