/** A binary heap of dates: the earliest first, and of equal dates the one that was added first. */

export interface Dated {
  readonly at: number;
  /** Orders entries with equal dates: the smaller first. */
  readonly order: number;
}

export class DateHeap<Entry extends Dated> {
  readonly #entries: Entry[] = [];

  get size(): number {
    return this.#entries.length;
  }

  get first(): Entry | undefined {
    return this.#entries[0];
  }

  clear(): void {
    this.#entries.length = 0;
  }

  push(entry: Entry): void {
    const heap = this.#entries;
    let index = heap.length;
    heap.push(entry);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Entry;
      if (!isBefore(entry, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }

  /** Removes and returns the first one. */
  pop(): void {
    const heap = this.#entries;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child += 1;
      if (!isBefore(heap[child] as Entry, last)) break;
      heap[index] = heap[child] as Entry;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(one: Dated, other: Dated): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
