/**
 * A cluster on virtual time: workers that crash, pause, are cut off and come back, and clients on nodes of their own.
 *
 * Owns the life of nodes and what is done to them; frames are `network.ts`, store calls `faulty-store.ts`.
 *
 *     start ─▶ running ─┬─ crash ─────────▶ dead or stopped ─▶ start under the same name
 *                       ├─ pause, cut ────▶ running again
 *                       └─ takeover ──────▶ a zombie beside its successor ─▶ running again, with a stale epoch
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { Limits } from '../../core/limits.ts';
import { Placement } from '../../placement/placement.ts';
import { viewOf } from '../../placement/view.ts';
import { Client } from '../client.ts';
import { hostedTypes } from '../embed.ts';
import type { Envelope } from '../envelope.ts';
import type { Environment } from '../environment.ts';
import type { Log } from '../log.ts';
import { Post } from '../post.ts';
import { Subjects } from '../subjects.ts';
import { Worker } from '../worker.ts';
import { Chance } from './chance.ts';
import { type FaultCount, type FaultRates, noFaults } from './faults.ts';
import type { FaultyStore } from './faulty-store.ts';
import type { Network } from './network.ts';
import { newNode, type SimulatedNode, type VirtualTime } from './virtual-time.ts';
import type { Watch } from './watch.ts';

export interface ClusterParts {
  readonly seed: string | number;
  readonly time: VirtualTime;
  readonly watch: Watch;
  readonly network: Network;
  readonly store: FaultyStore;
  readonly behaviours: readonly Behaviour[];
  readonly limits: Limits;
  readonly workers: number;
  readonly count: FaultCount;
  rates: FaultRates;
}

interface RunningWorker {
  readonly name: string;
  readonly node: SimulatedNode;
  readonly worker: Worker;
  readonly post: Post;
}

/** A client of the cluster, on a node of its own. */
export interface SimulatedClient {
  readonly name: string;
  readonly client: Client;
  /** Chance for what this client does. */
  readonly chance: Chance;
  sleep(ms: number): Promise<void>;
}

export class SimulatedCluster {
  readonly #parts: ClusterParts;
  readonly #chance: Chance;
  readonly #chaos = newNode('chaos');
  readonly #running = new Map<string, RunningWorker>();
  readonly #zombies = new Set<RunningWorker>();
  readonly #offsets = new Map<string, number>();
  readonly #placement: Placement;
  readonly #subjects = new Subjects('simulated');
  #nodeCount = 0;
  #isFaulty = false;
  #stoppedTurns = 0;

  constructor(parts: ClusterParts) {
    this.#parts = parts;
    this.#chance = new Chance(parts.seed, 'cluster');
    const names = Array.from({ length: parts.workers }, (_, index) => `worker-${index + 1}`);
    this.#placement = new Placement(viewOf(1, parts.store.inner.partitions, names, hostedTypes(parts.behaviours)));
    for (const name of names) this.#start(name);
  }

  get turns(): number {
    return [...this.#running.values(), ...this.#zombies].reduce(
      (sum, { worker }) => sum + worker.figures.turns,
      this.#stoppedTurns,
    );
  }

  get workers(): readonly Worker[] {
    return [...this.#running.values()].map(({ worker }) => worker);
  }

  get isComplete(): boolean {
    return this.#running.size === this.#parts.workers;
  }

  // ---- nodes

  #offsetOf(name: string): number {
    let offset = this.#offsets.get(name);
    if (offset === undefined) {
      const half = Math.floor(this.#parts.limits.skewMaxMs / 2);
      offset = this.#chance.between(-half, half);
      this.#offsets.set(name, offset);
    }
    return offset;
  }

  #environment(node: SimulatedNode): Environment {
    const { time, seed } = this.#parts;
    const chance = new Chance(seed, `node ${node.name}`);
    let ids = 0;
    return {
      now: () => time.now + node.offsetMs,
      after: (ms, run) => time.schedule(node, ms, 'timer', run),
      soon: (run) => void time.schedule(node, 0, 'soon', run),
      random: () => chance.next(),
      newId: () => `${node.name}.${++ids}`,
      log: this.#log(node),
    };
  }

  #log(node: SimulatedNode): Log {
    const { time, watch } = this.#parts;
    const note = (details: object, message: string) =>
      time.tell(() => `${node.name} log: ${message} ${JSON.stringify(details)}`);
    return {
      info: note,
      warn: note,
      error: (details, message) => {
        note(details, message);
        // No store of a simulation loses what it accepted, so nobody may find that it did.
        if (message.includes('(P8)')) watch.violate('P8', `${node.name}: ${message} ${JSON.stringify(details)}`);
      },
    };
  }

  #start(name: string): void {
    const { network, store, behaviours, limits, watch, time } = this.#parts;
    const node = newNode(`${name}#${++this.#nodeCount}`, this.#offsetOf(name));
    const environment = this.#environment(node);
    const post = new Post(
      { transport: network.transport(node), environment, subjects: this.#subjects },
      this.#placement,
    );
    const send = (envelope: Envelope) => {
      time.tell(() => `${node.name} posts ${textOf(envelope)}`);
      watch.posted(node, envelope);
      post.post(envelope);
      this.mayCrash(node, 'while releasing');
    };
    const worker = new Worker({ name, store: store.handle(node), behaviours, environment, limits, post: send });
    post.listen(this.#subjects.worker(name), (envelope) => {
      time.tell(() => `${node.name} gets ${textOf(envelope)}`);
      worker.receive(envelope);
    });
    const running = { name, node, worker, post };
    this.#running.set(name, running);
    worker.start(this.#partitionsOf(name)).catch((error: unknown) => {
      time.note(`${node.name} does not start: ${String(error)}`);
      if (this.#running.get(name) === running) this.#end(running, 'start failed');
    });
  }

  /** A client; `offsetMs` is its clock's. */
  connect(name: string): SimulatedClient {
    const { time, network, limits, watch, seed } = this.#parts;
    const node = newNode(name, this.#offsetOf(name));
    const environment = this.#environment(node);
    const post = new Post(
      { transport: network.transport(node), environment, subjects: this.#subjects },
      this.#placement,
    );
    const subject = this.#subjects.client(name);
    const send = (envelope: Envelope) => {
      time.tell(() => `${name} posts ${textOf(envelope)}`);
      watch.called(envelope);
      post.post(envelope);
    };
    const client = new Client({ environment, limits, subject, identity: '', post: send });
    post.listen(subject, (envelope) => client.receive(envelope));
    const sleep = (ms: number) => new Promise<void>((resolve) => void time.schedule(node, ms, 'sleep', resolve));
    return { name, client, chance: new Chance(seed, `client ${name}`), sleep };
  }

  // ---- faults

  /** Begin with the faults; what happens at a point of the commit path is drawn at each of them. */
  disturb(): void {
    this.#isFaulty = true;
    this.#tick();
  }

  #tick(): void {
    const { time, rates } = this.#parts;
    if (!this.#isFaulty) return;
    this.#replaceLosers();
    const perTick = (rate: number) => this.#chance.hits(rate / 4);
    if (perTick(rates.pause))
      this.#disturbOne('worker paused', (one) => this.#pause(one, this.#chance.between(20, 4_000)));
    if (perTick(rates.cut))
      this.#disturbOne('worker cut off', (one) => this.#cut(one, this.#chance.between(20, 4_000)));
    if (perTick(rates.takeover)) this.#disturbOne('partitions taken over', (one) => this.#takeOver(one));
    time.schedule(this.#chaos, 250, 'tick', () => this.#tick());
  }

  /** A claim that was slow may have taken partitions from a later owner; who has lost them this way starts again. */
  #replaceLosers(): void {
    for (const one of [...this.#running.values()]) {
      const hasLost = this.#partitionsOf(one.name).some(
        (partition) => this.#parts.watch.isOwner(one.node, partition) === false,
      );
      if (hasLost) this.#end(one, 'its partitions are taken');
    }
  }

  #partitionsOf(name: string): number[] {
    return this.#placement.partitionsOf(name);
  }

  #disturbOne(kind: string, act: (one: RunningWorker) => void): void {
    const candidates = [...this.#running.values()].filter(
      ({ node }) => !node.isPaused && !this.#parts.network.isCut(node),
    );
    if (candidates.length === 0) return;
    this.#parts.count.add(kind);
    act(this.#chance.pick(candidates));
  }

  #pause({ node }: RunningWorker, ms: number): void {
    const { time } = this.#parts;
    time.pause(node);
    time.schedule(this.#chaos, ms, `${node.name} goes on`, () => time.resume(node));
  }

  #cut({ node }: RunningWorker, ms: number): void {
    const { time, network } = this.#parts;
    network.cut(node);
    time.schedule(this.#chaos, ms, `${node.name} is back`, () => network.mend(node));
  }

  /** The worker is hung or cut off; another of its name takes its partitions, and later it comes to again. */
  #takeOver(old: RunningWorker): void {
    const ms = this.#chance.between(50, 5_000);
    // Or nothing is wrong with it but that somebody thinks so: then both are asked everything.
    const way = this.#chance.pick(['pause', 'cut', 'suspicion'] as const);
    if (way === 'pause') this.#pause(old, ms);
    if (way === 'cut') this.#cut(old, ms);
    this.#running.delete(old.name);
    this.#zombies.add(old);
    this.#parts.time.schedule(
      this.#chaos,
      this.#chance.between(0, Math.min(ms, 1_000)),
      `successor of ${old.node.name}`,
      () => {
        if (!this.#running.has(old.name)) this.#start(old.name);
      },
    );
  }

  /** Perhaps crash the worker of a node, here and now. */
  mayCrash(node: SimulatedNode, point: string): void {
    if (!this.#isFaulty || node.isStopped || !this.#chance.hits(this.#parts.rates.crash)) return;
    const victim = [...this.#running.values(), ...this.#zombies].find((one) => one.node === node);
    if (victim === undefined) return;
    this.#parts.count.add(`crash: ${point}`);
    this.#end(victim, point);
  }

  /** Stopped or gone at once; soon another of its name starts. */
  #end(victim: RunningWorker, reason: string): void {
    const { time } = this.#parts;
    const { name, node, worker } = victim;
    time.note(`${node.name} ends: ${reason}`);
    worker.stop();
    node.isStopped = true;
    node.stoppedAt = time.now;
    // Half of them stay to see that a stopped worker does nothing by itself; of the others no event runs any more.
    node.isDead = this.#chance.hits(0.5);
    if (this.#zombies.delete(victim)) this.#stoppedTurns += worker.figures.turns;
    if (this.#running.get(name) !== victim) return;
    this.#stoppedTurns += worker.figures.turns;
    this.#running.delete(name);
    const pauseMs = this.#isFaulty ? this.#chance.between(1, 2_000) : 10;
    time.schedule(this.#chaos, pauseMs, `restart of ${name}`, () => {
      if (!this.#running.has(name)) this.#start(name);
    });
  }

  /** No more faults; whoever is paused or cut off comes back, and zombies find out or end. */
  heal(): void {
    const { time, network, store } = this.#parts;
    this.#isFaulty = false;
    this.#parts.rates = noFaults;
    store.rates = noFaults;
    network.rates = noFaults;
    network.mendAll();
    for (const { node } of [...this.#running.values(), ...this.#zombies]) if (node.isPaused) time.resume(node);
    time.schedule(this.#chaos, 5_000, 'zombies end', () => {
      for (const zombie of this.#zombies) this.#end(zombie, 'healed');
      this.#replaceLosers();
    });
  }
}

/** An envelope in one line of a trace. */
function textOf(envelope: Envelope): string {
  switch (envelope.kind) {
    case 'message': {
      const { session, seq, floor, sent } = envelope.arrival;
      return `message ${envelope.from} -> ${envelope.to} ${session}.${seq} floor ${floor} sent ${sent} ${envelope.content.kind} ${envelope.content.operation}`;
    }
    case 'query':
      return `query ${envelope.replyTo}:${envelope.call} -> ${envelope.to} ${envelope.operation}`;
    case 'reply':
      return `reply ${envelope.status} -> ${envelope.to}:${envelope.call}`;
    default:
      return `${envelope.kind} ${envelope.from} -> ${envelope.to} ${envelope.session}.${envelope.number}`;
  }
}
