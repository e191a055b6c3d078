/**
 * The example as a process: killed at random moments and started again, every number still adds up.
 * Time limit: 300 s
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from '../../examples/orders/generate.ts';
import type { Result } from '../../examples/orders/report.ts';
import { chanceOf } from '../../runtime/testing/chance.ts';
import { assert, suite } from '../support/suite.ts';

const killed = suite('orders, killed');
/** A process takes a second to start, on a busy machine several. */
const unhurried = { timeoutMs: 120_000 };
const root = join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'skerry-orders-'));
const lines = generate(2, 2000);
const input = join(folder, 'lines.jsonl');
writeFileSync(input, `${lines.join('\n')}\n`);
killed.after(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}

/** Runs the example to its end, which `during` may bring about. */
function run(parameters: readonly string[], during: (child: ChildProcess) => void = () => undefined): Promise<Ended> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, ['--import', 'tsx', 'examples/orders/main.ts', ...parameters], { cwd: root });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (output.stderr += text));
  // A process that was killed no longer reads what is piped into it.
  child.stdin.on('error', () => undefined);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...output, tookMs: performance.now() - startedMs }));
    during(child);
  });
}

const killAfter = (ms: number, signal: NodeJS.Signals) => (child: ChildProcess) => {
  const timer = setTimeout(() => child.kill(signal), ms);
  child.on('exit', () => clearTimeout(timer));
};

function resultOf({ code, stdout, stderr }: Ended): Result {
  assert.is(code, 0, `exit code ${code}\n${stdout}\n${stderr}`);
  const result: Result = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
  assert.is(result.placed + result.refused + result.cancelled, result.orders);
  assert.is(result.free + result.held + result.sold, result.restocked);
  assert.is(result.held, 0);
  assert.is(result.conserved, true);
  assert.is(result.violations, 0);
  return result;
}

/** What does not depend on timing. */
const asked = ({ orders, restocked, lines: read, malformed, repeated }: Result) => ({
  orders,
  restocked,
  read,
  malformed,
  repeated,
});

let uninterrupted: Result;
let tookMs = 0;

killed(
  'an uninterrupted run: every line is applied, every equality holds, malformed lines are named',
  async () => {
    const ended = await run(['--input', input, '--data', join(folder, 'uninterrupted')]);
    uninterrupted = resultOf(ended);
    tookMs = ended.tookMs;
    assert.is(uninterrupted.lines, lines.length);
    assert.ok(uninterrupted.placed > 100 && uninterrupted.refused > 100 && uninterrupted.cancelled > 50);
    const named = ended.stderr.match(/line \d+ is malformed: ./g) ?? [];
    assert.ok(named.length > 0);
    assert.is(named.length, uninterrupted.malformed);
  },
  unhurried,
);

killed(
  'what was run to its end applies nothing again',
  async () => {
    const ended = await run(['--input', input, '--data', join(folder, 'uninterrupted')]);
    assert.equal(resultOf(ended), uninterrupted);
    assert.match(ended.stderr, /going on after line 2000/);
  },
  unhurried,
);

killed(
  'P4, P8: killed at random moments, it asks and restocks the same, once',
  async () => {
    const chance = chanceOf(3);
    const parameters = ['--input', input, '--data', join(folder, 'killed')];
    let kills = 0;
    for (let round = 0; round < 6; round += 1) {
      const { code } = await run(parameters, killAfter(200 + chance() * tookMs, 'SIGKILL'));
      if (code === null) kills += 1;
    }
    assert.ok(kills > 0, 'no run was killed before its end');
    assert.equal(asked(resultOf(await run(parameters))), asked(uninterrupted));
  },
  unhurried,
);

killed(
  'lines may be piped; a pipe that broke may be piped again from its beginning',
  async () => {
    const parameters = ['--input', '-', '--data', join(folder, 'piped')];
    const pipe = (texts: string[]) => (child: ChildProcess) => void child.stdin?.end(texts.join('\n'));
    await run(parameters, (child) => {
      pipe(lines)(child);
      killAfter(tookMs * 0.6, 'SIGKILL')(child);
    });
    assert.equal(asked(resultOf(await run(parameters, pipe(lines)))), asked(uninterrupted));
    // More lines for the same shop: of one order that nobody has asked for before.
    const more =
      '{"id":"more-1","kind":"order","order":"more","customer":"customer-1","lines":[{"product":"anvil","units":1}]}';
    const result = resultOf(await run(parameters, pipe([more])));
    assert.equal([result.lines, result.orders, result.refused > 0], [1, uninterrupted.orders + 1, true]);
  },
  unhurried,
);

killed(
  'SIGINT closes in good order with exit code 130; the same command goes on',
  async () => {
    const parameters = ['--input', '-', '--data', join(folder, 'interrupted')];
    // It names a malformed line among these while most are still to be applied.
    const ended = await run(parameters, (child) => {
      child.stdin?.write(`${lines.slice(0, 1000).join('\n')}\n`);
      child.stderr?.on('data', () => child.kill('SIGINT'));
    });
    assert.is(ended.code, 130, ended.stderr);
    assert.match(ended.stderr, /goes on from here/);
    assert.is(ended.stdout, '');
    const again = await run(parameters, (child) => void child.stdin?.end(lines.join('\n')));
    assert.equal(asked(resultOf(again)), asked(uninterrupted));
  },
  unhurried,
);

killed(
  'a wrong command line is explained, with exit code 2',
  async () => {
    const unknown = await run(['--inptu', 'x']);
    assert.is(unknown.code, 2);
    assert.match(unknown.stderr, /--inptu.*\n.*\n.*--input FILE/s);
    const missing = await run(['--input', join(folder, 'nowhere.jsonl'), '--data', join(folder, 'none')]);
    assert.is(missing.code, 2);
    assert.match(missing.stderr, /cannot read .*nowhere\.jsonl/);
  },
  unhurried,
);

killed.run();
