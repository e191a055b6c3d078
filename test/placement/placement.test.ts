/** Placement: what everybody computes alike from one view. */
import { hash } from '../../placement/hash.ts';
import { Placement, partitionsMax, pinnedPartition } from '../../placement/placement.ts';
import type { Pin, View, WorkerEntry } from '../../placement/view.ts';
import { viewOf } from '../../placement/view.ts';
import { assert, suite } from '../support/suite.ts';
import { textOf } from '../support/tree.ts';

const test = suite('placement');

const order = { type: 'order', labels: [] };
const game = { type: 'game', labels: ['gpu'] };
const vault = { type: 'vault', labels: ['eu', 'gpu'] };

function entry(name: string, change: Partial<WorkerEntry> = {}): WorkerEntry {
  return { name, id: `${name}-1`, weight: 1, labels: [], types: [order], version: '1', isLeaving: false, ...change };
}

function view(workers: readonly WorkerEntry[], pins: readonly Pin[] = []): View {
  return { version: 1, partitions: 16, workers, pins };
}

/** The view of docs/protocol.md. */
const example = view(
  [
    entry('a'),
    entry('b', { weight: 2, labels: ['gpu'], types: [order, game] }),
    entry('c', { labels: ['eu', 'gpu'], types: [order, game, vault] }),
    entry('d', { labels: ['gpu'], types: [order, game], isLeaving: true }),
  ],
  [
    { address: 'game/42', worker: 'c' },
    { address: 'game/43', worker: 'a' },
    { address: 'order/1', worker: 'a' },
    { address: 'order/2', worker: 'z' },
  ],
);

const addresses = ['order', 'game', 'vault', 'stock'].flatMap((type) =>
  Array.from({ length: 100 }, (_, key) => `${type}/${key}`),
);

const ownerOf = (placement: Placement, address: string) => placement.workerOf(placement.partitionOf(address))?.name;

test('PL1, PL2, PL3: the vectors of docs/protocol.md, from which other languages are written, are these', () => {
  const placement = new Placement(example);
  const rows = [
    ...(textOf('docs/protocol.md') ?? '').matchAll(/^\| `(\w+\/[^`]+)` \| (\d+) \| (\d+) \| ([a-z]) \|$/gm),
  ];
  for (const [, address, ...columns] of rows) {
    const partition = placement.partitionOf(address as string);
    const seen = [String(partition), String(placement.homeOf(partition)), placement.workerOf(partition)?.name];
    assert.equal(seen, columns, address);
  }
  assert.ok(rows.length >= 11, `${rows.length} rows`);
});

test('every address has its home as the rest of its partition, whatever is pinned or labelled', () => {
  const pins = addresses.filter((_, index) => index % 3 === 0).map((address) => ({ address, worker: 'b' }));
  const placement = new Placement({ ...example, pins });
  for (const address of addresses) assert.is(placement.homeOf(placement.partitionOf(address)), hash(address) % 16);
});

test('PL1: the number of a pinned entity stays while its worker comes, leaves and is gone', () => {
  const pins = [{ address: 'order/1', worker: 'z' }];
  const [a, b] = [entry('a'), entry('b')];
  const views = [[a, b], [a, b, entry('z')], [a, b, entry('z', { isLeaving: true })], []].map((workers) =>
    view(workers, pins),
  );
  const numbers = views.map((one) => new Placement(one).partitionOf('order/1'));
  assert.equal(numbers, new Array(4).fill(pinnedPartition('order/1', 16)));
});

test('PL3: a pinned entity is with its worker, and without that where the others of its partition are', () => {
  const pins = [{ address: 'order/1', worker: 'z' }];
  const others = [entry('a'), entry('b')];
  const without = ownerOf(new Placement(view(others)), 'order/1');
  const place = (z: readonly WorkerEntry[]) => ownerOf(new Placement(view([...others, ...z], pins)), 'order/1');
  assert.is(place([entry('z')]), 'z');
  assert.is(place([]), without);
  assert.is(place([entry('z', { isLeaving: true })]), without);
  assert.is(place([entry('z', { types: [{ type: 'other', labels: ['x'] }] })]), without, 'z does not host orders');
});

test('PL3: a pinned entity whose worker lacks the labels stays in its group', () => {
  const z = entry('z', { types: [order, game] });
  const pins = [{ address: 'game/1', worker: 'z' }];
  const workers = [entry('b', { labels: ['gpu'], types: [order, game] }), z];
  assert.is(ownerOf(new Placement(view(workers, pins)), 'game/1'), 'b');
  const [b] = workers as [WorkerEntry];
  assert.is(ownerOf(new Placement(view([b, { ...z, labels: ['gpu'] }], pins)), 'game/1'), 'z');
});

test('PL2: an entity is on a worker that hosts its type and has its labels', () => {
  const placement = new Placement(example);
  for (const address of addresses) {
    const owner = placement.workerOf(placement.partitionOf(address));
    const [type] = address.split('/');
    assert.ok(owner !== undefined && !owner.isLeaving, address);
    if (type === 'game') assert.ok(owner.labels.includes('gpu'), address);
    if (type === 'vault') assert.is(owner.name, 'c');
  }
});

test('PL2: a worker that hosts only types with labels gets no home, and one without labels no group', () => {
  const placement = new Placement(view([entry('a'), entry('b', { labels: ['gpu'], types: [game] })]));
  assert.equal(placement.partitionsOf('a').filter((partition) => partition >= 16).length, 0);
  assert.equal(placement.partitionsOf('b').filter((partition) => partition < 16).length, 0);
  assert.is(placement.partitionsOf('a').length, 16);
  assert.is(placement.partitionsOf('b').length, 16);
});

test('PL2: of two versions that disagree on labels both are obeyed', () => {
  const old = entry('a', { labels: ['gpu'], types: [game] });
  const next = entry('b', { labels: ['eu', 'gpu'], types: [{ type: 'game', labels: ['eu'] }] });
  const placement = new Placement(view([old, next]));
  for (const address of addresses.filter((one) => one.startsWith('game/'))) assert.is(ownerOf(placement, address), 'b');
  assert.is(ownerOf(new Placement(view([old, entry('b')])), 'game/1'), 'a');
});

test('PL2: with nobody who can, or only who is leaving, a partition has no owner', () => {
  assert.is(new Placement(view([])).workerOf(0), undefined);
  assert.is(new Placement(view([entry('a', { isLeaving: true })])).workerOf(0), undefined);
  const lacking = new Placement(view([entry('a', { types: [order, game] })]));
  assert.is(ownerOf(lacking, 'game/1'), undefined);
  assert.is(ownerOf(lacking, 'order/1'), 'a');
});

test('PL4: groups, pins and homes share no number, and the largest is exact', () => {
  const layers = [0, 1 + 0, 1 + 0xffffffff, 2 ** 32 + 1, 2 ** 32 + 1 + 0xffffffff];
  assert.is(new Set(layers).size, 5, 'lowest and highest layer of each kind');
  assert.ok(partitionsMax - 1 + partitionsMax * (layers.at(-1) as number) < Number.MAX_SAFE_INTEGER);
  const placement = new Placement(example);
  const { partitionNumbers } = placement;
  assert.equal([...new Set(partitionNumbers)].length, 16 * 3 + 4, 'homes, two groups, four pins');
  assert.equal(
    [...partitionNumbers].sort((one, other) => one - other),
    [...partitionNumbers],
  );
  assert.is(placement.partitionOf('order/1') >= 16 * (2 ** 32 + 1), true);
});

test('what a worker should own is what it is the owner of', () => {
  const placement = new Placement(example);
  const all = ['a', 'b', 'c', 'd', 'z'].flatMap((name) => placement.partitionsOf(name).map((one) => [one, name]));
  const expected = placement.partitionNumbers.map((one) => [one, placement.workerOf(one)?.name]);
  assert.equal(new Map(all as [number, string][]), new Map(expected as [number, string][]));
  assert.is(all.length, expected.length);
  placement.partitionsOf('a').pop();
  assert.is(placement.partitionsOf('a').length, all.filter(([, name]) => name === 'a').length, 'the list is a copy');
});

test('a number that the view does not have has no owner', () => {
  const before = new Placement(example).partitionOf('order/1');
  assert.is(new Placement({ ...example, pins: [] }).workerOf(before), undefined);
});

test('a fixed view has workers that can run everything', () => {
  const fixed = viewOf(3, 64, ['two', 'one', 'two'], ['order', game, vault]);
  assert.equal(
    fixed.workers.map(({ name, id, labels }) => [name, id, ...labels]),
    [
      ['one', 'one', 'eu', 'gpu'],
      ['two', 'two', 'eu', 'gpu'],
    ],
  );
  const placement = new Placement(fixed);
  for (const address of addresses) assert.ok(ownerOf(placement, address) !== undefined, address);
});

test.run();
