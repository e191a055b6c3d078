/** Which turns the parts of an entity ask for, and in which order they run. */
import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { command, tentative, unchecked } from '../../core/operation.ts';
import { dropPart, newRecord, putPart } from '../../core/record.ts';
import { askedBy, dateOfTurn, dueTurns, receiverOf, turnKey, turnName } from '../../core/turn-parts.ts';
import { Bench, committed } from '../support/bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('turn parts');

const payload = new Uint8Array(0);
const content = { kind: 'operation', operation: 'go', payload, hold: '', wantsAnswer: false } as const;

function filled() {
  const record = newRecord('a/b', {});
  const timer = (name: string, due: number, order: number, to = '') =>
    putPart(record, 'timers', { name, due, order, to, content });
  const hold = (id: string, until: number) =>
    putPart(record, 'holds', { id, operation: 'keep', payload, until, isLapsed: false });
  timer('late', 30, 1);
  timer('second', 20, 3, 'a/c');
  timer('first', 20, 2);
  hold('early', 10);
  hold('same', 20);
  putPart(record, 'trials', { key: 'm', ends: 0, epoch: 1, until: 5 });
  return record;
}

test('what is due runs by date, whatever it is; of one date timers in the order in which they were set, then holds', () => {
  const record = filled();
  const names = (by: number) => dueTurns(record, by).map(({ request }) => request.id);
  assert.equal(names(30), ['early', 'first', 'second', 'same', 'late']);
  assert.equal(names(19), ['early']);
  assert.equal(names(9), []);
  assert.equal(dueTurns(record, 10), [
    { at: 10, request: { kind: 'due', part: 'holds', id: 'early' }, rank: 1, order: 0 },
  ]);
});

test('a turn has a name for its tries, by which its date is found until its part has gone', () => {
  const record = filled();
  assert.equal([turnKey('timers', 'x:y'), turnKey('holds', ''), turnKey('effects', '1')], ['t:x:y', 'x:', 'f:1']);
  assert.equal(
    [dateOfTurn(record, 't:first'), dateOfTurn(record, 'x:same'), dateOfTurn(record, 'n:m')],
    [20, 20, undefined],
  );
  dropPart(record, 'holds', 'same');
  assert.is(dateOfTurn(record, 'x:same'), undefined);
});

test('P7: a part that asks for a turn says what it asks, and whom', () => {
  const record = filled();
  const second = { kind: 'due', part: 'timers', id: 'second' } as const;
  const early = { kind: 'due', part: 'holds', id: 'early' } as const;
  assert.equal([receiverOf(record, second), receiverOf(record, early)], ['a/c', '']);
  const { member, part } = askedBy(record, early) ?? {};
  assert.equal(member?.contentOf(part), { ...content, kind: 'cancel', operation: 'keep', hold: 'early' });
  assert.equal([turnName(second), turnName(early)], ['timer', 'lapse']);
  assert.is(askedBy(record, { ...early, id: 'gone' }), undefined);
  assert.is(askedBy(record, { kind: 'due', part: 'trials', id: 'm' }), undefined);
});

test('P4: a timer goes with the turn that it asked for, and a hold stays to be remembered', () => {
  const Desk = entity('a', {
    initial: () => ({ count: 0 }),
    operations: { go: command(), keep: tentative(unchecked<undefined>(), { holdMs: 5 }) },
  });
  const desk = behaviour(Desk, {
    go(turn) {
      turn.state.count += 1;
    },
    keep: { tentative: () => undefined, confirm: () => undefined, cancel: () => undefined },
  });
  const bench = new Bench(desk);
  putPart(bench.record, 'timers', { name: 'once', due: 1, order: 0, to: '', content });
  committed(bench.timer('once'));
  assert.equal([bench.record.timers.size, bench.record.state.value], [0, { count: 1 }]);
  assert.is(bench.timer('once').kind, 'void');
  committed(bench.ask('keep', undefined, { hold: 'h' }));
  assert.is(bench.lapse('h').kind, 'void', 'its time has not come');
  bench.now += 5;
  committed(bench.lapse('h'));
  assert.is(bench.record.holds.get('h')?.isLapsed, true);
  bench.now += bench.limits.horizonMs;
  committed(bench.lapse('h'));
  assert.is(bench.record.holds.size, 0);
});

test.run();
