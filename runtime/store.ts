/**
 * The store: what survives. The contract between the runtime and anything that can keep bytes.
 *
 * To a store an entity is a version, one small *head* and any number of named *records*. What the bytes mean is
 * the runtime's business (`entity/record-writer.ts`); what changes together, and who may change it, is the store's.
 *
 * Invariants (cited as S1..; `test/conformance/store.ts` holds every store to them):
 * - S1 A commit is all or nothing: version, head, records and wake index change together or not at all.
 * - S2 A commit is accepted only if its epoch is the partition's present one *and* its `expected` is the
 *   entity's present version (0: never committed). Otherwise nothing of it is written and its outcome says why.
 * - S3 Commits of one call are accepted or refused one by one: a refused one does not touch the others.
 * - S4 When `commit` resolves, what it accepted survives what the store promises (P8); what a later `load` returns
 *   never goes back behind it.
 * - S5 When `commit` rejects with effect 'none' nothing of the call was written; with 'unknown' each commit
 *   of it may or may not have been; never a part of one.
 * - S6 `claim` raises the epoch, for ever: an epoch is never given twice, so that a stale owner's commits are refused
 *   from the moment at which the claim resolves. Where a store may go back (P8) epochs are at least the date, ms: what it has
 *   forgotten is lower than what it gives then.
 * - S7 What is returned is the caller's to keep; what is passed in is not changed by the caller until the call settles.
 * - S8 A pin and the two epochs that it raises change in one step, and a claim lists the pins of that same moment: an epoch
 *   that was claimed before a pin is stale after it. A pin is no claim: by which one a partition was owned is still known after it.
 * - S9 A lease changes hands in one step, and its term rises each time: no two holders are ever given the same term.
 * - S10 A claim whose `previous` is an epoch, and whose `mark` is the one that `markOf` gave of it, found exactly what was
 *   acknowledged to the claim of that epoch: whoever has that in memory need not read it.
 */
import { SkerryError } from '../core/errors.ts';
import type { Address } from '../core/message.ts';
import { described } from '../core/options.ts';
import type { RecordName } from '../core/record.ts';
import type { Pin } from '../placement/view.ts';

export type { RecordName };

/**
 * What is owned: a number whose rest by the store's `partitions` is its *home*, where its entities are kept. Those below
 * `partitions` are the homes themselves; pinned entities, and types that require labels, have partitions above, with epochs
 * of their own (`placement/placement.ts`). Below 2^53.
 */
export type Partition = number & { readonly unit?: 'partition' };
export type Epoch = number & { readonly unit?: 'epoch' };
export type Version = number & { readonly unit?: 'version' };
/** Stands for everything that was committed to a partition: see `Store.markOf`. */
export type Mark = number & { readonly unit?: 'mark' };

/** One entity's change, to be written as a whole (S1) under its conditions (S2). */
export interface Commit {
  readonly partition: Partition;
  readonly epoch: Epoch;
  readonly address: Address;
  /** The version that the entity must have now; 0 for one that was never committed. */
  readonly expected: Version;
  /** The version that it then has; greater than `expected`. */
  readonly version: Version;
  /** The new head; always given, small. */
  readonly head: Uint8Array;
  /** Records to put (bytes) or to remove (null; one that is absent is no error). */
  readonly records: readonly (readonly [RecordName, Uint8Array | null])[];
  /** When the entity next wants to be woken (ms since 1970), before and after this commit; undefined: not at all. */
  readonly wakeBefore: number | undefined;
  readonly wakeAt: number | undefined;
}

export type Outcome = 'committed' | 'stale-epoch' | 'stale-version';

/** What activation needs: the head and every record except those of the lazily loaded tables. */
export interface Loaded {
  readonly version: Version;
  readonly head: Uint8Array;
  readonly wakeAt: number | undefined;
  /** In order of their names (by UTF-8 bytes). */
  readonly records: readonly (readonly [RecordName, Uint8Array])[];
  /** What was asked for along with it, as `scan` answers it; undefined: nothing was. */
  readonly along?: readonly (readonly [RecordName, Uint8Array])[];
}

/** The first records of a lazily loaded table, which the first letter of their names says; at most `limit`. */
export interface Along {
  readonly table: string;
  readonly limit: number;
}

export interface Claim {
  readonly partition: Partition;
  readonly epoch: Epoch;
  /** The epoch that it had until now (0: none): nobody else had the partition in between. */
  readonly previous: Epoch;
  /**
   * The epoch of the last claim until now (0: none), which is `before`'s: lower than `previous` where a pin has raised it since. An
   * owner that knows of a later claim knows that the store has forgotten it (P8).
   */
  readonly claimed: Epoch;
  /** What the store has of the partition in the same moment: see `markOf`. */
  readonly mark: Mark;
  /** Who held it before; undefined the first time, and where that one ended in order. */
  readonly before: string | undefined;
  /** The pinned entities of its home, in the same moment: a later pin makes this epoch stale. */
  readonly pins: readonly Pin[];
}

/** Who does something that one shall do at a time. Saves work, guards nothing: two may believe that they hold it. */
export interface Lease {
  /** Empty: nobody. */
  readonly holder: string;
  /** Raised by one each time that somebody gets it who does not have it (S9); 0: nobody ever had it. */
  readonly term: number;
  /** When it is over, by the clock of who took it or renewed it last: each renewal changes it. 0: nobody has it. */
  readonly until: number;
}

/** Commits that were acknowledged and that the store no longer has (P8). */
export interface Loss {
  /** Undefined: any; they were gone when the store was opened. */
  readonly partition: Partition | undefined;
  /** By which this process has the partition. It is nobody's any more. */
  readonly epoch: Epoch;
  /** How many are gone, at least. */
  readonly commits: number;
}

export interface Wake {
  readonly address: Address;
  readonly wakeAt: number;
}

/** Tables that `load` leaves in the store: read one by one, or page by page, when they are needed. */
export const lazyTables: ReadonlySet<string> = new Set(['p', 'h']);

/**
 * The store cannot be reached for now, and may be there again soon: nothing of the call was begun. What asked for it is
 * tried again until its deadline.
 */
export class StoreAway extends SkerryError {
  constructor(message: string, cause?: unknown) {
    super('store-failed', message, { effect: 'none', cause });
  }
}

export interface Store {
  /** Random; made with the store and kept in it. */
  readonly id: string;
  /** How many partitions this store was made for; fixed for its life. */
  readonly partitions: number;
  /** Largest record value, bytes; the runtime refuses larger states before the turn commits. */
  readonly valueBytesMax: number;
  /**
   * How many groups one worker has under way: two where it would else wait for a disk between them. A store that may go back
   * (P8) takes one: what it has lost shows by what the answer before had said.
   */
  readonly groupsAtOnce: number;

  /**
   * What the store has of a partition if it has everything that was acknowledged to this caller's claim with that epoch, and
   * nothing else of it (S10). Undefined: the caller cannot know, since it lost an answer or waits for one.
   */
  markOf(partition: Partition, epoch: Epoch): Mark | undefined;

  /** Have every loss told where it is found, once. What was found before is told at once. Returns the end of it. */
  onLoss(tell: (loss: Loss) => void): () => void;

  /**
   * Take partitions over (S6), all or none. `owner` is for people: it is shown, never compared; an empty one is nobody: the
   * owner until now says by it that it ends in order.
   */
  claim(partitions: readonly Partition[], owner: string): Promise<Claim[]>;

  /**
   * Pin an entity to a worker by its name, or end that (undefined). With it, in one step, the epochs of its home partition
   * and of `partition`, the pinned entity's own, are raised: whoever had either finds out before it does anything wrong.
   */
  pin(address: Address, partition: Partition, worker: string | undefined): Promise<void>;

  /** All pins, in order of their addresses. */
  pins(): Promise<Pin[]>;

  /**
   * Take or keep a lease for `ms` from `now` (the caller's clock): given if it is the caller's already, free, over, or just
   * as the caller saw it last (`instead`): its holder does not renew it. `ms` 0 gives it up, if it is the caller's. Returns who has it
   * after that.
   */
  lease(
    name: string,
    holder: string,
    options: { readonly now: number; readonly ms: number; readonly instead?: Pick<Lease, 'term' | 'until'> },
  ): Promise<Lease>;

  /** The present epochs (0: never claimed), in the order asked: one ownership check for everything that waits (P9). */
  epochs(partitions: readonly Partition[]): Promise<Epoch[]>;

  /** Heads and eager records, in the order asked, and with them what goes `along`; undefined: never committed. */
  load(
    entities: readonly { readonly partition: Partition; readonly address: Address }[],
    along?: Along,
  ): Promise<(Loaded | undefined)[]>;

  /** Write a group (S1–S5); outcomes in the order of the group. An entity occurs at most once in a group. */
  commit(group: readonly Commit[]): Promise<Outcome[]>;

  /** One record each, in the order asked; undefined: absent. For lazily loaded tables. */
  read(
    entity: { partition: Partition; address: Address },
    names: readonly RecordName[],
  ): Promise<(Uint8Array | undefined)[]>;

  /** At most `limit` records whose names start with `prefix` and come after `after`, in order of names. */
  scan(
    entity: { partition: Partition; address: Address },
    prefix: string,
    options: { after?: RecordName; limit: number },
  ): Promise<(readonly [RecordName, Uint8Array])[]>;

  /** Entities of a partition's home that want to be woken, soonest first, after the given one; at most `limit`. */
  wakes(partition: Partition, options: { after?: Wake; limit: number }): Promise<Wake[]>;

  /** Addresses of a type (all types: undefined) in order of their UTF-8 bytes, after the given one; at most `limit`. */
  list(type: string | undefined, options: { after?: Address; limit: number }): Promise<Address[]>;

  /** Resolves when everything accepted is durable and nothing of the store is open any more. Idempotent. */
  close(): Promise<void>;
}

/** Throws `invalid-definition` for what is neither the name of a store nor a store, and would fail far from its cause. */
export function checkedStore(store: unknown): string | Store {
  if (typeof store === 'string' && store !== '') return store;
  if (isStore(store)) return store;
  const found =
    store instanceof URL ? `a URL object: give its text, ${store.protocol}//…, as a string` : described(store);
  throw new SkerryError(
    'invalid-definition',
    `store is ${found}; it must be a folder, 'memory' (embed), redis://… (serve), or a store that is open`,
  );
}

function isStore(store: unknown): store is Store {
  return typeof store === 'object' && store !== null && 'commit' in store && typeof store.commit === 'function';
}
