/**
 * The layout of the Redis store: its keys, and the bytes of a head. All keys of a home partition share a hash tag, so that
 * one script call can change them together and a Redis Cluster keeps them on one server.
 *
 *   prefix:format          JSON                               format, partitions
 *   prefix:id              string                             the store's own
 *   prefix:lease:name      hash   h, t, u                     holder, term, until
 *   prefix{home}:o:number  hash   e, c, o                     epoch, commit counter and owner of one partition
 *                                 k, r                        the epoch of its last claim, and that which a pin has raised it to since
 *   prefix{home}:e:address hash   '' → version, wakeAt, head; name → record       what a load reads, and nothing else;
 *                                                                               a negative version: a tombstone
 *   prefix{home}:l:address hash   name → record               those of the lazy tables
 *   prefix{home}:n:address zset   names in `l`, all with score 0                   to scan them in their order
 *   prefix{home}:w         zset   address by wakeAt
 *   prefix{home}:a         zset   addresses, all with score 0
 *   prefix{home}:p         hash   address → worker            pins
 *
 * Invariants:
 * - RK1 Every key of a home has that home's hash tag and no other, whatever characters an address contains.
 * - RK2 A prefix is never the start of another prefix's keys, so two clusters on one server never share a key.
 */
import { SkerryError } from '../../../core/errors.ts';
import type { Address } from '../../../core/message.ts';
import { lazyTables, type Partition, type RecordName, type Version } from '../../store.ts';

/** Bytes before the head: version and wake time, each a float64. */
export const headPrefixBytes = 16;

const formatVersion = 1;

export interface KeyStarts {
  readonly entity: Uint8Array;
  readonly lazyRecords: Uint8Array;
  readonly lazyNames: Uint8Array;
}

/** Keys by their parts; made once for a store. */
export class RedisLayout {
  readonly partitions: number;
  readonly formatKey: string;
  readonly prefix: string;
  readonly #tags: string[] = [];
  readonly #starts: KeyStarts[] = [];

  constructor(prefix: string, partitions: number) {
    this.prefix = prefix;
    this.partitions = partitions;
    this.formatKey = formatKey(prefix);
  }

  home(partition: Partition): Partition {
    return partition % this.partitions;
  }

  /** Prefix of the keys of a partition's home. */
  tag(partition: Partition): string {
    const home = this.home(partition);
    this.#tags[home] ??= `${this.prefix}{${home}}:`;
    return this.#tags[home];
  }

  ownership(partition: Partition): string {
    return `${this.tag(partition)}o:${partition}`;
  }

  entity(partition: Partition, address: Address): string {
    return `${this.tag(partition)}e:${address}`;
  }

  lazyRecords(partition: Partition, address: Address): string {
    return `${this.tag(partition)}l:${address}`;
  }

  lazyNames(partition: Partition, address: Address): string {
    return `${this.tag(partition)}n:${address}`;
  }

  /** Prefix of the keys of a home's entities, before the address; ASCII (`checkPrefix`). */
  starts(partition: Partition): KeyStarts {
    const home = this.home(partition);
    this.#starts[home] ??= {
      entity: Buffer.from(this.entity(partition, '')),
      lazyRecords: Buffer.from(this.lazyRecords(partition, '')),
      lazyNames: Buffer.from(this.lazyNames(partition, '')),
    };
    return this.#starts[home];
  }

  wakes(partition: Partition): string {
    return `${this.tag(partition)}w`;
  }

  addresses(partition: Partition): string {
    return `${this.tag(partition)}a`;
  }

  pins(partition: Partition): string {
    return `${this.tag(partition)}p`;
  }

  get identity(): string {
    return `${this.prefix}:id`;
  }

  lease(name: string): string {
    return `${this.prefix}:lease:${name}`;
  }
}

export function formatKey(prefix: string): string {
  return `${prefix}:format`;
}

/** Throws `invalid-definition` for a prefix that could mix with another's keys (RK2) or contain a hash tag (RK1). */
export function checkPrefix(prefix: string): void {
  if (/^[\w.-]{1,64}$/.test(prefix)) return;
  throw new SkerryError(
    'invalid-definition',
    `The Redis key prefix ${JSON.stringify(prefix)} must be 1 to 64 letters, digits, dots, hyphens or underscores`,
  );
}

export function formatNote(partitions: number): string {
  return JSON.stringify({ format: formatVersion, partitions });
}

/** The number of partitions that the store was created with. Throws `store-format`. */
export function partitionsOf(where: string, note: string, wanted: number | undefined): number {
  const { format, partitions } = parseNote(note);
  if (format !== formatVersion || typeof partitions !== 'number')
    throw new SkerryError(
      'store-format',
      `The data in ${where} is in format ${String(format)}; this version of Skerry reads format ${formatVersion}: use the version that wrote it`,
    );
  if (wanted === undefined || wanted === partitions) return partitions;
  throw new SkerryError(
    'store-format',
    `The data in ${where} has ${partitions} partitions, not ${wanted}: the number is fixed when a store is created; open it with ${partitions}, or use another prefix`,
  );
}

function parseNote(note: string): { format?: unknown; partitions?: unknown } {
  try {
    const parsed: unknown = JSON.parse(note);
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}

export function isLazy(name: RecordName): boolean {
  return lazyTables.has(name.charAt(0));
}

/** Splits a stored head. The head is a copy: a view would keep the whole reply in memory. */
export function headOf(value: Buffer): { version: Version; wakeAt: number | undefined; head: Uint8Array } {
  const wakeAt = value.readDoubleBE(8);
  return {
    version: Math.abs(value.readDoubleBE(0)),
    wakeAt: Number.isNaN(wakeAt) ? undefined : wakeAt,
    head: Uint8Array.prototype.slice.call(value, headPrefixBytes),
  };
}

/** Range of ZRANGEBYLEX for members that start with `prefix` and sort after `after`. UTF-8 never contains 0xff. */
export function lexRange(prefix: string, after: string | undefined): [Uint8Array, Uint8Array] {
  const [start, past] = [Buffer.from(prefix), after === undefined ? undefined : Buffer.from(after)];
  const isInside = past !== undefined && Buffer.compare(past, start) >= 0;
  const from = isInside ? Buffer.concat([Buffer.from('('), past]) : Buffer.concat([Buffer.from('['), start]);
  return [from, Buffer.concat([Buffer.from('('), start, Buffer.of(0xff)])];
}
