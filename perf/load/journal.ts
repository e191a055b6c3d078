/**
 * A generator's journal of its own calls: the acknowledged and the unknown amount for each key.
 *
 * After the run an entity must hold at least what all generators had acknowledged, and at most that plus what is unknown.
 */
import { isSkerryError } from '../../core/errors.ts';
import type { Entries, Verdict } from '../plan.ts';

export class Journal {
  readonly #entries = new Map<string, { acked: number; unknown: number }>();
  readonly #numbered: NumberedJournal[] = [];

  acked(key: string, by = 1): void {
    this.#entry(key).acked += by;
  }

  /** Forgets a call that certainly had no effect. */
  failed(key: string, error: unknown, by = 1): void {
    if (mayBeDone(error)) this.#entry(key).unknown += by;
  }

  /** The same for numeric keys, without a look-up per call. */
  numbered(nameOf: (key: number) => string): NumberedJournal {
    const made = new NumberedJournal(nameOf);
    this.#numbered.push(made);
    return made;
  }

  #entry(key: string): { acked: number; unknown: number } {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { acked: 0, unknown: 0 };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  get entries(): Entries {
    const named = Array.from(this.#entries, ([key, { acked, unknown }]) => [key, acked, unknown] as const);
    return together([named, ...this.#numbered.map((journal) => journal.entries)]);
  }
}

const mayBeDone = (error: unknown) => !isSkerryError(error) || error.effect === 'unknown';

export class NumberedJournal {
  readonly #nameOf: (key: number) => string;
  /** By key. A map, since a sparse array is slow. */
  #acked = new Uint32Array(1_024);
  readonly #unknown = new Map<number, number>();

  constructor(nameOf: (key: number) => string) {
    this.#nameOf = nameOf;
  }

  acked(key: number): void {
    if (key >= this.#acked.length) {
      const more = new Uint32Array(2 * (key + 1));
      more.set(this.#acked);
      this.#acked = more;
    }
    this.#acked[key] = (this.#acked[key] ?? 0) + 1;
  }

  failed(key: number, error: unknown): void {
    if (mayBeDone(error)) this.#unknown.set(key, (this.#unknown.get(key) ?? 0) + 1);
  }

  get entries(): Entries {
    const entries: Entries[number][] = [];
    for (const [key, count] of this.#acked.entries()) if (count > 0) entries.push([this.#nameOf(key), count, 0]);
    for (const [key, count] of this.#unknown) entries.push([this.#nameOf(key), 0, count]);
    return entries;
  }
}

/** Merges the journals of several generators. */
export function together(journals: readonly Entries[]): Entries {
  const sums = new Map<string, [acked: number, unknown: number]>();
  for (const journal of journals)
    for (const [key, acked, unknown] of journal) {
      const sum = sums.get(key) ?? [0, 0];
      sums.set(key, [sum[0] + acked, sum[1] + unknown]);
    }
  return Array.from(sums, ([key, [acked, unknown]]) => [key, acked, unknown] as const);
}

const readsAtOnce = 512;

/** Compares what entities hold with the journal. */
export async function judge(entries: Entries, read: (key: string) => Promise<number>): Promise<Verdict> {
  let lost = 0;
  let doubled = 0;
  for (let from = 0; from < entries.length; from += readsAtOnce) {
    const group = entries.slice(from, from + readsAtOnce);
    await Promise.all(
      group.map(async ([key, acked, unknown]) => {
        const held = await read(key);
        lost += Math.max(0, acked - held);
        doubled += Math.max(0, held - acked - unknown);
      }),
    );
  }
  return { lost, doubled, checked: entries.length };
}
