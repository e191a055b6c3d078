/**
 * A map that costs nothing while it is empty: an idle entity has half a dozen of them, and a worker a million entities.
 *
 * Like `Map` in everything that it has; what became empty gives its memory back.
 */
const nothing = new Map<never, never>();

export class Parts<Key, Part> {
  #map: Map<Key, Part> | undefined;

  get size(): number {
    return this.#map === undefined ? 0 : this.#map.size;
  }

  get(key: Key): Part | undefined {
    return this.#map?.get(key);
  }

  has(key: Key): boolean {
    return this.#map?.has(key) === true;
  }

  set(key: Key, part: Part): void {
    this.#map ??= new Map();
    this.#map.set(key, part);
  }

  delete(key: Key): boolean {
    const isDeleted = this.#map?.delete(key) === true;
    if (this.#map?.size === 0) this.#map = undefined;
    return isDeleted;
  }

  clear(): void {
    this.#map = undefined;
  }

  keys(): IterableIterator<Key> {
    return (this.#map ?? (nothing as Map<Key, Part>)).keys();
  }

  values(): IterableIterator<Part> {
    return (this.#map ?? (nothing as Map<Key, Part>)).values();
  }

  [Symbol.iterator](): IterableIterator<[Key, Part]> {
    return (this.#map ?? (nothing as Map<Key, Part>))[Symbol.iterator]();
  }
}
