/** A turn that does not end is named by something that still runs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { assert, suite } from '../support/suite.ts';

const test = suite('watchdog');
type Line = Readonly<Record<string, unknown>>;

/** Runs a turn in a process of its own, which spins until the file exists; what it wrote to standard error, line by line. */
async function spin(
  file: string,
  limitMs: number,
  heard: (line: Line) => void,
): Promise<{ lines: Line[]; code: unknown }> {
  const path = fileURLToPath(new URL('../support/spin-child.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', path, file, String(limitMs)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: Line[] = [];
  createInterface({ input: child.stderr }).on('line', (text) => {
    if (!text.startsWith('{')) return;
    const line = JSON.parse(text) as Line;
    lines.push(line);
    heard(line);
  });
  const [code] = await once(child, 'close');
  return { lines, code };
}

test(
  'a turn that runs for longer than turnMsMax is named with its stack while it runs, and once more when it has ended',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'skerry-spin-'));
    const file = join(folder, 'end');
    try {
      // It spins until it has been named.
      const { lines, code } = await spin(file, 400, () => void writeFile(file, ''));
      const [during, after] = lines;
      assert.match(String(during?.msg), /^a turn has been running for 400 ms/);
      assert.equal([code, during?.level, during?.entity, during?.operation], [0, 50, 'loop/a', 'spin']);
      assert.match(String(during?.from), /^@/);
      assert.match(String(during?.stack), /at spinHere \(.*spin-child\.ts:\d+:\d+\)/);
      assert.match(String(after?.msg), /^a turn ran for too long/);
      assert.equal([after?.entity, after?.operation], ['loop/a', 'spin']);
      assert.is(lines.length, 2, JSON.stringify(lines));
    } finally {
      await rm(folder, { recursive: true });
    }
  },
  { timeoutMs: 120_000 },
);

test(
  'a turn that is shorter is not mentioned, nor is any where the limit is 0, and the thread keeps no process alive',
  async () => {
    for (const limitMs of [30_000, 0]) assert.equal(await spin('', limitMs, () => undefined), { lines: [], code: 0 });
  },
  { timeoutMs: 120_000 },
);

test.run();
