/**
 * The transport: how frames get from one process, or one part of it, to another. At most once; what must survive is in
 * the store.
 *
 * Invariants (cited as X1..; `test/conformance/transport.ts` holds every transport to them):
 * - X1 A frame that is sent arrives whole and unchanged, at most once per send, or not at all.
 * - X2 What a receiver gets is its own: nothing that the sender does to its bytes afterwards shows in it (P11).
 * - X3 A subject that nobody listens to swallows frames without an error; `send` never blocks and never throws for it,
 *   nor for a connection that is slow or gone: what does not fit into a bounded buffer is dropped (P12).
 * - X4 After `close` no handler is called any more.
 * - X5 `onAbsent` tells of a subject only if nobody listened to it when a frame that was sent to it got there.
 * - X6 `onRestored` tells only when everything that is listened to is listened to again: what is asked anew gets answers.
 * - X7 A subject whose last word is `*` is listened to with any last word; the handler is told the subject that a frame
 *   was sent to. Nothing can be sent to all of them.
 */
import { SkerryError } from '../core/errors.ts';

/** Frames of fewer bytes are no room for a view of some workers, or a message that is worth one. */
export const frameBytesMin = 8_192;

/** As the last word of a subject that is listened to: whichever a frame was sent to (X7). */
export const anyWord = '*';

/** A subject of which any last word is meant. */
export function withAnyLast(subject: string): string {
  return subject.slice(0, subject.lastIndexOf('.') + 1) + anyWord;
}

export interface Transport {
  /**
   * The largest frame, bytes; a larger one is refused by `send` with `too-large`. It may become smaller when a server comes
   * back with another limit, and never becomes larger.
   */
  readonly frameBytesMax: number;
  /** Have frames for a subject (or several, X7) handed to `receive`; the function that comes back ends that. */
  listen(subject: string, receive: (frame: Uint8Array, subject: string) => void): () => void;
  send(subject: string, frame: Uint8Array): void;
  /** Be told of subjects to which something was sent and nobody listens: a hint, soon and mostly (X5). */
  onAbsent(tell: (subject: string) => void): () => void;
  /** Be told when the connection is there again after it was lost: what was sent meanwhile may be gone. */
  onRestored(tell: () => void): () => void;
  /**
   * Be told, after each round of tries, that a connection which was lost `lostMs` ago is not let in again: nothing of what was sent
   * since has left, and nothing will until the login is taken. Absent: as for `ready`.
   */
  onRefused?(tell: (reason: string, lostMs: number) => void): () => void;
  /**
   * Resolves when the server knows of everything that is listened to. Rejects with `transport-failed` if it does not let this login
   * listen to one of them, or send to `sendTo`. Absent: there are no logins, and nobody is refused anything.
   */
  ready?(sendTo?: string): Promise<void>;
  close(): Promise<void>;
}

/** Nobody is there for now, and may be soon: a server that is away, or whose name does not resolve yet. */
export class TransportAway extends SkerryError {
  constructor(message: string, cause?: unknown) {
    super('transport-failed', message, { effect: 'none', cause });
  }
}

/** Somebody is there and does not take the login. */
export class TransportRefused extends SkerryError {
  constructor(message: string, cause: unknown) {
    super('transport-failed', message, { effect: 'none', cause });
  }
}
