/** Many dates under one alarm, against a plain list. */
import fc from 'fast-check';
import { Schedule } from '../../runtime/entity/schedule.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('schedule');

interface Given {
  readonly hand: HandEnvironment;
  readonly schedule: Schedule;
  readonly rung: [key: string, at: number][];
  readonly start: number;
}

function given(onRing: (schedule: Schedule, key: string, now: number) => void = () => undefined): Given {
  const hand = new HandEnvironment();
  const rung: [string, number][] = [];
  const start = hand.now();
  const schedule: Schedule = new Schedule(hand, (key) => {
    rung.push([key, hand.now() - start]);
    onRing(schedule, key, hand.now());
  });
  return { hand, schedule, rung, start };
}

test('dates ring at their time, in order, once, equal ones in the order in which they were set', async () => {
  const { hand, schedule, rung, start } = given();
  for (const [key, at] of [
    ['c', 30],
    ['a', 10],
    ['b', 20],
    ['d', 10],
  ] as const)
    schedule.set(key, start + at);
  assert.is(hand.alarmCount, 1, 'one alarm for all');
  await hand.advance(9);
  assert.equal(rung, []);
  await hand.advance(100);
  assert.equal(rung, [
    ['a', 10],
    ['d', 10],
    ['b', 20],
    ['c', 30],
  ]);
  assert.equal([schedule.size, hand.alarmCount], [0, 0]);
});

test('a key has one date, the last one set; setEarlier never moves it back; delete takes it away', async () => {
  const { hand, schedule, rung, start } = given();
  schedule.set('later', start + 10);
  schedule.set('later', start + 50);
  schedule.set('sooner', start + 60);
  schedule.set('sooner', start + 5);
  schedule.setEarlier('kept', start + 20);
  schedule.setEarlier('kept', start + 40);
  schedule.setEarlier('drawn', start + 40);
  schedule.setEarlier('drawn', start + 20);
  schedule.set('gone', start + 7);
  schedule.delete('gone');
  assert.is(schedule.size, 4);
  await hand.advance(1_000);
  assert.equal(rung, [
    ['sooner', 5],
    ['kept', 20],
    ['drawn', 20],
    ['later', 50],
  ]);
});

test('what rings may set itself and others again, also for now, and nothing rings twice', async () => {
  let count = 0;
  const { hand, schedule, rung, start } = given((own, key, now) => {
    if (key === 'again' && ++count < 4) own.set('again', now + 10);
    if (key === 'first') own.set('second', now);
  });
  schedule.set('again', start + 10);
  schedule.set('first', start + 15);
  await hand.advance(1_000);
  assert.equal(rung, [
    ['again', 10],
    ['first', 15],
    ['second', 15],
    ['again', 20],
    ['again', 30],
    ['again', 40],
  ]);
});

test('dates that were missed while the process stood still all ring', async () => {
  const { hand, schedule, rung, start } = given();
  for (const at of [10, 20, 30]) schedule.set(`t${at}`, start + at);
  hand.jump(500);
  await hand.advance(0);
  assert.equal(
    rung.map(([key]) => key),
    ['t10', 't20', 't30'],
  );
});

test('after close nothing rings, and nothing is armed', async () => {
  const { hand, schedule, rung, start } = given();
  schedule.set('a', start + 10);
  schedule.close();
  schedule.set('b', start + 10);
  await hand.advance(100);
  assert.equal([rung, hand.alarmCount], [[], 0]);
});

test('a random history rings what a plain list would', async () => {
  const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
  const change = fc.record({ kind: fc.constantFrom('set', 'setEarlier', 'delete', 'wait'), key, ms: fc.nat(50) });
  const property = fc.asyncProperty(fc.array(change, { maxLength: 60 }), async (changes) => {
    const { hand, schedule, rung, start } = given();
    const model = new Map<string, number>();
    const expected: string[] = [];
    for (const { kind, key: name, ms } of changes) {
      const at = hand.now() - start + ms;
      if (kind === 'set') model.set(name, at);
      if (kind === 'setEarlier') model.set(name, Math.min(at, model.get(name) ?? Number.POSITIVE_INFINITY));
      if (kind === 'delete') model.delete(name);
      if (kind === 'set') schedule.set(name, start + at);
      if (kind === 'setEarlier') schedule.setEarlier(name, start + at);
      if (kind === 'delete') schedule.delete(name);
      if (kind !== 'wait') continue;
      await hand.advance(ms);
      for (const [due, date] of model) if (date <= at) expected.push(`${due}@${date}`) && model.delete(due);
      assert.equal(rung.map(([due, date]) => `${due}@${date}`).sort(), [...expected].sort());
    }
    assert.is(schedule.size, model.size);
  });
  await fc.assert(property, { seed: 3, numRuns: 60 });
});

test.run();
