/**
 * One process's part of the place where a repeat happens: its store, its connection, its workers and its client.
 *
 *     embedded          store ─ workers ─ client                  all in this process
 *     on the move       store ─ members ─ transport ─ client      in this process, and members come and go
 *     over NATS         worker: store ─ member ─ NATS             client: NATS
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { AnyEntity, Caller } from '../core/entity.ts';
import { isSkerryError } from '../core/errors.ts';
import { addressOf } from '../core/message.ts';
import type { View } from '../placement/view.ts';
import { type ConnectOptions, connect } from '../runtime/connect.ts';
import { embed } from '../runtime/embed.ts';
import { machineEnvironment } from '../runtime/environment.ts';
import { standardLog } from '../runtime/log.ts';
import { loginOf } from '../runtime/places.ts';
import { type ServedWorker, serve } from '../runtime/serve.ts';
import type { Store } from '../runtime/store.ts';
import { openLmdb } from '../runtime/stores/lmdb.ts';
import { MemoryStore } from '../runtime/stores/memory.ts';
import { openRedis } from '../runtime/stores/redis.ts';
import type { Transport } from '../runtime/transport.ts';
import { MemoryTransport } from '../runtime/transports/memory.ts';
import { openNats } from '../runtime/transports/nats.ts';
import behaviours from './app.ts';
import { type Counts, countingStore, countingTransport, newCounts } from './counting.ts';
import { WorldError } from './failure.ts';
import type { Fault, Site } from './plan.ts';

const environment = machineEnvironment(standardLog('error'));
/** A call that outlives a fault is to be counted as slow, not as failed. */
const limits = { deadlineMs: 30_000, clientCallCountMax: 1_000_000 };
/** A process that was killed is started again after this, as a supervisor would. */
export const restartMs = 1_000;

export async function openStore(site: Site): Promise<Store> {
  const { store } = site;
  switch (store.kind) {
    case 'memory':
      return new MemoryStore();
    case 'lmdb':
      return openLmdb(store.folder);
    case 'redis':
      return openRedis({ url: store.url, prefix: store.prefix, log: standardLog('error') });
  }
}

export async function openTransport(url: string): Promise<Transport> {
  return openNats({ servers: url, name: 'skerry-perf' }, environment);
}

/** Rejects unless the cluster that others started hosts what is measured. `identity`: of the login that the transport has. */
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
    // The transport is open: it is a view that did not come.
    if (isSkerryError(error, 'transport-failed')) return new Set();
    throw error;
  }
}

/** What the calls of a load go through. */
export interface Reach {
  readonly entity: <Contract extends AnyEntity>(contract: Contract, key: string) => Caller<Contract['operations']>;
  /** The worker's name and the partition; none where nothing moves. */
  where(type: string, key: string): { readonly partition: number; readonly worker: string | undefined };
  readonly view: View | undefined;
}

/** Everything that a generator opened. */
export interface Post extends Reach {
  readonly counts: Counts;
  readonly turns: () => number;
  /** Embedded: close the workers and start them again on the same store. */
  reopen(): Promise<void>;
  /** Embedded and on the move: what happens to a worker; `began` hears its name at once, and it resolves when all is as before. */
  fault(kind: Fault['kind'], number: number, began: (name: string) => void): Promise<void>;
  close(): Promise<void>;
}

export async function openPost(site: Site): Promise<Post> {
  if (site.natsUrl !== undefined) return connected(site, site.natsUrl);
  return site.isMoving ? members(site) : embedded(site);
}

const nowhere = () => ({ partition: 0, worker: undefined });
const cannot = () => Promise.reject(new Error('this is done by the workers'));

async function connected(site: Site, url: string): Promise<Post> {
  const counts = newCounts();
  const transport = await openTransport(url);
  const remote = await connect({
    transport: countingTransport(transport, counts),
    identity: loginOf({ nats: url }),
    cluster: site.cluster,
    environment,
    limits,
    timeoutMs: 30_000,
  });
  return {
    entity: remote.entity,
    where: (type, key) => remote.where(addressOf(type, key)),
    get view() {
      return remote.view;
    },
    counts,
    turns: () => 0,
    reopen: cannot,
    fault: cannot,
    close: async () => {
      await remote.close();
      await transport.close();
    },
  };
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
  return {
    entity: remote.entity,
    where: (type, key) => remote.where(addressOf(type, key)),
    get view() {
      return remote.view;
    },
    counts,
    turns: () => workers.reduce((sum, { member }) => sum + member.worker.figures.turns, 0),
    reopen: cannot,
    fault: async (kind, number, began) => {
      const at = number % workers.length;
      const name = workerName(at + 1);
      if (kind === 'kill') workers[at]?.member.stop();
      began(name);
      if (kind === 'kill') await pause(restartMs);
      else await workers[at]?.close();
      workers[at] = await join(name);
    },
    close: async () => {
      await remote.close();
      for (const { member } of workers) member.stop();
      await wire.close();
      await own.close();
    },
  };
}

/** A name that nobody else has. */
export const ownId = (): string => environment.newId();

export const workerName = (number: number): string => `worker-${number}`;
