/** Options of calls, and what looks like them. */
import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { command, query, unchecked } from '../../core/operation.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, tallyWith, withTallies } from '../support/tally.ts';

const test = suite('options of calls');

const Bell = entity('bell', {
  initial: () => ({ rings: 0 }),
  operations: {
    ring: command(undefined, unchecked<number>()),
    rings: query(unchecked<number>()),
    say: command(unchecked<unknown>()),
  },
});
const bell = behaviour(Bell, {
  ring(turn) {
    turn.state.rings += 1;
    return turn.state.rings;
  },
  rings: (view) => view.state.rings,
  say: () => undefined,
});
const scripts = {
  ask: (turn: { to: (type: typeof Bell, key: string) => object }) =>
    Reflect.get(turn.to(Bell, 'a'), 'rings').call(turn.to(Bell, 'a')),
};

test('an operation without input takes its options first or second, and nothing that is none', () =>
  withTallies({ behaviours: [bell, tallyWith()] }, async ({ cluster, during }) => {
    const one = cluster.entity(Bell, 'a');
    const options = { idempotencyKey: 'k' };
    assert.is(await during(one.ring(options)), 1);
    assert.is(await during(one.ring(undefined, options)), 1, 'the same request');
    assert.is(await during(one.ring()), 2);
    assert.is(await during(one.rings({ deadlineMs: 1_000 })), 2);
    for (const wrong of [{ units: 1 }, 'text', 7, [1]])
      await rejects(during(one.ring(wrong as never)), 'invalid-input', /bell\/a ring takes no input, only options/);
    await rejects(during(one.say(1, 5 as never)), 'invalid-input', /has wrong options/);
    assert.is(await during(one.rings()), 2);
  }));

test('a turn that sends a query is told what it did, in one line', () =>
  withTallies({ scripts: scripts as never, behaviours: [bell, tallyWith(scripts as never)] }, ({ cluster, during }) =>
    rejects(
      during(cluster.entity(Tally, 'x').run('ask')),
      'invalid-definition',
      /'rings' of bell\/a is a query: a turn cannot send it/,
    ).then(() => undefined),
  ));

test.run();
