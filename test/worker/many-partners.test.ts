/**
 * An entity that 100,000 partners have called, all of them remembered: what a turn of it writes, what the worker keeps in
 * memory, and what is stored. The figures are printed.
 *
 * Time limit: 170 s.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { embed } from '../../runtime/embed.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { openLmdb } from '../../runtime/stores/lmdb/store.ts';
import { assert, suite } from '../support/suite.ts';
import { Tally, tallyWith } from '../support/tally.ts';

const test = suite('many partners');
const sizes = [1_000, 10_000, 100_000];
const batch = 2_000;
const turns = 40;

interface Figures {
  readonly partners: number;
  /** That one turn of a partner that is known writes, in the mean. */
  readonly turnBytes: number;
  /** That one turn of a new partner writes. */
  readonly firstBytes: number;
  /** In the worker's memory since there were none, for each partner. */
  readonly memoryBytes: number;
  readonly storedBytes: number;
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let time = 0; time < 3; time += 1) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function measure(folder: string): Promise<Figures[]> {
  const store = await openLmdb(folder);
  const commit = store.commit.bind(store);
  let written = 0;
  store.commit = (group) => {
    for (const { head, records } of group)
      for (const [, bytes] of [['', head] as const, ...records]) written += bytes?.length ?? 0;
    return commit(group);
  };
  const environment = machineEnvironment(silentLog);
  const cluster = await embed({ behaviours: [tallyWith()], store, environment });
  const one = cluster.entity(Tally, 'one');
  const call = (number: number) => one.add(1, { idempotencyKey: `${number}`, deadlineMs: 60_000 });
  await one.add(0);
  const before = heapBytes();
  const found: Figures[] = [];
  let count = 0;
  for (const partners of sizes) {
    for (; count < partners; count += batch / 2)
      await Promise.all(Array.from({ length: batch / 2 }, (_, at) => call(count + at)));
    const bytesOf = async (ask: (time: number) => Promise<unknown>): Promise<number> => {
      const start = written;
      for (let time = 0; time < turns; time += 1) await ask(time);
      return Math.round((written - start) / turns);
    };
    const turnBytes = await bytesOf(() => one.add(1));
    const firstBytes = await bytesOf((time) => call(10_000_000 + partners * 10 + time));
    const memoryBytes = Math.round((heapBytes() - before) / partners);
    const { size } = await stat(join(folder, 'data.mdb'));
    found.push({ partners, turnBytes, firstBytes, memoryBytes, storedBytes: Math.round(size / partners) });
  }
  assert.is(await one.add(0), 100_000 + 2 * 3 * turns);
  await cluster.close();
  await store.close();
  return found;
}

test(
  'P10: a turn of an entity with 100,000 partners writes no more than with 1,000, and none of them stays in memory',
  async () => {
    const parent = await mkdtemp(join(tmpdir(), 'skerry-'));
    try {
      const found = await measure(join(parent, 'data'));
      process.stdout.write(`${found.map((one) => JSON.stringify(one)).join('\n')}\n`);
      const [few, , many] = found;
      if (few === undefined || many === undefined) throw new Error('nothing was measured');
      assert.ok(many.turnBytes <= few.turnBytes * 1.1 + 16, 'of a known partner');
      assert.ok(many.firstBytes <= few.firstBytes * 1.1 + 16, 'of a new one');
      assert.ok(many.memoryBytes <= 64, `${many.memoryBytes} bytes of memory a partner`);
      assert.ok(many.storedBytes <= 1_000, `${many.storedBytes} stored bytes a partner`);
    } finally {
      await rm(parent, { recursive: true });
    }
  },
  { timeoutMs: 160_000 },
);

test.run();
