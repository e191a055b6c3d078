/**
 * What the store on Redis does when its server is killed, paused, set back, full, read-only or strange.
 *
 * Longer than 400 lines because its faults all need a server, cables and clients of the same making.
 *
 * Time limit: 120 s.
 */
import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkerryError, SkerryError } from '../../core/errors.ts';
import type { Log } from '../../runtime/log.ts';
import type { Loss, Store } from '../../runtime/store.ts';
import { openRedis, type RedisOptions } from '../../runtime/stores/redis/store.ts';
import { commitOf } from '../conformance/store-given.ts';
import { Patience } from '../support/patience.ts';
import { RedisServer } from '../support/redis-server.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const test = suite('redis: faults');

interface Given {
  readonly server: RedisServer;
  readonly logged: { level: string; message: string; details: object }[];
  open(options?: Partial<RedisOptions>): Promise<Store>;
}

/** A rule with a server of its own; stores that it opens are closed for it. */
function rule(title: string, body: (given: Given) => Promise<void>, configuration?: string): void {
  test(title, async () => {
    const server = await RedisServer.start(configuration);
    const stores: Store[] = [];
    const logged: Given['logged'] = [];
    const at = (level: string) => (details: object, message: string) => void logged.push({ level, message, details });
    const log: Log = { info: at('info'), warn: at('warn'), error: at('error') };
    const open = async (options: Partial<RedisOptions> = {}) => {
      const store = await openRedis({ url: server.url, partitions: 16, log, commandTimeoutMs: 500, ...options });
      stores.push(store);
      return store;
    };
    try {
      await body({ server, logged, open });
    } finally {
      for (const store of stores) await store.close();
      await server.close();
    }
  });
}

const epochOf = async (store: Store) => (await store.claim([0], 'tester'))[0]?.epoch ?? 0;
/** What the store tells of losses, from here. */
function lossesOf(store: Store): Loss[] {
  const losses: Loss[] = [];
  store.onLoss((loss) => void losses.push(loss));
  return losses;
}

/** Until a call stops failing, for a few seconds. */
async function again<Result>(call: () => Promise<Result>): Promise<Result> {
  for (let tries = 0; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (tries >= 100 || !isSkerryError(error)) throw error;
      await sleep(50);
    }
  }
}
const about = (address: string) => ({ partition: 0, address });

/** Leads to a server, and answers WAIT itself, as the server does while another client's script blocks it. */
async function refusingWait(target: number): Promise<{ url: string; close(): void }> {
  const proxy = createServer((near) => {
    const far = createConnection({ host: '127.0.0.1', port: target });
    const busy = '-BUSY a script runs\r\n';
    // It comes right behind a write, whose answer comes first.
    let refuse = '';
    near.on('data', (bytes) => {
      const at = bytes.indexOf('*3\r\n$4\r\nWAIT');
      if (at === 0) return void near.write(busy);
      if (at > 0) refuse = busy;
      far.write(at > 0 ? bytes.subarray(0, at) : bytes);
    });
    far.on('data', (bytes) => {
      near.write(bytes);
      if (refuse !== '') near.write(refuse);
      refuse = '';
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => undefined).on('close', () => other.destroy());
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const address = proxy.address();
  const port = address !== null && typeof address !== 'string' ? address.port : 0;
  return { url: `redis://127.0.0.1:${port}`, close: () => void proxy.close() };
}

rule(
  'S4, S5, P8: what was acknowledged survives a SIGKILL, and what was under way says that nobody knows',
  async (given) => {
    const { server, open } = given;
    // So many at once, each flushed to a busy disk, may take a while.
    const store = await open({ commandTimeoutMs: 10_000 });
    const epoch = await epochOf(store);
    const acknowledged = new Set<number>();
    const effects = new Set<string>();
    const calls = Array.from({ length: 3_000 }, async (_, number) => {
      try {
        await store.commit([commitOf({ address: `order/${number}`, epoch, records: [['s', Buffer.alloc(500)]] })]);
        acknowledged.add(number);
      } catch (error) {
        if (!isSkerryError(error, 'store-failed')) throw error;
        effects.add(error.effect);
      }
    });
    while (acknowledged.size < 100) await sleep(1);
    await server.kill();
    await Promise.all(calls);
    await server.restart();
    const loaded = await again(() => store.load(Array.from(acknowledged, (number) => about(`order/${number}`))));
    assert.is(loaded.filter((one) => one?.version !== 1).length, 0);
    assert.ok(effects.has('unknown') || acknowledged.size === 3_000);
    assert.equal(await again(() => store.commit([commitOf({ address: 'order/new', epoch })])), ['committed']);
  },
);

rule('S5: without a connection nothing is written, and it says so at once', async ({ server, open }) => {
  const store = await open();
  const epoch = await epochOf(store);
  await server.kill();
  await sleep(50);
  const patience = new Patience();
  const failure = await rejects(store.commit([commitOf({ address: 'order/1', epoch })]), 'store-failed');
  assert.is(failure.effect, 'none');
  assert.ok(patience.passedMs() < 2_500, 'it waited');
  await server.restart();
  assert.equal(await again(() => store.load([about('order/1')])), [undefined]);
});

rule(
  'SR2, RC1, RC2, P8: a server that comes back with older data is found out, loudly, before anything is written',
  async (given) => {
    const { server, open } = given;
    const store = await open();
    const losses = lossesOf(store);
    const epoch = await epochOf(store);
    assert.equal(await store.commit([commitOf({ address: 'order/1', epoch })]), ['committed']);
    const putBack = server.keep();
    assert.equal(await store.commit([commitOf({ address: 'order/1', epoch, expected: 1, version: 2 })]), ['committed']);
    await server.kill();
    putBack();
    await server.restart();
    const outcomes = await again(() => store.commit([commitOf({ address: 'order/2', epoch })]));
    assert.equal(outcomes, ['stale-epoch']);
    assert.equal(await store.epochs([0]), [0]);
    assert.equal(losses, [{ partition: 0, epoch, commits: 1 }]);
    const next = await epochOf(store);
    assert.ok(next > epoch, 'an epoch was given twice');
    assert.equal(await store.commit([commitOf({ address: 'order/1', epoch: next, expected: 1, version: 2 })]), [
      'committed',
    ]);
    assert.equal(await store.epochs([0]), [next]);
  },
);

rule('RC1, P8: answers that are looked at in another order than they were given are no loss', async ({ open }) => {
  const store = await open();
  const losses = lossesOf(store);
  const epoch = await epochOf(store);
  const calls: Promise<unknown>[] = [];
  for (let version = 1; version <= 200; version++) {
    calls.push(store.epochs([0, 1, 2, 3]));
    calls.push(store.commit([commitOf({ address: 'order/1', epoch, expected: version - 1, version })]));
  }
  await Promise.all(calls);
  assert.equal(losses, []);
  assert.equal(await store.epochs([0]), [epoch]);
});

rule(
  'SR2, P8: an owner that commits nothing finds out too, by its next check and by the connection itself',
  async ({ server, open }) => {
    const store = await open();
    const other = await open();
    const losses = [lossesOf(store), lossesOf(other)];
    const [epoch] = (await store.claim([0, 1], 'tester')).map((claim) => claim.epoch);
    const [rival] = await other.claim([2], 'rival');
    const putBack = server.keep();
    await store.commit([commitOf({ address: 'order/1', epoch: epoch ?? 0 })]);
    await server.kill();
    putBack();
    await server.restart();
    // Partition 1 was given before, and nothing of it was lost.
    const present = await again(() => store.epochs([0, 1, 2]));
    assert.equal([present[0], present[1] !== 0, present[2]], [0, true, rival?.epoch]);
    const partitions = () => losses.map((told) => told.map(({ partition }) => partition));
    assert.equal(partitions(), [[0], []]);
    // The other store, which has lost nothing so far, is not even asked.
    await again(() => other.commit([commitOf({ address: 'order/2', partition: 2, epoch: rival?.epoch ?? 0 })]));
    await server.kill();
    putBack();
    await server.restart();
    for (let tries = 0; losses[1]?.length === 0 && tries < 100; tries += 1) await sleep(50);
    assert.equal(partitions(), [[0], [2]]);
  },
);

rule('SR2: a server that comes back empty is found out, and keeps its number of partitions', async (given) => {
  const { server, open } = given;
  const store = await open();
  const losses = lossesOf(store);
  await epochOf(store);
  await server.tell('FLUSHALL');
  assert.equal(await store.epochs([0]), [0]);
  assert.is(losses.length, 1);
  await server.tell('CLIENT', 'KILL', 'TYPE', 'normal');
  await again(async () => {
    const note = await server.tell('GET', 'skerry:format');
    if (!note.includes('16')) throw new SkerryError('store-failed', 'not noted yet');
  });
  await rejects(open({ partitions: 17 }), 'store-format', /16 partitions/);
});

rule(
  'SR3, S6: an epoch is never given twice, also by a server that forgot that it gave it',
  async ({ server, open }) => {
    const store = await open();
    await epochOf(store);
    const putBack = server.keep();
    const lost = await epochOf(store);
    await store.close();
    await server.kill();
    putBack();
    await server.restart();
    assert.ok((await epochOf(await open())) > lost);
  },
);

rule(
  'scripts that the server has forgotten are loaded again, and nothing is written twice',
  async ({ server, open }) => {
    const store = await open();
    const epoch = await epochOf(store);
    for (let version = 1; version <= 3; version++) {
      await server.tell('SCRIPT', 'FLUSH');
      const commit = commitOf({ address: 'order/1', epoch, expected: version - 1, version });
      assert.equal(await store.commit([commit]), ['committed']);
    }
  },
);

rule('RX1, S5: a full server refuses a group as a whole, and says why', async ({ server, open }) => {
  const store = await open();
  const epoch = await epochOf(store);
  await server.tell('CONFIG', 'SET', 'maxmemory', '1');
  const group = [1, 2, 3].map((number) => commitOf({ address: `order/${number}`, epoch }));
  const failure = await rejects(store.commit(group), 'store-failed', /maxmemory/);
  assert.is(failure.effect, 'none');
  await server.tell('CONFIG', 'SET', 'maxmemory', '0');
  assert.equal(await store.load([1, 2, 3].map((number) => about(`order/${number}`))), [
    undefined,
    undefined,
    undefined,
  ]);
  assert.equal(await store.commit(group), ['committed', 'committed', 'committed']);
});

rule('RX1, S5: a replica refuses to write, and says what to do', async ({ server, open }) => {
  const store = await open();
  const epoch = await epochOf(store);
  await server.tell('REPLICAOF', '127.0.0.1', '1');
  const failure = await rejects(store.commit([commitOf({ address: 'order/1', epoch })]), 'store-failed', /replica/);
  assert.is(failure.effect, 'none');
});

rule(
  'RL1, RL3: a server that hangs is not waited for; what it may have done nobody knows',
  async ({ server, open }) => {
    const store = await open();
    const epoch = await epochOf(store);
    server.freeze();
    const failure = await rejects(
      store.commit([commitOf({ address: 'order/1', epoch })]),
      'store-failed',
      /did not answer in time/,
    );
    assert.is(failure.effect, 'unknown');
    server.thaw();
    const [found] = await again(() => store.load([about('order/1')]));
    assert.ok(found === undefined || found.version === 1);
    const expected = found?.version ?? 0;
    assert.equal(await again(() => store.commit([commitOf({ address: 'order/1', epoch, expected, version: 2 })])), [
      'committed',
    ]);
  },
);

rule('minReplicas: without them nothing is acknowledged, though it may be written', async ({ open }) => {
  const store = await open({ minReplicas: 1, minReplicasMs: 50 });
  const epoch = await epochOf(store);
  const failure = await rejects(store.commit([commitOf({ address: 'order/1', epoch })]), 'store-failed', /minReplicas/);
  assert.is(failure.effect, 'unknown');
});

rule(
  'minReplicas: how many replicas have it is asked right behind the write, not after its answer',
  async ({ server, open }) => {
    const proxy = await TcpProxy.to(server.port);
    const store = await open({ url: `redis://127.0.0.1:${proxy.port}`, minReplicas: 1, minReplicasMs: 50 });
    const epoch = await epochOf(store);
    // The script is there from here on.
    await store.commit([commitOf({ address: 'order/1', epoch })]).catch(() => undefined);
    const asked = async () =>
      Number(/cmdstat_wait:calls=(\d+)/.exec(await server.tell('INFO', 'commandstats'))?.[1] ?? 0);
    const before = await asked();
    proxy.holdAnswers();
    const commit = store.commit([commitOf({ address: 'order/2', epoch })]).catch(() => undefined);
    while ((await asked()) === before) await sleep(5);
    await proxy.heal();
    await commit;
    await proxy.close();
  },
);

rule(
  'minReplicas, P8: a commit that fails is told to who asked for it, and to nobody else',
  async ({ server, open }) => {
    const store = await open({ minReplicas: 1, minReplicasMs: 50 });
    const epoch = await epochOf(store);
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    server.freeze();
    await rejects(store.commit([commitOf({ address: 'order/1', epoch })]), 'store-failed', /did not answer in time/);
    server.thaw();
    await sleep(50);
    process.off('unhandledRejection', note);
    assert.equal(unhandled, []);
  },
);

rule('minReplicas, C2: what was written is never said to have had no effect', async ({ server, open }) => {
  const proxy = await refusingWait(server.port);
  try {
    const store = await open({ url: proxy.url, minReplicas: 1 });
    const epoch = await epochOf(store);
    const failure = await rejects(store.commit([commitOf({ address: 'order/1', epoch })]), 'store-failed', /BUSY/);
    assert.is((await store.load([about('order/1')]))[0]?.version, 1);
    assert.is(failure.effect, 'unknown');
  } finally {
    proxy.close();
  }
});

rule(
  'a user without rights is told which it lacks; a wrong password and a wrong URL are told apart',
  async ({ server, open }) => {
    await server.tell('ACL', 'SETUSER', 'poor', 'on', '>secret', '~*', '+@all', '-zadd');
    await rejects(open({ user: 'poor', password: 'secret' }), 'store-failed', /lacks permissions.*zadd/i);
    await rejects(open({ user: 'poor', password: 'wrong' }), 'store-failed', /password/);
    await rejects(open({ url: 'http://127.0.0.1' }), 'invalid-definition', /redis:\/\//);
    await rejects(open({ prefix: 'a:b' }), 'invalid-definition', /prefix/);
  },
);

rule('RK1, RK2: two prefixes on one server know nothing of each other', async ({ open }) => {
  const [one, other] = [await open({ prefix: 'one' }), await open({ prefix: 'one.two' })];
  const epoch = await epochOf(one);
  await one.commit([commitOf({ address: 'order/1', epoch, wakeAt: 5 })]);
  await one.pin('order/1', 999 * 16, 'a');
  assert.equal(await other.list(undefined, { limit: 9 }), []);
  assert.equal(await other.epochs([0]), [0]);
  assert.equal(await other.pins(), []);
  assert.equal(await other.wakes(0, { limit: 9 }), []);
});

rule(
  'P8: a server that keeps nothing is said so, loudly, once',
  async ({ open, logged }) => {
    await open();
    assert.is(logged.filter(({ level, message }) => level === 'error' && message.includes('no persistence')).length, 1);
  },
  'appendonly no',
);

rule('another number of partitions is refused', async ({ open }) => {
  await open();
  await rejects(open({ partitions: 17 }), 'store-format', /16 partitions/);
});

rule('SR1: a group of several partitions is one call', async ({ server, open }) => {
  const store = await open();
  const claims = await store.claim([0, 1, 2], 'tester');
  const calls = async () =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await server.tell('INFO', 'commandstats'))?.[1] ?? 0);
  // The server learns the script by the first call.
  await store.commit([commitOf({ address: 'order/first', epoch: claims[0]?.epoch ?? 0 })]);
  const before = await calls();
  const group = claims.map(({ partition, epoch }) => commitOf({ address: `order/${partition}`, partition, epoch }));
  assert.equal(await store.commit(group), ['committed', 'committed', 'committed']);
  assert.is(await calls(), before + 1);
});

rule('RL2: a commit is never sent again by itself when the connection ends under it', async ({ server, open }) => {
  const store = await open();
  const epoch = await epochOf(store);
  server.freeze();
  const call = store.commit([commitOf({ address: 'order/1', epoch })]).catch((error: unknown) => error);
  await sleep(20);
  await server.kill();
  const error = await call;
  assert.ok(isSkerryError(error, 'store-failed') && error.effect === 'unknown');
  assert.match(error.message, /the connection was lost|did not answer in time/);
  await server.restart();
  await again(() => store.load([about('order/1')]));
  await sleep(200);
  assert.equal(await store.load([about('order/1')]), [undefined]);
});

test.run();
