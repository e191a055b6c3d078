/** The memory transport, which loses the frames that a test chooses. */

import type { Environment } from '../../runtime/environment.ts';
import type { Transport } from '../../runtime/transport.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { decodeFrame } from '../../runtime/wire/codec.ts';
import type { Envelope } from '../../runtime/wire/envelope.ts';

export class LossyTransport implements Transport {
  readonly #inner: MemoryTransport;
  readonly frameBytesMax: number;
  /** Every envelope sent, lost or not. */
  readonly sent: Envelope[] = [];
  /** Frames with an envelope for which this returns true are lost. */
  takes: (envelope: Envelope) => boolean = () => false;

  constructor(environment: Environment) {
    this.#inner = new MemoryTransport(environment);
    this.frameBytesMax = this.#inner.frameBytesMax;
  }

  listen(subject: string, receive: (frame: Uint8Array, subject: string) => void): () => void {
    return this.#inner.listen(subject, receive);
  }

  send(subject: string, frame: Uint8Array): void {
    const { envelopes } = decodeFrame(frame);
    this.sent.push(...envelopes);
    if (!envelopes.some((envelope) => this.takes(envelope))) this.#inner.send(subject, frame);
  }

  onAbsent(tell: (subject: string) => void): () => void {
    return this.#inner.onAbsent(tell);
  }

  onRestored(): () => void {
    return this.#inner.onRestored();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
