/** The end of workers and clusters whose store does not answer: it comes, and is said. */
import { partitionOf } from '../../placement/hash.ts';
import { GateStore } from '../support/gate.ts';
import { HandEnvironment } from '../support/hand.ts';
import { withWorkers } from '../support/served.ts';
import { assert, suite } from '../support/suite.ts';
import { watch, withTallies } from '../support/tally.ts';

const test = suite('ending');
const never = new Promise<never>(() => undefined);

const saidIn = (hand: HandEnvironment) =>
  hand.logged
    .filter(({ level, message }) => level === 'error' && message.startsWith('the store does not answer'))
    .map(({ details }) => details);

test('EN1: a cluster whose store hangs in a commit closes after stillMs, and says what it did not wait for', async () => {
  const hand = new HandEnvironment();
  const gate = new GateStore();
  await withTallies({ hand, gate, workers: 3 }, async ({ cluster, tally, during }) => {
    await during(tally('a').add(1));
    gate.holdCommits();
    gate.claim = () => never;
    const asked = watch(tally('a').add(1));
    await hand.advance(10);
    const closed = watch(cluster.close());
    await hand.advance(9_900);
    assert.is(closed.isSettled, false);
    await hand.advance(2_300);
    assert.is(closed.isSettled, true);
    assert.is(asked.isSettled, true, 'who asked is told');
    assert.match(String(asked.error), /closed/);
  });
  assert.equal(
    saidIn(hand).map((details) => ({ ...details, worker: '' })),
    [{ worker: '', waiting: 0, unwritten: 1, afterMs: 10_000 }],
    'of three workers the one that waited',
  );
});

test('EN1, W8: a cluster whose store hangs while more waits than it takes, or while an entity is read, closes too', async () => {
  for (const what of ['behind', 'read'] as const) {
    const hand = new HandEnvironment();
    const gate = new GateStore();
    await withTallies({ hand, gate }, async ({ cluster, tally, during }) => {
      await during(tally('a').add(1));
      gate.holdCommits();
      if (what === 'read') gate.load = () => never;
      for (const key of ['a', 'b', 'c', 'd']) {
        watch(tally(key).add(1));
        await hand.advance(10);
      }
      await hand.advance(5_000);
      for (let call = 0; call < 50; call++) watch(tally('e').add(1));
      await hand.advance(100);
      const closed = watch(cluster.close());
      await hand.advance(13_000);
      assert.is(closed.isSettled, true, what);
    });
    const [said] = saidIn(hand);
    assert.ok(Number((said as { waiting?: number } | undefined)?.waiting) > 0, `${what}: ${JSON.stringify(said)}`);
  }
});

test('EN1: a store that is slow is waited for as long as it goes on', async () => {
  const hand = new HandEnvironment();
  const gate = new GateStore();
  await withTallies({ hand, gate }, async ({ cluster, tally, during }) => {
    await during(tally('a').add(1));
    const commit = gate.commit.bind(gate);
    gate.commit = async (group) => {
      await new Promise<void>((resolve) => void hand.after(6_000, resolve));
      return commit(group);
    };
    // Groups under way, one after the other.
    const calls = [watch(tally('a').add(1))];
    await hand.advance(10);
    calls.push(watch(tally('a').add(1)));
    await hand.advance(10);
    const closed = watch(cluster.close());
    await hand.advance(14_000);
    assert.is(closed.isSettled, true);
    assert.equal(
      calls.map(({ value }) => value),
      [2, 3],
    );
  });
  assert.equal(saidIn(hand), []);
});

test('EN1, MB2: the last worker of a cluster leaves though its store hangs', () =>
  withWorkers({ names: ['a'] }, async ({ hand, gate, tally, during, workers }) => {
    await during(tally('x').add(1));
    gate.holdCommits();
    gate.claim = () => never;
    gate.lease = () => never;
    watch(tally('x').add(1));
    await hand.advance(10);
    const closed = watch(workers.get('a')?.close() ?? never);
    await hand.advance(15_000);
    assert.is(closed.isSettled, true);
    assert.is(saidIn(hand).length, 1);
  }));

for (const isStopped of [false, true])
  test(`ST1: volatile entities of a partition come into memory by and by, ${isStopped ? 'and no more of them once the worker has stopped' : 'all of them'}`, () =>
    withTallies({ behaviour: { durability: 'none' } }, async ({ hand, cluster, tally, during }) => {
      const [worker] = cluster.workers;
      const keys = Array.from({ length: 40_000 }, (_, at) => String(at)).filter(
        (key) => partitionOf(`tally/${key}`, 16) === 3,
      );
      const activeCount = () => keys.filter((key) => worker?.isActive(`tally/${key}`)).length;
      for (let at = 0; at < keys.length; at += 500)
        await during(Promise.all(keys.slice(at, at + 500).map((key) => tally(key).add(1))));
      await during(worker?.give([3]) ?? Promise.reject(new Error('no worker')));
      assert.equal([keys.length > 2_048, activeCount()], [true, 0]);
      const claiming = watch(worker?.claim([3]) ?? Promise.reject(new Error('no worker')));
      while (activeCount() === 0) {
        hand.step();
        await Promise.resolve();
      }
      const first = activeCount();
      assert.ok(first <= 1_024, `${first} at once`);
      if (isStopped) worker?.stop();
      await hand.advance(1_000);
      assert.equal([activeCount(), claiming.isSettled], [isStopped ? 0 : keys.length, true]);
    }));

test.run();
