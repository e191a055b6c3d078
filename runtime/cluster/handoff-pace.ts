/**
 * The pace of a move: a worker acquires partitions that others still run one share after the other.
 *
 * A partition pauses from the request until it has arrived, together with its whole share. A share is therefore sized to take
 * about `shareMs`: it doubles after one that took half of that, and halves after one that took longer. It is a small part of
 * the move, because its entities arrive at once. Between two shares both workers serve calls: a handoff costs as much as some
 * hundred calls, and nobody notices a move that takes a second longer.
 *
 * Owns the size and start of the next share, and the share in flight.
 *
 * Invariants:
 * - PA1 One share is in flight at a time, of at least one partition.
 * - PA2 After a share comes a rest, a few times as long as the share and at most `restMsMax`; then `rested` is called.
 * - PA3 A move has at most `sharesMax` shares, and rests of at most `restsMsMax` in total: a leaving worker waits for its end.
 */
import type { Environment } from '../environment.ts';

/** Target duration of a share, ms: a few commits. It is too short to notice, and long compared with the cost of a share. */
const shareMs = 16;
/** Minimum (if it has as many partitions) and maximum number of shares of a move. */
const sharesMin = 32;
const sharesMax = 256;
/** A quarter of the time of a move goes to its shares. */
const restFactor = 3;
const restMsMax = 48;
/** Maximum total rest of a move, ms. Under full load it is about two seconds; slow shares do not get faster by more rest. */
const restsMsMax = 3_000;

export class HandoffPace<Item> {
  readonly #environment: Environment;
  readonly #rested: () => void;
  readonly #share = new Set<Item>();
  #countMax = 1;
  /** The largest number of partitions of this move. */
  #movingCount = 0;
  #beganAt = 0;
  #isResting = false;
  /** Total rest of this move so far, ms. */
  #restedMs = 0;

  /** `rested` is called when the next share may begin. */
  constructor(environment: Environment, rested: () => void) {
    this.#environment = environment;
    this.#rested = rested;
  }

  /** The next share: the first of these partitions. Empty while a share is in flight (PA1) or a rest lasts (PA2). */
  begin(items: readonly Item[]): readonly Item[] {
    if (this.#share.size > 0 || this.#isResting) return [];
    this.#movingCount = items.length === 0 ? 0 : Math.max(this.#movingCount, items.length);
    if (items.length === 0) this.#restedMs = 0;
    const [countMin, countMax] = [Math.ceil(this.#movingCount / sharesMax), Math.ceil(this.#movingCount / sharesMin)];
    this.#countMax = Math.max(1, countMin, Math.min(this.#countMax, countMax));
    const share = items.slice(0, this.#countMax);
    for (const item of share) this.#share.add(item);
    this.#beganAt = this.#environment.steady();
    return share;
  }

  /** The partition has arrived, or is no longer expected. */
  end(item: Item): void {
    if (!this.#share.delete(item) || this.#share.size > 0) return;
    const tookMs = this.#environment.steady() - this.#beganAt;
    if (tookMs * 2 <= shareMs) this.#countMax *= 2;
    else if (tookMs > shareMs) this.#countMax = Math.max(1, Math.floor(this.#countMax / 2));
    this.#rest(Math.min(restMsMax, tookMs * restFactor, restsMsMax - this.#restedMs));
  }

  #rest(ms: number): void {
    if (ms <= 0) return;
    this.#restedMs += ms;
    this.#isResting = true;
    this.#environment.after(ms, () => {
      this.#isResting = false;
      this.#rested();
    });
  }
}
