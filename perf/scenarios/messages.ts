/** Messages between entities: one turn with a hundred messages, and an order that reserves from stocks and confirms. */
import { Listener, Order, Spreader, Stock } from '../entities.ts';
import { judge } from '../load/journal.ts';
import { drive } from '../load/load.ts';
import { callers, keyName, type Scenario, type Stand } from '../scenario.ts';
import { Pace } from './pace.ts';

const messagesATurn = 100;
const text = 'x'.repeat(32);

/** Different stocks, unless there are too few. */
function picked({ pick, work }: Stand, count: number): number[] {
  const numbers = new Set<number>();
  while (numbers.size < Math.min(count, work.keys)) numbers.add(pick());
  return [...numbers];
}

function spread(stand: Stand) {
  const { work, load, journal } = stand;
  const spreaders = Array.from({ length: load.lanes }, (_, lane) =>
    stand.post.entity(Spreader, keyName(work, `${work.step}-${load.index}-${lane}`)),
  );
  const expected = spreaders.map(() => 0);
  const pace = new Pace();
  const told: string[][] = [];
  return drive(
    async (lane) => {
      const { index } = lane;
      const spreader = spreaders[index];
      if (spreader === undefined) throw new Error('a lane without its spreader');
      const to = picked(stand, messagesATurn).map((key) => keyName(work, key));
      told[index] = to;
      lane.weight = to.length;
      await spreader.spread({ to, text });
      const all = (expected[index] ?? 0) + to.length;
      expected[index] = all;
      await pace.until(async () => (await spreader.heard()) >= all);
    },
    load,
    {
      ended: ({ index }) => {
        for (const key of told[index] ?? []) journal.acked(key);
      },
      failed: ({ index }, error) => {
        for (const key of told[index] ?? []) journal.failed(key, error);
      },
    },
  );
}

export const fanout: Scenario = {
  name: 'fanout',
  summary: `a turn that sends ${messagesATurn} messages, until all of them are answered`,
  unit: 'messages',
  hasOtherUnit: true,
  isDurable: true,
  defaults: { concurrency: 16, warmupMs: 5_000 },
  steps: () => [{ name: 'fanout' }],
  run: spread,
  check: (stand, entries) => judge(entries, (key) => stand.post.entity(Listener, key).count()),
};

function placeOrders(stand: Stand) {
  const { work, load, journal } = stand;
  const pace = new Pace();
  const asked: string[][] = [];
  let count = 0;
  return drive(
    async ({ index }) => {
      const stocks = picked(stand, 3).map((key) => keyName(work, key));
      asked[index] = stocks;
      const order = stand.post.entity(Order, keyName(work, `${work.step}-${load.index}-${count++}`));
      await order.place({ stocks });
      await pace.until(async () => (await order.status()) === 'placed');
    },
    load,
    {
      ended: ({ index }) => {
        for (const key of asked[index] ?? []) journal.acked(key);
      },
      failed: ({ index }, error) => {
        for (const key of asked[index] ?? []) journal.failed(key, error);
      },
    },
  );
}

export const reserve: Scenario = {
  name: 'reserve',
  summary: 'an order that reserves from three stocks and confirms, until it is placed',
  unit: 'orders',
  hasOtherUnit: true,
  isDurable: true,
  // The cost of an order includes the end of its streams, which are closed after ten seconds.
  defaults: { keys: 1_000, concurrency: 256, warmupMs: 20_000 },
  steps: () => [{ name: 'reserve' }],
  prepare: async (stand) => {
    // The initial content of stocks is in their contract. One query puts them in memory, as in an open shop.
    const of = callers(stand, Stock);
    await Promise.all(Array.from({ length: stand.work.keys }, (_, key) => of(key).sold()));
  },
  run: placeOrders,
  check: (stand, entries) => judge(entries, (key) => stand.post.entity(Stock, key).sold()),
};
