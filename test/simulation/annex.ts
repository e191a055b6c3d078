/** Annex: a type that only a later version of the application has, and that requires a label of its workers. */
import { behaviour, command, entity, query, unchecked } from '../../core/index.ts';
import type { SimulatedClient } from '../../runtime/testing/index.ts';
import type { Calls } from './calls.ts';
import { Ledger } from './ledger.ts';

const Annex = entity('annex', {
  initial: () => ({ turns: 0, log: [] as string[] }),
  operations: {
    add: command(unchecked<{ id: string; ledger: string }>(), unchecked<{ turns: number }>()),
    look: query(unchecked<{ turns: number }>()),
  },
});

export const annex = behaviour(
  Annex,
  {
    add(turn, { id, ledger }) {
      turn.state.turns += 1;
      turn.state.log.push(id);
      // An entity of both versions hears of it.
      turn.to(Ledger, ledger).note({ token: `${turn.key} ${id}` });
      return { turns: turn.state.turns };
    },
    look: ({ state }) => ({ turns: state.turns }),
  },
  { labels: ['annex'] },
);

export async function useAnnex({ client, chance, name }: SimulatedClient, calls: Calls, number: number): Promise<void> {
  const key = chance.pick(['p', 'q', 'r']);
  const ref = client.entity(Annex, key);
  const address = `annex/${key}`;
  const id = `${name}-${number}.`;
  if (chance.hits(0.35)) return calls.look(address, () => ref.look());
  await calls.make(address, id, () => ref.add({ id, ledger: chance.pick(['a', 'b']) }));
}
