/**
 * The store on Redis against the conformance suite: one server, and a cluster of three.
 *
 * Time limit: 180 s.
 */

import { silentLog } from '../../runtime/log.ts';
import type { Store } from '../../runtime/store.ts';
import { openRedis, type RedisOptions } from '../../runtime/stores/redis/store.ts';
import { type OpenStore, storeSuite } from '../conformance/store.ts';
import { RedisServer, startCluster } from '../support/redis-server.ts';

let count = 0;

/** A store of its own on a server that all share: each has a prefix that nobody else has. */
async function openOn(options: Pick<RedisOptions, 'url' | 'cluster'>): Promise<OpenStore> {
  const own = { ...options, prefix: `test-${++count}`, log: silentLog };
  let store = await openRedis(own);
  const reopen = async (): Promise<Store> => {
    await store.close();
    store = await openRedis(own);
    return store;
  };
  return { store, reopen, close: () => store.close() };
}

// Both before the first suite: one that comes later would run beside it.
const server = await RedisServer.start('appendonly yes\nappendfsync no');
const servers = await startCluster();
storeSuite('redis', () => openOn({ url: server.url }));
storeSuite('redis cluster', () => openOn({ url: servers.map(({ url }) => url), cluster: true }));
