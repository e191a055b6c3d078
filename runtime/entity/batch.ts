/**
 * A batch: the outputs of an entity's turns that become durable together, and where the transmission of a stream stands.
 *
 * Owns what is gathered. Nothing of it has left (V1); who hears of it afterwards is `worker/release.ts`.
 */
import type { Activity, Outbound } from '../../core/activity.ts';
import type { PendingEffect } from '../../core/record.ts';
import type { Asked, Envelope, MessageEnvelope, QueryEnvelope } from '../wire/envelope.ts';
import { sizeOfOutput } from './held.ts';
import { sizeOf } from './mailbox.ts';

const nothing: readonly never[] = [];

/** To a list that nobody else has. Most get one only, and one that is made with it has room for no more. */
export function added<Item>(list: readonly Item[], item: Item): readonly Item[] {
  if (list.length === 0) return [item];
  (list as Item[]).push(item);
  return list;
}

/** The outputs of turns that become durable together. */
export class Batch {
  /** What asked for the turns: tried again if they do not become durable. */
  requests: readonly (MessageEnvelope | QueryEnvelope)[] = nothing;
  /** Those that are messages. */
  turnCount = 0;
  envelopes: readonly Envelope[] = nothing;
  /** What was decided while this was under way to the store: it needs a proof of ownership that is newer (O2). */
  unproven: Unproven[] | undefined;
  /** Activities whose outbox grew or closes, and what of it this batch makes durable. */
  sent: Map<Activity, Sent> | undefined;
  effects: PendingEffect[] | undefined;
  /** Messages that left an outbox for the dead letters which this makes durable. */
  buried: Buried[] | undefined;
  /** Since when it waits for a group to take it, ms of the steady clock. */
  since = 0;
  /** Of the requests and what they are answered. */
  bytes = 0;
  /** What its outputs answer, by kind (HD1). */
  messageCount = 0;
  queryCount = 0;
  signalCount = 0;
  /** Of a volatile type: it leaves only once the store has it, like those of the others (V3). */
  isHeld = false;

  addRequest(request: MessageEnvelope | QueryEnvelope): void {
    this.requests = added(this.requests, request);
    this.bytes += sizeOf(request);
    if (request.kind === 'message') this.turnCount += 1;
  }

  /** Whether this carries the message's original. Looked for one by one: a copy is rare, and the list is bounded. */
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

  /** What came counts until its answer has left, also where nothing is run for it: a copy, a probe, what is late (P12). */
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
   * Of an `interval` type: what may not leave before the store has what was decided, as a batch of its own; all else stays here.
   * From a close on its partner forgets what it processed, and the store may still have that in the outbox (CL1).
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

  /** The activity's outbox becomes durable as it is now; by then it may be another stream (Q1). */
  addSent(activity: Activity): void {
    const { outbound } = activity;
    if (outbound === undefined) return;
    this.sent ??= new Map();
    this.sent.set(activity, sentOf(outbound));
  }
}

/** An envelope that leaves only once the store has said that this worker is the owner. */
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

/** Where one stream's transmission stands; nothing of it is durable, a new owner starts over. */
export interface Flight {
  readonly stream: Outbound;
  /** Messages up to this number are durable and may be sent. */
  durable: number;
  /** Numbers that became dead letters which are not durable: until then the floor stays at the lowest of them (Q3). */
  buried: number[];
  /** Its closing is durable and may be told. */
  isClosing: boolean;
  transmitted: number;
  /** Messages that may be on their way at once: fewer once some did not get through, and then again more. */
  window: number;
  attempts: number;
  /** When to send again, ms; 0: nothing to send. */
  retryAt: number;
}
