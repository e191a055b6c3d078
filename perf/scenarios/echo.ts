/** Calls without the store: to entities in memory, and queries. */
import { Counter, Echo } from '../entities.ts';
import { driveKeys } from '../load/availability-probe.ts';
import { judge } from '../load/journal.ts';
import { callers, inGroups, keyName, type Scenario } from '../scenario.ts';

/** About a hundred bytes with its envelope. */
const text = 'x'.repeat(32);

export const echo: Scenario = {
  name: 'echo',
  summary: 'a text to an entity in memory, and back',
  unit: 'calls',
  isDurable: false,
  defaults: {},
  steps: () => [{ name: 'echo' }],
  run: (stand) => {
    const journal = stand.journal.numbered((key) => keyName(stand.work, key));
    const of = callers(stand, Echo);
    return driveKeys(stand, { type: Echo.type, call: (key) => of(key).say({ text }), journal });
  },
  check: (stand, entries) => judge(entries, (key) => stand.post.entity(Echo, key).count()),
};

export const read: Scenario = {
  name: 'read',
  summary: 'a query of one of many durable entities, current (P9)',
  unit: 'calls',
  isDurable: false,
  defaults: {},
  steps: () => [{ name: 'read' }],
  prepare: async (stand) => {
    const { journal, load, work } = stand;
    const of = callers(stand, Counter);
    await inGroups(Math.ceil((work.keys - load.index) / load.of), async (nth) => {
      const key = load.index + nth * load.of;
      await of(key).add({ by: 1 });
      journal.acked(keyName(work, key));
    });
  },
  run: (stand) => {
    const of = callers(stand, Counter);
    return driveKeys(stand, { type: Counter.type, call: (key) => of(key).count() });
  },
  check: (stand, entries) => judge(entries, (key) => stand.post.entity(Counter, key).count()),
};
