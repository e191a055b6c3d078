/**
 * Latency histograms (HdrHistogram) in µs: 1 µs to 10 minutes, three significant digits. The only file that imports hdr-histogram-js.
 */
import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
  HistogramLogWriter,
} from 'hdr-histogram-js';

export type { Histogram };

const mostUs = 600_000_000;

export function newHistogram(): Histogram {
  return build({ numberOfSignificantValueDigits: 3, highestTrackableValue: mostUs, bitBucketSize: 32 });
}

export function record(histogram: Histogram, us: number): void {
  histogram.recordValue(us < 1 ? 1 : us > mostUs ? mostUs : Math.round(us));
}

export const packed = (histogram: Histogram): string => encodeIntoCompressedBase64(histogram);

export function unpacked(text: string): Histogram {
  return decodeFromCompressedBase64(text, 32);
}

export function sumOf(parts: readonly Histogram[]): Histogram {
  const whole = newHistogram();
  for (const part of parts) whole.add(part);
  return whole;
}

export function merged(parts: readonly string[]): Histogram {
  return sumOf(parts.map(unpacked));
}

export interface Interval {
  readonly tag: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly histogram: Histogram;
}

/** The log format of HdrHistogram's tools: one line per histogram, times in s, values in µs. */
export function histogramLog(intervals: readonly Interval[], comment: string): string {
  const lines: string[] = [];
  const writer = new HistogramLogWriter((text) => void lines.push(text));
  writer.outputComment(comment);
  writer.outputLogFormatVersion();
  writer.outputLegend();
  for (const { tag, startMs, endMs, histogram } of intervals) {
    histogram.tag = tag;
    writer.outputIntervalHistogram(histogram, startMs / 1_000, endMs / 1_000, 1);
  }
  return lines.join('');
}
