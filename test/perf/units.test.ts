/** The parts of the instrument that could lie: clocks of loads, ranks, journals, counts, words. */
import { setTimeout as pause } from 'node:timers/promises';
import { SkerryError } from '../../core/errors.ts';
import { merged, newHistogram, packed, record } from '../../perf/load/histogram.ts';
import { Journal, judge, together } from '../../perf/load/journal.ts';
import { drive } from '../../perf/load/load.ts';
import { askedOf } from '../../perf/options.ts';
import { type Load, type Measured, slotMsOf } from '../../perf/plan.ts';
import { countingTransport, newCounts } from '../../perf/processes/counting.ts';
import { MemoryWatch } from '../../perf/processes/memory-samples.ts';
import { chanceOf, compare } from '../../perf/report/compare.ts';
import { growthOf } from '../../perf/report/growth-rows.ts';
import type { ProcessUse } from '../../perf/report/outcome.ts';
import type { FloorFigures, Report, StepFigures } from '../../perf/report/report.ts';
import { latencySeriesOf, memoryThirdsOf } from '../../perf/report/timeline.ts';
import { scenarioOf } from '../../perf/scenarios/all.ts';
import { Pace } from '../../perf/scenarios/pace.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { chanceOf as seeded, zipf } from '../../runtime/testing/chance.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { encodeFrame } from '../../runtime/wire/codec.ts';
import { assert, suite } from '../support/suite.ts';

const units = suite('perf-units');

const load: Load = { index: 0, of: 1, lanes: 4, delayMs: 0, warmupMs: 0, durationMs: 300 };

units('a closed loop keeps its lanes busy and counts what ended in its time', async () => {
  let inFlight = 0;
  let most = 0;
  const measured = await drive(async () => {
    inFlight += 1;
    most = Math.max(most, inFlight);
    await pause(10);
    inFlight -= 1;
  }, load);
  assert.is(most, 4);
  assert.ok(measured.calls > 20 && measured.calls <= 4 * 30);
  assert.ok(merged([measured.histogram]).getValueAtPercentile(50) >= 9_000);
  assert.is(
    measured.series.reduce((sum, count) => sum + count, 0),
    measured.calls,
  );
});

units(
  'latencies over time add up to all latencies, and a long run has no more slots than a short page shows',
  async () => {
    let count = 0;
    const measured = await drive(() => pause(count++ > 60 ? 40 : 5), { ...load, durationMs: 2_300 });
    assert.is(measured.slots.length, 3);
    const slots = measured.slots.map((slot) => merged([slot]));
    assert.is(
      slots.reduce((sum, { totalCount }) => sum + totalCount, 0),
      measured.calls,
    );
    assert.is(merged([measured.histogram]).totalCount, measured.calls);
    assert.ok((slots[0]?.minNonZeroValue ?? 0) < 30_000 && (slots[2]?.minNonZeroValue ?? 0) >= 39_000);
    assert.equal([700, 60_000, 600_000, 86_400_000].map(slotMsOf), [1_000, 1_000, 10_000, 1_440_000]);
  },
);

const measuredIn = (slots: readonly (readonly number[])[]) => {
  const pack = (ms: readonly number[]) => {
    const histogram = newHistogram();
    for (const one of ms) record(histogram, one * 1_000);
    return packed(histogram);
  };
  return { slotMs: 1_000, slots: slots.map(pack) } as unknown as Measured;
};

units('the first third and the last are told of the latencies of all generators', () => {
  const one = measuredIn([
    [1, 1],
    [1, 1],
    [9, 9],
    [9, 9],
    [4, 4],
    [4, 4],
  ]);
  const other = measuredIn([
    [2, 2],
    [2, 2],
    [9, 9],
    [9, 9],
    [8, 8],
    [8, 8],
  ]);
  const series = latencySeriesOf([one, other]);
  const ms = (us = 0) => Math.round(us / 1_000);
  assert.equal(series.p99Us.map(ms), [2, 2, 9, 9, 8, 8]);
  assert.equal(series.p50Us.map(ms), [1, 1, 9, 9, 4, 4]);
  assert.equal([ms(series.p99Thirds?.first), ms(series.p99Thirds?.last)], [2, 8]);
  assert.equal([ms(series.p50Thirds?.first), ms(series.p50Thirds?.last)], [1, 4]);
  assert.is(latencySeriesOf([measuredIn([[1], [1]])]).p99Thirds, undefined);
});

units('one second that something else disturbed does not move the middle one of its third', () => {
  const series = latencySeriesOf([measuredIn([[1], [1], [1], [1], [1], [1], [2], [900], [2]])]);
  const ms = (us = 0) => Math.round(us / 1_000);
  assert.equal([ms(series.p99Thirds?.first), ms(series.p99Thirds?.last)], [1, 900]);
  assert.equal([ms(series.p99Middles?.first), ms(series.p99Middles?.last)], [1, 2]);
});

const useOf = (name: string, rssBytes: readonly number[], heapBytes: readonly number[]) =>
  ({ name, memory: { atMs: rssBytes.map((_, index) => index * 1_000), rssBytes, heapBytes } }) as unknown as ProcessUse;

units('memory is told by the middle of its thirds, of processes that were there all the time', () => {
  const growing = useOf('client', [10, 12, 90, 50, 50, 50, 20, 22, 24], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const server = useOf('redis', Array(9).fill(5), Array(9).fill(0));
  const successor = useOf('worker', [1, 2, 3, 4], [1, 2, 3, 4]);
  assert.equal(memoryThirdsOf([growing, server, successor]), [
    { process: 'client', rssBytes: { first: 12, last: 22 }, heapBytes: { first: 2, last: 8 } },
    { process: 'redis', rssBytes: { first: 5, last: 5 } },
  ]);
});

units('memory is looked at over and over, by process, until the end', async () => {
  const ending = new AbortController();
  let looks = 0;
  const watch = new MemoryWatch(async () => [{ name: 'x', pid: 1, rssBytes: ++looks, heapBytes: 0 } as never]);
  const keeping = watch.keep(1_000, ending.signal);
  await pause(2_500);
  ending.abort();
  await keeping;
  const { atMs, rssBytes } = watch.of({ name: 'x', pid: 1 });
  assert.equal(rssBytes, [1, 2]);
  assert.ok((atMs[0] ?? 0) >= 990 && (atMs[1] ?? 0) >= 1_990, String(atMs));
  assert.equal(watch.of({ name: 'x', pid: 2 }).atMs, []);
});

units('growth is the cost of a turn at each size, and of the largest to the smallest', () => {
  const { plan } = askedOf(['growth', '--keys', '20000', '--partners', '100', '--state-bytes', '1000']);
  const steps = scenarioOf('growth').steps(plan);
  const figures = steps.map((step) => {
    const throughputPerS = step.growth?.axis === 'entities' && step.growth.size > 1_000 ? 20_000 : 50_000;
    return { step: step.name, throughputPerS, repeats: [{ throughputPerS, processes: [{ cpu: 1 }, { cpu: 0.5 }] }] };
  });
  const floors = [
    { step: 'entities 1,000', throughputPerS: 100_000 },
    { step: 'entities 20,000', throughputPerS: 25_000 },
  ];
  const growth = growthOf(steps, figures as unknown as StepFigures[], floors as unknown as FloorFigures[]);
  assert.equal(Object.keys(growth), ['entities', 'fewOfEntities', 'partners', 'firstContacts', 'state']);
  assert.equal(growth.entities, {
    rows: [
      { size: 1_000, turnsPerS: 50_000, usPerTurn: 20, cpuUsPerTurn: 30, floorUsPerTurn: 10 },
      { size: 10_000, turnsPerS: 20_000, usPerTurn: 50, cpuUsPerTurn: 75 },
      { size: 20_000, turnsPerS: 20_000, usPerTurn: 50, cpuUsPerTurn: 75, floorUsPerTurn: 40 },
    ],
    ratio: 2.5,
    cpuRatio: 2.5,
    floorRatio: 4,
  });
  assert.equal([growth.partners?.rows.map(({ size }) => size), growth.partners?.ratio], [[1, 100], 1]);
  assert.equal(growth.state?.rows.length, 1);
});

units('a journal of far-off keys knows all of them', () => {
  const journal = new Journal();
  const numbered = journal.numbered((key) => `k${key}`);
  for (const key of [1_000_000, 3, 1_000_000, 5_000]) numbered.acked(key);
  assert.equal([...journal.entries].sort(), [
    ['k1000000', 2, 0],
    ['k3', 1, 0],
    ['k5000', 1, 0],
  ]);
});

units('an open loop counts from when a call should have started, however late it could', async () => {
  // One lane of 50 ms takes 20 a second; 100 are due: the last ones wait for nearly all of the others.
  const measured = await drive(() => pause(50), { ...load, lanes: 1, ratePerS: 100, durationMs: 600 });
  const histogram = merged([measured.histogram]);
  assert.ok(histogram.maxValue > 300_000, `${histogram.maxValue} µs`);
  assert.ok(histogram.minNonZeroValue >= 49_000);
});

units('an open loop starts as many calls as it is asked for', async () => {
  let calls = 0;
  await drive(
    async () => {
      calls += 1;
      await pause(1);
    },
    { ...load, lanes: 100, ratePerS: 1_000, durationMs: 500 },
  );
  assert.ok(calls > 400 && calls <= 500, String(calls));
});

units('warm-up is not counted', async () => {
  const measured = await drive(() => pause(1), { ...load, warmupMs: 200, durationMs: 100 });
  assert.ok(measured.calls <= 4 * 100 && measured.series.length <= 2);
});

units('calls that fail are told by their code, and are no latencies', async () => {
  const failed: unknown[] = [];
  const measured = await drive(
    async () => {
      await pause(20);
      throw new SkerryError('overloaded', 'full');
    },
    load,
    { failed: (_lane, error) => failed.push(error) },
  );
  assert.is(measured.calls, 0);
  assert.is(measured.errors.overloaded, failed.length);
});

units('a journal finds what is lost and what is doubled, and forgives what is unknown', async () => {
  const [one, other] = [new Journal(), new Journal()];
  one.acked('right', 2);
  other.acked('right');
  one.acked('lost', 5);
  one.acked('doubled', 5);
  one.acked('unknown', 5);
  one.failed('unknown', new SkerryError('deadline', 'late', { effect: 'unknown' }));
  one.failed('right', new SkerryError('overloaded', 'full'));
  const numbered = other.numbered((key) => `number ${key}`);
  numbered.acked(7);
  numbered.acked(7);
  numbered.failed(7, new SkerryError('deadline', 'late', { effect: 'unknown' }));
  const held: Readonly<Record<string, number>> = { right: 3, lost: 4, doubled: 7, unknown: 6, 'number 7': 4 };
  const entries = together([one.entries, other.entries]);
  const verdict = await judge(entries, async (key) => held[key] ?? 0);
  assert.equal(verdict, { lost: 1, doubled: 3, checked: 5 });
});

units('the chance of ranks is that of Mann and Whitney', () => {
  assert.is(chanceOf([1, 2, 3], [4, 5, 6]), 2 / 20);
  assert.is(chanceOf([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 2 / 252);
  assert.is(chanceOf([1, 3, 5], [2, 4, 6]), 14 / 20);
  assert.is(chanceOf([5, 5, 5], [5, 5, 5]), 1);
});

const reportOf = (rates: readonly number[]) =>
  ({
    steps: [
      { step: 'x', repeats: rates.map((rate) => ({ throughputPerS: rate, p50Us: 1_000_000 / rate, p99Us: 100 })) },
    ],
  }) as unknown as Report;

units('a change is told from the noise, and few repeats from a change', () => {
  const changes = (before: readonly number[], after: readonly number[]) =>
    compare(reportOf(before), reportOf(after)).map(({ change }) => change);
  assert.equal(changes([10, 11, 12, 10, 11], [20, 21, 22, 20, 21]), ['better', 'better', 'noise']);
  assert.equal(changes([20, 21, 22, 20, 21], [10, 11, 12, 10, 11]), ['worse', 'worse', 'noise']);
  assert.equal(changes([10, 11, 12], [20, 21, 22]), ['unclear', 'unclear', 'noise']);
  assert.equal(changes([10, 14, 12, 11, 15], [11, 12, 13, 10, 16]), ['noise', 'noise', 'noise']);
});

units('messages of a frame are counted by its first bytes', () => {
  const counts = newCounts();
  const transport = countingTransport(new MemoryTransport(machineEnvironment(silentLog)), counts);
  const reply = { kind: 'reply', to: 'c', call: 1, status: 'answer', bytes: new Uint8Array(3) } as const;
  for (const count of [1, 12, 13, 70_000])
    transport.send(
      'skerry.main.client.c',
      encodeFrame(Array(count).fill(reply), { viewVersion: 1, hops: 0 }).subarray(0, 900_000),
    );
  transport.send('skerry.main.views', new Uint8Array([0x93]));
  assert.equal([counts.framesOut, counts.messagesOut], [4, 70_026]);
});

/** Time that goes on to the next end of a pause when nothing else is to be done. */
class SteppedTime {
  readonly #pauses: { readonly at: number; readonly end: () => void }[] = [];
  #now = 0;

  now(): number {
    return this.#now;
  }

  async pause(ms: number): Promise<void> {
    const ended = new Promise<void>((end) => this.#pauses.push({ at: this.#now + ms, end }));
    this.#pauses.sort((one, other) => one.at - other.at);
    setImmediate(() => this.#step());
    await ended;
  }

  /** One step for each pause: the earliest ends. */
  #step(): void {
    const next = this.#pauses.shift();
    if (next === undefined) return;
    this.#now = Math.max(this.#now, next.at);
    next.end();
  }
}

units('a pace finds out how long something takes, also when it becomes faster, and asks little', async () => {
  const time = new SteppedTime();
  const pace = new Pace(time);
  let questions = 0;
  const wait = async (ms: number) => {
    const from = time.now();
    await pace.until(async () => {
      questions += 1;
      return time.now() - from >= ms;
    });
    return time.now() - from;
  };
  for (let count = 0; count < 5; count++) await Promise.all(Array.from({ length: 32 }, () => wait(200)));
  for (let count = 0; count < 10; count++) await Promise.all(Array.from({ length: 32 }, () => wait(20)));
  questions = 0;
  const took = await wait(20);
  assert.ok(took < 24, `${took} ms`);
  assert.ok(questions <= 5, String(questions));
});

units('keys follow the law that they are asked to', () => {
  const share = (skew: number) => {
    const pick = zipf(1_000, seeded(1), skew);
    let first = 0;
    for (let count = 0; count < 20_000; count++) first += pick() === 0 ? 1 : 0;
    return first / 20_000;
  };
  assert.ok(share(0) < 0.005);
  // 1 / (1 + 1/2^0.99 + … ) over 1,000 keys.
  assert.ok(Math.abs(share(0.99) - 0.13) < 0.015, String(share(0.99)));
});

units('words become a plan, and what cannot be is refused with what can', () => {
  const { plan, files } = askedOf([
    'counter',
    '--store',
    'redis',
    '--rate',
    '5_000',
    '--duration',
    '2m',
    '--faults',
    'move@15s,kill@10s',
    '--workers',
    '2',
    '--json',
    'x.json',
  ]);
  assert.equal(
    [plan.store, plan.nats, plan.ratePerS, plan.durationMs],
    [{ kind: 'redis' }, { kind: 'own' }, 5_000, 120_000],
  );
  assert.equal(plan.faults, [
    { kind: 'kill', atMs: 10_000 },
    { kind: 'move', atMs: 15_000 },
  ]);
  assert.equal(files, { json: 'x.json' });
  const part = askedOf('counter --rate 70% --duration 10m --repeats 1'.split(' ')).plan;
  assert.equal([part.ratePart, part.ratePerS, part.durationMs], [0.7, undefined, 600_000]);
});

units(
  'a scenario whose own faults come later than its end has those that fit, and none that was asked for is left out',
  () => {
    const faultsOf = (words: string) => askedOf(words.split(' ')).plan.faults.map(({ atMs }) => atMs);
    assert.equal(faultsOf('failover --duration 40s'), [3_000, 8_000, 13_000, 18_000, 23_000, 28_000, 33_000, 38_000]);
    assert.throws(() => askedOf('failover --duration 2s'.split(' ')), /kill@3s comes after the end of the run/);
    assert.throws(() => askedOf('failover --faults kill@50s --duration 40s'.split(' ')), /kill@50s/);
  },
);

units('a plan that cannot be measured, or an option without effect, is refused with the reason', () => {
  const refused: readonly (readonly [words: string, why: RegExp])[] = [
    ['nothing', /there is no scenario 'nothing'; there are echo, /],
    ['counter --duration 5h', /--duration takes a time such as/],
    ['counter --store mysql', /--store takes memory, lmdb/],
    ['counter --nats own --workers 2', /cannot share the store 'memory'/],
    ['counter --faults kill@1s', /--workers 2/],
    ['counter --attach', /--nats/],
    ['counter --agents 2', /--nats/],
    ['counter --speed 9', /--speed/],
    ['counter --keys x', /whole number/],
    ['counter --rate 7x%', /--rate takes a whole number of calls per second, or a share of the maximum such as 70%/],
    ['counter --rate 0%', /--rate takes a whole number of calls per second, or a share/],
    ['activate --rate 70%', /activate has no measurable maximum/],
    ['counter --repeats 0', /--repeats takes a whole number of at least 1/],
    ['counter --duration 0s', /takes a positive time/],
    ['echo --state-bytes 500', /--state-bytes is an option of/],
    ['echo --partners 5', /--partners is an option of growth/],
    ['growth --rate 100', /--concurrency/],
    ['growth --partners 0', /at least 1/],
    ['growth --attach --nats nats://x:1', /growth restarts its workers/],
    ['counter --attach --nats nats://x:1 --workers 2', /leave out --workers/],
    ['counter --attach --nats nats://x:1 --store redis', /--store, as redis:/],
    ['hot --keys 5', /for --keys use the scenario counter/],
    ['activate --keys 5', /--duration decides their number/],
    ['move --duration 3s', /move@5s comes after the end of the run/],
    ['counter --workers 2 --faults kill@1s,move@5s --duration 5s', /move@5s comes after the end of the run/],
  ];
  for (const [words, why] of refused) assert.throws(() => askedOf(words.split(' ')), why);
});

units.run();
