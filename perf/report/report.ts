/**
 * The report: the outcome of a run as one plain value, which `--json` writes and which is compared, printed and drawn.
 *
 * Rates are medians over the repeats. Percentiles are of the merged histograms of all generators, as medians over the repeats. A ratio
 * is to the floor of the same repeat; the report has the median. A floor is an undisturbed closed loop, so there is no ratio for an
 * open loop, for a run with faults, or for work of several calls.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { type Histogram, merged, packed } from '../load/histogram.ts';
import { type Measured, type Plan, seriesMs } from '../plan.ts';
import { median } from '../scenario.ts';
import { scenarioOf } from '../scenarios/all.ts';
import { type Facts, faultFacts, type MissedFault, missedFaults } from './fault-facts.ts';
import { type GrowthByAxis, growthOf } from './growth-rows.ts';
import { joined, type Mark, type Outcome, type Paced, type ProcessUse, type StepOutcome } from './outcome.ts';
import { type LatencySeries, latencySeriesOf, type MemoryThirds, memoryThirdsOf } from './timeline.ts';

export interface Figures {
  readonly throughputPerS: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

export interface FloorFigures extends Figures {
  readonly name: string;
  /** The step that it is compared with; none: the first. */
  readonly step?: string;
  /** The scenario's throughput, and its p50, relative to the floor's. Null if they measure different units. */
  readonly ratio: number | null;
  readonly p50Ratio: number | null;
}

/** One repeat of one step. */
export interface RepeatFigures extends Figures {
  readonly errors: Readonly<Record<string, number>>;
  readonly calls: number;
  readonly seriesPerS: readonly number[];
  readonly latencySeries: LatencySeries;
  readonly memoryThirds: readonly MemoryThirds[];
  /** Present if the rate was a share of the maximum. */
  readonly paced?: Paced;
  readonly marks: readonly Mark[];
  readonly processes: readonly ProcessUse[];
  readonly histogram: string;
}

export interface StepFigures extends Figures {
  readonly step: string;
  readonly facts: Facts;
  readonly repeats: readonly RepeatFigures[];
}

export interface Report extends Figures {
  readonly format: 1;
  readonly scenario: string;
  readonly unit: string;
  readonly lost: number;
  readonly doubled: number;
  readonly checked: number;
  readonly errors: Readonly<Record<string, number>>;
  /** Null if none was measured. */
  readonly floor: FloorFigures | null;
  readonly ratio: number | null;
  readonly floors: readonly FloorFigures[];
  readonly steps: readonly StepFigures[];
  /** Planned faults that did not happen. */
  readonly faultsMissed: readonly MissedFault[];
  /** Present for the scenario `growth`. */
  readonly growth?: GrowthByAxis;
  readonly plan: Plan;
  readonly durability: string;
  readonly startedAt: string;
  readonly commit: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly machines: readonly object[];
  readonly seriesMs: number;
  /** The scenario's own facts: kills, recoveryP50Ms … */
  readonly [fact: string]: unknown;
}

export function reportOf(outcome: Outcome): Report {
  const { plan, repeats } = outcome;
  const scenario = scenarioOf(plan.scenario);
  const courses = scenario.steps(plan);
  const steps = courses.map(({ name }) => stepFigures(outcome, name));
  const [first] = steps;
  if (first === undefined) throw new Error('nothing was measured');
  const floors = floorFigures(outcome, steps);
  const growth = growthOf(courses, steps, floors);
  return {
    format: 1,
    scenario: plan.scenario,
    unit: scenario.unit,
    ...figuresOf(first),
    ...first.facts,
    lost: sum(repeats.map(({ verdict }) => verdict.lost)),
    doubled: sum(repeats.map(({ verdict }) => verdict.doubled)),
    checked: sum(repeats.map(({ verdict }) => verdict.checked)),
    errors: countsOf(steps.flatMap((step) => step.repeats)),
    floor: floors[0] ?? null,
    ratio: floors[0]?.ratio ?? null,
    floors,
    steps,
    faultsMissed: missedFaults(
      plan.faults,
      steps.flatMap((step) => step.repeats),
    ),
    ...(Object.keys(growth).length === 0 ? {} : { growth }),
    plan: withoutLogins(plan),
    durability: outcome.durability,
    startedAt: new Date(outcome.startedAt).toISOString(),
    commit: commitOf(),
    versions: { skerry: ownVersion(), node: process.versions.node, ...outcome.serverVersions },
    machine: machineOf(),
    machines: outcome.machines,
    seriesMs,
  };
}

/** Without credentials, because reports are shared. */
function withoutLogins(plan: Plan): Plan {
  const { nats, store } = plan;
  const bare = (url: string) => url.replaceAll(/(\/\/|,)[^/,]*@/g, '$1');
  return {
    ...plan,
    ...(nats.kind === 'at' ? { nats: { ...nats, url: bare(nats.url) } } : {}),
    ...(store.kind === 'redis' && store.url !== undefined ? { store: { ...store, url: bare(store.url) } } : {}),
  };
}

function figuresOf({ throughputPerS, p50Us, p90Us, p99Us, p999Us, maxUs }: Figures): Figures {
  return { throughputPerS, p50Us, p90Us, p99Us, p999Us, maxUs };
}

function stepFigures({ plan, repeats }: Outcome, name: string): StepFigures {
  const parts = repeats.flatMap(({ steps }) => steps.filter(({ step }) => step === name));
  const figures = parts.map(repeatFigures);
  const extra = joined(parts.flatMap((part) => [part.extra, ...part.measured.map((one) => one.extra)]));
  const facts = { ...scenarioOf(plan.scenario).facts?.(extra), ...faultFacts(plan.faults, extra, figures) };
  return { step: name, ...medians(figures), facts, repeats: figures };
}

function repeatFigures({ measured, marks, processes, paced }: StepOutcome): RepeatFigures {
  const histogram = merged(measured.map((one) => one.histogram));
  return {
    throughputPerS: throughputOf(measured),
    ...percentilesOf(histogram),
    errors: countsOf(measured),
    calls: sum(measured.map(({ calls }) => calls)),
    seriesPerS: seriesOf(measured),
    latencySeries: latencySeriesOf(measured),
    memoryThirds: memoryThirdsOf(processes),
    ...(paced === undefined ? {} : { paced }),
    marks,
    processes,
    histogram: packed(histogram),
  };
}

/** Failed calls by code. */
function countsOf(parts: readonly { readonly errors: Readonly<Record<string, number>> }[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { errors } of parts)
    for (const [code, count] of Object.entries(errors)) counts[code] = (counts[code] ?? 0) + count;
  return counts;
}

const throughputOf = (measured: readonly Measured[]) =>
  Math.round(sum(measured.map(({ things, elapsedMs }) => (things * 1_000) / elapsedMs)));

function seriesOf(measured: readonly Measured[]): number[] {
  const length = Math.max(0, ...measured.map(({ series }) => series.length));
  const perSlot = (slot: number) => sum(measured.map(({ series }) => series[slot] ?? 0));
  return Array.from({ length }, (_, slot) => (perSlot(slot) * 1_000) / seriesMs);
}

function percentilesOf(histogram: Histogram): Omit<Figures, 'throughputPerS'> {
  const at = (percent: number) => histogram.getValueAtPercentile(percent);
  return { p50Us: at(50), p90Us: at(90), p99Us: at(99), p999Us: at(99.9), maxUs: histogram.maxValue };
}

function medians(repeats: readonly Figures[]): Figures {
  const of = (name: keyof Figures) => median(repeats.map((one) => one[name]));
  return {
    throughputPerS: of('throughputPerS'),
    p50Us: of('p50Us'),
    p90Us: of('p90Us'),
    p99Us: of('p99Us'),
    p999Us: of('p999Us'),
    maxUs: of('maxUs'),
  };
}

function floorFigures({ plan, repeats }: Outcome, steps: readonly StepFigures[]): FloorFigures[] {
  const byRepeat = repeats.map(({ floors }) => {
    const figures = new Map(floors.map(({ floor, measured }) => [floor, floorOnce(measured)]));
    return plan.concurrency === 1 ? withRoundTrips(figures) : figures;
  });
  const hasRatio = isLikeFloor(plan);
  return Array.from(byRepeat[0]?.keys() ?? [], (name) => {
    const each = byRepeat.map((figures) => figures.get(name)).filter((one) => one !== undefined);
    const step = repeats[0]?.floors.find(({ floor }) => floor === name)?.step;
    const ours = steps.find((one) => one.step === step) ?? steps[0];
    const ratios = (of: 'throughputPerS' | 'p50Us') =>
      median(each.map((floor, index) => (ours?.repeats[index]?.[of] ?? 0) / Math.max(1, floor[of])));
    return {
      name,
      ...(step === undefined ? {} : { step }),
      ...medians(each),
      ratio: hasRatio ? rounded(ratios('throughputPerS')) : null,
      p50Ratio: hasRatio ? rounded(ratios('p50Us')) : null,
    };
  });
}

const isLikeFloor = ({ scenario, ratePerS, ratePart, faults }: Plan) =>
  ratePerS === undefined && ratePart === undefined && faults.length === 0 && scenarioOf(scenario).hasOtherUnit !== true;

function floorOnce(measured: Measured): Figures {
  return { throughputPerS: throughputOf([measured]), ...percentilesOf(merged([measured.histogram])) };
}

/** With one call in flight, a call takes a round trip to the worker and one from there to the store. The floor is their sum. */
function withRoundTrips(figures: ReadonlyMap<string, Figures>): ReadonlyMap<string, Figures> {
  const [wire, store] = [figures.get('nats-echo'), figures.get('redis-commit')];
  if (wire === undefined || store === undefined) return figures;
  const of = (name: keyof Figures) => wire[name] + store[name];
  const both: Figures = {
    throughputPerS: 1 / (1 / Math.max(1, wire.throughputPerS) + 1 / Math.max(1, store.throughputPerS)),
    p50Us: of('p50Us'),
    p90Us: of('p90Us'),
    p99Us: of('p99Us'),
    p999Us: of('p999Us'),
    maxUs: of('maxUs'),
  };
  return new Map([['nats-echo + redis-commit', both], ...figures]);
}

const rounded = (value: number) => Number(value.toPrecision(3));
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function machineOf(): Record<string, string | number> {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    system: `${process.platform} ${release()} ${process.arch}`,
  };
}

/** The commit of the checkout; an installed package has none. */
function commitOf(): string {
  try {
    const git = (...words: string[]) =>
      execFileSync('git', words, { cwd: import.meta.dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return `${git('rev-parse', '--short', 'HEAD').trim()}${git('status', '--porcelain').trim() === '' ? '' : ' with changes'}`;
  } catch {
    return 'none';
  }
}

/** The package's folder is two levels up in the sources and three in the build. */
function ownVersion(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    const url = new URL(path, import.meta.url);
    if (!existsSync(url)) continue;
    const { name, version } = JSON.parse(readFileSync(url, 'utf8')) as { name?: string; version?: string };
    if (name === 'skerry' && version !== undefined) return version;
  }
  return 'unknown';
}
