/**
 * The post of one node: envelopes out, in frames, to the subject where each belongs; frames in, as envelopes.
 *
 * Owns routing and framing. Envelopes for a part of the same node are handed over as they are, on the spot: the handler
 * only queues them. Everything for one other subject that is posted in the same tick leaves as one frame; no timer delays it.
 *
 * Invariants:
 * - M1 A frame that does not decode is counted, logged once per subject, and dropped.
 * - M2 A frame stays below the transport's `frameBytesMax`.
 */
import { type Address, isAddress, isPartner } from '../core/message.ts';
import { partitionOf } from '../placement/hash.ts';
import type { View } from '../placement/view.ts';
import { decodeFrame, encodeFrame, envelopeOverheadBytes } from './codec.ts';
import type { Envelope } from './envelope.ts';
import type { Environment } from './environment.ts';
import type { Transport } from './transport.ts';

export type Receive = (envelope: Envelope) => void;

/** The subject of a worker; clients make theirs from their ids. */
export function workerSubject(worker: string): string {
  return `skerry.worker.${worker}`;
}

interface Outgoing {
  envelopes: Envelope[];
  bytes: number;
}

export class Post {
  readonly #transport: Transport;
  readonly #environment: Environment;
  readonly #handlers = new Map<string, Receive>();
  readonly #closers: (() => void)[] = [];
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #badSubjects = new Set<string>();
  #isScheduled = false;
  readonly #view: View;
  /** Subject of each partition's worker. */
  readonly #subjects: readonly string[];
  badFrameCount = 0;

  constructor(transport: Transport, environment: Environment, view: View) {
    this.#transport = transport;
    this.#environment = environment;
    this.#view = view;
    this.#subjects = view.owners.map(workerSubject);
  }

  /** Handle what comes for a subject. The function that comes back ends that. */
  listen(subject: string, receive: Receive): () => void {
    this.#handlers.set(subject, receive);
    const stop = this.#transport.listen(subject, (frame) => this.#arrive(subject, frame));
    const close = () => {
      this.#handlers.delete(subject);
      stop();
    };
    this.#closers.push(close);
    return close;
  }

  /** Send an envelope to where it belongs, as far as this node knows. */
  post(envelope: Envelope): void {
    const subject = envelope.kind === 'reply' ? envelope.to : this.subjectOf(envelope.to);
    const local = this.#handlers.get(subject);
    if (local !== undefined) local(envelope);
    else this.#enqueue(subject, envelope);
  }

  subjectOf(address: Address): string {
    return this.#subjects[partitionOf(address, this.#view.partitions)] ?? '';
  }

  #enqueue(subject: string, envelope: Envelope): void {
    let outgoing = this.#outgoing.get(subject);
    if (outgoing === undefined) {
      outgoing = { envelopes: [], bytes: 0 };
      this.#outgoing.set(subject, outgoing);
    }
    const bytes = envelopeOverheadBytes + payloadBytes(envelope);
    if (outgoing.bytes + bytes > this.#transport.frameBytesMax) this.#send(subject, outgoing);
    outgoing.envelopes.push(envelope);
    outgoing.bytes += bytes;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#isScheduled = false;
    for (const [subject, outgoing] of this.#outgoing) this.#send(subject, outgoing);
    this.#outgoing.clear();
  }

  #send(subject: string, outgoing: Outgoing): void {
    const { envelopes } = outgoing;
    if (envelopes.length === 0) return;
    // Emptied first: what cannot be sent must not be in the way of everything after it.
    outgoing.envelopes = [];
    outgoing.bytes = 0;
    const frame = encodeFrame(envelopes);
    if (frame.length <= this.#transport.frameBytesMax) this.#transport.send(subject, frame);
    else if (envelopes.length > 1)
      for (const envelope of envelopes) this.#send(subject, { envelopes: [envelope], bytes: 0 });
    else
      this.#environment.log.error(
        { subject, bytes: frame.length },
        'an envelope larger than a frame may be was dropped',
      );
  }

  #arrive(subject: string, frame: Uint8Array): void {
    let envelopes: Envelope[];
    try {
      envelopes = decodeFrame(frame);
    } catch (error) {
      this.badFrameCount += 1;
      if (!this.#badSubjects.has(subject))
        this.#environment.log.warn(
          { subject, error: String(error) },
          'a frame that cannot be read was dropped; further ones are only counted',
        );
      this.#badSubjects.add(subject);
      return;
    }
    for (const envelope of envelopes) {
      if (isSound(envelope)) this.#handlers.get(subject)?.(envelope);
      else this.badFrameCount += 1;
    }
  }

  close(): void {
    this.#flush();
    for (const close of this.#closers) close();
  }
}

/** Nothing that arrives is trusted: its addresses and partners must be what they claim to be. */
function isSound(envelope: Envelope): boolean {
  switch (envelope.kind) {
    case 'reply':
      return true;
    case 'query':
      return isAddress(envelope.to);
    default:
      return isAddress(envelope.to) && isPartner(envelope.from);
  }
}

function payloadBytes(envelope: Envelope): number {
  switch (envelope.kind) {
    case 'message':
      return envelope.content.payload.length;
    case 'query':
      return envelope.payload.length;
    case 'reply':
      return envelope.bytes.length;
    default:
      return 0;
  }
}
