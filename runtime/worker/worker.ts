/**
 * A worker: hosts entities of the partitions that it owns. The composition root of the parts of a worker and of an entity, and their
 * life. A message does not come by here:
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
  /** By the view that holds; without it, what every address hashes to. */
  readonly partitionOf?: (address: Address) => Partition;
  /** What came for a partition that this worker does not have, or no longer; without it, it is dropped (W1). */
  readonly astray?: (envelope: Forwarded, partition: Partition, hops: number) => void;
  /** Whether a type that this worker does not run is another worker's: two versions of an application run side by side. */
  readonly isElsewhere?: (type: string) => boolean;
  /** The store said that the partition is another worker's. */
  readonly lost?: (partition: Partition) => void;
  /** Whether it is claimed here by that epoch, and nothing of it runs yet. */
  readonly isComing?: (partition: Partition, epoch: Epoch) => boolean;
}

const sweepMs = 1_000;
/** What is less is no step: clocks are corrected by a little all the time, ms. */
const setBackMsMin = 1_000;
const sweepSteps = 20_000;
/** The hand passes every activation at least this often, in sweeps. */
const sweepsARound = 16;

type Parts = ReturnType<typeof compose>;

/** What stands around entities: the ways in and out, dates, and what a worker has room for. */
function outerParts(options: WorkerOptions, life: Life) {
  const { name, environment, limits, store, counters = new Counters(environment.meter) } = options;
  const outlet = new Outlet(life, options.post);
  const { post } = outlet;
  const refusals = new Refusals({ environment, post });
  const losses = new LossReport(environment, name);
  const intake = new Intake({ ...options, life, refusals, counters });
  const recovery = new Recovery({ ...options, life, refusals, intake, losses });
  const ownership = new Ownership(store, environment, recovery.lost);
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
 * Each part gets those that it uses when it is made. Four are made before those that they lead to, and are connected at the end:
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

/** A worker in this process: which partitions it has, and what it does. */
export class Worker {
  readonly name: string;
  readonly #options: WorkerOptions;
  readonly #environment: Environment;
  /** @internal Which partitions are its own, by which epochs. */
  readonly ownership: Ownership;
  /** @internal Volatile entities between two stays in memory. */
  readonly images: VolatileImages;
  /** @internal */
  readonly intake: Intake;
  /** @internal */
  readonly hosting: Hosting;
  readonly #parts: Parts;
  /** The clock minus steady time, when it was last looked at. */
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

  /** @internal Begin, with these partitions if any, and resume what their entities have to do. Resolves when they are its own. */
  async start(partitions: readonly Partition[]): Promise<void> {
    this.#checkClock();
    this.#cancelSweep = this.#environment.after(sweepMs, () => this.#sweep());
    await this.claim(partitions);
  }

  /** @internal Make these its own and resume what their entities have to do. */
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

  /** @internal A partition that was claimed is this worker's, with what came along; see `Handover.take`. */
  take(claim: Claim, at: Moment, arrived: Arrived = nothingArrived): Address[] {
    return this.#life.isStopped ? [] : this.#parts.handoff.take(claim, at, arrived);
  }

  /**
   * @internal Somebody has claimed partitions. Where this worker's claim is an earlier one, nothing runs by it any more. Those of which
   * that holds, or that it had no claim of.
   */
  yieldTo(claims: readonly Pick<Claim, 'partition' | 'epoch'>[]): ReadonlySet<Partition> {
    const isEarlier = ({ partition, epoch }: Pick<Claim, 'partition' | 'epoch'>) =>
      this.ownership.epochOf(partition) < epoch;
    this.ownership.loseAll(claims.filter(isEarlier).map(({ partition }) => partition));
    return new Set(claims.map(({ partition }) => partition).filter((partition) => !this.ownership.has(partition)));
  }

  /** @internal Wake the entities of a partition that have something to do by themselves. */
  resume(partition: Partition): Promise<void> {
    return this.#parts.handoff.resume(partition);
  }

  /** @internal Finish and let go; see `Handover.give`. */
  give(partitions: readonly Partition[]): Promise<Given[]> {
    return this.#parts.handoff.give(partitions);
  }

  /** @internal */
  isLeaving(partition: Partition): boolean {
    return this.hosting.isLeaving(partition);
  }

  /** @internal Entities that have something for partners which are elsewhere now send it again at once. */
  hasten(isMoved: (address: Address) => boolean): void {
    for (const activation of this.#parts.activations.all()) this.#parts.delivery.hasten(activation, isMoved);
  }

  has(partition: Partition): boolean {
    return this.hosting.has(partition);
  }

  get partitions(): Partition[] {
    return [...this.ownership.partitions];
  }

  /** @internal Let go of everything at once: this worker is taken for dead. */
  forsake(): void {
    this.ownership.loseAll(this.partitions);
    this.images.forsake();
  }

  /** @internal Entities in memory of which no store knows. */
  get unstored(): Address[] {
    return [...this.#parts.activations.all()]
      .filter(({ behaviour }) => behaviour.durability === 'none')
      .map(({ address }) => address);
  }

  /** @internal */
  isActive(address: Address): boolean {
    return this.#parts.activations.get(address) !== undefined;
  }

  /** @internal Entities whose partition is another one by the present view leave memory: whoever has that one reads them. */
  regroup(): void {
    this.#parts.handoff.regroup();
  }

  /** @internal Entities, and all those of some types, that belong to other partitions by the view that holds from here on. */
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

  /** @internal Whether there are any of a partition of which this holds. */
  hasOffers(holds: (partition: Partition) => boolean): boolean {
    return this.images.some((address) => holds(this.hosting.partitionOf(address)));
  }

  /** @internal Whether there is a type here that is not durable by turn. */
  get hostsVolatile(): boolean {
    return this.#parts.activations.hostsVolatile;
  }

  /**
   * @internal Finish what has been started and commit it; nothing new is taken. What entities still have to send is in the store. A store
   * that does not answer is not waited for (EN1): what it has not written is gone, as after a crash.
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

  /** @internal After `drain`, where nobody takes over: the next owner of what is here shall know that this one ended in order. */
  async letGo(): Promise<void> {
    const { partitions } = this;
    if (partitions.length === 0 || this.#life.isStopped) return;
    // Where the store does not take it, the next one is careful without need.
    await briefly(this.#environment, this.#options.store.claim(partitions, ''));
  }

  /** @internal Stop at once, as a crash would: nothing more is run, released or sent. */
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

  /** @internal How much of all entities is held, as it was last counted (P12). */
  get held(): Readonly<Held> {
    return this.#parts.dispatcher.held;
  }

  /** @internal How often the sweep has passed an activation (E4). */
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

  /** A clock that was set back makes no pause longer. */
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
