/** The files of this checkout that would be committed, for tests about the tree. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

/** As in .gitignore, since the tree may be a copy without a repository. In a second work tree, `.git` is a file. */
const ignored = new Set(['node_modules', 'dist', '.git', '.data', '.build']);

/** Paths that exist on one machine only. Built from parts, so that it does not match itself. */
export const machinePath = new RegExp(
  `(?<![\\w.})~*-])/(?:${['home', 'root', 'Users', 'work', 'tmp', 'var/tmp', 'private'].join('|')})/[\\w.@-]`,
);

export interface SourceFile {
  /** Relative to the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** Sorted paths of all files, relative to the root. */
export function allPaths(folder: string = root): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((left, right) => (left.name < right.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (ignored.has(entry.name)) return [];
    if (entry.isDirectory()) return allPaths(path);
    return entry.isFile() ? [relative(root, path).split(sep).join('/')] : [];
  });
}

export function filesOf(folders: readonly string[], extension = '.ts'): SourceFile[] {
  return allPaths()
    .filter((path) => path.endsWith(extension) && folders.some((folder) => path.startsWith(folder)))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

/** The text of a file, or undefined if there is none. */
export function textOf(path: string): string | undefined {
  return allPaths().includes(path) ? readFileSync(join(root, path), 'utf8') : undefined;
}
