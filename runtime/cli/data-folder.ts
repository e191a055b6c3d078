/**
 * The data folder as commands see it: whether it is there, and what `run` noted in it (`skerry.json`): which app runs on
 * it, and its types, so that other commands can start the app for one call and know what may be asked.
 *
 * Whoever can write the note decides which code a later command runs: one that belongs to, or can be written by, somebody
 * else is refused.
 */
import { existsSync, lstatSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import type { Behaviour } from '../../core/behaviour.ts';
import { CliError } from './failure.ts';

export interface Remembered {
  /** Absolute path of the app's module. */
  readonly app: string;
  readonly types: readonly RememberedType[];
}

export interface RememberedType {
  readonly type: string;
  /** How long its history is kept, ms; undefined: it keeps none. */
  readonly historyMs: number | undefined;
  /** Of the states that it reads. */
  readonly version?: number | undefined;
}

const noteFormat = 1;

function notePath(folder: string): string {
  return join(folder, 'skerry.json');
}

/** True if a store was ever opened in it. */
export function hasData(folder: string): boolean {
  return existsSync(join(folder, 'data.mdb'));
}

/** Throws `not-found` if there is no data folder there. */
export function requireFolder(folder: string): void {
  if (hasData(folder)) return;
  const what = existsSync(folder) ? `There is no Skerry data in ${folder}` : `There is no folder ${folder}`;
  throw new CliError('not-found', what, {
    advice: 'name it with --data or SKERRY_DATA; skerry run <app.ts> --data <folder> creates one',
  });
}

/** The one name of a folder, whichever way it was given. */
export function realFolder(folder: string): string {
  return existsSync(folder) ? realpathSync(folder) : resolve(folder);
}

/** Note the app; a reader finds the earlier note or this one, never a part. */
export function remember(folder: string, app: string, behaviours: readonly Behaviour[]): void {
  const types = behaviours.map(({ contract, historyMs, version }) => ({ type: contract.type, historyMs, version }));
  const note = { skerry: noteFormat, app: relative(realFolder(folder), app), types };
  const draft = `${notePath(folder)}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(note, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(draft, notePath(folder));
}

/** What was noted; undefined: nothing. Throws for a note that cannot be trusted or read. */
export function remembered(folder: string): Remembered | undefined {
  const path = notePath(folder);
  if (!existsSync(path)) return undefined;
  const { uid, mode } = lstatSync(path);
  const isOurs = process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0);
  if (!isOurs)
    throw new CliError(
      'denied',
      `${path} belongs to another user or can be written by others: the app that it names is not run`,
      { advice: 'start the app yourself: skerry run <app.ts>' },
    );
  const note = parseNote(readFileSync(path, 'utf8'));
  if (note === undefined)
    throw new CliError('store-format', `${path} is not a note that this version of Skerry can read`, {
      advice: 'skerry run <app.ts> writes it anew',
    });
  return { ...note, app: resolve(realFolder(dirname(path)), note.app) };
}

function parseNote(text: string): Remembered | undefined {
  let note: unknown;
  try {
    note = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof note !== 'object' || note === null || !('skerry' in note) || note.skerry !== noteFormat) return undefined;
  if (!('app' in note && typeof note.app === 'string' && 'types' in note && Array.isArray(note.types)))
    return undefined;
  const types = note.types.filter(
    (one: unknown): one is RememberedType =>
      typeof one === 'object' && one !== null && 'type' in one && typeof one.type === 'string',
  );
  return { app: note.app, types };
}
