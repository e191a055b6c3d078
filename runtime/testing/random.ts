/**
 * Seeded random numbers: one generator per concern, so that a new fault does not change the workload.
 *
 * Owns the generator (sfc32 by Chris Doty-Humphrey, PractRand) and the derivation of its state from a seed and a name.
 */
import { hash } from '../../placement/hash.ts';

/** A random number generator. The same seed and concern give the same sequence. */
export class SeededRandom {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  constructor(seed: string | number, concern: string) {
    this.#a = hash(`${seed}:${concern}:a`) | 0;
    this.#b = hash(`${seed}:${concern}:b`) | 0;
    this.#c = hash(`${seed}:${concern}:c`) | 0;
    for (let round = 0; round < 12; round++) this.next();
  }

  /** A random number, 0 <= next() < 1. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 4_294_967_296;
  }

  /** A random whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** True with probability `share`. */
  hits(share: number): boolean {
    return this.next() < share;
  }

  /** One of the values at random. */
  pick<Value>(values: readonly Value[]): Value {
    return values[Math.floor(this.next() * values.length)] as Value;
  }
}
