/**
 * One contract and its behaviour, as an application would write them: what the compiler's effort is measured on.
 * `typing.test.ts` compiles it alone.
 */
import * as v from 'valibot';
import { answers, behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { command, query, tentative } from '../../core/operation.ts';

const Units = v.object({ units: v.number() });

const Shelf = entity('shelf', {
  initial: () => ({ free: 0, held: 0, sold: 0, names: [] as string[], notes: {} as Record<string, { text: string }> }),
  activities: { shelf: () => ({ moved: 0 }) },
  operations: {
    receive: command(Units),
    rename: command(v.object({ name: v.string() }), v.object({ before: v.optional(v.string()) })),
    move: command(v.object({ to: v.string(), units: v.number() })),
    clear: command(),
    reserve: tentative(Units),
    available: query(v.number()),
    report: query(v.object({ since: v.number() }), v.object({ free: v.number(), held: v.number() })),
  },
});

export const shelf = behaviour(
  Shelf,
  {
    receive(turn, { units }) {
      turn.state.free += units;
    },
    rename(turn, { name }) {
      const before = turn.state.names.at(-1);
      turn.state.names.push(name);
      return { before };
    },
    move(turn, { to, units }) {
      if (units > turn.state.free) turn.refuse('not enough');
      turn.state.free -= units;
      const other = turn.to(Shelf, to);
      other.receive({ units });
      other.activity.moved += units;
    },
    clear(turn) {
      turn.state = { free: 0, held: 0, sold: 0, names: [], notes: {} };
      turn.timer('again', { afterMs: 1_000 }).clear();
    },
    reserve: {
      tentative(turn, { units }) {
        if (units > turn.state.free) turn.refuse('not enough');
        turn.state.free -= units;
        turn.state.held += units;
      },
      confirm(turn, { units }) {
        turn.state.held -= units;
        turn.state.sold += units;
      },
      cancel(turn, { units }) {
        turn.state.held -= units;
        turn.state.free += units;
      },
    },
    available: (view) => view.state.free,
    report: (view) => ({ free: view.state.free, held: view.state.held }),
  },
  {
    answers: [
      answers(Shelf, Shelf, {
        receive(turn, answer) {
          if (answer.status === 'refused') turn.state.notes.refused = { text: answer.reason };
        },
      }),
    ],
  },
);
