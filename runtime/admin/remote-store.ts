/**
 * The remote store: reads the store through the workers of a cluster, for tools that reach the transport but not the store.
 *
 * Invariants:
 * - RD1 A page has the requested length unless it is the last, however short the pages of the workers are.
 */
import type { Address } from '../../core/message.ts';
import type { Epoch, Loaded, Partition, RecordName, Wake } from '../store.ts';
import { type AdminRequest, numbersOf, textsOf } from '../wire/admin-messages.ts';
import { Row } from '../wire/codec.ts';
import type { Reading } from './inspector.ts';

type Records = readonly (readonly [RecordName, Uint8Array])[];

export class RemoteStore implements Reading {
  readonly partitions: number;
  readonly #request: (request: AdminRequest) => Promise<unknown>;

  constructor(partitions: number, request: (request: AdminRequest) => Promise<unknown>) {
    this.partitions = partitions;
    this.#request = request;
  }

  load(entities: readonly { readonly address: Address }[]): Promise<(Loaded | undefined)[]> {
    return Promise.all(entities.map(({ address }) => this.#load(address)));
  }

  async #load(address: Address): Promise<Loaded | undefined> {
    const value = await this.#request({ kind: 'load', address });
    if (value === null) return undefined;
    const row = new Row(value);
    const [version, head, wakeAt] = [row.number(), row.bytes(), row.any()];
    return { version, head, wakeAt: typeof wakeAt === 'number' ? wakeAt : undefined, records: recordsOf(row) };
  }

  async scan(
    { address }: { readonly address: Address },
    prefix: string,
    { after = '', limit }: { after?: RecordName; limit: number },
  ): Promise<(readonly [RecordName, Uint8Array])[]> {
    const found: (readonly [RecordName, Uint8Array])[] = [];
    for (let last = after, isMore = true; isMore && found.length < limit; ) {
      const row = new Row(
        await this.#request({ kind: 'scan', address, prefix, after: last, limit: limit - found.length }),
      );
      const page = recordsOf(row);
      found.push(...page);
      isMore = row.boolean() && page.length > 0;
      last = page.at(-1)?.[0] ?? last;
    }
    return found;
  }

  list(type: string | undefined, { after, limit }: { after?: Address; limit: number }): Promise<Address[]> {
    return pages(limit, after, async (last, count) =>
      textsOf(await this.#request({ kind: 'list', type: type ?? '', after: last ?? '', limit: count })),
    );
  }

  wakes(partition: Partition, { after, limit }: { after?: Wake; limit: number }): Promise<Wake[]> {
    return pages(limit, after, async (last, count) => {
      const { wakeAt = 0, address = '' } = last ?? {};
      const value = await this.#request({ kind: 'wakes', partition, wakeAt, address, limit: count });
      return new Row([value]).rows().map((row) => ({ address: row.string(), wakeAt: row.number() }));
    });
  }

  async epochs(partitions: readonly Partition[]): Promise<Epoch[]> {
    return numbersOf(await this.#request({ kind: 'epochs', partitions }));
  }
}

/** Reads pages until there are enough rows, or no more. */
async function pages<Item>(
  limit: number,
  after: Item | undefined,
  read: (last: Item | undefined, count: number) => Promise<Item[]>,
): Promise<Item[]> {
  const found: Item[] = [];
  for (let last = after; found.length < limit; ) {
    const page = await read(last, limit - found.length);
    if (page.length === 0) break;
    found.push(...page);
    last = page.at(-1);
  }
  return found;
}

function recordsOf(row: Row): Records {
  return row.rows().map((record) => [record.string(), record.bytes()] as const);
}
