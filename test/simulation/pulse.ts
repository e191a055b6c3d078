/**
 * Pulse: periodic timers, each date of which must have at most one turn that counts, under every policy for missed dates.
 *
 * Steady ones account for every date: the gap since the last turn is what the turn says was missed. Flaky ones refuse and throw, so that
 * dates end as dead letters; their series must go on all the same.
 */
import { behaviour, command, entity, query, type Turn, unchecked } from '../../core/index.ts';
import type { Invariant, SimulatedClient, Stage, StoredEntity } from '../../runtime/testing/index.ts';
import type { Calls } from './calls.ts';

interface Plan {
  readonly everyMs: number;
  readonly isCron: boolean;
  readonly missed: 'once' | 'skip' | 'each';
}

interface PulseState {
  turns: number;
  log: string[];
  plan: Plan | undefined;
  generation: number;
  origin: number;
  last: number;
  ticks: number;
  missed: number;
  isCalm: boolean;
  anomalies: string[];
}

const upTo = 3;
const graceMs = 400;

const Pulse = entity('pulse', {
  initial: (): PulseState => ({
    turns: 0,
    log: [],
    plan: undefined,
    generation: 0,
    origin: 0,
    last: 0,
    ticks: 0,
    missed: 0,
    isCalm: false,
    anomalies: [],
  }),
  operations: {
    begin: command(unchecked<{ id: string; plan: Plan }>(), unchecked<{ turns: number }>()),
    end: command(unchecked<{ id: string }>(), unchecked<{ turns: number }>()),
    calm: command(unchecked<{ id: string }>(), unchecked<{ turns: number }>()),
    tick: command(unchecked<{ generation: number }>()),
    look: query(unchecked<{ turns: number; ticks: number; missed: number }>()),
  },
});
type PulseTurn = Turn<typeof Pulse>;

function applied(turn: PulseTurn, id: string): { turns: number } {
  turn.state.turns += 1;
  turn.state.log.push(id);
  return { turns: turn.state.turns };
}

function begin(turn: PulseTurn, plan: Plan): void {
  const { state } = turn;
  state.plan = plan;
  state.generation += 1;
  state.origin = plan.isCron ? Math.floor(turn.now / 60_000) * 60_000 : turn.now;
  state.last = state.origin;
  const policy = {
    missed: plan.missed,
    ...(plan.missed === 'each' ? { upTo } : {}),
    ...(plan.missed === 'skip' ? { graceMs } : {}),
  };
  const period = plan.isCron ? { cron: '* * * * *', zone: 'Europe/Berlin' } : { everyMs: plan.everyMs };
  turn.timer('pulse', { ...period, ...policy }).tick({ generation: state.generation });
}

/** What the turn of a date may not be. */
function* wrongWith({ state, now, scheduledFor: date = 0, missedCount, key }: PulseTurn, { everyMs, missed }: Plan) {
  const gap = date - state.last;
  if (date > now) yield `the date ${date} has its turn at ${now}`;
  if (gap <= 0) yield `the date ${date} has its turn after ${state.last}`;
  if (gap % everyMs !== 0) yield `the date ${date} is not one of ${state.origin} + n * ${everyMs}`;
  if (!isFlaky(key) && gap / everyMs - 1 !== missedCount) yield `${missedCount} missed in ${gap} ms of ${everyMs}`;
  const waiting = Math.floor((now - date) / everyMs);
  if (waiting >= (missed === 'each' ? upTo : 1)) yield `${waiting} dates later than ${date} wait at ${now}`;
  if (missed === 'each' && missedCount > 0 && waiting + 1 !== upTo) yield `${missedCount} missed, ${waiting} wait`;
  if (missed === 'skip' && now - date > graceMs) yield `the date ${date} should be skipped at ${now}`;
}

const isFlaky = (key: string): boolean => key.startsWith('flaky');

export const pulse = behaviour(Pulse, {
  begin(turn, { id, plan }) {
    begin(turn, plan);
    return applied(turn, id);
  },
  end(turn, { id }) {
    turn.state.plan = undefined;
    turn.cancelTimer('pulse');
    return applied(turn, id);
  },
  calm(turn, { id }) {
    turn.state.isCalm = true;
    const { plan } = turn.state;
    // Some go on to the end; slowly, since nobody looks any more.
    if (plan !== undefined && !plan.isCron) begin(turn, { ...plan, everyMs: 20_000 });
    return applied(turn, id);
  },
  tick(turn, { generation }) {
    const { state } = turn;
    // The retry of a dead letter is for no date.
    if (turn.scheduledFor === undefined || state.plan === undefined) return;
    if (generation !== state.generation)
      state.anomalies.push(`a tick of ${generation} after ${state.generation} began`);
    state.anomalies.push(...wrongWith(turn, state.plan));
    state.last = turn.scheduledFor;
    state.ticks += 1;
    state.missed += turn.missedCount;
    if (!isFlaky(turn.key) || state.isCalm) return;
    const chance = turn.random();
    if (chance < 0.4) throw new Error('flaky');
    if (chance < 0.5) turn.refuse('flaky');
  },
  look: ({ state: { turns, ticks, missed } }) => ({ turns, ticks, missed }),
});

/** A series is never lost, and is due on its dates alone. */
export const pulseInvariant: Invariant = ({ state, timers }: StoredEntity) => {
  const { plan, anomalies, last, origin } = state.value as PulseState;
  if (anomalies.length > 0) throw new Error(anomalies.join('; '));
  const timer = timers.get('pulse');
  if ((plan === undefined) !== (timer === undefined))
    throw new Error(`the series is ${timer === undefined ? 'lost' : 'left'}`);
  if (plan === undefined || timer === undefined) return;
  if (timer.period === undefined) throw new Error('the series is no series');
  if (timer.due <= last) throw new Error(`the date ${last} has had its turn, and ${timer.due} is due`);
  if ((timer.due - origin) % plan.everyMs !== 0)
    throw new Error(`${timer.due} is not one of ${origin} + n * ${plan.everyMs}`);
};

const keys = ['steady1', 'steady2', 'flaky'] as const;

export async function usePulse(
  stage: Stage,
  { client, chance, name }: SimulatedClient,
  calls: Calls,
  number: number,
): Promise<void> {
  const key = chance.pick(keys);
  const ref = client.entity(Pulse, key);
  const address = `pulse/${key}`;
  const id = `${name}-${number}.`;
  const which = chance.next();
  if (which < 0.3)
    return calls.look(address, async () => {
      const seen = await ref.look();
      if (seen.ticks > 0) stage.covered('a date of a series');
      if (seen.missed > 0) stage.covered('a missed date of a series');
      return seen;
    });
  if (which > 0.9) return void (await calls.make(address, id, () => ref.end({ id })));
  const isCron = chance.hits(0.2);
  const everyMs = isCron ? 60_000 : chance.pick([150, 700, 3_000]);
  const plan = { everyMs, isCron, missed: chance.pick(['once', 'skip', 'each'] as const) };
  await calls.make(address, id, () => ref.begin({ id, plan }));
}

/** No turn throws any more, and those that still run are slow. */
export async function calmPulses(stage: Stage, { client, sleep }: SimulatedClient, calls: Calls): Promise<void> {
  for (const { address, key } of stage.entities()) {
    if (!address.startsWith('pulse/')) continue;
    const id = `calm ${key}.`;
    const options = { idempotencyKey: `${address} ${id}`, keyLifeMs: 60_000 };
    const calm = () => client.entity(Pulse, key).calm({ id }, options);
    while ((await calls.make(address, id, calm)).outcome !== 'done') await sleep(100);
  }
}
