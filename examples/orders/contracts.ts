/**
 * What a shop's stocks, orders and customers can be asked: contracts only, as partners and clients import them.
 *
 * Who performs the operations is in `stock.ts`, `order.ts` and `customer.ts`, one behaviour each.
 */
import * as v from 'valibot';
import {
  agreement,
  command,
  entity,
  type Later,
  many,
  type OpenAgreement,
  query,
  tentative,
} from '../../core/index.ts';

/** Ids and names as the shop's systems give them; any text that can be a key, and short enough to print. */
export const Name = v.pipe(
  v.string('must be a text'),
  v.minLength(1, 'must not be empty'),
  v.maxLength(100, 'must be at most 100 characters'),
  v.check((text) => text.isWellFormed(), 'must be well-formed Unicode'),
);

export const Units = v.pipe(
  v.number('must be a number'),
  v.integer('must be a whole number'),
  v.minValue(1, 'must be at least 1'),
  v.maxValue(1_000_000, 'must be at most 1,000,000'),
);

export const OrderLines = v.pipe(
  v.array(v.object({ product: Name, units: Units }), 'must be a list'),
  v.minLength(1, 'must have at least 1 line'),
  v.maxLength(8, 'must have at most 8 lines'),
  v.check((lines) => new Set(lines.map((line) => line.product)).size === lines.length, 'must name each product once'),
);

const Outcome = v.picklist(['placed', 'refused', 'cancelled']);
export type Outcome = v.InferOutput<typeof Outcome>;

const Counts = v.object({ restocked: v.number(), free: v.number(), held: v.number(), sold: v.number() });
export type Counts = v.InferOutput<typeof Counts>;

/** The units of one product; its key is the product. Always: restocked = free + held + sold. */
export const Stock = entity('stock', {
  initial: (): Counts => ({ restocked: 0, free: 0, held: 0, sold: 0 }),
  operations: {
    restock: command(v.object({ units: Units })),
    reserve: tentative(v.object({ units: Units })),
    /** Takes back what the order that says so has bought: nothing, if it was not sold. */
    takeBack: command(),
    counts: query(Counts),
  },
  activities: { order: (): { bought: number } => ({ bought: 0 }) },
});

/** `withdrawn`: cancelled before it was asked for. Until it is asked for, it is no order. */
const Status = v.picklist(['unknown', 'withdrawn', 'reserving', ...Outcome.options]);

/** How an order ended; if it was refused, which stock declined, and why. */
const Ending = v.object({
  outcome: Outcome,
  refusal: v.optional(v.object({ by: v.string(), reason: v.string() })),
});
export type Ending = v.InferOutput<typeof Ending>;

const Summary = v.object({
  status: Status,
  customer: v.string(),
  lines: v.array(v.object({ product: v.string(), units: v.number() })),
  refusal: Ending.entries.refusal,
});
export type Summary = v.InferOutput<typeof Summary>;

interface OrderState extends Summary {
  reservation?: OpenAgreement;
  /** Who waits to be told how it ends. */
  callers: Later<Ending>[];
}

/** One customer's order of up to eight products: all of them or none. */
export const Order = entity('order', {
  initial: (): OrderState => ({ status: 'unknown', customer: '', lines: [], callers: [] }),
  operations: {
    /** Answered once every stock has answered, with what became of it. */
    place: command(v.object({ customer: Name, lines: OrderLines }), Ending),
    cancel: command(),
    summary: query(Summary),
  },
});

/** Of an order with its stocks. */
export const Reservation = agreement('reservation', {
  parties: { stocks: many(Stock).reserve },
  decideWithinMs: 10_000,
});

const Tally = v.object({ placed: v.number(), refused: v.number(), cancelled: v.number() });
export type Tally = v.InferOutput<typeof Tally>;

/** Counts how its orders ended. */
export const Customer = entity('customer', {
  initial: (): Tally => ({ placed: 0, refused: 0, cancelled: 0 }),
  operations: {
    orderEnded: command(v.object({ outcome: Outcome })),
    tally: query(Tally),
  },
  activities: { order: (): { outcome: Outcome | 'open' } => ({ outcome: 'open' }) },
});

/** How far one source of lines has been applied; its key is the source's name. */
export const Intake = entity('intake', {
  initial: () => ({ opened: 0, through: 0 }),
  operations: {
    /** Start or go on; the answer is the number of the last line that is known to be applied. */
    open: command(undefined, v.number()),
    reached: command(v.object({ line: v.number() })),
  },
});
