/**
 * The admin client: sends requests to workers over the transport, and assembles each answer from its parts.
 *
 * Owns retries and time-outs. A request or its answer may be lost. Every request can be repeated safely, so it is repeated until
 * its time-out.
 *
 * Invariants:
 * - AQ1 A request settles once: with the answer, the worker's error, 'absent' or 'silent'.
 */
import { SkerryError } from '../../core/errors.ts';
import type { Environment } from '../environment.ts';
import type { Transport } from '../transport.ts';
import {
  type AdminRequest,
  type AnswerPart,
  answerBytesMax,
  decodeAnswer,
  decodePart,
  encodeAdminRequest,
} from '../wire/admin-messages.ts';
import type { Subjects } from '../wire/subjects.ts';

export interface AdminClientParts {
  readonly environment: Environment;
  readonly transport: Transport;
  readonly subjects: Subjects;
}

/** Absent: the worker's subject has no listener. Silent: no answer arrived in time. */
export type Answered =
  | { readonly status: 'answered'; readonly value: unknown }
  | { readonly status: 'absent' }
  | { readonly status: 'silent' };

interface InFlight {
  readonly id: string;
  readonly number: number;
  readonly request: AdminRequest;
  readonly parts: Uint8Array[];
  bytes: number;
  readonly settle: (answered: Answered) => void;
  readonly fail: (error: unknown) => void;
  cancelRepeat: () => void;
  readonly timeoutMs: number;
  /** The worker counts as silent if no further part has arrived by then. */
  until: number;
}

/** Pause before an unanswered request is repeated, ms. */
const repeatMs = 500;
const timeoutDefaultMs = 5_000;

export class AdminClient {
  readonly #parts: AdminClientParts;
  readonly #replyTo: string;
  readonly #inFlight = new Map<number, InFlight>();
  readonly #closers: readonly (() => void)[];
  #number = 0;

  constructor(parts: AdminClientParts) {
    this.#parts = parts;
    const { transport, subjects, environment } = parts;
    this.#replyTo = subjects.answers(environment.newId());
    this.#closers = [
      transport.listen(this.#replyTo, (bytes) => this.#receive(bytes)),
      transport.onAbsent((subject) => this.#absent(subject)),
    ];
  }

  /** Sends a request to a worker, by its id. Rejects with the worker's error. */
  request(id: string, request: AdminRequest, timeoutMs: number = timeoutDefaultMs): Promise<Answered> {
    return new Promise((settle, fail) => {
      this.#number += 1;
      const number = this.#number;
      const until = this.#parts.environment.steady() + timeoutMs;
      const inFlight = {
        id,
        number,
        request,
        parts: [],
        bytes: 0,
        settle,
        fail,
        timeoutMs,
        until,
        cancelRepeat: () => undefined,
      };
      this.#inFlight.set(number, inFlight);
      this.#send(inFlight);
    });
  }

  /** The answer of the first of these workers that gives one. Rejects with its error, or with `transport-failed` if none answers. */
  async requestAny(
    workers: readonly { readonly id: string; readonly isLeaving: boolean }[],
    request: AdminRequest,
    timeoutMs?: number,
  ): Promise<unknown> {
    const first = Math.floor(this.#parts.environment.random() * workers.length);
    // Leaving workers come last, because they may be gone in a moment.
    const inTurn = [...workers.slice(first), ...workers.slice(0, first)].sort(
      (one, other) => Number(one.isLeaving) - Number(other.isLeaving),
    );
    for (const { id } of inTurn) {
      const answered = await this.request(id, request, timeoutMs);
      if (answered.status === 'answered') return answered.value;
    }
    throw new SkerryError('transport-failed', 'No worker answers');
  }

  #send(inFlight: InFlight): void {
    const { environment, transport, subjects } = this.#parts;
    inFlight.cancelRepeat();
    const leftMs = inFlight.until - environment.steady();
    if (leftMs <= 0) return this.#settle(inFlight, { status: 'silent' });
    inFlight.cancelRepeat = environment.after(Math.min(repeatMs, leftMs), () => this.#send(inFlight));
    const { number, parts } = inFlight;
    const request: AdminRequest = parts.length === 0 ? inFlight.request : { kind: 'more', index: parts.length };
    transport.send(subjects.asks(inFlight.id), encodeAdminRequest({ replyTo: this.#replyTo, number, request }));
  }

  #settle(inFlight: InFlight, answered: Answered): void {
    inFlight.cancelRepeat();
    this.#inFlight.delete(inFlight.number);
    inFlight.settle(answered);
  }

  #absent(subject: string): void {
    for (const inFlight of [...this.#inFlight.values()])
      if (this.#parts.subjects.asks(inFlight.id) === subject) this.#settle(inFlight, { status: 'absent' });
  }

  #receive(bytes: Uint8Array): void {
    let part: AnswerPart;
    try {
      part = decodePart(bytes);
    } catch {
      return;
    }
    const inFlight = this.#inFlight.get(part.number);
    if (inFlight === undefined) return;
    if (part.count === 1) return this.#end(inFlight, part.bytes);
    if (part.index !== inFlight.parts.length || part.bytes.length === 0) return;
    inFlight.bytes += part.bytes.length;
    if (inFlight.bytes > answerBytesMax) return this.#refuse(inFlight);
    inFlight.parts.push(new Uint8Array(part.bytes));
    inFlight.until = this.#parts.environment.steady() + inFlight.timeoutMs;
    if (inFlight.parts.length === part.count) this.#end(inFlight, Buffer.concat(inFlight.parts));
    else this.#send(inFlight);
  }

  /** Fails a request whose answer is larger than a worker of this version would send. */
  #refuse(inFlight: InFlight): void {
    inFlight.cancelRepeat();
    this.#inFlight.delete(inFlight.number);
    inFlight.fail(new SkerryError('too-large', `The answer of ${inFlight.id} exceeds ${answerBytesMax} bytes`));
  }

  #end(inFlight: InFlight, bytes: Uint8Array): void {
    try {
      this.#settle(inFlight, { status: 'answered', value: decodeAnswer(bytes) });
    } catch (error) {
      inFlight.cancelRepeat();
      this.#inFlight.delete(inFlight.number);
      inFlight.fail(error);
    }
  }

  /** Rejects the requests in flight with `closed`. */
  close(): void {
    for (const close of this.#closers) close();
    for (const { cancelRepeat, fail } of this.#inFlight.values()) {
      cancelRepeat();
      fail(new SkerryError('closed', 'The connection for admin requests is closed', { effect: 'unknown' }));
    }
    this.#inFlight.clear();
  }
}
