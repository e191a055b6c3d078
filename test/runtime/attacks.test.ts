/** What an attack on the promises once broke: each case is one of them, through the public API. */
import {
  answers,
  behaviour,
  command,
  effect,
  entity,
  isSkerryError,
  query,
  settled,
  tentative,
  unchecked,
} from '../../core/index.ts';
import { type Cluster, type EmbedOptions, embed, machineEnvironment, silentLog } from '../../runtime/index.ts';
import { play } from '../../runtime/testing/play.ts';
import { assert, rejects, suite } from '../support/suite.ts';

const test = suite('attacks');

const Room = entity('room', {
  initial: () => ({ fired: [] as string[] }),
  operations: {
    set: command(unchecked<{ name: string; afterMs: number }>()),
    fire: command(unchecked<{ name: string }>()),
    look: query(unchecked<string[]>()),
  },
});

const room = behaviour(Room, {
  set(turn, { name, afterMs }) {
    turn.timer(name, { afterMs }).fire({ name });
  },
  fire(turn, { name }) {
    turn.state.fired.push(name);
    if (name === 'a') turn.timer('b', { afterMs: 3_600_000 }).fire({ name: 'b' });
  },
  look: (view) => [...view.state.fired],
});

const environment = () => machineEnvironment(silentLog);

async function within(options: Omit<EmbedOptions, 'store'>, body: (cluster: Cluster) => Promise<void>): Promise<void> {
  const cluster = await embed({ store: 'memory', environment: environment(), ...options });
  try {
    await body(cluster);
  } finally {
    await cluster.close();
  }
}

test('a timer that is replaced in the wake in which it was due fires at its new time', () => {
  const one = play(room, 'x');
  one.ask.set({ name: 'a', afterMs: 10 });
  one.ask.set({ name: 'b', afterMs: 10 });
  one.advance(20);
  assert.equal(one.state.fired, ['a']);
  one.advance(3_600_000);
  assert.equal(one.state.fired, ['a', 'b']);
});

const Plain = entity('plain', {
  initial: () => ({ count: 0 }),
  operations: { add: command(undefined, unchecked<number>()) },
});

test('an actor class whose constructor throws fails its call, and nobody else’s', () =>
  within(
    {
      behaviours: [
        room,
        behaviour(
          Plain,
          class {
            constructor() {
              throw new Error('no instance');
            }
            add(): number {
              return 1;
            }
          },
        ),
      ],
    },
    async (cluster) => {
      await rejects(cluster.entity(Plain, 'x').add(), 'failed');
      assert.equal(await cluster.entity(Room, 'y').look(), []);
    },
  ));

test('what cannot be made a text can be thrown', () =>
  within(
    {
      behaviours: [
        behaviour(Plain, {
          add(): number {
            throw Object.create(null);
          },
        }),
      ],
    },
    (cluster) => rejects(cluster.entity(Plain, 'x').add(), 'failed').then(() => undefined),
  ));

test('P5: an entity that cannot be made is no answer: the same call succeeds once it can', async () => {
  let isBroken = true;
  const Late = entity('late', {
    initial: () => {
      if (isBroken) throw new Error('not yet');
      return { count: 0 };
    },
    operations: { add: command(undefined, unchecked<number>()) },
  });
  const late = behaviour(Late, {
    add(turn) {
      turn.state.count += 1;
      return turn.state.count;
    },
  });
  await within({ behaviours: [late] }, async (cluster) => {
    const once = { idempotencyKey: 'k' };
    await rejects(cluster.entity(Late, 'x').add(undefined, once), 'failed');
    isBroken = false;
    assert.is(await cluster.entity(Late, 'x').add(undefined, once), 1);
    assert.is(await cluster.entity(Late, 'x').add(undefined, once), 1);
  });
});

const Vault = entity('vault', {
  initial: () => ({ taken: 0 }),
  operations: { take: tentative(), add: tentative() },
});

const nothing = { tentative: () => undefined, confirm: () => undefined, cancel: () => undefined };

test('an authorised operation does not resolve another one’s hold', () =>
  within(
    {
      behaviours: [behaviour(Vault, { take: nothing, add: nothing })],
      authorise: ({ identity, operation }) => identity === 'root' || operation === 'add',
    },
    async (cluster) => {
      const root = cluster.connect({ identity: 'root' });
      const { hold } = await root.entity(Vault, 'x').take();
      const mallory = cluster.connect({ identity: 'mallory' });
      await rejects(mallory.resolve(hold, 'cancel'), 'denied');
      await rejects(mallory.resolve({ ...hold, operation: 'add' }, 'cancel'), 'hold-unknown');
      await root.resolve(hold, 'confirm');
    },
  ));

test('AU2: a hook that throws, or returns no answer, denies, and the log says why, once for many', async () => {
  const hooks: readonly (readonly [() => unknown, RegExp])[] = [
    [() => raise(new Error('no directory')), /no directory/],
    [() => Promise.resolve(true), /it returned a promise/],
    [() => undefined, /it returned undefined/],
  ];
  for (const [hook, why] of hooks) {
    const said: unknown[] = [];
    const nothing = () => undefined;
    const log = { info: nothing, warn: nothing, error: (details: object) => void said.push(details) };
    const authorise = hook as () => boolean;
    await within({ behaviours: [room], authorise, environment: machineEnvironment(log) }, async (cluster) => {
      for (let call = 0; call < 3; call++) await rejects(cluster.entity(Room, 'x').look(), 'denied');
    });
    assert.is(said.length, 1);
    assert.match(JSON.stringify(said), why);
  }
});

function raise(error: Error): never {
  throw error;
}

const list = effect<undefined, number[]>('list', async () => [1]);
const Lister = entity('lister', {
  initial: () => ({ seen: [] as number[] }),
  operations: { start: command(), look: query(unchecked<number[]>()) },
});

test('P1: what a handler that throws did to an effect’s outcome is gone at the next try', () => {
  let tries = 0;
  const lister = behaviour(
    Lister,
    {
      start(turn) {
        turn.perform(list, undefined);
      },
      look: (view) => [...view.state.seen],
    },
    {
      effects: [
        settled(Lister, list, (turn, outcome) => {
          if (outcome.status !== 'done') return;
          outcome.output.push(2);
          tries += 1;
          if (tries === 1) throw new Error('once');
          turn.state.seen = outcome.output;
        }),
      ],
    },
  );
  const one = play(lister, 'x');
  const outcome = { status: 'done', output: [1] } as const;
  one.ask.start();
  assert.throws(() => one.settle(list, { ...outcome, output: [...outcome.output] }));
  const again = { status: 'done' as const, output: [1] };
  one.settle(list, again);
  assert.equal(one.state.seen, [1, 2]);
  assert.equal(again.output, [1]);
});

const Big = entity('big', {
  initial: () => ({ count: 0 }),
  operations: { read: command(undefined, unchecked<string>()) },
});
const big = behaviour(Big, {
  read(turn) {
    turn.state.count += 1;
    return 'x'.repeat(60_000);
  },
});

test('P12: answers kept for one client are bounded in bytes; what does not fit is overloaded, and others go on', () =>
  within({ behaviours: [big], limits: { keptAnswerBytesMax: 200_000 } }, async (cluster) => {
    const calls = Array.from({ length: 20 }, () => cluster.entity(Big, 'x').read());
    const results = await Promise.allSettled(calls);
    const refused = results.filter(({ status }) => status === 'rejected');
    assert.ok(refused.length > 0 && refused.length < 20);
    for (const one of refused) assert.ok(one.status === 'rejected' && isSkerryError(one.reason, 'overloaded'));
    assert.is((await cluster.connect({ identity: '' }).entity(Big, 'x').read()).length, 60_000);
  }));

test('P12: close ends, however much entities drive themselves', () =>
  within(
    {
      behaviours: [
        behaviour(Room, {
          set(turn, { name, afterMs }) {
            turn.timer(name, { afterMs }).set({ name, afterMs });
          },
          fire: () => undefined,
          look: () => [],
        }),
      ],
    },
    async (cluster) => {
      await Promise.all(
        Array.from({ length: 300 }, (_, index) => cluster.entity(Room, `${index}`).set({ name: 'tick', afterMs: 1 })),
      );
    },
  ));

/** Names that a program may look for in what it is given, as data. */
const odd = (): Record<string, unknown> =>
  JSON.parse('{"constructor":1,"toJSON":1,"toString":2,"valueOf":3,"then":4,"length":-1}');

const Odd = entity('odd', {
  initial: () => ({ kept: {} as unknown }),
  activities: { odd: () => ({ kept: {} as unknown }) },
  operations: {
    refuse: command(unchecked<unknown>()),
    keep: command(unchecked<unknown>(), unchecked<unknown>()),
    look: query(unchecked<unknown>()),
    decline: query(unchecked<unknown>(), unchecked<unknown>()),
    fail: command(),
    send: command(unchecked<unknown>()),
  },
});

const oddities: { answers: unknown[]; outcomes: unknown[] } = { answers: [], outcomes: [] };
const fetchOdd = effect<unknown, unknown>('fetch', async (given) => [given, odd()]);
const oddOne = behaviour(
  Odd,
  {
    refuse: (turn, given) => turn.refuse('bad', { given }),
    keep(turn, given) {
      turn.state.kept = {
        ...(turn.state.kept as object),
        [String(Object.keys(turn.state.kept as object).length)]: given,
      };
      return { given };
    },
    look: (view) => view.state.kept,
    decline: (view, given) => view.refuse('no', { given }),
    fail: () => {
      throw Object.assign(new Error('as it is'), { message: odd() });
    },
    send(turn, given) {
      const other = turn.to(Odd, 'other');
      other.activity = { kept: given };
      other.refuse(given);
      other.keep(given);
      turn.timer('later', { afterMs: 1 }).keep(given);
      turn.perform(fetchOdd, given);
    },
  },
  {
    historyMs: 60_000,
    effects: [settled(Odd, fetchOdd, (_turn, outcome) => void oddities.outcomes.push(outcome))],
    answers: [
      answers(Odd, Odd, {
        refuse: (_turn, answer) => void oddities.answers.push(answer),
        keep: (_turn, answer) => void oddities.answers.push(answer),
      }),
    ],
  },
);

test('T4: fields of any name go everywhere that data goes: refusals, queries, answers, state, activities, history', () =>
  within({ behaviours: [oddOne] }, async (cluster) => {
    const given = odd();
    const one = cluster.entity(Odd, 'one');
    const detail = (error: unknown) => (isSkerryError(error, 'refused') ? error.detail : String(error));
    assert.equal(await one.refuse(given).catch(detail), { given });
    assert.equal(await one.decline(given).catch(detail), { given });
    assert.equal(await one.keep(given), { given });
    await rejects(one.fail(), 'failed');
    await one.send(given);
    assert.equal(await one.look(), { 0: given });
    while (oddities.answers.length < 2 || oddities.outcomes.length < 1)
      await new Promise((resolve) => setImmediate(resolve));
    assert.equal(
      oddities.answers.map((answer) => Object.values(answer as object).filter((part) => typeof part === 'object')[0]),
      [{ given }, { given }],
    );
    assert.equal(oddities.outcomes, [{ status: 'done', output: [given, given] }]);
  }));

test('T4: whatever is thrown, its call fails and the next one runs', async () => {
  const odder: { thrown: unknown } = { thrown: undefined };
  const thrower = behaviour(Plain, {
    add(): number {
      throw odder.thrown;
    },
  });
  const raise = () => {
    throw new Error('looked at');
  };
  const things: unknown[] = [
    null,
    undefined,
    Symbol('s'),
    1n,
    JSON.parse('{"toString":1,"constructor":1,"message":{"toString":2}}'),
    Object.assign(new Error('x'), { code: { toString: 1 }, effect: 1 }),
    Object.defineProperty(Object.assign(new Error('x'), { effect: 1 }), 'code', { get: raise }),
    Object.defineProperty(new Error('x'), 'message', { get: raise }),
    Object.defineProperty(new Error('x'), 'stack', { get: raise }),
    Object.assign(new Error('x'), { stack: { toString: 1 }, message: ['y'], cause: odder }),
    new Proxy(new Error('x'), { get: raise, has: raise, getPrototypeOf: raise }),
    new Proxy({}, { get: raise, has: raise, getPrototypeOf: raise, getOwnPropertyDescriptor: raise }),
  ];
  await within({ behaviours: [thrower] }, async (cluster) => {
    for (const thrown of things) {
      odder.thrown = thrown;
      await rejects(cluster.entity(Plain, 'x').add(), 'failed');
    }
  });
});

test('T4: data of any depth that can be stored goes under an idempotency key, too', () =>
  within({ behaviours: [oddOne] }, async (cluster) => {
    let given: unknown = odd();
    for (let level = 3; level < 60; level++) given = { in: given };
    const once = { idempotencyKey: 'deep' };
    const one = cluster.entity(Odd, 'one');
    assert.equal(await one.keep(given, once), { given });
    assert.equal(await one.keep(given, once), { given });
    assert.equal(Object.keys((await one.look()) as object), ['0']);
  }));

test('T4: what a query refuses with and cannot be sent is that query’s failure', () =>
  within(
    {
      behaviours: [
        behaviour(Odd, {
          ...(oddOne.instantiate('') as never as object),
          decline: (view: { refuse(reason: string, detail: unknown): never }) => view.refuse('no', { run: () => 1 }),
        } as never),
      ],
    },
    async (cluster) => {
      await rejects(cluster.entity(Odd, 'one').decline(1), 'unstorable');
      assert.equal(await cluster.entity(Odd, 'one').look(), {});
    },
  ));

test.run();
