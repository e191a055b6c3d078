/** What partners say to delivery, at its edges: acknowledgements, later sessions, answers to probes. */
import { defaultLimits } from '../../core/index.ts';
import { recordName } from '../../core/record.ts';
import type { MessageEnvelope } from '../../runtime/wire/envelope.ts';
import { bench, partner, signal } from '../support/delivery-bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('delivery-told');
const { trimIdleMs, skewMaxMs, doubtMs } = defaultLimits;

// ---- acknowledgements

test('what is acknowledged leaves outbox and store, doubles the window, and lets the next go', () => {
  const { delivery, activation, record, release, sent, flight, woken, environment } = bench({
    count: 6,
    limits: { windowCountMax: 3 },
  });
  release();
  sent();
  flight().attempts = 2;
  flight().window = 1;
  woken.splice(0);
  delivery.acknowledged(activation, signal('ack', 2));
  assert.equal([flight().attempts, flight().window], [0, 2]);
  assert.equal(sent(), ['4>3']);
  assert.is(record.outboxCount, 4);
  const { records } = record.changes;
  assert.equal(
    [1, 2, 3].map((seq) => records.get(recordName.outbox(partner, seq))),
    [null, null, undefined],
  );
  assert.is(records.get(recordName.activity(partner)), 'activity');
  assert.equal([activation.writeAt, woken], [environment.now() + trimIdleMs, [environment.now() + trimIdleMs]]);
  delivery.acknowledged(activation, signal('ack', 3));
  assert.equal([flight().window, sent()], [3, ['5>4', '6>4']]);
  assert.is(woken.length, 1, 'it is planned');
  Object.assign(flight(), { attempts: 2, window: 1 });
  delivery.acknowledged(activation, signal('ack', 3));
  assert.equal([sent(), record.outboxCount], [[], 3], 'told again it says nothing');
  assert.equal([flight().attempts, flight().window], [2, 1]);
  delivery.acknowledged(activation, signal('ack', 6));
  assert.equal([activation.flights?.has(partner), record.outboxCount], [false, 0]);
  delivery.acknowledged(activation, { ...signal('ack', 6), from: 'stock/unknown' });
});

test('Q3: an acknowledgement before one that was dropped has the floor told again', () => {
  const { delivery, activation, outbound, release, sent, flight } = bench({ count: 4 });
  release();
  sent();
  outbound.unacked.splice(1, 1);
  delivery.acknowledged(activation, signal('ack', 1));
  assert.equal(sent(), ['3>3']);
  delivery.acknowledged(activation, signal('ack', 3));
  assert.equal(sent(), [], 'the next one was sent behind it');
  assert.is(flight().transmitted, 4);
});

test('A6, P8: of the present lineage an acknowledgement beyond it is another’s number; of an earlier one history was lost', async () => {
  const { delivery, activation, record, own, signs } = bench();
  await own();
  record.lineage = { ...record.lineage, start: 5 };
  delivery.acknowledged(activation, signal('ack', 3));
  assert.equal([signs.length, record.outboxCount], [1, 0]);
  const other = bench();
  await other.own();
  other.record.lineage = { ...other.record.lineage, start: 4 };
  other.delivery.acknowledged(other.activation, signal('ack', 3));
  await other.environment.idle();
  assert.is(other.record.outboxCount, 2, 'nothing is taken for settled');
  assert.ok((other.activity.outbound?.session ?? 0) > 5);
});

test('A6: only a later session than that which is sent overtakes it', async () => {
  const told = async (
    session: number,
    number: number,
    change: (given: ReturnType<typeof bench>) => void = () => undefined,
  ) => {
    const given = bench();
    await given.own();
    given.delivery.stale(given.activation, signal('stale', number, session));
    change(given);
    await given.environment.idle();
    return given.counts.commits;
  };
  assert.is(await told(5, 9), 1);
  assert.is(await told(5, 6), 1);
  assert.is(await told(5, 5), 0);
  assert.is(await told(4, 9), 0);
  assert.is(await told(5, 9, ({ activation }) => Object.assign(activation, { phase: 'dropped' })), 0);
  assert.is(await told(5, 9, ({ outbound }) => Object.assign(outbound, { session: 6 })), 0);
  assert.is(await told(5, 9, ({ activity, outbound }) => Object.assign(activity, { outbound: { ...outbound } })), 0);
  assert.is(await told(5, 9, ({ record, activity }) => record.activities.set(partner, { ...activity })), 0);
  const given = bench();
  given.delivery.stale(given.activation, { ...signal('stale', 9), from: 'stock/unknown' });
  given.activity.outbound = undefined;
  given.delivery.stale(given.activation, signal('stale', 9));
  await given.environment.idle();
  assert.is(given.counts.commits, 0);
});

test('A6: that the partner knows the later of two sessions, of which the earlier is sent, is no sign of lost history', async () => {
  const { delivery, activation, outbound, own, signs, environment, counts } = bench();
  await own();
  Object.assign(outbound, { sealed: [{ session: 5, end: 3 }], session: 6 });
  delivery.stale(activation, signal('stale', 6));
  await environment.idle();
  assert.equal([signs, counts.commits], [[], 1]);
});

test('P7, P8: of what was settled in a history that is gone only what had expired by then is a dead letter', async () => {
  const deadAt = async (ms: number) => {
    const { delivery, activation, record, own, environment } = bench({ lifeMs: 0 });
    await own();
    record.lineage = { ...record.lineage, start: 5 };
    environment.setClock(ms);
    delivery.stale(activation, signal('stale', 9));
    await environment.idle();
    return record.dead.size;
  };
  assert.is(await deadAt(0), 0);
  assert.is(await deadAt(1), 2);
});

test('Q1, Q3: what goes on takes off anew, and of the same stream with the floor where dead letters hold it', async () => {
  const goneOn = async (start: number, buried: number[]) => {
    const given = bench();
    const { delivery, activation, record, own, environment, release, flight } = given;
    await own();
    record.lineage = { ...record.lineage, start };
    release();
    Object.assign(flight(), { buried, attempts: 3 });
    const before = flight();
    delivery.stale(activation, signal('stale', 9));
    await environment.idle();
    assert.ok(activation.gathering?.sent?.has(given.activity), 'what it goes on with is to become durable');
    return { before, after: activation.flights?.get(partner) };
  };
  assert.is((await goneOn(5, [])).after, undefined);
  assert.is((await goneOn(0, [1])).after, undefined, 'it is another stream');
  const { before, after } = await goneOn(5, [1]);
  assert.is(after, before);
  const { stream, ...rest } = before;
  assert.equal(rest, {
    ...{ durable: 0, buried: [1], isClosing: false, transmitted: 0 },
    ...{ window: defaultLimits.windowCountMax, attempts: 0, retryAt: 0 },
  });
  assert.is(stream.session, 9);
});

test('V2: of a type whose sessions are forgotten with each stay it is no news that a partner knows a later one', async () => {
  const { delivery, activation, own, signs, environment, counts } = bench({ options: { durability: 'none' } });
  await own();
  delivery.stale(activation, signal('stale', 9));
  await environment.idle();
  assert.equal([signs, counts.commits], [[], 1]);
});

// ---- probes

test('Q3: the answer to a probe is heard of the first message of the session that is sent, when it can be of one', () => {
  const told = (number: number, session = 5, ms = skewMaxMs + 1) => {
    const { delivery, activation, record, environment } = bench({ lifeMs: 0 });
    environment.setClock(ms);
    delivery.probed(activation, signal('probed', number, session));
    return [record.dead.size, record.outboxCount];
  };
  assert.equal(told(-1), [1, 1]);
  assert.equal(told(-1, 4), [0, 2]);
  assert.equal(told(-1, 5, skewMaxMs), [0, 2]);
  assert.equal(told(-2), [0, 2]);
  assert.equal(told(1), [0, 1]);
  assert.equal(told(0), [0, 2]);
  const { delivery, activation, outbound, record, activity } = bench({ lifeMs: 0 });
  outbound.unacked.splice(0);
  delivery.probed(activation, signal('probed', -1));
  activity.outbound = undefined;
  delivery.probed(activation, signal('probed', -1));
  assert.is(record.dead.size, 0);
});

test('Q3: what expired is said to be in doubt only where its receiver may have forgotten it', () => {
  const reasonAfter = (ms: number) => {
    const { delivery, activation, record, environment, counts } = bench({ lifeMs: 0 });
    environment.setClock(ms);
    delivery.probed(activation, signal('probed', -1));
    assert.is(counts.commits, 1);
    assert.equal([...(activation.gathering?.sent?.keys() ?? [])].length, 1);
    const [letter] = record.dead.values();
    return [letter?.reason, letter?.id, letter?.at === environment.now()];
  };
  assert.equal(reasonAfter(doubtMs), ['it expired before its receiver processed it', '1', true]);
  assert.match(String(reasonAfter(doubtMs + 1)[0]), /in doubt/);
});

test('M8: only the first message of the session that is sent is given up as too large', () => {
  const told = (seq: number, session: number) => {
    const { delivery, activation, record } = bench();
    const envelope = { to: partner, arrival: { session, seq } } as unknown as MessageEnvelope;
    delivery.unsendable(activation, envelope, 5_000);
    return record.dead.size;
  };
  assert.equal([told(1, 5), told(2, 5), told(1, 4)], [1, 0, 0]);
  const { delivery, activation, activity, record } = bench();
  activity.outbound = undefined;
  delivery.unsendable(
    activation,
    { to: partner, arrival: { session: 5, seq: 1 } } as unknown as MessageEnvelope,
    5_000,
  );
  assert.is(record.dead.size, 0);
});

test.run();
