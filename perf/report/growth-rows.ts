/** The rows of the `growth` scenario: the cost of a turn by size, and its deviation from constant cost. Pure. */
import type { Growth } from '../plan.ts';
import { median, type Step } from '../scenario.ts';
import type { Figures, FloorFigures, StepFigures } from './report.ts';

export interface GrowthRow {
  readonly size: number;
  readonly turnsPerS: number;
  /** Time per turn at the run's concurrency. */
  readonly usPerTurn: number;
  /** CPU time per turn over all processes. */
  readonly cpuUsPerTurn: number;
  /** Time per commit of the store alone with as many entities in it, if measured. */
  readonly floorUsPerTurn?: number;
}

export interface GrowthFigures {
  readonly rows: readonly GrowthRow[];
  /** The cost at the largest size, relative to the smallest. */
  readonly ratio: number;
  readonly cpuRatio: number;
  readonly floorRatio?: number;
}

export const axisTexts: Readonly<Record<Growth['axis'], string>> = {
  entities: 'entities in memory, all called',
  fewOfEntities: 'entities in the store, 1,000 called',
  partners: 'partners of one entity, one calls',
  firstContacts: 'partners of one entity, new ones call',
  state: 'bytes of state, few of them changed',
};

export type GrowthByAxis = Readonly<Partial<Record<Growth['axis'], GrowthFigures>>>;

export function growthOf(
  steps: readonly Step[],
  figures: readonly StepFigures[],
  floors: readonly FloorFigures[],
): GrowthByAxis {
  const rows: Partial<Record<Growth['axis'], GrowthRow[]>> = {};
  for (const [index, { name, growth }] of steps.entries()) {
    const of = figures[index];
    if (growth === undefined || of === undefined) continue;
    const known = rows[growth.axis] ?? [];
    rows[growth.axis] = known;
    const floor = floors.find(({ step }) => step === name);
    known.push({ ...rowOf(growth.size, of), ...(floor === undefined ? {} : { floorUsPerTurn: usOf(floor) }) });
  }
  return Object.fromEntries(Object.entries(rows).map(([axis, each]) => [axis, withRatios(each)]));
}

function rowOf(size: number, figures: StepFigures): GrowthRow {
  const cpu = figures.repeats.map(({ processes, throughputPerS }) => {
    const cores = processes.reduce((sum, process) => sum + process.cpu, 0);
    return (cores * 1_000_000) / Math.max(1, throughputPerS);
  });
  return { size, turnsPerS: figures.throughputPerS, usPerTurn: usOf(figures), cpuUsPerTurn: rounded(median(cpu)) };
}

const usOf = ({ throughputPerS }: Figures) => rounded(1_000_000 / Math.max(1, throughputPerS));

function withRatios(rows: readonly GrowthRow[]): GrowthFigures {
  const ratio = (of: 'usPerTurn' | 'cpuUsPerTurn' | 'floorUsPerTurn') =>
    rounded((rows.at(-1)?.[of] ?? 0) / Math.max(Number.MIN_VALUE, rows[0]?.[of] ?? 0));
  const flat = { rows, ratio: ratio('usPerTurn'), cpuRatio: ratio('cpuUsPerTurn') };
  return rows[0]?.floorUsPerTurn === undefined ? flat : { ...flat, floorRatio: ratio('floorUsPerTurn') };
}

const rounded = (value: number) => Number(value.toPrecision(3));
