/** The report as text for a terminal. Pure. */

import { scenarioOf } from '../scenarios/all.ts';
import type { MissedFault } from './fault-facts.ts';
import { axisTexts, type GrowthByAxis, type GrowthFigures } from './growth-rows.ts';
import type { Figures, FloorFigures, Report, StepFigures } from './report.ts';
import type { Thirds } from './timeline.ts';

export function textOf(report: Report): string {
  const { plan } = report;
  const hasRatios = report.floors.some(({ ratio }) => ratio !== null);
  return [
    `${report.scenario}: ${loadOf(report)}, ${plan.keys.toLocaleString('en')} keys, ${whereOf(report)}`,
    `${report.durability}; ${repeatsText(report)}`,
    '',
    ...table([
      ['', `${report.unit}/s`, 'p50', 'p90', 'p99', 'p99.9', 'max', ...(hasRatios ? ratioTitles : [])],
      ...report.steps.map((step) => [step.step, ...cells(step)]),
      ...report.floors.map((floor) => [`floor ${floor.name}`, ...cells(floor), ...ratios(floor)]),
    ]),
    '',
    ...factTable(report.steps),
    ...report.steps.flatMap(faultLines),
    ...report.faultsMissed.map(missedLine),
    ...growthLines(report),
    ...courseLines(report),
    `lost ${report.lost}, doubled ${report.doubled} of ${report.checked.toLocaleString('en')} keys checked${errorText(report)}`,
    '',
    ...processTable(report),
  ].join('\n');
}

/** The number of repeats, and whether the run was interrupted. */
function repeatsText({ plan, steps }: Report): string {
  const count = steps[0]?.repeats.length ?? 0;
  const asked = count < plan.repeats ? ` (interrupted, ${plan.repeats} were planned)` : '';
  return `medians of ${count} × ${plan.durationMs / 1_000} s${asked}`;
}

function loadOf({ plan, scenario }: Report): string {
  const { ownLoad } = scenarioOf(scenario);
  if (ownLoad !== undefined) return ownLoad;
  if (plan.ratePart !== undefined) return `${Math.round(plan.ratePart * 100)} % of the maximum`;
  return plan.ratePerS === undefined ? `${plan.concurrency} in flight` : `${plan.ratePerS}/s`;
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

const ratioTitles = ['ratio', 'p50 ratio'];
const ratios = ({ ratio, p50Ratio }: FloorFigures) =>
  ratio === null || p50Ratio === null ? [] : [ratio.toFixed(2), p50Ratio.toFixed(2)];

export function timeText(us: number): string {
  if (us < 1_000) return `${us.toFixed(0)} µs`;
  return us < 1_000_000 ? `${Number((us / 1_000).toPrecision(3))} ms` : `${Number((us / 1_000_000).toPrecision(3))} s`;
}

/** One row per step, if several steps have the same facts, with the share of a core that each process used. */
function factTable(steps: readonly StepFigures[]): string[] {
  const names = Object.keys(steps[0]?.facts ?? {});
  const isAlike = steps.every(({ facts }) => Object.keys(facts).join() === names.join());
  if (steps.length < 2 || names.length === 0 || !isAlike) return steps.flatMap(factLines);
  const processes = (steps[0]?.repeats.at(-1)?.processes ?? []).map(({ name }) => name);
  const cpuOf = ({ repeats }: StepFigures, of: string) =>
    repeats.at(-1)?.processes.find(({ name }) => name === of)?.cpu ?? 0;
  return [
    ...table([
      ['', ...names, ...processes.map((name) => `CPU ${name}`)],
      ...steps.map((step) => [
        step.step,
        ...names.map((name) => step.facts[name]?.toLocaleString('en') ?? 'not measured'),
        ...processes.map((name) => `${Math.round(cpuOf(step, name) * 100)} %`),
      ]),
    ]),
    ...steps.flatMap(({ step, repeats }) => failureLine(step, repeats)),
    '',
  ];
}

function failureLine(step: string, repeats: StepFigures['repeats']): string[] {
  const counts = new Map<string, number>();
  for (const { errors } of repeats)
    for (const [code, count] of Object.entries(errors)) counts.set(code, (counts.get(code) ?? 0) + count);
  return counts.size === 0
    ? []
    : [`${step}: failed ${[...counts].map(([code, count]) => `${code} ${count}`).join(', ')}`];
}

function factLines({ step, facts }: StepFigures): string[] {
  const isNone = (name: string) => (name.startsWith('recovery') ? facts.kills === 0 : facts.moved === 0);
  const texts = Object.entries(facts)
    .filter(([name, value]) => value !== null || !isNone(name))
    .map(
      ([name, value]) => noneTexts[`${name} ${value}`] ?? `${name} ${value?.toLocaleString('en') ?? 'not measured'}`,
    );
  return texts.length === 0 ? [] : [`${step}: ${texts.join(', ')}`];
}

/** A zero would look like a perfect result. */
const noneTexts: Readonly<Record<string, string>> = {
  'kills 0': 'no worker was killed',
  'moved 0': 'no partition moved',
};

/** When each fault happened, and when the cluster had recovered. */
function faultLines({ step, repeats }: StepFigures): string[] {
  const second = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
  return repeats.flatMap(({ marks }, index) => {
    const texts = marks.map(
      ({ kind, worker, atMs, overMs }) => `${kind} ${worker} at ${second(atMs)}, over at ${second(overMs)}`,
    );
    return texts.length === 0 ? [] : [`${step} ${index + 1}: ${texts.join('; ')}`];
  });
}

function missedLine({ kind, atMs, times, of, why }: MissedFault): string {
  const at = atMs % 1_000 === 0 ? `${atMs / 1_000}s` : `${atMs}ms`;
  return `${kind}@${at} did not happen${times === of ? '' : ` in ${times} of ${of} repeats`}: ${why}`;
}

function errorText({ errors }: Report): string {
  const entries = Object.entries(errors);
  return entries.length === 0 ? '' : `; failed calls: ${entries.map(([code, count]) => `${code} ${count}`).join(', ')}`;
}

function growthLines({ growth }: Report): string[] {
  return growth === undefined ? [] : [...table(growthRows(growth)), ''];
}

/** One row per size. The last one has the ratio to the cost at the smallest size. */
export function growthRows(growth: GrowthByAxis): readonly (readonly string[])[] {
  const axes = Object.entries(growth) as [keyof typeof axisTexts, GrowthFigures][];
  return [
    ['growth of', 'size', 'turns/s', 'µs per turn', 'CPU µs', 'floor µs', '× smallest', 'CPU ×', 'floor ×'],
    ...axes.flatMap(([axis, { rows, ratio, cpuRatio, floorRatio }]) =>
      rows.map(({ size, turnsPerS, usPerTurn, cpuUsPerTurn, floorUsPerTurn }, index) => [
        index === 0 ? axisTexts[axis] : '',
        size.toLocaleString('en'),
        Math.round(turnsPerS).toLocaleString('en'),
        usPerTurn.toFixed(1),
        cpuUsPerTurn.toFixed(1),
        floorUsPerTurn?.toFixed(1) ?? '',
        ...(index === rows.length - 1
          ? [ratio.toFixed(2), cpuRatio.toFixed(2), floorRatio?.toFixed(2) ?? '']
          : ['', '', '']),
      ]),
    ),
  ];
}

/** Whether the end equals the start, in the last repeat of the first step. */
function courseLines({ steps, growth }: Report): string[] {
  const repeat = steps[0]?.repeats.at(-1);
  if (repeat === undefined || growth !== undefined) return [];
  const { p50Thirds, p99Thirds, p99Middles, slotMs } = repeat.latencySeries;
  const { paced, memoryThirds } = repeat;
  const lines: string[] = [];
  if (paced !== undefined)
    lines.push(
      `rate ${paced.ratePerS.toLocaleString('en')}/s of a maximum of ${paced.maximumPerS.toLocaleString('en')}/s`,
    );
  if (p50Thirds !== undefined && p99Thirds !== undefined)
    lines.push(
      `first third → last third: p50 ${change(p50Thirds, timeText)}, p99 ${change(p99Thirds, timeText)}` +
        (p99Middles === undefined ? '' : `, p99 of the middle ${slotMs / 1_000} s ${change(p99Middles, timeText)}`),
    );
  if (memoryThirds.length > 0) {
    const each = memoryThirds.map(({ process, rssBytes, heapBytes }) => {
      const heap = heapBytes === undefined ? '' : ` (heap ${change(heapBytes, mb)})`;
      return `${process} ${change(rssBytes, mb)}${heap}`;
    });
    lines.push(`first third → last third, MB: ${each.join(', ')}`);
  }
  return lines.length === 0 ? [] : [...lines, ''];
}

const change = ({ first, last }: Thirds, text: (value: number) => string) => `${text(first)} → ${text(last)}`;
const mb = (bytes: number) => Math.round(bytes / 1_048_576).toLocaleString('en');

/** The processes in the last repeat of the first step. */
function processTable({ steps }: Report): string[] {
  const processes = steps[0]?.repeats.at(-1)?.processes ?? [];
  return table([
    [
      'last repeat',
      'CPU',
      'MB',
      'MB written',
      'store calls',
      'commits',
      'entities each',
      'frames out',
      'messages each',
    ],
    ...processes.map(({ name, cpu, rssBytes, writtenBytes, counts }) => [
      name,
      `${Math.round(cpu * 100)} %`,
      mb(rssBytes),
      mb(writtenBytes),
      counted(counts.storeCalls),
      counted(counts.commitCalls),
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

/** Right-aligned, except the first column. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
