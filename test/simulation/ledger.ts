/**
 * Ledger: a register with refusals, throws, a state that is small or large, named timers, and a log of what was applied.
 *
 * Its invariants tie state and timers (P1) and would show shared memory (P11); its log is what calls are counted in (P4).
 */
import { behaviour, command, entity, query, type Turn, unchecked } from '../../core/index.ts';
import {
  decode,
  type Invariant,
  type SimulatedClient,
  type Stage,
  type StoredEntity,
} from '../../runtime/testing/index.ts';
import type { Calls } from './calls.ts';

interface LedgerState {
  turns: number;
  log: string[];
  sum: number;
  last: number[];
  filler: string;
  alarms: Record<string, number>;
  fired: number;
  notes: Record<string, number>;
  isCalm: boolean;
  anomalies: string[];
}

export const Ledger = entity('ledger', {
  initial: (): LedgerState => ({
    turns: 0,
    log: [],
    sum: 0,
    last: [0, 0],
    filler: '',
    alarms: {},
    fired: 0,
    notes: {},
    isCalm: false,
    anomalies: [],
  }),
  operations: {
    add: command(
      unchecked<{ id: string; amount: number; list: number[] }>(),
      unchecked<{ turns: number; list: number[] }>(),
    ),
    fill: command(unchecked<{ id: string; length: number }>(), unchecked<{ turns: number }>()),
    alarm: command(unchecked<{ id: string; name: string; afterMs: number }>(), unchecked<{ turns: number }>()),
    disarm: command(unchecked<{ id: string; name: string }>(), unchecked<{ turns: number }>()),
    ring: command(unchecked<{ name: string; generation: number }>()),
    calm: command(unchecked<{ id: string }>()),
    note: command(unchecked<{ token: string }>()),
    look: query(unchecked<{ turns: number; last: number[] }>()),
  },
});

type LedgerTurn = Turn<typeof Ledger>;

function applied(turn: LedgerTurn, id: string): { turns: number } {
  turn.state.turns += 1;
  turn.state.log.push(id);
  return { turns: turn.state.turns };
}

export const ledger = behaviour(Ledger, {
  add(turn, { id, amount, list }) {
    if (amount < 0) {
      turn.state.log.push(`refused ${id}`);
      turn.refuse('negative', { amount });
    }
    applied(turn, id);
    turn.state.sum += amount;
    if (amount === 13) throw new Error('unlucky');
    turn.state.last = list;
    list.push(-1);
    return { turns: turn.state.turns, list: turn.state.last };
  },
  fill(turn, { id, length }) {
    turn.state.filler = 'x'.repeat(length);
    return applied(turn, id);
  },
  alarm(turn, { id, name, afterMs }) {
    const { turns } = applied(turn, id);
    turn.state.alarms[name] = turns;
    turn.timer(name, { afterMs }).ring({ name, generation: turns });
    return { turns };
  },
  disarm(turn, { id, name }) {
    delete turn.state.alarms[name];
    turn.cancelTimer(name);
    return applied(turn, id);
  },
  ring(turn, { name, generation }) {
    const expected = turn.state.alarms[name];
    if (name !== 'bad' && expected !== generation)
      turn.state.anomalies.push(`timer ${name} of turn ${generation} fired, expected ${expected}`);
    delete turn.state.alarms[name];
    turn.state.fired += 1;
    if (name === 'bad' && !turn.state.isCalm) throw new Error('bad timer');
  },
  calm(turn, { id }) {
    turn.state.isCalm = true;
    applied(turn, id);
  },
  note(turn, { token }) {
    const count = (turn.state.notes[token] ?? 0) + 1;
    turn.state.notes[token] = count;
    if (count > 1) turn.state.anomalies.push(`note ${token} came ${count} times`);
  },
  look: ({ state }) => ({ turns: state.turns, last: [...state.last] }),
});

function ensure(isSo: boolean, text: () => string): void {
  if (!isSo) throw new Error(text());
}

export const ledgerInvariant: Invariant = ({ state, timers }: StoredEntity) => {
  const { alarms, anomalies, last, log, turns } = state.value as LedgerState;
  ensure(anomalies.length === 0, () => anomalies.join('; '));
  ensure(log.length === turns, () => `${turns} turns, ${log.length} in the log`);
  ensure(last.length === 2 && last[1] === 2 * (last[0] ?? 0), () => `P11: the last list is ${JSON.stringify(last)}`);
  const set = Object.keys(alarms)
    .filter((name) => name !== 'bad')
    .sort();
  const timed = [...timers.keys()].filter((name) => name !== 'bad').sort();
  ensure(set.join() === timed.join(), () => `alarms ${set.join()}, timers ${timed.join()}`);
  for (const { name, content } of timers.values()) {
    const { generation } = decode(content.payload) as { generation: number };
    ensure(
      name === 'bad' || generation === alarms[name],
      () => `alarm ${name} of turn ${alarms[name]} has a timer of turn ${generation}`,
    );
  }
};

/** How often the entity applied each id. */
export function appliedBy({ state }: StoredEntity): Map<string, number> {
  const counts = new Map<string, number>();
  for (const id of (state.value as LedgerState).log) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

/** Calls of one client that come one behind the other, and are many at once: a deep stream. Less than a mailbox holds. */
export async function surge(
  stage: Stage,
  { client, chance, name }: SimulatedClient,
  calls: Calls,
  number: number,
): Promise<void> {
  const count = chance.between(3, Math.max(4, Math.floor(stage.limits.mailboxCountMax / 2)));
  const add = (index: number) => {
    const id = `${name}-${number}+${index}.`;
    return calls.make('ledger/deep', id, () =>
      client.entity(Ledger, 'deep').add({ id, amount: 1, list: [index, 2 * index] }),
    );
  };
  const all = await Promise.all(Array.from({ length: count }, (_, index) => add(index)));
  if (all.filter(({ outcome }) => outcome === 'done').length > 2) stage.covered('a deep stream of a client');
}

/** From processing on; the second use comes at most 3.8 s after that, and two skews. */
const briefMs = 5_000;

/** A key that is used twice within its life, and once more when that is over: then it is another request. */
export async function useBriefKey(
  stage: Stage,
  { client, chance, name, sleep }: SimulatedClient,
  calls: Calls,
  number: number,
): Promise<void> {
  const address = 'ledger/keys';
  const deadlineMs = 1_000;
  const options = { deadlineMs, keyLifeMs: briefMs, idempotencyKey: `brief ${name}-${number}` };
  const add = (id: string) =>
    calls.make(address, id, () => client.entity(Ledger, 'keys').add({ id, amount: 1, list: [1, 2] }, options));
  const first = `brief-${name}-${number}.`;
  await add(first);
  // At once, or when its own deadline is over, which alone would let it be forgotten.
  await sleep(chance.hits(0.5) ? chance.between(0, 400) : chance.between(1_200, 1_800));
  await add(first);
  const { skewMaxMs, transitMaxMs } = stage.limits;
  await sleep(briefMs + deadlineMs + transitMaxMs + 4 * skewMaxMs);
  const again = await add(`brief-${name}-${number}-again.`);
  if (again.outcome === 'done') stage.covered('a key that was used anew');
}

let nothing: unknown;

/** One random thing that a client does with a ledger. */
export async function useLedger(
  { client, chance, name, identity }: SimulatedClient,
  calls: Calls,
  key: string,
  number: number,
): Promise<void> {
  const ref = client.entity(Ledger, key);
  const address = `ledger/${key}`;
  const id = `${name}-${number}.`;
  const options = chance.hits(0.2) ? { deadlineMs: chance.between(50, 3_000) } : {};
  const which = chance.next();
  if (which < 0.25) return calls.look(address, () => ref.look());
  if (which < 0.65) {
    const amount = chance.hits(0.1) ? -1 : chance.hits(0.05) ? 13 : chance.between(1, 9);
    // One in four is a call that another client of the same identity makes too, under one key.
    const shared = chance.hits(0.25) ? `shared-${identity}${chance.between(1, 12)}.` : undefined;
    const list = [shared === undefined ? number : 7, shared === undefined ? 2 * number : 14];
    const input = { id: shared ?? id, amount: shared === undefined ? amount : 5, list };
    const asked = calls.make(address, input.id, () =>
      ref.add(
        input,
        shared === undefined ? options : { ...options, idempotencyKey: `${address} ${shared}`, keyLifeMs: 10_000_000 },
      ),
    );
    // What a caller does with its own objects afterwards must not reach the entity.
    list.push(99);
    input.id = 'changed after the call';
    const call = await asked;
    nothing = (call.output as { list?: number[] } | undefined)?.list?.length;
    return;
  }
  if (which < 0.75)
    return void (await calls.make(address, id, () =>
      ref.fill({ id, length: chance.pick([0, 300, 3_000, 5_000]) }, options),
    ));
  const alarm = chance.pick(['one', 'two', 'bad']);
  if (which < 0.93)
    return void (await calls.make(address, id, () =>
      ref.alarm({ id, name: alarm, afterMs: chance.between(0, 3_000) }, options),
    ));
  await calls.make(address, id, () => ref.disarm({ id, name: alarm }, options));
}

export const read = () => nothing;
