/** Histograms of latencies beside `hdr-histogram-js`, which reads and writes the same format. */
import * as hdr from 'hdr-histogram-js';
import {
  type Histogram,
  histogramLog,
  merged,
  newHistogram,
  packed,
  record,
  unpacked,
} from '../../perf/load/histogram.ts';
import { SeededRandom } from '../../runtime/testing/random.ts';
import { assert, suite } from '../support/suite.ts';

const histograms = suite('histograms');

const theirs = () =>
  hdr.build({ numberOfSignificantValueDigits: 3, highestTrackableValue: 600_000_000, bitBucketSize: 32 });
const percents = [0.001, 1, 25, 50, 90, 99, 99.9, 99.99, 100];
const figures = (one: Histogram) => [
  one.totalCount,
  one.minValue,
  one.maxValue,
  ...percents.map((at) => one.percentile(at)),
];
const theirFigures = (one: hdr.Histogram) => [
  one.totalCount,
  one.totalCount === 0 ? 0 : one.minNonZeroValue,
  one.maxValue,
  ...percents.map((at) => one.getValueAtPercentile(at)),
];

/** Values of every size, the edges of the places among them. */
function valuesOf(seed: number): number[] {
  const random = new SeededRandom(seed, 'values');
  const edges = [1, 2, 2_047, 2_048, 2_049, 4_095, 4_096, 4_097, 599_999_999, 600_000_000];
  const some = Array.from({ length: 1 + Math.floor(random.next() * 3_000) }, () =>
    Math.round(2 ** (random.next() * 29)),
  );
  return seed % 2 === 0 ? some : [...some, ...edges, ...Array<number>(500).fill(some[0] ?? 1)];
}

histograms('count, range and percentiles are those of hdr-histogram-js, and so is what each reads of the other', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const values = seed === 40 ? [] : valuesOf(seed);
    const [own, other] = [newHistogram(), theirs()];
    for (const us of values) record(own, us);
    for (const us of values) other.recordValue(us);
    if (values.length > 0) {
      assert.is(own.maxValue, Math.max(...values));
      assert.equal(figures(own).slice(3), theirFigures(other).slice(3), `seed ${seed}`);
    }
    const text = hdr.encodeIntoCompressedBase64(other);
    const [read, theirsRead] = [unpacked(packed(own)), hdr.decodeFromCompressedBase64(packed(own), 32)];
    assert.equal(figures(unpacked(text)), figures(read), `seed ${seed}`);
    assert.is(read.totalCount, values.length);
    if (values.length > 0) assert.equal(figures(read), theirFigures(theirsRead), `seed ${seed}`);
    assert.equal(figures(merged([text, packed(own)]))[0], 2 * values.length);
  }
});

histograms('a value outside of the range counts as the nearest one, and a sum has the values of its parts', () => {
  const own = newHistogram();
  for (const us of [0, 0.4, 1e12]) record(own, us);
  assert.equal([own.minValue, own.maxValue, own.percentile(50)], [1, 600_000_000, 1]);
  assert.throws(() => unpacked('AAAAAAAAAAAAAAAA'), /not a latency histogram/);
  const sum = merged([packed(own), packed(own)]);
  assert.equal([sum.totalCount, sum.percentile(60)], [6, 1]);
});

histograms('the log is read by the tools of HdrHistogram', () => {
  const own = newHistogram();
  for (let us = 1; us <= 5_000; us++) record(own, us);
  const log = histogramLog([{ tag: 'echo-1', startMs: 1_500, endMs: 4_000, histogram: own }], 'of a test');
  const found = new hdr.HistogramLogReader(log).nextIntervalHistogram();
  assert.is(found?.tag, 'echo-1');
  assert.is(found?.totalCount, 5_000);
  assert.equal(log.split('\n')[3]?.split(',').slice(0, 4), ['Tag=echo-1', '1.500', '2.500', '5000.000']);
});

histograms.run();
