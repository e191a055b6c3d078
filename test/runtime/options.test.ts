/** Options as an application gives them: what cannot be one is refused in words, and undefined is absent. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { answers, behaviour } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { entity } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { defaultLimits, limitsOf } from '../../core/limits.ts';
import { command, tentative, unchecked } from '../../core/operation.ts';
import { defaultPlacementLimits, placementLimitsOf } from '../../placement/limits.ts';
import { connect } from '../../runtime/connect.ts';
import { embed } from '../../runtime/embed.ts';
import { serve } from '../../runtime/serve.ts';
import { openLmdb } from '../../runtime/stores/lmdb/store.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { openRedis } from '../../runtime/stores/redis/store.ts';
import { enumeratedFaults, enumerateOptions } from '../../runtime/testing/enumerate.ts';
import { noFaults } from '../../runtime/testing/faults.ts';
import { play, playOptions } from '../../runtime/testing/play.ts';
import { scenarioOptions, simulate, simulationOptions } from '../../runtime/testing/simulation.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { openNats } from '../../runtime/transports/nats/transport.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';
import { tallyWith, withTallies } from '../support/tally.ts';
import { root } from '../support/tree.ts';

const test = suite('options');

/** What JavaScript, or a setting that was read from somewhere, gives in the place of an option. */
const wrong = (value: unknown): never => value as never;

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(isSkerryError(error, 'invalid-definition'), String(error));
  return String(error);
}

test('a store that cannot be one is refused where it is given, with what it must be', async () => {
  const behaviours = [tallyWith()];
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand);
  for (const [store, message] of [
    [undefined, /store is undefined; it must be a folder, 'memory' \(embed\), redis:\/\//],
    [null, /store is null/],
    ['', /store is an empty string/],
    [new URL('redis://x:1'), /store is a URL object: pass its string, redis:\/\//],
    [{ host: 'x' }, /store is a value of the type object/],
    // A folder of that name would be made otherwise.
    ['postgres://me:secret@db/x', /'postgres:\/\/db\/x' is not a store: name redis:\/\//],
  ] as const) {
    assert.match(await reasonOf(embed({ behaviours, store: wrong(store) })), message);
    assert.match(await reasonOf(serve({ behaviours, transport, environment: hand, store: wrong(store) })), message);
  }
  assert.match(await reasonOf(embed({ behaviours, store: 'redis://x:1' })), /openRedis\(\{ url \}\).*serve\(\)/);
  const shared = serve({ behaviours, transport, environment: hand, store: 'memory' });
  assert.match(await reasonOf(shared), /'memory' is a store of one process/);
});

test('durability, version and reads of a behaviour are what they may be', () => {
  const Thing = entity('thing', { initial: () => ({}), operations: { touch: command() } });
  const make = (options: object) => () => behaviour(Thing, { touch: () => undefined }, options);
  for (const [options, message] of [
    [
      { durability: 'turns' },
      /'durability' of the behaviour of 'thing' must be 'turn', 'none' or \{ intervalMs \}, not 'turns'/,
    ],
    [{ version: -1 }, /'version' of the behaviour of 'thing' must be a whole number from 1, not -1/],
    [{ version: 0 }, /version/],
    [{ version: 1.5 }, /version/],
    [{ version: '2' }, /version/],
    [{ reads: 'stale' }, /'reads' .* 'current' or 'local', not 'stale'/],
  ] as const)
    assert.throws(
      make(options),
      (error: unknown) => isSkerryError(error, 'invalid-definition') && message.test(String(error)),
    );
  make({
    durability: undefined,
    version: undefined,
    reads: undefined,
    labels: undefined,
    effects: undefined,
    answers: undefined,
  })();
});

test('an option that is undefined is absent: limits, durations of an operation, and when a message goes', async () => {
  assert.equal(limitsOf({ retryMs: undefined, mailboxCountMax: 7 }), { ...defaultLimits, mailboxCountMax: 7 });
  assert.equal(placementLimitsOf({ deadMs: undefined }), defaultPlacementLimits);
  assert.is(tentative(unchecked<number>(), { holdMs: undefined }).holdMs, undefined);
  const scripts = {
    later: (turn: Parameters<NonNullable<Parameters<typeof tallyWith>[0]>[string]>[0]) => {
      turn.to(tallyWith().contract, 'other', { afterMs: undefined }).add(2);
      turn.to(tallyWith().contract, 'other', { at: undefined }).add(3);
    },
  };
  await withTallies(
    { scripts, limits: { retryMs: wrong(undefined) }, workers: wrong(undefined) },
    async ({ tally, during, hand }) => {
      await during(tally('one').run('later'));
      await hand.advance(100);
      assert.is(await during(tally('other').count()), 5);
    },
  );
});

const Thing = entity('thing', { initial: () => ({}), operations: { touch: command() } });
const thing = behaviour(Thing, { touch: () => undefined });

/** What throws, or rejects with, a refusal of its options; the text of it. */
async function refusalOf(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (error) {
    assert.ok(isSkerryError(error, 'invalid-definition'), `a raw error: ${String(error)}`);
    assert.not.match(error.message, /\n/);
    return error.message;
  }
  return 'nothing was refused';
}

/** Of each function of the public entries: a call with these options. */
const entries: readonly (readonly [name: string, call: (options: never) => unknown, sound: object])[] = [
  ['embed()', embed, { behaviours: [thing], store: 'memory' }],
  ['serve()', serve, { behaviours: [thing], store: 'memory', nats: 'nats://127.0.0.1:1' }],
  ['connect()', connect, { nats: 'nats://127.0.0.1:1', timeoutMs: 0 }],
  ['NATS', openNats, { servers: 'nats://127.0.0.1:1' }],
  ['openRedis()', openRedis, { url: 'redis://127.0.0.1:1' }],
  ['openLmdb()', (options) => openLmdb('/nowhere/at/all', options), {}],
  ['MemoryStore', (options) => new MemoryStore(options), {}],
  ['play()', (options) => play(thing, 'x', options), {}],
  ['simulate()', simulate, { seed: 1, scenario: { behaviours: () => [], workload: async () => undefined } }],
  ["entity('thing')", (options) => entity('thing', options), { initial: () => ({}), operations: {} }],
  ["the behaviour of 'thing'", (options) => behaviour(Thing, { touch: () => undefined }, options), {}],
  ["the effect 'e'", (options) => effect('e', async () => 1, options), {}],
  ['tentative()', (options) => tentative(undefined, options), {}],
];

test('C24: every public function refuses options that it does not have, and what are no options, in one line', async () => {
  for (const [name, call, sound] of entries) {
    assert.match(
      await refusalOf(() => call(wrong({ ...sound, retires: 3 }))),
      /has no option 'retires'; the options? (?:is|are) \w+/,
    );
    for (const given of [null, 5, 'text', []]) {
      const text = await refusalOf(() => call(wrong(given)));
      assert.match(text, /takes options \{ \w+/, `${name} ${String(given)}`);
      assert.ok(text.startsWith(name), text);
    }
  }
  for (const [act, message] of [
    [() => embed(wrong(undefined)), /embed\(\) takes options/],
    [() => connect(wrong(undefined)), /connect\(\) takes options/],
    [() => connect({}), /Pass either nats/],
    [() => openRedis(wrong({})), /needs a url/],
    [() => openNats(wrong({})), /servers is missing/],
    [() => embed(wrong({ store: 'memory' })), /behaviours must be an array/],
    [
      () => embed({ behaviours: wrong([Thing]), store: 'memory' }),
      /behaviours\[0\] is the contract 'thing': pass its behaviour, from behaviour\(\)/,
    ],
    [() => embed({ behaviours: wrong([thing, undefined]), store: 'memory' }), /behaviours\[1\] is undefined/],
    [() => play(wrong(Thing), 'x'), /play\(\) takes a behaviour/],
    [() => simulate(wrong({ seed: 1, scenario: { behaviours: () => [] } })), /lacks workload$/],
    [() => simulate(wrong({ scenario: {} })), /lacks seed, behaviours, workload$/],
    [() => simulate(wrong({})), /lacks seed, scenario$/],
    [() => entity('thing', wrong({ operations: {} })), /lacks initial/],
    [() => entity(wrong(undefined), wrong({})), /cannot name an entity type/],
    [() => behaviour(Thing, wrong(undefined)), /must be an object of functions or a class/],
    [() => behaviour(wrong(thing), {}), /A contract .*not a behaviour: pass its contract/],
    [() => answers(Thing, wrong(undefined), {}), /A contract from entity\(\) is needed/],
    [() => effect(wrong(undefined), async () => 1), /takes a name and an async function/],
  ] as const)
    assert.match(await refusalOf(act), message);
});

test('limits that cannot be changed, or without which nothing is written, are refused', async () => {
  for (const [limits, message] of [
    [{ keyBytesMax: 5_000 }, /'keyBytesMax' of limits cannot be changed: it is 512/],
    [{ depthMax: 1_000 }, /'depthMax' of limits cannot be changed/],
    [{ groupCountMax: 0 }, /'groupCountMax' of limits must be a number of at least 1, not 0/],
    [{ groupBytesMax: 0 }, /'groupBytesMax' of limits must be a number of at least 1/],
  ] as const)
    assert.match(await reasonOf(embed({ behaviours: [thing], store: 'memory', limits })), message);
  const { keyBytesMax } = defaultLimits;
  await (await embed({ behaviours: [thing], store: 'memory', limits: { keyBytesMax } })).close();
});

test('connect refuses a name or an identity that cannot be one before it waits for anything', async () => {
  const nats = 'nats://127.0.0.1:1';
  assert.match(await reasonOf(connect({ nats, timeoutMs: 0, cluster: 'a.b' })), /'a.b' is not a cluster name/);
  assert.match(await reasonOf(connect({ nats, timeoutMs: 0, identity: '\ud800' })), /An identity must be well-formed/);
});

test('C24: a value of a wrong type is refused by its name, and no text is shown that may be a password', async () => {
  for (const [act, message] of [
    [
      () => embed({ behaviours: [thing], store: 'memory', workers: wrong('2') }),
      /'workers' of embed\(\) must be a whole number from 1, not a string/,
    ],
    [
      () => embed({ behaviours: [thing], store: 'memory', authorise: wrong(true) }),
      /'authorise' of embed\(\) must be a function, not true/,
    ],
    [
      () => embed({ behaviours: [thing], store: 'memory', environment: wrong({ now: 1 }) }),
      /'environment' .* must be an environment \(with now/,
    ],
    [
      () => embed({ behaviours: [thing], store: 'memory', limits: wrong({ retryMS: 1 }) }),
      /limits has no option 'retryMS'/,
    ],
    [
      () => serve({ behaviours: [thing], store: 'memory', nats: 'x', placementLimits: wrong({ leaseMS: 1 }) }),
      /placementLimits has no option 'leaseMS'/,
    ],
    [
      () => connect({ nats: 'x', as: wrong('admin') }),
      /'as' of connect\(\) must be 'client' or 'gateway' or 'tool', not 'admin'/,
    ],
    [() => openNats({ servers: 'x', user: 'u', password: wrong(1234) }), /'password' of NATS .* string, not 1234/],
    [() => openNats({ servers: wrong({ url: 'secret' }) }), /'servers' of NATS must be a string/],
    [
      () => openRedis({ url: 'redis://x', cluster: wrong('yes, secret') }),
      /'cluster' of openRedis\(\) must be true or false, not a string$/,
    ],
    [() => play(thing, 'x', { now: Number.NaN }), /'now' of play\(\) must be a finite number, not NaN/],
    [() => play(thing, 'x', { limits: wrong({ attempts: 1 }) }), /limits has no option 'attempts'/],
    [
      () =>
        simulate(
          wrong({ seed: 1, scenario: { behaviours: () => [], workload: async () => {} }, faults: { crashes: 1 } }),
        ),
      /faults has no option 'crashes'/,
    ],
    [
      () => behaviour(Thing, { touch: () => undefined }, { labels: wrong('gpu') }),
      /'labels' .* must be an array of strings/,
    ],
    [() => tentative(undefined, wrong({ holdMS: 5 })), /has no option 'holdMS'; the options are holdMs, output/],
  ] as const)
    assert.match(await refusalOf(act), message);
});

test('C24: docs/testing.md lists every option of play(), enumerate(), simulate(), its scenarios and its faults', async () => {
  const page = await readFile(join(root, 'docs/testing.md'), 'utf8');
  const tables = {
    ...playOptions,
    ...enumerateOptions,
    ...enumeratedFaults,
    ...simulationOptions,
    ...scenarioOptions,
    ...noFaults,
  };
  assert.equal(
    Object.keys(tables).filter((name) => !page.includes(`\`${name}\``)),
    [],
  );
});

test('a handle refuses a contract that is none, and an identity that is not given', () =>
  withTallies({}, async ({ cluster }) => {
    assert.match(
      await refusalOf(() => cluster.entity(wrong(undefined), 'x')),
      /A contract from entity\(\) is needed.*not undefined/,
    );
    assert.match(await refusalOf(() => cluster.entity(wrong(tallyWith()), 'x')), /not a behaviour: pass its contract/);
    assert.match(await refusalOf(() => cluster.connect(wrong(undefined))), /connect\(\) takes options \{ identity \}/);
    assert.match(await refusalOf(() => cluster.connect(wrong({ as: 'ada' }))), /has no option 'as'/);
  }));

test('when something is to happen is { afterMs } from 0 or { at }; what is neither does not mean at once', async () => {
  const when = (given: unknown) => {
    const one = play(
      behaviour(Thing, {
        touch(turn) {
          turn.timer('t', wrong(given)).touch();
        },
      }),
      'x',
      { now: 1_000 },
    );
    try {
      one.ask.touch();
    } catch (error) {
      return isSkerryError(error) ? error.code : String(error);
    }
    return one.timers[0]?.due;
  };
  for (const given of [
    { afterMs: -1 },
    { afterMs: -0.5 },
    { after: 5 },
    {},
    { afterMs: 1, at: 2 },
    5,
    null,
    'soon',
    { afterMs: null },
  ])
    assert.is(when(given), 'invalid-input', JSON.stringify(given));
  assert.equal(
    [when({ afterMs: 0 }), when({ afterMs: 5 }), when({ at: 3 }), when({ at: 2_000 })],
    [1_000, 1_005, 1_000, 2_000],
  );
  assert.equal([when({ afterMs: undefined }), when({ at: undefined }), when(undefined)], [1_000, 1_000, 1_000]);
});

test.run();
