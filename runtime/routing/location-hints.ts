/**
 * Whereabouts: where partitions are said to be while they are handed over, and the view already names, or still names, another.
 *
 * A hint, never a proof: whoever gets what it does not have sends it on, and by the view alone (`router.ts`), so that hints that
 * contradict each other cannot send anything round in a circle. Nobody says that a hint has become wrong if the worker that
 * has the partition cannot do anything with it; so each is believed for a moment, and then asked for anew by a message that
 * goes by the view.
 *
 * Invariants:
 * - M4 A hint holds for `hintMs`, within its view, and until its worker is found absent.
 */

/** Believed for so long, ms: some dozen round trips, and still no outage. */
const hintMs = 500;

interface Hint {
  readonly subject: string;
  readonly until: number;
}

export class LocationHints {
  readonly #now: () => number;
  readonly #hints = new Map<number, Hint>();
  /** Partitions of which there was a hint in this view. */
  readonly #hinted = new Set<number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  note(partition: number, subject: string): void {
    this.#hints.set(partition, { subject, until: this.#now() + hintMs });
    this.#hinted.add(partition);
  }

  /** Where it is said to be; undefined: where the view says. Costs nothing while there are no hints. */
  subjectOf(partition: number): string | undefined {
    if (this.#hints.size === 0) return undefined;
    const hint = this.#hints.get(partition);
    if (hint === undefined) return undefined;
    if (hint.until > this.#now()) return hint.subject;
    this.#hints.delete(partition);
    return undefined;
  }

  /** It is where the view says. */
  delete(partition: number): void {
    this.#hints.delete(partition);
  }

  /** Nobody listens there. */
  forget(subject: string): void {
    for (const [partition, hint] of this.#hints) if (hint.subject === subject) this.#hints.delete(partition);
  }

  /** A later view: returns the partitions whose messages may have gone by a hint. */
  clear(): ReadonlySet<number> {
    const hinted = new Set(this.#hinted);
    this.#hints.clear();
    this.#hinted.clear();
    return hinted;
  }
}
