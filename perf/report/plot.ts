/** Plots as SVG: lines over an axis of numbers, with marks. Pure; no script, no style sheet, so that a README can hold one. */

export interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Plot {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly x: Axis;
  readonly y: Axis;
  /** Spans of x that are shaded, with what happened in them. */
  readonly marks?: readonly { readonly from: number; readonly to: number; readonly label: string }[];
}

export interface Axis {
  readonly label: string;
  readonly ticks: readonly { readonly at: number; readonly label: string }[];
  readonly from: number;
  readonly to: number;
  readonly isLogarithmic?: boolean;
}

const width = 760;
const height = 300;
const margin = { left: 84, right: 16, top: 34, bottom: 44 };
const colours = ['#0b6e99', '#b4530a', '#4b7f52', '#8a3ffc', '#99213f', '#555555'];

export const plotSize = { width, height } as const;

/** The inside of an SVG. */
export function plotOf(plot: Plot): string {
  const x = scaleOf(plot.x, margin.left, width - margin.right);
  const y = scaleOf(plot.y, height - margin.bottom, margin.top);
  const bottom = height - margin.bottom;
  return [
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(margin.left, 18, plot.title, 'font-weight="bold"'),
    ...(plot.marks ?? []).map(({ from, to, label }) => {
      const [left, right] = [x(from), Math.max(x(from) + 2, x(to))];
      return `<rect x="${round(left)}" y="${margin.top}" width="${round(right - left)}" height="${bottom - margin.top}" fill="#99213f" opacity="0.15"/>${text(left + 2, margin.top + 11, label, 'font-size="10" fill="#99213f"')}`;
    }),
    ...plot.y.ticks.map(({ at, label }) => {
      const line = `<line x1="${margin.left}" x2="${width - margin.right}" y1="${round(y(at))}" y2="${round(y(at))}" stroke="#dddddd"/>`;
      return line + text(margin.left - 6, y(at) + 4, label, 'text-anchor="end" font-size="11"');
    }),
    ...plot.x.ticks.map(({ at, label }) => text(x(at), bottom + 16, label, 'text-anchor="middle" font-size="11"')),
    `<line x1="${margin.left}" x2="${width - margin.right}" y1="${bottom}" y2="${bottom}" stroke="#333333"/>`,
    text((margin.left + width) / 2, height - 8, plot.x.label, 'text-anchor="middle" font-size="11"'),
    text(8, margin.top - 4, plot.y.label, 'font-size="11"'),
    ...plot.lines.map(({ points }, index) => lineOf(points, { x, y, colour: colourOf(index) })),
    ...plot.lines.map(({ name }, index) =>
      text(
        width - margin.right - 4,
        margin.top + 14 + index * 14,
        name,
        `text-anchor="end" font-size="11" fill="${colourOf(index)}"`,
      ),
    ),
  ].join('\n');
}

const colourOf = (index: number) => colours[index % colours.length] ?? '#000000';
const round = (value: number) => Math.round(value * 10) / 10;

type Scale = (value: number) => number;

function scaleOf(axis: Axis, from: number, to: number): Scale {
  const place = (value: number) => (axis.isLogarithmic === true ? Math.log10(Math.max(value, 1e-9)) : value);
  const [least, most] = [place(axis.from), place(axis.to)];
  const span = most === least ? 1 : most - least;
  return (value) => from + ((Math.min(Math.max(place(value), least), most) - least) / span) * (to - from);
}

function lineOf(points: Line['points'], { x, y, colour }: { x: Scale; y: Scale; colour: string }): string {
  const path = points
    .map(([atX, atY], index) => `${index === 0 ? 'M' : 'L'}${round(x(atX))} ${round(y(atY))}`)
    .join('');
  return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes} font-family="system-ui, sans-serif"${attributes.includes('font-size') ? '' : ' font-size="13"'}>${escaped(content)}</text>`;
}

export function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Round numbers from 0 to a little above `most`. */
export function linearAxis(label: string, most: number): Axis {
  const rough = Math.max(most, 1e-9) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const count = Math.ceil(most / step);
  const ticks = Array.from({ length: count + 1 }, (_, index) => ({
    at: index * step,
    label: (index * step).toLocaleString('en'),
  }));
  return { label, from: 0, to: Math.max(step, count * step), ticks };
}
