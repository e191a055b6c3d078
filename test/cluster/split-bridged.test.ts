/**
 * A cluster of three real nats-servers, of which two do not reach each other and the third reaches both.
 *
 * Time limit: 120 s.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkerryError } from '../../core/errors.ts';
import { freePort } from '../../runtime/cli/programs.ts';
import { connect, type RemoteCluster } from '../../runtime/connect.ts';
import { type ServedWorker, serve } from '../../runtime/serve.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { NatsServer } from '../support/nats-server.ts';
import { comesTrue, Noted } from '../support/noted.ts';
import { assert, suite } from '../support/suite.ts';
import { Tally, tallyWith } from '../support/tally.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const test = suite('bridged');
const splits = /cluster is split/;
const namesIn = ({ view }: { view: ServedWorker['view'] }) => view.workers.map(({ name }) => name).join();

/** An entity on the other side of the cut, to which others send. */
let across = '';
const telling = tallyWith({ tell: (turn) => void turn.to(Tally, across).see(1) });

/** Three servers, of which the first two reach each other by routes that can be cut, and the third reaches both. */
async function withBridge(
  body: (
    servers: readonly [NatsServer, NatsServer, NatsServer],
    cut: () => Promise<void>,
    heal: () => Promise<void>,
  ) => Promise<void>,
): Promise<void> {
  const ports = [await freePort(), await freePort(), await freePort()] as const;
  const routes = [await TcpProxy.to(ports[0]), await TcpProxy.to(ports[1])] as const;
  // Servers tell each other where others are: by what these advertise. A route that was only learnt is not tried again.
  const side = (at: 0 | 1) =>
    `listen: "127.0.0.1:${ports[at]}", advertise: "127.0.0.1:${routes[at].port}", routes: [${[ports[2], routes[1 - at]?.port].map((port) => `"nats://127.0.0.1:${port}"`).join()}]`;
  const cluster = (rest: string) => NatsServer.start(`cluster { name: one, no_advertise: true, ${rest} }`);
  const bridge = await cluster(`listen: "127.0.0.1:${ports[2]}"`);
  const [first, second] = [await cluster(side(0)), await cluster(side(1))];
  const routeCount = ({ output }: NatsServer) => output.split('Route connection created').length - 1;
  const cut = async () => void (await Promise.all(routes.map((route) => route.cut())));
  const heal = async () => void (await Promise.all(routes.map((route) => route.heal())));
  try {
    await comesTrue('each has a route to each', () => routeCount(first) >= 2 && routeCount(second) >= 2);
    await body([first, second, bridge], cut, heal);
  } finally {
    for (const server of [second, first, bridge]) await server.close();
    for (const route of routes) await route.close();
  }
}

async function start(name: string, { url }: NatsServer, store: MemoryStore) {
  const noted = new Noted();
  const worker = await serve({ nats: url, store, name, behaviours: [telling], environment: noted.environment });
  await worker.ready();
  return { worker, noted };
}

/** Calls, with how often each entity was certainly, and may have been, added to. */
function addsTo(remote: RemoteCluster) {
  const known = new Map<string, { most: number; least: number }>();
  const add = async (key: string, deadlineMs: number): Promise<string> => {
    const count = known.get(key) ?? { most: 0, least: 0 };
    const asked = remote.entity(Tally, key).add(1, { deadlineMs });
    const result = await asked.then(
      () => 'done',
      (error: unknown) => (isSkerryError(error) ? `${error.code} ${error.effect}` : String(error)),
    );
    if (!result.endsWith('none')) count.most += 1;
    if (result === 'done') count.least += 1;
    known.set(key, count);
    return result;
  };
  const check = async (key: string): Promise<void> => {
    const { most, least } = known.get(key) ?? { most: 0, least: 0 };
    const count = await remote.entity(Tally, key).count();
    assert.ok(count >= least && count <= most, `${key}: ${count}, of ${least} to ${most}`);
  };
  return { add, check };
}

/** Has entities send to the one that is across, until it is so; answers how many messages those are. */
async function tellUntil(isSo: () => boolean, remote: RemoteCluster, keys: readonly string[]): Promise<number> {
  let count = 0;
  for (const until = performance.now() + 40_000; !isSo() && performance.now() < until; await sleep(200))
    for (const key of keys) {
      await remote.entity(Tally, key).run('tell');
      count += 1;
    }
  return count;
}

test(
  'EL4, P4: a cut that one server bridges moves nothing, is named once, and costs the calls across it alone',
  () =>
    withBridge(async (servers, cut, heal) => {
      const store = new MemoryStore({ partitions: 64 });
      const c = await start('c', servers[2], store);
      const [a, b] = [await start('a', servers[0], store), await start('b', servers[1], store)];
      const all = [a, b, c];
      await comesTrue('all know of all', () => all.every(({ worker }) => namesIn(worker) === 'a,b,c'));
      const remote = await connect({ nats: servers[0].url, environment: new Noted().environment });
      const keys = Array.from({ length: 60 }, (_, key) => String(key));
      const ownerOf = (key: string) => remote.where(`tally/${key}`).worker;
      const { add, check } = addsTo(remote);
      try {
        assert.equal(new Set(await Promise.all(keys.map((key) => add(key, 20_000)))), new Set(['done']));
        const owned = all.map(({ worker }) => worker.member.worker.partitions);
        const owners = new Map(keys.map((key) => [key, ownerOf(key)]));
        assert.equal([...new Set(owners.values())].sort(), ['a', 'b', 'c']);
        await cut();
        for (let round = 0; round < 2; round++) {
          const results = await Promise.all(keys.map(async (key) => [key, await add(key, 3_000)] as const));
          for (const [key, result] of results)
            if (owners.get(key) === 'b') assert.match(result, /^deadline (none|unknown)$/, `${key} ${result}`);
            else assert.is(result, 'done', `${key} of ${owners.get(key)}`);
        }
        // Of what clients say nothing is concluded: they may say anything.
        assert.is(c.worker.member.split, '');
        across = keys.find((key) => owners.get(key) === 'b') ?? '';
        const tellers = keys.filter((one) => owners.get(one) === 'a');
        const toldCount = await tellUntil(() => c.worker.member.split !== '', remote, tellers);
        assert.match(c.worker.member.split, /b answers this service, but others report it absent/);
        assert.is(c.noted.count(splits), 1);
        assert.equal(
          all.map(({ worker }) => [worker.member.isServing, worker.member.worker.partitions]),
          owned.map((partitions, at) => [at === 2, partitions]),
          'nobody loses what it has',
        );
        await heal();
        await comesTrue('nobody says that it is split', () => c.worker.member.split === '', 40_000);
        assert.equal(new Set(await Promise.all(keys.map((key) => add(key, 20_000)))), new Set(['done']));
        const seen = () => remote.entity(Tally, across).seen();
        for (let tries = 0; (await seen()).length < toldCount && tries < 400; tries += 1) await sleep(100);
        assert.is((await seen()).length, toldCount, 'what entities sent each other has come, once');
        for (const key of keys) await check(key);
        assert.ok(all.reduce((sum, { noted }) => sum + noted.lines.length, 0) < 60, 'it is quiet');
      } finally {
        await remote.close();
        for (const { worker } of [b, a, c]) await worker.close();
      }
    }),
  { timeoutMs: 110_000 },
);

test.run();
