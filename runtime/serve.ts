/**
 * serve(): this process becomes a worker of a cluster, and a client of it.
 *
 * Owns the composition of a member with the connections that it was given; who closes those is said at the options.
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
  readonly behaviours: readonly Behaviour[];
  /**
   * What all workers of the cluster share: `redis://host:6379` (`rediss://` with TLS), a folder that the workers of one
   * machine share, or a store that is open already; that one stays open when the worker is closed.
   */
  readonly store: string | Store;
  /** Clusters of different names on one NATS do not hear each other (default `main`). Each needs a store of its own, or a prefix in one. */
  readonly cluster?: string | undefined;
  /** Stable over restarts, unique in the cluster: its partitions follow it. Default: one that nobody else has. */
  readonly name?: string | undefined;
  /** Its share of the partitions in proportion to the others', a whole number from 1 (default 1). */
  readonly weight?: number | undefined;
  /** What this worker has that types may require. */
  readonly labels?: readonly string[] | undefined;
  /** The application's version, for people. */
  readonly version?: string | undefined;
  readonly limits?: GivenLimits | undefined;
  readonly placementLimits?: GivenPlacementLimits | undefined;
  readonly authorise?: Authorise | undefined;
  /** Clock, chance and log; default: the machine's. */
  readonly environment?: Environment | undefined;
}

const serveOptions: OptionTable<ServeOptions> = {
  nats: anything,
  transport: openedTransport,
  behaviours: anything,
  store: anything,
  cluster: text,
  name: text,
  // Its bounds are said with those of the name.
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
  /** Of this one process. */
  readonly id: string;
  /** @internal */
  readonly member: Member;
  readonly view: View;
  /** Resolves when the worker is in the view and has claimed, in the store, every partition that is its own by it. */
  ready(): Promise<void>;
  /** Resolves when nothing runs here any more: closed, or another process took this worker's name. */
  readonly closed: Promise<'left' | 'replaced'>;
}

/**
 * Join a cluster. Resolves when NATS and the store are there, however long they are away (the log says what is waited for);
 * `ready()` when the worker has its partitions. Closing it hands them off first: nobody
 * else's calls fail. Fails with `invalid-definition`, `store-in-use`, `denied` (this login may not be a worker), and with `transport-failed` and `store-failed` for what waiting
 * does not mend.
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
    const opened = await whenThere(() => openStore(options.store, { owner: entry.name, environment }), environment);
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

/** A client's login would join, hear nothing, and wait for ever. */
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
