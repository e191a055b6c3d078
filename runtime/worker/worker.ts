/**
 * A worker: hosts entities of the partitions that it owns. It composes the parts of a worker and of an entity, and runs their life.
 * Messages do not pass through it:
 *
 *     intake ─▶ dispatcher, mailbox ─▶ turns ─▶ batch ─▶ group commit ─▶ release ─▶ outlet, delivery, effects, dates
 *        ▲                                                    └─ failed ─▶ recovery: drop, try the requests again
 *        └── envelopes for entities whose partition the view gives to this worker; dates; effects that have settled
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { Limits } from '../../core/limits.ts';
import type { Address } from '../../core/message.ts';
import { CrashNotes } from '../entity/crash-notes.ts';
import { Delivery } from '../entity/delivery.ts';
import { Effects } from '../entity/effects.ts';
import type { Held } from '../entity/held.ts';
import { Ownership } from '../entity/ownership.ts';
import { Retention } from '../entity/retention.ts';
import { Schedule } from '../entity/schedule.ts';
import { StreamClosing } from '../entity/stream-closing.ts';
import { Turns } from '../entity/turns.ts';
import { WaitingCalls } from '../entity/waiting.ts';
import { type Environment, type Moment, momentOf } from '../environment.ts';
import { Counters } from '../meter.ts';
import type { Claim, Epoch, Loss, Partition, Store } from '../store.ts';
import type { Envelope, MessageEnvelope } from '../wire/envelope.ts';
import { Activations } from './activations.ts';
import type { Authorise } from './authorise.ts';
import { Dispatcher } from './dispatcher.ts';
import { GroupCommit } from './group-commit.ts';
import { type Arrived, type Forwarded, type Given, Handoff, nothingArrived } from './handoff.ts';
import { Hosting } from './hosting.ts';
import { Housekeeping } from './housekeeping.ts';
import type { Offer } from './image-format.ts';
import { Intake } from './intake.ts';
import { LossReport } from './loss-report.ts';
import { Outlet } from './outlet.ts';
import { Proofs } from './proofs.ts';
import { Recovery } from './recovery.ts';
import { Refusals } from './refusals.ts';
import { Release } from './release.ts';
import { briefly, ends, type Life, stillMs } from './shutdown.ts';
import { VolatileImages } from './volatile-images.ts';

export interface WorkerOptions {
  readonly name: string;
  readonly store: Store;
  readonly behaviours: readonly Behaviour[];
  readonly environment: Environment;
  readonly limits: Limits;
  readonly post: (envelope: Envelope) => void;
  /** Of the node that the worker is a part of. */
  readonly counters?: Counters;
  readonly authorise?: Authorise | undefined;
  /** The partition of an address by the current view; without it, the hash of the address. */
  readonly partitionOf?: (address: Address) => Partition;
  /** Called for an envelope whose partition this worker does not own. Without it the envelope is dropped (W1). */
  readonly astray?: (envelope: Forwarded, partition: Partition, hops: number) => void;
  /** Whether another worker hosts a type that this one does not: two versions of an application run side by side. */
  readonly isElsewhere?: (type: string) => boolean;
  /** Called when the store says that another worker owns the partition. */
  readonly lost?: (partition: Partition) => void;
  /** Whether this worker has claimed the partition by that epoch, and does not run it yet. */
  readonly isComing?: (partition: Partition, epoch: Epoch) => boolean;
}

const sweepMs = 1_000;
/** A smaller change of the clock is not a step, ms: clocks are corrected a little all the time. */
const setBackMsMin = 1_000;
const sweepSteps = 20_000;
/** A hand passes every activation at least once in this many sweeps. */
const sweepsARound = 16;

type Parts = ReturnType<typeof compose>;

/** The parts around entities: the ways in and out, dates, and bounds. */
function outerParts(options: WorkerOptions, life: Life) {
  const { name, environment, limits, store, counters = new Counters(environment.meter) } = options;
  const outlet = new Outlet(life, options.post);
  const { post } = outlet;
  const refusals = new Refusals({ environment, post });
  const losses = new LossReport(environment, name);
  const intake = new Intake({ ...options, life, refusals, counters });
  const recovery = new Recovery({ ...options, life, refusals, intake, losses });
  const ownership = new Ownership(store, environment, recovery.lost);
  const waiting = new WaitingCalls({ environment, limits, refusals });
  const images = new VolatileImages(environment, limits, { name, partitions: store.partitions });
  const dates = new Schedule(environment, intake.wake);
  const effects = new Effects({ environment, limits, settled: intake.settled });
  const dispatcher = new Dispatcher({ environment, limits, post });
  const release = new Release(life);
  const commits = new GroupCommit({
    store,
    environment,
    limits,
    counters,
    ownership,
    dates,
    release,
    recovery,
    dispatcher,
  });
  const proofs = new Proofs({ ownership, dispatcher, outlet, refusals });
  const ways = { counters, outlet, post, refusals, intake, recovery, losses };
  return {
    name,
    environment,
    limits,
    store,
    ...ways,
    ownership,
    waiting,
    images,
    dates,
    effects,
    dispatcher,
    release,
    commits,
    proofs,
  };
}

/**
 * Each part gets the parts that it uses when it is made. Four are made before those that they lead to, and are connected at the end:
 * intake, dispatcher, release, and recovery, which leads back to the intake.
 */
function compose(options: WorkerOptions, life: Life) {
  const outer = outerParts(options, life);
  const { dates, effects, dispatcher, release, outlet, proofs, losses } = outer;
  const { wakeBy } = dates;
  const { commitAlone } = outer.commits;
  const delivery = new Delivery({ ...outer, wakeBy, commit: commitAlone, noticed: losses.noticed });
  const closing = new StreamClosing({ ...outer, wakeBy, delivery });
  const retention = new Retention({ ...outer, wakeBy, forgotten: commitAlone });
  const housekeeping = new Housekeeping({ ...outer, delivery, closing, retention });
  const { ready } = housekeeping;
  const crashNotes = new CrashNotes({ ...outer, wakeBy, commitAlone, ready });
  const inner = { ...outer, delivery, closing, retention, housekeeping, crashNotes };
  const behaviours = new Map(options.behaviours.map((behaviour) => [behaviour.contract.type, behaviour]));
  const activations = new Activations({ ...inner, behaviours });
  const { readActivity } = activations;
  const turns = new Turns({ ...inner, wakeBy, readActivity });
  const hosting = new Hosting({ ...outer, activations, partitionOf: options.partitionOf });
  const handoff = new Handoff({ ...inner, life, activations, hosting });
  const parts = { ...inner, activations, turns, hosting, handoff };
  outer.intake.connect(parts);
  outer.recovery.connect(parts);
  dispatcher.connect(parts);
  const outputs = [dispatcher.admission, outlet, proofs, delivery, effects, housekeeping];
  release.connect([...outputs, dispatcher, crashNotes, retention]);
  return parts;
}

/** A worker in this process: the partitions that it owns, and the entities that it runs. */
export class Worker {
  readonly name: string;
  readonly #options: WorkerOptions;
  readonly #environment: Environment;
  /** @internal The partitions that it owns, with their epochs. */
  readonly ownership: Ownership;
  /** @internal Volatile entities between two stays in memory. */
  readonly images: VolatileImages;
  /** @internal */
  readonly intake: Intake;
  /** @internal */
  readonly hosting: Hosting;
  readonly #parts: Parts;
  /** The wall clock minus the monotonic clock, when last checked. */
  #clockAhead = Number.NEGATIVE_INFINITY;
  readonly #life: { -readonly [Part in keyof Life]: Life[Part] } = { isDraining: false, isStopped: false };
  #cancelSweep: (() => void) | undefined;

  /** @internal */
  constructor(options: WorkerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#environment = options.environment;
    this.#parts = compose(options, this.#life);
    ({ ownership: this.ownership, images: this.images, intake: this.intake, hosting: this.hosting } = this.#parts);
  }

  /** @internal A message of one of its entities does not fit into a frame. */
  unsendable(envelope: MessageEnvelope, bytes: number): void {
    const activation = this.#parts.activations.get(envelope.from);
    if (activation?.phase === 'ready') this.#parts.delivery.unsendable(activation, envelope, bytes);
  }

  // ---- life

  /** @internal Starts, with these partitions if any, and resumes their entities' own work. Resolves when it owns them. */
  async start(partitions: readonly Partition[]): Promise<void> {
    this.#checkClock();
    this.#cancelSweep = this.#environment.after(sweepMs, () => this.#sweep());
    await this.claim(partitions);
  }

  /** @internal Claims these and resumes their entities' own work. */
  async claim(partitions: readonly Partition[]): Promise<void> {
    if (partitions.length === 0 || this.#life.isStopped) return;
    const startedAt = momentOf(this.#environment);
    const claims = await this.#options.store.claim(partitions, this.name);
    for (const claim of claims) this.take(claim, startedAt);
    for (const partition of partitions) await this.resume(partition);
  }

  /** @internal The store has lost commits of a partition of which nothing runs here (P8). */
  forgotten(loss: Loss): void {
    this.#parts.losses.found(loss, 0);
  }

  /** @internal A claimed partition is this worker's, with the memory that arrived; see `Handoff.take`. */
  take(claim: Claim, at: Moment, arrived: Arrived = nothingArrived): Address[] {
    return this.#life.isStopped ? [] : this.#parts.handoff.take(claim, at, arrived);
  }

  /**
   * @internal Another worker has claimed partitions. If this worker's claim of one is earlier, nothing runs by it any more. Returns
   * those of which that is so, or of which this worker had no claim.
   */
  yieldTo(claims: readonly Pick<Claim, 'partition' | 'epoch'>[]): ReadonlySet<Partition> {
    const isEarlier = ({ partition, epoch }: Pick<Claim, 'partition' | 'epoch'>) =>
      this.ownership.epochOf(partition) < epoch;
    this.ownership.loseAll(claims.filter(isEarlier).map(({ partition }) => partition));
    return new Set(claims.map(({ partition }) => partition).filter((partition) => !this.ownership.has(partition)));
  }

  /** @internal Wakes the entities of a partition that have work of their own. */
  resume(partition: Partition): Promise<void> {
    return this.#parts.handoff.resume(partition);
  }

  /** @internal Finishes and hands off; see `Handoff.give`. */
  give(partitions: readonly Partition[]): Promise<Given[]> {
    return this.#parts.handoff.give(partitions);
  }

  /** @internal */
  isLeaving(partition: Partition): boolean {
    return this.hosting.isLeaving(partition);
  }

  /** @internal Entities with messages for partners that have moved send them again at once. */
  hasten(isMoved: (address: Address) => boolean): void {
    for (const activation of this.#parts.activations.all()) this.#parts.delivery.hasten(activation, isMoved);
  }

  has(partition: Partition): boolean {
    return this.hosting.has(partition);
  }

  get partitions(): Partition[] {
    return [...this.ownership.partitions];
  }

  /** @internal Drops everything at once: this worker is presumed dead. */
  forsake(): void {
    this.ownership.loseAll(this.partitions);
    this.images.forsake();
  }

  /** @internal Entities in memory that no store has. */
  get unstored(): Address[] {
    return [...this.#parts.activations.all()]
      .filter(({ behaviour }) => behaviour.durability === 'none')
      .map(({ address }) => address);
  }

  /** @internal */
  isActive(address: Address): boolean {
    return this.#parts.activations.get(address) !== undefined;
  }

  /** @internal Drops entities that belong to another partition by the present view: its owner reads them. */
  regroup(): void {
    this.#parts.handoff.regroup();
  }

  /** @internal Entities, and all entities of some types, that belong to other partitions by the current view. */
  askAnew(addresses: readonly Address[], types: readonly string[]): void {
    this.#parts.handoff.askAnew(addresses, types);
  }

  /** @internal Images of volatile entities of a partition that do not run here. */
  offersOf(partition: Partition): readonly Offer[] {
    return this.images.offers(partition, this.hosting.partitionOf);
  }

  /** @internal Whether there are any. */
  hasOffersOf(partition: Partition): boolean {
    return this.images.has(partition, this.hosting.partitionOf);
  }

  /** @internal Whether there are any of a partition with this property. */
  hasOffers(holds: (partition: Partition) => boolean): boolean {
    return this.images.some((address) => holds(this.hosting.partitionOf(address)));
  }

  /** @internal Whether it hosts a type that is not durable by turn. */
  get hostsVolatile(): boolean {
    return this.#parts.activations.hostsVolatile;
  }

  /**
   * @internal Finishes and commits what has started, and accepts nothing new. Messages still to be sent are in the store. A store that
   * does not answer is not waited for (EN1): what it has not written is lost, as after a crash.
   */
  async drain(): Promise<void> {
    this.#life.isDraining = true;
    this.#parts.effects.drain();
    const isRun = await this.#ends(() => this.#parts.dispatcher.waitingCount === 0);
    for (const activation of this.#parts.activations.all())
      if (activation.writeAt !== 0 && activation.phase === 'ready') this.#parts.housekeeping.tidy(activation, true);
    if (isRun && (await this.#ends(() => !this.#parts.commits.isBusy))) return;
    const unwritten = [...this.#parts.activations.all()].filter(({ isDurable }) => !isDurable).length;
    this.#environment.log.error(
      { worker: this.name, waiting: this.#parts.dispatcher.waitingCount, unwritten, afterMs: stillMs },
      'the store does not answer, and this worker no longer waits for it: its last turns may be unwritten; their callers retry',
    );
  }

  #ends(isOver: () => boolean): Promise<boolean> {
    const { counters, dispatcher } = this.#parts;
    const progress = () =>
      `${dispatcher.waitingCount} ${counters.sumOf('turns')} ${counters.sumOf('groups-concluded')}`;
    return ends(this.#environment, { isOver: () => this.#life.isStopped || isOver(), progress });
  }

  /** @internal After `drain`, where no other worker takes over: records for the next owner that this one ended in order. */
  async letGo(): Promise<void> {
    const { partitions } = this;
    if (partitions.length === 0 || this.#life.isStopped) return;
    // If the store does not accept it, the next owner is cautious without need.
    await briefly(this.#environment, this.#options.store.claim(partitions, ''));
  }

  /** @internal Stops at once, as a crash would: nothing more is run, released or sent. */
  stop(): void {
    this.#life.isStopped = true;
    this.#parts.recovery.close();
    this.#parts.dispatcher.stop();
    this.ownership.close();
    this.#cancelSweep?.();
    this.#parts.dates.close();
    this.#parts.effects.close();
    for (const activation of [...this.#parts.activations.all()]) this.#parts.activations.drop(activation);
  }

  /** @internal The last count of what is held for all entities (P12). */
  get held(): Readonly<Held> {
    return this.#parts.dispatcher.held;
  }

  /** @internal Number of activations that the sweep has passed (E4). */
  get passCount(): number {
    return this.#parts.counters.sumOf('sweep-passes');
  }

  get figures() {
    const { counters } = this.#parts;
    return {
      activations: this.#parts.activations.count,
      turns: counters.sumOf('turns'),
      commits: counters.sumOf('commits'),
      groups: counters.sumOf('groups'),
      queued: this.#parts.dispatcher.waitingCount,
      overloaded: counters.sumOf('overloaded'),
      effects: this.#parts.effects.count,
    };
  }

  /** After the clock was set back, pauses keep their length. */
  #checkClock(): void {
    const ahead = this.#environment.now() - this.#environment.steady();
    const backMs = this.#clockAhead - ahead;
    this.#clockAhead = ahead;
    if (backMs < setBackMsMin) return;
    this.#environment.log.warn({ backMs: Math.round(backMs) }, 'the clock was set back');
    for (const activation of this.#parts.activations.all()) {
      const next = activation.setBack(backMs);
      if (next < Number.POSITIVE_INFINITY) this.#parts.dates.setEarlier(activation.address, next);
    }
  }

  #sweep(): void {
    if (this.#life.isStopped) return;
    this.#checkClock();
    this.#parts.activations.sweep(Math.max(sweepSteps, this.#parts.activations.count / sweepsARound));
    this.images.sweep(this.hosting.partitionOf, (partition) => this.ownership.has(partition));
    this.#cancelSweep = this.#environment.after(sweepMs, () => this.#sweep());
  }
}
