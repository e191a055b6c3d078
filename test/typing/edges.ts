/** Types that are easily lost on the way: brands, tuples, `any`, operations without input, contracts without activities. */
import * as v from 'valibot';
import type { Handlers, Turn, View } from '../../core/behaviour.ts';
import type { Caller } from '../../core/entity.ts';
import { entity } from '../../core/entity.ts';
import { command, query, tentative, unchecked } from '../../core/operation.ts';
import type { Customer, Order, Stock } from './shop.ts';

const Sku = v.pipe(v.string(), v.brand('Sku'));
type Sku = v.InferOutput<typeof Sku>;

const Shelf = entity('shelf', {
  initial: () => ({ place: [1, 'a'] as [number, string], sku: 'x' as Sku, label: new Uint8Array() }),
  operations: {
    place: query(v.tuple([v.number(), v.string()])),
    sku: query(Sku),
    either: query(v.union([v.literal('none'), v.number()])),
    // biome-ignore lint/suspicious/noExplicitAny: what this case is about
    scan: command(unchecked<any>()),
    weigh: command(undefined, v.number()),
    block: tentative(undefined, { holdMs: 5 }),
    lend: tentative(undefined, { output: v.number() }),
    take: tentative(v.object({ units: v.number() })),
  },
});

const complete: Handlers<typeof Shelf> = {
  place: (view) => view.state.place,
  sku: (view) => view.state.sku,
  either: (view) => (view.state.place[0] > 0 ? view.state.place[0] : 'none'),
  scan(_turn, input) {
    input.anything.goes;
  },
  weigh: () => 1,
  block: { tentative() {}, confirm() {}, cancel() {} },
  lend: { tentative: () => 1, confirm() {}, cancel() {} },
  take: {
    tentative(_turn, { units }) {
      units.toFixed();
    },
    confirm() {},
    cancel() {},
  },
};

export function viewsKeepTheShapeOfValues(view: View<typeof Shelf>): void {
  const text: string = view.state.sku;
  const sku: Sku = view.state.sku;
  const [row, column]: readonly [number, string] = view.state.place;
  const label: Uint8Array = view.state.label;
  // @ts-expect-error a tuple of a view is read-only
  view.state.place[0] = 2;
  // @ts-expect-error a tuple has no third place
  view.state.place[2];
  return void [text, sku, row, column, label];
}

export const wrongTuple: Handlers<typeof Shelf> = {
  ...complete,
  // @ts-expect-error places of a tuple have their types
  place: () => ['a', 1],
};

export const wrongInput: Handlers<typeof Shelf> = {
  ...complete,
  take: {
    ...complete.take,
    // @ts-expect-error the contract's input has no grade
    tentative: (turn, input: { units: number; grade: string }) => turn.refuse(input.grade),
  },
};

export const wrongTurn: Handlers<typeof Shelf> = {
  ...complete,
  // @ts-expect-error another type's turn
  weigh: (turn: Turn<typeof Stock>) => turn.state.free,
};

export async function callersOfOperationsWithoutInput(shelf: Caller<(typeof Shelf)['operations']>): Promise<number> {
  const weight: number = await shelf.weigh();
  const lent: number = (await shelf.lend()).output;
  await shelf.block();
  // @ts-expect-error it takes no input
  await shelf.weigh(5);
  // @ts-expect-error it takes no input
  await shelf.block(5);
  // An unchecked `any` takes whatever is given, or nothing.
  await shelf.scan({ barcode: 1 }, { deadlineMs: 5 });
  await shelf.scan();
  return weight + lent;
}

export function activityWithoutDeclaration(turn: Turn<typeof Customer>): string {
  turn.activity = undefined;
  // @ts-expect-error it is nothing that fits everywhere
  const text: string = turn.activity;
  return text;
}

export function statesAreTyped(turn: Turn<typeof Order>): void {
  turn.state = { id: 'a', lines: {}, isOpen: false };
  turn.state.lines.tea = 2;
  // @ts-expect-error a field is missing
  turn.state = { id: 'a', lines: {} };
  // @ts-expect-error wrong type of a field
  turn.state.isOpen = 'no';
  // @ts-expect-error no such field
  turn.state.open = true;
  // @ts-expect-error the key is given
  turn.key = 'b';
}

/** An output of `any` is not an output of nothing. */
export const Loose = entity('loose', {
  initial: () => ({ count: 1 }),
  // biome-ignore lint/suspicious/noExplicitAny: what is tested
  operations: { count: query(unchecked<any>()), add: command(undefined, unchecked<any>()) },
});
export const loose: Handlers<typeof Loose> = { count: (view) => view.state.count, add: () => 1 };
