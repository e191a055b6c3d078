/** What the placement service is made of: steady time, the departed, announcements and their limits. */
import { isSameEntry, isSoundEntry } from '../../placement/announcement.ts';
import { Applicants, Departed } from '../../placement/departed-workers.ts';
import { Freshness, Stamps } from '../../placement/freshness.ts';
import { defaultPlacementLimits } from '../../placement/limits.ts';
import { weightMax } from '../../placement/rendezvous.ts';
import { SteadyClock } from '../../placement/steady-clock.ts';
import type { WorkerEntry } from '../../placement/view.ts';
import { entryOf } from '../support/service-play.ts';
import { assert, suite } from '../support/suite.ts';
import { textOf } from '../support/tree.ts';

const test = suite('placement units');
const limits = defaultPlacementLimits;

test('SC1: steady time is the clock’s while steps come when they are due', () => {
  const clock = new SteadyClock(1_000, 250);
  assert.is(clock.step(1_100, 100), 100);
  assert.is(clock.step(1_400, 400), 400);
  assert.is(clock.outer(500), 1_500);
  assert.is(clock.outer(0), 1_400, 'what is past is due now');
});

test('SC1: a pause passes as what was planned and lagMs, and a clock that goes back as nothing', () => {
  const clock = new SteadyClock(0, 250);
  assert.is(clock.step(90_000, 100), 350);
  assert.is(clock.step(5_000, 450), 350, 'the clock was put back');
  assert.is(clock.step(5_060, 450), 410, 'and goes on from there');
  assert.is(clock.step(5_310, 0), 660, 'a step that was due long ago: lagMs at most');
});

test('FR1, FR2: a sign counts once, not after a later one, and not when it was under way for longer than others', () => {
  // The other clock is an hour ahead.
  const sent = (at: number) => at + 3_600_000;
  const freshness = new Freshness();
  const hear = (stamp: number, time: number) => freshness.hear(stamp, time, 1_000);
  assert.is(hear(sent(0), 5), true);
  assert.is(hear(sent(0), 6), false, 'again');
  assert.is(hear(sent(250), 260), true);
  assert.is(hear(sent(100), 261), false, 'out of order');
  assert.is(hear(sent(500), 1_504), true, 'under way for 999 ms longer than the quickest');
  assert.is(hear(sent(750), 170_000), false, 'late');
  assert.is(hear(sent(169_900), 170_001), true, 'what comes in time counts again');
});

test('FR2: clocks that drift apart slowly make nothing late, and an answer tells anew how they differ', () => {
  const freshness = new Freshness();
  let at = 0;
  for (; at < 7_200_000; at += 250) assert.ok(freshness.hear(at * 0.999_9, at, 1_000), `at ${at}`);
  assert.is(freshness.hear(at - 5_000, at, 1_000), false, 'the other clock was put back');
  freshness.prove(at - 5_000, at);
  assert.is(freshness.hear(at - 4_750, at + 250, 1_000), false, 'its stamps do not go back');
  assert.is(freshness.hear(at * 0.999_9 + 1, at + 5_000, 1_000), true);
});

test('FR1: stamps begin with the clock, and rise with the time that passes, however the clock is set', () => {
  const stamps = new Stamps();
  const moments = [
    [1_000, 0],
    [1_250, 250],
    [1_250, 250],
    [500, 500],
    [90_000, 750],
  ] as const;
  assert.equal(
    moments.map(([now, steady]) => stamps.next(now, steady)),
    [1_000, 1_250, 1_251, 1_500, 1_750],
  );
});

test('DP1: who has left or was replaced stays out, who was suspected may return', () => {
  const departed = new Departed(limits);
  departed.add(entryOf('a-1'), false, 0);
  departed.add(entryOf('b-1'), true, 0);
  const forEver = () => ['a-1', 'b-1', 'c-1'].map((id) => departed.isForEver(id));
  assert.equal(forEver(), [false, true, false]);
  departed.admit(entryOf('a-2'));
  assert.equal(forEver(), [true, true, false], 'another process has its name');
  departed.admit(entryOf('a-1'));
  assert.is(departed.has('a-1'), false);
});

test('DP1: an applicant is one that announced itself and answers, by what it announced last', () => {
  const applicants = new Applicants(limits);
  assert.is(applicants.answered('a-1', 7, 0), undefined, 'a pong without an announcement says nothing');
  assert.is(applicants.ask(entryOf('a-1'), 10), true);
  assert.is(applicants.ask(entryOf('a-1'), 20), false, 'pinged just now');
  assert.is(applicants.heirOf('a', 20), undefined, 'it has not answered');
  assert.is(applicants.ask(entryOf('a-1', { weight: 2 }), 10 + limits.pingMs), true);
  const present = applicants.answered('a-1', 7, 600);
  assert.equal([present?.entry.weight, present?.sent], [2, 7]);
  assert.is(applicants.heirOf('a', 600)?.entry.id, 'a-1');
  assert.is(applicants.heirOf('b', 600), undefined);
  assert.is(applicants.heirOf('a', 600 + limits.suspectMs + 1), undefined, 'it was not heard since');
});

test('DP3: applicants beyond workerCountMax are not remembered, nor those that announce themselves no more', () => {
  const applicants = new Applicants({ ...limits, workerCountMax: 2 });
  assert.equal(
    ['a-1', 'b-1', 'c-1'].map((id) => applicants.ask(entryOf(id), 0)),
    [true, true, false],
  );
  applicants.forget(limits.deadMs);
  assert.is(applicants.ask(entryOf('c-1'), limits.deadMs), true);
});

test('DP2: ids are forgotten after rememberMs, and the oldest where there are more than rememberedCountMax', () => {
  const departed = new Departed({ ...limits, rememberedCountMax: 3 });
  const ids = ['a-1', 'b-1', 'c-1', 'd-1'];
  for (const [index, id] of ids.entries()) departed.add(entryOf(id), true, index);
  const known = () => ids.filter((id) => departed.has(id));
  assert.equal(known(), ['b-1', 'c-1', 'd-1']);
  departed.forget(limits.rememberMs);
  assert.equal(known(), ['b-1', 'c-1', 'd-1']);
  departed.forget(limits.rememberMs + 2);
  assert.equal(known(), ['d-1']);
});

const labelled = (count: number) =>
  Array.from({ length: count }, (_, index) => `label-${String(index).padStart(3, '0')}`);
const hosting = (count: number) => Array.from({ length: count }, (_, index) => ({ type: `type-${index}`, labels: [] }));

const sound: readonly Partial<WorkerEntry>[] = [
  {},
  { name: 'worker-1.example_A' },
  { name: 'n'.repeat(limits.workerNameLengthMax) },
  { id: 'i'.repeat(limits.workerNameLengthMax) },
  { version: '' },
  { version: '1.2.3-beta+build 7' },
  { weight: weightMax },
  { labels: ['gpu', 'zone:eu/2', 'zone=eu-1'] },
  { labels: labelled(limits.labelCountMax) },
  { types: [] },
  { types: hosting(limits.hostedTypeCountMax) },
];

const unsound: readonly object[] = [
  { name: '' },
  { name: 'n'.repeat(limits.workerNameLengthMax + 1) },
  { name: 'a b' },
  { name: 'grün' },
  { name: 'a:b' },
  { name: 7 },
  { id: '' },
  { id: 'a.b' },
  { id: 'a>' },
  { id: undefined },
  { version: 'v'.repeat(limits.workerNameLengthMax + 1) },
  { version: 'a\nb' },
  { version: null },
  { weight: 0 },
  { weight: 1.5 },
  { weight: weightMax + 1 },
  { weight: Number.NaN },
  { weight: '1' },
  { isLeaving: 1 },
  { labels: ['b', 'a'] },
  { labels: ['a', 'a'] },
  { labels: ['a,b'] },
  { labels: [''] },
  { labels: 'gpu' },
  { labels: labelled(limits.labelCountMax + 1) },
  { types: 'order' },
  { types: [null] },
  { types: [{ type: 'Order', labels: [] }] },
  { types: [{ type: 'order' }] },
  { types: [{ type: 'order', labels: ['b', 'a'] }] },
  { types: [...hosting(1), ...hosting(1)] },
  { types: hosting(limits.hostedTypeCountMax + 1) },
];

test('AN1: what is within the limits is sound, and what is beyond or of another kind is not', () => {
  for (const change of sound) assert.is(isSoundEntry(entryOf('a-1', change), limits), true, JSON.stringify(change));
  for (const change of unsound)
    assert.is(isSoundEntry({ ...entryOf('a-1'), ...change }, limits), false, JSON.stringify(change));
});

test('entries are the same if everything that they say is', () => {
  const entry = entryOf('a-1', { labels: ['gpu'] });
  assert.ok(isSameEntry(entry, structuredClone(entry)));
  const changes: readonly Partial<WorkerEntry>[] = [
    { name: 'b' },
    { id: 'b' },
    { weight: 2 },
    { labels: ['cpu'] },
    { labels: [] },
    { types: [] },
    { types: [{ type: 'game', labels: [] }] },
    { types: [{ type: 'order', labels: ['gpu'] }] },
    { version: '2' },
    { isLeaving: true },
  ];
  for (const change of changes) assert.not.ok(isSameEntry(entry, { ...entry, ...change }), JSON.stringify(change));
});

test('the limits of docs/placement.md are these', () => {
  const rows = [...(textOf('docs/placement.md') ?? '').matchAll(/^\| `(\w+)` \| (\d+) \|/gm)];
  assert.equal(
    rows.map(([, name, value]) => [name, Number(value)]),
    Object.entries(limits),
  );
});

test.run();
