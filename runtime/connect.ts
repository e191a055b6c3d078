/**
 * connect(): a client of a cluster from any process, without hosting anything.
 *
 * Owns what a client does beside its calls: it learns the view, follows it, and sends calls again when their entity has
 * moved or the connection was lost.
 */
import type { AnyEntity, Caller } from '../core/entity.ts';
import { SkerryError } from '../core/errors.ts';
import { defaultLimits, type Limits } from '../core/limits.ts';
import type { View } from '../placement/view.ts';
import { Absences } from './absences.ts';
import { Client } from './client.ts';
import { checkLimits } from './embed.ts';
import { type Environment, machineEnvironment } from './environment.ts';
import { standardLog } from './log.ts';
import { type Joining, type Opened, openTransport } from './places.ts';
import { Post } from './post.ts';
import { decodeSignal, encodeSignal, type Signal } from './signals.ts';
import { checkedCluster, Subjects } from './subjects.ts';
import type { Transport } from './transport.ts';
import { noView, Views } from './views.ts';

export interface ConnectOptions extends Joining {
  /** Default `main`. */
  readonly cluster?: string;
  /** Who calls, for the authorisation hook of the workers (default ''). Worth as much as the transport's own access control. */
  readonly identity?: string;
  readonly limits?: Partial<Limits>;
  /** Clock, chance and log; default: the machine's. */
  readonly environment?: Environment;
  /** How long to wait for the first view before giving up, ms (default 10,000). */
  readonly timeoutMs?: number;
}

/** A client of a cluster somewhere else. */
export interface RemoteCluster {
  /** A reference to an entity: its operations as methods. Throws `invalid-address`. */
  entity<Contract extends AnyEntity>(contract: Contract, key: string): Caller<Contract['operations']>;
  readonly client: Client;
  /** Which workers there are, as far as this client knows. */
  readonly view: View;
  /** Where an entity should be: its partition, and its worker's name if there is one. */
  where(address: string): { readonly partition: number; readonly worker: string | undefined };
  /** Calls under way are rejected with `closed`. */
  close(): Promise<void>;
}

/** Asked for the first view this often, ms. */
const askMs = 200;

/**
 * Connect to a cluster. Resolves when its view is known. Rejects with `transport-failed` when nobody tells one within
 * `timeoutMs` (no worker runs under that cluster's name), or when NATS cannot be reached.
 */
export async function connect(options: ConnectOptions): Promise<RemoteCluster> {
  checkLimits(options.limits ?? {});
  const environment = options.environment ?? machineEnvironment(standardLog());
  const remote = new Remote(options, environment, await openTransport(options, environment));
  await remote.start(options.timeoutMs ?? 10_000);
  return remote;
}

class Remote implements RemoteCluster {
  readonly client: Client;
  readonly #environment: Environment;
  readonly #opened: Opened<Transport>;
  readonly #transport: Transport;
  readonly #subjects: Subjects;
  readonly #id: string;
  readonly #post: Post;
  readonly #views: Views;
  readonly #cluster: string;
  readonly #absences: Absences;
  readonly #closers: (() => void)[] = [];
  #isClosed = false;

  constructor(options: ConnectOptions, environment: Environment, transport: Opened<Transport>) {
    this.#environment = environment;
    this.#absences = new Absences(environment);
    this.#opened = transport;
    this.#transport = transport.what;
    this.#cluster = checkedCluster(options.cluster ?? 'main');
    this.#subjects = new Subjects(this.#cluster);
    this.#id = environment.newId();
    // Of how many partitions it is, the first view tells.
    const nothing = noView(1);
    const base = { environment, transport: this.#transport, subjects: this.#subjects };
    this.#post = new Post({ ...base, onLaterView: () => this.#views.ask() }, nothing);
    this.#views = new Views(
      {
        ...base,
        id: this.#id,
        follow: (placement) => this.client.again(this.#post.follow(placement)),
        isTelling: false,
      },
      nothing,
    );
    const subject = this.#subjects.client(this.#id);
    this.client = new Client({
      environment,
      limits: { ...defaultLimits, ...options.limits },
      subject,
      identity: options.identity ?? '',
      post: (envelope) => this.#post.post(envelope),
      onMoved: () => this.#views.ask(),
    });
    this.#post.listen(subject, (envelope) => this.client.receive(envelope));
  }

  async start(timeoutMs: number): Promise<void> {
    const { views, control } = { views: this.#subjects.views, control: this.#subjects.control(this.#id) };
    for (const subject of [views, control])
      this.#closers.push(this.#transport.listen(subject, (bytes) => this.#receive(bytes)));
    this.#closers.push(
      this.#transport.onAbsent((subject) => this.#absent(subject)),
      this.#transport.onRestored(() => this.#restored()),
    );
    const until = this.#environment.now() + timeoutMs;
    while (!this.#views.isKnown) {
      if (this.#environment.now() >= until) {
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

  get view(): View {
    return this.#views.placement.view;
  }

  // A field, so that `const { entity } = cluster` works.
  readonly entity = <Contract extends AnyEntity>(contract: Contract, key: string): Caller<Contract['operations']> =>
    this.client.entity(contract, key);

  where(address: string): { readonly partition: number; readonly worker: string | undefined } {
    const { placement } = this.#views;
    const partition = placement.partitionOf(address);
    return { partition, worker: placement.workerOf(partition)?.name };
  }

  #receive(bytes: Uint8Array): void {
    let signal: Signal;
    try {
      signal = decodeSignal(bytes);
    } catch {
      return;
    }
    if (signal.kind === 'view' && !this.#isClosed) this.#views.learn(signal.view);
  }

  #absent(subject: string): void {
    const id = this.#subjects.workerOf(subject);
    if (this.#isClosed || id === undefined || !this.#absences.isNews(id)) return;
    this.#transport.send(this.#subjects.service, encodeSignal({ kind: 'absent', id }));
    this.#views.ask();
  }

  #restored(): void {
    if (this.#isClosed) return;
    this.#views.ask();
    this.client.again(() => true);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.client.close();
    for (const close of this.#closers) close();
    this.#post.close();
    await this.#opened.close();
  }
}
