/**
 * Requests between two processes, the coordinator and a worker or generator, over any channel that carries values.
 *
 * Owns requests and their answers. A channel (`Line`) is a child process's IPC, NATS, or a pair within this process.
 */
import type { ChildProcess, Serializable } from 'node:child_process';
import { type ErrorCode, errorCodes, errorText, SkerryError } from '../../core/errors.ts';
import { WorldError } from '../failure.ts';

export interface Line {
  send(message: unknown): void;
  /** Called once, with the receiver of messages. */
  hear(receive: (message: unknown) => void): void;
  /** Resolves with the reason when the other side has gone. */
  readonly gone: Promise<Error>;
}

export type Duties = Readonly<Record<string, (given: never) => unknown>>;

/** An error as it is sent. */
interface Thrown {
  readonly message: string;
  readonly stack: string;
  readonly code?: string;
}

type Message =
  | { readonly kind: 'ask'; readonly id: number; readonly name: string; readonly given: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly value?: unknown; readonly error?: Thrown }
  | { readonly kind: 'tell'; readonly name: string; readonly given: unknown };

export class Peer {
  readonly #line: Line;
  readonly #duties: Duties;
  readonly #asked = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #count = 0;
  #gone: Error | undefined;

  constructor(line: Line, duties: Duties) {
    this.#line = line;
    this.#duties = duties;
    line.hear((message) => this.#receive(message as Message));
    void line.gone.then((error) => {
      this.#gone = error;
      for (const { reject } of this.#asked.values()) reject(error);
      this.#asked.clear();
    });
  }

  ask<Value>(name: string, given: unknown = null): Promise<Value> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone);
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#line.send({ kind: 'ask', id, name, given } satisfies Message);
    });
  }

  /** Sends without expecting an answer. */
  tell(name: string, given: unknown = null): void {
    if (this.#gone === undefined) this.#line.send({ kind: 'tell', name, given } satisfies Message);
  }

  #receive(message: Message): void {
    if (message.kind === 'answer') {
      const asked = this.#asked.get(message.id);
      this.#asked.delete(message.id);
      if (message.error !== undefined) asked?.reject(errorOf(message.error));
      else asked?.resolve(message.value);
      return;
    }
    const duty = this.#duties[message.name] as ((given: unknown) => unknown) | undefined;
    const done = (async () => {
      if (duty === undefined) throw new Error(`nobody does '${message.name}' here`);
      return await duty(message.given);
    })();
    if (message.kind === 'tell') void done.catch(() => undefined);
    else
      void done.then(
        (value) => this.#line.send({ kind: 'answer', id: message.id, value }),
        (error: unknown) => this.#line.send({ kind: 'answer', id: message.id, error: thrownOf(error) }),
      );
  }
}

function thrownOf(error: unknown): Thrown {
  const message = errorText(error);
  if (!(error instanceof Error)) return { message, stack: message };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { message, stack: error.stack ?? message, ...code };
}

/** Restores an error of the other side, with its code and its stack. */
function errorOf({ message, stack, code }: Thrown): Error {
  if (code !== undefined && Object.hasOwn(errorCodes, code))
    return Object.assign(new SkerryError(code as ErrorCode, message), { stack });
  return Object.assign(new Error(message), { stack, ...(code === undefined ? {} : { code }) });
}

/** The coordinator's end of the channel to a child process. */
export function childLine(child: ChildProcess, name: string): Line {
  const gone = new Promise<Error>((resolve) => {
    child.once('exit', (code, signal) => resolve(new WorldError(`${name} ended (${signal ?? code})`)));
  });
  return {
    send: (message) => void (child.connected && child.send(message as Serializable, () => undefined)),
    hear: (receive) => void child.on('message', receive),
    gone,
  };
}

/** The child's end. The process exits when the coordinator has gone. */
export function parentLine(): Line {
  return {
    send: (message) => void process.send?.(message, undefined, undefined, () => undefined),
    hear: (receive) => void process.on('message', receive),
    gone: new Promise((resolve) => {
      process.once('disconnect', () => resolve(new Error('the coordinator is gone')));
    }),
  };
}

/** Both ends of a line within this process. */
export function innerLines(): [Line, Line] {
  const receivers: ((message: unknown) => void)[] = [];
  const end = (mine: number): Line => ({
    send: (message) => setImmediate(() => receivers[1 - mine]?.(structuredClone(message))),
    hear: (receive) => {
      receivers[mine] = receive;
    },
    gone: new Promise(() => undefined),
  });
  return [end(0), end(1)];
}
