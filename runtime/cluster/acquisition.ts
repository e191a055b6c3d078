/**
 * Tenancy: which partitions this worker should have, and how it gets them from whoever has them.
 *
 *     foreign ─ the view gives it to this worker ─▶ sought (everybody) ─ nobody has it, or no answer ───────────▶ claiming
 *        ▲                                             └─ kept by one ─ its turn comes ─▶ wanted ─ released ─▶ store ─▶ fetched ─▶ owned
 *        └────────────── released to who wants and has it by a view that is not older ◀─────────────────────────────┘
 *
 * Who has a partition keeps it, and runs it, until the new owner wants it: of many partitions a share at a time, so that each
 * pauses for its own handoff and not for that of all. What comes for it meanwhile is sent there.
 *
 * Owns what waits for a partition that is coming, and sends on what belongs elsewhere. The view says who should have a
 * partition, the store who has it: two views, a cut network or a paused process cost time and never make two histories.
 *
 * Longer than 400 lines because a partition on its way here is one state machine, whoever moves it on.
 *
 * Invariants:
 * - TY1 A partition is used only after its claim, by the epoch that the claim gave.
 * - TY2 What another worker had in memory is used only if nobody had the partition between its release and this claim, and
 *   the store has exactly what it had then (S10): it may have come back with less (P8).
 * - TY3 What waits for a partition, and what is sent on, keeps its order (P6), and there is a bound on it (P12).
 * - TY4 Who is not in the view has nothing: the others claim what it had, and it would find that out piece by piece, from
 *   commits that are refused, and meanwhile let rest what its entities have to do.
 * - TY5 What another worker has is wanted a share at a time, and until then goes on there: what comes for it is sent there.
 * - TY6 Who is cut off from the service has nothing and claims nothing until it hears it: else both sides would claim from
 *   each other for as long as the cut lasts.
 */
import type { Limits } from '../../core/limits.ts';
import type { Placement } from '../../placement/placement.ts';
import { isYoung, sizeOf } from '../entity/mailbox.ts';
import { type Environment, momentOf } from '../environment.ts';
import type { Counter, Counters } from '../meter.ts';
import type { Claim, Epoch, Partition, Store } from '../store.ts';
import type { ControlMessage } from '../wire/control-messages.ts';
import type { Forwarded } from '../worker/handoff.ts';
import type { Worker } from '../worker/worker.ts';
import { HandoffPace } from './handoff-pace.ts';
import { ImageFetching, type Want } from './image-fetching.ts';
import type { Fetched } from './image-unloading.ts';
import {
  type Asked,
  asksOf,
  cancelClaim,
  concludeClaim,
  epochOf,
  forgottenSince,
  type Incoming,
  isAsReleased,
  isClaimed,
  isKept,
  isNotAt,
  keeperOf,
  releasedOf,
  startClaim,
  takeIn,
  want,
} from './incoming.ts';
import { Outgoing } from './outgoing.ts';

export interface AcquisitionParts {
  readonly id: string;
  readonly name: string;
  readonly environment: Environment;
  readonly limits: Limits;
  readonly store: Store;
  readonly counters: Counters;
  readonly worker: () => Worker;
  /** To another worker, by its id. */
  readonly signal: (id: string, signal: ControlMessage) => void;
  /** Send on to whom the view gives it, or to who has it still. */
  readonly forward: (envelope: Forwarded, hops: number, to?: string) => void;
  /** Everything that the view gives to this worker is its own. */
  readonly settled: () => void;
  /** Bytes that one signal may have. */
  readonly signalBytesMax: () => number;
}

type Released = Extract<ControlMessage, { kind: 'released' }>;

/** Asked again for what was not answered after this, ms. */
const askAgainMs = 100;
/** Whether somebody who keeps a partition until it is wanted still does is asked this often, ms. */
const keptAskMs = 500;
/** Whoever does not answer, or does not finish, for this long is not waited for any longer, ms. */
const patienceMs = 2_000;
/** So long it takes, at most, until something comes that need not be waited for at the other end, ms. */
const graceMs = 500;
/** Whoever has lost a partition to a claim that nobody uses finds that out, and claims it again, within this, ms. */
const unusedMs = 10_000;

export class Acquisition {
  readonly #parts: AcquisitionParts;
  #placement: Placement | undefined;
  readonly #coming = new Map<Partition, Incoming>();
  readonly #pace: HandoffPace<Incoming>;
  /** The other side of it. */
  readonly outgoing: Outgoing;
  /** What others have in memory of what was claimed. */
  readonly fetching: ImageFetching;
  #toClaim: Incoming[] = [];
  /** Of what waits for partitions that are coming. */
  #waitingCount = 0;
  #waitingBytes = 0;
  #isTicking = false;
  #isClosed = false;
  #isApart = false;
  #askCount = 0;
  #resting = new Set<Partition>();
  /** Claims by which nothing runs here, and until when somebody is expected to claim after them. */
  readonly #unused = new Map<Partition, { readonly epoch: Epoch; readonly until: number }>();
  /** By id, workers of the views since something began to come. */
  readonly #names = new Map<string, string>();
  readonly #moved: Counter;

  constructor(parts: AcquisitionParts) {
    this.#parts = parts;
    this.#moved = parts.counters.of('moved');
    this.#pace = new HandoffPace(parts.environment, () => this.#want());
    this.outgoing = new Outgoing({
      ...parts,
      workerOf: (partition) => this.#placement?.workerOf(partition)?.id,
      viewVersion: () => this.#placement?.view.version ?? 0,
    });
    this.fetching = new ImageFetching({
      ...parts,
      others: () => this.#others,
      ask: (id, wants, ask) => this.#fetch(id, wants, ask),
      isWanted: () => parts.worker().hostsVolatile,
      fetched: (all) => this.#fetched(all),
    });
  }

  /** Whether everything that the view gives to this worker is its own. */
  get isSettled(): boolean {
    return this.#placement !== undefined && !this.#isApart && this.#coming.size === 0 && this.#resting.size === 0;
  }

  /** Partitions on their way to this worker. */
  get coming(): Partition[] {
    return [...this.#coming.keys()];
  }

  /**
   * Whether others may still ask what became of a claim of this worker: once it is gone they would take it for the last one that ran
   * what is only in memory (CA2).
   */
  get isOwing(): boolean {
    if (this.fetching.isOwing) return true;
    this.#sweep();
    if (this.#others.length === 0 || !this.#parts.worker().hostsVolatile) return false;
    return this.#unused.size > 0 || [...this.#coming.values()].some((coming) => this.#isAtStore(coming));
  }

  #sweep(): void {
    const now = this.#parts.environment.steady();
    for (const [partition, { until }] of this.#unused) if (until <= now) this.#unused.delete(partition);
  }

  /** Somebody asks by claims of its own. */
  asked(signal: Extract<ControlMessage, { kind: 'fetch' }>): void {
    for (const [index, partition] of signal.partitions.entries())
      if ((this.#unused.get(partition)?.epoch ?? 0) < (signal.epochs[index] ?? 0)) this.#unused.delete(partition);
    this.outgoing.fetched(signal);
  }

  close(): void {
    this.#isClosed = true;
    this.#coming.clear();
    this.fetching.close();
    this.outgoing.close();
  }

  // ---- the view

  /** `regrouped`: partitions of which entities belong to others than before, or came to belong to them. */
  follow(placement: Placement, regrouped: readonly Partition[] | 'all' = []): void {
    if (this.#isClosed) return;
    this.#placement = placement;
    this.#sweep();
    if (this.#coming.size === 0) this.#names.clear();
    for (const { id, name } of placement.view.workers) this.#names.set(id, name);
    if (!placement.view.workers.some(({ id }) => id === this.#parts.id)) this.#parts.worker().forsake();
    for (const coming of [...this.#coming.values()])
      if (!this.#isMine(coming.partition) && !this.#isAtStore(coming)) this.#abandon(coming);
    this.fetching.follow(regrouped);
    this.#seek(placement.partitionsOf(this.#parts.name));
    this.#want();
  }

  /** This worker is cut off from the service (TY6). */
  part(): void {
    this.#isApart = true;
    for (const coming of [...this.#coming.values()]) if (!this.#isAtStore(coming)) this.#abandon(coming);
    this.#parts.worker().forsake();
  }

  /** It hears the service again. */
  join(): void {
    this.#isApart = false;
    if (this.#placement !== undefined) this.follow(this.#placement);
  }

  #isMine(partition: Partition): boolean {
    return !this.#isApart && this.#placement?.workerOf(partition)?.id === this.#parts.id;
  }

  /** Whether its claim is under way: what becomes of it is decided when the store has answered. */
  #isAtStore(coming: Incoming): boolean {
    return isClaimed(coming) && !this.fetching.has(coming.partition);
  }

  get #others(): string[] {
    return (this.#placement?.view.workers ?? []).map(({ id }) => id).filter((id) => id !== this.#parts.id);
  }

  #seek(partitions: readonly Partition[]): void {
    const wanted = partitions.filter(
      (partition) => this.#isMine(partition) && !this.#parts.worker().has(partition) && !this.#coming.has(partition),
    );
    if (wanted.length === 0 || this.#placement === undefined) return;
    const others = this.#others;
    const now = this.#parts.environment.steady();
    for (const partition of wanted) {
      this.#coming.set(partition, {
        partition,
        asked: new Set(others),
        state: { kind: 'sought' },
        soughtBy: this.#askCount + 1,
        since: now,
        askedAt: now,
        waiting: [],
      });
    }
    for (const id of others) this.#ask('seek', id, wanted);
    this.#advance();
  }

  #ask(kind: Asked['kind'], id: string, partitions: readonly Partition[]): void {
    if (this.#placement === undefined) return;
    this.#askCount += 1;
    const ask = this.#askCount;
    this.#parts.signal(id, { kind, id: this.#parts.id, view: this.#placement.view, partitions, ask });
  }

  /** It belongs to somebody else now: so does what waited for it. */
  #abandon(coming: Incoming): void {
    const { partition } = coming;
    const epoch = epochOf(coming);
    this.#coming.delete(partition);
    this.fetching.abandon(partition);
    if (epoch !== undefined) this.#unused.set(partition, { epoch, until: this.#parts.environment.steady() + unusedMs });
    this.#sendOn(coming);
    this.#pace.end(coming);
  }

  #letGo(waiting: Incoming['waiting']): void {
    this.#waitingCount -= waiting.length;
    for (const { envelope } of waiting) this.#waitingBytes -= sizeOf(envelope);
  }

  #sendOn({ waiting }: Incoming, to?: string): void {
    this.#letGo(waiting);
    for (const { envelope, hops } of waiting.splice(0)) this.#parts.forward(envelope, hops, to);
  }

  // ---- what came for a partition that this worker does not have

  astray(envelope: Forwarded, partition: Partition, hops: number): void {
    if (this.#isClosed) return;
    const coming = this.#coming.get(partition);
    if (coming === undefined && !this.#isMine(partition)) {
      // Being given away by this worker while its view says nothing new: whoever sent it tries again.
      if (isYoung(envelope, this.#parts.environment.now())) this.#parts.forward(envelope, hops);
      return;
    }
    if (coming === undefined) this.#seek([partition]);
    const held = this.#coming.get(partition);
    if (held?.state.kind === 'kept') return this.#parts.forward(envelope, hops, held.state.by);
    const { workerQueueCountMax, workerQueueBytesMax } = this.#parts.limits;
    if (held === undefined || this.#waitingCount >= workerQueueCountMax || this.#waitingBytes >= workerQueueBytesMax)
      return;
    held.waiting.push({ envelope, hops });
    this.#waitingCount += 1;
    this.#waitingBytes += sizeOf(envelope);
  }

  // ---- getting

  /** Nobody listens at that worker: it has nothing to release. */
  absent(id: string): void {
    this.none(id, this.coming, this.#askCount);
    this.fetching.absent(id);
  }

  none(id: string, partitions: readonly Partition[], ask: number): void {
    for (const partition of partitions) {
      const coming = this.#coming.get(partition);
      if (coming === undefined || ask < coming.soughtBy) continue;
      isNotAt(coming, id);
    }
    this.#advance();
  }

  keeping(id: string, partitions: readonly Partition[], ask: number): void {
    for (const partition of partitions) {
      const coming = this.#coming.get(partition);
      if (coming === undefined || ask < coming.soughtBy || !coming.asked.has(id)) continue;
      if (coming.state.kind !== 'sought' && coming.state.kind !== 'kept') continue;
      coming.state = { kind: 'kept', by: id };
      this.#sendOn(coming, id);
    }
    this.#want();
  }

  /** Ask for the next share of what others keep: they run it no longer, and it has to come soon. */
  #want(): void {
    const share = this.#pace.begin([...this.#coming.values()].filter(isKept));
    for (const coming of share) want(coming, this.#askCount + 1, this.#parts.environment.steady());
    this.#askAgain(share);
  }

  released(signal: Released): void {
    const { id, ask, partition } = signal;
    const coming = this.#coming.get(partition);
    // From somebody else, or late after an earlier wish: whoever keeps it now has not been asked for it yet.
    if (coming?.state.kind !== 'wanted' || ask < coming.state.ask || !coming.asked.has(id)) return;
    if (!takeIn(coming.state, signal)) return;
    // It had it: of what others may believe to have the claim tells.
    coming.asked.clear();
    this.#advance();
  }

  /** Claim what nobody has any more, ask again for the rest, and come again while there is any. */
  #advance(): void {
    const { environment } = this.#parts;
    const now = environment.steady();
    const again: Incoming[] = [];
    for (const coming of this.#coming.values()) {
      if (isClaimed(coming)) continue;
      const isOver = now - coming.since >= patienceMs && !isKept(coming);
      const keeper = keeperOf(coming);
      if (isOver && keeper !== undefined) this.#giveUp(keeper, now - patienceMs + graceMs);
      if (coming.asked.size === 0 || isOver) this.#claimSoon(coming);
      else if (now - coming.askedAt >= (isKept(coming) ? keptAskMs : askAgainMs)) again.push(coming);
    }
    this.#askAgain(again);
    this.#want();
    if (this.#isTicking || this.#coming.size === 0) return;
    this.#isTicking = true;
    environment.after(askAgainMs, () => {
      this.#isTicking = false;
      if (!this.#isClosed) this.#advance();
    });
  }

  /** It does not hand over what it was asked for: nor will it the rest, for which it would take as long each time. */
  #giveUp(keeper: string, since: number): void {
    const rest = [...this.#coming.values()].filter((coming) => isKept(coming) && keeperOf(coming) === keeper);
    for (const coming of rest) want(coming, this.#askCount + 1, since);
    this.#askAgain(rest);
  }

  #askAgain(comings: readonly Incoming[]): void {
    const now = this.#parts.environment.steady();
    for (const coming of comings) coming.askedAt = now;
    for (const { kind, id, partitions } of asksOf(comings)) this.#ask(kind, id, partitions);
  }

  #claimSoon(coming: Incoming): void {
    startClaim(coming);
    this.#toClaim.push(coming);
    if (this.#toClaim.length > 1) return;
    // Whatever else becomes free in this tick is claimed with it.
    this.#parts.environment.soon(() => void this.#claim());
  }

  async #claim(): Promise<void> {
    const claiming = this.#toClaim;
    this.#toClaim = [];
    const { environment, store, name, limits } = this.#parts;
    const startedAt = momentOf(environment);
    let claims: Claim[];
    try {
      claims = await store.claim(
        claiming.map(({ partition }) => partition),
        name,
      );
    } catch (error) {
      environment.log.warn(
        { error: String(error), partitions: claiming.length },
        'claiming partitions failed; retrying',
      );
      environment.after(limits.retryMs, () => {
        for (const coming of claiming) cancelClaim(coming);
        // A view that came meanwhile may give them to others.
        for (const coming of claiming) if (!this.#isMine(coming.partition)) this.#abandon(coming);
        if (!this.#isClosed) this.#advance();
      });
      return;
    }
    if (this.#isClosed) return;
    const epochs = new Map(claims.map(({ partition, epoch }) => [partition, epoch]));
    for (const coming of claiming) concludeClaim(coming, startedAt, epochs.get(coming.partition));
    for (const claim of claims) this.#checkHistory(claim);
    const mine = claims.filter(({ partition }) => this.#isMine(partition));
    for (const coming of claiming) if (!this.#isMine(coming.partition)) this.#abandon(coming);
    if (mine.length > 0) this.fetching.begin(mine, (partition) => (this.#coming.get(partition)?.asked.size ?? 0) > 0);
    this.#want();
  }

  /** What the store has forgotten while nobody had the partition nobody else finds out (LR2). */
  #checkHistory(claim: Claim): void {
    const { partition, epoch } = claim;
    const coming = this.#coming.get(partition);
    const released = coming === undefined ? undefined : releasedOf(coming);
    const commits = released === undefined ? undefined : forgottenSince(claim, released);
    if (commits !== undefined) this.#parts.worker().forgotten({ partition, epoch, commits });
  }

  /** Whether this worker has claimed it by that epoch and does not run it yet. */
  isComing(partition: Partition, epoch: Epoch): boolean {
    const coming = this.#coming.get(partition);
    return coming !== undefined && epochOf(coming) === epoch;
  }

  #fetch(id: string, wants: readonly Want[], ask: number): void {
    if (this.#placement === undefined) return;
    const isBegun = wants.some(({ batch }) => batch > 0);
    this.#parts.signal(id, {
      kind: 'fetch',
      id: this.#parts.id,
      view: this.#placement.view,
      partitions: wants.map(({ partition }) => partition),
      epochs: wants.map(({ epoch }) => epoch),
      ask,
      batches: isBegun ? wants.map(({ batch }) => batch) : [],
      slices: isBegun ? wants.map(({ slice }) => slice) : [],
    });
  }

  /** What was claimed, and all that others have of it, is here. */
  #fetched(all: readonly Fetched[]): void {
    for (const fetched of all) this.#take(fetched);
    this.#want();
    if (this.isSettled) this.#parts.settled();
  }

  #take(fetched: Fetched): void {
    const { worker, id } = this.#parts;
    const { claim, offers, answered } = fetched;
    const { partition } = claim;
    const coming = this.#coming.get(partition);
    if (coming?.state.kind !== 'claimed') return;
    const { state, waiting } = coming;
    const { released } = state;
    this.#coming.delete(partition);
    this.#unused.delete(partition);
    this.#letGo(waiting);
    this.#moved.add();
    const warm = released !== undefined && isAsReleased(claim, released) ? released.warm : [];
    const ids = new Set([...answered, id]);
    const heard = { ids, names: new Set([...ids].map((one) => this.#names.get(one) ?? '')) };
    const left = worker().take(claim, state.at, { warm, offers, heard, released: released?.epoch });
    this.fetching.boarded(fetched, left);
    // A pin may have raised its epoch meanwhile, and of what is only in memory no commit would tell.
    if (answered.size > 0) worker().ownership.verify([partition]);
    for (const { envelope, hops } of waiting) worker().intake.receive(envelope, hops);
    this.resume(partition);
    this.#pace.end(coming);
  }

  /** Have what a partition that is here has to do by itself be done, however often the store fails. */
  resume(partition: Partition): void {
    const { environment, worker, limits } = this.#parts;
    if (this.#isClosed || !worker().has(partition)) return;
    worker()
      .resume(partition)
      .catch((error: unknown) => {
        environment.log.warn({ partition, error: String(error) }, 'reading the dates of a partition failed; retrying');
        environment.after(limits.retryMs, () => this.resume(partition));
      });
  }

  /** The store says that somebody else has it. If the view still gives it to this worker, it is claimed again, after a pause. */
  lost(partition: Partition): void {
    if (!this.#isMine(partition) || this.#resting.has(partition)) return;
    const { environment, limits } = this.#parts;
    this.#resting.add(partition);
    environment.after(Math.ceil(limits.retryMs * (0.25 + environment.random() / 4)), () => {
      this.#resting.delete(partition);
      if (!this.#isClosed && this.#isMine(partition)) this.#seek([partition]);
    });
  }
}
