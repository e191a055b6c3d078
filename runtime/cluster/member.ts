/**
 * A member: a worker as part of a cluster. It composes worker, router, views and acquisition, and does the worker's tasks for
 * the cluster: it announces itself, follows views, reports absent workers, and hosts the placement service when elected.
 *
 *     start ─▶ announced ─▶ in the view ─▶ everything claimed: ready ─▶ leaving ─▶ everything handed off ─▶ gone
 *
 * Longer than 400 lines because its messages, its life and its end share one state.
 *
 * Invariants:
 * - MB1 A member stops when the view gives its name to another process: a cluster has one worker of a name.
 * - MB2 A leaving member stops only when it has nothing left that another worker could take over.
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
  /** Called when another process has taken this name and nothing runs here any more (MB1). */
  readonly replaced?: () => void;
  /** Called when this worker follows a later view. */
  readonly followed?: (isElsewhere: ReturnType<Router['follow']>) => void;
  /** Called when a lost connection is restored. */
  readonly restored?: () => void;
  /** Observes the envelopes that the worker sends and receives. */
  readonly tap?: { posted(envelope: Envelope): void; arrived(envelope: Envelope): void };
}

/** How long after a loss of its own connection a member ignores absences, ms. */
const restoredMs = 1_500;
/** Maximum wait of a leaving member for its handoffs, ms. Then it stops, and others claim without it. */
export const leaveMs = 30_000;
/** Interval at which the store is checked for partitions that the view assigns to others, ms. */
const verifyMs = 1_000;
/** Every partition is checked once in this many intervals. */
const verifyTurns = 8;
/** How long a member that has left forwards late messages, ms. */
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
    const sendControl = (id: string, one: ControlMessage) => void this.#sendControl(subjects.control(id), one);
    this.views = new Views({ ...reach, ...asWorker(subjects, entry.id), follow }, nothing);
    this.#viewServer = new ViewServer({ ...reach, views: this.views });
    this.acquisition = new Acquisition({
      ...reach,
      name: entry.name,
      limits,
      store,
      worker: () => this.worker,
      sendControl,
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
        if (this.#sendControl(subjects.views, { kind: 'view', view, sent })) this.views.learn(view);
      },
      sendControl,
      sendToService: (one) => void this.#sendControl(subjects.service, one),
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

  /** Starts to listen and to announce itself. `ready` resolves when it has joined. */
  async start(): Promise<void> {
    const { environment, transport, subjects, tap } = this.#parts;
    const { id } = this.#entry;
    this.#closers.push(
      transport.onAbsent((subject) => this.#absent(subject)),
      transport.onRestored(() => this.#restored()),
      this.#listen(subjects.control(id), (message) => this.#receive(message)),
      this.#listen(subjects.views, (message) => this.#receive(message)),
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

  /** Resolves when this worker is in the view and has claimed every partition that the view assigns to it. */
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

  /** This worker's limit `skewMaxMs`. */
  get skewMaxMs(): number {
    return this.#parts.limits.skewMaxMs;
  }

  get entry(): WorkerEntry {
    return this.#entry;
  }

  /** Describes a split of the cluster, as far as this member knows; '': none. */
  get split(): string {
    return this.#host.split;
  }

  /** Whether the placement service runs here, as far as this member knows. */
  get isServing(): boolean {
    return this.#host.isServing;
  }

  /** Hands everything off and stops (MB2). Resolves when nothing runs here any more. */
  async leave(): Promise<void> {
    const { environment, subjects } = this.#parts;
    if (this.#isStopped) return;
    this.#entry = { ...this.#entry, isLeaving: true };
    this.#host.leaving();
    const begunAt = environment.steady();
    // A worker that takes over many partitions needs longer.
    const isInTime = () => environment.steady() < Math.max(begunAt, this.acquisition.outgoing.sentAt) + leaveMs;
    this.#sayThere();
    while (!this.#isStopped && (this.#hasHeirs || this.acquisition.isOwing) && isInTime())
      await new Promise<void>((resolve) => void environment.after(5, resolve));
    if (this.#isStopped) return;
    if (this.worker.partitions.length > 0) await this.worker.drain().then(() => this.worker.letGo());
    this.#sendControl(subjects.service, { kind: 'gone', id: this.#entry.id, viewVersion: 0 });
    await this.#host.stop();
    // Messages whose senders do not know the last view yet are still forwarded.
    await new Promise<void>((resolve) => void environment.after(lingerMs, resolve));
    this.stop();
  }

  /** Whether something is left here that another worker takes over, or will when the view shows that this one leaves. */
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
    // Volatile entities exist only here until their new owners confirm that they have them.
    return this.worker.hasOffers(belongsToSomebody);
  }

  /** Stops at once, as a crash would. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#host.crash();
    this.worker.stop();
    this.acquisition.close();
    for (const close of this.#closers) close();
    this.router.close();
  }

  // ---- control messages

  #listen(subject: string, receive: (message: Heard) => void): () => void {
    return listenForControl(this.#parts, subject, (message) => {
      if (!this.#isStopped) receive(message);
    });
  }

  /** Subscribes to the messages of workers and clients to the service, while it runs here. */
  #listenAsService(): () => void {
    const stop = this.#listen(this.#parts.subjects.service, (message) => {
      // Requests and reports of views are handled as by any worker (VW2).
      if (message.kind === 'announce') this.#clocks.heard(`worker ${message.entry.name}`, message.sentAt);
      if (message.kind === 'resolve' || message.kind === 'view') this.#receive(message);
      else this.#host.receive(message);
    });
    const close = this.#viewServer.open(undefined, (id) => this.#host.receive({ kind: 'absent', id, by: '' }));
    return () => {
      stop();
      close();
    };
  }

  #sendControl(subject: string, message: ControlMessage): boolean {
    return !this.#isStopped && sendControl(this.#parts, subject, message);
  }

  #receive(message: Heard): void {
    const { subjects } = this.#parts;
    switch (message.kind) {
      case 'view':
        this.#clocks.heard('the worker that tells views', message.sentAt);
        this.views.learn(message.view);
        if (this.views.isCredible(message.view)) this.#host.heardView(message.view, message.sent);
        return;
      case 'resolve':
        if (this.views.isKnown && subjects.workerOf(message.replyTo) !== undefined)
          this.#sendControl(message.replyTo, { kind: 'view', view: this.views.placement.view, sent: 0 });
        return;
      case 'ping':
        return this.#pong(message.mark);
      case 'echo':
        return this.#host.echoed(message.number);
      case 'present':
        return this.#host.present(message);
      case 'seek':
      case 'release':
      case 'fetch':
        return this.#asked(message);
      case 'gone':
        return this.#dismissed(message);
      case 'none':
        return this.acquisition.none(message.id, message.partitions, message.ask);
      case 'keeping':
        return this.acquisition.keeping(message.id, message.partitions, message.ask);
      case 'released':
        return this.acquisition.released(message);
      case 'bare':
        return this.acquisition.fetching.bare(message.id, message.partitions, message.ask);
      case 'carried':
        return this.acquisition.fetching.carried(message);
      case 'boarded':
        return this.acquisition.outgoing.boarded(message);
      case 'settled':
        return this.acquisition.fetching.settled(message);
      default:
        return;
    }
  }

  #pong(mark: PingMark): void {
    const { environment, subjects } = this.#parts;
    this.#sendControl(subjects.service, {
      kind: 'pong',
      id: this.#entry.id,
      mark,
      sent: this.#stamps.next(environment.now(), environment.steady()),
    });
  }

  /** The service has removed this process for ever. The message may be old, and about a view that is over. */
  #dismissed({ id, viewVersion }: Extract<ControlMessage, { kind: 'gone' }>): void {
    if (id !== this.#entry.id || this.#entry.isLeaving || viewVersion < this.views.placement.view.version) return;
    if (viewVersion > this.views.placement.view.version || !this.#isInView) this.#replaced(undefined);
  }

  /** A worker that requests by an older view gets the current one, and repeats its request if it is still due. */
  #asked(message: Extract<ControlMessage, { kind: 'seek' | 'release' | 'fetch' }>): void {
    if (!this.views.isCredible(message.view)) return;
    this.views.learn(message.view);
    const { view } = this.views.placement;
    if (view.version > message.view.version) {
      this.#sendControl(this.#parts.subjects.control(message.id), { kind: 'view', view, sent: 0 });
      return;
    }
    if (message.kind === 'fetch') this.acquisition.asked(message);
    else this.acquisition.outgoing.asked(message);
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
    this.#sendControl(subjects.service, { kind: 'announce', entry: this.#entry, viewVersion, sent });
  }

  /**
   * Checks the store for partitions that another worker may have claimed. Workers that believe this one dead do not request
   * its partitions, so it checks those that the view gives to others itself. It also checks the others in turn: without calls
   * no rejected commit would tell, and timers would wait for their owner.
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

  /** Whether another worker keeps this one out of the view (PS7). It waits until the other has left. */
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

  /** The service runs at `holder` and is not heard here: this worker is on the side of the split that stops. */
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

  /** Entities belong to other partitions than before. Owners of those partitions may have to learn of it, or to wake them. */
  #regroup(partitions: readonly number[] | 'all', placement: Placement): void {
    const isAny = partitions === 'all' || partitions.length > 0;
    if (isAny) this.worker.regroup();
    this.acquisition.follow(placement, partitions);
    if (!isAny) return;
    const mine = partitions === 'all' ? this.worker.partitions : partitions;
    this.worker.ownership.verify(mine);
    for (const partition of mine) this.acquisition.resume(partition);
  }

  /** `other`: the other process, if this one has heard of it. */
  #replaced(other: WorkerEntry | undefined): void {
    this.#parts.environment.log.error(
      { worker: this.#entry.name, id: this.#entry.id, other: other?.id },
      'another process has taken over this worker’s name; this process stops',
    );
    this.stop();
    this.#parts.replaced?.();
  }

  /** Pins an entity to a worker, or (undefined) unpins it. Resolves when the pin is stored. */
  async pin(address: string, worker: string | undefined): Promise<void> {
    const { store, subjects, transport } = this.#parts;
    await pinInStore({ store, transport }, this.views.placement, { address, worker });
    this.#sendControl(subjects.service, { kind: 'pinned' });
  }

  // ---- hints of the transport

  #absent(subject: string): void {
    if (this.#isStopped) return;
    const { environment, subjects } = this.#parts;
    if (subject === subjects.service) return this.#host.serviceAbsent();
    const id = subjects.workerOf(subject);
    if (id === undefined || id === this.#entry.id) return;
    // Other processes may reconnect a little later than this one.
    if (environment.steady() - this.#restoredAt < restoredMs) return;
    this.acquisition.absent(id);
    this.#host.workerAbsent(id);
    if (this.#absences.isNews(id)) this.#sendControl(subjects.service, { kind: 'absent', id, by: this.#entry.id });
  }

  #restored(): void {
    if (this.#isStopped) return;
    this.#restoredAt = this.#parts.environment.steady();
    this.views.ask();
    this.worker.hasten(() => true);
    this.#parts.restored?.();
  }
}
