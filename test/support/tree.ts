/** The files of this checkout, as tests about the tree see them: what would be committed. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

/** As in .gitignore; the tree may be a copy without a repository. In a second work tree of one, `.git` is a file. */
const ignored = new Set(['node_modules', 'dist', '.git', '.data', '.build']);

/** A path that only one machine has. Built from parts, so that it does not find itself. */
export const machinePath = new RegExp(
  `(?<![\\w.})~*-])/(?:${['home', 'root', 'Users', 'work', 'tmp', 'var/tmp', 'private'].join('|')})/[\\w.@-]`,
);

export interface SourceFile {
  /** From the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** Paths of all files, from the root, in order. */
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
