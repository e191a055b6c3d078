/**
 * The measured entities: small ones of the kinds that applications have.
 *
 * echo: memory only. counter: the durable increment. wide: a large state with a small change. spreader and listener: one turn,
 * many messages. order and stock: an order reserves from its stocks and confirms. alarm: a timer. ten: ten fields, idle.
 */
import {
  type AnswerTurn,
  answers,
  behaviour,
  command,
  entity,
  type Hold,
  query,
  tentative,
  unchecked,
} from '../core/index.ts';

export const Echo = entity('perf-echo', {
  initial: () => ({ count: 0 }),
  operations: { say: command(unchecked<{ text: string }>(), unchecked<string>()), count: query(unchecked<number>()) },
});

export const echo = behaviour(
  Echo,
  {
    say(turn, { text }) {
      turn.state.count += 1;
      return text;
    },
    count: (view) => view.state.count,
  },
  { durability: 'none' },
);

export const Counter = entity('perf-counter', {
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

/** Items of a hundred bytes; a turn changes one of them. */
export const Wide = entity('perf-wide', {
  initial: () => ({ count: 0, items: [] as { name: string; count: number }[] }),
  operations: {
    fill: command(unchecked<{ bytes: number }>()),
    add: command(unchecked<{ by: number }>(), unchecked<number>()),
    count: query(unchecked<number>()),
  },
});

export const wide = behaviour(Wide, {
  fill(turn, { bytes }) {
    const name = 'n'.repeat(80);
    turn.state.items = Array.from({ length: Math.ceil(bytes / 100) }, () => ({ name, count: 0 }));
  },
  add(turn, { by }) {
    turn.state.count += 1;
    const { items } = turn.state;
    const item = items[(turn.state.count * 7_919) % Math.max(1, items.length)];
    if (item !== undefined) item.count += by;
    return turn.state.count;
  },
  count: (view) => view.state.count,
});

export const Listener = entity('perf-listener', {
  initial: () => ({ count: 0 }),
  operations: { hear: command(unchecked<{ text: string }>()), count: query(unchecked<number>()) },
});

export const listener = behaviour(Listener, {
  hear(turn) {
    turn.state.count += 1;
  },
  count: (view) => view.state.count,
});

/** `heard`: number of messages answered. */
export const Spreader = entity('perf-spreader', {
  initial: () => ({ heard: 0 }),
  operations: {
    spread: command(unchecked<{ to: string[]; text: string }>()),
    heard: query(unchecked<number>()),
  },
});

export const spreader = behaviour(
  Spreader,
  {
    spread(turn, { to, text }) {
      for (const key of to) turn.to(Listener, key).hear({ text });
    },
    heard: (view) => view.state.heard,
  },
  {
    answers: [
      answers(Spreader, Listener, {
        hear(turn, answer) {
          if (answer.status === 'done') turn.state.heard += 1;
        },
      }),
    ],
  },
);

export const Stock = entity('perf-stock', {
  initial: () => ({ free: 1_000_000_000, held: 0, sold: 0 }),
  operations: { reserve: tentative(unchecked<{ units: number }>()), sold: query(unchecked<number>()) },
});

export const stock = behaviour(Stock, {
  reserve: {
    tentative({ state }, { units }) {
      state.free -= units;
      state.held += units;
    },
    confirm({ state }, { units }) {
      state.held -= units;
      state.sold += units;
    },
    cancel({ state }, { units }) {
      state.held -= units;
      state.free += units;
    },
  },
  sold: (view) => view.state.sold,
});

export type Progress =
  | { readonly step: 'none' | 'sold' | 'lost' }
  | { readonly step: 'reserving' | 'held' | 'confirming'; readonly hold: Hold };

export const Order = entity('perf-order', {
  initial: () => ({ status: 'unknown' as 'unknown' | 'reserving' | 'placed' | 'failed', stocks: [] as string[] }),
  operations: {
    place: command(unchecked<{ stocks: string[] }>()),
    status: query(unchecked<string>()),
  },
  activities: { 'perf-stock': (): Progress => ({ step: 'none' }) },
});

export const order = behaviour(
  Order,
  {
    place(turn, { stocks }) {
      if (turn.state.status !== 'unknown') return;
      turn.state = { status: 'reserving', stocks };
      for (const key of stocks) {
        const partner = turn.to(Stock, key);
        partner.activity = { step: 'reserving', hold: partner.reserve({ units: 1 }) };
      }
    },
    status: (view) => view.state.status,
  },
  {
    answers: [
      answers(Order, Stock, {
        reserve(turn, { status, hold }) {
          if (status === 'accepted') turn.activity = { step: 'held', hold };
          else turn.activity = { step: status === 'confirmed' ? 'sold' : 'lost' };
          goOn(turn);
        },
      }),
    ],
  },
);

/** As in any order: nothing is confirmed before every stock holds its units, nothing is placed before all are sold. */
function goOn(turn: AnswerTurn<typeof Order, 'perf-stock'>): void {
  const partners = turn.state.stocks.map((key) => turn.to(Stock, key));
  const is = (step: Progress['step']) => (partner: (typeof partners)[0]) => partner.activity.step === step;
  if (partners.some(is('lost'))) turn.state.status = 'failed';
  else if (partners.every(is('sold'))) turn.state.status = 'placed';
  else if (partners.every(is('held')))
    for (const partner of partners) {
      const { activity } = partner;
      if (activity.step !== 'held') continue;
      turn.confirm(activity.hold);
      partner.activity = { step: 'confirming', hold: activity.hold };
    }
}

/** Lateness is by the one clock that set the alarm and fired it; after a handoff by two. */
export const Alarm = entity('perf-alarm', {
  initial: () => ({ dueAt: 0, firedAt: 0, fired: 0 }),
  operations: {
    set: command(unchecked<{ afterMs: number }>()),
    ring: command(),
    report: query(unchecked<{ fired: number; lateMs: number }>()),
  },
});

export const alarm = behaviour(Alarm, {
  set(turn, { afterMs }) {
    turn.state.dueAt = turn.now + afterMs;
    turn.timer('alarm', { at: turn.state.dueAt }).ring();
  },
  ring(turn) {
    turn.state.fired += 1;
    turn.state.firedAt = turn.now;
  },
  report: ({ state }) => ({ fired: state.fired, lateMs: state.fired === 0 ? -1 : state.firedAt - state.dueAt }),
});

export const Ten = entity('perf-ten', {
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
