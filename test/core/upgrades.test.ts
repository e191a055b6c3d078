/** Upgrades of stored states, and states that no longer fit their contract. */
import { type BehaviourOptions, behaviour, type Upgrade } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { defaultLimits } from '../../core/limits.ts';
import { command, query, unchecked } from '../../core/operation.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { Unmade } from '../../runtime/worker/unmade.ts';
import { withWorkers } from '../support/served.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { tallyWith, withTallies } from '../support/tally.ts';

const test = suite('upgrades');

/** The type `note` as an application has it whose states look like this. */
function note(initial: () => unknown, options: BehaviourOptions = {}) {
  const Note = entity('note', {
    initial,
    operations: { put: command(unchecked<unknown>()), state: query(unchecked<unknown>()) },
  });
  const made = behaviour(
    Note,
    {
      put(turn, value) {
        turn.state = value;
      },
      state: (view) => view.state,
    },
    options,
  );
  return { Note, made };
}

/** Runs an application on a store, until the body is done. */
async function running(
  store: MemoryStore,
  { Note, made }: ReturnType<typeof note>,
  body: (notes: {
    put(key: string, value: unknown): Promise<void>;
    state(key: string): Promise<unknown>;
  }) => Promise<void>,
): Promise<string[]> {
  const warnings: string[] = [];
  await withTallies({ behaviours: [made], store }, async ({ cluster, hand, during }) => {
    await body({
      put: (key, value) => during(cluster.entity(Note, key).put(value)),
      state: (key) => during(cluster.entity(Note, key).state()),
    });
    for (const { level, message, details } of hand.logged)
      if (level === 'warn') warnings.push(`${message} ${JSON.stringify(details)}`);
  });
  return warnings;
}

const first = () => note(() => ({ text: '' }));

test('an upgrade that returns nothing is refused with type and version, and what is stored stays', async () => {
  const store = new MemoryStore();
  await running(store, first(), ({ put }) => put('a', { text: 'hello' }));
  const inPlace = (state: { text: string; size?: number }): void => {
    state.size = state.text.length;
  };
  const forgetful = note(() => ({ text: '', size: 0 }), { version: 2, upgrades: { 1: inPlace as never } });
  await running(store, forgetful, async ({ put, state }) => {
    await rejects(state('a'), 'invalid-definition', /upgrade of 'note' from version 1 returned nothing/);
    await rejects(put('a', 1), 'invalid-definition');
  });
  const returned = note(() => ({ text: '', size: 0 }), {
    version: 2,
    upgrades: {
      1: (state) => {
        inPlace(state);
        return state;
      },
    },
  });
  await running(store, returned, async ({ state }) => assert.equal(await state('a'), { text: 'hello', size: 5 }));
});

test('a stored state that lacks what the contract has at first is warned of, once for its type, when the version is the old one', async () => {
  const store = new MemoryStore();
  await running(store, first(), async ({ put }) => {
    await put('a', { text: 'hello' });
    await put('b', { text: 'hello' });
  });
  const look = async ({ state }: { state(key: string): Promise<unknown> }) => {
    for (const key of ['a', 'b', 'new']) await state(key);
  };
  const warnings = await running(
    store,
    note(() => ({ text: [''], tags: [], late: undefined })),
    look,
  );
  assert.is(warnings.length, 1, warnings.join());
  assert.match(String(warnings[0]), /"text is a string, not an array","tags is missing"/);
  assert.match(String(warnings[0]), /raise version/);
  assert.match(String(warnings[0]), /"type":"note","version":1/);
  assert.equal(
    await running(
      store,
      note(() => ({ text: null }), {}),
      look,
    ),
    [],
    'null stands for what may be missing',
  );
  const broken = note(() => {
    throw new Error('none');
  });
  assert.equal(
    await running(store, broken, async ({ state }) => assert.equal(await state('a'), { text: 'hello' })),
    [],
  );
  assert.equal(await running(store, first(), look), []);
});

/** A type with a timer, which this many tries to make it let fire. */
function alarm(failures: { left: number; made: number }, isLater: boolean) {
  const Alarm = entity('alarm', {
    initial: () => ({ rung: 0 }),
    operations: { set: command(unchecked<number>()), ring: command(), rung: query(unchecked<number>()) },
  });
  const made = behaviour(
    Alarm,
    {
      set: (turn, afterMs) => turn.timer('ring', { afterMs }).ring(),
      ring(turn) {
        turn.state.rung += 1;
      },
      rung: (view) => view.state.rung,
    },
    {
      ...(isLater && {
        version: 2,
        upgrades: {
          1: (state: object) => {
            failures.made += 1;
            if (failures.left-- > 0) throw new Error('not yet');
            return state;
          },
        },
      }),
    },
  );
  return { Alarm, made };
}

test('UM1: an entity whose upgrade throws has its timers tried again, after longer and longer pauses, and is logged once', async () => {
  const store = new MemoryStore();
  const failures = { left: 12, made: 0 };
  const first = alarm(failures, false);
  await withTallies({ behaviours: [first.made], store }, async ({ cluster, during }) =>
    during(cluster.entity(first.Alarm, 'a').set(60_000)),
  );
  const later = alarm(failures, true);
  await withTallies({ behaviours: [later.made], store }, async ({ cluster, hand, during }) => {
    const count = (text: string) => hand.logged.filter(({ message }) => message === text).length;
    await hand.advance(60_000);
    const tries = failures.made;
    assert.ok(tries >= 1, 'its time has come');
    await rejects(during(cluster.entity(later.Alarm, 'a').rung()), 'failed', /not yet/);
    await hand.advance(30_000);
    // After 0.5, 1.5, 3.5, 7.5, 15.5 seconds; and the one that called.
    assert.ok(failures.made - tries >= 5 && failures.made - tries <= 7, `${failures.made - tries} tries`);
    assert.is(count('an entity could not be read'), 1);
    await hand.advance(300_000);
    assert.is(failures.left, -1, 'it was tried until it could be made');
    assert.is(count('an entity can be read again'), 1);
    assert.is(await during(cluster.entity(later.Alarm, 'a').rung()), 1);
    const { made } = failures;
    await hand.advance(300_000);
    assert.is(failures.made, made, 'and no further');
  });
});

test('UM1, P7: an entity whose memory came along and cannot be made has its timers tried again, though no store has their dates', () => {
  const failures = { left: 4, made: 0 };
  const of = (more: BehaviourOptions) =>
    tallyWith({ remind: (turn) => turn.timer('later', { afterMs: 5_000 }).add(100) }, { durability: 'none', ...more });
  const upgrade: Upgrade = (state) => {
    failures.made += 1;
    if (failures.left-- > 0) throw new Error('not yet');
    return state;
  };
  return withWorkers({ names: ['a'], behaviours: [of({})] }, async ({ hand, tally, during, workers, join }) => {
    await during(tally('x').run('remind'));
    await join('b', { behaviours: [of({ version: 2, upgrades: { 1: upgrade } })] });
    await during(workers.get('a')?.close() ?? Promise.reject(new Error('no such worker')));
    await hand.advance(60_000);
    assert.is(failures.made, 5, 'it was tried until it could be made');
    assert.is(await during(tally('x').count()), 100);
  });
});

test('UM1: nor is a call that fails a reason to try again', async () => {
  const broken = note(() => {
    throw new Error('none');
  });
  let tries = 0;
  const store = new MemoryStore();
  const load = store.load.bind(store);
  store.load = (...given) => {
    tries += 1;
    return load(...given);
  };
  await withTallies({ behaviours: [broken.made], store }, async ({ cluster, hand, during }) => {
    await rejects(during(cluster.entity(broken.Note, 'a').state()), 'failed', /none/);
    await hand.advance(120_000);
    assert.is(tries, 1);
  });
});

test('UM2, P12: so many series of tries are remembered', () => {
  const unmade = new Unmade(defaultLimits);
  assert.equal(
    [1, 2, 3].map(() => unmade.failed('a/1')),
    [500, 1_000, 2_000],
  );
  for (let tries = 0; tries < 10; tries++) unmade.failed('a/1');
  assert.is(unmade.failed('a/1'), 30_000);
  for (let nth = 0; nth < 9_999; nth++) unmade.failed(`b/${nth}`);
  assert.ok(unmade.has('a/1'));
  unmade.failed('b/9999');
  assert.not(unmade.has('a/1'));
  assert.is(unmade.failed('b/1'), 1_000);
  assert.ok(unmade.made('b/1'));
  assert.is(unmade.failed('b/1'), 500);
});

test('an upgrade is a function, wherever one is needed', () => {
  for (const upgrades of [{}, { 1: undefined }, { 1: 'two' }])
    assert.throws(
      () => note(() => 0, { version: 2, upgrades: upgrades as never }),
      /'note' is at version 2 but has no upgrade from 1/,
    );
});

test.run();
