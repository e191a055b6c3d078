/**
 * embed(): a cluster inside an application's own process, with nothing to install.
 *
 * Owns the composition of workers, store, transport and client, and the handle that applications hold.
 */
import { type Behaviour, isBehaviour } from '../core/behaviour.ts';
import type { AnyEntity, Caller } from '../core/entity.ts';
import { SkerryError } from '../core/errors.ts';
import { defaultLimits, type GivenLimits, type Limits, limitsOf } from '../core/limits.ts';
import { isIdentity, keyOf } from '../core/message.ts';
import {
  anything,
  callable,
  checkOptions,
  count,
  described,
  duration,
  type OptionTable,
  record,
  share,
  withFunctions,
} from '../core/options.ts';
import { Placement } from '../placement/placement.ts';
import { type HostedType, viewOf } from '../placement/view.ts';
import type { Authorise } from './authorise.ts';
import { Client } from './client.ts';
import { type Environment, machineEnvironment } from './environment.ts';
import { checkFrames } from './frames.ts';
import { Inspector } from './inspect.ts';
import { standardLog } from './log.ts';
import { Post } from './post.ts';
import { checkedStore, type Partition, type Store } from './store.ts';
import { openLmdb } from './stores/lmdb.ts';
import { MemoryStore } from './stores/memory.ts';
import { Subjects } from './subjects.ts';
import type { Transport } from './transport.ts';
import { MemoryTransport } from './transports/memory.ts';
import { Worker } from './worker.ts';

export interface EmbedOptions {
  readonly behaviours: readonly Behaviour[];
  /** A folder of the embedded store, `'memory'`, or a store that is open already. */
  readonly store: string | Store;
  /** Workers side by side in this process (default 1). */
  readonly workers?: number | undefined;
  readonly limits?: GivenLimits | undefined;
  readonly authorise?: Authorise | undefined;
  /** Clock, chance and log; default: the machine's. */
  readonly environment?: Environment | undefined;
  readonly transport?: Transport | undefined;
}

export const clock = withFunctions('an environment', 'now', 'steady', 'after', 'soon', 'random', 'newId');
export const openedTransport = withFunctions('a transport that is open', 'listen', 'send', 'onAbsent', 'close');

const embedOptions: OptionTable<EmbedOptions> = {
  behaviours: anything,
  store: anything,
  workers: count(1),
  limits: record,
  authorise: callable,
  environment: clock,
  transport: openedTransport,
};

/** The types that workers announce for what they run. */
export function hostedTypes(behaviours: readonly Behaviour[]): HostedType[] {
  return behaviours.map(({ contract, labels }) => ({ type: contract.type, labels }));
}

/** What an application holds of a cluster. */
export interface Cluster {
  /** A reference to an entity: its operations as methods. Throws `invalid-address`. */
  entity<Contract extends AnyEntity>(contract: Contract, key: string): Caller<Contract['operations']>;
  /** Keys of a type that have been committed, in order of their bytes. */
  list(type: string): AsyncIterable<string>;
  /** A client of its own, with a verified identity for the authorisation hook. */
  connect(options: { identity: string }): Client;
  readonly client: Client;
  readonly inspector: Inspector;
  readonly workers: readonly Worker[];
  /**
   * Finish what was started, commit it, and close. Calls that are still waiting are rejected with `closed`. A cluster that
   * is not closed keeps its process alive.
   */
  close(): Promise<void>;
}

/**
 * Start a cluster in this process. Resolves when every partition is its own and unfinished business is being resumed.
 * Fails with `store-in-use`, `store-format`, `store-failed`, `invalid-definition`.
 */
export async function embed(options: EmbedOptions): Promise<Cluster> {
  checkOptions('embed()', options, embedOptions);
  checkLimits(options.limits ?? {});
  checkBehaviours(options.behaviours, options.limits);
  const environment = options.environment ?? machineEnvironment(standardLog());
  const limits: Limits = limitsOf(options.limits);
  const isOwnStore = typeof options.store === 'string';
  const store = await openStore(options.store, environment);
  try {
    return await compose(options, { environment, limits, store, isOwnStore });
  } catch (error) {
    if (isOwnStore) await store.close();
    throw error;
  }
}

async function openStore(given: string | Store, environment: Environment): Promise<Store> {
  const store = checkedStore(given);
  if (typeof store !== 'string') return store;
  if (/^rediss?(-cluster)?:/i.test(store))
    throw new SkerryError(
      'invalid-definition',
      'store is the URL of a Redis: open it, and give embed() what openRedis({ url }) resolves with; serve() takes the URL',
    );
  return store === 'memory' ? new MemoryStore({ id: environment.newId() }) : openLmdb(store);
}

const limitTable = Object.fromEntries(
  Object.keys(defaultLimits).map((name) => [name, /Ms(?:Max)?$/.test(name) ? duration : share]),
);

export function checkLimits(limits: GivenLimits): void {
  checkOptions('limits', limits, limitTable);
  const { lifeMsMax, deadlineMs, horizonMs } = limitsOf(limits);
  for (const [name, ms] of Object.entries({ deadlineMs, horizonMs }))
    if (ms > lifeMsMax)
      throw new SkerryError('invalid-definition', `The limit '${name}' (${ms}) is over lifeMsMax (${lifeMsMax})`);
}

/** Of the options of a handle's `connect`. Throws `invalid-definition`. */
export function identityIn(options: { readonly identity: string }): string {
  checkOptions('connect()', options, { identity: anything });
  return checkedIdentity(options.identity);
}

/** Throws `invalid-definition`. */
export function checkedIdentity(identity: string): string {
  if (typeof identity === 'string' && isIdentity(identity)) return identity;
  throw new SkerryError(
    'invalid-definition',
    `An identity is well-formed Unicode of at most ${defaultLimits.identityBytesMax} bytes (identityBytesMax)`,
  );
}

export function checkBehaviours(behaviours: readonly Behaviour[], limits: GivenLimits = {}): void {
  checkAreBehaviours(behaviours);
  const { lifeMsMax } = limitsOf(limits);
  for (const { contract, horizonMs = 0 } of behaviours)
    if (horizonMs > lifeMsMax)
      throw new SkerryError(
        'invalid-definition',
        `horizonMs of the behaviour of '${contract.type}' (${horizonMs}) is over lifeMsMax (${lifeMsMax})`,
      );
  const types = behaviours.map((behaviour) => behaviour.contract.type);
  const twice = types.find((type, index) => types.indexOf(type) !== index);
  if (twice !== undefined) throw new SkerryError('invalid-definition', `Two behaviours are registered for '${twice}'`);
  if (types.length === 0) throw new SkerryError('invalid-definition', 'A cluster needs at least one behaviour');
}

function checkAreBehaviours(given: unknown): void {
  if (!Array.isArray(given))
    throw new SkerryError(
      'invalid-definition',
      `behaviours must be an array of what behaviour() makes, not ${described(given)}`,
    );
  for (const [index, one] of (given as unknown[]).entries()) {
    if (isBehaviour(one)) continue;
    const isContract = typeof one === 'object' && one !== null && 'type' in one && 'operations' in one;
    const found = isContract ? `the contract '${String(one.type)}': give what behaviour() makes of it` : described(one);
    throw new SkerryError('invalid-definition', `behaviours[${index}] is ${found}`);
  }
}

interface Composition {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly store: Store;
  readonly isOwnStore: boolean;
}

interface Node {
  readonly name: string;
  readonly post: Post;
  readonly worker: Worker;
}

async function compose(options: EmbedOptions, composition: Composition): Promise<Cluster> {
  const { environment, limits, store } = composition;
  const names = Array.from({ length: options.workers ?? 1 }, (_, index) => `worker-${index + 1}`);
  if (names.length === 0) throw new SkerryError('invalid-definition', 'A cluster needs at least one worker');
  const placement = new Placement(viewOf(1, store.partitions, names, hostedTypes(options.behaviours)));
  const subjects = new Subjects('embedded');
  const transport = options.transport ?? new MemoryTransport(environment);
  checkFrames(limits, transport);
  const nodes = names.map((name): Node => {
    const post = new Post({ transport, environment, subjects }, placement);
    const worker = new Worker({
      ...composition,
      name,
      behaviours: options.behaviours,
      post: (envelope) => post.post(envelope),
      partitionOf: (address) => placement.partitionOf(address),
      authorise: options.authorise,
    });
    post.listen(subjects.worker(name), (envelope) => worker.receive(envelope));
    return { name, post, worker };
  });
  for (const { name, worker } of nodes) await worker.start(placement.partitionsOf(name));
  const endLosses = store.onLoss(({ partition }) => {
    const owner = partition === undefined ? undefined : placement.workerOf(partition)?.name;
    const worker = nodes.find(({ name }) => name === owner)?.worker;
    // The worker was told before, and has let go of it.
    if (partition !== undefined && worker?.has(partition) === false) claimAgain(worker, partition, composition);
  });
  return new EmbeddedCluster({ ...composition, subjects, endLosses }, nodes, transport);
}

/** What the store has lost is nobody's (P8), and here no view has anybody claim it. */
function claimAgain(
  worker: Worker,
  partition: Partition,
  { environment, limits }: Pick<Composition, 'environment' | 'limits'>,
): void {
  worker.claim([partition]).catch((error: unknown) => {
    environment.log.warn({ partition, error: String(error) }, 'a partition could not be claimed; tried again');
    environment.after(limits.retryMs, () => claimAgain(worker, partition, { environment, limits }));
  });
}

interface Embedded extends Composition {
  readonly subjects: Subjects;
  readonly endLosses: () => void;
}

class EmbeddedCluster implements Cluster {
  readonly #composition: Embedded;
  readonly #nodes: readonly Node[];
  readonly #transport: Transport;
  readonly #clients = new Set<Client>();
  readonly client: Client;
  readonly inspector: Inspector;
  readonly workers: readonly Worker[];
  #closing: Promise<void> | undefined;

  constructor(composition: Embedded, nodes: readonly Node[], transport: Transport) {
    this.#composition = composition;
    this.#nodes = nodes;
    this.#transport = transport;
    this.client = this.connect({ identity: '' });
    this.inspector = new Inspector(composition.store);
    this.workers = nodes.map(({ worker }) => worker);
  }

  // Fields, so that `const { entity } = cluster` works.
  readonly entity = <Contract extends AnyEntity>(contract: Contract, key: string): Caller<Contract['operations']> =>
    this.client.entity(contract, key);

  readonly list = (type: string): AsyncIterable<string> => this.#keysOf(type);

  readonly connect = (given: { identity: string }): Client => {
    const identity = identityIn(given);
    const { environment, limits, subjects } = this.#composition;
    const { post } = this.#nodes[0] as Node;
    const subject = subjects.client(environment.newId());
    const client = new Client({
      environment,
      limits,
      subject,
      identity,
      post: (envelope) => post.post(envelope),
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

  async *#keysOf(type: string): AsyncIterable<string> {
    for await (const address of this.inspector.list(type)) yield keyOf(address);
  }

  async #close(): Promise<void> {
    this.#composition.endLosses();
    await Promise.all(this.#nodes.map(({ worker }) => worker.drain()));
    await Promise.all(this.#nodes.map(({ worker }) => worker.letGo()));
    for (const client of [...this.#clients]) client.close();
    for (const { worker, post } of this.#nodes) {
      worker.stop();
      post.close();
    }
    await this.#transport.close();
    if (this.#composition.isOwnStore) await this.#composition.store.close();
  }
}
