/** The next version of `app.ts`: a counter can be doubled, and remembers when. */
import * as v from 'valibot';
import { behaviour, command, entity, query } from '../../core/index.ts';

const Counter = entity('counter', {
  initial: () => ({ count: 0, isBroken: false, doubled: 0 }),
  operations: {
    add: command(v.number(), v.number()),
    double: command(v.number(), v.number()),
    total: query(v.number()),
  },
});

export const counter = behaviour(
  Counter,
  {
    add(turn, amount) {
      turn.state.count += amount;
      return turn.state.count;
    },
    double(turn, amount) {
      turn.state.count += 2 * amount;
      turn.state.doubled += 1;
      return turn.state.count;
    },
    total: (view) => view.state.count,
  },
  { version: 2, upgrades: { 1: (state) => ({ ...state, doubled: 0 }) } },
);
