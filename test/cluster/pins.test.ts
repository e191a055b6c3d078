/** Pins that the store knows and the view does not: which worker may run the entity, and how the view finds out. */
import { pinnedPartition } from '../../placement/placement.ts';
import { withWorkers } from '../support/served.ts';
import { assert, suite } from '../support/suite.ts';
import { Tally, type TallyTurn, tallyWith, watch } from '../support/tally.ts';

const test = suite('pins');

test('HT1, P3: who claims the partition of a pin that has ended does not run the entity by it', () =>
  withWorkers({}, async ({ hand, during, tally, workers, keyAt, gate, remote }) => {
    const key = keyAt('a');
    const address = `tally/${key}`;
    const own = pinnedPartition(address, 16);
    await during(tally(key).add(1));
    await during(workers.get('a')?.member.pin(address, 'b') ?? Promise.reject(new Error('no a')));
    await hand.advance(1_000);
    assert.is(await during(tally(key).add(1)), 2);
    // Nobody is told: by the view it is still pinned, and b claims its partition again.
    await gate.pin(address, own, undefined);
    const call = watch(tally(key).add(1));
    await hand.advance(1_500);
    assert.ok(workers.get('b')?.workers[0]?.has(own));
    assert.is(remote.where(address).worker, 'b');
    assert.not.ok(call.isSettled);
    await hand.advance(6_000);
    assert.equal([remote.where(address).worker, call.value], ['a', 3]);
  }));

test('HT1, P3: who claims a home does not run the entities that are pinned, though the view says nothing of it', () =>
  withWorkers({}, async ({ hand, during, tally, workers, keyAt, gate, remote }) => {
    const key = keyAt('a');
    const address = `tally/${key}`;
    await during(tally(key).add(1));
    await gate.pin(address, pinnedPartition(address, 16), 'b');
    const call = watch(tally(key).add(1));
    await hand.advance(1_500);
    assert.is(remote.where(address).worker, 'a');
    assert.ok(workers.get('a')?.workers[0]?.has(remote.where(address).partition));
    assert.not.ok(call.isSettled);
    await hand.advance(6_000);
    assert.equal([remote.where(address).worker, call.value], ['b', 2]);
  }));

for (const isTold of [true, false])
  test(`P7: timers of entities that were unpinned after their home had been claimed fire, ${isTold ? 'though nobody calls' : 'also if that home was claimed again before its owner knew'}`, () => {
    const scripts = { remind: (turn: TallyTurn) => turn.timer('later', { afterMs: 12_000 }).add(1) };
    return withWorkers({ names: ['a', 'b', 'c'], scripts }, async ({ hand, during, tally, workers, gate, remote }) => {
      const keys = Array.from({ length: 40 }, (_, key) => String(key));
      const pinned = keys.filter((key) => remote.where(`tally/${key}`).worker === 'a').slice(0, 8);
      await during(Promise.all(pinned.map((key) => tally(key).run('remind'))));
      const c = workers.get('c')?.member;
      const pinAll = (worker: string | undefined) =>
        during(Promise.all(pinned.map((key) => c?.pin(`tally/${key}`, worker))));
      await pinAll('b');
      await hand.advance(1_000);
      // Their homes are claimed by who does not know of their timers.
      await during(workers.get('a')?.close() ?? Promise.reject(new Error('no a')));
      await hand.advance(500);
      if (isTold) await pinAll(undefined);
      else {
        for (const key of pinned) await gate.pin(`tally/${key}`, pinnedPartition(`tally/${key}`, 16), undefined);
        c?.worker.ownership.verify(c.worker.partitions);
        await hand.advance(1_000);
        assert.is(remote.where(`tally/${pinned[0]}`).worker, 'b');
      }
      await hand.advance(13_000);
      const homes = pinned.map((key) => remote.where(`tally/${key}`));
      assert.ok(homes.some(({ worker }) => worker === 'c'));
      const loaded = await gate.load(
        pinned.map((key, index) => ({ address: `tally/${key}`, partition: homes[index]?.partition ?? -1 })),
      );
      assert.equal(
        loaded.map((one) => one?.wakeAt),
        pinned.map(() => undefined),
      );
    });
  });

test('PN1, S8, P3: a pin makes the claim stale of whoever has the entity, also where its type requires labels', () => {
  const behaviours = [tallyWith({}, { labels: ['big'] })];
  return withWorkers({ names: [], behaviours }, async ({ hand, during, join, remoteOf, gate }) => {
    const a = (await join('a', { labels: ['big'] })).member;
    const remote = await remoteOf();
    await during(remote.entity(Tally, 'x').add(1));
    const { partition } = remote.where('tally/x');
    assert.ok(partition >= 16);
    for (const worker of ['a', undefined]) {
      const [before = 0] = await gate.epochs([partition]);
      await during(a.pin('tally/x', worker));
      const [after = 0] = await gate.epochs([partition]);
      assert.ok(after > before);
      await hand.advance(1_000);
      assert.is(remote.where('tally/x').partition === partition, worker === undefined);
      await during(remote.entity(Tally, 'x').add(1));
    }
    assert.is(await during(remote.entity(Tally, 'x').count()), 3);
  });
});

test('HT2, P7: an entity whose unpinning ended half-way runs again, for a call and for its timers', () => {
  const scripts = { remind: (turn: TallyTurn) => turn.timer('later', { afterMs: 8_000 }).add(1) };
  const behaviours = [tallyWith(scripts, { labels: ['big'] })];
  return withWorkers({ names: [], behaviours }, async ({ hand, during, join, remoteOf, gate }) => {
    const a = (await join('a', { labels: ['big'] })).member;
    await join('b', { labels: ['big'] });
    const remote = await remoteOf();
    const tally = (key: string) => remote.entity(Tally, key);
    const keys = Array.from({ length: 40 }, (_, key) => String(key));
    const [called, woken] = keys.filter((key) => remote.where(`tally/${key}`).worker === 'a') as [string, string];
    const homes = new Map(keys.map((key) => [key, remote.where(`tally/${key}`).partition]));
    await during(Promise.all([tally(called).add(1), tally(woken).run('remind')]));
    for (const key of [called, woken]) await during(a.pin(`tally/${key}`, 'b'));
    await hand.advance(1_000);
    assert.is(await during(tally(called).add(1)), 2);
    // Who unpins raises the epochs of home and own partition, and ends before it comes to that of the group.
    for (const key of [called, woken]) await gate.pin(`tally/${key}`, pinnedPartition(`tally/${key}`, 16), undefined);
    await hand.advance(6_000);
    assert.is(remote.where(`tally/${called}`).partition, homes.get(called));
    assert.is(await during(tally(called).add(1)), 3);
    await hand.advance(6_000);
    const [loaded] = await gate.load([{ address: `tally/${woken}`, partition: homes.get(woken) ?? -1 }]);
    assert.is(loaded?.wakeAt, undefined);
    assert.is(await during(tally(woken).count()), 1);
  });
});

test('HT2, P7: a timer falls due while an earlier claim is in dispute, and the later one has pins that are over as well', () => {
  const scripts = { remind: (turn: TallyTurn) => turn.timer('later', { afterMs: 12_000 }).add(1) };
  const behaviours = [tallyWith(scripts, { labels: ['big'] })];
  return withWorkers({ names: [], behaviours }, async ({ hand, during, join, remoteOf, gate }) => {
    const a = (await join('a', { labels: ['big'] })).member;
    const remote = await remoteOf();
    const address = 'tally/x';
    const { partition } = remote.where(address);
    const keys = Array.from({ length: 400 }, (_, key) => String(key));
    const near = keys.find((key) => remote.where(`tally/${key}`).partition === partition) ?? '';
    const own = pinnedPartition(address, 16);
    const due = hand.now() + 12_000;
    await during(remote.entity(Tally, 'x').run('remind'));
    await during(a.pin(address, 'a'));
    await hand.advance(1_000);
    await gate.pin(address, own, undefined);
    await hand.advance(due + 10 - hand.now());
    // Half a pin: the view does not know, and the group is claimed with it. And half an unpinning once more.
    await gate.pin(address, partition, 'a');
    await during(remote.entity(Tally, near).add(1));
    await hand.advance(1);
    await gate.pin(address, own, undefined);
    await hand.advance(10_000);
    const [loaded] = await gate.load([{ address, partition }]);
    assert.is(loaded?.wakeAt, undefined);
  });
});

test('HT2: while only the view is old, what belongs to its pins stays claimed', () => {
  const silent = { readPinsMs: 60_000 };
  return withWorkers({ placementLimits: silent }, async ({ hand, during, tally, keyAt, gate, remote }) => {
    const key = keyAt('a');
    const address = `tally/${key}`;
    await during(tally(key).add(1));
    const { partition } = remote.where(address);
    // The service is not told.
    await gate.pin(address, pinnedPartition(address, 16), 'b');
    for (let second = 0; second < 10; second++) {
      watch(tally(key).add(1));
      await hand.advance(1_000);
    }
    assert.is(remote.where(address).worker, 'a');
    // One claim of who found out.
    assert.equal(await gate.epochs([partition]), [3]);
  });
});

test('HT1: a type that requires labels is not run by its home, though the view knows of no worker for it', () => {
  const behaviours = [tallyWith({}, { labels: ['big'] })];
  // The service, which knows better, is silent.
  const placementLimits = { republishMs: 60_000 };
  return withWorkers({ names: [], behaviours, placementLimits }, async ({ hand, during, join, remoteOf }) => {
    const { worker, views } = (await join('a', { labels: ['big'] })).member;
    const remote = await remoteOf();
    await during(remote.entity(Tally, 'x').add(1));
    const { partition } = remote.where('tally/x');
    const { view } = views.placement;
    // By this view a still has its homes, and nobody hosts the type.
    const bare = view.workers.map((entry) => ({ ...entry, types: [{ type: 'other', labels: [] }] }));
    views.learn({ ...view, version: view.version + 1, workers: bare });
    await hand.advance(500);
    assert.ok(worker.has(partition % 16));
    const call = watch(remote.entity(Tally, 'x').add(1));
    await hand.advance(3_000);
    assert.not.ok(call.isSettled);
  });
});

test('the placement service finds a pin that nobody told it of', () =>
  withWorkers({}, async ({ hand, during, tally, keyAt, gate, remote }) => {
    const key = keyAt('a');
    const address = `tally/${key}`;
    await during(tally(key).add(1));
    await gate.pin(address, pinnedPartition(address, 16), 'b');
    await hand.advance(6_000);
    assert.is(remote.where(address).worker, 'b');
  }));

test.run();
