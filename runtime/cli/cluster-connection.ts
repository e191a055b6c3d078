/**
 * A live cluster as commands see it: over NATS alone, through any worker that answers.
 *
 * Owns the choice of worker for a request: one by its name, or one after the other until one answers.
 */
import { isSkerryError } from '../../core/errors.ts';
import { type Address, parseAddress, typeOf } from '../../core/message.ts';
import type { View, WorkerEntry } from '../../placement/view.ts';
import { AdminClient, type Answered } from '../admin/client.ts';
import { Inspector } from '../admin/inspector.ts';
import { RemoteStore } from '../admin/remote-store.ts';
import { type KnownType, readReport, readTypes, type WorkerReport } from '../admin/worker-report.ts';
import type { Client } from '../client/client.ts';
import { connect, type RemoteCluster } from '../connect.ts';
import { type Environment, machineEnvironment } from '../environment.ts';
import { silentLog } from '../log.ts';
import type { Transport } from '../transport.ts';
import { openNats } from '../transports/nats/transport.ts';
import type { AdminRequest } from '../wire/admin-messages.ts';
import { Subjects } from '../wire/subjects.ts';
import type { Given } from './command.ts';
import { CliError } from './failure.ts';
import type { ClusterPlace } from './target.ts';

/** For how long a view is waited for, and for the answer of one worker, ms. */
const connectMs = 5_000;
const requestMs = 3_000;

export interface LiveWorker {
  readonly entry: WorkerEntry;
  /** Undefined: it is in the view, and does not answer. */
  readonly report: WorkerReport | undefined;
  /** By how much its clock is ahead of this machine's, give or take half the time that its answer took, ms. */
  readonly aheadMs?: number | undefined;
}

export class LiveCluster {
  readonly place: ClusterPlace;
  readonly client: Client;
  readonly store: RemoteStore;
  readonly inspector: Inspector;
  readonly #remote: RemoteCluster;
  readonly #admin: AdminClient;
  readonly #environment: Environment;

  constructor(place: ClusterPlace, remote: RemoteCluster, admin: AdminClient, environment: Environment) {
    this.place = place;
    this.client = remote.client;
    this.#remote = remote;
    this.#admin = admin;
    this.#environment = environment;
    this.store = new RemoteStore(remote.view.partitions, (ask) => this.requestAny(ask));
    this.inspector = new Inspector(this.store);
  }

  get view(): View {
    return this.#remote.view;
  }

  where(address: string): ReturnType<RemoteCluster['where']> {
    return this.#remote.where(address);
  }

  /** Throws `not-found`, with what there is. */
  worker(name: string): WorkerEntry {
    const found = this.view.workers.find((worker) => worker.name === name);
    const names = this.view.workers.map((worker) => worker.name);
    if (found !== undefined) return found;
    throw new CliError('not-found', `There is no worker '${name}' in the cluster '${this.place.cluster}'`, {
      // No name is guessed: the one that is meant may have left, and another one would be drained in its place.
      advice: `it may have left; there ${names.length === 1 ? 'is' : 'are'}: ${names.join(', ')}`,
    });
  }

  request({ id }: Pick<WorkerEntry, 'id'>, request: AdminRequest): Promise<Answered> {
    return this.#admin.request(id, request, requestMs);
  }

  /** The answer of whichever worker gives one. Throws what it failed with, and `transport-failed` if none answers. */
  async requestAny(request: AdminRequest, workers: readonly WorkerEntry[] = this.view.workers): Promise<unknown> {
    try {
      return await this.#admin.requestAny(workers, request, requestMs);
    } catch (error) {
      if (!isSkerryError(error, 'transport-failed')) throw error;
      throw new CliError('transport-failed', `No worker of the cluster '${this.place.cluster}' answers`, {
        advice: 'skerry view shows which workers there should be',
      });
    }
  }

  /** Undefined: it does not answer. */
  async report(worker: Pick<WorkerEntry, 'id'>): Promise<WorkerReport | undefined> {
    const answered = await this.request(worker, { kind: 'report' });
    return answered.status === 'answered' ? readReport(answered.value) : undefined;
  }

  reports(): Promise<LiveWorker[]> {
    const { now, steady } = this.#environment;
    return Promise.all(
      this.view.workers.map(async (entry) => {
        const [asked, since] = [now(), steady()];
        const report = await this.report(entry);
        const aheadMs = report === undefined ? undefined : report.now - (asked + (steady() - since) / 2);
        return { entry, report, aheadMs };
      }),
    );
  }

  /** The types of all workers, from one of each kind; of two versions of one type, that of the first. */
  async types(): Promise<KnownType[]> {
    const kinds = new Map<string, WorkerEntry[]>();
    for (const worker of this.view.workers) {
      const kind = JSON.stringify([worker.version, worker.types]);
      kinds.set(kind, [...(kinds.get(kind) ?? []), worker]);
    }
    const found = new Map<string, KnownType>();
    for (const workers of kinds.values())
      for (const known of readTypes(await this.requestAny({ kind: 'types' }, workers)))
        if (!found.has(known.type)) found.set(known.type, known);
    return [...found.values()];
  }

  /**
   * The types as the worker has them that has this entity. Of several versions of an app side by side one may lack the operation: then
   * as one has them that does not, since the entity may be on its way there.
   */
  async typesFor(address: Address, operation: string): Promise<KnownType[]> {
    const { type } = parseAddress(address);
    const { worker: name } = this.where(address);
    const owner = this.view.workers.find((worker) => worker.name === name);
    const knows = (types: readonly KnownType[]) =>
      types.some((known) => known.type === type && known.operations.some((one) => one.name === operation));
    const own = owner === undefined ? [] : await this.#typesOf(owner);
    if (knows(own)) return own;
    const all = await Promise.all(this.view.workers.map((worker) => this.#typesOf(worker)));
    return all.find(knows) ?? this.types();
  }

  /** None where it does not answer. */
  async #typesOf(worker: WorkerEntry): Promise<KnownType[]> {
    const answered = await this.request(worker, { kind: 'types' });
    return answered.status === 'answered' ? readTypes(answered.value) : [];
  }

  /** How new a state the worker can read that has an entity. */
  async versions(): Promise<(address: Address) => number | undefined> {
    const versions = new Map<string, Map<string, number | undefined>>();
    for (const worker of this.view.workers) {
      const types = await this.#typesOf(worker);
      versions.set(worker.name, new Map(types.map(({ type, version }) => [type, version])));
    }
    return (address) => versions.get(this.where(address).worker ?? '')?.get(typeOf(address));
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#environment.after(ms, resolve));
  }
}

/** Connect, do something, disconnect. Throws `transport-failed` where there is no NATS, or nobody on it. */
export async function withCluster<Result>(
  given: Given,
  place: ClusterPlace,
  body: (cluster: LiveCluster) => Promise<Result>,
): Promise<Result> {
  const environment = machineEnvironment(given.output.log('error'));
  const transport = await openTransport(place, environment);
  try {
    const identity = typeof given.options.identity === 'string' ? given.options.identity : '';
    const { cluster } = place;
    const remote = await connect({ transport, environment, cluster, as: 'tool', identity, timeoutMs: connectMs }).catch(
      (error: unknown) => {
        throw notAdmitted(error);
      },
    );
    const admin = new AdminClient({ environment, transport, subjects: new Subjects(place.cluster) });
    try {
      return await body(new LiveCluster(place, remote, admin, environment));
    } finally {
      admin.close();
      await remote.close();
    }
  } finally {
    await transport.close();
  }
}

/** An application's login, for instance, with which all workers would seem to be silent. */
function notAdmitted(error: unknown): unknown {
  if (!isSkerryError(error, 'denied')) return error;
  return new CliError('denied', error.message, {
    cause: error,
    advice:
      'commands need the login of a tool: leave out --nats on the folder of skerry up, else use the login that skerry permissions calls tool',
  });
}

/** Whether the server lets this login hear what is only for workers: then nobody is kept from anything, or it is a worker's. */
export async function isOpenToAll(place: ClusterPlace): Promise<boolean> {
  // To be refused is what is hoped for, and no error to be logged.
  const transport = await openNats({ ...place.nats, name: 'skerry' }, machineEnvironment(silentLog));
  try {
    transport.listen(new Subjects(place.cluster).worker('doctor'), () => undefined);
    await transport.ready();
    return true;
  } catch (error) {
    if (isSkerryError(error, 'transport-failed')) return false;
    throw error;
  } finally {
    await transport.close();
  }
}

/** Throws `transport-failed`, and a usage error for options that contradict each other. */
export async function openTransport(
  place: ClusterPlace,
  environment: Environment,
  name = 'skerry',
): Promise<Transport> {
  try {
    return await openNats({ ...place.nats, name }, environment);
  } catch (error) {
    if (isSkerryError(error, 'invalid-definition')) throw new CliError('usage', error.message, { cause: error });
    if (!isSkerryError(error, 'transport-failed')) throw error;
    throw new CliError('transport-failed', error.message, {
      cause: error,
      advice: 'is it running, and is the URL right? name it with --nats or SKERRY_NATS',
    });
  }
}
