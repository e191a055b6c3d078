/**
 * What the store on Redis says that it has, when its server is set back or does not answer: whether memory may be believed.
 *
 * Time limit: 60 s.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../runtime/log.ts';
import type { Claim, Store } from '../../runtime/store.ts';
import { openRedis } from '../../runtime/stores/redis/store.ts';
import { commitOf } from '../conformance/store-given.ts';
import { RedisServer } from '../support/redis-server.ts';
import { assert, rejects, suite } from '../support/suite.ts';

const test = suite('redis: marks');

interface Given {
  readonly server: RedisServer;
  readonly stores: readonly [Store, Store];
  /** Have the server hold again what it held when this was called. */
  keep(): () => Promise<void>;
}

function rule(title: string, body: (given: Given) => Promise<void>): void {
  test(title, async () => {
    const server = await RedisServer.start();
    const open = () => openRedis({ url: server.url, partitions: 16, log: silentLog, commandTimeoutMs: 500 });
    const stores = [await open(), await open()] as const;
    const keep = () => {
      const putBack = server.keep();
      return async () => {
        await server.kill();
        putBack();
        await server.restart();
        // Until both have a connection again.
        for (const store of stores) while (!(await isThere(store))) await sleep(20);
      };
    };
    try {
      await body({ server, stores, keep });
    } finally {
      for (const store of stores) await store.close();
      await server.close();
    }
  });
}

const isThere = (store: Store) =>
  store.pins().then(
    () => true,
    () => false,
  );

async function claimOf(store: Store): Promise<Claim> {
  const [claim] = await store.claim([0], 'tester');
  if (claim === undefined) throw new Error('no claim');
  return claim;
}

const write = (store: Store, epoch: number, from: number, to: number) =>
  store.commit(Array.from({ length: to - from }, (_, at) => commitOf({ address: `order/${from + at}`, epoch })));

rule('S10, P8: a claim that finds less than was given away says so, and so does the one after it', async (given) => {
  const [giver, taker] = given.stores;
  const { epoch } = await claimOf(giver);
  await write(giver, epoch, 0, 3);
  const goBack = given.keep();
  await write(giver, epoch, 3, 5);
  const mark = giver.markOf(0, epoch);
  await goBack();
  const first = await claimOf(taker);
  assert.equal([first.previous, mark !== undefined && first.mark === mark - 2], [epoch, true]);
  // Claimed by one that wrote as much as was lost, and gone back to before that claim: the epoch tells.
  await write(taker, first.epoch, 7, 9);
  const second = await claimOf(taker);
  assert.equal([second.previous, second.mark], [first.epoch, mark]);
});

rule('S10: a claim that went back, and nothing else with it, finds what was given away', async (given) => {
  const [giver, taker] = given.stores;
  const { epoch } = await claimOf(giver);
  await write(giver, epoch, 0, 3);
  const mark = giver.markOf(0, epoch);
  const goBack = given.keep();
  const forgotten = await claimOf(taker);
  await write(taker, forgotten.epoch, 3, 5);
  await goBack();
  const claim = await claimOf(taker);
  assert.equal([claim.previous, claim.mark], [epoch, mark]);
  assert.ok(claim.epoch > forgotten.epoch);
});

rule('S10: who waits for an answer, or never got it, knows no mark until the next claim', async (given) => {
  const [giver] = given.stores;
  const { epoch } = await claimOf(giver);
  const underWay = write(giver, epoch, 0, 2);
  assert.is(giver.markOf(0, epoch), undefined);
  await underWay;
  assert.ok(giver.markOf(0, epoch) !== undefined);
  given.server.freeze();
  const failure = await rejects(write(giver, epoch, 2, 4), 'store-failed');
  assert.is(failure.effect, 'unknown');
  given.server.thaw();
  while (!(await isThere(giver))) await sleep(20);
  assert.is(giver.markOf(0, epoch), undefined);
  // Refused before anything was sent: known to have done nothing.
  const next = await claimOf(giver);
  await given.server.kill();
  await sleep(50);
  assert.is((await rejects(write(giver, next.epoch, 5, 6), 'store-failed')).effect, 'none');
  assert.is(giver.markOf(0, next.epoch), next.mark);
});

test.run();
