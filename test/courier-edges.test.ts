/**
 * The courier at its edges: what is sent, when, and what a flight remembers, one step at a time.
 *
 * Longer than 400 lines because all of it is of one bench, whose parts each test looks at.
 */
import { type Content, lineageOf, newActivity, newOutbound, type Outbound } from '../core/activity.ts';
import type { BehaviourOptions } from '../core/behaviour.ts';
import { behaviour, command, defaultLimits, entity, type Limits } from '../core/index.ts';
import { recordName } from '../core/record.ts';
import { Activation, type Flight } from '../runtime/activation.ts';
import { Courier, type Sign } from '../runtime/courier.ts';
import type { Envelope, MessageEnvelope, StreamEnvelope } from '../runtime/envelope.ts';
import { momentOf } from '../runtime/environment.ts';
import { Ownership } from '../runtime/ownership.ts';
import { freshRecord } from '../runtime/restoring.ts';
import { MemoryStore } from '../runtime/stores/memory.ts';
import { HandEnvironment } from './support/hand.ts';
import { assert, suite } from './support/suite.ts';

const test = suite('courier-edges');

const Stock = entity('stock', { initial: () => ({}), operations: { take: command() } });
const partner = 'stock/far';
const near = 'stock/near';
const content: Content = {
  ...{ kind: 'operation', operation: 'take', payload: new Uint8Array(0), hold: '', wantsAnswer: false },
};
const { retryMs, retryMsMax, trimIdleMs, skewMaxMs, doubtMs, transitMaxMs } = defaultLimits;

interface Given {
  readonly lifeMs?: number;
  readonly limits?: Partial<Limits>;
  readonly options?: BehaviourOptions;
  readonly count?: number;
}

/** A courier, and an entity with so many messages of session 5 in its outbox. No chance in its pauses. */
function bench({ lifeMs = 60_000, limits = {}, options = {}, count = 2 }: Given = {}) {
  const environment = new HandEnvironment();
  environment.random = () => 0.5;
  const [posted, signs, woken]: [Envelope[], Sign[], number[]] = [[], [], []];
  const counts = { commits: 0 };
  const store = new MemoryStore({ partitions: 1 });
  const ownership = new Ownership(store, environment, () => undefined);
  const courier = new Courier({
    environment,
    limits: { ...defaultLimits, ...limits },
    ownership,
    post: (envelope) => void posted.push(envelope),
    wakeBy: (_, at) => void woken.push(at),
    noticed: (sign) => void signs.push(sign),
    commit: () => {
      counts.commits += 1;
    },
  });
  const activation = new Activation(near, 0, behaviour(Stock, { take: () => undefined }, options));
  activation.record = freshRecord(near, activation.behaviour);
  // Its own: sessions that it opens are no other test's.
  activation.record.lineage = lineageOf('edges', 0);
  activation.phase = 'ready';
  const expires = environment.now() + lifeMs;
  const unacked = Array.from({ length: count }, (_, index) => ({ seq: index + 1, expires, content }));
  const outbound: Outbound = { ...newOutbound(5, 0), next: count + 1, unacked };
  const activity = { ...newActivity(partner), outbound: outbound as Outbound | undefined };
  activation.record.activities.set(partner, activity);
  activation.record.outboxCount = count;
  const flight = () => activation.flights?.get(partner) as Flight;
  /** Numbers of the messages that were posted since it was asked last, each with the floor that it tells. */
  const sent = () =>
    posted.splice(0).map((one) => (one.kind === 'message' ? `${one.arrival.seq}>${one.arrival.floor}` : one.kind));
  const own = async () => {
    const [claim] = await store.claim([0], 'this worker');
    ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
  };
  const release = (through = count) =>
    courier.released(activation, activity, { stream: outbound, through, isClosing: false });
  const record = activation.record;
  const it = { environment, store, ownership, courier, activation, activity, outbound, record, flight };
  return { ...it, posted, signs, woken, counts, sent, own, release, expires };
}

const signal = (kind: StreamEnvelope['kind'], number: number, session = 5): StreamEnvelope => ({
  ...{ kind, to: near, from: partner, session, number },
});

// ---- released

test('Q1: what became durable of another stream lets nothing of this one go', () => {
  const { courier, activation, activity, sent, release } = bench();
  courier.released(activation, activity, { stream: newOutbound(4, 0), through: 2, isClosing: false });
  assert.equal(sent(), []);
  activity.outbound = undefined;
  release();
  assert.equal([sent(), activation.flights], [[], undefined]);
});

test('Q1, P12: what is durable goes, within the window and the session that is sent now, each once', () => {
  const { courier, activation, activity, outbound, sent, release, flight } = bench({
    count: 6,
    limits: { windowCountMax: 3 },
  });
  release(2);
  assert.equal(sent(), ['1>1', '2>1']);
  release(6);
  assert.equal(sent(), ['3>1']);
  assert.equal([flight().transmitted, flight().durable, flight().window], [3, 6, 3]);
  release(1);
  assert.equal([sent(), flight().durable], [[], 6]);
  outbound.sealed = [{ session: 5, end: 5 }];
  outbound.session = 6;
  courier.acknowledged(activation, signal('ack', 2));
  assert.equal(sent(), ['4>3'], 'what is in a later session waits');
  assert.is(activity.outbound, outbound);
});

test('a stream that is to end says so when nothing of it is left, and again, after pauses that leave time for the answer', () => {
  const { courier, activation, activity, outbound, sent, release, woken, environment } = bench();
  courier.released(activation, activity, { stream: outbound, through: 2, isClosing: true });
  assert.equal(sent(), ['1>1', '2>1']);
  outbound.unacked.splice(0);
  outbound.isClosing = true;
  activation.flights = undefined;
  courier.released(activation, activity, { stream: outbound, through: 2, isClosing: true });
  assert.equal(sent(), ['close']);
  assert.is(woken.at(-1), environment.now() + Math.max(retryMs, 4 * trimIdleMs));
  release();
  assert.is(sent().length, 1, 'it is closing still');
});

// ---- buried

test('Q3: the floor passes no message that an operator has dropped before its dead letter is durable, and then tells so', () => {
  const { courier, activation, activity, outbound, record, sent, release, flight } = bench({ count: 3 });
  release();
  sent();
  const [message] = outbound.unacked.splice(0, 1);
  assert.ok(message);
  courier.withdrew(activation, { activity, outbound, message });
  const [second] = outbound.unacked.splice(0, 1);
  assert.ok(second);
  courier.withdrew(activation, { activity, outbound, message: second });
  assert.equal([flight().buried, record.dead.size], [[1, 2], 0]);
  const buried = activation.gathering?.buried ?? [];
  assert.equal(
    buried.map(({ seq }) => seq),
    [1, 2],
  );
  courier.hasten(activation, () => true);
  const [one, two] = buried;
  assert.ok(one && two);
  courier.buried(activation, one);
  assert.equal([flight().buried, sent()], [[2], []], 'the second is not durable yet');
  courier.buried(activation, two);
  assert.equal([flight().buried, sent()], [[], ['3>3']]);
});

test('Q3: what was dropped behind others, of another stream, or before what was never sent, is told of by what is sent anyway', () => {
  const dropped = (seq: number, transmitted: number) => {
    const given = bench({ count: 3 });
    given.release(transmitted);
    given.sent();
    const [message] = given.outbound.unacked.splice(seq - 1, 1);
    assert.ok(message);
    given.courier.withdrew(given.activation, { activity: given.activity, outbound: given.outbound, message });
    return { ...given, buried: { activity: given.activity, flight: given.flight(), seq } };
  };
  const behind = dropped(2, 3);
  behind.courier.buried(behind.activation, behind.buried);
  assert.equal(behind.sent(), []);
  const other = dropped(1, 3);
  other.activity.outbound = { ...other.outbound, session: 6 };
  other.courier.buried(other.activation, other.buried);
  assert.equal(other.sent(), []);
  other.activity.outbound = undefined;
  other.courier.buried(other.activation, other.buried);
  assert.equal(other.sent(), []);
  const unsent = dropped(1, 1);
  unsent.courier.buried(unsent.activation, unsent.buried);
  assert.equal(unsent.sent(), []);
  const last = dropped(1, 2);
  last.courier.buried(last.activation, last.buried);
  assert.equal(last.sent(), ['2>2'], 'the last one that was sent');
});

// ---- after a read

test('Q2: after a read what is in outboxes goes, and streams that are ending say so; of others there is no flight', async () => {
  const { courier, activation, outbound, record, own, sent, environment } = bench();
  await own();
  record.activities.set('stock/quiet', { ...newActivity('stock/quiet'), outbound: newOutbound(7, 0) });
  record.activities.set('stock/none', newActivity('stock/none'));
  const ending = { ...newOutbound(8, 0), isClosing: true };
  record.activities.set('stock/ending', { ...newActivity('stock/ending'), outbound: ending });
  courier.resume(activation);
  await environment.advance(1);
  assert.equal(sent(), ['1>1', '2>1', 'close']);
  assert.equal([...(activation.flights?.keys() ?? [])], [partner, 'stock/ending']);
  outbound.unacked.splice(0);
  ending.isClosing = false;
  activation.flights = undefined;
  courier.resume(activation);
  assert.is(activation.flights, undefined);
});

test('E3: who is not the owner after a read asks again after retryMs, unless the activation is gone', async () => {
  for (const isGone of [false, true]) {
    const { courier, activation, own, sent, environment } = bench();
    courier.resume(activation);
    await environment.advance(retryMs - 1);
    assert.equal(sent(), []);
    await own();
    if (isGone) activation.phase = 'dropped';
    await environment.advance(retryMs);
    assert.equal(sent(), isGone ? [] : ['1>1', '2>1']);
  }
});

// ---- sending

test('Q3, P7: at its last moment a message goes, after it none, and the receiver is asked once it refuses by its own clock', () => {
  const at = (ms: number) => {
    const { environment, release, sent } = bench({ lifeMs: 0 });
    environment.setClock(ms);
    release();
    return sent();
  };
  assert.equal(at(0), ['1>1', '2>1']);
  assert.equal(at(1), []);
  assert.equal(at(skewMaxMs), []);
  assert.equal(at(skewMaxMs + 1), ['probe'], 'of the first alone');
});

test('a message says who sends it, to whom, since when it is proved, and nothing of a call', () => {
  const { environment, ownership, release, posted, expires, outbound } = bench();
  ownership.take(0, 1, { now: environment.now() - 7, steady: environment.steady() - 7 });
  outbound.sealed = [{ session: 4, end: 2 }];
  release();
  assert.equal(posted, [
    {
      ...{ kind: 'message', to: partner, from: near, replyTo: '', call: 0, identity: '', content },
      arrival: { session: 4, seq: 1, floor: 1, expires, sent: environment.now() - 7, keepMs: 0 },
    },
  ]);
});

// ---- again

test('Q2: what is due is sent again from its beginning, in a small window, and later each time', async () => {
  const { courier, activation, own, release, sent, flight, environment } = bench({ count: 40 });
  await own();
  release();
  sent();
  const due = environment.now() + retryMs;
  assert.is(courier.retry(activation, due - 1), due);
  assert.equal(sent(), []);
  await environment.advance(retryMs);
  assert.is(courier.retry(activation, due), Number.POSITIVE_INFINITY);
  assert.equal(sent().length, 16);
  assert.equal([flight().attempts, flight().window, flight().retryAt], [1, 16, due + 2 * retryMs]);
  flight().attempts = 30;
  await environment.advance(2 * retryMs);
  courier.retry(activation, environment.now());
  assert.is(flight().retryAt, environment.now() + retryMsMax);
});

test('Q2: of several partners those that are due are sent to, and the first date of the others is told', async () => {
  const { courier, activation, activity, own, release, sent, flight, environment } = bench();
  await own();
  release();
  sent();
  const now = environment.now();
  const add = (name: string, retryAt: number) => activation.flights?.set(name, { ...flight(), retryAt });
  add('stock/later', now + 9_000);
  add('stock/soon', now + 4_000);
  add('stock/never', 0);
  flight().retryAt = now;
  assert.is(courier.retry(activation, now), now + 4_000);
  assert.equal(sent(), ['1>1', '2>1']);
  assert.is(activation.flights?.get('stock/never')?.retryAt, 0);
  assert.ok(activity.outbound);
  activation.flights = undefined;
  assert.is(courier.retry(activation, now), Number.POSITIVE_INFINITY);
});

test('O1: a proof that is an eighth of the longest transit old is renewed first; without one all is planned anew', async () => {
  const later = async (ms: number) => {
    const given = bench({ lifeMs: 600_000 });
    await given.own();
    given.release();
    given.sent();
    await given.environment.advance(ms);
    given.courier.retry(given.activation, given.environment.now());
    return given;
  };
  const young = await later(transitMaxMs / 8 - 1);
  assert.is(young.sent().length, 2);
  const old = await later(transitMaxMs / 8);
  assert.equal([old.sent(), old.flight().retryAt], [[], 0]);
  await old.environment.idle();
  assert.is(old.sent().length, 2);
  const lost = await later(transitMaxMs / 8);
  await lost.store.claim([0], 'another');
  await lost.environment.idle();
  const at = lost.environment.now() + retryMs;
  assert.equal([lost.sent(), lost.flight().retryAt, lost.woken.at(-1)], [[], at, at]);
  const gone = await later(transitMaxMs / 8);
  gone.activation.phase = 'dropped';
  await gone.environment.idle();
  assert.equal(gone.sent(), []);
});

test('a flight whose stream has ended, was replaced, or is quiet is over when it is due', async () => {
  const after = async (change: (given: ReturnType<typeof bench>) => void) => {
    const given = bench();
    await given.own();
    given.release();
    given.sent();
    given.flight().retryAt = given.environment.now();
    change(given);
    given.courier.retry(given.activation, given.environment.now());
    return [given.activation.flights?.has(partner), given.sent()];
  };
  assert.equal(await after(() => undefined), [true, ['1>1', '2>1']]);
  assert.equal(await after(({ record }) => record.activities.clear()), [false, []]);
  assert.equal(await after(({ activity }) => Object.assign(activity, { outbound: undefined })), [false, []]);
  assert.equal(await after(({ activity, outbound }) => Object.assign(activity, { outbound: { ...outbound } })), [
    false,
    [],
  ]);
  assert.equal(await after(({ outbound }) => outbound.unacked.splice(0)), [false, []]);
  const ending = ({ outbound, flight }: ReturnType<typeof bench>) => {
    outbound.unacked.splice(0);
    outbound.isClosing = true;
    flight().isClosing = true;
  };
  assert.equal(await after(ending), [true, ['close']]);
});

test('Q3: a message in doubt becomes a dead letter when its receiver may have forgotten it, and not before', async () => {
  const after = async (ms: number) => {
    const given = bench({ lifeMs: 0, count: 1 });
    await given.own();
    given.release();
    given.environment.setClock(ms);
    given.ownership.take(0, given.ownership.epochOf(0), momentOf(given.environment));
    given.flight().retryAt = 1;
    given.courier.retry(given.activation, given.environment.now());
    return [...given.record.dead.values()].map(({ reason }) => reason);
  };
  assert.equal(await after(skewMaxMs + doubtMs), []);
  assert.equal(await after(skewMaxMs + doubtMs + 1), [
    'it expired, in doubt: its receiver cannot say whether it processed it',
  ]);
});

test('P7: what moved is sent again at once, unless it is due anyway or never', () => {
  const { courier, activation, release, flight, environment, woken } = bench();
  release();
  const now = environment.now();
  flight().attempts = 3;
  woken.splice(0);
  courier.hasten(activation, () => false);
  assert.equal([flight().attempts, woken], [3, []]);
  for (const retryAt of [0, now]) {
    flight().retryAt = retryAt;
    courier.hasten(activation, () => true);
    assert.equal([flight().attempts, flight().retryAt, woken], [3, retryAt, []]);
  }
  flight().retryAt = now + 1;
  courier.hasten(activation, (name) => name === partner);
  assert.equal([flight().attempts, flight().retryAt, woken], [0, now, [now]]);
});

test('CR1: who is told of room sends as much at once, and who is told of none waits for it, and not for ever', () => {
  const { courier, activation, release, flight, environment, woken } = bench({ limits: { windowCountMax: 8 } });
  courier.invited(activation, signal('room', 1));
  assert.is(activation.flights, undefined);
  release();
  const now = environment.now();
  const told = (number: number, attempts = 2) => {
    flight().attempts = attempts;
    flight().retryAt = now + 100;
    woken.splice(0);
    courier.invited(activation, signal('room', number));
    return [flight().window, flight().attempts, flight().retryAt - now, woken.map((at) => at - now)];
  };
  assert.equal(told(3), [3, 0, 0, [0]]);
  assert.equal(told(1), [1, 0, 0, [0]]);
  assert.equal(told(9), [8, 0, 0, [0]]);
  assert.equal(told(0), [1, 4, 16 * retryMs, [16 * retryMs]]);
  assert.equal(told(0, 5), [1, 5, Math.min(32 * retryMs, retryMsMax), [Math.min(32 * retryMs, retryMsMax)]]);
  flight().retryAt = 0;
  flight().window = 7;
  courier.invited(activation, signal('room', 2));
  assert.equal([flight().window, flight().retryAt], [7, 0], 'a proof is under way, and it goes with that');
});

// ---- acknowledgements

test('what is acknowledged leaves outbox and store, doubles the window, and lets the next go', () => {
  const { courier, activation, record, release, sent, flight, woken, environment } = bench({
    count: 6,
    limits: { windowCountMax: 3 },
  });
  release();
  sent();
  flight().attempts = 2;
  flight().window = 1;
  woken.splice(0);
  courier.acknowledged(activation, signal('ack', 2));
  assert.equal([flight().attempts, flight().window], [0, 2]);
  assert.equal(sent(), ['4>3']);
  assert.is(record.outboxCount, 4);
  const { records } = record.changes;
  assert.equal(
    [1, 2, 3].map((seq) => records.get(recordName.outbox(partner, seq))),
    [null, null, undefined],
  );
  assert.is(records.get(recordName.activity(partner)), 'activity');
  assert.equal([activation.trimAt, woken], [environment.now() + trimIdleMs, [environment.now() + trimIdleMs]]);
  courier.acknowledged(activation, signal('ack', 3));
  assert.equal([flight().window, sent()], [3, ['5>4', '6>4']]);
  assert.is(woken.length, 1, 'it is planned');
  courier.acknowledged(activation, signal('ack', 3));
  assert.equal([sent(), record.outboxCount], [[], 3], 'told again it says nothing');
  courier.acknowledged(activation, signal('ack', 6));
  assert.equal([activation.flights?.has(partner), record.outboxCount], [false, 0]);
  courier.acknowledged(activation, { ...signal('ack', 6), from: 'stock/unknown' });
});

test('Q3: an acknowledgement before one that was dropped has the floor told again', () => {
  const { courier, activation, outbound, release, sent, flight } = bench({ count: 4 });
  release();
  sent();
  outbound.unacked.splice(1, 1);
  courier.acknowledged(activation, signal('ack', 1));
  assert.equal(sent(), ['3>3']);
  courier.acknowledged(activation, signal('ack', 3));
  assert.equal(sent(), [], 'the next one was sent behind it');
  assert.is(flight().transmitted, 4);
});

test('A6, P8: of the present lineage an acknowledgement beyond it is another’s number; of an earlier one history was lost', async () => {
  const { courier, activation, record, own, signs } = bench();
  await own();
  record.lineage = { ...record.lineage, start: 5 };
  courier.acknowledged(activation, signal('ack', 3));
  assert.equal([signs.length, record.outboxCount], [1, 0]);
  const other = bench();
  await other.own();
  other.record.lineage = { ...other.record.lineage, start: 4 };
  other.courier.acknowledged(other.activation, signal('ack', 3));
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
    given.courier.stale(given.activation, signal('stale', number, session));
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
  given.courier.stale(given.activation, { ...signal('stale', 9), from: 'stock/unknown' });
  given.activity.outbound = undefined;
  given.courier.stale(given.activation, signal('stale', 9));
  await given.environment.idle();
  assert.is(given.counts.commits, 0);
});

test('V2: of a type whose sessions are forgotten with each stay it is no news that a partner knows a later one', async () => {
  const { courier, activation, own, signs, environment, counts } = bench({ options: { durability: 'none' } });
  await own();
  courier.stale(activation, signal('stale', 9));
  await environment.idle();
  assert.equal([signs, counts.commits], [[], 1]);
});

// ---- probes

test('Q3: the answer to a probe is heard of the first message of the session that is sent, when it can be of one', () => {
  const told = (number: number, session = 5, ms = skewMaxMs + 1) => {
    const { courier, activation, record, environment } = bench({ lifeMs: 0 });
    environment.setClock(ms);
    courier.probed(activation, signal('probed', number, session));
    return [record.dead.size, record.outboxCount];
  };
  assert.equal(told(-1), [1, 1]);
  assert.equal(told(-1, 4), [0, 2]);
  assert.equal(told(-1, 5, skewMaxMs), [0, 2]);
  assert.equal(told(-2), [0, 2]);
  assert.equal(told(1), [0, 1]);
  assert.equal(told(0), [0, 2]);
  const { courier, activation, outbound, record, activity } = bench({ lifeMs: 0 });
  outbound.unacked.splice(0);
  courier.probed(activation, signal('probed', -1));
  activity.outbound = undefined;
  courier.probed(activation, signal('probed', -1));
  assert.is(record.dead.size, 0);
});

test('Q3: what expired is said to be in doubt only where its receiver may have forgotten it', () => {
  const reasonAfter = (ms: number) => {
    const { courier, activation, record, environment, counts } = bench({ lifeMs: 0 });
    environment.setClock(ms);
    courier.probed(activation, signal('probed', -1));
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
    const { courier, activation, record } = bench();
    const envelope = { to: partner, arrival: { session, seq } } as unknown as MessageEnvelope;
    courier.unsendable(activation, envelope, 5_000);
    return record.dead.size;
  };
  assert.equal([told(1, 5), told(2, 5), told(1, 4)], [1, 0, 0]);
  const { courier, activation, activity, record } = bench();
  activity.outbound = undefined;
  courier.unsendable(activation, { to: partner, arrival: { session: 5, seq: 1 } } as unknown as MessageEnvelope, 5_000);
  assert.is(record.dead.size, 0);
});

test.run();
