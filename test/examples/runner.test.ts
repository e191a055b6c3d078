/**
 * The runner of examples as a process: embedded, on a cluster that is hurt, stopped, killed, and told what it does not understand.
 * Time limit: 300 s
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { chanceOf, zipf } from '../../runtime/testing/chance.ts';
import { assert, suite } from '../support/suite.ts';

const runner = suite('runner of examples');
/** Workers take a second to start, on a busy machine several. */
const unhurried = { timeoutMs: 150_000 };
const root = join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'skerry-examples-'));
const main = join(root, '.build', 'examples', 'examples', 'runner', 'main.js');
const children = new Set<ChildProcess>();

runner.before(() => {
  // Types are checked elsewhere.
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  execFileSync(tsc, ['-p', 'tsconfig.examples.json', '--noCheck'], { cwd: root });
});
runner.after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function start(...words: string[]): {
  child: ChildProcess;
  ended: Promise<Ended>;
  says: (what: RegExp) => Promise<void>;
} {
  const child = spawn(process.execPath, [main, ...words], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text.out += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text.err += chunk));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => {
      children.delete(child);
      resolve({ code, ...text });
    });
  });
  const says = async (what: RegExp) => {
    while (!what.test(text.err)) {
      if (child.exitCode !== null) throw new Error(`it ended without saying ${what}: ${text.out}${text.err}`);
      await pause(20);
    }
  };
  return { child, ended, says };
}

const lastLine = ({ out }: Ended) => JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>;

function pidsIn(data: string): number[] {
  return readFileSync(join(data, 'servers.json'), 'utf8').match(/\d+/g)?.map(Number) ?? [];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function gone(pids: readonly number[]): Promise<void> {
  while (pids.some(isAlive)) await pause(50);
}

runner(
  'embedded: a table, and as the last line JSON; the folder goes with it',
  async () => {
    const ended = await start('bank', '--seconds', '2', '--accounts', '64', '--store', 'lmdb').ended;
    assert.is(ended.code, 0, ended.err);
    const { example, transactions, perS, p50Ms, kills, moves, anomalies, audits } = lastLine(ended);
    assert.equal([example, kills, moves, anomalies], ['bank', 0, 0, 0]);
    assert.ok(Number(transactions) > 0 && Number(perS) > 0 && Number(p50Ms) > 0 && Number(audits) > 0);
    assert.match(ended.out, /bank, embedded on lmdb/);
  },
  unhurried,
);

runner(
  'orders: what each order was told is what became of it',
  async () => {
    const ended = await start('orders', '--seconds', '2', '--clients', '16').ended;
    assert.is(ended.code, 0, `${ended.out}${ended.err}`);
    const { orders, placed, cancelled, repeated, anomalies } = lastLine(ended);
    assert.ok(Number(orders) > Number(placed) && Number(placed) > 0 && Number(cancelled) > 0 && Number(repeated) > 0);
    assert.is(anomalies, 0);
  },
  unhurried,
);

runner(
  'on a cluster: workers are killed and entities moved, and all ends, servers too',
  async () => {
    const data = join(folder, 'hurt');
    const faults = ['--kill-every', '3s', '--move-every', '2s', '--fsync', 'always'];
    const words = ['--workers', '2', '--seconds', '9', '--accounts', '64', '--data', data];
    const { ended, says } = start('bank', ...words, ...faults);
    await says(/kills/);
    const pids = pidsIn(data);
    assert.is(pids.length, 2);
    assert.match(readFileSync(join(data, 'redis.conf'), 'utf8'), /appendfsync always/);
    const last = await ended;
    assert.is(last.code, 0, `${last.out}${last.err}`);
    const { transactions, kills, moves, anomalies, fsync } = lastLine(last);
    assert.ok(Number(transactions) > 0 && Number(kills) > 0 && Number(moves) > 0);
    assert.equal([anomalies, fsync], [0, 'always']);
    await gone(pids);
  },
  unhurried,
);

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGKILL', null],
] as const)
  runner(
    `${signal} ends it with its workers and servers`,
    async () => {
      const data = join(folder, signal);
      const { child, ended, says } = start('bank', '--workers', '2', '--seconds', '600', '--data', data);
      await says(/transfers/);
      const pids = [...pidsIn(data), ...workersOf(data)];
      assert.is(pids.length, 4);
      child.kill(signal);
      assert.is((await ended).code, code);
      await gone(pids);
    },
    unhurried,
  );

function workersOf(data: string): number[] {
  const events = readFileSync(join(data, 'workers.log'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{'));
  const all = events.map((line) => JSON.parse(line) as { kind: string; pid: number });
  return all.filter(({ kind }) => kind === 'ready').map(({ pid }) => pid);
}

runner(
  'what it does not understand is explained, with exit code 2, and nothing is started',
  async () => {
    const wrong: readonly (readonly [words: string, because: RegExp])[] = [
      ['', /No example named.*there are: bank, orders/s],
      ['bnak', /There is no example 'bnak'/],
      ['bank --wrokers 4', /--wrokers.*--help/s],
      ['bank --workers 0', /--workers takes a whole number from 1 to 64, not '0'/],
      ['bank --kill-every 2s', /need workers that are processes.*--workers/s],
      ['bank --workers 2 --kill-every soon', /takes a time from 100ms/],
      ['bank --workers 1 --move-every 2s', /needs a second worker/],
      ['bank --store postgres', /takes redis or lmdb/],
      ['bank --fsync always', /is of Redis/],
      ['bank --size 65', /from 2 to 64/],
    ];
    const all = await Promise.all(wrong.map(([words]) => start(...words.split(' ').filter(Boolean)).ended));
    for (const [index, [words, because]] of wrong.entries()) {
      assert.match(all[index]!.err, because, words);
      assert.equal([all[index]!.code, all[index]!.out], [2, ''], words);
    }
    const help = await start('bank', '--help').ended;
    assert.is(help.code, 0);
    assert.match(help.out, /--kill-every <time>.*Options of bank.*--skew/s);
  },
  unhurried,
);

runner("Zipf's law: the first is chosen as often as the law says, and a skew of 0 chooses all equally often", () => {
  const counted = (skew: number) => {
    const counts = new Array<number>(100).fill(0);
    const pick = zipf(100, chanceOf(5), skew);
    for (let picks = 0; picks < 100_000; picks += 1) counts[pick()]! += 1;
    return counts;
  };
  const [even, steep] = [counted(0), counted(1.5)];
  assert.ok(even.every((count) => Math.abs(count - 1_000) < 200));
  // 1 of the sum of 1/n^1.5 for n to 100: 2.41.
  assert.ok(Math.abs(steep[0]! - 41_400) < 1_500, `${steep[0]}`);
});

runner.run();
