/** A cluster inside a process, as an application has it: what it may ask, what it may not, and how it ends. */
import { setTimeout as pause } from 'node:timers/promises';
import { behaviour, type Turn } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import type { SkerryError } from '../../core/errors.ts';
import { command, query, type Schema, unchecked } from '../../core/operation.ts';
import { type EmbeddedCluster, type EmbedOptions, embed } from '../../runtime/embed.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { GateStore } from '../support/gate.ts';
import { keyAt, placed } from '../support/placed.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, tallyWith, watch, withTallies } from '../support/tally.ts';

const test = suite('embed');
const environment = machineEnvironment(silentLog);

async function withCluster(
  options: Partial<EmbedOptions>,
  body: (cluster: EmbeddedCluster) => Promise<void>,
): Promise<void> {
  const cluster = await embed({ behaviours: [tallyWith()], store: 'memory', environment, ...options });
  try {
    await body(cluster);
  } finally {
    await cluster.close();
  }
}

test('a cluster in memory runs commands and queries, on the machine’s own clock', () =>
  withCluster({}, async ({ entity: reference }) => {
    const tea = reference(Tally, 'tea');
    assert.is(await tea.add(3), 3);
    assert.is(await tea.add(4), 7);
    assert.is(await tea.count(), 7);
    assert.is(await reference(Tally, 'coffee').count(), 0);
  }));

test('P11: any number of workers does what one does', async () => {
  for (const workers of [1, 2, 5])
    await withCluster({ workers }, async (cluster) => {
      const keys = Array.from({ length: 40 }, (_, index) => `k${index}`);
      const sums = await Promise.all(
        keys.flatMap((key) => [1, 2, 3].map((units) => cluster.entity(Tally, key).add(units))),
      );
      assert.equal(
        sums,
        keys.flatMap(() => [1, 3, 6]),
      );
      const listed: string[] = [];
      for await (const key of cluster.list('tally')) listed.push(key);
      assert.equal(listed, [...keys].sort());
      assert.ok(cluster.workers.every(({ figures }) => figures.turns > 0));
    });
});

test('keys with any Unicode are entities of their own, also across workers', () =>
  withCluster({ workers: 3 }, async (cluster) => {
    const keys = [
      'a.b',
      'a b',
      '*',
      '>',
      'a/b',
      '\0',
      'a\0b',
      '茶',
      '🍵',
      'é',
      'e\u0301',
      '__proto__',
      'constructor',
      'k'.repeat(512),
    ];
    for (const [index, key] of keys.entries()) assert.is(await cluster.entity(Tally, key).add(index + 1), index + 1);
    for (const [index, key] of keys.entries()) assert.is(await cluster.entity(Tally, key).count(), index + 1);
  }));

test('what cannot be a cluster is refused at once', async () => {
  const tally = tallyWith();
  await rejects(embed({ behaviours: [], store: 'memory', environment }), 'invalid-definition');
  await rejects(
    embed({ behaviours: [tally, tallyWith()], store: 'memory', environment }),
    'invalid-definition',
    /tally/,
  );
  await rejects(embed({ behaviours: [tally], store: 'memory', environment, workers: 0 }), 'invalid-definition');
  const limits = { messageBytesMax: 1_048_576 };
  await rejects(
    embed({ behaviours: [tally], store: 'memory', environment, limits }),
    'invalid-definition',
    /fit into a frame/,
  );
});

test('a type that nobody registered, and an operation that its behaviour lacks, are refused with effect none', () =>
  withCluster({ workers: 2 }, async (cluster) => {
    const Other = entity('other', {
      initial: () => 0,
      operations: { go: command(), glance: query(unchecked<number>()) },
    });
    const Newer = entity('tally', {
      initial: () => 0,
      operations: { go: command(), glance: query(unchecked<number>()) },
    });
    for (const [contract, code] of [
      [Other, 'unknown-type'],
      [Newer, 'unknown-operation'],
    ] as const)
      for (let key = 0; key < 4; key++) {
        assert.is((await rejects(cluster.entity(contract, `${key}`).go(), code)).effect, 'none');
        assert.is((await rejects(cluster.entity(contract, `${key}`).glance(), code)).effect, 'none');
      }
    for (const name of ['constructor', '__proto__', 'toString'])
      for (const kind of ['command', 'query', 'tentative'] as const)
        await rejects(cluster.client.call('tally/a', name, 1, { kind }), 'unknown-operation');
  }));

test('the authorisation hook decides per call, by identity, address and operation', async () => {
  const seen: string[] = [];
  const authorise: EmbedOptions['authorise'] = ({ identity, address, operation }) => {
    seen.push(`${identity} ${operation} ${address}`);
    if (operation === 'add' && identity !== 'ann') return 'only ann adds';
    return operation !== 'seen';
  };
  await withCluster({ authorise, workers: 2 }, async (cluster) => {
    const [ann, bob] = ['ann', 'bob'].map((identity) => cluster.connect({ identity }).entity(Tally, 'tea'));
    assert.is(await ann?.add(1), 1);
    const error = await rejects(bob?.add(1) ?? Promise.resolve(), 'denied', /only ann adds/);
    assert.is(error.effect, 'none');
    assert.is(await bob?.count(), 1);
    await rejects(bob?.seen() ?? Promise.resolve(), 'denied', /was denied/);
    assert.ok(seen.includes('bob add tally/tea') && seen.includes('ann add tally/tea'));
  });
});

const units: Schema<number> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => (typeof value === 'number' ? { value } : { issues: [{ message: 'not a number' }] }),
  },
};
const Odd = entity('odd', {
  initial: (key) => {
    if (key === 'unborn') throw new Error('no such entity');
    return { value: 0 as unknown };
  },
  operations: {
    put: command(units),
    go: command(unchecked<string>(), unchecked<unknown>()),
    big: query(unchecked<number>(), unchecked<unknown>()),
  },
});
const ways: Record<string, (turn: Turn<typeof Odd>) => unknown> = {
  throw: () => {
    throw new Error('bad luck');
  },
  throwText: () => {
    throw 'just text';
  },
  function: () => () => 1,
  date: () => new Date(0),
  map: (turn) => {
    turn.state.value = new Map();
  },
  promise: async () => 1,
  cycle: (turn) => {
    const value: unknown[] = [];
    value.push(value);
    turn.state.value = value;
  },
  large: (turn) => {
    turn.state.value = 'x'.repeat(2_000);
  },
  answer: () => 'x'.repeat(1_001),
  many: (turn) => {
    for (let count = 0; count < 10_001; count++) turn.to(Odd, 'x').put(1);
  },
};
const odd = behaviour(Odd, {
  put(turn, value) {
    turn.state.value = value;
  },
  go: (turn, name) => ways[name]?.(turn),
  big: (_view, length) => 'x'.repeat(length),
});

test('a schema that refuses, a behaviour that throws, returns or keeps what cannot be stored, or sends too much: clear errors, and nothing is lost', () =>
  withCluster({ behaviours: [odd], limits: { stateBytesMax: 1_000, messageBytesMax: 1_000 } }, async (cluster) => {
    const one = cluster.entity(Odd, 'one');
    await one.put(7);
    const expected: [string, SkerryError['code'], RegExp][] = [
      ['throw', 'failed', /bad luck/],
      ['throwText', 'failed', /just text/],
      ['function', 'unstorable', /is a function/],
      ['date', 'unstorable', /Date/],
      ['map', 'unstorable', /Map/],
      ['promise', 'invalid-definition', /promise/],
      ['cycle', 'unstorable', /contains itself/],
      ['large', 'too-large', /stateBytesMax is 1000/],
      ['answer', 'too-large', /messageBytesMax is 1000/],
      ['many', 'too-large', /turnOutputCountMax \(10000\)/],
    ];
    for (const [way, code, text] of expected) {
      const error = await rejects(one.go(way), code, text);
      assert.is(error.effect, 'none', way);
    }
    // Entity and operation are said once, whoever says what is wrong.
    const wrong = await rejects(one.put('seven' as never), 'invalid-input', /^odd\/one put: .*not a number/);
    assert.is(wrong.message.split('odd').length, 2, wrong.message);
    const hold = { entity: 'odd/one', operation: 'put', id: '@x' };
    const unknown = await rejects(cluster.client.resolve(hold, 'confirm'), 'hold-unknown');
    assert.is(unknown.message.split('odd/one').length, 2, unknown.message);
    const found = await cluster.inspector.get('odd/one');
    assert.equal(
      [found?.state, found?.activities.some(({ outbound }) => outbound !== undefined)],
      [{ value: 7 }, false],
    );
  }));

test('an entity whose initial state cannot be made says so to its callers, and troubles nobody else', () =>
  withCluster({ behaviours: [odd] }, async (cluster) => {
    await rejects(cluster.entity(Odd, 'unborn').put(1), 'failed', /no such entity/);
    await cluster.entity(Odd, 'born').put(1);
  }));

test('a query whose answer is too large is refused, on any worker, and the process goes on', async () => {
  const placement = placed(256, ['worker-1', 'worker-2'], ['odd']);
  await withCluster({ behaviours: [odd], workers: 2 }, async (cluster) => {
    for (const worker of ['worker-1', 'worker-2']) {
      const one = cluster.entity(Odd, keyAt(placement, 'odd', worker));
      assert.is(String(await one.big(800_000)).length, 800_000);
      await rejects(one.big(1_500_000, { deadlineMs: 2_000 }), 'too-large', /messageBytesMax/);
      await one.put(1);
    }
  });
});

test('an actor class has one instance per activation, and a turn that throws discards it', async () => {
  const Game = entity('game', {
    initial: () => ({ turns: 0 }),
    operations: { play: command(unchecked<boolean>(), unchecked<number>()) },
  });
  let made = 0;
  class Actor {
    frames = 0;
    constructor() {
      made += 1;
    }
    play(turn: Turn<typeof Game>, isFair: boolean): number {
      this.frames += 1;
      turn.state.turns += 1;
      if (!isFair) throw new Error('foul');
      return this.frames * 100 + turn.state.turns;
    }
  }
  await withCluster({ behaviours: [behaviour(Game, Actor)] }, async (cluster) => {
    const game = cluster.entity(Game, 'chess');
    assert.equal([await game.play(true), await game.play(true)], [101, 202]);
    await rejects(game.play(false), 'failed');
    assert.is(await game.play(true), 103, 'a new instance, and the state without the foul turn');
    assert.is(await cluster.entity(Game, 'go').play(true), 101);
    assert.is(made, 3);
  });
});

test('a tentative operation is confirmed, cancelled or lapses by its handle, each once', () =>
  withTallies({}, async ({ hand, tally, during, stored }) => {
    await during(tally('a').add(10));
    const [first, second, third] = [
      await during(tally('a').take(1)),
      await during(tally('a').take(2)),
      await during(tally('a').take(3)),
    ];
    assert.is(third.output, 4);
    await during(first.confirm());
    await rejects(during(first.confirm()), 'hold-unknown');
    await during(second.cancel());
    await hand.advance(5_100);
    await rejects(during(third.confirm()), 'lapsed');
    await during(third.cancel());
    await rejects(during(tally('a').take(99)), 'refused', /not enough/);
    assert.equal(await stored('a'), { count: 9, seen: ['confirmed 1', 'cancelled 2', 'cancelled 3'] });
  }));

test('P4, P5: an idempotency key has the effect of one call, from any client of its identity, across restarts, refusals included', async () => {
  const gate = new GateStore();
  const options = { idempotencyKey: 'order 7', keyLifeMs: 3_600_000 };
  await withTallies({ gate }, async ({ tally, during }) => {
    assert.is(await during(tally('a').add(5, options)), 5);
    await rejects(during(tally('a').take(99, { idempotencyKey: 'take' })), 'refused');
    await during(tally('a').add(100));
  });
  await withTallies({ gate, workers: 2 }, async ({ hand, cluster, tally, during, stored }) => {
    assert.is(await during(tally('a').add(5, options)), 5);
    await rejects(
      during(cluster.connect({ identity: '' }).entity(Tally, 'a').take(99, { idempotencyKey: 'take' })),
      'refused',
      /not enough/,
    );
    await hand.advance(1_800_000);
    assert.is(await during(tally('a').add(5, options)), 5);
    assert.is((await stored('a'))?.count, 105);
  });
});

test('close finishes what was started, rejects what still waits, and can be called again', async () => {
  const store = new MemoryStore();
  const cluster = await embed({ behaviours: [tallyWith()], store, environment });
  const calls = Array.from({ length: 50 }, (_, index) => watch(cluster.entity(Tally, `${index % 5}`).add(1)));
  await Promise.all([cluster.close(), cluster.close()]);
  await pause(0);
  assert.ok(calls.every(({ isSettled }) => isSettled));
  await rejects(cluster.entity(Tally, 'a').add(1), 'closed');
  const again = await embed({ behaviours: [tallyWith()], store, environment });
  for (let key = 0; key < 5; key++) {
    const answered = calls.filter(({ value }, index) => index % 5 === key && value !== undefined).length;
    const count = await again.entity(Tally, `${key}`).count();
    assert.ok(count >= answered && count <= 10, `${answered} answered, ${count} happened`);
  }
  await again.close();
});

test.run();
