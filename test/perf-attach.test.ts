/**
 * Measuring a cluster that others started: its login, its faults, and whoever is waited for.
 *
 * Time limit: 60 s.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { floorOf } from '../perf/floors/all.ts';
import { drive } from '../perf/load.ts';
import type { Load, Site, Work } from '../perf/plan.ts';
import { hireAgents } from '../perf/remote.ts';
import { openTransport } from '../perf/site.ts';
import { NatsServer } from './support/nats-server.ts';
import { assert, rejects, suite } from './support/suite.ts';

const perfAttach = suite('perf attach');

const siteAt = (natsUrl: string): Site => ({
  cluster: 'shop',
  workers: 1,
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

const program = fileURLToPath(new URL('../perf/main.ts', import.meta.url));

/** A process of `skerry perf`, what it says, and how it ends. */
function started(words: readonly string[]) {
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
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
  for (const [signals, code] of [
    [1, 0],
    [2, 143],
  ]) {
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
    const at = performance.now();
    for (let sent = 0; sent < Number(signals); sent++) {
      agent.child.kill('SIGTERM');
      await pause(200);
    }
    assert.is(await agent.ended, code);
    assert.ok(performance.now() - at < 3_000);
    server.thaw();
    await transport.close();
    await server.close();
  }
});

perfAttach.run();
