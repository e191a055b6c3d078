/** What is done to processes, servers and cables without asking them. */
import type { Cluster } from './cluster.ts';
import { clock, sleep, until } from './program.ts';
import { calmMs, type Given, type Scenario, scene, spread, three, unanswered } from './scenario.ts';

/** How long something is away that comes back, ms. */
const awayMs = 5_000;
const recoverMs = 60_000;

interface Fault {
  /** What it meets: the keys of a worker, or all. */
  readonly worker?: string;
  readonly strike: (cluster: Cluster) => Promise<void>;
  readonly heal: (cluster: Cluster) => Promise<void>;
  readonly lastsMs: number;
}

/** Strikes, waits, heals; when the keys answer again, and how long any key of the cluster waited at most. */
async function suffer(cluster: Cluster, fault: Fault, given: Given) {
  const keys = await cluster.mark('fault', fault.worker);
  const faultAt = clock();
  await fault.strike(cluster);
  await cluster.date('fault', faultAt);
  await sleep(given.seconds === undefined ? fault.lastsMs : given.seconds * 1_000);
  const before = await cluster.recovery('fault');
  await cluster.mark('heal');
  const healedAt = clock();
  await fault.heal(cluster);
  await cluster.date('heal', healedAt);
  const [struck, healed] = [await cluster.recovered('fault', recoverMs), await cluster.recovered('heal', recoverMs)];
  given.say(`${keys} keys met; ${before.ms.length} of them answered before the healing`);
  await sleep(calmMs);
  const pauses = await cluster.takePauses();
  return {
    measured: {
      'keys met': keys,
      'answered before healed': before.ms.length,
      'fault to first success': spread(struck.ms),
      'healed to first success': spread(healed.ms),
      'longest pause of a key': spread(pauses),
    },
    problems: [...unanswered('the fault', struck), ...unanswered('the healing', healed)],
  };
}

function simple(name: string, what: string, fault: Fault): Scenario {
  const options = fault.worker === undefined ? {} : { cabled: fault.worker };
  return {
    name,
    what,
    run: (given) => scene(name, options, given, (cluster) => suffer(cluster, fault, given)),
  };
}

/** The first worker runs the placement service, which makes its silence harder to notice. */
const [serving, usual] = ['w1', 'w2'];

const stopped = (worker: string): Fault => ({
  worker,
  strike: async (cluster) => cluster.worker(worker).signal('SIGSTOP'),
  heal: async (cluster) => cluster.worker(worker).signal('SIGCONT'),
  lastsMs: awayMs,
});

const natsRestart: Fault = {
  strike: (cluster) => cluster.nats.kill(),
  heal: (cluster) => cluster.nats.restart(),
  lastsMs: 1_000,
};

const withoutNats = (worker: string): Fault => ({
  worker,
  strike: (cluster) => cluster.cables.nats.cut(),
  heal: (cluster) => cluster.cables.nats.heal(),
  lastsMs: awayMs,
});

const redisRestart: Fault = {
  strike: (cluster) => cluster.redis.kill(),
  heal: (cluster) => cluster.redis.restart(),
  lastsMs: 1_000,
};

const withoutRedis = (worker: string): Fault => ({
  worker,
  strike: (cluster) => cluster.cables.redis.cut(),
  heal: (cluster) => cluster.cables.redis.heal(),
  lastsMs: awayMs,
});

/** Every second one of those that are ready is killed, and started again under its name. */
async function killAll(cluster: Cluster, given: Given) {
  const kills = Math.max(1, Math.round(given.seconds ?? 60));
  const starts: Promise<number>[] = [];
  const ready = new Set(three);
  const names: string[] = [];
  const serving = new Set<string>();
  let missed = 0;
  for (let kill = 0; names.length < kills && kill < kills * 3; kill += 1) {
    const second = sleep(1_000);
    const candidates = [...ready];
    const worker = candidates[Math.floor(Math.random() * candidates.length)];
    if (worker === undefined) missed += 1;
    else {
      ready.delete(worker);
      const name = `kill ${kill}`;
      names.push(name);
      if ((await cluster.statsOf(worker)).isServing) serving.add(name);
      await cluster.mark(name, worker);
      const faultAt = clock();
      await cluster.worker(worker).kill();
      await cluster.date(name, faultAt);
      const start = cluster.startWorker(worker);
      starts.push(start);
      // A start that fails is met by the wait for all of them.
      start.then(
        () => ready.add(worker),
        () => undefined,
      );
      if (names.length % 10 === 0) given.say(`${names.length} kills`);
    }
    await second;
  }
  const startMs = await Promise.all(starts);
  return { names, serving, startMs, missed };
}

const kill: Scenario = {
  name: 'kill',
  what: 'SIGKILL of a random worker under load every second, each started again under its name',
  run: (given) =>
    scene('kill', {}, given, async (cluster) => {
      const { names, serving, startMs, missed } = await killAll(cluster, given);
      await until(async () => (await openOf(cluster, names)) === 0, recoverMs, 200);
      const recoveries = await Promise.all(names.map((name) => cluster.recovery(name)));
      const all = recoveries.flatMap(({ ms }) => ms);
      const ofService = recoveries.flatMap(({ ms }, index) => (serving.has(names[index] as string) ? ms : []));
      const worst = recoveries.filter(({ ms }) => ms.length > 0).map(({ ms }) => Math.max(...ms));
      return {
        measured: {
          kills: names.length,
          'seconds without a worker to kill': missed,
          'kill to first success, each key': spread(all),
          'the same, of the worker that ran the service': spread(ofService),
          'kill to first success, last key of each kill': spread(worst),
          'start of a worker to ready': spread(startMs),
          'longest pause of a key': spread(await cluster.takePauses()),
        },
        problems: recoveries.flatMap((recovery, index) => unanswered(names[index] as string, recovery)),
      };
    }),
};

async function openOf(cluster: Cluster, names: readonly string[]): Promise<number> {
  const recoveries = await Promise.all(names.map((name) => cluster.recovery(name)));
  return recoveries.reduce((sum, { openCount }) => sum + openCount, 0);
}

export const faults: readonly Scenario[] = [
  kill,
  simple('zombie', 'SIGSTOP of a worker for 5 s, then SIGCONT', stopped(usual)),
  simple('zombie-service', 'the same of the worker that runs the placement service, for 8 s', {
    ...stopped(serving),
    lastsMs: 8_000,
  }),
  simple('nats-restart', 'SIGKILL of nats-server, started again after 1 s', natsRestart),
  simple('redis-restart', 'SIGKILL of redis-server (appendfsync always), started again after 1 s', redisRestart),
  simple('cut-nats', 'the cable between one worker and NATS cut for 5 s; the store is reachable', withoutNats(usual)),
  simple('cut-nats-service', 'the same with the worker that runs the placement service', withoutNats(serving)),
  simple('cut-redis', 'the cable between one worker and Redis cut for 5 s; NATS is reachable', withoutRedis(usual)),
  simple('cut-redis-service', 'the same with the worker that runs the placement service', withoutRedis(serving)),
];
