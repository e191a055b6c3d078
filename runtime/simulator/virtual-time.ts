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
 */
import { everythingDone, promiseJobsDone } from '../environment.ts';

/** Whatever has events of its own: a worker's process, a client's, the network, the store. */
export interface SimulatedNode {
  readonly name: string;
  /** What its clock shows of the true time; `setClock` and `driftClock` change it. */
  clock: SimulatedClock;
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

/** A clock that was right, or off by so much, at a moment, and has been too fast (or slow) since. */
export interface SimulatedClock {
  readonly offsetMs: number;
  readonly since: number;
  /** Milliseconds a second. */
  readonly drift: number;
  /** By how much it was ahead at most (or, negative, behind at least). */
  mostMs: number;
}

export function newNode(name: string, offsetMs = 0): SimulatedNode {
  return {
    name,
    clock: { offsetMs, since: startedAt, drift: 0, mostMs: offsetMs },
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
  readonly #heap: Event[] = [];
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

  /** What a node's clock shows. */
  clockOf({ clock }: SimulatedNode): number {
    const { offsetMs, since, drift } = clock;
    const ahead = drift === 0 ? offsetMs : offsetMs + Math.round(((this.now - since) * drift) / 1_000);
    if (ahead > clock.mostMs) clock.mostMs = ahead;
    return this.now + ahead;
  }

  /** Set a node's clock on or (negative) back. */
  setClock(node: SimulatedNode, ms: number): void {
    node.clock = { ...node.clock, offsetMs: node.clock.offsetMs + ms };
  }

  /** From here on a node's clock is too fast or (negative) too slow by so many milliseconds a second. */
  driftClock(node: SimulatedNode, drift: number): void {
    node.clock = { ...node.clock, offsetMs: this.clockOf(node) - this.now, since: this.now, drift };
  }

  get elapsedMs(): number {
    return this.now - startedAt;
  }

  /** Have something happen on a node after a while; the function that comes back cancels it. */
  schedule(node: SimulatedNode, afterMs: number, label: string, run: () => void): () => void {
    const at = this.now + Math.max(0, Math.ceil(afterMs));
    const event: Event = { at, order: this.#order++, node, label, run, isCancelled: false };
    this.#push(event);
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
      this.#push(event);
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
      const next = this.#heap[0];
      if (next === undefined || next.at > until) break;
      this.#pop();
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

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Event;
      if (!isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[index] = heap[child] as Event;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
