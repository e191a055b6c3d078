/**
 * Opening a data folder: its format, the processes that have it open, and the errors when it cannot be opened.
 *
 * Owns the content of the two notes that the embedded store keeps in the folder ('format' and 'users'), and the distinction
 * between a process and a later one with the same pid. The store reads and writes the notes in one write transaction, so that of
 * two processes that open a folder at once one sees the other.
 *
 * Invariants:
 * - SF1 A folder is opened only in the format and with the partitions that it was created with. Nothing is converted silently.
 * - SF2 A process that has ended holds nothing, however it ended, even if its pid is in use again.
 *
 * Processes in other containers are not visible and count as ended. That does not endanger the data (S2 rejects a stale owner).
 */
import { readFileSync } from 'node:fs';
import { open, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type CallEffect, SkerryError } from '../../../core/errors.ts';

/** One process that has a folder open. */
export interface FolderUser {
  readonly pid: number;
  /** Distinguishes this process from a later one with the same pid. */
  readonly startedAt: string;
  readonly shared: boolean;
  readonly owner: string;
}

const formatVersion = 1;
/** Free space required for a new data file, which starts with about 40 kB. */
const newDataBytes = 1_048_576;

/**
 * Checks the file before LMDB does: its binding ends the process for anything but data of its own version, and for a full disk
 * while it creates a file. Throws `store-format` or `store-failed`.
 */
export async function checkDataFile(folder: string): Promise<void> {
  const file = await open(join(folder, 'data.mdb')).catch(absent);
  try {
    const size = (await file?.stat())?.size ?? 0;
    if (file === undefined || size === 0) return await requireRoom(folder);
    const { buffer: start } = await file.read(Buffer.alloc(52), 0, 52, 0);
    const isLmdb = start.readUInt32LE(24) === 0xbeefc0de && start.readUInt16LE(28) === 2;
    if (!(isLmdb && size >= 2 * start.readUInt32LE(48))) throw unknownFormat(folder, undefined);
  } finally {
    await file?.close();
  }
}

async function requireRoom(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < newDataBytes)
    throw new SkerryError(
      'store-failed',
      `There is not enough space for new data in ${folder}: ${bavail * bsize} bytes are free`,
    );
}

/** Makes the names of new folders durable, from `folder` up to the parent of `topmost`. */
export async function syncFolders(folder: string, topmost: string): Promise<void> {
  const end = dirname(resolve(topmost));
  for (let path = resolve(folder); path.startsWith(end); path = dirname(path)) {
    await syncFolder(path);
    if (path === end) return;
  }
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // which has no such call, and needs none
  const file = await open(path, 'r');
  await file.sync().finally(() => file.close());
}

function absent(error: unknown): undefined {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
}

/** The note for a new folder. */
export function formatNote(partitions: number): Uint8Array {
  return noteOf({ format: formatVersion, partitions });
}

/** The number of partitions that the folder was created with. Throws `store-format` (SF1). */
export function partitionsOf(folder: string, note: Uint8Array, wanted: number | undefined): number {
  const written = parseNote(note);
  const { format, partitions } = isRecord(written) ? written : {};
  if (format !== formatVersion || typeof partitions !== 'number') throw unknownFormat(folder, format);
  if (wanted === undefined || wanted === partitions) return partitions;
  throw new SkerryError(
    'store-format',
    `The data in ${folder} has ${partitions} partitions, not ${wanted}: the number is fixed when a folder is created; open it with ${partitions}, or create a new folder`,
  );
}

export function unknownFormat(folder: string, format: unknown): SkerryError {
  const what =
    typeof format === 'number'
      ? `format ${format}; this version of Skerry reads format ${formatVersion}`
      : 'an unknown format';
  return new SkerryError(
    'store-format',
    `The data in ${folder} is in ${what}: use the version of Skerry that wrote it`,
  );
}

export function thisProcess(shared: boolean, owner: string): FolderUser {
  return { pid: process.pid, startedAt: startOf(process.pid) ?? '', shared, owner };
}

/** The users after `me` has joined, without ended ones (SF2). Throws `store-in-use`. */
export function joinUsers(folder: string, note: Uint8Array | undefined, me: FolderUser): Uint8Array {
  const living = usersOf(note).filter((user) => startOf(user.pid) === user.startedAt);
  const other = living.find((user) => !user.shared || !me.shared);
  if (other === undefined) return noteOf([...living, me]);
  const name = other.owner === '' ? '' : ` (${other.owner})`;
  const advice = other.shared
    ? 'open it as shared too, or stop that process'
    : 'stop that process, or give each worker its own folder';
  throw inUse(folder, `process ${other.pid}${name}`, advice);
}

/** The users without `me`; without one entry of it, if several threads of this process have the folder open. */
export function leaveUsers(note: Uint8Array | undefined, me: FolderUser): Uint8Array {
  const users = usersOf(note);
  const mine = users.findIndex((user) => user.pid === me.pid && user.startedAt === me.startedAt);
  return noteOf(users.filter((_, at) => at !== mine));
}

export function inUse(folder: string, by: string, advice: string): SkerryError {
  return new SkerryError('store-in-use', `The data in ${folder} is open in ${by}: ${advice}`);
}

export function unopenable(folder: string, cause: unknown): SkerryError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SkerryError('store-failed', `The store in ${folder} could not be opened: ${reason}`, { cause });
}

/** Distinguishes a living process from every other with its pid; undefined: there is none. */
function startOf(pid: number): string | undefined {
  return process.platform === 'linux' ? startOnLinux(pid) : startElsewhere(pid);
}

function startOnLinux(pid: number): string | undefined {
  try {
    // The name, field 2, may contain anything, including a bracket. Field 3 follows the last bracket.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(')').at(-1)?.trim().split(' ') ?? [];
    const isGone = fields[0] === 'Z' || fields[0] === 'X';
    // Field 22 counts from the boot of the machine, so it needs the boot id.
    return isGone ? undefined : `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}/${fields[19]}`;
  } catch {
    return undefined;
  }
}

/** Without a start time, a process with a reused pid counts as the old one. */
function startElsewhere(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
    return '';
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM' ? '' : undefined;
  }
}

function usersOf(note: Uint8Array | undefined): FolderUser[] {
  const users = note === undefined ? [] : parseNote(note);
  return Array.isArray(users) ? users.filter(isUser) : [];
}

function isUser(value: unknown): value is FolderUser {
  if (!isRecord(value)) return false;
  const { pid, startedAt, shared, owner } = value;
  return (
    typeof pid === 'number' && typeof startedAt === 'string' && typeof shared === 'boolean' && typeof owner === 'string'
  );
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

export function parseNote(note: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(note));
  } catch {
    return undefined;
  }
}

export function noteOf(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** LMDB's error behind that of a failed commit, or the error itself if the commit did not fail. */
export async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error && error.commitError instanceof Promise)) return error;
  return error.commitError.catch((cause: unknown) => cause);
}

export function storeFailed(path: string, what: 'read' | 'write', cause: unknown, effect: CallEffect): SkerryError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SkerryError('store-failed', `The store in ${path} could not ${what}: ${reason}`, { effect, cause });
}
