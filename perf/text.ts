/** The report for people at a terminal. Pure. */
import type { Figures, FloorFigures, Report, StepFigures } from './report.ts';

export function textOf(report: Report): string {
  const { plan } = report;
  const load = plan.ratePerS === undefined ? `${plan.concurrency} in flight` : `${plan.ratePerS}/s`;
  return [
    `${report.scenario}: ${load}, ${plan.keys.toLocaleString('en')} keys, ${whereOf(report)}`,
    `${report.durability}; medians of ${plan.repeats} × ${plan.durationMs / 1_000} s`,
    '',
    ...table([
      ['', `${report.unit}/s`, 'p50', 'p90', 'p99', 'p99.9', 'max', 'ratio', 'p50 ratio'],
      ...report.steps.map((step) => [step.step, ...cells(step), '', '']),
      ...report.floors.map((floor) => [`floor ${floor.name}`, ...cells(floor), ...ratios(floor)]),
    ]),
    '',
    ...report.steps.flatMap(factLines),
    `lost ${report.lost}, doubled ${report.doubled} of ${report.checked.toLocaleString('en')} keys checked${errorText(report)}`,
    '',
    ...processTable(report),
  ].join('\n');
}

function whereOf({ plan }: Report): string {
  const place = plan.nats.kind === 'embedded' ? 'embedded' : 'over NATS';
  const workers = plan.attach
    ? `cluster ${plan.cluster}`
    : `${plan.workers} ${plan.workers === 1 ? 'worker' : 'workers'}`;
  return plan.attach ? `${place}, ${workers}` : `${plan.store.kind}, ${place}, ${workers}`;
}

function cells({ throughputPerS, p50Us, p90Us, p99Us, p999Us, maxUs }: Figures): string[] {
  return [Math.round(throughputPerS).toLocaleString('en'), ...[p50Us, p90Us, p99Us, p999Us, maxUs].map(timeText)];
}

const ratios = ({ ratio, p50Ratio }: FloorFigures) => [ratio.toFixed(2), p50Ratio.toFixed(2)];

export function timeText(us: number): string {
  if (us < 1_000) return `${us.toFixed(0)} µs`;
  return us < 1_000_000 ? `${Number((us / 1_000).toPrecision(3))} ms` : `${Number((us / 1_000_000).toPrecision(3))} s`;
}

function factLines({ step, facts }: StepFigures): string[] {
  const entries = Object.entries(facts);
  return entries.length === 0
    ? []
    : [`${step}: ${entries.map(([name, value]) => `${name} ${value.toLocaleString('en')}`).join(', ')}`];
}

function errorText({ errors }: Report): string {
  const entries = Object.entries(errors);
  return entries.length === 0 ? '' : `; failed calls: ${entries.map(([code, count]) => `${code} ${count}`).join(', ')}`;
}

/** Of the last repeat of the first step. */
function processTable({ steps }: Report): string[] {
  const processes = steps[0]?.repeats.at(-1)?.processes ?? [];
  const mb = (bytes: number) => Math.round(bytes / 1_048_576).toLocaleString('en');
  return table([
    ['process', 'CPU', 'MB', 'MB written', 'store calls', 'entities/commit', 'frames out', 'messages/frame'],
    ...processes.map(({ name, cpu, rssBytes, writtenBytes, counts }) => [
      name,
      `${Math.round(cpu * 100)} %`,
      mb(rssBytes),
      mb(writtenBytes),
      counted(counts.storeCalls),
      quotient(counts.committedEntities, counts.commitCalls),
      counted(counts.framesOut),
      quotient(counts.messagesOut, counts.framesOut),
    ]),
  ]);
}

const counted = (count: number | undefined) => (count === undefined ? '' : count.toLocaleString('en'));

function quotient(count: number | undefined, of: number | undefined): string {
  return count === undefined || of === undefined || of === 0 ? '' : (count / of).toFixed(1);
}

/** Right-aligned but for the first column. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
