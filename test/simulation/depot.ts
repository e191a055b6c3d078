/**
 * Depots: the parties of deals, of every durability. They accept, refuse and throw, each as it is asked.
 *
 * No unit appears or disappears, and each hold ends once. What a confirm may never be is one that its hub did not decide: that shows even
 * in turns that are never committed, so it is noted outside of the entities.
 */
import { type Behaviour, behaviour, entity, tentative, unchecked } from '../../core/index.ts';
import { decode, type Invariant, type StoredEntity } from '../../runtime/testing/index.ts';

/**
 * What a party makes of what it is asked. `flaky`: some of its turns throw; `stuck`: its confirm always does; `large`: its output is more
 * than an agreement may keep.
 */
export type Manner = 'plain' | 'refuse' | 'throw' | 'flaky' | 'stuck' | 'large';

export interface Want {
  /** Of this party in this deal, and of no other. */
  readonly tag: string;
  readonly units: number;
  readonly manner: Manner;
}

export interface Got {
  readonly tag: string;
  readonly filler: string;
}

export interface DepotState {
  free: number;
  held: number;
  gone: number;
  ended: Record<string, 'confirmed' | 'cancelled'>;
  anomalies: string[];
}

export const supply = 40;
const fillerLength = 3_000;

export const initialDepot = (): DepotState => ({ free: supply, held: 0, gone: 0, ended: {}, anomalies: [] });

/** What ran, also in turns that were never committed: by the party's tag. */
export class Ran {
  readonly confirms = new Set<string>();
  readonly #thrown = new Set<string>();

  /** Once, so that a cancel is never a dead letter, with a hold that an operator must end. */
  throwsOnce(tag: string): boolean {
    if (this.#thrown.has(tag)) return false;
    this.#thrown.add(tag);
    return true;
  }
}

interface Holder {
  readonly state: DepotState;
  random(): number;
  refuse(reason: string): never;
}

/** The three steps of holding some units. */
export function holding(ran: Ran) {
  const end = ({ state }: Holder, { tag, units }: Want, how: 'confirmed' | 'cancelled') => {
    const { [tag]: before } = state.ended;
    if (before !== undefined) state.anomalies.push(`the hold of ${tag} was ${before} and is ${how}`);
    state.ended[tag] = how;
    state.held -= units;
    state[how === 'confirmed' ? 'gone' : 'free'] += units;
  };
  return {
    tentative(turn: Holder, { tag, units, manner }: Want): Got {
      if (manner === 'refuse' || units > turn.state.free) turn.refuse('not enough');
      turn.state.free -= units;
      turn.state.held += units;
      if (manner === 'throw' || (manner === 'flaky' && turn.random() < 0.2)) throw new Error('thrown');
      return { tag, filler: manner === 'large' ? 'x'.repeat(fillerLength) : '' };
    },
    confirm(turn: Holder, want: Want): void {
      ran.confirms.add(want.tag);
      end(turn, want, 'confirmed');
      if (want.manner === 'stuck' || (want.manner === 'flaky' && turn.random() < 0.4)) throw new Error('stuck');
    },
    cancel(turn: Holder, want: Want): void {
      end(turn, want, 'cancelled');
      if (want.manner === 'flaky' && ran.throwsOnce(want.tag)) throw new Error('thrown once');
    },
  };
}

/** How long they hold, ms. */
export interface HoldTimes {
  readonly reserveMs: number;
  readonly lendMs: number;
}

/** The types of one run: `turn`, then one that is written now and then, then one that is never written. */
export function depotsOf({ reserveMs, lendMs }: HoldTimes) {
  const operations = {
    reserve: tentative(unchecked<Want>(), { holdMs: reserveMs, output: unchecked<Got>() }),
    lend: tentative(unchecked<Want>(), { holdMs: lendMs, output: unchecked<Got>() }),
  };
  const definition = { initial: initialDepot, operations };
  return {
    stock: entity('stock', definition),
    shelf: entity('shelf', definition),
    cart: entity('cart', definition),
  };
}

export type Depots = ReturnType<typeof depotsOf>;

export function depotBehaviours({ stock, shelf, cart }: Depots, ran: Ran): readonly Behaviour[] {
  const handlers = { reserve: holding(ran), lend: holding(ran) };
  return [
    behaviour(stock, handlers),
    behaviour(shelf, handlers, { durability: { intervalMs: 300 } }),
    behaviour(cart, handlers, { durability: 'none' }),
  ] as unknown as readonly Behaviour[];
}

const depotInvariant: Invariant = ({ state, holds }: StoredEntity) => {
  const { anomalies, free, held, gone } = state.value as DepotState;
  if (anomalies.length > 0) throw new Error(anomalies.join('; '));
  if (free < 0 || free + held + gone !== supply)
    throw new Error(`free ${free} + held ${held} + gone ${gone} are not ${supply}`);
  let sum = 0;
  for (const hold of holds.values()) if (!hold.isLapsed) sum += (decode(hold.payload) as Want).units;
  if (sum !== held) throw new Error(`${held} held, holds of ${sum}`);
};

export const depotInvariants = { stock: depotInvariant, shelf: depotInvariant, cart: depotInvariant };

/** What a party's state says of one deal; undefined: it holds nothing, or never did. */
export function endOf(entities: ReadonlyMap<string, StoredEntity>, address: string, tag: string) {
  return (entities.get(address)?.state.value as DepotState | undefined)?.ended[tag];
}
