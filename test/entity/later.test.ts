/** Later answers on a worker: who waits, what repeats get, and when an answer leaves. */
import { defaultLimits } from '../../core/limits.ts';
import { Desk, desk, withDesks } from '../support/desks.ts';
import { GateStore } from '../support/gate.ts';
import { HandEnvironment } from '../support/hand.ts';
import { LossyTransport } from '../support/lossy.ts';
import { keyAt, placed } from '../support/placed.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { type Given, watch } from '../support/tally.ts';

const test = suite('later on a worker');

const key = { idempotencyKey: 'k' };

test('a call whose command is put off waits, and gets the answer of a later turn', () =>
  withDesks({}, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits = watch(one.ask('a'));
    const denied = watch(one.ask('b'));
    await hand.advance(5_000);
    assert.not.ok(waits.isSettled);
    await during(one.tell({ who: 'a', what: 'yes' }));
    await hand.idle();
    assert.is(waits.value, 'yes');
    assert.not.ok(denied.isSettled, 'who else waits, waits on');
    await during(one.deny('b'));
    await hand.idle();
    assert.match(String(denied.error), /denied/);
    await rejects(during(one.tell({ who: 'a', what: 'no' })), 'invalid-input', /already answered/);
  }));

test('P2: a later answer leaves with the commit of the turn that gives it, never before', () => {
  const gate = new GateStore();
  return withDesks({ gate }, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits = watch(one.ask('a'));
    await hand.advance(10);
    const open = gate.holdCommits();
    const told = watch(one.tell({ who: 'a', what: 'yes' }));
    await hand.advance(2_000);
    assert.equal([waits.isSettled, told.isSettled], [false, false]);
    open();
    await hand.idle();
    assert.is(waits.value, 'yes');
    assert.is(await during(one.runs()), 1);
  });
});

test('P4: repeats of a call that waits run nothing, and get the one answer', () =>
  withDesks({}, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits = watch(one.ask('a', { deadlineMs: 600_000 }));
    for (let minute = 0; minute < 4; minute++) await hand.advance(30_000);
    assert.is(await during(one.runs()), 1);
    await during(one.tell({ who: 'a', what: 'yes' }));
    await hand.idle();
    assert.is(waits.value, 'yes');
  }));

test('WT1: under a key every caller with the same request waits and is answered; another request is turned away at once', () => {
  const [gate, hand] = [new GateStore(), new HandEnvironment()];
  return withDesks({ gate, hand }, async ({ cluster, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits = [watch(one.ask('a', key)), watch(one.ask('a', key)), watch(one.ask('a', key))];
    await hand.advance(50);
    await rejects(during(one.ask('b', key)), 'invalid-input', /a different request/);
    assert.is(await during(one.runs()), 1);
    assert.equal(
      waits.map(({ isSettled }) => isSettled),
      [false, false, false],
    );
    await during(one.tell({ who: 'a', what: 'yes' }));
    await hand.idle();
    assert.equal(
      waits.map(({ value }) => value),
      ['yes', 'yes', 'yes'],
    );
    assert.is(await during(one.ask('a', key)), 'yes', 'P5: and so is who comes afterwards');
  });
});

test('P5: after a restart the repeat under a key waits where it was put off, or gets the answer that was kept', async () => {
  const [gate, hand] = [new GateStore(), new HandEnvironment()];
  await withDesks({ gate, hand }, async ({ cluster }) => {
    const one = cluster.entity(Desk, 'one');
    const [lost] = [watch(one.ask('a', key)), watch(one.ask('c', { idempotencyKey: 'c' }))];
    await hand.advance(50);
    assert.not.ok(lost.isSettled);
  });
  await withDesks({ gate, hand }, async ({ cluster, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits = watch(one.ask('a', key));
    await hand.advance(50);
    await rejects(during(one.ask('b', key)), 'invalid-input', /a different request/);
    assert.not.ok(waits.isSettled);
    await during(one.tell({ who: 'a', what: 'yes' }));
    await during(one.tell({ who: 'c', what: 'also' }));
    await hand.idle();
    assert.is(waits.value, 'yes');
    assert.is(await during(one.runs()), 2);
  });
  await withDesks({ gate, hand }, async ({ cluster, during }) => {
    assert.is(await during(cluster.entity(Desk, 'one').ask('c', { idempotencyKey: 'c' })), 'also');
    assert.is(await during(cluster.entity(Desk, 'one').runs()), 2);
  });
});

test('WT2: under a key no more callers wait than a mailbox has room for; the others hear overloaded', () =>
  withDesks({ limits: { mailboxCountMax: 3 } }, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits: ReturnType<typeof watch>[] = [];
    for (let caller = 0; caller < 8; caller++) {
      waits.push(watch(one.ask('a', key)));
      await hand.advance(10);
    }
    assert.is(waits.filter(({ isSettled }) => !isSettled).length, 4);
    assert.match(String(waits.at(-1)?.error), /overloaded|full/);
    await during(one.tell({ who: 'a', what: 'yes' }));
    await hand.idle();
    assert.is(waits.filter(({ value }) => value === 'yes').length, 4);
  }));

test('the call ends at its deadline; what is answered afterwards reaches nobody, and the next call of the client is its own', () =>
  withDesks({}, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits = watch(one.ask('a', { deadlineMs: 1_000 }));
    await hand.advance(1_100);
    assert.match(String(waits.error), /did not answer ask within its deadline/);
    await during(one.tell({ who: 'a', what: 'late' }));
    const next = watch(one.ask('b'));
    await hand.advance(50);
    assert.not.ok(next.isSettled);
    const found = await during(cluster.inspector.get('desk/one'));
    assert.equal(
      found?.later.map(({ operation, seq }) => [operation, seq]),
      [['ask', 3]],
    );
    await during(one.tell({ who: 'b', what: 'yes' }));
    await hand.idle();
    assert.is(next.value, 'yes');
  }));

test('the value goes to another entity, which answers where the command was accepted', () =>
  withDesks({ workers: 2 }, async ({ cluster, hand, during }) => {
    for (const at of ['one', 'two', 'three']) {
      const waits = watch(cluster.entity(Desk, at).ask('a'));
      await hand.advance(50);
      await during(cluster.entity(Desk, at).send({ who: 'a', to: 'other' }));
      await hand.advance(50);
      assert.is(waits.value, 'by other');
    }
  }));

test('an entity of a volatile type can put off what it is asked', () =>
  withDesks({ behaviours: [desk({ durability: 'none' })] }, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits = watch(one.ask('a'));
    await hand.advance(50);
    await during(one.tell({ who: 'a', what: 'yes' }));
    await hand.idle();
    assert.is(waits.value, 'yes');
  }));

/** The first client is on worker-1: everything else is across. */
const placement = placed(16, ['worker-1', 'worker-2'], ['desk']);
const far = (start = 0) => keyAt(placement, 'desk', 'worker-2', start);

function across(body: (given: Given & { thief: LossyTransport }) => Promise<void>): Promise<void> {
  const hand = new HandEnvironment();
  const thief = new LossyTransport(hand);
  return withDesks({ workers: 2, hand, transport: thief }, (given) => body({ ...given, thief }));
}

test('P5: an answer that is lost comes with the next repeat of its call', () =>
  across(async ({ cluster, hand, during, thief }) => {
    const one = cluster.entity(Desk, far());
    const waits = watch(one.ask('a'));
    await hand.advance(50);
    let taken = 0;
    thief.takes = (envelope) =>
      envelope.kind === 'reply' && envelope.status === 'answer' && envelope.call === 1 && taken++ < 1;
    watch(one.tell({ who: 'a', what: 'yes' }));
    await hand.idle();
    assert.equal([waits.isSettled, taken], [false, 1]);
    await hand.advance(5_000);
    assert.is(waits.value, 'yes');
    assert.is(await during(one.runs()), 1);
  }));

test('C4: a thousand calls that wait for minutes are repeated within the budget of their client', () =>
  across(async ({ cluster, hand, during, thief }) => {
    const keys = Array.from({ length: 10 }, (_, index) => far(index * 1_000));
    const many = Array.from({ length: 1_000 }, (_, index) =>
      watch(cluster.entity(Desk, keys[index % 10] ?? '').ask(`${index}`, { deadlineMs: 300_000 })),
    );
    await hand.advance(50);
    thief.sent.length = 0;
    await hand.advance(60_000);
    const copies = thief.sent.filter(({ kind }) => kind === 'message').length;
    const { retryBurstCountMax, retryMsMax } = defaultLimits;
    assert.ok(copies > 0 && copies <= retryBurstCountMax * (1 + 60_000 / retryMsMax), `${copies} copies a minute`);
    assert.is(thief.sent.filter(({ kind }) => kind === 'reply').length, 0);
    assert.is(await during(cluster.entity(Desk, keys[0] ?? '').runs()), 100);
    for (let index = 0; index < 10; index += 1)
      await during(cluster.entity(Desk, keys[index] ?? '').tell({ who: `${index}`, what: 'yes' }));
    await hand.idle();
    assert.is(many.filter(({ value }) => value === 'yes').length, 10);
  }));

test.run();
