/** Entities in memory and out of it: activation, passivation, what they remember of partners, and volatile types. */
import { SkerryError } from '../../core/errors.ts';
import { Inspector } from '../../runtime/admin/inspector.ts';
import { assert, suite } from '../support/suite.ts';
import { type Scripts, Tally, type TallyTurn, watch, withTallies } from '../support/tally.ts';

const test = suite('activations');

test('E1: an entity that many ask at once is activated once, and its calls run in order', () =>
  withTallies({}, async ({ hand, gate, cluster, tally }) => {
    const clients = Array.from({ length: 20 }, () => cluster.connect({ identity: '' }).entity(Tally, 'a'));
    const calls = clients.map((caller) => watch(caller.add(1)));
    await hand.idle();
    assert.equal(
      calls.map(({ value }) => value),
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    assert.equal([gate.loadCount, cluster.workers[0]?.figures.activations], [1, 1]);
    const more = watch(tally('b').add(1));
    await hand.idle();
    assert.is(more.value, 1);
  }));

test('E2: an idle entity leaves memory and returns as it was; its partners’ identities too', () =>
  withTallies({ limits: { idleMs: 3_000 } }, async ({ hand, gate, cluster, tally, during }) => {
    await during(tally('a').add(5));
    await during(tally('a').see({ deep: ['value', null, new Uint8Array([1])] }));
    const hold = await during(tally('a').take(2));
    await hand.advance(4_500);
    assert.is(cluster.workers[0]?.figures.activations, 0);
    await during(hold.confirm());
    assert.is(await during(tally('a').add(1)), 4);
    assert.equal((await during(tally('a').seen())).slice(0, 1), [{ deep: ['value', null, new Uint8Array([1])] }]);
    assert.is(gate.loadCount, 2);
  }));

test('E2, V2: what is not durable is not passivated, however idle it looks', () =>
  withTallies({ limits: { idleMs: 1_000 } }, async ({ hand, gate, cluster, tally }) => {
    const open = gate.holdCommits();
    const call = watch(tally('a').add(1));
    await hand.advance(20_000);
    assert.is(cluster.workers[0]?.figures.activations, 1);
    open();
    await hand.idle();
    assert.is(call.value, 1);
    await hand.advance(60_000);
    assert.is(cluster.workers[0]?.figures.activations, 0);
  }));

test('E2, P12: beyond activationCountMax the idle ones leave, and all keep their state', () =>
  withTallies({ limits: { activationCountMax: 5 } }, async ({ hand, cluster, tally, during }) => {
    for (let key = 0; key < 30; key++) await during(tally(`${key}`).add(key));
    await hand.advance(5_000);
    assert.ok((cluster.workers[0]?.figures.activations ?? 99) <= 5);
    for (let key = 0; key < 30; key++) assert.is(await during(tally(`${key}`).count()), key);
  }));

const dayMs = 86_400_000;
const tomorrow: Scripts = { plan: (turn) => turn.timer('tomorrow', { afterMs: dayMs }).add(1) };
const fifty = Array.from({ length: 50 }, (_, key) => `${key}`);

test('E4: what rests with a timer a day away is passed when it is due to leave memory, and not before or after', () =>
  withTallies({ scripts: tomorrow }, async ({ hand, cluster, tally, during, stored }) => {
    const [worker] = cluster.workers;
    const passesOf = async (ms: number) => {
      const before = worker?.passCount ?? 0;
      await hand.advance(ms);
      return (worker?.passCount ?? 0) - before;
    };
    for (const key of fifty) await during(tally(key).run('plan'));
    await hand.advance(5_000);
    assert.is(await passesOf(200_000), 0);
    // One of them is used all the time: it alone is passed.
    for (let second = 0; second < 30; second++) {
      await during(tally('7').add(0));
      assert.ok((await passesOf(1_000)) <= 2);
    }
    assert.ok((await passesOf(80_000)) <= 2 * fifty.length);
    assert.is(worker?.figures.activations, 1);
    await hand.advance(300_000);
    assert.is(worker?.figures.activations, 0);
    assert.is(await passesOf(dayMs / 2), 0);
    await hand.advance(dayMs / 2);
    for (const key of fifty) assert.is((await stored(key))?.count, 1);
  }));

test('E4: what is only in memory stays there for its timer, and is passed once in idleMs', () =>
  withTallies({ scripts: tomorrow, behaviour: { durability: 'none' } }, async ({ hand, cluster, tally, during }) => {
    const [worker] = cluster.workers;
    for (const key of fifty) await during(tally(key).run('plan'));
    await hand.advance(5_000);
    const before = worker?.passCount ?? 0;
    await hand.advance(3_000_000);
    assert.is(worker?.figures.activations, fifty.length);
    assert.ok((worker?.passCount ?? 0) - before <= 10 * fifty.length);
    await hand.advance(dayMs - 3_010_000);
    for (const key of fifty) assert.is(await during(tally(key).count()), 0);
    await hand.advance(10_000);
    for (const key of fifty) assert.is(await during(tally(key).count()), 1);
  }));

test('E4: where one becomes due after the other they leave in good time, in rounds that are apart', () =>
  withTallies({ limits: { idleMs: 80_000 } }, async ({ hand, cluster, tally, during }) => {
    const [worker] = cluster.workers;
    for (let second = 0; second < 400; second++) {
      await during(tally(`${second}`).add(1));
      await hand.advance(1_000);
    }
    const before = worker?.passCount ?? 0;
    for (let second = 400; second < 600; second++) {
      await during(tally(`${second}`).add(1));
      await hand.advance(1_000);
      // Those of the last 80 s, and of the 5 s to the next round.
      assert.ok((worker?.figures.activations ?? 0) <= 88);
    }
    assert.ok((worker?.passCount ?? 0) - before <= 200 * 4 + (200 / 5) * 88);
  }));

test('P4, P10: partners beyond activityCountMax are read when they write, and nothing is processed twice', async () => {
  const scripts: Scripts = { tell: (turn) => turn.to(Tally, 'hub').see(turn.key) };
  await withTallies(
    { scripts, limits: { activityCountMax: 4, idleMs: 20_000 } },
    async ({ hand, gate, tally, during, stored }) => {
      const keys = Array.from({ length: 30 }, (_, index) => `p${index}`);
      for (const round of [1, 2, 3]) {
        for (const key of keys) await during(tally(key).run('tell'));
        await hand.advance(round === 2 ? 60_000 : 3_000);
      }
      const seen = (await stored('hub'))?.seen as string[];
      assert.equal([...seen].sort(), [...keys, ...keys, ...keys].sort());
      assert.ok(gate.readCount > 0);
    },
  );
});

test('P4: a late copy of a call is recognised after its entity has left memory and returned', () =>
  withTallies({ limits: { idleMs: 1_000, activityCountMax: 2 } }, async ({ hand, cluster, tally, during, stored }) => {
    const options = { idempotencyKey: 'once' };
    await during(tally('a').add(5, options));
    for (let other = 0; other < 8; other++) await during(cluster.connect({ identity: '' }).entity(Tally, 'a').add(1));
    await hand.advance(30_000);
    assert.is(cluster.workers[0]?.figures.activations, 0);
    assert.is(await during(tally('a').add(5, options)), 5);
    assert.is((await stored('a'))?.count, 13);
  }));

test('F3, P4: partners in the head stay in memory while more of them come than may, and are known afterwards', () =>
  withTallies({ limits: { activityCountMax: 2 } }, async ({ hand, gate, tally, during, stored }) => {
    const call = (index: number) => tally('a').add(1, { idempotencyKey: `${index}` });
    const open = gate.holdOutcomes();
    const first = call(1);
    await hand.advance(1);
    const others = [2, 3, 4, 5, 6].map(call);
    await hand.advance(1);
    open();
    assert.equal(await during(Promise.all([first, ...others])), [1, 2, 3, 4, 5, 6]);
    assert.equal(await during(Promise.all([1, 2, 3, 4, 5, 6].map(call))), [1, 2, 3, 4, 5, 6]);
    assert.is((await stored('a'))?.count, 6);
  }));

test('F3, P4: an entity with activities in its head and others as records is not read, and says so', () =>
  withTallies({ limits: { idleMs: 1_000 } }, async ({ hand, gate, tally, during }) => {
    await during(tally('a').add(1));
    await hand.advance(20_000);
    const { partition } = gate.commits[0]?.[0] ?? { partition: -1 };
    const [loaded] = await gate.load([{ address: 'tally/a', partition }]);
    const { version = 0, head = new Uint8Array(0), wakeAt } = loaded ?? {};
    const [epoch = 0] = await gate.epochs([partition]);
    const at = { partition, epoch, address: 'tally/a', expected: version, version: version + 1, head };
    const records: [string, Uint8Array][] = [['ptally/b', new Uint8Array([0x93, 0xc0, 0xc0, 0xc0])]];
    await gate.inner.commit([{ ...at, records, wakeBefore: wakeAt, wakeAt }]);
    const call = watch(tally('a').add(1));
    await hand.advance(1_000);
    assert.match(String(call.error), /tally\/a has activities in its head and in records/);
    assert.is(await during(tally('b').add(1)), 1);
  }));

test('F3: partners that come into the head while somebody looks inside are seen', () => {
  const partners = Array.from({ length: 9 }, (_, partner) => `${partner}`);
  const keep = (turn: TallyTurn, kept: { count: number } | undefined) => {
    for (const partner of partners) turn.to(Tally, partner).activity = kept as never;
    for (const partner of partners.slice(0, 2)) turn.to(Tally, partner).activity = { count: 1 };
  };
  const scripts: Scripts = { many: (turn) => keep(turn, { count: 1 }), few: (turn) => keep(turn, undefined) };
  return withTallies({ scripts }, async ({ gate, tally, during }) => {
    await during(tally('a').run('many'));
    const inspector = new Inspector(gate);
    const countOf = async () => (await inspector.get('tally/a'))?.activities.length;
    assert.is(await countOf(), 10);
    const load = gate.load.bind(gate);
    gate.load = async (...asked) => {
      const loaded = await load(...asked);
      gate.load = load;
      await during(tally('a').run('few'));
      return loaded;
    };
    assert.is(await countOf(), 3);
  });
});

test('E3, P4, P9: a commit that lands while its entity is read again leaves no mixture of before and after', () =>
  // With more partners than are loaded with it, so that theirs are read in another step.
  withTallies({ limits: { activityCountMax: 1 } }, async ({ gate, cluster, tally, during, stored }) => {
    await during(tally('a').add(1));
    for (let other = 0; other < 8; other++) await during(cluster.connect({ identity: '' }).entity(Tally, 'a').add(0));
    gate.faults.commit.push('late');
    assert.is(await during(tally('a').add(10)), 11);
    assert.is(gate.isLate, false);
    assert.is(await during(tally('a').count()), 11);
    assert.is(await during(tally('a').add(100)), 111);
    assert.equal(await stored('a'), { count: 111, seen: [] });
  }));

// ---- volatile types

test("durability 'none' answers at once, writes nothing, and sends all the same", async () => {
  const scripts: Scripts = { tell: (turn) => turn.to(Tally, 'b').see('told') };
  await withTallies({ scripts, behaviour: { durability: 'none' } }, async ({ hand, gate, tally, during }) => {
    const open = gate.holdCommits();
    assert.is(await during(tally('a').add(1)), 1);
    assert.is(await during(tally('a').count()), 1);
    await during(tally('a').run('tell'));
    await hand.advance(5_000);
    assert.equal(await during(tally('b').seen()), ['told']);
    assert.equal(gate.commits, []);
    open();
  });
});

test("durability 'interval' answers at once, and writes within its interval", () =>
  withTallies({ behaviour: { durability: { intervalMs: 1_000 } } }, async ({ hand, gate, tally, during, stored }) => {
    const open = gate.holdCommits();
    assert.is(await during(tally('a').add(1)), 1);
    open();
    assert.is(await stored('a'), undefined);
    await hand.advance(1_100);
    assert.is((await stored('a'))?.count, 1);
    await hand.advance(60_000);
    assert.is(gate.commits.length, 1, 'and no more than there is to write');
  }));

test("durability 'interval' loses no more than its interval, however busy the entity is", () =>
  withTallies({ behaviour: { durability: { intervalMs: 500 } } }, async ({ hand, tally, stored }) => {
    let asked = 0;
    const calls: { isSettled: boolean }[] = [];
    const lag: number[] = [];
    // Each call is set going by the one before it, so that it comes right behind whatever else is due at that moment.
    const ask = () => {
      asked += 1;
      calls.push(watch(tally('a').add(1)));
      if (asked < 3_000) hand.after(1, ask);
    };
    hand.after(1, ask);
    for (let step = 0; step < 30; step++) {
      await hand.advance(100);
      lag.push(asked - ((await stored('a'))?.count ?? 0));
    }
    await hand.idle();
    assert.ok(calls.every(({ isSettled }) => isSettled));
    assert.ok(Math.max(...lag) <= 600, `behind by ${lag.join()} of ${asked}`);
  }));

test("durability 'interval' answers queries and duplicates also while it is being written", () =>
  withTallies({ behaviour: { durability: { intervalMs: 500 } } }, async ({ hand, gate, tally, during }) => {
    const options = { idempotencyKey: 'k' };
    await during(tally('a').add(1, options));
    const open = gate.holdCommits();
    await hand.advance(600);
    assert.is(gate.commits.length, 1, 'the write is under way');
    const [query, again] = [watch(tally('a').count()), watch(tally('a').add(1, options))];
    await hand.advance(100);
    open();
    await hand.advance(50);
    assert.equal([query.value, again.value], [1, 1]);
  }));

test('an error of a volatile turn leaves its state as it was', async () => {
  const scripts: Scripts = {
    bad(turn) {
      turn.state.count = 99;
      throw new Error('no');
    },
  };
  await withTallies({ scripts, behaviour: { durability: 'none' } }, async ({ hand, tally, during }) => {
    const call = watch(tally('a').run('bad'));
    await hand.idle();
    assert.ok(call.error instanceof SkerryError);
    assert.is(await during(tally('a').count()), 0);
  });
});

test('P4: turns that no commit carries yet are run again when a read between them fails; nobody has to ask twice', () =>
  withTallies(
    { limits: { activityCountMax: 8, idleMs: 5_000, retryMs: 60_000, retryMsMax: 60_000 } },
    async (given) => {
      const { hand, tally, gate, during } = given;
      for (let key = 0; key < 40; key++) await during(tally('a').add(1, { idempotencyKey: `${key}` }));
      await hand.advance(60_000);
      assert.is(await during(tally('a').add(1)), 41);
      const open = gate.holdCommits();
      const calls = [watch(tally('a').add(1))];
      await hand.advance(10);
      calls.push(watch(tally('a').add(1)));
      await hand.advance(10);
      const read = gate.read.bind(gate);
      gate.read = () => {
        gate.read = read;
        return Promise.reject(new SkerryError('store-failed', 'cannot read', { effect: 'none' }));
      };
      const failed = watch(tally('a').add(1, { idempotencyKey: '7' }));
      await hand.advance(10);
      open();
      await hand.advance(20_000);
      assert.match(String(failed.error), /cannot read/);
      assert.equal(
        calls.map(({ value }) => value),
        [42, 43],
      );
      assert.is(await during(tally('a').count()), 43);
    },
  ));

test.run();
