/**
 * The shop as an example for the runner: clients apply the lines that its queue delivers, and every number is compared at the end; and
 * what each order was told with what became of it.
 */
import { type Chance, whole, zipf } from '../../runtime/testing/chance.ts';
import type { Example, Findings, Given, Story } from '../runner/example.ts';
import { untilTold } from '../runner/told.ts';
import { type Ending, Intake, Stock, type Summary } from './contracts.ts';
import { customer } from './customer.ts';
import { type Figures, settledFigures } from './figures.ts';
import { linesOf, products } from './generate.ts';
import { apply, intake } from './intake.ts';
import { Ledger, type Line } from './lines.ts';
import { order } from './order.ts';
import { check, resultOf } from './report.ts';
import { stock } from './stock.ts';

/** What workers host. */
export const behaviours = [order, stock, customer, intake];

/** After so many lines the last products come. */
const lateLines = 2_000;

export const orders: Example = {
  name: 'orders',
  summary: 'orders of up to eight products, all or none, restocked and cancelled meanwhile',
  unit: 'lines',
  app: import.meta.url,
  behaviours,
  options: {},
  open: openShop,
};

async function openShop(given: Given): Promise<Story> {
  const source = `lines-${crypto.randomUUID().slice(0, 8)}`;
  await untilTold(() => given.cluster.entity(Intake, source).open());
  return new Shop(given);
}

class Shop implements Story {
  readonly #given: Given;
  readonly #lines: Generator<string, never>;
  readonly #ledger = new Ledger();
  /** What was told of each order, by the line that asked. */
  readonly #told = new Map<string, { readonly order: string; readonly ending: Ending }>();
  readonly #cancelled = new Set<string>();
  readonly #problems: string[] = [];
  readonly #product: () => number;
  readonly #chance: Chance;

  constructor(given: Given) {
    this.#given = given;
    this.#chance = given.chance;
    this.#lines = linesOf(whole(this.#chance, 1, 1_000_000), lateLines);
    this.#product = zipf(products.length, this.#chance);
  }

  async transact(): Promise<void> {
    const line = this.#next();
    if (line.kind === 'cancel') this.#cancelled.add(line.order);
    const ending = await untilTold(() => apply(this.#given.cluster, line), this.#given.signal);
    if (line.kind !== 'order') return;
    if (ending === undefined) throw new Error(`${line.order} was answered without an ending`);
    const before = this.#told.get(line.id);
    if (before !== undefined && JSON.stringify(before.ending) !== JSON.stringify(ending))
      this.#problems.push(`${line.id} was told ${before.ending.outcome}, then ${ending.outcome}`);
    this.#told.set(line.id, { order: line.order, ending });
  }

  #next(): Line {
    for (;;) {
      const parsed = this.#ledger.read(this.#lines.next().value);
      if ('line' in parsed) return parsed.line;
    }
  }

  anyAddress(): string {
    return `${Stock.type}/${products[this.#product()]}`;
  }

  async finish(): Promise<Findings> {
    const { cluster, signal } = this.#given;
    const isRight = (figures: Figures) =>
      check(figures, this.#ledger).every(({ violations }) => violations.length === 0);
    const figures = await settledFigures(cluster, { isRight, resolved: () => undefined, signal });
    const checks = check(figures, this.#ledger);
    const result = resultOf(figures, this.#ledger, checks);
    const wrong = checks.flatMap(({ rule, violations }) => violations.map((text) => `${rule}: ${text}`));
    const broken = [...figures.orders.values()].filter(isBroken).length;
    const told = [...this.#told.values()].flatMap(({ order: key, ending }) => {
      const text = falsehood(figures.orders.get(key), ending, this.#cancelled.has(key));
      return text === undefined ? [] : [`${key} ${text}`];
    });
    const { placed, refused, cancelled, repeated, malformed } = result;
    return {
      rows: [
        ['orders', result.orders],
        ['  placed', placed],
        ['  refused', refused],
        ['  cancelled', cancelled],
        ['lines repeated', repeated],
        ['broken, with notice', broken],
      ],
      facts: { orders: result.orders, placed, refused, cancelled, repeated, malformed, broken },
      anomalies: [...wrong, ...this.#problems, ...told],
    };
  }
}

/** What was told and is not so. Only a cancellation, or a stock that broke its word, changes later what was told. */
export function falsehood(
  found: Summary | undefined,
  { outcome, refusal }: Ending,
  isCancelled: boolean,
): string | undefined {
  const { status, refusal: reason } = found ?? {};
  if (status === outcome && JSON.stringify(reason) === JSON.stringify(refusal)) return undefined;
  if (outcome === 'placed' && ((status === 'cancelled' && isCancelled) || isBroken(found))) return undefined;
  return `was told ${outcome}, and is ${status ?? 'not there'}`;
}

function isBroken(found: Summary | undefined): boolean {
  return found?.status === 'refused' && found.refusal?.reason.startsWith('hold ') === true;
}
