/** What the rules for stores are written with: an empty store, plain commits, bytes as text. */
import type { Commit, Epoch, Loaded, Store } from '../../runtime/store.ts';

/** An empty store of one's own in which partition 0 is claimed. `reopen` closes it and opens the same data. */
export interface Given {
  readonly store: Store;
  readonly epoch: Epoch;
  reopen(): Promise<Store>;
}

export interface Rule {
  readonly title: string;
  readonly body: (given: Given) => Promise<void>;
}

export const utf8 = new TextEncoder();
export const bytes = (text: string): Uint8Array => utf8.encode(text);
export const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value);
export const byUtf8 = (left: string, right: string): number => Buffer.compare(Buffer.from(left), Buffer.from(right));

/** A commit with everything at its plainest; tests say what differs. */
export function commitOf(change: Partial<Commit> & { address: string; epoch: Epoch }): Commit {
  const expected = change.expected ?? 0;
  return {
    partition: 0,
    expected,
    version: expected + 1,
    head: bytes('head'),
    records: [],
    wakeBefore: undefined,
    wakeAt: undefined,
    ...change,
  };
}

export function textOf(loaded: Loaded | undefined): unknown {
  if (loaded === undefined) return undefined;
  const { version, head, wakeAt, records } = loaded;
  return { version, head: text(head), wakeAt, records: records.map(([name, value]) => [name, text(value)]) };
}

export async function loadText(store: Store, address: string, partition = 0): Promise<unknown> {
  const [loaded] = await store.load([{ partition, address }]);
  return textOf(loaded);
}

export async function claimed(store: Store, partition = 0): Promise<Epoch> {
  const [claim] = await store.claim([partition], 'tester');
  return claim?.epoch ?? 0;
}
