/**
 * Virtual time: the one queue of everything that happens in a simulation.
 *
 *     schedule ─▶ heap by (time, order) ─▶ run one event ─▶ all promise jobs ─▶ the next
 *
 * Owns the order of events, the trace and its hash, and the events of paused and dead nodes. Between two events every promise
 * job has run, so the same seed gives the same order for ever.
 *
 * Invariants:
 * - VT1 Time never goes back. Events of one time run in the order in which they were scheduled.
 * - VT2 No event of a dead node runs, and none of a paused node before it resumes.
 * - VT3 A machine's clock is never off by more than its bound, however it was set and however it drifts.
 */
import { DateHeap } from '../entity/date-heap.ts';
import { everythingDone, promiseJobsDone } from '../environment.ts';

/** The owner of events: a worker's process, a client's, the network, or the store. */
export interface SimulatedNode {
  readonly name: string;
  /** The clock of its machine. */
  readonly clock: Clock;
  /** Dead: none of its events runs any more. */
  isDead: boolean;
  /** Its worker was stopped, and must neither write nor send any more. */
  isStopped: boolean;
  /** When its worker was stopped. */
  stoppedAt: number;
  isPaused: boolean;
  /** Events that came due while it was paused. */
  readonly held: Event[];
}

interface Event {
  at: number;
  order: number;
  readonly node: SimulatedNode;
  readonly label: string;
  readonly run: () => void;
  isCancelled: boolean;
}

/**
 * A machine's clock. It is off by some ms, is set now and then (steps), and runs fast or slow (drifts), but is never off by more
 * than its bound. The machine's monotonic clock drifts with it, and does not step.
 */
export class Clock {
  readonly #offsetMsMax: number;
  #offsetMs: number;
  #rate = 1;
  /** When the offset was set, true time. */
  #setAt = startedAt;
  /** The monotonic clock when the rate was set, and the true time of that. */
  #steadyMs = 0;
  #steadySince = startedAt;
  /** The furthest that it was ever ahead: no time that it showed was later than the truth by more. */
  aheadMs: number;

  constructor(offsetMs = 0, offsetMsMax = Math.abs(offsetMs)) {
    this.#offsetMs = offsetMs;
    this.#offsetMsMax = offsetMsMax;
    this.aheadMs = offsetMs;
  }

  /** The time that it shows at a true time, in whole ms as `Date.now` does. */
  at(trueMs: number): number {
    const offsetMs = this.#offsetAt(trueMs);
    if (offsetMs > this.aheadMs) this.aheadMs = offsetMs;
    return trueMs + offsetMs;
  }

  #offsetAt(trueMs: number): number {
    if (this.#rate === 1) return this.#offsetMs;
    const offsetMs = this.#offsetMs + Math.round((trueMs - this.#setAt) * (this.#rate - 1));
    return Math.max(-this.#offsetMsMax, Math.min(this.#offsetMsMax, offsetMs));
  }

  /** The monotonic clock. */
  steadyAt(trueMs: number): number {
    return this.#steadyMs + (trueMs - this.#steadySince) * this.#rate;
  }

  /** True ms that pass during so many ms of its timer. */
  trueMs(ms: number): number {
    return ms / this.#rate;
  }

  step(offsetMs: number, trueMs: number): void {
    this.#offsetMs = offsetMs;
    this.#setAt = trueMs;
  }

  drift(rate: number, trueMs: number): void {
    this.step(this.#offsetAt(trueMs), trueMs);
    this.#steadyMs = this.steadyAt(trueMs);
    this.#steadySince = trueMs;
    this.#rate = rate;
  }
}

export function newNode(name: string, clock = new Clock()): SimulatedNode {
  return {
    name,
    clock,
    isDead: false,
    isStopped: false,
    stoppedAt: Number.POSITIVE_INFINITY,
    isPaused: false,
    held: [],
  };
}

/** Number of events before the process gets a turn. */
const eventsAtOnce = 256;
/** Most events at one moment. More mean a loop that does not let time pass. */
const eventsAtOneTimeMax = 100_000;
const startedAt = 1_600_000_000_000;

export class VirtualTime {
  readonly #heap = new DateHeap<Event>();
  readonly #trace: ((line: string) => void) | undefined;
  #order = 0;
  #low = 0x811c9dc5;
  #high = 0x9e3779b9;
  #standing = 0;
  now = startedAt;
  eventCount = 0;
  /** Errors thrown by an event, and rejected promises. Each one is a bug. */
  readonly onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void, trace?: (line: string) => void) {
    this.onError = onError;
    this.#trace = trace;
  }

  get elapsedMs(): number {
    return this.now - startedAt;
  }

  /** Schedules an event of a node after `ms`. Returns a function that cancels it. */
  schedule(node: SimulatedNode, afterMs: number, label: string, run: () => void): () => void {
    const at = this.now + Math.max(0, Math.ceil(afterMs));
    const event: Event = { at, order: this.#order++, node, label, run, isCancelled: false };
    this.#heap.push(event);
    return () => {
      event.isCancelled = true;
    };
  }

  pause(node: SimulatedNode): void {
    node.isPaused = true;
  }

  /** Events held during a pause run now, in their old order. */
  resume(node: SimulatedNode): void {
    node.isPaused = false;
    for (const event of node.held.splice(0)) {
      event.at = this.now;
      event.order = this.#order++;
      this.#heap.push(event);
    }
  }

  /** Adds a line to the trace and its hash. */
  note(text: string): void {
    let low = this.#low;
    let high = this.#high;
    for (let index = 0; index < text.length; index++) {
      low = Math.imul(low ^ text.charCodeAt(index), 0x01000193);
      high = Math.imul(high ^ low, 0x85ebca6b) ^ (high >>> 15);
    }
    this.#low = low;
    this.#high = high;
    this.#trace?.(`${String(this.elapsedMs).padStart(7)} ${text}`);
  }

  /** Adds a line for readers of the trace only. Its text is not made if nobody reads it. */
  tell(text: () => string): void {
    this.#trace?.(`${String(this.elapsedMs).padStart(7)}   ${text()}`);
  }

  /** Hash of the trace: the same for the same seed, in every process. */
  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  /** Runs events until `isDone` (true), or for `untilMs` (false). */
  async run(untilMs: number, isDone: () => boolean = () => false): Promise<boolean> {
    const until = this.now + untilMs;
    await everythingDone();
    for (;;) {
      if (isDone()) return true;
      const next = this.#heap.first;
      if (next === undefined || next.at > until) break;
      this.#heap.pop();
      if (this.#isOff(next)) continue;
      this.#standing = next.at === this.now ? this.#standing + 1 : 0;
      if (this.#standing === eventsAtOneTimeMax)
        this.onError(new Error(`time stands still: ${next.node.name} ${next.label}`));
      this.now = next.at;
      this.#run(next);
      await (this.eventCount % eventsAtOnce === 0 ? everythingDone() : promiseJobsDone());
    }
    await everythingDone();
    this.now = until;
    return isDone();
  }

  #isOff(event: Event): boolean {
    if (event.isCancelled || event.node.isDead) return true;
    if (!event.node.isPaused) return false;
    event.node.held.push(event);
    return true;
  }

  #run(event: Event): void {
    this.eventCount += 1;
    this.note(`${event.node.name} ${event.label} ${event.at}`);
    try {
      event.run();
    } catch (error) {
      this.onError(error);
    }
  }
}
