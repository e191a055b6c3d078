/** What of an entity may leave memory or the store, and what may not yet. */
import { type Activity, newActivity } from '../core/activity.ts';
import type { BehaviourOptions } from '../core/behaviour.ts';
import { defaultLimits, type Limits } from '../core/limits.ts';
import { newRecord, recordName } from '../core/record.ts';
import { Activation } from '../runtime/activation.ts';
import { encode } from '../runtime/codec.ts';
import { Forgetting } from '../runtime/forgetting.ts';
import { MemoryStore } from '../runtime/stores/memory.ts';
import { HandEnvironment } from './support/hand.ts';
import { assert, suite } from './support/suite.ts';
import { tallyWith, withTallies } from './support/tally.ts';

const test = suite('forgetting');
const partner = 'tally/b';
const never = Number.POSITIVE_INFINITY;

interface Given {
  readonly activities?: readonly Activity[];
  readonly limits?: Partial<Limits>;
  readonly behaviour?: BehaviourOptions;
}

function withPartners({ activities = [newActivity(partner)], limits = {}, behaviour = {} }: Given = {}) {
  const environment = new HandEnvironment();
  const woken: number[] = [];
  let forgottenCount = 0;
  const store = new MemoryStore({ partitions: 1 });
  const forgetting = new Forgetting({
    store,
    environment,
    limits: { ...defaultLimits, ...limits },
    forgotten: () => {
      forgottenCount += 1;
    },
    wakeBy: (_, at) => void woken.push(at),
  });
  const activation = new Activation('tally/a', 0, tallyWith({}, behaviour));
  activation.record = newRecord('tally/a', undefined);
  for (const activity of activities) activation.record.activities.set(activity.partner, activity);
  activation.record.isComplete = true;
  activation.phase = 'ready';
  activation.layout.hasActivities = false;
  const stored = async (records: readonly (readonly [string, Uint8Array])[]) => {
    const [claim] = await store.claim([0], 'test');
    const at = { partition: 0, epoch: claim?.epoch ?? 0, address: 'tally/a', wakeBefore: undefined, wakeAt: undefined };
    await store.commit([{ ...at, expected: 0, version: 1, head: new Uint8Array([0]), records: [...records] }]);
  };
  const counts = () => ({ forgotten: forgottenCount, woken: woken.length });
  return { environment, forgetting, activation, entity: activation.record, woken, stored, store, counts };
}

const inboundOf = (keepUntil: number, closedAt = 0) => ({ session: 3, through: 4, keepUntil, closedAt, answers: [] });
const activityOf = (name: string, inbound: ReturnType<typeof inboundOf>): Activity => ({
  ...newActivity(name),
  inbound,
});
/** As `persistence.ts` writes one: inbound, outbound, the application's. */
const rowOf = ({ session, through, keepUntil, closedAt }: ReturnType<typeof inboundOf>) =>
  encode([[session, through, keepUntil, closedAt, []], null, null]);

test('A3, P7: what is not durable yet is not forgotten, however old it is: it must be found in the store once', () => {
  const { environment, forgetting, activation, entity } = withPartners();
  const activity = activityOf(partner, inboundOf(environment.now() - 1));
  entity.activities.set(partner, activity);
  const name = recordName.activity(partner);
  entity.changes.records.set(name, 'activity');
  assert.is(forgetting.forget(activation, environment.now(), never), false);
  assert.ok(activity.inbound);
  // Once the store has it, it goes.
  entity.changes.records.delete(name);
  assert.is(forgetting.forget(activation, environment.now(), never), true);
  assert.is(entity.activities.has(partner), false);
  assert.is(entity.changes.records.get(name), 'activity');
});

test('P10: when the next may be forgotten, or a stream be closed, is the date by which an entity is woken', () => {
  const { environment, forgetting, activation, entity } = withPartners();
  const now = environment.now();
  const { transitMaxMs, skewMaxMs, trimIdleMs } = defaultLimits;
  entity.activities.set('tally/open', activityOf('tally/open', inboundOf(now + 900_000)));
  assert.is(forgetting.forget(activation, now, never), false);
  assert.is(entity.forgetAt, 0, 'nobody closes it: it goes by a search');
  assert.is(forgetting.forget(activation, now, now + 5), false);
  assert.is(entity.forgetAt, now + 5);
  entity.activities.set('tally/closed', activityOf('tally/closed', inboundOf(now + 900_000, now - 1)));
  forgetting.forget(activation, now, never);
  assert.is(entity.forgetAt, now - 1 + transitMaxMs + 2 * skewMaxMs + 1);
  // What may go within a moment goes with what comes in that moment.
  entity.activities.set('tally/soon', activityOf('tally/soon', inboundOf(now + 1, now - 1)));
  forgetting.forget(activation, now, never);
  assert.is(entity.forgetAt, now + trimIdleMs);
});

test('P10, P4: activities beyond the bound leave memory, but for open streams, what is held and what the store does not have', () => {
  const names = ['a', 'open', 'changed', 'b', 'c'];
  const now = new HandEnvironment().now();
  const activities = names.map((name) => activityOf(name, inboundOf(now + 60_000)));
  const { forgetting, activation, entity } = withPartners({ activities, limits: { activityCountMax: 3 } });
  const open = entity.activities.get('open');
  assert.ok(open);
  open.outbound = { session: 1, next: 1, unacked: [], sealed: [], isClosing: false, activeAt: 0 };
  entity.changes.records.set(recordName.activity('changed'), 'activity');
  forgetting.trimActivities(activation);
  assert.equal([...entity.activities.keys()], ['open', 'changed', 'c']);
  assert.is(entity.isComplete, false);
  assert.ok(entity.stored?.has('a') && entity.stored.has('b'));
  assert.ok(entity.searchAt > now, 'they are looked for when the first of them may go');
  for (const change of [{ isSearching: true }, { phase: 'reading' as const }]) {
    const other = withPartners({ activities, limits: { activityCountMax: 3 } });
    Object.assign(other.activation, change);
    other.forgetting.trimActivities(other.activation);
    assert.is(other.entity.activities.size, 5);
  }
});

test('P10: a search forgets what may go, has an open stream closed, and plans the next for the first that may not go yet', async () => {
  const { environment, forgetting, activation, entity, stored, counts } = withPartners({ activities: [] });
  const now = environment.now();
  const kept = inboundOf(now + 500_000);
  const open = encode([null, [7, 1, false, 0, []], null]);
  await stored([
    ['ptally/old', rowOf(inboundOf(now - 1))],
    ['ptally/kept', rowOf(kept)],
    ['ptally/open', open],
  ]);
  entity.isComplete = false;
  Object.assign(entity, { searchAt: now, forgetAt: now });
  forgetting.forget(activation, now, never);
  assert.ok(activation.isSearching);
  await environment.idle();
  assert.not(activation.isSearching);
  assert.is(entity.changes.records.get('ptally/old'), 'activity');
  assert.is(entity.activities.get('tally/old')?.inbound, undefined);
  assert.not(entity.activities.has('tally/kept'));
  assert.ok(entity.activities.get('tally/open')?.outbound);
  assert.ok(['old', 'kept', 'open'].every((name) => entity.stored?.has(`tally/${name}`)));
  assert.is(entity.searchAt, now + 500_001);
  assert.is(entity.forgetAt, now, 'the open one is seen to be quiet at once');
  assert.equal(counts(), { forgotten: 1, woken: 0 });
});

test('P10: a search whose read fails comes again', async () => {
  const { environment, forgetting, activation, entity, store, woken } = withPartners({ activities: [] });
  const now = environment.now();
  store.scan = () => Promise.reject(new Error('away'));
  entity.isComplete = false;
  Object.assign(entity, { searchAt: now, forgetAt: now });
  forgetting.forget(activation, now, never);
  await environment.idle();
  assert.not(activation.isSearching);
  assert.equal([entity.searchAt, entity.forgetAt, woken.at(-1)], [now + 60_000, now + 60_000, now + 60_000]);
});

test('P10: a type that is only in memory has its partners looked through now and then, once there are many', () => {
  const many = [1, 2, 3].map((index) => newActivity(`tally/${index}`));
  const few = withPartners({ activities: many, limits: { activityCountMax: 3 } });
  few.forgetting.planVolatile(few.activation);
  assert.is(few.entity.forgetAt, 0);
  const { environment, forgetting, activation, entity, woken } = withPartners({
    activities: many,
    limits: { activityCountMax: 2 },
  });
  forgetting.planVolatile(activation);
  assert.equal([entity.forgetAt, woken], [environment.now() + 60_000, [environment.now() + 60_000]]);
  forgetting.planVolatile(activation);
  assert.is(woken.length, 1);
});

test('P10: history goes when its type need not keep it any longer, and not before', () =>
  withTallies({ behaviour: { historyMs: 100_000 } }, async ({ hand, tally, during, cluster }) => {
    const kept = async () => {
      let count = 0;
      for await (const _ of cluster.inspector.history('tally/a')) count += 1;
      return count;
    };
    for (let turn = 0; turn < 3; turn++) await during(tally('a').add(1));
    await hand.advance(90_000);
    await during(tally('a').add(1));
    await hand.advance(5_000);
    assert.is(await kept(), 4);
    await hand.advance(70_000);
    await during(tally('a').add(1));
    await hand.advance(5_000);
    assert.is(await kept(), 2);
  }));

test.run();
