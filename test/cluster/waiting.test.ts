/**
 * Processes that start while a server is away, with real servers; and whose store it is.
 *
 * Time limit: 90 s.
 */
import { isSkerryError } from '../../core/errors.ts';
import { freePort } from '../../runtime/cli/programs.ts';
import { connect } from '../../runtime/connect.ts';
import { enterCluster, redisOf, whenThere } from '../../runtime/open.ts';
import { serve } from '../../runtime/serve.ts';
import { StoreAway } from '../../runtime/store.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { HandEnvironment } from '../support/hand.ts';
import { NatsServer } from '../support/nats-server.ts';
import { comesTrue, Noted } from '../support/noted.ts';
import { Patience } from '../support/patience.ts';
import { RedisServer } from '../support/redis-server.ts';
import { assert, suite } from '../support/suite.ts';
import { tallyWith, watch } from '../support/tally.ts';

const test = suite('waiting');
const behaviours = [tallyWith()];

test(
  'a worker that starts while NATS and then Redis are away waits for each, says so, and runs when they are there',
  async () => {
    const [nats, redis] = [await NatsServer.start(), await RedisServer.start()];
    await nats.kill();
    await redis.kill();
    const noted = new Noted();
    const { environment } = noted;
    const serving = serve({ behaviours, nats: nats.url, store: redis.url, name: 'a', environment });
    const connecting = connect({ nats: nats.url, environment: new Noted().environment, timeoutMs: 60_000 });
    await comesTrue('it says what it waits for', () => new RegExp(`127.0.0.1:${nats.port}`).test(noted.text));
    await nats.restart();
    await comesTrue('it waits for Redis', () => new RegExp(`127.0.0.1:${redis.port}`).test(noted.text));
    assert.is(noted.count(/waiting for an unreachable server/), noted.lines.length, 'and says nothing else');
    await redis.restart();
    const worker = await serving;
    await worker.ready();
    await (await connecting).close();
    await worker.close();
    for (const server of [nats, redis]) await server.close();
  },
  { timeoutMs: 80_000 },
);

test(
  'a login that is refused ends a start at once, and says why; a client waits for no longer than it is told',
  async () => {
    const server = await NatsServer.start('authorization { token: "right" }');
    const { environment } = new Noted();
    const refused = await serve({ behaviours, nats: server.url, store: new MemoryStore(), environment }).catch(
      (e: unknown) => e,
    );
    assert.ok(isSkerryError(refused, 'transport-failed'));
    assert.match(String(refused), /refused the credentials/);
    await server.close();
    const redis = await RedisServer.start('requirepass right');
    const nats = await NatsServer.start();
    const denied = await serve({ behaviours, nats: nats.url, store: redis.url, environment }).catch((e: unknown) => e);
    assert.match(String(denied), /password/);
    const patience = new Patience();
    const late = await connect({ nats: `nats://127.0.0.1:${await freePort()}`, environment, timeoutMs: 1_500 }).catch(
      (e: unknown) => e,
    );
    assert.match(String(late), /could not be reached: .*ECONNREFUSED/);
    assert.ok(patience.passedMs() < 4_000);
    for (const one of [redis, nats]) await one.close();
  },
  { timeoutMs: 60_000 },
);

test('a URL of a Redis Cluster may name several of its servers; one that is none is said so', () => {
  assert.equal(redisOf('redis-cluster://me:pw@a:1,b:2?prefix=shop'), {
    url: ['redis://me:pw@a:1', 'redis://me:pw@b:2'],
    cluster: true,
    prefix: 'shop',
  });
  assert.equal(redisOf('rediss://a:1/2'), { url: 'rediss://a:1/2', cluster: false });
  assert.equal(redisOf('redis-cluster://a'), { url: 'redis://a', cluster: true });
  for (const text of ['redis://a:1,b:2', 'redis-cluster://a:1,b:x', 'redis-cluster://a,:2', 'redis://'])
    assert.throws(
      () => redisOf(text),
      (error: unknown) => isSkerryError(error, 'invalid-definition'),
      text,
    );
});

test('what waits says what for every few seconds, and stops after the time that it is given', async () => {
  const hand = new HandEnvironment();
  let tries = 0;
  const open = async () => {
    tries += 1;
    throw new StoreAway('The store at x:1 could not be reached: ENOTFOUND');
  };
  const waiting = watch(whenThere(open, hand, 12_000));
  await hand.advance(11_000);
  assert.is(waiting.isSettled, false);
  assert.ok(tries > 15);
  assert.equal(
    hand.logged.map(({ level }) => level),
    ['warn', 'warn', 'warn'],
  );
  assert.match(JSON.stringify(hand.logged), /x:1/);
  await hand.advance(2_000);
  assert.match(String(waiting.error), /ENOTFOUND/);
  // A name that does not exist yet is one that passes; a format is not.
  const format = watch(whenThere(async () => Promise.reject(new Error('no format')), hand));
  await hand.idle();
  assert.match(String(format.error), /no format/);
});

test(
  'a store belongs to the cluster that used it first: another one is refused, and told both names',
  async () => {
    const server = await RedisServer.start();
    const nats = await NatsServer.start();
    const { environment } = new Noted();
    const shared = { behaviours, nats: nats.url, environment };
    const first = await serve({ ...shared, store: server.url, cluster: 'shop', name: 'a' });
    await first.ready();
    const other = await serve({ ...shared, store: server.url, cluster: 'games', name: 'b' }).catch((e: unknown) => e);
    assert.ok(isSkerryError(other, 'store-in-use'));
    assert.match(String(other), /belongs to the cluster 'shop', not to 'games'.*prefix/);
    await first.close();
    const again = await serve({ ...shared, store: server.url, cluster: 'shop', name: 'a' });
    const prefixed = await serve({ ...shared, store: `${server.url}?prefix=games`, cluster: 'games', name: 'b' });
    for (const worker of [again, prefixed]) await worker.close();
    for (const one of [server, nats]) await one.close();
    const store = new MemoryStore();
    await enterCluster(store, 'shop', environment);
    await enterCluster(store, 'shop', environment);
    assert.match(
      String(await enterCluster(store, 'main', environment).catch((e: unknown) => e)),
      /'shop', not to 'main'/,
    );
  },
  { timeoutMs: 60_000 },
);

test.run();
