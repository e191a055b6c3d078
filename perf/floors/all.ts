/** All floors by name, and the floors of each plan. */
import type { Floor } from '../floor.ts';
import type { Plan } from '../plan.ts';
import type { Scenario } from '../scenario.ts';
import { byHand, byHandInbox } from './by-hand.ts';
import { inProcess } from './in-process.ts';
import { lmdbCommit } from './lmdb-commit.ts';
import { natsEcho, natsFrames, natsRequest } from './nats-echo.ts';
import { redisCommit, redisCommit16 } from './redis-commit.ts';

const floors: readonly Floor[] = [
  inProcess,
  lmdbCommit,
  natsFrames,
  natsEcho,
  natsRequest,
  redisCommit,
  redisCommit16,
  byHand,
  byHandInbox,
];

export function floorOf(name: string): Floor {
  const found = floors.find((floor) => floor.name === name);
  if (found === undefined) throw new Error(`there is no floor '${name}'`);
  return found;
}

export const hasResponder = (name: string): boolean => floorOf(name).respond !== undefined;

/** The floors of a scenario. Its ratio is to the first one. */
export function floorsOf(plan: Plan, { isDurable }: Scenario): readonly string[] {
  if (plan.floors === 'none') return [];
  // The store of a running cluster is unknown.
  if (plan.attach && isDurable && plan.store.kind === 'memory') return [];
  const isOverNats = plan.nats.kind !== 'embedded';
  const wire = isOverNats ? [natsFrames, natsEcho, natsRequest] : [inProcess];
  const store =
    plan.store.kind === 'redis' ? [redisCommit, redisCommit16] : plan.store.kind === 'lmdb' ? [lmdbCommit] : [];
  const hand = isOverNats && plan.store.kind === 'redis' ? [byHand, byHandInbox] : [];
  const all = isDurable ? [...store, ...(isOverNats || store.length === 0 ? wire : []), ...hand] : wire;
  return (plan.floors === 'main' ? all.slice(0, 1) : all).map(({ name }) => name);
}
