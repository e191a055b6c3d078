/**
 * Servers of `skerry up`'s own: a nats-server and a redis-server on free ports of loopback, with logins that only this user
 * can read, what they keep in the data folder, ended by their process ids. Port and logins of NATS outlast an `up`.
 *
 * One that crashes is started again where it was. What an `up` that was killed left behind is ended before the next one starts.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import type { Environment } from '../environment.ts';
import { authorizationText, type Login } from '../wire/permissions.ts';
import { isAlive } from './cluster-note.ts';
import { CliError } from './failure.ts';
import { loginsOf, type OwnParty } from './logins.ts';
import { freePort, isFree, pathOf, programFolders } from './programs.ts';

/** For a large log of commits to be read. */
const readyMs = 60_000;
const pauseMs = 50;
const againMs = 200;
const endMs = 10_000;

export type ServerName = 'nats' | 'redis';

const programs: Readonly<Record<ServerName, string>> = { nats: 'nats-server', redis: 'redis-server' };

/** Where the programs are. Throws `not-found`, with what to do, unless all that are needed are installed. */
export function requirePrograms(names: readonly ServerName[], folders: readonly string[] = programFolders()): void {
  const missing = names.map((name) => programs[name]).filter((program) => pathOf(program, folders) === undefined);
  if (missing.length === 0) return;
  throw new CliError('not-found', `${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not installed`, {
    advice: `install (apt install ${missing.join(' ')}; in a checkout of Skerry: npm run servers), or name running ones with ${names.map((name) => (name === 'nats' ? '--nats' : '--store')).join(' and ')}`,
  });
}

export class OwnServer {
  readonly name: ServerName;
  /** With the login of workers. */
  readonly url: string;
  readonly #port: number;
  readonly #logins: readonly Login[];
  readonly #secret: string;
  readonly #configuration: string;
  readonly #environment: Environment;
  readonly #restarted: (text: string) => void;
  #child: ChildProcess | undefined;
  #isStopping = false;

  private constructor(name: ServerName, port: number, parts: OwnServerParts) {
    const { folder, cluster, environment, restarted, fsync = 'everysec' } = parts;
    this.name = name;
    this.#port = port;
    this.#environment = environment;
    this.#restarted = restarted;
    this.#secret = environment.newId();
    this.#configuration = configurationPath(folder, name);
    this.#logins = name === 'nats' ? loginsOf(folder, environment) : [];
    this.url = name === 'nats' ? this.urlOf('worker') : `redis://:${this.#secret}@127.0.0.1:${port}`;
    const users = authorizationText(this.#logins, cluster);
    const text = configurationOf(name, { port, secret: this.#secret, folder, users, fsync });
    writeFileSync(this.#configuration, text, { mode: 0o600 });
  }

  /** The address of NATS with the login of this party. */
  urlOf(party: OwnParty): string {
    const login = this.#logins.find((one) => one.party === party);
    return `nats://${login?.user}:${JSON.parse(login?.password ?? '""')}@127.0.0.1:${this.#port}`;
  }

  /** Resolves when it answers. Throws `failed` with what it said if it does not. */
  static async start(name: ServerName, parts: OwnServerParts): Promise<OwnServer> {
    mkdirSync(parts.folder, { recursive: true, mode: 0o700 });
    const port = (await lastPort(parts.folder, name)) ?? (await freePort());
    const server = new OwnServer(name, port, parts);
    server.#spawn();
    await server.#untilReady();
    return server;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  #spawn(): void {
    const words = this.name === 'nats' ? ['-c', this.#configuration] : [this.#configuration];
    const child = spawn(pathOf(programs[this.name]) ?? programs[this.name], words, {
      // Of a group of its own: Ctrl-C ends it after the workers.
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    this.#child = child;
    child.on('error', () => undefined);
    child.on('exit', (code, signal) => {
      if (this.#isStopping) return;
      this.#environment.after(againMs, () => {
        if (this.#isStopping) return;
        this.#spawn();
        this.#restarted(`${programs[this.name]} ended (${signal ?? `exit code ${code}`}); restarted`);
      });
    });
  }

  async #untilReady(): Promise<void> {
    const until = this.#environment.now() + readyMs;
    while (this.#environment.now() < until) {
      if (await this.#isReady()) return;
      if (this.#child?.exitCode !== null) break;
      await pause(this.#environment, pauseMs);
    }
    await this.stop();
    throw new CliError('failed', `${programs[this.name]} did not start`, {
      advice: `try it: ${programs[this.name]} ${this.name === 'nats' ? '-c ' : ''}${this.#configuration}`,
    });
  }

  #isReady(): Promise<boolean> {
    if (this.name === 'nats') return answers(this.#port, '', 'INFO', this.#environment);
    return answers(this.#port, `AUTH ${this.#secret}\r\nPING\r\n`, '+PONG', this.#environment);
  }

  /** Ends it in good order, or at once if it takes too long. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#child !== undefined) await endProcess(this.pid, this.#environment);
  }

  kill(): void {
    this.#isStopping = true;
    this.#child?.kill('SIGTERM');
  }
}

export interface OwnServerParts {
  readonly folder: string;
  /** Whose subjects the logins of NATS are for. */
  readonly cluster: string;
  readonly environment: Environment;
  /** It had ended, and runs again as another process; the text is for people. */
  readonly restarted: (text: string) => void;
  /** When Redis flushes its log: before each answer, or every second (default). */
  readonly fsync?: Fsync;
}

export type Fsync = 'everysec' | 'always';

/** That of the last `up` on this folder, so that what was told where it is finds it again; undefined if it is taken. */
async function lastPort(folder: string, name: ServerName): Promise<number | undefined> {
  const path = configurationPath(folder, name);
  if (!existsSync(path)) return undefined;
  const port = Number(/^(?:port |listen: "127\.0\.0\.1:)(\d+)/m.exec(readFileSync(path, 'utf8'))?.[1]);
  return port > 0 && (await isFree(port)) ? port : undefined;
}

function configurationPath(folder: string, name: ServerName): string {
  return join(resolve(folder), `${name}.conf`);
}

function configurationOf(
  name: ServerName,
  { port, secret, folder, users, fsync }: { port: number; secret: string; folder: string; users: string; fsync: Fsync },
): string {
  if (name === 'nats')
    return [
      `listen: "127.0.0.1:${port}"`,
      users,
      `log_file: ${JSON.stringify(join(resolve(folder), 'nats.log'))}`,
      '',
    ].join('\n');
  const data = join(resolve(folder), 'redis');
  mkdirSync(data, { recursive: true, mode: 0o700 });
  return [
    `port ${port}`,
    'bind 127.0.0.1',
    `requirepass ${secret}`,
    'daemonize no',
    `dir ${JSON.stringify(data)}`,
    `logfile ${JSON.stringify(join(resolve(folder), 'redis.log'))}`,
    'appendonly yes',
    `appendfsync ${fsync}`,
    'save ""',
    '',
  ].join('\n');
}

/** Whether somebody at this port says what is expected. */
function answers(port: number, say: string, expected: string, environment: Environment): Promise<boolean> {
  return new Promise((resolveAnswer) => {
    const socket = connect(port, '127.0.0.1');
    let heard = '';
    const end = (isExpected: boolean) => {
      cancel();
      socket.destroy();
      resolveAnswer(isExpected);
    };
    const cancel = environment.after(1_000, () => end(false));
    socket.on('error', () => end(false));
    socket.on('close', () => end(false));
    socket.on('connect', () => socket.write(say));
    socket.on('data', (chunk) => {
      heard += String(chunk);
      if (heard.includes(expected)) end(true);
    });
  });
}

function pause(environment: Environment, ms: number): Promise<void> {
  return new Promise((resolvePause) => void environment.after(ms, resolvePause));
}

async function endProcess(pid: number, environment: Environment): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!isAlive(pid)) return;
    process.kill(pid, signal);
    const until = environment.now() + endMs;
    while (isAlive(pid) && environment.now() < until) await pause(environment, pauseMs);
  }
}

/** Ends servers that an `up` on this folder left behind, if they still are what they were. */
export async function endLeftOvers(
  folder: string,
  servers: Readonly<Record<string, number>>,
  environment: Environment,
): Promise<void> {
  for (const name of ['nats', 'redis'] as const) {
    const pid = servers[name];
    if (pid === undefined || !isAlive(pid) || !isServerOf(pid, configurationPath(folder, name), programs[name]))
      continue;
    await endProcess(pid, environment);
  }
}

/** By its command line; redis-server writes another one over its own, which names its port. */
function isServerOf(pid: number, configuration: string, program: string): boolean {
  const words = commandLineOf(pid);
  if (words.includes(configuration)) return true;
  const port = /^port (\d+)/m.exec(readFileSync(configuration, 'utf8'))?.[1];
  return port !== undefined && words.includes(program) && words.includes(`:${port}`);
}

function commandLineOf(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).stdout;
  } catch {
    return '';
  }
}
