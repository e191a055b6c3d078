/**
 * The transport: carries frames between processes, and between workers of one process. Delivery is at most once; durable
 * data is in the store.
 *
 * Invariants (cited as X1..; `test/conformance/transport.ts` checks every transport):
 * - X1 A frame arrives whole and unchanged, at most once per send, or not at all.
 * - X2 The receiver owns the frame: later changes that the sender makes to its bytes do not show in it (P11).
 * - X3 `send` never blocks. It does not throw if the subject has no listener, or if the connection is slow or lost: a frame
 *   that does not fit into a bounded buffer is dropped (P12).
 * - X4 After `close` no handler is called.
 * - X5 `onAbsent` reports a subject only if it had no listener when a frame arrived there.
 * - X6 `onRestored` is called only when all subscriptions are active again, so that a repeated request gets its answer.
 * - X7 A subscription whose last word is `*` matches any last word; its handler gets the subject of each frame. A frame
 *   cannot be sent to such a pattern.
 */
import { SkerryError } from '../core/errors.ts';

/** Minimum frame size, bytes: room for a view of several workers, and for a useful message. */
export const frameBytesMin = 8_192;

/** The last word of a subscription that matches any last word (X7). */
export const anyWord = '*';

/** The pattern of a subject with any last word. */
export function withAnyLast(subject: string): string {
  return subject.slice(0, subject.lastIndexOf('.') + 1) + anyWord;
}

/** Carries frames at most once. The invariants X1 to X7 in the source say what an implementation guarantees. */
export interface Transport {
  /**
   * Size of the largest frame, bytes; `send` throws `too-large` for a larger one. It may shrink after a reconnection to a
   * server with another limit. It never grows.
   */
  readonly frameBytesMax: number;
  /** Subscribe to a subject, or to a pattern (X7). Returns a function that ends the subscription. */
  listen(subject: string, receive: (frame: Uint8Array, subject: string) => void): () => void;
  /** Send a frame (X1, X3). Throws `too-large`. */
  send(subject: string, frame: Uint8Array): void;
  /** Report subjects that a frame was sent to and that have no listener (X5). A hint: usually prompt, not certain. Returns an unsubscribe function. */
  onAbsent(tell: (subject: string) => void): () => void;
  /** Report that a lost connection is restored (X6). Frames sent in between may be lost. Returns an unsubscribe function. */
  onRestored(tell: () => void): () => void;
  /**
   * Report, after each round of reconnection attempts, that servers reject the login of a connection lost `lostMs` ago. No
   * frame sent since then has left, or will leave before the login is accepted. Absent on transports without logins.
   */
  onRefused?(tell: (reason: string, lostMs: number) => void): () => void;
  /**
   * Resolves when the server has registered all subscriptions. Rejects with `transport-failed` if it denies this login one of
   * them, or publishing to `sendTo`. Absent on transports without logins.
   */
  ready?(sendTo?: string): Promise<void>;
  /** End all subscriptions and close the connection (X4). */
  close(): Promise<void>;
}

/** The server is unavailable and may be back soon: it does not answer, or its name does not resolve yet. */
export class TransportAway extends SkerryError {
  constructor(message: string, cause?: unknown) {
    super('transport-failed', message, { effect: 'none', cause });
  }
}

/** The server answered and rejected the login. */
export class TransportRefused extends SkerryError {
  constructor(message: string, cause: unknown) {
    super('transport-failed', message, { effect: 'none', cause });
  }
}
