/**
 * The transport within one process: connects embedded workers and clients, and copies frames as a real transport does (X2).
 */

import { SkerryError } from '../../core/errors.ts';
import type { Environment } from '../environment.ts';
import type { Transport } from '../transport.ts';
import { withAnyLast } from '../transport.ts';

type Receive = (frame: Uint8Array, subject: string) => void;

/** A transport within one process. */
export class MemoryTransport implements Transport {
  readonly frameBytesMax: number;
  readonly #environment: Environment;
  readonly #listeners = new Map<string, Set<Receive>>();
  readonly #absentTellers = new Set<(subject: string) => void>();
  #isClosed = false;

  constructor(environment: Environment, options: { frameBytesMax?: number } = {}) {
    this.#environment = environment;
    this.frameBytesMax = options.frameBytesMax ?? 1_048_576;
  }

  listen(subject: string, receive: Receive): () => void {
    let listeners = this.#listeners.get(subject);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(subject, listeners);
    }
    listeners.add(receive);
    return () => {
      listeners.delete(receive);
      if (listeners.size === 0 && this.#listeners.get(subject) === listeners) this.#listeners.delete(subject);
    };
  }

  send(subject: string, frame: Uint8Array): void {
    if (frame.length > this.frameBytesMax)
      throw new SkerryError(
        'too-large',
        `The frame takes ${frame.length} bytes; frameBytesMax is ${this.frameBytesMax}`,
      );
    if (this.#isClosed) return;
    const copy = new Uint8Array(frame);
    this.#environment.soon(() => this.#deliver(subject, copy));
  }

  /** Who listens when it arrives gets it, also if it was not there when it was sent (X5). */
  #deliver(subject: string, frame: Uint8Array): void {
    if (this.#isClosed) return;
    const [exact, any] = [this.#listeners.get(subject), this.#listeners.get(withAnyLast(subject))];
    if (exact === undefined && any === undefined) for (const tell of [...this.#absentTellers]) tell(subject);
    for (const receive of [...(exact ?? []), ...(any ?? [])]) receive(frame, subject);
  }

  onAbsent(tell: (subject: string) => void): () => void {
    this.#absentTellers.add(tell);
    return () => void this.#absentTellers.delete(tell);
  }

  /** There is no connection that could be lost. */
  onRestored(): () => void {
    return () => undefined;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#listeners.clear();
    this.#absentTellers.clear();
  }
}
