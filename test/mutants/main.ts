/**
 * `npm run mutants`: shows that the tests can fail. Each mutant is a small edit of the source that removes one mechanism;
 * it must be caught by the unit tests that it names, or by the simulator within 2,000 seeds.
 *
 *     npm run mutants [-- word …]                       those with one of the words in their name; two at a time
 *     npm run mutants -- --generate <file> [--seeds N]  every small slip of one source file, see `slips.ts`
 *
 * Each is applied to a copy of the tree, never to the tree itself. An edit whose text is not there exactly once fails:
 * a list that has fallen behind the code proves nothing. Ends with `N caught, N missed`; exit code 1 if any was missed.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { allMutants } from './all.ts';
import type { Mutant } from './list.ts';
import { generate } from './slips.ts';
import { codeOf, makeCopy, simulation, sourceOf } from './tree.ts';

const seedsMax = 2_000;
const baselineSeeds = 30;
const parallelMax = 2;
const testLimitMs = 120_000;
const simulationLimitMs = 600_000;

interface Outcome {
  readonly mutant: Mutant;
  /** Undefined: nothing noticed. */
  readonly caughtBy: string | undefined;
  readonly seconds: number;
}

/** The source with the edit; throws if what it edits is not there exactly once. */
function mutated(mutant: Mutant): string {
  const source = sourceOf(mutant.file);
  const count = source.split(mutant.find).length - 1;
  if (count !== 1) throw new Error(`'${mutant.name}': the text to edit stands ${count} times in ${mutant.file}`);
  return source.replace(mutant.find, () => mutant.replace);
}

/** Only a verdict counts: a run that does not end in time says nothing. */
function isFailure(code: number | undefined): boolean {
  return code !== undefined && code !== 0;
}

async function judge(mutant: Mutant, folder: string): Promise<string | undefined> {
  for (const name of mutant.tests)
    if (isFailure(await codeOf(folder, [`test/${name}.test.ts`], testLimitMs))) return `test/${name}.test.ts`;
  return isFailure(await codeOf(folder, simulation(seedsMax), simulationLimitMs)) ? 'the simulator' : undefined;
}

async function tryMutant(mutant: Mutant, folder: string): Promise<Outcome> {
  const startedAt = performance.now();
  const path = join(folder, mutant.file);
  writeFileSync(path, mutated(mutant));
  const caughtBy = await judge(mutant, folder);
  writeFileSync(path, sourceOf(mutant.file));
  return { mutant, caughtBy, seconds: (performance.now() - startedAt) / 1_000 };
}

/** Before anything is mutated: what catches a mutant must pass without it. */
async function checkTree(chosen: readonly Mutant[]): Promise<void> {
  for (const mutant of chosen) mutated(mutant);
  const folder = makeCopy();
  for (const name of new Set(chosen.flatMap(({ tests }) => tests))) {
    if ((await codeOf(folder, [`test/${name}.test.ts`], testLimitMs)) !== 0)
      throw new Error(`test/${name}.test.ts fails without any mutant`);
  }
  if ((await codeOf(folder, simulation(baselineSeeds), simulationLimitMs)) !== 0)
    throw new Error('the simulator finds violations without any mutant');
  rmSync(folder, { recursive: true });
}

async function main(): Promise<void> {
  const { values, positionals: words } = parseArgs({
    options: { generate: { type: 'string' }, seeds: { type: 'string', default: '20' } },
    allowPositionals: true,
  });
  if (values.generate !== undefined) {
    process.exitCode = (await generate(values.generate, Number(values.seeds))) ? 0 : 1;
    return;
  }
  const chosen = allMutants.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
  process.stdout.write(`${chosen.length} mutants; first, their tests without them\n`);
  await checkTree(chosen);
  const waiting = [...chosen];
  const outcomes: Outcome[] = [];
  const lane = async () => {
    const folder = makeCopy();
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const outcome = await tryMutant(mutant, folder);
      outcomes.push(outcome);
      const verdict = outcome.caughtBy === undefined ? 'MISSED' : `caught by ${outcome.caughtBy}`;
      process.stdout.write(
        `${String(outcomes.length).padStart(3)}/${chosen.length}  ${mutant.name} (${mutant.promise}): ${verdict}, ${outcome.seconds.toFixed(0)} s\n`,
      );
    }
    rmSync(folder, { recursive: true });
  };
  await Promise.all(Array.from({ length: parallelMax }, lane));
  const missed = outcomes.filter(({ caughtBy }) => caughtBy === undefined);
  for (const { mutant } of missed) process.stdout.write(`MISSED ${mutant.name} in ${mutant.file}\n`);
  process.stdout.write(`${outcomes.length - missed.length} caught, ${missed.length} missed\n`);
  process.exitCode = missed.length === 0 ? 0 : 1;
}

await main();
