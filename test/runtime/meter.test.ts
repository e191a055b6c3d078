/** What a node counts, and who is told of it. */
import { type CounterName, Counters, counterNames } from '../../runtime/meter.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';
import { withTallies } from '../support/tally.ts';

const test = suite('meter');

test('each name of the table has a counter, and no other has', () => {
  const counters = new Counters();
  for (const name of Object.keys(counterNames) as CounterName[]) {
    counters.of(name).add();
    counters.of(name).add(3);
    assert.is(counters.sumOf(name), 4, name);
  }
  assert.throws(() => counters.of('turn' as CounterName), /there is no counter turn/);
});

test('a meter is told of what a cluster counts, as its figures say it', async () => {
  const hand = new HandEnvironment();
  const told: Record<string, number> = {};
  Object.assign(hand, {
    meter: {
      count: (name: CounterName, by: number) => {
        told[name] = (told[name] ?? 0) + by;
      },
    },
  });
  await withTallies({ hand }, async ({ tally, cluster, during }) => {
    for (const key of ['a', 'b', 'a']) await during(tally(key).add(1));
    const figures = cluster.workers.map((worker) => worker.figures);
    const sumOf = (of: 'turns' | 'commits' | 'groups') => figures.reduce((sum, one) => sum + one[of], 0);
    assert.equal([told.turns, told.commits, told.groups], [sumOf('turns'), sumOf('commits'), sumOf('groups')]);
    assert.is(told.turns, 3);
  });
});

test.run();
