/**
 * The embedded store: LMDB in one local folder. The only file that imports the package `lmdb`.
 *
 * Owns the transactions and their durability. `layout.ts` defines keys and values, `reading.ts` reads ranges of them,
 * `folder.ts` decides which process may open a folder.
 *
 * Longer than 400 lines because no other file may import the package.
 *
 * Invariants:
 * - SL1 A group is one child transaction: if it throws, nothing of it remains, whatever else shares the LMDB transaction.
 * - SL2 Epochs and versions are checked inside the write transaction. Only one exists at a time, over all processes.
 * - SL3 A commit resolves after fdatasync and after the new root is on disk. `overlappingSync` is therefore off: it is
 *   documented to resolve before that, it prevents closing an environment after a failed flush, and it was not faster.
 * - SL4 After a failed LMDB commit the environment is opened anew, because LMDB may have marked it unusable and would then
 *   hang at the next transaction.
 * - SL5 A process has one handle on a folder. A second handle would wait for the first one's transaction, which waits for the
 *   same thread. Between processes `folder.ts` is only a convenience; S2 protects against two owners.
 */
import { chmodSync, existsSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { open as openFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { isSkerryError, SkerryError } from '../../../core/errors.ts';
import type { Address } from '../../../core/message.ts';
import { callable, checkOptions, count, described, flag, type OptionTable, text } from '../../../core/options.ts';
import type { Pin } from '../../../placement/view.ts';
import { machineNow, machineSteady } from '../../environment.ts';
import type {
  Along,
  Claim,
  Commit,
  Epoch,
  Lease,
  Loaded,
  Loss,
  Outcome,
  Partition,
  RecordName,
  Store,
  Wake,
} from '../../store.ts';
import type { LeaseCall } from '../lease.ts';
import { Writes } from './exit.ts';
import {
  causeOf,
  checkDataFile,
  formatNote,
  inUse,
  joinUsers,
  leaveUsers,
  partitionsOf,
  storeFailed,
  syncFolders,
  thisProcess,
  unknownFormat,
  unopenable,
} from './folder.ts';
import {
  epochKey,
  epochOf,
  headValue,
  partitionKey,
  presentOf,
  recordKey,
  recordValue,
  refuseTooLarge,
  stringKeys,
  wakeKey,
  wakeOf,
} from './layout.ts';
import { claimOne, lease, markOf, pin, pinsOf } from './owners.ts';
import { listed, loadOne, page } from './reading.ts';
import { type Identity, identityIn, isPutBack, noteUse, Raises, useAgain } from './witness.ts';

export interface LmdbOptions {
  /** Number of partitions (default 256). Fixed when the folder is created. */
  readonly partitions?: number | undefined;
  /** Allow other processes of this machine to open the folder too. All of them must set it (default false). */
  readonly shared?: boolean | undefined;
  /** Read a folder that may be open elsewhere, without a lock and without writing (default false). */
  readonly readOnly?: boolean | undefined;
  /** Name of the owner, shown to a process that finds the folder in use. */
  readonly owner?: string | undefined;
  /** For tests: the clock that epochs follow, ms. */
  readonly now?: () => number;
  /** For tests: the clock of periodic work, ms. */
  readonly steady?: () => number;
  /** For tests: called between the steps of a group, inside its transaction. An error that it throws fails the group. */
  readonly onStep?: (step: LmdbStep) => void;
}

const lmdbOptions: OptionTable<LmdbOptions> = {
  partitions: count(1),
  shared: flag,
  readOnly: flag,
  owner: text,
  now: callable,
  steady: callable,
  onStep: callable,
};

export type LmdbStep = 'begun' | 'checked' | 'head-written' | 'record-written' | 'wake-written' | 'group-written';

type Bytes = Database<Uint8Array, string>;

interface Databases {
  readonly root: RootDatabase<Uint8Array, string>;
  readonly heads: Bytes;
  readonly records: Bytes;
  readonly wakes: Bytes;
  readonly meta: Bytes;
}

/** The folder's identity as it was found, and as this process uses it; undefined if it is read-only. */
interface Entered {
  readonly found: Identity;
  readonly used: Identity | undefined;
  readonly partitions: number;
}

interface Opened extends LmdbOptions, Entered {
  readonly partitions: number;
  readonly loss: Loss | undefined;
}

const nothing = new Uint8Array();

/** Folders that this process has open (SL5). */
const openFolders = new Set<string>();

/** See `openLmdb` in open.ts, which loads this file. */
export async function openLmdb(folder: string, options: LmdbOptions = {}): Promise<Store> {
  if (typeof folder !== 'string' || folder === '')
    throw new SkerryError('invalid-definition', `openLmdb() takes a folder, not ${described(folder)}`);
  checkOptions('openLmdb()', options, lmdbOptions);
  if (options.readOnly && !existsSync(join(folder, 'data.mdb')))
    throw new SkerryError('not-found', `There is no data in ${folder}`);
  try {
    const file = join(folder, 'data.mdb');
    const isNew = !existsSync(file);
    const made = mkdirSync(folder, { recursive: true, mode: 0o700 });
    const store = await openOnce(realpathSync(folder), options);
    if (isNew) keepPrivate(folder);
    // Data flushed into a file is lost if the file's name is not durable, even in a folder that existed before.
    if (made !== undefined || isNew) await syncFolders(folder, made ?? file);
    return store;
  } catch (error) {
    throw isSkerryError(error) ? error : unopenable(folder, await causeOf(error));
  }
}

/**
 * Writes a compacted copy of a folder into a new one, without freed space: one moment of all entities. The copy gets its name
 * when it is complete and on disk. A crash leaves no valid copy, and the next try starts again. The copy has the same identity
 * and use count, so it may take the place of the original unless that was opened since. Returns both sizes, bytes.
 *
 * Rejects as `openLmdb` does, and with `store-failed` if `to` contains data.
 */
export async function compactLmdb(folder: string, to: string): Promise<{ before: number; after: number }> {
  if (existsSync(join(to, 'data.mdb')))
    throw new SkerryError('store-failed', `${to} already holds data: name a new folder`);
  // In use it would be old before it is done. This counts as a use; what follows does not.
  await (await openLmdb(folder, { owner: 'skerry compact' })).close();
  const partial = join(to, 'compacting');
  try {
    await rm(partial, { recursive: true, force: true });
    const made = mkdirSync(partial, { recursive: true, mode: 0o700 });
    await copyCompacted(realpathSync(folder), partial);
    const [original, copy] = [join(folder, 'data.mdb'), join(to, 'data.mdb')];
    await rename(join(partial, 'data.mdb'), copy);
    await rm(partial, { recursive: true });
    keepPrivate(to);
    await syncFolders(to, made ?? copy);
    return { before: (await stat(original)).size, after: (await stat(copy)).size };
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw isSkerryError(error) ? error : storeFailed(to, 'write', error, 'none');
  }
}

/** Entities are private to the owner, unless the folder was made writable for a group. */
function keepPrivate(folder: string): void {
  if (process.platform === 'win32' || (statSync(folder).mode & 0o020) !== 0) return;
  for (const name of ['data.mdb', 'lock.mdb']) {
    const file = join(folder, name);
    if (existsSync(file)) chmodSync(file, 0o600);
  }
}

/** Resolves when the copy is complete and on disk. */
async function copyCompacted(path: string, into: string): Promise<void> {
  const { root } = openDatabases(path, true);
  await root.backup(into, true).finally(() => root.close());
  const file = await openFile(join(into, 'data.mdb'), 'r+');
  await file.sync().finally(() => file.close());
}

async function openOnce(path: string, options: LmdbOptions): Promise<Store> {
  if (openFolders.has(path)) throw inUse(path, 'this process', 'use the open store, or close it first');
  openFolders.add(path);
  let databases: Databases | undefined;
  try {
    await checkDataFile(path);
    databases = openDatabases(path, options.readOnly ?? false);
    const entered = await enterOnce(path, databases, options);
    const isOlder = entered.used !== undefined && (await isPutBack(path, entered.found));
    if (entered.used !== undefined) await noteUse(path, entered.used);
    const loss = isOlder ? { partition: undefined, epoch: 0, commits: 0 } : undefined;
    return new LmdbStore(path, databases, { ...options, ...entered, loss });
  } catch (error) {
    await databases?.root.close();
    openFolders.delete(path);
    throw error;
  }
}

class LmdbStore implements Store {
  readonly id: string;
  readonly partitions: number;
  readonly markOf = markOf;
  readonly valueBytesMax = 64 * 1024 * 1024;
  readonly groupsAtOnce = 2;
  readonly #path: string;
  readonly #options: LmdbOptions;
  readonly #step: (step: LmdbStep) => void;
  /** Undefined while the environment is reopened (SL4). */
  #databases: Databases | undefined;
  #reopening: Promise<Databases> | undefined;
  #closing: Promise<void> | undefined;
  readonly #underway = new Set<Promise<unknown>>();
  readonly #writes: Writes;
  readonly #raises: Raises;
  #noted: Promise<void> = Promise.resolve();
  /** The loss found when the folder was opened, until it is reported. */
  #loss: Loss | undefined;

  constructor(path: string, databases: Databases, options: Opened) {
    this.id = (options.used ?? options.found).id;
    this.#raises = new Raises(options.steady ?? machineSteady);
    this.#loss = options.loss;
    this.#path = path;
    this.#databases = databases;
    this.partitions = options.partitions;
    this.#options = options;
    this.#step = options.onStep ?? (() => {});
    this.#writes = new Writes(path, () => transactionOf(this.#databases));
  }

  onLoss(tell: (loss: Loss) => void): () => void {
    if (this.#loss !== undefined) tell(this.#loss);
    this.#loss = undefined;
    return () => undefined;
  }

  claim(partitions: readonly Partition[], owner: string): Promise<Claim[]> {
    return this.#transact(({ meta }) => partitions.map((partition) => claimOne(meta, this.#place(partition), owner)));
  }

  pin(address: Address, partition: Partition, worker: string | undefined): Promise<void> {
    return this.#transact(({ meta }) => pin(meta, { address, ...this.#place(partition) }, worker));
  }

  pins(): Promise<Pin[]> {
    return this.#look(({ meta }) => pinsOf(meta, undefined));
  }

  lease(name: string, holder: string, call: LeaseCall): Promise<Lease> {
    return this.#transact(({ meta }) => lease(meta, name, holder, call));
  }

  async commit(group: readonly Commit[]): Promise<Outcome[]> {
    for (const commit of group) refuseTooLarge(commit, this.valueBytesMax);
    let used: Identity | undefined;
    try {
      const outcomes = await this.#transact((databases) => {
        this.#step('begun');
        const epochs = new Map<Partition, Epoch>();
        const outcomes = group.map((commit) => this.#commitOne(databases, commit, epochs));
        used = this.#raises.raise(databases.meta);
        this.#step('group-written');
        return outcomes;
      });
      if (used !== undefined) await this.#note(used);
      return outcomes;
    } catch (error) {
      if (used !== undefined) this.#raises.failed();
      throw error;
    }
  }

  /** One after the other, because each note includes the one before. */
  #note(used: Identity): Promise<void> {
    this.#noted = this.#noted.then(() => noteUse(this.#path, used));
    return this.#noted;
  }

  epochs(partitions: readonly Partition[]): Promise<Epoch[]> {
    return this.#look(({ meta }) => partitions.map((partition) => epochOf(meta.getBinary(epochKey(partition))).epoch));
  }

  load(entities: readonly { address: Address }[], along?: Along): Promise<(Loaded | undefined)[]> {
    return this.#look(({ heads, records }) => entities.map(({ address }) => loadOne(heads, records, address, along)));
  }

  read(
    entity: { partition: Partition; address: Address },
    names: readonly RecordName[],
  ): Promise<(Uint8Array | undefined)[]> {
    const start = recordKey(entity.address, '');
    return this.#look(({ records }) => names.map((name) => records.getBinary(start + name)));
  }

  async scan(
    entity: { partition: Partition; address: Address },
    prefix: string,
    options: { after?: RecordName; limit: number },
  ): Promise<(readonly [RecordName, Uint8Array])[]> {
    const start = recordKey(entity.address, '');
    const after = options.after === undefined ? undefined : start + options.after;
    const found = await this.#look(({ records }) => page(records, start + prefix, after, options.limit));
    return found.map(({ key, value }) => [key.slice(start.length), value] as const);
  }

  async wakes(partition: Partition, options: { after?: Wake; limit: number }): Promise<Wake[]> {
    const home = this.#home(partition);
    const after = options.after && wakeKey(home, options.after);
    const found = await this.#look(({ wakes }) => page(wakes, partitionKey(home), after, options.limit));
    return found.map(({ key }) => wakeOf(key));
  }

  list(type: string | undefined, options: { after?: Address; limit: number }): Promise<Address[]> {
    const prefix = type === undefined ? '' : `${type}/`;
    return this.#look(({ heads }) => listed(heads, prefix, options.after, options.limit));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#underway);
    try {
      // On a full disk the note that this process has the folder open remains. It is valid only while the process lives.
      const databases = this.#databases;
      if (databases !== undefined && !this.#options.readOnly) {
        const left = await leave(this.#writes, databases).catch(() => undefined);
        if (left !== undefined) void this.#note(left);
      }
      await this.#noted;
    } finally {
      await this.#databases?.root.close();
      this.#writes.close();
      openFolders.delete(this.#path);
    }
  }

  #commitOne(databases: Databases, commit: Commit, epochs: Map<Partition, Epoch>): Outcome {
    const { heads, records, wakes, meta } = databases;
    let epoch = epochs.get(commit.partition);
    if (epoch === undefined) {
      epoch = epochOf(meta.getBinary(epochKey(commit.partition))).epoch;
      epochs.set(commit.partition, epoch);
    }
    if (commit.epoch !== epoch) return 'stale-epoch';
    const before = presentOf(heads.getBinaryFast(commit.address));
    if (commit.expected !== before.version) return 'stale-version';
    this.#step('checked');
    const isGone = commit.leaves === 'nothing';
    if (isGone) heads.removeSync(commit.address);
    else heads.putSync(commit.address, headValue(commit));
    this.#step('head-written');
    if (isGone) this.#removeRecords(records, commit.address);
    else this.#writeRecords(records, commit);
    const wakeAt = isGone ? undefined : commit.wakeAt;
    const { address } = commit;
    if (before.wakeAt !== wakeAt) moveWake(wakes, this.#home(commit.partition), { address, wakeAt }, before.wakeAt);
    this.#step('wake-written');
    return 'committed';
  }

  /** All of them, by whatever version they were written. */
  #removeRecords(records: Bytes, address: Address): void {
    for (const { key } of page(records, recordKey(address, ''), undefined, Number.POSITIVE_INFINITY)) {
      records.removeSync(key);
      this.#step('record-written');
    }
  }

  #place(partition: Partition): { partition: Partition; home: Partition; now: number } {
    return { partition, home: this.#home(partition), now: (this.#options.now ?? machineNow)() };
  }

  #home(partition: Partition): Partition {
    return partition % this.partitions;
  }

  #writeRecords(records: Bytes, commit: Commit): void {
    if (commit.records.length === 0) return;
    const start = recordKey(commit.address, '');
    for (const [name, value] of commit.records) {
      if (value === null) records.removeSync(start + name);
      else records.putSync(start + name, recordValue(value));
      this.#step('record-written');
    }
  }

  /** Reads the current content. A snapshot from earlier in this tick could hide another process's claim. */
  async #look<Result>(body: (databases: Databases) => Result): Promise<Result> {
    const databases = await this.#usable();
    try {
      databases.root.resetReadTxn();
      return body(databases);
    } catch (error) {
      throw storeFailed(this.#path, 'read', error, 'none');
    }
  }

  async #usable(): Promise<Databases> {
    if (this.#closing !== undefined) throw new SkerryError('closed', `The store in ${this.#path} is closed`);
    return this.#databases ?? (await this.#reopen());
  }

  #transact<Result>(body: (databases: Databases) => Result): Promise<Result> {
    const done = this.#run(body).finally(() => this.#underway.delete(done));
    this.#underway.add(done);
    return done;
  }

  async #run<Result>(body: (databases: Databases) => Result): Promise<Result> {
    const databases = await this.#usable();
    if (this.#options.readOnly) throw new SkerryError('store-failed', `The store in ${this.#path} is open read-only`);
    let transaction = Number.POSITIVE_INFINITY;
    try {
      return await this.#writes.run(
        (write) => databases.heads.childTransaction(write),
        () => {
          const result = body(databases);
          transaction = databases.root.getWriteTxnId();
          return result;
        },
      );
    } catch (error) {
      throw isSkerryError(error) ? error : await this.#failure(databases, error, transaction);
    }
  }

  /** The result for the caller. `transaction`: the number of the transaction that contained all of it, or infinity. */
  async #failure(databases: Databases, error: unknown, transaction: number): Promise<SkerryError> {
    const cause = await causeOf(error);
    if (cause === error) return storeFailed(this.#path, 'write', error, 'none');
    if (this.#databases === databases) this.#databases = undefined;
    try {
      // A transaction whose number was never reached did not happen. Another process may reach the number later.
      const last = lastTransaction(this.#databases ?? (await this.#reopen(databases)));
      return storeFailed(this.#path, 'write', cause, transaction > last ? 'none' : 'unknown');
    } catch {
      return storeFailed(this.#path, 'write', cause, 'unknown');
    }
  }

  /** SL4. All calls that need the databases meanwhile wait for the same attempt. After a failed one the next call tries again. */
  #reopen(broken?: Databases): Promise<Databases> {
    this.#reopening ??= this.#openAgain(broken).finally(() => {
      this.#reopening = undefined;
    });
    return this.#reopening;
  }

  async #openAgain(broken: Databases | undefined): Promise<Databases> {
    await broken?.root.close();
    this.#databases = openDatabases(this.#path, false);
    return this.#databases;
  }
}

function openDatabases(path: string, readOnly: boolean): Databases {
  const layout = { encoding: 'binary', keyEncoder: stringKeys } as const;
  const root = open<Uint8Array, string>({
    path,
    noSubdir: false,
    maxDbs: 8,
    overlappingSync: false,
    readOnly,
    ...layout,
  });
  try {
    const [heads, records] = [
      root.openDB<Uint8Array, string>('heads', layout),
      root.openDB<Uint8Array, string>('records', layout),
    ];
    const [wakes, meta] = [
      root.openDB<Uint8Array, string>('wakes', layout),
      root.openDB<Uint8Array, string>('meta', layout),
    ];
    // The types hide that a database may be missing, which it is when a read-only folder holds something else.
    if (!heads || !records || !wakes || !meta) throw new SkerryError('not-found', `There is no Skerry data in ${path}`);
    return { root, heads, records, wakes, meta };
  } catch (error) {
    void root.close();
    throw error;
  }
}

function moveWake(
  wakes: Bytes,
  home: Partition,
  { address, wakeAt }: Pick<Commit, 'address' | 'wakeAt'>,
  before: number | undefined,
): void {
  if (before !== undefined) wakes.removeSync(wakeKey(home, { address, wakeAt: before }));
  if (wakeAt !== undefined) wakes.putSync(wakeKey(home, { address, wakeAt }), nothing);
}

async function enterOnce(path: string, databases: Databases, options: LmdbOptions): Promise<Entered> {
  const writes = new Writes(path, () => transactionOf(databases));
  return enter(writes, databases, options).finally(() => writes.close());
}

/** Checks the format and joins the folder's users in one transaction. */
async function enter(writes: Writes, { heads, meta }: Databases, options: LmdbOptions): Promise<Entered> {
  const { path } = writes;
  if (options.readOnly) {
    const note = meta.getBinary('format');
    if (note === undefined) throw new SkerryError('not-found', `There is no Skerry data in ${path}`);
    return { found: identityIn(meta), used: undefined, partitions: partitionsOf(path, note, options.partitions) };
  }
  const join = () => {
    const note = meta.getBinary('format');
    if (note === undefined && page(heads, '', undefined, 1).length > 0) throw unknownFormat(path, undefined);
    const partitions = note === undefined ? (options.partitions ?? 256) : partitionsOf(path, note, options.partitions);
    meta.putSync(
      'users',
      joinUsers(path, meta.getBinary('users'), thisProcess(options.shared ?? false, options.owner ?? '')),
    );
    if (note === undefined) meta.putSync('format', formatNote(partitions));
    return { ...useAgain(meta), partitions };
  };
  return writes.run((write) => meta.childTransaction(write), join);
}

async function leave(writes: Writes, { meta }: Databases): Promise<Identity> {
  return writes.run(
    (write) => meta.childTransaction(write),
    () => {
      meta.putSync('users', leaveUsers(meta.getBinary('users'), thisProcess(false, '')));
      return useAgain(meta).used;
    },
  );
}

/** The open transaction of LMDB's thread, 0: none; undefined: it got none in an earlier turn of the event loop. */
function transactionOf(databases: Databases | undefined): number | undefined {
  try {
    return databases?.root.getWriteTxnId();
  } catch {
    return undefined;
  }
}

function lastTransaction({ root }: Databases): number {
  const stats = root.getStats();
  return 'lastTxnId' in stats && typeof stats.lastTxnId === 'number' ? stats.lastTxnId : Number.POSITIVE_INFINITY;
}
