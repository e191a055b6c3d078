/**
 * The handle of a cluster, which is the same wherever its workers run: `embed`, `serve` and `connect` each return one.
 *
 * Owns the clients that were opened by it, and what an application asks of any cluster.
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

/** What an application holds of a cluster, wherever its workers run. */
export interface Cluster {
  /** A reference to an entity: its operations as methods. Throws `invalid-address`. */
  entity<Contract extends AnyEntity>(contract: Contract, key: string): Caller<Contract['operations']>;
  /** Call an operation by its name, without a contract, as who this process is; for another identity `connect` and call by that client. */
  call(address: Address, operation: string, input?: unknown, options?: NamedCallOptions): Promise<unknown>;
  /**
   * Keys of a type that have been committed, in order of their bytes. Reads the store: from a connected client by way of the
   * workers, who do it for a `tool` alone (`denied`). Throws `invalid-address` for what is not the name of a type.
   */
  list(type: string): AsyncIterable<string>;
  /**
   * A client of its own, with another verified identity; close it when it is not needed any more. Throws `invalid-definition` for what
   * can be no identity, and `denied` where this process may call as itself only.
   */
  connect(options: { identity: string }): Client;
  /** As who this process is. */
  readonly client: Client;
  /** Everything that was opened here is closed. Calls that still wait are rejected with `closed`. */
  close(): Promise<void>;
}

export interface HandleParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly router: Router;
  /** Where answers for one more client come to. */
  readonly newSubject: () => string;
  readonly listen: (subject: string, receive: Receive) => () => void;
  readonly onMoved?: (() => void) | undefined;
  readonly inspector: () => Inspector | Promise<Inspector>;
  /** Throws where nobody may call for others. */
  readonly mayConnect?: () => void;
}

/** What the handles are made of: each takes `entity`, `call`, `list`, `connect` and `client` from here. */
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
    throw new SkerryError('invalid-address', `'${String(type)}' cannot be an entity type: list takes its name alone`);
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

  /** Calls of entities that are elsewhere now are sent again at once. */
  again(isMoved: (address: Address) => boolean): void {
    for (const client of this.#clients) client.again(isMoved);
  }

  /** Nobody lets this process's login in any more. */
  refused(reason: string, lostMs: number, isHere?: (address: Address) => boolean): void {
    for (const client of this.#clients) client.refused(reason, lostMs, isHere);
  }

  closeClients(): void {
    for (const client of [...this.#clients]) client.close();
  }
}
