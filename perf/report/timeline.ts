/**
 * The timeline of a repeat: latencies by slot, memory by process, and whether its end equals its start. Pure.
 *
 * A third is described by the latencies of all its calls and of its middle slot, and by the median of its memory samples, so that one
 * garbage collection more or less does not matter.
 */
import { type Histogram, sumOf, unpacked } from '../load/histogram.ts';
import type { Measured } from '../plan.ts';
import { median } from '../scenario.ts';
import type { ProcessUse } from './outcome.ts';

export interface Thirds {
  readonly first: number;
  readonly last: number;
}

export interface LatencySeries {
  readonly slotMs: number;
  readonly p50Us: readonly number[];
  readonly p99Us: readonly number[];
  /** Absent with fewer than three slots. */
  readonly p50Thirds?: Thirds;
  readonly p99Thirds?: Thirds;
  /** The median slot of each third, which a single disturbance from outside does not change. */
  readonly p99Middles?: Thirds;
}

export interface MemoryThirds {
  readonly process: string;
  readonly rssBytes: Thirds;
  /** Absent if only the system reports the process. */
  readonly heapBytes?: Thirds;
}

export function latencySeriesOf(measured: readonly Measured[]): LatencySeries {
  const length = Math.max(0, ...measured.map(({ slots }) => slots.length));
  const slots = Array.from({ length }, (_, slot) =>
    sumOf(measured.flatMap(({ slots: packed }) => (packed[slot] === undefined ? [] : [unpacked(packed[slot])]))),
  );
  const at = (percent: number) => slots.map((slot) => slot.getValueAtPercentile(percent));
  const series = { slotMs: measured[0]?.slotMs ?? 1_000, p50Us: at(50), p99Us: at(99) };
  const [first, last] = thirdsOf(slots);
  if (first === undefined || last === undefined) return series;
  const p99Middles = middles(series.p99Us);
  return {
    ...series,
    p50Thirds: both(first, last, 50),
    p99Thirds: both(first, last, 99),
    ...(p99Middles && { p99Middles }),
  };
}

function both(first: readonly Histogram[], last: readonly Histogram[], percent: number): Thirds {
  const of = (slots: readonly Histogram[]) => sumOf(slots).getValueAtPercentile(percent);
  return { first: of(first), last: of(last) };
}

/** The memory of processes that ran from start to end. */
export function memoryThirdsOf(processes: readonly ProcessUse[]): MemoryThirds[] {
  const most = Math.max(0, ...processes.map(({ memory }) => memory.atMs.length));
  return processes.flatMap(({ name, memory }) => {
    const rssBytes = middles(memory.rssBytes);
    const heapBytes = middles(memory.heapBytes);
    if (rssBytes === undefined || memory.atMs.length < most - 1) return [];
    return heapBytes === undefined || heapBytes.last === 0
      ? [{ process: name, rssBytes }]
      : [{ process: name, rssBytes, heapBytes }];
  });
}

function middles(values: readonly number[]): Thirds | undefined {
  const [first, last] = thirdsOf(values);
  return first === undefined || last === undefined ? undefined : { first: median(first), last: median(last) };
}

/** Empty with fewer than three values. */
function thirdsOf<Value>(values: readonly Value[]): [] | [readonly Value[], readonly Value[]] {
  const third = Math.floor(values.length / 3);
  return third === 0 ? [] : [values.slice(0, third), values.slice(-third)];
}
