/**
 * Closed loops, medians and percentiles for the measurements of this folder.
 */
import { build } from 'hdr-histogram-js';

export interface Figures {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** Keep `inFlight` calls under way for `seconds`, after a fifth of that as warm-up. */
export async function closedLoop(
  { inFlight, seconds }: { inFlight: number; seconds: number },
  call: (count: number) => Promise<unknown>,
): Promise<Figures> {
  const histogram = build({ numberOfSignificantValueDigits: 3, highestTrackableValue: 60_000_000 });
  const startAt = performance.now() + seconds * 200;
  const endAt = startAt + seconds * 1_000;
  let started = 0;
  let done = 0;
  const lane = async (): Promise<void> => {
    for (;;) {
      const before = performance.now();
      if (before >= endAt) return;
      await call(started++);
      const after = performance.now();
      if (before < startAt) continue;
      histogram.recordValue(Math.max(1, Math.round((after - before) * 1_000)));
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return {
    perSecond: done / seconds,
    p50Us: histogram.getValueAtPercentile(50),
    p99Us: histogram.getValueAtPercentile(99),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
