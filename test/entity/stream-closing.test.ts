/** How streams that have gone quiet end: what is told when, and what it costs. */
import { newActivity, newOutbound, type Outbound } from '../../core/activity.ts';
import type { Durability } from '../../core/behaviour.ts';
import { defaultLimits } from '../../core/limits.ts';
import { newRecord, recordName } from '../../core/record.ts';
import { Activation } from '../../runtime/entity/activation.ts';
import { StreamClosing } from '../../runtime/entity/stream-closing.ts';
import type { Envelope } from '../../runtime/wire/envelope.ts';
import { across, far, near } from '../support/across.ts';
import { HandEnvironment } from '../support/hand.ts';
import type { LossyTransport } from '../support/lossy.ts';
import { assert, suite } from '../support/suite.ts';
import { Tally, tallyWith } from '../support/tally.ts';

const test = suite('closing');

const saidOf = (thief: LossyTransport, wanted: string) => thief.sent.filter(({ kind }) => kind === wanted).length;

test('P10, A5: a stream that has gone quiet is closed, and in the end neither side remembers the other', () =>
  across({}, async ({ hand, thief, tally, during, cluster }) => {
    await during(tally(near).run('see'));
    await hand.advance(400_000);
    assert.ok(thief.sent.some(({ kind }) => kind === 'close') && thief.sent.some(({ kind }) => kind === 'closed'));
    for (const key of [near, far]) {
      const found = await cluster.inspector.get(`tally/${key}`);
      assert.equal(
        found?.activities.filter(({ partner }) => partner.startsWith('tally/')),
        [],
      );
    }
  }));

test('CL1, A5: that a stream ends is told when the store has it', () =>
  across({}, async ({ hand, gate, thief, tally, during }) => {
    await during(tally(near).run('see'));
    await hand.advance(9_000);
    const open = gate.holdCommits();
    await hand.advance(6_000);
    assert.is(saidOf(thief, 'close'), 0);
    open();
    await hand.advance(100);
    assert.is(saidOf(thief, 'close'), 1);
  }));

test('CL2, P10: that a session is over is said when the store has it, however often it is asked', () =>
  across({}, async ({ hand, gate, thief, tally, during }) => {
    await during(tally(near).run('see'));
    for (let step = 0; step < 2_000 && saidOf(thief, 'close') === 0; step++) await hand.advance(10);
    const open = gate.holdCommits();
    await hand.advance(10_000);
    assert.ok(saidOf(thief, 'close') > 1);
    assert.is(saidOf(thief, 'closed'), 0);
    open();
    await hand.advance(100);
    assert.ok(saidOf(thief, 'closed') > 0);
  }));

test('CL1, P7: that an earlier session is over, heard late, ends no later one', () =>
  across({}, async ({ hand, thief, tally, during, cluster, stored }) => {
    let kept: Envelope | undefined;
    thief.takes = (envelope) => {
      if (envelope.kind === 'closed') kept ??= envelope;
      return envelope.kind === 'closed';
    };
    await during(tally(near).run('see'));
    await hand.advance(20_000);
    assert.ok(kept);
    // A second session, which is closing as well when the first one's end is heard of.
    await during(tally(near).run('see'));
    const outbound = async () => (await cluster.inspector.get(`tally/${near}`))?.activities[0]?.outbound;
    for (let step = 0; step < 4_000 && (await outbound())?.isClosing !== true; step++) await hand.advance(10);
    const session = (await outbound())?.session;
    const told = saidOf(thief, 'close');
    cluster.workers[0]?.intake.receive(kept);
    await hand.advance(8_000);
    assert.is((await outbound())?.session, session);
    assert.ok(saidOf(thief, 'close') > told, 'it is told until its own end is heard of');
    thief.takes = () => false;
    await hand.advance(60_000);
    assert.is(await outbound(), undefined);
    assert.equal((await stored(far))?.seen, [1, 2]);
  }));

test('P10: an entity that is written now and then says at once that a session is over', () =>
  across({ behaviour: { durability: { intervalMs: 60_000 } } }, async ({ hand, thief, tally, during }) => {
    await during(tally(near).run('see'));
    await hand.advance(90_000);
    await during(tally(near).run('see'));
    const before = saidOf(thief, 'closed');
    await hand.advance(20_000);
    assert.is(saidOf(thief, 'closed'), before + 1);
  }));

test('P10: the streams of one conversation end in two commits of the one side, and three of the other', () =>
  across(
    { scripts: { spread: (turn) => [0, 1, 2].forEach((index) => void turn.to(Tally, `${far}-${index}`).add(1)) } },
    async ({ hand, gate, tally, during }) => {
      await during(tally(near).run('spread'));
      await hand.advance(9_000);
      const before = gate.commits.length;
      await hand.advance(60_000);
      const after = gate.commits.slice(before).flat();
      assert.is(after.filter(({ address }) => address === `tally/${near}`).length, 2);
      for (const index of [0, 1, 2])
        assert.is(after.filter(({ address }) => address === `tally/${far}-${index}`).length, 3);
    },
  ));

// ---- both ends, by hand

interface Told {
  readonly posted: Envelope[];
  readonly woken: number[];
  readonly trims: number[];
  readonly released: unknown[];
}

/** Both ends of closing, and an entity `tally/m` with one partner. */
function withPartner(partner: string, durability: Durability = 'turn') {
  const environment = new HandEnvironment();
  const told: Told = { posted: [], woken: [], trims: [], released: [] };
  const delivery = {
    durable: (_: unknown, __: unknown, sent: unknown) => void told.released.push(sent),
    wantTrim: (_: unknown, at: number) => void told.trims.push(at),
  };
  const closing = new StreamClosing({
    environment,
    limits: defaultLimits,
    delivery: delivery as never,
    post: (envelope) => void told.posted.push(envelope),
    wakeBy: (_, at) => void told.woken.push(at),
  });
  const activation = new Activation('tally/m', 0, tallyWith({}, { durability }));
  activation.load(newRecord('tally/m', undefined));
  activation.entity.isComplete = true;
  activation.goOn();
  const activity = newActivity(partner);
  activation.entity.activities.set(partner, activity);
  return {
    environment,
    closing,
    activation,
    entity: activation.entity,
    activity,
    told,
    name: recordName.activity(partner),
  };
}

const outboundOf = (session: number, activeAt: number): Outbound => ({ ...newOutbound(session, activeAt), next: 4 });
const inboundOf = (session: number, closedAt = 0) => ({ session, through: 4, keepUntil: 1e12, closedAt, answers: [] });
const streamOf = (kind: 'close' | 'closed', from: string, session: number) =>
  ({ kind, to: 'tally/m', from, session, number: 0 }) as const;
const { closeIdleMs, trimIdleMs, transitMaxMs, skewMaxMs } = defaultLimits;

test('A5, P10: a stream is closed when it has been quiet for closeIdleMs, with a commit, and not before', () => {
  const { environment, closing, activation, entity, activity, name, told } = withPartner('tally/z');
  const now = environment.now();
  assert.equal(closing.closeIdle(activation, now), { isChanged: false, next: Number.POSITIVE_INFINITY });
  activity.outbound = outboundOf(3, now);
  const early = closing.closeIdle(activation, now + closeIdleMs - 1);
  assert.equal(early, { isChanged: false, next: now + closeIdleMs + trimIdleMs });
  assert.equal([activity.outbound.isClosing, entity.changes.records.size, activation.gathering], [false, 0, undefined]);
  const due = closing.closeIdle(activation, now + closeIdleMs);
  assert.equal(due, { isChanged: true, next: now + 2 * closeIdleMs });
  assert.equal([activity.outbound.isClosing, entity.changes.records.get(name)], [true, 'activity']);
  assert.equal(
    [...(activation.gathering?.sent?.values() ?? [])].map(({ isClosing }) => isClosing),
    [true],
  );
  assert.equal(told.released, [], 'nothing is said before the store has it');
});

test('P7: what has something unacknowledged is looked at again after closeIdleMs, and nothing is done to it', () => {
  const { environment, closing, activation, entity, activity, told } = withPartner('tally/z');
  const now = environment.now();
  const content = {
    kind: 'operation',
    operation: 'see',
    payload: new Uint8Array(0),
    hold: '',
    wantsAnswer: false,
  } as const;
  for (const isClosing of [false, true]) {
    activity.outbound = { ...outboundOf(3, 0), isClosing, unacked: [{ seq: 3, expires: now, content }] };
    assert.equal(closing.closeIdle(activation, now), { isChanged: false, next: now + closeIdleMs });
    assert.equal([entity.changes.records.size, told.released.length, activation.gathering], [0, 0, undefined]);
  }
});

test('P10: a stream that was closing when its entity left memory is told again, by its flight or with the next commit', () => {
  const { environment, closing, activation, activity, told } = withPartner('tally/z');
  const now = environment.now();
  activity.outbound = { ...outboundOf(3, now), isClosing: true };
  activation.makeFlights().set('tally/z', {} as never);
  assert.equal(closing.closeIdle(activation, now), { isChanged: false, next: now + closeIdleMs });
  assert.equal(told.released, [], 'its flight tells it');
  activation.flights?.clear();
  assert.equal(closing.closeIdle(activation, now), { isChanged: false, next: now + closeIdleMs });
  assert.is(told.released.length, 1);
  const batch = activation.batch();
  assert.equal(closing.closeIdle(activation, now), { isChanged: true, next: now + closeIdleMs });
  assert.equal([told.released.length, batch.sent?.has(activity)], [1, true]);
});

test('CL2, A3: that a session was closed is noted with the date at which it is forgotten, written, and said with that commit', () => {
  const { environment, closing, activation, entity, activity, told, name } = withPartner('tally/a');
  const now = environment.now();
  const forgetAt = now + transitMaxMs + 2 * skewMaxMs + 1;
  for (const before of [0, forgetAt + 9, forgetAt - 9]) {
    activity.inbound = inboundOf(3);
    entity.forgetAt = before;
    entity.changes.records.clear();
    activation.batch();
    activation.takeVolatile();
    closing.close(activation, streamOf('close', 'tally/a', 3));
    assert.is(activity.inbound.closedAt, now);
    assert.is(entity.forgetAt, before === forgetAt - 9 ? before : forgetAt);
    assert.is(entity.changes.records.get(name), 'activity');
    assert.equal(activation.owed, [{ kind: 'closed', to: 'tally/a', from: 'tally/m', session: 3, number: 0 }]);
  }
  assert.equal([told.posted, told.woken], [[], [forgetAt, forgetAt, forgetAt]]);
  assert.equal(told.trims, [now, now, now]);
  // Asked again before the store has it: it will be said anyway. And after that: it is said again.
  closing.close(activation, streamOf('close', 'tally/a', 3));
  assert.equal(told.posted, []);
  entity.changes.records.clear();
  closing.close(activation, streamOf('close', 'tally/a', 3));
  assert.is(told.posted.length, 1);
  assert.is(told.trims.length, 3);
});

test('P10: a session that is not known any more is over; while something is on its way to the store, so is that', () => {
  const { closing, activation, activity, told } = withPartner('tally/a');
  closing.close(activation, streamOf('close', 'tally/a', 3));
  activity.inbound = inboundOf(4);
  closing.close(activation, streamOf('close', 'tally/a', 3));
  assert.equal(
    told.posted.map(({ kind }) => kind),
    ['closed', 'closed'],
  );
  assert.is(activity.inbound.closedAt, 0);
  const batch = activation.batch();
  closing.close(activation, streamOf('close', 'tally/a', 3));
  assert.equal([told.posted.length, batch.envelopes.length], [2, 1]);
});

test('P10: of two that end at once one waits for the other; who has something gathered waits for nothing', () => {
  for (const [partner, waitsMs] of [
    ['tally/z', trimIdleMs],
    ['tally/a', 0],
  ] as const) {
    const { environment, closing, activation, activity, told } = withPartner(partner);
    activity.inbound = inboundOf(3);
    activity.outbound = { ...outboundOf(3, 0), isClosing: true };
    closing.close(activation, streamOf('close', partner, 3));
    assert.equal(told.trims, [environment.now() + waitsMs]);
  }
  const { closing, activation, activity, told } = withPartner('tally/z');
  activity.inbound = inboundOf(3);
  const batch = activation.batch();
  closing.close(activation, streamOf('close', 'tally/z', 3));
  assert.equal([told.trims, batch.envelopes.length], [[], 1]);
});

test('P10: a type that is not durable by turn says at once that a session is over', () => {
  const { closing, activation, activity, told } = withPartner('tally/z', 'none');
  activity.inbound = inboundOf(3);
  closing.close(activation, streamOf('close', 'tally/z', 3));
  assert.equal([told.posted.length, activation.owed], [1, undefined]);
});

test('CL1, P10: a session whose end was heard of is gone, and written; any other stays', () => {
  for (const isComplete of [true, false])
    for (const keeps of [false, true]) {
      const { environment, closing, activation, entity, activity, told, name } = withPartner('tally/z');
      entity.isComplete = isComplete;
      activity.outbound = outboundOf(3, 0);
      activation.makeFlights().set('tally/z', {} as never);
      if (keeps) activity.application.value = { count: 1 };
      const hear = (session: number) => closing.closed(activation, streamOf('closed', 'tally/z', session));
      hear(3);
      assert.ok(activity.outbound, 'it is open');
      activity.outbound.isClosing = true;
      hear(2);
      assert.ok(activity.outbound);
      assert.equal([entity.changes.records.size, told.trims.length, activation.flights?.size], [0, 0, 1]);
      hear(3);
      assert.is(activity.outbound, undefined);
      assert.is(activation.flights?.size, 0);
      assert.is(entity.activities.has('tally/z'), keeps || !isComplete);
      assert.equal([entity.changes.records.get(name), told.trims], ['activity', [environment.now()]]);
      hear(3);
      assert.is(told.trims.length, 1);
    }
});

test.run();
