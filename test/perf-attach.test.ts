/**
 * Measuring a cluster that others started: its login, its faults, and whoever is waited for.
 *
 * Time limit: 60 s.
 */
import { floorOf } from '../perf/floors/all.ts';
import { drive } from '../perf/load.ts';
import type { Load, Site, Work } from '../perf/plan.ts';
import { NatsServer } from './support/nats-server.ts';
import { assert, rejects, suite } from './support/suite.ts';

const perfAttach = suite('perf attach');

const work: Work = { scenario: 'echo', step: '', run: 'run', keys: 1, skew: 0, stateBytes: 0 };
const load: Load = { index: 0, of: 1, lanes: 1, delayMs: 0, warmupMs: 0, durationMs: 100 };

const logins = [
  { configuration: 'authorization { token: "a b" }', login: 'a%20b' },
  { configuration: 'authorization { user: ann, password: "p@ss" }', login: 'ann:p%40ss' },
];

for (const { configuration, login } of logins)
  perfAttach(`floors log in as the address says: ${login}`, async () => {
    const server = await NatsServer.start(configuration);
    const siteAt = (natsUrl: string): Site => ({
      cluster: 'shop',
      workers: 1,
      store: { kind: 'memory' },
      natsUrl,
      isMoving: false,
    });
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

perfAttach.run();
