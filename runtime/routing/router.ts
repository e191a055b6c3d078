/**
 * The router of one node: sends envelopes in frames to the right subject, and hands received envelopes to their handlers.
 *
 * Owns routing and framing. An envelope for a part of the same node goes to its handler at once; the handler only queues
 * it. All envelopes for one other subject that are posted in the same tick leave as one frame; no timer delays them.
 *
 * During a handoff a partition is not where the view says. When a forwarded message reaches the owner, the owner sends a
 * location hint to the sender, so that further messages come directly (`location-hints.ts`).
 *
 * Longer than 400 lines because sending and receiving share the view, the hints and the handlers.
 *
 * Invariants:
 * - M1 A frame that does not decode is counted, logged once per subject, and dropped.
 * - M2 A frame is at most the transport's `frameBytesMax`.
 * - M3 An envelope is forwarded at most `hopsMax` times, so that it does not circle between workers with different views.
 * - M5 A forwarded envelope goes by the view, or to the worker known to keep the partition; never by a hint.
 * - M6 A location hint is accepted only from a worker of the view, and only for partitions that the view assigns to another
 *   worker than the sender and this node.
 * - M7 Clients, gateways and tools are heard at doors only (`ingress.ts`), and cannot forward.
 * - M8 An envelope too large for a frame, as after NATS came back with a smaller `max_payload`, ends in an error: the caller
 *   gets it, or the entity that sent the message.
 * - M9 A worker that does not announce that it reads extensions gets envelopes without them, and none that has a kind of content
 *   that it cannot read: its sender tries again, until the receiver is on another worker.
 */

import { SkerryError } from '../../core/errors.ts';
import { type Address, isAddress, isPartner } from '../../core/message.ts';
import { failedRow } from '../../core/turn.ts';
import type { Placement } from '../../placement/placement.ts';
import { type ProtocolRange, protocolOf } from '../../placement/view.ts';
import type { Environment } from '../environment.ts';
import { type Counter, Counters } from '../meter.ts';
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
  versionOf,
} from '../wire/codec.ts';
import type { Envelope, MessageEnvelope, ReplyEnvelope } from '../wire/envelope.ts';
import { type Party, parties, type Subjects } from '../wire/subjects.ts';
import { isSoundMessage, visitorBook } from './ingress.ts';
import { LocationHints as Hints } from './location-hints.ts';
import { isElsewhere } from './views.ts';

/** Handles an envelope. `hops`: how often it has been forwarded. */
export type Receive = (envelope: Envelope, hops: number) => void;

/** Most times that an envelope is forwarded. Beyond that it is dropped, and its sender retries. */
const hopsMax = 4;
/** Most senders that get location hints for one frame. */
const hintedSendersMax = 64;
/** Most subjects whose bad frames are logged, because one sender may use many subjects. */
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
  /** Of the node that the router is a part of. */
  readonly counters?: Counters;
  /** Called when a frame shows that its sender knows a later view. */
  readonly onLaterView?: (version: number) => void;
  /** The id of this node's worker. */
  readonly id?: string;
  /** Whether this node's worker owns a partition now. */
  readonly has?: (partition: number) => boolean;
  /** Called for a message of an entity that does not fit into a frame. */
  readonly onUnsendable?: (envelope: MessageEnvelope, bytes: number) => void;
  /** The subject for frames to a worker, by its id (default: the subject that workers use). */
  readonly subjectOf?: (id: string) => string;
  /** Frame versions that this node reads and writes (default: all). */
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
  /** Subject of each partition's worker by the view, filled on demand; '': no worker. */
  #subjectOf = new Map<number, string>();
  /** The last values found valid. */
  #soundPartner: string | undefined;
  #soundClient: string | undefined;
  readonly #visitorAt: ReturnType<typeof visitorBook>;
  /** Frame versions that workers read, by subject (M9). */
  #versions: ReadonlyMap<string, number>;
  readonly counters: Counters;
  readonly #refused: Counter;
  readonly #skipped: Counter;
  readonly #forwarded: Counter;

  constructor(parts: RouterParts, placement: Placement) {
    this.#parts = parts;
    this.counters = parts.counters ?? new Counters(parts.environment.meter);
    this.#refused = this.counters.of('frames-refused');
    this.#skipped = this.counters.of('envelopes-skipped');
    this.#forwarded = this.counters.of('forwarded');
    this.#placement = placement;
    this.#versions = this.#versionsIn(placement);
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
    this.#versions = this.#versionsIn(placement);
    return (address) => isElsewhere(address, before, placement) || hinted.has(before.partitionOf(address));
  }

  #versionsIn({ view }: Placement): ReadonlyMap<string, number> {
    const { to } = this.#parts.protocol ?? protocol;
    return new Map(view.workers.map((worker) => [this.#subjectFor(worker.id), Math.min(to, protocolOf(worker).to)]));
  }

  /** Subscribes to a subject. Returns a function that ends the subscription. */
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

  /** Handles the envelopes of a subject whose subscription belongs to the caller, which passes its frames to `arrive`. */
  expect(subject: string, receive: Receive): () => void {
    this.#handlers.set(subject, receive);
    return () => void this.#handlers.delete(subject);
  }

  /** Subscribes to a worker's doors, for frames of clients, gateways and tools (M7). */
  openDoors(id: string, receive: Receive): void {
    const { transport, subjects } = this.#parts;
    for (const party of parties)
      this.#closers.add(
        transport.listen(subjects.door(party, id, anyWord), (frame, subject) =>
          this.#visited(party, subject, frame, receive),
        ),
      );
  }

  /** Sends an envelope to its recipient, as far as this node knows. Without a worker for it, the envelope is dropped. */
  post(envelope: Envelope): void {
    const subject = envelope.kind === 'reply' ? envelope.to : this.subjectOf(envelope.to);
    if (subject === '') return;
    const local = this.#handlers.get(subject);
    if (local !== undefined) local(envelope, 0);
    else this.#enqueue(subject, subject, envelope, 0);
  }

  /** Forwards a received envelope (M3, M5): by the view, or to a worker that still has the partition. */
  forward(envelope: Exclude<Envelope, { kind: 'reply' }>, hops: number, to?: string): void {
    const subject = to === undefined ? this.#inView(this.#placement.partitionOf(envelope.to)) : this.#subjectFor(to);
    if (subject === '' || hops >= hopsMax || this.#handlers.has(subject)) return;
    this.#forwarded.add();
    this.#enqueue(`${subject} ${hops}`, subject, envelope, hops + 1);
  }

  /** The subject of an entity's worker, by hints and view; '': no worker. */
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
    const version = versionOf(envelope);
    if (version > extensionVersion && version > (this.#versions.get(subject) ?? 0)) return;
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

  /** The envelope in a form that the recipient can read (M9). A reply has an extension only if its call had one. */
  #readable(envelope: Envelope, subject: string): Envelope {
    const isReadable =
      envelope.extension === undefined ||
      envelope.kind === 'reply' ||
      (this.#versions.get(subject) ?? 0) >= extensionVersion;
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
    // Emptied first: an envelope that cannot be sent must not block everything after it.
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
        'did not send an envelope that does not fit into a frame; its sender gets an error; further ones are not logged',
      );
    this.#isTooLargeSaid = true;
    const reason = `The message takes ${bytes} bytes with its envelope; frameBytesMax is ${frameBytesMax} (max_payload of NATS)`;
    if (envelope.kind === 'reply') {
      const isTold = envelope.status === 'unsent';
      if (!isTold) this.#reply({ ...envelope, status: 'unsent', bytes: new TextEncoder().encode(reason) });
    } else if (envelope.kind === 'message' && envelope.replyTo === '') onUnsendable?.(envelope, bytes);
    else if (envelope.kind === 'message' || envelope.kind === 'query') {
      const row = encode(failedRow(new SkerryError('too-large', reason)));
      this.#reply({ kind: 'reply', to: envelope.replyTo, call: envelope.call, status: 'not-run', bytes: row });
    }
  }

  /** Posts a reply later, because its recipient may be the caller of the current `post`. */
  #reply(reply: ReplyEnvelope): void {
    queueMicrotask(() => this.post(reply));
  }

  /** Handles a frame for a subject of `listen` or `expect`. */
  arrive(subject: string, bytes: Uint8Array): void {
    const frame = this.#decode(subject, bytes);
    if (frame === undefined) return;
    if (frame.viewVersion > this.#placement.view.version) this.#parts.onLaterView?.(frame.viewVersion);
    for (const envelope of frame.envelopes) {
      if (this.#isSound(envelope)) this.#handlers.get(subject)?.(envelope, frame.hops);
      else this.#refused.add();
    }
    if (frame.hops > 0) this.#sendHints(frame.envelopes);
    if (frame.hint !== undefined) this.#learn(frame.hint);
  }

  /** Undefined: the bytes are not a frame (M1). */
  #decode(subject: string, bytes: Uint8Array): Frame | undefined {
    try {
      const frame = decodeFrame(bytes, this.#parts.protocol);
      this.#skipped.add(frame.skipped);
      return frame;
    } catch (error) {
      this.#bad(subject, String(error));
      return undefined;
    }
  }

  #bad(subject: string, error: string): void {
    this.#refused.add();
    if (this.#badSubjects.has(subject) || this.#badSubjects.size >= badSubjectsMax) return;
    this.#badSubjects.add(subject);
    this.#parts.environment.log.warn(
      { subject, error },
      'dropped a frame that cannot be decoded; further ones are only counted',
    );
  }

  /** A frame at a door (M7). */
  #visited(party: Party, subject: string, bytes: Uint8Array, receive: Receive): void {
    const frame = this.#decode(subject, bytes);
    if (frame === undefined) return;
    const visitor = this.#visitorAt(party, subject);
    if (visitor === undefined || frame.hops !== 0 || frame.hint !== undefined)
      return this.#bad(subject, 'it has an extension that only workers may send');
    if (frame.viewVersion > this.#placement.view.version) this.#parts.onLaterView?.(frame.viewVersion);
    for (const envelope of frame.envelopes) {
      if (this.#isSound(envelope) && visitor.maySend(envelope)) receive(envelope, 0);
      else this.#bad(subject, `a ${envelope.kind} that its sender may not send`);
    }
  }

  /** Sends a location hint to the original senders of forwarded envelopes, if this node owns the partition. */
  #sendHints(envelopes: readonly Envelope[]): void {
    const { id, has } = this.#parts;
    if (id === undefined || has === undefined) return;
    const bySubject = new Map<string, Set<number>>();
    for (const envelope of envelopes) {
      const subject = this.#senderOf(envelope);
      if (subject === '' || bySubject.size >= hintedSendersMax) continue;
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

  /** The subject that an envelope was sent from; '': unknown. */
  #senderOf(envelope: Envelope): string {
    if (envelope.kind === 'reply' || !this.#isSound(envelope)) return '';
    if ('replyTo' in envelope && envelope.replyTo !== '') return envelope.replyTo;
    return 'from' in envelope && isAddress(envelope.from) ? this.subjectOf(envelope.from) : '';
  }

  #learn({ id, partitions }: LocationHint): void {
    const subject = this.#subjectFor(id);
    if (this.#handlers.has(subject) || !this.#placement.view.workers.some((worker) => worker.id === id)) return;
    for (const partition of partitions) {
      // A partition that this node has not used needs no hint.
      const inView = this.#subjectOf.get(partition) ?? '';
      if (inView === '' || this.#handlers.has(inView)) continue;
      if (inView === subject) this.#hints.delete(partition);
      else this.#hints.note(partition, subject);
    }
  }

  /** Whether the addresses and partners of an untrusted envelope are well formed and consistent. */
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

  /** Successive envelopes often have the same partner, so the last valid one is remembered. */
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
