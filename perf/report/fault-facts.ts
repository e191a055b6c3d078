/** The effects of faults: the same facts for every scenario with faults, and the faults that did not happen. Pure. */

import { type Fault, seriesMs } from '../plan.ts';
import { median, percentile } from '../scenario.ts';
import type { Mark, Traffic } from './outcome.ts';

/** Null: nothing could be measured. */
export type Facts = Readonly<Record<string, number | null>>;

/** The course of one repeat. */
interface Course {
  readonly seriesPerS: readonly number[];
  readonly marks: readonly Mark[];
}

export interface MissedFault extends Fault {
  /** Missed in `times` of `of` repeats. */
  readonly times: number;
  readonly of: number;
  readonly why: string;
}

/** Facts from the numbers that probing calls left in `extra`. */
export function faultFacts(
  asked: readonly Fault[],
  { recoveryMs = [], pauseMs }: Readonly<Record<string, readonly number[]>>,
  repeats: readonly Course[],
): Facts {
  const countOf = (kind: Fault['kind']) =>
    repeats.flatMap(({ marks }) => marks).filter((one) => one.kind === kind).length;
  const isAsked = (kind: Fault['kind']) => asked.some((fault) => fault.kind === kind);
  return {
    ...(isAsked('kill') ? killFacts(countOf('kill'), recoveryMs) : {}),
    ...(isAsked('move') ? moveFacts(countOf('move') === 0 ? [] : pauseMs, repeats) : {}),
    ...(isAsked('drain') ? drainFacts(countOf('drain') === 0 ? [] : pauseMs, repeats) : {}),
  };
}

function killFacts(kills: number, recoveryMs: readonly number[]): Facts {
  const known = kills === 0 ? [] : recoveryMs;
  return { kills, recoveryP50Ms: percentileOf(known, 50), recoveryP99Ms: percentileOf(known, 99) };
}

/** `pauseMs` undefined: no calls probed the moved partitions. */
function moveFacts(pauseMs: readonly number[] | undefined, repeats: readonly Course[]): Facts {
  const disturbed =
    pauseMs?.length === 0 ? [] : repeats.filter(({ marks }) => marks.some(({ kind }) => kind === 'move'));
  return {
    moved: pauseMs?.length ?? null,
    pauseP50Ms: percentileOf(pauseMs ?? [], 50),
    pauseP99Ms: percentileOf(pauseMs ?? [], 99),
    ...dips(disturbed.filter(({ seriesPerS }) => median(seriesPerS) > 0)),
  };
}

/** The duration of drains and the traffic that they add to that of the load. Medians over the drains that happened. */
function drainFacts(pauseMs: readonly number[] | undefined, repeats: readonly Course[]): Facts {
  const marks = repeats.flatMap((repeat) => repeat.marks.filter(({ kind }) => kind === 'drain'));
  const of = (value: (mark: Mark) => number | undefined) => {
    const known = marks.map(value).filter((one) => one !== undefined);
    return known.length === 0 ? null : Math.round(median(known));
  };
  const beyond = (name: keyof Traffic) => (mark: Mark) =>
    mark.traffic && mark.traffic.during[name] - (mark.traffic.usualPerS[name] * (mark.overMs - mark.atMs)) / 1_000;
  return {
    drainMs: of(({ atMs, overMs }) => overMs - atMs),
    natsMessagesOut: of(({ traffic }) => traffic?.during.messagesOut),
    natsBytesOut: of(({ traffic }) => traffic?.during.bytesOut),
    messagesBeyondLoad: of(beyond('messagesOut')),
    bytesBeyondLoad: of(beyond('bytesOut')),
    slowConsumers: of(({ traffic }) => traffic?.during.slowConsumers),
    moved: pauseMs?.length ?? null,
    pauseP50Ms: percentileOf(pauseMs ?? [], 50),
    pauseP99Ms: percentileOf(pauseMs ?? [], 99),
  };
}

const percentileOf = (values: readonly number[], percent: number) =>
  values.length === 0 ? null : Math.round(percentile(values, percent) * 10) / 10;

/** Throughput below this share of the usual one is a dip. */
const dipPart = 0.7;
/** After-effects of a fault, such as cold caches, end after this, ms. */
const afterMs = 1_000;

/** How far the worst second of a repeat is below its usual throughput, and how long half seconds stay below 70 % of that. */
function dips(courses: readonly Course[]): Facts {
  if (courses.length === 0) return { dipPercent: null, dipMs: null };
  const each = courses.map((course) => {
    const usual = usualPerS(course);
    const worst = Math.min(usual, ...means(course.seriesPerS, 1_000));
    return {
      percent: 100 * (1 - worst / usual),
      ms: longest(means(course.seriesPerS, 500), usual * dipPart) * seriesMs,
    };
  });
  return {
    dipPercent: Math.round(median(each.map(({ percent }) => percent))),
    dipMs: median(each.map(({ ms }) => ms)),
  };
}

/** The median over the time without faults; over all time if there always was one. */
function usualPerS({ seriesPerS, marks }: Course): number {
  const isQuiet = (_: number, slot: number) =>
    !marks.some(({ atMs, overMs }) => (slot + 1) * seriesMs > atMs && slot * seriesMs < overMs + afterMs);
  const quiet = median(seriesPerS.filter(isQuiet));
  return quiet > 0 ? quiet : median(seriesPerS);
}

/** The mean of each span of `spanMs`. */
function means(perS: readonly number[], spanMs: number): number[] {
  const slots = spanMs / seriesMs;
  return perS.slice(slots - 1).map((_, from) => mean(perS.slice(from, from + slots)));
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

function longest(series: readonly number[], below: number): number {
  let most = 0;
  let run = 0;
  for (const value of series) {
    run = value < below ? run + 1 : 0;
    most = Math.max(most, run);
  }
  return most;
}

/** Faults that did not happen. Faults are made one after the other, so the missing ones are the last. */
export function missedFaults(asked: readonly Fault[], repeats: readonly Pick<Course, 'marks'>[]): MissedFault[] {
  return asked.flatMap((fault, number) => {
    const times = repeats.filter(({ marks }) => marks.length <= number).length;
    return times === 0 ? [] : [{ ...fault, times, of: repeats.length, why: 'the run ended before' }];
  });
}
