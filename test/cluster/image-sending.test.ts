/** One worker that gives images of volatile entities, one that fetches them, and what gets through between them. */

import { type Fetched, ImageFetching, type Want } from '../../runtime/cluster/image-fetching.ts';
import type { SendingLimits } from '../../runtime/cluster/image-sending.ts';
import { Outgoing } from '../../runtime/cluster/outgoing.ts';
import type { ControlMessage } from '../../runtime/wire/control-messages.ts';
import { type Offer, VolatileImages } from '../../runtime/worker/volatile-images.ts';
import type { Worker } from '../../runtime/worker/worker.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('sendings');

const sliceBytes = 100;
const windowBytesMax = 1_000;
type Fetch = Extract<ControlMessage, { kind: 'fetch' }>;
type Slice = Extract<ControlMessage, { kind: 'carried' }>;

interface Options {
  /** Entities by partition, each of so many bytes. */
  readonly entities?: readonly (readonly [partition: number, count: number])[];
  readonly bytes?: number;
  readonly limits?: Partial<SendingLimits>;
  /** What gets through, or when, ms. */
  readonly passes?: (signal: ControlMessage) => boolean | number;
}

class Pair {
  readonly hand = new HandEnvironment();
  readonly images = new VolatileImages(this.hand, { carryMs: 30_000 }, 'a');
  readonly fetches: Fetch[] = [];
  readonly slices: Slice[] = [];
  readonly fetched: Fetched[] = [];
  readonly fetching: ImageFetching;
  readonly outgoing: Outgoing;
  /** Whose the partitions are by the view. */
  owner = 'b-1';
  passes: (signal: ControlMessage) => boolean | number;
  readonly #partitions: readonly number[];

  constructor({ entities = [[0, 30]], bytes = 150, limits = {}, passes = () => true }: Options) {
    this.passes = passes;
    this.#partitions = entities.map(([partition]) => partition);
    for (const [partition, count] of entities)
      for (let key = 0; key < count; key++) this.put(`room/${partition}-${key}`, bytes);
    const shared = {
      environment: this.hand,
      sendingLimits: { windowBytesMax, imagesBytesMax: 1_000_000, ...limits },
      signal: (_to: string, signal: ControlMessage) => this.send(signal),
    };
    const worker = { images: this.images, yieldTo: () => true };
    Object.defineProperty(worker, 'offers', { get: () => this.offers });
    this.outgoing = new Outgoing({
      ...shared,
      id: 'a-1',
      name: 'a',
      worker: () => worker as unknown as Worker,
      signalBytesMax: () => 4_096 + sliceBytes,
      workerOf: () => this.owner,
    });
    this.fetching = new ImageFetching({
      ...shared,
      id: 'b-1',
      others: () => ['a-1'],
      ask: (_to, wants, ask) => this.send(fetchOf(wants, ask)),
      isWanted: () => true,
      fetched: (all) => this.fetched.push(...all),
    });
  }

  get offers(): ReadonlyMap<number, readonly Offer[]> {
    return this.images.offers((address) => Number(address.slice(5).split('-')[0]));
  }

  put(address: string, bytes: number): void {
    const loaded = { version: 7, head: new Uint8Array(bytes), wakeAt: undefined, records: [] };
    this.images.put({ address, loaded, activities: [], partition: 0, epoch: 7, isComplete: true });
  }

  send(signal: ControlMessage): void {
    if (signal.kind === 'fetch') this.fetches.push(signal);
    if (signal.kind === 'carried') this.slices.push(signal);
    const pass = this.passes(signal);
    if (pass !== false) this.hand.after(pass === true ? 1 : pass, () => this.receive(signal));
  }

  receive(signal: ControlMessage): void {
    if (signal.kind === 'fetch') this.outgoing.fetched(signal);
    else if (signal.kind === 'carried') this.fetching.carried(signal);
    else if (signal.kind === 'bare') this.fetching.bare(signal.id, signal.partitions, signal.ask);
  }

  begin(): void {
    const claims = this.#partitions.map((partition) => ({
      partition,
      epoch: 3,
      previous: 2,
      claimed: 2,
      mark: 0,
      before: 'a',
      pins: [],
    }));
    this.fetching.begin(claims, () => false);
  }

  get countHere(): number {
    return this.fetched.reduce((sum, { offers }) => sum + offers.length, 0);
  }

  errors(): string[] {
    return this.hand.logged.filter(({ level }) => level === 'error').map(({ message }) => message);
  }
}

function fetchOf(wants: readonly Want[], ask: number): Fetch {
  return {
    kind: 'fetch',
    id: 'b-1',
    view: undefined as never,
    partitions: wants.map(({ partition }) => partition),
    epochs: wants.map(({ epoch }) => epoch),
    ask,
    batches: wants.map(({ batch }) => batch),
    slices: wants.map(({ slice }) => slice),
  };
}

test('SE1: what fits into one window is asked for once, whatever partitions it is of', async () => {
  const pair = new Pair({
    entities: [
      [0, 1],
      [1, 0],
      [2, 2],
    ],
  });
  pair.begin();
  await pair.hand.advance(4);
  assert.equal([pair.fetched.length, pair.countHere, pair.fetches.length], [3, 3, 1]);
  assert.equal(
    pair.slices.map(({ isLast }) => isLast),
    pair.slices.map((_, index) => index === pair.slices.length - 1),
  );
});

test('SE1, FE3: what does not fit comes window by window, each slice once, and without a pause', async () => {
  const pair = new Pair({
    entities: [
      [0, 30],
      [1, 30],
      [2, 1],
    ],
  });
  let [most, bytes] = [0, 0];
  pair.passes = (signal) => {
    if (signal.kind === 'fetch') bytes = 0;
    if (signal.kind === 'carried') bytes += signal.bytes.length;
    most = Math.max(most, bytes);
    return true;
  };
  pair.begin();
  await pair.hand.advance(50);
  assert.equal([pair.fetched.length, pair.countHere], [3, 61]);
  assert.ok(most <= windowBytesMax && pair.fetches.length > 9, `${most} bytes, ${pair.fetches.length} asks`);
  assert.is(pair.slices.length, new Set(pair.slices.map(({ batch, index }) => `${batch} ${index}`)).size);
});

test('SE1: a window is shared by those who are being sent something, and each gets a slice', async () => {
  const pair = new Pair({ entities: [[0, 30]], passes: () => false });
  const sentFor = (id: string, ask: number) => {
    pair.owner = id;
    pair.slices.length = 0;
    pair.outgoing.fetched({ ...fetchOf([{ partition: 0, epoch: 3, batch: 0, slice: 0 }], ask), id });
    return pair.slices.length;
  };
  assert.equal([sentFor('b-1', 1), sentFor('c-1', 1), sentFor('b-1', 2)], [10, 5, 5]);
  for (let other = 0; other < 30; other++) assert.ok(sentFor(`d-${other}`, 1) >= 1);
  assert.is(sentFor('b-1', 3), 1);
  // Who says nothing for a while has no part in it.
  await pair.hand.advance(20_000);
  assert.is(sentFor('b-1', 4), 10);
});

test('SE2: an ask that is late or doubled gets nothing', async () => {
  const pair = new Pair({});
  pair.passes = () => false;
  const want = { partition: 0, epoch: 3, batch: 0, slice: 0 };
  const sent = (one: Partial<Want>, ask: number) => {
    pair.slices.length = 0;
    pair.outgoing.fetched(fetchOf([{ ...want, ...one }], ask));
    return pair.slices.map(({ batch, index }) => [batch, index] as const);
  };
  const [first] = sent({}, 5);
  const batch = first?.[0] ?? 0;
  assert.equal([sent({}, 5).length, sent({}, 4).length], [0, 0]);
  assert.equal(sent({ batch, slice: 17 }, 6)[0], [batch, 17]);
  assert.equal(sent({ batch, slice: 3 }, 5), []);
  assert.equal(sent({ batch, slice: 2 ** 40 }, 7), []);
  // Another sending than that which is known.
  assert.equal(sent({ batch: batch + 100, slice: 3 }, 8)[0], [batch + 1, 0]);
});

test('FE3: however little gets through at a time, it goes on from there', async () => {
  let [at, count] = [0, 0];
  const pair = new Pair({ bytes: 300 });
  pair.passes = (signal) => {
    if (signal.kind !== 'carried') return true;
    if (pair.hand.steady() > at) [at, count] = [pair.hand.steady(), 0];
    count += 1;
    return count <= 2;
  };
  pair.begin();
  await pair.hand.advance(20_000);
  assert.equal([pair.fetched.length, pair.countHere], [1, 30]);
  assert.is(new Set(pair.slices.map(({ batch }) => batch)).size, 1);
});

test('FE1: who sends something is waited for, each slice anew; 2 s after the last one it is said what did not come', async () => {
  const pair = new Pair({ bytes: 300 });
  let [until, next] = [Number.POSITIVE_INFINITY, 0];
  pair.passes = (signal) => {
    if (signal.kind !== 'carried') return true;
    const now = pair.hand.steady();
    if (now < next || now > until) return false;
    next = now + 1_500;
    return true;
  };
  pair.begin();
  await pair.hand.advance(60_000);
  assert.equal([pair.fetched.length, pair.errors()], [0, []]);
  until = pair.hand.steady();
  await pair.hand.advance(4_000);
  assert.equal([pair.fetched.length, pair.countHere], [1, 0]);
  assert.equal(pair.errors(), [
    'entities that are not durable by turn did not all come with a partition: what is missing begins anew',
  ]);
  assert.equal([pair.fetched[0]?.answered.size, pair.fetched[0]?.batches.size], [0, 0]);
});

test('FE1: who fetches and was paused itself takes nobody for silent before it has read what came', async () => {
  const pair = new Pair({ bytes: 300 });
  pair.passes = ({ kind }) => (kind === 'carried' ? 150 : true);
  pair.begin();
  await pair.hand.advance(50);
  pair.hand.jump(10_000);
  await pair.hand.advance(20_000);
  assert.equal([pair.fetched.length, pair.countHere, pair.errors()], [1, 30, []]);
});

test('FE1: five minutes are enough for anybody', async () => {
  const pair = new Pair({ entities: [[0, 300]], bytes: 300 });
  let next = 0;
  pair.passes = (signal) => {
    if (signal.kind !== 'carried') return true;
    if (pair.hand.steady() < next) return false;
    next = pair.hand.steady() + 1_500;
    return true;
  };
  pair.begin();
  await pair.hand.advance(299_000);
  assert.equal([pair.fetched.length, pair.errors()], [0, []]);
  await pair.hand.advance(1_500);
  assert.equal([pair.fetched.length, pair.errors().length], [1, 1]);
});

test('CA3: an image is kept for as long as who has claimed it asks for it', async () => {
  const pair = new Pair({ bytes: 300, passes: () => false });
  const sweep = () =>
    pair.images.sweep(
      () => 0,
      () => false,
    );
  for (let ask = 1; ask < 10; ask++) {
    pair.outgoing.fetched(fetchOf([{ partition: 0, epoch: 3, batch: 1, slice: ask }], ask));
    await pair.hand.advance(20_000);
    sweep();
    assert.is(pair.images.count, 30);
  }
  await pair.hand.advance(10_000);
  sweep();
  assert.is(pair.images.count, 0);
});

test('SE1: of what is too much for one sending a part comes, and both ends say so', async () => {
  const pair = new Pair({ limits: { imagesBytesMax: 5_000 } });
  pair.begin();
  await pair.hand.advance(100);
  assert.equal([pair.fetched.length, pair.countHere], [1, 16]);
  assert.equal(pair.errors(), [
    'a partition has more in memory than may go along with it: entities that are not durable by turn begin anew',
    'entities that are not durable by turn did not all come with a partition: what is missing begins anew',
  ]);
});

test('FE3: a sender without end is not listened to for longer', async () => {
  const pair = new Pair({ entities: [[0, 0]], limits: { imagesBytesMax: 5_000 } });
  pair.passes = ({ kind }) => kind === 'fetch';
  pair.begin();
  const bytes = new Uint8Array(1_000);
  const at = { name: 'a', partition: 0, epoch: 3, batch: 1, count: 1e9, bytes, leftCount: 0 };
  const asked = pair.fetches.length;
  for (let index = 0; index < 50; index++)
    pair.fetching.carried({ kind: 'carried', id: 'a-1', ...at, ask: 1, index, isLast: true });
  // One ask for each that the sender was asked for.
  assert.is(pair.fetches.length, asked + 1);
  for (let ms = 0; ms < 2_200; ms += 100) {
    await pair.hand.advance(100);
    const ask = pair.fetches.at(-1)?.ask ?? 0;
    pair.fetching.carried({ kind: 'carried', id: 'a-1', ...at, ask, index: 60 + ms, isLast: true });
  }
  const said = pair.hand.logged.filter(({ level }) => level === 'error').map(({ details }) => details);
  assert.equal(pair.countHere, 0);
  assert.equal(said, [{ partition: 0, worker: 'a', bytes: 10_000, slices: 10, of: 1e9, leftCount: 0 }]);
});

test.run();
