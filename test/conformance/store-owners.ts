/** Rules for stores: pins, leases, and the epochs of partitions that are not homes (S6, S8, S9). */
import type { Claim, Store } from '../../runtime/store.ts';
import { assert } from '../support/suite.ts';
import { byUtf8, claimed, commitOf, type Given, type Rule } from './store-given.ts';

export const ownerRules: Rule[] = [];

function rule(title: string, body: (given: Given) => Promise<void>): void {
  ownerRules.push({ title, body });
}

/** A partition above those that are homes, whose home is 0; the largest that there may be with `round` large. */
const above = (store: Store, round: number): number => store.partitions * round;

async function pinsOf(store: Store, partition: number): Promise<Claim['pins']> {
  const [claim] = await store.claim([partition], 'tester');
  return claim?.pins ?? [];
}

rule('S6: partitions above the homes have epochs of their own, up to the largest number', async ({ store, reopen }) => {
  const largest = Math.floor(Number.MAX_SAFE_INTEGER / store.partitions) * store.partitions;
  const all = [0, above(store, 1), above(store, 2 ** 32 + 7), largest];
  const before = await store.epochs(all);
  assert.equal(before.slice(1), [0, 0, 0]);
  const claims = await store.claim(all.slice(1, 3), 'tester');
  const claimedEpochs = claims.map(({ epoch }) => epoch);
  assert.equal(await store.epochs(all), [before[0], ...claimedEpochs, 0]);
  await store.claim([largest], 'other');
  assert.equal(
    (await store.claim([largest], 'tester')).map(({ before: owner }) => owner),
    ['other'],
  );
  assert.equal((await (await reopen()).epochs(all)).slice(0, 3), [before[0], ...claimedEpochs]);
});

rule(
  'S2: a commit for a partition above the homes carries its epoch, not that of its home',
  async ({ store, epoch }) => {
    const partition = above(store, 3);
    const own = await claimed(store, partition);
    await claimed(store, partition);
    const again = await claimed(store, partition);
    assert.ok(own !== again && again !== epoch);
    const address = 'room/1';
    const outcomes = async (tried: number): Promise<unknown> =>
      store.commit([commitOf({ address, partition, epoch: tried, wakeAt: 5 })]);
    assert.equal([await outcomes(epoch), await outcomes(own)], [['stale-epoch'], ['stale-epoch']]);
    assert.equal(await outcomes(again), ['committed']);
    assert.equal(await store.wakes(0, { limit: 9 }), [{ address, wakeAt: 5 }]);
    assert.equal(await store.wakes(partition, { limit: 9 }), [{ address, wakeAt: 5 }]);
    // It is the same entity when its home has it again.
    const home = commitOf({ address, epoch, expected: 1, wakeBefore: 5, wakeAt: 6 });
    assert.equal(await store.commit([home]), ['committed']);
    assert.equal(await store.wakes(0, { limit: 9 }), [{ address, wakeAt: 6 }]);
    const [loaded] = await store.load([{ partition, address }]);
    assert.is(loaded?.version, 2);
    assert.equal(await store.list('room', { limit: 9 }), [address]);
  },
);

rule('S10: what was acknowledged, and no more, is what the next claim finds', async ({ store, epoch }) => {
  const partitions = [0, above(store, 2)];
  await store.claim(partitions, 'tester');
  const epochs = await store.epochs(partitions);
  const commits = partitions.flatMap((partition, at) =>
    ['a', 'b', 'c'].map((key) => commitOf({ address: `${partition}/${key}`, partition, epoch: epochs[at] ?? 0 })),
  );
  const more = commits.map((commit) => ({ ...commit, expected: 1, version: 2 }));
  const refused = [commitOf({ address: '0/a', epoch }), commitOf({ address: '0/b', epoch: epochs[0] ?? 0 })];
  await Promise.all([store.commit(commits.slice(0, 4)), store.commit(commits.slice(4))]);
  await Promise.all([store.commit(more.slice(1)), store.commit(refused.slice(0, 1)), store.commit(refused.slice(1))]);
  const marks = partitions.map((partition, at) => store.markOf(partition, epochs[at] ?? 0));
  assert.equal(
    (await store.claim(partitions, 'next')).map(({ previous, mark }) => [previous, mark]),
    epochs.map((previous, at) => [previous, marks[at]]),
  );
});

rule(
  'S8: a pin makes stale whoever had the home or the pinned partition, and nobody else',
  async ({ store, epoch }) => {
    const partition = above(store, 9);
    const own = await claimed(store, partition);
    const [neighbour] = await store.claim([1], 'tester');
    const asked = [0, partition, 1];
    for (const worker of ['one', 'two', undefined]) {
      const before = await store.epochs(asked);
      await store.pin('room/1', partition, worker);
      const after = await store.epochs(asked);
      assert.ok((after[0] ?? 0) > (before[0] ?? 0) && (after[1] ?? 0) > (before[1] ?? 0), `${before} to ${after}`);
      assert.is(after[2], neighbour?.epoch);
    }
    const stale = [commitOf({ address: 'room/1', epoch: own, partition }), commitOf({ address: 'room/2', epoch })];
    assert.equal(await store.commit(stale), ['stale-epoch', 'stale-epoch']);
  },
);

rule(
  'S8: who had a partition before is still known after a pin; nobody had one that was only pinned',
  async ({ store }) => {
    await store.pin('room/1', above(store, 2), 'one');
    const claims = await store.claim([above(store, 2), 0], 'later');
    assert.equal(
      claims.map(({ before }) => before),
      [undefined, 'tester'],
    );
  },
);

rule('S8: a claim says by which epoch it was claimed before, however often it was pinned since', async (given) => {
  const pinned = above(given.store, 2);
  const claimedOf = async (store: Store, partitions: readonly number[]) =>
    (await store.claim(partitions, 'later')).map(({ claimed: epoch }) => epoch);
  const pin = (worker: string | undefined) => given.store.pin('room/1', pinned, worker);
  await pin('one');
  await pin('two');
  assert.equal(await claimedOf(given.store, [pinned, 0, 1]), [0, given.epoch, 0]);
  const once = await given.store.epochs([pinned, 0, 1]);
  assert.equal(await claimedOf(given.store, [pinned, 0, 1]), once);
  const twice = await given.store.epochs([pinned, 0, 1]);
  await pin(undefined);
  await pin('two');
  const store = await given.reopen();
  const [own = 0, home = 0] = await store.epochs([pinned, 0]);
  assert.ok(own > (twice[0] ?? 0) && home > (twice[1] ?? 0));
  assert.equal(await claimedOf(store, [pinned, 0, 1]), twice);
});

rule('S8: a claim lists the pins of its home, in order of their addresses', async ({ store, reopen }) => {
  const addresses = ['room/b', 'room/\u{10ffff}', 'room/\uffff', 'room/a', 'room/\0', 'room/{0}'];
  for (const address of addresses) await store.pin(address, above(store, 5), `at ${address}`);
  await store.pin('room/elsewhere', above(store, 5) + 1, 'one');
  const sorted = [...addresses].sort(byUtf8).map((address) => ({ address, worker: `at ${address}` }));
  assert.equal(await pinsOf(store, 0), sorted);
  assert.equal(await pinsOf(store, above(store, 5)), sorted);
  assert.equal(await pinsOf(store, 1), [{ address: 'room/elsewhere', worker: 'one' }]);
  assert.equal(await pinsOf(store, 2), []);
  const again = await reopen();
  assert.equal(await pinsOf(again, 0), sorted);
  const all = [...sorted, { address: 'room/elsewhere', worker: 'one' }];
  assert.equal(
    await again.pins(),
    all.sort((left, right) => byUtf8(left.address, right.address)),
  );
});

rule(
  'S8: a pin replaces the one before, and goes when it is ended; ending none is no error',
  async ({ store, reopen }) => {
    const partition = above(store, 4);
    await store.pin('room/1', partition, 'one');
    await store.pin('room/1', partition, 'two');
    assert.equal(await store.pins(), [{ address: 'room/1', worker: 'two' }]);
    await store.pin('room/1', partition, undefined);
    await store.pin('room/2', partition, undefined);
    assert.equal([await store.pins(), await pinsOf(store, 0)], [[], []]);
    assert.equal(await (await reopen()).pins(), []);
  },
);

rule('S8: of pins and claims that race, a claim with its present epoch has seen every pin', async ({ store }) => {
  const pins = Array.from({ length: 8 }, (_, at) => store.pin(`room/${at}`, above(store, at + 1), 'one'));
  const claims = Array.from({ length: 8 }, (_, at) => store.claim([0], `${at}`));
  await Promise.all(pins);
  const [present] = await store.epochs([0]);
  const fresh = (await Promise.all(claims)).flat().filter(({ epoch }) => epoch === present);
  for (const { pins: seen } of fresh) assert.is(seen.length, 8);
});

rule('S9: a lease is kept by its holder and refused to others until it is over', async ({ store }) => {
  const one = (until: number) => ({ holder: 'one', term: 1, until });
  assert.equal(await store.lease('placement', 'one', { now: 1_000, ms: 500 }), one(1_500));
  assert.equal(await store.lease('placement', 'two', { now: 1_499, ms: 500 }), one(1_500));
  assert.equal(await store.lease('placement', 'one', { now: 1_400, ms: 500 }), one(1_900));
  assert.equal(await store.lease('placement', 'two', { now: 1_899.5, ms: 500 }), one(1_900));
  const two = { holder: 'two', term: 2, until: 2_400.5 };
  assert.equal(await store.lease('placement', 'two', { now: 1_900.5, ms: 500 }), two);
  assert.equal(await store.lease('placement', 'one', { now: 1_901, ms: 500 }), two);
  assert.equal(await store.lease('other\0name', 'one', { now: 0, ms: 1 }), one(1));
});

rule('S9: a lease that is over is still its holder’s until somebody else takes it', async ({ store }) => {
  await store.lease('placement', 'one', { now: 0, ms: 10 });
  const renewed = { holder: 'one', term: 1, until: 109 };
  assert.equal(await store.lease('placement', 'one', { now: 99, ms: 10 }), renewed);
  assert.equal(await store.lease('placement', 'two', { now: 105, ms: 10 }), renewed);
});

rule('S9, EL4: a lease goes to who saw it as it is, and not once it was renewed', async ({ store }) => {
  const call = { now: 1_800_000_000_000, ms: 5_000 };
  const seen = await store.lease('placement', 'one', call);
  assert.equal(seen, { holder: 'one', term: 1, until: call.now + call.ms });
  for (const instead of [
    { ...seen, term: 2 },
    { ...seen, term: 0 },
    { ...seen, until: seen.until - 1 },
  ])
    assert.equal(await store.lease('placement', 'two', { ...call, instead }), seen);
  const renewed = await store.lease('placement', 'one', { ...call, now: call.now + 1 });
  assert.equal(await store.lease('placement', 'two', { ...call, instead: seen }), renewed);
  const taken = { holder: 'two', term: 2, until: call.now + call.ms };
  assert.equal(await store.lease('placement', 'two', { ...call, instead: renewed }), taken);
  assert.equal(await store.lease('placement', 'three', { ...call, instead: renewed }), taken);
});

rule('S9: a lease that was given up is free at once, and only its holder can give it up', async ({ store }) => {
  const call = { now: 1_000, ms: 5_000 };
  const free = { holder: '', term: 0, until: 0 };
  assert.equal(await store.lease('placement', 'one', { now: 1_000, ms: 0 }), free);
  const one = { holder: 'one', term: 1, until: 6_000 };
  assert.equal(await store.lease('placement', 'one', call), one);
  assert.equal(await store.lease('placement', 'two', { now: 9_000, ms: 0 }), one);
  assert.equal(await store.lease('placement', 'one', { now: 1_000, ms: 0 }), { ...free, term: 1 });
  assert.equal(await store.lease('placement', 'one', call), { ...one, term: 2 });
});

rule(
  'S9: a term is never given twice, to callers at once or after the store was opened again',
  async ({ store, reopen }) => {
    const takers = Array.from({ length: 10 }, (_, at) => store.lease('placement', `${at}`, { now: 0, ms: 100 }));
    const given = await Promise.all(takers);
    const [first] = given;
    assert.ok(first?.term === 1 && given.every(({ holder }) => holder === first?.holder));
    const again = await reopen();
    assert.equal(await again.lease('placement', 'late', { now: 99, ms: 100 }), first);
    assert.equal(await again.lease('placement', 'late', { now: 100, ms: 0 }), first);
    assert.equal(await again.lease('placement', 'late', { now: 100, ms: 100 }), {
      holder: 'late',
      term: 2,
      until: 200,
    });
  },
);
