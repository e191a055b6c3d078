/**
 * Where an example runs: embedded in this process, or on a cluster of worker processes with a nats-server and a redis-server of its own.
 *
 * Owns what is started, and that it ends, by process id and in the order that loses nothing: workers, servers, folder.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, rmSync, type WriteStream, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AdminClient } from '../../runtime/admin/client.ts';
import { OwnServer, requirePrograms, type ServerName } from '../../runtime/cli/servers.ts';
import { Supervisor, type SupervisorEvent } from '../../runtime/cli/supervisor.ts';
import { connect, type RemoteCluster } from '../../runtime/connect.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { type Cluster, embed, openRedis } from '../../runtime/index.ts';
import { standardLog } from '../../runtime/log.ts';
import { openNats } from '../../runtime/open.ts';
import type { Chance } from '../../runtime/testing/chance.ts';
import { Subjects } from '../../runtime/wire/subjects.ts';
import type { Options } from './options.ts';

export interface Stage {
  readonly cluster: Cluster;
  /** SIGKILL of a random worker that is ready. Its name; undefined: none was. */
  kill(chance: Chance): string | undefined;
  /** Has another worker host an entity. Resolves with whether a view shows it. */
  move(address: string, chance: Chance): Promise<boolean>;
  /** Resolves when every worker is there again. */
  whole(): Promise<void>;
  close(): Promise<void>;
}

const name = 'examples';
const limits = { deadlineMs: 30_000 };
const readyMs = 90_000;
const pauseMsMax = 100;
/** Maximum wait of a move for a view, ms. The worker that runs the placement service may be killed meanwhile. */
const moveMs = 10_000;
/** So many stay pinned; older pins are taken back, which moves their entities once more. */
const pinsMost = 32;

const environment = machineEnvironment(standardLog('error'));
const extension = extname(import.meta.url);
const skerry = fileURLToPath(new URL(`../../runtime/cli/main${extension}`, import.meta.url));
const guardian = fileURLToPath(new URL(`guard${extension}`, import.meta.url));

/** Everything that a run leaves on the machine, and how it goes. */
class Ground {
  readonly folder: string;
  readonly #isKept: boolean;
  readonly #servers: OwnServer[] = [];
  readonly #guard: ChildProcess;
  readonly #note: (text: string) => void;

  constructor(data: string | undefined, note: (text: string) => void) {
    this.#isKept = data !== undefined;
    this.folder = data === undefined ? mkdtempSync(join(tmpdir(), 'skerry-example-')) : resolve(data);
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    this.#note = note;
    const words = [guardian, this.folder, this.#isKept ? 'keep' : 'remove'];
    // Of a group of its own: Ctrl-C is for this process, which ends everything in order.
    this.#guard = spawn(process.execPath, [...process.execArgv, ...words], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#guard.stdin?.on('error', () => undefined);
  }

  async start(server: ServerName, fsync: Options['fsync']): Promise<OwnServer> {
    const restarted = (text: string) => {
      this.#note(text);
      this.#tellGuard();
    };
    const own = await OwnServer.start(server, { folder: this.folder, cluster: name, environment, restarted, fsync });
    this.#servers.push(own);
    this.#tellGuard();
    return own;
  }

  #tellGuard(): void {
    const pids = JSON.stringify(Object.fromEntries(this.#servers.map((server) => [server.name, server.pid])));
    this.#guard.stdin?.write(`${pids}\n`);
    writeFileSync(join(this.folder, 'servers.json'), pids);
  }

  async close(): Promise<void> {
    for (const server of this.#servers.reverse()) await server.stop();
    if (!this.#isKept) rmSync(this.folder, { recursive: true, force: true });
    this.#guard.stdin?.end('{}\n');
  }
}

export async function openStage(options: Options, note: (text: string) => void): Promise<Stage> {
  const servers: ServerName[] = [];
  if (options.workers > 0) servers.push('nats');
  if (options.store === 'redis') servers.push('redis');
  requirePrograms(servers);
  const ground = new Ground(options.data, note);
  try {
    return options.workers === 0 ? await embedded(options, ground) : await Processes.start(options, ground, note);
  } catch (error) {
    await ground.close();
    throw error;
  }
}

async function embedded({ example, store: kind, fsync }: Options, ground: Ground): Promise<Stage> {
  const { behaviours } = example;
  const redis = kind === 'redis' ? await ground.start('redis', fsync) : undefined;
  const opened = redis === undefined ? undefined : await openRedis({ url: redis.url, log: environment.log });
  const cluster = await embed({ behaviours, store: opened ?? join(ground.folder, 'lmdb'), environment, limits });
  return {
    cluster,
    kill: () => undefined,
    move: async () => false,
    whole: async () => undefined,
    close: async () => {
      await cluster.close();
      await opened?.close();
      await ground.close();
    },
  };
}

class Processes implements Stage {
  readonly #ground: Ground;
  readonly #log: WriteStream;
  readonly #names: readonly string[];
  readonly #supervisor: Supervisor;
  /** Process ids of workers that are ready. */
  readonly #ready = new Map<string, number>();
  readonly #pinned: string[] = [];
  #remote: RemoteCluster | undefined;
  #admin: AdminClient | undefined;
  #disconnect: () => Promise<void> = async () => undefined;

  private constructor(options: Options, ground: Ground, variables: Record<string, string>) {
    this.#ground = ground;
    this.#log = createWriteStream(join(ground.folder, 'workers.log'), { flags: 'a' });
    this.#names = Array.from({ length: options.workers }, (_, index) => `worker-${index + 1}`);
    const words = ['worker', fileURLToPath(options.example.app)];
    const tell = (event: SupervisorEvent) => this.#hear(event);
    const parts = { environment, program: skerry, words, variables, names: this.#names, tell, pauseMsMax };
    this.#supervisor = new Supervisor(parts);
  }

  static async start(options: Options, ground: Ground, note: (text: string) => void): Promise<Processes> {
    note(`starting ${options.workers} workers in ${ground.folder}`);
    const nats = await ground.start('nats', options.fsync);
    const redis = options.store === 'redis' ? await ground.start('redis', options.fsync) : undefined;
    const store = redis?.url ?? join(ground.folder, 'lmdb');
    const stage = new Processes(options, ground, {
      SKERRY_NATS: nats.url,
      SKERRY_STORE: store,
      SKERRY_CLUSTER: name,
    });
    stage.#supervisor.start();
    try {
      await stage.whole();
      await stage.#connect(nats.urlOf('tool'));
      return stage;
    } catch (error) {
      await stage.#stop();
      throw error;
    }
  }

  get cluster(): Cluster {
    if (this.#remote === undefined) throw new Error('not connected yet');
    return this.#remote;
  }

  async #connect(url: string): Promise<void> {
    const transport = await openNats({ servers: url, name }, environment);
    this.#disconnect = () => transport.close();
    const remote = await connect({ transport, environment, cluster: name, as: 'tool', limits, timeoutMs: readyMs });
    const admin = new AdminClient({ environment, transport, subjects: new Subjects(name) });
    [this.#remote, this.#admin] = [remote, admin];
    this.#disconnect = async () => {
      admin.close();
      await remote.close();
      await transport.close();
    };
  }

  #hear(event: SupervisorEvent): void {
    if (event.kind === 'ready') this.#ready.set(event.worker, event.pid);
    else if (event.kind !== 'line') this.#ready.delete(event.worker);
    this.#log.write(`${JSON.stringify(event.kind === 'line' ? [event.worker, event.text] : event)}\n`);
  }

  async whole(): Promise<void> {
    let ended: number | undefined;
    void this.#supervisor.ended.then((code) => {
      ended = code;
    });
    const until = performance.now() + readyMs;
    while (this.#ready.size < this.#names.length) {
      if (ended !== undefined || performance.now() > until)
        throw new Error(`${this.#ready.size} of ${this.#names.length} workers are ready; the others do not start`);
      await pause(20);
    }
  }

  kill(chance: Chance): string | undefined {
    const ready = [...this.#ready];
    const [worker, pid] = ready[Math.floor(chance() * ready.length)] ?? [];
    if (worker === undefined || pid === undefined) return undefined;
    this.#ready.delete(worker);
    process.kill(pid, 'SIGKILL');
    return worker;
  }

  async move(address: string, chance: Chance): Promise<boolean> {
    const [remote, admin] = [this.#remote, this.#admin];
    if (remote === undefined || admin === undefined) return false;
    const { worker: host } = remote.where(address);
    const others = [...this.#ready.keys()].filter((one) => one !== host);
    const worker = others[Math.floor(chance() * others.length)];
    if (worker === undefined) return false;
    const isMoved = await this.#pin(admin, remote, address, worker);
    this.#pinned.push(address);
    const oldest = this.#pinned.length > pinsMost ? this.#pinned.shift() : undefined;
    if (oldest !== undefined && !this.#pinned.includes(oldest)) await this.#pin(admin, remote, oldest, '');
    return isMoved;
  }

  async #pin(admin: AdminClient, remote: RemoteCluster, address: string, worker: string): Promise<boolean> {
    const isThere = () => (remote.view.pins.find((one) => one.address === address)?.worker ?? '') === worker;
    for (const until = performance.now() + moveMs; performance.now() < until; ) {
      // A worker that is being killed does not answer; the next round asks again.
      await admin.requestAny(remote.view.workers, { kind: 'pin', address, worker }, 1_000).catch(() => undefined);
      for (let looks = 0; looks < 20 && !isThere(); looks += 1) await pause(50);
      if (isThere()) return true;
    }
    return false;
  }

  async #stop(): Promise<void> {
    await this.#disconnect();
    this.#supervisor.stop();
    await this.#supervisor.ended;
    this.#log.end();
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.#ground.close();
  }
}
