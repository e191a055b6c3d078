/**
 * The handle of a cluster: `embed`, `serve` and `connect` each return one, so it is the same wherever the workers run.
 *
 * Owns the clients that it opened, and the methods that every cluster has.
 */
import type { AnyEntity, Caller } from '../core/entity.ts';
import { SkerryError } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import { type Address, isTypeName, keyOf } from '../core/message.ts';
import type { Inspector } from './admin/inspector.ts';
import { Client, type NamedCallOptions } from './client/client.ts';
import type { Environment } from './environment.ts';
import { identityIn } from './options.ts';
import type { Receive, Router } from './routing/router.ts';

/** The handle of a cluster, the same wherever its workers run. */
export interface Cluster {
  /** A reference to an entity, with one method per operation. The entity need not exist yet. Throws `invalid-address`. */
  entity<Contract extends AnyEntity>(contract: Contract, key: string): Caller<Contract['operations']>;
  /** Call an operation by its name, without a contract, under this process's own identity. See `Client.call`. */
  call(address: Address, operation: string, input?: unknown, options?: NamedCallOptions): Promise<unknown>;
  /**
   * The keys of all committed entities of a type, in order of their UTF-8 bytes. It reads the store; a connected client reads
   * it through the workers and needs the role `tool` (else `denied`). Throws `invalid-address` for an invalid type name.
   */
  list(type: string): AsyncIterable<string>;
  /**
   * Open a client with another verified identity. Close it when it is no longer needed. Throws `invalid-definition` for an
   * invalid identity, and `denied` if this process may call under its own identity only.
   */
  connect(options: { identity: string }): Client;
  /** The client with this process's own identity. */
  readonly client: Client;
  /** Close everything that was opened through this handle. Calls still in flight are rejected with `closed`. */
  close(): Promise<void>;
}

export interface HandleParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly router: Router;
  /** A new subject, for the answers to one more client. */
  readonly newSubject: () => string;
  readonly listen: (subject: string, receive: Receive) => () => void;
  readonly onMoved?: (() => void) | undefined;
  readonly inspector: () => Inspector | Promise<Inspector>;
  /** Throws `denied` if this process may call under its own identity only. */
  readonly mayConnect?: () => void;
}

/** The common part of all handles: `entity`, `call`, `list`, `connect` and `client`. */
export class Handle {
  readonly #parts: HandleParts;
  readonly #clients = new Set<Client>();
  readonly client: Client;

  constructor(parts: HandleParts, identity: string) {
    this.#parts = parts;
    this.client = this.#open(identity);
  }

  // Fields, so that `const { entity } = cluster` works.
  readonly entity = <Contract extends AnyEntity>(contract: Contract, key: string): Caller<Contract['operations']> =>
    this.client.entity(contract, key);

  readonly call = (
    address: Address,
    operation: string,
    input?: unknown,
    options?: NamedCallOptions,
  ): Promise<unknown> => this.client.call(address, operation, input, options);

  readonly list = (type: string): AsyncIterable<string> => {
    if (typeof type === 'string' && isTypeName(type)) return this.#keysOf(type);
    throw new SkerryError(
      'invalid-address',
      `'${String(type)}' cannot be an entity type: pass only the name of the type to list`,
    );
  };

  readonly connect = (given: { identity: string }): Client => {
    const identity = identityIn(given);
    this.#parts.mayConnect?.();
    return this.#open(identity);
  };

  #open(identity: string): Client {
    const { environment, limits, router, newSubject, listen, onMoved } = this.#parts;
    const subject = newSubject();
    const client = new Client({
      environment,
      limits,
      subject,
      identity,
      post: (envelope) => router.post(envelope),
      ...(onMoved === undefined ? {} : { onMoved }),
      closed: () => {
        stop();
        this.#clients.delete(client);
      },
    });
    const stop = listen(subject, (envelope) => client.receive(envelope));
    this.#clients.add(client);
    return client;
  }

  async *#keysOf(type: string): AsyncIterable<string> {
    const inspector = await this.#parts.inspector();
    for await (const address of inspector.list(type)) yield keyOf(address);
  }

  /** Sends calls to entities that have moved again at once. */
  again(isMoved: (address: Address) => boolean): void {
    for (const client of this.#clients) client.again(isMoved);
  }

  /** Tells every client that no server accepts this process's login any more. */
  refused(reason: string, lostMs: number, isHere?: (address: Address) => boolean): void {
    for (const client of this.#clients) client.refused(reason, lostMs, isHere);
  }

  closeClients(): void {
    for (const client of [...this.#clients]) client.close();
  }
}
