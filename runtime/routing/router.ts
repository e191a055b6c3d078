/**
 * The post of one node: envelopes out, in frames, to the subject where each belongs; frames in, as envelopes.
 *
 * Owns routing and framing. Envelopes for a part of the same node are handed over as they are, on the spot: the handler
 * only queues them. Everything for one other subject that is posted in the same tick leaves as one frame; no timer delays it.
 *
 * While partitions are handed over, they are for a while not yet, or no longer, where the view says. What comes by a detour to
 * the worker that has its partition makes that worker tell the sender where it is: further messages go there at once
 * (`location-hints.ts`).
 *
 * Longer than 400 lines because what goes out and what comes in share the view, its hints and the handlers.
 *
 * Invariants:
 * - M1 A frame that does not decode is counted, logged once per subject, and dropped.
 * - M2 A frame stays below the transport's `frameBytesMax`.
 * - M8 What does not fit into one, since NATS came back with a smaller `max_payload`, ends in an error and not in silence: who waits for
 *   it is told, and of an entity's message its sender.
 * - M3 What is forwarded has been forwarded fewer than `hopsMax` times: two views that disagree send nothing to and fro.
 * - M5 What is forwarded goes by the view, or to the worker that is known to keep it; never by a hint.
 * - M6 Of where partitions are, workers of the view are believed, about partitions that the view gives to neither this node nor them.
 * - M9 A worker that does not announce that it reads extensions gets envelopes without.
 * - M7 Who is no worker is heard at doors only (`ingress.ts`), and has forwarded nothing.
 */

import { SkerryError } from '../../core/errors.ts';
import { type Address, isAddress, isPartner } from '../../core/message.ts';
import { failedRow } from '../../core/turn.ts';
import type { Placement } from '../../placement/placement.ts';
import { type ProtocolRange, protocolOf } from '../../placement/view.ts';
import type { Environment } from '../environment.ts';
import type { Transport } from '../transport.ts';
import { anyWord } from '../transport.ts';
import {
  decodeFrame,
  encode,
  encodeFrame,
  encodeLocationHint,
  envelopeOverheadBytes,
  extensionVersion,
  type Frame,
  type LocationHint,
  protocol,
} from '../wire/codec.ts';
import type { Envelope, MessageEnvelope, ReplyEnvelope } from '../wire/envelope.ts';
import { type Party, parties, type Subjects } from '../wire/subjects.ts';
import { isSoundMessage, visitorBook } from './ingress.ts';
import { LocationHints as Hints } from './location-hints.ts';
import { isElsewhere } from './views.ts';

/** `hops`: how often the envelope has been forwarded. */
export type Receive = (envelope: Envelope, hops: number) => void;

/** How often an envelope is forwarded at most; then whoever sent it tries again. */
const hopsMax = 4;
/** So many senders are told of whereabouts for one frame, at most. */
const toldMax = 64;
/** Subjects with bad frames that are logged: who sends some may have many names. */
const badSubjectsMax = 1_000;

interface Outgoing {
  readonly subject: string;
  readonly hops: number;
  envelopes: Envelope[];
  bytes: number;
}

export interface RouterParts {
  readonly transport: Transport;
  readonly environment: Environment;
  readonly subjects: Subjects;
  /** A frame came from somebody who knows this later view. */
  readonly onLaterView?: (version: number) => void;
  /** Of this node's worker. */
  readonly id?: string;
  /** Whether this node's worker has a partition now. */
  readonly has?: (partition: number) => boolean;
  /** A message of an entity does not fit into a frame. */
  readonly onUnsendable?: (envelope: MessageEnvelope, bytes: number) => void;
  /** Where frames for a worker go, by its id; default: where workers send theirs. */
  readonly subjectOf?: (id: string) => string;
  /** Versions of frames that this node reads and writes; default: all that there are. */
  readonly protocol?: ProtocolRange | undefined;
}

export class Router {
  readonly #parts: RouterParts;
  readonly #handlers = new Map<string, Receive>();
  readonly #closers = new Set<() => void>();
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #badSubjects = new Set<string>();
  #isScheduled = false;
  #isTooLargeSaid = false;
  #placement: Placement;
  readonly #hints: Hints;
  /** Subject of each partition's worker by the view, as far as it was asked for; '': there is none. */
  #subjectOf = new Map<number, string>();
  /** The last ones that were looked at; none at first, not one without a name. */
  #soundPartner: string | undefined;
  #soundClient: string | undefined;
  readonly #visitorAt: ReturnType<typeof visitorBook>;
  /** Subjects of workers that read extensions (M9). */
  #extensible: ReadonlySet<string> = new Set();
  badFrameCount = 0;
  /** Envelopes that only a later version understands. */
  skippedCount = 0;
  forwardedCount = 0;

  constructor(parts: RouterParts, placement: Placement) {
    this.#parts = parts;
    this.#placement = placement;
    this.#visitorAt = visitorBook(parts.subjects);
    this.#hints = new Hints(() => parts.environment.steady());
    this.#closers.add(parts.transport.onAbsent((subject) => this.#hints.forget(subject)));
  }

  get placement(): Placement {
    return this.#placement;
  }

  /** From here on go by this view. Returns whether messages for an entity have gone elsewhere until now. */
  follow(placement: Placement): (address: Address) => boolean {
    const before = this.#placement;
    const hinted = this.#hints.clear();
    this.#placement = placement;
    this.#subjectOf = new Map();
    const { to } = this.#parts.protocol ?? protocol;
    const readers = placement.view.workers.filter((worker) => Math.min(to, protocolOf(worker).to) >= extensionVersion);
    this.#extensible = new Set(readers.map(({ id }) => this.#subjectFor(id)));
    return (address) => isElsewhere(address, before, placement) || hinted.has(before.partitionOf(address));
  }

  /** Handle what comes for a subject. The function that comes back ends that. */
  listen(subject: string, receive: Receive): () => void {
    this.#handlers.set(subject, receive);
    const stop = this.#parts.transport.listen(subject, (frame) => this.arrive(subject, frame));
    const close = () => {
      this.#handlers.delete(subject);
      this.#closers.delete(close);
      stop();
    };
    this.#closers.add(close);
    return close;
  }

  /** Handle what comes for a subject of which somebody else listens to the transport, who calls `arrive`. */
  expect(subject: string, receive: Receive): () => void {
    this.#handlers.set(subject, receive);
    return () => void this.#handlers.delete(subject);
  }

  /** Handle what comes for a worker from those who are none (M7). */
  openDoors(id: string, receive: Receive): void {
    const { transport, subjects } = this.#parts;
    for (const party of parties)
      this.#closers.add(
        transport.listen(subjects.door(party, id, anyWord), (frame, subject) =>
          this.#visited(party, subject, frame, receive),
        ),
      );
  }

  /** Send an envelope to where it belongs, as far as this node knows; where nobody belongs to, it is dropped. */
  post(envelope: Envelope): void {
    const subject = envelope.kind === 'reply' ? envelope.to : this.subjectOf(envelope.to);
    if (subject === '') return;
    const local = this.#handlers.get(subject);
    if (local !== undefined) local(envelope, 0);
    else this.#enqueue(subject, subject, envelope, 0);
  }

  /** Send on what came here and belongs elsewhere (M3, M5): to where the view says, or to a worker that has it still. */
  forward(envelope: Exclude<Envelope, { kind: 'reply' }>, hops: number, to?: string): void {
    const subject = to === undefined ? this.#inView(this.#placement.partitionOf(envelope.to)) : this.#subjectFor(to);
    if (subject === '' || hops >= hopsMax || this.#handlers.has(subject)) return;
    this.forwardedCount += 1;
    this.#enqueue(`${subject} ${hops}`, subject, envelope, hops + 1);
  }

  /** Where messages for an entity go to; '': there is no worker for it. */
  subjectOf(address: Address): string {
    const partition = this.#placement.partitionOf(address);
    return this.#hints.subjectOf(partition) ?? this.#inView(partition);
  }

  #inView(partition: number): string {
    let subject = this.#subjectOf.get(partition);
    if (subject === undefined) {
      const worker = this.#placement.workerOf(partition);
      subject = worker === undefined ? '' : this.#subjectFor(worker.id);
      this.#subjectOf.set(partition, subject);
    }
    return subject;
  }

  #subjectFor(id: string): string {
    return this.#parts.subjectOf?.(id) ?? this.#parts.subjects.worker(id);
  }

  #enqueue(key: string, subject: string, envelope: Envelope, hops: number): void {
    let outgoing = this.#outgoing.get(key);
    if (outgoing === undefined) {
      outgoing = { subject, hops, envelopes: [], bytes: 0 };
      this.#outgoing.set(key, outgoing);
    }
    const bytes = envelopeOverheadBytes + payloadBytes(envelope) + (envelope.extension?.length ?? 0);
    if (outgoing.bytes + bytes > this.#parts.transport.frameBytesMax) this.#send(outgoing);
    outgoing.envelopes.push(this.#readable(envelope, subject));
    outgoing.bytes += bytes;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#flush());
  }

  /** As whoever listens there can read it (M9). An entry of a reply answers one of the call. */
  #readable(envelope: Envelope, subject: string): Envelope {
    const isReadable = envelope.extension === undefined || envelope.kind === 'reply' || this.#extensible.has(subject);
    return isReadable ? envelope : { ...envelope, extension: undefined };
  }

  #flush(): void {
    this.#isScheduled = false;
    const all = [...this.#outgoing.values()];
    this.#outgoing.clear();
    for (const outgoing of all) this.#send(outgoing);
  }

  #send(outgoing: Outgoing): void {
    const { envelopes, subject, hops } = outgoing;
    if (envelopes.length === 0) return;
    const { transport } = this.#parts;
    // Emptied first: what cannot be sent must not be in the way of everything after it.
    outgoing.envelopes = [];
    outgoing.bytes = 0;
    const frame = encodeFrame(envelopes, { viewVersion: this.#placement.view.version, hops });
    if (frame.length <= transport.frameBytesMax) transport.send(subject, frame);
    else if (envelopes.length > 1)
      for (const envelope of envelopes) this.#send({ subject, hops, envelopes: [envelope], bytes: 0 });
    else for (const envelope of envelopes) this.#tooLarge(envelope, subject, frame.length);
  }

  #tooLarge(envelope: Envelope, subject: string, bytes: number): void {
    const { transport, environment, onUnsendable } = this.#parts;
    const { frameBytesMax } = transport;
    if (!this.#isTooLargeSaid)
      environment.log.error(
        { subject, kind: envelope.kind, bytes, frameBytesMax },
        'something larger than a frame may be was not sent, and its sender is told; further ones are not logged',
      );
    this.#isTooLargeSaid = true;
    const reason = `A message of ${bytes} bytes with its envelope is over frameBytesMax (${frameBytesMax}: max_payload of NATS)`;
    if (envelope.kind === 'reply') {
      const isTold = envelope.status === 'unsent';
      if (!isTold) this.#tell({ ...envelope, status: 'unsent', bytes: new TextEncoder().encode(reason) });
    } else if (envelope.kind === 'message' && envelope.replyTo === '') onUnsendable?.(envelope, bytes);
    else if (envelope.kind === 'message' || envelope.kind === 'query') {
      const row = encode(failedRow(new SkerryError('too-large', reason)));
      this.#tell({ kind: 'reply', to: envelope.replyTo, call: envelope.call, status: 'not-run', bytes: row });
    }
  }

  /** Not inside of what is posted just now: it may be to who posts. */
  #tell(reply: ReplyEnvelope): void {
    queueMicrotask(() => this.post(reply));
  }

  /** A frame for a subject that is listened to, or expected. */
  arrive(subject: string, bytes: Uint8Array): void {
    const frame = this.#decode(subject, bytes);
    if (frame === undefined) return;
    if (frame.viewVersion > this.#placement.view.version) this.#parts.onLaterView?.(frame.viewVersion);
    for (const envelope of frame.envelopes) {
      if (this.#isSound(envelope)) this.#handlers.get(subject)?.(envelope, frame.hops);
      else this.badFrameCount += 1;
    }
    if (frame.hops > 0) this.#tellWhereabouts(frame.envelopes);
    if (frame.whereabouts !== undefined) this.#learn(frame.whereabouts);
  }

  /** Undefined: it is none (M1). */
  #decode(subject: string, bytes: Uint8Array): Frame | undefined {
    try {
      const frame = decodeFrame(bytes, this.#parts.protocol);
      this.skippedCount += frame.skipped;
      return frame;
    } catch (error) {
      this.#bad(subject, String(error));
      return undefined;
    }
  }

  #bad(subject: string, error: string): void {
    this.badFrameCount += 1;
    if (this.#badSubjects.has(subject) || this.#badSubjects.size >= badSubjectsMax) return;
    this.#badSubjects.add(subject);
    this.#parts.environment.log.warn(
      { subject, error },
      'a frame that cannot be read was dropped; further ones are only counted',
    );
  }

  /** A frame at a door (M7). */
  #visited(party: Party, subject: string, bytes: Uint8Array, receive: Receive): void {
    const frame = this.#decode(subject, bytes);
    if (frame === undefined) return;
    const visitor = this.#visitorAt(party, subject);
    if (visitor === undefined || frame.hops !== 0 || frame.whereabouts !== undefined)
      return this.#bad(subject, 'it says what only workers say');
    if (frame.viewVersion > this.#placement.view.version) this.#parts.onLaterView?.(frame.viewVersion);
    for (const envelope of frame.envelopes) {
      if (this.#isSound(envelope) && visitor.maySend(envelope)) receive(envelope, 0);
      else this.#bad(subject, `a ${envelope.kind} that is not its sender's to send`);
    }
  }

  /** These came by a detour: who sent them first shall know where they belong, if that is here. */
  #tellWhereabouts(envelopes: readonly Envelope[]): void {
    const { id, has } = this.#parts;
    if (id === undefined || has === undefined) return;
    const bySubject = new Map<string, Set<number>>();
    for (const envelope of envelopes) {
      const subject = this.#senderOf(envelope);
      if (subject === '' || bySubject.size >= toldMax) continue;
      const partition = this.#placement.partitionOf(envelope.to);
      if (!has(partition)) continue;
      const partitions = bySubject.get(subject);
      if (partitions === undefined) bySubject.set(subject, new Set([partition]));
      else partitions.add(partition);
    }
    for (const [subject, partitions] of bySubject) {
      const bytes = encodeLocationHint({ id, partitions: [...partitions] }, this.#placement.view.version);
      if (!this.#handlers.has(subject)) this.#parts.transport.send(subject, bytes);
    }
  }

  /** Where it was sent from; '': nobody knows. */
  #senderOf(envelope: Envelope): string {
    if (envelope.kind === 'reply' || !this.#isSound(envelope)) return '';
    if ('replyTo' in envelope && envelope.replyTo !== '') return envelope.replyTo;
    return 'from' in envelope && isAddress(envelope.from) ? this.subjectOf(envelope.from) : '';
  }

  #learn({ id, partitions }: LocationHint): void {
    const subject = this.#subjectFor(id);
    if (this.#handlers.has(subject) || !this.#placement.view.workers.some((worker) => worker.id === id)) return;
    for (const partition of partitions) {
      // What was never asked for needs no hint.
      const inView = this.#subjectOf.get(partition) ?? '';
      if (inView === '' || this.#handlers.has(inView)) continue;
      if (inView === subject) this.#hints.delete(partition);
      else this.#hints.note(partition, subject);
    }
  }

  /** Nothing that arrives is trusted: its addresses and partners must be what they claim to be. */
  #isSound(envelope: Envelope): boolean {
    switch (envelope.kind) {
      case 'reply':
        return true;
      case 'query':
        return isAddress(envelope.to) && this.#isClient(envelope.replyTo);
      case 'message':
        return (
          isAddress(envelope.to) &&
          this.#isPartner(envelope.from) &&
          isSoundMessage(envelope) &&
          (envelope.replyTo === '' || this.#isClient(envelope.replyTo))
        );
      default:
        return isAddress(envelope.to) && isPartner(envelope.from);
    }
  }

  /** One after the other comes from the same partner; that was looked at. */
  #isPartner(text: string): boolean {
    if (text === this.#soundPartner) return true;
    if (!isPartner(text)) return false;
    this.#soundPartner = text;
    return true;
  }

  #isClient(subject: string): boolean {
    if (subject === this.#soundClient) return true;
    if (!this.#parts.subjects.isClient(subject)) return false;
    this.#soundClient = subject;
    return true;
  }

  close(): void {
    this.#flush();
    for (const close of [...this.#closers]) close();
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
