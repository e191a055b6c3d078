/** The pace of handoffs: how much is on its way at a time. */
import { Pace } from '../runtime/pace.ts';
import { HandEnvironment } from './support/hand.ts';
import { assert, suite } from './support/suite.ts';

const test = suite('pace');
const items = Array.from({ length: 500 }, (_, item) => item);

/** How many items each share had, if it took so long for each item. */
async function sharesOf(msPerItem: number): Promise<number[]> {
  const hand = new HandEnvironment();
  const pace = new Pace<number>(hand);
  const left = new Set(items);
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
  }
  return counts;
}

test('PA1: one share is on its way at a time, and grows while it is quick, to a small part of the whole', async () => {
  assert.equal((await sharesOf(0)).slice(0, 8), [1, 2, 4, 8, 16, 16, 16, 16]);
  const steady = await sharesOf(2);
  assert.equal([steady.slice(0, 4), Math.max(...steady)], [[1, 2, 4, 8], 8]);
});

test('PA1: where everything is slow one partition comes at a time', async () => {
  assert.equal(await sharesOf(50), new Array(500).fill(1));
});

test('PA1: a share that became too slow halves the next one; what is not of it ends nothing', async () => {
  const hand = new HandEnvironment();
  const pace = new Pace<number>(hand);
  const run = async (ms: number) => {
    const share = pace.begin(items);
    await hand.advance(ms);
    pace.end(-1);
    assert.equal(pace.begin(items), []);
    for (const item of share) pace.end(item);
    return share.length;
  };
  const counts = [];
  for (const ms of [0, 0, 0, 0, 12, 40, 40, 12]) counts.push(await run(ms));
  assert.equal(counts, [1, 2, 4, 8, 16, 16, 8, 4]);
  assert.equal(pace.begin([]), []);
  assert.equal(pace.begin([5]), [5]);
});

test.run();
