/**
 * The charts of a report: latencies by percentile; throughput, faults, latencies and memory over time; or for `growth`, the cost of a
 * turn by size. Pure.
 */

import { merged, unpacked } from '../load/histogram.ts';
import { median } from '../scenario.ts';
import { axisTexts, type GrowthByAxis, type GrowthFigures } from './growth-rows.ts';
import { type Axis, type Line, linearAxis, type Plot, plotOf, plotSize } from './plot.ts';
import type { RepeatFigures, Report, StepFigures } from './report.ts';
import { timeText } from './text-report.ts';

/** Positions of percentiles on the axis: the reciprocal of their distance from 100 %. */
const places = [
  { at: 1, label: '0 %' },
  { at: 2, label: '50 %' },
  { at: 10, label: '90 %' },
  { at: 100, label: '99 %' },
  { at: 1_000, label: '99.9 %' },
  { at: 10_000, label: '99.99 %' },
];
const pointsPerTen = 20;
const pointCountMax = 600;

function latencyLine({ step, repeats }: StepFigures): Line {
  const histogram = merged(repeats.map((repeat) => repeat.histogram));
  const points = Array.from({ length: 4 * pointsPerTen + 1 }, (_, index): readonly [number, number] => {
    const place = 10 ** (index / pointsPerTen);
    return [place, histogram.getValueAtPercentile(100 - 100 / place)];
  });
  return { name: step, points };
}

/** A logarithmic axis of latencies. */
function timeAxis(lines: readonly Line[]): Axis {
  const values = lines.flatMap(({ points }) => points.map(([, us]) => Math.max(1, us)));
  const from = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const to = 10 ** Math.ceil(Math.log10(Math.max(...values, from * 10)));
  const ticks = [];
  for (let at = from; at <= to; at *= 10) ticks.push({ at, label: timeText(at) });
  return { label: 'latency', from, to, ticks, isLogarithmic: true };
}

function latencyPlot(report: Report): Plot {
  const lines = report.steps.map(latencyLine);
  const x: Axis = { label: 'percentile', from: 1, to: 10_000, ticks: places, isLogarithmic: true };
  return { title: `${report.scenario}: latencies`, lines, x, y: timeAxis(lines) };
}

/** The repeat with the median throughput. One repeat rather than a mean shows faults at their own time. */
function middleOf({ repeats, throughputPerS }: StepFigures): RepeatFigures | undefined {
  const distance = (one: RepeatFigures) => Math.abs(one.throughputPerS - throughputPerS);
  return [...repeats].sort((one, other) => distance(one) - distance(other))[0];
}

/** As many points as the picture has room for, each the mean of its neighbours. */
function thinned(values: readonly number[]): { readonly every: number; readonly values: readonly number[] } {
  const every = Math.max(1, Math.ceil(values.length / pointCountMax));
  const means = Array.from({ length: Math.ceil(values.length / every) }, (_, index) => {
    const some = values.slice(index * every, (index + 1) * every);
    return some.reduce((sum, value) => sum + value, 0) / some.length;
  });
  return { every, values: means };
}

function throughputPlot(report: Report): Plot | undefined {
  const chosen = report.steps.map((step) => ({ step: step.step, repeat: middleOf(step) }));
  const lines = chosen.map(({ step, repeat }): Line => {
    const { every, values } = thinned(repeat?.seriesPerS ?? []);
    return { name: step, points: values.map((rate, slot) => [(slot * every * report.seriesMs) / 1_000, rate]) };
  });
  const lengths = lines.map(({ points }) => points.at(-1)?.[0] ?? 0);
  if (Math.max(...lengths) === 0) return undefined;
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, rate]) => rate)));
  const marks = (chosen[0]?.repeat?.marks ?? []).map(({ kind, worker, atMs, overMs }) => ({
    from: atMs / 1_000,
    to: overMs / 1_000,
    label: `${kind} ${worker}`,
  }));
  const x = secondsAxis(Math.max(...lengths));
  const y = linearAxis(`${report.unit} per second`, most);
  return { title: `${report.scenario}: throughput over time`, lines, x, y, marks };
}

/** The latencies of the first step over time. */
function latencyCoursePlot(report: Report): Plot | undefined {
  const series = report.steps[0] === undefined ? undefined : middleOf(report.steps[0])?.latencySeries;
  if (series === undefined || series.p99Us.length < 3) return undefined;
  const lineOf = (name: string, values: readonly number[]): Line => ({
    name,
    points: values.map((us, slot) => [((slot + 0.5) * series.slotMs) / 1_000, us]),
  });
  const lines = [lineOf('p99', series.p99Us), lineOf('p50', series.p50Us)];
  const x = secondsAxis((series.p99Us.length * series.slotMs) / 1_000);
  return { title: `${report.scenario}: latencies over time`, lines, x, y: timeAxis(lines) };
}

function memoryPlot(report: Report): Plot | undefined {
  const processes = report.steps[0] === undefined ? [] : (middleOf(report.steps[0])?.processes ?? []);
  const mb = (bytes: number) => bytes / 1_048_576;
  const line = (name: string, atMs: readonly number[], bytes: readonly number[]): Line => ({
    name,
    points: bytes.map((each, index) => [(atMs[index] ?? 0) / 1_000, mb(each)]),
  });
  const lines = processes.flatMap(({ name, memory: { atMs, rssBytes, heapBytes } }) => [
    line(name, atMs, rssBytes),
    ...(heapBytes.some((bytes) => bytes > 0) ? [line(`${name}, heap`, atMs, heapBytes)] : []),
  ]);
  if (!lines.some(({ points }) => points.length > 2)) return undefined;
  const most = (place: 0 | 1) => Math.max(...lines.flatMap(({ points }) => points.map((point) => point[place])));
  return {
    title: `${report.scenario}: memory over time`,
    lines,
    x: secondsAxis(most(0)),
    y: linearAxis('MB', most(1)),
  };
}

const secondsAxis = (most: number): Axis => ({ ...linearAxis('seconds', most), to: most });

function growthPlot(report: Report, growth: GrowthByAxis): Plot {
  const axes = Object.entries(growth) as [keyof typeof axisTexts, GrowthFigures][];
  const lines = axes.flatMap(([axis, { rows }]): Line[] => {
    const own: Line = { name: axisTexts[axis], points: rows.map(({ size, usPerTurn }) => [size, usPerTurn]) };
    const floor = rows.flatMap(({ size, floorUsPerTurn: us }) => (us === undefined ? [] : [[size, us] as const]));
    return floor.length === 0 ? [own] : [own, { name: 'entities, store alone', points: floor }];
  });
  const points = lines.flatMap((line) => line.points);
  const to = Math.max(10, ...points.map(([size]) => size));
  const ticks = [];
  for (let at = 1; at <= to; at *= 10) ticks.push({ at, label: at.toLocaleString('en') });
  const x: Axis = { label: 'size', from: 1, to, ticks, isLogarithmic: true };
  // The room at the top is for the names of the lines, which stand where the lines are highest.
  const y = linearAxis('µs per turn', 1.5 * Math.max(...points.map(([, us]) => us)));
  return { title: `${report.scenario}: cost of a turn`, lines, x, y };
}

export function picturesOf(report: Report): readonly string[] {
  const plots =
    report.growth === undefined
      ? [latencyPlot(report), throughputPlot(report), latencyCoursePlot(report), memoryPlot(report)]
      : [growthPlot(report, report.growth)];
  return plots.filter((plot) => plot !== undefined).map(plotOf);
}

/** Pictures stacked in one SVG. */
export function svgOf(pictures: readonly string[]): string {
  const { width, height } = plotSize;
  const parts = pictures.map((picture, index) => `<g transform="translate(0 ${index * height})">${picture}</g>`);
  const tall = height * pictures.length;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${tall}" width="${width}" height="${tall}">\n${parts.join('\n')}\n</svg>\n`;
}

/** All histograms of a report in the form that tools read. */
export function intervalsOf(report: Report) {
  const startMs = Date.parse(report.startedAt);
  return report.steps.flatMap(({ step, repeats }) =>
    repeats.map(({ histogram }, index) => ({
      tag: `${report.scenario}-${step}-${index + 1}`,
      startMs: startMs + index,
      endMs: startMs + index + report.plan.durationMs,
      histogram: unpacked(histogram),
    })),
  );
}

/** The range of the repeats, for the page. */
export function spreadOf(values: readonly number[]): string {
  const middle = median(values);
  if (values.length < 2 || middle === 0) return '';
  return `${Math.round(Math.min(...values)).toLocaleString('en')} … ${Math.round(Math.max(...values)).toLocaleString('en')}`;
}
