/** Desks: entities that put off what they are asked, until they are told what to answer. */
import { behaviour, type CommandTurn, type Turn } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import type { Later } from '../../core/later.ts';
import { command, query, unchecked } from '../../core/operation.ts';
import { type Given, type GivenOptions, withTallies } from './tally.ts';

type State = { open: Record<string, Later<string>>; runs: number };
export const Desk = entity('desk', {
  initial: (): State => ({ open: {}, runs: 0 }),
  operations: {
    ask: command(unchecked<string>(), unchecked<string>()),
    tell: command(unchecked<{ who: string; what: string }>()),
    deny: command(unchecked<string>()),
    send: command(unchecked<{ who: string; to: string }>()),
    give: command(unchecked<{ later: Later<string>; what: string }>()),
    runs: query(unchecked<number>()),
  },
});
type DeskTurn = Turn<typeof Desk>;

export function desk(options: { durability?: 'none' } = {}) {
  return behaviour(
    Desk,
    {
      ask(turn: CommandTurn<typeof Desk, string>, who) {
        turn.state.runs += 1;
        const later = turn.later();
        turn.state.open[who] = later;
        return later;
      },
      tell(turn: DeskTurn, { who, what }) {
        const { [who]: later } = turn.state.open;
        if (later !== undefined) turn.answer(later, what);
      },
      deny(turn: DeskTurn, who) {
        const { [who]: later } = turn.state.open;
        if (later !== undefined) turn.refuse(later, 'denied');
      },
      send(turn: DeskTurn, { who, to }) {
        const { [who]: later } = turn.state.open;
        if (later !== undefined) turn.to(Desk, to).give({ later, what: `by ${to}` });
      },
      give(turn: DeskTurn, { later, what }) {
        turn.answer(later, what);
      },
      runs: (view) => view.state.runs,
    },
    options,
  );
}

export const withDesks = (options: GivenOptions, body: (given: Given) => Promise<void>) =>
  withTallies({ behaviours: [desk()], ...options }, body);
