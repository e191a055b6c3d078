/** A redis-server of the test's own: on a free port of loopback, in a folder of its own, ended by its pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './nats-server.ts';
import { pathOf } from './programs.ts';

const readyMs = 15_000;

export class RedisServer {
  readonly port: number;
  /** Its data, and what belongs to it. Goes with it. */
  readonly folder: string;
  #process: ChildProcess | undefined;
  #output = '';
  readonly #end = (): void => {
    this.#process?.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  };

  private constructor(port: number) {
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), 'skerry-redis-'));
    // A test that fails before its end leaves no server behind.
    process.once('exit', this.#end);
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts one; `configuration` is lines of its file, by default such that every answer is on disk. */
  static async start(configuration = 'appendonly yes\nappendfsync always'): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    server.configure(configuration);
    await server.restart();
    return server;
  }

  /** What holds from the next start on. */
  configure(configuration: string): void {
    const own = `bind 127.0.0.1\nport ${this.port}\ndir ${this.folder}\nsave ""\nenable-debug-command yes\n`;
    writeFileSync(join(this.folder, 'redis.conf'), `${own}${configuration}\n`);
  }

  /** Starts it on the same port with the data that it has. */
  async restart(): Promise<void> {
    const child = spawn(pathOf('redis-server'), [join(this.folder, 'redis.conf')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    this.#output = '';
    // It ends with this process, which does not wait for it.
    child.unref();
    for (const stream of [child.stdout, child.stderr]) {
      if (stream instanceof Socket) stream.unref();
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
      });
    }
    const until = performance.now() + readyMs;
    while (!this.#output.includes('Ready to accept connections')) {
      if (child.exitCode !== null || performance.now() > until)
        throw new Error(`redis-server did not start on port ${this.port}:\n${this.#output}`);
      await sleep(10);
    }
  }

  /** A command by hand; answers what came back within a moment, raw. */
  async tell(...words: readonly string[]): Promise<string> {
    const socket = createConnection({ host: '127.0.0.1', port: this.port });
    try {
      await once(socket, 'connect');
      const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
      socket.write(`*${words.length}\r\n${parts.join('')}`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      return answer.toString();
    } finally {
      socket.destroy();
    }
  }

  /** SIGKILL: nothing more is written. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    child.ref();
    await ended;
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Copies its data as it is now; the function that comes back puts it there again, while the server is down. */
  keep(): () => void {
    const kept = join(this.folder, 'kept');
    rmSync(kept, { recursive: true, force: true });
    cpSync(join(this.folder, 'appendonlydir'), kept, { recursive: true });
    return () => {
      rmSync(join(this.folder, 'appendonlydir'), { recursive: true });
      cpSync(kept, join(this.folder, 'appendonlydir'), { recursive: true });
    };
  }

  async close(): Promise<void> {
    await this.kill();
    this.#end();
    process.removeListener('exit', this.#end);
  }
}

/** Three servers that share the slots; `more` is further lines of their configuration. */
export async function startCluster(more = ''): Promise<RedisServer[]> {
  const configuration = `appendonly yes\nappendfsync no\ncluster-enabled yes\ncluster-node-timeout 2000\n${more}`;
  const servers = await Promise.all([0, 1, 2].map(() => RedisServer.start(configuration)));
  const [first] = servers;
  for (const [at, server] of servers.entries()) {
    await server.tell(
      'CLUSTER',
      'ADDSLOTSRANGE',
      String(Math.floor((at * 16_384) / 3)),
      String(Math.floor(((at + 1) * 16_384) / 3) - 1),
    );
    await server.tell('CLUSTER', 'SET-CONFIG-EPOCH', String(at + 1));
    if (first !== undefined && server !== first) await server.tell('CLUSTER', 'MEET', '127.0.0.1', String(first.port));
  }
  const until = performance.now() + readyMs;
  for (const server of servers)
    while (!(await server.tell('CLUSTER', 'INFO')).includes('cluster_state:ok') || !(await knowsAll(server))) {
      if (performance.now() > until) throw new Error('the servers do not become a cluster');
      await sleep(50);
    }
  return servers;
}

async function knowsAll(server: RedisServer): Promise<boolean> {
  return (await server.tell('CLUSTER', 'INFO')).includes('cluster_known_nodes:3');
}
