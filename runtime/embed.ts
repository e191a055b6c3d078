/**
 * embed(): a cluster inside an application's own process, with nothing to install.
 *
 * Owns the composition of workers, store, transport and client, and the handle that applications hold.
 */
import type { Behaviour } from '../core/behaviour.ts';
import type { AnyEntity, Caller } from '../core/entity.ts';
import { SkerryError } from '../core/errors.ts';
import { defaultLimits, type Limits } from '../core/limits.ts';
import { keyOf } from '../core/message.ts';
import { viewOf } from '../placement/view.ts';
import { Client, clientSubject } from './client.ts';
import { envelopeOverheadBytes } from './codec.ts';
import { type Environment, machineEnvironment } from './environment.ts';
import { Inspector } from './inspect.ts';
import { standardLog } from './log.ts';
import { Post, workerSubject } from './post.ts';
import type { Store } from './store.ts';
import { openLmdb } from './stores/lmdb.ts';
import { MemoryStore } from './stores/memory.ts';
import type { Transport } from './transport.ts';
import { MemoryTransport } from './transports/memory.ts';
import { type Authorise, Worker } from './worker.ts';

export interface EmbedOptions {
  readonly behaviours: readonly Behaviour[];
  /** A folder of the embedded store, `'memory'`, or a store that is open already. */
  readonly store: string | Store;
  /** Workers side by side in this process (default 1). */
  readonly workers?: number;
  readonly limits?: Partial<Limits>;
  readonly authorise?: Authorise;
  /** Clock, chance and log; default: the machine's. */
  readonly environment?: Environment;
  readonly transport?: Transport;
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
  /** Finish what was started, commit it, and close. Calls that are still waiting are rejected with `closed`. */
  close(): Promise<void>;
}

/**
 * Start a cluster in this process. Resolves when every partition is its own and unfinished business is being resumed.
 * Fails with `store-in-use`, `store-format`, `store-failed`, `invalid-definition`.
 */
export async function embed(options: EmbedOptions): Promise<Cluster> {
  checkBehaviours(options.behaviours);
  const environment = options.environment ?? machineEnvironment(standardLog());
  const limits: Limits = { ...defaultLimits, ...options.limits };
  const isOwnStore = typeof options.store === 'string';
  const store = await openStore(options.store);
  try {
    return await compose(options, { environment, limits, store, isOwnStore });
  } catch (error) {
    if (isOwnStore) await store.close();
    throw error;
  }
}

async function openStore(store: string | Store): Promise<Store> {
  if (typeof store !== 'string') return store;
  return store === 'memory' ? new MemoryStore() : openLmdb(store);
}

function checkBehaviours(behaviours: readonly Behaviour[]): void {
  const types = behaviours.map((behaviour) => behaviour.contract.type);
  const twice = types.find((type, index) => types.indexOf(type) !== index);
  if (twice !== undefined) throw new SkerryError('invalid-definition', `Two behaviours are registered for '${twice}'`);
  if (types.length === 0) throw new SkerryError('invalid-definition', 'A cluster needs at least one behaviour');
}

interface Composition {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly store: Store;
  readonly isOwnStore: boolean;
}

async function compose(
  options: EmbedOptions,
  { environment, limits, store, isOwnStore }: Composition,
): Promise<Cluster> {
  const names = Array.from({ length: options.workers ?? 1 }, (_, index) => `worker-${index + 1}`);
  const view = viewOf(1, store.partitions, names);
  const transport = options.transport ?? new MemoryTransport(environment);
  if (limits.messageBytesMax + envelopeOverheadBytes > transport.frameBytesMax) {
    throw new SkerryError(
      'invalid-definition',
      `messageBytesMax (${limits.messageBytesMax}) is too much for this transport: with its envelope of up to ${envelopeOverheadBytes} bytes a message must fit into a frame of ${transport.frameBytesMax}`,
    );
  }
  const nodes = names.map((name) => {
    const post = new Post(transport, environment, view);
    const worker = new Worker({
      name,
      store,
      behaviours: options.behaviours,
      environment,
      limits,
      post: (envelope) => post.post(envelope),
      authorise: options.authorise,
    });
    post.listen(workerSubject(name), (envelope) => worker.receive(envelope));
    return { name, post, worker };
  });
  for (const { name, worker } of nodes)
    await worker.start(view.owners.flatMap((owner, partition) => (owner === name ? [partition] : [])));
  const [home] = nodes;
  if (home === undefined) throw new SkerryError('invalid-definition', 'A cluster needs at least one worker');
  const clients: Client[] = [];
  const connect = ({ identity }: { identity: string }): Client => {
    const subject = clientSubject(environment.newId());
    const client = new Client({ environment, limits, subject, identity, post: (envelope) => home.post.post(envelope) });
    home.post.listen(subject, (envelope) => client.receive(envelope));
    clients.push(client);
    return client;
  };
  const client = connect({ identity: '' });
  const inspector = new Inspector(store);
  let closing: Promise<void> | undefined;
  const close = async () => {
    for (const { worker } of nodes) await worker.drain();
    for (const one of clients) one.close();
    for (const { worker, post } of nodes) {
      worker.stop();
      post.close();
    }
    await transport.close();
    if (isOwnStore) await store.close();
  };
  return {
    entity: (contract, key) => client.entity(contract, key),
    list: (type) => keysOf(inspector, type),
    connect,
    client,
    inspector,
    workers: nodes.map(({ worker }) => worker),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

async function* keysOf(inspector: Inspector, type: string): AsyncIterable<string> {
  for await (const address of inspector.list(type)) yield keyOf(address);
}
