/** The way of a message through a worker: store first, then release; and all the ways in which that can fail. */
import { settled } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { SkerryError } from '../../core/errors.ts';
import { partitionOf } from '../../placement/hash.ts';
import { contentOf } from '../support/bench.ts';
import { GateStore } from '../support/gate.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { type Scripts, Tally, watch, withTallies } from '../support/tally.ts';

const test = suite('worker');
const partition = (key: string) => partitionOf(`tally/${key}`, 16);

test('G1, P2: no answer leaves before the store has accepted its turn', () =>
  withTallies({}, async ({ hand, gate, tally, stored }) => {
    const open = gate.holdCommits();
    const call = watch(tally('a').add(5));
    await hand.advance(300);
    assert.is(gate.commits.length, 1);
    assert.not.ok(call.isSettled);
    assert.is(await stored('a'), undefined);
    open();
    await hand.idle();
    assert.is(call.value, 5);
    assert.equal(await stored('a'), { count: 5, seen: [] });
  }));

test('V1, P2: no message to another entity leaves before the turn that sent it is durable, also on one worker', async () => {
  const scripts = {
    send: (turn: { to: (c: typeof Tally, k: string) => { see(what: unknown): void } }) =>
      turn.to(Tally, 'b').see('sent'),
  };
  await withTallies({ scripts: scripts as never }, async ({ hand, gate, tally, during, stored }) => {
    const open = gate.holdCommits();
    const call = watch(tally('a').run('send'));
    await hand.advance(2_000);
    assert.not.ok(call.isSettled);
    open();
    await during(tally('b').add(0));
    await hand.advance(1_000);
    assert.equal((await stored('b'))?.seen, ['sent']);
    const first = gate.commits.findIndex((group) => group.some(({ address }) => address === 'tally/a'));
    const second = gate.commits.findIndex((group) => group.some(({ address }) => address === 'tally/b'));
    assert.ok(first >= 0 && first < second);
  });
});

test('N1, P2: a query sees a turn that is not durable, and its answer waits for it', () =>
  withTallies({}, async ({ hand, gate, tally, during }) => {
    await during(tally('a').add(1));
    const open = gate.holdCommits();
    const call = watch(tally('a').add(5));
    await hand.advance(50);
    const query = watch(tally('a').count());
    await hand.advance(200);
    assert.equal([call.isSettled, query.isSettled], [false, false]);
    open();
    await hand.idle();
    assert.equal([call.value, query.value], [6, 6]);
  }));

test('N1, P2: of two turns on their way, a query that saw both waits for both', () =>
  withTallies({}, async ({ hand, gate, tally, during }) => {
    await during(tally('a').add(1));
    const openFirst = gate.holdCommits();
    watch(tally('a').add(5));
    await hand.advance(50);
    watch(tally('a').add(10));
    await hand.advance(50);
    const query = watch(tally('a').count());
    await hand.advance(50);
    openFirst();
    const openSecond = gate.holdCommits();
    await hand.advance(50);
    assert.is(gate.commits.length, 3);
    assert.not.ok(query.isSettled);
    openSecond();
    await hand.idle();
    assert.is(query.value, 16);
  }));

test('N1, P5: a duplicate of a turn that is not durable waits with it, and gets the same answer', () =>
  withTallies({}, async ({ hand, gate, cluster, tally, stored }) => {
    const open = gate.holdCommits();
    const options = { idempotencyKey: 'order-7' };
    const first = watch(tally('a').add(5, options));
    const again = watch(cluster.connect({ identity: '' }).entity(Tally, 'a').add(5, options));
    await hand.advance(1_500);
    assert.equal([first.isSettled, again.isSettled], [false, false]);
    open();
    await hand.idle();
    assert.equal([first.value, again.value], [5, 5]);
    await hand.advance(5_000);
    assert.equal(await stored('a'), { count: 5, seen: [] });
  }));

test('G2, P3: turns that wait together are one commit, and an entity’s commits follow each other by version', () =>
  withTallies({}, async ({ hand, gate, tally, during }) => {
    await during(tally('a').add(1));
    const open = gate.holdCommits();
    const calls = [1, 2, 3].map((units) => watch(tally('a').add(units)));
    await hand.advance(100);
    const more = [4, 5].map((units) => watch(tally('a').add(units)));
    await hand.advance(100);
    assert.is(gate.commits.length, 2, 'while one is under way the next one gathers');
    open();
    await hand.idle();
    assert.equal(
      [...calls, ...more].map(({ value }) => value),
      [2, 4, 7, 11, 16],
    );
    const versions = gate.commits.flat().map(({ expected, version }) => [expected, version]);
    assert.equal(versions, [
      [0, 1],
      [1, 4],
      [4, 6],
    ]);
  }));

test('G3, C2: a refused commit is answered store-failed with effect none, and nothing of its turns remains', () =>
  withTallies({}, async ({ hand, gate, cluster, tally, during, stored }) => {
    await during(tally('a').add(1));
    gate.faults.commit.push('refused');
    const others = [1, 2].map(() => cluster.connect({ identity: '' }).entity(Tally, 'a'));
    const calls = [tally('a'), ...others].map((caller, index) => watch(caller.add(10 ** (index + 1))));
    await hand.idle();
    for (const { error } of calls) {
      const { code, effect, message } = error as SkerryError;
      assert.equal([code, effect], ['store-failed', 'none']);
      assert.match(message, /no space left on device/);
    }
    await hand.advance(1_000);
    assert.is(await during(tally('a').count()), 1);
    assert.is(await during(tally('a').add(2)), 3);
    assert.equal(await stored('a'), { count: 3, seen: [] });
  }));

test('G3, C2: of several calls of one client that are refused together, none that says effect none happened', () =>
  withTallies({}, async ({ hand, gate, tally, during }) => {
    gate.faults.commit.push('refused');
    const calls = [1, 10, 100, 1_000].map((units) => ({ units, call: watch(tally('a').add(units)) }));
    const query = watch(tally('a').count());
    await hand.advance(5_000);
    assert.ok(query.isSettled && calls.every(({ call }) => call.isSettled));
    const count = String(await during(tally('a').count()));
    const happened = (units: number) => count.at(-String(units).length) === '1';
    for (const { units, call } of calls) {
      if (call.error instanceof SkerryError && call.error.effect === 'none')
        assert.not.ok(happened(units), `${units} in ${count}`);
      if (call.value !== undefined) assert.ok(happened(units), `${units} in ${count}`);
    }
    const [first] = calls;
    assert.ok(first?.call.error instanceof SkerryError && first.call.error.effect === 'none');
  }));

test('G3, V2, P3: what came after a refused turn, and saw what it did, is dropped with it', () =>
  withTallies({}, async ({ hand, gate, cluster, tally, during }) => {
    await during(tally('a').add(1));
    const open = gate.holdCommits();
    gate.faults.commit.push('refused');
    const first = watch(tally('a').add(10));
    await hand.advance(50);
    const later = watch(cluster.connect({ identity: '' }).entity(Tally, 'a').add(100));
    await hand.advance(50);
    open();
    await hand.advance(5_000);
    assert.ok(first.error instanceof SkerryError);
    assert.ok(later.value === undefined || later.value === 101, `${later.value}: no 111`);
    const count = await during(tally('a').count());
    assert.is(count, later.value ?? 1);
  }));

for (const fault of ['lost before', 'lost after'] as const)
  test(`G3, P4: a commit whose answer was ${fault} it was written has its effect once, and the call gets its answer`, () =>
    withTallies({}, async ({ gate, tally, during, stored }) => {
      await during(tally('a').add(1));
      gate.faults.commit.push(fault);
      assert.is(await during(tally('a').add(10)), 11);
      assert.is(await during(tally('a').count()), 11);
      assert.equal(await stored('a'), { count: 11, seen: [] });
    }));

test('C2, P4: a call whose commit may have happened is never answered with effect none', () =>
  withTallies({}, async ({ hand, gate, tally, during }) => {
    await during(tally('a').add(1));
    gate.faults.commit.push('lost after');
    gate.faults.load = 3;
    const call = watch(tally('a').add(10));
    await hand.advance(20_000);
    const { error, value } = call;
    assert.ok(
      value === 11 || (error instanceof SkerryError && error.effect === 'unknown'),
      `${value} ${String(error)}`,
    );
    await hand.advance(60_000);
    assert.is(await during(tally('a').count()), 11);
  }));

test('C2, P4: nor when the second try of an unknown commit is refused', () =>
  withTallies({}, async ({ hand, gate, tally, during }) => {
    await during(tally('a').add(1));
    gate.faults.commit.push('lost before', 'refused');
    const call = watch(tally('a').add(10));
    await hand.advance(20_000);
    const isHonest = call.value === 11 || (call.error instanceof SkerryError && call.error.effect === 'unknown');
    assert.ok(isHonest, String(call.error));
  }));

test('while the store is away calls wait, of entities in memory and of others, and are answered when it is back', () =>
  withTallies({}, async ({ hand, gate, tally, during, stored }) => {
    await during(tally('a').add(1));
    gate.isAway = true;
    const calls = [
      watch(tally('a').add(5)),
      watch(tally('b').add(7)),
      watch(tally('a').count()),
      watch(tally('c').count()),
    ];
    await hand.advance(5_000);
    assert.ok(calls.every(({ isSettled }) => !isSettled));
    assert.ok(hand.logged.length < 5, `${hand.logged.length} lines are logged`);
    gate.isAway = false;
    await hand.advance(2_000);
    assert.equal(
      calls.map(({ value }) => value),
      [6, 7, calls[2]?.value === 1 ? 1 : 6, 0],
    );
    assert.equal([(await stored('a'))?.count, (await stored('b'))?.count], [6, 7]);
  }));

test('P3, W1: a worker whose partition was claimed by another drops its entities and answers nothing for them', () =>
  withTallies({}, async ({ hand, gate, tally, during, stored }) => {
    await during(tally('a').add(1));
    await gate.inner.claim([partition('a')], 'another');
    const command = watch(tally('a').add(10, { deadlineMs: 3_000 }));
    const query = watch(tally('a').count(undefined, { deadlineMs: 3_000 }));
    await hand.advance(2_900);
    assert.equal([command.isSettled, query.isSettled], [false, false]);
    await hand.advance(200);
    assert.equal([(command.error as SkerryError).code, (command.error as SkerryError).effect], ['deadline', 'unknown']);
    assert.equal([(query.error as SkerryError).code, (query.error as SkerryError).effect], ['deadline', 'none']);
    assert.equal(await stored('a'), { count: 1, seen: [] });
    assert.ok(hand.logged.some(({ level, message }) => level === 'info' && /no longer owns a partition/.test(message)));
  }));

test('V2, P3: an activation that was dropped releases nothing, also when its commit turns out to be written', async () => {
  let tries = 0;
  const call = effect('call', async () => ++tries);
  const scripts: Scripts = { call: (turn) => turn.perform(call, undefined as never) };
  await withTallies(
    { scripts, behaviour: { effects: [settled(Tally, call)] } },
    async ({ hand, gate, tally, stored }) => {
      const open = gate.holdOutcomes();
      const command = watch(tally('a').run('call', { deadlineMs: 3_000 }));
      await hand.advance(50);
      assert.ok(await stored('a'), 'written');
      await gate.inner.claim([partition('a')], 'another');
      const sameThere = Array.from({ length: 99 }, (_, index) => `${index}`).find(
        (key) => partition(key) === partition('a'),
      );
      watch(tally(String(sameThere)).count(undefined, { deadlineMs: 500 }));
      await hand.advance(600);
      open();
      await hand.advance(5_000);
      assert.is(tries, 0, 'the effect is the new owner’s to run');
      assert.ok(command.error instanceof SkerryError && command.error.effect === 'unknown');
    },
  );
});

test('W1: what comes for a partition of another worker is not run', () =>
  withTallies({ workers: 2 }, async ({ hand, cluster, stored }) => {
    const message = {
      kind: 'message' as const,
      to: 'tally/a',
      from: '@stray',
      replyTo: '',
      call: 0,
      identity: '',
      arrival: { session: 1, seq: 1, floor: 1, expires: hand.now() + 1_000, sent: hand.now(), keepMs: 0 },
      content: contentOf('add', 1),
    };
    for (const worker of cluster.workers) worker.intake.receive(message);
    await hand.advance(500);
    assert.equal(await stored('a'), { count: 1, seen: [] }, 'its owner has run it once');
    assert.equal(cluster.workers.map(({ figures }) => figures.turns).sort(), [0, 1]);
  }));

test('O1, O2, P9: a query is answered only after an ownership check that began after it ran', () =>
  withTallies({}, async ({ hand, gate, tally, during }) => {
    await during(tally('a').add(1));
    const open = gate.holdEpochs();
    const early = watch(tally('a').count());
    await hand.advance(50);
    assert.is(gate.epochCount, 1);
    await gate.inner.claim([partition('a')], 'another');
    const late = watch(tally('a').count(undefined, { deadlineMs: 2_000 }));
    await hand.advance(50);
    assert.equal([early.isSettled, late.isSettled], [false, false]);
    open();
    await hand.advance(3_000);
    assert.is(early.value, 1, 'its check had read the old epoch before the claim');
    assert.is((late.error as SkerryError).code, 'deadline', 'its check was another one, and found the claim');
  }));

test('O2: one check serves every query that waits for it; a failed one makes its callers try again', () =>
  withTallies({}, async ({ hand, gate, tally, during }) => {
    for (const key of ['a', 'b', 'c']) await during(tally(key).add(1));
    const before = gate.epochCount;
    const queries = ['a', 'b', 'c', 'a', 'b', 'c'].map((key) => watch(tally(key).count()));
    await hand.idle();
    assert.equal(
      queries.map(({ value }) => value),
      [1, 1, 1, 1, 1, 1],
    );
    assert.ok(gate.epochCount - before <= 2, `${gate.epochCount - before}`);
    gate.faults.epochs = 2;
    assert.is(await during(tally('a').count()), 1);
  }));

test('reads: local answers without a check, and still never what is not durable', () =>
  withTallies({ behaviour: { reads: 'local' } }, async ({ hand, gate, tally, during }) => {
    await during(tally('a').add(1));
    assert.is(await during(tally('a').count()), 1);
    assert.is(gate.epochCount, 0);
    const open = gate.holdCommits();
    watch(tally('a').add(1));
    const query = watch(tally('a').count());
    await hand.advance(100);
    assert.not.ok(query.isSettled);
    open();
    await hand.idle();
    assert.is(query.value, 2);
  }));

test('W2, P12: a full mailbox answers overloaded at once, with effect none; the others get through', () =>
  withTallies({ limits: { mailboxCountMax: 3 } }, async ({ hand, cluster, tally, during }) => {
    const calls = Array.from({ length: 5 }, () => watch(tally('a').add(1)));
    await hand.idle();
    assert.equal(
      calls.map(({ value }) => value),
      [1, 2, 3, undefined, undefined],
    );
    for (const { error } of calls.slice(3)) {
      assert.equal([(error as SkerryError).code, (error as SkerryError).effect], ['overloaded', 'none']);
    }
    assert.is(cluster.workers[0]?.figures.overloaded, 2);
    assert.is(await during(tally('a').add(1)), 4);
  }));

test('W2, P12: so does a worker whose mailboxes are full together', () =>
  withTallies({ limits: { workerQueueCountMax: 4 } }, async ({ hand, cluster, tally, during }) => {
    const calls = Array.from({ length: 6 }, (_, index) => watch(tally(`k${index}`).add(1)));
    await hand.idle();
    assert.equal(
      calls.map(({ value }) => value),
      [1, 1, 1, 1, undefined, undefined],
    );
    assert.is(cluster.workers[0]?.figures.queued, 0);
    assert.is(await during(tally('k5').add(1)), 1);
  }));

test('an entity that cannot be read answers store-failed with effect none, and is read again for the next call', () =>
  withTallies({}, async ({ gate, tally, during }) => {
    gate.faults.load = 1;
    const error = await rejects(during(tally('a').add(1)), 'store-failed', /cannot read/);
    assert.is(error.effect, 'none');
    assert.is(await during(tally('a').add(1)), 1);
  }));

test('interleaved turns of many entities share commits and keep their order', () =>
  withTallies({}, async ({ hand, gate, tally }) => {
    const calls = Array.from({ length: 300 }, (_, index) => watch(tally(`k${index % 10}`).add(1)));
    await hand.idle();
    assert.equal(
      calls.map(({ value }) => value),
      calls.map((_, index) => Math.floor(index / 10) + 1),
    );
    assert.ok(gate.commits.length < 30, `${gate.commits.length} groups`);
  }));

test('a store that is a MemoryStore behind a gate stays a store', () => {
  assert.is(new GateStore().partitions, 16);
});

test.run();
