/**
 * An account: pays, receives, and is the hub of the transfers that it is asked for.
 *
 * Two accounts: the hub pays and tells the other one to receive, which needs no agreement: two durable turns. More payers: all of them hold
 * their shares first, the hub too; with the decision all pay and the payees are told, or none does.
 */
import { agreed, behaviour, type Turn } from '../../core/index.ts';
import { Account, type OpenTransfer, Payment } from './contracts.ts';
import { change, forget, meet } from './cut.ts';
import { digestOf } from './digest.ts';

/** More than that at once are refused. */
const openMost = 64;

export const account = behaviour(
  Account,
  {
    endow: ({ state }, { amount }) => change(state.books, state.books.colour, { worth: amount }),

    transfer(turn, { transfer, shares }) {
      const { state } = turn;
      const amount = -shares.reduce((sum, share) => sum + share.amount, 0);
      if (state.books.sums.worth - state.held + amount < 0) return turn.refuse('not enough money');
      const payers = shares.filter((share) => share.amount < 0);
      const payees = shares.filter((share) => share.amount > 0);
      const { colour } = state.books;
      if (payers.length === 0) return settle(turn, { transfer, amount, colour, payees, payerCount: 0 });

      if (Object.keys(state.open).length >= openMost) return turn.refuse('too many transfers under way');
      const of = turn.agree(Payment, {
        payers: payers.map((share) => ({ key: share.account, input: { transfer, amount: -share.amount, colour } })),
      });
      const caller = turn.later();
      state.open[of.id] = { transfer, amount, colour, payees, payerCount: payers.length, caller };
      state.held += Math.max(0, -amount);
      change(state.books, colour, { open: 1 });
      return caller;
    },

    pay: {
      tentative(turn, task) {
        const { state } = turn;
        meet(state.books, task.colour);
        if (task.amount > state.books.sums.worth - state.held) return turn.refuse('not enough money');
        state.held += task.amount;
        return task;
      },
      confirm({ state }, { transfer, amount, colour }) {
        state.held -= amount;
        changed(state, transfer);
        change(state.books, colour, { worth: -amount, made: 1 });
      },
      cancel({ state }, { amount }) {
        state.held -= amount;
      },
    },

    receive({ state }, { transfer, amount, colour }) {
      meet(state.books, colour);
      changed(state, transfer);
      change(state.books, colour, { worth: amount, made: 1 });
    },

    meetAudit({ state }, { audit, done }) {
      meet(state.books, audit);
      forget(state.books, done);
    },

    note: ({ state }, { audit }) => state.books.notes.find((note) => note.audit === audit),

    statement: ({ state: { books, held, count, digest, open, notices } }) => {
      return { worth: books.sums.worth, held, count, digest, open: Object.keys(open).length, notices };
    },
  },
  {
    agreements: [
      agreed(Account, Payment, {
        decided(turn, { decision, of, parties }) {
          const opened = turn.state.open[of.id];
          if (opened === undefined) throw new Error(`no transfer is open as ${of.id}`);
          turn.state.held -= Math.max(0, -opened.amount);
          change(turn.state.books, opened.colour, { open: -1 });
          if (decision === 'confirm') {
            settle(turn, opened);
            turn.answer(opened.caller);
          } else {
            const refusal = parties.payers.find((payer) => payer.status === 'refused');
            turn.refuse(opened.caller, refusal?.reason ?? 'not all payers answered in time');
          }
          delete turn.state.open[of.id];
        },
        broken(turn, { of, key, output: { transfer, amount, colour } }) {
          turn.state.notices = [...turn.state.notices, { transfer, account: key, amount }];
          change(turn.state.books, colour, { worth: -amount, made: 1 });
          turn.resolve(of);
        },
      }),
    ],
  },
);

/** Its own share, and word to those that receive. */
function settle(turn: Turn<typeof Account>, transfer: Omit<OpenTransfer, 'caller'>): void {
  const { colour, payees, amount, payerCount } = transfer;
  changed(turn.state, transfer.transfer);
  change(turn.state.books, colour, { worth: amount, told: payees.length + payerCount });
  for (const payee of payees)
    turn.to(Account, payee.account).receive({ transfer: transfer.transfer, amount: payee.amount, colour });
}

function changed(state: { count: number; digest: number }, transfer: string): void {
  state.count += 1;
  state.digest += digestOf(transfer);
}
