/**
 * The pace at which a worker takes over what others still run: one share of partitions after the other.
 *
 * A partition pauses from the moment at which it is asked for until it is here, and with it everything in its share. So a
 * share is as large as takes about `shareMs`: twice as large after one that took half of that, half after one that took
 * more; and a small part of the whole, since its entities all come in one go. Between two shares both sides work for those
 * who call: a handoff costs as much as some hundred calls, and a move that takes a second longer is seen by nobody. Owns how
 * large the next share is, when it begins, and which one is on its way.
 *
 * Invariants:
 * - PA1 One share is on its way at a time, of at least one partition.
 * - PA2 After a share comes a rest, a few times as long as the share took and at most `restMsMax`; then `rested` is called.
 * - PA3 The rests of a move are `restsMsMax` together, and its shares `sharesMax`: whoever leaves waits for its end, and not for ever.
 */
import type { Environment } from '../environment.ts';

/** What a share shall take, ms: a few commits. A person does not see it, and it is long beside what each costs. */
const shareMs = 16;
/** A move has at least so many shares, if it has as many partitions, and at most so many. */
const sharesMin = 32;
const sharesMax = 256;
/** Of the time of a move a quarter goes to the shares. */
const restFactor = 3;
const restMsMax = 48;
/** Under full load a move rests for two seconds or so; where shares take longer than they should, rests are no help. */
const restsMsMax = 3_000;

export class HandoffPace<Item> {
  readonly #environment: Environment;
  readonly #rested: () => void;
  readonly #share = new Set<Item>();
  #countMax = 1;
  /** Of how many the move was at its largest. */
  #movingCount = 0;
  #beganAt = 0;
  #isResting = false;
  /** Of this move. */
  #restedMs = 0;

  /** `rested`: the next share may begin. */
  constructor(environment: Environment, rested: () => void) {
    this.#environment = environment;
    this.#rested = rested;
  }

  /** The next share of these, from their beginning; none while one is on its way (PA1) or was just now (PA2). */
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

  /** It is here, or not expected any more. */
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
