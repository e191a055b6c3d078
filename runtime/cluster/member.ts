/**
 * A member: a worker as a part of a cluster. The composition of worker, post, views and tenancy, and what the worker does
 * for the cluster beside its entities: it announces itself, follows views, tells who is absent, and runs the placement
 * service while it is its turn.
 *
 *     start ─▶ announced ─▶ in the view ─▶ everything claimed: ready ─▶ leaving ─▶ everything handed off ─▶ gone
 *
 * Longer than 400 lines because what it hears, what it is and how it ends are one state.
 *
 * Invariants:
 * - MB1 A member whose name the view gives to another process stops: there is one worker of a name.
 * - MB2 Who leaves stops only when it has nothing left that somebody could take over.
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { Limits } from '../../core/limits.ts';
import { Stamps } from '../../placement/freshness.ts';
import type { PlacementLimits } from '../../placement/limits.ts';
import type { Placement } from '../../placement/placement.ts';
import type { PingMark } from '../../placement/service.ts';
import { areCompatible, protocolOf, type WorkerEntry } from '../../placement/view.ts';
import { Clocks } from '../clocks.ts';
import type { Environment } from '../environment.ts';
import { Counters } from '../meter.ts';
import { AbsenceReports } from '../routing/absence-reports.ts';
import { type Heard, listenForControl, sendControl } from '../routing/control-channel.ts';
import { Router, type RouterParts } from '../routing/router.ts';
import { asWorker, noView, regrouped, relabelled, repinned, Views } from '../routing/views.ts';
import type { Store } from '../store.ts';
import type { Transport } from '../transport.ts';
import type { ControlMessage } from '../wire/control-messages.ts';
import type { Envelope } from '../wire/envelope.ts';
import type { Subjects } from '../wire/subjects.ts';
import type { Authorise } from '../worker/authorise.ts';
import { Worker } from '../worker/worker.ts';
import { Acquisition } from './acquisition.ts';
import { pinInStore } from './pins.ts';
import { PlacementHost } from './placement-host.ts';
import { ViewServer } from './view-server.ts';

export interface MemberParts {
  readonly environment: Environment;
  readonly transport: Transport;
  readonly subjects: Subjects;
  readonly store: Store;
  readonly behaviours: readonly Behaviour[];
  readonly limits: Limits;
  readonly placementLimits: PlacementLimits;
  readonly entry: WorkerEntry;
  readonly authorise?: Authorise | undefined;
  /** Another process has this one's name now: nothing runs here any more (MB1). */
  readonly replaced?: () => void;
  /** A later view holds here. */
  readonly followed?: (isElsewhere: ReturnType<Router['follow']>) => void;
  /** The connection is there again after it was lost. */
  readonly restored?: () => void;
  /** Sees what the worker posts and gets, before it leaves or arrives. */
  readonly tap?: { posted(envelope: Envelope): void; arrived(envelope: Envelope): void };
}

/** For so long after its own connection was lost nobody's absence is believed, ms. */
const restoredMs = 1_500;
/** Whoever leaves waits this long for its partitions to be taken, ms; then it stops, and they are claimed without it. */
export const leaveMs = 30_000;
/** The store is asked this often for partitions that are here and should be elsewhere, ms. */
const verifyMs = 1_000;
/** And for every other one once in so many times. */
const verifyTurns = 8;
/** Who has left forwards what still comes for this long, ms. */
const lingerMs = 250;

export class Member {
  readonly #parts: MemberParts;
  readonly worker: Worker;
  readonly counters: Counters;
  readonly router: Router;
  readonly views: Views;
  readonly acquisition: Acquisition;
  readonly #host: PlacementHost;
  readonly #viewServer: ViewServer;
  #entry: WorkerEntry;
  readonly #closers: (() => void)[] = [];
  readonly #absences: AbsenceReports;
  readonly #clocks: Clocks;
  #readers: (() => void)[] = [];
  #verifiedAt = Number.NEGATIVE_INFINITY;
  #verifyTurn = 0;
  #isStopped = false;
  #restoredAt = Number.NEGATIVE_INFINITY;
  #hasBeenReady = false;
  #hasBeenInView = false;
  #isMisfitSaid = false;
  readonly #stamps = new Stamps();

  constructor(parts: MemberParts) {
    this.#parts = parts;
    const { environment, transport, subjects, store, limits, entry } = parts;
    this.#entry = entry;
    this.counters = new Counters(environment.meter);
    this.#absences = new AbsenceReports(environment);
    this.#clocks = new Clocks(parts);
    const nothing = noView(store.partitions);
    const { counters } = this;
    const reach = { environment, transport, subjects, id: entry.id, counters };
    const has = (partition: number) => this.worker.hosting.has(partition);
    const onUnsendable: RouterParts['onUnsendable'] = (envelope, bytes) => this.worker.unsendable(envelope, bytes);
    const { protocol } = entry;
    this.router = new Router({ ...reach, has, protocol, onUnsendable, onLaterView: () => this.views.ask() }, nothing);
    const follow = (placement: Placement, before: Placement) => this.#follow(placement, before);
    const signal = (id: string, one: ControlMessage) => void this.#signal(subjects.control(id), one);
    this.views = new Views({ ...reach, ...asWorker(subjects, entry.id), follow }, nothing);
    this.#viewServer = new ViewServer({ ...reach, views: this.views });
    this.acquisition = new Acquisition({
      ...reach,
      name: entry.name,
      limits,
      store,
      worker: () => this.worker,
      signal,
      forward: (envelope, hops, to) => this.router.forward(envelope, hops, to),
      settled: () => this.#noteReady(),
      signalBytesMax: () => transport.frameBytesMax,
    });
    this.worker = this.#newWorker();
    this.#host = new PlacementHost({
      ...reach,
      store,
      limits: parts.placementLimits,
      view: () => (this.views.isKnown ? this.views.placement.view : undefined),
      publish: (view, sent) => {
        if (this.#signal(subjects.views, { kind: 'view', view, sent })) this.views.learn(view);
      },
      signal,
      ask: (one) => void this.#signal(subjects.service, one),
      name: entry.name,
      apart: (holder) => this.#part(holder),
      together: () => this.#join(),
      listen: () => this.#listenAsService(),
    });
  }

  #newWorker(): Worker {
    const { environment, store, behaviours, limits, authorise, entry, tap } = this.#parts;
    return new Worker({
      name: entry.name,
      counters: this.counters,
      store,
      behaviours,
      environment,
      limits,
      authorise,
      post: (envelope) => {
        tap?.posted(envelope);
        this.router.post(envelope);
      },
      partitionOf: (address) => this.views.placement.partitionOf(address),
      astray: (envelope, partition, hops) => this.acquisition.astray(envelope, partition, hops),
      lost: (partition) => this.acquisition.lost(partition),
      isComing: (partition, epoch) => this.acquisition.isComing(partition, epoch),
      isElsewhere: (type) =>
        this.views.placement.view.workers.some(({ types }) => types.some((one) => one.type === type)),
    });
  }

  // ---- life

  /** Begin to listen and to announce. What it becomes is told by `ready`. */
  async start(): Promise<void> {
    const { environment, transport, subjects, tap } = this.#parts;
    const { id } = this.#entry;
    this.#closers.push(
      transport.onAbsent((subject) => this.#absent(subject)),
      transport.onRestored(() => this.#restored()),
      this.#listen(subjects.control(id), (signal) => this.#receive(signal)),
      this.#listen(subjects.views, (signal) => this.#receive(signal)),
      this.#viewServer.open(id),
    );
    const receive = (envelope: Envelope, hops: number) => {
      tap?.arrived(envelope);
      this.worker.intake.receive(envelope, hops);
    };
    this.router.listen(subjects.worker(id), receive);
    this.router.openDoors(id, receive);
    await this.worker.start([]);
    environment.log.info({ worker: this.#entry.name, id }, 'a worker joins');
    this.#announce();
    this.#host.start();
  }

  /** Resolves when this worker is in the view and has claimed everything that is its by it. */
  ready(): Promise<void> {
    if (this.#hasBeenReady) return Promise.resolve();
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  get isReady(): boolean {
    return this.#isInView && this.acquisition.isSettled && !this.#isStopped;
  }

  get #isInView(): boolean {
    return this.views.placement.view.workers.some(({ id }) => id === this.#entry.id);
  }

  /** By how much clocks may differ, as this worker allows for. */
  get skewMaxMs(): number {
    return this.#parts.limits.skewMaxMs;
  }

  get entry(): WorkerEntry {
    return this.#entry;
  }

  /** What of the cluster is cut off from what, as far as this member knows; '': nothing. */
  get split(): string {
    return this.#host.split;
  }

  /** Whether the placement service runs here, as far as this member knows. */
  get isServing(): boolean {
    return this.#host.isServing;
  }

  /** Hand everything off and stop (MB2). Resolves when nothing runs here any more. */
  async leave(): Promise<void> {
    const { environment, subjects } = this.#parts;
    if (this.#isStopped) return;
    this.#entry = { ...this.#entry, isLeaving: true };
    this.#host.leaving();
    const begunAt = environment.steady();
    // Who takes in a lot takes longer.
    const isInTime = () => environment.steady() < Math.max(begunAt, this.acquisition.outgoing.sentAt) + leaveMs;
    this.#sayThere();
    while (!this.#isStopped && (this.#hasHeirs || this.acquisition.isOwing) && isInTime())
      await new Promise<void>((resolve) => void environment.after(5, resolve));
    if (this.#isStopped) return;
    if (this.worker.partitions.length > 0) await this.worker.drain().then(() => this.worker.letGo());
    this.#signal(subjects.service, { kind: 'gone', id: this.#entry.id, viewVersion: 0 });
    await this.#host.stop();
    // What was sent before its sender knew the last view is still forwarded.
    await new Promise<void>((resolve) => void environment.after(lingerMs, resolve));
    this.stop();
  }

  /** Whether there is something here that somebody else takes over, or will once the view says that this worker leaves. */
  get #hasHeirs(): boolean {
    const { partitions } = this.worker;
    if (partitions.length === 0 && this.worker.images.count === 0) return false;
    const { placement } = this.views;
    const { workers } = placement.view;
    const others = workers.filter(({ id, isLeaving }) => id !== this.#entry.id && !isLeaving);
    const isKnownToLeave = workers.every(({ id, isLeaving }) => id !== this.#entry.id || isLeaving);
    if (others.length === 0) return false;
    const belongsToSomebody = (partition: number) => placement.workerOf(partition) !== undefined;
    if (!isKnownToLeave || partitions.some(belongsToSomebody)) return true;
    // Volatile entities are nowhere else until their new owners say that they have them.
    return this.worker.hasOffers(belongsToSomebody);
  }

  /** Stop at once, as a crash would. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#host.crash();
    this.worker.stop();
    this.acquisition.close();
    for (const close of this.#closers) close();
    this.router.close();
  }

  // ---- signals

  #listen(subject: string, receive: (signal: Heard) => void): () => void {
    return listenForControl(this.#parts, subject, (signal) => {
      if (!this.#isStopped) receive(signal);
    });
  }

  /** While the service runs here: workers speak to it, and clients at its door. */
  #listenAsService(): () => void {
    const stop = this.#listen(this.#parts.subjects.service, (signal) => {
      // Who asks it for the view gets it as from any worker, and tells it a later one (VW2).
      if (signal.kind === 'announce') this.#clocks.heard(`worker ${signal.entry.name}`, signal.sentAt);
      if (signal.kind === 'resolve' || signal.kind === 'view') this.#receive(signal);
      else this.#host.receive(signal);
    });
    const close = this.#viewServer.open(undefined, (id) => this.#host.receive({ kind: 'absent', id, by: '' }));
    return () => {
      stop();
      close();
    };
  }

  #signal(subject: string, signal: ControlMessage): boolean {
    return !this.#isStopped && sendControl(this.#parts, subject, signal);
  }

  #receive(signal: Heard): void {
    const { subjects } = this.#parts;
    switch (signal.kind) {
      case 'view':
        this.#clocks.heard('the worker that tells views', signal.sentAt);
        this.views.learn(signal.view);
        if (this.views.isCredible(signal.view)) this.#host.heardView(signal.view, signal.sent);
        return;
      case 'resolve':
        if (this.views.isKnown && subjects.workerOf(signal.replyTo) !== undefined)
          this.#signal(signal.replyTo, { kind: 'view', view: this.views.placement.view, sent: 0 });
        return;
      case 'ping':
        return this.#pong(signal.mark);
      case 'echo':
        return this.#host.echoed(signal.number);
      case 'present':
        return this.#host.present(signal);
      case 'seek':
      case 'release':
      case 'fetch':
        return this.#asked(signal);
      case 'gone':
        return this.#dismissed(signal);
      case 'none':
        return this.acquisition.none(signal.id, signal.partitions, signal.ask);
      case 'keeping':
        return this.acquisition.keeping(signal.id, signal.partitions, signal.ask);
      case 'released':
        return this.acquisition.released(signal);
      case 'bare':
        return this.acquisition.fetching.bare(signal.id, signal.partitions, signal.ask);
      case 'carried':
        return this.acquisition.fetching.carried(signal);
      case 'boarded':
        return this.acquisition.outgoing.boarded(signal);
      case 'settled':
        return this.acquisition.fetching.settled(signal);
      default:
        return;
    }
  }

  #pong(mark: PingMark): void {
    const { environment, subjects } = this.#parts;
    this.#signal(subjects.service, {
      kind: 'pong',
      id: this.#entry.id,
      mark,
      sent: this.#stamps.next(environment.now(), environment.steady()),
    });
  }

  /** The service says that this process is out for ever. It may have said so long ago, and of a view that is over by now. */
  #dismissed({ id, viewVersion }: Extract<ControlMessage, { kind: 'gone' }>): void {
    if (id !== this.#entry.id || this.#entry.isLeaving || viewVersion < this.views.placement.view.version) return;
    if (viewVersion > this.views.placement.view.version || !this.#isInView) this.#replaced(undefined);
  }

  /** Who asks by an older view is told the one that holds, and asks again if it still should. */
  #asked(signal: Extract<ControlMessage, { kind: 'seek' | 'release' | 'fetch' }>): void {
    if (!this.views.isCredible(signal.view)) return;
    this.views.learn(signal.view);
    const { view } = this.views.placement;
    if (view.version > signal.view.version) {
      this.#signal(this.#parts.subjects.control(signal.id), { kind: 'view', view, sent: 0 });
      return;
    }
    if (signal.kind === 'fetch') this.acquisition.asked(signal);
    else this.acquisition.outgoing.asked(signal);
  }

  #announce(): void {
    if (this.#isStopped) return;
    const { environment, placementLimits } = this.#parts;
    this.#sayThere();
    this.#noteReady();
    this.#verify();
    environment.after(placementLimits.announceMs, () => this.#announce());
  }

  #sayThere(): void {
    const { environment, subjects } = this.#parts;
    const viewVersion = this.views.placement.view.version;
    const sent = this.#stamps.next(environment.now(), environment.steady());
    this.#signal(subjects.service, { kind: 'announce', entry: this.#entry, viewVersion, sent });
  }

  /**
   * Who was thought to be gone is not asked for what it has: of what the view gives to others it asks the store itself. Of
   * the rest in turn: where nobody calls no commit tells, and there may be timers that wait for their owner.
   */
  #verify(): void {
    const now = this.#parts.environment.steady();
    if (now - this.#verifiedAt < verifyMs) return;
    this.#verifiedAt = now;
    const { placement } = this.views;
    this.#verifyTurn = (this.#verifyTurn + 1) % verifyTurns;
    const isDue = (partition: number) =>
      partition % verifyTurns === this.#verifyTurn || placement.workerOf(partition)?.id !== this.#entry.id;
    this.worker.ownership.verify(this.worker.partitions.filter(isDue));
  }

  #noteReady(): void {
    if (this.#hasBeenReady || !this.isReady) return;
    this.#hasBeenReady = true;
    this.#parts.environment.log.info(
      { worker: this.#entry.name, partitions: this.worker.partitions.length },
      'the worker is ready',
    );
    for (const resolve of this.#readers.splice(0)) resolve();
  }

  #follow(placement: Placement, before: Placement): void {
    const { name, id } = this.#entry;
    const namesake = placement.view.workers.find((worker) => worker.name === name);
    if (namesake?.id === id) this.#hasBeenInView = true;
    else if (namesake !== undefined && this.#hasBeenInView) return this.#replaced(namesake);
    this.#checkProtocol(placement);
    const isElsewhere = this.router.follow(placement);
    this.worker.askAnew(repinned(before, placement), relabelled(before, placement));
    this.#regroup(regrouped(before, placement), placement);
    this.worker.hasten(isElsewhere);
    this.#parts.followed?.(isElsewhere);
    this.#noteReady();
  }

  /** Whether somebody is there who keeps this worker out of the view (PS7): it waits until that one has left. */
  #checkProtocol({ view }: Placement): void {
    const own = protocolOf(this.#entry);
    const other = this.#isInView ? undefined : view.workers.find((one) => !areCompatible(protocolOf(one), own));
    if (other === undefined || this.#isMisfitSaid) return;
    this.#isMisfitSaid = true;
    const { from, to } = protocolOf(other);
    this.#parts.environment.log.error(
      { worker: this.#entry.name, protocol: `${own.from} to ${own.to}`, other: other.name, theirs: `${from} to ${to}` },
      'this worker cannot join until a worker with an incompatible protocol has left: first deploy a version that speaks both',
    );
  }

  /** The service runs at `holder` and is not heard here: the others are on the side that stays. */
  #part(holder: string): void {
    this.acquisition.part();
    this.#parts.environment.log.warn(
      { worker: this.#entry.name, service: this.views.nameOf(holder) },
      'the cluster is split: this worker reaches the store but not the placement service; it gives up its partitions until it does; check the routes between the NATS servers',
    );
  }

  #join(): void {
    this.#parts.environment.log.info({ worker: this.#entry.name }, 'this worker hears the placement service again');
    this.acquisition.join();
  }

  /** Entities belong to other partitions than before. Who has claimed those already may have to hear of it, or to wake them. */
  #regroup(partitions: readonly number[] | 'all', placement: Placement): void {
    const isAny = partitions === 'all' || partitions.length > 0;
    if (isAny) this.worker.regroup();
    this.acquisition.follow(placement, partitions);
    if (!isAny) return;
    const mine = partitions === 'all' ? this.worker.partitions : partitions;
    this.worker.ownership.verify(mine);
    for (const partition of mine) this.acquisition.resume(partition);
  }

  /** `other`: as far as this process heard of it. */
  #replaced(other: WorkerEntry | undefined): void {
    this.#parts.environment.log.error(
      { worker: this.#entry.name, id: this.#entry.id, other: other?.id },
      'another process has taken over this worker’s name; this process stops',
    );
    this.stop();
    this.#parts.replaced?.();
  }

  /** Have an entity hosted by a chosen worker, or (undefined) where it belongs again. Resolves when the store knows it. */
  async pin(address: string, worker: string | undefined): Promise<void> {
    const { store, subjects, transport } = this.#parts;
    await pinInStore({ store, transport }, this.views.placement, { address, worker });
    this.#signal(subjects.service, { kind: 'pinned' });
  }

  // ---- hints of the transport

  #absent(subject: string): void {
    if (this.#isStopped) return;
    const { environment, subjects } = this.#parts;
    if (subject === subjects.service) return this.#host.serviceAbsent();
    const id = subjects.workerOf(subject);
    if (id === undefined || id === this.#entry.id) return;
    // The connections of others may take a little longer to be there again than this one's.
    if (environment.steady() - this.#restoredAt < restoredMs) return;
    this.acquisition.absent(id);
    this.#host.workerAbsent(id);
    if (this.#absences.isNews(id)) this.#signal(subjects.service, { kind: 'absent', id, by: this.#entry.id });
  }

  #restored(): void {
    if (this.#isStopped) return;
    this.#restoredAt = this.#parts.environment.steady();
    this.views.ask();
    this.worker.hasten(() => true);
    this.#parts.restored?.();
  }
}
