/**
 * Where a cluster is: what joins its workers, and what they keep their entities in, by the names that people give them.
 *
 * Owns which name means which transport or store, and who closes what was opened here.
 */
import { SkerryError } from '../core/errors.ts';
import type { Environment } from './environment.ts';
import type { Store } from './store.ts';
import { openLmdb } from './stores/lmdb.ts';
import { openRedis, type RedisOptions } from './stores/redis.ts';
import type { Transport } from './transport.ts';
import { type NatsOptions, openNats } from './transports/nats.ts';
import { userIn } from './transports/nats-options.ts';

/** How a process reaches the workers of its cluster: one of the two. */
export interface Joining {
  /** A server's address, as `nats://host:4222`, or more; the connection is closed with what uses it. */
  readonly nats?: string | NatsOptions;
  /** A transport that is open already; it stays open. */
  readonly transport?: Transport;
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

/** The options in a URL: `redis-cluster://` for a Redis Cluster, `?prefix=` for what its keys start with. */
export function redisOf(text: string): Pick<RedisOptions, 'url' | 'cluster' | 'prefix'> {
  const url = new URL(text);
  const prefix = url.searchParams.get('prefix');
  const cluster = url.protocol.includes('-cluster');
  url.search = '';
  return { url: url.href.replace('-cluster:', ':'), cluster, ...(prefix === null ? {} : { prefix }) };
}

/** Fails with `store-failed`, `store-format`, `store-in-use`, `invalid-definition`. */
export async function openStore(
  store: string | Store,
  { owner, environment }: { owner: string; environment: Environment },
): Promise<Opened<Store>> {
  if (typeof store !== 'string') return { what: store, close: async () => undefined };
  const opened = isRedis(store)
    ? await openRedis({ ...redisOf(store), log: environment.log })
    : await openLmdb(store, { shared: true, owner });
  return { what: opened, close: () => opened.close() };
}
