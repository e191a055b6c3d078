/**
 * Images of volatile entities between workers that lose, double and delay what they say, forget and end: which of them is the entity.
 *
 * Longer than 400 lines because a model of a whole cluster stands beside what it shows.
 */

import { ImageFetching, type Want } from '../../runtime/cluster/image-fetching.ts';
import type { Fetched } from '../../runtime/cluster/image-unloading.ts';
import { Outgoing } from '../../runtime/cluster/outgoing.ts';
import type { Claim, Partition } from '../../runtime/store.ts';
import { Chance } from '../../runtime/testing/index.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import type { ControlMessage } from '../../runtime/wire/control-messages.ts';
import { type Carried, type Offer, OfferReader, Slices } from '../../runtime/worker/image-format.ts';
import { isUsable, laterOf, type Receiver, VolatileImages } from '../../runtime/worker/volatile-images.ts';
import type { Worker } from '../../runtime/worker/worker.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('volatile images');

const home = 0;
const addresses = ['room/0', 'room/1', 'room/2'];
const pinnedPartition = (address: string) => 10 + addresses.indexOf(address);
const partitions = [home, ...addresses.map(pinnedPartition)];

/** Who has what: of those that are there the home's owner, and the pins. */
interface Scene {
  readonly version: number;
  readonly ids: readonly string[];
  readonly owner: string;
  readonly pins: ReadonlyMap<string, string>;
}

function ownerOf({ owner, pins, ids }: Scene, partition: Partition): string {
  const address = addresses.find((one) => pinnedPartition(one) === partition) ?? '';
  const pinned = pins.get(address);
  return pinned !== undefined && ids.includes(pinned) ? pinned : owner;
}

const partitionIn = ({ pins }: Pick<Scene, 'pins'>, address: string) =>
  pins.has(address) ? pinnedPartition(address) : home;

/** What is told of an entity: each turn makes a content of the one before. */
interface Run {
  readonly partition: Partition;
  readonly epoch: number;
  version: number;
  content: number;
}

interface Odds {
  readonly drop: number;
  readonly duplicate: number;
  readonly delay: number;
  readonly crash: number;
  /** Of slices that are sent at one moment, only so many get through. */
  readonly burstCountMax?: number;
  /** Of a slice, and of what goes out by one ask. */
  readonly sliceBytes?: number;
  readonly windowBytesMax?: number;
  /** The store goes back to what it was some steps ago. */
  readonly rollback: number;
}

/** Store, network, and what must not be: a content that two turns were made of, or an entity that begins anew. */
class World {
  readonly hand = new HandEnvironment();
  readonly chance: Chance;
  readonly odds: Odds;
  readonly nodes = new Map<string, Node>();
  scene: Scene;
  #epochs = new Map<Partition, { epoch: number; claimed: number; owner: string | undefined }>();
  #clock = 1_000_000;
  #contents = 0;
  readonly #followed = new Set<number>();
  readonly begun = new Map<string, number>();
  readonly wrong: string[] = [];
  pins: ReadonlyMap<string, string> = new Map();
  #kept: (() => void) | undefined;
  crashes = 0;
  #sliced = { at: 0, count: 0 };
  /** Slices for which there was no room. */
  excessCount = 0;

  constructor(seed: number, odds: Odds) {
    this.chance = new Chance(seed, 'carriage');
    this.odds = odds;
    const ids = ['a', 'b', 'c', 'd'];
    this.scene = { version: 1, ids, owner: 'a', pins: this.pins };
    for (const id of ids) this.nodes.set(id, new Node(this, id));
  }

  send(to: string, message: ControlMessage): void {
    const { chance, odds } = this;
    if (chance.hits(odds.drop)) return;
    if (message.kind === 'carried' && this.#burst() > (odds.burstCountMax ?? Number.POSITIVE_INFINITY)) return;
    for (let copies = chance.hits(odds.duplicate) ? 2 : 1; copies > 0; copies--) {
      const ms = chance.hits(odds.delay) ? chance.between(50, 400) : chance.between(0, 3);
      this.hand.after(ms, () => this.nodes.get(to)?.receive(message));
    }
  }

  /** Slices of this moment. */
  #burst(): number {
    const now = this.hand.steady();
    const count = this.#sliced.at === now ? this.#sliced.count + 1 : 1;
    this.#sliced = { at: now, count };
    if (count > (this.odds.burstCountMax ?? Number.POSITIVE_INFINITY)) this.excessCount += 1;
    return count;
  }

  claim(partition: Partition, owner: string): Claim {
    const { epoch: previous = 0, claimed = 0, owner: before } = this.#epochs.get(partition) ?? {};
    const epoch = ++this.#clock;
    this.#epochs.set(partition, { epoch, claimed: epoch, owner });
    const pins = [...this.pins].map(([address, worker]) => ({ address, worker }));
    return { partition, epoch, previous, claimed, mark: 0, before, pins };
  }

  /** What the store holds now, for a while. */
  keep(): void {
    const [epochs, pins] = [new Map(this.#epochs), this.pins];
    this.#kept = () => {
      this.#epochs = new Map(epochs);
      this.pins = pins;
    };
  }

  /** Whoever had more connects anew, and looks. */
  goBack(): void {
    if (this.#kept === undefined) return;
    this.#kept();
    this.hand.after(this.chance.between(0, 100), () => this.show({}));
    for (const node of this.nodes.values()) this.hand.after(this.chance.between(0, 30), () => node.verify());
  }

  epochOf(partition: Partition): number {
    return this.#epochs.get(partition)?.epoch ?? 0;
  }

  pin(address: string, worker: string | undefined): void {
    const pins = new Map(this.pins);
    if (worker === undefined) pins.delete(address);
    else pins.set(address, worker);
    this.pins = pins;
    for (const partition of [home, pinnedPartition(address)]) {
      const { claimed = 0, owner } = this.#epochs.get(partition) ?? {};
      this.#epochs.set(partition, { epoch: ++this.#clock, claimed, owner });
    }
    this.hand.after(this.chance.between(0, 100), () => this.show({}));
  }

  /** A later view, which each hears in its time. */
  show(changes: Partial<Pick<Scene, 'ids' | 'owner'>>): void {
    this.scene = { ...this.scene, ...changes, version: this.scene.version + 1, pins: this.pins };
    const { scene } = this;
    for (const node of this.nodes.values()) this.hand.after(this.chance.between(0, 80), () => node.follow(scene));
  }

  crash(id: string): void {
    this.crashes += 1;
    this.nodes.get(id)?.fetching.close();
    this.nodes.delete(id);
    const next = `${id[0]}${this.crashes}`;
    this.hand.after(200, () => {
      const ids = [...this.scene.ids.filter((one) => one !== id), next];
      this.show({ ids, owner: this.scene.owner === id ? next : this.scene.owner });
      this.nodes.set(next, new Node(this, next));
    });
  }

  turnOf(address: string, content: number): number {
    if (content === 0) {
      const count = (this.begun.get(address) ?? 0) + 1;
      this.begun.set(address, count);
      if (count > 1 && this.crashes === 0) this.wrong.push(`${address} begins anew`);
    } else if (this.#followed.has(content)) this.wrong.push(`${address} goes on from ${content} a second time`);
    this.#followed.add(content);
    this.#contents += 1;
    return this.#contents;
  }
}

/** What a worker is for volatile entities: whose partitions it claims, and what runs by them. */
class Node {
  readonly #world: World;
  readonly id: string;
  #scene: Scene;
  readonly images: VolatileImages;
  readonly fetching: ImageFetching;
  readonly #outgoing: Outgoing;
  readonly #coming = new Set<Partition>();
  readonly #claims = new Map<Partition, Claim>();
  readonly #running = new Map<string, Run>();

  constructor(world: World, id: string) {
    this.#world = world;
    this.id = id;
    this.#scene = world.scene;
    const sendControl = (to: string, one: ControlMessage) => world.send(to, one);
    this.images = new VolatileImages(world.hand, { carryMs: 30_000 }, { name: id, partitions: 1 });
    this.fetching = new ImageFetching({
      id,
      environment: world.hand,
      others: () => this.#scene.ids.filter((one) => one !== id),
      ask: (to, wants, ask) => this.#ask(to, wants, ask),
      sendControl,
      isWanted: () => true,
      stepLimits: { ms: 1, count: 1 },
      fetched: (all) => {
        for (const one of all) this.#take(one);
      },
    });
    const worker = {
      images: this.images,
      yieldTo: (claims: readonly { partition: Partition; epoch: number }[]) => {
        for (const { partition, epoch } of claims)
          if ((this.#claims.get(partition)?.epoch ?? epoch) < epoch) this.lose(partition);
        return new Set(claims.map(({ partition }) => partition).filter((partition) => !this.#claims.has(partition)));
      },
      offersOf: (partition: Partition) => this.#offersOf(partition),
      hasOffersOf: (partition: Partition) => this.#offersOf(partition).length > 0,
    };
    this.#outgoing = new Outgoing({
      environment: world.hand,
      sendingLimits: { windowBytesMax: world.odds.windowBytesMax ?? 4_194_304, imagesBytesMax: 1_000_000 },
      id,
      name: id,
      worker: () => worker as unknown as Worker,
      sendControl,
      signalBytesMax: () => 4_096 + (world.odds.sliceBytes ?? 60),
      workerOf: (partition) => ownerOf(this.#scene, partition),
      viewVersion: () => this.#scene.version,
      // Every image a step of its own, and what else there is comes in between.
      stepLimits: { ms: 1, count: 1 },
    });
    this.seek();
  }

  #offersOf(partition: Partition) {
    return this.images.offers(partition, (address) => partitionIn(this.#scene, address));
  }

  #ask(to: string, wants: readonly Want[], ask: number): void {
    const [ids, epochs] = [wants.map(({ partition }) => partition), wants.map(({ epoch }) => epoch)];
    const [batches, slices] = [wants.map(({ batch }) => batch), wants.map(({ slice }) => slice)];
    const view = this.#scene as never;
    this.#world.send(to, { kind: 'fetch', id: this.id, view, partitions: ids, epochs, ask, batches, slices });
  }

  receive(message: ControlMessage): void {
    if (this.#world.nodes.get(this.id) !== this) return;
    if (message.kind === 'view') this.follow(message.view as never);
    else if (message.kind === 'fetch') {
      this.follow(message.view as never);
      const view = this.#scene as never;
      if (this.#scene.version > message.view.version) this.#world.send(message.id, { kind: 'view', view, sent: 0 });
      else this.#outgoing.fetched(message);
    } else if (message.kind === 'bare') this.fetching.bare(message.id, message.partitions, message.ask);
    else if (message.kind === 'carried') this.fetching.carried(message);
    else if (message.kind === 'boarded') this.#outgoing.boarded(message);
    else if (message.kind === 'settled') this.fetching.settled(message);
  }

  follow(scene: Scene): void {
    if (scene.version <= this.#scene.version || this.#world.nodes.get(this.id) !== this) return;
    const before = this.#scene;
    this.#scene = scene;
    const moved = addresses.filter((address) => before.pins.has(address) !== scene.pins.has(address));
    for (const address of moved) this.lose(partitionIn(scene, address));
    for (const [address, { partition }] of this.#running)
      if (partitionIn(scene, address) !== partition) this.#end(address);
    for (const partition of this.#coming)
      if (!this.#isMine(partition) && this.fetching.has(partition)) {
        this.fetching.abandon(partition);
        this.#coming.delete(partition);
      }
    this.fetching.follow(moved.flatMap((address) => [home, pinnedPartition(address)]));
    this.seek();
  }

  #isMine(partition: Partition): boolean {
    const isThere =
      partition === home || addresses.some((one) => this.#scene.pins.has(one) && pinnedPartition(one) === partition);
    return isThere && ownerOf(this.#scene, partition) === this.id;
  }

  /** What was claimed by an epoch that is over is claimed again. */
  seek(): void {
    for (const partition of partitions) {
      if (!this.#isMine(partition) || this.#coming.has(partition) || this.#claims.has(partition)) continue;
      this.#coming.add(partition);
      this.#world.hand.after(this.#world.chance.between(0, 30), () => this.#claim(partition));
    }
  }

  #claim(partition: Partition): void {
    const claim = this.#world.claim(partition, this.id);
    this.#world.hand.after(this.#world.chance.between(0, 20), () => {
      if (this.#world.nodes.get(this.id) !== this) return;
      if (this.#isMine(partition)) this.fetching.begin([claim], () => false);
      else this.#coming.delete(partition);
    });
  }

  #take(fetched: Fetched): void {
    const { claim, offers, answered } = fetched;
    const { partition } = claim;
    this.#coming.delete(partition);
    this.#claims.set(partition, claim);
    const isHere = ({ carried: { address } }: Offer) => this.#mayRun(address) === partition;
    const own = this.#offersOf(partition);
    const heard = { ids: new Set([...answered, this.id]), names: new Set([...answered, this.id]) };
    for (const address of this.images.board(claim, [...own, ...offers].filter(isHere), heard))
      this.#start(address, partition);
    this.fetching.boarded(
      fetched,
      offers.filter((offer) => !isHere(offer)).map(({ carried }) => carried.address),
    );
    if (answered.size > 0) this.#world.hand.after(this.#world.chance.between(0, 30), () => this.verify());
  }

  /** By which partition an entity runs here; undefined: by none. */
  #mayRun(address: string): Partition | undefined {
    const partition = partitionIn(this.#scene, address);
    const claim = this.#claims.get(partition);
    const isPinned = claim?.pins.some((pin) => pin.address === address);
    return claim !== undefined && isPinned === partition >= 10 ? partition : undefined;
  }

  #start(address: string, partition: Partition): Run {
    const carried = this.images.get(address);
    const { epoch = 0 } = this.#claims.get(partition) ?? {};
    const version = Math.max(carried?.loaded.version ?? 0, epoch * 1_000);
    const run = { partition, epoch, version, content: carried?.loaded.wakeAt ?? 0 };
    this.images.settled(address);
    this.#running.set(address, run);
    return run;
  }

  call(address: string): void {
    const partition = this.#mayRun(address);
    if (partition === undefined) return;
    const run = this.#running.get(address) ?? this.#start(address, partition);
    run.version += 1;
    run.content = this.#world.turnOf(address, run.content);
  }

  verify(): void {
    for (const [partition, { epoch }] of this.#claims)
      if (this.#world.epochOf(partition) !== epoch) this.lose(partition);
    this.seek();
  }

  lose(partition: Partition): void {
    if (!this.#claims.delete(partition)) return;
    for (const [address, run] of this.#running) if (run.partition === partition) this.#end(address);
  }

  #end(address: string): void {
    const run = this.#running.get(address);
    if (run === undefined) return;
    this.#running.delete(address);
    this.images.put(imageOf(address, { ...run, version: run.version + 16 }));
  }
}

function imageOf(address: string, { partition, epoch, version, content }: Run): Carried {
  const loaded = { version, head: new Uint8Array([1]), wakeAt: content, records: [] };
  return { address, loaded, activities: [], partition, epoch, isComplete: true };
}

function slicesOf(offers: readonly Offer[], sliceBytes: number): Uint8Array[] {
  const slices = new Slices(sliceBytes);
  for (const offer of offers) slices.add(offer, 1_000_000);
  return Array.from({ length: slices.count }, (_, index) => slices.slice(index));
}

function offersIn(slices: readonly Uint8Array[], name: string): Offer[] {
  const reader = new OfferReader(slices, name);
  while (reader.read());
  return reader.offers;
}

async function live(seed: number, odds: Odds): Promise<World> {
  const world = new World(seed, odds);
  const { hand, chance } = world;
  await hand.advance(200);
  for (let step = 0; step < 150; step++) {
    const address = chance.pick(addresses);
    const ids = [...world.nodes.keys()];
    if (chance.hits(0.25)) world.pin(address, chance.hits(0.4) ? undefined : chance.pick(ids));
    if (chance.hits(0.1)) world.show({ owner: chance.pick(ids) });
    if (chance.hits(odds.crash) && ids.length > 2) world.crash(chance.pick(ids));
    if (odds.rollback > 0 && step % 10 === 0) world.keep();
    if (chance.hits(odds.rollback)) world.goBack();
    for (const node of [...world.nodes.values()]) {
      for (const one of addresses) node.call(one);
      if (chance.hits(0.2)) node.verify();
    }
    await hand.advance(chance.between(1, 120));
  }
  return world;
}

const quiet: Odds = { drop: 0, duplicate: 0, delay: 0, crash: 0, rollback: 0 };
for (const [what, odds] of Object.entries({
  'a sound network': quiet,
  'a network that loses, doubles and delays': { ...quiet, drop: 0.1, duplicate: 0.1, delay: 0.2 },
  'a network that drops what is more than it has room for': {
    ...quiet,
    drop: 0.02,
    duplicate: 0.02,
    delay: 0.02,
    burstCountMax: 2,
    sliceBytes: 12,
    windowBytesMax: 48,
  },
  'workers that end': { ...quiet, drop: 0.3, duplicate: 0.1, delay: 0.2, crash: 0.05 },
  'a store that goes back': { ...quiet, drop: 0.1, duplicate: 0.1, delay: 0.2, rollback: 0.1 },
  'workers that end and a store that goes back': { drop: 0.3, duplicate: 0.1, delay: 0.2, crash: 0.05, rollback: 0.1 },
}))
  test(`CA1, CA2, CA3, FE1, FE2: over ${what} no image is the beginning of two stays, and without a crash none is lost`, async () => {
    let [begun, excess] = [0, 0];
    for (let seed = 1; seed <= 40; seed++) {
      const { wrong, begun: counts, excessCount } = await live(seed, odds);
      excess += excessCount;
      assert.equal([seed, wrong.slice(0, 3)], [seed, []]);
      for (const count of counts.values()) begun += count;
    }
    assert.ok(begun >= 100 && excess > 100 === 'burstCountMax' in odds, `${begun} begun, ${excess} dropped`);
  });

const offerOf = (version: number, more: Partial<Offer> = {}): Offer => ({
  carried: imageOf('room/0', { partition: home, epoch: 7, version, content: version }),
  name: 'a',
  givenTo: [],
  isForsaken: false,
  ...more,
});

test('CA2: of two images the later is the entity, and of copies of one that of who got it last, and may have given it away', () => {
  const [early, given] = [offerOf(7), offerOf(8)];
  const boarded = { ...given.carried, epoch: given.carried.epoch + 1 };
  const late = offerOf(8, { carried: boarded, givenTo: ['b-1', 'c-1'] });
  for (const [one, other] of [
    [early, late],
    [early, given],
    [late, given],
  ] as const) {
    const expected = one === early ? other : one;
    assert.is(laterOf(one, other), expected);
    assert.is(laterOf(other, one), expected);
  }
});

test('CA2: an image is used if all who were given it have answered, and who had the partition kept it or has answered', () => {
  const heard = { ids: new Set(['b-1', 'c-1']), names: new Set(['b', 'c']) };
  const isUsed = (offer: Offer, before: string | undefined, partition = home, claimed = 7) =>
    isUsable(offer, { partition, claimed, before }, heard);
  const [plain, forsaken] = [offerOf(7), offerOf(7, { isForsaken: true })];
  assert.equal(
    ['a', 'b', 'gone', undefined].map((before) => [isUsed(plain, before), isUsed(forsaken, before)]),
    [
      [true, true],
      [true, false],
      [false, false],
      [false, false],
    ],
  );
  // It was pinned meanwhile: nobody else had what it ran by.
  assert.ok(isUsed(plain, 'gone', 10));
  assert.ok(isUsed(offerOf(7, { givenTo: ['b-1', 'c-1'] }), 'a'));
  assert.not.ok(isUsed(offerOf(7, { givenTo: ['b-1', 'd-1'] }), 'a'));
  assert.not.ok(isUsed(offerOf(7, { givenTo: ['d-1'] }), 'gone', 10));
  // The store went back to before it ran: who had the partition since it does not know, and notes do.
  assert.ok(isUsed(plain, 'gone', home, 6) && isUsed(plain, undefined, home, 0));
  assert.not.ok(isUsed(plain, 'gone', home, 8));
  assert.not.ok(isUsed(forsaken, 'gone', home, 6));
  assert.not.ok(isUsed(offerOf(7, { givenTo: ['d-1'] }), 'gone', home, 6));
});

test('CA3: a claim that is over gets nothing more, and what it did not take is free again', () => {
  const hand = new HandEnvironment();
  const images = new VolatileImages(hand, { carryMs: 30_000 }, { name: 'a', partitions: 1 });
  for (const address of addresses) images.put(imageOf(address, { partition: home, epoch: 2, version: 7, content: 7 }));
  const offers = () => images.offers(home, () => home);
  const [one, other] = ['b-1', 'c-1'].map((id) => ({ id, partition: home, epoch: 3, batch: 1 })) as [
    Receiver,
    Receiver,
  ];
  assert.ok(images.give(offers(), one) && images.give(offers(), other));
  // What of the first sending was asked for again.
  assert.ok(images.give(offers().slice(1), { ...one, batch: 2 }));
  images.boarded({ ...one, batch: 2 }, ['room/2']);
  assert.equal(
    offers().map(({ carried, givenTo }) => [carried.address, givenTo]),
    [
      ['room/0', ['c-1']],
      ['room/2', ['c-1']],
    ],
  );
  assert.not.ok(images.give(offers(), { ...one, batch: 3 }));
  images.boarded({ ...other, batch: 0 }, []);
  assert.equal(
    offers().map(({ givenTo }) => givenTo),
    [[], []],
  );
  hand.setClock(-60_000);
  images.sweep(
    () => home,
    () => false,
  );
  assert.is(images.count, 2);
});

test('CA2: an image crosses with the epoch by which it ran, and one that does not say it ran at any time', () => {
  const offer = offerOf(7, { givenTo: ['b-1'], isForsaken: true });
  const slices = slicesOf([offer], 10);
  assert.ok(slices.length > 2 && slices.every(({ length }) => length <= 10));
  assert.equal(offersIn(slices, 'a'), [offer]);
  const [rows] = [decode(Buffer.concat(slices)) as unknown[][]];
  const before = encode(rows.map((row) => row.slice(0, 5)));
  assert.equal(offersIn([before], 'a'), [{ ...offer, carried: { ...offer.carried, epoch: 0 } }]);
});

test('CA2: what is boarded is of the claim that boarded it, whether it ran since or not', () => {
  const images = new VolatileImages(new HandEnvironment(), { carryMs: 30_000 }, { name: 'b', partitions: 1 });
  const claim: Claim = { partition: home, epoch: 9, previous: 7, claimed: 7, mark: 0, before: 'a', pins: [] };
  const pinned = imageOf('room/0', { partition: 10, epoch: 8, version: 7, content: 7 });
  const heard = { ids: new Set(['b']), names: new Set(['b']) };
  assert.equal(images.board(claim, [offerOf(7, { carried: pinned })], heard), ['room/0']);
  const { partition, epoch, address, loaded, isComplete } = images.get('room/0') ?? pinned;
  assert.equal([partition, epoch, address, loaded, isComplete], [home, 9, 'room/0', pinned.loaded, true]);
});

test('CA3: an earlier claim gets nothing of what a later one has boarded, though it does not run yet', () => {
  const environment = new HandEnvironment();
  const images = new VolatileImages(environment, { carryMs: 30_000 }, { name: 'a', partitions: 1 });
  const sent: string[] = [];
  const outgoing = new Outgoing({
    id: 'a',
    name: 'a',
    environment,
    worker: () =>
      ({
        images,
        yieldTo: ([claim]: readonly { partition: Partition; epoch: number }[]) =>
          new Set(claim !== undefined && claim.epoch > 7 ? [home] : []),
        offersOf: () => images.offers(home, () => home),
        hasOffersOf: () => true,
      }) as never,
    sendControl: (_, { kind }) => void sent.push(kind),
    signalBytesMax: () => 100_000,
    workerOf: () => 'b',
    viewVersion: () => 0,
  });
  images.put(imageOf('room/0', { partition: home, epoch: 7, version: 7, content: 7 }));
  const asked = { kind: 'fetch', id: 'b', view: {} as never, partitions: [home], batches: [0], slices: [0] } as const;
  for (const epoch of [6, 8]) outgoing.fetched({ ...asked, epochs: [epoch], ask: epoch });
  assert.equal(sent, ['bare', 'carried']);
});

test.run();
