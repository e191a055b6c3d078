/**
 * Patches: the edits that lead from a state to the next. Owns their form and how they are applied; recorder.ts makes them.
 */
import { SkerryError } from './errors.ts';
import type { Key } from './storable.ts';
import * as data from './storable.ts';

export type Path = readonly Key[];

/** Set at a path; delete at a path; at the path of an array, remove `count` elements from `start` and insert others. */
export type Edit =
  | readonly [path: Path, value: unknown]
  | readonly [path: Path]
  | readonly [path: Path, start: number, count: number, inserted: readonly unknown[]];

/** Edits that make the state before a turn the state after it, or the advice to write all of it. */
export type Patch = readonly Edit[] | 'whole';

/** An object or array of the state. */
export type Plain = Record<Key, unknown>;

/** Applies a patch in place and returns the value; takes over the objects that the patch holds. */
export function applyPatch(value: unknown, edits: readonly Edit[]): unknown {
  const holder = { value };
  for (const edit of edits) applyEdit(holder, edit);
  return holder.value;
}

/** The edits in what was stored as a patch. Throws `store-format` for what is none. */
export function editsIn(stored: unknown): readonly Edit[] {
  if (!Array.isArray(stored) || !stored.every(isEdit)) throw misfit();
  return stored;
}

function isEdit(one: unknown): one is Edit {
  if (!Array.isArray(one)) return false;
  const [path, start, count, inserted] = one as unknown[];
  const isPath = Array.isArray(path) && path.every((key) => typeof key === 'string' || Number.isSafeInteger(key));
  if (!isPath || one.length === 1 || one.length === 2) return isPath;
  return one.length === 4 && isCount(start) && isCount(count) && Array.isArray(inserted);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function applyEdit(holder: { value: unknown }, edit: Edit): void {
  let at = holder as unknown as Plain;
  let key: Key = 'value';
  for (const next of edit[0]) {
    at = inside(at, key);
    key = next;
  }
  // An array has elements only, and no more than it has: one far behind them would be one of billions.
  const isFit = Array.isArray(at)
    ? edit.length === 4 || (Number(key) >= 0 && Number(key) < at.length)
    : key !== '__proto__';
  if (!isFit) throw misfit();
  if (edit.length === 1) delete at[key];
  else if (edit.length === 2) at[key] = edit[1];
  else {
    const list: unknown = inside(at, key);
    if (!Array.isArray(list)) throw misfit();
    replaceRange(list, edit[1], edit[2], edit[3]);
  }
}

function inside(at: Plain, key: Key): Plain {
  const value = Object.hasOwn(at, key) ? at[key] : undefined;
  if (typeof value !== 'object' || value === null) throw misfit();
  return value as Plain;
}

export function copyEdit(edit: Edit): Edit {
  if (edit.length === 1) return edit;
  if (edit.length === 2) return [edit[0], data.copyStorable(edit[1], 'state', 1)];
  return [edit[0], edit[1], edit[2], edit[3].map((item) => data.copyStorable(item, 'state', 1))];
}

/** `splice` that also takes more elements than a call may have arguments. */
export function replaceRange(list: unknown[], start: number, count: number, items: readonly unknown[]): unknown[] {
  if (items.length < 10_000) return list.splice(start, count, ...items);
  const removed = list.slice(start, start + count);
  const rest = list.slice(start + count);
  list.length = start;
  for (const item of items) list.push(item);
  for (const item of rest) list.push(item);
  return removed;
}

function misfit(): SkerryError {
  return new SkerryError('store-format', 'a stored patch does not fit its state');
}
