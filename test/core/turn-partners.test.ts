/** Turns and partners: messages, answers, activities, tentative operations, timers, effects, dead letters, history. */
import { answers, behaviour, settled, type Turn } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { entity, type Hold } from '../../core/entity.ts';
import { command, tentative, unchecked } from '../../core/operation.ts';
import { Bench, committed, contentOf, inputOf, rowOf } from '../support/bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('turn and partners');

const Seat = entity('seat', {
  initial: () => ({ free: 3, taken: 0 }),
  operations: {
    take: tentative(unchecked<number>(), { holdMs: 500, output: unchecked<number>() }),
    grow: command(unchecked<number>()),
  },
});
const Trip = entity('trip', {
  initial: () => ({ log: [] as unknown[], holds: [] as Hold[] }),
  operations: { run: command(unchecked<string>(), unchecked<unknown>()), note: command(unchecked<unknown>()) },
  activities: { seat: () => ({ status: 'new', count: 0 }) },
});
type TripTurn = Turn<typeof Trip>;

const scripts: Record<string, (turn: TripTurn) => unknown> = {};
const mail = effect('mail', async (to: string) => `sent to ${to}`);
const seat = behaviour(Seat, {
  take: {
    tentative(turn, count) {
      if (count < 0) throw new Error('nonsense');
      if (count > turn.state.free) turn.refuse('full', { free: turn.state.free });
      turn.state.free -= count;
      return turn.state.free;
    },
    confirm(turn, count) {
      turn.state.taken += count;
    },
    cancel(turn, count) {
      turn.state.free += count;
    },
  },
  grow(turn, count) {
    turn.state.free += count;
  },
});
const trip = behaviour(
  Trip,
  {
    run: (turn, name) => scripts[name]?.(turn),
    note(turn, what) {
      turn.state.log.push(what);
    },
  },
  {
    historyMs: 1_000,
    answers: [
      answers(Trip, Seat, {
        take(turn, answer) {
          turn.activity.status = answer.status;
          turn.state.log.push(answer);
        },
      }),
    ],
    effects: [settled(Trip, mail, (turn, outcome) => void turn.state.log.push(outcome))],
  },
);
const trips = () => new Bench(trip);
const seats = () => new Bench(seat);
const stateOf = (bench: Bench) => bench.record.state.value as { log: unknown[]; holds: Hold[] };

test('P6: messages go into the outbox in order, numbered per partner', () => {
  scripts.send = (turn) => {
    turn.to(Seat, 'a').grow(1);
    turn.to(Seat, 'b').grow(2);
    turn.to(Seat, 'a').grow(3);
  };
  const one = trips();
  const { sentTo } = committed(one.ask('run', 'send'));
  assert.equal(
    [...sentTo].map(({ partner }) => partner),
    ['seat/a', 'seat/b'],
  );
  assert.equal(one.outbox('seat/a').map(inputOf), [1, 3]);
  const outbound = one.record.activities.get('seat/a')?.outbound;
  assert.equal(
    outbound?.unacked.map(({ seq }) => seq),
    [1, 2],
  );
  assert.is(outbound?.session, one.record.lineage.start + 1, 'the first session of its lineage');
  assert.is(one.record.outboxCount, 3);
});

test('a message expires after the horizon of its type', () => {
  const short = new Bench(behaviour(Seat, seat.instantiate('x') as never, { horizonMs: 70 }));
  const asked = contentOf('take', 1, { hold: 'h', wantsAnswer: true });
  committed(short.send('trip/one', asked));
  assert.is(short.record.activities.get('trip/one')?.outbound?.unacked[0]?.expires, short.now + 70);
});

test('an answer is asked for exactly where there is a handler for it', () => {
  scripts.both = (turn) => {
    turn.to(Seat, 'a').grow(1);
    turn.state.holds.push(turn.to(Seat, 'a').take(1));
  };
  const one = trips();
  one.ask('run', 'both');
  assert.equal(
    one.outbox('seat/a').map(({ wantsAnswer }) => wantsAnswer),
    [false, true],
  );
});

test('an answer goes back as a message, in the same turn, with status, output and hold; a client gets none', () => {
  const one = seats();
  const asked = contentOf('take', 1, { hold: 'h1', wantsAnswer: true });
  committed(one.send('trip/one', asked));
  committed(one.send('trip/one', contentOf('take', 9, { hold: 'h2', wantsAnswer: true })));
  committed(one.send('@client', { ...asked, hold: 'h3' }));
  const sent = one.outbox('trip/one');
  assert.equal(
    sent.map(({ kind, hold }) => [kind, hold]),
    [
      ['answer', 'h1'],
      ['answer', 'h2'],
    ],
  );
  assert.equal([...(inputOf(sent[0]) as unknown[])], ['accepted', 2]);
  assert.equal(inputOf(sent[1]), ['refused', 'full', { free: 2 }]);
  assert.equal(one.outbox('@client'), []);
});

test('answers of every status reach their handler, in the activity with their partner', () => {
  const one = trips();
  const hold = { entity: 'seat/a', operation: 'take', id: 'h' };
  const rows: [unknown[], object][] = [
    [['accepted', 2], { status: 'accepted', output: 2, hold }],
    [['confirmed'], { status: 'confirmed', output: undefined, hold }],
    [['cancelled'], { status: 'cancelled', output: undefined, hold }],
    [['lapsed'], { status: 'lapsed', output: undefined, hold }],
    [['refused', 'full', { free: 0 }], { status: 'refused', reason: 'full', detail: { free: 0 }, hold }],
    [['failed', 'failed', 'nonsense'], { status: 'failed', code: 'failed', message: 'nonsense', hold }],
  ];
  for (const [row, expected] of rows) {
    committed(one.send('seat/a', contentOf('take', row, { kind: 'answer', hold: 'h' })));
    assert.equal(stateOf(one).log.at(-1), expected);
    const known = one.record.activities.get('seat/a')?.application.value as { status: string } | undefined;
    assert.is(known?.status, row[0]);
  }
});

test('an answer that nobody handles, inherited names included, is taken and changes nothing', () => {
  const one = trips();
  for (const operation of ['grow', 'constructor', 'toString', '__proto__', 'valueOf']) {
    const result = one.send('seat/a', contentOf(operation, ['done', 1], { kind: 'answer' }));
    assert.equal(rowOf(result).slice(0, 1), ['done'], operation);
  }
  assert.equal(rowOf(one.send('@client', contentOf('take', ['done'], { kind: 'answer' }))).slice(0, 1), ['done']);
  assert.equal(stateOf(one).log, []);
});

test('an answer of unknown form is an error of its own, not of the worker', () => {
  for (const row of [5, 'x', [1], { status: 'done' }, []]) {
    const result = trips().send('seat/a', contentOf('take', row, { kind: 'answer' }));
    assert.is(result.kind, 'threw', JSON.stringify(row));
  }
});

test('P1: the activity with a partner is stored with the turn, and let go of by undefined', () => {
  scripts.know = (turn) => {
    turn.to(Seat, 'a').activity.count += 2;
    turn.to(Seat, 'b').activity = { status: 'set', count: 7 };
    return turn.to(Seat, 'a').activity.count;
  };
  scripts.letGo = (turn) => {
    turn.to(Seat, 'a').activity = undefined;
  };
  const one = trips();
  assert.equal(rowOf(one.ask('run', 'know')), ['done', 2]);
  assert.equal(one.record.activities.get('seat/b')?.application.value, { status: 'set', count: 7 });
  assert.ok(one.record.changes.records.has('pseat/a'));
  one.ask('run', 'letGo');
  assert.is(one.record.activities.get('seat/a')?.application.value, undefined);
  assert.equal(rowOf(one.ask('run', 'know')), ['done', 2], 'begun anew');
});

test('activities exist with the entities that the contract names, not with clients or itself', () => {
  const seen: unknown[] = [];
  scripts.mine = (turn) => void seen.push(turn.activity);
  scripts.set = (turn) => {
    turn.activity = { status: 'x', count: 0 };
  };
  const one = trips();
  one.ask('run', 'mine');
  one.send('trip/other', contentOf('run', 'mine'));
  assert.equal(seen, [undefined, undefined]);
  assert.match(String(rowOf(one.ask('run', 'set'))[2]), /Only activities with other entities/);
});

const take = (bench: Bench, id: string, count = 1) => bench.ask('take', count, { hold: id });
const resolve = (bench: Bench, id: string, kind: 'confirm' | 'cancel') =>
  rowOf(bench.ask('take', undefined, { hold: id, kind }));

test('a tentative operation is confirmed once; what comes after finds no hold', () => {
  const one = seats();
  assert.equal(rowOf(take(one, 'h', 2)), ['accepted', 1]);
  assert.equal(one.record.holds.get('h')?.until, one.now + 500);
  assert.equal(resolve(one, 'h', 'confirm'), ['confirmed']);
  assert.equal(one.record.state.value, { free: 1, taken: 2 });
  assert.equal(resolve(one, 'h', 'confirm').slice(0, 2), ['failed', 'hold-unknown']);
  assert.equal(resolve(one, 'h', 'cancel').slice(0, 2), ['failed', 'hold-unknown']);
  assert.equal(one.record.state.value, { free: 1, taken: 2 });
  assert.is(one.record.changes.records.get('xh'), null);
});

test('or cancelled once', () => {
  const one = seats();
  take(one, 'h', 2);
  assert.equal(resolve(one, 'h', 'cancel'), ['cancelled']);
  assert.equal(resolve(one, 'h', 'cancel').slice(0, 2), ['failed', 'hold-unknown']);
  assert.equal(one.record.state.value, { free: 3, taken: 0 });
});

test('or lapses at the end of its time, once: a late confirm and a late cancel hear it, and the memory of it ends', () => {
  const one = seats();
  take(one, 'h', 2);
  one.now += 499;
  assert.is(one.lapse('h').kind, 'void', 'not yet');
  one.now += 1;
  assert.equal(rowOf(one.lapse('h')), ['cancelled']);
  assert.is(one.lapse('h').kind, 'void', 'once');
  assert.equal(resolve(one, 'h', 'confirm'), ['lapsed']);
  assert.equal(resolve(one, 'h', 'cancel'), ['lapsed']);
  assert.equal(one.record.state.value, { free: 3, taken: 0 });
  one.now += one.limits.horizonMs;
  assert.equal(rowOf(one.lapse('h')), ['done']);
  assert.is(one.record.holds.size, 0);
});

test('a confirm in the last millisecond of a hold stands', () => {
  const one = seats();
  take(one, 'h', 2);
  one.now += 500;
  assert.equal(resolve(one, 'h', 'confirm'), ['confirmed']);
  assert.is(one.lapse('h').kind, 'void');
  assert.equal(one.record.state.value, { free: 1, taken: 2 });
});

test('a tentative operation that is refused or throws holds nothing; one without an id, or with a known one, is an error', () => {
  const one = seats();
  assert.equal(rowOf(take(one, 'h', 9)).slice(0, 2), ['refused', 'full']);
  assert.equal(rowOf(take(one, 'h', -1)).slice(0, 2), ['failed', 'failed']);
  assert.equal(rowOf(take(one, '', 1)).slice(0, 2), ['failed', 'unknown-operation']);
  assert.equal(rowOf(take(one, 'x'.repeat(1_025), 1)).slice(0, 2), ['failed', 'invalid-input']);
  assert.is(one.record.holds.size, 0);
  take(one, 'h');
  assert.equal(rowOf(take(one, 'h')).slice(0, 2), ['failed', 'invalid-input']);
  assert.equal(one.record.state.value, { free: 2, taken: 0 });
});

test('ids of holds are unique over turns and within one, and a hold may be kept and resolved later', () => {
  scripts.reserve = (turn) => {
    for (const key of ['a', 'a', 'b']) turn.state.holds.push(turn.to(Seat, key).take(1));
  };
  scripts.finish = (turn) => {
    for (const [index, hold] of turn.state.holds.entries()) index === 0 ? turn.cancel(hold) : turn.confirm(hold);
  };
  const one = trips();
  one.ask('run', 'reserve');
  one.ask('run', 'reserve');
  const ids = stateOf(one).holds.map(({ id }) => id);
  assert.is(new Set(ids).size, 6);
  one.ask('run', 'finish');
  const kinds = one.outbox('seat/a').map(({ kind, hold }) => [kind, ids.indexOf(hold)]);
  const asked = [0, 1, 3, 4].map((index) => ['operation', index]);
  assert.equal(kinds, [...asked, ['cancel', 0], ['confirm', 1], ['confirm', 3], ['confirm', 4]]);
});

test('a hold that is none, or not of an entity, is refused: it would lie in the outbox for ever', () => {
  const holds: unknown[] = [{}, { entity: 'seat/a' }, { entity: '@x', operation: 'take', id: 'h' }];
  holds.push({ entity: 'seat/a', operation: 7, id: 'h' }, { entity: 'seat/a', operation: 'take', id: 5 });
  holds.push({ entity: 'seat/', operation: 'take', id: 'h' }, { entity: '', operation: 'take', id: 'h' }, null, 'h');
  for (const hold of holds) {
    scripts.confirm = (turn) => turn.confirm(hold as Hold);
    const one = trips();
    assert.is(rowOf(one.ask('run', 'confirm'))[0], 'failed', JSON.stringify(hold));
    assert.is(one.record.outboxCount, 0);
  }
});

test('a timer of the same name is replaced, also within one turn; cancelled ones do not fire; fired ones are gone', () => {
  scripts.timers = (turn) => {
    turn.timer('a', { afterMs: 10 }).note('first');
    turn.timer('a', { afterMs: 20 }).note('second');
    turn.timer('b', { at: turn.now + 5 }).note('b');
    turn.timer('c', { afterMs: 5 }).note('c');
    turn.cancelTimer('c');
  };
  scripts.cancel = (turn) => turn.cancelTimer('b');
  scripts.cancelAndSet = (turn) => {
    turn.cancelTimer('a');
    turn.timer('a', { afterMs: 1 }).note('third');
  };
  const one = trips();
  one.ask('run', 'timers');
  assert.equal(
    [...one.record.timers].map(([name, { due }]) => [name, due - one.now]),
    [
      ['a', 20],
      ['b', 5],
    ],
  );
  one.ask('run', 'cancel');
  assert.is(one.timer('b').kind, 'void');
  assert.is(one.record.changes.records.get('tb'), null);
  one.ask('run', 'cancelAndSet');
  committed(one.timer('a'));
  assert.is(one.timer('a').kind, 'void', 'fired: gone with its commit');
  assert.equal(stateOf(one).log, ['third']);
});

test('a timer that its own message sets again stays; one that refuses is gone; one that throws stays', () => {
  const modes = ['again', 'refuse', 'throw'];
  for (const mode of modes) {
    scripts.tick = (turn) => {
      if (mode === 'throw') throw new Error('bad');
      if (mode === 'refuse') turn.refuse('no');
      turn.timer('t', { afterMs: 10 }).run('tick');
    };
    scripts.set = (turn) => turn.timer('t', { afterMs: 10 }).run('tick');
    const one = trips();
    one.ask('run', 'set');
    one.timer('t');
    assert.is(one.record.timers.has('t'), mode !== 'refuse', mode);
  }
});

test('P6: delayed messages and messages to itself keep their order among those due at the same time', () => {
  scripts.self = (turn) => {
    for (let count = 0; count < 12; count++) turn.to(Trip, turn.key).note(count);
    turn.to(Seat, 'a', { afterMs: 0 }).grow(5);
  };
  const one = trips();
  one.ask('run', 'self');
  one.ask('run', 'self');
  assert.is(one.record.outboxCount, 0, 'nothing goes out for now');
  const due = [...one.record.timers.values()].sort((left, right) => left.order - right.order);
  for (const { name } of due) committed(one.timer(name));
  const to12 = Array.from({ length: 12 }, (_, index) => index);
  assert.equal(stateOf(one).log, [...to12, ...to12]);
  assert.equal(one.outbox('seat/a').map(inputOf), [5, 5], 'due: it goes into the outbox as any message');
});

test('L1, P1: an effect is part of the turn that asks for it, has one key for good, and settles once', () => {
  scripts.mail = (turn) => {
    turn.perform(mail, 'ann');
    turn.perform(mail, 'bob');
  };
  scripts.mailThrow = (turn) => {
    turn.perform(mail, 'eve');
    throw new Error('no');
  };
  const one = trips();
  const { effects } = committed(one.ask('run', 'mail'));
  committed(one.ask('run', 'mailThrow'));
  assert.is(one.record.effects.size, 2);
  const [first, second] = effects.map(({ id }) => id) as [string, string];
  assert.is.not(first, second);
  assert.ok(one.record.changes.records.has(`f${first}`));
  committed(one.settle(first, { status: 'done', output: 'sent' }));
  assert.is(one.settle(first, { status: 'done', output: 'sent' }).kind, 'void', 'once');
  committed(one.settle(second, { status: 'failed', message: 'gone' }));
  assert.equal(stateOf(one).log, [
    { status: 'done', output: 'sent' },
    { status: 'failed', message: 'gone' },
  ]);
  assert.is(one.record.effects.size, 0);
});

test('history keeps who asked what, what was sent and how it ended', () => {
  scripts.hist = (turn) => {
    turn.state.log.push('x');
    turn.to(Seat, 'a').grow(1);
    turn.timer('t', { afterMs: 1 }).note('late');
  };
  const one = trips();
  one.send('seat/b', contentOf('run', 'hist'));
  one.timer('t');
  const kept = [...one.record.changes.records].filter(([name]) => name[0] === 'h').map(([, item]) => item);
  const picture = kept.map((item) => {
    assert.ok(item !== null && item !== 'activity' && item.kind === 'history');
    const { version, partner, kind: asked, operation, status, sent } = item.part;
    return [version, partner, asked, operation, status, sent.map(({ to }) => to)];
  });
  assert.equal(picture, [
    [1, 'seat/b', 'operation', 'run', 'done', ['seat/a']],
    [2, '', 'timer', 'note', 'done', []],
  ]);
});

test.run();
