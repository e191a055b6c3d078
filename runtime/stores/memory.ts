/**
 * The store in memory: for tests and the simulator, and the model that other stores are compared with.
 *
 * Owns entities, epochs and the two indexes (addresses by type, wakes by time). Several workers may share one store, and it
 * survives each of them. It uses neither time nor random numbers, so the same calls give the same results.
 *
 * Invariants:
 * - SM1 Bytes are copied on the way in and on the way out, so that no caller can change what is stored (S7).
 * - SM2 A call takes effect before it returns its promise, so calls take effect in the order in which they were made.
 * - SM3 Names are ordered by UTF-8 bytes, which differs from the order of JavaScript strings beyond U+FFFF.
 */
import { SkerryError } from '../../core/errors.ts';
import type { Address } from '../../core/message.ts';
import { anything, callable, checkOptions, count, type OptionTable, text } from '../../core/options.ts';
import type { Pin } from '../../placement/view.ts';
import type {
  Claim,
  Commit,
  Epoch,
  Lease,
  Loaded,
  Mark,
  Outcome,
  Partition,
  RecordName,
  Store,
  Version,
  Wake,
} from '../store.ts';
import { type Along, lazyTables } from '../store.ts';
import { type LeaseCall, leaseAfter } from './lease.ts';

interface Entity {
  version: Version;
  head: Uint8Array;
  wakeAt: number | undefined;
  isListed: boolean;
  /** Records by the first letter of their names, so that a load does not visit lazily loaded tables. */
  readonly tables: Map<string, Table>;
}

/** A set of strings that is sorted only when its order is read. */
class Ordered {
  #sorted: string[] = [];
  readonly #added = new Set<string>();
  readonly #removed = new Set<string>();

  /** The name must not be in the set. */
  add(name: string): void {
    if (!this.#removed.delete(name)) this.#added.add(name);
  }

  /** The name must be in the set. */
  remove(name: string): void {
    if (!this.#added.delete(name)) this.#removed.add(name);
  }

  /** Names that start with `prefix` and sort after `after`, in order; at most `limit`. */
  page(prefix: string, after: string | undefined, limit: number): string[] {
    const sorted = this.#names();
    const isInside = after !== undefined && compareUtf8(after, prefix) >= 0;
    let at = this.#firstAtOrAfter(isInside ? after : prefix);
    if (isInside && sorted[at] === after) at += 1;
    let end = at;
    while (end < sorted.length && end - at < limit && sorted[end]?.startsWith(prefix)) end += 1;
    return sorted.slice(at, end);
  }

  #names(): string[] {
    if (this.#removed.size > 0) this.#sorted = this.#sorted.filter((name) => !this.#removed.has(name));
    // Sorting a long sorted run followed by a short one is nearly linear, because the sort detects runs.
    if (this.#added.size > 0) this.#sorted = [...this.#sorted, ...[...this.#added].sort(compareUtf8)].sort(compareUtf8);
    this.#removed.clear();
    this.#added.clear();
    return this.#sorted;
  }

  #firstAtOrAfter(name: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareUtf8(this.#sorted[middle] ?? '', name) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The records of one entity whose names start with the same letter. */
class Table {
  readonly bytes = new Map<RecordName, Uint8Array>();
  readonly names = new Ordered();

  change(name: RecordName, value: Uint8Array | null): void {
    if (value === null) {
      if (this.bytes.delete(name)) this.names.remove(name);
      return;
    }
    if (!this.bytes.has(name)) this.names.add(name);
    this.bytes.set(name, value.slice());
  }

  page(prefix: string, after: string | undefined, limit: number): (readonly [RecordName, Uint8Array])[] {
    return this.names
      .page(prefix, after, limit)
      .map((name) => [name, this.bytes.get(name)?.slice() ?? new Uint8Array()] as const);
  }
}

/** The wakes of one partition, sorted when they are read. */
class Wakes {
  readonly #times = new Map<Address, number>();
  #sorted: Wake[] | undefined;

  change(address: Address, wakeAt: number | undefined): void {
    if (this.#times.get(address) === wakeAt) return;
    if (wakeAt === undefined) this.#times.delete(address);
    else this.#times.set(address, wakeAt);
    this.#sorted = undefined;
  }

  page(after: Wake | undefined, limit: number): Wake[] {
    this.#sorted ??= Array.from(this.#times, ([address, wakeAt]) => ({ address, wakeAt })).sort(compareWakes);
    const first = after === undefined ? 0 : this.#sorted.findIndex((wake) => compareWakes(wake, after) > 0);
    return first < 0 ? [] : this.#sorted.slice(first, first + limit).map((wake) => ({ ...wake }));
  }
}

export interface MemoryOptions {
  readonly id?: string;
  readonly partitions?: number;
  readonly valueBytesMax?: number;
  /** A clock for epochs, as in a store that can lose commits (S6). */
  readonly now?: () => number;
  /** The first epochs. */
  readonly epochs?: ReadonlyMap<Partition, Epoch>;
  /** The last claims. A pin may have raised an epoch since. */
  readonly claims?: ReadonlyMap<Partition, { readonly epoch: Epoch; readonly owner: string }>;
}

const memoryOptions: OptionTable<MemoryOptions> = {
  id: text,
  partitions: count(1),
  valueBytesMax: count(1),
  now: callable,
  epochs: anything,
  claims: anything,
};

export class MemoryStore implements Store {
  readonly id: string;
  readonly partitions: number;
  readonly valueBytesMax: number;
  readonly groupsAtOnce = 2;
  readonly #now: () => number;
  /** The current epoch, the epoch of the last claim, and its owner. */
  readonly #epochs = new Map<Partition, { epoch: Epoch; claimed: Epoch; owner: string | undefined }>();
  /** The worker of each pinned address, by home partition. */
  readonly #pins = new Map<Partition, Map<Address, string>>();
  readonly #leases = new Map<string, Lease>();
  readonly #entities = new Map<Address, Entity>();
  readonly #addresses = new Ordered();
  readonly #wakes = new Map<Partition, Wakes>();

  constructor(options: MemoryOptions = {}) {
    checkOptions('MemoryStore', options, memoryOptions);
    this.id = options.id ?? 'memory';
    this.#now = options.now ?? (() => 0);
    for (const [partition, epoch] of options.epochs ?? []) {
      const { epoch: claimed = 0, owner } = options.claims?.get(partition) ?? {};
      this.#epochs.set(partition, { epoch, claimed, owner });
    }
    this.partitions = options.partitions ?? 256;
    this.valueBytesMax = options.valueBytesMax ?? 64 * 1024 * 1024;
  }

  /** Acknowledged commits are never lost, so the epoch is mark enough. */
  markOf(): Mark {
    return 0;
  }

  onLoss(): () => void {
    return () => undefined;
  }

  async claim(partitions: readonly Partition[], owner: string): Promise<Claim[]> {
    return partitions.map((partition) => {
      const { epoch: previous = 0, claimed = 0, owner: before } = this.#epochs.get(partition) ?? {};
      const epoch = this.#raised(previous);
      this.#epochs.set(partition, { epoch, claimed: epoch, owner });
      return {
        partition,
        epoch,
        previous,
        claimed,
        mark: 0,
        before: before === '' ? undefined : before,
        pins: inOrder(this.#pins.get(this.#homeOf(partition))),
      };
    });
  }

  async pin(address: Address, partition: Partition, worker: string | undefined): Promise<void> {
    const home = this.#homeOf(partition);
    const pins = ensure(this.#pins, home, () => new Map());
    if (worker === undefined) pins.delete(address);
    else pins.set(address, worker);
    for (const raised of new Set([home, partition])) {
      const { epoch = 0, claimed = 0, owner } = this.#epochs.get(raised) ?? {};
      this.#epochs.set(raised, { epoch: this.#raised(epoch), claimed, owner });
    }
  }

  async pins(): Promise<Pin[]> {
    return [...this.#pins.values()].flatMap(inOrder).sort(compareAddresses);
  }

  async lease(name: string, holder: string, call: LeaseCall): Promise<Lease> {
    const kept = leaseAfter(this.#leases.get(name), holder, call);
    this.#leases.set(name, kept);
    return kept;
  }

  async epochs(partitions: readonly Partition[]): Promise<Epoch[]> {
    return partitions.map((partition) => this.#epochs.get(partition)?.epoch ?? 0);
  }

  async load(
    entities: readonly { partition: Partition; address: Address }[],
    along?: Along,
  ): Promise<(Loaded | undefined)[]> {
    return entities.map(({ address }) => {
      const entity = this.#entities.get(address);
      if (entity === undefined || along === undefined) return entity && loaded(entity);
      const page = entity.tables.get(along.table)?.page(along.table, undefined, along.limit) ?? [];
      return { ...loaded(entity), along: page };
    });
  }

  async commit(group: readonly Commit[]): Promise<Outcome[]> {
    // Sizes first: a group that is rejected as a whole must not have written its first half (S5).
    for (const commit of group) refuseLargeValues(commit, this.valueBytesMax);
    return group.map((commit) => this.#commitOne(commit));
  }

  async read(
    entity: { partition: Partition; address: Address },
    names: readonly RecordName[],
  ): Promise<(Uint8Array | undefined)[]> {
    const tables = this.#entities.get(entity.address)?.tables;
    return names.map((name) => tables?.get(tableOf(name))?.bytes.get(name)?.slice());
  }

  async scan(
    entity: { partition: Partition; address: Address },
    prefix: string,
    options: { after?: RecordName; limit: number },
  ): Promise<(readonly [RecordName, Uint8Array])[]> {
    const tables = this.#entities.get(entity.address)?.tables;
    if (tables === undefined) return [];
    const letters = prefix === '' ? [...tables.keys()].sort(compareUtf8) : [tableOf(prefix)];
    const found: (readonly [RecordName, Uint8Array])[] = [];
    for (const letter of letters) {
      if (found.length >= options.limit) break;
      found.push(...(tables.get(letter)?.page(prefix, options.after, options.limit - found.length) ?? []));
    }
    return found;
  }

  async wakes(partition: Partition, options: { after?: Wake; limit: number }): Promise<Wake[]> {
    return this.#wakes.get(this.#homeOf(partition))?.page(options.after, options.limit) ?? [];
  }

  async list(type: string | undefined, options: { after?: Address; limit: number }): Promise<Address[]> {
    return this.#addresses.page(type === undefined ? '' : `${type}/`, options.after, options.limit);
  }

  /** Does nothing, because nothing is open: the workers of a simulation share one store and come and go. */
  async close(): Promise<void> {}

  #homeOf(partition: Partition): Partition {
    return partition % this.partitions;
  }

  #raised(epoch: Epoch): Epoch {
    return Math.max(epoch + 1, Math.floor(this.#now()));
  }

  #commitOne(commit: Commit): Outcome {
    if (commit.epoch !== (this.#epochs.get(commit.partition)?.epoch ?? 0)) return 'stale-epoch';
    const entity = this.#entities.get(commit.address);
    if (commit.expected !== (entity?.version ?? 0)) return 'stale-version';
    this.#write(entity ?? this.#create(commit.address), commit);
    return 'committed';
  }

  #create(address: Address): Entity {
    const entity: Entity = {
      version: 0,
      head: new Uint8Array(),
      wakeAt: undefined,
      isListed: false,
      tables: new Map(),
    };
    this.#entities.set(address, entity);
    return entity;
  }

  #write(entity: Entity, commit: Commit): void {
    entity.version = commit.version;
    entity.head = commit.head.slice();
    entity.wakeAt = commit.wakeAt;
    for (const [name, value] of commit.records)
      ensure(entity.tables, tableOf(name), () => new Table()).change(name, value);
    const { address, partition, leaves } = commit;
    const wakeAt = leaves === 'nothing' ? undefined : commit.wakeAt;
    ensure(this.#wakes, this.#homeOf(partition), () => new Wakes()).change(address, wakeAt);
    this.#list(address, entity, leaves === undefined);
    if (leaves === 'nothing') this.#entities.delete(address);
  }

  #list(address: Address, entity: Entity, isListed: boolean): void {
    if (isListed === entity.isListed) return;
    entity.isListed = isListed;
    if (isListed) this.#addresses.add(address);
    else this.#addresses.remove(address);
  }
}

/** Orders strings by their UTF-8 bytes. Only surrogates, which encode characters beyond U+FFFF, compare differently. */
export function compareUtf8(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at += 1) {
    const one = left.charCodeAt(at);
    const other = right.charCodeAt(at);
    if (one !== other) return rank(one) - rank(other);
  }
  return left.length - right.length;
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** Orders values by the UTF-8 bytes of their addresses. */
export function compareAddresses(left: { readonly address: Address }, right: { readonly address: Address }): number {
  return compareUtf8(left.address, right.address);
}

function inOrder(pins: ReadonlyMap<Address, string> = new Map()): Pin[] {
  return Array.from(pins, ([address, worker]) => ({ address, worker })).sort(compareAddresses);
}

function compareWakes(left: Wake, right: Wake): number {
  return left.wakeAt - right.wakeAt || compareUtf8(left.address, right.address);
}

function tableOf(name: RecordName): string {
  return name.slice(0, 1);
}

function loaded(entity: Entity): Loaded {
  const eager = [...entity.tables.keys()].filter((letter) => !lazyTables.has(letter)).sort(compareUtf8);
  const records = eager.flatMap(
    (letter) => entity.tables.get(letter)?.page('', undefined, Number.POSITIVE_INFINITY) ?? [],
  );
  return { version: entity.version, head: entity.head.slice(), wakeAt: entity.wakeAt, records };
}

function refuseLargeValues(commit: Commit, valueBytesMax: number): void {
  const largest = commit.records.reduce((most, [, value]) => Math.max(most, value?.length ?? 0), commit.head.length);
  if (largest <= valueBytesMax) return;
  throw new SkerryError(
    'too-large',
    `A value of ${commit.address} has ${largest} bytes; the limit of this store is ${valueBytesMax} (valueBytesMax)`,
  );
}

function ensure<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
