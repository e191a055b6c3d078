/** The example of docs/agreements.md, which quotes everything below the mark. */
import {
  agreed,
  agreement,
  behaviour,
  command,
  entity,
  type Later,
  many,
  one,
  query,
  tentative,
  unchecked,
} from '../../core/index.ts';

// ---- the example
export const Stock = entity('stock', {
  initial: () => ({ free: 0, held: 0 }),
  operations: {
    receive: command(unchecked<{ units: number }>()),
    reserve: tentative(unchecked<{ units: number }>()),
    free: query(unchecked<number>()),
  },
});

export const stock = behaviour(Stock, {
  receive(turn, { units }) {
    turn.state.free += units;
  },
  reserve: {
    tentative(turn, { units }) {
      if (units > turn.state.free) return turn.refuse('not enough stock');
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
  free: (view) => view.state.free,
});

type Line = { key: string; input: { units: number } };

export const Order = entity('order', {
  initial: () => ({ status: 'new', caller: undefined as Later<string> | undefined }),
  operations: {
    place: command(unchecked<{ payer: Line; lines: Line[] }>(), unchecked<string>()),
    status: query(unchecked<string>()),
  },
});

const Place = agreement('place', {
  parties: { lines: many(Stock).reserve, payer: one(Stock).reserve },
  decideWithinMs: 10_000,
});

export const order = behaviour(
  Order,
  {
    place(turn, { payer, lines }) {
      turn.agree(Place, { payer, lines });
      turn.state.status = 'placing';
      turn.state.caller = turn.later();
      return turn.state.caller;
    },
    status: (view) => view.state.status,
  },
  {
    agreements: [
      agreed(Order, Place, {
        decided(turn, outcome) {
          turn.state.status = outcome.decision === 'confirm' ? 'placed' : outcome.because;
          if (turn.state.caller !== undefined) turn.answer(turn.state.caller, turn.state.status);
        },
        broken(turn, { key, why }) {
          turn.state.status = `broken: ${key} ${why}`;
        },
        settled(turn) {
          turn.state.status += ', settled';
        },
      }),
    ],
  },
);
