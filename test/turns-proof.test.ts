/** What a worker may only say while it is the owner, and which proof of that the answer waits for. */
import { newActivity } from '../core/activity.ts';
import { behaviour, defaultLimits, entity, query, unchecked } from '../core/index.ts';
import { newRecord } from '../core/record.ts';
import { Activation, Batch, type Unproven } from '../runtime/activation.ts';
import type { Envelope, QueryEnvelope, StreamEnvelope } from '../runtime/envelope.ts';
import { Turns } from '../runtime/turns.ts';
import { HandEnvironment } from './support/hand.ts';
import { assert, suite } from './support/suite.ts';

const test = suite('turns-proof');

const Stock = entity('stock', { initial: () => ({ count: 7 }), operations: { count: query(unchecked<number>()) } });
const stock = behaviour(Stock, { count: ({ state }) => state.count });
const near = 'stock/near';
const partner = 'stock/far';
const count: QueryEnvelope = {
  kind: 'query',
  to: near,
  replyTo: 'client',
  call: 3,
  identity: '',
  operation: 'count',
  payload: new Uint8Array(0),
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
function withInbox() {
  const posted: Envelope[] = [];
  const unproven: Unproven[] = [];
  const turns = new Turns({
    environment: new HandEnvironment(),
    limits: defaultLimits,
    // Neither queries nor probes come to it.
    courier: undefined as never,
    ownership: undefined as never,
    commitAlone: () => undefined,
    ready: () => undefined,
    closing: undefined as never,
    post: (envelope) => void posted.push(envelope),
    commit: () => undefined,
    readActivity: () => undefined,
    wakeBy: () => undefined,
    mayHold: () => true,
    confirm: (_, one) => void unproven.push(one),
  });
  const activation = new Activation(near, 0, stock);
  activation.record = newRecord(near, { count: 7 });
  activation.phase = 'ready';
  const activity = newActivity(partner);
  activity.inbound = { session: 5, through: 3, keepUntil: 0, closedAt: 0, answers: [] };
  activation.record.activities.set(partner, activity);
  return { turns, activation, posted, unproven };
}

test('Q3, P7: that a message was processed any worker may say; that it was not, only who is proven to be the owner', () => {
  const { turns, activation, posted, unproven } = withInbox();
  turns.run(activation, probe(5, 2));
  assert.equal([posted, unproven], [[probed(5, 3)], []]);
  turns.run(activation, probe(5, 4));
  turns.run(activation, probe(6, 1));
  assert.is(posted.length, 1);
  assert.equal(unproven, [
    { envelope: probed(5, -4), query: undefined },
    { envelope: probed(6, -1), query: undefined },
  ]);
});

test('O2, P9: the answer to a query waits for a newer proof than the commit that is under way when it is asked', () => {
  const { turns, activation, posted, unproven } = withInbox();
  activation.flying = new Batch();
  turns.run(activation, count);
  // The store may have accepted that commit before another worker became the owner.
  assert.equal(activation.flying.envelopes, []);
  const [waiting] = activation.flying.unproven ?? [];
  assert.is(waiting?.query, count);
  assert.is(waiting?.envelope.kind, 'reply');
  assert.equal([posted, unproven], [[], []], 'it may have seen what the commit makes durable');
});

test('O2, N1: a commit that has not started is proof enough for a query that saw its turns', () => {
  const { turns, activation, posted, unproven } = withInbox();
  activation.flying = new Batch();
  activation.gathering = new Batch();
  turns.run(activation, count);
  assert.is(activation.gathering.envelopes.length, 1);
  assert.equal([activation.flying.envelopes, activation.flying.unproven], [[], undefined]);
  assert.equal([posted, unproven], [[], []]);
});

test.run();
