/**
 * `npm run faults -- [scenario …] [--seconds N] [--frames N] [--entities N] [--before COMMIT] [--repeat N]`: clusters of real processes, servers and
 * cables, and what a client outside sees of them when they fail. Ends with a table, and a line of JSON for each run.
 */
import { parseArgs } from 'node:util';
import { build } from './cluster.ts';
import { faults } from './faults.ts';
import { hostile } from './hostile.ts';
import { large } from './large.ts';
import { moves, releases } from './moves.ts';
import { rollback } from './rollback.ts';
import { rooms } from './rooms.ts';
import { scale } from './scale.ts';
import { type Result, type Scenario, textOf } from './scenario.ts';

const scenarios: readonly Scenario[] = [...faults, ...moves, releases, rollback, rooms, scale, hostile, large];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string' },
    frames: { type: 'string' },
    entities: { type: 'string' },
    before: { type: 'string' },
    repeat: { type: 'string', default: '1' },
  },
});

function usage(): void {
  console.error(
    'usage: npm run faults -- [scenario …] [--seconds N] [--frames N] [--entities N] [--before COMMIT] [--repeat N]\n',
  );
  for (const { name, what } of scenarios) console.error(`  ${name.padEnd(14)} ${what}`);
}

function tableOf({ scenario, measured, problems }: Result): string {
  const rows = Object.entries(measured).map(([name, figure]) => `  ${name.padEnd(46)} ${textOf(figure)}`);
  return [
    `${problems.length === 0 ? 'ok  ' : 'FAIL'} ${scenario}`,
    ...rows,
    ...problems.map((text) => `  ! ${text}`),
  ].join('\n');
}

async function run({ name, what, run: perform }: Scenario): Promise<Result | undefined> {
  console.log(`\n${name}: ${what}`);
  const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
  try {
    const frames = values.frames === undefined ? undefined : Number(values.frames);
    const entities = values.entities === undefined ? undefined : Number(values.entities);
    return await perform({ seconds, frames, entities, before: values.before, say: (text) => console.log(`  ${text}`) });
  } catch (error) {
    console.log(`FAIL ${name}: ${error instanceof Error ? error.stack : String(error)}`);
    return undefined;
  }
}

const unknown = positionals.filter((name) => !scenarios.some((one) => one.name === name));
if (unknown.length > 0) {
  console.error(`There is no scenario ${unknown.join(', ')}`);
  usage();
  process.exit(2);
}
build();
/** Without names every one that needs nothing else to be named. */
const isChosen = ({ name }: Scenario) =>
  positionals.length === 0 ? name !== releases.name || values.before !== undefined : positionals.includes(name);
const chosen = scenarios.filter(isChosen);
const runs = chosen.flatMap((one) => Array.from({ length: Number(values.repeat) }, () => one));
const results: (Result | undefined)[] = [];
for (const one of runs) {
  const result = await run(one);
  if (result !== undefined)
    console.log(`  ${result.problems.length === 0 ? 'ok' : `FAILED: ${result.problems.join('; ')}`}`);
  results.push(result);
}
console.log('\nTimes in ms, as p50 / p99 / most (count).\n');
for (const result of results) if (result !== undefined) console.log(tableOf(result));
console.log('');
for (const result of results) if (result !== undefined) console.log(JSON.stringify(result));
process.exitCode = results.every((result) => result?.problems.length === 0) ? 0 : 1;
