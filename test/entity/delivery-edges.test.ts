/** Delivery at its edges: what is sent, when, and what a flight remembers, one step at a time. */
import { newActivity, newOutbound } from '../../core/activity.ts';
import { defaultLimits } from '../../core/index.ts';
import { momentOf } from '../../runtime/environment.ts';
import { bench, content, near, partner, signal } from '../support/delivery-bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('delivery-edges');
const { retryMs, retryMsMax, trimIdleMs, skewMaxMs, doubtMs, transitMaxMs } = defaultLimits;

// ---- released

test('Q1: what became durable of another stream lets nothing of this one go', () => {
  const { delivery, activation, activity, sent, release } = bench();
  delivery.durable(activation, activity, { stream: newOutbound(4, 0), through: 2, isClosing: false });
  assert.equal(sent(), []);
  activity.outbound = undefined;
  release();
  assert.equal([sent(), activation.flights], [[], undefined]);
});

test('Q1, P12: what is durable goes, within the window and the session that is sent now, each once', () => {
  const { delivery, activation, activity, outbound, sent, release, flight } = bench({
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
  delivery.acknowledged(activation, signal('ack', 2));
  assert.equal(sent(), ['4>3'], 'what is in a later session waits');
  assert.is(activity.outbound, outbound);
});

test('a stream that is to end says so when nothing of it is left, and again, after pauses that leave time for the answer', () => {
  const { delivery, activation, activity, outbound, posted, sent, release, woken, environment } = bench();
  delivery.durable(activation, activity, { stream: outbound, through: 2, isClosing: true });
  assert.equal(sent(), ['1>1', '2>1']);
  outbound.unacked.splice(0);
  outbound.isClosing = true;
  activation.flights?.clear();
  activation.compact();
  delivery.durable(activation, activity, { stream: outbound, through: 2, isClosing: true });
  assert.equal(posted, [{ kind: 'close', to: partner, from: near, session: 5, number: 0 }]);
  assert.equal(sent(), ['close']);
  assert.is(woken.at(-1), environment.now() + Math.max(retryMs, 4 * trimIdleMs));
  release();
  assert.is(sent().length, 1, 'it is closing still');
});

// ---- buried

test('Q3: the floor passes no message that an operator has dropped before its dead letter is durable, and then tells so', () => {
  const { delivery, activation, activity, outbound, record, sent, release, flight } = bench({ count: 3 });
  release();
  sent();
  const [message] = outbound.unacked.splice(0, 1);
  assert.ok(message);
  delivery.withdrew(activation, { activity, outbound, message });
  const [second] = outbound.unacked.splice(0, 1);
  assert.ok(second);
  delivery.withdrew(activation, { activity, outbound, message: second });
  assert.equal([flight().buried, record.dead.size], [[1, 2], 0]);
  const buried = activation.gathering?.buried ?? [];
  assert.equal(
    buried.map(({ seq }) => seq),
    [1, 2],
  );
  delivery.hasten(activation, () => true);
  const [one, two] = buried;
  assert.ok(one && two);
  delivery.buried(activation, one);
  assert.equal([flight().buried, sent()], [[2], []], 'the second is not durable yet');
  delivery.buried(activation, two);
  assert.equal([flight().buried, sent()], [[], ['3>3']]);
});

test('Q1: that a message was dropped makes none of the others durable', () => {
  const { delivery, activation, activity, outbound, flight } = bench();
  const [, message] = outbound.unacked.splice(0);
  assert.ok(message);
  delivery.withdrew(activation, { activity, outbound, message });
  assert.equal([flight().durable, flight().transmitted], [0, 0]);
});

test('Q3: what was dropped behind others, of another stream, or before what was never sent, is told of by what is sent anyway', () => {
  const dropped = (seq: number, transmitted: number) => {
    const given = bench({ count: 3 });
    given.release(transmitted);
    given.sent();
    const [message] = given.outbound.unacked.splice(seq - 1, 1);
    assert.ok(message);
    given.delivery.withdrew(given.activation, { activity: given.activity, outbound: given.outbound, message });
    return { ...given, buried: { activity: given.activity, flight: given.flight(), seq } };
  };
  const behind = dropped(2, 3);
  behind.delivery.buried(behind.activation, behind.buried);
  assert.equal(behind.sent(), []);
  const other = dropped(1, 3);
  other.activity.outbound = { ...other.outbound, session: 6 };
  other.delivery.buried(other.activation, other.buried);
  assert.equal(other.sent(), []);
  other.activity.outbound = undefined;
  other.delivery.buried(other.activation, other.buried);
  assert.equal(other.sent(), []);
  const unsent = dropped(1, 1);
  unsent.delivery.buried(unsent.activation, unsent.buried);
  assert.equal(unsent.sent(), []);
  const last = dropped(1, 2);
  last.delivery.buried(last.activation, last.buried);
  assert.equal(last.sent(), ['2>2'], 'the last one that was sent');
});

// ---- after a read

test('Q2: after a read what is in outboxes goes, and streams that are ending say so; of others there is no flight', async () => {
  const { delivery, activation, outbound, record, own, sent, environment } = bench();
  await own();
  record.activities.set('stock/quiet', { ...newActivity('stock/quiet'), outbound: newOutbound(7, 0) });
  record.activities.set('stock/none', newActivity('stock/none'));
  const ending = { ...newOutbound(8, 0), isClosing: true };
  record.activities.set('stock/ending', { ...newActivity('stock/ending'), outbound: ending });
  delivery.resume(activation);
  await environment.advance(1);
  assert.equal(sent(), ['1>1', '2>1', 'close']);
  assert.equal([...(activation.flights?.keys() ?? [])], [partner, 'stock/ending']);
  outbound.unacked.splice(0);
  ending.isClosing = false;
  activation.flights?.clear();
  activation.compact();
  delivery.resume(activation);
  assert.is(activation.flights, undefined);
});

test('Q2: one message is enough to go after a read, once, however often the entity becomes ready meanwhile', async () => {
  const { delivery, activation, own, sent, environment } = bench({ count: 1 });
  await own();
  delivery.resume(activation);
  assert.ok(activation.flights, 'it is seen to be under way');
  await environment.advance(1);
  assert.equal(sent(), ['1>1']);
});

test('E3: who is not the owner after a read asks again after retryMs, unless the activation is gone', async () => {
  for (const isGone of [false, true]) {
    const { delivery, activation, own, sent, environment } = bench();
    delivery.resume(activation);
    await environment.advance(retryMs - 1);
    assert.equal(sent(), []);
    await own();
    if (isGone) activation.drop();
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
  const { environment, release, posted } = bench({ lifeMs: 0 });
  environment.setClock(skewMaxMs + 1);
  release();
  assert.equal(posted, [{ kind: 'probe', to: partner, from: near, session: 5, number: 1 }]);
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
  const { delivery, activation, own, release, sent, flight, environment } = bench({ count: 40 });
  await own();
  release();
  sent();
  const due = environment.now() + retryMs;
  assert.is(delivery.retry(activation, due - 1), due);
  assert.equal(sent(), []);
  await environment.advance(retryMs);
  assert.is(delivery.retry(activation, due), Number.POSITIVE_INFINITY);
  assert.equal(sent().length, 16);
  assert.equal([flight().attempts, flight().window, flight().retryAt], [1, 16, due + 2 * retryMs]);
  flight().attempts = 30;
  await environment.advance(2 * retryMs);
  delivery.retry(activation, environment.now());
  assert.is(flight().retryAt, environment.now() + retryMsMax);
});

test('Q2: of several partners those that are due are sent to, and the first date of the others is told', async () => {
  const { delivery, activation, activity, own, release, sent, flight, environment } = bench();
  await own();
  release();
  sent();
  const now = environment.now();
  const add = (name: string, retryAt: number) => activation.flights?.set(name, { ...flight(), retryAt });
  add('stock/later', now + 9_000);
  add('stock/soon', now + 4_000);
  add('stock/never', 0);
  flight().retryAt = now;
  assert.is(delivery.retry(activation, now), now + 4_000);
  assert.equal(sent(), ['1>1', '2>1']);
  assert.is(activation.flights?.get('stock/never')?.retryAt, 0);
  assert.ok(activity.outbound);
  activation.flights?.clear();
  activation.compact();
  assert.is(delivery.retry(activation, now), Number.POSITIVE_INFINITY);
});

test('where nothing is due nobody is asked for a proof, however old the last one is', async () => {
  const { delivery, activation, own, release, store, flight, environment } = bench();
  await own();
  release();
  let asked = 0;
  const epochs = store.epochs.bind(store);
  store.epochs = (partitions) => {
    asked += 1;
    return epochs(partitions);
  };
  await environment.advance(transitMaxMs);
  flight().retryAt = environment.now() + 1;
  assert.is(delivery.retry(activation, environment.now()), environment.now() + 1);
  await environment.idle();
  assert.is(asked, 0);
});

test('O1: a proof that is an eighth of the longest transit old is renewed first; without one all is planned anew', async () => {
  const later = async (ms: number) => {
    const given = bench({ lifeMs: 600_000 });
    await given.own();
    given.release();
    given.sent();
    await given.environment.advance(ms);
    given.delivery.retry(given.activation, given.environment.now());
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
  for (const isLost of [false, true]) {
    const gone = await later(transitMaxMs / 8);
    if (isLost) await gone.store.claim([0], 'another');
    gone.activation.drop();
    gone.woken.splice(0);
    await gone.environment.idle();
    assert.equal([gone.sent(), gone.woken], [[], []]);
  }
  const anew = await later(transitMaxMs / 8);
  anew.activation.flights?.set(partner, { ...anew.flight() });
  await anew.environment.idle();
  assert.equal([anew.sent(), anew.flight().attempts], [[], 0], 'what took off meanwhile flies on');
});

test('a flight whose stream has ended, was replaced, or is quiet is over when it is due', async () => {
  const after = async (change: (given: ReturnType<typeof bench>) => void) => {
    const given = bench();
    await given.own();
    given.release();
    given.sent();
    given.flight().retryAt = given.environment.now();
    change(given);
    given.delivery.retry(given.activation, given.environment.now());
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
    given.delivery.retry(given.activation, given.environment.now());
    return [...given.record.dead.values()].map(({ reason }) => reason);
  };
  assert.equal(await after(skewMaxMs + doubtMs), []);
  assert.equal(await after(skewMaxMs + doubtMs + 1), [
    'it expired, in doubt: its receiver cannot tell whether it processed the message',
  ]);
});

test('P7: what moved is sent again at once, unless it is due anyway or never', () => {
  const { delivery, activation, release, flight, environment, woken } = bench();
  release();
  const now = environment.now();
  flight().attempts = 3;
  woken.splice(0);
  delivery.hasten(activation, () => false);
  assert.equal([flight().attempts, woken], [3, []]);
  for (const retryAt of [0, now]) {
    flight().retryAt = retryAt;
    delivery.hasten(activation, () => true);
    assert.equal([flight().attempts, flight().retryAt, woken], [3, retryAt, []]);
  }
  flight().retryAt = now + 1;
  delivery.hasten(activation, (name) => name === partner);
  assert.equal([flight().attempts, flight().retryAt, woken], [0, now, [now]]);
});

test('CR1: who is told of room sends as much at once, and who is told of none waits for it, and not for ever', () => {
  const { delivery, activation, release, flight, environment, woken } = bench({ limits: { windowCountMax: 8 } });
  delivery.invited(activation, signal('room', 1));
  assert.is(activation.flights, undefined);
  release();
  const now = environment.now();
  const told = (number: number, attempts = 2) => {
    flight().attempts = attempts;
    flight().retryAt = now + 100;
    woken.splice(0);
    delivery.invited(activation, signal('room', number));
    return [flight().window, flight().attempts, flight().retryAt - now, woken.map((at) => at - now)];
  };
  assert.equal(told(3), [3, 0, 0, [0]]);
  assert.equal(told(1), [1, 0, 0, [0]]);
  assert.equal(told(9), [8, 0, 0, [0]]);
  assert.equal(told(0), [1, 4, 16 * retryMs, [16 * retryMs]]);
  assert.equal(told(0, 5), [1, 5, Math.min(32 * retryMs, retryMsMax), [Math.min(32 * retryMs, retryMsMax)]]);
  flight().retryAt = 0;
  flight().window = 7;
  delivery.invited(activation, signal('room', 2));
  assert.equal([flight().window, flight().retryAt], [7, 0], 'a proof is under way, and it goes with that');
});

test.run();
