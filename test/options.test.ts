/** Options as an application gives them: what cannot be one is refused in words, and undefined is absent. */
import { behaviour } from '../core/behaviour.ts';
import { entity } from '../core/entity.ts';
import { isSkerryError } from '../core/errors.ts';
import { defaultLimits, limitsOf } from '../core/limits.ts';
import { command, tentative, unchecked } from '../core/operation.ts';
import { defaultPlacementLimits, placementLimitsOf } from '../placement/limits.ts';
import { embed } from '../runtime/embed.ts';
import { serve } from '../runtime/serve.ts';
import { MemoryTransport } from '../runtime/transports/memory.ts';
import { HandEnvironment } from './support/hand.ts';
import { assert, suite } from './support/suite.ts';
import { tallyWith, withTallies } from './support/tally.ts';

const test = suite('options');

/** What JavaScript, or a setting that was read from somewhere, gives in the place of an option. */
const wrong = <Wrong>(value: unknown): Wrong => value as Wrong;

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
    ['', /store is an empty text/],
    [new URL('redis://x:1'), /store is a URL object: give its text, redis:\/\//],
    [{ host: 'x' }, /store is a value of the type object/],
  ] as const) {
    assert.match(await reasonOf(embed({ behaviours, store: wrong(store) })), message);
    assert.match(await reasonOf(serve({ behaviours, transport, environment: hand, store: wrong(store) })), message);
  }
  assert.match(await reasonOf(embed({ behaviours, store: 'redis://x:1' })), /openRedis\(\{ url \}\).*serve\(\)/);
});

test('durability, version and reads of a behaviour are what they may be', () => {
  const Thing = entity('thing', { initial: () => ({}), operations: { touch: command() } });
  const make = (options: object) => () => behaviour(Thing, { touch: () => undefined }, options);
  for (const [options, message] of [
    [{ durability: 'turns' }, /durability of the behaviour of 'thing' is 'turns'; it must be 'turn', 'none' or/],
    [{ version: -1 }, /version of the behaviour of 'thing' is -1; it must be a whole number from 1/],
    [{ version: 0 }, /version/],
    [{ version: 1.5 }, /version/],
    [{ version: '2' }, /version/],
    [{ reads: 'stale' }, /reads .* 'current' or 'local'/],
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

test.run();
