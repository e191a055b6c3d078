/** Gauges: types that are written every now and then, or never. What they send comes at most once. */
import { behaviour, command, entity, query, unchecked } from '../../core/index.ts';
import type { SimulatedClient } from '../../runtime/testing.ts';
import type { Calls } from './calls.ts';
import { Ledger } from './ledger.ts';

const operations = {
  set: command(unchecked<{ id: string; ledger: string | undefined }>(), unchecked<{ count: number }>()),
  look: query(unchecked<{ count: number }>()),
};

const initial = () => ({ count: 0, last: '' });

export const Gauge = entity('gauge', { initial, operations });
export const Cursor = entity('cursor', { initial, operations });

type Kind = typeof Gauge | typeof Cursor;

function handlersOf(contract: Kind) {
  return behaviour(
    contract as typeof Gauge,
    {
      set(turn, { id, ledger }) {
        turn.state.count += 1;
        turn.state.last = id;
        if (ledger !== undefined) turn.to(Ledger, ledger).note({ token: `${id} ${turn.random()}` });
        return { count: turn.state.count };
      },
      look: ({ state }) => ({ count: state.count }),
    },
    { durability: contract === Gauge ? { intervalMs: 300 } : 'none' },
  );
}

export const gauge = handlersOf(Gauge);
export const cursor = handlersOf(Cursor as never);

export async function useGauge({ client, chance, name }: SimulatedClient, calls: Calls, number: number): Promise<void> {
  const contract = chance.pick([Gauge, Cursor] as const);
  const ref = client.entity(contract as typeof Gauge, 'g');
  const address = `${contract.type}/g`;
  const id = `${name}-${number}.`;
  const ledger = chance.hits(0.3) ? 'a' : undefined;
  if (chance.hits(0.3)) await calls.make(address, id, () => ref.look());
  else await calls.make(address, id, () => ref.set({ id, ledger }));
}
