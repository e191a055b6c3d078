/** A hub written by hand that asks parties for a hold each, and confirms all or none; and what is wrong with its siblings. */
import { type AnswerTurn, answers, behaviour, type Turn } from '../../core/behaviour.ts';
import { entity, type Hold } from '../../core/entity.ts';
import { command, tentative, unchecked } from '../../core/operation.ts';
import type { Ask, EnumerateOptions, World } from '../../runtime/testing/index.ts';

export const Party = entity('party', {
  initial: () => ({ free: 1, held: 0, sold: 0 }),
  operations: { reserve: tentative() },
});

export const party = behaviour(Party, {
  reserve: {
    tentative(turn) {
      if (turn.state.free === 0) return turn.refuse('taken');
      turn.state.free -= 1;
      turn.state.held += 1;
    },
    confirm({ state }) {
      state.held -= 1;
      state.sold += 1;
    },
    cancel({ state }) {
      state.held -= 1;
      state.free += 1;
    },
  },
});

type Status = 'new' | 'open' | 'placed' | 'cancelled' | 'broken';
type Step = 'asked' | 'held' | 'declined' | 'told' | 'sold' | 'lapsed';

export const Hub = entity('hub', {
  initial: () => ({ status: 'new' as Status, parties: 0 }),
  operations: { place: command(unchecked<number>()), deadline: command() },
  activities: { party: (): { step: Step; hold: Hold | undefined } => ({ step: 'asked', hold: undefined }) },
});

/** What may be wrong with a hub. */
export interface Flaws {
  /** A hold that lapsed after the decision counts as sold. */
  readonly overhearsLapses?: true;
  /** Parties that have not answered yet are not told of the decision. */
  readonly forgetsTheLate?: true;
  /** It decides again with each answer. */
  readonly decidesTwice?: true;
  /** A second request to place opens it again. */
  readonly opensTwice?: true;
}

type AnyTurn = Turn<typeof Hub> | AnswerTurn<typeof Hub, 'party'>;

const partiesOf = (turn: AnyTurn) =>
  Array.from({ length: turn.state.parties }, (_, index) => turn.to(Party, `p${index + 1}`));

function decide(turn: AnyTurn, status: 'placed' | 'cancelled', flaws: Flaws): void {
  if (turn.state.status !== 'open' && flaws.decidesTwice !== true) return;
  turn.state.status = status;
  turn.cancelTimer('deadline');
  for (const each of partiesOf(turn)) {
    const { step, hold } = each.activity;
    if (hold === undefined || step === 'declined') continue;
    if (status === 'placed') turn.confirm(hold);
    else if (step === 'held' || flaws.forgetsTheLate !== true) turn.cancel(hold);
    each.activity.step = 'told';
  }
}

export function hubWith(flaws: Flaws) {
  return behaviour(
    Hub,
    {
      place(turn, parties) {
        if (turn.state.status !== 'new' && flaws.opensTwice !== true) return;
        turn.state = { status: 'open', parties };
        for (const each of partiesOf(turn)) each.activity = { step: 'asked', hold: each.reserve() };
        turn.timer('deadline', { afterMs: 30_000 }).deadline();
      },
      deadline: (turn) => decide(turn, 'cancelled', flaws),
    },
    {
      answers: [
        answers(Hub, Party, {
          reserve(turn, { status }) {
            const { activity } = turn;
            if (status === 'accepted' && activity.step === 'asked') {
              activity.step = 'held';
              if (partiesOf(turn).every((each) => each.activity.step === 'held')) decide(turn, 'placed', flaws);
            } else if (status === 'refused' || status === 'failed') {
              if (activity.step === 'asked') activity.step = 'declined';
              decide(turn, 'cancelled', flaws);
            } else if (status === 'confirmed' || (status === 'lapsed' && flaws.overhearsLapses === true)) {
              activity.step = 'sold';
            } else if (status === 'lapsed') {
              activity.step = 'lapsed';
              if (turn.state.status === 'placed') turn.state.status = 'broken';
            }
          },
        }),
      ],
    },
  );
}

export const keysOf = (parties: number) => Array.from({ length: parties }, (_, index) => `p${index + 1}`);

/** An enumeration of a hub with so many parties. */
export function enumerationOf(parties: number, flaws: Flaws = {}): EnumerateOptions {
  return {
    behaviours: [hubWith(flaws), party],
    clients: { ann: (ask: Ask) => ask(Hub, '1').place(parties) },
    invariant: (world) => check(world, parties),
    outcome: (world) => world.state(Hub, '1').status,
  };
}

function check(world: World, parties: number): void {
  const { status } = world.state(Hub, '1');
  const states = keysOf(parties).map((key) => world.state(Party, key));
  if (states.some(({ free, held, sold }) => free < 0 || held < 0 || free + held + sold !== 1))
    throw new Error('a party has more or less than it had');
  const isTold = status !== 'new' && status !== 'open' && world.messages.length === 0;
  if (isTold && states.some(({ held }) => held > 0)) throw new Error('decided, and a party still holds');
  if (!world.isOver) return;
  const sold = states.filter((state) => state.sold === 1).length;
  if (status === 'placed' && sold < parties) throw new Error('half-confirmed without notice');
  if (status === 'cancelled' && sold > 0) throw new Error('cancelled, and sold');
}
