/**
 * The runner's verdict on a test file and its run. Pure: `test/run.ts` starts the processes.
 *
 * uvu alone lets four things pass: a file that forgets `run()`, a forgotten `.only`, forgotten skips, and a file that never ends.
 */
import { stripVTControlCharacters } from 'node:util';

/** How the process of one file or tool ended. */
export interface Ended {
  readonly how: 'by itself' | 'over its time' | 'still open';
  readonly exitCode: number | null;
  readonly output: string;
}

export interface Verdict {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Problems beyond failed tests; each counts as one failure. */
  readonly problems: readonly string[];
}

interface Totals {
  readonly total: number;
  readonly passed: number;
  readonly skipped: number;
}

const limitSecondsDefault = 120;

/** The time limit that a file's head states: `Time limit: 600 s`. It also orders the run: slow files first. */
export function limitSecondsOf(source: string): number {
  const declared = /^[ /*]*Time limit: (\d+) s\b/m.exec(source)?.[1];
  return declared === undefined ? limitSecondsDefault : Number(declared);
}

/** uvu prints its totals when everything has run. A file with two runs prints them twice. */
export function totalsOf(output: string): Totals | undefined {
  const text = stripVTControlCharacters(output);
  const sum = (label: string) =>
    [...text.matchAll(new RegExp(`^  ${label}: +(\\d+)$`, 'gm'))].map(([, count]) => Number(count));
  const [total, passed, skipped] = [sum('Total'), sum('Passed'), sum('Skipped')];
  if (total.length === 0) return undefined;
  const add = (numbers: number[]) => numbers.reduce((left, right) => left + right, 0);
  return { total: add(total), passed: add(passed), skipped: add(skipped) };
}

/** The last line that uvu prints. Whatever is open after it keeps the process alive. */
export function isComplete(output: string): boolean {
  return /^ {2}Duration: +\S+$/m.test(stripVTControlCharacters(output));
}

/** Problems that the text of a test file shows. */
export function sourceProblems(source: string): string[] {
  const problems: string[] = [];
  if (/^\s*\w+\.only\(/m.test(source)) problems.push('an .only is left in it: the other tests did not run');
  for (const name of suitesOf(source)) {
    if (!new RegExp(`\\b${name}\\.run\\(\\)`).test(source)) problems.push(`it never calls ${name}.run()`);
  }
  return problems;
}

function suitesOf(source: string): string[] {
  const made = [...source.matchAll(/\b(?:const|let) (\w+) = suite(?:<[^>]*>)?\(/g)].map(([, name]) => name as string);
  return /import \{[^}]*\btest\b[^}]*\} from 'uvu'/.test(source) ? [...made, 'test'] : made;
}

/** The verdict on one test file. */
export function judgeFile(source: string, ended: Ended): Verdict {
  const totals = totalsOf(ended.output) ?? { total: 0, passed: 0, skipped: 0 };
  const problems = [...sourceProblems(source), ...endProblems(ended)];
  if (totals.total === 0 && ended.how !== 'over its time') problems.push('it ran no test');
  if (totals.skipped > reasonsIn(source) + reasonsIn(ended.output)) {
    problems.push(`it skipped ${totals.skipped} without saying 'skipped because …' for each`);
  }
  const failed = totals.total - totals.passed;
  if (ended.how === 'by itself' && ended.exitCode !== 0 && failed === 0)
    problems.push(`it ended with exit code ${ended.exitCode}`);
  return { passed: totals.passed, failed: failed + problems.length, skipped: totals.skipped, problems };
}

function endProblems(ended: Ended): string[] {
  if (ended.how === 'over its time') return ['it was stopped: over its time limit'];
  return ended.how === 'still open' ? ['its tests were done but something open kept the process alive'] : [];
}

function reasonsIn(text: string): number {
  return text.match(/skipped because \S/g)?.length ?? 0;
}

/** The verdict on a tool that reports by its exit code: one test. */
export function judgeTool(ended: Ended): Verdict {
  if (ended.how === 'by itself' && ended.exitCode === 0) return { passed: 1, failed: 0, skipped: 0, problems: [] };
  const problem = ended.how === 'by itself' ? `exit code ${ended.exitCode}` : 'it was stopped: over its time limit';
  return { passed: 0, failed: 1, skipped: 0, problems: [problem] };
}
