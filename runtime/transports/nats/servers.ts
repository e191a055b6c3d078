/**
 * The servers of a NATS cluster, as one client sees them: which to try next, and whether somebody is there.
 *
 * Invariants:
 * - NS1 Every server that was configured is tried again and again, however often it failed; those learnt from a server
 *   come after them, and go when the cluster does not name them any more.
 * - NS2 A server that accepts and says nothing is found out by a connection of our own, which is closed again. (The client
 *   library would keep that of an attempt that timed out open, and one more with each further attempt.)
 */
import { createConnection, isIP } from 'node:net';
import { SkerryError } from '../../../core/errors.ts';
import type { Environment } from '../../environment.ts';
import type { ServerAddress } from './options.ts';

export class ServerRing {
  readonly #configured: readonly ServerAddress[];
  #learnt: readonly ServerAddress[] = [];
  #turn: number;

  /** `start` chooses which is tried first, so that clients spread. */
  constructor(configured: readonly ServerAddress[], start: number) {
    this.#configured = configured;
    this.#turn = Math.floor(start * configured.length);
  }

  get size(): number {
    return this.#configured.length + this.#learnt.length;
  }

  next(): ServerAddress {
    const all = [...this.#configured, ...this.#learnt];
    const address = all[this.#turn % all.length];
    this.#turn = (this.#turn + 1) % all.length;
    return address as ServerAddress;
  }

  /** What a server tells of its cluster: `host:port` each. */
  learn(texts: readonly string[]): void {
    const learnt: ServerAddress[] = [];
    for (const text of texts) {
      const at = text.lastIndexOf(':');
      const address = { host: text.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(text.slice(at + 1)) };
      if (this.#configured.some(({ host, port }) => host === address.host && port === address.port)) continue;
      learnt.push(address);
    }
    this.#learnt = learnt;
  }

  /** The name that a server's certificate is for: a learnt one is mostly an address, and has the certificate of the others. */
  certifiedName(address: ServerAddress): string {
    if (isIP(address.host) === 0 || this.#configured.includes(address)) return address.host;
    return this.#configured.find(({ host }) => isIP(host) === 0)?.host ?? address.host;
  }
}

/** Resolves when a server has said its first words; rejects with the reason if there is none within `ms`. */
export function somebodyThere({ host, port }: ServerAddress, ms: number, environment: Environment): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host, port });
    const end = (error?: Error) => {
      stop();
      socket.destroy();
      if (error === undefined) resolve();
      else reject(new SkerryError('transport-failed', reasonOf(error), { cause: error }));
    };
    const stop = environment.after(ms, () => end(new Error(`no answer within ${ms} ms`)));
    socket.once('data', () => end());
    socket.on('error', end);
    socket.once('end', () => end(new Error('it closed the connection at once')));
  });
}

/** Where a name has several addresses the error holds one for each, and says nothing itself. */
function reasonOf(error: Error): string {
  if (error.message !== '') return error.message;
  return error instanceof AggregateError ? error.errors.map(String).join('; ') : error.name;
}
