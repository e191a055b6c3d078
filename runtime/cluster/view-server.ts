/**
 * The reception of a worker: answers clients and tools that ask for the view, at a door of their own, and takes their hints of
 * absent workers where the placement service runs.
 *
 * Owns the bound on it: a view may be large, and a question is small.
 *
 * Invariants:
 * - RP1 At most `answerBytesMax` a second are answered, and one view; who got none asks again (P12).
 * - RP2 An answer goes to a subject of who asked (DO3).
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

/** Bytes of views that a worker sends to clients in a second: a thousand clients that come back get theirs at once. */
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

  /** Hear what is asked of a worker, or (undefined) of the service; the function that comes back ends that. */
  open(id: string | undefined, absent?: (id: string) => void): () => void {
    const { transport, subjects } = this.#parts;
    return transport.listen(subjects.resolve(id, anyWord), (bytes, subject) => this.#receive(bytes, subject, absent));
  }

  #receive(bytes: Uint8Array, subject: string, absent: ((id: string) => void) | undefined): void {
    let signal: ControlMessage;
    try {
      signal = decodeControl(bytes);
    } catch {
      // Who sends that is no client of ours, and may send as many as it likes.
      return;
    }
    if (signal.kind === 'absent') return absent?.(signal.id);
    if (signal.kind !== 'resolve' || this.#visitorAt('client', subject)?.isHome(signal.replyTo) !== true) return;
    if (this.#parts.subjects.isClient(signal.replyTo)) this.#answer(signal.replyTo);
  }

  #answer(replyTo: string): void {
    const { environment, transport, views } = this.#parts;
    if (!views.isKnown) return;
    const { view } = views.placement;
    const now = environment.steady();
    // It tells this clock, too.
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
