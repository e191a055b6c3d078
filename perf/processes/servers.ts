/** A nats-server and a redis-server for the measurement: on free loopback ports, in a folder of their own, ended with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { accepts, freePort, pathOf } from '../../runtime/cli/programs.ts';
import { WorldError } from '../failure.ts';
import type { Traffic } from '../report/outcome.ts';

export interface Server {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  readonly version: string;
  /** nats-server only: its traffic so far. */
  readonly traffic?: () => Promise<Traffic>;
  close(): Promise<void>;
}

const readyMs = 15_000;

export async function startNats(folder: string): Promise<Server> {
  const [port, watchPort] = [await freePort(), await freePort()];
  const words = ['-a', '127.0.0.1', '-p', String(port), '-m', String(watchPort)];
  const server = await start('nats-server', words, { port, folder, scheme: 'nats' });
  return { ...server, traffic: () => trafficAt(watchPort) };
}

async function trafficAt(port: number): Promise<Traffic> {
  const answer = await fetch(`http://127.0.0.1:${port}/varz`);
  const told = (await answer.json()) as Record<string, unknown>;
  const of = (name: string) => Number(told[name] ?? 0);
  return {
    messagesIn: of('in_msgs'),
    messagesOut: of('out_msgs'),
    bytesIn: of('in_bytes'),
    bytesOut: of('out_bytes'),
    slowConsumers: of('slow_consumers'),
  };
}

/** Persistence as Redis has it by default with AOF: written at once, flushed every second. */
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
