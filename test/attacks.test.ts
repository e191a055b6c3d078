/** What an attack on the promises once broke: each case is one of them, through the public API. */
import {
  behaviour,
  command,
  effect,
  entity,
  isSkerryError,
  query,
  settled,
  tentative,
  unchecked,
} from '../core/index.ts';
import { type Cluster, type EmbedOptions, embed, machineEnvironment, silentLog } from '../runtime/index.ts';
import { play } from '../runtime/play.ts';
import { assert, rejects, suite } from './support/suite.ts';

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

test('a hook that throws denies', () =>
  within(
    {
      behaviours: [room],
      authorise: () => {
        throw new Error('no directory');
      },
    },
    (cluster) => rejects(cluster.entity(Room, 'x').look(), 'denied').then(() => undefined),
  ));

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

test.run();
