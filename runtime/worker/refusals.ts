/**
 * Refusals: replies of a worker to a client without a turn of its entity: turned away, denied, moved.
 *
 * Owns when a reply is sent, and that it is sent only if it is true.
 *
 * Invariants:
 * - RF1 A reply is never sent inside of the call that caused it. A client of this process would call again in it, and so on, as deep
 *   as it has calls in flight.
 */
import type { AnswerRow } from '../../core/request.ts';
import type { Environment } from '../environment.ts';
import { encode } from '../wire/codec.ts';
import type { Envelope, MessageEnvelope, QueryEnvelope, ReplyEnvelope } from '../wire/envelope.ts';
import { type Authorise, hookFailures, reasonToDeny } from './authorise.ts';

const noBytes = new Uint8Array(0);

export interface RefusalParts {
  readonly environment: Environment;
  readonly post: (envelope: Envelope) => void;
}

export class Refusals {
  readonly #parts: RefusalParts;
  /** Requests that may have been committed, which nobody knows. */
  readonly #doubtful = new WeakSet<Envelope>();
  readonly #hookFailed: ReturnType<typeof hookFailures>;
  /** Until they leave. */
  #waiting: ReplyEnvelope[] = [];

  constructor(parts: RefusalParts) {
    this.#parts = parts;
    this.#hookFailed = hookFailures(parts.environment);
  }

  /** It may have been committed: only its answer may be sent, not 'nothing was done' (C2). */
  doubt(request: Envelope): void {
    this.#doubtful.add(request);
  }

  isDoubtful(request: Envelope): boolean {
    return this.#doubtful.has(request);
  }

  /** Whether the hook denies a request. Its sender is told so. */
  denies(request: MessageEnvelope | QueryEnvelope, authorise: Authorise | undefined): boolean {
    const reason = reasonToDeny(authorise, request, this.#hookFailed);
    if (reason === undefined) return false;
    this.reply(request, 'denied', reason);
    return true;
  }

  reply(
    request: MessageEnvelope | QueryEnvelope,
    status: ReplyEnvelope['status'],
    said: string | AnswerRow = '',
  ): void {
    if (request.replyTo === '' || this.isDoubtful(request)) return;
    const bytes = typeof said === 'string' ? new TextEncoder().encode(said) : encode(said);
    this.#send({ kind: 'reply', to: request.replyTo, call: request.call, status, bytes });
  }

  /** A call that was accepted can no longer be answered from here. It is to be sent again, to wherever its entity is. */
  moved({ replyTo, call }: Pick<MessageEnvelope, 'replyTo' | 'call'>): void {
    this.#send({ kind: 'reply', to: replyTo, call, status: 'moved', bytes: noBytes });
  }

  #send(reply: ReplyEnvelope): void {
    this.#waiting.push(reply);
    if (this.#waiting.length > 1) return;
    this.#parts.environment.soon(() => {
      const replies = this.#waiting;
      this.#waiting = [];
      for (const one of replies) this.#parts.post(one);
    });
  }
}
