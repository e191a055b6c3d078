/**
 * How an embedded folder that was put back is noticed: by a count of its uses, in the folder and in a note beside it, where no
 * copy that is put back reaches.
 *
 * Owns that count and the note. A use is an opening, a closing, and now and then a commit: a copy that was made while the folder
 * was in use, and put back after a crash, has the count of its moment. It counts uses, not transactions of LMDB: a compacted
 * copy begins those anew.
 *
 * Invariants:
 * - SW1 The note never says more than the folder on disk: it is written after the transaction that raised the count. So a folder
 *   that says less was put back.
 * - SW2 While there are commits the count rises at least every `raiseMs`, in the transaction of one of them, which is acknowledged
 *   when the note is on disk, too. Without commits nothing is written.
 */
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { newMachineId } from '../../environment.ts';
import { isRecord, noteOf, parseNote, syncFolder } from './folder.ts';

/** So much of what came after a copy may be lost without anybody's noticing, ms. */
const raiseMs = 5_000;

/** Who a store is, and how often it was used. */
export interface Identity {
  readonly id: string;
  readonly uses: number;
}

/** The key of `meta` that has it. */
const identityKey = 'identity';

interface Meta {
  getBinary(key: string): Uint8Array | undefined;
  putSync(key: string, value: Uint8Array): unknown;
}

/** Of a folder that is only looked into, and that nobody has opened since stores have one, the id is ''. */
export function identityIn(meta: Pick<Meta, 'getBinary'>): Identity {
  return identityOf(meta.getBinary(identityKey));
}

/** It is used once more. Inside a transaction of the caller. Returns what it was, and is. */
export function useAgain(meta: Meta): { found: Identity; used: Identity } {
  const found = identityIn(meta);
  const used = { id: found.id === '' ? newMachineId() : found.id, uses: found.uses + 1 };
  meta.putSync(identityKey, noteOf(used));
  return { found, used };
}

/** Holds how often a folder was used, as it was found, against the note beside it. Returns whether the folder is older. */
export async function isPutBack(folder: string, found: Identity): Promise<boolean> {
  const noted = identityOf(await readFile(notePath(folder)).catch(() => undefined));
  return noted.id === found.id && noted.uses > found.uses;
}

/** Notes a count that is on disk (SW1). Where nothing may be written beside the folder nothing is noted, and nobody finds out. */
export async function noteUse(folder: string, used: Identity): Promise<void> {
  // Half a note is none: a crash in the middle of this leaves the one before.
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
    // The one before stays.
  }
}

/** When a commit raises the count (SW2). */
export class Raises {
  readonly #steady: () => number;
  #raisedAt: number;

  /** The count was raised just now: the folder was opened. */
  constructor(steady: () => number) {
    this.#steady = steady;
    this.#raisedAt = steady();
  }

  /** Raise the count, if it is time to. Inside the transaction of a commit. */
  raise(meta: Meta): Identity | undefined {
    const now = this.#steady();
    if (now - this.#raisedAt < raiseMs) return undefined;
    this.#raisedAt = now;
    return useAgain(meta).used;
  }

  /** The transaction did not happen, or nobody knows: the next one raises it. */
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
