/** Many seeds, over several processes. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { SimulationReport } from '../../runtime/testing/index.ts';
import { expectedOf } from './expected.ts';

export interface BatchOptions {
  readonly seeds: readonly number[];
  /** Processes side by side. */
  readonly jobs: number;
  /** Start no further seed once one has a violation. */
  readonly stopAtFirst?: boolean;
  readonly onReport?: (report: SimulationReport, done: number) => void;
}

type Counts = SimulationReport['faults'];

export interface Batch {
  readonly reports: readonly SimulationReport[];
  readonly seconds: number;
}

type Answer =
  | { readonly isReady: true }
  | { readonly report: SimulationReport }
  | { readonly seed: number; readonly error: string };

/** Run the seeds; resolves with their reports, in no order. Rejects if one breaks the simulator itself. */
export async function runBatch({ seeds, jobs, stopAtFirst, onReport }: BatchOptions): Promise<Batch> {
  const startedAt = performance.now();
  const waiting = [...seeds];
  const reports: SimulationReport[] = [];
  const take = (report: SimulationReport) => {
    reports.push(report);
    onReport?.(report, reports.length);
    if (stopAtFirst === true && report.violations.length > 0) waiting.length = 0;
  };
  await Promise.all(Array.from({ length: Math.min(jobs, seeds.length) }, () => drive(() => waiting.shift(), take)));
  return { reports, seconds: (performance.now() - startedAt) / 1_000 };
}

/** One process, as long as there are seeds. */
function drive(next: () => number | undefined, take: (report: SimulationReport) => void): Promise<void> {
  const child = fork(join(import.meta.dirname, 'runner.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return new Promise((resolve, reject) => {
    child.on('message', (answer: Answer) => {
      if ('error' in answer) {
        reject(new Error(`seed ${answer.seed} broke the simulator: ${answer.error}`));
        child.disconnect();
        return;
      }
      if ('report' in answer) take(answer.report);
      give(child, next());
    });
    child.on('error', reject);
    child.on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`a simulation process ended with code ${code}`)),
    );
  });
}

function give(child: ChildProcess, seed: number | undefined): void {
  if (seed === undefined) child.disconnect();
  else child.send(seed);
}

/** What a batch did and found, in lines. */
export function summaryOf({ reports, seconds }: Batch): string[] {
  const sum = (pick: (report: SimulationReport) => number) =>
    reports.reduce((total, report) => total + pick(report), 0);
  const injected = sorted(total(reports.map(({ faults }) => faults))).map(
    ([kind, count]) => `  ${kind.padEnd(34)}${count.toLocaleString('en').padStart(10)}`,
  );
  const [turns, events, hours] = [
    sum((report) => report.turns),
    sum((report) => report.events),
    sum((report) => report.virtualMs) / 3_600_000,
  ];
  const failed = reports.filter((report) => report.violations.length > 0);
  return [
    `${reports.length} seeds in ${seconds.toFixed(1)} s: ${(reports.length / seconds).toFixed(1)} seeds/s`,
    `${turns.toLocaleString('en')} turns, ${events.toLocaleString('en')} events, ${hours.toFixed(0)} hours of virtual time`,
    'faults injected:',
    ...injected,
    ...failed.flatMap(violationLines),
    `${failed.length} seeds with violations`,
  ];
}

function total(counts: readonly Counts[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const one of counts)
    for (const [name, count] of Object.entries(one)) sums.set(name, (sums.get(name) ?? 0) + count);
  return sums;
}

function sorted(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([one], [other]) => (one < other ? -1 : 1));
}

/** What was exercised: each mechanism, and for each fault what it happened to. */
export function coverageOf({ reports }: Batch): string[] {
  const byFault = new Map<string, string[]>();
  for (const [pair, count] of sorted(total(reports.map(({ pairs }) => pairs)))) {
    const [operation = '', fault = ''] = pair.split(' × ');
    byFault.set(fault, [...(byFault.get(fault) ?? []), `${operation} ${count}`]);
  }
  const mechanisms = sorted(total(reports.map((report) => report.mechanisms)));
  return [
    'mechanisms:',
    ...mechanisms.map(([name, count]) => `  ${name.padEnd(90)}${count.toLocaleString('en').padStart(10)}`),
    'what each fault happened to:',
    ...[...byFault]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([fault, met]) => `  ${fault}: ${met.join(', ')}`),
  ];
}

/** What so many seeds must exercise and did not. */
export function missingOf({ reports }: Batch): string[] {
  const found = total(reports.flatMap(({ faults, mechanisms, pairs }) => [faults, mechanisms, pairs]));
  return expectedOf(reports.length).filter((name) => !found.has(name));
}

export function violationLines({ seed, violations }: SimulationReport): string[] {
  const found = violations.map(({ promise, text, atMs }) => `  ${promise} at ${atMs} ms: ${text}`);
  return [`seed ${seed}:`, ...found.slice(0, 5), `  repeat it: npm run simulate -- --seed ${seed}`];
}
