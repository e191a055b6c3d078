/**
 * What travels between workers and clients, one at a time; frames of them are `codec.ts`.
 *
 * An envelope is a plain value that nobody changes after it was made: within one process it is handed over as it is,
 * payloads being encoded bytes already (P11).
 */
import type { Arrival, Content } from '../../core/activity.ts';
import type { Address, PartnerId } from '../../core/message.ts';
import type { Extension } from './extension.ts';

interface Extensible {
  /** What it says beside its columns; undefined: nothing. */
  readonly extension?: Extension | undefined;
}

/** A message of a stream: from an entity, a client or an idempotency key, to an entity. */
export interface MessageEnvelope extends Extensible {
  readonly kind: 'message';
  readonly to: Address;
  readonly from: PartnerId;
  /** Subject of the client that waits for the answer, and its number for the call; '' and 0 for entities. */
  readonly replyTo: string;
  readonly call: number;
  /** The caller's verified identity; '' for none. */
  readonly identity: string;
  readonly arrival: Arrival;
  readonly content: Content;
}

/** A question: no stream, no identity; it changes nothing, so it may run any number of times. */
export interface QueryEnvelope extends Extensible {
  readonly kind: 'query';
  readonly to: Address;
  readonly replyTo: string;
  readonly call: number;
  readonly identity: string;
  readonly operation: string;
  readonly payload: Uint8Array;
  readonly deadline: number;
}

/** To a client. `answer`: its bytes are an encoded answer, which is kept. `not-loaded`, `not-run`: a row of the same form,
 * but nothing was done or kept. Else a code: nothing was done, and why. */
export interface ReplyEnvelope extends Extensible {
  readonly kind: 'reply';
  readonly to: string;
  readonly call: number;
  readonly status:
    | 'answer'
    | 'overloaded'
    | 'store-failed'
    | 'unknown-type'
    | 'denied'
    | 'moved'
    | 'not-loaded'
    | 'not-run'
    /** It came after its deadline by the worker's clock, which the bytes tell. */
    | 'expired'
    /** There is an answer, and it does not fit into a frame. */
    | 'unsent';
  readonly bytes: Uint8Array;
}

/**
 * Between the two ends of a stream. `number` is: the highest number processed (ack, probed), or the number asked about,
 * negative, if it was not processed (probed), the session that is known (stale), the number asked about (probe), for how many
 * messages there is room, 0 if there is none and it will be told when there is (room), unused (close, closed).
 */
export interface StreamEnvelope extends Extensible {
  readonly kind: 'ack' | 'close' | 'closed' | 'stale' | 'probe' | 'probed' | 'room';
  readonly to: PartnerId;
  readonly from: PartnerId;
  readonly session: number;
  readonly number: number;
}

/** What an envelope may answer. */
export type Asked = MessageEnvelope | QueryEnvelope | StreamEnvelope;

export type Envelope = MessageEnvelope | QueryEnvelope | ReplyEnvelope | StreamEnvelope;
