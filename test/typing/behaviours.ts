/** What behaviours must and must not compile: completeness, inputs, synchrony, read-only views. */
import { behaviour, type Handlers, type Turn, type View } from '../../core/behaviour.ts';
import { Customer, Order, Stock } from './shop.ts';

type StockHandlers = Handlers<typeof Stock>;

/** A complete set, so that each case below shows one mistake only. */
const complete: StockHandlers = {
  receive(turn, { units }) {
    turn.state.free += units;
  },
  count: (turn, { units }) => ({ free: turn.state.free - units }),
  clear(turn) {
    turn.state = { free: 0, held: 0, tags: [] };
  },
  reserve: {
    tentative(turn, { units }) {
      if (units > turn.state.free) turn.refuse('not enough stock', { free: turn.state.free });
      turn.state.free -= units;
      turn.state.held += units;
    },
    confirm(turn, { units }) {
      turn.state.held -= units;
    },
    cancel(turn, { units }) {
      turn.state.held -= units;
      turn.state.free += units;
    },
  },
  inspect: {
    tentative: (turn) => ({ grade: turn.state.free > 0 ? 'A' : 'B' }),
    confirm() {},
    cancel() {},
  },
  available: (view) => view.state.free,
  cheaperThan: (view, { cents }) => view.state.free < cents,
  label(turn, { text, at }) {
    turn.state.tags.push(text.toUpperCase(), at.toFixed(2));
  },
  note(turn, text) {
    if (text !== undefined) turn.state.tags.push(text.trim());
  },
};

export const stock = behaviour(Stock, complete);

export function everyOperationIsNeeded(): void {
  const { available: _query, ...withoutQuery } = complete;
  // @ts-expect-error a query is missing
  behaviour(Stock, withoutQuery);
  const { receive: _command, ...withoutCommand } = complete;
  // @ts-expect-error a command is missing
  behaviour(Stock, withoutCommand);
  // @ts-expect-error cancel is missing
  behaviour(Stock, { ...complete, reserve: { tentative() {}, confirm() {} } });
  // @ts-expect-error confirm is missing
  behaviour(Stock, { ...complete, reserve: { tentative() {}, cancel() {} } });
  // @ts-expect-error a tentative operation is three functions
  behaviour(Stock, { ...complete, reserve() {} });
  // @ts-expect-error an operation that the contract does not have
  behaviour(Customer, { ordered() {}, ordred() {} });
}

export function inputsAreThoseAfterValidation(): void {
  behaviour(Stock, {
    ...complete,
    label(turn, { text, at }) {
      const certain: string = text;
      // @ts-expect-error validation made a number of it
      const before: string = at;
      turn.state.tags.push(certain, before);
    },
  });
  // @ts-expect-error the input has no such field
  behaviour(Stock, { ...complete, receive: (turn, { unit }) => turn.refuse(unit) });
  // @ts-expect-error no such input
  behaviour(Stock, { ...complete, receive(_turn, _input: { units: string }) {} });
  // @ts-expect-error it takes no input
  behaviour(Stock, { ...complete, clear: (turn, input) => turn.refuse(input.units) });
}

export function outputsAreThoseOfTheContract(): void {
  // @ts-expect-error the output is missing
  behaviour(Stock, { ...complete, count() {} });
  // @ts-expect-error wrong output of a command
  behaviour(Stock, { ...complete, count: () => ({ free: '1' }) });
  // @ts-expect-error wrong output of a query
  behaviour(Stock, { ...complete, available: () => '1' });
  // @ts-expect-error wrong output of a tentative operation
  behaviour(Stock, { ...complete, inspect: { tentative: () => ({ grade: 1 }), confirm() {}, cancel() {} } });
  // @ts-expect-error what the contract declares as nothing returns nothing
  behaviour(Stock, { ...complete, receive: () => 5 });
}

export function turnsNeverWait(): void {
  // @ts-expect-error an async command
  behaviour(Stock, { ...complete, async receive() {} });
  // @ts-expect-error an async command with an output
  behaviour(Stock, { ...complete, count: async () => ({ free: 1 }) });
  // @ts-expect-error an async query
  behaviour(Stock, { ...complete, available: async () => 1 });
  // @ts-expect-error an async tentative
  behaviour(Stock, { ...complete, reserve: { ...complete.reserve, async tentative() {} } });
  // @ts-expect-error an async confirm
  behaviour(Stock, { ...complete, reserve: { ...complete.reserve, async confirm() {} } });
  // @ts-expect-error an async cancel
  behaviour(Stock, { ...complete, reserve: { ...complete.reserve, async cancel() {} } });
  behaviour(Customer, {
    // @ts-expect-error `await` in a turn: it needs an async function, which no operation can be
    async ordered(turn) {
      await turn.to(Stock, 'tea').receive({ units: 1 });
    },
  });
}

export function queriesReadOnly(view: View<typeof Stock>): void {
  // @ts-expect-error a query that writes
  view.state.free = 1;
  // @ts-expect-error a query that writes deep inside
  view.state.tags.push('x');
  // @ts-expect-error a query that replaces the state
  view.state = { free: 0, held: 0, tags: [] };
  // @ts-expect-error a query sends nothing
  view.to(Stock, 'tea');
  // @ts-expect-error a query sets no timers
  view.timer('later', { afterMs: 1 });
  behaviour(Stock, {
    ...complete,
    // @ts-expect-error a query that writes
    available: (inside) => inside.state.free++,
  });
  // A query may decline.
  if (view.state.free === 0) view.refuse('sold out');
}

/** The actor class: the same handlers, plus fields that are volatile memory. */
class StockActor implements Handlers<typeof Stock> {
  readonly #key: string;
  seen = 0;

  constructor(key: string) {
    this.#key = key;
  }

  receive(turn: Turn<typeof Stock>, { units }: { units: number }): void {
    this.seen += units;
    turn.state.free += units;
  }

  count(turn: Turn<typeof Stock>, { units }: { units: number }): { free: number } {
    return { free: turn.state.free + units + this.#key.length };
  }

  readonly clear = complete.clear;
  readonly reserve = complete.reserve;
  readonly inspect = complete.inspect;
  readonly cheaperThan = complete.cheaperThan;
  readonly label = complete.label;
  readonly note = complete.note;

  available(view: View<typeof Stock>): number {
    return view.state.free;
  }
}

export const actorStock = behaviour(Stock, StockActor);

// @ts-expect-error a class that lacks an operation
export class Incomplete implements Handlers<typeof Order> {
  place(): void {}
}

class AsyncCustomer {
  async ordered(): Promise<void> {}
}

class NumberedCustomer {
  readonly number: number;
  constructor(number: number) {
    this.number = number;
  }
  ordered(): void {}
}

export function classesAreCheckedAsWell(): void {
  // @ts-expect-error it lacks an operation
  behaviour(Order, Incomplete);
  // @ts-expect-error an async operation
  behaviour(Customer, AsyncCustomer);
  // @ts-expect-error an actor class is made with its entity's key, a string
  behaviour(Customer, NumberedCustomer);
}
