/** Effects: how a try ends, and which tries there are. */
import { settled, stubEffects } from '../../core/behaviour.ts';
import { type EffectContext, effect, permanent } from '../../core/effect.ts';
import { decode } from '../../runtime/wire/codec.ts';
import { GateStore } from '../support/gate.ts';
import { withWorkers } from '../support/served.ts';
import { assert, suite } from '../support/suite.ts';
import { type Scripts, Tally, type TallyTurn, tallyWith, watch, withTallies } from '../support/tally.ts';

const test = suite('effects');
type Run = (given: number, context: EffectContext) => Promise<unknown>;

/** An effect as part of tallies, and the tries of it. */
function given(run: Run, options: Parameters<typeof effect>[2] = {}) {
  const tries: EffectContext[] = [];
  const call = effect(
    'call',
    async (input: number, context: EffectContext) => {
      tries.push(context);
      return run(input, context);
    },
    options,
  );
  const scripts: Scripts = { call: (turn) => turn.perform(call, 1) };
  const behaviour = {
    effects: [settled(Tally, call, (turn: TallyTurn, outcome) => void turn.state.seen.push(outcome))],
  };
  return { tries, scripts, behaviour };
}
function levelsOf(hand: { readonly logged: readonly { level: string; message: string }[] }): string[] {
  return hand.logged.filter(({ message }) => /an effect failed/.test(message)).map(({ level }) => level);
}
const forEver: Run = () => new Promise(() => undefined);

test('a permanent failure is the outcome at once, with its reason', async () => {
  const { tries, ...app } = given(() => Promise.reject(permanent('declined', { cause: new Error('402') })));
  await withTallies(app, async ({ hand, tally, during, stored }) => {
    await during(tally('a').run('call'));
    await hand.advance(60_000);
    assert.equal((await stored('a'))?.seen, [{ status: 'failed', message: 'declined' }]);
    assert.is(tries.length, 1);
    assert.equal(levelsOf(hand), ['info'], 'the app foresaw it');
  });
});

test('a failure that nobody foresaw is a warning: no handler, or an error of another kind', async () => {
  const { scripts, behaviour } = given(() => Promise.reject(permanent('declined')));
  const effects = behaviour.effects.map((handler) => settled(Tally, handler.effect));
  await withTallies({ scripts, behaviour: { effects } }, async ({ hand, tally, during }) => {
    await during(tally('a').run('call'));
    await hand.advance(1_000);
    assert.equal(levelsOf(hand), ['warn']);
  });
  const { tries: _, ...away } = given(() => Promise.reject(new Error('away')), { attemptsMax: 1 });
  await withTallies(away, async ({ hand, tally, during }) => {
    await during(tally('a').run('call'));
    await hand.advance(1_000);
    assert.equal(levelsOf(hand), ['warn']);
  });
});

test('the history of an entity says what an effect came to, not that its entity has taken note of it', async () => {
  const wayOf: Run = (_, { address }) =>
    address === 'tally/good' ? Promise.resolve('paid') : Promise.reject(permanent('declined'));
  const { tries: _, ...app } = given(wayOf);
  const behaviour = { ...app.behaviour, historyMs: 1_000_000 };
  await withTallies({ ...app, behaviour }, async ({ hand, tally, during, cluster }) => {
    for (const key of ['good', 'bad']) await during(tally(key).run('call'));
    await hand.advance(60_000);
    const told: unknown[] = [];
    for (const key of ['good', 'bad'])
      for await (const { kind, status, payload } of cluster.inspector.history(`tally/${key}`))
        if (kind === 'effect') told.push([key, status, decode(payload)]);
    assert.equal(told, [
      ['good', 'done', { status: 'done', output: 'paid' }],
      ['bad', 'failed', { status: 'failed', message: 'declined' }],
    ]);
  });
});

test('L3: a try that takes longer than its limit is aborted and tried again, though it never ends', async () => {
  const { tries, ...app } = given(
    (_, { attempt }) => (attempt < 3 ? forEver(0, undefined as never) : Promise.resolve('ok')),
    {
      timeoutMs: 2_000,
      retryMs: 1_000,
    },
  );
  await withTallies(app, async ({ hand, tally, during, stored }) => {
    await during(tally('a').run('call'));
    await hand.advance(1_900);
    assert.equal([tries.length, tries[0]?.signal.aborted], [1, false]);
    await hand.advance(200);
    assert.equal([tries.length, tries[0]?.signal.aborted], [1, true]);
    assert.match(String(tries[0]?.signal.reason), /longer than its limit of 2000 ms/);
    await hand.advance(60_000);
    assert.equal((await stored('a'))?.seen, [{ status: 'done', output: 'ok' }]);
    assert.equal(
      tries.map(({ signal }) => signal.aborted),
      [true, true, false],
    );
  });
});

test('an effect without its own limit has effectMsMax; its own back-off and number of tries are its own', async () => {
  const { tries, ...app } = given(forEver);
  await withTallies(
    { ...app, limits: { effectMsMax: 500, attemptsMax: 2 } },
    async ({ hand, tally, during, stored }) => {
      await during(tally('a').run('call'));
      await hand.advance(20_000);
      assert.is(tries.length, 2);
      assert.match(JSON.stringify((await stored('a'))?.seen), /longer than its limit of 500 ms/);
    },
  );
  const times: number[] = [];
  const { tries: ownTries, ...own } = given(() => Promise.reject(new Error('no')), {
    retryMs: 100,
    retryMsMax: 150,
    attemptsMax: 5,
  });
  await withTallies({ ...own, limits: { retryMs: 100_000, retryMsMax: 100_000 } }, async ({ hand, tally, during }) => {
    watch(during(tally('a').run('call')));
    for (let step = 0; step < 1_000; step++) {
      await hand.advance(1);
      if (ownTries.length > times.length) times.push(hand.now());
    }
    const pauses = times.slice(1).map((at, index) => at - (times[index] ?? 0));
    assert.is(pauses.length, 4);
    for (const [index, pause] of pauses.entries())
      assert.ok(pause >= (index === 0 ? 75 : 112) && pause <= (index === 0 ? 126 : 189), pauses.join());
  });
});

test('L3: the end of a worker aborts what runs, and the next one begins anew with the same key', async () => {
  const gate = new GateStore();
  const { tries, ...app } = given(forEver);
  await withTallies({ ...app, gate }, async ({ tally, during, hand }) => {
    await during(tally('a').run('call'));
    await hand.advance(100);
  });
  assert.equal([tries.length, tries[0]?.signal.aborted], [1, true]);
  await withTallies({ ...app, gate }, async ({ hand }) => {
    await hand.advance(1_000);
    assert.equal([tries.length, tries[1]?.signal.aborted, tries[1]?.attempt], [2, false, 1]);
    assert.is(tries[1]?.idempotencyKey, tries[0]?.idempotencyKey);
  });
});

test('L3: an entity that moves takes its effect along: the old owner aborts its try and makes no other', async () => {
  const { tries, scripts, behaviour } = given(forEver);
  const behaviours = [tallyWith(scripts, behaviour)];
  await withWorkers({ names: ['a'], behaviours }, async ({ hand, tally, during, join, remote }) => {
    const keys = Array.from({ length: 12 }, (_, key) => String(key));
    await during(Promise.all(keys.map((key) => tally(key).run('call'))));
    await hand.advance(100);
    assert.is(tries.length, keys.length);
    await join('b');
    await hand.advance(20_000);
    const moved = keys.filter((key) => remote.where(`tally/${key}`).worker === 'b').map((key) => `tally/${key}`);
    assert.ok(moved.length > 2);
    const aborted = tries.filter(({ signal }) => signal.aborted).map(({ address }) => address);
    assert.equal(aborted.sort(), [...moved].sort());
    assert.is(tries.length, keys.length + moved.length);
  });
});

test('an output that cannot be stored names the place, and is tried once', async () => {
  const { tries, ...app } = given(async () => ({ receipt: { at: new Date(0) } }));
  await withTallies(app, async ({ hand, tally, during, stored }) => {
    await during(tally('a').run('call'));
    await hand.advance(60_000);
    assert.match(JSON.stringify((await stored('a'))?.seen), /output of effect call\.receipt\.at is a Date/);
    assert.is(tries.length, 1);
  });
});

test('a stub runs in the place of an effect of its name, on a cluster; a name that none has is refused', async () => {
  const { tries, scripts, behaviour } = given(forEver);
  const real = [tallyWith(scripts, behaviour)] as const;
  const behaviours = stubEffects(real, { call: (input: number) => ({ stubbed: input }) });
  await withTallies({ behaviours, workers: 2 }, async ({ hand, tally, during, stored }) => {
    await during(tally('a').run('call'));
    await hand.advance(1_000);
    assert.equal((await stored('a'))?.seen, [{ status: 'done', output: { stubbed: 1 } }]);
    assert.is(tries.length, 0);
  });
  assert.throws(() => stubEffects(real, { cal: () => 1 }), /No effect 'cal'; there are call/);
});

test('options of an effect that cannot be are refused where they are written', () => {
  for (const options of [
    { timeoutMs: Number.NaN },
    { retryMs: -1 },
    { attemptsMax: 0 },
    { retryMsMax: Number.POSITIVE_INFINITY },
  ])
    assert.throws(() => effect('call', forEver, options), /of the effect 'call'/);
});

test.run();
