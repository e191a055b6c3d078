/**
 * The instrument itself: every scenario for a moment, and what its figures mean. How fast anything is, is no matter here.
 *
 * Time limit: 120 s.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { askedOf } from '../../perf/options.ts';
import { openTransport } from '../../perf/processes/process-setup.ts';
import { hireAgents, serveAgent } from '../../perf/processes/remote.ts';
import { startNats } from '../../perf/processes/servers.ts';
import { picturesOf, svgOf } from '../../perf/report/charts.ts';
import { compare } from '../../perf/report/compare.ts';
import { pageOf } from '../../perf/report/html-report.ts';
import { noViewer } from '../../perf/report/progress.ts';
import { type Report, reportOf } from '../../perf/report/report.ts';
import { textOf } from '../../perf/report/text-report.ts';
import { type RunOptions, run } from '../../perf/run.ts';
import { scenarios } from '../../perf/scenarios/all.ts';
import { assert, suite } from '../support/suite.ts';

const perf = suite('perf');

const moment = ['--duration', '700ms', '--warmup', '20ms', '--floor-duration', '400ms', '--floors', 'main'];
const few = ['--repeats', '1', '--concurrency', '32'];
const keys = ['--keys', '200'];
/** These call one entity, or each once. */
const withoutKeys = new Set(['hot', 'activate']);
/** Of those that need longer, or other words. */
const words: Readonly<Record<string, readonly string[]>> = {
  activate: ['--duration', '800ms'],
  growth: ['--keys', '2000', '--partners', '200', '--state-bytes', '5000', '--duration', '200ms', '--store', 'memory'],
  fanout: ['--concurrency', '2', '--duration', '800ms'],
  reserve: ['--concurrency', '4', '--duration', '800ms'],
  move: ['--duration', '2500ms', '--faults', 'move@300ms'],
  failover: ['--duration', '2500ms', '--faults', 'kill@300ms'],
  drain: [
    '--duration',
    '2s',
    '--warmup',
    '200ms',
    '--workers',
    '4',
    '--connections',
    '8',
    '--rate',
    '200',
    '--floors',
    'none',
  ],
  overload: ['--duration', '1s', '--warmup', '300ms', '--floors', 'none'],
};
const within: RunOptions = { viewer: noViewer, isForking: false };

async function measured(scenario: string, more: readonly string[] = [], options = within): Promise<Report> {
  const some = withoutKeys.has(scenario) ? [] : keys;
  const { plan } = askedOf([scenario, ...moment, ...few, ...some, ...(words[scenario] ?? []), ...more]);
  return reportOf(await run(plan, options));
}

let reports: ReadonlyMap<string, Report>;

perf.before(
  async () => {
    // Most of their time these wait; the others want the thread for themselves.
    const waiting = ['timers', 'idle', 'move', 'drain', 'failover', 'overload'];
    const made = await Promise.all(waiting.map(async (name) => [name, await measured(name)] as const));
    for (const { name } of scenarios) if (!waiting.includes(name)) made.push([name, await measured(name)]);
    reports = new Map(made);
  },
  { timeoutMs: 70_000 },
);

for (const { name } of scenarios)
  perf(`${name}: calls were made, none failed, and nothing was lost or doubled`, () => {
    const report = reports.get(name) as Report;
    assert.ok(
      report.throughputPerS > 0 && report.p50Us > 0 && report.p99Us >= report.p50Us,
      JSON.stringify(report.errors),
    );
    // More is offered than can be answered: what is turned away is told so, or late, and nothing else happens to it.
    const isExpected = (code: string) => name === 'overload' && (code === 'overloaded' || code === 'deadline');
    assert.equal(
      Object.keys(report.errors).filter((code) => !isExpected(code)),
      [],
    );
    assert.equal([report.lost, report.doubled], [0, 0]);
    assert.ok(name === 'idle' || report.checked > 0);
  });

/** What they count is not one call, or workers come and go. */
const unlike = new Set(['fanout', 'reserve', 'timers', 'idle', 'move', 'failover']);
/** Nothing bare is like them at all. */
const bare = new Set(['drain', 'overload']);

perf('a report has the ratio to its floor, what each process used, and where it was made', () => {
  for (const report of reports.values()) {
    const { scenario, floor } = report;
    if (bare.has(scenario)) assert.is(floor, null);
    else assert.ok(floor !== null && floor.throughputPerS > 0 && floor.p50Us > 0, scenario);
    const expected = report.throughputPerS / (floor?.throughputPerS ?? 1);
    if (bare.has(scenario)) assert.is(report.ratio, null);
    else if (unlike.has(scenario))
      assert.equal([report.ratio, floor?.ratio, floor?.p50Ratio], [null, null, null], scenario);
    else assert.ok(Math.abs((report.ratio ?? 0) / expected - 1) < 0.01, scenario);
    const [process] = report.steps[0]?.repeats[0]?.processes ?? [];
    assert.ok(process !== undefined && process.cpu > 0 && process.rssBytes > 0, scenario);
    assert.match(report.versions.node ?? '', /^\d+\./);
    assert.ok(report.durability !== '' && report.commit !== '' && Number(report.machine.cores) > 0);
  }
});

perf('failover and move tell how long keys were without an answer', () => {
  const failover = reports.get('failover');
  assert.is(failover?.kills, 1);
  assert.ok(Number(failover?.recoveryP50Ms) > 0 && Number(failover?.recoveryP99Ms) >= Number(failover?.recoveryP50Ms));
  const move = reports.get('move');
  assert.ok(Number(move?.moved) > 0 && Number(move?.pauseP99Ms) >= Number(move?.pauseP50Ms));
  assert.equal(
    move?.steps[0]?.repeats[0]?.marks.map(({ kind }) => kind),
    ['move'],
  );
});

perf('drain tells how long it took and what it put on the wire, and overload what each process needed', () => {
  const { drainMs, natsMessagesOut, natsBytesOut, slowConsumers, moved, steps } = reports.get('drain') as Report;
  assert.ok(Number(drainMs) > 0 && Number(natsMessagesOut) > 0 && Number(natsBytesOut) > 0 && Number(moved) > 0);
  assert.is(slowConsumers, 0);
  assert.equal(
    steps[0]?.repeats[0]?.marks.map(({ kind, worker }) => [kind, worker]),
    [['drain', '2 of 4 workers']],
  );
  const overload = reports.get('overload') as Report;
  for (const { facts, repeats } of overload.steps) {
    assert.ok(Number(facts.heldBytesMost) > 0 && Number(facts.envelopesPerCall) >= 1, JSON.stringify(facts));
    assert.equal(
      repeats[0]?.marks.map(({ kind }) => kind),
      ['stall'],
    );
  }
  assert.match(textOf(overload), /\n +offeredPerS .* CPU workers +CPU client-1/);
});

perf('timers fire once each, idle entities are weighed, activations are fresh and stored', () => {
  assert.is(reports.get('timers')?.fired, 200);
  assert.ok(Number(reports.get('idle')?.entityBytes) > 0);
  assert.equal(
    reports.get('activate')?.steps.map(({ step }) => step),
    ['fresh', 'stored'],
  );
});

perf('growth has a row for each size of each axis, and its costs are those of its steps', () => {
  const { growth = {}, steps } = reports.get('growth') as Report;
  const sizes = Object.entries(growth).map(([axis, { rows }]) => [axis, rows.map(({ size }) => size)]);
  assert.equal(Object.fromEntries(sizes), {
    entities: [1_000, 2_000],
    fewOfEntities: [1_000, 2_000],
    partners: [1, 100, 200],
    firstContacts: [1, 100, 200],
    state: [1_000, 5_000],
  });
  for (const { rows, ratio } of Object.values(growth)) {
    for (const { turnsPerS, usPerTurn, cpuUsPerTurn } of rows) {
      assert.ok(turnsPerS > 0 && cpuUsPerTurn > 0);
      assert.ok(Math.abs((usPerTurn * turnsPerS) / 1_000_000 - 1) < 0.01);
    }
    assert.ok(Math.abs(ratio / ((rows.at(-1)?.usPerTurn ?? 0) / (rows[0]?.usPerTurn ?? 1)) - 1) < 0.02);
  }
  const contacts = steps.filter(({ step }) => step.startsWith('firstContacts'));
  assert.equal(
    contacts.map(({ repeats }) => repeats[0]?.calls),
    [40, 40, 40],
  );
  const page = pageOf(reports.get('growth') as Report);
  assert.ok(page.includes('<h2>Growth</h2>') && page.includes('cost of a turn') && page.includes('<td>5,000</td>'));
});

perf('a part of the maximum is found in the same run, and its course is told', async () => {
  const report = await measured('counter', ['--rate', '30%', '--duration', '3500ms']);
  const [repeat] = report.steps[0]?.repeats ?? [];
  const { maximumPerS = 0, ratePerS = 0 } = repeat?.paced ?? {};
  assert.ok(Math.abs(ratePerS / (0.3 * maximumPerS) - 1) < 0.01, `${ratePerS} of ${maximumPerS}`);
  assert.ok(report.throughputPerS < 0.7 * maximumPerS, `${report.throughputPerS} of ${maximumPerS}`);
  assert.equal([report.errors, report.lost, report.doubled], [{}, 0, 0]);
  assert.is(repeat?.latencySeries.p99Us.length, 4);
  const { atMs = [], rssBytes = [] } = repeat?.processes[0]?.memory ?? {};
  assert.ok(atMs.length >= 4 && atMs.length <= 6 && rssBytes.every((bytes) => bytes > 1_000_000), String(atMs));
  const text = textOf(report);
  assert.match(text, /rate [\d,]+\/s of a maximum of [\d,]+\/s\n/);
  assert.match(text, /first third → last third: p50 .* → .*, p99 .* → /);
  assert.match(text, /first third → last third, MB: client-1 \d+ → \d+ \(heap \d+ → \d+\)\n/);
  const page = pageOf(report);
  assert.ok(page.includes('latencies over time') && page.includes('memory over time'));
});

perf('a report compared with itself is within the noise', () => {
  for (const report of reports.values())
    for (const row of compare(report, report)) assert.equal([row.change, row.changePercent], ['noise', 0]);
});

perf('a page and a picture need nothing else, and show every fault', () => {
  const report = reports.get('failover') as Report;
  const page = pageOf(report);
  assert.ok(page.includes('<svg') && page.includes('kill worker-1') && !/<(?:script|link|img)|url\(/.test(page));
  assert.match(svgOf(picturesOf(report)), /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
});

perf('workers and generators are processes of their own, and are gone afterwards', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-perf-test-'));
  try {
    const report = await measured('counter', ['--store', `lmdb:${folder}`], { viewer: noViewer, isForking: true });
    const [client] = report.steps[0]?.repeats[0]?.processes ?? [];
    assert.ok(client !== undefined && client.pid !== process.pid);
    assert.ok((client.counts.committedEntities ?? 0) > 0);
    assert.throws(() => process.kill(client.pid, 0), /ESRCH/);
    assert.is(report.floor?.name, 'lmdb-commit');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

perf('agents elsewhere are hired over NATS, share the load, and are free again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-perf-test-'));
  const nats = await startNats(folder);
  const transport = await openTransport(nats.url);
  try {
    const said: string[] = [];
    for (let agent = 0; agent < 2; agent++) serveAgent(transport, (text) => void said.push(text));
    const hired = await hireAgents(transport, 2);
    assert.is((await hireAgents(transport, 0)).hands.length, 0);
    const options = { ...within, remotes: hired.hands, machines: hired.machines };
    const report = await measured('counter', ['--nats', nats.url], options);
    assert.is(report.machines.length, 2);
    const names = report.steps[0]?.repeats[0]?.processes.map(({ name }) => name);
    assert.equal(names, ['worker-1', ...hired.hands.map(({ name }) => name)]);
    assert.equal([report.lost, report.doubled, report.floor?.name], [0, 0, 'nats-frames']);
    await hired.release();
    await pause(100);
    assert.equal(said, ['hired', 'hired', 'released', 'released']);
  } finally {
    await transport.close();
    await nats.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

perf.run();
