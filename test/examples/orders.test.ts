/** The example's pure parts: lines, generator, report; and its behaviours, played without a cluster. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Counts, Summary } from '../../examples/orders/contracts.ts';
import type { Figures } from '../../examples/orders/figures.ts';
import { generate, products } from '../../examples/orders/generate.ts';
import { Ledger, type Parsed, parseLine } from '../../examples/orders/lines.ts';
import { check, render, resultOf } from '../../examples/orders/report.ts';
import { assert, suite } from '../support/suite.ts';

const orders = suite('orders');

const example = (name: string) => fileURLToPath(new URL(`../../examples/orders/${name}`, import.meta.url));
const malformed = (parsed: Parsed) =>
  'malformed' in parsed ? parsed.malformed : `read ${JSON.stringify(parsed.line)}`;

orders('a line is an order, a restock or a cancellation; unknown fields are left out', () => {
  const restock = { id: 'line-1', kind: 'restock', product: 'tea', units: 3 };
  assert.equal(parseLine(JSON.stringify({ ...restock, queue: 'eu' })), { line: restock });
  const cancel = { id: 'line-2', kind: 'cancel', order: 'order-1' };
  assert.equal(parseLine(`\uFEFF ${JSON.stringify(cancel)}\r`), { line: cancel });
  const order = {
    id: 'line-3',
    kind: 'order',
    order: 'order-1',
    customer: 'ann',
    lines: [{ product: 'tea', units: 1 }],
  };
  assert.equal(parseLine(JSON.stringify(order)), { line: order });
});

orders('a malformed line says what is wrong and where', () => {
  const reasons: [string, string][] = [
    ['{"id":"line-1"', 'not JSON'],
    ['[]', 'not a JSON object'],
    ['null', 'not a JSON object'],
    ['{"id":"1","kind":"refund"}', 'kind must be order, restock or cancel'],
    ['{"id":"1"}', 'kind is missing'],
    ['{"kind":"cancel","order":"order-1"}', 'id is missing'],
    ['{"id":"1","kind":"restock","product":"tea"}', 'units is missing'],
    ['{"id":"1","kind":"restock","product":"tea","units":-2}', 'units must be at least 1'],
    ['{"id":"1","kind":"restock","product":"tea","units":1.5}', 'units must be a whole number'],
    ['{"id":"1","kind":"restock","product":"tea","units":"2"}', 'units must be a number'],
    ['{"id":"1","kind":"restock","product":"","units":2}', 'product must not be empty'],
    ['{"id":"1","kind":"cancel","order":"\\ud800"}', 'order must be well-formed Unicode'],
    ['{"id":"1","kind":"order","order":"1","customer":"ann","lines":[]}', 'lines must have at least 1 line'],
    ['{"id":"1","kind":"order","order":"1","customer":"ann","lines":[{"product":"tea"}]}', 'lines.0.units is missing'],
    [
      '{"id":"1","kind":"order","order":"1","customer":"ann","lines":[{"product":"tea","units":1},{"product":"tea","units":2}]}',
      'lines must name each product once',
    ],
  ];
  for (const [text, reason] of reasons) assert.is(malformed(parseLine(text)), reason, text);
});

orders('the ledger counts each id once, and each order once', () => {
  const ledger = new Ledger();
  const restock = '{"id":"1","kind":"restock","product":"tea","units":3}';
  const order = (id: string) =>
    `{"id":"${id}","kind":"order","order":"o","customer":"c","lines":[{"product":"tea","units":1}]}`;
  for (const text of [restock, order('2'), restock, order('3'), 'x']) ledger.read(text);
  assert.equal([ledger.lines, ledger.repeated, ledger.malformed], [5, 1, 1]);
  assert.equal([...ledger.restocked], [['tea', 3]]);
  assert.equal([...ledger.orders], ['o']);
});

orders('an id that comes back with another request is malformed, and counts for nothing', () => {
  const ledger = new Ledger();
  ledger.read('{"id":"1","kind":"restock","product":"tea","units":3}');
  assert.match(malformed(ledger.read('{"id":"1","kind":"restock","product":"tea","units":4}')), /used before/);
  assert.equal([...ledger.restocked], [['tea', 3]]);
  assert.is(ledger.malformed, 1);
});

orders('the committed lines are what the generator writes, below 2 MB', () => {
  const committed = readFileSync(example('lines.jsonl'), 'utf8');
  assert.ok(`${generate(1, 5000).join('\n')}\n` === committed, 'run the command in the head of generate.ts');
  assert.ok(committed.length < 2_000_000);
});

orders('the generator writes every kind of line: repeated, overtaken, malformed, hot', () => {
  const texts = generate(7, 3000);
  assert.equal(generate(7, 3000), texts);
  assert.not.equal(generate(8, 3000), texts);
  const ledger = new Ledger();
  const parsed = texts.map((text) => ledger.read(text));
  assert.ok(ledger.repeated > 50 && ledger.malformed > 5 && ledger.orders.size > 1000);
  const lines = parsed.flatMap((each) => ('line' in each ? [each.line] : []));
  const firstOf = (order: string) => lines.findIndex((line) => line.kind === 'order' && line.order === order);
  const overtaken = lines.filter((line, at) => line.kind === 'cancel' && firstOf(line.order) > at);
  assert.ok(overtaken.length > 10);
  const bought = lines.flatMap((line) => (line.kind === 'order' ? line.lines.map(({ product }) => product) : []));
  const timesBought = (product: string | undefined) => bought.filter((each) => each === product).length;
  assert.ok(timesBought(products[0]) > 20 * timesBought(products.at(-1)));
});

const summary = (part: Partial<Summary>): Summary => ({
  status: 'placed',
  customer: 'ann',
  lines: [{ product: 'tea', units: 2 }],
  ...part,
});
const tea: Counts = { restocked: 5, free: 3, held: 0, sold: 2 };

function shop(part: Partial<Figures> = {}): Figures {
  return {
    orders: new Map([['1', summary({})]]),
    stocks: new Map([['tea', tea]]),
    customers: new Map([['ann', { placed: 1, refused: 0, cancelled: 0 }]]),
    sourceCount: 1,
    ...part,
  };
}

function asked(): Ledger {
  const ledger = new Ledger();
  ledger.read('{"id":"1","kind":"restock","product":"tea","units":5}');
  ledger.read('{"id":"2","kind":"order","order":"1","customer":"ann","lines":[{"product":"tea","units":2}]}');
  return ledger;
}

const violations = (figures: Figures) => check(figures, asked()).flatMap((each) => each.violations);

orders('figures that agree break no equality', () => {
  assert.equal(violations(shop()), []);
  const result = resultOf(shop(), asked(), check(shop(), asked()));
  const { conserved, orders: count, placed, restocked } = result;
  assert.equal({ conserved, count, placed, restocked }, { conserved: true, count: 1, placed: 1, restocked: 5 });
  assert.match(render(shop(), result, check(shop(), asked())), /tea +5 +3 +0 +2/);
});

orders('each equality that does not hold is found', () => {
  const broken: [Partial<Figures>, RegExp][] = [
    [{ orders: new Map() }, /1 was asked for and is not there/],
    [
      {
        orders: new Map([
          ['1', summary({})],
          ['2', summary({ lines: [] })],
        ]),
      },
      /2 is there and was not asked for/,
    ],
    [{ orders: new Map([['1', summary({ status: 'reserving' })]]) }, /1 is still open/],
    [{ stocks: new Map([['tea', { ...tea, restocked: 6, free: 4 }]]) }, /tea: 6 instead of 5/],
    [{ stocks: new Map([['tea', { ...tea, free: 2 }]]) }, /tea: 5 restocked, but 2 free/],
    [{ stocks: new Map([['tea', { ...tea, free: 2, held: 1 }]]) }, /tea: 1 instead of 0/],
    [{ stocks: new Map([['tea', { ...tea, free: 4, sold: 1 }]]) }, /tea: 1 instead of 2/],
    [{ customers: new Map() }, /placed orders of ann: 0 instead of 1/],
  ];
  for (const [part, text] of broken) assert.match(violations(shop(part)).join('\n'), text);
});

orders('after other deliveries there may be more than these lines ask for, never less', () => {
  const more = { restocked: 9, free: 7, held: 0, sold: 2 };
  assert.equal(violations(shop({ stocks: new Map([['tea', more]]), sourceCount: 2 })), []);
  const less = { restocked: 4, free: 2, held: 0, sold: 2 };
  assert.equal(violations(shop({ stocks: new Map([['tea', less]]), sourceCount: 2 })), ['tea: 4 instead of 5']);
});

orders.run();
