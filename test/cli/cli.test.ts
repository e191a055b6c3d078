/**
 * The command line, with real processes: an app that runs, commands that ask it, and commands when nothing runs.
 *
 * Longer than 400 lines because all of it shares one app that runs.
 *
 * Time limit: 300 s.
 */
import { chmod, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { recordName } from '../../core/record.ts';
import { partitionOf } from '../../placement/hash.ts';
import { isAlive } from '../../runtime/cli/cluster-note.ts';
import { controlPath, requestLengthMax } from '../../runtime/cli/control.ts';
import { lookInto } from '../../runtime/cli/reading.ts';
import { openLmdb } from '../../runtime/stores/lmdb/store.ts';
import { encode } from '../../runtime/wire/codec.ts';
import { Child } from '../support/child.ts';
import { type App, appPath, type Ran, Skerry } from '../support/skerry.ts';
import { assert, suite } from '../support/suite.ts';

const cli = suite('cli');

let temporary: string;
let data: string;
let skerry: Skerry;
let app: App;

cli.before(
  async () => {
    temporary = await mkdtemp(join(tmpdir(), 'skerry-cli-'));
    // controlPath() reads it, here as in the processes.
    process.env.TMPDIR = temporary;
    data = join(temporary, 'data');
    skerry = new Skerry(temporary);
    app = await skerry.start(appPath, data, '--workers', '2');
  },
  // It builds first.
  { timeoutMs: 120_000 },
);

cli.after(async () => {
  skerry.endAll();
  await rm(temporary, { recursive: true, force: true });
});

const call = (...words: string[]) => skerry.run('call', ...words, '--data', data);
const callJson = (...words: string[]) => skerry.json('call', ...words, '--data', data);

function failed({ code, err }: Ran, expected: number, message: RegExp): void {
  assert.match(err, message);
  assert.is(code, expected, err);
  assert.ok(err.trimEnd().split('\n').length <= 2, err);
}

/** Waits for what another process is about to commit, by looking into the folder. */
async function deadLetterOf(address: string): Promise<string> {
  for (;;) {
    const found = await lookInto(data, ({ inspector }) => inspector.get(address));
    const letter = found?.dead.at(-1);
    if (letter !== undefined) return letter.id;
  }
}

cli('run says what runs, and remembers the app in the folder', async () => {
  assert.is(app.announcement.status, 'running');
  assert.equal(app.announcement.types.map(({ type }) => type).sort(), ['counter', 'sender', 'stock']);
  const note = JSON.parse(await readFile(join(data, 'skerry.json'), 'utf8')) as { app: string };
  assert.match(note.app, /support\/app\.ts$/);
});

cli('the control socket is for its own user only', async () => {
  const path = controlPath(data);
  assert.is((await stat(path)).mode & 0o777, 0o600);
  assert.is((await stat(dirname(path))).mode & 0o777, 0o700);
});

cli('calls of the running app: commands, queries, negative numbers, keys with any character', async () => {
  const [received, added, odd] = await Promise.all([
    call('stock/tea', 'receive', '{"units":10}'),
    callJson('counter/a', 'add', '-5'),
    call('stock/ a\\nb\\0c/静岡 🍵', 'receive', '{"units":1}'),
  ]);
  assert.equal([received.code, received.out], [0, 'done\n']);
  assert.equal(added, { status: 'done', output: -5 });
  assert.is(odd.code, 0, odd.err);
  const [available, sealed] = await Promise.all([call('stock/tea', 'available'), callJson('counter/a', 'seal')]);
  assert.is(available.out, '10\n');
  assert.equal(sealed, { status: 'done', output: { bytes: 'AQID', big: '1152921504606846976' } });
});

cli(
  'P4: calls with one idempotency key have the effect of one; keys that look like one number are two keys',
  async () => {
    const add = (key: string) => callJson('counter/keyed', 'add', '1', '--idempotency-key', key);
    const first = await add('007');
    const [again, other] = await Promise.all([add('007'), add('7')]);
    assert.equal(again, first);
    assert.equal(other, { status: 'done', output: 2 });
  },
);

cli('a tentative call prints its hold, which confirm and cancel take', async () => {
  const reserve = async () =>
    (await callJson('stock/tea', 'reserve', '{"units":2}')) as { status: string; hold: { id: string } };
  const [one, other] = await Promise.all([reserve(), reserve()]);
  assert.is(one.status, 'accepted');
  const [confirmed, cancelled] = await Promise.all([
    skerry.json('confirm', JSON.stringify(one.hold), '--data', data),
    skerry.run('cancel', JSON.stringify(other.hold), '--data', data),
  ]);
  assert.equal(confirmed, { status: 'confirmed' });
  assert.is(cancelled.out, 'stock/tea reserve: cancelled\n');
  const [available, twice] = await Promise.all([
    callJson('stock/tea', 'available'),
    skerry.run('confirm', JSON.stringify(one.hold), '--data', data),
  ]);
  assert.equal(available, { status: 'done', output: 8 });
  failed(twice, 3, /has no hold with that id/);
});

cli('a refusal is exit code 1, and with --json an object on standard error', async () => {
  const [told, machine] = await Promise.all([
    call('stock/tea', 'reserve', '{"units":99}'),
    call('stock/tea', 'reserve', '{"units":99}', '--json'),
  ]);
  failed(told, 1, /^skerry: stock\/tea refused reserve: not enough stock\n/);
  assert.is(machine.code, 1);
  assert.is(machine.out, '');
  const { error } = JSON.parse(machine.err) as { error: Record<string, unknown> };
  assert.is(error.code, 'refused');
  assert.is(error.effect, 'none');
  assert.equal(error.detail, { free: 8 });
});

cli('what is asked wrongly is said, with what there is instead', async () => {
  const cases: [words: string[], code: number, message: RegExp][] = [
    [['stok/tea', 'available'], 3, /no entity type 'stok'\n.*did you mean 'stock'\? there are: counter, sender, stock/],
    [['stock/tea', 'receve', '{}'], 3, /no operation 'receve'\n.*'receive'.*reserve, available/],
    [['stock/tea', 'toString'], 3, /no operation 'toString'/],
    [['stock/tea', 'receive', '{"units":"x"}'], 2, /stock\/tea receive: units: .*number/],
    [['stock/tea', 'receive', '{"units": tea}'], 2, /not JSON: at character 11, unexpected "tea}"/],
    [['stock', 'available'], 2, /'stock' is not an address\n.*type\/key/],
    [['stock/', 'available'], 2, /must not be empty/],
    [['counter/a', 'add'], 2, /counter\/a add/],
    [['counter/a', 'add', '1', '--deadline', 'soon'], 2, /milliseconds/],
  ];
  const results = await Promise.all(cases.map(([words]) => call(...words)));
  for (const [index, [, code, message]] of cases.entries()) failed(results[index]!, code, message);
});

cli('get shows what is stored while the app runs', async () => {
  const [found, shown, absent] = await Promise.all([
    skerry.json('get', 'stock/tea', '--data', data) as Promise<Record<string, unknown>>,
    skerry.run('get', 'stock/tea', '--data', data),
    skerry.run('get', 'stock/nothing', '--data', data),
  ]);
  assert.equal(found.state, { free: 8, held: 0 });
  for (const part of ['activities', 'outbox', 'timers', 'holds', 'effects', 'dead'])
    assert.ok(Array.isArray(found[part]));
  assert.match(shown.out, /^stock\/tea\nversion \d+ · last turn/);
  assert.match(shown.out, /\n {2}\{ "free": 8, "held": 0 \}\n/);
  failed(absent, 3, /stock\/nothing is not stored/);
});

cli('log shows the turns of a type that keeps them, and says how to keep them', async () => {
  const [items, shown, last, none] = await Promise.all([
    skerry.lines('log', 'stock/tea', '--data', data) as Promise<Record<string, unknown>[]>,
    skerry.run('log', 'stock/tea', '--data', data),
    skerry.lines('log', 'stock/tea', '--last', '1', '--data', data),
    skerry.run('log', 'counter/a', '--data', data),
  ]);
  assert.is(items[0]?.operation, 'receive');
  assert.equal(items[0]?.input, { units: 10 });
  assert.equal(items[0]?.state, { free: 10, held: 0 });
  assert.match(shown.out, /^version +time +from +asked +answer\n/);
  assert.match(shown.out, /receive \{"units":10\} +done\n/);
  // A note of versions that are not shown, only where there are any.
  const versions = items.map(({ version }) => Number(version));
  const hasGaps = (versions.at(-1) ?? 0) - (versions[0] ?? 0) >= versions.length;
  assert.is(shown.err, hasGaps ? 'Versions between these are commits without a turn, such as acknowledgements.\n' : '');
  assert.equal(last, items.slice(-1));
  failed(none, 3, /'counter' keeps no history\n.*historyMs/);
});

cli('list prints addresses that are arguments again', async () => {
  const [shown, machine, unknown] = await Promise.all([
    skerry.run('list', 'stock', '--data', data),
    skerry.lines('list', 'stock', '--data', data),
    skerry.run('list', 'stocks', '--data', data),
  ]);
  assert.is(shown.out, 'stock/\\x20a\\nb\\0c/静岡 🍵\nstock/tea\n');
  assert.equal(machine[0], { address: 'stock/ a\nb\0c/静岡 🍵', type: 'stock', key: ' a\nb\0c/静岡 🍵' });
  const odd = await skerry.run('get', shown.out.split('\n')[0] ?? '', '--data', data);
  assert.is(odd.code, 0, odd.err);
  failed(unknown, 3, /no entity type 'stocks' here\n.*'stock'/);
});

cli('dead letters: list, show, retry and drop; doctor finds them', async () => {
  await call('counter/sick', 'break', 'true');
  await call('sender/x', 'send', '{"to":"sick","amount":7}');
  const id = await deadLetterOf('counter/sick');
  const dead = (...words: string[]) => skerry.run('dead', ...words, '--data', data);
  const [listed, shown, stuck, absent, ill] = await Promise.all([
    skerry.lines('dead', 'list', 'counter', '--data', data) as Promise<Record<string, unknown>[]>,
    dead('show', 'counter/sick', id),
    dead('retry', 'counter/sick', id),
    dead('show', 'counter/sick', '999'),
    skerry.run('doctor', '--data', data),
  ]);
  const { address, operation, input, partner } = listed[0] ?? {};
  assert.equal(
    { address, operation, input, partner },
    { address: 'counter/sick', operation: 'add', input: 7, partner: 'sender/x' },
  );
  assert.match(shown.out, /reason +the counter is broken\n/);
  failed(stuck, 1, /counter is broken/);
  failed(absent, 3, new RegExp(`no dead letter 999\n.*it has ${id}`));
  assert.is(ill.code, 1);
  assert.match(ill.out, /WRONG +dead letters +1 \(counter 1\)/);

  await call('counter/sick', 'break', 'false');
  assert.is((await dead('retry', 'counter/sick', id)).code, 0);
  assert.equal(await callJson('counter/sick', 'total'), { status: 'done', output: 7 });
  await call('counter/sick', 'break', 'true');
  await call('sender/x', 'send', '{"to":"sick","amount":1}');
  const dropped = await dead('drop', 'counter/sick', await deadLetterOf('counter/sick'));
  assert.match(dropped.out, /\(add\): dropped\n/);
  assert.is((await dead('list')).out, '');
});

cli('a message is dropped from an outbox once, and is a dead letter then', async () => {
  for (const amount of [1, 2, 3]) await call('sender/stuck', 'haunt', String(amount));
  const drop = (...words: string[]) => skerry.run('outbox', 'drop', 'sender/stuck', ...words, '--data', data);
  const dropped = await drop('ghost/g', '2');
  assert.match(dropped.out, /^sender\/stuck message 2 to ghost\/g: dropped, dead letter \d+\n$/);
  assert.match((await skerry.run('get', 'sender/stuck', '--data', data)).out, /Outbox \(2, \d+ B\)/);
  const { outbox, dead } = (await skerry.json('get', 'sender/stuck', '--data', data)) as Record<string, unknown[]>;
  assert.equal(
    outbox?.map((one) => (one as { seq: number }).seq),
    [1, 3],
  );
  const [letter] = dead as { reason: string }[];
  assert.match(String(letter?.reason), /^dropped by an operator, in doubt: /);
  failed(await drop('ghost/g', '2'), 3, /sender\/stuck has no message 2 to ghost\/g in its outbox/);
  failed(await drop('ghost/other', '1'), 3, /no message 1 to/);
  for (const ran of await Promise.all([drop('ghost/g', '0'), drop('ghost/g', '1e3')]))
    failed(ran, 2, /The number of a message is at least 1/);
  failed(await skerry.run('outbox', 'list', 'sender/stuck', 'ghost/g', '1'), 2, /outbox has no action 'list'/);
  const told = await skerry.json('outbox', 'drop', 'sender/stuck', 'ghost/g', '1', '--data', data);
  const { letter: id, ...rest } = told as Record<string, unknown>;
  assert.equal(rest, { status: 'dropped', address: 'sender/stuck', to: 'ghost/g', seq: 1 });
  assert.is((await drop('ghost/g', '3')).code, 0);
  assert.is(typeof id, 'string');
  assert.is((await skerry.run('dead', 'drop', '--all', 'sender', '--data', data)).code, 0);
});

cli(
  'dead letters: retry and drop for all of a type, or of a reason',
  async () => {
    const dead = (...words: string[]) => skerry.run('dead', ...words, '--data', data);
    await call('counter/sick', 'break', 'true');
    for (const amount of [1, 2]) await call('sender/x', 'send', `{"to":"sick","amount":${amount}}`);
    while ((await skerry.lines('dead', 'list', '--data', data)).length < 2);
    assert.equal(await dead('retry', '--all', '--reason', 'another reason'), { code: 0, out: '', err: '' });
    const stuck = await dead('retry', '--all', 'counter');
    assert.is(stuck.code, 1);
    assert.is(stuck.err.match(/the counter is broken/g)?.length, 2, stuck.err);
    assert.is((await dead('retry', '--all', 'counter/sick')).code, 2);
    await call('counter/sick', 'break', 'false');
    const { code, out } = await dead('retry', '--all', '--reason', 'is broken');
    assert.equal([code, out.match(/: retried\n/g)?.length, (await dead('list')).out], [0, 2, '']);
  },
  { timeoutMs: 60_000 },
);

cli('doctor: all is well, for people and for machines', async () => {
  const [shown, machine] = await Promise.all([
    skerry.run('doctor', '--data', data),
    skerry.json('doctor', '--data', data) as Promise<{ ok: boolean; findings: { check: string; figures?: object }[] }>,
  ]);
  assert.is(shown.code, 0, shown.out);
  assert.match(shown.out, /ok +app +app\.ts runs in process \d+/);
  assert.match(shown.out, /No problems found\.\n$/);
  assert.ok(machine.ok);
  assert.equal(machine.findings.find(({ check }) => check === 'entities')?.figures, {
    counter: 3,
    sender: 2,
    stock: 2,
  });
});

cli(
  'a folder in use cannot be run on again; a copy of the socket folder that others may enter is not asked',
  async () => {
    failed(
      await skerry.run('run', appPath, '--data', data),
      4,
      /app\.ts already runs on the data .*, in process \d+\n/,
    );
    const folder = dirname(controlPath(data));
    await chmod(folder, 0o755);
    const refused = await call('stock/tea', 'available');
    await chmod(folder, 0o700);
    failed(refused, 1, /is not a folder that only you can enter/);
  },
);

cli('the control socket bounds requests, and refuses what it does not know', async () => {
  const ask = async (request: string): Promise<{ error: { code: string } }> => {
    const socket = connect({ path: controlPath(data), allowHalfOpen: true });
    socket.end(request);
    // A refused request is not read to its end: the socket may break while it is still being written.
    socket.on('error', () => undefined);
    return JSON.parse(await text(socket)) as { error: { code: string } };
  };
  assert.is((await ask('{"ask":"eval"}\n')).error.code, 'usage');
  assert.is((await ask('nonsense\n')).error.code, 'usage');
  assert.is((await ask('{"ask":"call","address":5}\n')).error.code, 'usage');
  assert.is((await ask('x'.repeat(requestLengthMax + 1))).error.code, 'too-large');
});

cli('an app that was started by npx ends in good order when that was ended', async () => {
  const folder = join(temporary, 'by-npx');
  const going = skerry.beginByNpx('run', appPath, '--data', folder);
  const { pid } = await going.says({ status: 'running' });
  const { out } = await going.end('SIGKILL');
  assert.match(out, /\{"status":"closed"\}\n$/);
  // Its output ends before it does.
  while (isAlive(Number(pid))) await new Promise((resolve) => setTimeout(resolve, 10));
});

cli('when nobody reads its output any more, run closes in good order', async () => {
  const folder = join(temporary, 'unread');
  const going = skerry.begin('run', appPath, '--data', folder);
  await going.says({ status: 'running' });
  going.stopReading();
  // It closes as always, and finds that nobody hears of it.
  assert.is((await going.end('SIGTERM')).code, 0);
  await (await skerry.start(appPath, folder)).end('SIGINT');
});

/** A folder with one entity that has had many turns, each kept with an input of 1 KB. */
async function longLog(folder: string, count: number): Promise<void> {
  const store = await openLmdb(folder, { owner: 'test' });
  const head = (await inspectedHead()) ?? new Uint8Array();
  const partition = partitionOf('counter/long', store.partitions);
  const [claim] = await store.claim([partition], 'test');
  const input = encode('x'.repeat(1_000));
  for (let version = 0; version < count; version += 1_000) {
    const turns = Array.from({ length: 1_000 }, (_, at) => version + at + 1);
    const records = turns.map(
      (turn) =>
        [
          recordName.history(turn),
          encode([turn, turn, '@c', 'operation', 'add', input, 'done', [], new Uint8Array()]),
        ] as const,
    );
    const commit = { partition, epoch: claim?.epoch ?? 0, address: 'counter/long', head, records };
    const wakes = { wakeBefore: undefined, wakeAt: undefined };
    await store.commit([{ ...commit, ...wakes, expected: version, version: version + 1_000 }]);
  }
  await store.close();
}

async function inspectedHead(): Promise<Uint8Array | undefined> {
  const store = await openLmdb(data, { readOnly: true });
  const [loaded] = await store.load([{ partition: partitionOf('stock/tea', store.partitions), address: 'stock/tea' }]);
  await store.close();
  return loaded?.head;
}

cli(
  'log streams: many turns need no memory, the last ones are read from the end, and a reader may leave',
  async () => {
    const folder = join(temporary, 'long');
    await longLog(folder, 60_000);
    const whole = await skerry.runWithin(40, 'log', 'counter/long', '--json', '--data', folder);
    assert.equal([whole.code, whole.out.split('\n').length], [0, 60_001], whole.err);
    const last = await skerry.lines('log', 'counter/long', '--last', '3', '--data', folder);
    assert.equal(
      last.map((turn) => (turn as { version: number }).version),
      [59_998, 59_999, 60_000],
    );
    const left = skerry.begin('log', 'counter/long', '--data', folder);
    await left.says({ version: 1 });
    left.stopReading();
    assert.is((await left.end()).code, 0);
  },
  { timeoutMs: 60_000 },
);

cli('SIGTERM closes in good order; then the remembered app is started for a call, also for two at once', async () => {
  const ended = await app.end('SIGTERM');
  assert.is(ended.code, 0, ended.err);
  assert.match(ended.out, /"closed"\}\n$/);
  const results = await Promise.all([callJson('counter/later', 'add', '1'), callJson('counter/later', 'add', '1')]);
  const outputs = results.map((result) => (result as { output: number }).output);
  assert.equal(outputs.sort(), [1, 2]);
});

cli('P8: after a SIGKILL of the app what it acknowledged is there, and a call works', async () => {
  app = await skerry.start(appPath, data);
  assert.equal(await callJson('counter/hard', 'add', '3'), { status: 'done', output: 3 });
  await app.end('SIGKILL');
  assert.equal(await callJson('counter/hard', 'add', '4'), { status: 'done', output: 7 });
  assert.match((await skerry.run('doctor', '--data', data)).out, /none runs; no process has the folder open/);
});

cli('compact copies a folder without the room that was freed, once nobody has it open', async () => {
  const [folder, small] = [join(temporary, 'grown'), join(temporary, 'small')];
  const grown = await skerry.start(appPath, folder);
  for (let amount = 1; amount <= 3; amount++)
    await skerry.run('call', 'counter/kept', 'add', String(amount), '--data', folder);
  failed(await skerry.run('compact', small, '--data', folder), 4, /is open in process/);
  await grown.end('SIGINT');
  failed(await skerry.run('compact', folder, '--data', folder), 2, /already holds data/);
  failed(await skerry.run('compact', small, '--data', join(temporary, 'none')), 3, /There is no folder/);
  const said = (await skerry.json('compact', small, '--data', folder)) as Record<string, string | number>;
  assert.is(said.status, 'compacted');
  assert.ok(Number(said.after) < Number(said.before));
  assert.is((await stat(String(said.to))).size, said.after);
  await rename(String(said.to), String(said.from));
  assert.equal(await skerry.json('call', 'counter/kept', 'total', '--data', folder), { status: 'done', output: 6 });
  assert.match((await skerry.run('compact', small, '--data', folder)).out, /KiB before, .* after: .*small/);
});

cli('a folder that another program has open is said to be so', async () => {
  const folder = join(temporary, 'held');
  await (await skerry.start(appPath, folder)).end('SIGINT');
  const holder = new Child('./lmdb-child.ts', ['hold', folder]);
  assert.is(await holder.line(), 'open');
  const [called, looked] = await Promise.all([
    skerry.run('call', 'stock/tea', 'available', '--data', folder),
    skerry.run('doctor', '--data', folder),
  ]);
  await holder.finish();
  failed(called, 4, new RegExp(`is open in process ${holder.pid} \\(holder\\)\n`));
  assert.match(
    looked.out,
    new RegExp(`note +app +.*open in process ${holder.pid} \\(holder\\), which commands cannot`),
  );
});

cli('apps and folders that are not there, or are no apps', async () => {
  const write = async (name: string, source: string): Promise<string> => {
    await writeFile(join(temporary, name), source);
    return join(temporary, name);
  };
  const cases: [words: string[], code: number, message: RegExp][] = [
    [['run', 'nowhere.ts'], 3, /no file nowhere\.ts/],
    [['run', await write('empty.mjs', 'export const a = 1;')], 1, /does not export a behaviour\n.*array/],
    [
      ['run', await write('throws.mjs', 'throw new Error("no luck");')],
      1,
      /could not be loaded: Error: no luck\n.*throws\.mjs:1/,
    ],
    [['run', appPath, '--workers', '0'], 2, /from 1 to/],
    [['call', 'stock/tea', 'available'], 3, /There is no folder/],
    [['get', 'stock/tea'], 3, /There is no folder/],
    [['nonsense'], 2, /no command 'nonsense'/],
    [['dead', 'lits'], 2, /no action 'lits'\n.*did you mean 'list'/],
    [['confirm', '{"a":1}'], 2, /not a hold/],
  ];
  const nowhere = join(temporary, 'nowhere');
  const results = await Promise.all(cases.map(([words]) => skerry.run(...words, '--data', nowhere)));
  for (const [index, [, code, message]] of cases.entries()) failed(results[index]!, code, message);
});

cli('help and version are on standard output', async () => {
  const [all, one, version] = await Promise.all([
    skerry.run('--help'),
    skerry.run('call', '--help'),
    skerry.run('--version'),
  ]);
  for (const name of ['run', 'call', 'confirm', 'cancel', 'get', 'log', 'list', 'dead', 'doctor', 'compact'])
    assert.match(all.out, new RegExp(`^ {2}${name} +\\w`, 'm'));
  assert.match(all.out, /Exit codes\n {2}0 +done/);
  assert.match(one.out, /--idempotency-key <key>/);
  assert.match(version.out, /^\d+\.\d+\.\d+/);
  for (const { code, out } of [all, one, version]) {
    assert.is(code, 0);
    assert.ok(
      out.split('\n').every((line) => line.length <= 80),
      out,
    );
  }
  const wide = ['up', 'worker', 'dead', 'outbox', 'drain', 'start', 'permissions'];
  for (const { out } of await Promise.all(wide.map((name) => skerry.run(name, '--help'))))
    assert.equal(
      out.split('\n').filter((line) => line.length > 80),
      [],
    );
});

cli.run();
