/** A small app for the tests of the command line: stock with history, counters, and a mailman whose letters fail. */
import * as v from 'valibot';
import { behaviour, command, entity, query, tentative } from '../../core/index.ts';

const Units = v.object({ units: v.pipe(v.number(), v.minValue(1)) });

const Stock = entity('stock', {
  initial: () => ({ free: 0, held: 0 }),
  operations: { receive: command(Units), reserve: tentative(Units), available: query(v.number()) },
});

const Counter = entity('counter', {
  initial: () => ({ count: 0, isBroken: false }),
  operations: {
    add: command(v.number(), v.number()),
    break: command(v.boolean()),
    seal: command(undefined, v.unknown()),
    total: query(v.number()),
  },
});

/** A type that no worker hosts: messages to it wait. */
const Ghost = entity('ghost', { initial: () => ({}), operations: { add: command(v.number()) } });

const Sender = entity('sender', {
  initial: () => ({ sent: 0 }),
  operations: {
    send: command(v.object({ to: v.string(), amount: v.number() })),
    haunt: command(v.number()),
    remind: command(v.number()),
    take: command(v.unknown()),
  },
  activities: { counter: () => ({ told: 0 }) },
});

export const stock = behaviour(
  Stock,
  {
    receive(turn, { units }) {
      turn.state.free += units;
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
    available: (view) => view.state.free,
  },
  { historyMs: 86_400_000 },
);

const counter = behaviour(Counter, {
  add(turn, amount) {
    if (turn.state.isBroken) throw new Error('the counter is broken');
    turn.state.count += amount;
    return turn.state.count;
  },
  break(turn, isBroken) {
    turn.state.isBroken = isBroken;
  },
  seal: () => ({ bytes: new Uint8Array([1, 2, 3]), big: 2n ** 60n }),
  total: (view) => view.state.count,
});

const sender = behaviour(Sender, {
  send(turn, { to, amount }) {
    turn.state.sent += 1;
    const receiver = turn.to(Counter, to);
    receiver.add(amount);
    receiver.activity = { told: (receiver.activity?.told ?? 0) + 1 };
  },
  haunt(turn, amount) {
    turn.to(Ghost, 'g').add(amount);
  },
  remind(turn, afterMs) {
    turn.timer('reminder', { afterMs }).take('wake up');
  },
  take() {},
});

export default [counter, sender];

/** Dead letters after one retry, since tests wait for them. */
export const limits = { attemptsMax: 2 };
