/** What a worker may only say while it is the owner, and which proof of that the answer waits for. */
import { type Content, newActivity, newOutbound } from '../../core/activity.ts';
import { behaviour, defaultLimits, entity, query, unchecked } from '../../core/index.ts';
import { newRecord } from '../../core/record.ts';
import { Activation } from '../../runtime/entity/activation.ts';
import type { Unproven } from '../../runtime/entity/batch.ts';
import { Turns } from '../../runtime/entity/turns.ts';
import { Counters } from '../../runtime/meter.ts';
import type { Envelope, MessageEnvelope, QueryEnvelope, StreamEnvelope } from '../../runtime/wire/envelope.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('turns-proof');

const Stock = entity('stock', { initial: () => ({ count: 7 }), operations: { count: query(unchecked<number>()) } });
const stock = behaviour(Stock, { count: ({ state }) => state.count });
const gauge = behaviour(Stock, { count: ({ state }) => state.count }, { durability: { intervalMs: 1_000 } });
const nothing = new Uint8Array(0);
const near = 'stock/near';
const partner = 'stock/far';
const count: QueryEnvelope = {
  kind: 'query',
  to: near,
  replyTo: 'client',
  call: 3,
  identity: '',
  operation: 'count',
  payload: nothing,
  deadline: Number.POSITIVE_INFINITY,
};
const probe = (session: number, number: number): StreamEnvelope => ({
  kind: 'probe',
  to: near,
  from: partner,
  session,
  number,
});
const probed = (session: number, number: number): StreamEnvelope => ({
  kind: 'probed',
  to: partner,
  from: near,
  session,
  number,
});

/** An entity that has processed messages 1 to 3 of session 5; what leaves at once, and what waits for a proof. */
function withInbox(waitMs = 0, run = stock) {
  const posted: Envelope[] = [];
  const unproven: Unproven[] = [];
  const counters = new Counters();
  const turns = new Turns({
    environment: new HandEnvironment(),
    limits: defaultLimits,
    // Neither queries nor probes come to it.
    delivery: undefined as never,
    counters,
    crashNotes: undefined as never,
    housekeeping: undefined as never,
    closing: undefined as never,
    waiting: undefined as never,
    post: (envelope) => void posted.push(envelope),
    commits: { commit: () => undefined, waitMs },
    readActivity: () => undefined,
    wakeBy: () => undefined,
    dispatcher: { mayBuffer: () => true, admission: { late: () => undefined } },
    proofs: { prove: (_, one) => void unproven.push(one) },
  });
  const activation = new Activation(near, 0, run);
  activation.load(newRecord(near, { count: 7 }));
  activation.goOn();
  const activity = newActivity(partner);
  activity.inbound = { session: 5, through: 3, keepUntil: 0, closedAt: 0, answers: [] };
  activation.entity.activities.set(partner, activity);
  return { turns, counters, activation, posted, unproven };
}

test('Q3, P7, P8: what became of a message is said only by who is proven to be the owner of what it remembers', () => {
  const { turns, activation, posted, unproven } = withInbox();
  const asked = [probe(5, 2), probe(5, 4), probe(6, 1), probe(4, 9)];
  for (const one of asked) turns.run(activation, one);
  assert.equal(posted, []);
  // Everything of an earlier session was settled before the later one was sent.
  const said = [probed(5, 3), probed(5, -4), probed(6, -1), { ...probed(4, 5), kind: 'stale' }];
  assert.equal(
    unproven,
    said.map((envelope, index) => ({ envelope, asked: asked[index] })),
  );
});

test('AG7: a probe is not answered while a confirm that could not be kept is not acknowledged', () => {
  const { turns, activation, unproven } = withInbox();
  const activity = activation.entity.activities.get(partner);
  assert.ok(activity?.inbound);
  // Message 2 of the hub was a confirm, and number 1 to the hub is the news that it was not kept.
  activity.inbound.withheld = { from: 2, until: 1 };
  activity.outbound = { ...newOutbound(8, 0), next: 2 };
  activity.outbound.unacked.push({
    seq: 1,
    expires: 0,
    content: { kind: 'answer', operation: '', payload: nothing, hold: '', wantsAnswer: false },
  });
  for (const number of [1, 2, 3]) turns.run(activation, probe(5, number));
  assert.equal(
    unproven.map(({ envelope }) => envelope),
    [probed(5, 1)],
  );
  activity.outbound.unacked.pop();
  turns.run(activation, probe(5, 2));
  assert.equal(unproven.at(-1)?.envelope, probed(5, 3));
});

test('W8: a call that could not be durable in time is turned away, with nothing done; a message of an entity is not', () => {
  const content: Content = { kind: 'operation', operation: 'none', payload: nothing, hold: '', wantsAnswer: false };
  const runs = (waitMs: number, lifeMs: number, from: string) => {
    const { turns, counters, activation, posted } = withInbox(waitMs);
    const replyTo = from === partner ? '' : 'client';
    const arrival = { session: 9, seq: 1, floor: 1, expires: 1_000_000 + lifeMs, sent: 1_000_000, keepMs: 0 };
    turns.run(activation, { kind: 'message', to: near, from, replyTo, call: 1, identity: '', arrival, content });
    assert.equal(
      posted.map((one) => (one.kind === 'reply' ? one.status : '')),
      counters.sumOf('turns') === 0 ? ['overloaded'] : [],
    );
    return counters.sumOf('turns');
  };
  assert.equal(
    [runs(600, 1_000, '@c'), runs(600, 1_300, '@c'), runs(20, 30, '@c'), runs(600, 1_000, partner)],
    [0, 1, 1, 1],
  );
});

test('P8, O2: a copy is answered from memory only with proof that the store has what memory says', () => {
  const { turns, activation, posted, unproven } = withInbox();
  const arrival = { session: 5, seq: 2, floor: 1, expires: 2_000_000, sent: 1_000_000 };
  const content: Content = { kind: 'operation', operation: '', payload: nothing, hold: '', wantsAnswer: false };
  const copy: MessageEnvelope = {
    kind: 'message',
    to: near,
    from: partner,
    replyTo: '',
    call: 0,
    identity: '',
    arrival: { ...arrival, keepMs: 0 },
    content,
  };
  const late = { ...copy, arrival: { ...copy.arrival, session: 4 } };
  for (const one of [copy, late]) turns.run(activation, one);
  const key = newActivity('#key');
  const answers = [{ seq: 1, bytes: nothing, until: Number.MAX_SAFE_INTEGER }];
  key.inbound = { session: 1, through: 1, keepUntil: Number.MAX_SAFE_INTEGER, closedAt: 0, answers };
  activation.record?.activities.set('#key', key);
  const again: MessageEnvelope = {
    ...copy,
    from: '#key',
    replyTo: 'c',
    arrival: { ...copy.arrival, session: 1, seq: 1 },
  };
  turns.run(activation, again);
  assert.equal(posted, []);
  assert.equal(
    unproven.map(({ envelope: { kind, to }, asked }) => [kind, to, asked]),
    [
      ['ack', partner, copy],
      ['stale', partner, late],
      ['reply', 'c', again],
    ],
  );
});

test('O2, P9: the answer to a query waits for a newer proof than the commit that is under way when it is asked', () => {
  const { turns, activation, posted, unproven } = withInbox();
  activation.batch();
  const flying = activation.takeOff();
  turns.run(activation, count);
  // The store may have accepted that commit before another worker became the owner.
  assert.equal(flying?.envelopes, []);
  const [waiting] = flying?.unproven ?? [];
  assert.is(waiting?.asked, count);
  assert.is(waiting?.envelope.kind, 'reply');
  assert.equal([posted, unproven], [[], []], 'it may have seen what the commit makes durable');
});

test('O2, N1: a commit that has not started is proof enough for a query that saw its turns', () => {
  const { turns, activation, posted, unproven } = withInbox();
  activation.batch();
  const flying = activation.takeOff();
  const gathering = activation.batch();
  turns.run(activation, count);
  assert.is(gathering.envelopes.length, 1);
  assert.equal([flying?.envelopes, flying?.unproven], [[], undefined]);
  assert.equal([posted, unproven], [[], []]);
});

test('O2, P9: where what waits for the store may leave before that, it is no proof', () => {
  const { turns, activation } = withInbox(0, gauge);
  const gathering = activation.batch();
  for (const one of [count, probe(5, 2)]) turns.run(activation, one);
  const { envelopes, unproven } = gathering;
  assert.equal([envelopes, unproven?.map(({ envelope: { kind } }) => kind)], [[], ['reply', 'probed']]);
});

test.run();
