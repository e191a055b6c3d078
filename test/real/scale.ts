/** How many calls 1, 2 and 4 workers answer, what each process uses of the processors, and what sets the limit. */
import { availableParallelism } from 'node:os';
import type { Cluster } from './cluster.ts';
import type { LoadOptions } from './load.ts';
import { sleep } from './program.ts';
import { type Given, type Result, type Scenario, scene, spread } from './scenario.ts';

/** As many as are answered: no pause between calls, and enough of them under way that frames hold many. */
const heavyLoad: LoadOptions = { tallies: 1_024, loops: 512, thinkMs: 0, deadlineMs: 30_000, sendsMessages: false };
/** Until code is compiled and entities are in memory, ms. */
const warmMs = 4_000;
/** Shares of a processor from which on it counts as used up. */
const fullShare = 0.9;

async function measure(cluster: Cluster, given: Given) {
  await sleep(warmMs);
  const [before, cpuBefore, startedAt] = [await cluster.counts(), cluster.cpuMs(), performance.now()];
  await cluster.takeLatencies();
  await sleep((given.seconds ?? 10) * 1_000);
  const [after, cpuAfter, ms] = [await cluster.counts(), cluster.cpuMs(), performance.now() - startedAt];
  const shares = Object.entries(cpuAfter).map(
    ([name, cpuMs]) => [name, (cpuMs - (cpuBefore[name] ?? 0)) / ms] as const,
  );
  const perSecond = Math.round(((after.successes - before.successes) * 1_000) / ms);
  return {
    measured: {
      'calls/s': perSecond,
      latency: spread(await cluster.takeLatencies()),
      processors: shares.map(([name, share]) => `${name} ${share.toFixed(2)}`).join(', '),
      limit: limitOf(shares),
    },
  };
}

function limitOf(shares: readonly (readonly [string, number])[]): string {
  const sum = shares.reduce((total, [, share]) => total + share, 0);
  const processors = availableParallelism();
  const full = shares.filter(([, share]) => share >= fullShare).map(([name]) => name);
  if (sum >= processors * fullShare)
    return `the machine: ${sum.toFixed(2)} of ${processors} processors used by these processes`;
  if (full.length > 0) return `one thread of ${full.join(' and of ')}`;
  return `waiting: ${sum.toFixed(2)} of ${processors} processors used by these processes`;
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
      ['calls/s', 'latency', 'processors', 'limit'].map(
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
  return results.reduce((total, { verdict }) => total + verdict[what], 0);
}
