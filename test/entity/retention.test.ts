/** What of an entity may leave memory or the store, and what may not yet. */
import { type Activity, newActivity } from '../../core/activity.ts';
import type { BehaviourOptions } from '../../core/behaviour.ts';
import { defaultLimits, type Limits } from '../../core/limits.ts';
import { newRecord, recordName } from '../../core/record.ts';
import { Activation } from '../../runtime/entity/activation.ts';
import type { Flight } from '../../runtime/entity/batch.ts';
import { rest } from '../../runtime/entity/idle.ts';
import { BloomPartnerFilter, partnerCountMax } from '../../runtime/entity/partner-filter.ts';
import { Retention } from '../../runtime/entity/retention.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { encode } from '../../runtime/wire/codec.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';
import { tallyWith, withTallies } from '../support/tally.ts';

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
  const retention = new Retention({
    store,
    environment,
    limits: { ...defaultLimits, ...limits },
    forgotten: () => {
      forgottenCount += 1;
    },
    wakeBy: (_, at) => void woken.push(at),
  });
  const activation = new Activation('tally/a', 0, tallyWith({}, behaviour));
  activation.load(newRecord('tally/a', undefined));
  for (const activity of activities) activation.entity.activities.set(activity.partner, activity);
  activation.entity.isComplete = true;
  activation.goOn();
  activation.layout.hasActivities = false;
  const stored = async (records: readonly (readonly [string, Uint8Array])[]) => {
    const [claim] = await store.claim([0], 'test');
    const at = { partition: 0, epoch: claim?.epoch ?? 0, address: 'tally/a', wakeBefore: undefined, wakeAt: undefined };
    await store.commit([{ ...at, expected: 0, version: 1, head: new Uint8Array([0]), records: [...records] }]);
  };
  const counts = () => ({ forgotten: forgottenCount, woken: woken.length });
  return { environment, retention, activation, entity: activation.entity, woken, stored, store, counts };
}

const openStream = () => ({ session: 1, next: 1, unacked: [], sealed: [], isClosing: false, activeAt: 0 });
const inboundOf = (keepUntil: number, closedAt = 0) => ({ session: 3, through: 4, keepUntil, closedAt, answers: [] });
const activityOf = (name: string, inbound: ReturnType<typeof inboundOf>): Activity => ({
  ...newActivity(name),
  inbound,
});
/** As `runtime/entity/record-writer.ts` writes one: inbound, outbound, the application's. */
const rowOf = ({ session, through, keepUntil, closedAt }: ReturnType<typeof inboundOf>) =>
  encode([[session, through, keepUntil, closedAt, []], null, null]);

test('A3, P7: what is not durable yet is not forgotten, however old it is: it must be found in the store once', () => {
  const { environment, retention, activation, entity } = withPartners();
  const activity = activityOf(partner, inboundOf(environment.now() - 1));
  entity.activities.set(partner, activity);
  const name = recordName.activity(partner);
  entity.changes.records.set(name, 'activity');
  assert.is(retention.forget(activation, environment.now(), never), false);
  assert.ok(activity.inbound);
  // Once the store has it, it goes.
  entity.changes.records.delete(name);
  assert.is(retention.forget(activation, environment.now(), never), true);
  assert.is(entity.activities.has(partner), false);
  assert.is(entity.changes.records.get(name), 'activity');
});

test('P10: when the next may be forgotten, or a stream be closed, is the date by which an entity is woken', () => {
  const { environment, retention, activation, entity } = withPartners();
  const now = environment.now();
  const { transitMaxMs, skewMaxMs, trimIdleMs } = defaultLimits;
  entity.activities.set('tally/open', activityOf('tally/open', inboundOf(now + 900_000)));
  assert.is(retention.forget(activation, now, never), false);
  assert.is(entity.forgetAt, 0, 'nobody closes it: it goes by a search');
  assert.is(retention.forget(activation, now, now + 5), false);
  assert.is(entity.forgetAt, now + 5);
  entity.activities.set('tally/closed', activityOf('tally/closed', inboundOf(now + 900_000, now - 1)));
  retention.forget(activation, now, never);
  assert.is(entity.forgetAt, now - 1 + transitMaxMs + 2 * skewMaxMs + 1);
  // What may go within a moment goes with what comes in that moment.
  entity.activities.set('tally/soon', activityOf('tally/soon', inboundOf(now + 1, now - 1)));
  retention.forget(activation, now, never);
  assert.is(entity.forgetAt, now + trimIdleMs);
});

test('P10, P4: activities beyond the bound leave memory, but for open streams, what is held and what the store does not have', () => {
  const names = ['a', 'open', 'changed', 'b', 'c'];
  const now = new HandEnvironment().now();
  const activities = names.map((name) => activityOf(name, inboundOf(now + 60_000)));
  const { retention, activation, entity } = withPartners({ activities, limits: { activityCountMax: 3 } });
  const open = entity.activities.get('open');
  assert.ok(open);
  open.outbound = openStream();
  entity.changes.records.set(recordName.activity('changed'), 'activity');
  retention.trimActivities(activation);
  assert.equal([...entity.activities.keys()], ['open', 'changed', 'c']);
  assert.is(entity.isComplete, false);
  assert.ok(entity.stored?.has('a') && entity.stored.has('b'));
  assert.ok(entity.searchAt > now, 'they are looked for when the first of them may go');
  for (const change of [(one: Activation) => one.search(true), (one: Activation) => one.pause()]) {
    const other = withPartners({ activities, limits: { activityCountMax: 3 } });
    change(other.activation);
    other.retention.trimActivities(other.activation);
    assert.is(other.entity.activities.size, 5);
  }
});

test('P10: a search forgets what may go, has an open stream closed, and plans the next for the first that may not go yet', async () => {
  const { environment, retention, activation, entity, stored, counts } = withPartners({ activities: [] });
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
  retention.forget(activation, now, never);
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
  const { environment, retention, activation, entity, store, woken } = withPartners({ activities: [] });
  const now = environment.now();
  store.scan = () => Promise.reject(new Error('away'));
  entity.isComplete = false;
  Object.assign(entity, { searchAt: now, forgetAt: now });
  retention.forget(activation, now, never);
  await environment.idle();
  assert.not(activation.isSearching);
  assert.equal([entity.searchAt, entity.forgetAt, woken.at(-1)], [now + 60_000, now + 60_000, now + 60_000]);
});

test('P10: a type that is only in memory has its partners looked through now and then, once there are many', () => {
  const many = [1, 2, 3].map((index) => newActivity(`tally/${index}`));
  const few = withPartners({ activities: many, limits: { activityCountMax: 3 } });
  few.retention.planVolatile(few.activation);
  assert.is(few.entity.forgetAt, 0);
  const { environment, retention, activation, entity, woken } = withPartners({
    activities: many,
    limits: { activityCountMax: 2 },
  });
  retention.planVolatile(activation);
  assert.equal([entity.forgetAt, woken], [environment.now() + 60_000, [environment.now() + 60_000]]);
  retention.planVolatile(activation);
  assert.is(woken.length, 1);
});

test('P10: one beyond the bound is enough for one to leave memory, with what is known of its way; what has no date plans no search', () => {
  const activities = ['a', 'b'].map((name) => newActivity(name));
  const { retention, activation, entity } = withPartners({ activities, limits: { activityCountMax: 1 } });
  const flights = activation.makeFlights();
  for (const name of ['a', 'b']) flights.set(name, {} as Flight);
  retention.trimActivities(activation);
  assert.equal([[...entity.activities.keys()], [...flights.keys()]], [['b'], ['b']]);
  assert.equal([entity.searchAt, entity.forgetAt], [0, 0]);
  retention.trimActivities(activation);
  assert.is(entity.activities.size, 1);
});

test('P10: what rests is left at rest until something of it may be forgotten, or is planned', () => {
  const { environment, retention, activation, entity } = withPartners();
  const now = environment.now();
  const inbound = inboundOf(now + 300_000);
  entity.activities.set(partner, activityOf(partner, inbound));
  rest(activation, { environment, limits: defaultLimits });
  assert.ok(activation.rested !== undefined);
  assert.is(retention.forget(activation, now, never), false);
  assert.ok(activation.rested !== undefined, 'nothing is due');
  entity.forgetAt = now + 1;
  assert.is(retention.forget(activation, now, never), false);
  assert.ok(activation.rested !== undefined, 'what is planned is not due yet');
  assert.is(retention.forget(activation, now + 1, never), false);
  assert.is(activation.rested, undefined);
  assert.equal(entity.activities.get(partner)?.inbound, inbound);
});

test('A3: of what is forgotten an empty activity stays where the store has others, and where the application has something', () => {
  const { environment, retention, activation, entity } = withPartners();
  const now = environment.now();
  entity.activities.set(partner, activityOf(partner, inboundOf(now - 1)));
  entity.isComplete = false;
  assert.is(retention.forget(activation, now, never), true);
  assert.is(entity.activities.get(partner)?.inbound, undefined);
  assert.ok(entity.activities.has(partner), 'else the store’s would be read again');
  const other = withPartners();
  const kept = { ...activityOf(partner, inboundOf(now - 1)), outbound: openStream() };
  other.entity.activities.set(partner, kept);
  assert.is(other.retention.forget(other.activation, now, never), true);
  assert.equal([kept.inbound, other.entity.activities.get(partner)], [undefined, kept]);
});

test('P10: a search begins when it is due, not before, not without a date, and not twice', async () => {
  const { environment, retention, activation, entity, store } = withPartners({ activities: [] });
  const now = environment.now();
  const scan = store.scan.bind(store);
  let scanCount = 0;
  store.scan = (...given) => {
    scanCount += 1;
    return scan(...given);
  };
  const after = (searchAt: number, isComplete = false) => {
    Object.assign(entity, { searchAt, isComplete });
    retention.forget(activation, now, never);
    return scanCount;
  };
  assert.is(after(0), 0);
  assert.is(after(now + 1), 0);
  assert.is(after(now, true), 0, 'nothing is in the store alone');
  assert.is(after(now), 1);
  assert.is(after(now), 1, 'it is under way');
  await environment.idle();
  assert.not(activation.isSearching);
});

/** Rows of so many partners, with this for each. */
const rowsOf = (count: number, row: Uint8Array) =>
  Array.from(
    { length: count },
    (_, index) => [`ptally/${String(index).padStart(6, '0')}`, row] as [string, Uint8Array],
  );

test('P10: a search goes through all pages, counts what it saw, and changes nothing that is not over', async () => {
  const given = withPartners({ activities: [] });
  const { environment, retention, activation, entity, stored, counts, woken } = given;
  const now = environment.now();
  const known = activityOf('tally/000299', inboundOf(now + 1));
  entity.activities.set(known.partner, known);
  const [last] = rowsOf(300, rowOf(inboundOf(now - 1))).slice(-1);
  await stored([...rowsOf(299, rowOf(inboundOf(now + 500))), ...(last === undefined ? [] : [last])]);
  Object.assign(entity, { isComplete: false, searchAt: now, forgetAt: now, unseenCount: 1_000 });
  retention.forget(activation, now, never);
  await environment.idle();
  assert.not(activation.isSearching);
  assert.is(entity.unseenCount, 300);
  assert.is(entity.stored?.count, 300);
  assert.equal([...entity.activities.values()], [known], 'what is in memory is later than what the store has');
  assert.is(entity.changes.records.size, 0);
  assert.equal([entity.searchAt, entity.forgetAt], [now + 60_000, now + 60_000], 'no sooner than a minute later');
  assert.equal([counts(), woken], [{ forgotten: 0, woken: 1 }, [now + 60_000]]);
});

test('P10: a search that leaves nothing with a date plans no other one, and one whose entity has left memory does nothing', async () => {
  const found = withPartners({ activities: [] });
  const now = found.environment.now();
  await found.stored([['ptally/open', encode([null, [7, 1, false, 0, []], null])]]);
  Object.assign(found.entity, { isComplete: false, searchAt: now, forgetAt: now });
  found.retention.forget(found.activation, now, never);
  await found.environment.idle();
  assert.is(found.entity.searchAt, 0);
  const dropped = withPartners({ activities: [] });
  await dropped.stored([['ptally/old', rowOf(inboundOf(now - 1))]]);
  Object.assign(dropped.entity, { isComplete: false, searchAt: now, forgetAt: now });
  dropped.retention.forget(dropped.activation, now, never);
  dropped.activation.drop();
  await dropped.environment.idle();
  assert.equal([dropped.entity.changes.records.size, dropped.counts()], [0, { forgotten: 0, woken: 0 }]);
});

test('P10: a search notes who is in the store up to a bound, and beyond it nobody: never all but one', async () => {
  const names: string[] = [];
  const noted = new BloomPartnerFilter();
  for (let index = 0; noted.count <= partnerCountMax; index++) {
    noted.add(`p${index}`);
    names.push(`p${index}`);
  }
  const row = rowOf(inboundOf(9_000_000));
  const searched = async (count: number) => {
    const { environment, retention, activation, entity, store } = withPartners({ activities: [] });
    const now = environment.now();
    let at = 0;
    store.scan = async () => {
      const page = names.slice(at, Math.min(count, at + 256)).map((name) => [`p${name}`, row] as [string, Uint8Array]);
      at += 256;
      return page;
    };
    Object.assign(entity, { isComplete: false, searchAt: now, forgetAt: now });
    retention.forget(activation, now, never);
    while (activation.isSearching) await environment.idle();
    return entity.stored;
  };
  assert.is((await searched(names.length - 1))?.count, partnerCountMax);
  assert.is(await searched(names.length), undefined);
});

/** A turn of that moment, as `runtime/entity/record-writer.ts` writes it into history. */
const turnAt = (at: number) =>
  encode([1, at, partner, 'operation', 'add', new Uint8Array(0), 'answer', [], new Uint8Array(0)]);

test('P10: history is looked through at its times: of what is older than is kept nothing stays, and what is not is not touched', async () => {
  const { environment, retention, activation, entity, store, counts } = withPartners({
    behaviour: { historyMs: 3_200_000 },
  });
  let page: [string, Uint8Array][] = [];
  let scanCount = 0;
  store.scan = async () => {
    scanCount += 1;
    return page;
  };
  const look = async () => {
    retention.trimHistory(activation);
    await environment.idle();
  };
  const oldest = environment.now() + 4_000_000 - 3_200_000;
  await environment.advance(4_000_000);
  const dueAt = environment.now() + 200_000;
  page = [['h1', turnAt(oldest)]];
  await look();
  assert.equal([counts().forgotten, entity.changes.records.size, activation.historyDueAt], [0, 0, dueAt]);
  page = [
    ['h1', turnAt(oldest)],
    ['h2', turnAt(oldest + 200_000)],
  ];
  await environment.advance(199_999);
  await look();
  assert.is(scanCount, 1, 'a sixteenth of the time that it is kept has not passed');
  await environment.advance(1);
  await look();
  assert.equal([scanCount, counts().forgotten, [...entity.changes.records]], [2, 1, [['h1', null]]]);
  assert.is(activation.historyDueAt, environment.now() + 200_000, 'there was no full page of it');
  await environment.advance(200_000);
  page = Array.from({ length: 256 }, (_, index) => [`h${index}`, turnAt(oldest)]);
  await look();
  assert.equal([entity.changes.records.size, activation.historyDueAt], [256, environment.now()]);
  await look();
  assert.is(scanCount, 4, 'there may be more of it');
  entity.changes.records.clear();
  retention.trimHistory(activation);
  activation.drop();
  await environment.idle();
  assert.equal([entity.changes.records.size, counts().forgotten], [0, 3]);
});

test('P10: history that is kept for a short time is looked through once a minute', async () => {
  const { environment, retention, activation } = withPartners({ behaviour: { historyMs: 1_000 } });
  retention.trimHistory(activation);
  await environment.idle();
  assert.is(activation.historyDueAt, environment.now() + 60_000);
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
