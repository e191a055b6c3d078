/** A small app for the tests of `skerry agreements`: trips over desks that take, refuse, forget, or cannot keep what they promised. */
import {
  agreed,
  agreement,
  behaviour,
  command,
  entity,
  many,
  type OpenAgreement,
  query,
  tentative,
  unchecked,
} from '../../core/index.ts';

/** Desks whose key begins with 'full' refuse, with 'torn' cannot keep what they promised. */
const Desk = entity('desk', {
  initial: () => ({ taken: 0 }),
  operations: { take: tentative(unchecked<number>(), { holdMs: 3_600_000 }) },
});

/** Nobody hosts it: what is sent to one waits. */
const Ghost = entity('ghost', {
  initial: () => ({}),
  operations: { take: tentative(unchecked<number>(), { holdMs: 3_600_000 }) },
});

const Trip = entity('trip', {
  initial: () => ({ status: 'new', open: undefined as OpenAgreement | undefined }),
  operations: {
    book: command(unchecked<{ desks: string[]; ghosts: string[] }>()),
    resolve: command(),
    giveUp: command(),
    status: query(unchecked<string>()),
  },
});

const Book = agreement('book', {
  parties: { desks: many(Desk).take, ghosts: many(Ghost).take },
  decideWithinMs: 1_800_000,
});

export const desk = behaviour(Desk, {
  take: {
    tentative(turn, seats) {
      if (turn.key.startsWith('full')) turn.refuse('no seat left', { seats });
      turn.state.taken += seats;
    },
    confirm(turn) {
      if (turn.key.startsWith('torn')) throw new Error('the ledger is torn');
    },
    cancel(turn, seats) {
      turn.state.taken -= seats;
    },
  },
});

export const trip = behaviour(
  Trip,
  {
    book(turn, { desks, ghosts }) {
      const asked = (keys: string[]) => keys.map((key) => ({ key, input: 1 }));
      turn.state.open = turn.agree(Book, { desks: asked(desks), ghosts: asked(ghosts) });
      turn.state.status = 'booking';
    },
    resolve(turn) {
      if (turn.state.open !== undefined) turn.resolve(turn.state.open);
    },
    giveUp(turn) {
      if (turn.state.open !== undefined) turn.cancel(turn.state.open);
    },
    status: (view) => view.state.status,
  },
  {
    historyMs: 86_400_000,
    agreements: [
      agreed(Trip, Book, {
        decided(turn, outcome) {
          turn.state.status = outcome.decision;
        },
        broken(turn, { key, why }) {
          turn.state.status = `${key} ${why}`;
        },
      }),
    ],
  },
);

export const limits = { attemptsMax: 2 };
