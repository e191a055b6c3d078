/** How many calls 1, 2 and 4 workers answer, what each process uses of the processors, and what sets the limit. */
import { availableParallelism } from 'node:os';
import type { Cluster } from './cluster.ts';
import type { LoadOptions } from './load.ts';
import { idleMs, sleep } from './program.ts';
import { type Given, type Result, type Scenario, scene, spread } from './scenario.ts';

/** As many as are answered: no pause between calls, and enough of them under way that frames hold many. */
const heavyLoad: LoadOptions = { tallies: 1_024, loops: 512, thinkMs: 0, deadlineMs: 30_000, sendsMessages: false };
/** Until code is compiled and entities are in memory, ms. */
const warmMs = 4_000;
/** Shares of a processor from which on it counts as used up. */
const fullShare = 0.9;
/** And up to which a machine's processors count as used up, of each. */
const idleShare = 0.1;

async function measure(cluster: Cluster, given: Given) {
  await sleep(warmMs);
  const [before, usedBefore, idleBefore, startedAt] = [
    await cluster.counts(),
    cluster.used(),
    idleMs(),
    performance.now(),
  ];
  await cluster.takeLatencies();
  await sleep((given.seconds ?? 10) * 1_000);
  const [after, used, idle, ms] = [await cluster.counts(), cluster.used(), idleMs(), performance.now() - startedAt];
  const shares = Object.entries(used).map(([name, { ranMs, waitedMs }]) => ({
    name,
    ran: (ranMs - (usedBefore[name]?.ranMs ?? 0)) / ms,
    waited: (waitedMs - (usedBefore[name]?.waitedMs ?? 0)) / ms,
  }));
  return {
    measured: {
      'calls/s': Math.round(((after.successes - before.successes) * 1_000) / ms),
      latency: spread(await cluster.takeLatencies()),
      'ran + waited to run': shares
        .map(({ name, ran, waited }) => `${name} ${ran.toFixed(2)}+${waited.toFixed(2)}`)
        .join(', '),
      limit: limitOf(shares, (idle - idleBefore) / ms),
    },
  };
}

interface Share {
  readonly name: string;
  /** Of the time, in processors. */
  readonly ran: number;
  readonly waited: number;
}

function limitOf(shares: readonly Share[], idle: number): string {
  const processors = availableParallelism();
  const ran = shares.reduce((sum, one) => sum + one.ran, 0);
  const others = Math.max(0, processors - idle - ran);
  const text = `${ran.toFixed(2)} of ${processors} processors used here, ${others.toFixed(2)} by others`;
  const full = shares.filter(({ ran: share }) => share >= fullShare).map(({ name }) => name);
  if (idle <= processors * idleShare) return `the processors: ${text}`;
  return full.length > 0
    ? `one thread of ${full.join(' and of ')}: ${text}`
    : `waiting for Redis and its disk: ${text}`;
}

async function withWorkers(count: number, given: Given): Promise<Result> {
  const workers = Array.from({ length: count }, (_, index) => `w${index + 1}`);
  const result = await scene('scale', { workers, load: heavyLoad }, given, (cluster) => measure(cluster, given));
  given.say(`${count} workers: ${result.measured['calls/s']} calls/s`);
  return result;
}

export const scale: Scenario = {
  name: 'scale',
  what: '1, 2 and 4 workers, with as many calls as they answer',
  run: async (given) => {
    const results: Result[] = [];
    for (const count of [1, 2, 4]) results.push(await withWorkers(count, given));
    const rows = results.flatMap(({ measured }, index) =>
      ['calls/s', 'latency', 'ran + waited to run', 'limit'].map(
        (name) => [`${2 ** index}: ${name}`, measured[name] ?? ''] as const,
      ),
    );
    const last = results.at(-1) as Result;
    return {
      scenario: 'scale',
      measured: {
        ...Object.fromEntries(rows),
        lost: sum(results, 'lost'),
        doubled: sum(results, 'doubled'),
        failed: sum(results, 'failed'),
      },
      verdict: last.verdict,
      problems: results.flatMap(({ problems }) => problems),
    };
  },
};

function sum(results: readonly Result[], what: 'lost' | 'doubled' | 'failed'): number {
  return results.reduce((total, { verdict }) => total + (verdict?.[what] ?? 0), 0);
}
