/** What is asked of a cluster while it is being called: to empty a worker, to take one in, to become another version. */
import { buildOf, type Cluster, type ClusterOptions } from './cluster.ts';
import { sleep, until } from './program.ts';
import {
  calmMs,
  type Given,
  type Result,
  type Scenario,
  type Spread,
  scene,
  spread,
  textOf,
  three,
} from './scenario.ts';

/** Pauses up to here are what a call takes on a busy machine: they say nothing about moving. */
const settleMs = 1_000;

/** The longest pauses of keys: of those that moved, and of those that stayed where they were, which is what the machine costs. */
interface Pauses {
  readonly moved: number[];
  readonly stayed: number[];
}

async function takePauses(cluster: Cluster, isMoved: (address: string) => boolean): Promise<Pauses> {
  const pauses: Pauses = { moved: [], stayed: [] };
  for (const [address, ms] of Object.entries(await cluster.takePausesByKey()))
    (isMoved(address) ? pauses.moved : pauses.stayed).push(ms);
  return pauses;
}

/** Drains each worker and starts it again, one after the other. */
async function roll(cluster: Cluster, version: string, given: Given, release?: string) {
  const [drainMs, startMs]: [number[], number[]] = [[], []];
  const pauses: Pauses = { moved: [], stayed: [] };
  for (const name of three) {
    const { places } = await cluster.places();
    await cluster.takePauses();
    drainMs.push(await cluster.drain(name));
    startMs.push(await cluster.startWorker(name, version, release));
    await sleep(settleMs);
    const { moved, stayed } = await takePauses(cluster, (address) => places[address] === name);
    given.say(`${name}: ${moved.length} keys moved away and back, longest pause of one ${textOf(spread(moved))}`);
    pauses.moved.push(...moved);
    pauses.stayed.push(...stayed);
  }
  return {
    'longest pause of a key that moved': spread(pauses.moved),
    'longest pause of one that stayed': spread(pauses.stayed),
    'SIGTERM to exit': spread(drainMs),
    'start to ready': spread(startMs),
  };
}

const rolling: Scenario = {
  name: 'rolling',
  what: 'every worker drained by SIGTERM and started again, one after the other, under load',
  run: (given) =>
    scene('rolling', {}, given, async (cluster) => {
      const calm = await calmly(cluster);
      const rolled = await roll(cluster, '1', given);
      return {
        measured: { 'longest pause of a key before': calm, ...rolled },
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
      const measured = await roll(cluster, '2', given);
      await cluster.startNotices();
      await sleep(calmMs);
      return {
        measured,
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
      const after = await cluster.places();
      const keys = Object.keys(before.places);
      const movedKeys = keys.filter((key) => before.places[key] !== after.places[key]);
      const pauses = await takePauses(cluster, (address) => movedKeys.includes(address));
      const strays = movedKeys.filter((key) => after.places[key] !== 'w4');
      const stats = await cluster.statsOf('w4');
      return {
        measured: {
          'longest pause of a key before': calm,
          'longest pause of a key that moved': spread(pauses.moved),
          'longest pause of one that stayed': spread(pauses.stayed),
          'keys moved': `${movedKeys.length} of ${keys.length}`,
          'keys moved between the others': strays.length,
          'partitions of the new one': stats.partitions,
          'messages forwarded': (await forwardedOf(cluster)) - forwarded,
          'start to ready': Math.round(startMs),
        },
        problems: isKnown ? [] : ['the client never heard of w4'],
      };
    }),
};

/** The workers of a release become those of this one, and again those of that one, one after the other. */
async function over(name: string, options: Partial<ClusterOptions>, given: Given): Promise<Result> {
  return scene(name, options, given, async (cluster) => {
    const there = await roll(cluster, '1', given);
    const back = await roll(cluster, '1', given, options.workersOf);
    const measured = Object.entries({ 'to this release': there, 'and back': back }).flatMap(([way, figures]) =>
      Object.entries(figures).map(([what, figure]) => [`${way}: ${what}`, figure] as const),
    );
    return { measured: Object.fromEntries(measured) };
  });
}

export const releases: Scenario = {
  name: 'releases',
  what: 'a cluster of another commit (--before) rolled to this one under load, and back, with a client of this one, then of that one',
  run: async (given) => {
    if (given.before === undefined) throw new Error('name the other commit: --before COMMIT');
    const workersOf = buildOf(given.before);
    const one = await over('releases, client of this one', { workersOf }, given);
    const other = await over('releases, client of the other', { workersOf, clientOf: workersOf }, given);
    const named = (result: Result) =>
      Object.entries(result.measured).map(([what, figure]) => [`${result.scenario}: ${what}`, figure] as const);
    return {
      scenario: 'releases',
      measured: Object.fromEntries([...named(one), ...named(other)]),
      verdict: undefined,
      problems: [...one.problems, ...other.problems],
    };
  },
};

export const moves: readonly Scenario[] = [rolling, upgrade, join];
