/**
 * Real stores that go back: one Redis, and one of the three servers of a Redis Cluster, each restarted from an older copy of its
 * append-only file, over and over, with streams open and closed, with nothing and with much under way.
 *
 * Owns what must hold afterwards: what was acknowledged after the loss is stored and has arrived, and what began after it
 * has arrived once; a repeated key is not answered from memory; each loss is reported once (P4, P7, P8).
 */
import { type Behaviour, behaviour, command, entity, query, unchecked } from '../../core/index.ts';
import type { Limits } from '../../core/limits.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { type ServedWorker, serve } from '../../runtime/serve.ts';
import type { Store } from '../../runtime/store.ts';
import { openRedis } from '../../runtime/stores/redis/store.ts';
import { NatsServer } from '../support/nats-server.ts';
import { RedisServer, startCluster } from '../support/redis-server.ts';
import { clock, sleep, until } from './program.ts';
import type { Given, Result, Scenario } from './scenario.ts';

interface Told {
  readonly token: string;
  readonly to: string;
}

const Book = entity('book', {
  initial: () => ({ notes: {} as Record<string, number> }),
  operations: { note: command(unchecked<string>()), notes: query(unchecked<Record<string, number>>()) },
});

const Teller = entity('teller', {
  initial: () => ({ told: [] as string[] }),
  operations: { tell: command(unchecked<Told>()), told: query(unchecked<readonly string[]>()) },
});

const behaviours: readonly Behaviour[] = [
  behaviour(Book, {
    note(turn, token) {
      turn.state.notes[token] = (turn.state.notes[token] ?? 0) + 1;
    },
    notes: ({ state }) => ({ ...state.notes }),
  }),
  behaviour(Teller, {
    tell(turn, { token, to }) {
      turn.state.told.push(token);
      turn.to(Book, to).note(token);
    },
    told: ({ state }) => [...state.told],
  }),
];

const tellers = ['p', 'q', 'r', 's', 't', 'u'];
const books = ['v', 'w', 'x', 'y', 'z'];
const partitions = 16;
const callMs = 20_000;
const quietMs = 20_000;

interface Kind {
  readonly where: 'redis' | 'cluster';
  readonly streams: 'open' | 'closed';
  readonly load: 'idle' | 'busy';
}

const kinds: readonly Kind[] = (['redis', 'cluster'] as const).flatMap((where) =>
  (['open', 'closed'] as const).flatMap((streams) =>
    (['idle', 'busy'] as const).map((load) => ({ where, streams, load })),
  ),
);

interface Call {
  readonly teller: string;
  readonly told: Told;
  readonly begunAt: number;
  /** When it was answered; 0: it was not, or with an error. */
  answeredAt: number;
}

interface Said {
  readonly worker?: string;
  readonly partitions?: readonly number[];
  readonly entities?: number;
}

interface Findings {
  rounds: number;
  acknowledgedAfter: number;
  begunAfter: number;
  missing: number;
  doubled: number;
  keysRepeated: number;
  keysNotStored: number;
  /** Of calls that began before the loss and were lost with it: what they had sent took effect (P8). */
  againOfBefore: number;
  reports: number;
  partitionsReported: number;
  reportedTwice: number;
  roundsUnreported: number;
  entities: number;
  readonly problems: string[];
}

/** The servers, three workers in this process with a connection and a store each, and what they say. */
class Site {
  readonly #nats: NatsServer;
  readonly servers: readonly RedisServer[];
  readonly workers: ServedWorker[] = [];
  readonly said: Said[] = [];
  readonly #stores: Store[] = [];

  private constructor(nats: NatsServer, servers: readonly RedisServer[]) {
    this.#nats = nats;
    this.servers = servers;
  }

  static async start({ where, streams }: Kind): Promise<Site> {
    const nats = await NatsServer.start();
    const servers = where === 'redis' ? [await RedisServer.start()] : await startCluster('appendfsync always');
    const site = new Site(nats, servers);
    const limits: Partial<Limits> = {
      retryMs: 100,
      retryMsMax: 1_000,
      trimIdleMs: 50,
      closeIdleMs: streams === 'open' ? 600_000 : 150,
    };
    for (const name of ['w1', 'w2', 'w3']) {
      const log = {
        info: () => undefined,
        warn: () => undefined,
        error: (details: object, text: string) => void (text.includes('(P8)') && site.said.push(details)),
      };
      const url = servers.map((server) => server.url);
      const store = await openRedis({ url, cluster: where === 'cluster', partitions, log, commandTimeoutMs: 1_000 });
      site.#stores.push(store);
      const environment = machineEnvironment(log);
      site.workers.push(await serve({ name, behaviours, store, nats: nats.url, limits, environment }));
    }
    await Promise.all(site.workers.map((worker) => worker.ready()));
    return site;
  }

  get #first(): ServedWorker {
    return this.workers[0] as ServedWorker;
  }

  async tell(teller: string, told: Told, idempotencyKey?: string): Promise<boolean> {
    const options = { deadlineMs: callMs, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) };
    return this.#first
      .entity(Teller, teller)
      .tell(told, options)
      .then(
        () => true,
        () => false,
      );
  }

  told(teller: string): Promise<readonly string[]> {
    return this.#first.entity(Teller, teller).told(undefined, { deadlineMs: callMs });
  }

  async arrived(): Promise<Map<string, number>> {
    const all = new Map<string, number>();
    for (const book of books)
      for (const [token, count] of Object.entries(
        await this.#first.entity(Book, book).notes(undefined, { deadlineMs: callMs }),
      ))
        all.set(token, (all.get(token) ?? 0) + count);
    return all;
  }

  /** Until no outbox holds anything. */
  async quiet(): Promise<boolean> {
    const { inspector } = this.#first;
    const isQuiet = async () => {
      for await (const address of inspector.list('teller'))
        if (((await inspector.get(address, { activityCountMax: 0 }))?.outbox.length ?? 0) > 0) return false;
      return true;
    };
    // A server that has just come back may not answer yet.
    return until(() => isQuiet().catch(() => false), quietMs);
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.close()));
    await Promise.all(this.#stores.map((store) => store.close()));
    await Promise.all([this.#nats.close(), ...this.servers.map((server) => server.close())]);
  }
}

/** Calls without a pause, some at a time, until it is told to stop. */
class Load {
  readonly calls: Call[] = [];
  #isOn = true;
  readonly #loops: Promise<void>[];

  constructor(site: Site, prefix: string) {
    this.#loops = tellers.map(async (teller, at) => {
      for (let n = 0; this.#isOn; n += 1) {
        const told = { token: `${prefix}-${teller}-${n}`, to: books[(at + n) % books.length] as string };
        const call: Call = { teller, told, begunAt: clock(), answeredAt: 0 };
        this.calls.push(call);
        if (await site.tell(teller, told)) call.answeredAt = clock();
        await sleep(2);
      }
    });
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#loops);
  }
}

/** From everybody to everybody, once; returns the calls when all are over. */
async function tellAll(site: Site, prefix: string): Promise<Call[]> {
  const calls = tellers.flatMap((teller) =>
    books.map((to) => ({ teller, told: { token: `${prefix}-${teller}-${to}`, to }, begunAt: clock(), answeredAt: 0 })),
  );
  await Promise.all(
    calls.map(async (call) => {
      if (await site.tell(call.teller, call.told)) call.answeredAt = clock();
    }),
  );
  return calls;
}

const keyOf = (round: number, teller: string) => `key ${round} ${teller}`;

/** One loss: what is acknowledged between `keep` and `putBack` is gone, with the server's other commits of that time. */
async function round(site: Site, kind: Kind, number: number, found: Findings): Promise<void> {
  const server = site.servers[number % site.servers.length] as RedisServer;
  const saidBefore = site.said.length;
  await tellAll(site, `${number}-kept`);
  await site.quiet();
  if (kind.streams === 'closed') await sleep(600);
  const putBack = server.keep();
  await tellAll(site, `${number}-gone`);
  const keyed = (teller: string) => ({ token: `${number}-keyed-${teller}`, to: books[0] as string });
  await Promise.all(tellers.map((teller) => site.tell(teller, keyed(teller), keyOf(number, teller))));
  const load = kind.load === 'busy' ? new Load(site, `${number}-load`) : undefined;
  if (load === undefined) await site.quiet();
  if (load === undefined && kind.streams === 'closed') await sleep(600);
  if (load !== undefined) await sleep(150);
  await server.kill();
  putBack();
  await server.restart();
  const lostAt = clock();
  // At once, as a caller that has not heard of anything does.
  const again = tellers.map(async (teller) => ({
    teller,
    isDone: await site.tell(teller, keyed(teller), keyOf(number, teller)),
  }));
  const calls = await tellAll(site, `${number}-after`);
  const keys = await Promise.all(again);
  if (load !== undefined) await sleep(500);
  await load?.stop();
  if (!(await site.quiet())) found.problems.push(`round ${number}: not quiet after ${quietMs} ms`);
  const before = load?.calls.filter(({ begunAt }) => begunAt <= lostAt) ?? [];
  await compare(site, found, {
    begunAfter: [...calls, ...(load?.calls.filter(({ begunAt }) => begunAt > lostAt) ?? [])],
    begunBefore: before.filter(({ answeredAt }) => answeredAt > lostAt),
    keys: keys.filter(({ isDone }) => isDone).map(({ teller }) => ({ teller, token: keyed(teller).token })),
  });
  await until(() => site.said.length > saidBefore, 5_000);
  // Reports gather for a second; a second one of the same loss would come in this time.
  await sleep(1_500);
  countReports(site.said.slice(saidBefore), found);
  found.rounds += 1;
}

async function compare(
  site: Site,
  found: Findings,
  {
    begunAfter,
    begunBefore,
    keys,
  }: {
    begunAfter: readonly Call[];
    begunBefore: readonly Call[];
    keys: readonly { readonly teller: string; readonly token: string }[];
  },
): Promise<void> {
  const arrived = await site.arrived();
  const told = new Map<string, ReadonlySet<string>>();
  for (const teller of tellers) told.set(teller, new Set(await site.told(teller)));
  const done = begunAfter.filter(({ answeredAt }) => answeredAt > 0);
  const isMissing = ({ teller, told: { token } }: Call) => !arrived.has(token) || told.get(teller)?.has(token) !== true;
  const missing = [...done, ...begunBefore].filter(isMissing);
  const doubled = begunAfter.filter(({ told: { token } }) => (arrived.get(token) ?? 0) > 1);
  const notStored = keys.filter(({ teller, token }) => told.get(teller)?.has(token) !== true);
  found.acknowledgedAfter += done.length + begunBefore.length;
  found.begunAfter += begunAfter.length;
  found.missing += missing.length;
  found.doubled += doubled.length;
  found.againOfBefore += begunBefore.filter(({ told: { token } }) => (arrived.get(token) ?? 0) > 1).length;
  found.keysRepeated += keys.length;
  found.keysNotStored += notStored.length;
  const failed = begunAfter.length - done.length;
  if (failed > 0) found.problems.push(`${failed} calls failed after the loss`);
  for (const {
    told: { token },
  } of missing.slice(0, 3))
    found.problems.push(`${token} is missing`);
  for (const {
    told: { token },
  } of doubled.slice(0, 3))
    found.problems.push(`${token} arrived ${arrived.get(token)} times`);
  for (const { token } of notStored.slice(0, 3)) found.problems.push(`${token} was answered and is not stored`);
}

/** Each worker may say that it lost partitions; no partition is said twice. */
function countReports(said: readonly Said[], found: Findings): void {
  const partitionsSaid = said.flatMap(({ partitions: of }) => of ?? []);
  const twice = partitionsSaid.length - new Set(partitionsSaid).size;
  found.reports += said.length;
  found.partitionsReported += partitionsSaid.length;
  found.reportedTwice += twice;
  found.entities += said.reduce((sum, { entities }) => sum + (entities ?? 0), 0);
  if (said.length === 0) found.roundsUnreported += 1;
  if (twice > 0) found.problems.push(`${twice} partitions were reported twice`);
  if (said.length === 0) found.problems.push('nobody said that anything was lost');
}

/** So many losses of one kind, one after the other on the same servers. */
export async function lose(kind: Kind, rounds: number, given: Given): Promise<Findings> {
  const found: Findings = {
    rounds: 0,
    acknowledgedAfter: 0,
    begunAfter: 0,
    missing: 0,
    doubled: 0,
    keysRepeated: 0,
    keysNotStored: 0,
    againOfBefore: 0,
    reports: 0,
    partitionsReported: 0,
    reportedTwice: 0,
    roundsUnreported: 0,
    entities: 0,
    problems: [],
  };
  const site = await Site.start(kind);
  try {
    for (let number = 0; number < rounds; number += 1) await round(site, kind, number, found);
    for (const problem of found.problems.slice(0, 5)) given.say(problem);
    return found;
  } finally {
    await site.close();
  }
}

/** `--seconds` is how many losses of each kind. */
async function run(given: Given): Promise<Result> {
  const rounds = Math.max(1, Math.round(given.seconds ?? 20));
  const measured: Record<string, string> = {};
  const problems: string[] = [];
  for (const kind of kinds) {
    const name = `${kind.where}, streams ${kind.streams}, ${kind.load}`;
    const found = await lose(kind, rounds, given);
    measured[name] = [
      `${found.rounds} losses`,
      `acknowledged after ${found.acknowledgedAfter}`,
      `missing ${found.missing}`,
      `doubled ${found.doubled}`,
      `keys repeated ${found.keysRepeated}, not stored ${found.keysNotStored}`,
      `reports ${found.reports} for ${found.partitionsReported} partitions and ${found.entities} entities, twice ${found.reportedTwice}`,
      `begun before and again ${found.againOfBefore}`,
    ].join('; ');
    given.say(`${name}: ${measured[name]}`);
    problems.push(...found.problems.map((problem) => `${name}: ${problem}`));
  }
  return { scenario: 'rollback', measured, verdict: undefined, problems };
}

export const rollback: Scenario = {
  name: 'rollback',
  what: 'one Redis, and one server of a Redis Cluster, restarted from an older copy of its data, 20 times of each kind',
  run,
};
