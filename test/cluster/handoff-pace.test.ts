/** The pace of handoffs: how much is on its way at a time. */
import { HandoffPace } from '../../runtime/cluster/handoff-pace.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('pace');
const items = Array.from({ length: 250 }, (_, item) => item);

const restMsMax = 48;

/** How many items each share had, if it took so long for each item. */
async function sharesOf(msPerItem: number, all = items): Promise<number[]> {
  const hand = new HandEnvironment();
  const pace = new HandoffPace<number>(hand, () => undefined);
  const left = new Set(all);
  const counts: number[] = [];
  while (left.size > 0) {
    const share = pace.begin([...left]);
    counts.push(share.length);
    await hand.advance(share.length * msPerItem);
    for (const item of share) {
      assert.equal(pace.begin(items), []);
      left.delete(item);
      pace.end(item);
    }
    await hand.advance(restMsMax);
  }
  return counts;
}

test('PA1: one share is on its way at a time, and grows while it is quick, to a small part of the whole', async () => {
  assert.equal((await sharesOf(0)).slice(0, 8), [1, 2, 4, 8, 8, 8, 8, 8]);
  const steady = await sharesOf(2);
  assert.equal([steady.slice(0, 4), Math.max(...steady)], [[1, 2, 4, 8], 8]);
});

test('PA1: where everything is slow one partition comes at a time', async () => {
  assert.equal(await sharesOf(50), new Array(250).fill(1));
});

test('PA3: however slow, a move has so many shares at most', async () => {
  for (const count of [256, 500, 32_768]) {
    const many = Array.from({ length: count }, (_, item) => item);
    assert.ok((await sharesOf(50, many)).length <= 256);
  }
});

test('PA3: the rests of a move have a bound together, and the next move has its own', async () => {
  const hand = new HandEnvironment();
  let restedCount = 0;
  const pace = new HandoffPace<number>(hand, () => {
    restedCount += 1;
  });
  const move = async () => {
    for (const item of items) {
      assert.equal(pace.begin([item]), [item]);
      await hand.advance(20);
      pace.end(item);
      await hand.advance(restMsMax);
    }
  };
  await move();
  assert.is(restedCount, 63);
  assert.equal(pace.begin([]), []);
  await move();
  assert.is(restedCount, 126);
});

test('PA2: after a share comes a rest of three times as long, within a bound, and then a word that it is over', async () => {
  for (const [tookMs, restMs] of [
    [1, 3],
    [10, 30],
    [16, 48],
    [500, 48],
  ] as const) {
    const hand = new HandEnvironment();
    let restedCount = 0;
    const pace = new HandoffPace<number>(hand, () => {
      restedCount += 1;
      assert.is(pace.begin(items).length > 0, true);
    });
    const [item = -1] = pace.begin(items);
    await hand.advance(tookMs);
    pace.end(item);
    await hand.advance(restMs - 1);
    assert.equal([pace.begin(items), restedCount], [[], 0]);
    await hand.advance(1);
    assert.is(restedCount, 1);
  }
});

test('PA1: a share that became too slow halves the next one; what is not of it ends nothing', async () => {
  const hand = new HandEnvironment();
  const pace = new HandoffPace<number>(hand, () => undefined);
  const run = async (ms: number) => {
    const share = pace.begin(items);
    await hand.advance(ms);
    pace.end(-1);
    assert.equal(pace.begin(items), []);
    for (const item of share) pace.end(item);
    await hand.advance(restMsMax);
    return share.length;
  };
  const counts = [];
  for (const ms of [0, 0, 0, 0, 12, 40, 40, 12]) counts.push(await run(ms));
  assert.equal(counts, [1, 2, 4, 8, 8, 8, 4, 2]);
  assert.equal(pace.begin([]), []);
  assert.equal(pace.begin([5]), [5]);
});

test.run();
