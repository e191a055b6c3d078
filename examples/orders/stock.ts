/** A stock: the units of one product move between free, held and sold, and none gets lost. */
import { behaviour } from '../../core/index.ts';
import { Stock } from './contracts.ts';

export const stock = behaviour(Stock, {
  restock({ state }, { units }) {
    state.restocked += units;
    state.free += units;
  },

  reserve: {
    tentative(turn, { units }) {
      if (turn.state.restocked === 0) return turn.refuse('never stocked');
      if (units > turn.state.free) return turn.refuse('not enough units');
      turn.state.free -= units;
      turn.state.held += units;
    },
    confirm(turn, { units }) {
      turn.state.held -= units;
      turn.state.sold += units;
      if (turn.activity !== undefined) turn.activity = { bought: units };
    },
    cancel({ state }, { units }) {
      state.held -= units;
      state.free += units;
    },
  },

  takeBack(turn) {
    const { bought = 0 } = turn.activity ?? {};
    turn.state.sold -= bought;
    turn.state.free += bought;
    if (turn.activity !== undefined) turn.activity = { bought: 0 };
  },

  counts: (view) => view.state,
});
