/**
 * The view server: answers clients and tools that request the view, on their own subjects. Where the placement service runs,
 * it also takes their reports of absent workers.
 *
 * Owns the bound on the answers, because a view may be large and a request is small.
 *
 * Invariants:
 * - RP1 At most `answerBytesMax` per second are answered, plus one view. A client without an answer repeats its request (P12).
 * - RP2 An answer goes to a subject of the requester (DO3).
 */

import type { Environment } from '../environment.ts';
import { visitorBook } from '../routing/ingress.ts';
import type { Views } from '../routing/views.ts';
import type { Transport } from '../transport.ts';
import { anyWord } from '../transport.ts';
import { type ControlMessage, decodeControl, encodeControl } from '../wire/control-messages.ts';
import type { Subjects } from '../wire/subjects.ts';

export interface ViewServerParts {
  readonly environment: Environment;
  readonly transport: Transport;
  readonly subjects: Subjects;
  readonly views: Views;
}

/** Most bytes of views sent to clients per second: a thousand clients that reconnect get theirs at once. */
const answerBytesMax = 4_194_304;
const secondMs = 1_000;

export class ViewServer {
  readonly #parts: ViewServerParts;
  readonly #visitorAt: ReturnType<typeof visitorBook>;
  #encoded: { readonly version: number; readonly at: number; readonly bytes: Uint8Array } | undefined;
  #since = Number.NEGATIVE_INFINITY;
  #bytes = 0;

  constructor(parts: ViewServerParts) {
    this.#parts = parts;
    this.#visitorAt = visitorBook(parts.subjects);
  }

  /** Subscribes to requests to a worker, or (undefined) to the service. Returns a function that ends it. */
  open(id: string | undefined, absent?: (id: string) => void): () => void {
    const { transport, subjects } = this.#parts;
    return transport.listen(subjects.resolve(id, anyWord), (bytes, subject) => this.#receive(bytes, subject, absent));
  }

  #receive(bytes: Uint8Array, subject: string, absent: ((id: string) => void) | undefined): void {
    let message: ControlMessage;
    try {
      message = decodeControl(bytes);
    } catch {
      // Unreadable bytes are dropped without a log line, because anyone may send any number of them.
      return;
    }
    if (message.kind === 'absent') return absent?.(message.id);
    if (message.kind !== 'resolve' || this.#visitorAt('client', subject)?.isHome(message.replyTo) !== true) return;
    if (this.#parts.subjects.isClient(message.replyTo)) this.#answer(message.replyTo);
  }

  #answer(replyTo: string): void {
    const { environment, transport, views } = this.#parts;
    if (!views.isKnown) return;
    const { view } = views.placement;
    const now = environment.steady();
    // The message also carries the time of this clock.
    if (this.#encoded?.version !== view.version || now - this.#encoded.at >= secondMs)
      this.#encoded = {
        version: view.version,
        at: now,
        bytes: encodeControl({ kind: 'view', view, sent: 0 }, environment.now()),
      };
    const { bytes } = this.#encoded;
    if (now - this.#since >= secondMs) {
      this.#since = now;
      this.#bytes = 0;
    }
    if (this.#bytes > answerBytesMax || bytes.length > transport.frameBytesMax) return;
    this.#bytes += bytes.length;
    transport.send(replyTo, bytes);
  }
}
