/** Many seeds, over several processes. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { SimulationReport } from '../../runtime/testing.ts';

export interface BatchOptions {
  readonly seeds: readonly number[];
  /** Processes side by side. */
  readonly jobs: number;
  /** Start no further seed once one has a violation. */
  readonly stopAtFirst?: boolean;
  readonly onReport?: (report: SimulationReport, done: number) => void;
}

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
  const faults = new Map<string, number>();
  for (const report of reports)
    for (const [kind, count] of Object.entries(report.faults)) faults.set(kind, (faults.get(kind) ?? 0) + count);
  const injected = [...faults]
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([kind, count]) => `  ${kind.padEnd(34)}${count.toLocaleString('en').padStart(10)}`);
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

export function violationLines({ seed, violations }: SimulationReport): string[] {
  const found = violations.map(({ promise, text, atMs }) => `  ${promise} at ${atMs} ms: ${text}`);
  return [`seed ${seed}:`, ...found.slice(0, 5), `  repeat it: npm run simulate -- --seed ${seed}`];
}
