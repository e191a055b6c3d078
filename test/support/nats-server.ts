/** A nats-server for one test. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../runtime/cli/programs.ts';
import { OwnServer } from './own-server.ts';

export class NatsServer extends OwnServer {
  protected readonly words = ['-c', join(this.folder, 'nats.conf')];
  protected readonly greeting = 'Server is ready';

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts one; `configuration` is the text of its file, which may name the folder. */
  static async start(configuration: string | ((folder: string) => string) = ''): Promise<NatsServer> {
    const server = new NatsServer('nats-server', await freePort());
    server.configure(typeof configuration === 'string' ? configuration : configuration(server.folder));
    await server.restart();
    return server;
  }

  /** Takes effect at the next start. */
  configure(configuration: string): void {
    writeFileSync(join(this.folder, 'nats.conf'), `listen: "127.0.0.1:${this.port}"\n${configuration}\n`);
  }
}
