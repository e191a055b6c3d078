/** First calls: of new keys, and of stored entities after a restart of all workers. */
import { Counter } from '../entities.ts';
import { drive } from '../load/load.ts';
import type { Load } from '../plan.ts';
import { keyName, type Scenario, type Stand } from '../scenario.ts';
import { checkCounts } from './counter.ts';

const mostMs = 120_000;

function run(stand: Stand) {
  const { work, journal, post } = stand;
  // The entities that this generator called in the step before, each once.
  const stored = work.step === 'stored' ? journal.entries.map(([key]) => key) : undefined;
  const load: Load =
    stored === undefined ? stand.load : { ...stand.load, warmupMs: 0, durationMs: mostMs, callsMax: stored.length };
  const names: string[] = [];
  let count = 0;
  return drive(
    (lane) => {
      const nth = count++;
      const key = stored?.[nth] ?? keyName(work, load.index + nth * load.of);
      names[lane.index] = key;
      return post.entity(Counter, key).add({ by: 1 });
    },
    load,
    {
      ended: ({ index }) => journal.acked(names[index] ?? ''),
      failed: ({ index }, error) => journal.failed(names[index] ?? '', error),
    },
  );
}

export const activate: Scenario = {
  name: 'activate',
  summary: 'the first call of an entity: one never called before, and one read from the store',
  unit: 'entities',
  isDurable: true,
  defaults: {},
  isOnce: true,
  steps: () => [{ name: 'fresh' }, { name: 'stored', isAfterRestart: true }],
  run,
  check: checkCounts,
};
