/** Files in the data folder that hold logins: this user's alone (mode 0600), written so that a reader finds all of one or of the other. */
import { existsSync, lstatSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { CliError } from './failure.ts';

/** A reader finds the earlier text or this one, never a part. */
export function writePrivate(path: string, value: object): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(draft, path);
}

/** What was written; undefined: nothing that can be read. Throws `denied` for a file that others can read or have written. */
export function readPrivate(
  path: string,
  { because, advice }: { readonly because: string; readonly advice: string },
): Readonly<Record<string, unknown>> | undefined {
  if (!existsSync(path)) return undefined;
  const { uid, mode } = lstatSync(path);
  if (process.getuid !== undefined && (uid !== process.getuid() || (mode & 0o077) !== 0))
    throw new CliError('denied', `${path} is not yours alone: ${because}`, { advice });
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}
