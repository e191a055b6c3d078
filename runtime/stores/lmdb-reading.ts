/**
 * Walking through the embedded store in the order of its keys: pages, and what a load takes along.
 *
 * Owns no state and no package: a database is anything that gives its entries from a key on.
 */
import type { Address } from '../../core/message.ts';
import { type Loaded, lazyTables, type RecordName } from '../store.ts';
import { headOf, presentOf, recordKey } from './lmdb-layout.ts';

interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
}

export interface Ordered {
  getRange(options: { start: string }): Iterable<Entry>;
  getBinary(key: string): Uint8Array | undefined;
}

/** Entries whose keys start with `prefix` and come after `after`. */
export function page(database: Ordered, prefix: string, after: string | undefined, limit: number): Entry[] {
  const isInside = after?.startsWith(prefix);
  if (limit <= 0 || (after !== undefined && !isInside && isBehind(after, prefix))) return [];
  const found: Entry[] = [];
  // Nothing lies between a key and the same key with a NUL behind it; and an empty key is none to LMDB.
  for (const entry of database.getRange({ start: isInside ? `${after}\0` : prefix || '\0' })) {
    if (!entry.key.startsWith(prefix)) break;
    found.push(entry);
    if (found.length >= limit) break;
  }
  return found;
}

function isBehind(key: string, other: string): boolean {
  return Buffer.compare(Buffer.from(key), Buffer.from(other)) > 0;
}

export function loadOne(heads: Ordered, records: Ordered, address: Address): Loaded | undefined {
  const bytes = heads.getBinary(address);
  if (bytes === undefined) return undefined;
  return { ...presentOf(bytes), head: headOf(bytes), records: eagerRecords(records, recordKey(address, '')) };
}

/** Steps over the lazy tables, however long they are: one new range behind each. */
function eagerRecords(records: Ordered, prefix: string): (readonly [RecordName, Uint8Array])[] {
  const found: (readonly [RecordName, Uint8Array])[] = [];
  for (let start: string | undefined = prefix; start !== undefined; ) {
    const from: string = start;
    start = undefined;
    for (const { key, value } of records.getRange({ start: from })) {
      if (!key.startsWith(prefix)) break;
      const table = key.charAt(prefix.length);
      if (lazyTables.has(table)) {
        start = prefix + String.fromCharCode(table.charCodeAt(0) + 1);
        break;
      }
      found.push([key.slice(prefix.length), value]);
    }
  }
  return found;
}
