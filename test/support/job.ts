/**
 * One process from its start to its end: by itself, by its time limit, or when it is done but does not exit.
 *
 * Each leads a process group, so that processes started by its tests end with it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { afterPatience } from './patience.ts';
import type { Ended } from './verdict.ts';

export interface Command {
  readonly command: readonly [string, ...string[]];
  readonly folder: string;
  readonly limitMs: number;
  /** Whether the end of the output shows that the tests are done. The process then has `closeMs` of patient time to exit. */
  readonly isComplete?: (outputEnd: string) => boolean;
  readonly closeMs: number;
}

const running = new Set<ChildProcess>();

/** Ends every running process and the processes that it started. */
export function endAll(): void {
  for (const child of running) endGroup(child);
}

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group has ended already.
  }
}

export async function run(job: Command): Promise<Ended> {
  const child = spawn(job.command[0], job.command.slice(1), {
    cwd: job.folder,
    detached: true,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  try {
    return await follow(child, job);
  } finally {
    running.delete(child);
    endGroup(child);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** The environment of a terminal without colours, and without npm's variables, which would send an npm in it to this folder. */
function environment(): NodeJS.ProcessEnv {
  const ours =
    /^(?:FORCE_COLOR|INIT_CWD|npm_(?:package|lifecycle)_.*|npm_(?:command|execpath)|npm_config_local_prefix)$/;
  const others = Object.entries(process.env).filter(([name]) => !ours.test(name));
  return { ...Object.fromEntries(others), NO_COLOR: '1' };
}

function follow(child: ChildProcess, job: Command): Promise<Ended> {
  return new Promise((resolve) => {
    let output = '';
    let stopClosing: (() => void) | undefined;
    const end = (how: Ended['how'], exitCode: number | null) => {
      cancel();
      stopClosing?.();
      resolve({ how, exitCode, output });
    };
    const cancel = afterPatience(job.limitMs, () => end('over its time', null), child.pid);
    const hear = (chunk: string) => {
      output += chunk;
      if (stopClosing !== undefined || job.isComplete?.(output.slice(-1_000)) !== true) return;
      stopClosing = afterPatience(job.closeMs, () => end('still open', null), child.pid);
    };
    child.stdout?.setEncoding('utf8').on('data', hear);
    child.stderr?.setEncoding('utf8').on('data', hear);
    child.on('error', (error) => {
      output += `${error.message}\n`;
      end('by itself', null);
    });
    child.on('close', (exitCode) => end('by itself', exitCode));
    // A process left behind by a test keeps the pipes open, and 'close' is not emitted.
    child.on('exit', (exitCode) => setTimeout(end, 1_000, 'by itself', exitCode).unref());
  });
}
