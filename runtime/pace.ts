/**
 * The pace at which a worker takes over what others still run: one share of partitions after the other.
 *
 * A partition pauses from the moment at which it is asked for until it is here, and with it everything in its share. So a
 * share is as large as takes about `shareMs`: twice as large after one that took half of that, half after one that took
 * more. Owns how large the next one is, and which one is on its way.
 *
 * Invariants:
 * - PA1 One share is on its way at a time, of at least one partition.
 */
import type { Environment } from './environment.ts';

/** What a share shall take, ms: a few commits. A person does not see it, and it is long beside what each costs. */
const shareMs = 16;

export class Pace<Item> {
  readonly #environment: Environment;
  readonly #share = new Set<Item>();
  #countMax = 1;
  #beganAt = 0;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** The next share of these, from their beginning; none while one is on its way (PA1). */
  begin(items: Iterable<Item>): readonly Item[] {
    if (this.#share.size > 0) return [];
    for (const item of items) {
      this.#share.add(item);
      if (this.#share.size >= this.#countMax) break;
    }
    this.#beganAt = this.#environment.now();
    return [...this.#share];
  }

  /** It is here, or not expected any more. */
  end(item: Item): void {
    if (!this.#share.delete(item) || this.#share.size > 0) return;
    const tookMs = this.#environment.now() - this.#beganAt;
    if (tookMs * 2 <= shareMs) this.#countMax *= 2;
    else if (tookMs > shareMs) this.#countMax = Math.max(1, Math.floor(this.#countMax / 2));
  }
}
