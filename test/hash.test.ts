/** Hashing and the view: pinned for ever, balanced, and moving no more than it must. */
import { hash, ownerOf, partitionOf } from '../placement/hash.ts';
import { viewOf, workerOf } from '../placement/view.ts';
import { assert, suite } from './support/suite.ts';
import { textOf } from './support/tree.ts';

const test = suite('hash');

/** The definition once more, from its sources: FNV-1a over UTF-8, then MurmurHash3's finaliser; by BigInt. */
function definition(text: string): number {
  let value = 0x811c9dc5n;
  for (const byte of new TextEncoder().encode(text)) value = ((value ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn;
  value = ((value ^ (value >> 16n)) * 0x85ebca6bn) & 0xffffffffn;
  value = ((value ^ (value >> 13n)) * 0xc2b2ae35n) & 0xffffffffn;
  return Number(value ^ (value >> 16n));
}

/** Never to be changed: stored data lies where these numbers say. */
const vectors: readonly (readonly [text: string, hash: number])[] = [
  ['', 0xab3e7c0b],
  ['a', 0x1a80b1b3],
  ['stock/tea', 0xa4528649],
  ['order/1', 0xb8c959c5],
  ['order/2', 0x17855347],
  ['0:worker-1', 0x9aaceb92],
  ['stock/ ', 0x09f5c4e7],
  ['stock/a\0b', 0x194208ba],
  ['stock/é', 0x33cbc7ab],
  ['stock/e\u0301', 0x9c265082],
  ['stock/茶', 0x0ce51329],
  ['stock/🍵', 0x44ddb8a5],
  ['k'.repeat(512), 0xe58a3856],
  ['茶'.repeat(2_000), 0x1c11c33d],
];

test('H1: the same text gives the same number for ever', () => {
  for (const [text, expected] of vectors) assert.is(hash(text), expected, JSON.stringify(text.slice(0, 20)));
});

test('H1: the vectors of docs/protocol.md, from which other languages are written, are these', () => {
  const page = textOf('docs/protocol.md') ?? '';
  const texts = [...page.matchAll(/^\| `([^`]+)` \| (\d+) \| `([0-9a-f]{8})` \| (\d*) \|$/gm)];
  for (const [, text, decimal, hexadecimal, partition] of texts) {
    const number = hash(text as string);
    assert.equal([String(number), number.toString(16).padStart(8, '0')], [decimal, hexadecimal], text);
    if (partition !== '') assert.is(String(partitionOf(text as string, 256)), partition);
  }
  const workers = ['worker-1', 'worker-2', 'worker-3'];
  const scores = [...page.matchAll(/^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (worker-\d) \|$/gm)];
  for (const [, partition, ...columns] of scores) {
    assert.equal(
      columns.slice(0, 3),
      workers.map((worker) => String(hash(`${partition}:${worker}`))),
      partition,
    );
    assert.is(ownerOf(Number(partition), workers), columns[3]);
  }
  assert.ok(texts.length >= 10 && scores.length >= 8, `${texts.length} texts, ${scores.length} scores`);
});

test('H1: ASCII and other texts follow one definition, whatever their length', () => {
  const texts = vectors.map(([text]) => text);
  for (let length = 0; length < 200; length++)
    texts.push('a'.repeat(length), `${'a'.repeat(length)}é`, '🍵'.repeat(length));
  texts.push('x'.repeat(10_000), '茶'.repeat(1_365), '茶'.repeat(1_366), '茶'.repeat(5_000));
  for (const text of texts) assert.is(hash(text), definition(text), `${text.length} of ${text.slice(0, 5)}`);
});

test('H1: a partition is the hash by the number of partitions', () => {
  for (const [text, expected] of vectors)
    for (const partitions of [1, 7, 256, 4_096]) assert.is(partitionOf(text, partitions), expected % partitions);
});

test('keys that count up spread evenly over the partitions', () => {
  const counts = new Array<number>(256).fill(0);
  const keys = 256 * 400;
  for (let key = 0; key < keys; key++) counts[partitionOf(`order/${key}`, 256)]! += 1;
  assert.ok(Math.min(...counts) > 300 && Math.max(...counts) < 500, `${Math.min(...counts)} to ${Math.max(...counts)}`);
});

const names = (count: number) => Array.from({ length: count }, (_, index) => `worker-${index + 1}`);
const shares = (owners: readonly string[]) => {
  const counts = new Map<string, number>();
  for (const owner of owners) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  return counts;
};

test('partitions spread over workers about evenly', () => {
  for (const count of [2, 3, 5, 10]) {
    const { owners } = viewOf(1, 4_096, names(count));
    for (const [worker, share] of shares(owners)) {
      const fair = 4_096 / count;
      assert.ok(Math.abs(share - fair) < fair * 0.2, `${worker} of ${count} has ${share}`);
    }
  }
});

test('H2: a worker that joins or leaves changes only the partitions that it gets or had', () => {
  for (const count of [1, 2, 5, 9]) {
    const before = viewOf(1, 256, names(count)).owners;
    const after = viewOf(2, 256, names(count + 1)).owners;
    const joined = `worker-${count + 1}`;
    const moved = after.filter((owner, partition) => owner !== before[partition]);
    assert.ok(moved.length > 0 && moved.every((owner) => owner === joined), 'a join takes, and nothing else moves');
    const without = viewOf(3, 256, names(count + 1).slice(1)).owners;
    for (const [partition, owner] of after.entries())
      if (owner !== 'worker-1') assert.is(without[partition], owner, 'a leave moves only what the leaver had');
  }
});

test('H1: the owner does not depend on the order of the list, and a tie goes to the smaller name', () => {
  const list = names(7);
  for (let partition = 0; partition < 256; partition++) {
    const owner = ownerOf(partition, list);
    assert.is(ownerOf(partition, [...list].reverse()), owner);
    assert.is(ownerOf(partition, [...list, ...list]), owner);
  }
  assert.is(ownerOf(0, []), undefined);
});

test('a view names the worker of every address', () => {
  const view = viewOf(1, 16, names(3));
  for (const [text] of vectors) assert.is(workerOf(view, text), view.owners[hash(text) % 16]);
  assert.is(workerOf(viewOf(1, 16, []), 'stock/tea'), '');
});

test.run();
