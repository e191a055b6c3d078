/** Workers that join, leave, crash and are replaced, over the in-process transport: what a client sees of it. */
import { partitionOf } from '../../placement/hash.ts';
import type { Placement } from '../../placement/placement.ts';
import type { WorkerEntry } from '../../placement/view.ts';
import { connect } from '../../runtime/connect.ts';
import { asWorker, noView, Views } from '../../runtime/routing/views.ts';
import type { ServedWorker } from '../../runtime/serve.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { protocol } from '../../runtime/wire/codec.ts';
import { decodeControl, encodeControl } from '../../runtime/wire/control-messages.ts';
import { Subjects } from '../../runtime/wire/subjects.ts';
import { HandEnvironment } from '../support/hand.ts';
import { placed } from '../support/placed.ts';
import { withWorkers } from '../support/served.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, tallyWith, watch } from '../support/tally.ts';

const test = suite('member');
const home = (key: string) => partitionOf(`tally/${key}`, 16);

test('TY1: a worker is ready when every partition that the view gives it is its own in the store', () =>
  withWorkers({ names: ['a'] }, async ({ gate, join, workers }) => {
    const a = workers.get('a')?.workers[0];
    assert.is(a?.partitions.length, 16);
    const before = await gate.inner.epochs(Array.from({ length: 16 }, (_, partition) => partition));
    const b = await join('b');
    const mine = b.workers[0]?.partitions ?? [];
    assert.ok(mine.length >= 6 && mine.length <= 10, `${mine.length} partitions`);
    const after = await gate.inner.epochs(Array.from({ length: 16 }, (_, partition) => partition));
    for (let partition = 0; partition < 16; partition++) {
      assert.is((after[partition] ?? 0) - (before[partition] ?? 0), mine.includes(partition) ? 1 : 0);
      assert.is(a?.has(partition), !mine.includes(partition));
    }
  }));

test('calls reach their entities while workers join, leave and crash, each once', () =>
  withWorkers({ names: ['a'] }, async ({ hand, join, workers, during, tally }) => {
    const keys = Array.from({ length: 40 }, (_, key) => String(key));
    const round = () => during(Promise.all(keys.map((key) => tally(key).add(1))));
    await round();
    await join('b');
    await round();
    const joining = join('c');
    await round();
    await joining;
    await during(workers.get('a')?.close() ?? Promise.reject(new Error('no a')));
    await round();
    workers.get('b')?.member.stop();
    await round();
    await hand.advance(5_000);
    assert.equal(
      await during(Promise.all(keys.map((key) => tally(key).count()))),
      keys.map(() => 5),
    );
    assert.is(workers.get('c')?.workers[0]?.partitions.length, 16);
  }));

test('a crashed worker is found by its absence: its entities answer elsewhere long before it is missed', () =>
  withWorkers({}, async ({ hand, workers, during, tally, keyAt }) => {
    const key = keyAt('a');
    await during(tally(key).add(1));
    workers.get('a')?.member.stop();
    const call = watch(tally(key).add(1));
    await hand.advance(900);
    assert.is(call.value, 2);
  }));

test('MB2: who leaves hands everything off before it stops, and no call fails or is tried twice', () =>
  withWorkers({}, async ({ hand, workers, during, tally, keyAt, gate }) => {
    const key = keyAt('b');
    await during(tally(key).add(1));
    const open = gate.holdCommits();
    const call = watch(tally(key).add(1));
    await hand.advance(10);
    const closing = watch(workers.get('b')?.close() ?? Promise.reject(new Error('no b')));
    await hand.advance(300);
    assert.not.ok(closing.isSettled, 'b left although a commit of it was under way');
    assert.ok(workers.get('b')?.workers[0]?.partitions.includes(home(key)));
    open();
    await hand.advance(1_000);
    assert.equal([call.value, closing.isSettled], [2, true]);
    assert.is(workers.get('a')?.workers[0]?.partitions.length, 16);
    assert.is(await during(tally(key).add(1)), 3);
  }));

test('HO1, P3: a partition changes hands only when no commit of it is under way', () =>
  withWorkers({ names: ['a'] }, async ({ hand, workers, during, tally, gate, join, remote }) => {
    const keys = Array.from({ length: 30 }, (_, key) => String(key));
    await during(Promise.all(keys.map((key) => tally(key).add(1))));
    const open = gate.holdCommits();
    const calls = keys.map((key) => watch(tally(key).add(1)));
    await hand.advance(5);
    const joining = join('b');
    await hand.advance(1_000);
    const has = new Set(workers.get('a')?.workers[0]?.partitions);
    for (const key of keys) assert.ok(has.has(home(key)), 'something was let go before its commit had ended');
    open();
    await joining;
    await hand.advance(1_000);
    assert.equal(
      calls.map(({ value }) => value),
      keys.map(() => 2),
    );
    const moved = keys.filter((key) => remote.where(`tally/${key}`).worker === 'b');
    assert.ok(moved.length > 5, `${moved.length} moved`);
    assert.equal(
      await during(Promise.all(moved.map((key) => tally(key).count()))),
      moved.map(() => 2),
    );
  }));

test('TY2, P3: an owner that does not answer is not waited for, and what it then writes is refused', () =>
  withWorkers({ names: ['a'] }, async ({ hand, workers, tally, gate, join, during, remote }) => {
    const keys = Array.from({ length: 30 }, (_, key) => String(key));
    await during(Promise.all(keys.map((key) => tally(key).add(1))));
    const open = gate.holdCommits();
    const calls = keys.map((key) => watch(tally(key).add(1)));
    await hand.advance(5);
    const joining = join('b');
    await hand.advance(4_000);
    const mine = workers.get('b')?.workers[0]?.partitions.length ?? 0;
    assert.ok(mine >= 6, `b has claimed ${mine} partitions alone`);
    open();
    await joining;
    await hand.advance(5_000);
    assert.ok(calls.every(({ isSettled }) => isSettled));
    const moved = keys.filter((key) => remote.where(`tally/${key}`).worker === 'b');
    assert.equal(
      await during(Promise.all(moved.map((key) => tally(key).count()))),
      moved.map(() => 2),
    );
  }));

test('TY3, HO2, P6: what waits for turns while its entity moves is processed elsewhere, in its order', () =>
  withWorkers({ names: ['a'] }, async ({ hand, tally, gate, join, during, remote }) => {
    const keys = Array.from({ length: 30 }, (_, key) => String(key));
    await during(Promise.all(keys.map((key) => tally(key).add(1))));
    const open = gate.holdCommits();
    const joining = join('b');
    const calls = keys.flatMap((key) => Array.from({ length: 20 }, (_, number) => watch(tally(key).see(number))));
    await hand.advance(200);
    const late = keys.flatMap((key) => Array.from({ length: 20 }, (_, number) => watch(tally(key).see(20 + number))));
    open();
    await joining;
    await hand.advance(3_000);
    assert.ok([...calls, ...late].every(({ isSettled, error }) => isSettled && error === undefined));
    const moved = keys.filter((key) => remote.where(`tally/${key}`).worker === 'b');
    const order = Array.from({ length: 40 }, (_, number) => number);
    for (const key of moved) assert.equal(await during(tally(key).seen()), order);
  }));

test('what an entity has in memory goes along with it: nothing is read again from the store', () =>
  withWorkers({ names: ['a'] }, async ({ tally, gate, join, during, remote }) => {
    const keys = Array.from({ length: 30 }, (_, key) => String(key));
    await during(Promise.all(keys.map((key) => tally(key).add(1))));
    await join('b');
    const moved = keys.filter((key) => remote.where(`tally/${key}`).worker === 'b');
    const before = gate.loadCount;
    assert.equal(
      await during(Promise.all(moved.map((key) => tally(key).add(1)))),
      moved.map(() => 2),
    );
    assert.is(gate.loadCount, before);
  }));

test('MB1: a worker whose name is another process’s by the view stops, and says so', () =>
  withWorkers({}, async ({ hand, transport, workers, remote }) => {
    const a = workers.get('a');
    const { view } = remote;
    const other = view.workers.map((entry) => (entry.name === 'a' ? { ...entry, id: 'another' } : entry));
    const later = { ...view, version: view.version + 1, workers: other };
    transport.send(new Subjects('main').views, encodeControl({ kind: 'view', view: later, sent: 0 }));
    await hand.advance(10);
    assert.is(await a?.closed, 'replaced');
    assert.ok(hand.logged.some(({ level, message }) => level === 'error' && message.includes('name')));
  }));

test('VW1, VW2: a view is followed if it is later than the one that holds; else a worker tells the service, and a client nobody', () => {
  const subjects = new Subjects('main');
  for (const asked of [asWorker(subjects, 'x'), { ...asWorker(subjects, 'x'), told: undefined }]) {
    const [environment, followed, told] = [new HandEnvironment(), [] as number[], [] as string[]];
    const transport = new MemoryTransport(environment);
    transport.send = (subject) => void told.push(subject);
    const follow = ({ view }: Placement) => void followed.push(view.version);
    const views = new Views({ environment, transport, id: 'x', follow, ...asked }, noView(16));
    const { view } = placed(16, ['a', 'b'], ['tally']);
    views.learn({ ...view, version: 5 });
    views.learn({ ...view, version: 4, workers: [] });
    views.learn({ ...view, version: 5, workers: [] });
    assert.equal([followed, views.placement.view.workers.length], [[5], 2]);
    assert.equal(told, asked.told === undefined ? [] : [subjects.service]);
    views.learn({ ...view, version: 6, workers: [] });
    assert.equal([followed, views.placement.view.version], [[5, 6], 6]);
  }
});

test('VW3: a client follows an earlier view when nobody has told its own for long, and a worker never', () => {
  const subjects = new Subjects('main');
  for (const asked of [asWorker(subjects, 'x'), { ...asWorker(subjects, 'x'), told: undefined }]) {
    const [environment, followed] = [new HandEnvironment(), [] as number[]];
    const transport = new MemoryTransport(environment);
    const follow = ({ view }: Placement) => void followed.push(view.version);
    const parts = { environment, transport, id: 'x', follow, ...asked };
    const views = new Views(parts, noView(16));
    const { view } = placed(16, ['a', 'b'], ['tally']);
    views.learn({ ...view, version: 5 });
    for (let second = 0; second < 30; second++) {
      environment.jump(1_000);
      views.learn({ ...view, version: 4 });
      if (second < 15) views.learn({ ...view, version: 5 });
    }
    assert.equal(followed, asked.told === undefined ? [5, 4] : [5]);
    views.learn({ ...view, version: 6 });
    assert.is(views.placement.view.version, 6);
  }
});

test('VW2: a late view makes nobody publish one, however many workers and clients hear it', () =>
  withWorkers({}, async ({ hand, transport, remote, remoteOf }) => {
    for (let count = 0; count < 10; count++) await remoteOf();
    const subjects = new Subjects('main');
    const { view } = remote;
    let heardCount = 0;
    transport.listen(subjects.views, () => {
      heardCount += 1;
    });
    transport.send(
      subjects.views,
      encodeControl({ kind: 'view', view: { ...view, version: view.version - 1 }, sent: 0 }),
    );
    await hand.advance(500);
    assert.is(heardCount, 1);
  }));

test('VW1: a view that is older than the one that holds changes nothing', () =>
  withWorkers({}, async ({ hand, transport, workers, remote }) => {
    const { view } = remote;
    const older = { ...view, version: view.version - 1, workers: [] };
    transport.send(new Subjects('main').views, encodeControl({ kind: 'view', view: older, sent: 0 }));
    await hand.advance(10);
    assert.equal(remote.view, view);
    assert.is(workers.get('a')?.view.workers.length, 2);
  }));

test('a pinned entity is on its worker, and where it belongs again when it is unpinned; no turn is lost', () =>
  withWorkers({}, async ({ hand, during, tally, workers, keyAt, remote }) => {
    const key = keyAt('a');
    const a = workers.get('a')?.member;
    await during(tally(key).add(1));
    await during(a?.pin(`tally/${key}`, 'b') ?? Promise.reject(new Error('no a')));
    await hand.advance(1_000);
    assert.is(remote.where(`tally/${key}`).worker, 'b');
    assert.is(await during(tally(key).add(1)), 2);
    assert.ok(workers.get('b')?.workers[0]?.partitions.some((partition) => partition >= 16));
    await during(a?.pin(`tally/${key}`, undefined) ?? Promise.reject(new Error('no a')));
    await hand.advance(1_000);
    assert.is(remote.where(`tally/${key}`).worker, 'a');
    assert.is(await during(tally(key).add(1)), 3);
  }));

test('O2, P9: who had an entity before it was pinned answers no query for it any more', () =>
  withWorkers({}, async ({ hand, during, tally, workers, keyAt, gate }) => {
    const key = keyAt('a');
    await during(tally(key).add(1));
    // Nobody is told: only the store knows.
    const [worker] = workers.get('a')?.workers ?? [];
    await gate.pin(`tally/${key}`, home(key) + 16 * 1_000, 'b');
    const query = watch(tally(key).count());
    await hand.advance(50);
    assert.not.ok(query.isSettled);
    assert.not.ok(worker?.has(home(key)));
  }));

test('PL2: a type that requires labels is on workers that have them, and waits while there is none', () => {
  const behaviours = [tallyWith({}, { labels: ['big'] })];
  return withWorkers({ names: [], behaviours }, async ({ hand, during, join, remoteOf }) => {
    await join('a');
    const remote = await remoteOf();
    const call = watch(remote.entity(Tally, 'x').add(1));
    await hand.advance(2_000);
    assert.not.ok(call.isSettled);
    await join('b', { labels: ['big'] });
    await hand.advance(1_000);
    assert.equal([call.value, remote.where('tally/x').worker], [1, 'b']);
    await join('c');
    assert.is(await during(remote.entity(Tally, 'x').add(1)), 2);
    assert.is(remote.where('tally/x').worker, 'b');
  });
});

test('PS7: a worker announces what it speaks, and says once why it is kept out by one that it does not understand', () =>
  withWorkers({ names: ['a'] }, async ({ hand, workers }) => {
    const { member, view } = workers.get('a') as ServedWorker;
    const [entry] = view.workers as [WorkerEntry];
    assert.equal(entry.protocol, protocol);
    const said = () => hand.logged.filter(({ message }) => /protocol/.test(message)).map(({ details }) => details);
    const other = { ...entry, name: 'z', id: 'z-1' };
    const withZ = (step: number, from: number, to: number) =>
      member.views.learn({ ...view, version: view.version + step, workers: [{ ...other, protocol: { from, to } }] });
    withZ(1, 2, 9);
    assert.equal(said(), []);
    withZ(2, protocol.to + 1, 9);
    withZ(3, protocol.to + 2, 9);
    const theirs = `${protocol.to + 1} to 9`;
    assert.equal(said(), [{ worker: 'a', protocol: `${protocol.from} to ${protocol.to}`, other: 'z', theirs }]);
  }));

test('AN1: a worker joins by every name that it may be given', () =>
  withWorkers({ names: ['-b', '_a', 'host.local'] }, async ({ workers }) => {
    for (const { view } of workers.values())
      assert.equal(
        view.workers.map(({ name }) => name),
        ['-b', '_a', 'host.local'],
      );
  }));

test('connect says which cluster nobody answers for, and closes', () =>
  withWorkers({ names: ['a'] }, async ({ hand, transport }) => {
    await rejects(
      hand.during(connect({ transport, environment: hand, cluster: 'other' })),
      'transport-failed',
      /other/,
    );
  }));

test('MB2: partitions that others claimed without asking are found out, and keep nobody from leaving', () =>
  withWorkers({}, async ({ hand, transport, join, workers, during }) => {
    const send = transport.send.bind(transport);
    transport.send = (subject, frame) => {
      let isLost = false;
      try {
        isLost = decodeControl(frame).kind === 'release';
      } catch {
        // An envelope, no signal.
      }
      if (!isLost) send(subject, frame);
    };
    const c = await join('c');
    transport.send = send;
    const partitionsOf = (name: string) => workers.get(name)?.workers[0]?.partitions.length ?? 0;
    assert.ok(partitionsOf('c') > 0);
    await hand.advance(5_000);
    assert.is(partitionsOf('a') + partitionsOf('b') + partitionsOf('c'), 16);
    const before = hand.now();
    await during(c.close());
    assert.ok(hand.now() - before < 2_000);
  }));

test('TY4, P3: who is not in the view has nothing any more, and claims anew what it is given when it is back', () =>
  withWorkers({}, async ({ hand, workers, during, tally, keyAt }) => {
    const key = keyAt('b');
    await during(tally(key).add(1));
    const { member, view, workers: hosted } = workers.get('b') as ServedWorker;
    const partitionsOf = () => hosted[0]?.partitions ?? [];
    const [before, epoch] = [partitionsOf(), hosted[0]?.ownership.epochOf(home(key)) ?? 0];
    member.views.learn({
      ...view,
      version: view.version + 1,
      workers: view.workers.filter(({ name }) => name !== 'b'),
    });
    assert.equal(partitionsOf(), []);
    member.views.learn({ ...view, version: view.version + 2 });
    await hand.advance(1_000);
    assert.equal(partitionsOf(), before);
    assert.ok(
      (hosted[0]?.ownership.epochOf(home(key)) ?? 0) > epoch,
      'it goes on by an epoch that others may have passed',
    );
    assert.is(await during(tally(key).add(1)), 2);
  }));

test.run();
