/**
 * A worker: hosts entities of the partitions that it owns. The composition root of the runtime's parts, and the way of a
 * message through them:
 *
 *     receive ─▶ mailbox ─▶ turns ─▶ batch ─▶ commit ─▶ release ─▶ post, courier, effects, dates
 *        ▲                                      └─ failed ─▶ drop, try the requests again
 *        └── post: envelopes for entities whose partition the view gives to this worker
 *
 * Longer than 400 lines because it puts the parts together, and each has to be told of the others.
 *
 * Invariants:
 * - W1 What comes for a partition that this worker does not own is not run.
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { Limits } from '../../core/limits.ts';
import { type Address, typeOf } from '../../core/message.ts';
import { forgetChanges } from '../../core/record.ts';
import { partitionOf } from '../../placement/hash.ts';
import type { Activation } from '../entity/activation.ts';
import type { Unproven } from '../entity/batch.ts';
import { Delivery, type Sign } from '../entity/delivery.ts';
import { Effects } from '../entity/effects.ts';
import type { Held } from '../entity/held.ts';
import type { Item } from '../entity/mailbox.ts';
import { Ownership } from '../entity/ownership.ts';
import { Retention } from '../entity/retention.ts';
import { Schedule } from '../entity/schedule.ts';
import { StreamClosing } from '../entity/stream-closing.ts';
import { Turns } from '../entity/turns.ts';
import { type Environment, type Moment, momentOf } from '../environment.ts';
import type { Claim, Epoch, Loss, Partition, Store } from '../store.ts';
import type { Envelope, MessageEnvelope } from '../wire/envelope.ts';
import { Activations, type ActivationsParts } from './activations.ts';
import type { Authorise } from './authorise.ts';
import { Dispatcher, type DispatcherParts } from './dispatcher.ts';
import { type CommitSink, GroupCommit } from './group-commit.ts';
import { type Arrived, type Forwarded, type Given, Handoff, type HandoffParts, nothingArrived } from './handoff.ts';
import { Housekeeping, type HousekeepingParts } from './housekeeping.ts';
import type { Offer } from './image-format.ts';
import { Recovery } from './recovery.ts';
import { Refusals } from './refusals.ts';
import { Release, type ReleaseSink } from './release.ts';
import { briefly, ends, type Life, stillMs } from './shutdown.ts';
import { VolatileImages } from './volatile-images.ts';

export interface WorkerOptions {
  readonly name: string;
  readonly store: Store;
  readonly behaviours: readonly Behaviour[];
  readonly environment: Environment;
  readonly limits: Limits;
  readonly post: (envelope: Envelope) => void;
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

type InsideParts = Pick<
  HandoffParts,
  'environment' | 'limits' | 'ownership' | 'images' | 'activations' | 'dispatcher' | 'commits'
>;

const sweepMs = 1_000;
/** What is less is no step: clocks are corrected by a little all the time, ms. */
const setBackMsMin = 1_000;
const sweepSteps = 20_000;
/** The hand passes every activation at least this often, in sweeps. */
const sweepsARound = 16;

/** A worker in this process: which partitions it has, and what it does. */
export class Worker {
  readonly name: string;
  readonly #options: WorkerOptions;
  readonly #environment: Environment;
  /** @internal Which partitions are its own, by which epochs. */
  readonly ownership: Ownership;
  /** @internal Volatile entities between two stays in memory. */
  readonly images: VolatileImages;
  readonly #activations: Activations;
  readonly #retention: Retention;
  readonly #release: Release;
  readonly #commits: GroupCommit;
  readonly #delivery: Delivery;
  readonly #effects: Effects;
  readonly #turns: Turns;
  readonly #dates: Schedule;
  readonly #recovery: Recovery;
  readonly #refusals: Refusals;
  readonly #dispatcher: Dispatcher;
  readonly #housekeeping: Housekeeping;
  readonly #handoff: Handoff;
  /** The clock minus steady time, when it was last looked at. */
  #clockAhead = Number.NEGATIVE_INFINITY;
  readonly #life: { -readonly [Part in keyof Life]: Life[Part] } = { isDraining: false, isStopped: false };
  #cancelSweep: (() => void) | undefined;
  /** @internal */
  overloadedCount = 0;

  /** @internal */
  constructor(options: WorkerOptions) {
    this.#options = options;
    this.name = options.name;
    const { environment, limits, store } = options;
    this.#environment = environment;
    const post = (envelope: Envelope) => this.#post(envelope);
    this.#refusals = new Refusals({ environment, post, isDoubtful: (request) => this.#recovery.isDoubtful(request) });
    const wakeBy = (activation: Activation, at: number) => this.#dates.setEarlier(activation.address, at);
    const commit = (activation: Activation) => this.#commit(activation);
    const commitAlone = (activation: Activation) => this.#commitAlone(activation);
    this.ownership = new Ownership(store, environment, (partition) => this.#recovery.lost(partition));
    this.images = new VolatileImages(environment, limits, { name: options.name, partitions: store.partitions });
    const base = { environment, limits, ownership: this.ownership, images: this.images };
    this.#dates = new Schedule(environment, (address) => this.#wake(address));
    this.#effects = new Effects({
      ...base,
      settled: (address, id, outcome) => this.#deliver(address, { kind: 'effect', id, outcome }),
    });
    const noticed = (sign: Sign) => this.#recovery.losses.noticed(sign);
    this.#delivery = new Delivery({ ...base, post, wakeBy, noticed, commit: commitAlone });
    const ends = {
      delivery: this.#delivery,
      closing: new StreamClosing({ ...base, delivery: this.#delivery, post, wakeBy }),
    };
    this.#retention = new Retention({ ...base, store, wakeBy, forgotten: commitAlone });
    this.#activations = this.#newActivations(base);
    this.#release = new Release(this.#life);
    this.#commits = new GroupCommit(store, { ...base, sink: this.#sink() });
    this.#turns = new Turns({
      ...base,
      ...ends,
      post,
      commit,
      commitAlone,
      ready: (activation) => this.#ready(activation),
      readActivity: (activation, partner) => this.#activations.readActivity(activation, partner),
      wakeBy,
      ...this.#limiting,
      confirm: (activation, unproven) => this.#confirm(activation, unproven),
    });
    this.#housekeeping = this.#newHousekeeping({ ...base, ...ends, commit });
    this.#dispatcher = this.#newDispatcher({ ...base, post });
    const inside = { ...base, activations: this.#activations, dispatcher: this.#dispatcher, commits: this.#commits };
    this.#recovery = this.#newRecovery(inside);
    this.#handoff = this.#newHandoff(inside);
    this.#connect();
  }

  /** Who hears of what became durable, in this order. */
  #connect(): void {
    const outlet: ReleaseSink = {
      released: (_, { envelopes }) => {
        for (const envelope of envelopes) this.#post(envelope);
      },
    };
    const proofs: ReleaseSink = {
      released: (activation, { unproven }) => {
        if (unproven !== undefined) for (const one of unproven) this.#confirm(activation, one);
      },
    };
    const { crashNotes } = this.#turns;
    const outputs = [this.#dispatcher.admission, outlet, proofs, this.#delivery, this.#effects, this.#housekeeping];
    this.#release.connect([...outputs, this.#dispatcher, crashNotes, this.#retention]);
  }

  /** @internal A message of one of its entities does not fit into a frame. */
  unsendable(envelope: MessageEnvelope, bytes: number): void {
    const activation = this.#activations.get(envelope.from);
    if (activation?.phase === 'ready') this.#delivery.unsendable(activation, envelope, bytes);
  }

  /** What turns ask before they take anything on. */
  get #limiting() {
    return {
      waitMs: () => this.#commits.waitMs,
      late: () => this.#dispatcher.admission.late(),
      mayHold: (activation: Activation) => this.#dispatcher.mayHold(activation),
    };
  }

  #newHousekeeping(parts: Omit<HousekeepingParts, 'dates' | 'retention' | 'effects' | 'commits'>): Housekeeping {
    return new Housekeeping({
      ...parts,
      dates: this.#dates,
      retention: this.#retention,
      effects: this.#effects,
      commits: this.#commits,
    });
  }

  #newDispatcher(base: Pick<DispatcherParts, 'environment' | 'limits' | 'post'>): Dispatcher {
    return new Dispatcher({
      ...base,
      run: (activation, item) => this.#run(activation, item),
      paused: () => this.#commits.flush(),
      woken: (activation) => this.#activations.wake(activation),
      isBehind: () => this.#commits.isBehind,
    });
  }

  #newHandoff(inside: InsideParts): Handoff {
    return new Handoff({
      ...inside,
      name: this.name,
      store: this.#options.store,
      housekeeping: this.#housekeeping,
      wakeBy: (address, at) => this.#dates.setEarlier(address, at),
      partitionOf: (address) => this.#partitionOf(address),
    });
  }

  #newRecovery(inside: InsideParts): Recovery {
    return new Recovery({
      ...this.#options,
      ...inside,
      isStopped: () => this.#life.isStopped,
      deliver: (address, item) => this.#deliver(address, item),
      wake: (address) => this.#wake(address),
      wakeBy: (address, at) => this.#dates.setEarlier(address, at),
      reply: (request, status, said) => this.#refusals.reply(request, status, said),
      lost: (partition) => {
        this.#leaveEffects();
        this.#options.lost?.(partition);
      },
    });
  }

  #newActivations(parts: Pick<ActivationsParts, 'environment' | 'limits' | 'images'>): Activations {
    const { store, behaviours } = this.#options;
    return new Activations({
      ...parts,
      store,
      behaviours: new Map(behaviours.map((behaviour) => [behaviour.contract.type, behaviour])),
      epochOf: (partition) => this.ownership.epochOf(partition),
      lineageOf: (partition) => this.ownership.lineageOf(partition),
      commit: (make) => this.#commits.beside(make),
      lost: (partition) => this.ownership.lose(partition),
      ready: (activation) => {
        this.#recovery.made(activation);
        this.#turns.crashNotes.watch(activation);
        this.#ready(activation);
      },
      failed: (activation, error) => this.#recovery.notLoaded(activation, error),
      changed: (activation) => this.#dispatcher.count(activation),
      dropped: (activation) => this.#dispatcher.forget(activation),
      passivated: (activation) => this.#housekeeping.passivated(activation),
    });
  }

  #sink(): CommitSink {
    return {
      stored: (activation, batch, version) => this.#release.stored(activation, batch, version),
      failed: (activation, failure, error) => this.#recovery.failed(activation, failure, error),
      concluded: () => this.#dispatcher.resume(),
    };
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
    this.#recovery.losses.found(loss, 0);
  }

  /** @internal A partition that was claimed is this worker's, with what came along; see `Handover.take`. */
  take(claim: Claim, at: Moment, arrived: Arrived = nothingArrived): Address[] {
    return this.#life.isStopped ? [] : this.#handoff.take(claim, at, arrived);
  }

  /**
   * @internal Somebody has claimed a partition. If this worker's claim is an earlier one, nothing runs by it any more. Whether that
   * holds, or there was none.
   */
  yieldTo(partition: Partition, epoch: Epoch): boolean {
    if (this.ownership.epochOf(partition) < epoch) this.ownership.lose(partition);
    return !this.ownership.has(partition);
  }

  /** @internal Wake the entities of a partition that have something to do by themselves. */
  resume(partition: Partition): Promise<void> {
    return this.#handoff.resume(partition);
  }

  /** @internal Finish and let go; see `Handover.give`. */
  async give(partitions: readonly Partition[]): Promise<Given[]> {
    const given = await this.#handoff.give(partitions, (envelope, partition) => this.#astray(envelope, partition, 0));
    this.#leaveEffects();
    return given;
  }

  /** Effects of entities that are not this worker's any more. */
  #leaveEffects(): void {
    this.#effects.leave((address) => !this.ownership.has(this.#partitionOf(address)));
  }

  /** @internal */
  isLeaving(partition: Partition): boolean {
    return this.#handoff.isLeaving(partition);
  }

  /** @internal Entities that have something for partners which are elsewhere now send it again at once. */
  hasten(isMoved: (address: Address) => boolean): void {
    for (const activation of this.#activations.all()) this.#delivery.hasten(activation, isMoved);
  }

  has(partition: Partition): boolean {
    return this.ownership.has(partition) && !this.#handoff.isLeaving(partition);
  }

  get partitions(): Partition[] {
    return [...this.ownership.partitions];
  }

  /** @internal Let go of everything at once: this worker is taken for dead. */
  forsake(): void {
    for (const partition of this.partitions) this.ownership.lose(partition);
    this.images.forsake();
  }

  /** @internal Entities in memory of which no store knows. */
  get unstored(): Address[] {
    return [...this.#activations.all()]
      .filter(({ behaviour }) => behaviour.durability === 'none')
      .map(({ address }) => address);
  }

  /** @internal */
  isActive(address: Address): boolean {
    return this.#activations.get(address) !== undefined;
  }

  /** @internal Entities whose partition is another one by the present view leave memory: whoever has that one reads them. */
  regroup(): void {
    for (const { address, item } of this.#handoff.regroup()) this.#deliver(address, item);
  }

  /** @internal Entities, and all those of some types, that belong to other partitions by the view that holds from here on. */
  askAnew(addresses: readonly Address[], types: readonly string[]): void {
    this.#handoff.askAnew(addresses, types);
  }

  /** @internal Images of volatile entities of a partition that do not run here. */
  offersOf(partition: Partition): readonly Offer[] {
    return this.images.offers(partition, (address) => this.#partitionOf(address));
  }

  /** @internal Whether there are any. */
  hasOffersOf(partition: Partition): boolean {
    return this.images.has(partition, (address) => this.#partitionOf(address));
  }

  /** @internal Whether there are any of a partition of which this holds. */
  hasOffers(holds: (partition: Partition) => boolean): boolean {
    return this.images.some((address) => holds(this.#partitionOf(address)));
  }

  /** @internal Whether there is a type here that is not durable by turn. */
  get hostsVolatile(): boolean {
    return this.#activations.hostsVolatile;
  }

  #partitionOf(address: Address): Partition {
    return this.#options.partitionOf?.(address) ?? partitionOf(address, this.#options.store.partitions);
  }

  /**
   * @internal Finish what has been started and commit it; nothing new is taken. What entities still have to send is in the store. A store
   * that does not answer is not waited for (EN1): what it has not written is gone, as after a crash.
   */
  async drain(): Promise<void> {
    this.#life.isDraining = true;
    this.#effects.drain();
    const isRun = await this.#ends(() => this.#dispatcher.waitingCount === 0);
    for (const activation of this.#activations.all())
      if (activation.trimAt !== 0 && activation.phase === 'ready') this.#housekeeping.tidy(activation, true);
    if (isRun && (await this.#ends(() => !this.#commits.isBusy))) return;
    const unwritten = [...this.#activations.all()].filter(({ isDurable }) => !isDurable).length;
    this.#environment.log.error(
      { worker: this.name, waiting: this.#dispatcher.waitingCount, unwritten, afterMs: stillMs },
      'the store does not answer, and this worker does not wait for it any longer: its last turns may not be written, and who asked for them tries again',
    );
  }

  #ends(isOver: () => boolean): Promise<boolean> {
    const progress = () => `${this.#dispatcher.waitingCount} ${this.#turns.turnCount} ${this.#commits.concludedCount}`;
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
    this.#recovery.close();
    this.#dispatcher.stop();
    this.ownership.close();
    this.#cancelSweep?.();
    this.#dates.close();
    this.#effects.close();
    for (const activation of [...this.#activations.all()]) this.#activations.drop(activation);
  }

  /** @internal How much of all entities is held, as it was last counted (P12). */
  get held(): Readonly<Held> {
    return this.#dispatcher.held;
  }

  /** @internal How often the sweep has passed an activation (E4). */
  get passCount(): number {
    return this.#activations.passCount;
  }

  get figures() {
    return {
      activations: this.#activations.count,
      turns: this.#turns.turnCount,
      commits: this.#commits.commitCount,
      groups: this.#commits.groupCount,
      queued: this.#dispatcher.waitingCount,
      overloaded: this.overloadedCount,
      effects: this.#effects.count,
    };
  }

  // ---- in

  /** @internal Take an envelope in. Never runs anything on the spot. */
  receive(envelope: Envelope, hops = 0): void {
    if (this.#life.isStopped || envelope.kind === 'reply') return;
    const isCall = envelope.kind === 'message' || envelope.kind === 'query';
    if (isCall && this.#refusals.denies(envelope, this.#options.authorise)) return;
    if (isCall && this.#life.isDraining) return;
    this.#deliver(envelope.to, envelope, { hops, isNew: true });
  }

  /** `isNew`: it was not taken in before. */
  #deliver(address: Address, item: Item, { hops, isNew } = { hops: 0, isNew: false }): void {
    if (this.#life.isStopped) return;
    const partition = this.#partitionOf(address);
    if (!this.#handoff.mayRun(address, partition)) {
      if (item.kind !== 'wake' && item.kind !== 'effect') this.#astray(item, partition, hops);
      return;
    }
    const activation = this.#activations.activate(address, partition);
    if (activation === undefined) {
      const type = typeOf(address);
      const status = this.#options.isElsewhere?.(type) === true ? 'moved' : 'unknown-type';
      if (item.kind === 'message' || item.kind === 'query') this.#refusals.reply(item, status, type);
      return;
    }
    if (this.#dispatcher.offer(activation, item, isNew) !== 'full') return;
    this.overloadedCount += 1;
    if (item.kind === 'message' || item.kind === 'query') this.#refusals.reply(item, 'overloaded');
  }

  /** Of what may have been committed here nobody else may say that nothing was done: its sender tries again (C2). */
  #astray(envelope: Forwarded, partition: Partition, hops: number): void {
    if (!this.#recovery.isDoubtful(envelope)) this.#options.astray?.(envelope, partition, hops);
  }

  /** A date of an entity has come. */
  #wake(address: Address): void {
    // The store has the date too. Timers that set themselves again would keep a worker from ever having finished.
    if (this.#life.isDraining) return;
    this.#deliver(address, { kind: 'wake' });
  }

  #ready(activation: Activation): void {
    // Ready again after a read, it may have turns that are not durable: what those send goes with their commit (P2).
    if (activation.flights === undefined && activation.isDurable) this.#delivery.resume(activation);
    this.#housekeeping.startEffects(activation);
    this.#housekeeping.plan(activation);
    this.#dispatcher.enlist(activation);
  }

  #run(activation: Activation, item: Item): void {
    this.#turns.run(activation, item);
    if (item.kind !== 'wake') return;
    if (activation.phase === 'ready') this.#housekeeping.afterWake(activation);
    // A turn found that it needs an activity from the store: what it left to do is done after the read.
    else if (activation.phase === 'reading') activation.mailbox.push(item);
  }

  // ---- out

  #post(envelope: Envelope): void {
    if (!this.#life.isStopped) this.#options.post(envelope);
  }

  /** The record changed without a turn. */
  #commitAlone(activation: Activation): void {
    activation.entity.version += 1;
    activation.batch();
    this.#commit(activation);
  }

  #commit(activation: Activation): void {
    const { durability } = activation.behaviour;
    if (durability === 'turn' || (durability !== 'none' && activation.isHeld)) return this.#commits.add(activation);
    // Volatile types: outputs go at once; `interval` types are written when their time has come.
    const batch = activation.gathering;
    activation.gathering = durability === 'none' ? undefined : batch?.takeClosing();
    if (batch !== undefined) this.#release.released(activation, batch, activation.entity.version);
    // A write that waits for the store finds a batch to go with: else a busy entity would never be written.
    if (activation.isQueued) activation.batch();
    else if (activation.gathering !== undefined) this.#commits.add(activation);
    if (durability === 'none') {
      forgetChanges(activation.entity.changes);
    } else if (activation.trimAt === 0) {
      activation.trimAt = this.#environment.now() + durability.intervalMs;
      this.#dates.setEarlier(activation.address, activation.trimAt);
    }
  }

  #confirm(activation: Activation, unproven: Unproven): void {
    const { envelope, asked } = unproven;
    const proved = this.#dispatcher.prove(activation, unproven);
    this.ownership.check(
      activation.partition,
      () => {
        proved();
        this.#post(envelope);
      },
      () => {
        proved();
        if (asked.kind === 'message' || asked.kind === 'query') this.#refusals.reply(asked, 'moved');
      },
    );
  }

  /** A clock that was set back makes no pause longer. */
  #checkClock(): void {
    const ahead = this.#environment.now() - this.#environment.steady();
    const backMs = this.#clockAhead - ahead;
    this.#clockAhead = ahead;
    if (backMs < setBackMsMin) return;
    this.#environment.log.warn({ backMs: Math.round(backMs) }, 'the clock was set back');
    for (const activation of this.#activations.all()) {
      const next = activation.setBack(backMs);
      if (next < Number.POSITIVE_INFINITY) this.#dates.setEarlier(activation.address, next);
    }
  }

  #sweep(): void {
    if (this.#life.isStopped) return;
    this.#checkClock();
    this.#activations.sweep(Math.max(sweepSteps, this.#activations.count / sweepsARound));
    this.images.sweep(
      (address) => this.#partitionOf(address),
      (partition) => this.ownership.has(partition),
    );
    this.#cancelSweep = this.#environment.after(sweepMs, () => this.#sweep());
  }
}
