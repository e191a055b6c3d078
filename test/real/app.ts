/**
 * What real workers run while they are killed, paused and cut off. Every entity knows the number of each operation that it
 * has performed, so that what happened twice, never, or out of order can be told afterwards, operation by operation.
 *
 * room: a game in memory that ticks. tally: a counter. account: pays other accounts by message. desk: buys from shelves by tentative operations.
 */
import * as v from 'valibot';
import { answers, type Behaviour, behaviour, command, entity, query, tentative, unchecked } from '../../core/index.ts';
import { type Numbers, note } from './numbers.ts';

/** The operations that an entity was asked for, by the outside client's numbers. */
interface Performed {
  /** How often. */
  count: number;
  /** Which. */
  seen: Numbers;
  /** Those that it had performed before. */
  twice: number;
}

const nothing = (): Performed => ({ count: 0, seen: [], twice: 0 });
const Numbered = v.object({ n: v.number() });

function perform(performed: Performed, n: number): void {
  performed.count += 1;
  if (!note(performed.seen, n)) performed.twice += 1;
}

export const Tally = entity('tally', {
  initial: nothing,
  operations: {
    add: command(Numbered, v.number()),
    count: query(v.number()),
    report: query(unchecked<Performed>()),
  },
});

const tally = behaviour(Tally, {
  add(turn, { n }) {
    perform(turn.state, n);
    return turn.state.count;
  },
  count: (view) => view.state.count,
  report: (view) => view.state,
});

export const Account = entity('account', {
  initial: () => ({ ...nothing(), balance: 0, paid: 0, got: 0, disordered: 0 }),
  operations: {
    pay: command(v.object({ n: v.number(), to: v.string(), amount: v.number() })),
    receive: command(v.object({ amount: v.number(), nth: v.number() })),
    report: query(unchecked<Performed & { balance: number; paid: number; got: number; disordered: number }>()),
  },
  activities: { account: () => ({ paid: 0, got: 0 }) },
});

const account = behaviour(Account, {
  pay(turn, { n, to, amount }) {
    perform(turn.state, n);
    const partner = turn.to(Account, to);
    const { paid, got } = partner.activity;
    partner.activity = { paid: paid + 1, got };
    partner.receive({ amount, nth: paid + 1 });
    turn.state.balance -= amount;
    turn.state.paid += 1;
  },
  receive(turn, { amount, nth }) {
    const { paid, got } = turn.activity ?? { paid: 0, got: 0 };
    if (nth !== got + 1) turn.state.disordered += 1;
    turn.activity = { paid, got: nth };
    turn.state.balance += amount;
    turn.state.got += 1;
  },
  report: (view) => view.state,
});

/** What each shelf has at first. */
export const shelfUnits = 1_000_000;

export const Shelf = entity('shelf', {
  initial: () => ({ free: shelfUnits, held: 0, sold: 0 }),
  operations: {
    take: tentative(undefined, { holdMs: 300_000 }),
    report: query(unchecked<{ free: number; held: number; sold: number }>()),
  },
});

const shelf = behaviour(Shelf, {
  take: {
    tentative({ state }) {
      state.free -= 1;
      state.held += 1;
    },
    confirm({ state }) {
      state.held -= 1;
      state.sold += 1;
    },
    cancel({ state }) {
      state.held -= 1;
      state.free += 1;
    },
  },
  report: (view) => view.state,
});

export const Desk = entity('desk', {
  initial: () => ({ ...nothing(), open: 0, bought: 0, left: 0 }),
  operations: {
    buy: command(v.object({ n: v.number(), shelf: v.string() })),
    report: query(unchecked<Performed & { open: number; bought: number; left: number }>()),
  },
});

const desk = behaviour(
  Desk,
  {
    buy(turn, { n, shelf }) {
      perform(turn.state, n);
      turn.state.open += 1;
      turn.to(Shelf, shelf).take();
    },
    report: (view) => view.state,
  },
  {
    answers: [
      answers(Desk, Shelf, {
        /** Every third one changes its mind. */
        take(turn, answer) {
          if (answer.status === 'accepted') {
            if (turn.state.count % 3 === 0) turn.cancel(answer.hold);
            else turn.confirm(answer.hold);
            return;
          }
          turn.state.open -= 1;
          if (answer.status === 'confirmed') turn.state.bought += 1;
          else turn.state.left += 1;
        },
      }),
    ],
  },
);

export const Notice = entity('notice', {
  initial: nothing,
  operations: { add: command(Numbered, v.number()), report: query(unchecked<Performed>()) },
});

/** The type that only the app's second version has. */
const notice = behaviour(Notice, {
  add(turn, { n }) {
    perform(turn.state, n);
    return turn.state.count;
  },
  report: (view) => view.state,
});

/** A game: how often it ticked, and how many ticks it came too late for. */
export interface RoomReport {
  readonly game: string;
  readonly ticks: number;
  readonly missed: number;
}

const tickMs = 50;

export const Room = entity('room', {
  initial: () => ({ game: '', ticks: 0, missed: 0, nextAt: 0 }),
  operations: {
    begin: command(v.object({ game: v.string() })),
    tick: command(),
    report: query(unchecked<RoomReport>()),
  },
});

/** In memory alone: what a move does not carry is gone. */
const room = behaviour(
  Room,
  {
    begin(turn, { game }) {
      turn.state = { game, ticks: 0, missed: 0, nextAt: turn.now + tickMs };
      turn.timer('tick', { at: turn.state.nextAt }).tick();
    },
    tick(turn) {
      const late = Math.floor((turn.now - turn.state.nextAt) / tickMs);
      turn.state.ticks += 1;
      turn.state.missed += late;
      turn.state.nextAt += (late + 1) * tickMs;
      turn.timer('tick', { at: turn.state.nextAt }).tick();
    },
    report: ({ state: { game, ticks, missed } }) => ({ game, ticks, missed }),
  },
  { durability: 'none' },
);

/** What a worker hosts, by the version of the app. */
export const versions: Readonly<Record<string, readonly Behaviour[]>> = {
  '1': [tally, account, shelf, desk, room],
  '2': [tally, account, shelf, desk, room, notice],
};
