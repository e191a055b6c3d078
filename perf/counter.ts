/**
 * The contract that the measurements of turns use: a counter, and a state of ten fields.
 */
import { behaviour, command, entity, query, unchecked } from '../core/index.ts';

export const Counter = entity('counter', {
  initial: () => ({ count: 0, total: 0 }),
  operations: { add: command(unchecked<{ by: number }>(), unchecked<number>()), count: query(unchecked<number>()) },
});

export const counter = behaviour(Counter, {
  add(turn, { by }) {
    turn.state.count += 1;
    turn.state.total += by;
    return turn.state.total;
  },
  count: (view) => view.state.count,
});

export const Ten = entity('ten', {
  initial: (key) => ({
    key,
    one: 1,
    two: 2,
    three: 3,
    four: 'four',
    five: 'five',
    six: true,
    seven: 7.5,
    eight: 0,
    nine: 'nine',
  }),
  operations: { touch: command() },
});

export const ten = behaviour(Ten, {
  touch(turn) {
    turn.state.eight += 1;
  },
});
