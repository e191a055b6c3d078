/** What of an entity may leave memory or the store, and what may not yet. */
import { type Activity, newActivity } from '../core/activity.ts';
import { defaultLimits } from '../core/limits.ts';
import { newRecord, recordName } from '../core/record.ts';
import { Activation } from '../runtime/activation.ts';
import { Forgetting } from '../runtime/forgetting.ts';
import { MemoryStore } from '../runtime/stores/memory.ts';
import { HandEnvironment } from './support/hand.ts';
import { assert, suite } from './support/suite.ts';
import { tallyWith } from './support/tally.ts';

const test = suite('forgetting');
const partner = 'tally/b';

function withPartner(activity: Activity = newActivity(partner)) {
  const environment = new HandEnvironment();
  const woken: number[] = [];
  const forgetting = new Forgetting({
    store: new MemoryStore({ partitions: 1 }),
    environment,
    limits: defaultLimits,
    forgotten: () => undefined,
    wakeBy: (_, at) => void woken.push(at),
  });
  const activation = new Activation('tally/a', 0, tallyWith());
  activation.record = newRecord('tally/a', undefined);
  activation.record.activities.set(activity.partner, activity);
  activation.record.isComplete = true;
  activation.phase = 'ready';
  return { environment, forgetting, activation, entity: activation.record, activity, woken };
}

const inboundOf = (keepUntil: number, closedAt = 0) => ({ session: 3, through: 4, keepUntil, closedAt, answers: [] });

test('A3, P7: what is not durable yet is not forgotten, however old it is: whoever asks must find it in the store once', () => {
  const { environment, forgetting, activation, entity, activity } = withPartner();
  activity.inbound = inboundOf(environment.now() - 1);
  const name = recordName.activity(partner);
  entity.changes.records.set(name, 'activity');
  assert.is(forgetting.forget(activation, environment.now(), Number.POSITIVE_INFINITY), false);
  assert.ok(activity.inbound);
  // Once the store has it, it goes.
  entity.changes.records.delete(name);
  assert.is(forgetting.forget(activation, environment.now(), Number.POSITIVE_INFINITY), true);
  assert.is(entity.activities.has(partner), false);
  assert.is(entity.changes.records.get(name), 'activity');
});

test.run();
