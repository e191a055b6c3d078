/** Upgrades of stored states, and states that no longer fit their contract. */
import { type BehaviourOptions, behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { command, query, unchecked } from '../../core/operation.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { withTallies } from '../support/tally.ts';

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
  assert.match(String(warnings[0]), /raise its version/);
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

test('an upgrade is a function, wherever one is needed', () => {
  for (const upgrades of [{}, { 1: undefined }, { 1: 'two' }])
    assert.throws(
      () => note(() => 0, { version: 2, upgrades: upgrades as never }),
      /'note' is at version 2 but has no upgrade from 1/,
    );
});

test.run();
