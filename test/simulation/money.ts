/**
 * Money: accounts whose withdrawals are tentative, and transfers that reserve, confirm, cancel or let lapse.
 *
 * No unit appears or disappears, and each hold ends once, whoever ends it: a client, another entity, or its time.
 */
import {
  answers,
  behaviour,
  command,
  entity,
  type Hold,
  query,
  type Turn,
  tentative,
  unchecked,
} from '../../core/index.ts';
import {
  decode,
  type Invariant,
  type SimulatedClient,
  type Stage,
  type StoredEntity,
} from '../../runtime/testing/index.ts';
import type { Calls } from './calls.ts';

interface AccountState {
  turns: number;
  log: string[];
  balance: number;
  held: number;
  deposits: number;
  credits: number;
  paid: number;
  paidTransfers: number;
  ended: Record<string, string>;
  credited: Record<string, number>;
  anomalies: string[];
}

interface Withdrawal {
  id: string;
  amount: number;
}

export const Account = entity('account', {
  initial: (): AccountState => ({
    turns: 0,
    log: [],
    balance: 0,
    held: 0,
    deposits: 0,
    credits: 0,
    paid: 0,
    paidTransfers: 0,
    ended: {},
    credited: {},
    anomalies: [],
  }),
  operations: {
    deposit: command(unchecked<{ id: string; amount: number }>(), unchecked<{ turns: number }>()),
    credit: command(unchecked<Withdrawal>()),
    withdraw: tentative(unchecked<Withdrawal>(), { holdMs: 1_500 }),
    look: query(unchecked<{ turns: number }>()),
  },
});

function endHold(turn: Turn<typeof Account>, { id }: Withdrawal, how: string): void {
  const before = turn.state.ended[id];
  if (before !== undefined) turn.state.anomalies.push(`hold of ${id} was ${before} and is ${how}`);
  turn.state.ended[id] = how;
}

export const account = behaviour(Account, {
  deposit(turn, { id, amount }) {
    turn.state.balance += amount;
    turn.state.deposits += amount;
    turn.state.turns += 1;
    turn.state.log.push(id);
    return { turns: turn.state.turns };
  },
  credit(turn, { id, amount }) {
    if (turn.state.credited[id] !== undefined) turn.state.anomalies.push(`${id} credited twice`);
    turn.state.credited[id] = amount;
    turn.state.balance += amount;
    turn.state.credits += amount;
  },
  withdraw: {
    tentative(turn, { amount }) {
      if (amount > turn.state.balance) turn.refuse('not enough');
      turn.state.balance -= amount;
      turn.state.held += amount;
    },
    confirm(turn, given) {
      turn.state.held -= given.amount;
      turn.state.paid += given.amount;
      if (given.id.startsWith('transfer')) turn.state.paidTransfers += given.amount;
      endHold(turn, given, 'confirmed');
    },
    cancel(turn, given) {
      turn.state.held -= given.amount;
      turn.state.balance += given.amount;
      endHold(turn, given, 'cancelled');
    },
  },
  look: ({ state }) => ({ turns: state.turns }),
});

type Status =
  | 'idle'
  | 'asked'
  | 'accepted'
  | 'confirming'
  | 'cancelling'
  | 'crediting'
  | 'done'
  | 'refused'
  | 'failed'
  | 'cancelled'
  | 'lapsed';
type Plan = 'confirm' | 'cancel' | 'wait';

interface TransferState {
  turns: number;
  log: string[];
  status: Status;
  amount: number;
  to: string;
  plan: Plan;
  hold: Hold | undefined;
  anomalies: string[];
}

export const Transfer = entity('transfer', {
  initial: (): TransferState => ({
    turns: 0,
    log: [],
    status: 'idle',
    amount: 0,
    to: '',
    plan: 'confirm',
    hold: undefined,
    anomalies: [],
  }),
  operations: {
    start: command(
      unchecked<{ id: string; from: string; to: string; amount: number; plan: Plan; waitMs: number }>(),
      unchecked<{ turns: number }>(),
    ),
    decide: command(),
  },
});

function move(turn: { readonly state: TransferState }, from: Status, to: Status): boolean {
  const { state } = turn;
  if (state.status !== from) state.anomalies.push(`${state.status} where ${from} should be, on the way to ${to}`);
  state.status = to;
  return true;
}

export const transfer = behaviour(
  Transfer,
  {
    start(turn, { id, from, to, amount, plan, waitMs }) {
      const { state } = turn;
      if (state.status !== 'idle') turn.refuse('started');
      state.turns += 1;
      state.log.push(id);
      Object.assign(state, { status: 'asked', amount, to, plan });
      turn.to(Account, from).withdraw({ id: `transfer ${turn.key}`, amount });
      if (plan === 'wait') turn.timer('decide', { afterMs: waitMs }).decide();
      return { turns: 1 };
    },
    decide(turn) {
      const { hold, status } = turn.state;
      if (hold === undefined || status !== 'accepted') return;
      turn.confirm(hold);
      move(turn, 'accepted', 'confirming');
    },
  },
  {
    answers: [
      answers(Transfer, Account, {
        withdraw(turn, answer) {
          const { state } = turn;
          if (answer.status === 'accepted') {
            state.hold = answer.hold;
            move(turn, 'asked', 'accepted');
            if (state.plan === 'wait') return;
            turn[state.plan](answer.hold);
            move(turn, 'accepted', state.plan === 'confirm' ? 'confirming' : 'cancelling');
          } else if (answer.status === 'confirmed') {
            move(turn, 'confirming', 'crediting');
            turn.to(Account, state.to).credit({ id: turn.key, amount: state.amount });
          } else if (answer.status === 'lapsed') {
            move(turn, state.plan === 'cancel' ? 'cancelling' : 'confirming', 'lapsed');
          } else if (answer.status === 'cancelled') {
            move(turn, 'cancelling', 'cancelled');
          } else {
            // A hold that lapsed longer than a horizon ago is not known any more.
            const isForgotten = answer.status === 'failed' && answer.code === 'hold-unknown';
            move(turn, state.status, isForgotten ? 'lapsed' : answer.status);
          }
        },
        credit: (turn, answer) => void move(turn, 'crediting', answer.status === 'done' ? 'done' : 'failed'),
      }),
    ],
  },
);

export const accountInvariant: Invariant = ({ state, holds }: StoredEntity) => {
  const { anomalies, balance, held, paid, deposits, credits } = state.value as AccountState;
  if (anomalies.length > 0) throw new Error(anomalies.join('; '));
  if (balance < 0 || balance + held + paid !== deposits + credits)
    throw new Error(`balance ${balance} + held ${held} + paid ${paid}, deposits ${deposits} + credits ${credits}`);
  let sum = 0;
  for (const hold of holds.values()) if (!hold.isLapsed) sum += (decode(hold.payload) as Withdrawal).amount;
  if (sum !== held) throw new Error(`${held} held, holds of ${sum}`);
};

export const transferInvariant: Invariant = ({ state }: StoredEntity) => {
  const { anomalies } = state.value as TransferState;
  if (anomalies.length > 0) throw new Error(anomalies.join('; '));
};

/** At the end: what left accounts by transfers arrived, and every transfer has come to an end. */
export function checkMoney(stage: Stage, accounts: readonly StoredEntity[], transfers: readonly StoredEntity[]): void {
  const ends: ReadonlySet<Status> = new Set(['done', 'refused', 'failed', 'cancelled', 'lapsed']);
  let done = 0;
  let isExact = true;
  for (const { address, state, dead } of [...accounts, ...transfers]) {
    if (dead.size > 0) isExact = false;
    if (!address.startsWith('transfer/')) continue;
    const { status, amount, log, plan } = state.value as TransferState;
    if (status === 'done') done += amount;
    if (log.length > 1) stage.violate('P4', `${address} started ${log.length} times`);
    // One that waited too long with its decision has let its hold lapse.
    const isLate = status === 'accepted' && plan === 'wait';
    if (!ends.has(status) && !isLate && status !== 'idle' && isExact)
      stage.violate('P7', `${address} ended as ${status}`);
  }
  const sum = (pick: (state: AccountState) => number) =>
    accounts.reduce((total, { state }) => total + pick(state.value as AccountState), 0);
  const [credited, paid] = [sum((state) => state.credits), sum((state) => state.paidTransfers)];
  if (isExact && (credited !== done || paid !== done))
    stage.violate('P4', `transfers of ${done} are done, ${paid} was paid and ${credited} credited for them`);
  if (credited > paid) stage.violate('P4', `${credited} credited, ${paid} paid`);
}

export async function useMoney(
  one: SimulatedClient,
  calls: Calls,
  keys: readonly string[],
  number: number,
): Promise<void> {
  const { client, chance, name } = one;
  const key = chance.pick(keys);
  const ref = client.entity(Account, key);
  const address = `account/${key}`;
  const id = `${name}-${number}.`;
  const which = chance.next();
  if (which < 0.15) return calls.look(address, () => ref.look());
  if (which < 0.45)
    return void (await calls.make(address, id, () => ref.deposit({ id, amount: chance.between(5, 50) })));
  if (which < 0.7) {
    const given = {
      id,
      from: key,
      to: chance.pick(keys),
      amount: chance.between(1, 20),
      plan: chance.pick<Plan>(['confirm', 'confirm', 'cancel', 'wait']),
      waitMs: chance.between(500, 2_500),
    };
    return void (await calls.make(`transfer/${id}`, id, () => client.entity(Transfer, id).start(given)));
  }
  await withdrawSelf(one, calls, key, id);
}

/** A client's own hold, which it confirms, cancels, or forgets about. */
async function withdrawSelf(
  { client, chance, sleep }: SimulatedClient,
  calls: Calls,
  key: string,
  id: string,
): Promise<void> {
  const asked = await calls.make('holds', id, () =>
    client.entity(Account, key).withdraw({ id, amount: chance.between(1, 10) }),
  );
  if (asked.outcome !== 'done') return;
  const held = asked.output as { confirm(): Promise<void>; cancel(): Promise<void> };
  asked.output = undefined;
  await sleep(chance.between(0, 1_800));
  const how = chance.pick(['confirm', 'cancel', 'forget'] as const);
  if (how !== 'forget') await calls.make(`${how} account/${key}`, id, () => held[how]());
}

/** At the end: a client that was told 'confirmed' or 'cancelled' was told the truth. */
export function checkHolds(stage: Stage, accounts: readonly StoredEntity[], calls: Calls): void {
  const byAddress = new Map(accounts.map((one) => [one.address, one.state.value as AccountState]));
  for (const { address, id, outcome, error } of calls.all) {
    const [how, account] = address.split(' ');
    const state = account === undefined ? undefined : byAddress.get(account);
    if (state === undefined || (how !== 'confirm' && how !== 'cancel')) continue;
    const ended = state.ended[id];
    const isWrong =
      outcome === 'done'
        ? ended !== `${how === 'confirm' ? 'confirm' : 'cancell'}ed`
        : error?.code === 'lapsed' && ended !== 'cancelled';
    if (isWrong)
      stage.violate('P5', `${how} of ${id} on ${account} was ${error?.code ?? 'done'}, and the hold is ${ended}`);
  }
}
