/**
 * The control socket's place and form, common to the app that serves it and the commands that ask.
 *
 * A Unix domain socket in a folder of the temporary folder that only this user may enter, named by a hash of the data
 * folder's real path: copies of a data folder have sockets of their own, and paths stay below the 103 bytes that every
 * system takes. Requests and answers are lines of JSON, answered in order.
 */
import { createHash } from 'node:crypto';
import { lstatSync, type Stats } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { realFolder } from './data-folder.ts';
import { CliError } from './failure.ts';

/** Characters of one request: an input of the largest size, escaped, fits. */
export const requestLengthMax = 4_194_304;

const pathBytesMax = 103;

export function controlPath(folder: string): string {
  const name = createHash('sha256').update(realFolder(folder)).digest('hex').slice(0, 24);
  if (process.platform === 'win32') return `\\\\.\\pipe\\skerry-${name}`;
  const owned = `skerry-${process.getuid?.() ?? 0}`;
  const path = join(tmpdir(), owned, `${name}.sock`);
  return Buffer.byteLength(path) <= pathBytesMax ? path : join('/tmp', owned, `${name}.sock`);
}

/**
 * Whether the socket's folder is there. The temporary folder is everybody's: one that somebody else made, or can enter,
 * is refused, since there could be another socket in it tomorrow. Throws `denied`.
 */
export function isFolderSafe(path: string): boolean {
  if (process.platform === 'win32') return true;
  const folder = dirname(path);
  const found = statOf(folder);
  if (found === undefined) return false;
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0) return true;
  throw new CliError('denied', `${folder} is not a folder that only you can enter: Skerry does not use it`, {
    advice: 'remove it, or set TMPDIR to a folder of your own',
  });
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}
