/**
 * What the outside client knows: every operation that it asked for, when, and what it was told about it.
 *
 * Owns what can be said about keys from outside alone: how long each waited at most, and when each answered again after a
 * fault. A key waits from the start of a call until one succeeds, however many calls fail in between.
 */
import { type CallEffect, isSkerryError } from '../../core/errors.ts';
import { type Numbers, note } from './numbers.ts';
import { clock } from './program.ts';

/** The numbered operations that one entity was asked for. */
export interface Asked {
  /** The last number given. */
  issued: number;
  readonly acknowledged: Numbers;
  /** Failed with effect `none`: they must not have happened. */
  readonly without: Numbers;
  /** Failed with effect `unknown`: they may have happened. */
  readonly unknown: Numbers;
}

/** A call under way. */
export interface Ticket {
  readonly address: string;
  /** 0: it changes nothing. */
  readonly n: number;
  readonly startedAt: number;
}

interface Key {
  underwayCount: number;
  /** When it began to wait; undefined: it does not. */
  waitsSince: number | undefined;
  /** The longest wait since the pauses were last taken, ms. */
  pauseMs: number;
}

/** A fault, and what became of the keys that it met. */
interface Mark {
  /** Keys that have not answered yet, with what they answered before the fault was complete. */
  readonly open: Map<string, (readonly [startedAt: number, endedAt: number])[]>;
  faultAt: number | undefined;
  /** Only calls that were started later show that the key is back. */
  completeAt: number;
  readonly recoveredMs: Map<string, number>;
}

export interface Failure {
  readonly address: string;
  readonly code: string;
  readonly effect: CallEffect;
  readonly message: string;
  /** When it failed, and after how long. */
  readonly at: number;
  readonly ms: number;
}

const failuresKept = 20;

export class Journal {
  readonly asked = new Map<string, Asked>();
  readonly failures: Failure[] = [];
  failureCount = 0;
  successCount = 0;
  /** Queries that showed less than what had been acknowledged before they were asked (P9). */
  staleCount = 0;
  /** Latencies of successes since they were last taken, ms. */
  latencies: number[] = [];
  readonly #keys = new Map<string, Key>();
  readonly #marks = new Map<string, Mark>();

  askedOf(address: string): Asked {
    let asked = this.asked.get(address);
    if (asked === undefined) {
      asked = { issued: 0, acknowledged: [], without: [], unknown: [] };
      this.asked.set(address, asked);
    }
    return asked;
  }

  /** A call that changes something. */
  begin(address: string): Ticket {
    return this.#start(address, ++this.askedOf(address).issued);
  }

  beginQuery(address: string): Ticket {
    return this.#start(address, 0);
  }

  #start(address: string, n: number): Ticket {
    const key = this.#keyOf(address);
    const startedAt = clock();
    key.underwayCount += 1;
    key.waitsSince ??= startedAt;
    return { address, n, startedAt };
  }

  #keyOf(address: string): Key {
    let key = this.#keys.get(address);
    if (key === undefined) {
      key = { underwayCount: 0, waitsSince: undefined, pauseMs: 0 };
      this.#keys.set(address, key);
    }
    return key;
  }

  succeeded({ address, n, startedAt }: Ticket): void {
    const now = clock();
    const key = this.#keyOf(address);
    this.successCount += 1;
    this.latencies.push(now - startedAt);
    if (n > 0) note(this.askedOf(address).acknowledged, n);
    key.underwayCount -= 1;
    key.pauseMs = Math.max(key.pauseMs, now - (key.waitsSince ?? startedAt));
    key.waitsSince = key.underwayCount > 0 ? now : undefined;
    for (const mark of this.#marks.values()) mark.open.get(address)?.push([startedAt, now]);
    for (const mark of this.#marks.values()) this.#settle(mark, address);
  }

  failed({ address, n, startedAt }: Ticket, error: unknown): void {
    const now = clock();
    const isTold = isSkerryError(error);
    const effect = isTold ? error.effect : 'unknown';
    const asked = this.askedOf(address);
    if (n > 0) note(effect === 'none' ? asked.without : asked.unknown, n);
    this.#keyOf(address).underwayCount -= 1;
    this.failureCount += 1;
    const code = isTold ? error.code : 'not told';
    if (this.failures.length < failuresKept)
      this.failures.push({ address, code, effect, message: String(error), at: now, ms: now - startedAt });
  }

  /** How long each key waited at most since this was last asked for, those that still wait included, ms. */
  takePauses(): Record<string, number> {
    const now = clock();
    const pauses = [...this.#keys].map(([address, key]) => {
      const stillMs = key.waitsSince === undefined ? 0 : now - key.waitsSince;
      const longest = Math.max(key.pauseMs, stillMs);
      key.pauseMs = 0;
      // What waits over the border counts on both sides: neither shows less than a caller saw.
      return [address, longest] as const;
    });
    return Object.fromEntries(pauses);
  }

  takeLatencies(): number[] {
    const { latencies } = this;
    this.latencies = [];
    return latencies;
  }

  // ---- faults

  /** A fault is about to meet these keys. */
  mark(name: string, addresses: readonly string[]): void {
    this.#marks.set(name, {
      open: new Map(addresses.map((address) => [address, []])),
      faultAt: undefined,
      completeAt: Number.POSITIVE_INFINITY,
      recoveredMs: new Map(),
    });
  }

  /** It happened at `faultAt`; what was asked before `completeAt` may have been answered in spite of it. */
  date(name: string, faultAt: number, completeAt: number): void {
    const mark = this.#marks.get(name);
    if (mark === undefined) return;
    mark.faultAt = faultAt;
    mark.completeAt = completeAt;
    for (const address of [...mark.open.keys()]) this.#settle(mark, address);
  }

  #settle(mark: Mark, address: string): void {
    const answers = mark.open.get(address);
    if (answers === undefined || mark.faultAt === undefined) return;
    const first = answers.find(([startedAt]) => startedAt >= mark.completeAt);
    if (first === undefined) return;
    mark.recoveredMs.set(address, first[1] - mark.faultAt);
    mark.open.delete(address);
  }

  /** From the fault to the first success of a call that was started after it, ms, for each key; and how many have none yet. */
  recovery(name: string): { readonly ms: number[]; readonly openCount: number } {
    const mark = this.#marks.get(name);
    return { ms: [...(mark?.recoveredMs.values() ?? [])], openCount: mark?.open.size ?? 0 };
  }
}
