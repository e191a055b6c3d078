/** What holds of the parts of the stores, without a disk. */
import fc from 'fast-check';
import type { RecordName } from '../../runtime/store.ts';
import { recordKey, wakeKey, wakeOf } from '../../runtime/stores/lmdb/layout.ts';
import { compareUtf8, MemoryStore } from '../../runtime/stores/memory.ts';
import { bytes, byUtf8, claimed, commitOf, loadText } from '../conformance/store-given.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('stores: parts');
const seed = 2_007;
const anyText = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });
const address = anyText.map((key) => `order/${key}`);

test('SY1: keys of wakes are in the order of their times, and give them back', () => {
  const times = [
    Number.NEGATIVE_INFINITY,
    -1e300,
    -1.5,
    -1,
    0,
    5e-324,
    0.5,
    1,
    2,
    255,
    256,
    1.8e12,
    2 ** 53,
    1e300,
    Number.POSITIVE_INFINITY,
  ];
  const keys = times.map((wakeAt) => wakeKey(255, { wakeAt, address: 'a/1' }));
  assert.equal([...keys].sort(byUtf8), keys);
  assert.equal(
    keys.map((key) => wakeOf(key).wakeAt),
    times,
  );
  assert.is(wakeKey(1, { wakeAt: -0, address: 'a/1' }), wakeKey(1, { wakeAt: 0, address: 'a/1' }));
  const wake = fc.record({ wakeAt: fc.double({ noNaN: true }), address });
  const inOrder = fc.property(fc.nat(65_535), wake, wake, (partition, one, other) => {
    const order = Math.sign(one.wakeAt - other.wakeAt) || Math.sign(byUtf8(one.address, other.address));
    assert.is(Math.sign(byUtf8(wakeKey(partition, one), wakeKey(partition, other))), Number.isNaN(order) ? 0 : order);
    assert.equal(wakeOf(wakeKey(partition, one)), { ...one, wakeAt: one.wakeAt + 0 });
  });
  fc.assert(inOrder, { seed, numRuns: 500 });
});

test('SY2: no record key of one entity starts with what the keys of another start with', () => {
  const apart = fc.property(address, address, anyText, (one, other, name: RecordName) => {
    fc.pre(one !== other);
    assert.not(recordKey(one, name).startsWith(recordKey(other, '')));
    assert.not(recordKey(one, '').startsWith(recordKey(other, '')));
    assert.not(recordKey(`${one}${name}`, '').startsWith(recordKey(one, '')));
  });
  fc.assert(apart, { seed, numRuns: 500 });
});

test('SM1: the memory store keeps its own copy of what it is given and gives', async () => {
  const store = new MemoryStore();
  const head = bytes('head');
  await store.commit([commitOf({ address: 'a/1', epoch: await claimed(store), head })]);
  head.fill(0);
  const [loaded] = await store.load([{ partition: 0, address: 'a/1' }]);
  loaded?.head.fill(0);
  assert.equal(await loadText(store, 'a/1'), { version: 1, head: 'head', wakeAt: undefined, records: [] });
});

test('SM2: calls of the memory store happen in the order in which they were made', async () => {
  const store = new MemoryStore({ partitions: 4 });
  const calls = [store.claim([1], 'one'), store.epochs([1]), store.claim([1], 'two'), store.epochs([1])];
  const [, first, , second] = await Promise.all(calls);
  assert.equal([first, second, store.partitions], [[1], [2], 4]);
});

test('SM3: the order of the memory store is that of UTF-8 bytes', () => {
  const sameOrder = fc.property(anyText, anyText, (one, other) => {
    assert.is(Math.sign(compareUtf8(one, other)), Math.sign(byUtf8(one, other)));
  });
  fc.assert(sameOrder, {
    seed,
    numRuns: 2_000,
    examples: [
      ['\uffff', '😀'],
      ['a', 'a\0'],
      ['é', 'z'],
    ],
  });
});

test.run();
