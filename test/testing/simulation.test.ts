/**
 * The simulator over our own scenario: fixed seeds, fresh seeds, seeds that found something, and the proof that a seed
 * repeats. A failing one prints the command that repeats it.
 *
 * Time limit: 300 s
 */
import { missingOf, runBatch, violationLines } from '../simulation/batch.ts';
import { foundSeeds } from '../simulation/found.ts';
import { runSeed } from '../simulation/scenario.ts';
import { assert, suite } from '../support/suite.ts';

const simulation = suite('simulation');
const timeoutMs = 240_000;

async function findsNothing(seeds: readonly number[]): Promise<void> {
  const batch = await runBatch({ seeds, jobs: 2 });
  const { reports } = batch;
  const lines = [
    ...reports.filter(({ violations }) => violations.length > 0).flatMap(violationLines),
    ...missingOf(batch).map((name) => `not exercised: ${name}`),
  ];
  if (lines.length > 0) throw Object.assign(new Error(`\n${lines.join('\n')}`), { stack: '' });
  assert.is(reports.length, seeds.length);
}

const from = (first: number, count: number) => Array.from({ length: count }, (_, index) => first + index);

simulation(
  'the same seed has the same trace, twice in one process and in two processes',
  async () => {
    const seeds = [3, 17];
    const hashes: string[] = [];
    for (const seed of [...seeds, ...seeds]) hashes.push((await runSeed(seed)).hash);
    const apart = await runBatch({ seeds, jobs: 2 });
    const other = seeds.map((seed) => apart.reports.find((report) => report.seed === seed)?.hash);
    assert.equal(hashes.slice(0, 2), hashes.slice(2));
    assert.equal(other, hashes.slice(0, 2));
    assert.is.not(hashes[0], hashes[1]);
  },
  { timeoutMs },
);

simulation('a trace that is read does not change the run', async () => {
  let lines = 0;
  const traced = await runSeed(5, () => {
    lines += 1;
  });
  assert.ok(lines > 1_000);
  assert.is(traced.hash, (await runSeed(5)).hash);
});

simulation(
  'P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11 P12: seeds 1 to 100 break no promise, and exercise what they must',
  () => findsNothing(from(1, 100)),
  {
    timeoutMs,
  },
);

simulation('seeds that once found a bug find none', () => findsNothing(Object.keys(foundSeeds).map(Number)), {
  timeoutMs,
});

simulation(
  'twenty fresh seeds break no promise',
  () => {
    const first = 1_000_000 + Math.floor(Math.random() * 1_000_000_000);
    console.log(`  fresh seeds: ${first} to ${first + 19}`);
    return findsNothing(from(first, 20));
  },
  { timeoutMs },
);

simulation.run();
