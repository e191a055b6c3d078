/** A nats-server and a redis-server of the measurement's own: on free ports of loopback, in a folder of theirs, ended with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { accepts, freePort, pathOf } from '../runtime/cli/programs.ts';
import { WorldError } from './failure.ts';

export interface Server {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  readonly version: string;
  close(): Promise<void>;
}

const readyMs = 15_000;

export async function startNats(folder: string): Promise<Server> {
  const port = await freePort();
  return start('nats-server', ['-a', '127.0.0.1', '-p', String(port)], { port, folder, scheme: 'nats' });
}

/** Persistent as Redis is by default once AOF is on: written at once, flushed every second. */
export async function startRedis(folder: string): Promise<Server> {
  const port = await freePort();
  const data = join(folder, 'redis');
  mkdirSync(data, { recursive: true });
  const words = ['--port', String(port), '--bind', '127.0.0.1', '--dir', data, '--save', ''];
  const lasting = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--auto-aof-rewrite-percentage', '0'];
  return start('redis-server', [...words, ...lasting], { port, folder: data, scheme: 'redis' });
}

async function start(
  program: string,
  words: readonly string[],
  { port, folder, scheme }: { port: number; folder: string; scheme: string },
): Promise<Server> {
  const path = pathOf(program);
  if (path === undefined) throw new WorldError(`${program} is not installed, or not in a folder of PATH`);
  const version = await versionOf(path);
  const child = spawn(path, words, { cwd: folder, stdio: ['ignore', 'ignore', 'ignore'] });
  const end = () => void child.kill('SIGKILL');
  process.once('exit', end);
  const until = performance.now() + readyMs;
  while (!(await accepts(port))) {
    if (child.exitCode !== null || performance.now() > until)
      throw new WorldError(`${program} did not start on port ${port}`);
    await pause(20);
  }
  return {
    name: program,
    url: `${scheme}://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    version,
    close: async () => {
      process.removeListener('exit', end);
      await ended(child);
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function versionOf(path: string): Promise<string> {
  const child = spawn(path, ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const texts: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => void texts.push(text));
  await once(child, 'close');
  return /\d+\.\d+\.\d+/.exec(texts.join(''))?.[0] ?? 'unknown';
}
