/** What comes to the delivery of a worker that is behind: answers and acknowledgements that belong to another history. */
import type { Content } from '../../core/activity.ts';
import { newActivity, newOutbound } from '../../core/activity.ts';
import { behaviour, command, defaultLimits, entity, type Limits } from '../../core/index.ts';
import { enqueueMessage } from '../../core/outbox.ts';
import { activityWith, recordName } from '../../core/record.ts';
import { Activation } from '../../runtime/entity/activation.ts';
import { sentOf } from '../../runtime/entity/batch.ts';
import { Delivery, type Sign } from '../../runtime/entity/delivery.ts';
import { Ownership } from '../../runtime/entity/ownership.ts';
import { freshRecord } from '../../runtime/entity/record-reader.ts';
import { momentOf } from '../../runtime/environment.ts';
import { Counters } from '../../runtime/meter.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import type { Envelope, MessageEnvelope } from '../../runtime/wire/envelope.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('delivery-late');

const Stock = entity('stock', { initial: () => ({}), operations: { take: command() } });
const stock = behaviour(Stock, { take: () => undefined });
const partner = 'stock/far';
const content: Content = {
  kind: 'operation',
  operation: 'take',
  payload: new Uint8Array(0),
  hold: '',
  wantsAnswer: false,
};

/** A delivery, and an entity with messages 1 and 2 of session 5 in its outbox, which expire at once, mostly. */
function withOutbox(lifeMs = 1_000, limits: Partial<Limits> = {}) {
  const environment = new HandEnvironment();
  const posted: Envelope[] = [];
  const signs: Sign[] = [];
  const store = new MemoryStore({ partitions: 1 });
  const ownership = new Ownership(store, environment, () => undefined);
  const delivery = new Delivery({
    environment,
    counters: new Counters(),
    limits: { ...defaultLimits, ...limits },
    ownership,
    post: (envelope) => void posted.push(envelope),
    wakeBy: () => undefined,
    noticed: (sign) => void signs.push(sign),
    commit: () => undefined,
  });
  const activation = new Activation('stock/near', 0, stock);
  activation.load(freshRecord('stock/near', stock));
  const activity = newActivity(partner);
  const expires = environment.now() + lifeMs;
  const unacked = [1, 2].map((seq) => ({ seq, expires, content }));
  activity.outbound = { ...newOutbound(5, 0), next: 3, unacked };
  activation.entity.activities.set(partner, activity);
  activation.entity.outboxCount = 2;
  return { environment, store, ownership, delivery, activation, posted, signs };
}

test('Q1: an acknowledgement lets nothing of a session go that is not durable here', () => {
  const { delivery, activation, posted } = withOutbox();
  activation.makeFlights().set(partner, {
    stream: newOutbound(3, 0),
    durable: 9,
    buried: [],
    isClosing: false,
    transmitted: 1,
    window: 256,
    attempts: 0,
    retryAt: 0,
  });
  delivery.acknowledged(activation, { kind: 'ack', to: 'stock/near', from: partner, session: 5, number: 1 });
  assert.equal(posted, []);
});

test('M8, P7: a message that does not fit into a frame any more is a dead letter that says so, and the next one follows', () => {
  const { delivery, activation } = withOutbox();
  const envelope = (seq: number): MessageEnvelope => ({
    kind: 'message',
    to: partner,
    from: 'stock/near',
    replyTo: '',
    call: 0,
    identity: '',
    arrival: { session: 5, seq, floor: 1, expires: 1, sent: 1, keepMs: 0 },
    content,
  });
  delivery.unsendable(activation, envelope(2), 5_000);
  assert.is(activation.record?.dead.size, 0, 'it is not the first');
  delivery.unsendable(activation, envelope(1), 5_000);
  const [letter] = activation.record?.dead.values() ?? [];
  assert.ok(letter?.reason.includes('5000 bytes') && letter.reason.includes('max_payload'), letter?.reason);
  assert.equal(
    activation.record?.activities.get(partner)?.outbound?.unacked.map(({ seq }) => seq),
    [2],
  );
});

test('E3: what was read in several steps is sent only by who is the owner after them', async () => {
  const { environment, store, ownership, delivery, activation, posted } = withOutbox();
  for (const isOwner of [false, true]) {
    const [claim] = await store.claim([0], 'this worker');
    if (!isOwner) await store.claim([0], 'another');
    ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
    delivery.resume(activation);
    await environment.advance(10);
    assert.is(posted.length, isOwner ? 2 : 0);
  }
});

test('Q3: the answer to an earlier probe, late, makes no dead letter of the message that is first now', async () => {
  const { environment, delivery, activation } = withOutbox();
  await environment.advance(1_000 + defaultLimits.skewMaxMs + 1);
  const probed = { kind: 'probed', to: 'stock/near', from: partner, session: 5 } as const;
  // About message 1, which was acknowledged meanwhile.
  delivery.acknowledged(activation, { ...probed, kind: 'ack', number: 1 });
  delivery.probed(activation, { ...probed, number: -1 });
  assert.is(activation.record?.dead.size, 0);
  delivery.probed(activation, { ...probed, number: -2 });
  assert.is(activation.record?.dead.size, 1);
});

test('Q3, P12: when the floor passes an expired message, the one behind it is sent again, and not all of the window', async () => {
  const { environment, store, ownership, delivery, activation, posted } = withOutbox();
  const [claim] = await store.claim([0], 'this worker');
  ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
  const outbound = activation.record?.activities.get(partner)?.outbound;
  const expires = environment.now() + 60_000;
  for (let seq = 3; seq <= 100; seq++) outbound?.unacked.push({ seq, expires, content });
  if (outbound !== undefined) outbound.next = 101;
  delivery.resume(activation);
  await environment.advance(1_000 + defaultLimits.skewMaxMs + 1);
  assert.is(posted.length, 100);
  for (const number of [-1, -2])
    delivery.probed(activation, { kind: 'probed', to: 'stock/near', from: partner, session: 5, number });
  const activity = activation.record?.activities.get(partner);
  if (activity?.outbound === undefined) throw new Error('there is a stream');
  for (const buried of activation.gathering?.buried ?? []) delivery.buried(activation, buried);
  delivery.durable(activation, activity, { stream: activity.outbound, through: 100, isClosing: false });
  const again = posted
    .slice(100)
    .map((one) => (one.kind === 'message' ? [one.arrival.seq, one.arrival.floor] : one.kind));
  assert.equal(again, [[3, 3]]);
});

test('P8: that history was lost, and a session above it, is said only by who is the owner', async () => {
  for (const isOwner of [false, true]) {
    const { environment, store, ownership, delivery, activation, signs } = withOutbox();
    const [claim] = await store.claim([0], 'this worker');
    if (!isOwner) await store.claim([0], 'another');
    ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
    delivery.stale(activation, { kind: 'stale', to: 'stock/near', from: partner, session: 5, number: 8 });
    await environment.advance(10);
    assert.is(signs.length, isOwner ? 1 : 0);
    assert.is(activation.record?.activities.get(partner)?.outbound?.session, isOwner ? 9 : 5);
  }
});

test('O1, P7: what is sent again renews its proof of ownership before a copy is too old to be accepted', async () => {
  const { transitMaxMs, retryMsMax } = defaultLimits;
  const { environment, store, ownership, delivery, activation, posted } = withOutbox(10 * transitMaxMs);
  const [claim] = await store.claim([0], 'this worker');
  ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
  delivery.resume(activation);
  await environment.advance(10);
  for (let waitedMs = 0; waitedMs < 3 * transitMaxMs; waitedMs += 2 * retryMsMax) {
    posted.length = 0;
    await environment.advance(2 * retryMsMax);
    delivery.retry(activation, environment.now());
    await environment.advance(10);
    const ages = posted.map((one) => (one.kind === 'message' ? environment.now() - one.arrival.sent : Infinity));
    assert.is(ages.length, 2);
    assert.ok(Math.max(...ages) < transitMaxMs / 4, `${ages.join()} ms old`);
  }
});

test('P7, P8: when history was lost, nothing of the old session stays in the outbox beside what takes its place', async () => {
  const { environment, store, ownership, delivery, activation } = withOutbox();
  const { record } = activation;
  assert.ok(record);
  const outbound = record.activities.get(partner)?.outbound;
  assert.ok(outbound);
  // Messages 1 and 2 were acknowledged: what is left would be 3 and 4 beside the new 1 and 2.
  outbound.unacked = outbound.unacked.map((message) => ({ ...message, seq: message.seq + 2 }));
  outbound.next = 5;
  const [claim] = await store.claim([0], 'this worker');
  ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
  delivery.stale(activation, { kind: 'stale', to: 'stock/near', from: partner, session: 5, number: 8 });
  await environment.advance(10);
  const rows = [1, 2, 3, 4].map((seq) => record.changes.records.get(recordName.outbox(partner, seq)));
  assert.equal(
    rows.map((row) => row === null),
    [false, false, true, true],
  );
  assert.equal(
    record.activities.get(partner)?.outbound?.unacked.map(({ seq }) => seq),
    [1, 2],
  );
});

/** The same entity as a later owner reads it: its session 5 is of an earlier lineage. */
function readAgain() {
  const late = withOutbox();
  assert.ok(late.activation.record);
  late.activation.entity.lineage = { name: '', start: 1_000, epoch: 0, opened: { session: 1_000 } };
  return { ...late, record: late.activation.record };
}

test('A6, P8: an acknowledgement beyond what was sent is noticed, and takes out nothing that was sent since', async () => {
  const { delivery, activation, record, posted, signs } = readAgain();
  delivery.resume(activation);
  enqueueMessage(record, activityWith(record, partner), content, { now: 0, expires: Number.MAX_SAFE_INTEGER });
  const ack = { kind: 'ack', to: 'stock/near', from: partner } as const;
  delivery.acknowledged(activation, { ...ack, session: 5, number: 3 });
  assert.equal(signs, [{ entity: 'stock/near', partition: 0, partner }]);
  const { outbound } = activityWith(record, partner);
  assert.equal([outbound?.unacked.map(({ seq }) => seq), outbound?.session], [[3], 1_001]);
  assert.equal(posted, [], 'and what is not durable yet waits for that (Q1)');
});

test('A6, P6: a later session is sent when the earlier one is drained, and not before', async () => {
  const { delivery, activation, record, posted } = readAgain();
  const activity = activityWith(record, partner);
  enqueueMessage(record, activity, content, { now: 0, expires: Number.MAX_SAFE_INTEGER });
  assert.ok(activity.outbound);
  delivery.durable(activation, activity, sentOf(activity.outbound));
  const sent = () => posted.map((one) => (one.kind === 'message' ? [one.arrival.session, one.arrival.seq] : []));
  assert.equal(sent(), [
    [5, 1],
    [5, 2],
  ]);
  delivery.acknowledged(activation, { kind: 'ack', to: 'stock/near', from: partner, session: 5, number: 2 });
  assert.equal(sent().slice(2), [[1_001, 3]]);
});

test('P8, P7: what expired in a history that is gone becomes a dead letter; what did not was acknowledged there', async () => {
  const { environment, store, ownership, delivery, activation, record } = readAgain();
  const { outbound } = activityWith(record, partner);
  assert.ok(outbound);
  outbound.unacked = outbound.unacked.map((one) => ({ ...one, expires: one.seq === 1 ? 0 : one.expires }));
  const [claim] = await store.claim([0], 'this worker');
  ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
  delivery.stale(activation, { kind: 'stale', to: 'stock/near', from: partner, session: 5, number: 8 });
  await environment.advance(10);
  assert.equal([record.dead.size, record.outboxCount, outbound.session], [1, 0, 8]);
});

test('Q3, P7: the floor waits for a dead letter that is not durable also when a later session goes on meanwhile', async () => {
  const { environment, store, ownership, delivery, activation, record, posted } = readAgain();
  const [claim] = await store.claim([0], 'this worker');
  ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
  delivery.resume(activation);
  const activity = activityWith(record, partner);
  enqueueMessage(record, activity, content, { now: 0, expires: Number.MAX_SAFE_INTEGER });
  const { outbound } = activity;
  assert.ok(outbound);
  const underWay = sentOf(outbound);
  await environment.advance(1_000 + defaultLimits.skewMaxMs + 1);
  // The first of three becomes a dead letter; the second was settled in a session that the partner knows of.
  delivery.probed(activation, { kind: 'probed', to: 'stock/near', from: partner, session: 5, number: -1 });
  delivery.stale(activation, { kind: 'stale', to: 'stock/near', from: partner, session: 5, number: 900 });
  await environment.advance(10);
  assert.equal(
    outbound.unacked.map(({ seq }) => seq),
    [3],
  );
  posted.length = 0;
  const told = () => posted.map((one) => (one.kind === 'message' ? [one.arrival.seq, one.arrival.floor] : one.kind));
  delivery.durable(activation, activity, underWay);
  assert.equal(told(), [[3, 1]], 'a commit of before has the third, and not the dead letter');
  for (const buried of activation.gathering?.buried ?? []) delivery.buried(activation, buried);
  assert.equal(told().slice(1), [[3, 3]]);
});

/** The same, taken off by its owner. */
async function flying(lifeMs?: number, limits?: Partial<Limits>) {
  const given = withOutbox(lifeMs, limits);
  const { environment, store, ownership, delivery, activation } = given;
  const [claim] = await store.claim([0], 'this worker');
  ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
  delivery.resume(activation);
  await environment.advance(10);
  const retryAt = () => activation.flights?.get(partner)?.retryAt ?? 0;
  return { ...given, retryAt };
}

test('P12: of one stream no more is on its way than a window, and an acknowledgement lets the next go', async () => {
  const { delivery, activation, posted } = await flying(60_000, { windowCountMax: 1 });
  const seqs = () => posted.map((one) => (one.kind === 'message' ? one.arrival.seq : one.kind));
  assert.equal(seqs(), [1]);
  delivery.acknowledged(activation, { kind: 'ack', to: 'stock/near', from: partner, session: 5, number: 1 });
  assert.equal(seqs(), [1, 2]);
});

test('Q3, P7: a receiver is asked what became of a message only when it refuses every copy, also by its own clock', async () => {
  const { environment, delivery, activation, posted } = await flying(1_000);
  const kindsAt = async (ms: number) => {
    posted.length = 0;
    await environment.advance(ms);
    const flight = activation.flights?.get(partner);
    if (flight !== undefined) flight.retryAt = environment.now();
    delivery.retry(activation, environment.now());
    await environment.advance(10);
    return posted.map(({ kind }) => kind);
  };
  assert.equal(await kindsAt(1_000), []);
  assert.equal(await kindsAt(defaultLimits.skewMaxMs - 100), []);
  assert.equal(await kindsAt(200), ['probe']);
});

test('P12: pauses between tries double, up to the longest', async () => {
  const { environment, delivery, activation, retryAt } = await flying(10_000_000);
  const { retryMs, retryMsMax } = defaultLimits;
  for (let attempts = 1; attempts < 10; attempts++) {
    await environment.advance(retryAt() - environment.now());
    delivery.retry(activation, environment.now());
    await environment.idle();
    const expected = Math.min(retryMs * 2 ** attempts, retryMsMax);
    const pause = retryAt() - environment.now();
    assert.ok(pause >= 0.75 * expected - 1 && pause <= 1.25 * expected + 1, `${pause} after ${attempts} tries`);
  }
});

test('P7: what went to where a partner was is sent again at once, and for the others nothing changes', async () => {
  const { environment, delivery, activation, retryAt } = await flying(60_000);
  const before = retryAt();
  delivery.hasten(activation, (one) => one !== partner);
  assert.is(retryAt(), before);
  delivery.hasten(activation, (one) => one === partner);
  assert.is(retryAt(), environment.now());
});

test('V2, P8: an activation that was dropped while its owner was asked says nothing of lost history', async () => {
  const { environment, delivery, activation, signs } = await flying(60_000);
  delivery.stale(activation, { kind: 'stale', to: 'stock/near', from: partner, session: 5, number: 8 });
  activation.drop();
  await environment.advance(10);
  assert.equal(signs, []);
  assert.is(activation.record?.activities.get(partner)?.outbound?.session, 5);
});

test.run();
