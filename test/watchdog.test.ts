/** A turn that does not end is named by something that still runs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { assert, suite } from './support/suite.ts';

const test = suite('watchdog');

/** Runs a turn of so many ms in a process of its own; what it wrote to standard error, and whether its turn had ended by then. */
async function spin(ms: number): Promise<{ lines: Record<string, unknown>[]; endedBefore: boolean[]; code: unknown }> {
  const path = fileURLToPath(new URL('./support/spin-child.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', path, String(ms)], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: Record<string, unknown>[] = [];
  const endedBefore: boolean[] = [];
  let hasEnded = false;
  child.stdout.on('data', () => {
    hasEnded = true;
  });
  child.stderr.on('data', (data: Buffer) => {
    for (const line of data
      .toString()
      .split('\n')
      .filter((text) => text.startsWith('{'))) {
      lines.push(JSON.parse(line) as Record<string, unknown>);
      endedBefore.push(hasEnded);
    }
  });
  const [code] = await once(child, 'close');
  return { lines, endedBefore, code };
}

test('a turn that runs for longer than turnMsMax is named with its stack while it runs, and once more when it has ended', async () => {
  const { lines, endedBefore, code } = await spin(5_000);
  assert.is(code, 0);
  const during = lines.find(({ msg }) => String(msg).startsWith('a turn has been running for 400 ms'));
  assert.equal([during?.level, during?.entity, during?.operation], [50, 'loop/a', 'spin']);
  assert.match(String(during?.from), /^@/);
  assert.match(String(during?.stack), /at spinHere \(.*spin-child\.ts:\d+:\d+\)/);
  assert.is(endedBefore[0], false);
  const after = lines.find(({ msg }) => String(msg).startsWith('a turn ran for too long'));
  assert.equal([after?.entity, after?.operation], ['loop/a', 'spin']);
  assert.is(lines.length, 2, JSON.stringify(lines));
});

test('a turn that is shorter is not mentioned, and the thread keeps no process alive', async () => {
  assert.equal(await spin(1), { lines: [], endedBefore: [], code: 0 });
});

test.run();
