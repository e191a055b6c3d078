/**
 * Detects that an embedded folder was restored from a copy: by a count of its uses, kept in the folder and in a note beside it,
 * which a restored copy does not overwrite.
 *
 * Owns the count and the note. A use is an opening, a closing, and now and then a commit, so that a copy made while the folder
 * was in use has an old count when it is restored after a crash. It does not count LMDB's transactions, because a compacted copy
 * starts those again.
 *
 * Invariants:
 * - SW1 The note never has a higher count than the folder on disk, because it is written after the transaction that raised the
 *   count. So a folder with a lower count was restored.
 * - SW2 While there are commits, the count rises at least every `raiseMs`, in the transaction of a commit that is acknowledged
 *   when the note is also on disk. Without commits nothing is written.
 */
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { newMachineId } from '../../environment.ts';
import { isRecord, noteOf, parseNote, syncFolder } from './folder.ts';

/** Commits of this time after a copy may be lost without detection, ms. */
const raiseMs = 5_000;

/** The identity of a store, and its count of uses. */
export interface Identity {
  readonly id: string;
  readonly uses: number;
}

/** The key of `meta` that holds it. */
const identityKey = 'identity';

interface Meta {
  getBinary(key: string): Uint8Array | undefined;
  putSync(key: string, value: Uint8Array): unknown;
}

/** The id is '' for a read-only folder that no version with identities has opened. */
export function identityIn(meta: Pick<Meta, 'getBinary'>): Identity {
  return identityOf(meta.getBinary(identityKey));
}

/** Counts one more use, inside a transaction of the caller. Returns the identity before and after. */
export function useAgain(meta: Meta): { found: Identity; used: Identity } {
  const found = identityIn(meta);
  const used = { id: found.id === '' ? newMachineId() : found.id, uses: found.uses + 1 };
  meta.putSync(identityKey, noteOf(used));
  return { found, used };
}

/** Compares the count found in a folder with the note beside it. Returns whether the folder is older. */
export async function isPutBack(folder: string, found: Identity): Promise<boolean> {
  const noted = identityOf(await readFile(notePath(folder)).catch(() => undefined));
  return noted.id === found.id && noted.uses > found.uses;
}

/** Notes a count that is on disk (SW1). If the parent folder is not writable, nothing is noted and a restore is not detected. */
export async function noteUse(folder: string, used: Identity): Promise<void> {
  // An incomplete note is invalid: a crash here leaves the note before.
  const draft = `${notePath(folder)}.${process.pid}`;
  try {
    const file = await open(draft, 'w', 0o600);
    await file
      .writeFile(noteOf(used))
      .then(() => file.sync())
      .finally(() => file.close());
    await rename(draft, notePath(folder));
    await syncFolder(dirname(folder));
  } catch {
    // The note before remains.
  }
}

/** Decides when a commit raises the count (SW2). */
export class Raises {
  readonly #steady: () => number;
  #raisedAt: number;

  /** The count was just raised by opening the folder. */
  constructor(steady: () => number) {
    this.#steady = steady;
    this.#raisedAt = steady();
  }

  /** Raises the count if it is due, inside the transaction of a commit. */
  raise(meta: Meta): Identity | undefined {
    const now = this.#steady();
    if (now - this.#raisedAt < raiseMs) return undefined;
    this.#raisedAt = now;
    return useAgain(meta).used;
  }

  /** The transaction failed, or its outcome is unknown: the next one raises the count. */
  failed(): void {
    this.#raisedAt = Number.NEGATIVE_INFINITY;
  }
}

function identityOf(bytes: Uint8Array | undefined): Identity {
  const parsed = bytes === undefined ? undefined : parseNote(bytes);
  const { id, uses } = isRecord(parsed) ? parsed : {};
  return { id: typeof id === 'string' ? id : '', uses: typeof uses === 'number' ? uses : 0 };
}

function notePath(folder: string): string {
  return `${folder}.witness`;
}
