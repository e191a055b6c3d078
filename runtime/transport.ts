/**
 * The transport: how frames get from one process, or one part of it, to another. At most once, in no order; what must
 * survive is in the store.
 *
 * Invariants (cited as X1..; `test/conformance/transport.ts` holds every transport to them):
 * - X1 A frame that is sent arrives whole and unchanged, at most once per send, or not at all.
 * - X2 What a receiver gets is its own: nothing that the sender does to its bytes afterwards shows in it (P11).
 * - X3 A subject that nobody listens to swallows frames without an error; `send` never blocks and never throws for it.
 * - X4 After `close` no handler is called any more.
 */
export interface Transport {
  /** The largest frame, bytes; a larger one is refused by `send` with `too-large`. */
  readonly frameBytesMax: number;
  /** Have frames for a subject handed to `receive`; the function that comes back ends that. */
  listen(subject: string, receive: (frame: Uint8Array) => void): () => void;
  send(subject: string, frame: Uint8Array): void;
  close(): Promise<void>;
}
