/**
 * Where a cluster is: what joins its workers, and what they keep their entities in, by the names that people give them.
 *
 * Owns which name means which transport or store, and who closes what was opened here. The code of each, and the packages that it
 * needs, are loaded when it is opened: a client of a cluster loads no store.
 */
import { errorText, isSkerryError, SkerryError } from '../core/errors.ts';
import type { Environment } from './environment.ts';
import { checkedStore, type Store, StoreAway } from './store.ts';
import type { LmdbOptions } from './stores/lmdb/store.ts';
import type { RedisOptions } from './stores/redis/store.ts';
import { type Transport, TransportAway } from './transport.ts';
import { type NatsOptions, userIn } from './transports/nats/options.ts';
import type { NatsTransport } from './transports/nats/transport.ts';

/** How a process reaches the workers of its cluster: one of the two. */
export interface Joining {
  /** A server's address, as `nats://host:4222`, or more; the connection is closed with what uses it. */
  readonly nats?: string | NatsOptions | undefined;
  /** A transport that is open already; it stays open. */
  readonly transport?: Transport | undefined;
}

/** Something that was opened, and how to close it: nothing, if somebody else opened it. */
export interface Opened<What> {
  readonly what: What;
  close(): Promise<void>;
}

/** The user that logs in there by name and password; '' where nobody does. */
export function loginOf({ nats }: Joining): string {
  if (nats === undefined) return '';
  return userIn(typeof nats === 'string' ? { servers: nats } : nats);
}

/** Tried again, and said again, this often while it is away, ms. */
const againMs = 500;
const sayMs = 5_000;

/**
 * What `open` resolves with, however long a server is away that it needs: a process that starts during an outage is there when
 * that is over. Says what it waits for. What waiting does not mend (a login, a format) is thrown at once, and after `forMs`
 * everything.
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
          'waiting for a server that is away',
        );
      }
      await new Promise<void>((resolve) => void environment.after(againMs, resolve));
    }
  }
}

function passesByItself(error: unknown): boolean {
  if (error instanceof StoreAway || error instanceof TransportAway) return true;
  // As the command line words it.
  if (error instanceof Error && !isSkerryError(error) && error.cause !== undefined) return passesByItself(error.cause);
  // Lost in the middle of what is done when a store is opened: that can be done again.
  return isSkerryError(error, 'store-failed') && error.effect === 'unknown';
}

/**
 * Whether a store is this cluster's: the first that uses it gives it its name. Two clusters in one would run each other's
 * entities. Throws `store-in-use`, `store-failed`.
 */
export async function enterCluster(store: Store, cluster: string, environment: Environment): Promise<void> {
  const { holder } = await store.lease('cluster', cluster, { now: environment.now(), ms: foreverMs });
  if (holder === cluster) return;
  throw new SkerryError(
    'store-in-use',
    `This store belongs to the cluster '${holder}', not to '${cluster}': give each cluster a store of its own, or a prefix in one (redis://host?prefix=${cluster}), or use the name '${holder}'`,
  );
}

/** Nobody else gets it. */
const foreverMs = 4e15;

/**
 * Resolves when the server lets this login listen to all that is listened to, and send to `sendTo`. Throws `denied`: what it would send
 * would reach nobody, and nothing was sent yet.
 */
export async function admitted(transport: Transport, sendTo: string, what: string): Promise<void> {
  try {
    await transport.ready?.(sendTo);
  } catch (error) {
    if (!isSkerryError(error, 'transport-failed')) throw error;
    throw new SkerryError('denied', `This login may not be ${what}: ${error.message}`, { cause: error });
  }
}

/** Fails with `transport-failed`, `invalid-definition`. */
export async function openTransport(
  { nats, transport }: Joining,
  environment: Environment,
): Promise<Opened<Transport>> {
  if ((nats === undefined) === (transport === undefined))
    throw new SkerryError(
      'invalid-definition',
      'Give either nats, the address of a server, or a transport that is open',
    );
  if (transport !== undefined) return { what: transport, close: async () => undefined };
  const opened = await openNats(typeof nats === 'string' ? { servers: nats } : (nats as NatsOptions), environment);
  return { what: opened, close: () => opened.close() };
}

export function isRedis(text: string): boolean {
  return /^rediss?(-cluster)?:\/\//i.test(text);
}

/**
 * The options in a URL: `redis-cluster://` for a Redis Cluster, of which several servers may be named (`host:port,host:port`): one of
 * them has to be there. `?prefix=` for what its keys start with.
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
      'A URL of Redis reads redis://[user:password@]host[:port][/number], with rediss: for TLS, or redis-cluster:// with one host or several (host:port,host:port)',
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

/** Fails with `store-failed`, `store-format`, `store-in-use`, `invalid-definition`. */
export async function openStore(
  store: string | Store,
  { owner, environment }: { owner: string; environment: Environment },
): Promise<Opened<Store>> {
  checkedStore(store);
  if (typeof store !== 'string') return { what: store, close: async () => undefined };
  const { log } = environment;
  const opened = isRedis(store)
    ? await openRedis({ ...redisOf(store), log })
    : await openLmdb(store, { shared: true, owner });
  return { what: opened, close: () => opened.close() };
}

// ---- each store and transport, loaded when it is first opened

/**
 * Opens the store in a folder, which is created with its parents if it is missing.
 *
 * Fails with `store-in-use` (another live process, or this one, has it open), `store-format` (written by a newer or
 * unknown format, or for another number of partitions), `not-found` (read-only, and nothing is there), `store-failed`.
 */
export async function openLmdb(folder: string, options?: LmdbOptions): Promise<Store> {
  const { openLmdb } = await import('./stores/lmdb/store.ts');
  return openLmdb(folder, options);
}

/**
 * Open a store on Redis 7 or newer, or Valkey. Durable as the server is (P8): with `appendfsync always` what was
 * acknowledged survives a crash of the machine, with `everysec` of the process. What a server loses is detected and
 * reported. Rejects with `store-failed` (no connection, no rights), `store-format`, `invalid-definition`.
 */
export async function openRedis(options: RedisOptions): Promise<Store> {
  const { openRedis } = await import('./stores/redis/store.ts');
  return openRedis(options);
}

/** Connects; rejects with `transport-failed` if none of the servers can be reached or lets us in. */
export async function openNats(options: NatsOptions, environment?: Environment): Promise<NatsTransport> {
  const { openNats } = await import('./transports/nats/transport.ts');
  return openNats(options, environment);
}
