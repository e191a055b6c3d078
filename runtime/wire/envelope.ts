/**
 * Envelopes: the messages between workers and clients. `codec.ts` encodes them in frames.
 *
 * An envelope is an immutable plain value. Within one process it is passed on without a copy, because its payload is already
 * encoded (P11).
 */
import type { Arrival, Content } from '../../core/activity.ts';
import type { Address, PartnerId } from '../../core/message.ts';
import type { Extension } from './extension.ts';

interface Extensible {
  /** Further data beside the columns; undefined: none. */
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

/** A query. It changes nothing, so it needs neither stream nor number and may run any number of times. */
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

/**
 * A reply to a client. `answer`: the bytes are an encoded answer, which the entity keeps. `not-loaded`, `not-run`: the bytes
 * have the same form, but nothing was done or kept. Any other status: nothing was done, and the bytes say why.
 */
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
    /** The call arrived after its deadline by the worker's clock. The bytes are the time of that clock. */
    | 'expired'
    /** The turn ran, but its answer does not fit into a frame. */
    | 'unsent';
  readonly bytes: Uint8Array;
}

/**
 * Control of a stream, between its two ends. The meaning of `number`, by kind:
 *
 * - `ack`: the highest number processed.
 * - `probe`: the number asked about.
 * - `probed`: the highest number processed, or the number asked about, negated, if it was not processed.
 * - `stale`: the session that the receiver knows.
 * - `room`: the number of messages that the receiver has room for. 0: none now; another `room` follows when there is.
 * - `close`, `closed`: not used.
 */
export interface StreamEnvelope extends Extensible {
  readonly kind: 'ack' | 'close' | 'closed' | 'stale' | 'probe' | 'probed' | 'room';
  readonly to: PartnerId;
  readonly from: PartnerId;
  readonly session: number;
  readonly number: number;
}

/** Envelopes that get a reply or a stream envelope in return. */
export type Asked = MessageEnvelope | QueryEnvelope | StreamEnvelope;

export type Envelope = MessageEnvelope | QueryEnvelope | ReplyEnvelope | StreamEnvelope;
