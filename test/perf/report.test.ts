/** What a report says, and what it leaves unsaid because it would mean nothing. */

import { Watchman } from '../../perf/load/availability-probe.ts';
import { newHistogram, packed, record } from '../../perf/load/histogram.ts';
import type { Lane } from '../../perf/load/load.ts';
import { askedOf } from '../../perf/options.ts';
import type { Measured } from '../../perf/plan.ts';
import { compareText } from '../../perf/report/compare.ts';
import { faultFacts } from '../../perf/report/fault-facts.ts';
import { pageOf } from '../../perf/report/html-report.ts';
import type { Mark, Outcome } from '../../perf/report/outcome.ts';
import { type Report, reportOf } from '../../perf/report/report.ts';
import { textOf } from '../../perf/report/text-report.ts';
import type { Stand } from '../../perf/scenario.ts';
import { scenarioOf } from '../../perf/scenarios/all.ts';
import { assert, suite } from '../support/suite.ts';

const said = suite('perf-report');

interface Happened {
  readonly marks?: readonly Mark[];
  readonly extra?: Measured['extra'];
}

/** Three seconds of a thousand calls each, the floor of twice as many. */
function outcomeOf(words: string, { marks = [], extra = {} }: Happened = {}): Outcome {
  const { plan } = askedOf(`${words} --duration 3s --repeats 1`.split(' '));
  const histogram = newHistogram();
  record(histogram, 1_000);
  const measured = {
    ...{ calls: 3_000, things: 3_000, elapsedMs: 3_000, errors: {}, histogram: packed(histogram), extra },
    ...{ slotMs: 1_000, slots: [], worstUs: [], series: Array<number>(30).fill(100) },
  };
  const steps = scenarioOf(plan.scenario)
    .steps(plan)
    .map(({ name }) => ({ step: name, measured: [measured], processes: [], marks, extra: {} }));
  const floors = [{ floor: 'in-process', measured: { ...measured, things: 6_000 } }];
  const verdict = { lost: 0, doubled: 0, checked: 1 };
  return {
    ...{ plan, startedAt: 0, repeats: [{ steps, floors, verdict }] },
    ...{ serverVersions: {}, durability: 'none', machines: [] },
  };
}

said('there is a ratio to a floor only of what is like it: a closed loop, undisturbed, of single calls', () => {
  for (const words of ['counter', 'hot', 'echo', 'read', 'activate']) {
    const report = reportOf(outcomeOf(words));
    assert.equal([report.ratio, report.floor?.ratio, report.floor?.p50Ratio], [0.5, 0.5, 1], words);
    assert.match(textOf(report), /p50 ratio\n(?:.*\n){1,2}floor .* 0\.50 +1\.00\n/);
    assert.match(pageOf(report), /, 0\.5 of the floor in-process; .*p50 ratio/s);
  }
  const unlike = ['counter --rate 100', 'counter --rate 70%', 'counter --workers 2 --faults move@1s'];
  for (const words of [
    ...unlike,
    'reserve',
    'fanout',
    'timers',
    'idle',
    'move --faults move@1s',
    'failover --faults kill@1s',
  ]) {
    const report = reportOf(outcomeOf(words));
    assert.equal([report.ratio, report.floor?.ratio, report.floor?.p50Ratio], [null, null, null], words);
    assert.is(report.floor?.throughputPerS, 2_000);
    assert.match(textOf(report), /floor in-process +2,000 /);
    for (const text of [textOf(report), pageOf(report)]) assert.not.match(text, /\bratio\b|null|0\.5 of/);
  }
});

said('two reports are warned of by what differs, and by nothing else', () => {
  const report = (plan: object, versions: object) =>
    ({ scenario: 'x', machine: { cores: 2 }, durability: 'none', plan, versions, steps: [] }) as unknown as Report;
  const store = { kind: 'redis' };
  const one = report({ keys: 100, durationMs: 1_000, store, ratePerS: 5 }, { node: '22', nats: '2.9' });
  const other = report({ keys: 200, durationMs: 1_000, store: { kind: 'lmdb' } }, { node: '24', nats: '2.9' });
  const warnings = (before: Report, after: Report) =>
    compareText(before, after)
      .split('\n')
      .filter((line) => line.startsWith('warning'));
  assert.equal(warnings(one, other), [
    'warning: the reports differ in their versions: node: 22 → 24',
    'warning: the reports differ in their plans: keys: 100 → 200, store: {"kind":"redis"} → {"kind":"lmdb"}, ratePerS: 5 → none',
  ]);
  assert.equal(warnings(one, { ...one, durability: 'all' }), [
    'warning: the reports differ in their durability: none → all',
  ]);
  assert.equal(warnings(one, { ...one, plan: { ...one.plan } }), []);
});

said('a report names where it measured, and not who may log in there', () => {
  const { plan } = reportOf(
    outcomeOf('counter --attach --nats nats://tok%20en@h:1,u:p@w@i:2 --store redis://:word@r:3/1'),
  );
  assert.equal(
    [plan.nats, plan.store],
    [
      { kind: 'at', url: 'nats://h:1,i:2' },
      { kind: 'redis', url: 'redis://r:3/1' },
    ],
  );
});

const mark = (kind: Mark['kind'], atMs: number): Mark => ({ kind, worker: 'worker-1', atMs, overMs: atMs + 500 });

said(
  'where nothing moved and nobody was killed there are no pauses, recoveries and dips, and faults that did not happen are told',
  () => {
    const nothing = { recoveryMs: [], pauseMs: [] };
    const moved = reportOf(outcomeOf('move --workers 2 --faults move@2s,move@2500ms', { extra: nothing }));
    const { faultsMissed } = moved;
    assert.equal(
      [moved.moved, moved.pauseP50Ms, moved.pauseP99Ms, moved.dipPercent, moved.dipMs],
      [0, null, null, null, null],
    );
    assert.equal(
      faultsMissed.map(({ kind, atMs, times, of }) => [kind, atMs, times, of]),
      [
        ['move', 2_000, 1, 1],
        ['move', 2_500, 1, 1],
      ],
    );
    const text = textOf(moved);
    assert.match(
      text,
      /move: no partition moved\nmove@2s did not happen: the run ended before\nmove@2500ms did not happen: /,
    );
    assert.not.match(text, /pauseP|dip/);
    assert.not.match(pageOf(moved), /pauseP50Ms<\/td><td>0/);
    const killed = reportOf(outcomeOf('failover --workers 2 --faults kill@2s', { extra: nothing }));
    assert.equal([killed.kills, killed.recoveryP50Ms, killed.recoveryP99Ms], [0, null, null]);
    assert.match(textOf(killed), /failover: no worker was killed\nkill@2s did not happen: the run ended before\n/);
  },
);

said('what faults did is told of those that happened', () => {
  const happened = { marks: [mark('kill', 1_000)], extra: { recoveryMs: [10, 30], pauseMs: [5] } };
  const report = reportOf(outcomeOf('failover --workers 2 --faults kill@1s,move@2s', happened));
  assert.equal(
    [report.kills, report.recoveryP50Ms, report.recoveryP99Ms, report.moved, report.pauseP50Ms],
    [1, 10, 30, 0, null],
  );
  assert.match(
    textOf(report),
    /kills 1, recoveryP50Ms 10, recoveryP99Ms 30, no partition moved\n.*\nmove@2s did not happen/,
  );
  const moved = reportOf(outcomeOf('move --workers 2 --faults move@1s', { ...happened, marks: [mark('move', 1_000)] }));
  assert.equal([moved.moved, moved.pauseP50Ms, moved.dipPercent, moved.faultsMissed], [1, 5, 0, []]);
  assert.is(moved.kills, undefined);
});

said('a scenario with faults of other kinds tells when each of them happened and what it did', () => {
  const happened = { marks: [mark('kill', 1_000), mark('move', 2_000)], extra: { recoveryMs: [10], pauseMs: [5, 7] } };
  const report = reportOf(outcomeOf('counter --workers 2 --faults kill@1s,move@2s', happened));
  assert.equal(
    [report.kills, report.recoveryP50Ms, report.moved, report.pauseP99Ms, report.dipPercent],
    [1, 10, 2, 7, 0],
  );
  assert.match(
    textOf(report),
    /counter 1: kill worker-1 at 1\.0 s, over at 1\.5 s; move worker-1 at 2\.0 s, over at 2\.5 s\n/,
  );
  const unwatched = reportOf(outcomeOf('fanout --workers 2 --faults kill@1s', { marks: [mark('kill', 1_000)] }));
  assert.equal([unwatched.kills, unwatched.recoveryP50Ms], [1, null]);
  assert.match(textOf(unwatched), /fanout: kills 1, recoveryP50Ms not measured, /);
});

said(
  'a watchman tells what moved from what was taken over of a killed worker, and asks each partition that it had',
  async () => {
    const owners: (string | undefined)[] = ['a', 'a', 'b'];
    const stand = {
      work: { run: 'r', keys: 3 },
      post: { view: { version: 1 }, where: (_type: string, name: string) => whereOf(Number(name.slice(2))) },
    };
    const whereOf = (partition: number) => ({ partition, worker: owners[partition] });
    const asked: number[] = [];
    const watched = stand as unknown as Stand;
    const watchman = new Watchman(watched, { type: 't', call: async (key) => void asked.push(key) });
    const lane = { key: 0, startedAt: performance.now() - 40 } as Lane;
    const viewed = (...now: readonly (string | undefined)[]) => {
      owners.splice(0, 3, ...now);
      stand.post.view = { version: stand.post.view.version + 1 };
      watchman.ended(lane, performance.now());
    };
    watched.onFault('kill', 'a');
    viewed(undefined, undefined, 'b');
    viewed('b', 'b', 'b');
    assert.equal([asked, (await watchman.extra()).pauseMs], [[0, 1], []]);
    viewed('a', 'b', 'b');
    const { recoveryMs, pauseMs } = await watchman.extra();
    assert.is(recoveryMs?.length, 2);
    assert.ok(pauseMs?.length === 1 && (pauseMs[0] ?? 0) >= 40, String(pauseMs));
  },
);

said('a dip is measured against the time in which nothing happened, however long something did', () => {
  const dipOf = (seriesPerS: number[], overMs: number) => {
    const marks = [{ kind: 'move' as const, worker: 'worker-1', atMs: 2_000, overMs }];
    const { dipPercent, dipMs } = faultFacts([{ kind: 'move', atMs: 2_000 }], { pauseMs: [1] }, [
      { seriesPerS, marks },
    ]);
    return [dipPercent, dipMs];
  };
  const flat = (count: number, perS: number) => new Array<number>(count).fill(perS);
  const course = [...flat(20, 1_000), ...flat(60, 600), ...flat(20, 1_000)];
  // Half seconds that lie in the six seconds by at least four of their five slots.
  assert.equal(dipOf(course, 7_000), [40, 5_800]);
  // Something happens most of the time.
  assert.equal(dipOf([...flat(20, 1_000), ...flat(80, 600)], 9_000), [40, 7_700]);
  assert.equal(dipOf(flat(100, 1_000), 7_000), [0, 0]);
  assert.equal(dipOf([...flat(20, 1_000), ...flat(5, 200), ...flat(75, 1_000)], 3_000), [40, 700]);
  // Nothing but the move.
  assert.equal(dipOf(flat(10, 500), 7_000), [0, 0]);
});

said.run();
