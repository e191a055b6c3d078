/**
 * The store: the contract between the runtime and anything that can keep bytes durably.
 *
 * To a store an entity is a version, one small *head* and any number of named *records*. The runtime defines the bytes
 * (`entity/record-writer.ts`); the store guarantees what changes together, and which owner may change it.
 *
 * Invariants (cited as S1..; `test/conformance/store.ts` checks every store):
 * - S1 A commit is atomic: version, head, records and wake index change together or not at all.
 * - S2 A commit is accepted only if its epoch is the partition's current one *and* its `expected` is the entity's current
 *   version (0: never committed). Otherwise nothing of it is written, and its outcome says why.
 * - S3 The commits of one call are independent: a rejected commit does not affect the others.
 * - S4 When `commit` resolves, the accepted commits are as durable as the store promises (P8). No later `load` returns an
 *   earlier version.
 * - S5 When `commit` rejects with effect 'none', nothing of the call was written. With 'unknown' each commit of the call may
 *   or may not have been written, but never a part of one.
 * - S6 `claim` raises the epoch, and no epoch is ever given twice. From the moment the claim resolves, commits of the former
 *   owner are rejected. In a store that can lose commits (P8) an epoch is at least the current date in ms, so that a
 *   forgotten epoch is lower than any given after the loss.
 * - S7 The caller owns what is returned. It does not change what it passed in until the call settles.
 * - S8 A pin changes in one step together with the two epochs that it raises, and a claim lists the pins of the same moment:
 *   an epoch claimed before a pin is stale after it. A pin is not a claim, so the last claim of a partition remains known.
 * - S9 A lease changes hands in one step, and its term grows each time: no two holders ever have the same term.
 * - S10 If a claim's `previous` is an epoch, and its `mark` equals what `markOf` returned for that epoch, then the partition
 *   holds exactly what was acknowledged to the claim of that epoch. An owner that has it in memory need not read it.
 * - S11 After a commit that leaves a tombstone the entity is loaded and woken like any other, and `list` does not name it. After
 *   one that leaves nothing it is as if it had never been committed: it has version 0, and no head, record, wake or address.
 */
import { SkerryError } from '../core/errors.ts';
import type { Address } from '../core/message.ts';
import { described } from '../core/options.ts';
import { parts, type RecordName } from '../core/record.ts';
import type { Pin } from '../placement/view.ts';

export type { RecordName };

/**
 * The unit of ownership: a number below 2^53. The number modulo the store's `partitions` is its *home*, where its entities
 * are stored. Numbers below `partitions` are homes themselves. Pinned entities, and types that require labels, have
 * partitions above, with their own epochs (`placement/placement.ts`).
 */
export type Partition = number & { readonly unit?: 'partition' };
export type Epoch = number & { readonly unit?: 'epoch' };
export type Version = number & { readonly unit?: 'version' };
/** Summarises everything that was committed to a partition; see `Store.markOf`. */
export type Mark = number & { readonly unit?: 'mark' };

/** The change of one entity, to be written atomically (S1) under its conditions (S2). */
export interface Commit {
  readonly partition: Partition;
  readonly epoch: Epoch;
  readonly address: Address;
  /** The entity's version before this commit; 0 if it was never committed. */
  readonly expected: Version;
  /** The entity's version after this commit; greater than `expected`. */
  readonly version: Version;
  /** The new head. It is small and always present. */
  readonly head: Uint8Array;
  /** Records to put (bytes) or to remove (null). Removing an absent record is not an error. */
  readonly records: readonly (readonly [RecordName, Uint8Array | null])[];
  /** The entity's wake time (ms since 1970) before and after this commit; undefined: none. */
  readonly wakeBefore: number | undefined;
  readonly wakeAt: number | undefined;
  /** What the store has of the entity afterwards, if it was removed (S11). `nothing`: head, records and wake do not matter. */
  readonly leaves?: 'tombstone' | 'nothing' | undefined;
}

export type Outcome = 'committed' | 'stale-epoch' | 'stale-version';

/** The data that activation needs: the head, and every record except those of the lazily loaded tables. */
export interface Loaded {
  readonly version: Version;
  readonly head: Uint8Array;
  readonly wakeAt: number | undefined;
  /** In order of their names (by UTF-8 bytes). */
  readonly records: readonly (readonly [RecordName, Uint8Array])[];
  /** The records requested by `along`, as `scan` returns them; undefined if none were requested. */
  readonly along?: readonly (readonly [RecordName, Uint8Array])[];
}

/** Requests the first `limit` records of a lazily loaded table. `table` is the first letter of their names. */
export interface Along {
  readonly table: string;
  readonly limit: number;
}

/** The result of claiming one partition. */
export interface Claim {
  readonly partition: Partition;
  /** The new epoch. */
  readonly epoch: Epoch;
  /** The partition's epoch before this claim (0: none). Nobody owned the partition in between. */
  readonly previous: Epoch;
  /**
   * The epoch of the last claim before this one (0: none), made by `before`. It is lower than `previous` if a pin has raised
   * the epoch since. An owner that knows of a later claim concludes that the store has lost it (P8).
   */
  readonly claimed: Epoch;
  /** The mark of the partition at this moment; see `markOf`. */
  readonly mark: Mark;
  /** The former owner; undefined for the first claim, and if the former owner ended in order. */
  readonly before: string | undefined;
  /** The pinned entities of the partition's home at this moment. A later pin makes this epoch stale. */
  readonly pins: readonly Pin[];
}

/** A lease on a task for one process at a time. It saves work and protects nothing: two processes may believe that they hold it. */
export interface Lease {
  /** Empty: nobody. */
  readonly holder: string;
  /** Grows by one each time the holder changes (S9); 0: never held. */
  readonly term: number;
  /** End of the lease, by the clock of the process that took or last renewed it. Each renewal changes it. 0: not held. */
  readonly until: number;
}

/** Acknowledged commits that the store no longer has (P8). */
export interface Loss {
  /** Undefined: any partition; the commits were already missing when the store was opened. */
  readonly partition: Partition | undefined;
  /** The epoch by which this process owned the partition. Nobody owns the partition now. */
  readonly epoch: Epoch;
  /** Minimum number of commits that are missing. */
  readonly commits: number;
}

/** An entry of the wake index: an entity that is to be activated at a time, ms since 1970. */
export interface Wake {
  readonly address: Address;
  readonly wakeAt: number;
}

/** Tables that `load` does not return. Their records are read one by one, or page by page, when needed. */
export const lazyTables: ReadonlySet<string> = new Set(
  Object.values(parts).flatMap(({ letter, isLazy }) => (isLazy === true ? [letter] : [])),
);

/**
 * The store is unavailable and may be back soon. Nothing of the call was started, so the request that needed it is retried
 * until its deadline.
 */
export class StoreAway extends SkerryError {
  constructor(message: string, cause?: unknown) {
    super('store-failed', message, { effect: 'none', cause });
  }
}

/** Keeps entities durably. The invariants S1 to S11 in the source say what an implementation guarantees. */
export interface Store {
  /** A random id, made when the store is created and kept in it. */
  readonly id: string;
  /** Number of partitions; fixed for the life of the store. */
  readonly partitions: number;
  /** Size of the largest record value, bytes. The runtime fails a turn with a larger state before its commit. */
  readonly valueBytesMax: number;
  /**
   * Number of groups that one worker commits at once: two if it would otherwise wait for a disk in between. A store that can
   * lose commits (P8) has one, because a loss is detected by comparison with the previous reply.
   */
  readonly groupsAtOnce: number;

  /**
   * The mark of a partition that holds exactly what was acknowledged to this caller's claim with that epoch (S10).
   * Undefined if the caller cannot know, because a reply is missing or still due.
   */
  markOf(partition: Partition, epoch: Epoch): Mark | undefined;

  /** Report every loss once, when it is detected; losses detected earlier are reported at once. Returns an unsubscribe function. */
  onLoss(tell: (loss: Loss) => void): () => void;

  /**
   * Claim partitions (S6), all or none. `owner` is shown to people and never compared. An empty `owner` means nobody: a
   * worker that ends in order gives up its partitions by it.
   */
  claim(partitions: readonly Partition[], owner: string): Promise<Claim[]>;

  /**
   * Pin an entity to a worker by the worker's name, or remove its pin (undefined). The same step raises the epochs of the
   * entity's home partition and of `partition`, the pinned entity's own, so that the owner of either becomes stale at once.
   */
  pin(address: Address, partition: Partition, worker: string | undefined): Promise<void>;

  /** All pins, in order of their addresses. */
  pins(): Promise<Pin[]>;

  /**
   * Acquire or renew a lease for `ms` from `now` (the caller's clock). The caller gets it if it holds it already, if it is
   * free or over, or if it is unchanged since the caller last saw it (`instead`), because then its holder does not renew it.
   * With `ms` 0 the caller gives it up, if it holds it. Resolves with the lease as it is afterwards.
   */
  lease(
    name: string,
    holder: string,
    options: { readonly now: number; readonly ms: number; readonly instead?: Pick<Lease, 'term' | 'until'> },
  ): Promise<Lease>;

  /** The current epochs (0: never claimed), in the order requested. One call checks ownership for all waiting reads (P9). */
  epochs(partitions: readonly Partition[]): Promise<Epoch[]>;

  /** Heads and eager records in the order requested, with the records requested by `along`. Undefined: never committed. */
  load(
    entities: readonly { readonly partition: Partition; readonly address: Address }[],
    along?: Along,
  ): Promise<(Loaded | undefined)[]>;

  /** Write a group (S1–S5). Outcomes are in the order of the group. A group contains an entity at most once. */
  commit(group: readonly Commit[]): Promise<Outcome[]>;

  /** Records of lazily loaded tables by name, in the order requested. Undefined: absent. */
  read(
    entity: { partition: Partition; address: Address },
    names: readonly RecordName[],
  ): Promise<(Uint8Array | undefined)[]>;

  /** At most `limit` records whose names start with `prefix` and sort after `after`, in order of names. */
  scan(
    entity: { partition: Partition; address: Address },
    prefix: string,
    options: { after?: RecordName; limit: number },
  ): Promise<(readonly [RecordName, Uint8Array])[]>;

  /** At most `limit` wakes of a partition's home, soonest first, after the given one. */
  wakes(partition: Partition, options: { after?: Wake; limit: number }): Promise<Wake[]>;

  /** At most `limit` addresses of a type (undefined: all types), in order of their UTF-8 bytes, after the given one; no tombstones. */
  list(type: string | undefined, options: { after?: Address; limit: number }): Promise<Address[]>;

  /** Resolves when everything accepted is durable and the store is closed. Idempotent. */
  close(): Promise<void>;
}

/** Throws `invalid-definition` for a value that is neither the name of a store nor a store; it would fail later, far from the cause. */
export function checkedStore(store: unknown): string | Store {
  if (typeof store === 'string' && store !== '') return store;
  if (isStore(store)) return store;
  const found = store instanceof URL ? `a URL object: pass its string, ${store.protocol}//…` : described(store);
  throw new SkerryError(
    'invalid-definition',
    `store is ${found}; it must be a folder, 'memory' (embed), redis://… (serve), or an open store`,
  );
}

function isStore(store: unknown): store is Store {
  return typeof store === 'object' && store !== null && 'commit' in store && typeof store.commit === 'function';
}
