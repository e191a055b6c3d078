/**
 * `skerry up`: workers as processes, looked after, with servers of its own.
 *
 * Time limit: 300 s.
 */
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive } from '../../runtime/cli/cluster-note.ts';
import { failureOf } from '../../runtime/cli/failure.ts';
import { requirePrograms, type ServerName } from '../../runtime/cli/servers.ts';
import { connect } from '../../runtime/connect.ts';
import { openNats } from '../../runtime/transports/nats/transport.ts';
import { Subjects } from '../../runtime/wire/subjects.ts';
import { comesTrue, Noted } from '../support/noted.ts';
import { appPath, type Going, type Ran, Skerry } from '../support/skerry.ts';
import { assert, rejects, suite } from '../support/suite.ts';

const cli = suite('cluster cli up');

let temporary: string;
let data: string;
let skerry: Skerry;
let up: Going;

const run = (...words: string[]) => skerry.run(...words, '--data', data);
const json = async (...words: string[]) => (await skerry.json(...words, '--data', data)) as Record<string, unknown>;
const begin = (...words: string[]) =>
  skerry.begin('up', appPath, '--workers', '3', '--partitions', '32', '--data', data, ...words);

async function pidOf(worker: string): Promise<number> {
  const workers = (await json('view')).workers as { name: string; pid: number }[];
  return workers.find(({ name }) => name === worker)?.pid ?? 0;
}

async function serverPids(): Promise<Record<string, number>> {
  return (JSON.parse(await readFile(join(data, 'cluster.json'), 'utf8')) as { servers: Record<string, number> })
    .servers;
}

async function untilGone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
}

function failed({ code, err }: Ran, expected: number, message: RegExp): void {
  assert.match(err, message);
  assert.is(code, expected, err);
}

cli.before(
  async () => {
    temporary = await mkdtemp(join(tmpdir(), 'skerry-up-'));
    data = join(temporary, 'data');
    skerry = new Skerry(temporary);
    up = begin();
    await up.says({ status: 'running' });
  },
  { timeoutMs: 60_000 },
);

cli.after(async () => {
  await up?.end('SIGTERM');
  skerry?.endAll();
  await rm(temporary, { recursive: true, force: true });
});

cli('up starts workers and servers, and other commands find them by the folder', async () => {
  assert.is((await run('call', 'stock/tea', 'receive', '{"units":10}')).out, 'done\n');
  const { workers } = await json('view');
  assert.equal(
    (workers as { name: string; state: string }[]).map(({ name, state }) => [name, state]),
    ['worker-1', 'worker-2', 'worker-3'].map((name) => [name, 'ready']),
  );
  const { code, out } = await run('doctor');
  assert.is(code, 0, out);
  assert.match(out, /ok +permissions +NATS denies this login/);
  failed(await run('up', appPath), 4, /app\.ts already runs on .*, in process \d+\n/);
});

cli('what it notes and configures holds logins: nobody else may read it, and no command line shows them', async () => {
  for (const file of ['cluster.json', 'logins.json', 'nats.conf', 'redis.conf'])
    assert.is((await stat(join(data, file))).mode & 0o777, 0o600, file);
  const note = JSON.parse(await readFile(join(data, 'cluster.json'), 'utf8')) as { nats: string; tools: string };
  const secrets = [note.nats, note.tools].map((url) => /\/\/(?:app|tool):([\w-]+)@/.exec(url)?.[1] ?? '');
  for (const secret of secrets) {
    assert.ok(secret.length >= 16);
    if (process.platform === 'linux')
      assert.not.match(await readFile(`/proc/${await pidOf('worker-1')}/cmdline`, 'latin1'), new RegExp(secret));
  }
});

cli(
  'an app calls with the login that is noted, for itself and for its users, and is no worker and no tool',
  async () => {
    const { nats } = JSON.parse(await readFile(join(data, 'cluster.json'), 'utf8')) as { nats: string };
    const noted = new Noted();
    const { environment } = noted;
    for (const options of [{}, { as: 'gateway' } as const]) {
      const remote = await connect({ nats, environment, ...options });
      await remote.client.call('stock/tea', 'available', undefined, { kind: 'query' });
      await remote.close();
    }
    const subjects = new Subjects('main');
    const transport = await openNats({ servers: nats }, environment);
    for (const subject of [subjects.views, subjects.service, subjects.asks('w1')])
      transport.send(subject, new Uint8Array(1));
    await comesTrue('all are refused', () => noted.count(/does not let this login publish/) === 3);
    await transport.close();
  },
);

cli('P8: a worker that is killed comes back under its name; what was acknowledged is there', async () => {
  const before = await pidOf('worker-2');
  process.kill(before, 'SIGKILL');
  const crashed = await up.says({ status: 'crashed' });
  assert.equal([crashed.worker, crashed.signal], ['worker-2', 'SIGKILL']);
  const ready = await up.says({ status: 'ready', worker: 'worker-2' });
  assert.is.not(ready.pid, before);
  assert.equal(await json('call', 'stock/tea', 'available'), { status: 'done', output: 10 });
});

cli('servers that are killed come back, with what they kept', async () => {
  const pids = Object.values(await serverPids());
  // Redis writes its log every second.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await Promise.all(pids.map(untilGone));
  assert.equal(await json('call', 'counter/after', 'add', '1', '--deadline', '20000'), { status: 'done', output: 1 });
  assert.equal(await json('call', 'stock/tea', 'available'), { status: 'done', output: 10 });
});

cli(
  'a worker that is drained stays away, and comes back when it is asked for',
  async () => {
    assert.is((await json('drain', 'worker-3')).status, 'drained');
    await up.says({ status: 'left', worker: 'worker-3' });
    assert.is(((await json('view')).workers as unknown[]).length, 2);
    assert.equal(await json('call', 'stock/tea', 'available'), { status: 'done', output: 10 });
    // No other one is named in its place.
    const again = await run('drain', 'worker-3');
    failed(again, 3, /no worker 'worker-3'.*\n.*it may have left; there are: worker-1, worker-2\n/);
    assert.not.match(again.err, /did you mean/);
    failed(await run('start', 'worker-9'), 3, /no worker 'worker-9'/);
    assert.is((await json('start', 'worker-1')).status, 'running');
    const started = await json('start', 'worker-3');
    assert.equal([started.status, started.worker], ['started', 'worker-3']);
    assert.is((await up.says({ status: 'ready', worker: 'worker-3' })).pid, started.pid);
    assert.is((await json('ready', '--name', 'worker-3')).isReady, true);
    failed(
      await skerry.run('start', 'worker-3', '--data', join(temporary, 'none')),
      3,
      /No reachable skerry up runs on/,
    );
  },
  { timeoutMs: 90_000 },
);

cli(
  'a login of an application is not taken for a sick cluster: each command says what it needs',
  async () => {
    const { nats } = JSON.parse(await readFile(join(data, 'cluster.json'), 'utf8')) as { nats: string };
    const own = (words: string) => skerry.run(...words.split(' '), '--nats', nats);
    const commands = ['view', 'list', 'call stock/tea available', 'drain worker-1', 'ready --name x'].map(own);
    const [doctor, worker] = [own('doctor'), own(`worker ${appPath} --store ${join(temporary, 'store')}`)];
    const message =
      /^skerry: This login may not be a tool of the cluster 'main': NATS does not let .*\n +commands need the login of a tool/;
    for (const ran of await Promise.all(commands)) {
      failed(ran, 1, message);
      assert.is(ran.err.split('\n').length, 3, ran.err);
      assert.not.match(ran.err, /allow/);
    }
    assert.is((await doctor).code, 1);
    assert.match((await doctor).out, /WRONG +cluster +This login may not be a tool/);
    failed(await worker, 1, /This login may not be a worker/);
  },
  { timeoutMs: 90_000 },
);

cli(
  'Ctrl-C drains all and ends the servers; started again everything is there',
  async () => {
    const servers = Object.values(await serverPids());
    const ended = await up.end('SIGINT');
    assert.is(ended.code, 0, ended.err);
    assert.match(ended.out, /\{"status":"closed"\}\n$/);
    assert.is(servers.some(isAlive), false);
    await saysHowToStart();
    up = begin();
    await up.says({ status: 'running' });
    assert.equal(await json('call', 'stock/tea', 'available'), { status: 'done', output: 10 });
  },
  { timeoutMs: 90_000 },
);

/** What commands say of the folder of a cluster that has stopped: only its own Redis could read what is stored. */
async function saysHowToStart(): Promise<void> {
  assert.not.match(await readFile(join(data, 'cluster.json'), 'utf8'), /nats:\/\//);
  const commands = ['get stock/tea', 'log stock/tea', 'dead list', 'call stock/tea available', 'doctor', 'view'];
  const message = /The cluster of .*app\.ts on .* has stopped\n.*start it with skerry up .*app\.ts --data /;
  for (const ran of await Promise.all(commands.map((words) => run(...words.split(' '))))) failed(ran, 4, message);
}

cli(
  'what has logged in before goes on when up was started again; without the noted logins there are new ones',
  async () => {
    const noteOf = async () => JSON.parse(await readFile(join(data, 'cluster.json'), 'utf8')) as { nats: string };
    const { nats } = await noteOf();
    const { environment } = new Noted();
    const app = await connect({ nats, as: 'gateway', environment });
    try {
      await app.call('counter/over', 'add', 1);
      await up.end('SIGINT');
      const asked = app.call('counter/over', 'add', 1, { deadlineMs: 60_000 });
      up = begin();
      await up.says({ status: 'running' });
      assert.is(await asked, 2);
      assert.is((await noteOf()).nats, nats);
      await up.end('SIGINT');
      await rm(join(data, 'logins.json'));
      up = begin();
      await up.says({ status: 'running' });
      assert.is.not((await noteOf()).nats, nats);
      const late = app.call('counter/over', 'add', 1, { deadlineMs: 60_000 });
      assert.is((await rejects(late, 'transport-failed', /refuses this login/)).effect, 'none');
    } finally {
      await app.close();
    }
  },
  { timeoutMs: 90_000 },
);

cli('a folder of which both run and up have made use is that of the last one', async () => {
  const both = join(temporary, 'both');
  await mkdir(both);
  const note = { skerry: 1, pid: 0, nats: '', tools: '', cluster: 'main', app: appPath, servers: {}, hasData: true };
  await writeFile(join(both, 'cluster.json'), JSON.stringify(note), { mode: 0o600 });
  failed(await skerry.run('list', '--data', both), 4, /has stopped/);
  const app = await skerry.start(appPath, both);
  await app.end('SIGTERM');
  assert.is((await skerry.run('list', '--data', both)).code, 0);
});

cli('an up that is killed takes its workers along; the next one ends the servers that it left', async () => {
  const servers = Object.values(await serverPids());
  const workers = await Promise.all(['worker-1', 'worker-2', 'worker-3'].map(pidOf));
  await up.end('SIGKILL');
  await Promise.all(workers.map(untilGone));
  assert.ok(servers.every(isAlive));
  failed(await run('get', 'stock/tea'), 4, /has stopped/);
  up = begin();
  await up.says({ status: 'running' });
  assert.is(servers.some(isAlive), false);
  assert.equal(await json('call', 'stock/tea', 'available'), { status: 'done', output: 10 });
});

cli('when nobody reads its output any more, up drains and ends what it started', async () => {
  const servers = Object.values(await serverPids());
  const workers = await Promise.all(['worker-1', 'worker-2', 'worker-3'].map(pidOf));
  up.stopReading();
  // What it has to say of that finds nobody.
  process.kill(workers[0] ?? 0, 'SIGKILL');
  const { code, err } = await up.end();
  assert.is(code, 0, err);
  await Promise.all([...servers, ...workers].map(untilGone));
  up = begin();
  await up.says({ status: 'running' });
  assert.equal(await json('call', 'stock/tea', 'available'), { status: 'done', output: 10 });
});

cli(
  'with Ctrl-C its reader may go first: up drains, ends the servers all the same, and keeps their ports',
  async () => {
    const servers = Object.values(await serverPids());
    const natsPort = async () => /listen: .*:(\d+)/.exec(await readFile(join(data, 'nats.conf'), 'utf8'))?.[1];
    const port = await natsPort();
    up.stopReading();
    const { code, err } = await up.end('SIGINT');
    assert.is(code, 0, err);
    assert.is(servers.some(isAlive), false);
    up = begin();
    await up.says({ status: 'running' });
    assert.is(await natsPort(), port);
  },
);

cli('an app that cannot run ends up at once, with the reason', async () => {
  const folder = join(temporary, 'other');
  const broken = join(temporary, 'broken.mjs');
  await writeFile(broken, 'throw new Error("no luck");');
  const cases: [words: string[], code: number, message: RegExp][] = [
    [['up', broken, '--store', join(folder, 'store')], 1, /no luck/],
    [['up', 'nowhere.ts'], 3, /no file nowhere\.ts/],
    [['up', appPath, '--workers', '0'], 2, /from 1 to/],
  ];
  for (const [words, code, message] of cases) {
    const { code: ended, out, err } = await skerry.run(...words, '--data', folder);
    assert.is(ended, code, err);
    assert.match(out + err, message);
  }
});

cli('without the servers it says what to do', () => {
  const why = (names: readonly ServerName[]) => {
    try {
      requirePrograms(names, ['/nowhere']);
    } catch (error) {
      return failureOf(error);
    }
    return undefined;
  };
  assert.is(why([]), undefined);
  assert.match(why(['nats'])?.message ?? '', /^nats-server is not installed$/);
  const both = why(['nats', 'redis']);
  assert.is(both?.code, 'not-found');
  assert.match(both?.message ?? '', /^nats-server and redis-server are not installed$/);
  assert.match(both?.advice ?? '', /apt install nats-server redis-server.*npm run servers.*--nats and --store/);
});

cli.run();
