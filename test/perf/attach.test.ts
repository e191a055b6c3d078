/**
 * Measuring a cluster that others started: its login, its faults, and whoever is waited for.
 *
 * Time limit: 60 s.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SkerryError } from '../../core/errors.ts';
import perfApp from '../../perf/app.ts';
import { echo } from '../../perf/entities.ts';
import { failureText } from '../../perf/failure.ts';
import { floorOf } from '../../perf/floors/all.ts';
import { drive } from '../../perf/load/load.ts';
import type { Load, Site, Work } from '../../perf/plan.ts';
import { innerLines, Peer } from '../../perf/processes/process-rpc.ts';
import { checkAttached, openTransport } from '../../perf/processes/process-setup.ts';
import { hireAgents, serveAgent } from '../../perf/processes/remote.ts';
import { noViewer } from '../../perf/report/progress.ts';
import { textOf } from '../../perf/report/text-report.ts';
import { type ServedWorker, serve } from '../../runtime/serve.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { NatsServer } from '../support/nats-server.ts';
import { Patience } from '../support/patience.ts';
import { assert, rejects, suite } from '../support/suite.ts';

const perfAttach = suite('perf attach');

const siteAt = (natsUrl: string): Site => ({
  cluster: 'shop',
  workers: 1,
  isTogether: false,
  connections: 1,
  stallMs: 0,
  store: { kind: 'memory' },
  natsUrl,
  isMoving: false,
});

const work: Work = { scenario: 'echo', step: '', run: 'run', keys: 1, skew: 0, stateBytes: 0 };
const load: Load = { index: 0, of: 1, lanes: 1, delayMs: 0, warmupMs: 0, durationMs: 100 };

const logins = [
  { configuration: 'authorization { token: "a b" }', login: 'a%20b' },
  { configuration: 'authorization { user: ann, password: "p@ss" }', login: 'ann:p%40ss' },
];

for (const { configuration, login } of logins)
  perfAttach(`floors log in as the address says: ${login}`, async () => {
    const server = await NatsServer.start(configuration);
    const site = siteAt(server.url.replace('//', `//${login}@`));
    const given = { site, work, lanes: 1, pick: () => 0 };
    for (const name of ['nats-request', 'nats-echo', 'nats-frames']) {
      const floor = floorOf(name);
      const end = await floor.respond?.(site);
      const { call, close } = await floor.open(given);
      const { calls, errors } = await drive(call, load);
      assert.equal([calls > 0, errors], [true, {}]);
      await close();
      await end?.();
      await rejects(floor.open({ ...given, site: siteAt(server.url) }), 'transport-failed', /refused the credentials/);
    }
    await server.close();
  });

const program = fileURLToPath(new URL('../../perf/main.ts', import.meta.url));

/** A process of `skerry perf`, what it says, and how it ends. */
function started(words: readonly string[], variables: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...variables },
  });
  const said: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => void said.push(text));
  const says = async (what: string) => {
    while (!said.join('').includes(what) && child.exitCode === null) await pause(20);
  };
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  return { child, says, ended, text: () => said.join('') };
}

perfAttach('an agent that was hired ends on a signal when NATS is gone, and at once on the second one', async () => {
  for (const [signals, codes] of [
    [['SIGTERM'], [0]],
    // Two at once, of which either may be heard first: a pause between them could be longer than the end by the first one.
    [
      ['SIGTERM', 'SIGINT'],
      [130, 143],
    ],
  ] as const) {
    const server = await NatsServer.start();
    const agent = started(['agent', '--nats', server.url]);
    await agent.says('waits for measurements');
    const transport = await openTransport(server.url);
    const { hands } = await hireAgents(transport, 1);
    // There is no such cluster: it goes on looking for one.
    void hands[0]?.peer.ask('open', siteAt(server.url));
    await agent.says('hired');
    await pause(100);
    // Frozen: the connection is there, and nothing comes of it.
    server.freeze();
    const patience = new Patience();
    for (const signal of signals) agent.child.kill(signal);
    const code = await agent.ended;
    assert.ok(code !== null && (codes as readonly number[]).includes(code), `${code}`);
    assert.ok(patience.passedMs() < 3_000);
    server.thaw();
    await transport.close();
    await server.close();
  }
});

perfAttach('a measurement that is interrupted reports the repeats that are done', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'skerry-test-'));
  const json = join(folder, 'report.json');
  const asked = `echo --keys 10 --concurrency 1 --duration 300ms --warmup 10ms --repeats 1000 --floors none --json ${json}`;
  const measuring = started(asked.split(' '));
  await measuring.says('  4 of 1000: echo\n');
  measuring.child.kill('SIGINT');
  assert.is(await measuring.ended, 130);
  const said = /interrupted: the report covers (\d+) of 1000 repeats/.exec(measuring.text());
  const report = JSON.parse(await readFile(json, 'utf8'));
  const { length } = report.steps[0].repeats;
  assert.equal([report.plan.repeats, length], [1_000, Number(said?.[1])]);
  assert.ok(length >= 3 && report.throughputPerS > 0);
  assert.match(textOf(report), /medians of \d+ × 0\.3 s \(interrupted, 1000 were planned\)/);
  await rm(folder, { recursive: true });
});

perfAttach('a measurement that is interrupted says so, and takes its servers and folders with it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'skerry-test-'));
  const asked = 'counter --store redis --keys 10 --concurrency 1 --duration 30s --warmup 10s --repeats 1 --floors none';
  const measuring = started(asked.split(' '), { TMPDIR: folder });
  const processes = () => readFile(`/proc/${measuring.child.pid}/task/${measuring.child.pid}/children`, 'utf8');
  await measuring.says('  counter\n');
  const pids = (await processes()).trim().split(' ').map(Number);
  assert.ok(pids.length >= 3, `${pids}`);
  measuring.child.kill('SIGINT');
  assert.is(await measuring.ended, 130);
  assert.match(measuring.text(), /\ninterrupted: there is no report\n$/);
  const isThere = (pid: number) => existsSync(`/proc/${pid}`);
  for (let tries = 0; pids.some(isThere) && tries < 50; tries++) await pause(100);
  assert.equal(pids.filter(isThere), []);
  assert.equal(
    (await readdir(folder)).filter((name) => name.startsWith('skerry')),
    [],
  );
  await rm(folder, { recursive: true });
});

perfAttach('attached to a cluster without workers, or without the perf app, it says what to start', async () => {
  const server = await NatsServer.start();
  const transport = await openTransport(server.url);
  const advice =
    /^the cluster '(?:nobody|office)' has no worker that hosts the perf app: start one with skerry up\/worker /;
  const saidOf = async (cluster: string) =>
    failureText(await checkAttached(transport, cluster, { timeoutMs: 1_000 }).catch((e) => e));
  assert.match(await saidOf('nobody'), advice);
  // A part of it is not enough.
  const behaviours = {
    shop: perfApp,
    office: [echo],
  };
  const workers: ServedWorker[] = [];
  for (const [cluster, ones] of Object.entries(behaviours)) {
    const worker = await serve({ behaviours: ones, store: new MemoryStore(), transport, cluster, name: 'one' });
    workers.push(worker);
    await worker.ready();
  }
  assert.match(await saidOf('office'), advice);
  await checkAttached(transport, 'shop');
  for (const worker of workers) await worker.close();
  await transport.close();
  await server.close();
});

perfAttach(
  'a fault of the world is one line and exit code 1, also from another process; a bug keeps its stack',
  async () => {
    const server = await NatsServer.start('authorization { token: secret }');
    const refused = started(['echo', '--nats', server.url, '--attach', '--quiet']);
    assert.is(await refused.ended, 1);
    assert.match(
      refused.text(),
      /^error: NATS at [\d.:]+ refused the credentials: .* — write the login into the address: .*\n$/,
    );
    await server.close();
    const crash = (error: unknown) => ({ crash: () => Promise.reject(error) });
    const across = async (error: unknown) => {
      const [mine, theirs] = innerLines();
      new Peer(theirs, crash(error));
      return failureText(await new Peer(mine, {}).ask('crash').catch((reason: unknown) => reason));
    };
    assert.is(await across(new SkerryError('deadline', 'too late')), 'too late');
    assert.match(await across(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })), /^connect — look at .*$/);
    assert.match(await across(new TypeError('no function')), /^TypeError: no function\n +at /);
  },
);

perfAttach('who waits for agents is told how many there are', async () => {
  const server = await NatsServer.start();
  const transport = await openTransport(server.url);
  serveAgent(transport, () => undefined);
  const told: string[] = [];
  const viewer = { ...noViewer, begins: (what: string) => void told.push(what) };
  const hiring = hireAgents(transport, 2, { viewer });
  await pause(700);
  serveAgent(transport, () => undefined);
  assert.is((await hiring).hands.length, 2);
  assert.is(told.at(-1), 'waiting for agents: 1 of 2');
  assert.is(new Set(told).size, told.length);
  await transport.close();
  await server.close();
});

perfAttach.run();
