/**
 * Virtual time: the one queue of everything that happens in a simulation.
 *
 *     schedule ─▶ heap by (time, order) ─▶ run one event ─▶ all promise jobs ─▶ the next
 *
 * Owns the order of events, the trace and its hash, and what becomes of the events of a node that is paused or dead.
 * Between two events every promise job has run, so the same seed gives the same order for ever.
 *
 * Invariants:
 * - VT1 Time never goes back; events of one time run in the order in which they were scheduled.
 * - VT2 Nothing of a dead node runs, and nothing of a paused one before it goes on.
 * - VT3 A machine's clock is never off by more than its bound, however it was set and however it drifts.
 */
import { DateHeap } from '../entity/date-heap.ts';
import { everythingDone, promiseJobsDone } from '../environment.ts';

/** Whatever has events of its own: a worker's process, a client's, the network, the store. */
export interface SimulatedNode {
  readonly name: string;
  /** That of its machine. */
  readonly clock: Clock;
  /** Gone: nothing of it runs any more. */
  isDead: boolean;
  /** Its worker was told to stop, and must neither write nor send from there. */
  isStopped: boolean;
  /** When that was. */
  stoppedAt: number;
  isPaused: boolean;
  /** What came to pass while it was paused. */
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
 * A machine's clock: off by some ms, set again now and then (it steps), and too fast or too slow (it drifts), but never off by more
 * than its bound. A steady timer of the machine drifts with it, and does not step.
 */
export class Clock {
  readonly #offsetMsMax: number;
  #offsetMs: number;
  #rate = 1;
  /** When the offset was set, true time. */
  #setAt = startedAt;
  /** What its steady count was when the rate was set, and when that was. */
  #steadyMs = 0;
  #steadySince = startedAt;
  /** The furthest that it was ever ahead: what it said at any time was at most so much later than the truth. */
  aheadMs: number;

  constructor(offsetMs = 0, offsetMsMax = Math.abs(offsetMs)) {
    this.#offsetMs = offsetMs;
    this.#offsetMsMax = offsetMsMax;
    this.aheadMs = offsetMs;
  }

  /** What it shows at a true time: whole ms, as `Date.now` does. */
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

  /** What nobody sets. */
  steadyAt(trueMs: number): number {
    return this.#steadyMs + (trueMs - this.#steadySince) * this.#rate;
  }

  /** True ms that its timer takes for so many of its own. */
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

/** Events before the process gets its turn. */
const eventsAtOnce = 256;
/** At one moment; more means that somebody waits without letting time pass. */
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
  /** Errors that an event threw or a promise was rejected with: every one is a bug. */
  readonly onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void, trace?: (line: string) => void) {
    this.onError = onError;
    this.#trace = trace;
  }

  get elapsedMs(): number {
    return this.now - startedAt;
  }

  /** Have something happen on a node after a while; the function that comes back cancels it. */
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

  /** What was held happens now, in its old order. */
  resume(node: SimulatedNode): void {
    node.isPaused = false;
    for (const event of node.held.splice(0)) {
      event.at = this.now;
      event.order = this.#order++;
      this.#heap.push(event);
    }
  }

  /** Take something into the trace and its hash. */
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

  /** For the reader of a trace only; the text is not made when nobody reads. */
  tell(text: () => string): void {
    this.#trace?.(`${String(this.elapsedMs).padStart(7)}   ${text()}`);
  }

  /** The trace as one number: the same for the same seed, in every process. */
  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  /** Run events until something is so, or until a time has come; true in the first case. */
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
      this.#perform(next);
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

  #perform(event: Event): void {
    this.eventCount += 1;
    this.note(`${event.node.name} ${event.label} ${event.at}`);
    try {
      event.run();
    } catch (error) {
      this.onError(error);
    }
  }
}
