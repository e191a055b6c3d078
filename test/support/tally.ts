/** Small entities whose turns are written by tests, and a cluster of them on a manual clock. */
import { answers, type Behaviour, type BehaviourOptions, behaviour, type Turn } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import type { Limits } from '../../core/limits.ts';
import { addressOf } from '../../core/message.ts';
import { command, query, tentative, unchecked } from '../../core/operation.ts';
import { type EmbeddedCluster, type EmbedOptions, embed } from '../../runtime/embed.ts';
import { GateStore } from './gate.ts';
import { HandEnvironment } from './hand.ts';

export const Tally = entity('tally', {
  initial: () => ({ count: 0, seen: [] as unknown[] }),
  operations: {
    add: command(unchecked<number>(), unchecked<number>()),
    see: command(unchecked<unknown>()),
    run: command(unchecked<string>(), unchecked<unknown>()),
    take: tentative(unchecked<number>(), { holdMs: 5_000, output: unchecked<number>() }),
    count: query(unchecked<number>()),
    seen: query(unchecked<unknown[]>()),
    look: query(unchecked<string>(), unchecked<unknown>()),
  },
  activities: { tally: () => ({ count: 0 }) },
});
export type TallyTurn = Turn<typeof Tally>;

/** The scripts of `run` and `look` by name. */
export type Scripts = Record<string, (turn: TallyTurn) => unknown>;

const take = {
  tentative(turn: TallyTurn, units: number): number {
    if (units > turn.state.count) turn.refuse('not enough');
    turn.state.count -= units;
    return turn.state.count;
  },
  confirm: (turn: TallyTurn, units: number): void => void turn.state.seen.push(`confirmed ${units}`),
  cancel(turn: TallyTurn, units: number): void {
    turn.state.count += units;
    turn.state.seen.push(`cancelled ${units}`);
  },
};

export function tallyWith(scripts: Scripts = {}, options: BehaviourOptions = {}): Behaviour<typeof Tally> {
  const handlers = {
    add(turn: TallyTurn, units: number): number {
      turn.state.count += units;
      return turn.state.count;
    },
    see: (turn: TallyTurn, what: unknown): void => void turn.state.seen.push(what),
    run: (turn: TallyTurn, name: string): unknown => scripts[name]?.(turn),
    take,
    count: (view: { readonly state: { readonly count: number } }): number => view.state.count,
    seen: (view: { readonly state: { readonly seen: readonly unknown[] } }): readonly unknown[] => view.state.seen,
    look: (view: unknown, name: string): unknown => scripts[name]?.(view as TallyTurn),
  };
  const answered = answers(Tally, Tally, { add: (turn, answer) => void turn.state.seen.push(answer) });
  return behaviour(Tally, handlers as never, { answers: [answered], ...options });
}

export interface Given {
  readonly hand: HandEnvironment;
  readonly gate: GateStore;
  readonly cluster: EmbeddedCluster;
  /** The tally of this key, through the cluster's own client. */
  tally(key: string): ReturnType<EmbeddedCluster['entity']> & TallyCaller;
  /** Waits for a promise while time moves. */
  during<Value>(promise: Promise<Value>): Promise<Value>;
  /** The stored tally. */
  stored(key: string): Promise<{ count: number; seen: unknown[] } | undefined>;
}
type TallyCaller = ReturnType<typeof callerOf>;
const callerOf = (cluster: EmbeddedCluster, key: string) => cluster.entity(Tally, key);

export interface GivenOptions extends Partial<Omit<EmbedOptions, 'limits'>> {
  readonly scripts?: Scripts;
  readonly behaviour?: BehaviourOptions;
  readonly limits?: Partial<Limits>;
  readonly gate?: GateStore;
  readonly hand?: HandEnvironment;
}

/** Starts a cluster on a manual clock, runs the test, and closes the cluster however it ends. */
export async function withTallies(options: GivenOptions, body: (given: Given) => Promise<void>): Promise<void> {
  const {
    scripts,
    behaviour: behaviourOptions,
    gate = new GateStore(),
    hand = new HandEnvironment(),
    ...rest
  } = options;
  const behaviours = [tallyWith(scripts, behaviourOptions)];
  const starting = embed({ behaviours, store: gate, environment: hand, ...rest });
  const cluster = await hand.during(starting);
  const stored = async (key: string) => {
    const found = await cluster.inspector.get(addressOf('tally', key));
    return found?.state as { count: number; seen: unknown[] } | undefined;
  };
  try {
    const during = <Value>(promise: Promise<Value>) => hand.during(promise);
    await body({ hand, gate, cluster, tally: (key) => callerOf(cluster, key), during, stored });
  } finally {
    await hand.during(cluster.close());
  }
}

/** The present outcome of a promise, without waiting for it. */
export function watch<Value>(promise: Promise<Value>): {
  value: Value | undefined;
  error: unknown;
  isSettled: boolean;
} {
  const seen: { value: Value | undefined; error: unknown; isSettled: boolean } = {
    value: undefined,
    error: undefined,
    isSettled: false,
  };
  promise.then(
    (value) => Object.assign(seen, { value, isSettled: true }),
    (error: unknown) => Object.assign(seen, { error, isSettled: true }),
  );
  return seen;
}
