/**
 * An order: reserves units from each of its stocks, all or none, and tells who placed it what became of it.
 *
 *     unknown ──place──▶ reserving ──all hold──▶ placed ──cancel, or a hold that had lapsed──▶ cancelled, refused
 *        └─cancel─▶ withdrawn     └─one declines, cancel──▶ refused, cancelled
 */
import { agreed, behaviour, type Turn } from '../../core/index.ts';
import { Customer, type Ending, Order, Reservation, Stock } from './contracts.ts';

export const order = behaviour(
  Order,
  {
    place(turn, { customer, lines }) {
      const { status, refusal } = turn.state;
      if (status === 'placed' || status === 'refused' || status === 'cancelled') return { outcome: status, refusal };
      if (status === 'withdrawn') {
        turn.state = { status, customer, lines, callers: [] };
        end(turn, { outcome: 'cancelled' });
        return { outcome: 'cancelled' };
      }
      if (status === 'unknown') {
        const stocks = lines.map(({ product, units }) => ({ key: product, input: { units } }));
        const reservation = turn.agree(Reservation, { stocks });
        turn.state = { status: 'reserving', customer, lines, reservation, callers: [] };
      }
      const caller = turn.later();
      turn.state.callers.push(caller);
      return caller;
    },

    cancel(turn) {
      const { status, reservation } = turn.state;
      if (status === 'unknown') turn.state.status = 'withdrawn';
      if (status === 'reserving' && reservation !== undefined) turn.cancel(reservation);
      if (status === 'placed') end(turn, { outcome: 'cancelled' });
    },

    summary: (view) => view.state,
  },
  {
    agreements: [
      agreed(Order, Reservation, {
        decided(turn, outcome) {
          if (outcome.decision === 'confirm') return end(turn, { outcome: 'placed' });
          if (outcome.because === 'cancelled') return end(turn, { outcome: 'cancelled' });
          const by = outcome.parties.stocks.find(({ status }) => status === 'refused' || status === 'failed');
          const reason = by?.status === 'refused' ? by.reason : by?.status === 'failed' ? by.code : outcome.because;
          refuse(turn, by?.key, reason);
        },
        broken(turn, { of, key, why }) {
          if (turn.state.status === 'placed') refuse(turn, key, `hold ${why}`);
          turn.resolve(of);
        },
      }),
    ],
  },
);

function refuse(turn: Turn<typeof Order>, product: string | undefined, reason: string): void {
  const by = product === undefined ? 'nobody' : `${Stock.type}/${product}`;
  end(turn, { outcome: 'refused', refusal: { by, reason } });
}

/** Customer and callers are told; what was sold goes back, unless the order is placed now. */
function end(turn: Turn<typeof Order>, ending: Ending): void {
  const { status, customer, lines, callers } = turn.state;
  if (status === 'placed') for (const { product } of lines) turn.to(Stock, product).takeBack();
  for (const caller of callers) turn.answer(caller, ending);
  turn.to(Customer, customer).orderEnded({ outcome: ending.outcome });
  turn.state.status = ending.outcome;
  if (ending.refusal !== undefined) turn.state.refusal = ending.refusal;
  turn.state.callers = [];
}
