/**
 * The report: which equalities must hold between what the lines asked for and what the entities say, whether they do,
 * and the table that shows it. Pure.
 */
import type { Counts, Outcome, Summary, Tally } from './contracts.ts';
import type { Figures } from './figures.ts';
import type { Ledger } from './lines.ts';

/** One equality, and each case in which it does not hold. */
export interface Check {
  readonly rule: string;
  readonly violations: readonly string[];
}

const conservation = 'restocked = free + held + sold, for each product';
const outcomes: readonly Outcome[] = ['placed', 'refused', 'cancelled'];

export function check(figures: Figures, ledger: Ledger): Check[] {
  const { orders, stocks, customers } = figures;
  // Other deliveries than the present one may have come before: then there may be more than its lines ask for, not less.
  const isOnlySource = figures.sourceCount === 1;
  const differs = (found: number, asked: number) => (isOnlySource ? found !== asked : found < asked);
  const exactly = isOnlySource ? 'exactly' : 'at least';
  const open = [...orders].filter(([, { status }]) => status === 'reserving');
  const heard = outcomes.flatMap((outcome) =>
    compare(countOf(customers, outcome), endedOf(orders, outcome)).map((text) => `${outcome} orders of ${text}`),
  );
  return [
    {
      rule: `orders: ${exactly} those that the lines ask for`,
      violations: orderViolations(orders, ledger.orders, isOnlySource),
    },
    {
      rule: `restocked: ${exactly} the units that the lines bring`,
      violations: compare(countOf(stocks, 'restocked'), ledger.restocked, differs),
    },
    { rule: 'placed + refused + cancelled = orders', violations: open.map(([key]) => `${key} is still open`) },
    { rule: conservation, violations: conservationViolations(stocks) },
    { rule: 'nothing is held any more', violations: compare(countOf(stocks, 'held'), new Map()) },
    {
      rule: 'sold = what the placed orders bought, for each product',
      violations: compare(countOf(stocks, 'sold'), boughtOf(orders)),
    },
    { rule: 'each customer heard once how each of its orders ended', violations: heard },
  ];
}

function orderViolations(orders: Figures['orders'], asked: ReadonlySet<string>, isOnlySource: boolean): string[] {
  const lost = [...asked].filter((key) => !orders.has(key)).map((key) => `${key} was asked for and is not there`);
  const invented = [...orders.keys()]
    .filter((key) => isOnlySource && !asked.has(key))
    .map((key) => `${key} is there and was not asked for`);
  return [...lost, ...invented];
}

type Numbers = ReadonlyMap<string, number>;

function compare(found: Numbers, expected: Numbers, differs = (one: number, other: number) => one !== other): string[] {
  const keys = [...new Set([...found.keys(), ...expected.keys()])];
  const pairs = keys.map((key) => ({ key, is: found.get(key) ?? 0, shouldBe: expected.get(key) ?? 0 }));
  return pairs
    .filter(({ is, shouldBe }) => differs(is, shouldBe))
    .map(({ key, is, shouldBe }) => `${key}: ${is} instead of ${shouldBe}`);
}

function countOf<Name extends string>(
  figures: ReadonlyMap<string, Readonly<Record<Name, number>>>,
  name: Name,
): Numbers {
  return new Map([...figures].map(([key, counts]) => [key, counts[name]]));
}

function conservationViolations(stocks: Figures['stocks']): string[] {
  const isBroken = ({ restocked, free, held, sold }: Counts) =>
    restocked !== free + held + sold || Math.min(free, held, sold) < 0;
  return [...stocks]
    .filter(([, counts]) => isBroken(counts))
    .map(
      ([key, { restocked, free, held, sold }]) =>
        `${key}: ${restocked} restocked, but ${free} free, ${held} held, ${sold} sold`,
    );
}

function boughtOf(orders: Figures['orders']): Numbers {
  const bought = new Map<string, number>();
  for (const { status, lines } of orders.values()) {
    if (status !== 'placed') continue;
    for (const { product, units } of lines) bought.set(product, (bought.get(product) ?? 0) + units);
  }
  return bought;
}

function endedOf(orders: Figures['orders'], outcome: Outcome): Numbers {
  const ended = new Map<string, number>();
  for (const { status, customer } of orders.values())
    if (status === outcome) ended.set(customer, (ended.get(customer) ?? 0) + 1);
  return ended;
}

/** The last line of output, for machines. */
export interface Result extends Tally, Counts {
  readonly orders: number;
  readonly conserved: boolean;
  readonly violations: number;
  readonly lines: number;
  readonly malformed: number;
  readonly repeated: number;
}

export function resultOf(figures: Figures, ledger: Ledger, checks: readonly Check[]): Result {
  const count = (status: Summary['status']) =>
    [...figures.orders.values()].filter((order) => order.status === status).length;
  return {
    orders: figures.orders.size,
    placed: count('placed'),
    refused: count('refused'),
    cancelled: count('cancelled'),
    ...sumOf([...figures.stocks.values()]),
    conserved: checks.every(({ rule, violations }) => rule !== conservation || violations.length === 0),
    violations: checks.reduce((sum, { violations }) => sum + violations.length, 0),
    lines: ledger.lines,
    malformed: ledger.malformed,
    repeated: ledger.repeated,
  };
}

function sumOf(counts: readonly Counts[]): Counts {
  const sum = { restocked: 0, free: 0, held: 0, sold: 0 };
  for (const { restocked, free, held, sold } of counts) {
    sum.restocked += restocked;
    sum.free += free;
    sum.held += held;
    sum.sold += sold;
  }
  return sum;
}

const productsShown = 12;
const stocksShown = 5;
const violationsShown = 5;

export function render(figures: Figures, result: Result, checks: readonly Check[]): string {
  const bySold = [...figures.stocks].sort(([, one], [, other]) => other.sold - one.sold);
  const shown = bySold.slice(0, productsShown);
  const others = bySold.slice(productsShown);
  const row = (name: string, { restocked, free, held, sold }: Counts) => [
    name,
    ...[restocked, free, held, sold].map(grouped),
  ];
  return [
    table([
      ['orders', ''],
      ['  placed', grouped(result.placed)],
      ['  refused', grouped(result.refused)],
      ...refusals(figures.orders),
      ['  cancelled', grouped(result.cancelled)],
      ['  in all', grouped(result.orders)],
    ]),
    table([
      ['units', 'restocked', 'free', 'held', 'sold'],
      ...shown.map(([product, counts]) => row(`  ${product}`, counts)),
      ...(others.length > 0
        ? [row(`  ${others.length} other products`, sumOf(others.map(([, counts]) => counts)))]
        : []),
      row('  in all', result),
    ]),
    `lines: ${grouped(result.lines)}, of which ${grouped(result.repeated)} repeated, ${grouped(result.malformed)} malformed`,
    checks.map(renderCheck).join('\n'),
  ].join('\n\n');
}

/** Reasons, most frequent first, and under each the stocks that gave it most often. */
function refusals(orders: Figures['orders']): string[][] {
  const refused = [...orders.values()].flatMap(({ status, refusal }) =>
    status === 'refused' && refusal !== undefined ? [refusal] : [],
  );
  return countEach(refused.map(({ reason }) => reason)).flatMap(([reason, count]) => {
    const stocks = countEach(refused.filter((refusal) => refusal.reason === reason).map(({ by }) => by));
    const rows = stocks.slice(0, stocksShown).map(([stock, each]) => [`      ${stock}`, grouped(each)]);
    return [[`    ${reason}`, grouped(count)], ...rows];
  });
}

/** How often each occurs, most frequent first. */
function countEach(texts: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].sort(([, one], [, other]) => other - one);
}

function renderCheck({ rule, violations }: Check): string {
  if (violations.length === 0) return `ok      ${rule}`;
  const lines = violations.slice(0, violationsShown).map((text) => `        ${text}`);
  if (violations.length > violationsShown) lines.push(`        and ${violations.length - violationsShown} more`);
  return [`BROKEN  ${rule}`, ...lines].join('\n');
}

function table(rows: readonly (readonly string[])[]): string {
  const columnCount = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columnCount }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(2 + (widths[column] ?? 0))))
      .join('');
  return rows.map(line).join('\n');
}

function grouped(count: number): string {
  return count.toLocaleString('en');
}
