/**
 * Small maps: they take no memory while empty and very little with one part. An idle entity has half a dozen of them, a worker has up
 * to a million entities, and most entities talk to one partner at a time.
 *
 * The methods behave as those of `Map`. A map that becomes empty frees its memory. A table also counts the bytes that its parts carry.
 */
import type { Content } from './activity.ts';

export class Parts<Key, Part> {
  /** The key of the only part; undefined while there are none, or several. */
  #only: Key | undefined;
  /** The only part, or a map of several. */
  #held: Part | Map<Key, Part> | undefined;

  get #map(): Map<Key, Part> | undefined {
    return this.#only === undefined ? (this.#held as Map<Key, Part> | undefined) : undefined;
  }

  get size(): number {
    if (this.#only !== undefined) return 1;
    return this.#held === undefined ? 0 : (this.#held as Map<Key, Part>).size;
  }

  get(key: Key): Part | undefined {
    if (this.#only !== undefined) return this.#only === key ? (this.#held as Part) : undefined;
    return this.#held === undefined ? undefined : (this.#held as Map<Key, Part>).get(key);
  }

  has(key: Key): boolean {
    return this.#only === undefined ? this.#map?.has(key) === true : this.#only === key;
  }

  set(key: Key, part: Part): void {
    if (this.#only === key || this.size === 0) {
      this.#only = key;
      this.#held = part;
      return;
    }
    this.#several().set(key, part);
  }

  /** Turns the single part into a map. */
  #several(): Map<Key, Part> {
    if (this.#only === undefined) return this.#held as Map<Key, Part>;
    const map = new Map<Key, Part>([[this.#only, this.#held as Part]]);
    this.#only = undefined;
    this.#held = map;
    return map;
  }

  delete(key: Key): boolean {
    if (!this.has(key)) return false;
    if (this.size === 1) this.clear();
    else this.#several().delete(key);
    return true;
  }

  clear(): void {
    this.#only = undefined;
    this.#held = undefined;
  }

  keys(): IterableIterator<Key> {
    return this.#map?.keys() ?? this.#entries.map(([key]) => key).values();
  }

  values(): IterableIterator<Part> {
    return this.#map?.values() ?? this.#entries.map(([, part]) => part).values();
  }

  [Symbol.iterator](): IterableIterator<[Key, Part]> {
    return this.#map?.[Symbol.iterator]() ?? this.#entries.values();
  }

  get #entries(): [Key, Part][] {
    return this.#only === undefined ? [] : [[this.#only, this.#held as Part]];
  }
}

/** A map that counts the bytes of its parts' payloads. */
export type Table<Part> = Parts<string, Part> & { readonly bytes: number };

export class Weighed<Part extends object> extends Parts<string, Part> {
  bytes = 0;

  override set(key: string, part: Part): void {
    this.bytes += bytesOf(part) - bytesOf(this.get(key));
    super.set(key, part);
  }

  override delete(key: string): boolean {
    const left = this.bytes - bytesOf(this.get(key));
    const isGone = super.delete(key);
    this.bytes = left;
    return isGone;
  }

  override clear(): void {
    super.clear();
    this.bytes = 0;
  }
}

/** Payload bytes of a part or message. */
export function bytesOf(
  part:
    | {
        readonly content?: Content;
        readonly payload?: Uint8Array;
        readonly parties?: readonly { readonly answer: Uint8Array }[];
      }
    | undefined,
): number {
  if (part?.parties !== undefined) return part.parties.reduce((sum, { answer }) => sum + answer.length, 0);
  return (part?.content?.payload ?? part?.payload)?.length ?? 0;
}

class NoParts extends Parts<never, never> {
  readonly bytes = 0;

  override set(): never {
    throw new Error('Skerry bug, please report: the shared empty table was written to');
  }
}

/** Shared by all entities that have no parts of a kind, which are most. */
export const noParts: Table<never> & Parts<never, never> = new NoParts();
