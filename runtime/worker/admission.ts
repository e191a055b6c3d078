/**
 * Admission: decides on arrival which calls an overloaded worker accepts.
 *
 * A queue in which calls expire serves nobody: the worker runs calls whose callers have nearly given up, while the others wait in
 * vain. Once a call is late when its turn comes, the worker is overloaded. It then accepts only calls that would wait for a small
 * part of their deadline, by the rate at which it answers: the queue stays long enough to keep the worker busy, and short for the
 * calls that it serves.
 *
 * Owns the rate, and how much each client has called recently. The dispatcher owns the bounds on what is held.
 *
 * Invariants:
 * - AM1 A call is rejected by its deadline only if calls were late in the last two seconds, or were rejected for that, and only at
 *   a rate measured while a queue stood. A cold start rejects nothing, and neither does a burst that is served in time.
 * - AM2 A pause of the store or process does not lower the rate, nor does an idle worker. A window without an answer for `stallMs` is
 *   dropped, and one in which the queue was empty can only raise the rate.
 * - AM3 A client that calls less than half of the average is preferred: its calls may wait for a larger part of their deadline, and
 *   have their own room in the bounds (P12).
 * - AM4 A bounded number of clients is remembered; the others count as one.
 * - AM5 A call that had expired before it arrived does not make the worker overloaded: it did not wait here.
 */

import { type Arrival, judge } from '../../core/activity.ts';
import type { Limits } from '../../core/limits.ts';
import type { Activation } from '../entity/activation.ts';
import type { Batch } from '../entity/batch.ts';
import type { Environment } from '../environment.ts';
import type { MessageEnvelope, QueryEnvelope } from '../wire/envelope.ts';

type Call = MessageEnvelope | QueryEnvelope;

/** With fewer waiting messages nothing is measured, and no call is rejected by its deadline. */
export const busyFrom = 32;
/** Minimum length of a window, ms, and minimum answers in it. */
const windowMs = 250;
const windowCountMin = 8;
/** Weight of a window in the rate, which adapts within a second. */
const smoothing = 1 / 4;
/** Without an answer for this long the worker counts as paused (AM2), ms. */
const stallMs = 1_000;
/** A worker is overloaded until no call has been late, or rejected as late, for this long, ms. */
const lateMs = 2_000;
/** Parts of the remaining deadline for which a call may wait in an overloaded worker. */
const lateShare = { usual: 1 / 8, light: 1 / 2 };
/** Period over which the calls of clients are counted, ms. */
const countMs = 1_000;
/** Most clients that are remembered (AM4). */
const clientCountMax = 1_024;
const others = '';

/** The calls of one client in one period. */
interface Calls {
  count: number;
}
const noCalls: Readonly<Calls> = { count: 0 };

/** Calls of clients in one period. */
class Tally extends Map<string, Calls> {
  count = 0;

  /** Those of a client that calls now. */
  entry(client: string): Calls {
    const name = this.size < clientCountMax || this.has(client) ? client : others;
    let calls = this.get(name);
    if (calls === undefined) {
      calls = { count: 0 };
      this.set(name, calls);
    }
    return calls;
  }

  of(client: string): number {
    return (this.get(client) ?? this.get(others) ?? noCalls).count;
  }
}

/** The client of the last call, with its calls in this period and the number in the last one. Calls come many at a time. */
interface Caller {
  readonly identity: string;
  readonly replyTo: string;
  readonly calls: Calls;
  readonly before: number;
}

export class Admission {
  readonly #environment: Environment;
  /** Messages answered per millisecond while a queue stands; 0: unknown. */
  #perMs = 0;
  /** The current window: its start, its last answer, its answers, and the shortest queue. */
  #since = 0;
  #answeredAt = 0;
  #count = 0;
  #least = 0;
  #lateUntil = Number.NEGATIVE_INFINITY;
  readonly #cameLate = new WeakSet<Arrival>();
  #tally = new Tally();
  #lastTally = new Tally();
  #caller: Caller | undefined;
  #countedAt = Number.NEGATIVE_INFINITY;
  /** Whether answers are counted. */
  isMeasuring = false;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** The answers of a batch may leave. */
  released(_: Activation, { turnCount }: Batch): void {
    if (this.isMeasuring) this.answered(turnCount);
  }

  /** This many messages were answered. */
  answered(count: number): void {
    const now = this.#environment.steady();
    if (now - this.#answeredAt > stallMs) this.#begin(now, this.#least);
    this.#answeredAt = now;
    this.#count += count;
  }

  /** A message arrived. If it has expired already, that says nothing about the queue here (AM5). */
  arrived({ arrival }: MessageEnvelope, limits: Limits): void {
    if (judge(undefined, arrival, this.#environment.now(), limits) === 'expired') this.#cameLate.add(arrival);
  }

  /** A call was late when its turn came. */
  late({ arrival }: MessageEnvelope): void {
    if (this.isMeasuring && !this.#cameLate.has(arrival)) this.#lateUntil = this.#environment.steady() + lateMs;
  }

  /** A call arrived while few wait. In an overloaded worker that may be only because it rejected the others. */
  rest(): void {
    this.isMeasuring = this.#environment.steady() < this.#lateUntil;
    if (this.isMeasuring) this.#measure(0);
  }

  /** Whether a call will get its turn in time behind `ahead` of `waiting` messages. */
  isInTime(call: MessageEnvelope, waiting: number, before: number, isLight: boolean): boolean {
    const now = this.#measure(waiting);
    if (now >= this.#lateUntil || this.#perMs === 0) return true;
    const leftMs = call.arrival.expires - this.#environment.now();
    // An expired call is told so, with the time of this clock (C5).
    if (leftMs <= 0) return true;
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
    // Without a queue more could have been answered, so such a window can only raise the rate.
    if (this.#least > 0) this.#perMs += this.#perMs === 0 ? perMs : (perMs - this.#perMs) * smoothing;
    else if (this.#perMs > 0) this.#perMs = Math.max(this.#perMs, perMs);
    this.#begin(now, waiting);
    return now;
  }

  /** Counts a call of a client while much is held. Returns whether the client calls little (AM3); undefined: no other client calls. */
  isLight(call: Call): boolean | undefined {
    const now = this.#environment.steady();
    if (now - this.#countedAt >= countMs) {
      this.#lastTally = now - this.#countedAt < 2 * countMs ? this.#tally : new Tally();
      this.#tally = new Tally();
      this.#countedAt = now;
      this.#caller = undefined;
    }
    const { calls, before } = this.#callerOf(call);
    calls.count += 1;
    this.#tally.count += 1;
    const { size, count } = this.#lastTally;
    if (size < 2) return undefined;
    return 2 * size * Math.max(calls.count, before) < count;
  }

  #callerOf({ identity, replyTo }: Call): Caller {
    const last = this.#caller;
    if (last !== undefined && last.identity === identity && last.replyTo === replyTo) return last;
    const client = clientOf(identity, replyTo);
    this.#caller = { identity, replyTo, calls: this.#tally.entry(client), before: this.#lastTally.of(client) };
    return this.#caller;
  }
}

/** One identity is one client, whatever client ids it uses. A client without identity is known by the subject of its answers. */
function clientOf(identity: string, replyTo: string): string {
  return identity === '' ? `.${replyTo}` : identity;
}
