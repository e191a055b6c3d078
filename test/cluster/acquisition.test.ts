/**
 * Who gets a partition, from whom, with what; and who runs the placement service: piece by piece, with parts made by hand.
 *
 * Longer than 400 lines because it is all about one worker that is made by hand.
 */
import { SkerryError } from '../../core/errors.ts';
import { defaultLimits } from '../../core/limits.ts';
import { defaultPlacementLimits } from '../../placement/limits.ts';
import { Placement } from '../../placement/placement.ts';
import { viewsPerTerm } from '../../placement/service.ts';
import { protocolOf, type View, viewOf, type WorkerEntry } from '../../placement/view.ts';
import { Acquisition } from '../../runtime/cluster/acquisition.ts';
import { PlacementHost } from '../../runtime/cluster/placement-host.ts';
import { Counters } from '../../runtime/meter.ts';
import { Router } from '../../runtime/routing/router.ts';
import type { Claim, Loss } from '../../runtime/store.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import {
  type ControlMessage,
  decodeControl,
  encodeControl,
  type WarmEntity,
} from '../../runtime/wire/control-messages.ts';
import type { StreamEnvelope } from '../../runtime/wire/envelope.ts';
import { Subjects } from '../../runtime/wire/subjects.ts';
import type { Arrived, Forwarded } from '../../runtime/worker/handoff.ts';
import type { Worker } from '../../runtime/worker/worker.ts';
import { HandEnvironment } from '../support/hand.ts';
import { answerTo } from '../support/service-play.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('acquisition');
const names = ['a', 'b', 'c'];
const bare = viewOf(1, 8, names, ['stock']);
const view = { ...bare, workers: bare.workers.map((one) => ({ ...one, protocol: protocolOf(one) })) };
const placement = new Placement(view);
const ack = (number: number): StreamEnvelope => ({ kind: 'ack', to: 'stock/1', from: 'order/1', session: 1, number });
const warm: WarmEntity = {
  address: 'stock/1',
  loaded: { version: 3, head: new Uint8Array([1]), wakeAt: 5, records: [['t1', new Uint8Array([2])]] },
  activities: [['order/1', new Uint8Array([3])]],
};

/** The acquisition of worker `a` with a worker that only notes what it is told. */
function given(limits = defaultLimits) {
  const hand = new HandEnvironment();
  const store = new MemoryStore({ partitions: 8 });
  const said: [string, ControlMessage][] = [];
  const forwarded: Forwarded[] = [];
  const received: Forwarded[] = [];
  const taken: { claim: Claim; warm: readonly WarmEntity[] }[] = [];
  const lost: Loss[] = [];
  const worker = {
    has: (partition: number) => taken.some(({ claim }) => claim.partition === partition),
    isLeaving: () => false,
    forsake: () => undefined,
    forgotten: (loss: Loss) => void lost.push(loss),
    take: (claim: Claim, _at: number, arrived: Arrived) => {
      taken.push({ claim, warm: arrived.warm });
      return [];
    },
    offers: new Map(),
    hostsVolatile: false,
    intake: { receive: (envelope: Forwarded) => void received.push(envelope) },
    resume: async () => undefined,
    give: async (partitions: readonly number[]) =>
      partitions.map((partition) => ({ partition, epoch: 1, mark: 0, warm: [] })),
  };
  const acquisition = new Acquisition({
    id: 'a',
    name: 'a',
    environment: hand,
    limits,
    store,
    counters: new Counters(),
    worker: () => worker as unknown as Worker,
    sendControl: (id, message) => void said.push([id, message]),
    forward: (envelope) => void forwarded.push(envelope),
    settled: () => undefined,
    signalBytesMax: () => 1_000_000,
  });
  const mine = placement.partitionsOf('a');
  const [first = -1] = mine;
  return { hand, store, said, forwarded, received, taken, lost, acquisition, mine, first };
}
const none = (acquisition: Acquisition, id: string, partitions: readonly number[]) =>
  acquisition.none(id, partitions, 99);

test('TY1: a partition that the view gives is asked for from everybody, and claimed once all have answered', async () => {
  const { hand, said, taken, acquisition, mine } = given();
  acquisition.follow(placement);
  await hand.idle();
  assert.equal(
    said.map(([id, { kind }]) => [id, kind]),
    [
      ['b', 'seek'],
      ['c', 'seek'],
    ],
  );
  none(acquisition, 'b', mine);
  await hand.idle();
  assert.equal(taken, []);
  none(acquisition, 'c', mine);
  await hand.idle();
  assert.equal(
    taken.map(({ claim }) => claim.partition),
    mine,
  );
  assert.ok(acquisition.isSettled);
});

test('TY1: who does not answer is asked again, and after a while not waited for; who is absent has nothing', async () => {
  const { hand, said, taken, acquisition, mine } = given();
  acquisition.follow(placement);
  acquisition.absent('c');
  await hand.advance(1_000);
  assert.equal(taken, []);
  assert.ok(said.filter(([id]) => id === 'b').length >= 5);
  assert.is(said.filter(([id]) => id === 'c').length, 1);
  await hand.advance(1_500);
  assert.is(taken.length, mine.length);
});

test('TY2: what the last owner had in memory comes along, if nobody had the partition since', async () => {
  for (const isBetween of [false, true]) {
    const { hand, store, taken, acquisition, mine, first } = given();
    const [before] = await store.claim([first], 'b');
    acquisition.follow(placement);
    if (isBetween) await store.claim([first], 'c');
    const at = { id: 'b', partition: first, epoch: before?.epoch ?? 0, index: 0, count: 1 };
    acquisition.keeping('b', [first], 99);
    acquisition.released({ kind: 'released', ask: 99, ...at, mark: 0, entities: [warm] });
    for (const id of ['b', 'c']) none(acquisition, id, mine);
    await hand.idle();
    const [one] = taken.filter(({ claim }) => claim.partition === first);
    assert.equal(one?.warm, isBetween ? [] : [warm]);
  }
});

test('TY2, LR2, P8: what came along is used only if the store has as much as it had then, and that is known, and less is a loss', async () => {
  for (const [had, has, isUsed] of [
    [7, 7, true],
    [7, 6, false],
    [7, 8, false],
    [undefined, 7, false],
    [undefined, 0, false],
  ] as const) {
    const { hand, store, taken, lost, acquisition, mine, first } = given();
    const [before] = await store.claim([first], 'b');
    const claim = store.claim.bind(store);
    // It fails once, and may have gone back meanwhile.
    let failures = 1;
    store.claim = async (partitions, owner) => {
      if (failures-- > 0) throw new SkerryError('store-failed', 'connection lost');
      return (await claim(partitions, owner)).map((one) => ({ ...one, mark: has }));
    };
    acquisition.follow(placement);
    const at = { id: 'b', partition: first, epoch: before?.epoch ?? 0, index: 0, count: 1 };
    acquisition.keeping('b', [first], 99);
    acquisition.released({ kind: 'released', ask: 99, ...at, mark: had, entities: [warm] });
    for (const id of ['b', 'c']) none(acquisition, id, mine);
    await hand.advance(defaultLimits.retryMs);
    assert.equal(taken.find((one) => one.claim.partition === first)?.warm, isUsed ? [warm] : [], `${had} and ${has}`);
    assert.equal(
      lost.map(({ commits }) => commits),
      has === 6 ? [1] : [],
    );
  }
});

test('TY5: who was not asked for a partition, or not yet, hands nothing over', async () => {
  const { hand, taken, acquisition, mine, first } = given();
  acquisition.follow(placement);
  none(acquisition, 'c', mine);
  const [, second = -1] = mine;
  const released = (id: string, partition: number) =>
    acquisition.released({
      kind: 'released',
      ask: 99,
      id,
      partition,
      epoch: 1,
      mark: 0,
      index: 0,
      count: 1,
      entities: [warm],
    });
  released('b', first);
  acquisition.keeping('b', mine, 99);
  released('nobody', first);
  // Kept and not wanted yet: this is from an earlier time.
  released('b', second);
  await hand.idle();
  assert.equal(taken, []);
  released('b', first);
  await hand.idle();
  assert.equal(
    taken.map(({ claim }) => claim.partition),
    [first],
  );
});

test('TY1: what could not be claimed and is another worker’s by now is not claimed again', async () => {
  const { hand, store, taken, acquisition, mine } = given();
  let claimCount = 0;
  store.claim = () => {
    claimCount += 1;
    return Promise.reject(new SkerryError('store-failed', 'connection lost'));
  };
  acquisition.follow(placement);
  for (const id of ['b', 'c']) none(acquisition, id, mine);
  await hand.idle();
  assert.is(claimCount, 1);
  acquisition.follow(new Placement(viewOf(2, 64, ['b', 'c'], ['stock'])));
  await hand.advance(10_000);
  assert.equal([claimCount, taken, acquisition.isSettled], [1, [], true]);
});

test('TY3, P6: what comes meanwhile waits, and is run in its order once the partition is there', async () => {
  const { hand, received, acquisition, mine, first } = given();
  acquisition.follow(placement);
  for (const number of [1, 2, 3]) acquisition.astray(ack(number), first, 0);
  await hand.idle();
  assert.equal(received, []);
  for (const id of ['b', 'c']) none(acquisition, id, mine);
  await hand.idle();
  assert.equal(received, [ack(1), ack(2), ack(3)]);
});

test('TY3, P12: no more waits than a worker may have waiting', async () => {
  const { hand, received, acquisition, mine, first } = given({ ...defaultLimits, workerQueueCountMax: 2 });
  acquisition.follow(placement);
  for (const number of [1, 2, 3]) acquisition.astray(ack(number), first, 0);
  for (const id of ['b', 'c']) none(acquisition, id, mine);
  await hand.idle();
  assert.equal(received, [ack(1), ack(2)]);
});

test('TY3: what belongs elsewhere is sent on, also what waited for a partition that is somebody else’s now', async () => {
  const { hand, forwarded, received, acquisition, first } = given();
  const [foreign = -1] = placement.partitionsOf('b');
  acquisition.follow(placement);
  acquisition.astray(ack(1), first, 0);
  acquisition.astray(ack(2), foreign, 0);
  assert.equal(forwarded, [ack(2)]);
  acquisition.follow(new Placement(viewOf(2, 8, ['b', 'c'], ['stock'])));
  await hand.advance(5_000);
  assert.equal([forwarded, received], [[ack(2), ack(1)], []]);
});

test('TY5: what another worker keeps is wanted a share at a time; until then what comes for it is sent there', async () => {
  const { hand, said, forwarded, received, taken, acquisition, mine, first } = given();
  const wanted = () => said.flatMap(([, one]) => (one.kind === 'release' ? one.partitions : []));
  acquisition.follow(placement);
  const [, second = -1] = mine;
  acquisition.astray(ack(1), second, 0);
  none(acquisition, 'c', mine);
  acquisition.keeping('b', mine, 99);
  assert.equal(wanted(), [first]);
  // The first has to come soon, and what comes for it waits.
  acquisition.astray(ack(2), second, 0);
  acquisition.astray(ack(3), first, 0);
  assert.equal([forwarded, received], [[ack(1), ack(2)], []]);
  const released = (partition: number, epoch = 0) =>
    acquisition.released({
      kind: 'released',
      ask: 99,
      id: 'b',
      partition,
      epoch,
      mark: 0,
      index: 0,
      count: 1,
      entities: [],
    });
  released(first);
  await hand.idle();
  assert.equal([taken.map(({ claim }) => claim.partition), received], [[first], [ack(3)]]);
  assert.ok(wanted().includes(second));
  acquisition.astray(ack(4), second, 0);
  assert.is(forwarded.length, 2);
  for (const partition of mine) released(partition);
  await hand.idle();
  for (const partition of mine) released(partition);
  await hand.idle();
  assert.ok(acquisition.isSettled);
  assert.equal(received, [ack(3), ack(4)]);
});

test('TY5: of a keeper that does not hand over what is wanted nothing more is awaited; one that has no more says so', async () => {
  const { hand, taken, forwarded, acquisition, mine, first } = given();
  acquisition.follow(placement);
  none(acquisition, 'c', mine);
  acquisition.keeping('b', mine, 99);
  await hand.advance(1_000);
  assert.equal(taken, []);
  // It had this one no longer when it was asked again.
  none(acquisition, 'b', mine.slice(2));
  await hand.idle();
  assert.is(taken.length, mine.length - 2);
  acquisition.astray(ack(1), mine[1] ?? -1, 0);
  assert.equal(forwarded, [ack(1)]);
  await hand.advance(1_500);
  assert.equal(new Set(taken.map(({ claim }) => claim.partition)), new Set(mine));
  assert.ok(acquisition.isSettled && mine.includes(first));
});

test('TY2, TY5: what a keeper hands over is used also where it was wanted early, since the keeper was slow with another', async () => {
  const { hand, store, taken, acquisition, mine, first } = given();
  const [, second = -1] = mine;
  const [before] = await store.claim([second], 'b');
  acquisition.follow(placement);
  none(acquisition, 'c', mine);
  acquisition.keeping('b', mine, 99);
  // Of the first nothing is heard.
  await hand.advance(2_100);
  const at = { id: 'b', partition: second, epoch: before?.epoch ?? 0, index: 0, count: 1 };
  acquisition.released({ kind: 'released', ask: 99, ...at, mark: 0, entities: [warm] });
  await hand.advance(1_000);
  const warmOf = (partition: number) => taken.find(({ claim }) => claim.partition === partition)?.warm;
  assert.equal([warmOf(first), warmOf(second)], [[], [warm]]);
});

test('TY5: answers to questions of another time, which come late, claim nothing and change no keeper', async () => {
  const { hand, said, taken, acquisition, mine, first } = given();
  const asks = () => said.flatMap(([, message]) => ('ask' in message ? [message.ask] : []));
  acquisition.follow(placement);
  for (const id of ['b', 'c']) none(acquisition, id, mine);
  await hand.idle();
  const earlier = Math.max(...asks());
  assert.is(taken.length, mine.length);
  // All of it goes to b, and comes again.
  taken.length = 0;
  acquisition.follow(new Placement(viewOf(2, 8, ['b'], ['stock'])));
  acquisition.follow(new Placement({ ...view, version: 3 }));
  await hand.idle();
  for (const id of ['b', 'c']) acquisition.none(id, mine, earlier);
  acquisition.keeping('c', mine, earlier);
  await hand.idle();
  assert.equal(taken, []);
  const present = Math.max(...asks());
  acquisition.keeping('b', mine, present);
  const at = { id: 'b', partition: first, epoch: 1, mark: 0, index: 0, count: 1, entities: [] };
  acquisition.released({ kind: 'released', ask: present, ...at });
  await hand.idle();
  assert.equal(taken, [], 'what was said to be kept before it was wanted is no release');
  acquisition.released({ kind: 'released', ask: Math.max(...asks()), ...at });
  await hand.idle();
  assert.equal(
    taken.map(({ claim }) => claim.partition),
    [first],
  );
});

test('TY6: who is cut off from the service gives all up and claims nothing, until it hears it', async () => {
  const { hand, taken, acquisition, mine } = given();
  acquisition.follow(placement);
  for (const id of ['b', 'c']) none(acquisition, id, mine);
  await hand.idle();
  const had = taken.length;
  acquisition.part();
  taken.length = 0;
  for (const partition of mine) acquisition.lost(partition);
  acquisition.follow(new Placement({ ...view, version: 2 }));
  await hand.advance(10_000);
  assert.equal([taken.length, acquisition.coming, acquisition.isSettled], [0, [], false]);
  acquisition.join();
  for (const id of ['b', 'c']) none(acquisition, id, mine);
  await hand.idle();
  assert.equal([taken.length, acquisition.isSettled], [had, true]);
});

test('TY5: who has a partition keeps it when it is sought, and gives it when it is wanted', async () => {
  const { hand, said, taken, acquisition, mine, first } = given();
  acquisition.follow(placement);
  for (const id of ['b', 'c']) none(acquisition, id, mine);
  await hand.idle();
  assert.is(taken.length, mine.length);
  said.length = 0;
  // By a later view all is b's.
  const later = viewOf(2, 8, ['b'], ['stock']);
  acquisition.follow(new Placement(later));
  const ask = { id: 'b', view: later, partitions: [first, 99], ask: 5 };
  acquisition.outgoing.asked({ kind: 'seek', ...ask });
  acquisition.outgoing.asked({ kind: 'release', ...ask });
  await hand.idle();
  assert.equal(
    said.map(([, message]) => [message.kind, 'partitions' in message ? message.partitions : message]),
    [
      ['none', [99]],
      ['keeping', [first]],
      ['none', [99]],
      [
        'released',
        {
          kind: 'released',
          id: 'a',
          ask: 5,
          partition: first,
          epoch: 1,
          mark: 0,
          index: 0,
          count: 1,
          entities: [],
        },
      ],
    ],
  );
});

test('a call that is over is not sent on', () => {
  const { hand, forwarded, acquisition } = given();
  const [foreign = -1] = placement.partitionsOf('b');
  acquisition.follow(placement);
  const query = { kind: 'query', to: 'stock/1', replyTo: '', call: 1, identity: '', operation: 'x' } as const;
  for (const deadline of [hand.now() - 1, hand.now() + 1])
    acquisition.astray({ ...query, payload: new Uint8Array(0), deadline }, foreign, 0);
  assert.is(forwarded.length, 1);
});

test('M3: what has been forwarded often enough is dropped; what belongs here is not sent round', async () => {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand);
  const subjects = new Subjects('tested');
  const router = new Router({ transport, environment: hand, subjects }, placement);
  let count = 0;
  for (const id of names)
    transport.listen(subjects.worker(id), () => {
      count += 1;
    });
  for (let hops = 0; hops < 10; hops++) router.forward(ack(hops), hops);
  await hand.idle();
  assert.is(count, 4);
  const owner = placement.workerOf(placement.partitionOf('stock/1'))?.id ?? '';
  router.listen(subjects.worker(owner), () => assert.unreachable());
  router.forward(ack(1), 0);
  await hand.idle();
  assert.is(count, 4);
});

/** One of each kind. */
function allSignals(entry: WorkerEntry, pinned: View): ControlMessage[] {
  const slice = { partition: 7, epoch: 3, ask: 9, batch: 2, index: 0, count: 1 };
  const places = { batches: [0, 4], slices: [0, 9] };
  const labelled = { ...entry, labels: ['x'], types: [{ type: 'stock', labels: ['x'] }] };
  return [
    { kind: 'view', view: pinned, sent: 2 ** 41 + 0.5 },
    { kind: 'resolve', replyTo: 'x' },
    { kind: 'announce', entry: labelled, viewVersion: 2 ** 40, sent: 7.5 },
    { kind: 'absent', id: 'a', by: 'b' },
    { kind: 'ping', mark: { term: 3, at: 1.5 } },
    { kind: 'pong', id: 'a', mark: { term: 3, at: 1.5 }, sent: 9 },
    { kind: 'echo', number: 4 },
    { kind: 'doubt', id: 'a', number: 4 },
    { kind: 'present', number: 4, term: 3, sent: 9.5 },
    { kind: 'gone', id: 'a', viewVersion: 2 ** 40 },
    { kind: 'pinned' },
    { kind: 'release', id: 'a', view, partitions: [1, 2 ** 45], ask: 8 },
    { kind: 'none', id: 'a', partitions: [], ask: 8 },
    { kind: 'keeping', id: 'a', partitions: [7], ask: 8 },
    { kind: 'seek', id: 'a', view, partitions: [1], ask: 8 },
    {
      kind: 'released',
      id: 'a',
      ask: 8,
      partition: 7,
      epoch: 3,
      mark: 2 ** 40,
      index: 0,
      count: 2,
      entities: [warm],
    },
    {
      kind: 'released',
      id: 'a',
      ask: 8,
      partition: 7,
      epoch: 3,
      mark: undefined,
      index: 0,
      count: 1,
      entities: [],
    },
    { kind: 'carried', id: 'a', name: 'x', ...slice, bytes: new Uint8Array([7]), isLast: true, leftCount: 2 },
    { kind: 'fetch', id: 'a', view, partitions: [7, 2 ** 45], epochs: [3, 2 ** 41], ask: 9, ...places },
    { kind: 'bare', id: 'a', partitions: [7], ask: 9 },
    { kind: 'boarded', id: 'a', partition: 7, epoch: 3, batch: 2, except: ['stock/1'] },
    { kind: 'settled', id: 'a', partition: 7, epoch: 3 },
  ];
}

test('control messages come back as they went; what is none is refused', () => {
  const entry = view.workers[0];
  if (entry === undefined) throw new Error('no worker');
  const pinned = { ...view, pins: [{ address: 'stock/ü', worker: 'a' }] };
  const all = allSignals(entry, pinned);
  for (const message of all) {
    const bytes = new Uint8Array(encodeControl(message, 7));
    // Bytes may come back as a Buffer, which has JSON of its own.
    const plain = (value: unknown) =>
      JSON.stringify(value, (_key, part) =>
        part instanceof Uint8Array ? [...part] : part?.type === 'Buffer' ? part.data : part,
      );
    assert.is(plain(decodeControl(bytes)), plain({ ...message, sentAt: 7 }));
    for (let length = 0; length < bytes.length; length++) assert.throws(() => decodeControl(bytes.slice(0, length)));
  }
  const bad = { ...entry, id: 'a.>' };
  assert.throws(() => decodeControl(encodeControl({ kind: 'announce', entry: bad, viewVersion: 1, sent: 1 })));
  assert.throws(() => decodeControl(encodeControl({ kind: 'view', view: { ...view, partitions: 1e9 }, sent: 1 })));
  assert.throws(() => decodeControl(encodeControl({ kind: 'view', view, sent: Number.NaN })));
  const fetch = { kind: 'fetch', id: 'a', view, partitions: [7, 8], epochs: [3, 3], ask: 9 } as const;
  const ofPlaces = (batches: number[], slices: number[]) =>
    decodeControl(new Uint8Array(encodeControl({ ...fetch, batches, slices })));
  assert.equal(ofPlaces([], []).kind, 'fetch');
  assert.throws(() => ofPlaces([1], [1]), /not a place for each/);
  assert.throws(() => ofPlaces([1, 2], [1]), /not a place for each/);
  assert.throws(() => ofPlaces([1, 2], [1, -1]), /before the first/);
  assert.throws(() => decodeControl(encodeControl({ kind: 'view', view, sent: 1e300 })));
});

test('SH1: the service acts only while the lease is this worker’s, under its term', async () => {
  const hand = new HandEnvironment();
  const store = new MemoryStore({ partitions: 8 });
  const published: number[] = [];
  let listenerCount = 0;
  const entry = view.workers[0];
  if (entry === undefined) throw new Error('no worker');
  const host = new PlacementHost({
    environment: hand,
    store,
    limits: defaultPlacementLimits,
    id: 'a',
    view: () => undefined,
    name: 'a',
    apart: () => undefined,
    together: () => undefined,
    publish: ({ version }) => void published.push(version),
    sendControl: (id, message) => answerTo(host, id, hand, message),
    sendToService: () => undefined,
    listen: () => {
      listenerCount += 1;
      return () => {
        listenerCount -= 1;
      };
    },
  });
  host.start();
  host.receive({ kind: 'announce', entry, viewVersion: 0, sent: hand.now() });
  await hand.advance(5_000);
  assert.equal([host.isServing, listenerCount, published.length], [true, 1, 0]);
  host.receive({ kind: 'announce', entry, viewVersion: 0, sent: hand.now() });
  await hand.advance(200);
  assert.equal(published, [viewsPerTerm + 1]);
  const kept = await store.lease('placement', 'b', { now: 0, ms: 1 });
  await store.lease('placement', 'b', { now: hand.now(), ms: 60_000, instead: kept });
  await hand.advance(300);
  assert.equal([host.isServing, listenerCount], [false, 0]);
  const count = published.length;
  host.receive({ kind: 'announce', entry: { ...entry, version: '2' }, viewVersion: 0, sent: hand.now() });
  await hand.advance(200);
  assert.is(published.length, count);
  await host.stop();
});

test.run();
