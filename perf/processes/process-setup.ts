/**
 * Sets up one process of a repeat: its store, connection, workers and client.
 *
 *     embedded          store ─ workers ─ client                  all in this process
 *     on the move       store ─ members ─ transport ─ client      in this process; members come and go
 *     over NATS         worker: store ─ member ─ NATS             client: NATS
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { AnyEntity, Caller } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { addressOf } from '../../core/message.ts';
import { hash } from '../../placement/hash.ts';
import type { View } from '../../placement/view.ts';
import { type ConnectOptions, connect } from '../../runtime/connect.ts';
import { embed } from '../../runtime/embed.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { standardLog } from '../../runtime/log.ts';
import { loginOf } from '../../runtime/open.ts';
import { type ServedWorker, serve } from '../../runtime/serve.ts';
import type { Store } from '../../runtime/store.ts';
import { openLmdb } from '../../runtime/stores/lmdb/store.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { openRedis } from '../../runtime/stores/redis/store.ts';
import type { Transport } from '../../runtime/transport.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { openNats } from '../../runtime/transports/nats/transport.ts';
import behaviours from '../app.ts';
import { WorldError } from '../failure.ts';
import { type Fault, type Measured, type Site, seriesMs } from '../plan.ts';
import { type Counts, countingStore, countingTransport, newCounts } from './counting.ts';
import { PacedStore } from './paced-store.ts';

const environment = machineEnvironment(standardLog('error'));
/** Longer than a fault, so that a call that waits for its end counts as slow, not as failed. */
const limits = { deadlineMs: 30_000, clientCallCountMax: 1_000_000 };
/** Delay before a killed process is started again, as by a supervisor, ms. */
export const restartMs = 1_000;

export async function openStore(site: Site): Promise<Store> {
  const { store, storePerS } = site;
  switch (store.kind) {
    case 'memory':
      return storePerS === undefined ? new MemoryStore() : new PacedStore(storePerS);
    case 'lmdb':
      return openLmdb(store.folder);
    case 'redis':
      return openRedis({ url: store.url, prefix: store.prefix, log: standardLog('error') });
  }
}

export async function openTransport(url: string): Promise<Transport> {
  return openNats({ servers: url, name: 'skerry-perf' }, environment);
}

/** Rejects unless the running cluster hosts the measured types. `identity`: that of the transport's login. */
export async function checkAttached(
  transport: Transport,
  cluster: string,
  { identity = '', timeoutMs = 5_000 } = {},
): Promise<void> {
  const hosted = await hostedBy({ transport, cluster, identity, timeoutMs });
  if (ownTypes.every((type) => hosted.has(type))) return;
  throw new WorldError(
    `the cluster '${cluster}' has no worker that hosts the perf app: start one with skerry up/worker node_modules/skerry/dist/perf/app.js, or say which it is with --cluster`,
  );
}

const ownTypes = behaviours.map(({ contract }) => contract.type);

async function hostedBy(options: ConnectOptions): Promise<ReadonlySet<string>> {
  try {
    const remote = await connect({ ...options, environment });
    const { workers } = remote.view;
    await remote.close();
    return new Set(workers.flatMap(({ types, isLeaving }) => (isLeaving ? [] : types.map(({ type }) => type))));
  } catch (error) {
    // The transport is open, so it is the view that did not arrive.
    if (isSkerryError(error, 'transport-failed')) return new Set();
    throw error;
  }
}

/** The clients and entities of a load. */
export interface Reach {
  readonly entity: <Contract extends AnyEntity>(contract: Contract, key: string) => Caller<Contract['operations']>;
  /** Worker and partition of a key; the worker is undefined if nothing moves. */
  where(type: string, key: string): { readonly partition: number; readonly worker: string | undefined };
  readonly view: View | undefined;
}

/** What a generator has opened. */
export interface Post extends Reach {
  readonly counts: Counts;
  readonly turns: () => number;
  /** Embedded: samples of what the workers hold in memory. */
  readonly holding: Holding | undefined;
  /** Embedded: closes the workers and starts them again on the same store. */
  reopen(): Promise<void>;
  /** Embedded and on the move: injects a fault into a worker. Calls `began` with its name at once; resolves when all workers are back. */
  fault(kind: Fault['kind'], number: number, began: (name: string) => void): Promise<void>;
  close(): Promise<void>;
}

export async function openPost(site: Site): Promise<Post> {
  if (site.natsUrl !== undefined) return connected(site, site.natsUrl);
  return site.isMoving ? members(site) : embedded(site);
}

const nowhere = () => ({ partition: 0, worker: undefined });
const cannot = () => Promise.reject(new Error('this is done by the workers'));

/** Number of clients that connect at the same time. */
const dialsAtOnce = 32;

async function connected(site: Site, url: string): Promise<Post> {
  const counts = newCounts();
  const ends: (() => Promise<void>)[] = [];
  const open = async () => {
    const transport = await openTransport(url);
    const remote = await connect({
      transport: countingTransport(transport, counts),
      identity: loginOf({ nats: url }),
      cluster: site.cluster,
      environment,
      limits,
      timeoutMs: 30_000,
    });
    ends.push(async () => {
      await remote.close();
      await transport.close();
    });
    return remote;
  };
  const first = await open();
  const remotes = [first];
  while (remotes.length < site.connections) {
    const more = Math.min(dialsAtOnce, site.connections - remotes.length);
    remotes.push(...(await Promise.all(Array.from({ length: more }, open))));
  }
  // Each client has its own entities.
  const callerOf = (key: string) => remotes[hash(key) % remotes.length] ?? first;
  return {
    entity: (contract, key) => callerOf(key).entity(contract, key),
    where: (type, key) => first.where(addressOf(type, key)),
    get view() {
      return first.view;
    },
    counts,
    turns: () => 0,
    holding: undefined,
    reopen: cannot,
    fault: cannot,
    close: async () => {
      await Promise.all(ends.map((end) => end()));
    },
  };
}

export interface Holding {
  /** Bytes of held messages and answers, and of the heap. */
  readonly heldBytes: number[];
  readonly heapBytes: number[];
}

/** Samples what workers hold, until it is stopped. */
export function watchHolding(workers: () => readonly ServedWorker[]): { readonly holding: Holding; stop(): void } {
  const holding: Holding = { heldBytes: [], heapBytes: [] };
  const timer = setInterval(() => {
    holding.heldBytes.push(workers().reduce((sum, { member }) => sum + member.worker.held.bytes, 0));
    holding.heapBytes.push(process.memoryUsage().heapUsed);
  }, seriesMs);
  return { holding, stop: () => clearInterval(timer) };
}

/** The samples since the last request. */
export function takeHolding(holding: Holding | undefined): Measured['extra'] {
  if (holding === undefined) return {};
  return { heldBytes: holding.heldBytes.splice(0), heapBytes: holding.heapBytes.splice(0) };
}

async function embedded(site: Site): Promise<Post> {
  const counts = newCounts();
  let own = await openStore(site);
  const isKept = site.store.kind === 'memory';
  const options = { behaviours, workers: site.workers, environment, limits: { ...limits, ...idleOf(site) } };
  const start = () => embed({ ...options, store: countingStore(own, counts) });
  let cluster = await start();
  const end = async () => {
    await cluster.close();
    if (!isKept) await own.close();
  };
  return {
    entity: (contract, key) => cluster.entity(contract, key),
    where: nowhere,
    view: undefined,
    counts,
    turns: () => cluster.workers.reduce((sum, { figures }) => sum + figures.turns, 0),
    holding: undefined,
    reopen: async () => {
      await end();
      if (!isKept) own = await openStore(site);
      cluster = await start();
    },
    fault: cannot,
    close: end,
  };
}

const idleOf = ({ idleMs }: Site) => (idleMs === undefined ? {} : { idleMs });

async function members(site: Site): Promise<Post> {
  const counts = newCounts();
  const own = await openStore(site);
  const store = countingStore(own, counts);
  const wire = new MemoryTransport(environment);
  const transport = countingTransport(wire, counts);
  const join = async (name: string) => {
    const worker = await serve({ behaviours, store, transport, cluster: site.cluster, name, environment, limits });
    await worker.ready();
    return worker;
  };
  const workers: ServedWorker[] = [];
  for (let number = 1; number <= site.workers; number++) workers.push(await join(workerName(number)));
  const remote = await connect({ transport, cluster: site.cluster, environment, limits });
  const { holding, stop } = watchHolding(() => workers);
  return {
    entity: remote.entity,
    where: (type, key) => remote.where(addressOf(type, key)),
    get view() {
      return remote.view;
    },
    counts,
    turns: () => workers.reduce((sum, { member }) => sum + member.worker.figures.turns, 0),
    holding,
    reopen: cannot,
    fault: async (kind, number, began) => {
      if (kind === 'stall') {
        began('the store');
        return stall(own, site.stallMs);
      }
      if (kind === 'drain') return drain(workers, began);
      const at = number % workers.length;
      const name = workerName(at + 1);
      if (kind === 'kill') workers[at]?.member.stop();
      began(name);
      if (kind === 'kill') await pause(restartMs);
      else await workers[at]?.close();
      workers[at] = await join(name);
    },
    close: async () => {
      stop();
      await remote.close();
      for (const { member } of workers) member.stop();
      await wire.close();
      await own.close();
    },
  };
}

/** Half of the members leave cleanly, all at once. Resolves when they have left. */
export async function drain(workers: ServedWorker[], began: (names: string) => void): Promise<void> {
  const leaving = workers.splice(0, Math.floor(workers.length / 2));
  began(`${leaving.length} of ${leaving.length + workers.length} workers`);
  await Promise.all(leaving.map((worker) => worker.close()));
}

/** Resolves when the store accepts commits again. */
export async function stall(store: Store, ms: number): Promise<void> {
  if (!(store instanceof PacedStore))
    throw new Error('only a store of the measurement’s own pace stands still when told');
  store.stall(ms);
  await pause(ms);
}

/** A unique name. */
export const ownId = (): string => environment.newId();

export const workerName = (number: number): string => `worker-${number}`;
