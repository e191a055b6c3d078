/**
 * Rendezvous hashing with bounded load: the definition, the balance, and how little moves.
 *
 * Time limit: 90 s.
 */
import fc from 'fast-check';
import { hash } from '../../placement/hash.ts';
import { ownersOf, weightMax } from '../../placement/rendezvous.ts';
import { assert, suite } from '../support/suite.ts';
import { textOf } from '../support/tree.ts';

const test = suite('rendezvous');

interface Worker {
  readonly name: string;
  readonly weight: number;
}

const page = textOf('docs/protocol.md') ?? '';
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);
const even = (count: number) => upTo(count).map((index) => ({ name: `worker-${index + 1}`, weight: 1 }));
const namesOf = (workers: readonly Worker[]) => workers.map(({ name }) => name);

function scoreOf(partition: number, { name, weight }: Worker): number {
  const hashes = upTo(weight).map((unit) => hash(unit === 0 ? `${partition}:${name}` : `${partition}.${unit}:${name}`));
  return Math.max(...hashes);
}

function roomOf(count: number, workers: readonly Worker[], { weight }: Worker): number {
  const total = BigInt(workers.reduce((sum, one) => sum + one.weight, 0));
  return Number((11n * BigInt(count) * BigInt(weight) + 10n * total - 1n) / (10n * total));
}

/** The definition of docs/protocol.md, word by word. */
function definition(partitions: readonly number[], workers: readonly Worker[]): string[] {
  const pairs = partitions.flatMap((partition) =>
    workers.map((worker) => ({ partition, worker, score: scoreOf(partition, worker) })),
  );
  pairs.sort(
    (one, other) =>
      other.score - one.score ||
      (one.worker.name < other.worker.name ? -1 : one.worker.name > other.worker.name ? 1 : 0) ||
      one.partition - other.partition,
  );
  const owners = new Map<number, string>();
  const room = new Map(workers.map((worker) => [worker.name, roomOf(partitions.length, workers, worker)]));
  for (const { partition, worker } of pairs) {
    const left = room.get(worker.name) as number;
    if (owners.has(partition) || left === 0) continue;
    owners.set(partition, worker.name);
    room.set(worker.name, left - 1);
  }
  return partitions.map((partition) => owners.get(partition) as string);
}

const someWorkers = (max: number) =>
  fc.uniqueArray(fc.record({ name: fc.stringMatching(/^[a-z0-9.-]{1,6}$/), weight: fc.integer({ min: 1, max: 9 }) }), {
    selector: ({ name }) => name,
    minLength: 1,
    maxLength: max,
  });

test('RV1: what runs is the definition of docs/protocol.md', () => {
  fc.assert(
    fc.property(someWorkers(9), fc.integer({ min: 1, max: 64 }), fc.nat(2 ** 40), (workers, count, first) => {
      const partitions = upTo(count).map((index) => first + index);
      assert.equal(namesOf(ownersOf(partitions, workers)), definition(partitions, workers));
    }),
    { numRuns: 300 },
  );
});

test('RV1: the scores of docs/protocol.md are these, and the highest wins where nobody is full', () => {
  const workers = even(3);
  const owners = namesOf(ownersOf(upTo(256), workers));
  const rows = [...page.matchAll(/^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (worker-\d) \|$/gm)];
  for (const [, partition, ...columns] of rows) {
    const scores = workers.map((worker) => String(scoreOf(Number(partition), worker)));
    assert.equal([...scores, owners[Number(partition)]], columns, partition);
  }
  assert.ok(rows.length >= 9, `${rows.length} rows`);
  const counts = workers.map(({ name }) => owners.filter((owner) => owner === name).length);
  assert.match(page, `worker-1 has ${counts[0]}, worker-2 ${counts[1]}, worker-3 ${counts[2]}`);
});

test('RV1: the owners and rooms of docs/protocol.md are these', () => {
  const rows = [...page.matchAll(/^\| ((?:[a-z] \d+(?:, )?)+) \| ([\d ]+) \| `([a-z ]+)` \|$/gm)];
  for (const [, listed, rooms, owners] of rows) {
    const workers = (listed as string).split(', ').map((one) => {
      const [name, weight] = one.split(' ') as [string, string];
      return { name, weight: Number(weight) };
    });
    assert.is(namesOf(ownersOf(upTo(16), workers)).join(' '), owners, listed);
    assert.is(workers.map((worker) => roomOf(16, workers, worker)).join(' '), rooms, listed);
  }
  assert.ok(rows.length >= 5, `${rows.length} rows`);
});

test('RV1: the order of the list does not matter', () => {
  fc.assert(
    fc.property(someWorkers(12), fc.integer({ min: 1, max: 64 }), (workers, count) => {
      const owners = namesOf(ownersOf(upTo(count), workers));
      assert.equal(namesOf(ownersOf(upTo(count), [...workers].reverse())), owners);
    }),
    { numRuns: 100 },
  );
});

test('RV1: of equal scores the smaller name is asked first and the other one next', () => {
  const [first, second] = ['n1e12qwuflx325', 'nuq7or518dvetu'];
  assert.is(hash(`0:${first}`), hash(`0:${second}`));
  const workers = [second, 'z0', first].map((name) => ({ name, weight: 1 }));
  assert.equal(namesOf(ownersOf([0], workers)), [first]);
  assert.equal(namesOf(ownersOf([0, 1], workers)), [second, first], 'the first has room for one, and better ones');
});

test('RV1: of equal scores of one worker the smaller partition stays', () => {
  const partitions = [110470905003, 239500398036];
  assert.is(new Set(partitions.map((partition) => hash(`${partition}:w`))).size, 1);
  const workers = ['y0', 'y1', 'w'].map((name) => ({ name, weight: 1 }));
  assert.is(ownersOf(partitions, workers)[0]?.name, 'w');
  assert.is.not(ownersOf(partitions, workers)[1]?.name, 'w');
});

test('RV2: everybody has at most 1.1 × its share, rounded up, and every partition an owner', () => {
  fc.assert(
    fc.property(someWorkers(50), fc.constantFrom(1, 7, 64, 256), (workers, count) => {
      const owners = namesOf(ownersOf(upTo(count), workers));
      assert.is(owners.length, count);
      for (const worker of workers) {
        const share = owners.filter((owner) => owner === worker.name).length;
        assert.ok(share <= roomOf(count, workers, worker), `${worker.name} has ${share}`);
      }
    }),
    { numRuns: 100 },
  );
  assert.equal(ownersOf(upTo(4), []), []);
});

test('RV2: a worker has partitions in proportion to its weight', () => {
  const workers = [1, 2, 4, weightMax].map((weight) => ({ name: `w-${weight}`, weight }));
  const owners = namesOf(ownersOf(upTo(4_096), workers));
  const total = 1 + 2 + 4 + weightMax;
  for (const { name, weight } of workers) {
    const [share, fair] = [owners.filter((owner) => owner === name).length, (4_096 * weight) / total];
    assert.ok(share > fair * 0.75, `${name} has ${share} of ${fair}`);
  }
});

/** Partitions that change hands between two workers that were both there before and after. */
function extraMoves(count: number, workers: readonly Worker[], joiner: Worker): number {
  const before = namesOf(ownersOf(upTo(count), workers));
  const after = namesOf(ownersOf(upTo(count), [...workers, joiner]));
  return after.filter((owner, partition) => owner !== joiner.name && owner !== before[partition]).length;
}

/** A join read backwards is a leave: both move the same. */
function movesOf(count: number, most: number, hasWeights: boolean): { readonly mean: number; readonly worst: number } {
  const moves: number[] = [];
  const weightOf = (text: string) => (hasWeights ? 1 + (hash(text) % 8) : 1);
  for (let present = 1; present <= most; present++)
    for (let round = 0; round < 4; round++) {
      const names = upTo(present + 1).map((index) => `worker-${round}-${index}`);
      const workers = names.map((name) => ({ name, weight: weightOf(name) }));
      moves.push(extraMoves(count, workers.slice(0, -1), workers.at(-1) as Worker));
    }
  return { mean: moves.reduce((sum, one) => sum + one, 0) / moves.length, worst: Math.max(...moves) };
}

test('RV3: the figures of decision 0008 are these, and little but its own share moves with a worker', () => {
  const text = textOf('docs/decisions/0008-owners.md') ?? '';
  const rows = [...text.matchAll(/^\| (\d+) \| 1 to (\d+) \| (even|1 to 8) \| ([\d.]+) \| (\d+) \|$/gm)];
  for (const [, count, most, weights, mean, worst] of rows) {
    const moves = movesOf(Number(count), Number(most), weights !== 'even');
    assert.equal([moves.mean.toFixed(1), String(moves.worst)], [mean, worst], `${count} ${most} ${weights}`);
    assert.ok(moves.worst <= Number(count) / 10, 'never more than a tenth of all');
  }
  assert.ok(rows.length >= 4, `${rows.length} rows`);
});

test.run();
