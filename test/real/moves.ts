/** What is asked of a cluster while it is being called: to empty a worker, to take one in, to become another version. */
import type { Cluster } from './cluster.ts';
import { sleep, until } from './program.ts';
import { calmMs, type Given, type Scenario, type Spread, scene, spread, textOf, three } from './scenario.ts';

/** Pauses up to here are what a call takes on a busy machine: they say nothing about moving. */
const settleMs = 1_000;

/** Drains each worker and starts it again, one after the other. */
async function roll(cluster: Cluster, version: string, given: Given) {
  const [drainMs, startMs, pauses]: [number[], number[], number[]] = [[], [], []];
  await cluster.takePauses();
  for (const name of three) {
    drainMs.push(await cluster.drain(name));
    startMs.push(await cluster.startWorker(name, version));
    await sleep(settleMs);
    const ofThis = await cluster.takePauses();
    given.say(`${name}: drained in ${drainMs.at(-1)?.toFixed(0)} ms, longest pause of a key ${textOf(spread(ofThis))}`);
    pauses.push(...ofThis);
  }
  return { drainMs, startMs, pauses };
}

async function noFailures(cluster: Cluster): Promise<string[]> {
  const { failures } = await cluster.counts();
  return failures === 0 ? [] : [`${failures} calls failed`];
}

const rolling: Scenario = {
  name: 'rolling',
  what: 'every worker drained by SIGTERM and started again, one after the other, under load',
  run: (given) =>
    scene('rolling', {}, given, async (cluster) => {
      const calm = await calmly(cluster);
      const { drainMs, startMs, pauses } = await roll(cluster, '1', given);
      return {
        measured: {
          'longest pause of a key without': calm,
          'longest pause of a key, each worker': spread(pauses),
          'SIGTERM to exit': spread(drainMs),
          'start to ready': spread(startMs),
        },
        problems: await noFailures(cluster),
      };
    }),
};

/** The same keys for a while in which nothing is done: what of their waits is the machine's. */
async function calmly(cluster: Cluster): Promise<Spread> {
  await cluster.takePauses();
  await sleep(calmMs);
  return spread(await cluster.takePauses());
}

const upgrade: Scenario = {
  name: 'upgrade',
  what: 'a second version of the app, with one type more, rolled in under load; then that type is called too',
  run: (given) =>
    scene('upgrade', {}, given, async (cluster) => {
      const { drainMs, startMs, pauses } = await roll(cluster, '2', given);
      await cluster.startNotices();
      await sleep(calmMs);
      return {
        measured: {
          'longest pause of a key, each worker': spread(pauses),
          'SIGTERM to exit': spread(drainMs),
          'start to ready': spread(startMs),
        },
        problems: await noFailures(cluster),
      };
    }),
};

async function forwardedOf(cluster: Cluster): Promise<number> {
  const stats = await Promise.all([...cluster.workers.keys()].map((name) => cluster.statsOf(name)));
  return stats.reduce((sum, { forwarded }) => sum + forwarded, 0);
}

const join: Scenario = {
  name: 'join',
  what: 'a fourth worker joins three under load',
  run: (given) =>
    scene('join', {}, given, async (cluster) => {
      const calm = await calmly(cluster);
      const [before, forwarded] = [await cluster.places(), await forwardedOf(cluster)];
      const startMs = await cluster.startWorker('w4');
      const isKnown = await until(async () => (await cluster.places()).workers.includes('w4'), 10_000, 20);
      await sleep(settleMs);
      const [after, pauses] = [await cluster.places(), await cluster.takePauses()];
      const keys = Object.keys(before.places);
      const movedKeys = keys.filter((key) => before.places[key] !== after.places[key]);
      const strays = movedKeys.filter((key) => after.places[key] !== 'w4');
      const stats = await cluster.statsOf('w4');
      return {
        measured: {
          'longest pause of a key without': calm,
          'longest pause of a key': spread(pauses),
          'keys moved': `${movedKeys.length} of ${keys.length}`,
          'keys moved between the others': strays.length,
          'partitions of the new one': stats.partitions,
          'messages forwarded': (await forwardedOf(cluster)) - forwarded,
          'start to ready': Math.round(startMs),
        },
        problems: [...(await noFailures(cluster)), ...(isKnown ? [] : ['the client never heard of w4'])],
      };
    }),
};

export const moves: readonly Scenario[] = [rolling, upgrade, join];
