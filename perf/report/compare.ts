/**
 * Compares two reports: the differences, and whether they exceed the noise.
 *
 * Repeats are compared by rank (Mann and Whitney, exact): the probability that repeats of the same program would differ as much. It
 * assumes nothing about their distribution. Few repeats cannot show much: three against three never go below 1 in 10, four against
 * four reach 1 in 35.
 */

import { median } from '../scenario.ts';
import type { Figures, RepeatFigures, Report, StepFigures } from './report.ts';
import { table, timeText } from './text-report.ts';

/** A difference is not taken for noise up to this chance. */
const chanceMax = 0.05;

export type Change = 'noise' | 'better' | 'worse' | 'unclear';

export interface Row {
  readonly step: string;
  readonly what: string;
  readonly before: number;
  readonly after: number;
  readonly beforeRange: readonly [number, number];
  readonly afterRange: readonly [number, number];
  readonly changePercent: number;
  /** Probability that repeats of the same program differ as much. */
  readonly chance: number;
  readonly change: Change;
}

const compared: readonly { readonly name: keyof Figures; readonly isMoreBetter: boolean }[] = [
  { name: 'throughputPerS', isMoreBetter: true },
  { name: 'p50Us', isMoreBetter: false },
  { name: 'p99Us', isMoreBetter: false },
];

export function compare(before: Report, after: Report): readonly Row[] {
  return before.steps.flatMap((step) => {
    const other = after.steps.find((one) => one.step === step.step);
    return other === undefined ? [] : compared.map((what) => rowOf(step, other, what));
  });
}

function rowOf(
  before: StepFigures,
  after: StepFigures,
  { name, isMoreBetter }: { readonly name: keyof Figures; readonly isMoreBetter: boolean },
): Row {
  const of = (repeats: readonly RepeatFigures[]) => repeats.map((repeat) => repeat[name]);
  const [ones, others] = [of(before.repeats), of(after.repeats)];
  const [from, to] = [median(ones), median(others)];
  const chance = chanceOf(ones, others);
  return {
    step: before.step,
    what: name,
    before: from,
    after: to,
    beforeRange: rangeOf(ones),
    afterRange: rangeOf(others),
    changePercent: from === 0 ? 0 : ((to - from) / from) * 100,
    chance,
    change: changeOf({
      chance,
      isApart: areApart(rangeOf(ones), rangeOf(others)),
      isBetter: to > from === isMoreBetter,
    }),
  };
}

const rangeOf = (values: readonly number[]): readonly [number, number] => [Math.min(...values), Math.max(...values)];
const areApart = (one: readonly [number, number], other: readonly [number, number]) =>
  one[1] < other[0] || other[1] < one[0];

function changeOf(row: { readonly chance: number; readonly isApart: boolean; readonly isBetter: boolean }): Change {
  if (row.chance <= chanceMax) return row.isBetter ? 'better' : 'worse';
  return row.isApart ? 'unclear' : 'noise';
}

/** The share of rank sums at least as far from the mean as this one, among all ways to split the values into two sides. */
export function chanceOf(ones: readonly number[], others: readonly number[]): number {
  const ranks = ranksOf([...ones, ...others]);
  const total = ranks.reduce((sum, rank) => sum + rank, 0);
  const middle = (total * ones.length) / ranks.length;
  const distance = Math.abs(ranks.slice(0, ones.length).reduce((sum, rank) => sum + rank, 0) - middle);
  // The number of ways to pick so many ranks with this sum. Ranks may be halves, so sums are doubled.
  let ways = new Map<string, { readonly picked: number; readonly doubled: number; readonly count: number }>();
  ways.set('0 0', { picked: 0, doubled: 0, count: 1 });
  for (const rank of ranks) {
    const next = new Map(ways);
    for (const { picked, doubled, count } of ways.values()) {
      if (picked === ones.length) continue;
      const to = { picked: picked + 1, doubled: doubled + 2 * rank };
      const key = `${to.picked} ${to.doubled}`;
      next.set(key, { ...to, count: count + (next.get(key)?.count ?? 0) });
    }
    ways = next;
  }
  const whole = [...ways.values()].filter(({ picked }) => picked === ones.length);
  const count = (some: typeof whole) => some.reduce((sum, way) => sum + way.count, 0);
  return count(whole.filter(({ doubled }) => Math.abs(doubled / 2 - middle) >= distance - 1e-9)) / count(whole);
}

/** Ranks from 1. Equal values share the mean of their ranks. */
function ranksOf(values: readonly number[]): number[] {
  const sorted = [...values].sort((one, other) => one - other);
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2 + 1);
}

export function compareText(before: Report, after: Report): string {
  const rows = compare(before, after);
  return [
    `${before.scenario}: commit ${before.commit} (${before.startedAt}) compared with ${after.commit} (${after.startedAt})`,
    ...differences(before, after),
    '',
    ...table([
      ['', '', 'before', 'after', 'change', 'chance', ''],
      ...rows.map((row) => [
        row.step,
        row.what,
        shown(row.what, row.before, row.beforeRange),
        shown(row.what, row.after, row.afterRange),
        `${row.changePercent >= 0 ? '+' : ''}${row.changePercent.toFixed(1)} %`,
        row.chance.toFixed(3),
        verdicts[row.change],
      ]),
    ]),
  ].join('\n');
}

const verdicts: Readonly<Record<Change, string>> = {
  noise: 'within the noise',
  better: 'better, outside the noise',
  worse: 'worse, outside the noise',
  unclear: 'the ranges do not overlap, but there are too few repeats to tell',
};

function shown(what: string, value: number, [least, most]: readonly [number, number]): string {
  const text = (one: number) => (what.endsWith('Us') ? timeText(one) : Math.round(one).toLocaleString('en'));
  return `${text(value)} (${text(least)} … ${text(most)})`;
}

/** Differences in the conditions of the two runs, so that another machine is not mistaken for another program. */
function differences(before: Report, after: Report): string[] {
  const sides = {
    machine: 'machines',
    versions: 'versions',
    durability: 'durability',
    plan: 'plans',
  } as const;
  return (Object.keys(sides) as (keyof typeof sides)[]).flatMap((side) => {
    const changes = changesOf(before[side], after[side]);
    return changes.length === 0 ? [] : [`warning: the reports differ in their ${sides[side]}: ${changes.join(', ')}`];
  });
}

function changesOf(before: object | string, after: object | string): string[] {
  if (typeof before === 'string' || typeof after === 'string')
    return before === after ? [] : [`${valueText(before)} → ${valueText(after)}`];
  const [from, to] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  return [...new Set([...from.keys(), ...to.keys()])]
    .map((key) => [key, valueText(from.get(key)), valueText(to.get(key))] as const)
    .filter(([, one, other]) => one !== other)
    .map(([key, one, other]) => `${key}: ${one} → ${other}`);
}

function valueText(value: unknown): string {
  if (value === undefined) return 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
