/** Answers that come later: only a command puts its answer off, and what answers it is of its output. */
import { behaviour, type CommandTurn, type Turn } from '../../core/behaviour.ts';
import { entity, type Hold } from '../../core/entity.ts';
import type { Later } from '../../core/later.ts';
import { command, query, tentative, unchecked } from '../../core/operation.ts';

const Desk = entity('desk', {
  initial: (): { open?: Later<number> | undefined } => ({}),
  operations: {
    ask: command(unchecked<string>(), unchecked<number>()),
    note: command(),
    take: tentative(),
    look: query(unchecked<number>()),
  },
});

export const desk = behaviour(Desk, {
  ask(turn) {
    turn.state.open = turn.later();
    return turn.state.open;
  },
  note: (turn) => turn.later(),
  take: {
    // @ts-expect-error a tentative operation cannot put its answer off
    tentative: (turn) => void turn.later(),
    confirm() {},
    cancel() {},
  },
  // @ts-expect-error a query cannot put its answer off
  look: (view) => view.later(),
});

export function answersAreOfTheOutput(turn: Turn<typeof Desk>, later: Later<number>, none: Later<void>): void {
  turn.answer(later, 1);
  turn.answer(none);
  turn.refuse(later, 'no');
  turn.refuse(none, 'no', { why: 1 });
  // @ts-expect-error an output of another type
  turn.answer(later, '1');
  // @ts-expect-error the output is missing
  turn.answer(later);
  // @ts-expect-error the turn of a message that is no command of its own
  turn.later();
  // @ts-expect-error the command has another output
  const other: Later<string> = later;
  // @ts-expect-error a later answer is no hold
  const hold: Hold = later;
  // @ts-expect-error a hold is no later answer
  turn.refuse(hold, 'no');
  return void other;
}

export function whatIsReturned(turn: CommandTurn<typeof Desk, number>): number | Later<number> {
  return turn.random() > 0.5 ? turn.later() : 1;
}
