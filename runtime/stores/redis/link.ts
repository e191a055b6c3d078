/**
 * The connection of a store to Redis, one server or a cluster. The only file that imports the package `ioredis`.
 *
 * Owns the effect of failed calls: it knows for each command whether its bytes were ever given to a socket. It does not know
 * the meaning of the commands.
 *
 * Invariants:
 * - RL1 A command fails with effect 'none' only if no byte of it was or will be sent, or the server rejected it as a whole.
 *   Otherwise its effect is 'unknown'.
 * - RL2 A command that may have been executed is never sent again automatically.
 * - RL3 Every command settles: within its time, or when its connection ends. A command that the server leaves unanswered ends the
 *   connection, so that nothing piles up behind it (P12).
 */
import type { Socket } from 'node:net';
import { Cluster, Command, Redis } from 'ioredis';
import { type CallEffect, errorText, SkerryError } from '../../../core/errors.ts';
import type { Log } from '../../log.ts';
import { StoreAway } from '../../store.ts';
import { type Argument, requestOf } from './request.ts';
import type { Script } from './scripts.ts';

export type Reply = Buffer | string | number | null | readonly Reply[];

export interface LinkOptions {
  readonly urls: readonly string[];
  readonly isCluster: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly tls: object | undefined;
  readonly commandTimeoutMs: number;
  readonly log: Log;
}

/** Replies by which the server says that it did nothing. */
const refusals: Readonly<Record<string, string>> = {
  OOM: 'its memory is full (maxmemory): raise the limit or remove data',
  READONLY: 'it is a replica: connect to its master',
  MISCONF: 'it cannot persist: check its log and its disk',
  NOREPLICAS: 'it has fewer replicas than it demands (min-replicas-to-write)',
  LOADING: 'it is still loading its data',
  BUSY: 'a script blocks it',
  MASTERDOWN: 'it is a replica without a master',
  CLUSTERDOWN: 'the cluster is down',
  NOAUTH: 'it requires a password',
  WRONGPASS: 'it rejects the user or password',
  NOSCRIPT: 'it lost a script twice in a row',
};

/** The package's text for a command that took too long. */
const timedOut = 'Command timed out';
/** Those of them that pass without intervention. */
const passing: ReadonlySet<string> = new Set(['LOADING', 'BUSY', 'MASTERDOWN', 'CLUSTERDOWN']);

const ping = requestOf(['PING']);
const corked = new WeakSet<Socket>();

/** A command in flight. Its key decides the server of a cluster. */
class Sent extends Command {
  readonly #bytes: Buffer;
  readonly #key: string;
  /** The connection that it was written to; undefined: none yet. */
  socket: Socket | undefined;
  isGivenUp = false;

  constructor(name: string, bytes: Buffer, key: string) {
    super(name, [], { replyEncoding: null });
    this.#bytes = bytes;
    this.#key = key;
  }

  override getKeys(): string[] {
    return [this.#key];
  }

  override toWritable(socket: Socket): Buffer {
    // It waited for a connection, and its caller has been told that it was not sent (RL1). Only its place in the queue remains.
    if (this.isGivenUp && this.socket === undefined) return ping;
    this.socket = socket;
    cork(socket);
    return this.#bytes;
  }
}

/** Data written to a socket in one step leaves in one step. */
function cork(socket: Socket): void {
  if (corked.has(socket)) return;
  corked.add(socket);
  socket.cork();
  queueMicrotask(() => {
    corked.delete(socket);
    socket.uncork();
  });
}

export class RedisLink {
  /** Without user and password, for messages. */
  readonly where: string;
  readonly isCluster: boolean;
  /** Called when a connection is restored: the known state of the server may be outdated. */
  onAgain: () => void = () => undefined;
  readonly #redis: Redis | Cluster;
  readonly #log: Log;
  #trouble: string | undefined;
  #isClosed = false;
  #hasBeenReady = false;

  constructor(options: LinkOptions) {
    this.where = options.urls.map(withoutSecrets).join(', ');
    this.isCluster = options.isCluster;
    this.#log = options.log;
    this.#redis = options.isCluster ? clusterOf(options) : new Redis(serverOf(options));
    this.#redis.on('error', (error: unknown) => this.#troubled(error));
    if (this.#redis instanceof Cluster) this.#redis.on('+node', (node: Redis) => node.on('ready', () => this.#ready()));
    else this.#redis.on('ready', () => this.#ready());
  }

  /** Opens the first connection. All later ones are opened automatically. */
  async connect(): Promise<void> {
    try {
      await this.#connected();
    } catch (error) {
      const reason = this.#trouble ?? errorText(error);
      this.close();
      const message = `The store at ${this.where} could not be reached: ${explained(reason)}`;
      if (isAway(reason, error)) throw new StoreAway(message, error);
      throw new SkerryError('store-failed', message, { cause: error });
    }
  }

  /**
   * The package's own promise never settles if it found the servers and then the cluster down: it keeps trying without telling.
   * Such a connection counts as failed, and the caller starts again.
   */
  #connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      let isFound = false;
      if (this.isCluster) {
        this.#redis.once('refresh', () => {
          isFound = true;
        });
        this.#redis.once('close', () => {
          if (isFound) reject(new Error('CLUSTERDOWN a part of it is unreachable'));
        });
      }
      this.#redis.connect().then(() => resolve(), reject);
    });
  }

  /** A command that only reads. */
  read(key: string, parts: readonly Argument[]): Promise<Reply> {
    return this.#send(new Sent(String(parts[0]), requestOf(parts), key), 'read');
  }

  write(key: string, parts: readonly Argument[]): Promise<Reply> {
    return this.#send(new Sent(String(parts[0]), requestOf(parts), key), 'write');
  }

  /** A script with its keys. The first key decides where it runs. */
  run(
    script: Script,
    keys: readonly string[],
    values: readonly Argument[],
    what: 'read' | 'write' = 'write',
  ): Promise<Reply> {
    const request = requestOf(['EVALSHA', script.sha, keys.length, ...keys, ...values]);
    return this.runRequest(script, { key: keys[0] ?? '', request }, what);
  }

  /** The same, encoded by the caller. */
  async runRequest(
    script: Script,
    { key, request }: { key: string; request: Buffer },
    what: 'read' | 'write' = 'write',
  ): Promise<Reply> {
    try {
      return await this.#send(new Sent('EVALSHA', request, key), what);
    } catch (error) {
      if (!isRefusal(error, 'NOSCRIPT')) throw error;
      // Directly after each other, so that a flush of all scripts can hardly come between. The first run did nothing (RL2).
      const loaded = this.#send(new Sent('SCRIPT', requestOf(['SCRIPT', 'LOAD', script.text]), key), what);
      const again = this.#send(new Sent('EVALSHA', request, key), what);
      const [, ran] = await Promise.allSettled([loaded, again]);
      // A failure to load says nothing about a run that found the script, loaded by another client.
      if (ran.status === 'rejected' && isRefusal(ran.reason, 'NOSCRIPT')) await loaded;
      return again;
    }
  }

  /**
   * The same, followed at once by the question how many replicas have it, in one round trip. `WAIT` counts the writes of its own
   * connection, so it is repeated if the script ran on another one, or later.
   */
  async runReplicated(
    script: Script,
    { key, request, minReplicas, waitMs }: { key: string; request: Buffer; minReplicas: number; waitMs: number },
  ): Promise<{ readonly reply: Reply; readonly replicas: Promise<Reply> }> {
    const wait = requestOf(['WAIT', minReplicas, waitMs]);
    const [run, asked] = [new Sent('EVALSHA', request, key), new Sent('WAIT', wait, key)];
    const [running, replicas] = [this.#send(run, 'write'), this.#send(asked, 'write')];
    // A caller that learns of the script's failure does not wait for it.
    replicas.catch(() => undefined);
    let reply: Reply | undefined;
    try {
      reply = await running;
    } catch (error) {
      if (!isRefusal(error, 'NOSCRIPT')) throw error;
    }
    if (reply !== undefined && run.socket === asked.socket) return { reply, replicas };
    reply ??= await this.runRequest(script, { key, request });
    return { reply, replicas: this.#send(new Sent('WAIT', wait, key), 'write') };
  }

  /** Sends the same command to each server that has data. */
  readAll(parts: readonly Argument[]): Promise<Reply[]> {
    const nodes = this.#redis instanceof Cluster ? this.#redis.nodes('master') : [this.#redis];
    return Promise.all(nodes.map((node) => this.#send(new Sent(String(parts[0]), requestOf(parts), ''), 'read', node)));
  }

  /** Closes the connection. Commands in flight fail. */
  close(): void {
    this.#isClosed = true;
    this.#redis.disconnect();
  }

  async #send(command: Sent, what: 'read' | 'write', to: Redis | Cluster = this.#redis): Promise<Reply> {
    if (this.#isClosed) throw new SkerryError('closed', `The store at ${this.where} is closed`);
    try {
      return (await to.sendCommand(command)) as Reply;
    } catch (error) {
      command.isGivenUp = true;
      if (errorText(error) === timedOut) command.socket?.destroy();
      throw this.#failure(error, command.socket !== undefined, what);
    }
  }

  #failure(error: unknown, isSent: boolean, what: 'read' | 'write'): SkerryError {
    const said = errorText(error);
    const isRefused = refusals[codeOf(said)] !== undefined;
    const effect: CallEffect = what === 'read' || !isSent || isRefused ? 'none' : 'unknown';
    const failed = `The store at ${this.where} could not ${what}`;
    const trouble = this.#trouble === undefined ? '' : ` (${this.#trouble})`;
    const isAway = !isSent || (what === 'read' && !isRefused) || passing.has(codeOf(said));
    if (isAway && effect === 'none')
      return new StoreAway(`${failed}: ${isSent ? explained(said) : `not connected${trouble}`}`, error);
    return new SkerryError('store-failed', `${failed}: ${explained(said)}`, { effect, cause: error });
  }

  /** Logged once until the connection is restored. */
  #troubled(error: unknown): void {
    const isNew = this.#trouble === undefined;
    this.#trouble = errorText(error);
    // For a first connection, its caller reports the error.
    if (isNew && !this.#isClosed && this.#hasBeenReady)
      this.#log.warn({ store: this.where, reason: this.#trouble }, 'the connection to Redis is lost; reconnecting');
  }

  #ready(): void {
    this.#hasBeenReady = true;
    if (this.#trouble !== undefined) this.#log.info({ store: this.where }, 'the connection to Redis is restored');
    this.#trouble = undefined;
    this.onAgain();
  }
}

/** Options of every connection. It queues nothing and repeats nothing (RL2). */
function serverOptions({ user, password, tls, commandTimeoutMs, urls }: LinkOptions) {
  const url = new URL(urls[0] ?? 'redis://127.0.0.1');
  const isSecure = tls !== undefined || url.protocol === 'rediss:';
  const name = user ?? (url.username === '' ? undefined : decodeURIComponent(url.username));
  const secret = password ?? (url.password === '' ? undefined : decodeURIComponent(url.password));
  return {
    ...(name === undefined ? {} : { username: name }),
    ...(secret === undefined ? {} : { password: secret }),
    ...(isSecure ? { tls: tls ?? {} } : {}),
    protocol: 2 as const,
    connectTimeout: commandTimeoutMs,
    commandTimeout: commandTimeoutMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    disableClientInfo: true,
    keepAlive: 5_000,
  };
}

const retryDelay = (times: number): number => Math.min(25 * 2 ** Math.min(times, 7), 2_000);

function serverOf(options: LinkOptions) {
  return { ...serverOptions(options), ...placeOf(options.urls[0] ?? ''), lazyConnect: true, retryStrategy: retryDelay };
}

function clusterOf(options: LinkOptions): Cluster {
  return new Cluster(options.urls.map(placeOf), {
    redisOptions: serverOptions(options),
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryDelay,
    // Both would repeat commands that may have been executed, or execute them too late to matter (RL2).
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshTimeout: options.commandTimeoutMs,
    slotsRefreshInterval: 2_000,
  });
}

/** Throws `invalid-definition` for an invalid Redis URL. */
function placeOf(text: string): { host: string; port: number; db: number } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '')
    throw new SkerryError(
      'invalid-definition',
      'A Redis URL has the form redis://[user:password@]host[:port][/number], with rediss: for TLS',
    );
  const db = url.pathname.slice(1);
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 6_379), db: Number(db || 0) };
}

function withoutSecrets(url: string): string {
  const { host, port, db } = placeOf(url);
  return `${host}:${port}${db === 0 ? '' : `/${db}`}`;
}

function codeOf(said: string): string {
  return said.split(' ', 1)[0] ?? '';
}

/** Whether the server replied with this code, and did nothing. */
function isRefusal(error: unknown, code: string): boolean {
  return error instanceof SkerryError && error.cause instanceof Error && codeOf(error.cause.message) === code;
}

/** Whether a first connection failed for a reason that may pass: server down, name not resolvable yet, still loading. */
function isAway(reason: string, error: unknown): boolean {
  const last = error instanceof Error && 'lastNodeError' in error ? errorText(error.lastNodeError) : '';
  const said = `${reason} ${last}`;
  if (/WRONGPASS|NOAUTH|NOPERM|certificate|ERR_TLS|SSL/i.test(said)) return false;
  return (
    passing.has(codeOf(reason)) ||
    /ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOST|ENETUNREACH|EPIPE|closed|timed out|None of startup nodes/i.test(said)
  );
}

function explained(said: string): string {
  if (said === timedOut) return 'it did not answer in time (commandTimeoutMs)';
  // The package's text for commands in flight at that moment.
  if (/^Reached the max retries|^Connection is closed/.test(said)) return 'the connection was lost';
  const known = refusals[codeOf(said)];
  return known === undefined ? said : `${known} (${said})`;
}
