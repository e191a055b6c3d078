/** A nats-server of the test's own: on a free port of loopback, in a folder of its own, ended by its pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathOf } from './programs.ts';

const readyMs = 15_000;

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export class NatsServer {
  readonly port: number;
  /** For what belongs to it: certificates, credentials. Goes with it. */
  readonly folder: string;
  #process: ChildProcess | undefined;
  #output = '';
  readonly #end = (): void => {
    this.#process?.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  };

  private constructor(port: number) {
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), 'skerry-nats-'));
    // A test that fails before its end leaves no server behind.
    process.once('exit', this.#end);
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get output(): string {
    return this.#output;
  }

  /** Starts one; `configuration` is the text of its file, which may name the folder. */
  static async start(configuration: string | ((folder: string) => string) = ''): Promise<NatsServer> {
    const server = new NatsServer(await freePort());
    server.configure(typeof configuration === 'string' ? configuration : configuration(server.folder));
    await server.restart();
    return server;
  }

  /** What holds from the next start on. */
  configure(configuration: string): void {
    writeFileSync(join(this.folder, 'nats.conf'), `listen: "127.0.0.1:${this.port}"\n${configuration}\n`);
  }

  /** Starts it on the same port. */
  async restart(): Promise<void> {
    const child = spawn(pathOf('nats-server'), ['-c', join(this.folder, 'nats.conf')], {
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#process = child;
    this.#output = '';
    // It ends with this process, which does not wait for it.
    child.unref();
    if (child.stderr instanceof Socket) child.stderr.unref();
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
    const until = performance.now() + readyMs;
    while (!this.#output.includes('Server is ready') || !(await accepts(this.port))) {
      if (child.exitCode !== null || performance.now() > until)
        throw new Error(`nats-server did not start on port ${this.port}:\n${this.#output}`);
      await sleep(10);
    }
  }

  /** SIGKILL: no farewell to anybody. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    // Somebody waits for it now, and may have nothing else to wait for.
    child.ref();
    await once(child, 'exit');
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Tells it something by a signal: SIGHUP reads the configuration again, SIGUSR2 is the lame duck mode. */
  signal(name: NodeJS.Signals): void {
    this.#process?.kill(name);
  }

  async close(): Promise<void> {
    await this.kill();
    this.#end();
    process.removeListener('exit', this.#end);
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = createConnection({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
