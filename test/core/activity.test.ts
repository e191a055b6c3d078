/**
 * The verdicts on arrivals and the forgetting of records: exhaustively over small domains, and as a model of one pair.
 *
 * Longer than 400 lines because the models of both sides share their makers of arrivals and records.
 */
import {
  type Activity,
  type Arrival,
  accept,
  acknowledge,
  type Content,
  excess,
  floorOf,
  frontEndOf,
  frontOf,
  type Inbound,
  isBeyond,
  isOver,
  isReached,
  judge,
  keepAnswer,
  keepsTooMuch,
  keptAnswer,
  known,
  lineageOf,
  lineageOfStay,
  mayClose,
  mayForget,
  newActivity,
  newOutbound,
  type Outbound,
  type OutboxMessage,
  overtaken,
  send,
  sessionOf,
  unackedOf,
  type Verdict,
  withdraw,
} from '../../core/activity.ts';
import { defaultLimits, type Limits } from '../../core/limits.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('activity');
const limits: Limits = { ...defaultLimits, transitMaxMs: 100, skewMaxMs: 10, doubtMs: 50, closeIdleMs: 40 };
const content: Content = {
  kind: 'operation',
  operation: 'add',
  payload: new Uint8Array(0),
  hold: '',
  wantsAnswer: false,
};

const arrivalOf = (change: Partial<Arrival>): Arrival => ({
  session: 1,
  seq: 1,
  floor: 1,
  expires: 1_000,
  sent: 0,
  keepMs: 0,
  ...change,
});
const inboundOf = (change: Partial<Inbound>): Inbound => ({
  session: 1,
  through: 0,
  keepUntil: 1_000,
  closedAt: 0,
  answers: [],
  ...change,
});
const to = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

function* arrivals(): Generator<Arrival> {
  for (const session of to(3))
    for (const seq of to(5)) for (const floor of to(seq)) yield arrivalOf({ session, seq, floor });
}

/** The rule said in another way: what is between the last processed one and this one must have been given up. */
function expected(inbound: Inbound | undefined, { session, seq, floor }: Arrival): Verdict {
  if (inbound !== undefined && session < inbound.session) return 'stale';
  const isKnown = inbound !== undefined && session === inbound.session;
  if (isKnown && seq <= inbound.through) return 'duplicate';
  const waited = to(seq - 1).filter((before) => before >= floor && (!isKnown || before > inbound.through));
  return waited.length === 0 ? 'next' : 'ahead';
}

test('A1, A4: over all small sessions, numbers and floors the verdict is the rule', () => {
  let count = 0;
  for (const arrival of arrivals()) {
    assert.is(judge(undefined, arrival, 50, limits), expected(undefined, arrival));
    for (const session of to(3))
      for (let through = 0; through <= 5; through++) {
        const inbound = inboundOf({ session, through });
        assert.is(
          judge(inbound, arrival, 50, limits),
          expected(inbound, arrival),
          JSON.stringify({ inbound, arrival }),
        );
        count += 1;
      }
  }
  assert.is(count, 3 * 15 * 3 * 6);
});

test('A1: a first contact is processed only from its floor on', () => {
  assert.is(judge(undefined, arrivalOf({ seq: 7, floor: 7 }), 0, limits), 'next');
  assert.is(judge(undefined, arrivalOf({ seq: 7, floor: 6 }), 0, limits), 'ahead');
});

test('A1: what a call is behind counts in its own session, when everything up to there was processed', () => {
  const inbound: Inbound = { session: 2, through: 3, keepUntil: 500, closedAt: 0, answers: [] };
  for (const session of [1, 2, 3])
    for (const behind of [undefined, 1, 2, 3, 4, 5]) {
      const expected = session === 2 && behind !== undefined && behind <= 3;
      assert.is(isReached(inbound, arrivalOf({ session, seq: 7 }), behind), expected, `${session} ${behind}`);
    }
  assert.not.ok(isReached(undefined, arrivalOf({ seq: 7 }), 0));
});

test('A2: a copy is refused past its own dates, and at their edges still taken, whatever is remembered', () => {
  for (const inbound of [undefined, inboundOf({}), inboundOf({ through: 1 }), inboundOf({ session: 2 })]) {
    assert.is.not(judge(inbound, arrivalOf({ expires: 60 }), 60, limits), 'expired');
    assert.is(judge(inbound, arrivalOf({ expires: 60 }), 61, limits), 'expired');
    assert.is.not(judge(inbound, arrivalOf({ sent: 20 }), 120, limits), 'expired');
    assert.is(judge(inbound, arrivalOf({ sent: 20 }), 121, limits), 'expired');
  }
});

test('A7: what asks to be remembered for longer than lifeMsMax, by its date or by its key, is excessive; at the edge it is not', () => {
  const bounded = { ...limits, lifeMsMax: 5_000 };
  const verdict = (change: Partial<Arrival>) => judge(undefined, arrivalOf(change), 50, bounded);
  const edge = 50 + bounded.lifeMsMax + bounded.skewMaxMs;
  assert.equal([verdict({ expires: edge }), verdict({ expires: edge + 1 })], ['next', 'excessive']);
  assert.equal([verdict({ keepMs: 5_000 }), verdict({ keepMs: 5_001 })], ['next', 'excessive']);
  assert.match(String(excess(arrivalOf({ expires: 9_050, keepMs: 7 }), 50, bounded)), / 9000 ms; lifeMsMax is 5000/);
});

test('P12: answers that nobody can ask for any more make no client hear of a full store', () => {
  const activity = newActivity('@c');
  const keep = (seq: number, until: number) =>
    keepAnswer(accept(activity, arrivalOf({ seq, floor: 1 }), 0, limits), { seq, bytes: new Uint8Array(10), until });
  keep(1, 1_000);
  for (const seq of [2, 3, 4]) keep(seq, 10);
  const over = (now: number) => keepsTooMuch(activity.inbound, { floor: 1, now, bytesMax: 20 });
  assert.is(over(5), true);
  assert.is(activity.inbound?.answers.length, 4);
  assert.is(over(11), false);
  assert.is(activity.inbound?.answers.length, 1);
  keep(5, 2_000);
  keep(6, 2_000);
  assert.is(over(11), true);
  // And the floor lets go of what it passes.
  accept(activity, arrivalOf({ seq: 7, floor: 6 }), 11, limits);
  assert.equal(
    activity.inbound?.answers.map(({ seq }) => seq),
    [6],
  );
});

test('A2: processing moves through, and keeps the record until no copy can be accepted', () => {
  const activity = newActivity('tally/a');
  accept(activity, arrivalOf({ session: 3, seq: 4, floor: 4, expires: 500 }), 0, limits);
  assert.equal(activity.inbound, inboundOf({ session: 3, through: 4, keepUntil: 560 }));
  accept(activity, arrivalOf({ session: 3, seq: 5, floor: 4, expires: 300 }), 0, limits);
  assert.equal(activity.inbound, inboundOf({ session: 3, through: 5, keepUntil: 560 }), 'the longest date stands');
  accept(activity, arrivalOf({ session: 3, seq: 6, expires: 300, keepMs: 5_000 }), 100, limits);
  assert.is(activity.inbound?.keepUntil, 5_110, 'an idempotency key lives from its processing on');
  const client = newActivity('@c');
  accept(client, arrivalOf({ expires: 500 }), 0, limits);
  assert.is(client.inbound?.keepUntil, 510, 'a client does not ask later what became of a call');
});

test('A2, A3: what an operator dropped from an outbox is not accepted after the record of what came behind it is gone', () => {
  for (const doubtMs of [0, 50, 200]) {
    const given = { ...limits, doubtMs };
    const activity = newActivity('order/1');
    // Number 1 would have been valid for long; it was dropped at 500, and a copy of it is under way, of a clock that is ahead.
    const copy = arrivalOf({ expires: 5_000, sent: 500 + limits.skewMaxMs });
    accept(activity, arrivalOf({ seq: 2, floor: 2, expires: 501, sent: 500 }), 500, given);
    for (let now = 500; now < 1_000; now++) {
      if (!mayForget(activity.inbound, now, given)) continue;
      // The owner that gets the copy has a clock that is behind the one of the owner that forgot.
      assert.is(judge(undefined, copy, now - limits.skewMaxMs, given), 'expired', `${doubtMs}: forgotten at ${now}`);
    }
  }
});

test('A3, A4: a later session takes over the date of the earlier, and is open', () => {
  const activity = newActivity('tally/a');
  activity.inbound = inboundOf({ session: 1, through: 9, keepUntil: 900, closedAt: 5, answers: [] });
  accept(activity, arrivalOf({ session: 2, expires: 100 }), 0, limits);
  assert.equal(activity.inbound, inboundOf({ session: 2, through: 1, keepUntil: 900 }));
});

test('A3: a record goes one millisecond after its date, closed or not, and not before', () => {
  assert.is(mayForget(inboundOf({ keepUntil: 700 }), 700, limits), false);
  assert.is(mayForget(inboundOf({ keepUntil: 700 }), 701, limits), true);
  assert.is(mayForget(inboundOf({ closedAt: 300 }), 420, limits), false);
  assert.is(mayForget(inboundOf({ closedAt: 300 }), 421, limits), true);
  assert.is(mayForget(undefined, 0, limits), true);
});

test('A2, A3: of a closed session no copy is accepted after its record is gone, though sender and three owners have clocks of their own', () => {
  const { transitMaxMs, skewMaxMs } = limits;
  const offsets = [-skewMaxMs / 2, 0, skewMaxMs / 2];
  for (const sender of offsets)
    for (const closing of offsets)
      for (const forgetting of offsets)
        for (const judging of offsets) {
          // The proof is of the moment at which the session was closed: no copy can be younger.
          const at = 1_000;
          const copy = arrivalOf({ sent: at + sender, expires: 1e9 });
          const record = inboundOf({ closedAt: at + closing, keepUntil: 2e9 });
          let now = at + transitMaxMs;
          while (!mayForget(record, now + forgetting, limits)) now += 1;
          assert.is(judge(undefined, copy, now + judging, limits), 'expired');
        }
});

test('A3, TY2: a key whose life is over is free, and what was remembered of it stays until something else is written', () => {
  const over = inboundOf({ through: 1, keepUntil: 1_000, answers: [] });
  for (const partner of ['#ada.k', '@ada.c', 'stock/1']) {
    const activity = { ...newActivity(partner), inbound: over };
    assert.is(known(activity, 1_000, limits), over);
    assert.is(known(activity, 1_001, limits), partner === '#ada.k' ? undefined : over, partner);
    assert.is(activity.inbound, over, 'looking changes nothing: what is in memory is what is stored');
  }
  const activity = { ...newActivity('#ada.k'), inbound: over };
  const anew = accept(activity, arrivalOf({ expires: 2_000 }), 1_500, limits);
  assert.is.not(anew, over);
  assert.equal([activity.inbound, over.through], [anew, 1]);
  assert.equal([anew.through, anew.keepUntil], [1, 2_010]);
});

test('A3: an activity is over only when both streams and the application have let go of it', () => {
  const activity = newActivity('tally/a');
  assert.ok(isOver(activity, 0, limits));
  activity.inbound = inboundOf({ keepUntil: 10 });
  assert.not.ok(isOver(activity, 10, limits));
  assert.ok(isOver(activity, 11, limits));
  activity.application.value = { line: 'reserving' };
  assert.not.ok(isOver(activity, 11, limits));
  activity.application.value = undefined;
  send(activity, content, lineageOf('s', 1), { now: 0, expires: 5 });
  assert.not.ok(isOver(activity, 11, limits));
});

test('P5: an answer is kept until the floor has passed it or its call has given up', () => {
  const activity = newActivity('@client');
  const keep = (seq: number, floor: number, now: number) => {
    const inbound = accept(activity, arrivalOf({ seq, floor, expires: 200 }), now, limits);
    inbound.answers.push({ seq, bytes: new Uint8Array([seq]), until: 200 });
  };
  keep(1, 1, 0);
  keep(2, 1, 0);
  assert.equal(keptAnswer(activity.inbound, 1)?.bytes, new Uint8Array([1]));
  keep(3, 2, 0);
  assert.is(keptAnswer(activity.inbound, 1), undefined, 'below the floor');
  assert.equal(keptAnswer(activity.inbound, 2)?.bytes, new Uint8Array([2]));
  keep(4, 2, 200);
  assert.equal(keptAnswer(activity.inbound, 3)?.bytes, new Uint8Array([3]), 'at its deadline somebody may still ask');
  keep(5, 2, 201);
  assert.is(keptAnswer(activity.inbound, 3), undefined, 'past its deadline nobody does');
  assert.is(keptAnswer(undefined, 1), undefined);
});

test('P5, P12: answers are full beyond their bytes, not at them, and one is asked for up to its deadline and from the floor on', () => {
  const activity = newActivity('@c');
  const keep = (seq: number, until: number) =>
    keepAnswer(accept(activity, arrivalOf({ seq, floor: 1 }), 0, limits), { seq, bytes: new Uint8Array(10), until });
  const full = (floor: number, now: number, bytesMax: number) =>
    keepsTooMuch(activity.inbound, { floor, now, bytesMax });
  for (const [seq, until] of [
    [1, 10],
    [2, 20],
    [3, 30],
  ] as const)
    keep(seq, until);
  assert.equal([full(1, 5, 30), full(1, 5, 29)], [false, true]);
  // At their edges all three may still be asked for; one is not looked for until it matters.
  assert.equal([full(1, 10, 29), full(1, 10, 30)], [true, false]);
  assert.is(full(2, 20, 19), true);
  assert.equal(
    activity.inbound?.answers.map(({ seq }) => seq),
    [2, 3],
  );
  assert.is(full(3, 21, 9), true);
  assert.is(full(3, 21, 10), false);
  // After what is over has gone it is exactly as much as may be.
  keep(4, 22);
  assert.is(full(3, 23, 10), false);
});

/** In a lineage after `start` of which the next session is this. */
const sendTo = (activity: Activity, session: number, { now = 0, start = 0 } = {}) =>
  send(
    activity,
    content,
    { name: '', start, epoch: 0, opened: { session: session - 1 } },
    { now, expires: now + 1_000 },
  );

test('A4: a stream keeps the session that it was opened with and counts from one', () => {
  const activity = newActivity('tally/a');
  assert.equal(
    [sendTo(activity, 7), sendTo(activity, 8), sendTo(activity, 9)].map(({ seq }) => seq),
    [1, 2, 3],
  );
  assert.is(activity.outbound?.session, 7);
});

test('A6: a stream goes on in a later session once its own is of an earlier lineage, the last of that one included', () => {
  for (const [start, expected] of [
    [6, 7],
    [7, 20],
    [8, 20],
  ] as const) {
    const activity = newActivity('tally/a');
    sendTo(activity, 7, { now: 5 });
    sendTo(activity, 20, { now: 9, start });
    // One message is unacknowledged: it goes in its own session.
    assert.equal(activity.outbound?.sealed, expected === 7 ? [] : [{ session: 7, end: 2 }]);
    assert.equal([activity.outbound?.session, activity.outbound?.activeAt], [expected, 9]);
  }
});

test('P8, A6: a session that the partner knows and no later one settles nothing of itself; of all before it everything', () => {
  const lineageAt = (start: number) => ({ name: '', start, epoch: 0, opened: { session: start } });
  const sentOf = (session: number) => {
    const activity = newActivity('tally/a');
    for (const _ of to(2)) sendTo(activity, session);
    return activity;
  };
  assert.equal(overtaken(newActivity('tally/a'), 9, lineageAt(0), 0), []);
  const same = sentOf(7);
  const { outbound } = same;
  assert.equal(overtaken(same, 7, lineageAt(7), 0), []);
  assert.is(same.outbound, outbound);
  assert.equal([outbound?.session, outbound?.unacked.length], [7, 2]);
  // The last session of an earlier lineage is one of it.
  const earlier = sentOf(7);
  assert.is(overtaken(earlier, 9, lineageAt(7), 0).length, 2);
  assert.equal([earlier.outbound?.session, earlier.outbound?.unacked.length], [9, 0]);
  // 7 is sealed below 20: to know 7 is to have seen it, and nothing after it.
  const sealed = sentOf(7);
  sendTo(sealed, 20, { start: 19 });
  assert.equal(overtaken(sealed, 7, lineageAt(19), 0), []);
  assert.is(overtaken(sealed, 8, lineageAt(19), 0).length, 2);
});

test('A6, P7: a message is found by its session and number, and one that leaves takes no other with it', () => {
  const message = (seq: number): OutboxMessage => ({ seq, expires: 1_000, content });
  const unacked = [message(3), message(4), message(6), message(7)];
  const outbound: Outbound = { ...newOutbound(9, 0), next: 8, unacked, sealed: [{ session: 7, end: 5 }] };
  assert.is(unackedOf(undefined, 9, 6), undefined);
  for (const [session, seq, found] of [
    [7, 3, 3],
    [7, 4, 4],
    [9, 6, 6],
    [9, 7, 7],
    [9, 4, undefined],
    [7, 6, undefined],
    [8, 6, undefined],
    [9, 5, undefined],
    [9, 8, undefined],
  ] as const)
    assert.is(unackedOf(outbound, session, seq)?.seq, found, `${session}.${seq}`);
  withdraw(outbound, unacked[1] as OutboxMessage, 50);
  assert.equal([outbound.unacked.map(({ seq }) => seq), outbound.sealed.length, outbound.activeAt], [[3, 6, 7], 1, 50]);
  withdraw(outbound, unacked[0] as OutboxMessage, 60);
  assert.equal([outbound.unacked.map(({ seq }) => seq), outbound.sealed, outbound.next], [[6, 7], [], 8]);
});

test('P10: an acknowledgement that takes nothing out does not keep a stream from being quiet', () => {
  const activity = newActivity('tally/a');
  sendTo(activity, 7, { now: 5 });
  assert.equal(acknowledge(activity.outbound, 7, 0, 99), []);
  assert.is(activity.outbound?.activeAt, 5);
});

test('A4, A5: what is sent while a stream is closing goes into a new one, of a later session', () => {
  const activity = newActivity('tally/a');
  sendTo(activity, 7);
  acknowledge(activity.outbound, 7, 1, 0);
  if (activity.outbound !== undefined) activity.outbound.isClosing = true;
  const message = sendTo(activity, 12);
  assert.is(message.seq, 1);
  assert.equal([activity.outbound?.session, activity.outbound?.isClosing], [12, false]);
});

test('A5: a stream may close only with nothing unacknowledged, and idle for as long as the limit says', () => {
  const activity = newActivity('tally/a');
  assert.not.ok(mayClose(undefined, 1_000, limits));
  sendTo(activity, 7, { now: 100 });
  assert.not.ok(mayClose(activity.outbound, 1_000, limits), 'unacknowledged');
  acknowledge(activity.outbound, 7, 1, 200);
  assert.not.ok(mayClose(activity.outbound, 239, limits), 'not yet idle');
  assert.ok(mayClose(activity.outbound, 240, limits));
  if (activity.outbound !== undefined) activity.outbound.isClosing = true;
  assert.not.ok(mayClose(activity.outbound, 1_000, limits), 'closing already');
});

test('P7: an acknowledgement takes out what is at most its number, once, and of its session only', () => {
  const activity = newActivity('tally/a');
  for (const _ of to(4)) sendTo(activity, 7);
  const { outbound } = activity;
  assert.ok(outbound);
  assert.equal(acknowledge(outbound, 6, 4, 0), []);
  assert.equal(acknowledge(undefined, 7, 4, 0), []);
  assert.is(floorOf(outbound), 1);
  assert.equal(
    acknowledge(outbound, 7, 3, 5).map(({ seq }) => seq),
    [1, 2, 3],
  );
  assert.is(floorOf(outbound), 4);
  assert.equal(acknowledge(outbound, 7, 2, 6), [], 'an old one says nothing new');
  assert.equal(
    acknowledge(outbound, 7, 99, 6).map(({ seq }) => seq),
    [4],
  );
  assert.is(floorOf(outbound), 5, 'with nothing unacknowledged the floor is the next number');
});

test('A4: sessions of a later epoch are larger, whatever versions and sessions there were in the earlier', () => {
  const [before, after] = [lineageOf('store', 1_700_000_000_000), lineageOf('store', 1_700_000_000_001)];
  for (const _ of to(999)) before.opened.session += 1;
  assert.ok(after.start > before.opened.session);
  assert.ok(Number.isSafeInteger(lineageOf('store', 9_000_000_000_000).start), 'until the year 2255');
  const [one, other] = [lineageOfStay(after), lineageOfStay(after)];
  assert.ok(other.start > one.start, 'and those of a later stay than those of an earlier');
  assert.is(new Set([before, after, one, other].map(({ name }) => name)).size, 4);
});

test('A6, P6: what was sent before the store went back goes on under its number, and what comes after it is a later session', () => {
  const activity = newActivity('tally/a');
  for (const _ of to(3)) sendTo(activity, 7);
  const { outbound } = activity;
  assert.ok(outbound);
  acknowledge(outbound, 7, 1, 0);
  assert.is(sendTo(activity, 20, { start: 19 }).seq, 4);
  assert.equal([frontOf(outbound), frontEndOf(outbound)], [7, 4]);
  assert.equal(
    outbound.unacked.map(({ seq }) => [sessionOf(outbound, seq), seq]),
    [
      [7, 2],
      [7, 3],
      [20, 4],
    ],
  );
  assert.equal(acknowledge(outbound, 20, 4, 0), [], 'a later session is not sent before the earlier is drained');
  assert.ok(isBeyond(outbound, 7, 4), 'the receiver has seen a fourth one, which is forgotten here');
  assert.is(acknowledge(outbound, 7, 4, 0).length, 2, 'and it is not the one that has its number now');
  assert.equal([frontOf(outbound), floorOf(outbound)], [20, 4]);
  assert.is(
    judge(inboundOf({ session: 7, through: 4 }), arrivalOf({ session: 20, seq: 4, floor: 4 }), 0, limits),
    'next',
  );
});

test('A6: a stream with nothing unacknowledged goes on in a later session at once', () => {
  const activity = newActivity('tally/a');
  sendTo(activity, 7);
  acknowledge(activity.outbound, 7, 1, 0);
  sendTo(activity, 20, { start: 19 });
  sendTo(activity, 30, { start: 19 });
  assert.ok(activity.outbound);
  assert.equal([frontOf(activity.outbound), activity.outbound.sealed, activity.outbound.next], [20, [], 4]);
});

test('P8, P4: what is left of sessions before the one that the partner knows was settled in the history that is gone', () => {
  const activity = newActivity('tally/a');
  for (const _ of to(3)) sendTo(activity, 7);
  const lineage = { name: '', start: 30, epoch: 0, opened: { session: 30 } };
  assert.equal(
    overtaken(activity, 20, lineage, 0).map(({ seq }) => seq),
    [1, 2, 3],
  );
  assert.equal([activity.outbound?.session, activity.outbound?.unacked], [20, []], 'it is the one to be closed');
  send(activity, content, lineage, { now: 0, expires: 1_000 });
  assert.is(activity.outbound?.session, 31);
});

test('P8, P7: what this lineage has sent itself, and its partner refused, goes on above the session that it knows', () => {
  const activity = newActivity('tally/a');
  const lineage = { name: '', start: 5, epoch: 0, opened: { session: 5 } };
  for (const _ of to(3)) send(activity, content, lineage, { now: 0, expires: 1_000 });
  acknowledge(activity.outbound, 6, 1, 0);
  assert.equal(overtaken(activity, 20, lineage, 0), []);
  assert.ok(activity.outbound);
  assert.equal([activity.outbound.session, activity.outbound.unacked.map(({ seq }) => seq)], [21, [1, 2]]);
  assert.is(send(activity, content, lineage, { now: 0, expires: 1_000 }).seq, 3);
});

/** One session of three messages; the network keeps every copy that was ever sent and delivers any of them, again and again. */
test('P4, P6: however copies of one stream are repeated and reordered, each is processed once and in order', () => {
  type Copy = readonly [seq: number, floor: number];
  interface World {
    readonly floor: number;
    readonly copies: readonly Copy[];
    readonly processed: readonly number[];
  }
  const seen = new Set<string>();
  const queue: World[] = [{ floor: 1, copies: [], processed: [] }];
  let finished = 0;
  for (let world = queue.pop(); world !== undefined; world = queue.pop()) {
    const text = JSON.stringify(world);
    if (seen.has(text)) continue;
    seen.add(text);
    const { floor, copies, processed } = world;
    const through = processed.at(-1) ?? 0;
    assert.equal(processed, to(processed.length), 'in order, each once');
    if (through === 3) finished += 1;
    for (const seq of [1, 2, 3].filter((one) => one >= floor))
      if (!copies.some(([sent, at]) => sent === seq && at === floor))
        queue.push({ ...world, copies: [...copies, [seq, floor] as const].sort() });
    for (const [seq, at] of copies) {
      const inbound = through === 0 ? undefined : inboundOf({ through });
      const verdict = judge(inbound, arrivalOf({ seq, floor: at }), 50, limits);
      if (verdict === 'next') queue.push({ ...world, processed: [...processed, seq] });
    }
    if (through >= floor) queue.push({ ...world, floor: through + 1 });
  }
  assert.ok(finished > 10 && seen.size > 100, `${finished} of ${seen.size} worlds finished`);
});

/**
 * Two sessions of one message each, on clocks that differ by as much as is allowed. The sender repeats while it may,
 * closes when acknowledged, and opens a later session; the receiver forgets when it may. Copies are never lost.
 */
interface Pair {
  /** The sender's clock; the receiver's is `skew` later. */
  readonly at: number;
  readonly session: number;
  readonly isAcknowledged: boolean;
  readonly isClosed: boolean;
  readonly expires: number;
  readonly copies: readonly (readonly [session: number, expires: number, sent: number])[];
  readonly inbound: Inbound | undefined;
  readonly processed: readonly number[];
}
const small: Limits = { ...defaultLimits, transitMaxMs: 2, skewMaxMs: 1, doubtMs: 1 };
const lifeMs = 3;

function* steps(pair: Pair, skew: number): Generator<Pair> {
  const { at, session, copies, inbound } = pair;
  const there = at + skew;
  if (at < 12) yield { ...pair, at: at + 1 };
  const isSent = copies.some(([of, , sent]) => of === session && sent === at);
  if (!pair.isAcknowledged && at <= pair.expires && !isSent)
    yield { ...pair, copies: [...copies, [session, pair.expires, at]] };
  for (const [of, expires, sent] of copies) {
    const arrival = { session: of, seq: 1, floor: 1, expires, sent, keepMs: 0 };
    if (judge(inbound, arrival, there, small) !== 'next') continue;
    const activity: Activity = { ...newActivity('tally/a'), inbound: inbound && { ...inbound } };
    yield { ...pair, processed: [...pair.processed, of], inbound: accept(activity, arrival, there, small) };
  }
  if (inbound?.session === session && inbound.through === 1) yield { ...pair, isAcknowledged: true };
  if (pair.isAcknowledged && !pair.isClosed && inbound?.session === session)
    yield { ...pair, isClosed: true, inbound: { ...inbound, closedAt: there } };
  if (inbound !== undefined && mayForget(inbound, there, small)) yield { ...pair, inbound: undefined };
  const mayOpen = pair.isClosed || at > pair.expires + small.skewMaxMs;
  if (session === 1 && mayOpen)
    yield { ...pair, session: 2, isAcknowledged: false, isClosed: false, expires: at + lifeMs };
}

test('P4, A2, A3: with any delay, skew, closing and forgetting no message is processed twice', () => {
  for (const skew of [-1, 0, 1]) {
    const first = { isAcknowledged: false, isClosed: false, copies: [], inbound: undefined, processed: [] };
    const queue: Pair[] = [{ at: 5, session: 1, expires: 5 + lifeMs, ...first }];
    const seen = new Set<string>();
    let forgotten = 0;
    for (let pair = queue.pop(); pair !== undefined; pair = queue.pop()) {
      const text = JSON.stringify(pair);
      if (seen.has(text)) continue;
      seen.add(text);
      const { processed } = pair;
      assert.is(new Set(processed).size, processed.length, `twice, with the clocks ${skew} apart: ${text}`);
      assert.equal([...processed], [...processed].sort(), `a session after a later one: ${text}`);
      if (processed.length > 0 && pair.inbound === undefined) forgotten += 1;
      queue.push(...steps(pair, skew));
    }
    assert.ok(forgotten > 10, `only ${forgotten} worlds in which a record was forgotten`);
  }
});

test.run();
