/**
 * Turns at the edges of their limits, turns that need an activity from the store, and turns that are given up.
 *
 * Longer than 400 lines because each limit is shown with the same entity, whose turns are scripts.
 */
import { answers, behaviour, settled, type Turn } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { entity } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { defaultLimits, type Limits } from '../../core/limits.ts';
import { command, tentative, unchecked } from '../../core/operation.ts';
import { leaveOutbox } from '../../core/outbox.ts';
import { encode } from '../../runtime/wire/codec.ts';
import { Bench, committed, contentOf, inputOf, rowOf } from '../support/bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('limits of turns');

const Mill = entity('mill', {
  initial: () => ({ text: '', count: 0 }),
  operations: {
    run: command(unchecked<unknown>(), unchecked<unknown>()),
    hold: tentative(unchecked<unknown>(), { holdMs: 100 }),
  },
  activities: { mill: () => '' },
});
type MillTurn = Turn<typeof Mill>;
let script: (turn: MillTurn) => unknown = () => undefined;
const grind = effect('grind', async (_given: unknown) => 1);
const mill = behaviour(
  Mill,
  {
    run: (turn) => script(turn),
    hold: {
      tentative: () => undefined,
      confirm: () => undefined,
      cancel(turn) {
        turn.state.count += 1;
      },
    },
  },
  {
    effects: [settled(Mill, grind, (turn) => turn.perform(grind, 2))],
    answers: [answers(Mill, Mill, { run: () => undefined })],
  },
);
const mills = (limits: Partial<Limits> = {}) => new Bench(mill, { limits });

/** Runs a turn of a client and tells how it ended. */
function runs(bench: Bench, body: (turn: MillTurn) => unknown): string {
  script = body;
  const result = bench.ask('run', 0);
  // What finds no room is not remembered: a later try may find some.
  if (result.kind === 'threw') return isSkerryError(result.error) ? result.error.code : 'threw';
  const [status, code] = rowOf(result);
  return status === 'failed' ? String(code) : String(status);
}

const sendMany = (count: number) => (turn: MillTurn) => {
  const other = turn.to(Mill, 'two');
  for (let index = 0; index < count; index++) other.run(0);
};

test('P12: a turn sends 10,000 messages and not 10,001', () => {
  assert.is(defaultLimits.turnOutputCountMax, 10_000);
  const one = mills();
  assert.is(runs(one, sendMany(10_001)), 'too-large');
  assert.is(one.record.outboxCount, 0);
  assert.is(runs(one, sendMany(10_000)), 'done');
  assert.is(one.record.outboxCount, 10_000);
});

test('P12: messages, timers and effects of a turn count together', () => {
  const both = (effects: number) => (turn: MillTurn) => {
    turn.to(Mill, 'two').run(0);
    turn.timer('t', { afterMs: 1 }).run(0);
    for (let index = 0; index < effects; index++) turn.perform(grind, index);
  };
  assert.is(runs(mills({ turnOutputCountMax: 4 }), both(2)), 'done');
  assert.is(runs(mills({ turnOutputCountMax: 4 }), both(3)), 'too-large');
});

test('T2, P12: a handler that catches what a limit threw does not get past the limit', () => {
  const one = mills({ turnOutputCountMax: 3 });
  const stubborn = (turn: MillTurn) => {
    for (let index = 0; index < 9; index++) {
      try {
        turn.to(Mill, 'two').run(0);
      } catch {
        turn.state.count += 1;
      }
    }
  };
  assert.is(runs(one, stubborn), 'too-large');
  assert.is(one.record.outboxCount, 0);
});

test('P12: an outbox holds outboxCountMax messages, over all its partners; acknowledged ones make room', () => {
  const one = mills({ outboxCountMax: 5 });
  assert.is(runs(one, sendMany(3)), 'done');
  const toThree = (count: number) => (turn: MillTurn) => {
    for (let index = 0; index < count; index++) turn.to(Mill, 'three').run(0);
  };
  assert.is(runs(one, toThree(3)), 'overloaded');
  assert.is(runs(one, toThree(2)), 'done');
  assert.is(one.record.outboxCount, 5);
  assert.is(runs(one, toThree(1)), 'overloaded');
  one.record.outboxCount -= 1;
  assert.is(runs(one, toThree(1)), 'done');
});

const ofBytes = (bytes: number) => Buffer.alloc(bytes - encode(Buffer.alloc(bytes)).length + bytes);
const sendBytes = (key: string, bytes: number) => (turn: MillTurn) => void turn.to(Mill, key).run(ofBytes(bytes));

test('P12: an outbox holds outboxBytesMax bytes, over all its partners; acknowledged ones make room', () => {
  assert.is(defaultLimits.outboxBytesMax, 67_108_864);
  const one = mills({ outboxBytesMax: 1_000 });
  assert.is(runs(one, sendBytes('two', 600)), 'done');
  assert.is(one.record.outboxBytes, 600);
  const before = one.picture;
  assert.is(runs(one, sendBytes('three', 401)), 'overloaded');
  assert.equal(one.picture, before, 'and nothing of it is left');
  assert.is(
    runs(one, (turn) => turn.refuse('not now')),
    'refused',
    'a turn that sends nothing needs no room',
  );
  assert.is(runs(one, sendBytes('three', 400)), 'done');
  assert.is(one.record.outboxBytes, 1_000);
  const [message] = one.record.activities.get('mill/two')?.outbound?.unacked ?? [];
  if (message !== undefined) leaveOutbox(one.record, message);
  assert.is(one.record.outboxBytes, 400);
  assert.is(runs(one, sendBytes('two', 600)), 'done');
});

test('P12: what one turn asks for is bounded in bytes while it asks: no later try would find room', () => {
  const one = mills({ outboxBytesMax: 1_000 });
  let asked = 0;
  const greedy = (turn: MillTurn) => {
    for (asked = 0; asked < 100; asked++) turn.to(Mill, `${asked}`).run(ofBytes(100));
  };
  assert.is(runs(one, greedy), 'too-large');
  assert.is(asked, 10, 'it is ended by what passes the limit');
  const mixed = (turn: MillTurn) => {
    turn.to(Mill, 'two').run(ofBytes(400));
    turn.timer('t', { afterMs: 1 }).run(ofBytes(400));
    turn.perform(grind, ofBytes(201));
  };
  assert.is(runs(one, mixed), 'too-large');
  assert.is(one.record.outboxBytes, 0);
});

test('P12: an entity has timerBytesMax of timers; what replaces another, or its own fired self, is no more than before', () => {
  assert.is(defaultLimits.timerBytesMax, 67_108_864);
  const one = mills({ timerBytesMax: 1_000 });
  const set = (name: string, bytes: number) => (turn: MillTurn) =>
    void turn.timer(name, { afterMs: 1 }).run(ofBytes(bytes));
  assert.is(runs(one, set('a', 600)), 'done');
  assert.is(runs(one, set('b', 401)), 'overloaded');
  assert.is(runs(one, set('b', 400)), 'done');
  assert.is(runs(one, set('a', 601)), 'overloaded');
  assert.is(runs(one, set('a', 500)), 'done');
  assert.is(one.record.timers.bytes, 900);
  script = set('a', 600);
  committed(one.timer('a'));
  assert.is(one.record.timers.bytes, 1_000);
  assert.is(
    runs(one, (turn) => turn.cancelTimer('b')),
    'done',
  );
  assert.is(one.record.timers.bytes, 600);
  assert.is(
    runs(one, (turn) => turn.cancelTimer('a')),
    'done',
  );
  assert.is(one.record.timers.bytes, 0);
});

test('P12: effects and holds have bounds in bytes of their own', () => {
  const one = mills({ timerBytesMax: 1_000 });
  const grinds = (bytes: number) => (turn: MillTurn) => turn.perform(grind, ofBytes(bytes));
  assert.is(runs(one, grinds(1_000)), 'done');
  assert.is(runs(one, grinds(10)), 'overloaded');
  const hold = (id: string, bytes: number) => one.ask('hold', ofBytes(bytes), { hold: id });
  assert.is(rowOf(hold('a', 900))[0], 'accepted');
  assert.is(hold('b', 101).kind, 'threw');
  assert.is(rowOf(hold('b', 100))[0], 'accepted');
  one.now += 100;
  committed(one.lapse('a'));
});

test('P12: an entity has timerCountMax timers; one that replaces another, or its own fired self, is no more than before', () => {
  const one = mills({ timerCountMax: 2 });
  const set =
    (...names: string[]) =>
    (turn: MillTurn) => {
      for (const name of names) turn.timer(name, { afterMs: 1 }).run(0);
    };
  assert.is(runs(one, set('a', 'b', 'c')), 'overloaded');
  assert.is(runs(one, set('a', 'b')), 'done');
  assert.is(runs(one, set('c')), 'overloaded');
  assert.is(runs(one, set('a', 'a', 'b')), 'done');
  script = set('a');
  committed(one.timer('a'));
  assert.is(one.record.timers.size, 2);
  const swap = (turn: MillTurn) => {
    turn.cancelTimer('a');
    set('c')(turn);
  };
  assert.is(runs(one, swap), 'done');
  assert.equal([...one.record.timers.keys()].sort(), ['b', 'c']);
});

test('P12: an entity has timerCountMax holds, and at the limit they still lapse', () => {
  const one = mills({ timerCountMax: 1 });
  const hold = (id: string) => rowOf(one.ask('hold', 1, { hold: id }));
  assert.equal(hold('a').slice(0, 1), ['accepted']);
  assert.is(one.ask('hold', 1, { hold: 'b' }).kind, 'threw');
  one.now += 100;
  committed(one.lapse('a'));
  assert.equal(one.record.state.value, { text: '', count: 1 });
});

test('P12: an entity has timerCountMax effects, and an outcome may ask for the next one at the limit', () => {
  const one = mills({ timerCountMax: 1 });
  assert.is(
    runs(one, (turn) => turn.perform(grind, 1)),
    'done',
  );
  assert.is(
    runs(one, (turn) => turn.perform(grind, 1)),
    'overloaded',
  );
  const [id] = one.record.effects.keys();
  committed(one.settle(String(id), { status: 'done', output: 1 }));
  assert.is(one.record.effects.size, 1);
});

/** A text that takes `bytes` bytes when it is encoded by itself. */
const textOf = (bytes: number): string => 'x'.repeat(bytes - (encode('x'.repeat(bytes)).length - bytes));

test('a message may take messageBytesMax bytes and not one more; so may an answer', () => {
  const limits = { messageBytesMax: 1_000 };
  const send = (text: string) => (turn: MillTurn) => turn.to(Mill, 'two').run(text);
  assert.is(encode(textOf(1_000)).length, 1_000);
  assert.is(runs(mills(limits), send(textOf(1_000))), 'done');
  assert.is(runs(mills(limits), send(textOf(1_001))), 'too-large');
  assert.is(
    runs(mills(limits), (turn) => turn.perform(grind, textOf(1_001))),
    'too-large',
  );
  const framing = encode(['done', textOf(1_000)]).length - 1_000;
  assert.is(
    runs(mills(limits), () => textOf(1_000 - framing)),
    'done',
  );
  const one = mills(limits);
  const late = (turn: MillTurn) => {
    turn.state.count = 1;
    return textOf(1_001 - framing);
  };
  assert.is(runs(one, late), 'too-large');
  assert.equal(one.record.state.value, { text: '', count: 0 });
});

test('T3: a refusal whose detail is too large is still a refusal', () => {
  const row = rowOf(
    ((one) => {
      script = (turn) => turn.refuse('no room', 'x'.repeat(2_000));
      return one.ask('run', 0);
    })(mills({ messageBytesMax: 1_000 })),
  );
  assert.equal(row.slice(0, 2), ['refused', 'no room']);
});

test('a state may take stateBytesMax bytes and not one more, small or large', () => {
  for (const max of [1_000, 10_000]) {
    const room = max - encode({ text: textOf(max), count: 0 }).length + max;
    const one = mills({ stateBytesMax: max });
    const put = (bytes: number) => (turn: MillTurn) => {
      turn.state.text = textOf(bytes);
    };
    assert.is(runs(one, put(room + 1)), 'too-large');
    assert.is(runs(one, put(room)), 'done');
    assert.is(one.record.stateBytes, max);
    assert.is(runs(one, put(room + 1)), 'too-large', 'a large one that grows by a patch');
    assert.is((one.record.state.value as { text: string }).text.length, textOf(room).length);
    assert.is(runs(one, put(room)), 'done', 'and one that stays as large');
  }
});

test('an activity may take activityBytesMax bytes and not one more', () => {
  const one = mills({ activityBytesMax: 500 });
  const know = (bytes: number) => (turn: MillTurn) => {
    turn.to(Mill, 'two').activity = textOf(bytes);
  };
  assert.is(runs(one, know(501)), 'too-large');
  assert.is(one.record.activities.get('mill/two')?.application.value, undefined);
  assert.is(runs(one, know(500)), 'done');
});

test('keys, depths and names are bounded where a turn uses them', () => {
  const one = mills();
  const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);
  const cases: [string, (turn: MillTurn) => unknown][] = [
    ['done', (turn) => turn.to(Mill, 'k'.repeat(512)).run(0)],
    ['invalid-address', (turn) => turn.to(Mill, 'k'.repeat(513)).run(0)],
    ['invalid-address', (turn) => turn.to(Mill, '').run(0)],
    ['invalid-address', (turn) => turn.to(Mill, '\ud800').run(0)],
    ['done', (turn) => turn.to(Mill, 'x').run(nested(64))],
    ['unstorable', (turn) => turn.to(Mill, 'x').run(nested(65))],
    ['done', () => nested(64)],
    ['unstorable', () => nested(65)],
    ['done', (turn) => turn.timer('t'.repeat(64), { afterMs: 1 }).run(0)],
    ['invalid-definition', (turn) => turn.timer('t'.repeat(65), { afterMs: 1 }).run(0)],
    ['invalid-definition', (turn) => turn.timer('', { afterMs: 1 }).run(0)],
    ['invalid-definition', (turn) => turn.timer('~mine', { afterMs: 1 }).run(0)],
    ['invalid-definition', (turn) => turn.timer('\udc00', { afterMs: 1 }).run(0)],
    ['invalid-input', (turn) => turn.timer('t', { afterMs: Number.NaN }).run(0)],
    ['invalid-input', (turn) => turn.timer('t', { at: Number.POSITIVE_INFINITY }).run(0)],
    ['invalid-input', (turn) => turn.timer('t', { afterMs: -5 }).run(0)],
    ['done', (turn) => turn.timer('t', { at: turn.now - 5 }).run(0)],
  ];
  for (const [expected, body] of cases) assert.is(runs(one, body), expected, String(body));
  assert.is(one.record.timers.get('t')?.due, one.now, 'a time that has passed is now');
});

test('an effect that the behaviour does not list is refused, also one of the same name', () => {
  for (const name of ['unlisted', 'grind']) {
    const unlisted = effect(name, async () => 1);
    assert.is(
      runs(mills(), (turn) => turn.perform(unlisted, undefined as never)),
      'invalid-definition',
    );
  }
});

// ---- activities that are still in the store

function reads(): Bench {
  const one = mills();
  one.record.isComplete = false;
  return one;
}

test('a turn that needs an activity from the store leaves nothing, and says whose', () => {
  const ways: ((turn: MillTurn) => unknown)[] = [
    (turn) => turn.to(Mill, 'far').run(0),
    (turn) => turn.to(Mill, 'far').activity,
    (turn) => {
      turn.to(Mill, 'far').activity = 'known';
    },
    (turn) => turn.confirm({ entity: 'mill/far', operation: 'hold', id: 'h' }),
  ];
  for (const way of ways) {
    const one = reads();
    script = (turn) => {
      turn.state.count = 5;
      return way(turn);
    };
    const before = one.picture;
    assert.equal(one.ask('run', 0), { kind: 'needs', partner: 'mill/far' });
    assert.equal(one.picture, before);
    assert.is(one.record.changes.records.size, 0);
  }
});

test('P7: a handler that catches what asks for an activity does not go on without its message', () => {
  const one = reads();
  script = (turn) => {
    try {
      turn.to(Mill, 'far').run(0);
    } catch {
      turn.state.count += 1;
    }
  };
  assert.equal(one.ask('run', 0), { kind: 'needs', partner: 'mill/far' });
  assert.equal(one.record.state.value, { text: '', count: 0 });
});

test('a timer for oneself needs no activity', () => {
  const one = reads();
  script = (turn) => turn.timer('t', { afterMs: 1 }).run(0);
  committed(one.ask('run', 0));
});

// ---- giving up

const boom = () => {
  throw new Error('always');
};
const letters = (bench: Bench) => [...bench.record.dead.values()];

test('P7, N2: a message that is given up becomes a dead letter, its sender is answered, and its stream goes on', () => {
  const one = mills();
  script = boom;
  const request = one.request('mill/two', contentOf('run', 7, { wantsAnswer: true }));
  assert.is(one.run(request).kind, 'threw');
  assert.equal(rowOf(one.bury(request, new Error('always'))), ['failed', 'failed', 'always']);
  const [letter] = letters(one);
  assert.ok(letter);
  const { side, partner, reason, attempts, content } = letter;
  assert.equal([side, partner, reason, attempts, inputOf(content)], ['receiver', 'mill/two', 'always', 16, 7]);
  assert.is(one.record.activities.get('mill/two')?.inbound?.through, 1);
  assert.equal(
    one.outbox('mill/two').map(({ kind }) => kind),
    ['answer'],
  );
  assert.ok(one.record.changes.records.has(`d${letter.id}`), 'R1: and is to be committed');
  assert.is(one.record.version, 1);
});

test('P7: a dead letter is retried as from its sender, stays while that fails, and is dropped for good', () => {
  const one = mills();
  script = boom;
  assert.equal(rowOf(one.ask('run', 'none', { kind: 'dead-drop' })).slice(0, 2), ['failed', 'not-found']);
  for (const count of [1, 2])
    one.bury(one.request('mill/two', contentOf('run', count), { seq: count, floor: count }), new Error('x'));
  const [first, second] = letters(one).map(({ id }) => id) as [string, string];
  const resolve = (id: string, kind: 'dead-retry' | 'dead-drop') => rowOf(one.ask('run', id, { kind }));
  assert.equal(resolve(first, 'dead-retry').slice(0, 2), ['failed', 'failed']);
  // Whom an operation was allowed to has no letter of another one.
  for (const kind of ['dead-retry', 'dead-drop'] as const)
    assert.equal(rowOf(one.ask('hold', first, { kind })).slice(0, 2), ['failed', 'not-found']);
  script = (turn) => turn.refuse('still no');
  assert.equal(resolve(first, 'dead-retry').slice(0, 2), ['refused', 'still no']);
  assert.ok(one.record.dead.has(first));
  const seen: unknown[] = [];
  script = (turn) => void seen.push(turn.from);
  assert.equal(resolve(first, 'dead-retry').slice(0, 1), ['done']);
  assert.equal(seen, [{ kind: 'entity', type: 'mill', key: 'two' }]);
  assert.equal(resolve(second, 'dead-drop').slice(0, 1), ['done']);
  assert.is(one.record.dead.size, 0);
  assert.is(one.record.changes.records.get(`d${second}`), null);
  for (const kind of ['dead-retry', 'dead-drop'] as const)
    assert.equal(resolve(second, kind).slice(0, 2), ['failed', 'not-found']);
});

test('P7: a timer that is given up goes with its letter; a hold whose cancelling fails stays for the retry', () => {
  const one = mills();
  script = (turn) => turn.timer('t', { afterMs: 1 }).run(1);
  one.ask('run', 0);
  one.bury({ kind: 'due', part: 'timers', id: 't' }, new Error('x'));
  assert.is(one.record.timers.size, 0);
  one.ask('hold', 1, { hold: 'h' });
  one.now += 100;
  one.bury({ kind: 'due', part: 'holds', id: 'h' }, new Error('x'));
  assert.is(one.lapse('h').kind, 'void', 'it does not end again by itself');
  const letter = letters(one).find(({ content }) => content.hold === 'h');
  assert.equal(rowOf(one.ask('hold', letter?.id, { kind: 'dead-retry' })).slice(0, 1), ['done']);
  assert.is(one.record.holds.size, 0);
  assert.equal(one.record.state.value, { text: '', count: 1 });
});

test('P7: a delayed message that could not be sent is a letter of its sender, and its retry sends it', () => {
  const one = mills();
  script = (turn) => turn.to(Mill, 'two', { afterMs: 1 }).run('for two');
  one.ask('run', 0);
  const [name] = one.record.timers.keys();
  one.bury({ kind: 'due', part: 'timers', id: String(name) }, new Error('the outbox is full'));
  const [letter] = letters(one);
  assert.equal([letter?.side, letter?.partner], ['sender', 'mill/two']);
  script = boom;
  assert.equal(rowOf(one.ask('run', letter?.id, { kind: 'dead-retry' })).slice(0, 1), ['done']);
  assert.equal(one.outbox('mill/two').map(inputOf), ['for two']);
});

test.run();
