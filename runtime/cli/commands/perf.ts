/**
 * `skerry perf …`: hands over to the program in `perf/`, with the words as they are.
 *
 * That program stands above the runtime, which it measures, so nothing here imports it: it is started as a process, built or
 * from its sources as this one is.
 */
import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from '../command.ts';

const program = fileURLToPath(new URL(`../../../perf/main${extname(import.meta.url)}`, import.meta.url));

/** Its exit code. */
export function handOver(words: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, program, ...words], { stdio: 'inherit' });
  // Ctrl-C reaches both; the program ends what it started, and this one waits for it.
  const wait = () => undefined;
  process.on('SIGINT', wait);
  const end = () => void child.kill('SIGTERM');
  process.on('SIGTERM', end);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      process.removeListener('SIGINT', wait).removeListener('SIGTERM', end);
      resolve(code ?? 1);
    });
  });
}

/** For the list of commands; its own words are taken before they are parsed. */
export const perf: Command = {
  name: 'perf',
  parameters: '[...words]',
  summary: 'measure throughput, latencies, memory and recovery beside bare servers',
  options: [],
  notes: [],
  examples: ['skerry perf counter --store lmdb', 'skerry perf failover --store redis --workers 3 --html report.html'],
  run: ({ args }) => handOver(args),
};
