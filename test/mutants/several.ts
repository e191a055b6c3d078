/**
 * Several test files in one process, which starts once, up to the first suite that fails: `several.ts <mutated file> <test file> …`.
 * Ends with code 3 when the mutated file cannot even be read: then it is no mutant.
 */
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');
const [mutated = '', ...tests] = process.argv.slice(2);

// As uvu's own runner has it: suites wait for exec() instead of running by themselves, each beside the others.
Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: [[null]] });
const { exec } = await import('uvu');

try {
  await import(join(root, mutated));
} catch {
  process.exit(3);
}
for (const test of tests) await import(join(root, test));
await exec(true);
