/**
 * Writes what a shop's queue delivers: orders, restocks and cancellations, some of them twice, late or malformed.
 *
 *     npx tsx examples/orders/generate.ts --seed 1 --lines 5000 > examples/orders/lines.jsonl
 *
 * Same seed, same lines, on every machine.
 */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
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

/** 0 <= chance() < 1. mulberry32, by Tommy Ettinger: 32 bits of state, the same on every machine. */
export type Chance = () => number;
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Zipf's law: the n-th is picked 1/n as often as the first. */
function zipf(count: number, chance: Chance): () => number {
  const sums: number[] = [];
  for (let rank = 1; rank <= count; rank++) sums.push((sums.at(-1) ?? 0) + 1 / rank);
  const total = sums.at(-1) ?? 0;
  return () => {
    const point = chance() * total;
    return sums.findIndex((sum) => point < sum);
  };
}

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

  lines(count: number): string[] {
    // A shop opens with something on its shelves; one product in sixteen comes late, or never if the file is short.
    for (const [rank, product] of products.entries()) {
      this.#later(
        { kind: 'restock', product, units: this.#whole(30, 60) },
        rank % 16 === 11 ? count / 2 : this.#whole(0, 60),
      );
    }
    while (this.#written.length < count) this.#written.push(this.#next());
    return this.#written;
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
      this.#later(order, this.#written.length + this.#whole(1, 400));
      return { kind: 'cancel', order: order.order };
    }
    return order;
  }

  #order() {
    const wanted = new Set<number>();
    const lineCount = this.#whole(1, 8);
    while (wanted.size < lineCount) wanted.add(this.#product());
    const lines = [...wanted].map((rank) => ({ product: products[rank] ?? '', units: this.#whole(1, 4) }));
    this.#orderCount += 1;
    return {
      kind: 'order' as const,
      order: this.#orderId(this.#orderCount),
      customer: `customer-${this.#customer() + 1}`,
      lines,
    };
  }

  #restock(): Body {
    return { kind: 'restock', product: products[this.#product()] ?? '', units: this.#whole(20, 50) };
  }

  /** Mostly of an order that was asked for a short while ago; a few of orders that nobody ever asks for. */
  #cancel(): Body {
    const age = this.#chance() < 0.7 ? this.#whole(0, 30) : this.#whole(0, this.#orderCount);
    const isMistaken = this.#chance() < 0.04;
    return {
      kind: 'cancel',
      order: this.#orderId(isMistaken ? 900_000 + this.#lineCount : Math.max(1, this.#orderCount - age)),
    };
  }

  /** The same line again: at once, or much later. */
  #repeated(): string {
    const back = this.#chance() < 0.5 ? this.#whole(1, 20) : this.#whole(1, this.#written.length);
    return this.#written[Math.max(0, this.#written.length - back)] ?? '';
  }

  #malformed(): string {
    const product = products[this.#product()] ?? '';
    const id = `line-${this.#seed}-bad-${this.#written.length}`;
    const makers: (() => string)[] = [
      () => this.#line(this.#order()).slice(0, -this.#whole(2, 30)),
      () => JSON.stringify({ id, kind: 'restock', product }),
      () => JSON.stringify({ id, kind: 'restock', product, units: -this.#whole(1, 9) }),
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

  /** A whole number, both ends included. */
  #whole(from: number, to: number): number {
    return from + Math.floor(this.#chance() * (to - from + 1));
  }
}

export function generate(seed: number, count: number): string[] {
  return new Shop(seed).lines(count);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: { seed: { type: 'string', default: '1' }, lines: { type: 'string', default: '5000' } },
  });
  process.stdout.write(`${generate(Number(values.seed), Number(values.lines)).join('\n')}\n`);
}
