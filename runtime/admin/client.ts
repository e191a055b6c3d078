/**
 * Asking workers, from anywhere that a transport reaches: one ask, one answer, put together from its parts.
 *
 * Owns repeats and time-outs. An ask or an answer may be lost; all asks can be repeated, so each is until its time is over.
 *
 * Invariants:
 * - AQ1 An ask settles once: with the answer, with what the worker failed with, or with 'absent' or 'silent'.
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

/** Absent: nobody listens under that worker's id. Silent: no answer came in time. */
export type Answered =
  | { readonly status: 'answered'; readonly value: unknown }
  | { readonly status: 'absent' }
  | { readonly status: 'silent' };

interface UnderWay {
  readonly id: string;
  readonly number: number;
  readonly ask: AdminRequest;
  readonly parts: Uint8Array[];
  bytes: number;
  readonly settle: (answered: Answered) => void;
  readonly fail: (error: unknown) => void;
  cancelRepeat: () => void;
  readonly timeoutMs: number;
  /** Without a further part by then it is silent. */
  until: number;
}

/** Asked again for what was not answered after this, ms. */
const repeatMs = 500;
const timeoutDefaultMs = 5_000;

export class AdminClient {
  readonly #parts: AdminClientParts;
  readonly #replyTo: string;
  readonly #underWay = new Map<number, UnderWay>();
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

  /** Ask a worker, by its id. Rejects with what the worker failed with. */
  ask(id: string, ask: AdminRequest, timeoutMs: number = timeoutDefaultMs): Promise<Answered> {
    return new Promise((settle, fail) => {
      this.#number += 1;
      const number = this.#number;
      const until = this.#parts.environment.steady() + timeoutMs;
      const underWay = {
        id,
        number,
        ask,
        parts: [],
        bytes: 0,
        settle,
        fail,
        timeoutMs,
        until,
        cancelRepeat: () => undefined,
      };
      this.#underWay.set(number, underWay);
      this.#send(underWay);
    });
  }

  /** The answer of whichever of these workers gives one. Rejects with what it failed with, and `transport-failed` if none answers. */
  async askAny(
    workers: readonly { readonly id: string; readonly isLeaving: boolean }[],
    ask: AdminRequest,
    timeoutMs?: number,
  ): Promise<unknown> {
    const first = Math.floor(this.#parts.environment.random() * workers.length);
    // Those that leave are asked last: they may be gone in a moment.
    const inTurn = [...workers.slice(first), ...workers.slice(0, first)].sort(
      (one, other) => Number(one.isLeaving) - Number(other.isLeaving),
    );
    for (const { id } of inTurn) {
      const answered = await this.ask(id, ask, timeoutMs);
      if (answered.status === 'answered') return answered.value;
    }
    throw new SkerryError('transport-failed', 'No worker answers');
  }

  #send(underWay: UnderWay): void {
    const { environment, transport, subjects } = this.#parts;
    underWay.cancelRepeat();
    const leftMs = underWay.until - environment.steady();
    if (leftMs <= 0) return this.#settle(underWay, { status: 'silent' });
    underWay.cancelRepeat = environment.after(Math.min(repeatMs, leftMs), () => this.#send(underWay));
    const { number, parts } = underWay;
    const ask: AdminRequest = parts.length === 0 ? underWay.ask : { kind: 'more', index: parts.length };
    transport.send(subjects.asks(underWay.id), encodeAdminRequest({ replyTo: this.#replyTo, number, ask }));
  }

  #settle(underWay: UnderWay, answered: Answered): void {
    underWay.cancelRepeat();
    this.#underWay.delete(underWay.number);
    underWay.settle(answered);
  }

  #absent(subject: string): void {
    for (const underWay of [...this.#underWay.values()])
      if (this.#parts.subjects.asks(underWay.id) === subject) this.#settle(underWay, { status: 'absent' });
  }

  #receive(bytes: Uint8Array): void {
    let part: AnswerPart;
    try {
      part = decodePart(bytes);
    } catch {
      return;
    }
    const underWay = this.#underWay.get(part.number);
    if (underWay === undefined) return;
    if (part.count === 1) return this.#end(underWay, part.bytes);
    if (part.index !== underWay.parts.length || part.bytes.length === 0) return;
    underWay.bytes += part.bytes.length;
    if (underWay.bytes > answerBytesMax) return this.#refuse(underWay);
    underWay.parts.push(new Uint8Array(part.bytes));
    underWay.until = this.#parts.environment.steady() + underWay.timeoutMs;
    if (underWay.parts.length === part.count) this.#end(underWay, Buffer.concat(underWay.parts));
    else this.#send(underWay);
  }

  /** No worker of this version sends so much. */
  #refuse(underWay: UnderWay): void {
    underWay.cancelRepeat();
    this.#underWay.delete(underWay.number);
    underWay.fail(new SkerryError('too-large', `The answer of ${underWay.id} exceeds ${answerBytesMax} bytes`));
  }

  #end(underWay: UnderWay, bytes: Uint8Array): void {
    try {
      this.#settle(underWay, { status: 'answered', value: decodeAnswer(bytes) });
    } catch (error) {
      underWay.cancelRepeat();
      this.#underWay.delete(underWay.number);
      underWay.fail(error);
    }
  }

  /** What is still waited for is rejected with `closed`. */
  close(): void {
    for (const close of this.#closers) close();
    for (const { cancelRepeat, fail } of this.#underWay.values()) {
      cancelRepeat();
      fail(new SkerryError('closed', 'The connection for admin requests is closed', { effect: 'unknown' }));
    }
    this.#underWay.clear();
  }
}
