/**
 * Writes what a shop's queue delivers: orders, restocks and cancellations, some of them twice, late or malformed.
 *
 *     npx tsx examples/orders/generate.ts --seed 1 --lines 5000 > examples/orders/lines.jsonl
 *
 * Same seed, same lines, on every machine.
 */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type Chance, chanceOf, whole, zipf } from '../../runtime/testing/chance.ts';
import type { Line } from './lines.ts';

const staples = ['tea', 'coffee', 'kettle', 'teapot', 'mug', 'biscuits', 'honey', 'sugar-tongs', 'strainer', 'tray'];
const makes = ['oak', 'copper', 'linen', 'glass', 'tin', 'wool', 'slate', 'cork', 'enamel', 'wicker'];
const wares = [
  'bowl',
  'lamp',
  'basket',
  'clock',
  'stool',
  'jug',
  'blanket',
  'candle',
  'shelf',
  'frame',
  'spoon',
  'kite',
  'bell',
  'box',
  'ladder',
  'boat',
  'whistle',
  'vase',
  'button',
];

/** Most wanted first. */
export const products: readonly string[] = [
  ...staples,
  ...wares.flatMap((ware) => makes.map((make) => `${make}-${ware}`)),
];
const customerCount = 300;

/** Request without its line's id. */
type Body = Line extends infer Each ? (Each extends Line ? Omit<Each, 'id'> : never) : never;

class Shop {
  readonly #seed: number;
  readonly #chance: Chance;
  readonly #product: () => number;
  readonly #customer: () => number;
  readonly #late: { body: Body; at: number }[] = [];
  readonly #written: string[] = [];
  #orderCount = 0;
  #lineCount = 0;
  #malformedCount = 0;

  constructor(seed: number) {
    this.#seed = seed;
    const chance = chanceOf(seed);
    this.#chance = chance;
    this.#product = zipf(products.length, chance);
    this.#customer = zipf(customerCount, chance);
  }

  /** Lines without end. One product in sixteen comes late: after so many lines. */
  *lines(late: number): Generator<string, never> {
    // A shop opens with something on its shelves.
    for (const [rank, product] of products.entries()) {
      this.#later(
        { kind: 'restock', product, units: whole(this.#chance, 30, 60) },
        rank % 16 === 11 ? late : whole(this.#chance, 0, 60),
      );
    }
    for (;;) {
      const line = this.#next();
      this.#written.push(line);
      yield line;
    }
  }

  #next(): string {
    const dice = this.#chance();
    if (dice < 0.004) return this.#malformed();
    if (dice < 0.05 && this.#written.length > 0) return this.#repeated();
    const due = this.#late.findIndex(({ at }) => at <= this.#written.length);
    const [late] = due < 0 ? [] : this.#late.splice(due, 1);
    return this.#line(late?.body ?? this.#fresh());
  }

  #fresh(): Body {
    const dice = this.#chance();
    if (dice < 0.22) return this.#restock();
    if (dice < 0.27) return this.#cancel();
    const order = this.#order();
    if (dice > 0.98) {
      // Overtaken by its own cancellation.
      this.#later(order, this.#written.length + whole(this.#chance, 1, 400));
      return { kind: 'cancel', order: order.order };
    }
    return order;
  }

  #order() {
    const wanted = new Set<number>();
    const lineCount = whole(this.#chance, 1, 8);
    while (wanted.size < lineCount) wanted.add(this.#product());
    const lines = [...wanted].map((rank) => ({ product: products[rank] ?? '', units: whole(this.#chance, 1, 4) }));
    this.#orderCount += 1;
    return {
      kind: 'order' as const,
      order: this.#orderId(this.#orderCount),
      customer: `customer-${this.#customer() + 1}`,
      lines,
    };
  }

  #restock(): Body {
    return { kind: 'restock', product: products[this.#product()] ?? '', units: whole(this.#chance, 20, 50) };
  }

  /** Mostly of an order that was asked for a short while ago; a few of orders that nobody ever asks for. */
  #cancel(): Body {
    const age = this.#chance() < 0.7 ? whole(this.#chance, 0, 30) : whole(this.#chance, 0, this.#orderCount);
    const isMistaken = this.#chance() < 0.04;
    return {
      kind: 'cancel',
      order: this.#orderId(isMistaken ? 900_000 + this.#lineCount : Math.max(1, this.#orderCount - age)),
    };
  }

  /** The same line again: at once, or much later. */
  #repeated(): string {
    const back = this.#chance() < 0.5 ? whole(this.#chance, 1, 20) : whole(this.#chance, 1, this.#written.length);
    return this.#written[Math.max(0, this.#written.length - back)] ?? '';
  }

  #malformed(): string {
    const product = products[this.#product()] ?? '';
    const id = `line-${this.#seed}-bad-${this.#written.length}`;
    const makers: (() => string)[] = [
      () => this.#line(this.#order()).slice(0, -whole(this.#chance, 2, 30)),
      () => JSON.stringify({ id, kind: 'restock', product }),
      () => JSON.stringify({ id, kind: 'restock', product, units: -whole(this.#chance, 1, 9) }),
      () => JSON.stringify({ id, kind: 'refund', order: this.#orderId(this.#orderCount) }),
      () =>
        JSON.stringify({
          id,
          kind: 'order',
          order: this.#orderId(800_000 + this.#lineCount),
          customer: 'customer-1',
          lines: [],
        }),
      () => JSON.stringify({ kind: 'cancel', order: this.#orderId(this.#orderCount) }),
      () => 'heartbeat',
    ];
    return makers[this.#malformedCount++ % makers.length]?.() ?? '';
  }

  #later(body: Body, at: number): void {
    this.#late.push({ body, at });
  }

  /** Ids tell deliveries of different seeds apart, as a shop's would. */
  #orderId(number: number): string {
    return `order-${this.#seed}-${number}`;
  }

  #line(body: Body): string {
    this.#lineCount += 1;
    return JSON.stringify({ id: `line-${this.#seed}-${this.#lineCount}`, ...body });
  }
}

/** Lines without end, the same for the same seed. */
export function linesOf(seed: number, late: number): Generator<string, never> {
  return new Shop(seed).lines(late);
}

export function generate(seed: number, count: number): string[] {
  const lines = linesOf(seed, count / 2);
  return Array.from({ length: count }, () => lines.next().value);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: { seed: { type: 'string', default: '1' }, lines: { type: 'string', default: '5000' } },
  });
  process.stdout.write(`${generate(Number(values.seed), Number(values.lines)).join('\n')}\n`);
}
