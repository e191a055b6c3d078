/** What leaves an entity: cut to what the contract declares. */
import * as v from 'valibot';
import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { command, query, type Schema, tentative, unchecked } from '../../core/operation.ts';
import { play } from '../../runtime/testing/play.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { tallyWith, withTallies } from '../support/tally.ts';

const test = suite('outputs');

const Public = v.object({ pub: v.number(), list: v.array(v.object({ name: v.string() })) });
const late: Schema<unknown, number> = {
  '~standard': { version: 1, vendor: 'late', validate: async (value) => ({ value: value as number }) },
};
const Safe = entity('safe', {
  initial: () => ({ pub: 1, secret: 'hunter2', list: [{ name: 'a', pin: 1_234 }], broken: false }),
  operations: {
    show: query(Public),
    told: command(undefined, Public),
    held: tentative(undefined, { output: Public }),
    break: command(),
    all: query(unchecked<unknown>()),
    never: query(late),
    quiet: command(),
  },
});
const safe = behaviour(Safe, {
  show: (view) => view.state,
  told: (turn) => turn.state,
  held: { tentative: (turn) => turn.state, confirm: () => undefined, cancel: () => undefined },
  break(turn) {
    turn.state.pub = 'hunter3' as never;
  },
  all: (view) => ({ ...view.state }),
  never: () => 1,
  quiet: ((turn: { state: unknown }) => turn.state) as never,
});
const shown = { pub: 1, list: [{ name: 'a' }] };

test('an output is cut to its schema: a query or a turn that returns the state sends what is declared, and nothing else', () =>
  withTallies({ behaviours: [safe, tallyWith()] }, async ({ cluster, during }) => {
    const one = cluster.entity(Safe, 'one');
    assert.equal(await during(one.show()), shown);
    assert.equal(await during(one.told()), shown);
    assert.equal((await during(one.held())).output, shown);
    assert.is(await during(one.quiet()), undefined, 'without an output there is none');
    assert.is(((await during(one.all())) as { secret: string }).secret, 'hunter2', 'unchecked is what it says');
  }));

test('an output that does not fit is an error that names the place and not the value, and its turn changes nothing', () =>
  withTallies({ behaviours: [safe, tallyWith()] }, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Safe, 'one');
    await during(one.break());
    for (const call of [() => one.show(), () => one.told(), () => one.held()] as (() => Promise<unknown>)[]) {
      const error = await rejects(during(call()), 'failed', /returned an output that its schema rejects: pub/);
      assert.not.match(error.message, /hunter/);
    }
    assert.ok(
      hand.logged.some(({ details }) => /Expected number/.test(JSON.stringify(details))),
      'the log says it all',
    );
    assert.match((await rejects(during(one.show()), 'failed')).message, /the worker's log has the reason/);
    await rejects(during(one.never()), 'invalid-definition', /validates asynchronously/);
  }));

test('play says of an output that does not fit what its schema says, with what was thrown as the cause', () => {
  const one = play(safe, 'one');
  one.ask.break();
  for (const call of [() => one.ask.show(), () => one.ask.told(), () => one.ask.held()] as (() => unknown)[]) {
    try {
      call();
      assert.unreachable();
    } catch (error) {
      assert.ok(isSkerryError(error, 'failed'));
      assert.match(error.message, /schema rejects: pub.*\(pub: .*Expected number/);
      assert.ok(isSkerryError(error.cause));
    }
  }
});

test.run();
