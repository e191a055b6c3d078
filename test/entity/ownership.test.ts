/** Proofs of ownership: what an answer of the store about epochs proves, and to whom. */

import { Ownership } from '../../runtime/entity/ownership.ts';
import { momentOf } from '../../runtime/environment.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('ownership');

async function given() {
  const hand = new HandEnvironment();
  const store = new MemoryStore({ partitions: 4 });
  const lost: number[][] = [];
  const ownership = new Ownership(store, hand, (partitions) => void lost.push([...partitions]));
  const claim = async () => {
    const [claimed] = await store.claim([0], 'a');
    ownership.take(0, claimed?.epoch ?? 0, momentOf(hand));
  };
  await claim();
  const said: string[] = [];
  const check = (name: string) =>
    ownership.check(
      0,
      () => void said.push(`${name} owned`),
      () => void said.push(`${name} lost`),
    );
  return { hand, store, ownership, claim, check, said, lost };
}

test('O2, P9: what was decided before the partition was lost and claimed again is not proven by the new claim', async () => {
  const { hand, store, ownership, claim, check, said, lost } = await given();
  check('before');
  // Somebody else had it, and may have answered turns.
  await store.claim([0], 'b');
  await claim();
  check('after');
  await hand.idle();
  assert.equal(said, ['before lost', 'after owned']);
  assert.ok(ownership.has(0));
  assert.equal(lost, []);
});

test('O2: who is no longer the owner loses the partition by the check', async () => {
  const { hand, store, ownership, check, said, lost } = await given();
  check('one');
  await hand.idle();
  await store.claim([0], 'b');
  check('two');
  await hand.idle();
  assert.equal(said, ['one owned', 'two lost']);
  assert.equal([ownership.has(0), lost], [false, [[0]]]);
});

test('O3: partitions that are lost together, at once or by one check, are told of once', async () => {
  const { hand, store, ownership, lost } = await given();
  const take = async () => {
    for (const { partition, epoch } of await store.claim([0, 1, 2, 3], 'a'))
      ownership.take(partition, epoch, momentOf(hand));
  };
  await take();
  ownership.loseAll([2, 0, 2]);
  ownership.loseAll([2]);
  assert.equal([lost.splice(0), [...ownership.partitions]], [[[2, 0]], [1, 3]]);
  await take();
  await store.claim([1, 2, 3], 'b');
  ownership.verify([0, 1, 2, 3]);
  await hand.idle();
  assert.equal([lost, [...ownership.partitions]], [[[1, 2, 3]], [0]]);
});

test.run();
