/**
 * Deals: hubs that open agreements of every kind with depots and with each other, several at once, and answer the calls that wait.
 *
 * A deal notes what it hears, in the turn in which it hears it: so what is decided twice, told twice, told without a reason or settled too
 * early is found at its commit (P13). What became of each party is compared at the end (`deal-check.ts`).
 *
 * Longer than 400 lines because contracts, turns and invariants of one workload are read together.
 */
import {
  type Agreement,
  agreed,
  agreement,
  type Behaviour,
  behaviour,
  command,
  entity,
  isSkerryError,
  type Later,
  type Limits,
  many,
  type OpenAgreement,
  one,
  query,
  type Rule,
  some,
  type Tally,
  type Turn,
  tentative,
  unchecked,
} from '../../core/index.ts';
import { Chance, decode, type StoredEntity } from '../../runtime/testing/index.ts';
import {
  type DepotState,
  depotBehaviours,
  depotsOf,
  type Got,
  type HoldTimes,
  holding,
  initialDepot,
  type Ran,
  supply,
  type Want,
} from './depot.ts';

/** What a handler of the hub does when it is told: some of its turns throw, or all until it is calm. */
export type Hearing = 'plain' | 'flaky' | 'stuck';
export type Kind = 'all' | 'mixed' | 'pick' | 'vote' | 'peer';

export interface Line {
  readonly role: string;
  readonly type: string;
  readonly key: string;
  readonly operation: string;
  readonly units: number;
  readonly manner: Want['manner'];
}

export interface Plan {
  readonly kind: Kind;
  readonly lines: readonly Line[];
  readonly cash: number;
  readonly hearing: Hearing;
  /** How long the application takes to resolve what is broken, ms; 0: at once. */
  readonly resolveMs: number;
  /** When this one is confirmed, the others of its call are cancelled. */
  readonly isJealous: boolean;
}

export interface Placing {
  readonly id: string;
  readonly plans: readonly Plan[];
  readonly waits: boolean;
}

export interface Told {
  readonly tag: string;
  readonly decision: string;
}

export interface Party extends Line {
  readonly tag: string;
}

export interface Row {
  readonly id: string;
  readonly kind: Kind;
  readonly at: number;
  readonly open: OpenAgreement;
  readonly cash: number;
  readonly hearing: Hearing;
  readonly resolveMs: number;
  readonly isJealous: boolean;
  readonly parties: Party[];
  later: Later<Told> | undefined;
  /** When the application cancelled it, ms; 0: it did not. */
  cancelledAt: number;
  decision: 'none' | 'confirm' | 'cancel';
  because: string;
  decidedAt: number;
  /** Tags of the parties that are to be confirmed. */
  winners: string[];
  /** Tags of the parties whose acceptance it has heard. */
  accepted: string[];
  broken: { readonly tag: string; readonly why: string }[];
  isSettled: boolean;
}

export interface DealState extends DepotState {
  turns: number;
  cash: number;
  cashHeld: number;
  spent: number;
  rows: Record<string, Row>;
  isCalm: boolean;
}

const purse = 100;

const initial = (): DealState => ({
  ...initialDepot(),
  turns: 0,
  cash: purse,
  cashHeld: 0,
  spent: 0,
  rows: {},
  isCalm: false,
});

/** More for than against. */
export const majority: Rule = ({ asked, accepted, declined }) =>
  2 * accepted > asked ? 'confirm' : 2 * declined >= asked ? 'cancel' : 'wait';

export interface DealTimes extends HoldTimes {
  readonly decideMs: number;
}

/** Holds that are as short as they may be in half of all seeds; and without end in a few, where no word can expire. */
export function dealTimesOf(seed: number, { skewMaxMs, wordMs, horizonMs }: Limits, isLossy: boolean): DealTimes {
  const chance = new Chance(seed, 'deals');
  const decideMs = chance.pick([300, 1_500, 4_000]);
  const reserveMs = decideMs + 2 * skewMaxMs + wordMs + chance.pick([0, 0, 500, 2_000]);
  const isEndless = !isLossy && horizonMs >= 60_000 && chance.hits(0.5);
  return { decideMs, reserveMs, lendMs: isEndless ? Number.POSITIVE_INFINITY : reserveMs + 1_000 };
}

export function contractsOf(times: DealTimes) {
  const depots = depotsOf(times);
  const deal = entity('deal', {
    initial,
    operations: {
      place: command(unchecked<Placing>(), unchecked<Told>()),
      /** One that is not waited for. */
      open: command(unchecked<Placing>(), unchecked<{ turns: number }>()),
      abandon: command(unchecked<{ id: string; isBlunt: boolean }>(), unchecked<{ tags: string[] }>()),
      resolve: command(unchecked<{ tag: string }>()),
      calm: command(unchecked<{ id: string }>()),
      vouch: tentative(unchecked<Want>(), { holdMs: times.lendMs, output: unchecked<Got>() }),
      look: query(unchecked<{ turns: number; openCount: number }>()),
    },
  });
  const { stock, shelf, cart } = depots;
  const decideWithinMs = times.decideMs;
  const agreements = {
    all: agreement('all', { parties: { goods: many(stock).reserve }, decideWithinMs }),
    mixed: agreement('mixed', {
      parties: { payer: one(stock).reserve, goods: many(shelf).reserve, extra: many(cart).reserve },
      decideWithinMs,
    }),
    pick: agreement('pick', {
      parties: { goods: many(stock).reserve, spare: some(stock, 2).lend },
      decideWithinMs,
    }),
    vote: agreement('vote', { parties: { voters: some(stock, majority).lend }, decideWithinMs }),
    peer: agreement('peer', { parties: { payer: one(stock).lend, peers: some(deal, 1).vouch }, decideWithinMs }),
  };
  return { deal, depots, agreements, times };
}

export type Contracts = ReturnType<typeof contractsOf>;
type DealTurn = Turn<Contracts['deal']>;
// biome-ignore lint/suspicious/noExplicitAny: any of them; what it takes is made by its plan
type AnyDeal = Agreement<string, any>;

// ---- opening

function openOne(turn: DealTurn, { agreements }: Contracts, plan: Plan, { id, index }: { id: string; index: number }) {
  const { state } = turn;
  const tag = `${turn.key} ${id}${index} ${Math.floor(turn.random() * 1e9)}`;
  const parties = plan.lines.map((line, place) => ({ ...line, tag: `${tag} ${place}` }));
  const of: AnyDeal = agreements[plan.kind];
  const invited: Record<string, unknown> = {};
  for (const [role, { count }] of Object.entries(of.parties as Record<string, { count: string }>)) {
    const asked = parties
      .filter((party) => party.role === role)
      .map(({ key, tag, units, manner }) => ({ key, input: { tag, units, manner } }));
    invited[role] = count === 'one' ? asked[0] : asked;
  }
  if (plan.cash > state.cash) turn.refuse('no cash');
  state.cash -= plan.cash;
  state.cashHeld += plan.cash;
  const { kind, cash, hearing, resolveMs, isJealous } = plan;
  state.rows[tag] = {
    ...{ id, kind, at: turn.now, cash, hearing, resolveMs, isJealous, parties },
    ...{ later: undefined, cancelledAt: 0, decision: 'none', because: '', decidedAt: 0 },
    ...{ winners: [], accepted: [], broken: [], isSettled: false },
    open: turn.agree(of, invited as never),
  };
  return tag;
}

function openAll(turn: DealTurn, contracts: Contracts, { id, plans }: Placing): string[] {
  turn.state.turns += 1;
  return plans.map((plan, index) => openOne(turn, contracts, plan, { id, index }));
}

// ---- what it hears

function rowOf(turn: DealTurn, of: OpenAgreement): { readonly tag: string; readonly row: Row } {
  for (const [tag, row] of Object.entries(turn.state.rows)) if (row.open.id === of.id) return { tag, row };
  throw new Error(`${turn.key} hears of the agreement ${of.id}, which it has not opened`);
}

function mayThrow(turn: DealTurn, { hearing }: Row): void {
  if (hearing === 'plain' || turn.state.isCalm) return;
  if (hearing === 'stuck' || turn.random() < 0.3) throw new Error(hearing);
}

interface Heard {
  readonly key: string;
  readonly status: string;
  readonly output?: Got;
}

interface AnyOutcome {
  readonly decision: 'confirm' | 'cancel';
  readonly because?: string;
  readonly of: OpenAgreement;
  readonly parties: Readonly<Record<string, Heard | readonly Heard[]>>;
}

function tallyOf(heard: readonly Heard[]): Tally {
  const count = (...statuses: string[]) => heard.filter(({ status }) => statuses.includes(status)).length;
  return {
    asked: heard.length,
    open: count('open'),
    accepted: count('accepted'),
    declined: count('refused', 'failed', 'cancelled'),
  };
}

interface Role {
  readonly count: string;
  readonly enough: number | Rule | undefined;
}

/** What a role comes to by the answers that the application sees. */
function verdictOf({ enough }: Role, heard: readonly Heard[], decision: string): string {
  const tally = tallyOf(heard);
  if (typeof enough === 'function') return enough(tally);
  if (enough === undefined) return tally.declined > 0 ? 'cancel' : tally.accepted === tally.asked ? 'confirm' : 'wait';
  // Of those that are confirmed there are as many as are enough, whoever else has accepted.
  if (decision === 'confirm') return tally.accepted === enough ? 'confirm' : 'wait';
  return tally.asked - tally.declined < enough ? 'cancel' : tally.accepted >= enough ? 'confirm' : 'wait';
}

/** Why this outcome may not be. */
function* wrongWith(turn: DealTurn, row: Row, { outcome, contracts }: { outcome: AnyOutcome; contracts: Contracts }) {
  const { decision, because = '' } = outcome;
  const verdicts: string[] = [];
  const of: AnyDeal = contracts.agreements[row.kind];
  for (const [role, party] of Object.entries(of.parties as Record<string, Role>)) {
    const heard = [outcome.parties[role] ?? []].flat() as Heard[];
    const asked = row.parties.filter((one) => one.role === role);
    if (heard.map(({ key }) => key).join() !== asked.map(({ key }) => key).join())
      yield `${role}: asked ${asked.map(({ key }) => key).join()}, heard of ${heard.map(({ key }) => key).join()}`;
    for (const [place, { output }] of heard.entries())
      if (output !== undefined && output.tag !== asked[place]?.tag)
        yield `${role} ${asked[place]?.tag} is told the output of ${output.tag}`;
    verdicts.push(verdictOf(party, heard, decision));
  }
  const isLate = turn.now >= Math.ceil(row.at + contracts.times.decideMs);
  const isSo =
    decision === 'confirm'
      ? verdicts.every((one) => one === 'confirm') && !isLate && row.cancelledAt === 0
      : because === 'deadline'
        ? isLate
        : because === 'cancelled'
          ? // Later, if 'decided' is told by a dead letter that is retried.
            row.cancelledAt > 0
          : because === 'lapsing' || verdicts.includes('cancel');
  if (!isSo) yield `decided ${decision} ${because} at ${turn.now - row.at} ms by ${verdicts.join()}`;
}

function decided(turn: DealTurn, outcome: AnyOutcome, contracts: Contracts): void {
  const { state } = turn;
  const { tag, row } = rowOf(turn, outcome.of);
  if (row.decision !== 'none') state.anomalies.push(`${tag} was decided ${row.decision} and is ${outcome.decision}`);
  for (const wrong of wrongWith(turn, row, { outcome, contracts })) state.anomalies.push(`${tag}: ${wrong}`);
  const { decision, because = '' } = outcome;
  const tagsOf = (...statuses: string[]) =>
    Object.entries(outcome.parties).flatMap(([role, heard]) =>
      ([heard].flat() as Heard[])
        .filter(({ status }) => statuses.includes(status))
        .map(({ key }) => row.parties.find((party) => party.role === role && party.key === key)?.tag ?? ''),
    );
  row.accepted = tagsOf('accepted', 'cancelled');
  row.winners = decision === 'confirm' ? tagsOf('accepted') : [];
  Object.assign(row, { decision, because, decidedAt: turn.now });
  state.cashHeld -= row.cash;
  state[decision === 'confirm' ? 'spent' : 'cash'] += row.cash;
  if (row.later !== undefined && turn.now < row.later.until) turn.answer(row.later, { tag, decision });
  if (row.isJealous && decision === 'confirm')
    for (const other of Object.values(state.rows)) if (other.id === row.id && other !== row) cancel(turn, other);
  mayThrow(turn, row);
}

function cancel(turn: DealTurn, row: Row): void {
  if (row.decision !== 'none') return;
  row.cancelledAt = turn.now;
  turn.cancel(row.open);
}

interface AnyBreach {
  readonly of: OpenAgreement;
  readonly role: string;
  readonly key: string;
  readonly why: string;
}

function broken(turn: DealTurn, { of, role, key, why }: AnyBreach): void {
  const { state } = turn;
  const { tag, row } = rowOf(turn, of);
  const party = row.parties.find((one) => one.role === role && one.key === key)?.tag ?? '';
  if (!row.winners.includes(party)) state.anomalies.push(`${tag} is broken by ${party}, which is not to be confirmed`);
  if (row.broken.some((one) => one.tag === party)) state.anomalies.push(`${tag} is broken by ${party} twice`);
  if (row.isSettled) state.anomalies.push(`${tag} is broken after it was settled`);
  row.broken.push({ tag: party, why });
  if (row.resolveMs === 0) turn.resolve(of);
  else turn.timer(`resolve ${tag}`, { afterMs: row.resolveMs }).resolve({ tag });
  mayThrow(turn, row);
}

function settled(turn: DealTurn, of: OpenAgreement): void {
  const { tag, row } = rowOf(turn, of);
  if (row.isSettled || row.decision === 'none') turn.state.anomalies.push(`${tag} is settled while ${row.decision}`);
  row.isSettled = true;
  mayThrow(turn, row);
}

// ---- the behaviours

export function dealBehaviours(contracts: Contracts, ran: Ran): readonly Behaviour[] {
  const { deal, depots, agreements } = contracts;
  const handlers = {
    decided: (turn: DealTurn, outcome: AnyOutcome) => decided(turn, outcome, contracts),
    broken,
    settled,
  } as never as Parameters<typeof agreed>[2];
  const { decided: hears, broken: breaks } = handlers;
  const hub = behaviour(
    deal,
    {
      place(turn, placing) {
        const [first] = openAll(turn, contracts, placing);
        const later = turn.later();
        const { [first ?? '']: row } = turn.state.rows;
        if (row !== undefined) row.later = later;
        return later;
      },
      open(turn, placing) {
        openAll(turn, contracts, placing);
        return { turns: turn.state.turns };
      },
      abandon(turn, { id, isBlunt }) {
        const rows = Object.entries(turn.state.rows).filter(([, row]) => row.id === id);
        for (const [, row] of rows)
          if (isBlunt && row.decision !== 'none') turn.cancel(row.open);
          else cancel(turn, row);
        return { tags: rows.flatMap(([tag, row]) => (isBlunt || row.cancelledAt === turn.now ? [tag] : [])) };
      },
      resolve(turn, { tag }) {
        const { [tag]: row } = turn.state.rows;
        try {
          if (row !== undefined) turn.resolve(row.open);
        } catch (error) {
          if (!isSkerryError(error, 'failed') && !isSkerryError(error, 'not-found')) throw error;
        }
      },
      calm(turn) {
        turn.state.isCalm = true;
      },
      vouch: holding(ran),
      look: ({ state: { turns, rows } }) => ({
        turns,
        openCount: Object.values(rows).filter(({ decision }) => decision === 'none').length,
      }),
    },
    {
      agreements: [
        // Nothing runs when it is settled.
        agreed(deal, agreements.all as never, { decided: hears as never, broken: breaks as never }),
        ...[agreements.mixed, agreements.pick, agreements.vote, agreements.peer].map((one) =>
          agreed(deal, one as never, handlers as never),
        ),
      ],
    },
  );
  return [hub as unknown as Behaviour, ...depotBehaviours(depots, ran)];
}

/** What holds of a hub at each of its commits. */
export function dealInvariant({ state, agreements, holds }: StoredEntity): void {
  const { anomalies, free, held, gone, cash, cashHeld, spent, rows } = state.value as DealState;
  if (anomalies.length > 0) throw new Error(anomalies.join('; '));
  if (free + held + gone !== supply || cash + cashHeld + spent !== purse)
    throw new Error(`units ${free} + ${held} + ${gone}, cash ${cash} + ${cashHeld} + ${spent}`);
  let sum = 0;
  for (const hold of holds.values()) if (!hold.isLapsed) sum += (decode(hold.payload) as Want).units;
  if (sum !== held) throw new Error(`${held} held, holds of ${sum}`);
  for (const [tag, { decision, open, kind, isSettled }] of Object.entries(rows)) {
    const part = agreements.get(open.id);
    if (part !== undefined && part.decision !== decision && !part.isUntold)
      throw new Error(`${tag} has heard ${decision}, and is decided ${part.decision}`);
    if (part !== undefined && isSettled) throw new Error(`${tag} is settled and still there`);
    const hears = kind !== 'all' && decision !== 'none';
    if (part === undefined && !isSettled && hears) throw new Error(`${tag} is gone, and was never settled`);
  }
}
