/**
 * A batch: the output of an entity's turns that becomes durable together; and the transmission state of its streams.
 *
 * Owns the gathered output. Nothing of it has left the worker (V1); `worker/release.ts` distributes it when it is durable.
 */
import type { Activity, Outbound } from '../../core/activity.ts';
import type { PendingEffect } from '../../core/record.ts';
import type { Asked, Envelope, MessageEnvelope, QueryEnvelope } from '../wire/envelope.ts';
import { sizeOfOutput } from './held.ts';
import { sizeOf } from './mailbox.ts';

const nothing: readonly never[] = [];

/** Appends to a list owned by the batch. Most lists get one element, and a literal allocates room for no more. */
export function added<Item>(list: readonly Item[], item: Item): readonly Item[] {
  if (list.length === 0) return [item];
  (list as Item[]).push(item);
  return list;
}

/** The output of turns that becomes durable together. */
export class Batch {
  /** The requests of its turns. They are tried again if the batch does not become durable. */
  requests: readonly (MessageEnvelope | QueryEnvelope)[] = nothing;
  /** The requests that are messages. */
  turnCount = 0;
  envelopes: readonly Envelope[] = nothing;
  /** Output made while this batch was in flight. It needs a newer proof of ownership (O2). */
  unproven: Unproven[] | undefined;
  /** Activities whose outbox grew or is closing, and the part that this batch makes durable. */
  sent: Map<Activity, Sent> | undefined;
  effects: PendingEffect[] | undefined;
  /** Messages that moved from an outbox to the dead letters that this batch makes durable. */
  buried: Buried[] | undefined;
  /** Since when it waits for a group commit, ms of the monotonic clock. */
  since = 0;
  /** Bytes of the requests and their answers. */
  bytes = 0;
  /** Requests that its output answers, by kind (HD1). */
  messageCount = 0;
  queryCount = 0;
  signalCount = 0;
  /** Of a volatile type: it leaves only when the store has it, like batches of other types (V3). */
  isHeld = false;

  addRequest(request: MessageEnvelope | QueryEnvelope): void {
    this.requests = added(this.requests, request);
    this.bytes += sizeOf(request);
    if (request.kind === 'message') this.turnCount += 1;
  }

  /** Whether this carries the original of a message. A linear search: copies are rare, and the list is bounded. */
  hasRequest({ from, arrival, replyTo, call }: MessageEnvelope): boolean {
    return this.requests.some(
      (one) =>
        one.kind === 'message' &&
        one.from === from &&
        one.arrival.seq === arrival.seq &&
        one.arrival.session === arrival.session &&
        one.replyTo === replyTo &&
        one.call === call,
    );
  }

  addEnvelope(envelope: Envelope): void {
    this.envelopes = added(this.envelopes, envelope);
    this.bytes += sizeOfOutput(envelope);
  }

  /** An item counts until its answer has left, even if nothing is run for it: a copy, a probe, a late message (P12). */
  addAnswer(envelope: Envelope, asked: Asked): void {
    this.addEnvelope(envelope);
    this.#count(asked);
  }

  #count({ kind }: Asked): void {
    if (kind === 'message') this.messageCount += 1;
    else if (kind === 'query') this.queryCount += 1;
    else this.signalCount += 1;
  }

  /**
   * For an `interval` type: moves output that must wait for the store into a batch of its own; the rest stays here. After a close
   * the partner forgets what it has processed, while the store may still have it in the outbox (CL1).
   */
  takeClosing(): Batch | undefined {
    let closing: Batch | undefined;
    for (const [activity, sent] of this.sent ?? []) {
      if (!sent.isClosing) continue;
      closing ??= new Batch();
      closing.sent ??= new Map();
      closing.sent.set(activity, sent);
      this.sent?.delete(activity);
    }
    return closing;
  }

  addUnproven(unproven: Unproven): void {
    this.unproven ??= [];
    this.unproven.push(unproven);
    this.bytes += sizeOfOutput(unproven.envelope);
    this.#count(unproven.asked);
  }

  addBuried(buried: Buried): void {
    this.buried ??= [];
    this.buried.push(buried);
  }

  /** The activity's outbox becomes durable as it is now. By then it may be another stream (Q1). */
  addSent(activity: Activity): void {
    const { outbound } = activity;
    if (outbound === undefined) return;
    this.sent ??= new Map();
    this.sent.set(activity, sentOf(outbound));
  }
}

/** An envelope that leaves only when the store has confirmed that this worker is the owner. */
export interface Unproven {
  readonly envelope: Envelope;
  readonly asked: Asked;
}

/** One stream as a batch makes it durable. */
export interface Sent {
  readonly stream: Outbound;
  /** Messages up to this number. */
  readonly through: number;
  readonly isClosing: boolean;
}

/** A stream as it is now. */
export function sentOf(stream: Outbound): Sent {
  const { next, isClosing } = stream;
  return { stream, through: next - 1, isClosing };
}

/** A message that became a dead letter, and the stream whose floor waits for that. */
export interface Buried {
  readonly activity: Activity;
  readonly flight: Flight;
  readonly seq: number;
}

/** The transmission state of one stream. It is not durable; a new owner starts anew. */
export interface Flight {
  readonly stream: Outbound;
  /** Messages up to this number are durable and may be sent. */
  durable: number;
  /** Numbers whose dead letters are not durable yet. Until then the floor stays at the lowest of them (Q3). */
  buried: number[];
  /** Its closing is durable and may be sent. */
  isClosing: boolean;
  transmitted: number;
  /** The window: most messages in flight. It shrinks when messages are lost, and grows again. */
  window: number;
  attempts: number;
  /** When to send again, ms; 0: nothing to send. */
  retryAt: number;
}
