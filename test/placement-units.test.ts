/** What the placement service is made of: steady time, the departed, announcements and their limits. */
import { isSameEntry, isSoundEntry } from '../placement/announcement.ts';
import { Departed } from '../placement/departed.ts';
import { defaultPlacementLimits } from '../placement/limits.ts';
import { weightMax } from '../placement/rendezvous.ts';
import { SteadyClock } from '../placement/steady.ts';
import type { WorkerEntry } from '../placement/view.ts';
import { entryOf } from './support/service-play.ts';
import { assert, suite } from './support/suite.ts';
import { textOf } from './support/tree.ts';

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

test('DP1: who may return does so by what it announced since; who was replaced does not', () => {
  const departed = new Departed(limits);
  departed.add('a-1', 'may return', 0);
  departed.add('b-1', 'never again', 0);
  assert.is(departed.answered('a-1'), undefined, 'a pong without an announcement says nothing');
  assert.is(departed.ask(entryOf('a-1'), 10), true);
  assert.is(departed.ask(entryOf('a-1'), 20), false, 'pinged just now');
  assert.is(departed.ask(entryOf('a-1', { weight: 2 }), 10 + limits.pingMs), true);
  assert.is(departed.answered('a-1')?.weight, 2);
  assert.is(departed.ask(entryOf('b-1'), 10), false);
  assert.is(departed.answered('b-1'), undefined);
  assert.equal([departed.isForEver('a-1'), departed.isForEver('b-1'), departed.isForEver('c-1')], [false, true, false]);
});

test('DP2: ids are forgotten after rememberMs, and the oldest where there are more than rememberedCountMax', () => {
  const departed = new Departed({ ...limits, rememberedCountMax: 3 });
  for (const [index, id] of ['a', 'b', 'c', 'd'].entries()) departed.add(id, 'never again', index);
  const known = () => ['a', 'b', 'c', 'd'].filter((id) => departed.has(id));
  assert.equal(known(), ['b', 'c', 'd']);
  departed.forget(limits.rememberMs);
  assert.equal(known(), ['b', 'c', 'd']);
  departed.forget(limits.rememberMs + 2);
  assert.equal(known(), ['d']);
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
