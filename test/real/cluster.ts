/**
 * A cluster of real processes on loopback: NATS, Redis, workers, and the client outside. Started, hurt and ended here.
 *
 * Owns which processes there are. What is done to them, and what is to be seen of it, is `faults.ts` and `moves.ts`.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { authorizationText, type Login } from '../../runtime/wire/permissions.ts';
import { NatsServer } from '../support/nats-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import type { Verdict } from './check.ts';
import type { LoadOptions } from './load.ts';
import type { Order } from './orders.ts';
import { builtIn, clock, Program, root, type Used, until, usedBy } from './program.ts';

const readyMs = 60_000;
const checkMs = 120_000;
/** Handing off takes a moment, waiting for another worker that is being killed takes longer. */
const endMs = 60_000;

const logins = (['worker', 'tool', 'client', 'mallory'] as const).map((user): Login => {
  return { party: user === 'mallory' ? 'client' : user, user, password: '"secret"' };
});

export interface ClusterOptions {
  /** The first one is alone at first: the placement service runs there. */
  readonly workers: readonly string[];
  /** Only the worker of this name reaches NATS and the store through cables that can be cut. */
  readonly cabled?: string;
  readonly load: LoadOptions;
  /** Whether NATS tells workers, tools and clients apart. */
  readonly hasPermissions?: boolean;
  /** Where the programs of another release were built (`buildOf`): that of the first workers, and of the client. */
  readonly workersOf?: string;
  readonly clientOf?: string;
}

interface Cables {
  readonly nats: TcpProxy;
  readonly redis: TcpProxy;
}

interface Servers {
  readonly nats: NatsServer;
  readonly redis: RedisServer;
  readonly cables: Cables;
}

export interface Recovery {
  /** For each key, from the fault to its first success after it. */
  readonly ms: readonly number[];
  readonly openCount: number;
}

export interface Figures {
  readonly successes: number;
  readonly failures: number;
  readonly failed: readonly {
    code: string;
    effect: string;
    message: string;
    address: string;
    at: number;
    ms: number;
  }[];
}

/** Compiles what the processes run: that starts in a third of the time that it takes from the sources. */
export function build(folder = root): void {
  // Types are checked by `npm run check`.
  execFileSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.faults.json', '--noCheck'], { cwd: folder });
}

/** The programs of another commit of this repository, built from its sources with the packages of this one; their folder. */
export function buildOf(commit: string): string {
  const folder = join(root, '.build', 'releases', commit);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const sources = execFileSync('git', ['archive', '--format=tar', commit], { cwd: root, maxBuffer: 1e9 });
  execFileSync('tar', ['-x', '-C', folder], { input: sources });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  build(folder);
  return builtIn(folder);
}

export class Cluster {
  readonly nats: NatsServer;
  readonly redis: RedisServer;
  readonly cables: Cables;
  readonly workers = new Map<string, Program>();
  readonly #options: ClusterOptions;
  #client: Program | undefined;
  #orderCount = 0;

  private constructor(options: ClusterOptions, servers: Servers) {
    this.#options = options;
    this.nats = servers.nats;
    this.redis = servers.redis;
    this.cables = servers.cables;
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    // Every answer of this Redis is on disk.
    const users = options.hasPermissions === true ? authorizationText(logins, 'main') : '';
    const [nats, redis] = await Promise.all([NatsServer.start(users), RedisServer.start()]);
    const cables = { nats: await TcpProxy.to(nats.port), redis: await TcpProxy.to(redis.port) };
    const cluster = new Cluster(options, { nats, redis, cables });
    try {
      const [first, ...others] = options.workers;
      const { workersOf } = options;
      if (first !== undefined) await cluster.startWorker(first, '1', workersOf);
      await Promise.all(others.map((name) => cluster.startWorker(name, '1', workersOf)));
      await cluster.#startClient();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  // ---- workers

  /** Resolves when it is ready; with how long that took, ms. */
  async startWorker(name: string, version = '1', release?: string): Promise<number> {
    const startedAt = performance.now();
    const program = this.spawnWorker(name, version, release);
    await program.hear('ready', readyMs);
    return performance.now() - startedAt;
  }

  spawnWorker(name: string, version = '1', release?: string): Program {
    const isCabled = name === this.#options.cabled;
    const nats = isCabled ? `nats://127.0.0.1:${this.cables.nats.port}` : this.urlFor('worker');
    const store = isCabled ? `redis://127.0.0.1:${this.cables.redis.port}` : this.redis.url;
    const parameters = ['--name', name, '--nats', nats, '--store', store, '--version', version];
    const program = new Program(name, 'worker-main', parameters, release);
    this.workers.set(name, program);
    return program;
  }

  /** The address of NATS for who logs in by this name. */
  urlFor(user: string): string {
    if (this.#options.hasPermissions !== true) return this.nats.url;
    return `nats://${user}:secret@127.0.0.1:${this.nats.port}`;
  }

  worker(name: string): Program {
    const program = this.workers.get(name);
    if (program === undefined) throw new Error(`there is no worker ${name}`);
    return program;
  }

  async statsOf(name: string): Promise<{ partitions: number; forwarded: number; moved: number; isServing: boolean }> {
    const program = this.worker(name);
    program.tell('stats');
    return (await program.hear('stats', 10_000)).stats as Awaited<ReturnType<Cluster['statsOf']>>;
  }

  /** Have an entity hosted by a chosen worker: asked of any of them, resolves when the store knows it. */
  async pin(asked: string, address: string, worker: string): Promise<void> {
    const program = this.worker(asked);
    program.tell(`pin ${address} ${worker}`);
    const { pinned } = await program.hear('pinned', 10_000);
    if (pinned !== address) throw new Error(`${address} was not pinned: ${String(pinned)}`);
  }

  /** SIGTERM, and the wait for it to have handed everything off; how long that took, ms. */
  async drain(name: string): Promise<number> {
    const program = this.worker(name);
    const startedAt = performance.now();
    program.signal('SIGTERM');
    const isOver = await until(() => !program.isAlive, endMs, 5);
    const code = isOver ? await program.ended : undefined;
    if (code !== 0) throw new Error(`${name} did not drain (${code})\n${program.errors.slice(-15).join('\n')}`);
    return performance.now() - startedAt;
  }

  // ---- the client

  async #startClient(): Promise<void> {
    const { load, clientOf } = this.#options;
    const args = ['--nats', this.urlFor('client'), '--store', this.redis.url, '--load', JSON.stringify(load)];
    this.#client = new Program('client', 'client-main', args, clientOf);
    await this.#client.hear('ready', readyMs);
  }

  async #order<Answer>(order: Order, timeoutMs = readyMs): Promise<Answer> {
    const client = this.#client;
    if (client === undefined) throw new Error('there is no client');
    const id = `#${++this.#orderCount}`;
    client.tell({ ...order, id });
    const answer = (await client.hear(id, timeoutMs))[id] as Answer & { error?: string };
    if (typeof answer.error === 'string') throw new Error(`client: ${order.what}: ${answer.error}`);
    return answer;
  }

  startLoad(): Promise<object> {
    return this.#order({ what: 'start' });
  }

  startNotices(): Promise<object> {
    return this.#order({ what: 'notices' });
  }

  /** Before a fault: it meets the keys of this worker, or all. How many those are. */
  async mark(name: string, worker?: string): Promise<number> {
    const order = { what: 'mark', name, ...(worker === undefined ? {} : { worker }) } as const;
    return (await this.#order<{ count: number }>(order)).count;
  }

  /** After it: it came at `faultAt`; what is asked from `completeAt` on cannot have been answered before it. */
  async date(name: string, faultAt: number, completeAt = clock()): Promise<void> {
    await this.#order({ what: 'date', name, faultAt, completeAt });
  }

  recovery(name: string): Promise<Recovery> {
    return this.#order({ what: 'recovery', name });
  }

  /** Waits until every key of a mark has answered, or for so long. */
  async recovered(name: string, timeoutMs: number): Promise<Recovery> {
    await until(async () => (await this.recovery(name)).openCount === 0, timeoutMs, 100);
    return this.recovery(name);
  }

  /** The longest wait of each key since this was last asked, ms. */
  async takePauses(): Promise<number[]> {
    return Object.values(await this.takePausesByKey());
  }

  async takePausesByKey(): Promise<Record<string, number>> {
    return (await this.#order<{ pauses: Record<string, number> }>({ what: 'pauses' })).pauses;
  }

  async takeLatencies(): Promise<number[]> {
    return (await this.#order<{ ms: number[] }>({ what: 'latencies' })).ms;
  }

  counts(): Promise<Figures> {
    return this.#order({ what: 'counts' });
  }

  /** Which worker each tally belongs to, by the client's view. */
  places(): Promise<{ places: Record<string, string>; workers: string[]; viewVersion: number }> {
    return this.#order({ what: 'places' });
  }

  /** Ends the load, waits for all work to end, and compares. */
  async finish(): Promise<Verdict> {
    await this.#order({ what: 'stop' }, checkMs);
    return this.#order({ what: 'check' }, checkMs);
  }

  /** What each process has used of the processors so far. */
  used(): Record<string, Used> {
    const workers = [...this.workers.values()].filter(({ isAlive }) => isAlive);
    const pids: [string, number][] = workers.map(({ name, pid }) => [name, pid]);
    pids.push(['client', this.#client?.pid ?? 0], ['nats', this.nats.pid], ['redis', this.redis.pid]);
    return Object.fromEntries(pids.map(([name, pid]) => [name, usedBy(pid)]));
  }

  /** The last words of the client and of the workers, for what has to be explained. */
  lastWords(): string {
    const programs = [...this.workers.values(), ...(this.#client === undefined ? [] : [this.#client])];
    return programs.map(({ name, errors }) => `--- ${name}\n${errors.slice(-20).join('\n')}`).join('\n');
  }

  async close(): Promise<void> {
    await Promise.all([...this.workers.values()].map((program) => program.kill()));
    await this.#client?.kill();
    await Promise.all([this.cables.nats.close(), this.cables.redis.close()]);
    await Promise.all([this.nats.close(), this.redis.close()]);
  }
}
