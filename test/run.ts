/**
 * `npm test`: every test file as a process of its own, and the tools that check the tree, two at a time.
 *
 * `npm test -- stores tsc` runs what has one of these words in its name. Ends with the line `N passed, N failed`.
 * Owns the order and the report; processes are `support/job.ts`, what a run is worth is `support/verdict.ts`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { endAll, run } from './support/job.ts';
import { type Ended, isComplete, judgeFile, judgeTool, limitSecondsOf, type Verdict } from './support/verdict.ts';

interface Job {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly limitSeconds: number;
  readonly isComplete?: (outputEnd: string) => boolean;
  readonly judge: (ended: Ended) => Verdict;
}

const root = join(import.meta.dirname, '..');
const parallelMax = Math.min(2, availableParallelism());
/** How long a file may take to close what it opened, once its tests are done. */
const closeMs = 10_000;

function tool(name: string, bin: string, ...parameters: string[]): Job {
  const command = [join(root, 'node_modules', '.bin', bin), ...parameters] as const;
  return { name, command, limitSeconds: 300, judge: judgeTool };
}

/** The steps that are no test files; each counts as one test. */
const tools: readonly Job[] = [
  tool('tsc', 'tsc', '--noEmit', '--pretty', 'false'),
  tool('biome', 'biome', 'check', '--error-on-warnings', '.'),
  tool('knip', 'knip'),
];

function fileJob(name: string): Job {
  const source = readFileSync(join(root, name), 'utf8');
  return {
    name,
    command: [process.execPath, '--import', 'tsx', name],
    limitSeconds: limitSecondsOf(source),
    isComplete,
    judge: (ended) => judgeFile(source, ended),
  };
}

/** Slow ones first, so that the last one to end is a quick one. */
function jobsFor(patterns: readonly string[]): Job[] {
  const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => fileJob(join('test', name)));
  return [...tools, ...files]
    .filter((job) => patterns.length === 0 || patterns.some((pattern) => job.name.includes(pattern)))
    .sort((left, right) => right.limitSeconds - left.limitSeconds || left.name.localeCompare(right.name));
}

class Report {
  readonly #sum = { passed: 0, failed: 0, skipped: 0 };
  readonly #failures: string[] = [];
  readonly #startedAt = performance.now();

  add(job: Job, verdict: Verdict, ended: Ended, ms: number): void {
    for (const count of ['passed', 'failed', 'skipped'] as const) this.#sum[count] += verdict[count];
    const counts = `${verdict.passed} passed${count(verdict.failed, 'failed')}${count(verdict.skipped, 'skipped')}`;
    console.log(`${verdict.failed === 0 ? 'ok  ' : 'FAIL'} ${job.name}  ${counts}  ${(ms / 1_000).toFixed(1)} s`);
    if (verdict.failed === 0) return;
    this.#failures.push(job.name);
    for (const problem of verdict.problems) console.log(`     ${problem}`);
    console.log(ended.output);
  }

  /** True if all is well. */
  close(): boolean {
    const { passed, failed, skipped } = this.#sum;
    const seconds = ((performance.now() - this.#startedAt) / 1_000).toFixed(0);
    console.log(`\n${seconds} s${count(skipped, 'skipped')}`);
    for (const name of this.#failures.sort()) console.log(`failed: ${name}`);
    console.log(`${passed} passed, ${failed} failed`);
    return failed === 0;
  }
}

function count(amount: number, what: string): string {
  return amount === 0 ? '' : `, ${amount} ${what}`;
}

async function worker(queue: Job[], report: Report): Promise<void> {
  for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
    const startedAt = performance.now();
    const ended = await run({ ...job, folder: root, limitMs: job.limitSeconds * 1_000, closeMs });
    report.add(job, job.judge(ended), ended, performance.now() - startedAt);
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    endAll();
    process.exit(1);
  });
}

const patterns = process.argv.slice(2);
const queue = jobsFor(patterns);
if (queue.length === 0) {
  console.error(`Nothing has one of these in its name: ${patterns.join(', ')}`);
  process.exit(2);
}
const report = new Report();
await Promise.all(Array.from({ length: parallelMax }, () => worker(queue, report)));
process.exitCode = report.close() ? 0 : 1;
