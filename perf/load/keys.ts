/** Chooses keys, uniformly or by Zipf's law. The same seed gives the same keys. */

/** mulberry32, by Tommy Ettinger. */
export function chanceOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function picker(keys: number, skew: number, chance: () => number): () => number {
  if (skew === 0) return () => Math.floor(chance() * keys);
  const sums = new Float64Array(keys);
  let total = 0;
  for (let rank = 0; rank < keys; rank++) {
    total += 1 / (rank + 1) ** skew;
    sums[rank] = total;
  }
  return () => firstAbove(sums, chance() * total);
}

function firstAbove(sums: Float64Array, point: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sums[middle] as number) > point) high = middle;
    else low = middle + 1;
  }
  return low;
}
