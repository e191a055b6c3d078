/**
 * The pace at which a worker takes over what others still run: one share of partitions after the other.
 *
 * A partition pauses from the moment at which it is asked for until it is here, and with it everything in its share. So a
 * share is as large as takes about `shareMs`: twice as large after one that took half of that, half after one that took
 * more; and a small part of the whole, since its entities all come in one go. Owns how large the next one is, and which one
 * is on its way.
 *
 * Invariants:
 * - PA1 One share is on its way at a time, of at least one partition.
 */
import type { Environment } from './environment.ts';

/** What a share shall take, ms: a few commits. A person does not see it, and it is long beside what each costs. */
const shareMs = 16;
/** A move has at least so many shares, if it has as many partitions. */
const sharesMin = 32;

export class Pace<Item> {
  readonly #environment: Environment;
  readonly #share = new Set<Item>();
  #countMax = 1;
  /** Of how many the move was at its largest. */
  #movingCount = 0;
  #beganAt = 0;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** The next share of these, from their beginning; none while one is on its way (PA1). */
  begin(items: readonly Item[]): readonly Item[] {
    if (this.#share.size > 0) return [];
    this.#movingCount = items.length === 0 ? 0 : Math.max(this.#movingCount, items.length);
    this.#countMax = Math.max(1, Math.min(this.#countMax, Math.ceil(this.#movingCount / sharesMin)));
    const share = items.slice(0, this.#countMax);
    for (const item of share) this.#share.add(item);
    this.#beganAt = this.#environment.now();
    return share;
  }

  /** It is here, or not expected any more. */
  end(item: Item): void {
    if (!this.#share.delete(item) || this.#share.size > 0) return;
    const tookMs = this.#environment.now() - this.#beganAt;
    if (tookMs * 2 <= shareMs) this.#countMax *= 2;
    else if (tookMs > shareMs) this.#countMax = Math.max(1, Math.floor(this.#countMax / 2));
  }
}
