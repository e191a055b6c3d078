/** Contracts that the type tests share: what an application would write, with nothing annotated by hand. */
import * as v from 'valibot';
import { entity } from '../../core/entity.ts';
import { command, query, tentative } from '../../core/operation.ts';

const Units = v.object({ units: v.number() });

export const Stock = entity('stock', {
  initial: () => ({ free: 0, held: 0, tags: [] as string[] }),
  operations: {
    receive: command(Units),
    count: command(Units, v.object({ free: v.number() })),
    clear: command(),
    reserve: tentative(Units),
    inspect: tentative(Units, { holdMs: 1_000, output: v.object({ grade: v.string() }) }),
    available: query(v.number()),
    cheaperThan: query(v.object({ cents: v.number() }), v.boolean()),
    // Defaults and transforms: what callers pass is not what the turn gets.
    label: command(v.object({ text: v.optional(v.string(), 'none'), at: v.pipe(v.string(), v.transform(Number)) })),
    note: command(v.optional(v.string())),
  },
});

export const Order = entity('order', {
  initial: (key) => ({ id: key, lines: {} as Record<string, number>, isOpen: true }),
  activities: {
    stock: () => ({ tentativeUnits: 0 }),
    customer: () => ({ greeted: false }),
  },
  operations: {
    place: command(v.object({ lines: v.array(v.object({ product: v.string(), units: v.number() })) })),
    state: query(v.object({ isOpen: v.boolean() })),
  },
});

export const Customer = entity('customer', {
  initial: () => ({ orders: 0 }),
  operations: { ordered: command(v.object({ order: v.string() })) },
});
