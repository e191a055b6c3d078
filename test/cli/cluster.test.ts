/**
 * The command line on a live cluster: workers as processes on a real nats-server, with a folder that they share.
 *
 * Time limit: 240 s.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../runtime/cli/programs.ts';
import { connect, type RemoteCluster } from '../../runtime/connect.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { type NatsTransport, openNats } from '../../runtime/transports/nats/transport.ts';
import { NatsServer } from '../support/nats-server.ts';
import { appPath, type Going, laterAppPath, type Ran, Skerry } from '../support/skerry.ts';
import { assert, suite } from '../support/suite.ts';

const cli = suite('cluster cli');

let temporary: string;
let store: string;
let skerry: Skerry;
let nats: NatsServer;
let transport: NatsTransport;
let remote: RemoteCluster;
const workers = new Map<string, Going>();

const at = (...words: string[]) => [...words, '--nats', nats.url];
const run = (...words: string[]) => skerry.run(...at(...words));
const json = async (...words: string[]) => (await skerry.json(...at(...words))) as Record<string, unknown>;

function begin(name: string, ...words: string[]): Going {
  const worker = skerry.begin(
    ...at('worker', appPath, '--store', store, '--partitions', '32', '--name', name, ...words),
  );
  workers.set(name, worker);
  return worker;
}

cli.before(
  async () => {
    temporary = await mkdtemp(join(tmpdir(), 'skerry-cluster-cli-'));
    store = join(temporary, 'store');
    [skerry, nats] = [new Skerry(temporary), await NatsServer.start()];
    const [one, two] = [begin('one', '--app-version', '1.2'), begin('two', '--label', 'gpu', '--label', 'eu,ssd')];
    await Promise.all([one.says({ status: 'ready' }), two.says({ status: 'ready' })]);
    const environment = machineEnvironment(silentLog);
    transport = await openNats({ servers: nats.url }, environment);
    remote = await connect({ transport, environment });
  },
  { timeoutMs: 60_000 },
);

cli.after(async () => {
  await remote?.close();
  await transport?.close();
  skerry?.endAll();
  await nats?.close();
  await rm(temporary, { recursive: true, force: true });
});

function failed({ code, err }: Ran, expected: number, message: RegExp): void {
  assert.match(err, message);
  assert.is(code, expected, err);
  assert.ok(err.trimEnd().split('\n').length <= 2, err);
}

interface SeenWorker {
  readonly name: string;
  readonly state: string;
  readonly partitions: number;
  readonly labels: readonly string[];
  readonly version: string;
}

async function workersSeen(): Promise<SeenWorker[]> {
  return (await json('view')).workers as SeenWorker[];
}

cli('view shows workers, what they have, and who runs the service', async () => {
  const seen = await json('view', '--epochs');
  const [one, two] = seen.workers as SeenWorker[];
  assert.equal([one?.name, one?.state, one?.version, two?.labels], ['one', 'ready', '1.2', ['eu', 'gpu', 'ssd']]);
  assert.is((one?.partitions ?? 0) + (two?.partitions ?? 0), 32);
  assert.ok(['one', 'two'].includes(String(seen.service)));
  const partitions = seen.partitions as { worker: string; owner: string; epoch: number }[];
  assert.is(partitions.length, 32);
  for (const { worker, owner, epoch } of partitions) assert.ok(worker === owner && epoch > 0);
  const shown = (await run('view')).out;
  assert.match(shown, /^main · 2 workers · 32 partitions · view 1\.\d+ · service on (?:one|two)\n/);
  assert.match(shown, /\none +ready +\d+ +0 +0 +\d+ m?s +[+-]?\d+ ms +\d+ +1\.2\n/);
  assert.match(shown, /\ntwo +ready .*eu, gpu, ssd\n/);
});

cli('ready says by its exit code whether a worker is', async () => {
  const [yes, no, named] = await Promise.all([
    run('ready', '--name', 'one'),
    run('ready', '--name', 'nobody', '--json'),
    run('ready'),
  ]);
  assert.equal([yes.code, no.code], [0, 1]);
  assert.match(yes.out, /^one is ready: \d+ partitions\n/);
  assert.equal(JSON.parse(no.out), { name: 'nobody', isReady: false, why: 'it is not in the view' });
  failed(named, 2, /Which worker\?/);
});

cli('every command that a folder has works on the cluster', async () => {
  assert.is((await run('call', 'stock/tea', 'receive', '{"units":10}')).out, 'done\n');
  const reserved = await json('call', 'stock/tea', 'reserve', '{"units":3}');
  assert.is(reserved.status, 'accepted');
  assert.equal(await json('confirm', JSON.stringify(reserved.hold)), { status: 'confirmed' });
  assert.equal(await json('call', 'stock/tea', 'available'), { status: 'done', output: 7 });
  const [found, shown, turns, listed] = await Promise.all([
    json('get', 'stock/tea'),
    run('get', 'stock/tea'),
    skerry.lines(...at('log', 'stock/tea')) as Promise<{ operation: string }[]>,
    run('list', 'stock'),
  ]);
  assert.equal(found.state, { free: 7, held: 0 });
  assert.match(shown.out, /^stock\/tea\nversion \d+ · last turn/);
  assert.equal(
    turns.map(({ operation }) => operation),
    ['receive', 'reserve', 'reserve'],
  );
  assert.is(listed.out, 'stock/tea\n');
});

cli('what is to be copied to confirm a hold calls as who asked for it', async () => {
  await run('call', 'stock/held', 'receive', '{"units":10}');
  const { out } = await run('call', 'stock/held', 'reserve', '{"units":1}', '--identity', 'ada of x');
  const [, hold = ''] = /skerry confirm '(.*)' .*--identity 'ada of x'\n/.exec(out) ?? [];
  assert.match(out, /skerry cancel .* --identity 'ada of x'\n/);
  assert.is((await run('confirm', hold, '--identity', 'ada of x')).code, 0, out);
});

cli('dead letters of a cluster: list, retry, drop; doctor finds them', async () => {
  await run('call', 'counter/sick', 'break', 'true');
  await run('call', 'sender/x', 'send', '{"to":"sick","amount":7}');
  for (let tries = 0; (await run('dead', 'list')).out === '' && tries < 50; tries++);
  const [letter] = (await skerry.lines(...at('dead', 'list', 'counter'))) as { id: string; input: unknown }[];
  assert.is(letter?.input, 7);
  const ill = await run('doctor');
  assert.is(ill.code, 1);
  assert.match(ill.out, /WRONG +dead letters +1 \(counter 1\)/);
  await run('call', 'counter/sick', 'break', 'false');
  assert.is((await run('dead', 'retry', 'counter/sick', letter?.id ?? '')).code, 0);
  assert.equal(await json('call', 'counter/sick', 'total'), { status: 'done', output: 7 });
  // What nobody takes is dropped from its outbox through the workers, too.
  await run('call', 'sender/x', 'haunt', '1');
  assert.match((await run('outbox', 'drop', 'sender/x', 'ghost/g', '1')).out, /: dropped, dead letter \d+\n$/);
  assert.is((await run('dead', 'drop', '--all', 'sender')).code, 0);
});

cli('doctor: all is well with a cluster, for people and machines', async () => {
  const shown = await run('doctor');
  assert.is(shown.code, 0, shown.out);
  for (const line of [
    /ok +cluster +main on nats/,
    /ok +workers +2 ready/,
    /ok +clocks/,
    /ok +partitions +32 partitions/,
    /note +permissions +this login has the rights of a worker/,
  ])
    assert.match(shown.out, line);
  assert.match(shown.out, /note +versions +2 side by side: 1\.2, \(none\)\n/);
  assert.match(shown.out, /No problems found\.\n$/);
});

cli('more turns than fit on a page are shown, in order', async () => {
  const receive = () => remote.client.call('stock/busy', 'receive', { units: 1 });
  for (let turn = 0; turn < 150; turn++) await receive();
  const turns = (await skerry.lines(...at('log', 'stock/busy'))) as { version: number; state: { free: number } }[];
  assert.equal(
    turns.map(({ state }) => state.free),
    Array.from({ length: 150 }, (_, index) => index + 1),
  );
});

cli('what is asked wrongly is said, with what there is instead', async () => {
  const cases: [words: string[], code: number, message: RegExp][] = [
    [
      ['call', 'stok/tea', 'available'],
      3,
      /no entity type 'stok'\n.*did you mean 'stock'\? there are: counter, sender, stock/,
    ],
    [['call', 'stock/tea', 'receve'], 3, /no operation 'receve'\n.*'receive'/],
    [['call', 'stock/tea', 'receive', '{"units":"x"}'], 2, /units: .*number/],
    [['call', 'stock/tea', 'reserve', '{"units":99}'], 1, /stock\/tea refused reserve: not enough stock\n/],
    [['get', 'stock/nothing'], 3, /stock\/nothing is not stored/],
    [['list', 'stocks'], 3, /no entity type 'stocks' here\n.*'stock'/],
    [['drain', 'tow'], 3, /no worker 'tow' in the cluster 'main'\n.*it may have left; there are: one, two\n/],
    [['pin', 'stock/tea', 'three'], 3, /no worker 'three'/],
    [['pin', 'game/1', 'two'], 3, /two does not host 'game'\n.*counter, sender, stock/],
    [['unpin', 'stock/tea'], 3, /stock\/tea is not pinned\n/],
    [['view', '--cluster', 'mian'], 4, /No worker of the cluster 'mian' answered/],
    [['view', '--cluster', 'a b'], 1, /is not a cluster name/],
    [['get', 'stock/tea', '--data', 'x'], 2, /--data names a folder and --nats a live cluster/],
    [['get', 'stock/tea', '--creds', join(temporary, 'nothing')], 4, /cannot be read/],
  ];
  const results = await Promise.all(cases.map(([words]) => run(...words)));
  for (const [index, [, code, message]] of cases.entries()) failed(results[index]!, code, message);
});

cli('no NATS there, no cluster named, no store named, a store that somebody has for himself', async () => {
  const nowhere = `nats://user:secret@127.0.0.1:${await freePort()}`;
  const folder = join(temporary, 'taken');
  const app = await skerry.start(appPath, folder);
  const cases: [words: string[], code: number, message: RegExp][] = [
    [['view', '--nats', nowhere], 4, /NATS at 127\.0\.0\.1:\d+ could not be reached/],
    [['view'], 2, /No cluster given/],
    [['worker', appPath], 2, /No NATS URL given/],
    [at('worker', appPath), 2, /No store given/],
    [at('worker', appPath, '--store', folder), 4, /is open in process \d+ \(skerry run\)\n.*not with skerry run/],
    [at('worker', appPath, '--store', 'ftp://x'), 2, /'ftp:\/\/x' is not a store/],
    [at('worker', appPath, '--store', store, '--partitions', '64'), 4, /has 32 partitions, not 64/],
    [at('worker', appPath, '--store', store, '--name', 'a b'), 1, /A worker's name is/],
    [at('worker', 'nowhere.ts', '--store', store), 3, /no file nowhere\.ts/],
  ];
  const results = await Promise.all(cases.map(([words]) => skerry.run(...words)));
  for (const [index, [, code, message]] of cases.entries()) failed(results[index]!, code, message);
  for (const { err } of results) assert.not.match(err, /secret/);
  await app.end('SIGTERM');
});

cli('pin moves an entity to the worker, where says so, unpin ends it', async () => {
  const before = await json('where', 'stock/tea');
  assert.equal([before.worker, before.isActive, before.pin], [before.owner, true, null]);
  const other = before.worker === 'one' ? 'two' : 'one';
  const pinned = await json('pin', 'stock/tea', other);
  assert.equal([pinned.address, pinned.worker], ['stock/tea', other]);
  assert.equal(await json('call', 'stock/tea', 'available'), { status: 'done', output: 7 });
  const moved = await json('where', 'stock/tea');
  assert.equal([moved.worker, moved.owner, moved.pin, moved.isActive], [other, other, other, true]);
  assert.is(moved.home, before.home);
  assert.match((await run('view')).out, new RegExp(`Pins \\(1\\)\nworker +entity\n${other} +stock/tea\n`));
  assert.is((await run('unpin', 'stock/tea')).out, 'stock/tea is no longer pinned\n');
  assert.equal(await json('call', 'stock/tea', 'available'), { status: 'done', output: 7 });
  assert.is((await json('where', 'stock/tea')).owner, before.owner);
});

cli('drain empties a worker while it is called: no call fails, its process ends with 0', async () => {
  let isOver = false;
  const add = (key: number) => remote.client.call(`counter/${key}`, 'add', 1);
  const load = Array.from({ length: 8 }, async (_, lane) => {
    let count = 0;
    for (; !isOver; count++) await add(lane);
    return count;
  });
  const counted = Promise.all(load);
  // One that fails fails the test below, not the process before it.
  counted.catch(() => undefined);
  const drained = await json('drain', 'two');
  isOver = true;
  const counts = await counted;
  assert.is(drained.status, 'drained');
  assert.ok(Number(drained.partitions) > 0);
  const ended = await workers.get('two')?.end();
  assert.is(ended?.code, 0, ended?.err);
  assert.match(ended?.out ?? '', /"how":"drained"/);
  for (const [lane, count] of counts.entries())
    assert.is(await remote.client.call(`counter/${lane}`, 'total', undefined, { kind: 'query' }), count);
  assert.equal(
    (await workersSeen()).map(({ name, state, partitions }) => [name, state, partitions >= 32]),
    [['one', 'ready', true]],
  );
  failed(await run('drain', 'one'), 1, /one is the last worker/);
});

cli('PS4: a second worker of a name waits, says why, and has its place when the first has left', async () => {
  const first = begin('three');
  await first.says({ status: 'ready' });
  const second = skerry.begin(...at('worker', appPath, '--store', store, '--name', 'three'));
  await second.hears(/another live worker has this name/);
  const ended = await first.end('SIGTERM');
  assert.is(ended.code, 0, ended.err);
  assert.match(ended.out, /"status":"closed","how":"told to stop"/);
  await second.says({ status: 'ready' });
  assert.equal(
    (await workersSeen()).map(({ name }) => name),
    ['one', 'three'],
  );
  assert.is((await second.end('SIGINT')).code, 0);
});

cli(
  'two versions of an app side by side: call finds the operation where the entity is; doctor says what only one can serve',
  async () => {
    const old = begin('old');
    await old.says({ status: 'ready' });
    const later = skerry.begin(...at('worker', laterAppPath, '--store', store, '--name', 'later'));
    await later.says({ status: 'ready' });
    const keys = Array.from({ length: 40 }, (_, key) => `counter/new-${key}`);
    await remote.client.call(keys[0] ?? '', 'total', undefined, { kind: 'query' });
    const own = keys.filter((key) => remote.where(key).worker === 'later').slice(0, 6);
    assert.ok(own.length > 2);
    for (const key of own) assert.equal(await json('call', key, 'double', '2'), { status: 'done', output: 4 });
    assert.match((await run('doctor')).out, /ok +states +none is newer/);
    assert.is((await later.end('SIGTERM')).code, 0);
    const { code, out } = await run('doctor');
    assert.is(code, 1);
    assert.match(
      out.replace(/\s+/g, ' '),
      /WRONG states \d+ entities cannot be served.*counter\/new-\d+ \(version 2, its app reads 1\)/,
    );
    failed(await run('call', own[0] ?? '', 'double', '2'), 3, /no operation 'double'/);
  },
  { timeoutMs: 60_000 },
);

cli.run();
