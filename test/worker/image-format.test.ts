/** Images of volatile entities, and the slices that they are on their way. */

import { defaultLimits } from '../../core/limits.ts';
import { Activation } from '../../runtime/entity/activation.ts';
import { freshRecord } from '../../runtime/entity/record-reader.ts';
import { carriedOf, type Offer, OfferReader, Slices } from '../../runtime/worker/image-format.ts';
import { inSteps } from '../../runtime/worker/steps.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';
import { tallyWith } from '../support/tally.ts';

const test = suite('image-format');

function offerOf(address: string, bytes: number, looked: (address: string) => void = () => undefined): Offer {
  const loaded = { version: 7, head: new Uint8Array(bytes).fill(bytes), wakeAt: undefined, records: [] };
  const carried = {
    address,
    get loaded() {
      looked(address);
      return loaded;
    },
    ...{ activities: [], partition: 1, epoch: 2, isComplete: true },
  };
  return { carried, name: 'a', givenTo: ['b-1'], isForsaken: false };
}

function readAll(slices: readonly Uint8Array[]): Offer[] {
  const reader = new OfferReader(slices, 'a');
  while (reader.read());
  return reader.offers;
}

const sizes = [1, 700, 30, 2_000, 0, 99, 100, 101, 5];

for (const sliceBytes of [3, 7, 100, 1_000_000])
  test(`IM2: slices of ${sliceBytes} bytes are the same each time, in any order, and all of them are what was put in`, () => {
    const offers = sizes.map((bytes, index) => offerOf(`room/${index}`, bytes));
    const slices = new Slices(sliceBytes);
    for (const offer of offers) assert.ok(slices.add(offer, 1_000_000));
    const indexes = Array.from({ length: slices.count }, (_, index) => index);
    const backwards = [...indexes].reverse().map((index) => slices.slice(index));
    const all = indexes.map((index) => slices.slice(index));
    assert.equal([...backwards].reverse(), all);
    assert.ok(all.slice(0, -1).every(({ length }) => length === sliceBytes) && all.every(({ length }) => length > 0));
    const seen = readAll(all).map(({ carried }) => [carried.address, carried.loaded.head.length]);
    assert.equal(
      seen,
      sizes.map((bytes, index) => [`room/${index}`, bytes]),
    );
  });

test('IM2: a list of more than a signal has room for crosses, and an empty one; what is cut short is refused', () => {
  for (const count of [0, 1, 16, 66_000]) {
    const slices = new Slices(262_144);
    for (let key = 0; key < count; key++) slices.add(offerOf(String(key), 0), 1e9);
    const all = Array.from({ length: slices.count }, (_, index) => slices.slice(index));
    assert.is(readAll(all).length, count);
    const last = all[all.length - 1] as Uint8Array;
    assert.throws(() => readAll([...all.slice(0, -1), last.subarray(0, last.length - 1)]), 'ends too early');
    assert.throws(() => readAll([...all, new Uint8Array([1])]), 'something follows');
  }
});

test('SE3: no image is made before its turn, and of the images that are sent each is made once for its slices in a row', () => {
  const looked: string[] = [];
  const slices = new Slices(100);
  for (const [index, bytes] of [3_000, 10, 2_000].entries())
    slices.add(
      offerOf(`room/${index}`, bytes, (address) => looked.push(address)),
      1e9,
    );
  assert.equal(looked.splice(0), ['room/0', 'room/1', 'room/2']);
  for (let index = 0; index < slices.count; index++) slices.slice(index);
  assert.equal(looked, ['room/0', 'room/1', 'room/2']);
});

test('IM1: an image is that of the moment in which the stay ended, and the entity is let go of once it is made', () => {
  const tally = tallyWith({}, { durability: { intervalMs: 1_000 } });
  const activation = new Activation('tally/x', 3, tally);
  activation.load(freshRecord('tally/x', tally, defaultLimits));
  activation.entity.version = 70;
  const [one, other] = [carriedOf(activation), carriedOf(activation)];
  const now = [one.loaded, one.activities];
  // A commit that was under way ends.
  activation.land(90, undefined);
  assert.equal([other.loaded, other.activities], now);
  assert.equal([one.loaded.version, one.epoch, one.partition], [86, activation.entity.lineage.epoch, 3]);
  assert.is(one.loaded, one.loaded);
});

test('ST1: a step ends after its time or its parts, and what waits comes before the next', () => {
  const hand = new HandEnvironment();
  const did: string[] = [];
  let left = 10;
  const part = () => {
    if (left === 0) return false;
    hand.jump(3);
    did.push('part');
    left -= 1;
    return true;
  };
  hand.soon(() => did.push('other'));
  inSteps(hand, part, { ms: 8, count: 100 });
  assert.equal(did.splice(0), ['part', 'part', 'part']);
  assert.ok(hand.step() && hand.step());
  assert.equal(did.splice(0), ['other', 'part', 'part', 'part']);
  while (hand.step());
  assert.is(did.length, 4);
  left = 5;
  did.length = 0;
  inSteps(hand, part, { ms: 1_000, count: 2 });
  assert.is(did.length, 2);
  while (hand.step());
  assert.is(did.length, 5);
});

test.run();
