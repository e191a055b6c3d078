/**
 * Admission: which calls an overloaded worker takes in, judged when they arrive.
 *
 * A queue in which calls expire serves nobody: the worker spends its time on calls whose callers have nearly given up, and the
 * rest wait in vain. Once a call has come to its turn too late, the worker is overloaded. It then takes in only those calls that
 * would wait for a small part of their deadline, by the rate at which it answers: the queue stays long enough to keep the worker
 * busy, and short for the calls that are served.
 *
 * Owns the rate, and how much of late each client has asked. The bounds on what is held are the pump's.
 *
 * Invariants:
 * - AM1 A call is refused by its deadline only if calls were late in the last two seconds, or were refused for that, and only at a
 *   rate that was measured while a queue stood. A cold start refuses nobody, and neither does a burst that is served in time.
 * - AM2 A pause of the store or of the process is no rate, nor is what a worker answers that has nothing to do: the windows
 *   in which nothing was answered for `stallMs` are dropped, and those in which the queue was empty make no rate lower.
 * - AM3 A client that asks for less than half of what clients ask for on average is let in before the others: it has a larger
 *   part of its deadline to wait, and room of its own in the bounds (P12).
 * - AM4 So many clients are remembered, at most; the others count as one.
 */

import type { Activation } from '../entity/activation.ts';
import type { Batch } from '../entity/batch.ts';
import type { Environment } from '../environment.ts';
import type { MessageEnvelope, QueryEnvelope } from '../wire/envelope.ts';

type Call = MessageEnvelope | QueryEnvelope;

/** With fewer waiting nothing is measured, and nobody is refused by a deadline. */
export const busyFrom = 32;
/** A window has at least this length, ms, and so many answers. */
const windowMs = 250;
const windowCountMin = 8;
/** How much a window counts in the rate: it follows within a second. */
const smoothing = 1 / 4;
/** Nothing was answered for so long: that is a pause (AM2), ms. */
const stallMs = 1_000;
/** A worker is overloaded until no call was late, nor refused as one that would be, for so long, ms. */
const lateMs = 2_000;
/** Parts of what is left of a deadline that a call may wait in an overloaded worker. */
const lateShare = { usual: 1 / 8, light: 1 / 2 };
/** What clients ask for is counted for so long, ms. */
const countMs = 1_000;
/** Clients of which that is known (AM4). */
const clientCountMax = 1_024;
const others = '';

/** What the clients asked for in one period. */
class Tally extends Map<string, number> {
  count = 0;

  add(client: string): void {
    const name = this.size < clientCountMax || this.has(client) ? client : others;
    this.set(name, (this.get(name) ?? 0) + 1);
    this.count += 1;
  }

  of(client: string): number {
    return this.get(client) ?? this.get(others) ?? 0;
  }
}

export class Admission {
  readonly #environment: Environment;
  /** Messages that are answered in a millisecond while a queue stands; 0: nobody knows. */
  #perMs = 0;
  /** The window: since when, the last answer in it, how many there were, and the fewest that waited. */
  #since = 0;
  #answeredAt = 0;
  #count = 0;
  #least = 0;
  #lateUntil = Number.NEGATIVE_INFINITY;
  #tally = new Tally();
  #lastTally = new Tally();
  #countedAt = Number.NEGATIVE_INFINITY;
  /** Whether answers are counted. */
  isMeasuring = false;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** The answers to a batch's messages may leave. */
  released(_: Activation, { turnCount }: Batch): void {
    if (this.isMeasuring) this.answered(turnCount);
  }

  /** So many messages were answered. */
  answered(count: number): void {
    const now = this.#environment.steady();
    if (now - this.#answeredAt > stallMs) this.#begin(now, this.#least);
    this.#answeredAt = now;
    this.#count += count;
  }

  /** A call came to its turn too late. */
  late(): void {
    if (this.isMeasuring) this.#lateUntil = this.#environment.steady() + lateMs;
  }

  /** A call arrived, and few wait. While it is overloaded that may be only because it refused the others. */
  rest(): void {
    this.isMeasuring = this.#environment.steady() < this.#lateUntil;
    if (this.isMeasuring) this.#measure(0);
  }

  /** Whether a call that arrives where so many wait will come to its turn in time, behind so many of them. */
  isInTime(call: MessageEnvelope, waiting: number, before: number, isLight: boolean): boolean {
    const now = this.#measure(waiting);
    const leftMs = call.arrival.expires - this.#environment.now();
    // A call that has expired is told so, with the time that it is here (C5).
    if (now >= this.#lateUntil || this.#perMs === 0 || leftMs <= 0) return true;
    const share = isLight ? lateShare.light : lateShare.usual;
    if (before / this.#perMs <= leftMs * share) return true;
    this.#lateUntil = now + lateMs;
    return false;
  }

  #begin(now: number, waiting: number): void {
    this.isMeasuring = true;
    this.#since = now;
    this.#answeredAt = now;
    this.#count = 0;
    this.#least = waiting;
  }

  #measure(waiting: number): number {
    const now = this.#environment.steady();
    if (!this.isMeasuring || now - this.#answeredAt > stallMs) {
      this.#begin(now, waiting);
      return now;
    }
    this.#least = Math.min(this.#least, waiting);
    const ms = now - this.#since;
    if (ms < windowMs || this.#count < windowCountMin) return now;
    const perMs = this.#count / ms;
    // Where no queue stood more might have been answered: such a window tells of a better rate only.
    if (this.#least > 0) this.#perMs += this.#perMs === 0 ? perMs : (perMs - this.#perMs) * smoothing;
    else if (this.#perMs > 0) this.#perMs = Math.max(this.#perMs, perMs);
    this.#begin(now, waiting);
    return now;
  }

  /** A call came of a client where much is held. Whether that client asks for little (AM3); undefined: no other asks. */
  isLight(call: Call): boolean | undefined {
    const now = this.#environment.steady();
    if (now - this.#countedAt >= countMs) {
      this.#lastTally = now - this.#countedAt < 2 * countMs ? this.#tally : new Tally();
      this.#tally = new Tally();
      this.#countedAt = now;
    }
    const client = clientOf(call);
    this.#tally.add(client);
    const { size, count } = this.#lastTally;
    if (size < 2) return undefined;
    return 2 * size * Math.max(this.#tally.of(client), this.#lastTally.of(client)) < count;
  }
}

/** One login is one client, however many it says that it is; who has none is known by where its answers go. */
function clientOf({ identity, replyTo }: Call): string {
  return identity === '' ? `.${replyTo}` : identity;
}
