/**
 * Ring: entities that send each other numbered messages, answer them, refuse, throw and pass them on.
 *
 * Numbers show order (P6) and repetition (P4), activities are compared with the state at every commit (P1), and at the end
 * every message sent must have been answered once (P7). With more partners than fit in memory.
 */
import { answers, behaviour, command, entity, query, type Turn, unchecked } from '../../core/index.ts';
import {
  decode,
  type Invariant,
  type SimulatedClient,
  type Stage,
  type StoredEntity,
} from '../../runtime/testing/index.ts';
import type { Calls } from './calls.ts';
import { Ledger } from './ledger.ts';

type Mode = 'plain' | 'refuse' | 'throw' | 'poison';
type Counts = Record<string, number>;

interface RingState {
  turns: number;
  log: string[];
  sent: Counts;
  received: Counts;
  last: Counts;
  /** By sender: the numbers that were processed. */
  seen: Record<string, number[]>;
  answered: Counts;
  done: Counts;
  lastAnswer: Counts;
  exploded: number;
  isDefused: boolean;
  tokens: number;
  anomalies: string[];
}

interface Pass {
  n: number;
  hops: number;
  mode: Mode;
  data: number[];
}

export const Ring = entity('ring', {
  initial: (): RingState => ({
    turns: 0,
    log: [],
    sent: {},
    received: {},
    last: {},
    seen: {},
    answered: {},
    done: {},
    lastAnswer: {},
    exploded: 0,
    isDefused: false,
    tokens: 0,
    anomalies: [],
  }),
  operations: {
    kick: command(unchecked<{ id: string; to: string[]; hops: number; mode: Mode }>(), unchecked<{ turns: number }>()),
    compare: command(unchecked<{ id: string; one: string; other: string }>(), unchecked<{ turns: number }>()),
    remind: command(unchecked<{ id: string; ledger: string; afterMs: number }>(), unchecked<{ turns: number }>()),
    pass: command(unchecked<Pass>(), unchecked<{ n: number }>()),
    defuse: command(unchecked<{ id: string }>()),
    look: query(unchecked<{ turns: number }>()),
  },
  activities: { ring: () => ({ sent: 0, received: 0, answered: 0 }) },
});

type RingTurn = Turn<typeof Ring>;

export const ringKeys = (count: number): string[] => Array.from({ length: count }, (_, index) => `r${index}`);

function sendOn(turn: RingTurn, to: string, hops: number, mode: Mode): void {
  if (to === turn.key) return;
  const n = (turn.state.sent[to] ?? 0) + 1;
  turn.state.sent[to] = n;
  const partner = turn.to(Ring, to);
  partner.activity.sent += 1;
  const data = [n, n];
  partner.pass({ n, hops, mode, data });
  // The message is on its way: nothing that happens here shows in it (P11).
  data.push(-1);
}

function applied(turn: RingTurn, id: string): { turns: number } {
  turn.state.turns += 1;
  turn.state.log.push(id);
  return { turns: turn.state.turns };
}

function takePass(turn: RingTurn, { n, hops, mode, data }: Pass): { n: number } {
  const { from, state } = turn;
  if (from.kind !== 'entity') throw new Error('only rings pass');
  const { key } = from;
  if (mode === 'refuse') turn.refuse('not now', { n });
  if (mode === 'poison') {
    state.exploded += 1;
    if (!state.isDefused) throw new Error('poison');
    return { n };
  }
  if (n <= (state.last[key] ?? 0)) state.anomalies.push(`${n} of ${key} after ${state.last[key]}`);
  if (data.length !== 2 || data[0] !== n || data[1] !== n)
    state.anomalies.push(`P11: ${n} of ${key} came with ${JSON.stringify(data)}`);
  state.last[key] = n;
  state.seen[key] = [...(state.seen[key] ?? []), n];
  state.received[key] = (state.received[key] ?? 0) + 1;
  const activity = turn.activity as { received: number };
  activity.received += 1;
  if (hops > 0) sendOn(turn, `r${Math.floor(turn.random() * 6)}`, hops - 1, 'plain');
  if (mode === 'throw' && turn.random() < 0.5) throw new Error('transient');
  return { n };
}

export const ring = behaviour(
  Ring,
  {
    kick(turn, { id, to, hops, mode }) {
      for (const key of to) sendOn(turn, key, hops, mode);
      return applied(turn, id);
    },
    compare(turn, { id, one, other }) {
      const [left, right] = [turn.to(Ring, one).activity, turn.to(Ring, other).activity];
      if (left.sent !== (turn.state.sent[one] ?? 0))
        turn.state.anomalies.push(`activity with ${one} has ${left.sent} sent`);
      if (right.received !== (turn.state.received[other] ?? 0))
        turn.state.anomalies.push(`activity with ${other} has ${right.received} received`);
      return applied(turn, id);
    },
    remind(turn, { id, ledger, afterMs }) {
      turn.state.tokens += 1;
      turn.to(Ledger, ledger, { afterMs }).note({ token: `${turn.key} ${id}` });
      return applied(turn, id);
    },
    pass: takePass,
    defuse(turn, { id }) {
      turn.state.isDefused = true;
      applied(turn, id);
    },
    look: ({ state }) => ({ turns: state.turns }),
  },
  {
    answers: [
      answers(Ring, Ring, {
        pass(turn, answer) {
          const { from, state } = turn;
          if (from.kind !== 'entity') throw new Error('only rings answer');
          const { key } = from;
          state.answered[key] = (state.answered[key] ?? 0) + 1;
          turn.activity.answered += 1;
          if (answer.status !== 'done') return;
          state.done[key] = (state.done[key] ?? 0) + 1;
          if (answer.output.n <= (state.lastAnswer[key] ?? 0))
            state.anomalies.push(`answer ${answer.output.n} of ${key} after ${state.lastAnswer[key]}`);
          state.lastAnswer[key] = answer.output.n;
        },
      }),
    ],
  },
);

export const ringInvariant: Invariant = ({ state, partners, activities }: StoredEntity) => {
  const { anomalies, sent, received, answered } = state.value as RingState;
  if (anomalies.length > 0) throw new Error(anomalies.join('; '));
  for (const key of new Set([...Object.keys(sent), ...Object.keys(received), ...Object.keys(answered)])) {
    const known = partners.get(`ring/${key}`)?.application.value as
      | { sent: number; received: number; answered: number }
      | undefined;
    const expected = [sent[key] ?? 0, received[key] ?? 0, answered[key] ?? 0].join();
    const actual = known === undefined ? 'none' : [known.sent, known.received, known.answered].join();
    if (expected !== actual)
      throw new Error(`state about ${key} (sent, received, answered) ${expected}, activity ${actual}`);
    const outbox =
      activities.get(`ring/${key}`)?.outbound?.unacked.filter(({ content }) => content.kind === 'operation') ?? [];
    const last = outbox.at(-1);
    if (last !== undefined && (decode(last.content.payload) as Pass).n !== sent[key])
      throw new Error(
        `the outbox to ${key} ends with ${(decode(last.content.payload) as Pass).n}, sent were ${sent[key]}`,
      );
  }
};

/** How a message that became a dead letter was to be processed. */
export function modeOf({ content }: { readonly content: { readonly payload: Uint8Array } }): string | undefined {
  return content.payload.length === 0 ? undefined : (decode(content.payload) as Partial<Pass>).mode;
}

/** At the end: every message was processed and answered once, but for those that became dead letters. */
export function checkRings(stage: Stage, rings: readonly StoredEntity[]): void {
  const byKey = new Map(rings.map((one) => [one.key, one]));
  const lost = (from: StoredEntity | undefined, to: string) =>
    [...(from?.dead.values() ?? [])].filter(({ side, partner }) => side === 'sender' && partner === `ring/${to}`)
      .length;
  for (const one of rings) {
    checkLetters(stage, one, byKey);
    const { sent, answered, done } = one.state.value as RingState;
    for (const [to, count] of Object.entries(sent)) {
      const other = byKey.get(to);
      const slack = lost(one, to) + lost(other, one.key);
      const missing = count - (answered[to] ?? 0);
      if (missing < 0 || missing > slack)
        stage.violate(
          'P7',
          `${one.address} sent ${count} to ${to}, ${answered[to] ?? 0} were answered, ${slack} are dead letters`,
        );
      const received = (other?.state.value as RingState | undefined)?.received[one.key] ?? 0;
      const excess = received - (done[to] ?? 0);
      if (excess < 0 || excess > slack)
        stage.violate('P4', `${to} processed ${received} of ${one.address}, which got ${done[to] ?? 0} answers 'done'`);
    }
  }
}

/** What a dead letter says was not processed was not. */
function checkLetters(
  stage: Stage,
  { address, key, dead }: StoredEntity,
  byKey: ReadonlyMap<string, StoredEntity>,
): void {
  for (const { side, partner, content, reason } of dead.values()) {
    if (
      side !== 'sender' ||
      content.operation !== 'pass' ||
      content.kind !== 'operation' ||
      reason.includes('in doubt')
    )
      continue;
    const { n } = decode(content.payload) as Pass;
    const seen = (byKey.get(partner.slice('ring/'.length))?.state.value as RingState | undefined)?.seen[key] ?? [];
    if (seen.includes(n))
      stage.violate('P7', `${n} of ${address} was processed by ${partner}, and is a dead letter: ${reason}`);
  }
}

export async function useRing(
  { client, chance, name }: SimulatedClient,
  calls: Calls,
  keys: readonly string[],
  number: number,
): Promise<void> {
  const key = chance.pick(keys);
  const ref = client.entity(Ring, key);
  const address = `ring/${key}`;
  const id = `${name}-${number}.`;
  const which = chance.next();
  if (which < 0.15) return calls.look(address, () => ref.look());
  if (which < 0.25)
    return void (await calls.make(address, id, () =>
      ref.compare({ id, one: chance.pick(keys), other: chance.pick(keys) }),
    ));
  if (which < 0.35)
    return void (await calls.make(address, id, () =>
      ref.remind({ id, ledger: 'a', afterMs: chance.between(0, 3_000) }),
    ));
  const to = Array.from({ length: chance.between(1, 6) }, () => chance.pick(keys));
  const mode: Mode = chance.hits(0.15) ? 'throw' : chance.hits(0.1) ? 'refuse' : chance.hits(0.05) ? 'poison' : 'plain';
  await calls.make(address, id, () => ref.kick({ id, to, hops: chance.between(0, 3), mode }));
}
