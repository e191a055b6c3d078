/** Copies of the tree in which mutants live, and what a run in one of them says. Never touches the tree itself. */
import { cpSync, mkdtempSync, readFileSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../support/job.ts';

export const root = join(import.meta.dirname, '..', '..');
const copied = ['core', 'placement', 'runtime', 'test', 'examples', 'package.json', 'tsconfig.json'];

export const sourceOf = (file: string) => readFileSync(join(root, file), 'utf8');

export function makeCopy(): string {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-mutant-'));
  for (const name of copied) cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** The exit code of a run; undefined: it did not end in time, which says nothing, neither for nor against. */
export async function codeOf(
  folder: string,
  parameters: readonly string[],
  limitMs: number,
): Promise<number | undefined> {
  const command = [process.execPath, '--import', 'tsx', ...parameters] as const;
  const { how, exitCode } = await run({ command, folder, limitMs, closeMs: 1_000 });
  return how === 'by itself' ? (exitCode ?? -1) : undefined;
}

export function simulation(seeds: number): string[] {
  return ['test/simulation/main.ts', '--seeds', String(seeds), '--jobs', '1', '--stop'];
}
