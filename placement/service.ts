/**
 * The placement service: one of the workers hears all the others, decides who is there, and publishes views.
 *
 * A pure state machine: events with `now` in, actions out; `runtime/cluster/placement-host.ts` drives it. It guards nothing: two of
 * them at once, or one that errs, cost time and never data, as ownership is the store's. Who runs it is `election.ts`'s.
 * Longer than 400 lines because all that it hears changes one list.
 *
 *     announced, pinged ─ answers ─▶ in the view ─┬─ says that it leaves ─▶ leaving ─ has gone ─▶ out for ever
 *              ▲                                  ├─ a ping finds nobody ───────────┐
 *              │                                  └─ silent ─▶ pinged ─ silent ─────┴▶ out ─ announced ─┐
 *              └────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Invariants:
 * - PS1 Versions strictly rise; each view has at most one worker of a name, in order of names.
 * - PS2 A worker at whose subject nobody listens is out with the ping that finds it so, one that is silent after `deadMs`.
 * - PS3 Who announces itself and answers pings gets into the view and stays there; who has left or was replaced never does.
 * - PS4 A name changes hands only when its holder leaves, is dead, or is found absent: never while it answers.
 * - PS5 What it remembers is bounded, whatever it is told.
 * - PS7 Who does not understand everybody in the view is not let in; who is there already stays.
 * - PS6 What is late or doubled shows nothing: only a fresh announcement of one that has answered this service, and the answer
 *   to a ping of the last `suspectMs`, are signs of life (`freshness.ts`).
 */
import { isSameEntry, isSoundEntry } from './announcement.ts';
import { Applicants, Departed, type Present } from './departed-workers.ts';
import { Freshness } from './freshness.ts';
import type { PlacementLimits } from './limits.ts';
import { SteadyClock } from './steady-clock.ts';
import { areCompatible, isSameView, type Pin, protocolOf, type View, type WorkerEntry } from './view.ts';

export type ServiceAction =
  | { readonly kind: 'publish'; readonly view: View }
  | { readonly kind: 'ping'; readonly id: string; readonly mark: PingMark };

/** Which ping: its answer has it. */
export interface PingMark {
  readonly term: number;
  /** Steady time of this service. */
  readonly at: number;
}

/** A worker that answers here, and whom somebody else goes on finding absent. */
export interface Dispute {
  readonly name: string;
  readonly id: string;
  /** Who told it last: the id of a worker or a client. */
  readonly by: string;
}

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
  /** Of its announcements; undefined: adopted from the view, and has not answered this service yet (PS6). */
  freshness: Freshness | undefined;
  /** Since when, when last and by whom it was told to be absent, while it answers. */
  reported: { readonly since: number; readonly at: number; readonly by: string } | undefined;
}

/** Reports of absence that come with longer pauses are not of one cut, ms. */
const reportGapMs = 10_000;
/** A worker that was told to be absent for this long and answers is disputed, ms: a reconnection takes less. */
const disputedMs = 2_000;
/** Workers that have left in order within this are left out by one view, ms. */
const leftMs = 250;
/** Workers that were lost within this were lost together, ms. */
const lostMs = 6_000;

export class PlacementService {
  readonly #term: number;
  readonly #partitions: number;
  readonly #limits: PlacementLimits;
  readonly #clock: SteadyClock;
  readonly #members = new Map<string, Member>();
  /** Name → id. */
  readonly #names = new Map<string, string>();
  readonly #departed: Departed;
  readonly #applicants: Applicants;
  /** When each of those that were lost just now was. */
  #lost: number[] = [];
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
    this.#applicants = new Applicants(limits);
    this.#pins = sortedPins(pins);
    const known = (view?.version ?? 0) - term * viewsPerTerm;
    this.#count = known < viewsPerTerm ? Math.max(0, known) : 0;
    for (const entry of view?.workers ?? []) this.#adopt(entry);
    this.#unasked = [...this.#members.keys()];
    if (view !== undefined) this.#publishAt = 0;
    // There is a view that it has not seen: an empty one would take everything from everybody.
    this.#silentUntil = view === undefined && term > 1 ? limits.suspectMs : 0;
  }

  get term(): number {
    return this.#term;
  }

  /** A worker announces itself: new, changed, or just to be heard. `sent`: its stamp. */
  announced(entry: WorkerEntry, sent: number, now: number): ServiceAction[] {
    const time = this.#step(now);
    if (!this.#isWelcome(entry)) return this.#due();
    const member = this.#members.get(entry.id);
    if (member !== undefined) {
      if (member.freshness?.hear(sent, time, this.#limits.suspectMs) === true) {
        this.#heard(member);
        this.#change(member, entry);
      }
      return this.#due();
    }
    const pings = this.#applicants.ask(entry, time) ? [this.#pingTo(entry.id)] : [];
    // Another process has the name: it was restarted, or it is the paused one that was replaced and wakes (which a service
    // that has just taken over cannot know). So the present holder is asked, not believed dead.
    const holder = this.#members.get(this.#names.get(entry.name) ?? '');
    return [...pings, ...(holder === undefined ? [] : this.#ping(holder)), ...this.#due()];
  }

  /** Somebody found that nobody listens at a worker's subject: the worker `by`, or (empty) a client, which may say anything. */
  absent(id: string, by: string, now: number): ServiceAction[] {
    const time = this.#step(now);
    const member = this.#members.get(id);
    if (member === undefined) return this.#due();
    if (by !== '') this.#noteReport(member, by, time);
    return [...this.#ping(member), ...this.#due()];
  }

  #noteReport(member: Member, by: string, time: number): void {
    const before = member.reported;
    const since = before !== undefined && time < before.at + reportGapMs ? before.since : time;
    member.reported = { since, at: time, by };
  }

  /** Who answers here, and is told to be absent by others, all the time: they are cut off from each other. */
  get disputes(): Dispute[] {
    const { time } = this.#clock;
    const isDisputed = ({ heardAt, reported }: Member) =>
      reported !== undefined &&
      time < reported.at + reportGapMs &&
      reported.at >= reported.since + disputedMs &&
      heardAt > reported.since;
    return [...this.#members.values()]
      .filter(isDisputed)
      .map(({ entry: { name, id }, reported }) => ({ name, id, by: reported?.by ?? '' }));
  }

  /**
   * Whether more workers were lost just now, at once, than are left: perhaps it is this one that is cut off, with few others.
   * Only once for each loss.
   */
  takeMinority(): boolean {
    const since = this.#clock.time - lostMs;
    this.#lost = this.#lost.filter((at) => at >= since);
    if (this.#lost.length <= this.#members.size) return false;
    this.#lost = [];
    return true;
  }

  /** Whether a process never gets into the view again: it has left, or was replaced, perhaps while it hung and heard nothing. */
  isOut(id: string): boolean {
    return this.#departed.isForEver(id);
  }

  /** A worker answered a ping. `sent`: its stamp, as of an announcement. */
  ponged(id: string, { term, at }: PingMark, sent: number, now: number): ServiceAction[] {
    const time = this.#step(now);
    if (term !== this.#term || at > time || time > at + this.#limits.suspectMs) return this.#due();
    const member = this.#members.get(id);
    if (member !== undefined) {
      member.freshness ??= new Freshness();
      member.freshness.prove(sent, time);
      this.#heard(member);
    } else this.#applied(id, sent);
    return this.#due();
  }

  /** An applicant is there. */
  #applied(id: string, sent: number): void {
    const present = this.#applicants.answered(id, sent, this.#clock.time);
    if (present === undefined || this.#departed.isForEver(id) || !this.#isUnderstood(present.entry)) return;
    const holder = this.#members.get(this.#names.get(present.entry.name) ?? '');
    if (holder?.entry.isLeaving === true) this.#remove(holder.entry.id, 'never again');
    else if (holder === undefined && this.#hasRoom) this.#admit(present);
  }

  /** Nobody listens where a worker was pinged: it has crashed, and is out at once. */
  pingAbsent(id: string, now: number): ServiceAction[] {
    this.#step(now);
    this.#applicants.delete(id);
    this.#remove(id, 'may return');
    return this.#due();
  }

  /** A worker has handed everything off and ends. */
  gone(id: string, now: number): ServiceAction[] {
    this.#step(now);
    this.#applicants.delete(id);
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
      this.#applicants.forget(time);
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
    const isWelcome = isSound && isItself && hasRoom && this.#isUnderstood(entry);
    if (!isWelcome) this.refusedCount += 1;
    return isWelcome && !this.#departed.isForEver(entry.id);
  }

  /** By everybody but the one whose name it would take over (PS7). */
  #isUnderstood(entry: WorkerEntry): boolean {
    if (this.#members.has(entry.id)) return true;
    return [...this.#members.values()].every(
      (member) => member.entry.name === entry.name || areCompatible(protocolOf(member.entry), protocolOf(entry)),
    );
  }

  #admit({ entry, sent }: Present): void {
    const member = this.#adopt(entry);
    member.freshness = new Freshness();
    member.freshness.prove(sent, this.#clock.time);
    this.#applicants.delete(entry.id);
    this.#departed.admit(entry);
  }

  #adopt(entry: WorkerEntry): Member {
    const heardAt = this.#clock.time;
    const member: Member = { entry, heardAt, pingedAt: undefined, freshness: undefined, reported: undefined };
    this.#members.set(entry.id, member);
    this.#names.set(entry.name, entry.id);
    this.#publishBy(this.#limits.gatherMs);
    return member;
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

  #pingMember(id: string): ServiceAction[] {
    const member = this.#members.get(id);
    return member === undefined ? [] : this.#ping(member);
  }

  #ping(member: Member): ServiceAction[] {
    const { time } = this.#clock;
    if (member.pingedAt !== undefined && time < member.pingedAt + this.#limits.pingMs) return [];
    member.pingedAt = time;
    return [this.#pingTo(member.entry.id)];
  }

  #pingTo(id: string): ServiceAction {
    return { kind: 'ping', id, mark: { term: this.#term, at: this.#clock.time } };
  }

  #remove(id: string, whether: 'may return' | 'never again'): void {
    const member = this.#members.get(id);
    if (member === undefined) {
      if (whether === 'never again') this.#departed.leave(id);
      return;
    }
    const { time } = this.#clock;
    // Others may have been let in since it announced itself.
    const heir = this.#applicants.heirOf(member.entry.name, time, (entry) => this.#isUnderstood(entry));
    this.#members.delete(id);
    this.#names.delete(member.entry.name);
    this.#departed.add(member.entry, heir !== undefined || whether === 'never again', time);
    if (heir !== undefined) this.#admit(heir);
    else if (whether === 'may return' && member.freshness !== undefined) this.#lost.push(time);
    // Who has left has nothing that anybody waits for, and often others leave with it: one view is told of all of them.
    this.#publishBy(member.entry.isLeaving && whether === 'never again' && heir === undefined ? leftMs : 0);
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

function sortedPins(pins: readonly Pin[]): Pin[] {
  return [...pins].sort((one, other) => (one.address < other.address ? -1 : 1));
}
