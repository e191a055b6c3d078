/**
 * Reads ranges of the embedded store in the order of its keys: pages, and the records of a load.
 *
 * Owns no state, and imports no package: a database is anything that iterates its entries from a key.
 */
import type { Address } from '../../../core/message.ts';
import { type Along, type Loaded, lazyTables, type RecordName } from '../../store.ts';
import { headOf, isTombstone, presentOf, recordKey } from './layout.ts';

interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
}

export interface Ordered {
  getRange(options: { start: string }): Iterable<Entry>;
  getBinary(key: string): Uint8Array | undefined;
}

/** Entries whose keys start with `prefix` and sort after `after`. */
export function page(database: Ordered, prefix: string, after: string | undefined, limit: number): Entry[] {
  return taken(database, prefix, { after, limit, isWanted: () => true });
}

/** The same of heads, but for tombstones (S11). */
export function listed(heads: Ordered, prefix: string, after: string | undefined, limit: number): Address[] {
  const found = taken(heads, prefix, { after, limit, isWanted: ({ value }) => !isTombstone(value) });
  return found.map(({ key }) => key);
}

interface Taking {
  readonly after: string | undefined;
  readonly limit: number;
  readonly isWanted: (entry: Entry) => boolean;
}

function taken(database: Ordered, prefix: string, { after, limit, isWanted }: Taking): Entry[] {
  const isInside = after?.startsWith(prefix);
  if (limit <= 0 || (after !== undefined && !isInside && isBehind(after, prefix))) return [];
  const found: Entry[] = [];
  // No key sorts between a key and the same key followed by NUL. LMDB does not accept an empty key.
  for (const entry of database.getRange({ start: isInside ? `${after}\0` : prefix || '\0' })) {
    if (!entry.key.startsWith(prefix)) break;
    if (isWanted(entry)) found.push(entry);
    if (found.length >= limit) break;
  }
  return found;
}

function isBehind(key: string, other: string): boolean {
  return Buffer.compare(Buffer.from(key), Buffer.from(other)) > 0;
}

type Named = readonly [RecordName, Uint8Array];

export function loadOne(heads: Ordered, records: Ordered, address: Address, along?: Along): Loaded | undefined {
  const bytes = heads.getBinary(address);
  if (bytes === undefined) return undefined;
  const [eager, lazy] = walk(records, recordKey(address, ''), along);
  const loaded = { ...presentOf(bytes), head: headOf(bytes), records: eager };
  return along === undefined ? loaded : { ...loaded, along: lazy };
}

/** An entity's records in one range, except those of lazy tables that are not needed: each of these starts a new range. */
function walk(records: Ordered, prefix: string, along: Along | undefined): [eager: Named[], lazy: Named[]] {
  const eager: Named[] = [];
  const lazy: Named[] = [];
  for (let start: string | undefined = prefix; start !== undefined; ) {
    const from: string = start;
    start = undefined;
    for (const { key, value } of records.getRange({ start: from })) {
      if (!key.startsWith(prefix)) break;
      const name = key.slice(prefix.length);
      if (!lazyTables.has(name.charAt(0))) eager.push([name, value]);
      else if (name.charAt(0) === along?.table && lazy.length < along.limit) lazy.push([name, value]);
      else {
        start = prefix + String.fromCharCode(name.charCodeAt(0) + 1);
        break;
      }
    }
  }
  return [eager, lazy];
}
