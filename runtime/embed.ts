/**
 * embed(): a cluster inside the application's own process, with nothing to install.
 *
 * Owns the composition of workers, store, transport and client, and the handle that the application gets.
 */
import type { Behaviour } from '../core/behaviour.ts';
import { SkerryError } from '../core/errors.ts';
import { type GivenLimits, type Limits, limitsOf } from '../core/limits.ts';
import { anything, callable, checkOptions, count, type OptionTable, record } from '../core/options.ts';
import { Placement } from '../placement/placement.ts';
import { viewOf } from '../placement/view.ts';
import { Inspector } from './admin/inspector.ts';
import type { Client } from './client/client.ts';
import { type Cluster, Handle } from './cluster-handle.ts';
import { type Environment, machineEnvironment } from './environment.ts';
import { standardLog } from './log.ts';
import { Counters } from './meter.ts';
import { openStore } from './open.ts';
import { checkBehaviours, checkLimits, clock, hostedTypes, openedTransport } from './options.ts';
import { Router } from './routing/router.ts';
import type { Partition, Store } from './store.ts';
import type { Transport } from './transport.ts';
import { MemoryTransport } from './transports/memory.ts';
import { protocol } from './wire/codec.ts';
import { checkFrames } from './wire/frame-limits.ts';
import { Subjects } from './wire/subjects.ts';
import type { Authorise } from './worker/authorise.ts';
import { Worker } from './worker/worker.ts';

export interface EmbedOptions {
  /** The behaviours to run: one or more, each of a different entity type. */
  readonly behaviours: readonly Behaviour[];
  /** The folder of an embedded store (LMDB), `'memory'`, or an open store. An open store is not closed with the cluster. */
  readonly store: string | Store;
  /** Number of workers in this process (default 1). */
  readonly workers?: number | undefined;
  readonly limits?: GivenLimits | undefined;
  /** Decides about each call of a client (default: all calls are allowed). */
  readonly authorise?: Authorise | undefined;
  /** Clock, random numbers and log (default: those of the machine, with warnings on standard error). */
  readonly environment?: Environment | undefined;
  /** The transport between the workers (default: in memory). It is closed with the cluster. */
  readonly transport?: Transport | undefined;
}

const embedOptions: OptionTable<EmbedOptions> = {
  behaviours: anything,
  store: anything,
  workers: count(1),
  limits: record,
  authorise: callable,
  environment: clock,
  transport: openedTransport,
};

/** A cluster in this process. It keeps the process alive until it is closed. */
export interface EmbeddedCluster extends Cluster {
  /** Reads stored entities without running anything. */
  readonly inspector: Inspector;
  readonly workers: readonly Worker[];
  /** Finish and commit the turns that have started, then close. Calls still in flight are rejected with `closed`. */
  close(): Promise<void>;
}

/**
 * Start a cluster in this process. Resolves when it owns every partition; timers, messages and effects left by an earlier
 * run then resume in the background. Rejects with `invalid-definition`, `store-in-use`, `store-format` or `store-failed`.
 */
export async function embed(options: EmbedOptions): Promise<EmbeddedCluster> {
  checkOptions('embed()', options, embedOptions);
  checkLimits(options.limits ?? {});
  checkBehaviours(options.behaviours, options.limits);
  const environment = options.environment ?? machineEnvironment(standardLog());
  const limits: Limits = limitsOf(options.limits);
  const store = await openStore(options.store, { shared: false, environment });
  try {
    return await compose(options, { environment, limits, store: store.what, closeStore: store.close });
  } catch (error) {
    await store.close();
    throw error;
  }
}

interface Composition {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly store: Store;
  readonly closeStore: () => Promise<void>;
}

interface Node {
  readonly name: string;
  readonly router: Router;
  readonly worker: Worker;
}

async function compose(options: EmbedOptions, composition: Composition): Promise<EmbeddedCluster> {
  const { environment, limits, store } = composition;
  const names = Array.from({ length: options.workers ?? 1 }, (_, index) => `worker-${index + 1}`);
  if (names.length === 0) throw new SkerryError('invalid-definition', 'A cluster needs at least one worker');
  const view = viewOf(1, store.partitions, names, hostedTypes(options.behaviours));
  const placement = new Placement({ ...view, workers: view.workers.map((worker) => ({ ...worker, protocol })) });
  const subjects = new Subjects('embedded');
  const transport = options.transport ?? new MemoryTransport(environment);
  checkFrames(limits, transport);
  const nodes = names.map((name): Node => {
    const counters = new Counters(environment.meter);
    const router = new Router({ transport, environment, subjects, counters }, placement);
    const worker = new Worker({
      ...composition,
      name,
      counters,
      behaviours: options.behaviours,
      post: (envelope) => router.post(envelope),
      partitionOf: (address) => placement.partitionOf(address),
      authorise: options.authorise,
    });
    router.listen(subjects.worker(name), (envelope) => worker.intake.receive(envelope));
    return { name, router, worker };
  });
  for (const { name, worker } of nodes) await worker.start(placement.partitionsOf(name));
  const endLosses = store.onLoss(({ partition }) => {
    const owner = partition === undefined ? undefined : placement.workerOf(partition)?.name;
    const worker = nodes.find(({ name }) => name === owner)?.worker;
    // The worker was notified first and no longer owns the partition.
    if (partition !== undefined && worker?.has(partition) === false) claimAgain(worker, partition, composition);
  });
  return new Embedding({ ...composition, subjects, endLosses }, nodes, transport);
}

/** After a loss nobody owns the partition (P8). In an embedded cluster no view makes a worker claim it, so this does. */
function claimAgain(
  worker: Worker,
  partition: Partition,
  { environment, limits }: Pick<Composition, 'environment' | 'limits'>,
): void {
  worker.claim([partition]).catch((error: unknown) => {
    environment.log.warn({ partition, error: String(error) }, 'claiming a partition failed; retrying');
    environment.after(limits.retryMs, () => claimAgain(worker, partition, { environment, limits }));
  });
}

interface Embedded extends Composition {
  readonly subjects: Subjects;
  readonly endLosses: () => void;
}

class Embedding implements EmbeddedCluster {
  readonly #composition: Embedded;
  readonly #nodes: readonly Node[];
  readonly #transport: Transport;
  readonly #handle: Handle;
  readonly client: Client;
  readonly entity: Cluster['entity'];
  readonly call: Cluster['call'];
  readonly list: Cluster['list'];
  readonly connect: Cluster['connect'];
  readonly inspector: Inspector;
  readonly workers: readonly Worker[];
  #closing: Promise<void> | undefined;

  constructor(composition: Embedded, nodes: readonly Node[], transport: Transport) {
    this.#composition = composition;
    this.#nodes = nodes;
    this.#transport = transport;
    this.inspector = new Inspector(composition.store);
    this.workers = nodes.map(({ worker }) => worker);
    const { environment, limits, subjects } = composition;
    const { router } = nodes[0] as Node;
    this.#handle = new Handle(
      {
        environment,
        limits,
        router,
        newSubject: () => subjects.client(environment.newId()),
        listen: (subject, receive) => router.listen(subject, receive),
        inspector: () => this.inspector,
      },
      '',
    );
    ({
      client: this.client,
      entity: this.entity,
      call: this.call,
      list: this.list,
      connect: this.connect,
    } = this.#handle);
  }

  readonly close = (): Promise<void> => {
    this.#closing ??= this.#close();
    return this.#closing;
  };

  async #close(): Promise<void> {
    this.#composition.endLosses();
    await Promise.all(this.#nodes.map(({ worker }) => worker.drain()));
    await Promise.all(this.#nodes.map(({ worker }) => worker.letGo()));
    this.#handle.closeClients();
    for (const { worker, router } of this.#nodes) {
      worker.stop();
      router.close();
    }
    await this.#transport.close();
    await this.#composition.closeStore();
  }
}
