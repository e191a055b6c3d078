/**
 * The placement service: one of the workers hears all the others, decides which are alive, and publishes views.
 *
 * A pure state machine: events with `now` in, actions out; `runtime/cluster/placement-host.ts` drives it. It protects no data:
 * two services at once, or a wrong one, cost time and never data, because the store decides ownership. `election.ts` decides
 * which worker runs it. Longer than 400 lines because all its events change one list.
 *
 *     announced, pinged ─ answers ─▶ in the view ─┬─ says that it leaves ─▶ leaving ─ has gone ─▶ out for ever
 *              ▲                                  ├─ a ping finds nobody ───────────┐
 *              │                                  └─ silent ─▶ pinged ─ silent ─────┴▶ out ─ announced ─┐
 *              └────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Invariants:
 * - PS1 Versions are strictly ascending. A view has at most one worker of a name, in order of names.
 * - PS2 A worker without a listener is removed by the ping that finds it so, a silent one after `deadMs`.
 * - PS3 A worker that announces itself and answers pings joins the view and stays. One that left or was replaced never returns.
 * - PS4 A name changes hands only when its holder leaves, is dead or is found absent; never while it answers.
 * - PS5 Its memory is bounded, whatever messages it gets.
 * - PS7 A worker that has no protocol version in common with every worker of the view is not admitted. One in the view stays.
 * - PS6 A late or duplicated message proves nothing. Only a fresh announcement of a worker that has answered this service, and
 *   an answer to a ping of the last `suspectMs`, are signs of life (`freshness.ts`).
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

/** Identifies a ping; its answer repeats it. */
export interface PingMark {
  readonly term: number;
  /** Steady time of this service. */
  readonly at: number;
}

/** A worker that answers here while another process keeps finding it absent. */
export interface Dispute {
  readonly name: string;
  readonly id: string;
  /** The last reporter: the id of a worker or a client. */
  readonly by: string;
}

export interface ServiceParts {
  /** Term of its lease. */
  readonly term: number;
  readonly partitions: number;
  /** The last known view. Its workers stay until they prove to be dead. */
  readonly view: View | undefined;
  readonly pins: readonly Pin[];
  readonly limits: PlacementLimits;
  readonly now: number;
}

/** Views per term. */
export const viewsPerTerm = 2 ** 20;

interface Member {
  entry: WorkerEntry;
  heardAt: number;
  /** Undefined: no ping is unanswered. */
  pingedAt: number | undefined;
  /** Freshness of its announcements; undefined: adopted from the view, and has not answered this service yet (PS6). */
  freshness: Freshness | undefined;
  /** Absence reports while it answers: the first, the last, and the reporter. */
  reported: { readonly since: number; readonly at: number; readonly by: string } | undefined;
}

/** Absence reports with longer pauses do not belong to one split, ms. */
const reportGapMs = 10_000;
/** A worker that answers although it was reported absent for this long is disputed, ms. A reconnection takes less. */
const disputedMs = 2_000;
/** Workers that leave in order within this time are removed by one view, ms. */
const leftMs = 250;
/** Workers lost within this time count as lost together, ms. */
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
  /** When each recently lost worker was lost. */
  #lost: number[] = [];
  #pins: readonly Pin[];
  /** The last published view. */
  #view: View | undefined;
  #count: number;
  /** All in steady time. */
  #publishAt = Number.POSITIVE_INFINITY;
  #publishedAt = 0;
  #checkedAt = 0;
  readonly #silentUntil: number;
  /** Workers adopted from the known view that have not been pinged yet. */
  #unasked: string[] = [];
  /** Number of announcements that were invalid or too many. */
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
    // A view exists that this service has not seen. Publishing an empty one would take everything from everybody.
    this.#silentUntil = view === undefined && term > 1 ? limits.suspectMs : 0;
  }

  get term(): number {
    return this.#term;
  }

  /** A worker announces itself: new, changed, or as a sign of life. `sent`: its stamp. */
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
    // Another process has the name: the worker was restarted, or it is a paused, replaced one that has resumed (which a service
    // that has just taken over cannot know). So the current holder is pinged, not presumed dead.
    const holder = this.#members.get(this.#names.get(entry.name) ?? '');
    return [...pings, ...(holder === undefined ? [] : this.#ping(holder)), ...this.#due()];
  }

  /** A report that a worker's subject has no listener, by the worker `by` or (empty) by a client, which is not trusted. */
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

  /** Workers that answer here while others keep reporting them absent: they are cut off from each other. */
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
   * Whether more workers were lost just now, at once, than are left. Then this service may be the one that is cut off, with a
   * minority. True once for each loss.
   */
  takeMinority(): boolean {
    const since = this.#clock.time - lostMs;
    this.#lost = this.#lost.filter((at) => at >= since);
    if (this.#lost.length <= this.#members.size) return false;
    this.#lost = [];
    return true;
  }

  /** Whether a process may never join again: it has left, or was replaced, perhaps while it was paused. */
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

  /** An applicant has answered. */
  #applied(id: string, sent: number): void {
    const present = this.#applicants.answered(id, sent, this.#clock.time);
    if (present === undefined || this.#departed.isForEver(id) || !this.#isUnderstood(present.entry)) return;
    const holder = this.#members.get(this.#names.get(present.entry.name) ?? '');
    if (holder?.entry.isLeaving === true) this.#remove(holder.entry.id, 'never again');
    else if (holder === undefined && this.#hasRoom) this.#admit(present);
  }

  /** A pinged worker has no listener: it has crashed and is removed at once. */
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

  /** All pins as they are in the store now. */
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

  /** Another view of this term was reported: a store that lost commits has given the term twice (P8). The next view is above it. */
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

  /** Call at `nextTickAt`. */
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

  /** Whether an announcement is considered at all. Each id has one name. */
  #isWelcome(entry: WorkerEntry): boolean {
    const isSound = isSoundEntry(entry, this.#limits);
    const member = isSound ? this.#members.get(entry.id) : undefined;
    const isItself = member === undefined || member.entry.name === entry.name;
    const hasRoom = member !== undefined || this.#hasRoom || this.#names.has(entry.name);
    const isWelcome = isSound && isItself && hasRoom && this.#isUnderstood(entry);
    if (!isWelcome) this.refusedCount += 1;
    return isWelcome && !this.#departed.isForEver(entry.id);
  }

  /** Whether it has a protocol version in common with every worker except the one whose name it would take over (PS7). */
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

  /** A leaving worker does not change its mind: a late earlier announcement must not keep it. */
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
    // Others may have been admitted since it announced itself.
    const heir = this.#applicants.heirOf(member.entry.name, time, (entry) => this.#isUnderstood(entry));
    this.#members.delete(id);
    this.#names.delete(member.entry.name);
    this.#departed.add(member.entry, heir !== undefined || whether === 'never again', time);
    if (heir !== undefined) this.#admit(heir);
    else if (whether === 'may return' && member.freshness !== undefined) this.#lost.push(time);
    // Nothing waits for a worker that has left, and often several leave together: one view reports all of them.
    this.#publishBy(member.entry.isLeaving && whether === 'never again' && heir === undefined ? leftMs : 0);
  }

  #publishBy(ms: number): void {
    this.#publishAt = Math.min(this.#publishAt, this.#clock.time + ms);
  }

  /** The view, if it has changed and is due, or if it was last published long ago. */
  #due(): ServiceAction[] {
    const { time } = this.#clock;
    if (time >= this.#publishAt && time >= this.#silentUntil) return this.#publish();
    const isOld = this.#view !== undefined && time >= this.#publishedAt + this.#limits.republishMs;
    if (!isOld || this.#view === undefined) return [];
    this.#publishedAt = time;
    return [{ kind: 'publish', view: this.#view }];
  }

  /** A term whose numbers are used up stops publishing, so that another service takes over with the next term. */
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
