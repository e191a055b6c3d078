/** The example's behaviours, played without a cluster: one by one, then a small shop in every order of messages. */
import { isSkerryError } from '../../core/index.ts';
import { Order, Stock } from '../../examples/orders/contracts.ts';
import { customer } from '../../examples/orders/customer.ts';
import { order } from '../../examples/orders/order.ts';
import { stock } from '../../examples/orders/stock.ts';
import { type Chance, chanceOf } from '../../runtime/testing/chance.ts';
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
  const call = one.askLater.place({ customer: 'ann', lines });
  const asked = one.takeSent();
  assert.equal(told(asked), ['stock/tea reserve {"units":2}', 'stock/mug reserve {"units":1}']);
  const holds = new Map(asked.map(({ to, hold }) => [to, hold!]));
  const hear = (product: string, status: 'accepted' | 'confirmed' | 'lapsed') =>
    one.answer(Stock, product, 'reserve', { status, hold: holds.get(`stock/${product}`)! });
  const refuse = (product: string) =>
    one.answer(Stock, product, 'reserve', { status: 'refused', reason: 'none', hold: holds.get(`stock/${product}`)! });
  const answer = () => (call.answer?.status === 'done' ? call.answer.output : undefined);
  return { one, hear, refuse, answer, heard: () => told(one.takeSent()) };
}

function told(sent: readonly SentMessage[]): string[] {
  const verb = ({ kind, operation }: SentMessage) => (kind === 'operation' ? operation : kind);
  return sent.map(
    (each) => `${each.to} ${verb(each)}${each.input === undefined ? '' : ` ${JSON.stringify(each.input)}`}`,
  );
}

played('an order is placed in the turn that hears its last stock accept: stocks, customer and caller are told', () => {
  const { one, hear, heard, answer } = placedOrder();
  hear('tea', 'accepted');
  assert.equal([heard(), answer()], [[], undefined]);
  hear('mug', 'accepted');
  assert.equal(heard(), ['stock/tea confirm', 'stock/mug confirm', 'customer/ann orderEnded {"outcome":"placed"}']);
  assert.equal(answer(), { outcome: 'placed' });
  assert.is(one.ask.summary().status, 'placed');
  // Who asks again for an order that has ended is told how.
  assert.is(one.ask.place({ customer: 'bob', lines }).outcome, 'placed');
  assert.equal(heard(), []);
});

played('one stock refuses: the order is refused and lets go of the others, also of one that accepts later', () => {
  for (const isFirst of [true, false]) {
    const { one, hear, refuse, heard, answer } = placedOrder();
    if (isFirst) hear('tea', 'accepted');
    refuse('mug');
    assert.equal(answer(), { outcome: 'refused', refusal: { by: 'stock/mug', reason: 'none' } });
    assert.equal(heard(), ['stock/tea cancel', 'customer/ann orderEnded {"outcome":"refused"}']);
    if (!isFirst) hear('tea', 'accepted');
    assert.equal(heard(), []);
    assert.is(one.ask.summary().status, 'refused');
  }
});

played('stocks that do not answer in time: the order is refused by nobody, at the deadline', () => {
  const { one, hear, answer } = placedOrder();
  hear('tea', 'accepted');
  one.advance(9_999);
  assert.is(answer(), undefined);
  one.advance(1);
  assert.equal(answer(), { outcome: 'refused', refusal: { by: 'nobody', reason: 'deadline' } });
});

played(
  'a hold that had lapsed when the word came: the order is refused after all, and what others sold goes back',
  () => {
    const { one, hear, heard } = placedOrder();
    for (const product of ['tea', 'mug']) hear(product, 'accepted');
    heard();
    hear('mug', 'lapsed');
    assert.equal(one.state.refusal, { by: 'stock/mug', reason: 'hold lapsed' });
    assert.equal(heard(), [
      'stock/tea takeBack',
      'stock/mug takeBack',
      'customer/ann orderEnded {"outcome":"refused"}',
    ]);
  },
);

played('a cancellation before the decision, and after it', () => {
  const before = placedOrder();
  before.hear('tea', 'accepted');
  before.one.ask.cancel();
  assert.equal(before.heard(), [
    'stock/tea cancel',
    'stock/mug cancel',
    'customer/ann orderEnded {"outcome":"cancelled"}',
  ]);
  assert.equal(before.answer(), { outcome: 'cancelled' });

  const after = placedOrder();
  for (const product of ['tea', 'mug']) after.hear(product, 'accepted');
  after.heard();
  after.one.ask.cancel();
  after.one.ask.cancel();
  assert.equal(after.heard(), [
    'stock/tea takeBack',
    'stock/mug takeBack',
    'customer/ann orderEnded {"outcome":"cancelled"}',
  ]);
});

played('an order that its cancellation has overtaken asks no stock; one that never comes is none', () => {
  const one = play(order, 'one');
  one.ask.cancel();
  assert.is(one.ask.summary().status, 'withdrawn');
  assert.equal(one.takeSent(), []);
  assert.equal(one.ask.place({ customer: 'ann', lines }), { outcome: 'cancelled' });
  one.ask.place({ customer: 'bob', lines });
  assert.is(one.ask.summary().status, 'cancelled');
  assert.equal(told(one.takeSent()), ['customer/ann orderEnded {"outcome":"cancelled"}']);
});

played('who asks for an order that is being reserved waits with the first, and hears the same', () => {
  const { one, hear, answer } = placedOrder();
  const again = one.askLater.place({ customer: 'ann', lines });
  assert.equal(one.takeSent(), []);
  for (const product of ['tea', 'mug']) hear(product, 'accepted');
  assert.equal(answer(), { outcome: 'placed' });
  assert.equal(again.answer, { status: 'done', output: { outcome: 'placed' } });
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
  tea.askFrom(Order, 'one').reserve({ units: 2 }).confirm();
  // Only what that order has bought goes back, once.
  tea.askFrom(Order, 'two').takeBack();
  tea.ask.takeBack();
  assert.equal(tea.ask.counts(), { restocked: 10, free: 3, held: 0, sold: 7 });
  for (const _again of [1, 2]) tea.askFrom(Order, 'one').takeBack();
  assert.equal(tea.ask.counts(), { restocked: 10, free: 5, held: 0, sold: 5 });
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
      // Nobody waits to hear that a cancel was heard.
      if (answer !== undefined && message.kind !== 'cancel')
        this.later(`${message.to} to ${key}`, () => sender.answer(Stock, product, 'reserve', answer));
    });
  }

  #ask(asked: Play<typeof Stock>['ask'], { kind, operation, input, hold }: SentMessage): PlayedAnswer | undefined {
    if (operation === 'takeBack') asked.takeBack();
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
      shop.later(`lines of ${key}`, () => one.askLater.place({ customer: 'ann', lines: wanted.slice(shop.pick(3)) }));
      if (shop.pick(3) === 0) shop.later(`cancellation of ${key}`, () => one.ask.cancel());
    }
    shop.run();
    for (const end of check(shop)) ends.add(end);
  }
  assert.equal([...ends].sort(), ['cancelled', 'hold lapsed', 'not enough units', 'placed']);
});

played.run();
