/** What an entity at rest keeps of its partners, and that it has all of it again. */
import fc from 'fast-check';
import { type Activity, newActivity } from '../../core/activity.ts';
import { defaultLimits, durationMsMax } from '../../core/limits.ts';
import { newRecord } from '../../core/record.ts';
import { Activation } from '../../runtime/entity/activation.ts';
import { recall, rest } from '../../runtime/entity/idle.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';
import { Tally, tallyWith, withTallies } from '../support/tally.ts';

const test = suite('resting');
const parts = { environment: new HandEnvironment(), limits: defaultLimits };

const whole = fc.integer({ min: 0, max: 2 ** 48 });
const inbounds = fc.record({
  session: whole,
  through: whole,
  keepUntil: fc.integer({ min: 0, max: durationMsMax }),
  closedAt: whole,
  answers: fc.array(fc.record({ seq: whole, bytes: fc.uint8Array({ maxLength: 40 }), until: whole }), { maxLength: 2 }),
});
const partners = fc.uniqueArray(
  fc.tuple(
    fc.string({ minLength: 1, maxLength: 20 }),
    inbounds,
    fc.option(fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.integer(), { noNullPrototype: true }), {
      nil: undefined,
      freq: 2,
    }),
  ),
  { selector: ([partner]) => partner, minLength: 1, maxLength: 24 },
);

function activationWith(activities: readonly Activity[], isComplete = true): Activation {
  const activation = new Activation('tally/a', 0, tallyWith());
  activation.load(newRecord('tally/a', undefined));
  for (const activity of activities) activation.entity.activities.set(activity.partner, activity);
  activation.entity.isComplete = isComplete;
  activation.goOn();
  return activation;
}

const plainOf = ({ entity }: Activation) =>
  [...entity.activities].map(([partner, { inbound, outbound, application }]) => [
    partner,
    { ...inbound, answers: inbound?.answers.map((answer) => ({ ...answer, bytes: [...answer.bytes] })) },
    outbound,
    application.value,
  ]);

test('RS1, P4: what comes back is what went to rest, or it is left to the store, and who it was is known', () => {
  fc.assert(
    fc.property(partners, (known) => {
      const activation = activationWith(
        known.map(([partner, inbound, value]) => ({ ...newActivity(partner), inbound, application: { value } })),
      );
      const before = plainOf(activation);
      rest(activation, parts);
      const { entity } = activation;
      assert.equal([entity.activities.size, entity.isComplete], [0, false]);
      const isKept = activation.rested !== undefined;
      assert.ok(isKept || known.length > 16 || entity.stored !== undefined);
      recall(activation);
      assert.is(entity.isComplete, isKept);
      if (isKept) assert.equal(plainOf(activation), before);
      else assert.ok(known.every(([partner]) => entity.stored?.has(partner)));
    }),
  );
});

test('RS1: what was not complete is not complete afterwards', () => {
  const activation = activationWith([newActivity('tally/b')], false);
  rest(activation, parts);
  recall(activation);
  assert.equal(
    [activation.rested, activation.entity.isComplete, activation.entity.stored],
    [undefined, false, undefined],
  );
});

test('an entity that has rested answers the next call without reading the store', () =>
  withTallies({}, async ({ hand, gate, tally, during }) => {
    await during(tally('a').add(1));
    const asked: string[] = [];
    for (const name of ['read', 'load', 'scan'] as const) {
      const ask = gate[name].bind(gate) as (...given: unknown[]) => unknown;
      Object.assign(gate, {
        [name]: (...given: unknown[]) => {
          asked.push(name);
          return ask(...given);
        },
      });
    }
    await hand.advance(20_000);
    assert.is(await during(tally('a').add(1)), 2);
    assert.equal(asked, []);
    await during(tally('b').add(1));
    assert.equal(asked, ['load']);
  }));

test('RS1, P10: timers that fire at rest need no partner, and those are forgotten when it is time', () =>
  withTallies(
    {
      scripts: {
        tell: (turn) => turn.to(Tally, 'a').add(1),
        plan(turn) {
          for (let minute = 1; minute <= 20; minute++) turn.timer(`${minute}`, { afterMs: minute * 60_000 }).add(1);
        },
      },
    },
    async ({ hand, cluster, tally, during, stored }) => {
      await during(tally('a').run('plan'));
      await during(tally('b').run('tell'));
      const partners = async () =>
        (await during(cluster.inspector.get('tally/a')))?.activities
          .map(({ partner }) => partner)
          .filter((one) => one[0] !== '@');
      assert.equal(await partners(), ['tally/b']);
      await hand.advance(1_230_000);
      assert.is((await during(stored('a')))?.count, 21);
      assert.equal(await partners(), []);
    },
  ));

test(
  'P10: clients that went away are forgotten by an entity at rest whose timers go on',
  () =>
    withTallies(
      {
        scripts: {
          tick(turn) {
            turn.timer('tick', { afterMs: 60_000 }).run('tick');
          },
        },
      },
      async ({ hand, cluster, tally, during }) => {
        await during(tally('a').run('tick'));
        for (let key = 0; key < 5; key++) await during(tally('a').add(1, { idempotencyKey: `${key}` }));
        const count = async () => (await during(cluster.inspector.get('tally/a')))?.activities.length;
        assert.is(await count(), 6);
        await hand.advance(defaultLimits.horizonMs + defaultLimits.doubtMs + 240_000);
        assert.is(await count(), 0);
      },
    ),
  { timeoutMs: 60_000 },
);

test('RS1, P7: timers of an entity at rest that need a partner run in their order, and read nothing', () =>
  withTallies(
    {
      scripts: {
        plan(turn) {
          turn.timer('first', { afterMs: 10_000 }).run('tell');
          turn.timer('second', { afterMs: 10_000 }).see('second');
        },
        tell(turn) {
          turn.to(Tally, 'b').add(1);
          turn.state.seen.push('first');
        },
      },
    },
    async ({ hand, gate, tally, during, stored }) => {
      await during(tally('b').add(1));
      await during(tally('a').run('plan'));
      await hand.advance(5_000);
      let readCount = 0;
      const read = gate.read.bind(gate);
      gate.read = (...given) => {
        readCount += 1;
        return read(...given);
      };
      await hand.advance(10_000);
      assert.equal((await during(stored('a')))?.seen.slice(0, 2), ['first', 'second']);
      assert.is(readCount, 0);
    },
  ));

test.run();
