/**
 * What the store does on a Redis Cluster when one of its servers fails, and what it needs to get in: logins and TLS.
 *
 * Time limit: 240 s.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkerryError } from '../../core/errors.ts';
import { freePort } from '../../runtime/cli/programs.ts';
import { silentLog } from '../../runtime/log.ts';
import { serve } from '../../runtime/serve.ts';
import type { Store } from '../../runtime/store.ts';
import { openRedis, type RedisOptions } from '../../runtime/stores/redis/store.ts';
import { commitOf } from '../conformance/store-given.ts';
import { newCertificates } from '../support/nats-credentials.ts';
import { NatsServer } from '../support/nats-server.ts';
import { comesTrue, Noted } from '../support/noted.ts';
import { pathOf } from '../support/programs.ts';
import { RedisServer, startCluster } from '../support/redis-server.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, tallyWith } from '../support/tally.ts';

const test = suite('redis: cluster and logins');
const homes = Array.from({ length: 16 }, (_, home) => home);

async function withStore(options: RedisOptions, body: (store: Store) => Promise<void>): Promise<void> {
  const store = await openRedis({ partitions: 16, log: silentLog, commandTimeoutMs: 500, ...options });
  try {
    await body(store);
  } finally {
    await store.close();
  }
}

function missing(): never {
  throw new Error('there are three servers');
}

async function comesTrueOf(isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await isSo()); tries += 1) {
    if (tries >= 400) throw new Error('never came true');
    await sleep(50);
  }
}

async function commitsOnce(store: Store): Promise<void> {
  const [claim] = await store.claim([0], 'tester');
  assert.equal(await store.commit([commitOf({ address: 'order/1', epoch: claim?.epoch ?? 0 })]), ['committed']);
}

/** Until a call stops failing, for a few seconds. */
async function again<Result>(call: () => Promise<Result>): Promise<Result> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      if (tries >= 200 || !isSkerryError(error, 'store-failed')) throw error;
      await sleep(50);
    }
  }
}

/** Commits one entity of each home by itself; answers what became of each. */
async function commitEach(store: Store, epochs: readonly number[], version: number): Promise<string[]> {
  return Promise.all(
    homes.map(async (partition) => {
      const epoch = epochs[partition] ?? 0;
      const commit = commitOf({ address: `order/${partition}`, partition, epoch, expected: version - 1, version });
      try {
        return (await store.commit([commit]))[0] ?? '';
      } catch (error) {
        if (!isSkerryError(error, 'store-failed')) throw error;
        return error.effect;
      }
    }),
  );
}

for (const coverage of ['yes', 'no'])
  test(
    `a worker that starts while one master of three is away waits for it, says so, and has everything when it is there (full coverage: ${coverage})`,
    async () => {
      const servers = await startCluster(`cluster-require-full-coverage ${coverage}`);
      const nats = await NatsServer.start();
      const noted = new Noted();
      const parts = { behaviours: [tallyWith()], nats: nats.url, environment: noted.environment };
      const store = `redis-cluster://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
      const away = servers[1] ?? missing();
      try {
        const first = await serve({ ...parts, store, name: 'a' });
        await first.ready();
        const keys = Array.from({ length: 24 }, (_, key) => String(key));
        for (const key of keys) await first.entity(Tally, key).add(1);
        await first.close();
        await away.kill();
        // Until the others have noticed.
        await comesTrueOf(async () => (await servers[0]?.tell('CLUSTER', 'NODES'))?.includes('fail ') === true);
        const begun = noted.lines.length;
        const serving = serve({ ...parts, store, name: 'b' });
        await comesTrue('it says what it waits for', () => noted.lines.length > begun + 1);
        const said = noted.lines.slice(begun).map(({ message }) => message);
        assert.equal(new Set(said), new Set(['waiting for an unreachable server']));
        assert.match(noted.text, new RegExp(`127.0.0.1:${away.port}`));
        await away.restart();
        const second = await serving;
        await second.ready();
        for (const key of keys) assert.is(await second.entity(Tally, key).count(), 1);
        await second.close();
      } finally {
        for (const server of [...servers, nats]) await server.close();
      }
    },
    { timeoutMs: 80_000 },
  );

test('S5, RL1, RL2: a server of a cluster that hangs or is killed takes its homes along, and no other', async () => {
  const servers = await startCluster('cluster-require-full-coverage no');
  try {
    await withStore({ url: servers.map(({ url }) => url), cluster: true }, async (store) => {
      const epochs = (await store.claim(homes, 'tester')).map(({ epoch }) => epoch);
      assert.equal(new Set(await commitEach(store, epochs, 1)), new Set(['committed']));
      servers[1]?.freeze();
      const hung = await commitEach(store, epochs, 2);
      assert.equal(new Set(hung), new Set(['committed', 'unknown']));
      await servers[1]?.kill();
      await servers[1]?.restart();
      // What nobody knew of is not written: it had not been read when the server was killed, and is not sent again.
      const entities = homes.map((partition) => ({ partition, address: `order/${partition}` }));
      const loaded = await again(() => store.load(entities));
      assert.equal(
        loaded.map((one) => one?.version),
        hung.map((outcome) => (outcome === 'committed' ? 2 : 1)),
      );
      const group = homes.map((partition) => {
        const expected = loaded[partition]?.version ?? 0;
        return commitOf({ address: `order/${partition}`, partition, epoch: epochs[partition] ?? 0, expected });
      });
      assert.equal(new Set(await again(() => store.commit(group))), new Set(['committed']));
    });
  } finally {
    for (const server of servers) await server.close();
  }
});

test('a password and a user are taken from the options or from the URL, and are in no message', async () => {
  const server = await RedisServer.start('appendonly yes\nuser default off\nuser worker on >p@ss/word ~* +@all');
  try {
    const inUrl = server.url.replace('//', '//worker:p%40ss%2Fword@');
    await withStore({ url: inUrl, prefix: 'one' }, commitsOnce);
    await withStore({ url: server.url, prefix: 'two', user: 'worker', password: 'p@ss/word' }, commitsOnce);
    const wrong = server.url.replace('//', '//worker:secret@');
    for (const url of [server.url, wrong]) {
      const failure = await rejects(openRedis({ url, log: silentLog, commandTimeoutMs: 500 }), 'store-failed');
      assert.match(failure.message, /password/);
      assert.not.match(failure.message, /secret/);
    }
  } finally {
    await server.close();
  }
});

test('a server that is not there is said so at once', async () => {
  const url = `redis://127.0.0.1:${await freePort()}`;
  await rejects(openRedis({ url, log: silentLog }), 'store-failed', /could not be reached.*ECONNREFUSED/);
  await rejects(openRedis({ url, cluster: true, log: silentLog }), 'store-failed', /could not be reached/);
});

async function overTls(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-tls-'));
  const { caFile, certFile, keyFile } = newCertificates(folder, 'server', 'DNS:localhost,IP:127.0.0.1');
  const port = await freePort();
  const files = `tls-cert-file ${certFile}\ntls-key-file ${keyFile}\ntls-ca-cert-file ${caFile}`;
  const server = await RedisServer.start(`appendonly yes\ntls-port ${port}\n${files}\ntls-auth-clients yes`);
  try {
    const [ca, cert, key] = [caFile, certFile, keyFile].map((file) => readFileSync(file));
    const url = `rediss://localhost:${port}`;
    await withStore({ url, tls: { ca, cert, key } }, commitsOnce);
    await rejects(openRedis({ url, tls: { ca }, log: silentLog, commandTimeoutMs: 500 }), 'store-failed');
    await rejects(openRedis({ url, log: silentLog, commandTimeoutMs: 500 }), 'store-failed', /certificate/);
  } finally {
    await server.close();
    rmSync(folder, { recursive: true });
  }
}

const tlsTitle = 'TLS: both sides show certificates; a server of an unknown authority is not spoken to';
try {
  pathOf('openssl');
  test(tlsTitle, overTls);
} catch {
  test.skip(tlsTitle, 'openssl is not installed');
}

test.run();
