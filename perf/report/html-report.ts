/** The report as one self-contained HTML page. Pure. */
import { picturesOf, spreadOf, svgOf } from './charts.ts';
import { escaped } from './plot.ts';
import type { Figures, Report } from './report.ts';
import { growthRows, textOf, timeText } from './text-report.ts';

const style = `body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .75rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}pre{overflow:auto;background:#f6f6f6;padding:1rem}svg{max-width:100%;height:auto}`;

type Cells = readonly string[];

export function pageOf(report: Report): string {
  const { scenario, throughputPerS, unit, lost, doubled, floor, startedAt, commit } = report;
  const ratio = floor === null || floor.ratio === null ? '' : `, ${floor.ratio} of the floor ${floor.name}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(scenario)}</title><style>${style}</style></head><body>
<h1>${escaped(scenario)}</h1>
<p>${Math.round(throughputPerS).toLocaleString('en')} ${escaped(unit)} per second${escaped(ratio)}; lost ${lost}, doubled ${doubled}. ${escaped(startedAt)}, commit ${escaped(commit)}.</p>
${svgOf(picturesOf(report))}
${report.growth === undefined ? '' : `<h2>Growth</h2>\n${tableOf(growthRows(report.growth))}`}
<h2>Figures</h2>
${tableOf(figureRows(report))}
<h2>Repeats</h2>
${tableOf(repeatRows(report))}
<h2>Full report</h2>
<pre>${escaped(textOf(report))}</pre>
<h2>Environment and plan</h2>
${tableOf(Object.entries({ durability: report.durability, ...report.versions, ...report.machine }).map(([name, value]) => [name, String(value)]))}
<pre>${escaped(JSON.stringify(report.plan, null, 2))}</pre>
</body></html>
`;
}

function figureRows({ steps, floors, unit }: Report): Cells[] {
  const hasRatios = floors.some(({ ratio }) => ratio !== null);
  return [
    ['', `${unit}/s`, 'p50', 'p90', 'p99', 'p99.9', 'max', ...(hasRatios ? ['ratio', 'p50 ratio'] : [])],
    ...steps.map((step) => [step.step, ...cells(step)]),
    ...floors.map((one) => [
      `floor ${one.name}`,
      ...cells(one),
      ...[one.ratio, one.p50Ratio].filter((ratio) => ratio !== null).map(String),
    ]),
    ...steps.flatMap(({ step, facts }) =>
      Object.entries(facts).map(([name, value]) => [`${step}: ${name}`, value?.toLocaleString('en') ?? 'none']),
    ),
  ];
}

function repeatRows({ steps }: Report): Cells[] {
  const rows = steps.flatMap(({ step, repeats }) => [
    ...repeats.map((repeat, index) => [`${step} ${index + 1}`, ...cells(repeat)]),
    [`${step}: range`, spreadOf(repeats.map(({ throughputPerS }) => throughputPerS))],
  ]);
  return [['', 'per second', 'p50', 'p90', 'p99', 'p99.9', 'max'], ...rows];
}

const cells = ({ throughputPerS, p50Us, p90Us, p99Us, p999Us, maxUs }: Figures): Cells => [
  Math.round(throughputPerS).toLocaleString('en'),
  ...[p50Us, p90Us, p99Us, p999Us, maxUs].map(timeText),
];

function tableOf(rows: readonly Cells[]): string {
  const [head = [], ...rest] = rows;
  const row = (tag: string) => (each: Cells) =>
    `<tr>${each.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>${row('th')(head)}${rest.map(row('td')).join('')}</table>`;
}
