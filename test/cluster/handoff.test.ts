/** Handoffs: what comes along with a partition, and that who is behind hears of it. */
import { partitionOf } from '../../placement/hash.ts';
import { defaultPlacementLimits } from '../../placement/limits.ts';
import { PlacementService, type ServiceAction, viewsPerTerm } from '../../placement/service.ts';
import { viewOf } from '../../placement/view.ts';
import { PlacementHost } from '../../runtime/cluster/placement-host.ts';
import { momentOf } from '../../runtime/environment.ts';
import { asWorker, noView, Views } from '../../runtime/routing/views.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { decodeControl, encodeControl } from '../../runtime/wire/control-messages.ts';
import { Subjects } from '../../runtime/wire/subjects.ts';
import { nothingArrived } from '../../runtime/worker/handoff.ts';
import { GateStore } from '../support/gate.ts';
import { HandEnvironment } from '../support/hand.ts';
import { withWorkers } from '../support/served.ts';
import { answerTo } from '../support/service-play.ts';
import { assert, suite } from '../support/suite.ts';
import { Tally, watch } from '../support/tally.ts';

const test = suite('handoff');
/** Nobody sends anything again, unless a view tells. */
const limits = { retryMs: 30_000, retryMsMax: 30_000, deadlineMs: 120_000 };
const keys = Array.from({ length: 30 }, (_, key) => String(key));
const missing = () => Promise.reject(new Error('no such worker'));

test('HO2: calls that wait for their turn leave with their partition', () =>
  withWorkers({ names: ['a'], limits }, async ({ hand, tally, gate, join, remote, workers }) => {
    const load = gate.load.bind(gate);
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    gate.load = (...asked) => opened.then(() => load(...asked));
    const calls = keys.map((key) => watch(tally(key).add(1)));
    await hand.advance(50);
    const joining = join('b');
    await hand.advance(1_000);
    open();
    await joining;
    await hand.advance(3_000);
    const moved = keys.filter((key) => remote.where(`tally/${key}`).worker === 'b');
    assert.ok(moved.length > 5);
    // Each of them, and what the client sent again to `b` when it heard of the view, while `a` still had the partition.
    assert.is(workers.get('a')?.member.counters.sumOf('forwarded'), 2 * moved.length);
    assert.is(calls.filter(({ isSettled }) => !isSettled).length, 0);
  }));

test('HO2: a call that waits for a read of its entity leaves with the partition, and is run once', () =>
  withWorkers({ names: ['a'], limits: { ...limits, activityCountMax: 1 } }, async (given) => {
    const { hand, tally, gate, during, join, remoteOf, remote } = given;
    await during(Promise.all(keys.map((key) => tally(key).add(1))));
    for (let count = 0; count < 8; count++) {
      const other = await remoteOf();
      await during(Promise.all(keys.map((key) => other.entity(Tally, key).add(1))));
    }
    await hand.advance(30_000);
    const read = gate.read.bind(gate);
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    let reads = 0;
    gate.read = (...asked) => {
      reads += 1;
      return opened.then(() => read(...asked));
    };
    const calls = keys.map((key) => watch(tally(key).add(1)));
    await hand.advance(50);
    assert.ok(reads > 5);
    const joining = join('b');
    await hand.advance(1_000);
    open();
    await joining;
    await hand.advance(3_000);
    assert.ok(keys.filter((key) => remote.where(`tally/${key}`).worker === 'b').length > 5);
    assert.equal(
      calls.map(({ value }) => value),
      keys.map(() => 10),
    );
  }));

for (const isRested of [false, true])
  test(`MB2: who leaves waits until others have what it had, ${isRested ? 'also what has rested and was only asked since' : 'memory and all'}: nothing has to be read again`, () =>
    withWorkers({ limits }, async ({ hand, tally, workers, during, gate, keyAt }) => {
      keyAt('b');
      await during(Promise.all(keys.map((key) => tally(key).add(1))));
      if (isRested) {
        await hand.advance(5_000);
        await during(Promise.all(keys.map((key) => tally(key).count())));
      }
      const before = gate.loadCount;
      await during(workers.get('b')?.close() ?? missing());
      assert.equal(
        await during(Promise.all(keys.map((key) => tally(key).add(1)))),
        keys.map(() => 2),
      );
      assert.is(gate.loadCount, before);
    }));

test('TY2, P8: of a store that went back nothing that was handed over is believed: it is read', () =>
  withWorkers({ limits }, async ({ tally, workers, during, gate }) => {
    await during(Promise.all(keys.map((key) => tally(key).add(1))));
    const before = gate.loadCount;
    gate.lostCount = 1;
    await during(workers.get('b')?.close() ?? missing());
    await during(Promise.all(keys.map((key) => tally(key).count())));
    assert.ok(gate.loadCount > before, 'nothing was read');
    assert.equal(
      await during(Promise.all(keys.map((key) => tally(key).add(1)))),
      keys.map(() => 2),
    );
  }));

test('HT1, P3: a partition that comes back while it was about to leave runs nothing by its claim before', () =>
  withWorkers({ limits }, async ({ hand, tally, workers, during, gate, keyAt }) => {
    const key = keyAt('a');
    await during(tally(key).add(1));
    const [worker] = workers.get('a')?.workers ?? [];
    const partition = partitionOf(`tally/${key}`, 16);
    const open = gate.holdOutcomes();
    const call = watch(tally(key).add(1));
    await hand.advance(5);
    const giving = watch(worker?.give([partition]) ?? missing());
    await hand.advance(5);
    assert.ok(worker?.isActive(`tally/${key}`) && !giving.isSettled);
    const [claim] = await gate.inner.claim([partition], 'a');
    if (claim === undefined) return missing();
    worker?.take(claim, momentOf(hand));
    assert.not.ok(worker?.isActive(`tally/${key}`));
    open();
    await hand.advance(40_000);
    assert.equal([giving.value, call.value], [[], 2]);
    assert.is(await during(tally(key).count()), 2);
  }));

test('HO1, P3: a partition that was taken again, and is to leave once more, stays until nothing of its new claim is under way', () =>
  withWorkers({ limits }, async ({ hand, tally, workers, during, gate, keyAt }) => {
    const key = keyAt('a');
    await during(tally(key).add(1));
    const [worker] = workers.get('a')?.workers ?? [];
    const partition = partitionOf(`tally/${key}`, 16);
    const open = gate.holdOutcomes();
    const late = watch(tally(key).add(1));
    await hand.advance(5);
    const first = watch(worker?.give([partition]) ?? missing());
    await hand.advance(5);
    const [claim] = await gate.inner.claim([partition], 'a');
    if (claim === undefined) return missing();
    worker?.take(claim, momentOf(hand), { ...nothingArrived, released: claim.previous });
    // Another of its entities, which has nothing to do with the claim before.
    const other = Array.from({ length: 400 }, (_, at) => `other-${at}`).find(
      (one) => partitionOf(`tally/${one}`, 16) === partition,
    );
    if (other === undefined) return missing();
    const reopen = gate.holdOutcomes();
    const call = watch(tally(other).add(1));
    await hand.advance(5);
    // By the new claim a turn waits for the store, and the partition is asked for again.
    assert.ok(worker?.isActive(`tally/${other}`) && !first.isSettled && !call.isSettled);
    const second = watch(worker?.give([partition]) ?? missing());
    open();
    await hand.advance(50);
    assert.equal([first.value, second.isSettled, worker?.isLeaving(partition)], [[], false, true]);
    reopen();
    await hand.advance(50);
    assert.equal(
      second.value?.map(({ epoch }) => epoch),
      [claim.epoch],
    );
    assert.not.ok(worker?.has(partition));
    assert.equal([late.isSettled, call.value], [false, 1]);
  }));

test('P12: no more than 16 MiB of warm entities go along with a partition; the others are read from the store', () =>
  withWorkers({ names: ['a'], limits }, async ({ tally, workers, during }) => {
    const partition = partitionOf('tally/0', 16);
    const keys = Array.from({ length: 400 }, (_, at) => String(at))
      .filter((key) => partitionOf(`tally/${key}`, 16) === partition)
      .slice(0, 10);
    for (const key of keys) for (let time = 0; time < 3; time++) await during(tally(key).see('x'.repeat(800_000)));
    const [worker] = workers.get('a')?.workers ?? [];
    const [given] = await during(worker?.give([partition]) ?? missing());
    assert.is(given?.warm.length, 6);
  }));

test('E3, P9: what comes along with a partition is not believed of an entity whose own commit is still under way', () =>
  withWorkers({ limits }, async ({ hand, tally, workers, during, gate, keyAt }) => {
    const key = keyAt('a');
    const address = `tally/${key}`;
    await during(tally(key).add(1));
    const partition = partitionOf(address, 16);
    const [before] = await gate.load([{ address, partition }]);
    const [worker] = workers.get('a')?.workers ?? [];
    if (before === undefined) return missing();
    const open = gate.holdOutcomes();
    const call = watch(tally(key).add(1));
    await hand.advance(5);
    const giving = watch(worker?.give([partition]) ?? missing());
    await hand.advance(5);
    const [claim] = await gate.inner.claim([partition], 'a');
    if (claim === undefined) return missing();
    // As it was before the commit of which nobody has heard yet.
    worker?.take(claim, momentOf(hand), {
      ...nothingArrived,
      warm: [{ address, loaded: before, activities: [] }],
    });
    assert.not(worker?.isActive(address));
    open();
    assert.is(await during(tally(key).count()), 2);
    await hand.advance(40_000);
    assert.equal([giving.value, call.value], [[], 2]);
  }));

test('VW2: a service that knows only of earlier terms is told, and numbers its views above', () =>
  withWorkers({}, async ({ hand, transport, remote, tally, during, workers }) => {
    const subjects = new Subjects('main');
    const parts = { environment: hand, transport, id: 'x', ...asWorker(subjects, 'x'), follow: () => undefined };
    // Somebody remembers what nobody else does, as after a store that went back while every worker was started anew.
    const views = new Views(parts, noView(16));
    const { version } = remote.view;
    views.learn({ ...remote.view, version: version + 5 * viewsPerTerm });
    transport.listen(subjects.views, (bytes) => {
      const message = decodeControl(bytes);
      if (message.kind === 'view') views.learn(message.view);
    });
    await hand.advance(10_000);
    assert.ok(views.placement.view.version > version + 5 * viewsPerTerm);
    for (const one of [remote.view, workers.get('a')?.view, workers.get('b')?.view])
      assert.is(one?.version, views.placement.view.version);
    assert.is(await during(tally('x').add(1)), 1);
  }));

test('MB1: who is told that it is out for good stops, and says so', () =>
  withWorkers({}, async ({ hand, transport, workers }) => {
    const [a, b] = [workers.get('a'), workers.get('b')];
    const tell = (id = '') =>
      transport.send(new Subjects('main').control(id), encodeControl({ kind: 'gone', id, viewVersion: 2 ** 52 }));
    tell(b?.id);
    await hand.advance(10);
    assert.is(await b?.closed, 'replaced');
    assert.ok(hand.logged.some(({ level, details }) => level === 'error' && JSON.stringify(details).includes('"b"')));
    // One that leaves is out by its own will, and goes on to its end.
    const closing = a?.close();
    tell(a?.id);
    await hand.during(closing ?? missing());
    assert.is(await a?.closed, 'left');
  }));

test('PS3, SH1: the service tells a process that announces itself after another got its place', async () => {
  const hand = new HandEnvironment();
  const told: string[] = [];
  const host = new PlacementHost({
    environment: hand,
    store: new MemoryStore({ partitions: 8 }),
    limits: defaultPlacementLimits,
    id: 'a',
    view: () => undefined,
    name: 'a',
    apart: () => undefined,
    together: () => undefined,
    publish: () => undefined,
    sendControl: (id, message) => (message.kind === 'gone' ? void told.push(id) : answerTo(host, id, hand, message)),
    sendToService: () => undefined,
    listen: () => () => undefined,
  });
  host.start();
  await hand.advance(5_000);
  const [entry] = viewOf(1, 8, ['b'], ['stock']).workers;
  if (entry === undefined) throw new Error('no worker');
  const announce = (id: string) =>
    host.receive({ kind: 'announce', entry: { ...entry, id }, viewVersion: 0, sent: hand.now() });
  announce('b1');
  announce('b2');
  assert.equal(told, []);
  host.workerAbsent('b1');
  announce('b2');
  announce('b1');
  assert.equal(told, ['b1']);
  await host.stop();
});

test('EL5, SH1: who takes the views of the service for late asks it, and is not taken for cut off', async () => {
  const hand = new HandEnvironment();
  const store = new MemoryStore({ partitions: 8 });
  const hosts = new Map<string, PlacementHost>();
  const view = viewOf(viewsPerTerm + 1, 8, ['a', 'b'], ['stock']);
  const said: string[] = [];
  let stoodStillMs = 0;
  const join = (id: string, steady: () => number) => {
    const environment = {
      ...{ log: hand.log, newId: () => hand.newId(), random: () => hand.random(), steady },
      now: () => hand.now(),
      after: (ms: number, run: () => void) => hand.after(ms, run),
      soon: (run: () => void) => hand.soon(run),
    };
    const host = new PlacementHost({
      ...{ environment, store, limits: defaultPlacementLimits, id, name: id },
      view: () => view,
      apart: () => void said.push(`${id} is apart`),
      together: () => undefined,
      publish: (_, sent) => {
        for (const one of hosts.values()) one.heardView(view, sent);
      },
      sendControl: (to, message) => {
        if (message.kind === 'present') said.push(`present for ${to}`);
        hand.after(1, () => {
          const heard = hosts.get(to);
          if (message.kind === 'present') heard?.present(message);
          else if (heard !== undefined) answerTo(heard, to, environment, message);
        });
      },
      sendToService: (message) => {
        for (const one of hosts.values()) one.receive(message);
      },
      listen: () => () => undefined,
    });
    hosts.set(id, host);
    host.start();
  };
  join('a', () => hand.steady() - stoodStillMs);
  await hand.advance(5_000);
  assert.is(hosts.get('a')?.isServing, true);
  join('b', () => hand.steady());
  await hand.advance(5_000);
  assert.equal(said, []);
  stoodStillMs = 2_500;
  await hand.advance(60_000);
  assert.equal(said, ['present for b']);
  for (const host of hosts.values()) await host.stop();
});

test('VW2, PS1: a service that hears a later view of its own term, or another of one number, numbers the next one above it', () => {
  const limits = defaultPlacementLimits;
  const service = new PlacementService({ term: 2, partitions: 8, view: undefined, pins: [], limits, now: 0 });
  const [entry] = viewOf(1, 8, ['a'], ['stock']).workers;
  if (entry === undefined) throw new Error('no worker');
  service.announced(entry, 0, 0);
  service.ponged(entry.id, { term: 2, at: 0 }, 0, 0);
  const versionsOf = (actions: readonly ServiceAction[]) =>
    actions.flatMap((action) => (action.kind === 'publish' ? [action.view.version - 2 * viewsPerTerm] : []));
  for (let now = 0; now < limits.suspectMs + 500; now += 50) service.tick(now);
  const now = limits.suspectMs + 500;
  const heard = (count: number, workers = [entry]) =>
    versionsOf(service.viewHeard({ version: 2 * viewsPerTerm + count, partitions: 8, workers, pins: [] }, now));
  assert.equal(heard(5), [6]);
  assert.equal(heard(4), []);
  assert.equal(heard(viewsPerTerm + 9), []);
  // Its own, and another of the same number.
  assert.equal(heard(6), []);
  assert.equal(heard(6, []), [7]);
});

test('P7: who keeps a partition and no longer hears from the store is not in the way of who has claimed it', () =>
  withWorkers({ names: [] }, async ({ hand, workers, remoteOf, during, join }) => {
    const inner = new MemoryStore({ partitions: 64 });
    const [sick, well] = [new GateStore(inner), new GateStore(inner)];
    await join('c', { store: well });
    await join('a', { store: sick });
    const remote = await remoteOf();
    const tally = (key: string) => remote.entity(Tally, key);
    const all = Array.from({ length: 120 }, (_, key) => String(key));
    const workerOf = (key: string) => remote.where(`tally/${key}`).worker;
    await during(Promise.all(all.map((key) => tally(key).add(1))));
    const before = new Map(all.map((key) => [key, workerOf(key)]));
    // Claims take their time: the move is under way when the keeper falls silent.
    const claim = well.claim.bind(well);
    well.claim = (...asked) => new Promise<void>((go) => void hand.after(40, go)).then(() => claim(...asked));
    join('b', { store: well }).catch(() => undefined);
    const answeredAt = new Map<string, number>();
    const round = () => {
      for (const key of all) void watch(tally(key).add(1));
      for (const key of all)
        void tally(key)
          .count()
          .then(
            () => answeredAt.set(key, hand.now()),
            () => undefined,
          );
    };
    const cancel = [...new Array(60).keys()].map((count) => hand.after(count * 50, round));
    await hand.advance(300);
    sick.holdCommits();
    sick.holdEpochs();
    const kept = all.filter((key) => before.get(key) === 'a' && workerOf(key) === 'b');
    const { partitions } = workers.get('b')?.member.worker ?? { partitions: [] };
    assert.ok(kept.length > 10 && partitions.length < 10, `${kept.length} ${partitions.length}`);
    await hand.advance(6_000);
    for (let count = 0; count < 20; count++) {
      round();
      await hand.advance(50);
    }
    const since = hand.now() - 1_000;
    assert.equal(
      kept.filter((key) => (answeredAt.get(key) ?? 0) < since),
      [],
    );
    for (const stop of cancel) stop();
  }));

test.run();
