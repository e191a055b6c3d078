/**
 * A cluster on virtual time: whole members that join, leave, crash and restart, and clients on their own nodes.
 *
 * Owns the life of processes: each start of a worker is a new process, with a node and an id that are never used again.
 * `chaos.ts` injects faults, `network.ts` carries frames, `faulty-store.ts` runs store calls. Longer than 400 lines because
 * workers, clients and their machines share one clock, one roster and one end.
 *
 *     start ─▶ running ─┬─ leave ───────────────────────▶ gone ──┐
 *                       ├─ crash ───────────▶ dead or stopped ───┼▶ start under the same name, if it is on the roster
 *                       └─ another of its name in the view ──────┘
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { Limits } from '../../core/limits.ts';
import type { PlacementLimits } from '../../placement/limits.ts';
import type { ProtocolRange, WorkerEntry } from '../../placement/view.ts';
import type { Client } from '../client/client.ts';
import { leaveMs, Member } from '../cluster/member.ts';
import { connect, type RemoteCluster } from '../connect.ts';
import type { Environment } from '../environment.ts';
import type { Log } from '../log.ts';
import { hostedTypes } from '../options.ts';
import type { Transport } from '../transport.ts';
import { decodeFrame, extensionVersion, protocol } from '../wire/codec.ts';
import { decodeControl } from '../wire/control-messages.ts';
import type { Envelope } from '../wire/envelope.ts';
import { type Party, Subjects } from '../wire/subjects.ts';
import type { Authorise } from '../worker/authorise.ts';
import type { Checker } from './checker.ts';
import { type Coverage, operationOf } from './coverage.ts';
import type { FaultyStore } from './faulty-store.ts';
import { asLater, isMarkIntact, isReadableBy } from './later.ts';
import type { Network } from './network.ts';
import { SeededRandom } from './random.ts';
import { textOf } from './trace.ts';
import { Clock, newNode, type SimulatedNode, type VirtualTime } from './virtual-time.ts';

/** The configuration of a worker; the same after restarts. */
export interface WorkerKind {
  readonly behaviours: readonly Behaviour[];
  readonly labels: readonly string[];
  readonly weight: number;
  /** The application's version. */
  readonly version: string;
  /** Protocol versions of Skerry. */
  readonly protocol: ProtocolRange;
}

export interface ClusterParts {
  readonly seed: string | number;
  readonly time: VirtualTime;
  readonly checker: Checker;
  readonly network: Network;
  readonly store: FaultyStore;
  /** The configuration of a worker, by its number. */
  readonly kindOf: (number: number) => WorkerKind;
  /** The same in the application's next version; undefined: there is none. */
  readonly nextKindOf: ((number: number) => WorkerKind) | undefined;
  readonly authorise: Authorise | undefined;
  readonly limits: Limits;
  readonly placementLimits: PlacementLimits;
  readonly workers: number;
  readonly coverage: Coverage;
  /** Whether the node is to crash at this point. */
  readonly isCrashing: () => boolean;
}

/** A worker process. */
export interface SimulatedWorker {
  readonly name: string;
  readonly kind: WorkerKind;
  readonly node: SimulatedNode;
  readonly member: Member;
  isLeaving: boolean;
  leavesAt?: number;
}

/** A client of the simulated cluster, on its own node. */
export interface SimulatedClient {
  readonly name: string;
  /** Its verified identity; '' for none. */
  readonly identity: string;
  readonly client: Client;
  /** Random numbers for the actions of this client. */
  readonly chance: SeededRandom;
  /** Resolves after `ms` of virtual time. */
  sleep(ms: number): Promise<void>;
}

export class SimulatedCluster {
  readonly #parts: ClusterParts;
  readonly #chance: SeededRandom;
  readonly #node = newNode('cluster');
  /** The configuration of a worker that starts now, by its number. */
  #kindOf: ClusterParts['kindOf'];
  /** Names of the workers that run at the end. */
  readonly #roster = new Map<string, WorkerKind>();
  /** Names of the workers that have left for good. */
  readonly #retired = new Map<string, WorkerKind>();
  readonly #workers = new Set<SimulatedWorker>();
  readonly #clients = new Map<SimulatedNode, RemoteCluster>();
  /** Machines by the worker's name: all processes of a name run on one machine. */
  readonly #clocks = new Map<string, Clock>();
  readonly #subjects = new Subjects('simulated');
  #workerCount = 0;
  #processCount = 0;
  #stoppedTurns = 0;
  #leftAt = 0;
  isHealed = false;

  constructor(parts: ClusterParts) {
    this.#parts = parts;
    this.#chance = new SeededRandom(parts.seed, 'cluster');
    this.#kindOf = parts.kindOf;
    for (let count = 0; count < parts.workers; count++) this.join();
  }

  /** All processes, including leaving ones and zombies. */
  get workers(): readonly SimulatedWorker[] {
    return [...this.#workers];
  }

  get clientNodes(): readonly SimulatedNode[] {
    return [...this.#clients.keys()];
  }

  get names(): readonly string[] {
    return [...this.#roster.keys()];
  }

  /** What a worker is in the middle of. */
  underWayAt({ node, member, isLeaving }: SimulatedWorker): string[] {
    const { queued, effects, activations } = member.worker.figures;
    const all: readonly (readonly [string, boolean])[] = [
      ['a commit under way', this.#parts.checker.isCommitting(node)],
      ['messages that wait', queued > 0],
      ['an effect that runs', effects > 0],
      ['a handoff', isLeaving || !member.acquisition.isSettled],
      ['the placement service', member.isServing],
      ['entities in memory', activations > 0],
    ];
    return all.filter(([, isSo]) => isSo).map(([what]) => what);
  }

  /** When the last leaving worker had left; now, while one still has time for that. */
  get leftAt(): number {
    const { now } = this.#parts.time;
    const isInTime = ({ leavesAt = now }: SimulatedWorker) => now <= leavesAt + leaveMs + leftMs;
    return this.workers.some((worker) => worker.isLeaving && isInTime(worker)) ? now : this.#leftAt;
  }

  get turns(): number {
    return this.workers.reduce((sum, { member }) => sum + member.worker.figures.turns, this.#stoppedTurns);
  }

  /**
   * Why the cluster has not converged; undefined: it has. Then every worker of the roster runs once and is ready, all views are
   * the same, and every partition is claimed by the worker that the view assigns it to.
   */
  get unsettled(): string | undefined {
    for (const name of this.#roster.keys()) {
      const count = this.workers.filter((worker) => worker.name === name).length;
      if (count !== 1) return `${count} processes are ${name}`;
    }
    const [first] = this.#workers;
    if (first === undefined) return 'nobody is there';
    const { placement } = first.member.views;
    const { version } = placement.view;
    for (const { node, member } of this.#workers) {
      if (!member.isReady) return `${node.name} is not ready, in view ${member.views.placement.view.version}`;
      if (member.views.placement.view.version !== version) return `${node.name} goes by another view than ${version}`;
    }
    if (!this.#parts.checker.arePins(placement.view.pins)) return 'the view has other pins than the store';
    for (const [node, remote] of this.#clients)
      if (remote.view.version !== version) return `${node.name} goes by view ${remote.view.version}, not ${version}`;
    // A partition whose claim was dropped is detected by the next commit. Until then it costs nothing.
    for (const partition of placement.partitionNumbers) {
      const id = placement.workerOf(partition)?.id;
      const owner = this.workers.find(({ member }) => member.entry.id === id);
      if (owner?.member.worker.has(partition) !== true) return `${id} does not have partition ${partition}`;
    }
    return undefined;
  }

  /** Checks that what workers hold is bounded at all times, also while they or their stores hang (P12). */
  checkHeld(): void {
    const { workerQueueCountMax, workerQueueBytesMax } = this.#parts.limits;
    for (const { node, member } of this.#workers) {
      const { messages, queries, signals, bytes } = member.worker.held;
      // Queries, and answers of accepted messages, have their own bound above that of messages; stream envelopes may exceed it by one.
      const most = Math.max(messages, queries, signals - 1);
      if (most > workerQueueCountMax || bytes > 2 * workerQueueBytesMax)
        this.#parts.checker.violate('P12', `${node.name} holds ${JSON.stringify(member.worker.held)}`);
    }
  }

  /**
   * Workers seen to hold nothing: every item that was counted in was counted out (HD1). A late envelope may arrive at any moment
   * and wait until its entity is read, so each worker has a while for that.
   */
  noteReleased(released: Set<SimulatedNode>): boolean {
    for (const { node, member } of this.#workers)
      if (Object.values(member.worker.held).every((count) => count === 0)) released.add(node);
    return this.workers.every(({ node }) => released.has(node));
  }

  /** The other workers, after that while. */
  checkReleased(released: ReadonlySet<SimulatedNode>): void {
    for (const { node, member } of this.#workers)
      if (!released.has(node))
        this.#parts.checker.violate('HD1', `${node.name} still holds ${JSON.stringify(member.worker.held)}`);
  }

  // ---- nodes

  #clockOf(name: string): Clock {
    let clock = this.#clocks.get(name);
    if (clock === undefined) {
      clock = new Clock(this.#offset(), this.#offsetMsMax);
      this.#clocks.set(name, clock);
    }
    return clock;
  }

  /** Two clocks differ by at most `skewMaxMs`. */
  get #offsetMsMax(): number {
    return Math.floor(this.#parts.limits.skewMaxMs / 2);
  }

  #offset(): number {
    return this.#chance.between(-this.#offsetMsMax, this.#offsetMsMax);
  }

  /** Sets the clock of a machine, or makes it drift from now on. */
  misguide({ clock, name }: SimulatedNode, chance: SeededRandom, how: 'step' | 'drift'): void {
    const { time } = this.#parts;
    if (how === 'drift') clock.drift(1 + (chance.next() - 0.5) / 25, time.now);
    else clock.step(chance.between(-this.#offsetMsMax, this.#offsetMsMax), time.now);
    time.note(`the clock of ${name} ${how === 'step' ? 'is set' : 'drifts'}, and shows ${clock.at(time.now)}`);
  }

  #environment(node: SimulatedNode): Environment {
    const { time, seed } = this.#parts;
    const chance = new SeededRandom(seed, `node ${node.name}`);
    let ids = 0;
    return {
      now: () => node.clock.at(time.now),
      steady: () => node.clock.steadyAt(time.now),
      after: (ms, run) => time.schedule(node, node.clock.trueMs(ms), 'timer', run),
      soon: (run) => void time.schedule(node, 0, 'soon', run),
      random: () => chance.next(),
      newId: () => `${node.name}-${++ids}`,
      log: this.#log(node),
    };
  }

  #log(node: SimulatedNode): Log {
    const { time, checker, coverage } = this.#parts;
    const note = (details: object, message: string) => {
      coverage.mechanism(`log: ${message}`);
      time.tell(() => `${node.name} log: ${message} ${JSON.stringify(details)}`);
    };
    return {
      info: note,
      warn: note,
      error: (details, message) => {
        note(details, message);
        if (message.includes('(P8)')) checker.lossReported(node, `${message} ${JSON.stringify(details)}`);
      },
    };
  }

  // ---- workers

  /** Adds a worker to the roster and starts it. */
  join(): SimulatedWorker {
    const number = ++this.#workerCount;
    const name = `w${number}`;
    this.#roster.set(name, this.#kindOf(number));
    return this.start(name);
  }

  /** Starts a process with a name of the roster, even if another process has the name. */
  start(name: string): SimulatedWorker {
    const kind = this.#roster.get(name);
    if (kind === undefined) throw new Error(`${name} is not on the roster`);
    const { network, store, limits, placementLimits, checker, coverage, authorise } = this.#parts;
    const node = newNode(`${name}-${++this.#processCount}`, this.#clockOf(name));
    const member = new Member({
      environment: this.#environment(node),
      transport: this.#heard(node, this.#spoken(node, kind.protocol, network.transport(node))),
      subjects: this.#subjects,
      store: store.handle(node),
      behaviours: kind.behaviours,
      limits,
      placementLimits,
      entry: entryOf(name, node.name, kind),
      authorise,
      replaced: () => this.#gone(worker, 'replaced'),
      tap: {
        posted: (envelope) => {
          this.#tell(node, 'posts', envelope);
          checker.posted(node, envelope);
          coverage.mechanism(`${operationOf(envelope)} sent`);
          this.mayCrash(node, 'while releasing', () => [operationOf(envelope)]);
        },
        arrived: (envelope) => {
          this.#tell(node, 'gets', envelope);
          if (!isMarkIntact(envelope))
            checker.violate('EX1', `${node.name} got ${textOf(envelope)} with another’s mark`);
          if (envelope.extension !== undefined) coverage.mechanism('an extension arrived');
        },
      },
    });
    const worker: SimulatedWorker = { name, kind, node, member, isLeaving: false };
    this.#workers.add(worker);
    member.start().catch(this.#parts.time.onError);
    return worker;
  }

  #tell(node: SimulatedNode, verb: string, envelope: Envelope): void {
    this.#parts.time.tell(() => `${node.name} ${verb} ${textOf(envelope)}`);
  }

  /**
   * The transport of a process of a later release: its frames have additions that only processes that announce support for them
   * understand. No other process may be sent any (M9).
   */
  #spoken(node: SimulatedNode, own: ProtocolRange, transport: Transport): Transport {
    const { seed, checker, coverage } = this.#parts;
    const chance = new SeededRandom(seed, `later ${node.name}`);
    return {
      ...transport,
      send: (subject, bytes) => {
        const id = framed.exec(subject)?.[1];
        const listener = id === undefined ? undefined : this.workers.find(({ member }) => member.entry.id === id);
        if (listener === undefined) return transport.send(subject, bytes);
        const { to } = listener.kind.protocol;
        if (!isReadableBy(bytes, to)) checker.violate('M9', `${node.name} sends ${id} a frame that it does not read`);
        const isLater = Math.min(own.to, to) >= extensionVersion;
        const later = isLater ? asLater(bytes, chance) : undefined;
        if (later !== undefined) coverage.mechanism('a later release’s frame');
        if (own.to !== to) coverage.mechanism('a frame between two protocols');
        transport.send(subject, later ?? bytes);
      },
    };
  }

  /** The transport of a worker; the checker sees the entities that it hands off. */
  #heard(node: SimulatedNode, transport: Transport): Transport {
    const control = this.#subjects.control('');
    return {
      ...transport,
      send: (subject, bytes) => {
        if (subject.startsWith(control)) {
          const message = decodeControl(bytes);
          if (message.kind === 'released') this.#parts.checker.released(node, message);
        }
        transport.send(subject, bytes);
      },
    };
  }

  /** From now on, workers that start run the next version. Returns false if there is none, or they do already. */
  deploy(): boolean {
    const { nextKindOf, time } = this.#parts;
    if (nextKindOf === undefined || this.#kindOf === nextKindOf) return false;
    time.note('the next version is deployed');
    this.#kindOf = nextKindOf;
    for (const kinds of [this.#roster, this.#retired])
      for (const name of kinds.keys()) kinds.set(name, nextKindOf(Number(name.slice(1))));
    return true;
  }

  /** Workers that still run the version before leave, and restart with the next. */
  finishDeployment(): void {
    for (const worker of this.workers)
      if (!worker.isLeaving && this.#roster.get(worker.name) !== worker.kind) this.leave(worker, false);
  }

  /** Ends when everything has been handed off. Then the worker starts again, unless it is off the roster. */
  leave(worker: SimulatedWorker, isForGood: boolean): void {
    const kind = this.#roster.get(worker.name);
    if (isForGood && kind !== undefined) {
      this.#roster.delete(worker.name);
      this.#retired.set(worker.name, kind);
    }
    worker.isLeaving = true;
    worker.leavesAt = this.#parts.time.now;
    this.#parts.time.note(`${worker.node.name} leaves`);
    worker.member.leave().then(() => this.#gone(worker, 'left'), this.#parts.time.onError);
  }

  /** May crash the worker of a node at this point. */
  mayCrash(node: SimulatedNode, point: string, operations: () => Iterable<string>): void {
    if (node.isStopped || !this.#parts.isCrashing()) return;
    const victim = this.workers.find((one) => one.node === node);
    if (victim === undefined) return;
    this.#parts.coverage.fault(`crash: ${point}`, operations());
    this.crash(victim, point);
  }

  /** Stops a worker, or removes it at once. */
  crash(worker: SimulatedWorker, reason: string): void {
    worker.member.stop();
    // Half of the workers stay, to check that a stopped worker does nothing by itself. Of the others no event runs any more.
    worker.node.isDead = this.#chance.hits(0.5);
    this.#gone(worker, reason);
  }

  #gone(worker: SimulatedWorker, reason: string): void {
    const { time } = this.#parts;
    const { name, node, member } = worker;
    if (!this.#workers.delete(worker)) return;
    time.note(`${node.name} ends: ${reason}`);
    node.isStopped = true;
    node.stoppedAt = time.now;
    if (worker.isLeaving) this.#leftAt = time.now;
    this.#stoppedTurns += member.worker.figures.turns;
    const pauseMs = this.isHealed ? 10 : this.#chance.between(1, 3_000);
    time.schedule(this.#node, pauseMs, `restart of ${name}`, () => {
      if (this.#roster.has(name) && !this.workers.some((one) => one.name === name)) this.start(name);
    });
  }

  /** Makes sure that every type has a host again. Otherwise its entities could never finish. */
  recall(): void {
    for (const [name, kind] of this.#retired) {
      const hosted = new Set([...this.#roster.values()].flatMap(({ behaviours }) => behaviours));
      if (kind.behaviours.every((behaviour) => hosted.has(behaviour))) continue;
      this.#roster.set(name, kind);
      this.start(name);
    }
  }

  /** A process whose store hangs for good fails its liveness probe and is restarted. */
  endHung(): void {
    for (const worker of this.workers) if (this.#parts.store.isHung(worker.node)) this.crash(worker, 'its store hangs');
  }

  /** Of several processes with one name the latest stays. */
  endZombies(): void {
    for (const worker of this.workers) {
      const isLatest = this.workers.findLast(({ name }) => name === worker.name) === worker;
      if (!isLatest) this.crash(worker, 'a later process has its name');
    }
  }

  // ---- clients

  /** A client that knows the view. Rejects if no worker tells it one for long. */
  async connect(name: string, identity: string, as: Party): Promise<SimulatedClient> {
    const { time, network, limits, checker, seed } = this.#parts;
    const node = newNode(name, this.#clockOf(name));
    const transport = this.#spoken(node, protocol, network.transport(node));
    const mail = /^skerry\.simulated\.(?:call|gate|tool)\./;
    const send = (subject: string, bytes: Uint8Array) => {
      if (mail.test(subject))
        for (const envelope of decodeFrame(bytes).envelopes) {
          this.#tell(node, 'posts', envelope);
          checker.called(envelope);
        }
      transport.send(subject, bytes);
    };
    const remote = await connect({
      transport: { ...transport, send },
      cluster: 'simulated',
      as,
      limits,
      environment: this.#environment(node),
      identity,
      timeoutMs: 120_000,
    });
    this.#clients.set(node, remote);
    const sleep = (ms: number) => new Promise<void>((resolve) => void time.schedule(node, ms, 'sleep', resolve));
    return { name, identity, client: remote.client, chance: new SeededRandom(seed, `client ${name}`), sleep };
  }
}

/** Most time that a leaving worker needs for other tasks, ms. */
const leftMs = 5_000;
/** Subjects of frames for a worker, with its id. */
const framed = /^skerry\.simulated\.(?:worker|call|gate|tool)\.([\w-]+)/;

function entryOf(name: string, id: string, { behaviours, ...kind }: WorkerKind): WorkerEntry {
  return { name, id, ...kind, types: hostedTypes(behaviours), isLeaving: false };
}
