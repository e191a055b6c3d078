/**
 * The figures: what every order, stock and customer says of itself, read by queries once the lines are in.
 *
 * Queries of different entities are no snapshot of all of them, so figures are taken again until they agree.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster } from '../../runtime/index.ts';
import { type Counts, Customer, Intake, Order, Stock, type Summary, type Tally } from './contracts.ts';

export interface Figures {
  /** Orders that were asked for. */
  readonly orders: ReadonlyMap<string, Summary>;
  readonly stocks: ReadonlyMap<string, Counts>;
  readonly customers: ReadonlyMap<string, Tally>;
  readonly sourceCount: number;
}

const readsAtOnce = 256;
const betweenMs = 50;
/** Messages are on their way for milliseconds, also after a crash; figures that stand still for so long stay as they are. */
const patienceMs = 30_000;

async function takeFigures(cluster: Cluster): Promise<Figures> {
  const summaries = await readAll(cluster.list(Order.type), (key) => cluster.entity(Order, key).summary());
  const askedFor = [...summaries].filter(([, { status }]) => status !== 'unknown' && status !== 'withdrawn');
  const stocks = await readAll(cluster.list(Stock.type), (key) => cluster.entity(Stock, key).counts());
  const customers = await readAll(cluster.list(Customer.type), (key) => cluster.entity(Customer, key).tally());
  const sources = await readAll(cluster.list(Intake.type), async (key) => key);
  return { orders: new Map(askedFor), stocks, customers, sourceCount: sources.size };
}

async function readAll<Value>(
  keys: AsyncIterable<string>,
  read: (key: string) => Promise<Value>,
): Promise<Map<string, Value>> {
  const found = new Map<string, Value>();
  let group: string[] = [];
  const readGroup = async () => {
    const values = await Promise.all(group.map(async (key) => [key, await read(key)] as const));
    for (const [key, value] of values) found.set(key, value);
    group = [];
  };
  for await (const key of keys) {
    group.push(key);
    if (group.length === readsAtOnce) await readGroup();
  }
  await readGroup();
  return found;
}

/** Figures that are as they should be; or, when nothing moves any more, the figures as they are. */
export async function settledFigures(
  cluster: Cluster,
  options: {
    isRight: (figures: Figures) => boolean;
    resolved: (count: number, of: number) => void;
    signal: AbortSignal;
  },
): Promise<Figures> {
  let before = '';
  let changedMs = performance.now();
  for (;;) {
    options.signal.throwIfAborted();
    const figures = await takeFigures(cluster);
    const open = [...figures.orders.values()].filter(({ status }) => status === 'reserving').length;
    options.resolved(figures.orders.size - open, figures.orders.size);
    if (options.isRight(figures)) return figures;

    const now = JSON.stringify([open, [...figures.stocks], [...figures.customers]]);
    if (now !== before) changedMs = performance.now();
    else if (performance.now() - changedMs > patienceMs) return figures;
    before = now;
    await pause(betweenMs);
  }
}
