/**
 * Partitions → workers: weighted rendezvous hashing with bounded load, computed from names and weights alone.
 *
 * Each pair of a partition and a worker has a score, a hash. In order of descending scores, each partition goes to the worker
 * of the pair if it has none yet and the worker has room. `docs/protocol.md` defines it exactly and has test vectors. This
 * code runs deferred acceptance, which has the same result without sorting all pairs: every partition proposes to the best
 * worker that has not rejected it; a worker keeps the best proposals, up to its room.
 *
 * Sources: Thaler, Ravishankar: "A Name-Based Mapping Scheme for Rendezvous", 1996; Mirrokni, Thorup, Zadimoghaddam:
 * "Consistent Hashing with Bounded Loads", 2016; Gale, Shapley: "College Admissions and the Stability of Marriage", 1962.
 *
 * Invariants:
 * - RV1 The same partitions, names and weights give the same owners, in every process and language, whatever the order.
 * - RV2 Every partition has an owner if there are workers, and no worker has more than 1.1 × its share, rounded up.
 * - RV3 A worker that joins or leaves moves little but its own share: decision 0008 has the figures.
 */
import { hash } from './hash.ts';

/** Largest weight. A weight is a whole number from 1, and the number of hashes per partition and worker. */
export const weightMax = 64;

interface Candidate {
  readonly name: string;
  readonly weight: number;
}

/** The state of one worker in deferred acceptance. */
interface Bidder {
  readonly capacity: number;
  /** Scores by the index of the partition. */
  readonly scores: Uint32Array;
  /** Indexes of the partitions that it keeps so far. */
  kept: number[];
}

/** The owner of each of `partitions`, by index; empty if there are no workers. */
export function ownersOf<Worker extends Candidate>(
  partitions: readonly number[],
  workers: readonly Worker[],
): Worker[] {
  if (workers.length === 0) return [];
  const sorted = [...workers].sort((one, other) => (one.name < other.name ? -1 : 1));
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  const [first = 0] = partitions;
  const scores = partitions.every((partition, index) => partition === first + index) ? knownScores : scoresOf;
  const bidders = sorted.map(({ name, weight }) => ({
    capacity: capacityOf(partitions.length, weight, total),
    scores: scores(partitions, name, weight),
    kept: [],
  }));
  return settle(partitions.length, bidders).map((bidder) => sorted[bidder] as Worker);
}

/** In whole numbers, so that every language rounds alike. */
function capacityOf(partitionCount: number, weight: number, total: number): number {
  return Math.floor((11 * partitionCount * weight + 10 * total - 1) / (10 * total));
}

/** Cached scores over all workers: 16 MB. */
const knownCountMax = 4_194_304;
const known = new Map<string, Uint32Array>();
let knownCount = 0;

/**
 * Scores of consecutive partitions, as a view needs them. A view usually differs from the last in one or two workers, and
 * hashing is most of the cost of a placement, so the scores of an earlier view are reused.
 */
function knownScores(partitions: readonly number[], name: string, weight: number): Uint32Array {
  const key = `${partitions[0]} ${partitions.length} ${weight} ${name}`;
  const remembered = known.get(key);
  if (remembered !== undefined) return remembered;
  const scores = scoresOf(partitions, name, weight);
  if (knownCount + scores.length > knownCountMax) {
    known.clear();
    knownCount = 0;
  }
  known.set(key, scores);
  knownCount += scores.length;
  return scores;
}

/**
 * The highest of `weight` hashes: among workers with even scores, one with twice the weight is best twice as often. The usual
 * formula, −weight / ln(score), has the same property, but logarithms differ between languages.
 */
function scoresOf(partitions: readonly number[], name: string, weight: number): Uint32Array {
  return Uint32Array.from(partitions, (partition) => {
    let best = hash(`${partition}:${name}`);
    for (let unit = 1; unit < weight; unit++) best = Math.max(best, hash(`${partition}.${unit}:${name}`));
    return best;
  });
}

/** Deferred acceptance in rounds. Returns the index of the final bidder of each partition. */
function settle(partitionCount: number, bidders: readonly Bidder[]): number[] {
  const asked = new Array<number>(partitionCount).fill(-1);
  let homeless = Array.from({ length: partitionCount }, (_, partition) => partition);
  while (homeless.length > 0) {
    for (const partition of homeless) {
      const next = nextBest(partition, bidders, asked[partition] as number);
      asked[partition] = next;
      bidders[next]?.kept.push(partition);
    }
    homeless = bidders.flatMap(turnAway);
  }
  return asked;
}

/** The best bidder after the last one proposed to. Of equal scores the first, because bidders are ordered by name. */
function nextBest(partition: number, bidders: readonly Bidder[], last: number): number {
  const limit = last < 0 ? Number.POSITIVE_INFINITY : scoreAt(bidders, last, partition);
  let best = -1;
  let bestScore = -1;
  for (let index = 0; index < bidders.length; index++) {
    const score = scoreAt(bidders, index, partition);
    const isAfter = score < limit || (score === limit && index > last);
    if (!isAfter || score <= bestScore) continue;
    best = index;
    bestScore = score;
  }
  return best;
}

function scoreAt(bidders: readonly Bidder[], index: number, partition: number): number {
  return bidders[index]?.scores[partition] as number;
}

/** The partitions that a bidder has no room for: those with its lowest scores; of equal ones the larger partitions. */
function turnAway(bidder: Bidder): number[] {
  const { kept, capacity, scores } = bidder;
  if (kept.length <= capacity) return [];
  kept.sort((one, other) => (scores[other] as number) - (scores[one] as number) || one - other);
  return kept.splice(capacity);
}
