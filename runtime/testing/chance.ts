/** Chance for loads and example data: one number of state, and the same on every machine. The simulator has `SeededRandom`. */

/** 0 <= chance() < 1. */
export type Chance = () => number;

/** mulberry32, by Tommy Ettinger: 32 bits of state. */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number, both ends included. */
export function whole(chance: Chance, from: number, to: number): number {
  return from + Math.floor(chance() * (to - from + 1));
}

/** Zipf's law: of `count`, the n-th is picked 1/n^skew as often as the first. With a skew of 0 all are picked equally often. */
export function zipf(count: number, chance: Chance, skew = 1): () => number {
  if (skew === 0) return () => Math.floor(chance() * count);
  const sums = new Float64Array(count);
  let total = 0;
  for (let rank = 0; rank < count; rank += 1) {
    total += 1 / (rank + 1) ** skew;
    sums[rank] = total;
  }
  return () => firstAbove(sums, chance() * total);
}

function firstAbove(sums: Float64Array, point: number): number {
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sums[middle] as number) > point) high = middle;
    else low = middle + 1;
  }
  return low;
}
