/** The floors by their names, and which belong to a plan. */
import type { Floor } from '../floor.ts';
import type { Plan } from '../plan.ts';
import type { Scenario } from '../scenario.ts';
import { inProcess } from './in-process.ts';
import { lmdbCommit } from './lmdb-commit.ts';

const floors: readonly Floor[] = [inProcess, lmdbCommit];

export function floorOf(name: string): Floor {
  const found = floors.find((floor) => floor.name === name);
  if (found === undefined) throw new Error(`there is no floor '${name}'`);
  return found;
}

export const hasResponder = (name: string): boolean => floorOf(name).respond !== undefined;

/** What a scenario is compared with, the one that its ratio is of first. */
export function floorsOf({ store, floors: wanted }: Plan, { isDurable }: Scenario): readonly string[] {
  if (wanted === 'none') return [];
  const names = isDurable && store.kind === 'lmdb' ? ['lmdb-commit'] : ['in-process'];
  return wanted === 'main' ? names.slice(0, 1) : names;
}
