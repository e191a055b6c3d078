/** Hashing: the same number for ever. */
import { hash, partitionOf } from '../../placement/hash.ts';
import { assert, suite } from '../support/suite.ts';
import { textOf } from '../support/tree.ts';

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
  assert.ok(texts.length >= 10, `${texts.length} texts`);
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

test.run();
