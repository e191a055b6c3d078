/** Agreements on whole clusters, and the example of docs/agreements.md. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { embed } from '../../runtime/embed.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { Order, order, Stock, stock } from '../support/agreement-shop.ts';
import { assert, suite } from '../support/suite.ts';
import { root } from '../support/tree.ts';

const test = suite('agreements on a cluster');
const environment = machineEnvironment(silentLog);

/** What a meter is told. */
class Told extends Map<string, number> {
  count(name: string, by: number): void {
    this.set(name, (this.get(name) ?? 0) + by);
  }
}

const line = (key: string, units: number) => ({ key, input: { units } });

test('the page quotes the example that runs here', async () => {
  const [page, example] = await Promise.all(
    ['docs/agreements.md', 'test/support/agreement-shop.ts'].map((path) => readFile(join(root, path), 'utf8')),
  );
  const code = (example ?? '').split('// ---- the example\n')[1] ?? '';
  assert.ok(code.length > 1_000 && page?.includes(`\n${code}\`\`\``));
});

for (const workers of [1, 3])
  test(`P13: three reservations or none, and the caller hears which; ${workers} workers`, async () => {
    const meter = new Told();
    const cluster = await embed({
      behaviours: [order, stock],
      store: 'memory',
      environment: { ...environment, meter },
      workers,
      limits: { trimIdleMs: 20 },
    });
    try {
      const keys = ['tea', 'mug', 'purse'];
      for (const key of keys) await cluster.entity(Stock, key).receive({ units: 3 });
      const free = () => Promise.all(keys.map((key) => cluster.entity(Stock, key).free()));
      const place = (key: string, tea: number) =>
        cluster.entity(Order, key).place({ payer: line('purse', 1), lines: [line('tea', tea), line('mug', 2)] });
      assert.is(await place('1', 2), 'placed');
      assert.equal(await free(), [1, 1, 2]);
      assert.is(await place('2', 1), 'declined');
      // Who has accepted hears 'cancel', and nothing is held at the end.
      for (let tries = 0; tries < 200 && (await free()).join() !== '1,1,2'; tries++)
        await new Promise((resolve) => environment.after(10, () => resolve(undefined)));
      assert.equal(await free(), [1, 1, 2]);
      for (const [key, status] of [
        ['1', 'placed, settled'],
        ['2', 'declined, settled'],
      ] as const) {
        const settled = async () => (await cluster.entity(Order, key).status()) === status;
        for (let tries = 0; tries < 200 && !(await settled()); tries++)
          await new Promise((resolve) => environment.after(10, () => resolve(undefined)));
        assert.is(await cluster.entity(Order, key).status(), status);
      }
      const counted = [...meter].filter(([name]) => name.startsWith('agreements-')).sort();
      assert.equal(counted, [
        ['agreements-cancelled-declined', 1],
        ['agreements-confirmed', 1],
        ['agreements-opened', 2],
        ['agreements-settled', 2],
      ]);
    } finally {
      await cluster.close();
    }
  });

test.run();
