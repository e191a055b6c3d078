/**
 * connect(): a client of a cluster in any process, without hosting entities.
 *
 * Owns the connection: it learns the view, follows it, and sends calls again when their entity has moved or after the
 * connection was lost.
 */

import { SkerryError } from '../core/errors.ts';
import { type GivenLimits, type Limits, limitsOf } from '../core/limits.ts';
import { anything, checkOptions, choice, duration, type OptionTable, record, text } from '../core/options.ts';
import type { View } from '../placement/view.ts';
import type { AdminClient } from './admin/client.ts';
import type { Inspector } from './admin/inspector.ts';
import type { Client } from './client/client.ts';
import { Clocks } from './clocks.ts';
import { type Cluster, Handle } from './cluster-handle.ts';
import { type Environment, machineEnvironment } from './environment.ts';
import { standardLog } from './log.ts';
import { admitted, type Joining, loginOf, type Opened, openTransport, whenThere } from './open.ts';
import { checkedIdentity, checkLimits, clock, openedTransport } from './options.ts';
import { AbsenceReports } from './routing/absence-reports.ts';
import { type Receive, Router } from './routing/router.ts';
import { noView, Views } from './routing/views.ts';
import type { Transport } from './transport.ts';
import { anyWord } from './transport.ts';
import { decodeControl, encodeControl } from './wire/control-messages.ts';
import { limitsOver } from './wire/frame-limits.ts';
import { checkedCluster, type Party, parties, Subjects, wordOf } from './wire/subjects.ts';

export interface ConnectOptions extends Joining {
  /** The cluster's name (default `main`). */
  readonly cluster?: string | undefined;
  /**
   * The identity of this client's calls. The NATS server must allow this login to publish under it; `skerry permissions`
   * prints such rules. Default: the user name of the NATS login, or '' (no identity) if there is none.
   */
  readonly identity?: string | undefined;
  /**
   * The role of this connection (default `client`). A `client` calls under its own identity only. A `gateway` may open
   * clients with other identities, as an API server does for its users. A `tool` may also list entities and resolve dead
   * letters. The NATS server must allow the role to this login.
   */
  readonly as?: Party | undefined;
  readonly limits?: GivenLimits | undefined;
  /** Clock, random numbers and log (default: those of the machine, with warnings on standard error). */
  readonly environment?: Environment | undefined;
  /** Maximum wait for NATS and the first view, ms (default 10,000). */
  readonly timeoutMs?: number | undefined;
}

const connectOptions: OptionTable<ConnectOptions> = {
  nats: anything,
  transport: openedTransport,
  cluster: text,
  identity: text,
  as: choice(...parties),
  limits: record,
  environment: clock,
  timeoutMs: duration,
};

/** A cluster in other processes. `connect` requires the role `gateway` or `tool`; `list` requires `tool`. */
export interface RemoteCluster extends Cluster {
  /** The latest view that this client knows. It may lag behind the cluster. */
  readonly view: View;
  /** Where the view places an entity: its partition, and the worker's name if there is one. */
  where(address: string): { readonly partition: number; readonly worker: string | undefined };
}

/** Interval between requests for the first view, ms. */
const askMs = 200;

/**
 * Connect to a cluster as a client. Resolves when the client knows the cluster's view.
 *
 * Rejects with `transport-failed` if within `timeoutMs` NATS cannot be reached or no worker of that cluster answers, and at
 * once if NATS rejects the login; with `denied` if the login may not have the role or identity; with `invalid-definition`
 * for wrong options.
 */
export async function connect(options: ConnectOptions): Promise<RemoteCluster> {
  checkOptions('connect()', options, connectOptions);
  checkLimits(options.limits ?? {});
  checkedCluster(options.cluster ?? 'main');
  checkedIdentity(options.identity ?? '');
  const environment = options.environment ?? machineEnvironment(standardLog());
  const { timeoutMs = 10_000 } = options;
  const startedAt = environment.steady();
  const transport = await whenThere(() => openTransport(options, environment), environment, timeoutMs);
  const remote = await remoteOver(transport, options, environment);
  await remote.start(Math.max(askMs, timeoutMs - (environment.steady() - startedAt)));
  return remote;
}

async function remoteOver(
  transport: Opened<Transport>,
  options: ConnectOptions,
  environment: Environment,
): Promise<Remote> {
  try {
    return new Remote(options, environment, transport);
  } catch (error) {
    await transport.close();
    throw error;
  }
}

class Remote implements RemoteCluster {
  readonly client: Client;
  readonly entity: Cluster['entity'];
  readonly call: Cluster['call'];
  readonly list: Cluster['list'];
  readonly connect: Cluster['connect'];
  readonly #handle: Handle;
  readonly #environment: Environment;
  readonly #opened: Opened<Transport>;
  readonly #transport: Transport;
  readonly #subjects: Subjects;
  readonly #limits: Limits;
  readonly #party: Party;
  readonly #identity: string;
  /** The subject word of this identity, and the start of the subjects on which answers and views arrive. */
  readonly #word: string;
  readonly #home: string;
  readonly #router: Router;
  readonly #views: Views;
  readonly #cluster: string;
  readonly #absences: AbsenceReports;
  readonly #clocks: Clocks;
  readonly #closers: (() => void)[] = [];
  #clientCount = 0;
  #admin: AdminClient | undefined;
  #isClosed = false;

  constructor(options: ConnectOptions, environment: Environment, transport: Opened<Transport>) {
    this.#environment = environment;
    this.#absences = new AbsenceReports(environment);
    this.#clocks = new Clocks({ environment, limits: limitsOf(options.limits) });
    this.#opened = transport;
    this.#transport = transport.what;
    this.#cluster = checkedCluster(options.cluster ?? 'main');
    const subjects = new Subjects(this.#cluster);
    this.#subjects = subjects;
    this.#limits = limitsOver(this.#transport, options.limits, environment);
    this.#party = options.as ?? 'client';
    const identity = options.identity ?? loginOf(options);
    this.#identity = identity;
    const id = environment.newId();
    // Tools trust each other, so their subjects need no identity.
    this.#word = this.#party === 'tool' ? id : wordOf(checkedIdentity(identity));
    this.#home = this.#party === 'tool' ? subjects.answers(id) : subjects.client(id, this.#word);
    // The first view tells the number of partitions.
    const nothing = noView(1);
    const base = { environment, transport: this.#transport };
    this.#router = new Router(
      {
        ...base,
        subjects,
        onLaterView: () => this.#views.ask(),
        subjectOf: (worker) => subjects.door(this.#party, worker, this.#word),
      },
      nothing,
    );
    this.#views = new Views(
      {
        ...base,
        id,
        replyTo: this.#viewsTo,
        whereToAsk: (worker) => subjects.resolve(worker, this.#word),
        told: undefined,
        follow: (placement) => this.#handle.again(this.#router.follow(placement)),
      },
      nothing,
    );
    this.#handle = this.#newHandle(environment);
    ({
      client: this.client,
      entity: this.entity,
      call: this.call,
      list: this.list,
      connect: this.connect,
    } = this.#handle);
  }

  #newHandle(environment: Environment): Handle {
    const parts = {
      environment,
      limits: this.#limits,
      router: this.#router,
      newSubject: () => `${this.#home}.${++this.#clientCount}`,
      listen: (subject: string, receive: Receive) => this.#router.expect(subject, receive),
      onMoved: () => this.#views.ask(),
      inspector: () => this.#inspector(),
      mayConnect: () => this.#checkMayConnect(),
    };
    return new Handle(parts, this.#identity);
  }

  get #viewsTo(): string {
    return `${this.#home}.view`;
  }

  #checkMayConnect(): void {
    if (this.#party === 'client')
      throw new SkerryError(
        'denied',
        "This connection calls as itself: to call for others, connect with { as: 'gateway' } and a gateway's login",
      );
  }

  /** Reads the store through the workers. Its code is loaded on first use. */
  async #inspector(): Promise<Inspector> {
    if (this.#party !== 'tool')
      throw new SkerryError('denied', "Only tools can list keys: connect with { as: 'tool' } and a tool's login");
    const [{ AdminClient }, { Inspector }, { RemoteStore }] = await Promise.all([
      import('./admin/client.ts'),
      import('./admin/inspector.ts'),
      import('./admin/remote-store.ts'),
    ]);
    if (this.#isClosed) throw new SkerryError('closed', 'This connection is closed');
    const reach = { environment: this.#environment, transport: this.#transport, subjects: this.#subjects };
    this.#admin ??= new AdminClient(reach);
    const admin = this.#admin;
    return new Inspector(
      new RemoteStore(this.view.partitions, (request) => admin.requestAny(this.view.workers, request)),
    );
  }

  async start(timeoutMs: number): Promise<void> {
    this.#closers.push(
      this.#transport.listen(this.#subjects.views, (bytes) => this.#receive(bytes)),
      this.#transport.listen(`${this.#home}.${anyWord}`, (bytes, subject) =>
        subject === this.#viewsTo ? this.#receive(bytes) : this.#router.arrive(subject, bytes),
      ),
      this.#transport.onAbsent((subject) => this.#absent(subject)),
      this.#transport.onRestored(() => this.#restored()),
      this.#transport.onRefused?.((reason, lostMs) => this.#handle.refused(reason, lostMs)) ?? (() => undefined),
    );
    const until = this.#environment.steady() + timeoutMs;
    await this.#admit(timeoutMs);
    while (!this.#views.isKnown) {
      if (this.#environment.steady() >= until) {
        await this.close();
        throw new SkerryError(
          'transport-failed',
          `No worker of the cluster '${this.#cluster}' answered within ${timeoutMs} ms: start one with 'skerry worker', or check the cluster's name`,
        );
      }
      this.#views.ask();
      const paused = new Promise<void>((resolve) => void this.#environment.after(askMs, resolve));
      await Promise.race([this.#views.known(), paused]);
    }
  }

  /** Checks the right to send calls. Without it each call would end at its deadline with an unknown outcome. */
  async #admit(timeoutMs: number): Promise<void> {
    if (this.#transport.ready === undefined) return;
    const who = this.#party === 'tool' || this.#identity === '' ? '' : ` that calls as '${this.#identity}'`;
    const what = `a ${this.#party} of the cluster '${this.#cluster}'${who}`;
    const asked = admitted(this.#transport, this.#subjects.noDoor(this.#party, this.#word), what);
    let cancel: () => void = () => undefined;
    const isOver = new Promise<void>((resolve) => {
      cancel = this.#environment.after(timeoutMs, resolve);
    });
    try {
      await Promise.race([asked, isOver]);
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      cancel();
    }
  }

  get view(): View {
    return this.#views.placement.view;
  }

  where(address: string): { readonly partition: number; readonly worker: string | undefined } {
    const { placement } = this.#views;
    const partition = placement.partitionOf(address);
    return { partition, worker: placement.workerOf(partition)?.name };
  }

  #receive(bytes: Uint8Array): void {
    let message: ReturnType<typeof decodeControl>;
    try {
      message = decodeControl(bytes);
    } catch {
      return;
    }
    if (message.kind !== 'view' || this.#isClosed) return;
    this.#clocks.heard('the worker that tells views', message.sentAt);
    this.#views.learn(message.view);
  }

  #absent(subject: string): void {
    const id = this.#subjects.workerOf(subject);
    if (this.#isClosed || id === undefined || !this.#absences.isNews(id)) return;
    this.#transport.send(this.#subjects.resolve(undefined, this.#word), encodeControl({ kind: 'absent', id, by: '' }));
    this.#views.ask();
  }

  #restored(): void {
    if (this.#isClosed) return;
    this.#views.ask();
    this.#handle.again(() => true);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#handle.closeClients();
    this.#admin?.close();
    for (const close of this.#closers) close();
    this.#router.close();
    await this.#opened.close();
  }
}
