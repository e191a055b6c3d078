/**
 * npm run simulate -- [--seeds N] [--from S] [--jobs N] [--stop]     N seeds from S on; --stop at the first violation
 * npm run simulate -- --seed S [--trace]                            one seed again, with its trace
 *
 * Prints what the seeds exercised; fails when one has a violation, or when so many seeds did not exercise what they must
 * (`expected.ts`).
 */
import { parseArgs } from 'node:util';
import { coverageOf, missingOf, runBatch, summaryOf, violationLines } from './batch.ts';
import { runSeed } from './scenario.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    trace: { type: 'boolean', default: false },
    stop: { type: 'boolean', default: false },
  },
});

function numberOf(name: 'seeds' | 'from' | 'seed' | 'jobs'): number {
  const number = Number(values[name]);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} must be a whole number, not '${values[name]}'`);
  process.exit(2);
}

async function one(seed: number): Promise<boolean> {
  const startedAt = performance.now();
  const report = await runSeed(seed, values.trace ? console.log : undefined);
  for (const line of summaryOf({ reports: [report], seconds: (performance.now() - startedAt) / 1_000 }))
    console.log(line);
  console.log(`trace hash ${report.hash}`);
  return report.violations.length === 0;
}

async function many(): Promise<boolean> {
  const [count, from, jobs] = [numberOf('seeds'), numberOf('from'), numberOf('jobs')];
  const seeds = Array.from({ length: count }, (_, index) => from + index);
  const batch = await runBatch({
    seeds,
    jobs,
    stopAtFirst: values.stop,
    onReport: (report, done) => {
      if (report.violations.length > 0) for (const line of violationLines(report)) console.log(line);
      if (done % 500 === 0) console.log(`${done} of ${count} seeds`);
    },
  });
  for (const line of [...coverageOf(batch), ...summaryOf(batch)]) console.log(line);
  // A run that was stopped has not had its chance.
  const missing = values.stop ? [] : missingOf(batch);
  for (const name of missing) console.log(`NOT EXERCISED ${name}`);
  return missing.length === 0 && batch.reports.every((report) => report.violations.length === 0);
}

const isFine = values.seed === undefined ? await many() : await one(numberOf('seed'));
process.exitCode = isFine ? 0 : 1;
