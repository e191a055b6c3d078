/** play(): what a user's unit test does with one entity on a stage of its own. */
import { answers, behaviour, settled, type Turn } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { entity, type Hold } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import type { Later } from '../../core/later.ts';
import { command, query, tentative, unchecked } from '../../core/operation.ts';
import { play } from '../../runtime/testing/play.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('play');
const is = (code: Parameters<typeof isSkerryError>[1]) => (error: unknown) => isSkerryError(error, code);

const Stock = entity('stock', {
  initial: (key) => ({ key, free: 5, held: 0 }),
  operations: {
    receive: command(unchecked<number>()),
    reserve: tentative(unchecked<number>(), { holdMs: 1_000, output: unchecked<number>() }),
    free: query(unchecked<number>()),
    throwing: command(),
  },
});
const stock = behaviour(Stock, {
  receive(turn, units) {
    if (units <= 0) turn.refuse('nothing came', { units });
    turn.state.free += units;
  },
  reserve: {
    tentative(turn, units) {
      if (units > turn.state.free) turn.refuse('not enough');
      turn.state.free -= units;
      turn.state.held += units;
      return turn.state.free;
    },
    confirm(turn, units) {
      turn.state.held -= units;
    },
    cancel(turn, units) {
      turn.state.held -= units;
      turn.state.free += units;
    },
  },
  free: (view) => view.state.free,
  throwing() {
    throw new Error('as told');
  },
});

const Order = entity('order', {
  initial: () => ({ status: 'new', chance: 0, log: [] as unknown[] }),
  operations: {
    place: command(unchecked<string[]>()),
    roll: command(),
    mail: command(unchecked<string>()),
    tick: command(),
  },
  activities: { stock: () => ({ status: 'asked', hold: undefined as Hold | undefined }) },
});
const mail = effect('mail', async (to: string) => `sent to ${to}`);
const order = behaviour(
  Order,
  {
    place(turn, keys) {
      for (const key of keys) turn.to(Stock, key).activity.hold = turn.to(Stock, key).reserve(1);
      turn.timer('deadline', { afterMs: 500 }).tick();
      turn.to(Stock, 'late', { afterMs: 700 }).receive(2);
    },
    roll(turn) {
      turn.state.chance = turn.random();
    },
    mail: (turn, to) => turn.perform(mail, to),
    tick(turn: Turn<typeof Order>) {
      turn.state.log.push(`tick at ${turn.now}`);
    },
  },
  {
    answers: [
      answers(Order, Stock, {
        reserve(turn, answer) {
          turn.activity.status = answer.status;
          if (answer.status === 'accepted') turn.confirm(answer.hold);
        },
      }),
    ],
    effects: [settled(Order, mail, (turn, outcome) => void turn.state.log.push(outcome))],
  },
);

test('commands change the state, queries read it, and what is shown is a copy', () => {
  const tea = play(stock, 'tea');
  tea.ask.receive(3);
  assert.equal(tea.state, { key: 'tea', free: 8, held: 0 });
  tea.state.free = 99;
  assert.is(tea.ask.free(), 8);
});

test('T1: a refusal throws refused with its detail, an error throws its own, and nothing changes', () => {
  const tea = play(stock, 'tea');
  try {
    tea.ask.receive(0);
    assert.unreachable();
  } catch (error) {
    assert.ok(isSkerryError(error, 'refused'));
    assert.equal([error.message, error.detail], ['nothing came', { units: 0 }]);
  }
  assert.throws(() => tea.ask.throwing(), is('failed'));
  assert.throws(() => tea.askFrom(Order, '7').throwing(), /as told/);
  assert.equal(tea.state, { key: 'tea', free: 5, held: 0 });
});

test('who asks is a client of the identity that is given, another entity, or a client of none', () => {
  const who = command(undefined, unchecked<string>());
  const Door = entity('door', { initial: () => ({ seen: '' }), operations: { knock: who, hold: tentative() } });
  const door = behaviour(Door, {
    knock(turn) {
      turn.state.seen = turn.from.kind === 'client' ? turn.from.identity : turn.from.kind;
      return turn.state.seen;
    },
    hold: { tentative: () => undefined, confirm: () => undefined, cancel: () => undefined },
  });
  const one = play(door, '1');
  const names = ['ada', '', 'eve@x.org'].map((identity) => one.askAs(identity).knock());
  assert.equal([...names, one.ask.knock(), one.askFrom(Order, '7').knock()], ['ada', '', 'eve@x.org', '', 'entity']);
  one.askAs('ada').hold().confirm();
  for (const wrong of ['x'.repeat(200), 7 as never]) assert.throws(() => one.askAs(wrong), is('invalid-definition'));
});

test('a tentative operation is confirmed, cancelled, or lapses when its time has passed', () => {
  const tea = play(stock, 'tea');
  const [one, two, three] = [tea.ask.reserve(1), tea.ask.reserve(1), tea.ask.reserve(1)];
  assert.is(three.output, 2);
  one.confirm();
  two.cancel();
  assert.throws(() => one.cancel(), is('hold-unknown'));
  tea.advance(999);
  assert.equal([tea.state.free, tea.state.held], [3, 1]);
  tea.advance(1);
  assert.equal([tea.state.free, tea.state.held], [4, 0]);
  assert.throws(() => three.confirm(), is('lapsed'));
  three.cancel();
});

test('what a turn sent is shown once, in order; answers are handed in, and holds resolved', () => {
  const seven = play(order, '7');
  seven.ask.place(['tea', 'milk']);
  const [tea, milk, ...more] = seven.takeSent();
  assert.equal(
    [tea?.to, tea?.operation, tea?.input, milk?.to, more.length],
    ['stock/tea', 'reserve', 1, 'stock/milk', 0],
  );
  assert.equal(seven.takeSent(), []);
  assert.ok(tea?.hold && milk?.hold);
  seven.answer(Stock, 'tea', 'reserve', { status: 'accepted', output: 4, hold: tea.hold });
  seven.answer(Stock, 'milk', 'reserve', { status: 'refused', reason: 'none left', hold: milk.hold });
  assert.equal(seven.takeSent(), [
    { to: 'stock/tea', kind: 'confirm', operation: 'reserve', input: undefined, hold: tea.hold },
  ]);
  const statuses = ['tea', 'milk', 'else'].map(
    (key) => (seven.activity(Stock, key) as { status: string } | undefined)?.status,
  );
  assert.equal(statuses, ['accepted', 'refused', undefined]);
});

test('an answer is one to a message that was sent; its hold is that of the message', () => {
  const seven = play(order, '7');
  const none = (error: unknown) =>
    isSkerryError(error, 'not-found') && error.message === 'order/7 has sent no reserve to stock/tea';
  assert.throws(() => seven.answer(Stock, 'tea', 'reserve', { status: 'accepted' }), none);
  seven.ask.place(['tea', 'tea']);
  const [first, second] = seven.takeSent();
  for (const status of ['accepted', 'accepted', 'confirmed'] as const)
    seven.answer(Stock, 'tea', 'reserve', { status });
  assert.equal(
    seven.takeSent().map(({ kind, hold }) => [kind, hold]),
    [
      ['confirm', first?.hold],
      ['confirm', second?.hold],
    ],
  );
  const again = { status: 'confirmed', hold: first?.hold } as const;
  assert.throws(() => seven.answer(Stock, 'tea', 'reserve', again), none);
  for (const status of ['accepted', 'done'] as const)
    assert.throws(() => seven.answer(Stock, 'tea', 'reserve', { status }), /can be answered with/);
  seven.answer(Stock, 'tea', 'reserve', { status: 'confirmed', hold: second?.hold });
  seven.advance(700);
  assert.is(seven.takeSent()[0]?.operation, 'receive');
  for (const status of ['accepted', 'lapsed'] as const)
    assert.throws(() => seven.answer(Stock, 'late', 'receive', { status }), is('not-found'));
  seven.answer(Stock, 'late', 'receive', { status: 'done' });
});

test('time moves only when told to; what becomes due runs at its own time', () => {
  const seven = play(order, '7', { now: 10_000 });
  seven.ask.place(['tea']);
  seven.takeSent();
  assert.equal(
    seven.timers.filter(({ name }) => !name.startsWith('~')),
    [{ name: 'deadline', due: 10_500 }],
  );
  seven.advance(10_000);
  assert.equal([seven.now, seven.state.log, seven.timers], [20_000, ['tick at 10500'], []]);
  assert.equal(
    seven.takeSent().map(({ to, operation, input }) => [to, operation, input]),
    [['stock/late', 'receive', 2]],
  );
});

test('chance is the seed’s: the same seed plays the same', () => {
  const rolled = (seed: number) => {
    const one = play(order, '7', { seed });
    one.ask.roll();
    return one.state.chance;
  };
  assert.is(rolled(1), rolled(1));
  assert.is.not(rolled(1), rolled(2));
  assert.ok(rolled(3) >= 0 && rolled(3) < 1);
});

test('effects wait until their outcome is handed in, oldest first', () => {
  const seven = play(order, '7');
  assert.throws(() => seven.settle(mail, { status: 'failed', message: 'x' }), is('not-found'));
  for (const name of ['ann', 'bob']) seven.ask.mail(name);
  const performed = [
    ['mail', 'ann'],
    ['mail', 'bob'],
  ];
  assert.equal(
    seven.effects.map(({ name, input }) => [name, input]),
    performed,
  );
  assert.is(new Set(seven.effects.map(({ id }) => id)).size, performed.length);
  seven.settle(mail, { status: 'done', output: 'sent to ann' });
  assert.equal(
    seven.effects.map(({ name, input }) => [name, input]),
    performed.slice(1),
  );
  assert.equal(seven.state.log, [{ status: 'done', output: 'sent to ann' }]);
});

test('limits are the caller’s to lower', () => {
  const seven = play(order, '7', { limits: { turnOutputCountMax: 2 } });
  assert.throws(() => seven.ask.place(['a', 'b', 'c']), is('too-large'));
  assert.equal(seven.takeSent(), []);
});

test('an actor class is discarded by a turn that throws, and not by one that refuses', () => {
  const Game = entity('game', {
    initial: () => 0,
    operations: { play: command(unchecked<string>(), unchecked<number>()) },
  });
  class Actor {
    count = 0;
    play(turn: Turn<typeof Game>, how: string): number {
      this.count += 1;
      if (how === 'throw') throw new Error('foul');
      if (how === 'refuse') turn.refuse('no');
      return this.count;
    }
  }
  const game = play(behaviour(Game, Actor), 'chess');
  assert.is(game.ask.play('fair'), 1);
  assert.throws(() => game.ask.play('refuse'), is('refused'));
  assert.is(game.ask.play('fair'), 3);
  assert.throws(() => game.ask.play('throw'), is('failed'));
  assert.is(game.ask.play('fair'), 1);
});

test('P11: what is handed in and what comes out is shared with nobody', () => {
  const Box = entity('box', {
    initial: () => ({ list: [] as number[] }),
    operations: { put: command(unchecked<number[]>(), unchecked<number[]>()) },
  });
  const box = behaviour(Box, {
    put(turn, list) {
      turn.state.list = list;
      return turn.state.list;
    },
  });
  const one = play(box, 'one');
  const given = [1, 2];
  const output = one.ask.put(given);
  given.push(3);
  output.push(4);
  assert.equal(one.state.list, [1, 2]);
});

test('a call that is answered later shows its answer once a turn has given it; or that its time is over', () => {
  const Desk = entity('desk', {
    initial: () => ({ open: [] as Later<number>[] }),
    operations: {
      ask: command(unchecked<string>(), unchecked<number>()),
      give: command(unchecked<number>()),
      no: command(),
    },
  });
  const desk = behaviour(Desk, {
    ask(turn, how) {
      if (how === 'now') return 1;
      if (how === 'refuse') return turn.refuse('as told');
      const later = turn.later();
      turn.state.open.push(later);
      return later;
    },
    give(turn, number) {
      const later = turn.state.open.shift();
      if (later !== undefined) turn.answer(later, number);
    },
    no(turn) {
      const later = turn.state.open.shift();
      if (later !== undefined) turn.refuse(later, 'closed', { hours: 8 });
    },
  });
  const one = play(desk, 'one', { limits: { horizonMs: 5_000 } });
  const [first, second, third] = [one.askLater.ask('wait'), one.askLater.ask('wait'), one.askLater.ask('wait')];
  assert.is(first.answer, undefined);
  one.ask.give(7);
  one.ask.no();
  assert.equal(first.answer, { status: 'done', output: 7 });
  assert.equal(second.answer, { status: 'refused', reason: 'closed', detail: { hours: 8 } });
  assert.is(third.answer, undefined);
  one.advance(5_000);
  assert.is(third.answer?.status === 'failed' && third.answer.code, 'deadline');
  assert.equal(one.askLater.ask('now').answer, { status: 'done', output: 1 });
  assert.is(one.askLater.ask('refuse').answer?.status, 'refused');
  assert.throws(() => one.ask.ask('wait'), /'ask' is answered later: call it through askLater/);
  assert.is(one.ask.ask('now'), 1);
});

test.run();
