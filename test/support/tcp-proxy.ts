/** A TCP proxy on loopback: a connection that a test can cut or freeze. */
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export class TcpProxy {
  readonly #target: number;
  readonly #pairs = new Set<Pair>();
  #server: Server | undefined;
  #isFrozen = false;
  port = 0;

  private constructor(target: number) {
    this.#target = target;
  }

  /** A proxy to a loopback port. */
  static async to(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await proxy.#listen();
    return proxy;
  }

  get connectionCount(): number {
    return this.#pairs.size;
  }

  /** Drops every connection and refuses new ones. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    server?.close();
    for (const { near, far } of this.#pairs) {
      // Not reset: Node 20 does not exit after a paused socket was reset.
      near.destroy();
      far.destroy();
    }
    this.#pairs.clear();
    if (server !== undefined) await once(server, 'close');
  }

  /** Passes nothing on, like a pulled cable. Connections stay open, and new ones are accepted. */
  freeze(): void {
    this.#isFrozen = true;
    for (const { near, far } of this.#pairs) {
      near.pause();
      far.pause();
    }
  }

  /** Passes on requests and no answers. */
  holdAnswers(): void {
    for (const { far } of this.#pairs) far.pause();
  }

  /** Ends a cut or freeze. What was held is passed on now. */
  async heal(): Promise<void> {
    this.#isFrozen = false;
    for (const { near, far } of this.#pairs) {
      near.resume();
      far.resume();
    }
    if (this.#server === undefined) await this.#listen();
  }

  async close(): Promise<void> {
    await this.cut();
  }

  async #listen(): Promise<void> {
    // Paused from the start: what a frozen connection sends stays unread, so it is not lost.
    const server = createServer({ pauseOnConnect: true }, (near) => this.#join(near));
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address !== null && typeof address !== 'string') this.port = address.port;
    this.#server = server;
  }

  #join(near: Socket): void {
    const far = createConnection({ host: '127.0.0.1', port: this.#target });
    const pair = { near, far };
    this.#pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.setNoDelay(true);
      from.on('data', (bytes) => {
        if (to.write(bytes)) return;
        from.pause();
        to.once('drain', () => this.#isFrozen || from.resume());
      });
      from.on('end', () => void to.end());
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
    }
    if (this.#isFrozen) far.pause();
    else near.resume();
  }
}
