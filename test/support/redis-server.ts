/** A redis-server for one test, and a Redis Cluster of three. */
import { once } from 'node:events';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../runtime/cli/programs.ts';
import { OwnServer } from './own-server.ts';
import { Patience } from './patience.ts';

const clusterReadyMs = 15_000;

export class RedisServer extends OwnServer {
  protected readonly words = [join(this.folder, 'redis.conf')];
  protected readonly greeting = 'Ready to accept connections';

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts one. `configuration`: lines of its file; by default every answer is flushed to disk first. */
  static async start(configuration = 'appendonly yes\nappendfsync always'): Promise<RedisServer> {
    const server = new RedisServer('redis-server', await freePort());
    server.configure(configuration);
    await server.restart();
    return server;
  }

  /** Takes effect at the next start. */
  configure(configuration: string): void {
    const own = `bind 127.0.0.1\nport ${this.port}\ndir ${this.folder}\nsave ""\nenable-debug-command yes\n`;
    writeFileSync(join(this.folder, 'redis.conf'), `${own}${configuration}\n`);
  }

  /** Sends a raw command. Resolves with the raw reply of the next moment. */
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

  /** Copies its present data. The returned function restores the copy while the server is down. */
  keep(): () => void {
    const kept = join(this.folder, 'kept');
    rmSync(kept, { recursive: true, force: true });
    cpSync(join(this.folder, 'appendonlydir'), kept, { recursive: true });
    return () => {
      rmSync(join(this.folder, 'appendonlydir'), { recursive: true });
      cpSync(kept, join(this.folder, 'appendonlydir'), { recursive: true });
    };
  }
}

/** Three servers that share the slots. `more`: further lines of their configuration. */
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
  const patience = new Patience();
  for (const server of servers)
    while (!(await server.tell('CLUSTER', 'INFO')).includes('cluster_state:ok') || !(await knowsAll(server))) {
      if (patience.passedMs() > clusterReadyMs) throw new Error('the servers do not become a cluster');
      await sleep(50);
    }
  return servers;
}

async function knowsAll(server: RedisServer): Promise<boolean> {
  return (await server.tell('CLUSTER', 'INFO')).includes('cluster_known_nodes:3');
}
