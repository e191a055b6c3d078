/** enumerate(): all that can happen to hubs and parties, right ones and wrong ones, and what it merges, bounds and refuses. */
import { behaviour, settled } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { entity } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import type { Later } from '../../core/later.ts';
import { command, query, unchecked } from '../../core/operation.ts';
import { explore } from '../../runtime/testing/enumerate.ts';
import { type EnumerateOptions, enumerate, type World } from '../../runtime/testing/index.ts';
import { assert, suite } from '../support/suite.ts';
import { enumerationOf, type Flaws, Hub, keysOf, Party, party } from './hubs.ts';

const test = suite('enumerate');

const noFaults = {
  refusals: false,
  failures: false,
  delays: false,
  crashes: false,
  duplicates: false,
  lastMoments: false,
} as const;

function refusalOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return isSkerryError(error) ? `${error.code}: ${error.message}` : String(error);
  }
  return 'nothing thrown';
}

// ---- hubs

test('EI7: a right hub is explored whole: with one party, and with two', () => {
  const one = enumerate({ ...enumerationOf(1), faults: { duplicates: false } });
  assert.equal(one.violations, []);
  assert.equal(one.outcomes, { broken: 1, cancelled: 3, placed: 1 });
  assert.is(one.clock, 'relative');
  // With clients that ask again everything ends twice: one has, or it has not.
  assert.equal(enumerate(enumerationOf(1)).outcomes, { broken: 2, cancelled: 6, placed: 2 });
  const two = enumerate({ ...enumerationOf(2), faults: { duplicates: false } });
  assert.equal(two.violations, []);
  // Either, or both, lapsed after the decision; each refused, failed, or held and was cancelled, but not both accepted in time.
  assert.equal(two.outcomes, { broken: 3, cancelled: 8, placed: 1 });
  for (const kind of ['call', 'message', 'refusal', 'failure', 'lapse', 'timer', 'delay', 'crash'])
    assert.ok((two.steps[kind] ?? 0) > 0, kind);
  assert.match(two.text, /situations \(relative clock\), .* steps, .*\n.*\nends: broken 3, cancelled 8, placed 1$/);
});

test('without faults there is one end; each fault adds ends of its kind', () => {
  const endsWith = (faults: EnumerateOptions['faults']) =>
    enumerate({ ...enumerationOf(1), faults: { ...noFaults, ...faults } }).outcomes;
  assert.equal(endsWith({}), { placed: 1 });
  assert.equal(endsWith({ refusals: true }), { cancelled: 1, placed: 1 });
  assert.equal(endsWith({ failures: true }), { cancelled: 1, placed: 1 });
  assert.equal(endsWith({ delays: true }), { broken: 1, cancelled: 2, placed: 1 });
  assert.equal(endsWith({ duplicates: true }), { placed: 2 });
  assert.equal(endsWith({ crashes: true, lastMoments: true }), { placed: 1 });
});

const found: readonly [name: string, parties: number, flaws: Flaws, problem: RegExp, steps: number][] = [
  ['that takes a lapse for a sale', 2, { overhearsLapses: true }, /^half-confirmed without notice$/, 11],
  [
    'that does not tell those who have not answered',
    2,
    { forgetsTheLate: true },
    /^decided, and a party still holds$/,
    5,
  ],
  ['that opens again when it is asked again', 1, { opensTwice: true }, /^decided, and a party still holds$/, 6],
  ['that decides with each answer', 1, { decidesTwice: true }, /^From here it never ends, whatever happens$/, 4],
];
for (const [name, parties, flaws, problem, steps] of found)
  test(`EI8: a hub ${name} is found, by the shortest way`, () => {
    const { violations, text } = enumerate(enumerationOf(parties, flaws));
    const [violation] = violations;
    assert.match(violation?.text ?? 'nothing', problem);
    assert.is(violation?.trace.length, steps, text);
    assert.is(enumerate(enumerationOf(parties, flaws)).text, text);
  });

test('a violation is told as a way that can be read, and the situation at its end', () => {
  const [violation] = enumerate(enumerationOf(1, { overhearsLapses: true })).violations;
  assert.equal(violation?.trace, [
    '1. ann → hub/1 place 1: done',
    '2. hub/1 → party/p1 reserve: accepted',
    '3. party/p1 → hub/1 answer to reserve (accepted): done',
    '4. 60,000 ms pass',
    '5. party/p1: end of a hold (reserve): cancelled',
    '6. hub/1 → party/p1 confirm of reserve: lapsed',
    '7. party/p1 → hub/1 answer to reserve (lapsed): done',
  ]);
  assert.equal(violation?.situation, [
    'hub/1 {"status":"placed","parties":1}',
    'party/p1 {"free":1,"held":0,"sold":0}',
  ]);
});

// ---- what is merged

/** What can be seen of a situation, in one text. */
function seen(world: World, parties: number): string {
  const of = (contract: typeof Hub | typeof Party, key: string) => [
    world.state(contract, key),
    world.holds(contract, key).map(({ hold, leftMs }) => [hold.operation, leftMs]),
    world.timers(contract, key),
  ];
  const steps = keysOf(parties).map((key) => world.activity(Hub, '1', Party, key)?.step);
  const messages = world.messages.map(({ from, to, kind }) => [from, to, kind]);
  const entities = [of(Hub, '1'), ...keysOf(parties).map((key) => of(Party, key))];
  return JSON.stringify([entities, steps, messages, world.calls, world.isOver]);
}

test('EI1, EI4: with all numbers and the time of day kept apart the same can be seen, in many more situations', () => {
  for (const [parties, flaws] of [
    [1, {}],
    [2, {}],
  ] as const) {
    const visible = (isExact: boolean) => {
      const all = new Set<string>();
      const given = enumerationOf(parties, flaws);
      const options: EnumerateOptions = {
        ...given,
        faults: { lastMoments: parties === 1, duplicates: parties === 1, crashes: parties === 1 },
        invariant: (world) => void all.add(seen(world, parties)),
      };
      const report = explore(options, isExact);
      assert.equal(report.violations, []);
      return { all: [...all].sort(), report };
    };
    const merged = visible(false);
    const exact = visible(true);
    assert.equal(merged.all, exact.all);
    assert.equal(Object.keys(merged.report.outcomes), Object.keys(exact.report.outcomes));
    assert.ok(exact.report.states > 1.5 * merged.report.states, `${exact.report.states} ${merged.report.states}`);
  }
});

const Clock = entity('clock', {
  initial: () => ({ at: 0, count: 0 }),
  operations: { wind: command(), tick: command(), look: query(unchecked<number>()) },
});
const clockWith = (tick: (state: { at: number; count: number }, now: number) => void) =>
  behaviour(Clock, {
    wind(turn) {
      turn.timer('tick', { afterMs: 1_000 }).tick();
    },
    tick: (turn) => tick(turn.state, turn.now),
    look: (view) => view.state.at,
  });
const wound = { ann: (ask: Parameters<EnumerateOptions['clients'][string]>[0]) => ask(Clock, 'c').wind() };

test('EI4: a handler that keeps the time of day is explored by the time of day, and sees the right one', () => {
  const times = new Set<number>();
  const report = enumerate({
    behaviours: [
      clockWith((state, now) => {
        state.at = now;
      }),
    ],
    clients: wound,
    now: 5_000,
    invariant: (world) => void times.add(world.state(Clock, 'c').at),
  });
  assert.is(report.clock, 'absolute');
  // A client that asks again winds it again, just before it ticks or just after.
  assert.equal([...times].sort(), [0, 6_000, 6_999, 7_000]);
});

test('EI2: a handler that depends on something besides its turn is found', () => {
  let calls = 0;
  const report = enumerate({
    behaviours: [
      clockWith((state) => {
        state.count = ++calls;
      }),
    ],
    clients: wound,
  });
  assert.match(report.violations[0]?.text ?? '', /two results from one state/);
});

test('EI3: a copy of each message is recognised after its turn; a turn that throws is told with its stack', () => {
  const report = enumerate({
    behaviours: [
      clockWith(() => {
        throw new Error('the spring is broken');
      }),
    ],
    clients: wound,
  });
  assert.match(report.violations[0]?.text ?? '', /^A turn of clock\/c threw: Error: the spring is broken\n +at /);
  assert.equal(report.violations[0]?.trace.at(-1), '3. clock/c: timer tick (tick): threw');
});

// ---- order, time, effects

test('EI5: messages of one entity to another keep their order; those of two have none', () => {
  const Sink = entity('sink', { initial: () => ({ heard: '' }), operations: { hear: command(unchecked<string>()) } });
  const Source = entity('source', { initial: () => ({}), operations: { say: command(unchecked<string[]>()) } });
  const ends = enumerate({
    behaviours: [
      behaviour(Sink, {
        hear(turn, word) {
          turn.state.heard += word;
        },
      }),
      behaviour(Source, {
        say(turn, words) {
          for (const word of words) turn.to(Sink, 's').hear(word);
        },
      }),
    ],
    clients: {
      ann(ask) {
        ask(Source, 'one').say(['a', 'b']);
        ask(Source, 'two').say(['c']);
      },
    },
    faults: noFaults,
    outcome: (world) => world.state(Sink, 's').heard,
  }).outcomes;
  assert.equal(Object.keys(ends), ['abc', 'acb', 'cab']);
});

test('EI6: time stops at each date and just before it, and at nothing else', () => {
  const left = new Set<number>();
  const look = (lastMoments: boolean) => {
    left.clear();
    enumerate({
      ...enumerationOf(1),
      faults: { lastMoments, crashes: false },
      invariant: (world) => world.holds(Party, 'p1').forEach(({ leftMs }) => void left.add(leftMs)),
    });
    return [...left].sort((one, other) => one - other);
  };
  assert.equal(look(false), [0, 30_000, 60_000]);
  assert.equal(
    look(true),
    [0, 1, 2, 30_000, 30_001, 59_999, 60_000].filter((ms) => left.has(ms)),
  );
  assert.ok(left.has(1) && left.has(30_001));
});

test('an effect has each outcome that it is given, and none that it is not', () => {
  const pay = effect('pay', async (_amount: number) => 'paid');
  const Till = entity('till', { initial: () => ({ how: 'open' }), operations: { sell: command(unchecked<number>()) } });
  const till = behaviour(
    Till,
    { sell: (turn, amount) => turn.perform(pay, amount) },
    {
      effects: [
        settled(Till, pay, (turn, { status }) => {
          turn.state.how = status;
        }),
      ],
    },
  );
  const options: EnumerateOptions = {
    behaviours: [till],
    clients: { ann: (ask) => ask(Till, 't').sell(3) },
    outcome: (world) => world.state(Till, 't').how,
  };
  const inputs: number[] = [];
  const report = enumerate({
    ...options,
    effects: {
      pay(amount: number) {
        inputs.push(amount);
        return [
          { status: 'done', output: 'paid' },
          { status: 'failed', message: 'no money', attempts: 3 },
        ];
      },
    },
  });
  assert.equal(
    Object.keys(report.outcomes).filter((name) => name !== 'open'),
    ['done', 'failed'],
  );
  assert.equal([...new Set(inputs)], [3]);
  assert.match(
    refusalOf(() => enumerate(options)),
    /invalid-definition: The effect 'pay' is performed, .* 'effects'/,
  );
});

test('a call that is answered later is open until a turn answers it', () => {
  const Desk = entity('desk', {
    initial: () => ({ waiting: undefined as Later<string> | undefined }),
    operations: { wait: command(undefined, unchecked<string>()), ring: command() },
  });
  const desk = behaviour(Desk, {
    wait(turn) {
      const later = turn.later();
      turn.state.waiting = later;
      return later;
    },
    ring(turn) {
      const { waiting } = turn.state;
      if (waiting === undefined) return;
      turn.answer(waiting, 'served');
      turn.state.waiting = undefined;
    },
  });
  const { outcomes, violations, clock } = enumerate({
    behaviours: [desk],
    clients: { ann: (ask) => ask(Desk, 'd').wait(), ben: (ask) => ask(Desk, 'd').ring() },
    faults: { duplicates: false },
    outcome: ({ calls }) => String(calls[0]?.answer?.value),
  });
  assert.equal(violations, []);
  assert.equal(Object.keys(outcomes), ['served', 'undefined']);
  // The value has the date at which the client gives up.
  assert.is(clock, 'absolute');
});

test('what is asked before is done with all that follows at once, and is no part of what is explored', () => {
  const report = enumerate({
    ...enumerationOf(1),
    before: (ask) => void ask(Party, 'p1').reserve().confirm(),
    invariant: (world) => assert.is(world.state(Party, 'p1').sold, 1),
    outcome: (world) => world.state(Hub, '1').status,
  });
  assert.equal(report.violations, []);
  assert.equal(Object.keys(report.outcomes), ['cancelled']);
});

// ---- its own ends

test('EI7: too many situations are an error that says so, with what there is most of', () => {
  assert.match(
    refusalOf(() => enumerate({ ...enumerationOf(2), statesMax: 100 })),
    /^too-large: enumerate\(\) has found statesMax \(100\) situations, and there are more: it has proved nothing\. .* Different states so far: (hub\/1|party\/p\d) \d+/,
  );
  const Growing = entity('growing', { initial: () => ({ n: 0 }), operations: { grow: command() } });
  const growing = behaviour(Growing, {
    grow(turn) {
      turn.state.n += 1;
      turn.to(Growing, turn.key === 'a' ? 'b' : 'a').grow();
    },
  });
  const grow = () =>
    enumerate({ behaviours: [growing], clients: { ann: (ask) => ask(Growing, 'a').grow() }, statesMax: 500 });
  assert.match(refusalOf(grow), /growing\/a \d+, growing\/b \d+/);
});

test('refusals and failures can be chosen by name; a name that there is not is refused', () => {
  const chosen = (faults: EnumerateOptions['faults']) =>
    enumerate({ ...enumerationOf(1), faults: { ...noFaults, ...faults }, invariant: undefined }).outcomes;
  assert.equal(chosen({ refusals: ['party.reserve'] }), { cancelled: 1, placed: 1 });
  assert.equal(chosen({ failures: ['hub.place'] }), { placed: 1 });
  assert.is(chosen({ failures: ['party.reserve.confirm'] }).placed, 2);
  assert.match(
    refusalOf(() => chosen({ refusals: ['party.take'] })),
    /there is no operation 'party\.take'.*party\.reserve\.confirm/,
  );
});

test('wrong options are refused in one line', () => {
  const given = enumerationOf(1);
  const wrong: readonly [object, RegExp][] = [
    [{ ...given, behaviours: [] }, /'behaviours' must be made by behaviour/],
    [{ ...given, clients: {} }, /'clients' is empty/],
    [{ ...given, clients: { ann: 5 } }, /must be a function that asks/],
    [{ ...given, faults: { drops: true } }, /faults of enumerate\(\) has no option 'drops'/],
    [{ ...given, states: 5 }, /enumerate\(\) has no option 'states'/],
    [
      { ...given, behaviours: [given.behaviours[0]] },
      /party\/p1 is asked, and enumerate\(\) was given no behaviour of 'party'/,
    ],
    [
      { ...given, behaviours: [...given.behaviours, behaviour(Clock, clockHandlers, { durability: 'none' })] },
      /'clock' is not durable by turn/,
    ],
    [{ ...given, behaviours: [...given.behaviours, party] }, /two behaviours of 'party'/],
  ];
  for (const [options, message] of wrong)
    assert.match(
      refusalOf(() => enumerate(options as EnumerateOptions)),
      message,
    );
});

const clockHandlers = { wind: () => undefined, tick: () => undefined, look: () => 0 };

test.run();
