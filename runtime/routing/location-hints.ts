/**
 * Location hints: the current owners of partitions during a handoff, while the view names another worker.
 *
 * A hint is not a proof. A worker forwards what it does not own by the view alone (`router.ts`), so contradictory hints
 * cannot make a message circle. A hint is never withdrawn when it becomes wrong. It therefore expires soon, and the next
 * message goes by the view and brings a new one.
 *
 * Invariants:
 * - M4 A hint holds for `hintMs`, within its view, and until its worker is found absent.
 */

/** Life of a hint, ms: some dozen round trips, and too short for an outage. */
const hintMs = 500;

interface Hint {
  readonly subject: string;
  readonly until: number;
}

export class LocationHints {
  readonly #now: () => number;
  readonly #hints = new Map<number, Hint>();
  /** Partitions that had a hint in this view. */
  readonly #hinted = new Set<number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  note(partition: number, subject: string): void {
    this.#hints.set(partition, { subject, until: this.#now() + hintMs });
    this.#hinted.add(partition);
  }

  /** The subject of the hinted worker; undefined: follow the view. Costs nothing while there are no hints. */
  subjectOf(partition: number): string | undefined {
    if (this.#hints.size === 0) return undefined;
    const hint = this.#hints.get(partition);
    if (hint === undefined) return undefined;
    if (hint.until > this.#now()) return hint.subject;
    this.#hints.delete(partition);
    return undefined;
  }

  /** The partition is where the view says. */
  delete(partition: number): void {
    this.#hints.delete(partition);
  }

  /** Drops the hints to a subject without a listener. */
  forget(subject: string): void {
    for (const [partition, hint] of this.#hints) if (hint.subject === subject) this.#hints.delete(partition);
  }

  /** Drops all hints for a later view. Returns the partitions whose messages may have followed a hint. */
  clear(): ReadonlySet<number> {
    const hinted = new Set(this.#hinted);
    this.#hints.clear();
    this.#hinted.clear();
    return hinted;
  }
}
