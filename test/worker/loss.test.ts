/**
 * Lost history, as a worker deals with it: what is dropped, what is said of it, and what no loss can repeat.
 *
 * Longer than 400 lines because each way in which history is lost is here, with the stores that lose it.
 */
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { behaviour, command, effect, entity, query, settled, type Turn, unchecked } from '../../core/index.ts';
import { partitionOf } from '../../placement/hash.ts';
import { embed } from '../../runtime/embed.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import type { Commit } from '../../runtime/store.ts';
import { compactLmdb, openLmdb } from '../../runtime/stores/lmdb/store.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { type Fault, GateStore } from '../support/gate.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { watch, withTallies } from '../support/tally.ts';

const test = suite('loss');

test('P8, LR1: what a store loses is dropped from memory where that is found, and said once for all partitions', () =>
  withTallies({}, async ({ hand, gate, cluster, tally, during }) => {
    const keys = ['a', 'b', 'c', 'd'];
    for (const key of keys) await during(tally(key).add(1));
    const [worker] = cluster.workers;
    assert.ok(worker);
    const lost = new Set(keys.map((key) => partitionOf(`tally/${key}`, gate.partitions)));
    for (const partition of lost)
      for (const tell of [...gate.tells]) tell({ partition, epoch: worker.ownership.epochOf(partition), commits: 2 });
    for (const key of keys) assert.not.ok(worker.isActive(`tally/${key}`), 'it is gone before anything else happens');
    await hand.advance(5_000);
    const said = hand.logged.filter(({ message }) => message.includes('(P8)'));
    assert.equal(
      said.map(({ details }) => details),
      [{ worker: worker.name, partitions: [...lost], commits: 2 * lost.size, entities: keys.length }],
    );
    for (const key of keys) assert.is(await during(tally(key).add(1)), 2, 'it is claimed again, and read');
  }));

test('P8: a loss of an earlier claim says nothing of the present one', () =>
  withTallies({}, async ({ hand, gate, cluster, tally, during }) => {
    await during(tally('a').add(1));
    const [worker] = cluster.workers;
    const partition = partitionOf('tally/a', gate.partitions);
    for (const tell of [...gate.tells]) tell({ partition, epoch: 0, commits: 2 });
    await hand.advance(5_000);
    assert.ok(worker?.isActive('tally/a'));
    assert.not.ok(hand.logged.some(({ message }) => message.includes('(P8)')));
  }));

test('P8: a loss of a later claim, which does not run yet, is one of the memory of the claim before', () =>
  withTallies({}, async ({ gate, cluster, tally, during }) => {
    await during(tally('a').add(1));
    const [worker] = cluster.workers;
    assert.ok(worker);
    const partition = partitionOf('tally/a', gate.partitions);
    const epoch = worker.ownership.epochOf(partition) + 1;
    for (const tell of [...gate.tells]) tell({ partition, epoch, commits: 2 });
    assert.not.ok(worker.isActive('tally/a'), 'what the store has again of that epoch proves nothing');
    assert.is(await during(tally('a').add(1)), 2);
  }));

/** One that takes one group at a time, as those do that may go back. */
class OneAtATime extends GateStore {
  override readonly groupsAtOnce = 1;
  #underWay = 0;
  most = 0;

  override async commit(...given: Parameters<GateStore['commit']>): ReturnType<GateStore['commit']> {
    this.#underWay += 1;
    this.most = Math.max(this.most, this.#underWay);
    return super.commit(...given).finally(() => {
      this.#underWay -= 1;
    });
  }
}

test('G4, P8: a commit that ends a doubt waits for the group that is under way', async () => {
  const gate = new OneAtATime(new MemoryStore({ partitions: 16 }));
  await withTallies({ gate }, async ({ hand, tally }) => {
    gate.faults.commit.push('lost after');
    const lost = watch(tally('a').add(1));
    await hand.advance(20);
    const open = gate.holdCommits();
    const other = watch(tally('b').add(1));
    await hand.advance(2_000);
    open();
    await hand.advance(5_000);
    assert.equal([lost.value, other.value, gate.most], [1, 1, 1]);
  });
});

test('HO1, G4: a commit that ends a doubt is not sent once its partition was given away while it waited', async () => {
  const gate = new OneAtATime(new MemoryStore({ partitions: 16 }));
  await withTallies({ gate }, async ({ hand, tally, cluster }) => {
    gate.faults.commit.push('lost after');
    watch(tally('a').add(1));
    await hand.advance(20);
    const open = gate.holdCommits();
    watch(tally('b').add(1));
    await hand.advance(1_000);
    const before = gate.commits.length;
    const giving = watch(
      cluster.workers[0]?.give([partitionOf('tally/a', 16)]) ?? Promise.reject(new Error('no worker')),
    );
    await hand.advance(10);
    assert.ok(giving.isSettled);
    open();
    await hand.advance(1_000);
    const after = gate.commits.slice(before).flat();
    assert.equal(
      after.filter(({ address }) => address === 'tally/a'),
      [],
    );
  });
});

const Order = entity('order', {
  initial: () => ({ paid: 0 }),
  operations: { pay: command(unchecked<number>()) },
});

/** An app that pays by an effect, and what the provider was given: key and payment. */
function payments() {
  const paid: (readonly [string, number])[] = [];
  const pay = effect('pay', async (id: number, { idempotencyKey }) => void paid.push([idempotencyKey, id]));
  const order = behaviour(
    Order,
    {
      pay: (turn: Turn<typeof Order>, id: number) => turn.perform(pay, id),
    },
    {
      effects: [
        settled(Order, pay, (turn) => {
          turn.state.paid += 1;
        }),
      ],
    },
  );
  return { paid, order };
}

const Book = entity('book', {
  initial: () => ({ notes: [] as number[] }),
  operations: { note: command(unchecked<number>()), notes: query(unchecked<readonly number[]>()) },
});
const Herald = entity('herald', {
  initial: () => ({}),
  operations: { tell: command(unchecked<number>()), tellLater: command(unchecked<number>()) },
});
const book = behaviour(Book, {
  note(turn, n) {
    turn.state.notes.push(n);
  },
  notes: ({ state }) => [...state.notes],
});
const heraldOf = (durability: 'none' | 'turn' | { intervalMs: number }) =>
  behaviour(
    Herald,
    {
      tell: (turn, n) => turn.to(Book, 'b').note(n),
      tellLater: (turn, n) => turn.to(Book, 'b', { afterMs: 1_000 }).note(n),
    },
    { durability },
  );

for (const durability of ['none', { intervalMs: 300 }, 'turn'] as const)
  test(`A6, P7: what an entity of durability ${JSON.stringify(durability)} sends after a crash, or a stay outside memory, comes once and in order`, async () => {
    const hand = new HandEnvironment();
    const store = new MemoryStore({ partitions: 4 });
    const behaviours = [book, heraldOf(durability)];
    let n = 0;
    for (const end of ['leave memory', 'crash', 'crash', 'crash']) {
      const starting = embed({
        behaviours,
        store,
        environment: hand,
        limits: { idleMs: 60_000, closeIdleMs: 600_000 },
      });
      await hand.advance(10);
      const cluster = await starting;
      const during = async <Value>(promise: Promise<Value>) => {
        const settled = watch(promise);
        await hand.advance(50);
        return settled.value as Value;
      };
      for (const pause of [400, 0, 0]) {
        await during(cluster.entity(Herald, 'a').tell(++n));
        await hand.advance(pause);
      }
      if (end === 'leave memory') {
        await hand.advance(80_000);
        assert.not.ok(cluster.workers[0]?.isActive('herald/a'));
        for (let more = 0; more < 3; more++) await during(cluster.entity(Herald, 'a').tell(++n));
      }
      await hand.advance(2_000);
      assert.equal(
        await during(cluster.entity(Book, 'b').notes()),
        Array.from({ length: n }, (_, at) => at + 1),
      );
      cluster.workers[0]?.stop();
    }
  });

type HeraldFault = Fault | 'stuck';

/** Where the next writes of the herald fail, or do not end; what else is in their groups is written. */
class HeraldFaults extends GateStore {
  override readonly groupsAtOnce = 2;
  readonly next: HeraldFault[] = [];

  override async commit(group: readonly Commit[]): ReturnType<GateStore['commit']> {
    const others = group.filter(({ address }) => address !== 'herald/a');
    const fault = others.length < group.length ? this.next.shift() : undefined;
    if (fault === undefined) return super.commit(group);
    if (fault === 'stuck') return super.commit(others).then(() => new Promise(() => undefined));
    this.faults.commit.push(fault);
    return super.commit(group);
  }
}

async function withHerald(hand: HandEnvironment, gate: GateStore) {
  return hand.during(embed({ behaviours: [book, heraldOf({ intervalMs: 600 })], store: gate, environment: hand }));
}

/** A herald that is written once its delayed message is set: it comes 100 ms later. Then its worker ends, and another comes. */
async function delayed(untilEndMs: number, end: 'stop' | 'close', fault?: HeraldFault): Promise<number> {
  const hand = new HandEnvironment();
  const gate = new HeraldFaults(new MemoryStore({ partitions: 4 }));
  const first = await withHerald(hand, gate);
  await hand.during(first.entity(Herald, 'a').tellLater(1));
  await hand.advance(900);
  assert.is(gate.commits.flat().filter(({ address }) => address === 'herald/a').length, 1, 'it is written');
  if (fault !== undefined) gate.next.push(fault);
  // What other turns send goes at once, and takes nothing along that has to wait.
  for (let ms = 0; ms < untilEndMs; ms += 10) {
    watch(first.entity(Herald, 'a').tell(-1));
    await hand.advance(10);
  }
  if (end === 'stop') first.workers[0]?.stop();
  else await hand.during(first.close());
  const second = await withHerald(hand, gate);
  await hand.advance(60_000);
  const notes = await hand.during(second.entity(Book, 'b').notes());
  second.workers[0]?.stop();
  return notes.filter((n) => n === 1).length;
}

test('V3, P4: a delayed message of an entity of durability interval comes at most once, whenever its worker crashes', async () => {
  for (const fault of [undefined, 'refused', 'lost before', 'lost after', 'stuck'] as const)
    for (const untilEndMs of [0, 50, 90, 100, 110, 120, 150, 300, 320, 700, 1_500]) {
      const count = await delayed(untilEndMs, 'stop', fault);
      assert.ok(count <= 1, `${fault} ${untilEndMs} ms: ${count} times`);
    }
});

test('V3, CA1: a delayed message of an entity of durability interval comes once, whenever its worker ends in order', async () => {
  for (const fault of [undefined, 'refused', 'lost before', 'lost after'] as const)
    for (const untilEndMs of [0, 90, 100, 110, 150, 700, 1_500])
      assert.is(await delayed(untilEndMs, 'close', fault), 1, `${fault} ${untilEndMs} ms`);
});

test('V3, C2: a call that waits behind a delayed message is answered though their write is refused, and both arrive', async () => {
  const hand = new HandEnvironment();
  const gate = new HeraldFaults(new MemoryStore({ partitions: 4 }));
  const cluster = await withHerald(hand, gate);
  await hand.during(cluster.entity(Herald, 'a').tellLater(1));
  await hand.advance(900);
  const open = gate.holdCommits();
  gate.next.push('refused');
  await hand.advance(150);
  const call = watch(cluster.entity(Herald, 'a').tell(2));
  await hand.advance(10);
  assert.not.ok(call.isSettled);
  open();
  await hand.advance(2_000);
  assert.is(call.error, undefined);
  assert.equal(await hand.during(cluster.entity(Book, 'b').notes()), [1, 2]);
  await hand.during(cluster.close());
});

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const parent = await mkdtemp(join(tmpdir(), 'skerry-loss-'));
  await body(join(parent, 'data')).finally(() => rm(parent, { recursive: true }));
}

let payment = 0;

/** One life of the app in this process. */
async function payIn(folder: string, count: number) {
  const { paid, order } = payments();
  const logged: string[] = [];
  const log = {
    info: () => undefined,
    warn: () => undefined,
    error: (_: object, text: string) => void logged.push(text),
  };
  const cluster = await embed({ behaviours: [order], store: folder, environment: machineEnvironment(log) });
  const one = cluster.entity(Order, '1');
  for (let pays = 0; pays < count; pays++) await one.pay(++payment);
  await cluster.close();
  return { paid, logged };
}

test('P4, P8: no two effects share a key: not of other stores, of a wiped folder, or of one that was put back', () =>
  withFolder(async (folder) => {
    const payments = new Map<string, number>();
    const pay = async (count: number, where = folder) => {
      // What had not settled when a copy was made is asked again from it, with its own key.
      for (const [key, id] of (await payIn(where, count)).paid) {
        assert.is(payments.get(key) ?? id, id, key);
        payments.set(key, id);
      }
    };
    await pay(3);
    await cp(folder, `${folder}.kept`, { recursive: true });
    await pay(3);
    await rm(folder, { recursive: true });
    await cp(`${folder}.kept`, folder, { recursive: true });
    await pay(3);
    await rm(folder, { recursive: true });
    await pay(3);
    await pay(3, `${folder}.another`);
    assert.ok(payments.size > 5, 'and nothing was paid in vain');
  }));

test('P8, S6: a folder that was put back is said so, once, and gives no epoch again', () =>
  withFolder(async (folder) => {
    assert.equal((await payIn(folder, 3)).logged, []);
    await cp(folder, `${folder}.kept`, { recursive: true });
    const epochs = async () => {
      const store = await openLmdb(folder);
      const claims = await store.claim([0, 1, 300], 'tester');
      await store.close();
      return claims.map(({ epoch }) => epoch);
    };
    const before = await epochs();
    assert.equal((await payIn(folder, 3)).logged, []);
    await rm(folder, { recursive: true });
    await cp(`${folder}.kept`, folder, { recursive: true });
    const { logged } = await payIn(folder, 1);
    assert.is(logged.length, 1, logged.join());
    assert.match(logged[0] ?? '', /put back.*\(P8\)/);
    const after = await epochs();
    assert.ok(after.every((epoch, at) => epoch > (before[at] ?? 0)));
    assert.equal((await payIn(folder, 1)).logged, [], 'and not again');
  }));

test('P8: a folder in the place of another store is not one that was put back', () =>
  withFolder(async (folder) => {
    await payIn(folder, 20);
    await rm(folder, { recursive: true });
    assert.equal((await payIn(folder, 1)).logged, []);
  }));

/** Everything that is stored of an entity and of whom it belongs to, without a use of the folder. */
async function contentsOf(folder: string) {
  const store = await openLmdb(folder, { readOnly: true });
  const partitions = Array.from({ length: store.partitions }, (_, partition) => partition);
  const at = { partition: partitionOf('order/1', store.partitions), address: 'order/1' };
  const found = {
    id: store.id,
    addresses: await store.list(undefined, { limit: 100 }),
    loaded: await store.load([at], { table: 'p', limit: 100 }),
    records: await store.scan(at, '', { limit: 1_000 }),
    wakes: await store.wakes(at.partition, { limit: 100 }),
    epochs: await store.epochs(partitions),
  };
  await store.close();
  return found;
}

test('P8: a compacted copy in the place of its folder has everything, is smaller, and is not one that was put back', () =>
  withFolder(async (folder) => {
    const to = `${folder}.small`;
    for (const round of [1, 2, 3]) {
      assert.equal((await payIn(folder, 50)).logged, []);
      const state = await contentsOf(folder);
      // What a crash leaves of an earlier try is no data, and in nobody's way.
      await mkdir(join(to, 'compacting'), { recursive: true });
      await writeFile(join(to, 'compacting', 'data.mdb'), 'half');
      const { before, after } = await compactLmdb(folder, to);
      assert.ok(after < before, `round ${round}: ${after} of ${before}`);
      assert.not.ok((await readdir(to)).includes('compacting'));
      assert.equal(await contentsOf(to), state);
      await rename(join(to, 'data.mdb'), join(folder, 'data.mdb'));
      assert.equal(await contentsOf(folder), state);
    }
    assert.equal((await payIn(folder, 1)).logged, []);
  }));

test('P8: a compacted copy that came into its place after its folder was used is one that was put back', () =>
  withFolder(async (folder) => {
    await payIn(folder, 3);
    await compactLmdb(folder, `${folder}.small`);
    await payIn(folder, 3);
    await rename(join(`${folder}.small`, 'data.mdb'), join(folder, 'data.mdb'));
    assert.match((await payIn(folder, 1)).logged.join(), /put back/);
  }));

test('a folder that is open is not compacted, nor one into another that has data', () =>
  withFolder(async (folder) => {
    await payIn(folder, 1);
    const store = await openLmdb(folder);
    await rejects(compactLmdb(folder, `${folder}.small`), 'store-in-use');
    assert.not.ok(existsSync(`${folder}.small`));
    await store.close();
    await rejects(compactLmdb(folder, folder), 'store-failed', /already holds data/);
  }));

test.run();
