/**
 * Who may do what: the permissions that are printed, tried against a real nats-server, each cell; and a cluster under them.
 *
 * Time limit: 90 s.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isSkerryError } from '../../core/errors.ts';
import { keyPartner } from '../../core/message.ts';
import type { WorkerEntry } from '../../placement/view.ts';
import { loadApp } from '../../runtime/cli/app.ts';
import { failureOf } from '../../runtime/cli/failure.ts';
import { connect, type RemoteCluster } from '../../runtime/connect.ts';
import { type ServedWorker, serve } from '../../runtime/serve.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import type { Transport } from '../../runtime/transport.ts';
import { openNats } from '../../runtime/transports/nats/transport.ts';
import { encodeControl } from '../../runtime/wire/control-messages.ts';
import { authorizationText, type Login } from '../../runtime/wire/permissions.ts';
import { insider, Subjects } from '../../runtime/wire/subjects.ts';
import { NatsServer } from '../support/nats-server.ts';
import { Noted } from '../support/noted.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, tallyWith } from '../support/tally.ts';

const test = suite('permissions');

const logins = (['worker', 'tool', 'gateway', 'client', 'client'] as const).map((party, index): Login => {
  const user = ['worker', 'tool', 'api', 'ada', 'eve@x.org'][index] ?? '';
  return { party, user, password: `"${user}-secret"` };
});
type User = 'worker' | 'tool' | 'api' | 'ada' | 'eve@x.org';

let server: NatsServer;
let noted: Noted;
const opened: Transport[] = [];

async function open(user: User): Promise<Awaited<ReturnType<typeof openNats>>> {
  const options = { servers: server.url, user, password: `${user}-secret`, askEveryMs: 0 };
  const transport = await openNats(options, noted.environment);
  opened.push(transport);
  return transport;
}

test.before(async () => {
  server = await NatsServer.start(authorizationText(logins, 'main'));
  noted = new Noted();
});

test.after(async () => {
  for (const transport of opened) await transport.close();
  await server?.close();
});

const subjects = new Subjects('main');
/** Of each subject: who may publish to it, and who may hear it. */
const table: readonly (readonly [subject: string, publish: string, subscribe: string])[] = [
  [subjects.worker('w1'), 'worker', 'worker'],
  [subjects.control('w1'), 'worker', 'worker'],
  [subjects.service, 'worker', 'worker'],
  [subjects.views, 'worker', 'worker tool api ada eve@x.org'],
  [subjects.door('client', 'w1', 'ada'), 'worker ada', 'worker'],
  [subjects.door('client', 'w1', 'eve=40x=2eorg'), 'worker eve@x.org', 'worker'],
  [subjects.door('client', 'w1', 'api'), 'worker api', 'worker'],
  [subjects.door('client', 'w1', '='), 'worker', 'worker'],
  [subjects.door('gateway', 'w1', 'api'), 'worker api', 'worker'],
  [subjects.door('gateway', 'w1', 'ada'), 'worker', 'worker'],
  [subjects.door('tool', 'w1', 't1'), 'worker tool', 'worker'],
  [subjects.resolve('w1', 'ada'), 'worker tool ada', 'worker'],
  [subjects.resolve(undefined, 'ada'), 'worker tool ada', 'worker'],
  [subjects.resolve('w1', 'api'), 'worker tool api', 'worker'],
  [subjects.asks('w1'), 'worker tool', 'worker'],
  [subjects.answers('t1'), 'worker', 'worker tool'],
  [subjects.answers('t1.1'), 'worker', 'worker tool'],
  [subjects.client('c1.1', 'ada'), 'worker', 'worker ada'],
  [subjects.client('c1.1', 'api'), 'worker', 'worker api'],
  [subjects.client('c1.view', 'eve=40x=2eorg'), 'worker', 'worker eve@x.org'],
  [subjects.client('c1', insider), 'worker', 'worker'],
  ['skerry.main', '', ''],
  ['skerry.other.views', '', ''],
  ['elsewhere', '', ''],
];

test('PM1, PM2: each party publishes and hears what the table says, and nothing else', async () => {
  const users: readonly User[] = ['worker', 'tool', 'api', 'ada', 'eve@x.org'];
  const everything = await open('worker');
  /** By subject: who was heard there, who heard it. */
  const found = new Map(table.map(([subject]) => [subject, { published: [] as string[], heard: [] as string[] }]));
  let from = '';
  for (const [subject] of table)
    if (subject.startsWith('skerry.main.'))
      everything.listen(subject, () => void (from === '' || found.get(subject)?.published.push(from)));
  await everything.ready();
  for (const user of users) {
    const own = await open(user);
    from = user;
    for (const [subject] of table) own.send(subject, new Uint8Array([1]));
    await own.ready();
    await everything.ready();
    from = '';
    for (const [subject] of table) own.listen(subject, () => void found.get(subject)?.heard.push(user));
    await own.ready().catch(() => undefined);
    for (const [subject] of table) everything.send(subject, new Uint8Array([1]));
    await everything.ready();
    await own.ready().catch(() => undefined);
    await own.close();
  }
  for (const [subject, publish, subscribe] of table) {
    const { published, heard } = found.get(subject) ?? { published: [], heard: [] };
    assert.is(published.join(' '), publish, `published to ${subject}`);
    assert.is(heard.join(' '), subscribe, `heard at ${subject}`);
  }
});

interface Given {
  readonly workers: readonly ServedWorker[];
  enter(user: User, options?: { as?: 'gateway' | 'tool'; identity?: string }): Promise<RemoteCluster>;
}

async function withCluster(body: (given: Given) => Promise<void>): Promise<void> {
  const closers: (() => Promise<unknown>)[] = [];
  const tally = tallyWith({
    who: (turn) => turn.from,
    fail: () => {
      throw new Error('always');
    },
  });
  const store = new MemoryStore({ partitions: 16 });
  const workers: ServedWorker[] = [];
  try {
    for (const name of ['a', 'b']) {
      const worker = await serve({
        behaviours: [tally],
        store,
        name,
        nats: { servers: server.url, user: 'worker', password: 'worker-secret' },
        limits: { attemptsMax: 1 },
        environment: noted.environment,
        authorise: ({ identity, kind, operation }) =>
          identity !== 'ada' || !(operation === 'see' || kind === 'dead-drop') || 'not ada',
      });
      closers.unshift(() => worker.close());
      await worker.ready();
      workers.push(worker);
    }
    const enter: Given['enter'] = async (user, options = {}) => {
      const nats = { servers: server.url, user, password: `${user}-secret` };
      const remote = await connect({ nats, environment: noted.environment, timeoutMs: 3_000, ...options });
      closers.unshift(() => remote.close());
      return remote;
    };
    await body({ workers, enter });
  } finally {
    for (const close of closers) await close();
  }
}

test('turn.from has the identity that the server vouches for; a gateway opens clients for its users, and a client does not', () =>
  withCluster(async ({ enter }) => {
    const who = async (client: Pick<RemoteCluster, 'entity'>, key: string) => {
      const from = (await client.entity(Tally, key).run('who')) as { kind: string; identity: string };
      return `${from.kind} ${from.identity}`;
    };
    const [ada, eve, api] = [await enter('ada'), await enter('eve@x.org'), await enter('api', { as: 'gateway' })];
    for (const key of ['1', '2', '3', '4']) {
      assert.is(await who(ada, key), 'client ada');
      assert.is(await who(eve, key), 'client eve@x.org');
      assert.is(await who(api, key), 'client api');
      assert.is(await who(api.connect({ identity: 'bob of 茶' }), key), 'client bob of 茶');
    }
    assert.throws(
      () => ada.connect({ identity: 'bob' }),
      (error: unknown) => isSkerryError(error, 'denied'),
    );
    assert.throws(
      () => api.connect({ identity: 'b'.repeat(129) }),
      (error: unknown) => isSkerryError(error, 'invalid-definition'),
    );
    // Closed ones leave nothing behind, and take no other with them.
    const short = api.connect({ identity: 'short' });
    short.close();
    await rejects(short.entity(Tally, '1').count(), 'closed');
    assert.is(await who(api, '1'), 'client api');
  }));

test('PM1: a login that is no gateway’s, no tool’s, no worker’s or another’s is told so before it calls, and not to take more rights', () =>
  withCluster(async ({ enter }) => {
    const before = noted.count(/does not let this login/);
    for (const [user, one, what] of [
      ['ada', { as: 'gateway' }, /may not be a gateway of the cluster 'main' that calls as 'ada'/],
      ['ada', { identity: 'api' }, /may not be a client of the cluster 'main' that calls as 'api'/],
      ['ada', { as: 'tool' }, /may not be a tool/],
      ['api', { as: 'tool' }, /may not be a tool/],
      ['tool', {}, /may not be a client/],
      ['tool', { as: 'gateway' }, /may not be a gateway/],
    ] as const) {
      const error = await rejects(enter(user, one), 'denied', what);
      assert.is(error.effect, 'none');
      assert.not.match(error.message, /allow/);
    }
    const cluster = { behaviours: [tallyWith()], store: new MemoryStore({ partitions: 16 }), name: 'c' };
    for (const user of ['ada', 'api', 'tool'] as const) {
      const nats = { servers: server.url, user, password: `${user}-secret` };
      const joining = serve({ ...cluster, nats, environment: noted.environment });
      await rejects(joining, 'denied', /may not be a worker \('c'\) of the cluster 'main'/);
    }
    const elsewhere = { servers: server.url, user: 'ada', password: 'ada-secret' };
    const other = connect({ nats: elsewhere, cluster: 'other', environment: noted.environment });
    await rejects(other, 'denied', /may not be a client of the cluster 'other'/);
    assert.not.match(noted.text, /allow it/);
    assert.ok(noted.count(/does not let this login/) <= before + 12, 'the log says each thing once');
  }));

test('P5: one key of two identities is two calls, whoever was first', () =>
  withCluster(async ({ enter }) => {
    const [ada, eve] = [await enter('ada'), await enter('eve@x.org')];
    const once = { idempotencyKey: 'order-7' };
    assert.is(await eve.entity(Tally, 'k').add(1, once), 1);
    assert.is(await ada.entity(Tally, 'k').add(10, once), 11);
    assert.is(await ada.entity(Tally, 'k').add(10, once), 11);
    assert.not.equal(keyPartner('ada', 'order-7'), keyPartner('eve@x.org', 'order-7'));
  }));

test('AU1: the hook decides for clients, gateways and tools; dead letters are resolved under what is in them', () =>
  withCluster(async ({ enter }) => {
    const [ada, api, tool] = [
      await enter('ada'),
      await enter('api', { as: 'gateway' }),
      await enter('tool', { as: 'tool' }),
    ];
    await rejects(ada.entity(Tally, 'x').see(1), 'denied', /not ada/);
    await rejects(api.connect({ identity: 'ada' }).entity(Tally, 'x').see(1), 'denied');
    await rejects(tool.connect({ identity: 'ada' }).entity(Tally, 'x').see(1), 'denied');
    await api.entity(Tally, 'x').see(1);
    const letter = (operation: string) => {
      const content = {
        kind: 'operation',
        operation,
        payload: new Uint8Array(0),
        hold: '',
        wantsAnswer: false,
      } as const;
      return { id: '1', content };
    };
    const asAda = tool.connect({ identity: 'ada' });
    await rejects(asAda.resolveDead('tally/x', letter('run'), 'dead-drop'), 'denied');
    await rejects(asAda.resolveDead('tally/x', letter('see'), 'dead-retry'), 'denied');
    await rejects(tool.client.resolveDead('tally/x', letter('run'), 'dead-drop'), 'not-found');
  }));

test('what a client publishes changes no view, no worker and nobody’s answers', () =>
  withCluster(async ({ enter, workers }) => {
    const ada = await enter('ada');
    const hostile = await open('eve@x.org');
    const { view } = ada;
    const entry = view.workers[0] as WorkerEntry;
    const signals = [
      encodeControl({ kind: 'view', view: { ...view, version: view.version + 1, workers: [] }, sent: 1 }),
      encodeControl({ kind: 'announce', entry: { ...entry, id: 'evil' }, viewVersion: 1, sent: 1 }),
      encodeControl({ kind: 'gone', id: workers[0]?.id ?? '', viewVersion: view.version }),
    ];
    const places = [subjects.views, subjects.service, ...workers.map(({ id }) => subjects.control(id))];
    for (const subject of [...places, ...workers.map(({ id }) => subjects.resolve(id, 'eve=40x=2eorg'))])
      for (const signal of signals) hostile.send(subject, signal);
    await hostile.ready();
    assert.is(await ada.entity(Tally, 'y').add(1), 1);
    assert.equal(ada.view, view);
    for (const worker of workers) assert.equal([worker.view, worker.member.isReady], [view, true]);
  }));

test('the authorise that an app exports is used, and what only is called so is refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'skerry-app-'));
  const load = async (name: string, authorise: string) => {
    const path = join(folder, name);
    const tally = new URL('../support/tally.ts', import.meta.url).href;
    await writeFile(path, `import { tallyWith } from '${tally}';\nexport default tallyWith();\n${authorise}\n`);
    return loadApp(path);
  };
  try {
    assert.is((await load('a.ts', '')).authorise, undefined);
    const { authorise } = await load('b.ts', "export const authorise = ({ identity }) => identity === 'ada';");
    const call = { client: 'c', address: 'tally/x', kind: 'query', operation: 'count' } as const;
    assert.equal([authorise?.({ ...call, identity: 'ada' }), authorise?.({ ...call, identity: '' })], [true, false]);
    const refused = await load('c.ts', 'export const authorise = true;').catch(failureOf);
    assert.match('message' in refused ? refused.message : '', /not a function/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test.run();
