/**
 * One worker that gives images of volatile entities, one that fetches them, and what gets through between them.
 *
 * Longer than 400 lines because a giver that is busy stands beside one that is not.
 */

import { ImageFetching, type Want } from '../../runtime/cluster/image-fetching.ts';
import type { SendingLimits } from '../../runtime/cluster/image-sending.ts';
import type { Fetched } from '../../runtime/cluster/image-unloading.ts';
import { Outgoing } from '../../runtime/cluster/outgoing.ts';
import type { ControlMessage } from '../../runtime/wire/control-messages.ts';
import type { StepLimits } from '../../runtime/worker/steps.ts';
import { VolatileImages } from '../../runtime/worker/volatile-images.ts';
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
  readonly passes?: (message: ControlMessage) => boolean | number;
  readonly hand?: HandEnvironment;
  /** The giver's own. */
  readonly giver?: BusyEnvironment;
  readonly stepLimits?: StepLimits;
  /** Of who fetches. */
  readonly readSteps?: StepLimits;
}

class Pair {
  readonly hand: HandEnvironment;
  readonly #giver: BusyEnvironment | undefined;
  readonly images: VolatileImages;
  /** An image is looked at. */
  made = (_address: string): void => undefined;
  viewVersion = 1;
  yields = (_partition: number): boolean => true;
  readonly fetches: Fetch[] = [];
  readonly slices: Slice[] = [];
  readonly fetched: Fetched[] = [];
  readonly fetching: ImageFetching;
  readonly outgoing: Outgoing;
  /** Whose the partitions are by the view. */
  owner = 'b-1';
  passes: (message: ControlMessage) => boolean | number;
  readonly #partitions: readonly number[];

  constructor(options: Options) {
    const { entities = [[0, 30]], bytes = 150, limits = {}, passes = () => true, stepLimits } = options;
    this.hand = options.hand ?? new HandEnvironment();
    this.#giver = options.giver;
    this.images = new VolatileImages(this.hand, { carryMs: 30_000 }, { name: 'a', partitions: 1 });
    this.passes = passes;
    this.#partitions = entities.map(([partition]) => partition);
    for (const [partition, count] of entities)
      for (let key = 0; key < count; key++) this.put(`room/${partition}-${key}`, bytes);
    const shared = {
      environment: this.hand,
      sendingLimits: { windowBytesMax, imagesBytesMax: 1_000_000, ...limits },
      sendControl: (_to: string, message: ControlMessage) => this.send(message),
    };
    const worker = {
      images: this.images,
      yieldTo: (claims: readonly { partition: number }[]) =>
        new Set(claims.map(({ partition }) => partition).filter((partition) => this.yields(partition))),
      offersOf: (partition: number) => this.images.offers(partition, partitionOf),
      hasOffersOf: (partition: number) => this.images.has(partition, partitionOf),
    };
    this.outgoing = new Outgoing({
      ...shared,
      environment: this.#giver ?? this.hand,
      ...(stepLimits && { stepLimits }),
      id: 'a-1',
      name: 'a',
      worker: () => worker as unknown as Worker,
      signalBytesMax: () => 4_096 + sliceBytes,
      workerOf: () => this.owner,
      viewVersion: () => this.viewVersion,
    });
    this.fetching = new ImageFetching({
      ...shared,
      ...(options.readSteps && { stepLimits: options.readSteps }),
      id: 'b-1',
      others: () => ['a-1'],
      ask: (_to, wants, ask) => this.send(fetchOf(wants, ask, this.viewVersion)),
      isWanted: () => true,
      fetched: (all) => this.fetched.push(...all),
    });
  }

  put(address: string, bytes: number): void {
    const loaded = { version: 7, head: new Uint8Array(bytes), wakeAt: undefined, records: [] };
    const made = () => this.made(address);
    this.images.put({
      address,
      get loaded() {
        made();
        return loaded;
      },
      ...{ activities: [], partition: 0, epoch: 7, isComplete: true },
    });
  }

  send(message: ControlMessage): void {
    if (message.kind === 'fetch') this.fetches.push(message);
    if (message.kind === 'carried') this.slices.push(message);
    const pass = this.passes(message);
    if (pass === false) return;
    const ms = pass === true ? 1 : pass;
    const giver = this.#giver;
    if (giver === undefined) this.hand.after(ms, () => this.receive(message));
    else if (message.kind === 'fetch') this.hand.after(ms, () => giver.does(() => this.receive(message)));
    // What goes out waits until the work under way is done.
    else this.hand.after(giver.steady() - this.hand.steady() + ms, () => this.receive(message));
  }

  receive(message: ControlMessage): void {
    if (message.kind === 'fetch') this.outgoing.fetched(message);
    else if (message.kind === 'carried') this.fetching.carried(message);
    else if (message.kind === 'bare') this.fetching.bare(message.id, message.partitions, message.ask);
  }

  begin(): void {
    this.fetching.begin(this.#partitions.map(claimOf), () => false);
  }

  get countHere(): number {
    return this.fetched.reduce((sum, { offers }) => sum + offers.length, 0);
  }

  errors(): string[] {
    return this.hand.logged.filter(({ level }) => level === 'error').map(({ message }) => message);
  }
}

const claimOf = (partition: number) => ({
  partition,
  epoch: 3,
  previous: 2,
  claimed: 2,
  mark: 0,
  before: 'a',
  pins: [],
});
const partitionOf = (address: string) => Number(address.slice(5).split('-')[0]);

function fetchOf(wants: readonly Want[], ask: number, version = 1): Fetch {
  return {
    kind: 'fetch',
    id: 'b-1',
    view: { version, partitions: 1, workers: [], pins: [] },
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
  pair.passes = (message) => {
    if (message.kind === 'fetch') bytes = 0;
    if (message.kind === 'carried') bytes += message.bytes.length;
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
  assert.equal(sent({ batch: batch + 100, slice: 3 }, 8)[0], [batch + 2, 0]);
});

test('FE3: however little gets through at a time, it goes on from there', async () => {
  let [at, count] = [0, 0];
  const pair = new Pair({ bytes: 300 });
  pair.passes = (message) => {
    if (message.kind !== 'carried') return true;
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
  pair.passes = (message) => {
    if (message.kind !== 'carried') return true;
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
  assert.equal(pair.errors(), ['a partition arrived without some of its volatile entities: these start anew']);
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
  pair.passes = (message) => {
    if (message.kind !== 'carried') return true;
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
  assert.equal([pair.fetched.length, pair.countHere], [1, 28]);
  assert.equal(pair.errors(), [
    'a partition has more volatile entities than a handoff can carry: the rest start anew',
    'a partition arrived without some of its volatile entities: these start anew',
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

/** A giver's own process: what it works on takes its time, and what comes meanwhile, or goes out, waits for the end of that. */
class BusyEnvironment {
  readonly #hand: HandEnvironment;
  #until = 0;
  readonly #tasks: (() => void)[] = [];
  /** The longest time without a look at what has come, ms. */
  longest = 0;
  readonly log: HandEnvironment['log'];

  constructor(hand: HandEnvironment) {
    this.#hand = hand;
    this.log = hand.log;
  }

  now = () => this.steady();
  random = () => 0;
  newId = () => this.#hand.newId();
  steady = () => Math.max(this.#hand.steady(), this.#until);
  soon = (run: () => void) => void this.after(0, run);

  after(ms: number, run: () => void): () => void {
    const at = this.steady() + ms;
    return this.#hand.after(at - this.#hand.steady(), () => this.does(run));
  }

  /** Work that takes so long. */
  takes(ms: number): void {
    this.#until = this.steady() + ms;
  }

  /** In its turn. */
  does(run: () => void): void {
    this.#tasks.push(run);
    if (this.#tasks.length === 1) this.#plan();
  }

  #plan(): void {
    this.#hand.after(this.steady() - this.#hand.steady(), () => {
      const from = this.steady();
      this.#tasks[0]?.();
      this.#tasks.shift();
      this.longest = Math.max(this.longest, this.steady() - from);
      if (this.#tasks.length > 0) this.#plan();
    });
  }
}

interface SlowOptions extends Options {
  /** What it takes to make one image, ms. */
  readonly imageMs: number;
  readonly stepLimits?: StepLimits;
}

function slowly({ imageMs, stepLimits, ...options }: SlowOptions) {
  const hand = new HandEnvironment();
  const busy = new BusyEnvironment(hand);
  const pair = new Pair({ ...options, hand, giver: busy, ...(stepLimits && { stepLimits }) });
  const made = new Set<string>();
  pair.made = (address) => {
    if (!made.has(address)) busy.takes(imageMs);
    made.add(address);
  };
  pair.begin();
  return { pair, hand, busy, made };
}

const comingOf = ({ slices }: Pair) => slices.filter(({ bytes }) => bytes.length === 0);

test('GI1, FE1: a giver whose images take longer to make than anybody waits is heard all the time, and all of them come', async () => {
  const { pair, hand, busy } = slowly({ entities: [[0, 1_000]], imageMs: 20 });
  await hand.advance(19_000);
  assert.equal([pair.fetched.length, pair.errors()], [0, []]);
  assert.ok(comingOf(pair).length > 80, `heard ${comingOf(pair).length} times`);
  await hand.advance(4_000);
  assert.equal([pair.fetched.length, pair.countHere, pair.errors()], [1, 1_000, []]);
  // One image, and the part of a step before it.
  assert.ok(busy.longest <= 28, `${busy.longest} ms`);
});

test('GI1: who makes all images in one go is taken for silent', async () => {
  const stepLimits = { ms: Number.POSITIVE_INFINITY, count: Number.POSITIVE_INFINITY };
  const { pair, hand } = slowly({ entities: [[0, 1_000]], imageMs: 20, stepLimits });
  await hand.advance(30_000);
  assert.equal([pair.fetched.length, pair.countHere], [1, 0]);
});

test('GI1, FE1: who dies in the middle is waited for as long as anybody who is silent', async () => {
  const { pair, hand } = slowly({ entities: [[0, 1_000]], imageMs: 20 });
  await hand.advance(5_000);
  assert.is(pair.fetched.length, 0);
  pair.outgoing.close();
  pair.passes = () => false;
  await hand.advance(1_800);
  assert.is(pair.fetched.length, 0);
  await hand.advance(400);
  assert.equal([pair.fetched.length, pair.countHere], [1, 0]);
  assert.equal([pair.fetched[0]?.answered.size, pair.fetched[0]?.batches.size], [0, 0]);
});

test('FE1: who says for ever that it is coming is waited for five minutes, and takes no memory meanwhile', async () => {
  const pair = new Pair({ entities: [[0, 0]], passes: () => false });
  pair.begin();
  const at = { id: 'a-1', name: 'a', partition: 0, epoch: 3, batch: 1, bytes: new Uint8Array(0), leftCount: 0 };
  for (let ms = 0; ms < 299_500; ms += 500) {
    await pair.hand.advance(500);
    const ask = pair.fetches.at(-1)?.ask ?? 0;
    for (const index of [ms, ms + 1])
      pair.fetching.carried({ kind: 'carried', ...at, ask, index, count: 2 ** 31, isLast: false });
  }
  assert.is(pair.fetched.length, 0);
  await pair.hand.advance(1_000);
  assert.equal([pair.fetched.length, pair.fetched[0]?.answered.size, pair.errors()], [1, 0, []]);
});

test('GI1: what is ready goes out while something else is made', async () => {
  const { pair, hand, busy, made } = slowly({ entities: [[0, 30]], bytes: 300, imageMs: 0 });
  await hand.advance(5);
  for (let key = 0; key < 500; key++) pair.put(`room/1-${key}`, 10);
  pair.made = (address) => {
    if (address.startsWith('room/1-') && !made.has(address)) busy.takes(10);
    made.add(address);
  };
  assert.is(pair.fetched.length, 0);
  pair.fetching.begin([claimOf(1)], () => false);
  await hand.advance(1_500);
  assert.equal([pair.fetched.map(({ claim }) => claim.partition), pair.countHere], [[0], 30]);
  await hand.advance(20_000);
  assert.equal([pair.fetched.map(({ claim }) => claim.partition), pair.countHere], [[0, 1], 530]);
  assert.equal(pair.errors(), []);
});

test('SE2, GI1: an ask without a place, by the same view, goes on with the sending that is being made; a later view begins anew', async () => {
  const { pair, hand, made, busy } = slowly({ entities: [[0, 300]], imageMs: 20 });
  let isDeaf = true;
  // Nothing is heard of its coming.
  pair.passes = (message) => message.kind !== 'carried' || (message.bytes.length > 0 && !isDeaf);
  await hand.advance(1_500);
  const [first] = pair.slices;
  assert.ok(made.size > 40 && made.size < 300, `${made.size} images`);
  pair.viewVersion = 2;
  await hand.advance(200);
  assert.ok((pair.slices.at(-1)?.batch ?? 0) > (first?.batch ?? 0));
  isDeaf = false;
  pair.passes = () => true;
  await hand.advance(8_000);
  assert.equal([pair.fetched.length, pair.countHere, made.size], [1, 300, 300]);
  assert.is(new Set(pair.slices.map(({ batch }) => batch)).size, 3);
  assert.ok(busy.longest <= 28, `${busy.longest} ms`);
});

test('CA3, GI1: a claim that is over, or has a later one after it, is given nothing more', async () => {
  const { pair, hand, made } = slowly({
    entities: [
      [0, 100],
      [1, 100],
    ],
    imageMs: 20,
  });
  await hand.advance(500);
  assert.ok(made.size > 10 && made.size < 100, `${made.size} images`);
  pair.fetching.close();
  for (const partition of [0, 1])
    pair.outgoing.boarded({ kind: 'boarded', id: 'b-1', partition, epoch: 3, batch: 0, except: [] });
  const count = made.size;
  await hand.advance(5_000);
  assert.equal([made.size - count <= 1, pair.slices.some(({ bytes }) => bytes.length > 0)], [true, false]);
  assert.equal(
    pair.images.offers(0, partitionOf).map(({ givenTo }) => givenTo.length),
    new Array(100).fill(0),
  );
});

test('CA3, GI1: a claim that a later one comes after while it waits for its turn gets nothing', async () => {
  const { pair, hand } = slowly({ entities: [[0, 100]], imageMs: 20 });
  await hand.advance(500);
  for (let key = 0; key < 3; key++) pair.put(`room/1-${key}`, 10);
  pair.fetching.begin([claimOf(1)], () => false);
  await hand.advance(100);
  pair.yields = (partition) => partition !== 1;
  await hand.advance(2_500);
  assert.equal(pair.countHere, 100);
  assert.equal(
    pair.slices.some(({ partition, bytes }) => partition === 1 && bytes.length > 0),
    false,
  );
  assert.equal(pair.fetched.find(({ claim }) => claim.partition === 1)?.batches.size, 0);
});

test('CA3: a sending that is under way ends where the giver has boarded by a later claim itself', async () => {
  const pair = new Pair({});
  pair.passes = (message) => message.kind !== 'carried' || message.index < 5;
  pair.begin();
  await pair.hand.advance(50);
  assert.ok(pair.slices.length > 0 && pair.fetched.length === 0);
  pair.yields = () => false;
  pair.passes = () => true;
  pair.slices.length = 0;
  await pair.hand.advance(200);
  assert.equal([pair.slices.length, pair.fetched.length, pair.countHere], [0, 1, 0]);
  assert.equal([pair.fetched[0]?.answered.size, pair.fetched[0]?.batches.size], [1, 0]);
});

test('FE4: what was read of a partition is not taken where a view has it asked for anew meanwhile', async () => {
  const kept: Slice[] = [];
  const pair = new Pair({ entities: [[0, 3]], readSteps: { ms: 1_000, count: 1 } });
  pair.passes = (message) => message.kind !== 'carried' || kept.push(message) < 0;
  pair.begin();
  await pair.hand.advance(5);
  for (const slice of kept) pair.fetching.carried(slice);
  // One of three images is read by now.
  pair.fetching.follow([0]);
  while (pair.hand.step());
  assert.is(pair.fetched.length, 0);
  pair.passes = () => true;
  await pair.hand.advance(200);
  assert.equal([pair.fetched.length, pair.countHere], [1, 3]);
});

test('FE4: who says something while the rest is read without it has not answered', async () => {
  const pair = new Pair({ bytes: 300, readSteps: { ms: 1_000, count: 1 } });
  pair.passes = (message) => message.kind !== 'carried' || message.index < 3;
  const { error } = pair.hand.log;
  const late = (details: object, message: string) => {
    error(details, message);
    pair.fetching.bare('a-1', [0], 1_000);
  };
  Object.assign(pair.hand.log, { error: late });
  pair.begin();
  await pair.hand.advance(5_000);
  assert.equal([pair.fetched.length, pair.fetched[0]?.answered.size, pair.errors().length], [1, 0, 1]);
});

test('SE1: what there was no room for is not marked as given', async () => {
  const pair = new Pair({ limits: { imagesBytesMax: 5_000 } });
  pair.begin();
  await pair.hand.advance(100);
  const given = pair.images.offers(0, partitionOf).map(({ givenTo }) => givenTo.length);
  assert.is(given.filter((count) => count === 1).length, 28);
  assert.is(given.filter((count) => count === 0).length, 2);
});

test.run();
