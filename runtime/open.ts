/**
 * Opens stores and transports by their URL or folder.
 *
 * Owns which URL means which store or transport, and who closes what was opened here. The code and packages of each are
 * loaded when it is opened, so a client loads no store.
 */
import { errorText, isSkerryError, SkerryError } from '../core/errors.ts';
import type { Environment } from './environment.ts';
import { checkedStore, type Store, StoreAway } from './store.ts';
import type { LmdbOptions } from './stores/lmdb/store.ts';
import type { RedisOptions } from './stores/redis/store.ts';
import { type Transport, TransportAway } from './transport.ts';
import { type NatsOptions, userIn } from './transports/nats/options.ts';
import type { NatsTransport } from './transports/nats/transport.ts';

/** How a process reaches the workers of its cluster. Exactly one of the two is required. */
export interface Joining {
  /** A NATS address, such as `nats://host:4222`, or options. The connection is opened here and closed with the handle. */
  readonly nats?: string | NatsOptions | undefined;
  /** An open transport. It is not closed with the handle. */
  readonly transport?: Transport | undefined;
}

/** A store or transport, and how to close it. `close` does nothing if the application opened it. */
export interface Opened<What> {
  readonly what: What;
  close(): Promise<void>;
}

/** The user name of the NATS login; '' if it has none. */
export function loginOf({ nats }: Joining): string {
  if (nats === undefined) return '';
  return userIn(typeof nats === 'string' ? { servers: nats } : nats);
}

/** Pause between tries, and between log lines, while a server is unavailable, ms. */
const againMs = 500;
const sayMs = 5_000;

/**
 * Retries `open` while a server that it needs is unavailable, so that a process started during an outage joins when the
 * outage ends. The log says what it waits for. Errors that waiting cannot fix (a login, a format) are thrown at once; after
 * `forMs` every error is.
 */
export async function whenThere<What>(
  open: () => Promise<What>,
  environment: Environment,
  forMs = Number.POSITIVE_INFINITY,
): Promise<What> {
  const startedAt = environment.steady();
  for (let saidAt = Number.NEGATIVE_INFINITY; ; ) {
    try {
      return await open();
    } catch (error) {
      const now = environment.steady();
      if (!passesByItself(error) || now - startedAt + againMs > forMs) throw error;
      if (now - saidAt >= sayMs) {
        saidAt = now;
        environment.log.warn(
          { reason: errorText(error), waitedMs: now - startedAt },
          'waiting for an unreachable server',
        );
      }
      await new Promise<void>((resolve) => void environment.after(againMs, resolve));
    }
  }
}

function passesByItself(error: unknown): boolean {
  if (error instanceof StoreAway || error instanceof TransportAway) return true;
  // The command line wraps errors to reword them.
  if (error instanceof Error && !isSkerryError(error) && error.cause !== undefined) return passesByItself(error.cause);
  // The connection was lost while the store was being opened. Opening can be repeated.
  return isSkerryError(error, 'store-failed') && error.effect === 'unknown';
}

/**
 * Checks that a store belongs to this cluster. The first cluster that uses a store gives it its name: two clusters in one
 * store would run each other's entities. Rejects with `store-in-use` or `store-failed`.
 */
export async function enterCluster(store: Store, cluster: string, environment: Environment): Promise<void> {
  const { holder } = await store.lease('cluster', cluster, { now: environment.now(), ms: foreverMs });
  if (holder === cluster) return;
  throw new SkerryError(
    'store-in-use',
    `This store belongs to the cluster '${holder}', not to '${cluster}': give each cluster its own store, or its own prefix in one (redis://host?prefix=${cluster}), or use the name '${holder}'`,
  );
}

/** Duration of a lease that never ends. */
const foreverMs = 4e15;

/**
 * Resolves when the server has allowed this login all its subscriptions, and to publish to `sendTo`. Rejects with `denied`
 * before anything is sent.
 */
export async function admitted(transport: Transport, sendTo: string, what: string): Promise<void> {
  try {
    await transport.ready?.(sendTo);
  } catch (error) {
    if (!isSkerryError(error, 'transport-failed')) throw error;
    throw new SkerryError('denied', `This login may not be ${what}: ${error.message}`, { cause: error });
  }
}

/** Opens NATS, or wraps an open transport. Rejects with `transport-failed` or `invalid-definition`. */
export async function openTransport(
  { nats, transport }: Joining,
  environment: Environment,
): Promise<Opened<Transport>> {
  if ((nats === undefined) === (transport === undefined))
    throw new SkerryError('invalid-definition', 'Pass either nats, the address of a server, or an open transport');
  if (transport !== undefined) return { what: transport, close: async () => undefined };
  const opened = await openNats(typeof nats === 'string' ? { servers: nats } : (nats as NatsOptions), environment);
  return { what: opened, close: () => opened.close() };
}

/**
 * The options in a Redis URL. `redis-cluster://` means a Redis Cluster and may name several servers (`host:port,host:port`),
 * one of which must be reachable. `?prefix=` sets the prefix of all keys.
 */
export function redisOf(text: string): Pick<RedisOptions, 'url' | 'cluster' | 'prefix'> {
  const [, protocol = '', clustered = '', login = '', hosts = '', rest = ''] =
    /^(rediss?)(-cluster)?:\/\/([^/?]*@)?([^/?]*)(.*)$/i.exec(text) ?? [];
  const urls = hosts.split(',').map((host) => `${protocol}://${login}${host}${rest}`);
  const parsed = urls.map((one) => (URL.canParse(one) ? new URL(one) : undefined));
  const [url] = parsed;
  const isSound = parsed.every((one) => one !== undefined && one.hostname !== '');
  if (url === undefined || !isSound || (clustered === '' && urls.length > 1))
    throw new SkerryError(
      'invalid-definition',
      'A Redis URL has the form redis://[user:password@]host[:port][/number], with rediss: for TLS, or redis-cluster:// with one or more hosts (host:port,host:port)',
    );
  const prefix = url.searchParams.get('prefix');
  const bare = urls.map((one) => {
    const each = new URL(one);
    each.search = '';
    return each.href;
  });
  const [first = ''] = bare;
  return {
    url: bare.length === 1 ? first : bare,
    cluster: clustered !== '',
    ...(prefix === null ? {} : { prefix }),
  };
}

/** What a store is opened for. */
export interface StoreUse {
  /** Whether other processes open it too, as the workers of one cluster do. */
  readonly shared: boolean;
  /** Name of the process, shown to another that finds a folder in use. */
  readonly owner?: string;
  readonly environment: Environment;
  readonly partitions?: number | undefined;
  readonly tls?: object | undefined;
}

interface StoreKind {
  /** Whether a text means a store of this kind. */
  readonly is: (text: string) => boolean;
  /** Why a store of this kind cannot be shared, or cannot be opened for one process alone. */
  readonly refusal?: { readonly shared?: string; readonly alone?: string };
  open(text: string, use: StoreUse): Promise<Store>;
}

/** The stores that a text can mean; the first that fits. A new store is one entry here. */
const storeKinds: readonly StoreKind[] = [
  {
    is: (text) => text === 'memory',
    refusal: {
      shared:
        "'memory' is a store of one process: name redis://host:6379, or a folder that the workers of one machine share (./memory for a folder of that name)",
    },
    open: async (_, { environment }) => {
      const { MemoryStore } = await import('./stores/memory.ts');
      return new MemoryStore({ id: environment.newId() });
    },
  },
  {
    is: (text) => /^rediss?(-cluster)?:/i.test(text),
    refusal: {
      alone:
        'store is the URL of a Redis: pass the store that openRedis({ url }) opens to embed(); only serve() takes the URL',
    },
    open: (text, { environment: { log }, partitions, tls }) => openRedis({ ...redisOf(text), log, partitions, tls }),
  },
  {
    // Two letters at least: one is a drive of Windows.
    is: (text) => !/^[a-z][a-z0-9+-]+:/i.test(text),
    open: (text, { shared, owner, partitions }) => openLmdb(text, { shared, owner, partitions }),
  },
];

/**
 * Opens a store by URL or folder, or wraps an open one. Rejects with `store-failed`, `store-format`, `store-in-use` or
 * `invalid-definition`.
 */
export async function openStore(store: string | Store, use: StoreUse): Promise<Opened<Store>> {
  const given = checkedStore(store);
  if (typeof given !== 'string') return { what: given, close: async () => undefined };
  const kind = storeKinds.find(({ is }) => is(given));
  if (kind === undefined)
    throw new SkerryError(
      'invalid-definition',
      `'${withoutLogin(given)}' is not a store: name redis://host:6379, rediss:// with TLS, redis-cluster://, or a folder`,
    );
  const refusal = kind.refusal?.[use.shared ? 'shared' : 'alone'];
  if (refusal !== undefined) throw new SkerryError('invalid-definition', refusal);
  const what = await kind.open(given, use);
  return { what, close: () => what.close() };
}

/** URLs as they may be shown: without what stands before the @. */
export function withoutLogin(urls: string): string {
  return urls.replace(/(^|,|\/\/)[^,/@]*@/g, '$1');
}

// ---- each store and transport, loaded when it is first opened

/**
 * Open the embedded store (LMDB) in a folder. The folder and its parents are created if they are missing. A commit is
 * durable when it is acknowledged.
 *
 * Rejects with `store-in-use` (another live process, or this one, has it open), `store-format` (a newer or unknown format,
 * or another number of partitions), `not-found` (read-only and missing) or `store-failed`.
 */
export async function openLmdb(folder: string, options?: LmdbOptions): Promise<Store> {
  const { openLmdb } = await import('./stores/lmdb/store.ts');
  return openLmdb(folder, options);
}

/**
 * Open a store on Redis 7 or newer, or on Valkey. It is as durable as the server (P8): with `appendfsync always`,
 * acknowledged commits survive a crash of the machine; with `everysec`, a crash of the Redis process. Commits lost by the
 * server are detected and reported. Rejects with `store-failed` (no connection, no rights), `store-format` or
 * `invalid-definition`.
 */
export async function openRedis(options: RedisOptions): Promise<Store> {
  const { openRedis } = await import('./stores/redis/store.ts');
  return openRedis(options);
}

/**
 * Connect to NATS. Rejects with `transport-failed` if no server can be reached or none accepts the login, and with
 * `invalid-definition` for wrong options.
 */
export async function openNats(options: NatsOptions, environment?: Environment): Promise<NatsTransport> {
  const { openNats } = await import('./transports/nats/transport.ts');
  return openNats(options, environment);
}
