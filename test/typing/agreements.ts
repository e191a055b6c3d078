/** Agreements: roles from contracts, what each takes, what each gives back when it is decided. */
import { agreed } from '../../core/agreed.ts';
import { agreement, many, type OpenAgreement, one, some } from '../../core/agreement.ts';
import { behaviour, type Turn } from '../../core/behaviour.ts';
import { entity, type Hold } from '../../core/entity.ts';
import { command, tentative, unchecked } from '../../core/operation.ts';

const Stock = entity('stock', {
  initial: () => ({ free: 0 }),
  operations: {
    receive: command(unchecked<{ units: number }>()),
    reserve: tentative(unchecked<{ units: number }>(), { output: unchecked<{ shelf: string }>() }),
  },
});
const Account = entity('account', {
  initial: () => ({ cents: 0 }),
  operations: { hold: tentative(unchecked<{ cents: number }>()), close: tentative() },
});
const Courier = entity('courier', {
  initial: () => ({ busy: false }),
  operations: { offer: tentative(unchecked<{ to: string }>(), { output: unchecked<{ minutes: number }>() }) },
});
const Order = entity('order', {
  initial: () => ({ status: 'new', open: undefined as OpenAgreement | undefined }),
  operations: { place: command(), giveUp: command() },
});

const Place = agreement('place', {
  parties: { stock: many(Stock).reserve, payment: one(Account).hold },
  decideWithinMs: 10_000,
});
const Carry = agreement('carry', {
  parties: {
    first: some(Courier, 1).offer,
    spare: some(Courier, (tally) => (tally.accepted > 0 ? 'confirm' : tally.open === 0 ? 'cancel' : 'wait')).offer,
  },
  decideWithinMs: 5_000,
});
/** A type may be a party of its own agreement. */
const Swap = agreement('swap', {
  parties: { other: one(Courier).offer, shut: one(Account).close },
  decideWithinMs: 5_000,
});
export const swapping = (turn: Turn<typeof Courier>): OpenAgreement<'swap'> =>
  turn.agree(Swap, { other: { key: 'b', input: { to: 'x' } }, shut: { key: 'c' } });

export const order = behaviour(
  Order,
  {
    place(turn) {
      turn.state.open = turn.agree(Place, {
        stock: [{ key: 'tea', input: { units: 1 } }],
        payment: { key: 'ann', input: { cents: 1 } },
      });
    },
    giveUp(turn) {
      if (turn.state.open !== undefined) turn.cancel(turn.state.open);
    },
  },
  {
    agreements: [
      agreed(Order, Place, {
        decided(turn, outcome) {
          if (outcome.decision === 'confirm')
            turn.state.status = outcome.parties.stock.map(({ output }) => output.shelf).join();
          else if (outcome.parties.payment.status === 'refused') turn.state.status = outcome.parties.payment.reason;
          else turn.state.status = outcome.because;
        },
        broken(turn, breach) {
          const { role, why } = breach;
          role satisfies 'stock' | 'payment';
          if (breach.role === 'stock') breach.output.shelf satisfies string;
          why satisfies 'lapsed' | 'failed' | 'undelivered';
          if (turn.state.open !== undefined) turn.resolve(turn.state.open);
        },
        settled(turn, of) {
          of.agreement satisfies 'place';
          turn.state.open = undefined;
        },
      }),
    ],
  },
);

export function wrong(turn: Turn<typeof Order>, hold: Hold, open: OpenAgreement): void {
  turn.cancel(hold);
  // @ts-expect-error an agreement is confirmed by its answers, not by the application
  turn.confirm(open);
  // @ts-expect-error a hold is not an agreement
  turn.resolve(hold);
  // @ts-expect-error only tentative operations can be parties
  many(Stock).receive;
  // @ts-expect-error a role is missing
  turn.agree(Place, { stock: [] });
  // @ts-expect-error `one` is one, not a list
  turn.agree(Place, { stock: [], payment: [{ key: 'ann', input: { cents: 1 } }] });
  // @ts-expect-error the input of another party
  turn.agree(Place, { stock: [{ key: 'tea', input: { cents: 1 } }], payment: { key: 'ann', input: { cents: 1 } } });
  // @ts-expect-error the input is missing
  turn.agree(Place, { stock: [{ key: 'tea' }], payment: { key: 'ann', input: { cents: 1 } } });
  // @ts-expect-error a hub must say what it does when the agreement is broken
  agreed(Order, Place, { decided() {} });
  agreed(Order, Place, {
    // @ts-expect-error a turn does not wait
    async decided() {},
    broken() {},
  });
  agreed(Order, Place, {
    decided(_turn, outcome) {
      // @ts-expect-error it may be cancelled: not every stock has accepted
      outcome.parties.stock[0]?.output;
    },
    broken() {},
  });
  agreed(Courier, Carry, {
    decided(_turn, { parties }) {
      // @ts-expect-error of `some` not all have accepted, also when it is confirmed
      parties.first[0]?.output.minutes;
    },
    broken() {},
  });
  // @ts-expect-error a rule has three verdicts
  some(Courier, () => 'maybe');
  // @ts-expect-error a party is a tentative operation, not a contract
  agreement('bad', { parties: { stock: Stock }, decideWithinMs: 1 });
}
