/**
 * Acquisition: the partitions that this worker should own, and how it acquires them from their current owners.
 *
 *     foreign ─ the view gives it to this worker ─▶ sought (everybody) ─ nobody has it, or no answer ───────────▶ claiming
 *        ▲                                             └─ kept by one ─ its turn comes ─▶ wanted ─ released ─▶ store ─▶ fetched ─▶ owned
 *        └────────────── released to who wants and has it by a view that is not older ◀─────────────────────────────┘
 *
 * The current owner keeps and runs a partition until the new owner wants it. The new owner takes many partitions a share at a
 * time, so that each pauses for its own handoff and not for the whole move. Messages that arrive meanwhile are forwarded.
 *
 * Owns the messages that wait for an incoming partition, and forwards messages that belong elsewhere. The view says who
 * should own a partition; the store says who does. Two views, a cut network or a paused process cost time and never make two
 * histories.
 *
 * Longer than 400 lines because an incoming partition is one state machine, whatever event advances it.
 *
 * Invariants:
 * - TY1 A partition is used only after its claim, by the epoch that the claim gave.
 * - TY2 Entities from another worker's memory are used only if nobody owned the partition between its release and this claim,
 *   and the store holds exactly what it held then (S10). It may have lost commits in between (P8).
 * - TY3 Messages that wait for a partition, or are forwarded, keep their order (P6) and are bounded (P12).
 * - TY4 A worker that is not in the view owns nothing. Others claim its partitions; it would learn of that only from rejected
 *   commits, one partition at a time, and meanwhile its entities' timers would not run.
 * - TY5 Partitions of another worker are requested a share at a time. Until then they run there, and messages for them are
 *   forwarded there.
 * - TY6 A worker that is cut off from the service owns nothing and claims nothing until it hears the service again. Otherwise
 *   both sides would claim from each other for as long as the cut lasts.
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
  readonly sendControl: (id: string, message: ControlMessage) => void;
  /** Forwards a message by the view, or to the worker that still has the partition. */
  readonly forward: (envelope: Forwarded, hops: number, to?: string) => void;
  /** Called when this worker owns every partition that the view assigns to it. */
  readonly settled: () => void;
  /** Most bytes of one control message. */
  readonly signalBytesMax: () => number;
}

type Released = Extract<ControlMessage, { kind: 'released' }>;

/** Pause before an unanswered request is repeated, ms. */
const askAgainMs = 100;
/** Interval at which a worker that keeps a partition is asked whether it still does, ms. */
const keptAskMs = 500;
/** Maximum wait for a worker that does not answer or does not finish, ms. */
const patienceMs = 2_000;
/** Maximum time until an answer arrives that the other worker can give at once, ms. */
const graceMs = 500;
/** Time within which a worker that lost a partition to an unused claim detects that and claims again, ms. */
const unusedMs = 10_000;

export class Acquisition {
  readonly #parts: AcquisitionParts;
  #placement: Placement | undefined;
  readonly #coming = new Map<Partition, Incoming>();
  readonly #pace: HandoffPace<Incoming>;
  /** The other direction: partitions handed off. */
  readonly outgoing: Outgoing;
  /** Fetches the images of claimed partitions from other workers. */
  readonly fetching: ImageFetching;
  #toClaim: Incoming[] = [];
  /** Bytes of the messages that wait for incoming partitions. */
  #waitingCount = 0;
  #waitingBytes = 0;
  #isTicking = false;
  #isClosed = false;
  #isApart = false;
  #askCount = 0;
  #resting = new Set<Partition>();
  /** Claims by which nothing runs here, and the time by which another claim is expected after each. */
  readonly #unused = new Map<Partition, { readonly epoch: Epoch; readonly until: number }>();
  /** Workers of all views since the first incoming partition, by id. */
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

  /** Whether this worker owns every partition that the view assigns to it. */
  get isSettled(): boolean {
    return this.#placement !== undefined && !this.#isApart && this.#coming.size === 0 && this.#resting.size === 0;
  }

  /** Incoming partitions. */
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

  /** Another worker fetches images by its own claims. */
  asked(message: Extract<ControlMessage, { kind: 'fetch' }>): void {
    for (const [index, partition] of message.partitions.entries())
      if ((this.#unused.get(partition)?.epoch ?? 0) < (message.epochs[index] ?? 0)) this.#unused.delete(partition);
    this.outgoing.fetched(message);
  }

  close(): void {
    this.#isClosed = true;
    this.#coming.clear();
    this.fetching.close();
    this.outgoing.close();
  }

  // ---- the view

  /** `regrouped`: partitions that entities have left or entered. */
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

  /** Whether its claim is in flight. Its state is decided when the store has answered. */
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
    this.#parts.sendControl(id, { kind, id: this.#parts.id, view: this.#placement.view, partitions, ask });
  }

  /** The partition belongs to another worker now. Messages that waited for it are forwarded. */
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

  // ---- messages for partitions that this worker does not own

  astray(envelope: Forwarded, partition: Partition, hops: number): void {
    if (this.#isClosed) return;
    const coming = this.#coming.get(partition);
    if (coming === undefined && !this.#isMine(partition)) {
      // This worker is handing the partition off, and its view names no other worker yet: the sender will retry.
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

  // ---- acquiring

  /** The worker is absent, so it has nothing to release. */
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

  /** Requests the next share of partitions that others keep. They stop running it, so it has to arrive soon. */
  #want(): void {
    const share = this.#pace.begin([...this.#coming.values()].filter(isKept));
    for (const coming of share) want(coming, this.#askCount + 1, this.#parts.environment.steady());
    this.#askAgain(share);
  }

  released(message: Released): void {
    const { id, ask, partition } = message;
    const coming = this.#coming.get(partition);
    // From another worker, or late after an earlier request: the present owner has not been asked for it yet.
    if (coming?.state.kind !== 'wanted' || ask < coming.state.ask || !coming.asked.has(id)) return;
    if (!takeIn(coming.state, message)) return;
    // The sender was the owner. The claim will show whether another worker had it too.
    coming.asked.clear();
    this.#advance();
  }

  /** Claims the partitions that nobody owns any more, repeats requests for the others, and runs again while there are any. */
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

  /** The worker does not hand off what it was asked for. Its other partitions are not waited for either, as each would take as long. */
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
    // Other partitions that become free in this tick are claimed with it.
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
        // A later view may assign them to others by now.
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

  /** Reports a loss that happened while nobody owned the partition: no other process would detect it (LR2). */
  #checkHistory(claim: Claim): void {
    const { partition, epoch } = claim;
    const coming = this.#coming.get(partition);
    const released = coming === undefined ? undefined : releasedOf(coming);
    const commits = released === undefined ? undefined : forgottenSince(claim, released);
    if (commits !== undefined) this.#parts.worker().forgotten({ partition, epoch, commits });
  }

  /** Whether this worker has claimed the partition by that epoch and does not run it yet. */
  isComing(partition: Partition, epoch: Epoch): boolean {
    const coming = this.#coming.get(partition);
    return coming !== undefined && epochOf(coming) === epoch;
  }

  #fetch(id: string, wants: readonly Want[], ask: number): void {
    if (this.#placement === undefined) return;
    const isBegun = wants.some(({ batch }) => batch > 0);
    this.#parts.sendControl(id, {
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

  /** The claim succeeded, and all images from other workers are here. */
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
    // A pin may have raised the epoch meanwhile, and volatile entities have no commit that would show it.
    if (answered.size > 0) worker().ownership.verify([partition]);
    for (const { envelope, hops } of waiting) worker().intake.receive(envelope, hops);
    this.resume(partition);
    this.#pace.end(coming);
  }

  /** Wakes the entities of an acquired partition that are due, however often the store fails. */
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

  /** The store says that another worker owns the partition. If the view still assigns it to this one, it claims again after a pause. */
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
