/** The two pictures of a report: latencies by percentile, and throughput over time with its faults. Pure. */
import { merged, unpacked } from './histogram.ts';
import { type Axis, type Line, linearAxis, type Plot, plotOf, plotSize } from './plot.ts';
import type { Report, StepFigures } from './report.ts';
import { median } from './scenario.ts';
import { timeText } from './text.ts';

/** Places of percentiles: as far from 100 % as 1 of so many. */
const places = [
  { at: 1, label: '0 %' },
  { at: 2, label: '50 %' },
  { at: 10, label: '90 %' },
  { at: 100, label: '99 %' },
  { at: 1_000, label: '99.9 %' },
  { at: 10_000, label: '99.99 %' },
];
const pointsPerTen = 20;

function latencyLine({ step, repeats }: StepFigures): Line {
  const histogram = merged(repeats.map((repeat) => repeat.histogram));
  const points = Array.from({ length: 4 * pointsPerTen + 1 }, (_, index): readonly [number, number] => {
    const place = 10 ** (index / pointsPerTen);
    return [place, histogram.getValueAtPercentile(100 - 100 / place)];
  });
  return { name: step, points };
}

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

/** Of the repeat whose throughput is in the middle, so that faults stand where they were. */
function throughputPlot(report: Report): Plot | undefined {
  const chosen = report.steps.map(({ step, repeats, throughputPerS }) => ({
    step,
    repeat: [...repeats].sort(
      (one, other) => Math.abs(one.throughputPerS - throughputPerS) - Math.abs(other.throughputPerS - throughputPerS),
    )[0],
  }));
  const lines = chosen.map(({ step, repeat }): Line => {
    const series = repeat?.seriesPerS ?? [];
    return { name: step, points: series.map((rate, slot) => [(slot * report.seriesMs) / 1_000, rate]) };
  });
  const lengths = lines.map(({ points }) => points.at(-1)?.[0] ?? 0);
  if (Math.max(...lengths) === 0) return undefined;
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, rate]) => rate)));
  const marks = (chosen[0]?.repeat?.marks ?? []).map(({ kind, worker, atMs, overMs }) => ({
    from: atMs / 1_000,
    to: overMs / 1_000,
    label: `${kind} ${worker}`,
  }));
  const x = { ...linearAxis('seconds', Math.max(...lengths)), to: Math.max(...lengths) };
  const y = linearAxis(`${report.unit} a second`, most);
  return { title: `${report.scenario}: throughput over time`, lines, x, y, marks };
}

export function picturesOf(report: Report): readonly string[] {
  const throughput = throughputPlot(report);
  return [latencyPlot(report), ...(throughput === undefined ? [] : [throughput])].map(plotOf);
}

/** One picture under the other. */
export function svgOf(pictures: readonly string[]): string {
  const { width, height } = plotSize;
  const parts = pictures.map((picture, index) => `<g transform="translate(0 ${index * height})">${picture}</g>`);
  const tall = height * pictures.length;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${tall}" width="${width}" height="${tall}">\n${parts.join('\n')}\n</svg>\n`;
}

/** All histograms of a report, ready for the tools that read them. */
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

/** How far a repeat is from the others: for the page. */
export function spreadOf(values: readonly number[]): string {
  const middle = median(values);
  if (values.length < 2 || middle === 0) return '';
  return `${Math.round(Math.min(...values)).toLocaleString('en')} … ${Math.round(Math.max(...values)).toLocaleString('en')}`;
}
