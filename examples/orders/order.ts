/**
 * An order: reserves units from each of its stocks, then confirms them all, or lets go of them all.
 *
 * It never waits for a stock. Each answer is a turn of its own: it notes what that stock said, in the activity with that
 * stock, and then does what has become possible. With each stock:
 *
 *     none ──▶ reserving ──▶ held ──▶ confirming ──▶ sold
 *      ▲           ▼          ▼           ▼           ▼
 *      └─ refused ─┘ cancelled┘   lapsed ─┘ taken back┘
 */
import { type Answer, answers, behaviour, type Turn } from '../../core/index.ts';
import { Customer, Order, type Outcome, Stock } from './contracts.ts';

export const order = behaviour(
  Order,
  {
    place(turn, { customer, lines }) {
      const { status } = turn.state;
      if (status !== 'unknown' && status !== 'withdrawn') return;
      turn.state = { status: 'reserving', customer, lines };
      if (status === 'withdrawn') end(turn, 'cancelled');
      else reserve(turn);
    },

    cancel(turn) {
      const { status } = turn.state;
      if (status === 'unknown') turn.state.status = 'withdrawn';
      if (status === 'reserving' || status === 'placed') end(turn, 'cancelled');
    },

    summary: (view) => view.state,
  },
  {
    answers: [
      answers(Order, Stock, {
        reserve(turn, answer) {
          // News of a hold that this order has let go of, such as that it is cancelled, is no news.
          if (turn.activity.step === 'none') return;
          const { hold } = answer;
          if (answer.status === 'accepted') turn.activity = { step: 'held', hold };
          else if (answer.status === 'confirmed') turn.activity = { step: 'sold', hold };
          else turn.activity = undefined;

          if (turn.state.status !== 'reserving') undo(turn);
          else if (answer.status === 'accepted' || answer.status === 'confirmed') goOn(turn);
          else refuse(turn, { by: hold.entity, reason: reasonOf(answer) });
        },
      }),
    ],
  },
);

function reserve(turn: Turn<typeof Order>): void {
  for (const { stock, units } of stocksOf(turn)) {
    stock.activity = { step: 'reserving', hold: stock.reserve({ units }) };
  }
}

/** All or none: nothing is confirmed before every stock holds its units, and nothing is placed before all are sold. */
function goOn(turn: Turn<typeof Order>): void {
  const stocks = stocksOf(turn).map(({ stock }) => stock);
  if (stocks.some(({ activity }) => activity.step === 'reserving')) return;
  if (stocks.every(({ activity }) => activity.step === 'sold')) return end(turn, 'placed');

  for (const stock of stocks) {
    if (stock.activity.step !== 'held') continue;
    const { hold } = stock.activity;
    turn.confirm(hold);
    stock.activity = { step: 'confirming', hold };
  }
}

/** Back to none with every stock; with one whose answer is on its way, once that is there. */
function undo(turn: Turn<typeof Order>): void {
  for (const { stock, units } of stocksOf(turn)) {
    const { activity } = stock;
    if (activity.step === 'held') turn.cancel(activity.hold);
    else if (activity.step === 'sold') stock.takeBack({ units });
    else continue;
    stock.activity = undefined;
  }
}

function end(turn: Turn<typeof Order>, outcome: Outcome): void {
  turn.state.status = outcome;
  turn.to(Customer, turn.state.customer).orderEnded({ outcome });
  if (outcome !== 'placed') undo(turn);
}

function refuse(turn: Turn<typeof Order>, refusal: { by: string; reason: string }): void {
  turn.state.refusal = refusal;
  end(turn, 'refused');
}

/** A stock may decline at first; or, if it heard nothing for too long, after all: then what others sold is taken back. */
function reasonOf(answer: Answer<typeof Stock.operations.reserve>): string {
  if (answer.status === 'refused') return answer.reason;
  return answer.status === 'failed' ? answer.code : `hold ${answer.status}`;
}

function stocksOf(turn: Turn<typeof Order>) {
  return turn.state.lines.map(({ product, units }) => ({ units, stock: turn.to(Stock, product) }));
}
