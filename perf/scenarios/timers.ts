/** Very many timers that fall due in the same second: how late they are, and that each fires once. */
import { setTimeout as pause } from 'node:timers/promises';
import { Alarm } from '../entities.ts';
import { newHistogram, packed, record } from '../load/histogram.ts';
import { judge } from '../load/journal.ts';
import { type Measured, slotMsOf } from '../plan.ts';
import { callers, inGroups, keyName, percentile, type Scenario, type Stand } from '../scenario.ts';

const spreadMs = 1_000;
/** Timers that are set per second at least, which decides how long before their due time the setting begins. */
const setPerS = 5_000;
const patienceMs = 60_000;

async function run(stand: Stand): Promise<Measured> {
  const { work, load, journal, chance } = stand;
  const mine = Math.ceil((work.keys - load.index) / load.of);
  const of = callers(stand, Alarm);
  const keyOf = (nth: number) => load.index + nth * load.of;
  const beganAt = performance.now();
  const dueAt = beganAt + (mine * 1_000) / setPerS + 1_000;
  await inGroups(mine, async (nth) => {
    const name = keyName(work, keyOf(nth));
    const afterMs = Math.max(0, Math.round(dueAt + chance() * spreadMs - performance.now()));
    try {
      await of(keyOf(nth)).set({ afterMs });
      journal.acked(name);
    } catch (error) {
      journal.failed(name, error);
    }
  });
  const setMs = performance.now() - beganAt;
  await pause(Math.max(0, dueAt + spreadMs - performance.now()));
  const late = await lateness(mine, async (nth) => (await of(keyOf(nth)).report()).lateMs);
  const histogram = newHistogram();
  for (const ms of late) record(histogram, ms * 1_000);
  return {
    calls: mine,
    things: late.length,
    elapsedMs: spreadMs + late.reduce((most, ms) => Math.max(most, ms), 0),
    errors: {},
    histogram: packed(histogram),
    slotMs: slotMsOf(spreadMs),
    slots: [],
    series: [],
    worstUs: [],
    extra: { lateMs: late, setPerS: [(mine * 1_000) / setMs] },
  };
}

/** Polls each entity until its timer has fired. */
async function lateness(count: number, report: (nth: number) => Promise<number>): Promise<number[]> {
  const late: number[] = [];
  const until = performance.now() + patienceMs;
  await inGroups(count, async (nth) => {
    for (;;) {
      const ms = await report(nth);
      if (ms >= 0) return void late.push(ms);
      if (performance.now() > until) return;
      await pause(200);
    }
  });
  return late;
}

export const timers: Scenario = {
  name: 'timers',
  summary: 'timers that fall due within one second; a latency is the delay of a timer',
  unit: 'timers',
  hasOtherUnit: true,
  isDurable: true,
  defaults: { keys: 100_000, repeats: 1, warmupMs: 0 },
  isOnce: true,
  steps: () => [{ name: 'timers' }],
  run,
  check: (stand, entries) => judge(entries, async (key) => (await stand.post.entity(Alarm, key).report()).fired),
  facts: ({ lateMs = [], setPerS = [] }) => ({
    fired: lateMs.length,
    lateP50Ms: percentile(lateMs, 50),
    lateP99Ms: percentile(lateMs, 99),
    lateMaxMs: percentile(lateMs, 100),
    setPerS: Math.round(setPerS.reduce((sum, rate) => sum + rate, 0) / Math.max(1, setPerS.length)),
  }),
};
