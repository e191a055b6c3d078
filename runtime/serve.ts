/**
 * serve(): this process becomes a worker of a cluster, and a client of it.
 *
 * Owns the composition of a member with the connections that it was given; who closes those is said at the options.
 */
import type { Behaviour } from '../core/behaviour.ts';
import type { AnyEntity, Caller } from '../core/entity.ts';
import { SkerryError } from '../core/errors.ts';
import { defaultLimits, type Limits } from '../core/limits.ts';
import { keyOf } from '../core/message.ts';
import { isSoundEntry } from '../placement/announcement.ts';
import { defaultPlacementLimits, type PlacementLimits } from '../placement/limits.ts';
import { weightMax } from '../placement/rendezvous.ts';
import type { View, WorkerEntry } from '../placement/view.ts';
import type { Authorise } from './authorise.ts';
import { Client } from './client.ts';
import { Desk } from './desk.ts';
import { type Cluster, checkBehaviours, checkFrames, checkLimits, hostedTypes } from './embed.ts';
import { type Environment, machineEnvironment } from './environment.ts';
import { Inspector } from './inspect.ts';
import { standardLog } from './log.ts';
import { isElsewhere, Member } from './member.ts';
import type { Store } from './store.ts';
import { checkedCluster, Subjects } from './subjects.ts';
import type { Transport } from './transport.ts';
import type { Worker } from './worker.ts';

export interface ServeOptions {
  readonly behaviours: readonly Behaviour[];
  /** What joins the workers; stays open when the worker is closed. */
  readonly transport: Transport;
  /** What all workers of the cluster share; stays open when the worker is closed. */
  readonly store: Store;
  /** Clusters of different names on one transport do not hear each other (default `main`). Each needs a store, or a prefix in one, of its own. */
  readonly cluster?: string;
  /** Stable over restarts, unique in the cluster: its partitions follow it. Default: one that nobody else has. */
  readonly name?: string;
  /** Its share of the partitions in proportion to the others', a whole number from 1 (default 1). */
  readonly weight?: number;
  /** What this worker has that types may require. */
  readonly labels?: readonly string[];
  /** The application's version, for people. */
  readonly version?: string;
  readonly limits?: Partial<Limits>;
  readonly placementLimits?: Partial<PlacementLimits>;
  readonly authorise?: Authorise;
  /** Clock, chance and log; default: the machine's. */
  readonly environment?: Environment;
}

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
 * Join a cluster. Resolves at once; `ready()` when the worker has its partitions. Closing it hands them off first: nobody
 * else's calls fail. Fails with `invalid-definition`.
 */
export async function serve(options: ServeOptions): Promise<ServedWorker> {
  checkBehaviours(options.behaviours);
  checkLimits(options.limits ?? {});
  const limits: Limits = { ...defaultLimits, ...options.limits };
  checkFrames(limits, options.transport);
  const environment = options.environment ?? machineEnvironment(standardLog());
  const served = new Served(options, { environment, limits, entry: entryOf(options, environment) });
  await served.member.start();
  return served;
}

function entryOf(options: ServeOptions, environment: Environment): WorkerEntry {
  const id = `w${environment.newId()}`;
  const limits = { ...defaultPlacementLimits, ...options.placementLimits };
  const entry: WorkerEntry = {
    name: options.name ?? id,
    id,
    weight: options.weight ?? 1,
    labels: [...new Set(options.labels)].sort(),
    types: hostedTypes(options.behaviours),
    version: options.version ?? '',
    isLeaving: false,
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
  readonly #clients: Client[] = [];
  readonly #desk: Desk;
  #end: (how: 'left' | 'replaced') => void = () => undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ServeOptions, composition: Composition) {
    this.#composition = composition;
    this.#subjects = new Subjects(checkedCluster(options.cluster ?? 'main'));
    this.name = composition.entry.name;
    this.id = composition.entry.id;
    this.closed = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.member = new Member({
      ...composition,
      transport: options.transport,
      store: options.store,
      behaviours: options.behaviours,
      authorise: options.authorise,
      subjects: this.#subjects,
      placementLimits: { ...defaultPlacementLimits, ...options.placementLimits },
      replaced: () => this.#ended('replaced'),
      followed: (placement, before) => {
        for (const client of this.#clients) client.again((address) => isElsewhere(address, before, placement));
      },
      restored: () => {
        for (const client of this.#clients) client.again(() => true);
      },
    });
    this.#desk = new Desk({
      environment: composition.environment,
      transport: options.transport,
      subjects: this.#subjects,
      store: options.store,
      behaviours: options.behaviours,
      member: this.member,
      leave: () => void this.close(),
    });
    this.client = this.connect({ identity: '' });
    this.inspector = new Inspector(options.store);
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

  readonly connect = ({ identity }: { identity: string }): Client => {
    const { environment, limits } = this.#composition;
    const { post, views } = this.member;
    const subject = this.#subjects.client(environment.newId());
    const client = new Client({
      environment,
      limits,
      subject,
      identity,
      post: (envelope) => post.post(envelope),
      onMoved: () => views.ask(),
    });
    post.listen(subject, (envelope) => client.receive(envelope));
    this.#clients.push(client);
    return client;
  };

  readonly close = (): Promise<void> => {
    this.#closing ??= this.#close();
    return this.#closing;
  };

  async #close(): Promise<void> {
    await this.member.leave();
    this.#ended('left');
  }

  #ended(how: 'left' | 'replaced'): void {
    for (const client of this.#clients) client.close();
    this.#desk.close();
    this.#end(how);
  }

  async *#keysOf(type: string): AsyncIterable<string> {
    for await (const address of this.inspector.list(type)) yield keyOf(address);
  }
}
