/** A customer: hears from each of its orders how it ended. */
import { behaviour } from '../../core/index.ts';
import { Customer } from './contracts.ts';

export const customer = behaviour(Customer, {
  orderEnded(turn, { outcome }) {
    if (turn.activity === undefined) return turn.refuse('only an order knows how it ended');
    // What this order said before is in the activity with it: one that was placed and then cancelled counts once.
    const before = turn.activity?.outcome ?? 'open';
    if (before !== 'open') turn.state[before] -= 1;
    turn.state[outcome] += 1;
    turn.activity = { outcome };
  },

  tally: (view) => view.state,
});
