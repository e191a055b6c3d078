/**
 * serve(): this process becomes a worker of a cluster, and a client of it.
 *
 * Owns the composition of a member with the connections that it was given; who closes those is said at the options.
 */
import type { Behaviour } from '../core/behaviour.ts';
import type { AnyEntity, Caller } from '../core/entity.ts';
import { SkerryError } from '../core/errors.ts';
import type { GivenLimits, Limits } from '../core/limits.ts';
import { keyOf } from '../core/message.ts';
import { anything, callable, checkOptions, type OptionTable, record, text, texts } from '../core/options.ts';
import { isSoundEntry } from '../placement/announcement.ts';
import { checkPlacementLimits, type GivenPlacementLimits, placementLimitsOf } from '../placement/limits.ts';
import { weightMax } from '../placement/rendezvous.ts';
import type { View, WorkerEntry } from '../placement/view.ts';
import type { Authorise } from './authorise.ts';
import { Client } from './client.ts';
import { protocol } from './codec.ts';
import { Desk } from './desk.ts';
import {
  type Cluster,
  checkBehaviours,
  checkLimits,
  clock,
  hostedTypes,
  identityIn,
  openedTransport,
} from './embed.ts';
import { type Environment, machineEnvironment } from './environment.ts';
import { limitsOver } from './frames.ts';
import { Inspector } from './inspect.ts';
import { standardLog } from './log.ts';
import { Member } from './member.ts';
import { admitted, enterCluster, type Joining, type Opened, openStore, openTransport, whenThere } from './places.ts';
import type { Store } from './store.ts';
import { checkedCluster, insider, Subjects } from './subjects.ts';
import type { Transport } from './transport.ts';
import type { Worker } from './worker.ts';

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
export interface ServedWorker extends Cluster {
  readonly name: string;
  /** Of this one process. */
  readonly id: string;
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
    `A worker's name is up to ${limits.workerNameLengthMax} letters, digits, _ and -, its labels and version also . and +, its weight a whole number from 1 to ${weightMax}; this one has ${JSON.stringify({ name, weight, labels, version })}, and ${entry.types.length} types of at most ${limits.hostedTypeCountMax}`,
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
  readonly inspector: Inspector;
  readonly workers: readonly Worker[];
  readonly closed: Promise<'left' | 'replaced'>;
  readonly #composition: Composition;
  readonly #subjects: Subjects;
  readonly #clients = new Set<Client>();
  readonly #desk: Desk;
  #end: (how: 'left' | 'replaced') => void = () => undefined;
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
      followed: (isElsewhere) => {
        for (const client of this.#clients) client.again(isElsewhere);
      },
      restored: () => {
        for (const client of this.#clients) client.again(() => true);
      },
    });
    this.#desk = new Desk({
      ...base,
      subjects: this.#subjects,
      behaviours,
      member: this.member,
      leave: () => void this.close(),
    });
    this.client = this.connect({ identity: '' });
    this.inspector = new Inspector(base.store);
    this.workers = [this.member.worker];
  }

  get view(): View {
    return this.member.views.placement.view;
  }

  readonly ready = (): Promise<void> => this.member.ready();

  // Fields, so that `const { entity } = worker` works.
  readonly entity = <Contract extends AnyEntity>(contract: Contract, key: string): Caller<Contract['operations']> =>
    this.client.entity(contract, key);

  readonly list = (type: string): AsyncIterable<string> => this.#keysOf(type);

  readonly connect = (given: { identity: string }): Client => {
    const identity = identityIn(given);
    const { environment, limits } = this.#composition;
    const { post, views } = this.member;
    const subject = this.#subjects.client(environment.newId(), insider);
    const client = new Client({
      environment,
      limits,
      subject,
      identity,
      post: (envelope) => post.post(envelope),
      onMoved: () => views.ask(),
      closed: () => {
        stop();
        this.#clients.delete(client);
      },
    });
    const stop = post.listen(subject, (envelope) => client.receive(envelope));
    this.#clients.add(client);
    return client;
  };

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
    for (const client of [...this.#clients]) client.close();
    this.#desk.close();
    this.#end(how);
  }

  async *#keysOf(type: string): AsyncIterable<string> {
    for await (const address of this.inspector.list(type)) yield keyOf(address);
  }
}
