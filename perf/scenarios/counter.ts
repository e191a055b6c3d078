/** Durable increments: over many keys, of one key, and while workers come and go. */
import { Counter, Wide } from '../entities.ts';
import { driveKeys } from '../load/availability-probe.ts';
import { judge } from '../load/journal.ts';
import type { Entries, Verdict } from '../plan.ts';
import { callers, inGroups, keyName, type Scenario, type Stand } from '../scenario.ts';

const contractOf = ({ work }: Stand) => (work.stateBytes > 0 ? Wide : Counter);

async function fill(stand: Stand): Promise<void> {
  const { work, load } = stand;
  if (work.stateBytes === 0) return;
  const mine = Math.ceil((work.keys - load.index) / load.of);
  const filled = callers(stand, Wide);
  await inGroups(mine, (nth) => filled(load.index + nth * load.of).fill({ bytes: work.stateBytes }), 8);
}

function run(stand: Stand) {
  const contract = contractOf(stand);
  const of = callers(stand, contract);
  const journal = stand.journal.numbered((key) => keyName(stand.work, key));
  return driveKeys(stand, { type: contract.type, call: (key) => of(key).add({ by: 1 }), journal });
}

export function checkCounts(stand: Stand, entries: Entries): Promise<Verdict> {
  return judge(entries, (key) => stand.post.entity(contractOf(stand), key).count());
}

export const counter: Scenario = {
  name: 'counter',
  summary: 'a durable increment of one of many entities',
  unit: 'calls',
  isDurable: true,
  defaults: {},
  steps: () => [{ name: 'counter' }],
  prepare: fill,
  run,
  check: checkCounts,
};

export const hot: Scenario = {
  ...counter,
  name: 'hot',
  summary: 'a durable increment of a single entity',
  defaults: { keys: 1 },
  steps: () => [{ name: 'hot' }],
};
