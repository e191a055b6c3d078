/**
 * serve(): makes this process a worker of a cluster, and a client of it.
 *
 * Owns the composition of a member with its store and transport. It closes those that it opened.
 */
import type { Behaviour } from '../core/behaviour.ts';
import { SkerryError } from '../core/errors.ts';
import type { GivenLimits, Limits } from '../core/limits.ts';
import type { Address } from '../core/message.ts';
import { anything, callable, checkOptions, type OptionTable, record, text, texts } from '../core/options.ts';
import { isSoundEntry } from '../placement/announcement.ts';
import { checkPlacementLimits, type GivenPlacementLimits, placementLimitsOf } from '../placement/limits.ts';
import { weightMax } from '../placement/rendezvous.ts';
import type { View, WorkerEntry } from '../placement/view.ts';
import { Inspector } from './admin/inspector.ts';
import { AdminServer } from './admin/server.ts';
import type { Client } from './client/client.ts';
import { Member } from './cluster/member.ts';
import { type Cluster, Handle } from './cluster-handle.ts';
import type { EmbeddedCluster } from './embed.ts';
import { type Environment, machineEnvironment } from './environment.ts';
import { standardLog } from './log.ts';
import { admitted, enterCluster, type Joining, type Opened, openStore, openTransport, whenThere } from './open.ts';
import { checkBehaviours, checkLimits, clock, hostedTypes, openedTransport } from './options.ts';
import type { Receive } from './routing/router.ts';
import type { Store } from './store.ts';
import type { Transport } from './transport.ts';
import { protocol } from './wire/codec.ts';
import { limitsOver } from './wire/frame-limits.ts';
import { checkedCluster, insider, Subjects } from './wire/subjects.ts';
import type { Authorise } from './worker/authorise.ts';
import type { Worker } from './worker/worker.ts';

export interface ServeOptions extends Joining {
  /** The behaviours that this worker runs: one or more, each of a different entity type. */
  readonly behaviours: readonly Behaviour[];
  /**
   * The store that all workers of the cluster share: `redis://host:6379` (`rediss://` with TLS, `redis-cluster://` for a
   * Redis Cluster), a folder shared by workers of one machine, or an open store. An open store is not closed with the worker.
   */
  readonly store: string | Store;
  /** The cluster's name (default `main`). Clusters with different names can share a NATS server, but each needs its own store or prefix. */
  readonly cluster?: string | undefined;
  /** The worker's name: unique in the cluster and stable over restarts, because partitions follow it (default: a random one). */
  readonly name?: string | undefined;
  /** Its share of the partitions, relative to other workers: a whole number from 1 (default 1). */
  readonly weight?: number | undefined;
  /** Labels of this worker, which the behaviours of types may require (default none). */
  readonly labels?: readonly string[] | undefined;
  /** The application's version, for people to read. */
  readonly version?: string | undefined;
  readonly limits?: GivenLimits | undefined;
  readonly placementLimits?: GivenPlacementLimits | undefined;
  /** Decides about each call of a client (default: all calls are allowed). */
  readonly authorise?: Authorise | undefined;
  /** Clock, random numbers and log (default: those of the machine, with warnings on standard error). */
  readonly environment?: Environment | undefined;
}

const serveOptions: OptionTable<ServeOptions> = {
  nats: anything,
  transport: openedTransport,
  behaviours: anything,
  store: anything,
  cluster: text,
  name: text,
  // `entryOf` checks its bounds, together with those of the name.
  weight: anything,
  labels: texts,
  version: text,
  limits: record,
  placementLimits: record,
  authorise: callable,
  environment: clock,
};

/** A worker of a cluster, and a handle of that cluster. */
export interface ServedWorker extends EmbeddedCluster {
  readonly name: string;
  /** Identifies this process; another process with the same name has another id. */
  readonly id: string;
  /** @internal */
  readonly member: Member;
  /** The latest view that this worker knows. */
  readonly view: View;
  /** Resolves when the worker is in the view and has claimed, in the store, every partition that the view assigns to it. */
  ready(): Promise<void>;
  /** Resolves when nothing runs here any more: with `left` after a close, with `replaced` if another process took the name. */
  readonly closed: Promise<'left' | 'replaced'>;
}

/**
 * Join a cluster as a worker. Resolves when NATS and the store are connected; while either is unavailable it waits without
 * limit and says so in the log. `ready()` resolves when the worker owns its partitions. `close()` hands the partitions off
 * first, so calls of other clients do not fail.
 *
 * Rejects with `invalid-definition`, `store-in-use`, `store-format`, `denied` (the login may not be a worker), and with
 * `transport-failed` or `store-failed` if waiting cannot help.
 */
export async function serve(options: ServeOptions): Promise<ServedWorker> {
  checkOptions('serve()', options, serveOptions);
  checkLimits(options.limits ?? {});
  checkPlacementLimits(options.placementLimits ?? {});
  checkBehaviours(options.behaviours, options.limits);
  const environment = options.environment ?? machineEnvironment(standardLog());
  const entry = entryOf(options, environment);
  const cluster = checkedCluster(options.cluster ?? 'main');
  const transport = await whenThere(() => openTransport(options, environment), environment);
  let store: Opened<Store> | undefined;
  try {
    const limits = limitsOver(transport.what, options.limits, environment);
    await admittedAsWorker(transport.what, cluster, entry);
    const opened = await whenThere(
      () => openStore(options.store, { shared: true, owner: entry.name, environment }),
      environment,
    );
    store = opened;
    await whenThere(() => enterCluster(opened.what, cluster, environment), environment);
    const served = new Served(options, { environment, limits, entry, transport, store });
    await served.member.start();
    return served;
  } catch (error) {
    await store?.close();
    await transport.close();
    throw error;
  }
}

/** Checks the login: a worker with the login of a client would hear nothing and wait for ever. */
async function admittedAsWorker(transport: Transport, cluster: string, { id, name }: WorkerEntry): Promise<void> {
  const subjects = new Subjects(cluster);
  const stops = [subjects.worker(id), subjects.views].map((subject) => transport.listen(subject, () => undefined));
  try {
    await admitted(transport, subjects.noWorker, `a worker ('${name}') of the cluster '${cluster}'`);
  } finally {
    for (const stop of stops) stop();
  }
}

function entryOf(options: ServeOptions, environment: Environment): WorkerEntry {
  const id = `w${environment.newId()}`;
  const limits = placementLimitsOf(options.placementLimits);
  const entry: WorkerEntry = {
    name: options.name ?? id,
    id,
    weight: options.weight ?? 1,
    labels: [...new Set(options.labels)].sort(),
    types: hostedTypes(options.behaviours),
    version: options.version ?? '',
    isLeaving: false,
    protocol,
  };
  if (isSoundEntry(entry, limits)) return entry;
  const { name, weight, labels, version } = entry;
  throw new SkerryError(
    'invalid-definition',
    `A worker's name is up to ${limits.workerNameLengthMax} letters, digits, ., _ and -, its labels also =, : and /, its version any printable ASCII, its weight a whole number from 1 to ${weightMax}; this one has ${JSON.stringify({ name, weight, labels, version })}, and ${entry.types.length} types of at most ${limits.hostedTypeCountMax}`,
  );
}

interface Composition {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly entry: WorkerEntry;
  readonly transport: Opened<Transport>;
  readonly store: Opened<Store>;
}

class Served implements ServedWorker {
  readonly name: string;
  readonly id: string;
  readonly member: Member;
  readonly client: Client;
  readonly entity: Cluster['entity'];
  readonly call: Cluster['call'];
  readonly list: Cluster['list'];
  readonly connect: Cluster['connect'];
  readonly inspector: Inspector;
  readonly workers: readonly Worker[];
  readonly closed: Promise<'left' | 'replaced'>;
  readonly #composition: Composition;
  readonly #subjects: Subjects;
  readonly #handle: Handle;
  readonly #adminServer: AdminServer;
  #end: (how: 'left' | 'replaced') => void = () => undefined;
  readonly #endRefusals: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ServeOptions, composition: Composition) {
    this.#composition = composition;
    const { environment, limits, entry } = composition;
    const base = { environment, transport: composition.transport.what, store: composition.store.what };
    const { behaviours } = options;
    this.#subjects = new Subjects(checkedCluster(options.cluster ?? 'main'));
    this.name = entry.name;
    this.id = entry.id;
    this.closed = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.member = new Member({
      ...base,
      limits,
      entry,
      behaviours,
      authorise: options.authorise,
      subjects: this.#subjects,
      placementLimits: placementLimitsOf(options.placementLimits),
      replaced: () => this.#ended('replaced'),
      followed: (isElsewhere) => this.#handle.again(isElsewhere),
      restored: () => this.#handle.again(() => true),
    });
    this.#adminServer = new AdminServer({
      ...base,
      subjects: this.#subjects,
      behaviours,
      member: this.member,
      leave: () => void this.close(),
    });
    this.inspector = new Inspector(base.store);
    this.#handle = this.#newHandle();
    ({
      client: this.client,
      entity: this.entity,
      call: this.call,
      list: this.list,
      connect: this.connect,
    } = this.#handle);
    this.workers = [this.member.worker];
    const isHere = (address: Address) => this.member.worker.has(this.member.views.placement.partitionOf(address));
    this.#endRefusals = base.transport.onRefused?.((reason, lostMs) => this.#handle.refused(reason, lostMs, isHere));
  }

  #newHandle(): Handle {
    const { environment, limits } = this.#composition;
    const { router, views } = this.member;
    const parts = {
      environment,
      limits,
      router,
      newSubject: () => this.#subjects.client(environment.newId(), insider),
      listen: (subject: string, receive: Receive) => router.listen(subject, receive),
      onMoved: () => views.ask(),
      inspector: () => this.inspector,
    };
    return new Handle(parts, '');
  }

  get view(): View {
    return this.member.views.placement.view;
  }

  readonly ready = (): Promise<void> => this.member.ready();

  readonly close = (): Promise<void> => {
    this.#closing ??= this.#close();
    return this.#closing;
  };

  async #close(): Promise<void> {
    await this.member.leave();
    this.#ended('left');
    await this.#composition.transport.close();
    await this.#composition.store.close();
  }

  #ended(how: 'left' | 'replaced'): void {
    this.#endRefusals?.();
    this.#handle.closeClients();
    this.#adminServer.close();
    this.#end(how);
  }
}
