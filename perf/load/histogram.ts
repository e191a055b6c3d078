/**
 * Latency histograms in µs, as HdrHistogram keeps and writes them: 1 µs to 10 minutes with three significant digits.
 *
 * The design and the format (V2: counts as zigzag varints, a negative one for a run of zeros, compressed by zlib) are Gil Tene's. This is
 * the part of them that one range and one precision need, so that the package has no dependency for it; `test/perf/histogram.test.ts`
 * compares it with `hdr-histogram-js`.
 */
import { deflateSync, inflateSync } from 'node:zlib';

const lowestUs = 1;
const highestUs = 600_000_000;
const digits = 3;

/**
 * Values below 2,048 have a place each. From there each doubling has 1,024 places, so that a place is never wider than a thousandth of its
 * values.
 */
const halfBits = 10;
const half = 2 ** halfBits;
const placeCount = placeOf(highestUs) + 1;

function placeOf(us: number): number {
  const doublings = Math.max(0, 31 - Math.clz32(us) - halfBits);
  return doublings * half + Math.floor(us / 2 ** doublings);
}

const doublingsAt = (place: number) => Math.max(0, Math.floor(place / half) - 1);
/** The lowest and the highest value of a place. */
const lowestAt = (place: number) => (place - doublingsAt(place) * half) * 2 ** doublingsAt(place);
const highestAt = (place: number) => lowestAt(place) + 2 ** doublingsAt(place) - 1;

export class Histogram {
  readonly counts = new Float64Array(placeCount);
  totalCount = 0;
  /** The highest value; of a histogram that was read, the highest of its place. */
  maxValue = 0;

  record(us: number): void {
    const value = Math.min(highestUs, Math.max(lowestUs, Math.round(us)));
    this.count(placeOf(value), 1, value);
  }

  count(place: number, times: number, highest = highestAt(place)): void {
    this.counts[place] = (this.counts[place] ?? 0) + times;
    this.totalCount += times;
    if (highest > this.maxValue) this.maxValue = highest;
  }

  add(other: Histogram): void {
    for (const [place, times] of other.counts.entries()) if (times > 0) this.count(place, times, other.maxValue);
  }

  get minValue(): number {
    const place = this.counts.findIndex((count) => count > 0);
    return place < 0 ? 0 : lowestAt(place);
  }

  /** The value that so many percent of all values do not exceed. */
  percentile(percent: number): number {
    // Rounded up to a whole value, but not by the error of the multiplication.
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.totalCount * (1 - Number.EPSILON)));
    let passed = 0;
    for (const [place, count] of this.counts.entries()) {
      passed += count;
      if (passed >= wanted) return highestAt(place);
    }
    return 0;
  }
}

export const newHistogram = (): Histogram => new Histogram();

export function record(histogram: Histogram, us: number): void {
  histogram.record(us);
}

export function sumOf(parts: readonly Histogram[]): Histogram {
  const sum = newHistogram();
  for (const part of parts) sum.add(part);
  return sum;
}

export function merged(parts: readonly string[]): Histogram {
  return sumOf(parts.map(unpacked));
}

// ---- the format

const cookie = 0x1c849313;
const compressedCookie = 0x1c849314;
const headBytes = 40;

export function packed({ counts, maxValue }: Histogram): string {
  const payload: number[] = [];
  const end = maxValue === 0 ? 1 : placeOf(maxValue) + 1;
  for (let place = 0; place < end; ) {
    const from = place;
    while (place < end && counts[place] === 0) place++;
    if (place > from + 1) putVarint(payload, 2 * (place - from) - 1);
    else putVarint(payload, 2 * (place > from ? 0 : (counts[place++] ?? 0)));
  }
  const plain = new DataView(new ArrayBuffer(headBytes + payload.length));
  // Cookie, length, offset of the places, digits, range, and the ratio to values that are no integers.
  for (const [index, value] of [cookie, payload.length, 0, digits].entries()) plain.setInt32(4 * index, value);
  plain.setBigInt64(16, BigInt(lowestUs));
  plain.setBigInt64(24, BigInt(highestUs));
  plain.setFloat64(32, 1);
  new Uint8Array(plain.buffer).set(payload, headBytes);
  const body = deflateSync(new Uint8Array(plain.buffer));
  const head = Buffer.alloc(8);
  head.writeInt32BE(compressedCookie, 0);
  head.writeInt32BE(body.length, 4);
  return Buffer.concat([head, body]).toString('base64');
}

export function unpacked(text: string): Histogram {
  const bytes = Buffer.from(text, 'base64');
  const isKnown = bytes.length > 8 && bytes.readInt32BE(0) === compressedCookie;
  const plain = isKnown ? inflateSync(bytes.subarray(8, 8 + bytes.readInt32BE(4))) : bytes;
  if (!isKnown || plain.readInt32BE(0) !== cookie || plain.readInt32BE(12) !== digits)
    throw new Error('not a latency histogram of skerry perf');
  const histogram = newHistogram();
  let at = headBytes;
  for (let place = 0; at < plain.length; ) {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = plain[at++] ?? 0;
      value += (byte % 128) * scale;
      if (byte < 128) break;
    }
    if (value % 2 === 1) place += (value + 1) / 2;
    else if (value > 0) histogram.count(place++, value / 2);
    else place++;
  }
  return histogram;
}

/** Seven bits at a time, the lowest first. A count stays below 2^53, which takes fewer than the nine bytes at which the format differs. */
function putVarint(bytes: number[], value: number): void {
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
}

export interface Interval {
  readonly tag: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly histogram: Histogram;
}

/** The format that the tools of HdrHistogram read: one line for each histogram; times in s, values in µs. */
export function histogramLog(intervals: readonly Interval[], comment: string): string {
  const line = ({ tag, startMs, endMs, histogram }: Interval) => {
    const numbers = [startMs / 1_000, (endMs - startMs) / 1_000, histogram.maxValue].map((one) => one.toFixed(3));
    return `Tag=${tag},${numbers.join(',')},${packed(histogram)}`;
  };
  const head = [
    `#${comment}`,
    '#[Histogram log format version 1.3]',
    '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
  ];
  return `${[...head, ...intervals.map(line)].join('\n')}\n`;
}
