/** The shop as the runner runs it: what orders are told is compared with what they are. */
import type { Ending, Summary } from '../../examples/orders/contracts.ts';
import { orders as example, falsehood } from '../../examples/orders/example.ts';
import type { Findings } from '../../examples/runner/example.ts';
import { embed } from '../../runtime/index.ts';
import { chanceOf } from '../../runtime/testing/chance.ts';
import { assert, suite } from '../support/suite.ts';

const story = suite('orders, run');

async function run(behaviours: typeof example.behaviours): Promise<Findings> {
  const cluster = await embed({ behaviours, store: 'memory' });
  const { signal } = new AbortController();
  const given = { cluster, options: {}, chance: chanceOf(4), clients: 16, note: () => undefined, signal };
  const shop = await example.open(given);
  const client = async () => {
    for (let lines = 0; lines < 60; lines += 1) await shop.transact();
  };
  await Promise.all(Array.from({ length: 16 }, client));
  const findings = await shop.finish();
  await cluster.close();
  return findings;
}

story('lines twice, late and overtaken: every number is right, and every order is what it was told', async () => {
  const { anomalies, facts } = await run(example.behaviours);
  assert.equal(anomalies, []);
  const { placed = 0, refused = 0, cancelled = 0, orders } = facts;
  assert.ok(placed > 100 && refused > 10 && cancelled > 10);
  assert.is(placed + refused + cancelled, orders);
});

story(
  'an order that is not what its caller was told is noticed; what was cancelled, or broken with notice, is not',
  () => {
    const found = (status: Summary['status'], reason?: string): Summary => {
      return {
        status,
        customer: 'ann',
        lines: [],
        ...(reason === undefined ? {} : { refusal: { by: 'stock/tea', reason } }),
      };
    };
    const refused: Ending = { outcome: 'refused', refusal: { by: 'stock/tea', reason: 'none' } };
    const right: [Summary, Ending, boolean][] = [
      [found('placed'), { outcome: 'placed' }, false],
      [found('cancelled'), { outcome: 'placed' }, true],
      [found('refused', 'hold lapsed'), { outcome: 'placed' }, false],
      [found('refused', 'none'), refused, false],
    ];
    for (const [summary, ending, isCancelled] of right) assert.is(falsehood(summary, ending, isCancelled), undefined);
    const wrong: [Summary | undefined, Ending, RegExp][] = [
      [undefined, { outcome: 'placed' }, /told placed, and is not there/],
      [found('cancelled'), { outcome: 'placed' }, /told placed, and is cancelled/],
      [found('refused', 'none'), { outcome: 'placed' }, /told placed, and is refused/],
      [found('placed'), refused, /told refused, and is placed/],
      [found('refused', 'never stocked'), refused, /told refused, and is refused/],
    ];
    for (const [summary, ending, text] of wrong) assert.match(falsehood(summary, ending, false) ?? '', text);
  },
);

story.run();
