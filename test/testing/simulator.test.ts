/** The parts of the simulator: if time, store or network were unsound, a run would show nothing. */
import { isSkerryError } from '../../core/index.ts';
import type { Commit, Outcome } from '../../runtime/store.ts';
import { Coverage, operationsOfGroup } from '../../runtime/testing/coverage.ts';
import { type FaultRates, noFaults } from '../../runtime/testing/faults.ts';
import { FaultyStore } from '../../runtime/testing/faulty-store.ts';
import { Network } from '../../runtime/testing/network.ts';
import { SeededRandom } from '../../runtime/testing/random.ts';
import { Clock, newNode, VirtualTime } from '../../runtime/testing/virtual-time.ts';
import { encodeFrame } from '../../runtime/wire/codec.ts';
import { encodeControl } from '../../runtime/wire/control-messages.ts';
import { assert, suite } from '../support/suite.ts';

const simulator = suite('simulator');

function newTime(): { time: VirtualTime; errors: unknown[] } {
  const errors: unknown[] = [];
  return { time: new VirtualTime((error) => errors.push(error)), errors };
}

simulator('VT1: events run in order of time, then of scheduling, each with all its promise jobs', async () => {
  const { time } = newTime();
  const node = newNode('one');
  const seen: string[] = [];
  time.schedule(node, 5, 'late', () => seen.push('late'));
  time.schedule(node, 1, 'first', () => {
    seen.push('first');
    void Promise.resolve()
      .then(() => undefined)
      .then(() => seen.push('its job'));
  });
  time.schedule(node, 1, 'second', () => seen.push('second'));
  const cancel = time.schedule(node, 2, 'never', () => seen.push('never'));
  cancel();
  const before = time.now;
  await time.run(100);
  assert.equal(seen, ['first', 'its job', 'second', 'late']);
  assert.is(time.now, before + 100);
});

simulator('VT2: nothing of a dead node runs, and nothing of a paused one before it goes on', async () => {
  const { time } = newTime();
  const [dead, paused] = [newNode('dead'), newNode('paused')];
  const seen: string[] = [];
  time.schedule(dead, 1, 'event', () => seen.push('dead'));
  time.schedule(paused, 1, 'event', () => seen.push('one'));
  time.schedule(paused, 2, 'event', () => seen.push('two'));
  dead.isDead = true;
  time.pause(paused);
  await time.run(10);
  assert.equal(seen, []);
  time.resume(paused);
  await time.run(10);
  assert.equal(seen, ['one', 'two']);
});

simulator('VT3: a clock is never off by more than its bound, and shows whole milliseconds', () => {
  const chance = new SeededRandom(1, 'clock');
  const clock = new Clock(-30, 50);
  let now = new VirtualTime(() => undefined).now;
  let [backCount, aheadMs] = [0, Number.NEGATIVE_INFINITY];
  for (let before = clock.at(now), step = 0; step < 5_000; step++) {
    now += chance.between(0, 200);
    if (chance.hits(0.02)) clock.drift(1 + (chance.next() - 0.5) / 10, now);
    if (chance.hits(0.02)) clock.step(chance.between(-50, 50), now);
    const shown = clock.at(now);
    assert.ok(Number.isInteger(shown) && Math.abs(shown - now) <= 50, `${shown} at ${now}`);
    if (shown < before) backCount += 1;
    aheadMs = Math.max(aheadMs, shown - now);
    before = shown;
  }
  assert.ok(backCount > 5, 'it was set back');
  assert.is(clock.aheadMs, aheadMs);
  clock.drift(1.25, now);
  assert.is(clock.trueMs(100), 80);
  const before = clock.steadyAt(now);
  clock.step(-50, now);
  assert.is(clock.steadyAt(now), before);
  assert.is(Math.round(clock.steadyAt(now + 80) - before), 100);
});

simulator('an error in an event, and one in a promise job, are found', async () => {
  const { time, errors } = newTime();
  time.schedule(newNode('one'), 1, 'throws', () => {
    throw new Error('here');
  });
  await time.run(10);
  assert.is(errors.length, 1);
});

simulator('the same seed and concern give the same chance; another concern another', () => {
  const draw = (concern: string) => {
    const chance = new SeededRandom(7, concern);
    return Array.from({ length: 20 }, () => chance.between(1, 1_000));
  };
  assert.equal(draw('network'), draw('network'));
  assert.not.equal(draw('network'), draw('store'));
  const mean =
    Array.from(
      { length: 10_000 },
      (
        (chance) => () =>
          chance.next()
      )(new SeededRandom(1, 'mean')),
    ).reduce((sum, one) => sum + one, 0) / 10_000;
  assert.ok(Math.abs(mean - 0.5) < 0.02);
});

function newStore(rates: Partial<FaultRates>, seed = 1) {
  const { time, errors } = newTime();
  const accepted: Outcome[] = [];
  const store = new FaultyStore({
    time,
    chance: new SeededRandom(seed, 'store'),
    coverage: new Coverage(),
    partitions: 1,
    rates: { ...noFaults, ...rates },
    committed: (_node, _group, outcomes) => accepted.push(...outcomes),
    claimed: () => undefined,
    committing: () => () => undefined,
    pinned: () => undefined,
    wentBack: () => undefined,
    lossReported: () => undefined,
    mayCrash: () => undefined,
  });
  return { time, errors, store, accepted };
}

const commitOf = (version: number, epoch: number): Commit => ({
  partition: 0,
  epoch,
  address: 'stock/tea',
  expected: version - 1,
  version,
  head: new Uint8Array([version]),
  records: [],
  wakeBefore: undefined,
  wakeAt: undefined,
});

/** What one commit under faults says, and what was written of it in the end. */
async function fateOf(rates: Partial<FaultRates>, seed: number): Promise<{ said: string; isWritten: boolean }> {
  const { time, store, accepted } = newStore(rates, seed);
  const [claim] = await store.inner.claim([0], 'test');
  let said = 'nothing';
  store
    .handle(newNode('one'))
    .commit([commitOf(1, claim?.epoch ?? 0)])
    .then(
      () => {
        said = 'committed';
      },
      (error: unknown) => {
        said = isSkerryError(error) ? error.effect : 'another error';
      },
    );
  await time.run(10_000);
  return { said, isWritten: accepted.includes('committed') };
}

simulator(
  "VS1: a commit that fails with effect 'none' is never written; with 'unknown' it may be, also later",
  async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const { said, isWritten } = await fateOf({ storeRefuses: 0.3, storeUnknown: 0.7, storeSlow: 0.2 }, seed);
      seen.add(`${said} ${isWritten}`);
      assert.not.equal([said, isWritten], ['none', true]);
      assert.not.equal([said, isWritten], ['committed', false]);
    }
    assert.equal([...seen].sort(), ['committed true', 'none false', 'unknown false', 'unknown true']);
  },
);

simulator('VS2: a node for which the store hangs hears nothing more, neither answers nor failures', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { time, store } = newStore({ storeRefuses: 0.3, storeUnknown: 0.3 }, seed);
    await store.inner.claim([0], 'test');
    const node = newNode('one');
    const handle = store.handle(node);
    let heardCount = 0;
    const hear = () => {
      heardCount += 1;
    };
    store.hang(node);
    handle.commit([commitOf(1, 1)]).then(hear, hear);
    handle.epochs([0]).then(hear, hear);
    if (seed % 2 === 0) store.cut(node);
    await time.run(60_000);
    assert.is(heardCount, 0);
    store.handle(newNode('another')).epochs([0]).then(hear, hear);
    await time.run(60_000);
    assert.is(heardCount, 1);
  }
});

simulator('what a fault happens to is counted: each kind of envelope in a frame, each part of a commit', async () => {
  const { time } = newTime();
  const coverage = new Coverage();
  const parts = {
    time,
    chance: new SeededRandom(1, 'network'),
    coverage,
    transitMaxMs: 1_000,
    frameBytesMax: 1_048_576,
  };
  const network = new Network({ ...parts, rates: { ...noFaults, drop: 1 } });
  const ack = { kind: 'ack', to: 'stock/tea', from: 'stock/pot', session: 1, number: 1 } as const;
  const frame = encodeFrame([ack, ack, { ...ack, kind: 'probe' }], { viewVersion: 1, hops: 0 });
  network.transport(newNode('one')).send('a.worker.b', frame);
  network.transport(newNode('one')).send('a.control.b', encodeControl({ kind: 'pinned' }));
  const pairs = { 'ack × frame dropped': 1, 'probe × frame dropped': 1, 'pinned × frame dropped': 1 };
  assert.equal([coverage.faults, coverage.pairs], [{ 'frame dropped': 2 }, pairs]);
  const commit = {
    ...commitOf(2, 1),
    records: [
      ['o1', new Uint8Array([1])],
      ['ta', null],
    ],
  } as const;
  assert.equal([...operationsOfGroup([commit])].sort(), ['commit', 'outbox', 'timer that ended']);
});

simulator('VS2: what the store answers does not reach a dead node', async () => {
  const { time, store } = newStore({});
  const node = newNode('one');
  let isAnswered = false;
  void store
    .handle(node)
    .epochs([0])
    .then(() => {
      isAnswered = true;
    });
  node.isDead = true;
  await time.run(1_000);
  assert.not(isAnswered);
});

simulator(
  'X2: each listener of a frame gets a copy of its own, also of a duplicate; who is cut off gets none',
  async () => {
    const { time } = newTime();
    const parts = {
      time,
      chance: new SeededRandom(1, 'network'),
      coverage: new Coverage(),
      transitMaxMs: 1_000,
      frameBytesMax: 1_048_576,
    };
    const network = new Network({ ...parts, rates: { ...noFaults, duplicate: 1 } });
    const [sender, one, other] = [newNode('sender'), newNode('one'), newNode('other')];
    const frames: Uint8Array[] = [];
    network.transport(one).listen('a.worker.b', (frame) => void frames.push(frame));
    network.transport(other).listen('a.worker.b', (frame) => void frames.push(frame));
    network.cut(other, 'both');
    const frame = encodeFrame([], { viewVersion: 1, hops: 0 });
    const second = frame[1];
    network.transport(sender).send('a.worker.b', frame);
    frame[1] = 99;
    await time.run(10_000);
    assert.ok(frames.length >= 2);
    assert.ok(frames.every((copy) => copy[1] === second));
    assert.is(new Set(frames).size, frames.length);
  },
);

simulator('X5: the network tells a sender who is absent: the dead, not the paused or cut off', async () => {
  const { time } = newTime();
  const parts = {
    time,
    chance: new SeededRandom(1, 'network'),
    coverage: new Coverage(),
    transitMaxMs: 1_000,
    frameBytesMax: 1_048_576,
  };
  const network = new Network({ ...parts, rates: noFaults });
  const [sender, cut, paused, dead] = [newNode('sender'), newNode('cut'), newNode('paused'), newNode('dead')];
  for (const node of [cut, paused, dead]) network.transport(node).listen(node.name, () => undefined);
  network.cut(cut, 'both');
  time.pause(paused);
  dead.isDead = true;
  const transport = network.transport(sender);
  const absent: string[] = [];
  const stop = transport.onAbsent((subject) => void absent.push(subject));
  const frame = new Uint8Array([0x91, 1]);
  for (const { name } of [cut, paused, dead]) transport.send(name, frame);
  await time.run(1_000);
  assert.equal(absent, ['dead']);
  stop();
  transport.send('dead', frame);
  await time.run(1_000);
  assert.equal(absent, ['dead']);
});

simulator('X5: a hint that somebody is absent may be lost, and is when the sender is cut off', async () => {
  const { time } = newTime();
  const parts = {
    time,
    chance: new SeededRandom(1, 'network'),
    coverage: new Coverage(),
    transitMaxMs: 1_000,
    frameBytesMax: 1_048_576,
  };
  const network = new Network({ ...parts, rates: { ...noFaults, drop: 0.5 } });
  const sender = newNode('sender');
  const transport = network.transport(sender);
  let told = 0;
  transport.onAbsent(() => {
    told += 1;
  });
  for (let sent = 0; sent < 400; sent++) transport.send('nobody', new Uint8Array([0x91, 1]));
  await time.run(5_000);
  assert.ok(told > 50 && told < 150, `a quarter of 400 are told, not ${told}`);
  transport.send('nobody', new Uint8Array([0x91, 1]));
  network.cut(sender, 'both');
  const before = told;
  await time.run(5_000);
  assert.is(told, before);
});

simulator('X6: when a cut ends its node is told, and what it listens to arrives', async () => {
  const { time } = newTime();
  const parts = {
    time,
    chance: new SeededRandom(1, 'network'),
    coverage: new Coverage(),
    transitMaxMs: 1_000,
    frameBytesMax: 1_048_576,
  };
  const network = new Network({ ...parts, rates: noFaults });
  const [node, other] = [newNode('node'), newNode('other')];
  const told: string[] = [];
  const transport = network.transport(node);
  transport.onRestored(() => void told.push('node'));
  network.transport(other).onRestored(() => void told.push('other'));
  transport.listen('subject', () => void told.push('frame'));
  network.mend(node);
  network.cut(node, 'both');
  await time.run(1_000);
  assert.equal(told, []);
  network.mend(node);
  await time.run(1_000);
  network.transport(other).send('subject', new Uint8Array([0x91, 1]));
  await time.run(1_000);
  assert.equal(told, ['node', 'frame']);
});

simulator.run();
