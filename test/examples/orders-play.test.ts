/** The example's behaviours, played without a cluster: one by one, then a small shop in every order of messages. */
import { isSkerryError } from '../../core/index.ts';
import { Order, Stock } from '../../examples/orders/contracts.ts';
import { customer } from '../../examples/orders/customer.ts';
import { type Chance, chanceOf } from '../../examples/orders/generate.ts';
import { order } from '../../examples/orders/order.ts';
import { stock } from '../../examples/orders/stock.ts';
import { type Play, type PlayedAnswer, type PlayedHold, play, type SentMessage } from '../../runtime/testing/index.ts';
import { assert, suite } from '../support/suite.ts';

const played = suite('orders, played');

const lines = [
  { product: 'tea', units: 2 },
  { product: 'mug', units: 1 },
];

/** An order for tea and a mug, that has asked both stocks. */
function placedOrder() {
  const one = play(order, 'one');
  one.ask.place({ customer: 'ann', lines });
  const asked = one.takeSent();
  assert.equal(told(asked), ['stock/tea reserve {"units":2}', 'stock/mug reserve {"units":1}']);
  const holds = new Map(asked.map(({ to, hold }) => [to, hold!]));
  const hear = (product: string, status: 'accepted' | 'confirmed' | 'cancelled' | 'lapsed') =>
    one.answer(Stock, product, 'reserve', { status, hold: holds.get(`stock/${product}`)! });
  const refuse = (product: string) =>
    one.answer(Stock, product, 'reserve', { status: 'refused', reason: 'none', hold: holds.get(`stock/${product}`)! });
  return { one, hear, refuse, heard: () => told(one.takeSent()) };
}

function told(sent: readonly SentMessage[]): string[] {
  const verb = ({ kind, operation }: SentMessage) => (kind === 'operation' ? operation : kind);
  return sent.map(
    (each) => `${each.to} ${verb(each)}${each.input === undefined ? '' : ` ${JSON.stringify(each.input)}`}`,
  );
}

played('an order confirms when all stocks hold, is placed when all have sold, and tells its customer once', () => {
  const { one, hear, heard } = placedOrder();
  hear('tea', 'accepted');
  assert.equal(heard(), []);
  hear('mug', 'accepted');
  assert.equal(heard(), ['stock/tea confirm', 'stock/mug confirm']);
  hear('mug', 'confirmed');
  assert.is(one.ask.summary().status, 'reserving');
  hear('tea', 'confirmed');
  assert.is(one.ask.summary().status, 'placed');
  assert.equal(heard(), ['customer/ann orderEnded {"outcome":"placed"}']);
});

played('one stock refuses: the order is refused and lets go of the others, also of one that accepts later', () => {
  for (const isFirst of [true, false]) {
    const { one, hear, refuse, heard } = placedOrder();
    if (isFirst) hear('tea', 'accepted');
    refuse('mug');
    assert.equal(one.state.refusal, { by: 'stock/mug', reason: 'none' });
    if (!isFirst) hear('tea', 'accepted');
    assert.equal(heard(), ['customer/ann orderEnded {"outcome":"refused"}', 'stock/tea cancel']);
    hear('tea', 'cancelled');
    assert.equal(heard(), []);
    assert.is(one.ask.summary().status, 'refused');
  }
});

played('a hold that lapses after the decision: the order is refused, and what others sold is taken back', () => {
  const { one, hear, heard } = placedOrder();
  for (const product of ['tea', 'mug']) hear(product, 'accepted');
  hear('tea', 'confirmed');
  heard();
  hear('mug', 'lapsed');
  assert.equal(one.state.refusal, { by: 'stock/mug', reason: 'hold lapsed' });
  assert.equal(heard(), ['customer/ann orderEnded {"outcome":"refused"}', 'stock/tea takeBack {"units":2}']);
});

played('a cancellation before the decision, during it, and after it', () => {
  const before = placedOrder();
  before.hear('tea', 'accepted');
  before.one.ask.cancel();
  assert.equal(before.heard(), ['customer/ann orderEnded {"outcome":"cancelled"}', 'stock/tea cancel']);

  const during = placedOrder();
  for (const product of ['tea', 'mug']) during.hear(product, 'accepted');
  during.one.ask.cancel();
  during.heard();
  for (const product of ['tea', 'mug']) during.hear(product, 'confirmed');
  assert.equal(during.heard(), ['stock/tea takeBack {"units":2}', 'stock/mug takeBack {"units":1}']);

  const after = placedOrder();
  for (const product of ['tea', 'mug']) after.hear(product, 'accepted');
  for (const product of ['tea', 'mug']) after.hear(product, 'confirmed');
  after.heard();
  after.one.ask.cancel();
  after.one.ask.cancel();
  assert.equal(after.heard(), [
    'customer/ann orderEnded {"outcome":"cancelled"}',
    'stock/tea takeBack {"units":2}',
    'stock/mug takeBack {"units":1}',
  ]);
});

played('an order that its cancellation has overtaken asks no stock; one that never comes is none', () => {
  const one = play(order, 'one');
  one.ask.cancel();
  assert.is(one.ask.summary().status, 'withdrawn');
  assert.equal(one.takeSent(), []);
  one.ask.place({ customer: 'ann', lines });
  one.ask.place({ customer: 'bob', lines });
  assert.is(one.ask.summary().status, 'cancelled');
  assert.equal(told(one.takeSent()), ['customer/ann orderEnded {"outcome":"cancelled"}']);
});

played('a stock: units move between free, held and sold; it refuses what it does not have', () => {
  const tea = play(stock, 'tea');
  assert.throws(() => tea.ask.reserve({ units: 1 }), /never stocked/);
  tea.ask.restock({ units: 10 });
  assert.throws(() => tea.ask.reserve({ units: 11 }), /not enough units/);
  tea.ask.reserve({ units: 5 }).confirm();
  tea.ask.reserve({ units: 4 }).cancel();
  tea.ask.reserve({ units: 3 });
  assert.equal(tea.ask.counts(), { restocked: 10, free: 2, held: 3, sold: 5 });
  tea.advance(60_000);
  tea.ask.takeBack({ units: 1 });
  assert.throws(() => tea.ask.takeBack({ units: 5 }), /more than was sold/);
  assert.equal(tea.ask.counts(), { restocked: 10, free: 6, held: 0, sold: 4 });
});

played('a customer counts each order once, as what it ended as', () => {
  const ann = play(customer, 'ann');
  ann.askFrom(Order, 'one').orderEnded({ outcome: 'placed' });
  ann.askFrom(Order, 'two').orderEnded({ outcome: 'refused' });
  ann.askFrom(Order, 'one').orderEnded({ outcome: 'cancelled' });
  assert.throws(() => ann.ask.orderEnded({ outcome: 'placed' }), /only an order/);
  assert.equal(ann.ask.tally(), { placed: 0, refused: 1, cancelled: 1 });
});

/** Orders, stocks and a customer on one stage: messages of a pair in order, all else by chance; holds may lapse. */
class Shop {
  readonly stocks = new Map(['tea', 'mug', 'jug'].map((product) => [product, play(stock, product)]));
  readonly orders = new Map(['one', 'two', 'three', 'four'].map((key) => [key, play(order, key)]));
  readonly ann = play(customer, 'ann');
  readonly #chance: Chance;
  readonly #streams = new Map<string, (() => void)[]>();
  readonly #holds = new Map<string, PlayedHold<void>>();

  constructor(chance: Chance) {
    this.#chance = chance;
    for (const one of this.stocks.values()) one.ask.restock({ units: 4 });
  }

  pick(count: number): number {
    return Math.floor(this.#chance() * count);
  }

  /** Have something asked at some moment. */
  later(name: string, run: () => void): void {
    const stream = this.#streams.get(name) ?? [];
    stream.push(run);
    this.#streams.set(name, stream);
  }

  run(): void {
    for (let open = this.#open(); open.length > 0; open = this.#open()) {
      open[this.pick(open.length)]?.shift()?.();
      if (this.pick(40) === 0) for (const one of this.stocks.values()) one.advance(30_000);
      for (const [key, one] of this.orders) for (const message of one.takeSent()) this.#send(key, one, message);
    }
    for (const one of this.stocks.values()) one.advance(60_000);
  }

  #open(): (() => void)[][] {
    return [...this.#streams.values()].filter((stream) => stream.length > 0);
  }

  #send(key: string, sender: Play<typeof Order>, message: SentMessage): void {
    this.later(`${key} to ${message.to}`, () => {
      if (message.to === 'customer/ann')
        return this.ann.askFrom(Order, key).orderEnded(message.input as { outcome: 'placed' });
      const product = message.to.slice('stock/'.length);
      const answer = this.#ask(this.stocks.get(product)!.askFrom(Order, key), message);
      if (answer !== undefined)
        this.later(`${message.to} to ${key}`, () => sender.answer(Stock, product, 'reserve', answer));
    });
  }

  #ask(asked: Play<typeof Stock>['ask'], { kind, operation, input, hold }: SentMessage): PlayedAnswer | undefined {
    if (operation === 'takeBack') asked.takeBack(input as { units: number });
    if (hold === undefined) return undefined;
    try {
      if (kind === 'operation') this.#holds.set(hold.id, asked.reserve(input as { units: number }));
      else this.#holds.get(hold.id)?.[kind === 'confirm' ? 'confirm' : 'cancel']();
      return { status: kind === 'operation' ? 'accepted' : kind === 'confirm' ? 'confirmed' : 'cancelled', hold };
    } catch (error) {
      if (isSkerryError(error, 'refused')) return { status: 'refused', reason: error.message, hold };
      if (isSkerryError(error, 'lapsed')) return { status: 'lapsed', hold };
      throw error;
    }
  }
}

function check(shop: Shop): string[] {
  const orders = [...shop.orders.values()].map((one) => one.state);
  for (const [product, one] of shop.stocks) {
    const { restocked, free, held, sold } = one.state;
    assert.equal([restocked, held, free + sold], [4, 0, 4]);
    const bought = orders.filter(({ status }) => status === 'placed').flatMap((placed) => placed.lines);
    assert.is(
      bought.reduce((sum, line) => sum + (line.product === product ? line.units : 0), 0),
      sold,
    );
  }
  const tally = { placed: 0, refused: 0, cancelled: 0 };
  for (const { status } of orders) if (status in tally) tally[status as keyof typeof tally] += 1;
  assert.is(tally.placed + tally.refused + tally.cancelled, orders.length);
  assert.equal(shop.ann.state, tally);
  return orders.map(({ status, refusal }) => refusal?.reason ?? status);
}

played('whatever the order of messages, and whichever holds lapse: each order ends once, no unit is lost', () => {
  const ends = new Set<string>();
  for (let seed = 1; seed <= 300; seed += 1) {
    const shop = new Shop(chanceOf(seed));
    for (const [key, one] of shop.orders) {
      const wanted = [...shop.stocks.keys()].map((product) => ({ product, units: 1 + shop.pick(3) }));
      shop.later(`lines of ${key}`, () => one.ask.place({ customer: 'ann', lines: wanted.slice(shop.pick(3)) }));
      if (shop.pick(3) === 0) shop.later(`cancellation of ${key}`, () => one.ask.cancel());
    }
    shop.run();
    for (const end of check(shop)) ends.add(end);
  }
  assert.equal([...ends].sort(), ['cancelled', 'hold lapsed', 'not enough units', 'placed']);
});

played.run();
