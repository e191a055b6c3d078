/** What a turn can do to others, and what it gets back: sends, activities, holds, timers, effects, answers. */
import { answers, behaviour, settled, type Turn } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { entity, type Hold } from '../../core/entity.ts';
import { command, query, tentative, unchecked } from '../../core/operation.ts';
import { Customer, Order, Stock } from './shop.ts';

export function sendsAreRecordedNotAwaited(turn: Turn<typeof Order>): void {
  turn.to(Stock, 'tea').receive({ units: 1 });
  turn.to(Stock, 'tea').clear();
  turn.to(Stock, 'tea', { afterMs: 1_000 }).label({ at: '1' });
  turn.to(Stock, 'tea', { at: turn.now + 1 }).note();
  const hold: Hold = turn.to(Stock, 'tea').reserve({ units: 1 });
  turn.confirm(hold);
  turn.cancel(hold);
  // @ts-expect-error a send returns nothing: its answer is a turn of its own
  const answer: object = turn.to(Stock, 'tea').receive({ units: 1 });
  // @ts-expect-error a query cannot be sent from a turn
  turn.to(Stock, 'tea').available();
  // @ts-expect-error wrong input
  turn.to(Stock, 'tea').receive({ units: '1' });
  // @ts-expect-error the input is missing
  turn.to(Stock, 'tea').receive();
  // @ts-expect-error no such operation
  turn.to(Stock, 'tea').recieve({ units: 1 });
  // @ts-expect-error options belong to callers, not to turns
  turn.to(Stock, 'tea').receive({ units: 1 }, { deadlineMs: 5 });
  // @ts-expect-error the key is missing
  turn.to(Stock).receive({ units: 1 });
  // @ts-expect-error a time, not a number
  turn.to(Stock, 'tea', 1_000).receive({ units: 1 });
  // @ts-expect-error only a hold can be confirmed
  turn.confirm('tea');
  return void answer;
}

export function activitiesAreOfTheirPartner(turn: Turn<typeof Order>): void {
  const about = turn.to(Stock, 'tea');
  about.activity.tentativeUnits += 1;
  about.activity = { tentativeUnits: 0 };
  about.activity = undefined;
  // @ts-expect-error another partner's activity
  about.activity.greeted = true;
  // @ts-expect-error another shape
  about.activity = { units: 1 };
  turn.to(Customer, 'ann').activity.greeted = true;
  // @ts-expect-error nothing is declared about orders
  turn.to(Order, 'other').activity.tentativeUnits = 1;
  // @ts-expect-error nothing is declared about orders, so nothing can be kept
  turn.to(Order, 'other').activity = { tentativeUnits: 1 };
}

export function activityOfAnUnknownSender(turn: Turn<typeof Order>): void {
  turn.activity = undefined;
  turn.activity = { tentativeUnits: 2 };
  turn.activity = { greeted: true };
  // @ts-expect-error neither of the declared ones
  turn.activity = { units: 1 };
  // @ts-expect-error it may be a customer's
  turn.activity.tentativeUnits += 1;
  if (turn.activity !== undefined && 'greeted' in turn.activity) turn.activity.greeted = true;
}

export function contractsWithoutActivities(turn: Turn<typeof Customer>): void {
  // @ts-expect-error the contract declares no activity
  turn.activity = { anything: 1 };
}

export function timersAreMessagesToItself(turn: Turn<typeof Order>): void {
  turn.timer('reminder', { afterMs: 1_000 }).place({ lines: [] });
  turn.cancelTimer('reminder');
  // @ts-expect-error another type's operation
  turn.timer('reminder', { afterMs: 1_000 }).receive({ units: 1 });
  // @ts-expect-error a query changes nothing, so a timer cannot ask it
  turn.timer('reminder', { afterMs: 1_000 }).state();
  // @ts-expect-error it needs a time
  turn.timer('reminder').place({ lines: [] });
}

const charge = effect('charge', async (input: { cents: number }, context) => ({
  receipt: `${context.idempotencyKey} ${input.cents}`,
}));

export function effectsAreTyped(turn: Turn<typeof Order>): void {
  turn.perform(charge, { cents: 5 });
  // @ts-expect-error wrong input of an effect
  turn.perform(charge, { cents: '5' });
  // @ts-expect-error an effect is declared, so that it has a name and can be repeated
  turn.perform(async () => undefined, undefined);
  // @ts-expect-error an effect is async
  effect('charge', () => 1);
}

export const orderEffects = [
  settled(Order, charge, (turn, outcome) => {
    // @ts-expect-error it may have failed
    turn.state.id = outcome.output.receipt;
    if (outcome.status === 'done') turn.state.id = outcome.output.receipt;
    else turn.refuse(outcome.message);
  }),
  // @ts-expect-error an async handler
  settled(Order, charge, async () => {}),
  settled(Order, charge),
];

export function anEffectIsRegisteredBySettled(): void {
  // @ts-expect-error an effect without settled()
  behaviour(Customer, { ordered: () => undefined }, { effects: [charge] });
}

export const orderAnswers = answers(Order, Stock, {
  receive(turn, answer) {
    turn.activity.tentativeUnits = 0;
    // @ts-expect-error it may have been refused
    const output = answer.output;
    if (answer.status === 'refused') turn.state.id = answer.reason;
    else if (answer.status === 'failed') turn.state.id = `${answer.code} ${answer.message}`;
    return output;
  },
  count(turn, answer) {
    if (answer.status !== 'done') return;
    turn.state.lines.free = answer.output.free;
    // @ts-expect-error a command has no hold
    turn.confirm(answer.hold);
  },
  reserve(turn, answer) {
    switch (answer.status) {
      case 'accepted':
        turn.activity.tentativeUnits += 1;
        return turn.confirm(answer.hold);
      case 'refused':
        turn.state.id = answer.reason;
        return;
      case 'failed':
        return turn.cancel(answer.hold);
      case 'confirmed':
      case 'cancelled':
      case 'lapsed':
        turn.activity = undefined;
        return;
      default:
        answer satisfies never;
    }
  },
  inspect(turn, answer) {
    if (answer.status === 'accepted') turn.state.id = answer.output.grade;
    // @ts-expect-error only an accepted one has an output
    if (answer.status === 'confirmed') turn.state.id = answer.output.grade;
  },
});

export function answersAreOfTheirContract(): void {
  answers(Order, Stock, {
    // @ts-expect-error a query is never sent, so it never answers
    available() {},
  });
  answers(Order, Stock, {
    // @ts-expect-error no such operation
    recieve() {},
  });
  answers(Order, Stock, {
    // @ts-expect-error an async handler
    async receive() {},
  });
  answers(Customer, Stock, {
    receive(turn) {
      // @ts-expect-error customers keep nothing about stocks
      turn.activity.tentativeUnits = 1;
    },
  });
}

export function theSenderIsToldApart(turn: Turn<typeof Order>): string {
  switch (turn.from.kind) {
    case 'entity':
      return `${turn.from.type}/${turn.from.key}`;
    case 'client':
      return turn.from.id;
    case 'self':
      // @ts-expect-error itself has no key here
      return turn.from.key;
    default:
      return turn.from satisfies never;
  }
}

export const order = behaviour(
  Order,
  {
    place(turn, { lines }) {
      for (const { product, units } of lines) turn.to(Stock, product).reserve({ units });
    },
    state: (view) => ({ isOpen: view.state.isOpen }),
  },
  { answers: [orderAnswers], durability: { intervalMs: 100 }, reads: 'local' },
);

export function optionsAreClosed(): void {
  const handlers = { ordered() {} };
  behaviour(Customer, handlers, { durability: 'none', historyMs: 1, horizonMs: 1 });
  // @ts-expect-error no such durability
  behaviour(Customer, handlers, { durability: 'often' });
  // @ts-expect-error no such option
  behaviour(Customer, handlers, { durable: true });
  // @ts-expect-error an upgrade is a function
  behaviour(Customer, handlers, { version: 2, upgrades: { 1: {} } });
  const rename = (state: { name: string }): { title: string } => ({ title: state.name });
  behaviour(Customer, handlers, { version: 3, upgrades: { 1: (state) => ({ ...state, added: 0 }), 2: rename } });
  // @ts-expect-error an upgrade returns the state, also where it changes it in place
  behaviour(Customer, handlers, { version: 2, upgrades: { 1: (state) => void state.list.push(0) } });
}

export function aRefusalThatIsReturnedNarrowsWhatFollows(): void {
  const Cart = entity('cart', {
    initial: () => ({ product: undefined as string | undefined }),
    operations: {
      order: command(unchecked<{ units?: number }>(), unchecked<number>()),
      hold: tentative(unchecked<{ units?: number }>()),
      product: query(unchecked<string>()),
    },
  });
  behaviour(Cart, {
    order(turn, { units }) {
      if (units === undefined) return turn.refuse('how many?');
      return units satisfies number;
    },
    hold: {
      tentative(turn, { units }) {
        if (units === undefined) return turn.refuse('how many?');
        units satisfies number;
      },
      confirm() {},
      cancel() {},
    },
    product(view) {
      return view.state.product ?? view.refuse('none yet');
    },
  });
  behaviour(Cart, {
    order: () => 1,
    hold: {
      tentative(turn, { units }) {
        if (units === undefined) turn.refuse('how many?');
        // @ts-expect-error without `return` the compiler does not see that nothing follows
        units satisfies number;
      },
      confirm() {},
      cancel() {},
    },
    product: () => 'tea',
  });
}
