/**
 * Held items of one entity beside its mailbox: messages that arrived out of order, and messages that are tried again; and the count
 * of all its items, from arrival until the answer has left.
 *
 * Owns the sizes. The dispatcher owns the bounds (P12), because they also cover all entities of a worker.
 *
 * Invariants:
 * - HD1 Everything held is counted in messages and in bytes, wherever it is held.
 */
import type { PartnerId } from '../../core/message.ts';
import type { Asked, Envelope, MessageEnvelope } from '../wire/envelope.ts';
import { behindIn } from '../wire/extension.ts';
import { envelopeBytes, type Item, sizeOf } from './mailbox.ts';

/** Estimated size of an answer in memory until it leaves, bytes. */
export function sizeOfOutput(envelope: Envelope): number {
  return envelope.kind === 'reply' ? envelopeBytes + envelope.bytes.length : envelopeBytes;
}

/** Messages of one partner, by number. */
class Gathered extends Map<number, MessageEnvelope> {
  /** Since when none of them became next, monotonic time, ms; undefined: not checked since one did. */
  since: number | undefined;
}

/** Messages of one entity that arrived out of order, by partner and number. */
export class Ahead {
  readonly #byPartner = new Map<PartnerId, Gathered>();
  count = 0;
  bytes = 0;

  has(partner: PartnerId): boolean {
    return this.#byPartner.has(partner);
  }

  countOf(partner: PartnerId): number {
    return this.#byPartner.get(partner)?.size ?? 0;
  }

  get({ from, arrival }: MessageEnvelope): MessageEnvelope | undefined {
    return this.#byPartner.get(from)?.get(arrival.seq);
  }

  /** Replaces one with the same number, if there is one. */
  put(envelope: MessageEnvelope): void {
    const { from, arrival } = envelope;
    let held = this.#byPartner.get(from);
    if (held === undefined) {
      held = new Gathered();
      this.#byPartner.set(from, held);
    }
    const before = held.get(arrival.seq);
    if (before === undefined) this.count += 1;
    else this.bytes -= sizeOf(before);
    held.set(arrival.seq, envelope);
    this.bytes += sizeOf(envelope);
  }

  /** The message that is next after number `through`, if it is buffered. Those up to `through` are dropped. */
  takeNext(partner: PartnerId, through: number): MessageEnvelope | undefined {
    const held = this.#byPartner.get(partner);
    if (held === undefined) return undefined;
    const next = held.get(through + 1) ?? reached(held, through);
    held.since = undefined;
    if (next !== undefined) this.#remove(held, next);
    // Numbers that a floor has passed. Usually there are none, and nothing is searched.
    else for (const envelope of held.values()) if (envelope.arrival.seq <= through) this.#remove(held, envelope);
    if (held.size === 0) this.#byPartner.delete(partner);
    return next;
  }

  /**
   * A partner that went away may leave an incomplete sequence. A busy entity would buffer it until its dates (P10), up to a month, and
   * have no room for others. `since`: monotonic time by which any sender would have sent the missing message, and the rest, again.
   */
  dropLate(now: number, steady: number, since: number): void {
    for (const [partner, held] of this.#byPartner) {
      held.since ??= steady;
      const isStuck = held.since <= since;
      for (const envelope of held.values()) if (isStuck || envelope.arrival.expires < now) this.#remove(held, envelope);
      if (held.size === 0) this.#byPartner.delete(partner);
    }
  }

  /** All messages, each partner's in the order of arrival. Nothing is buffered afterwards. */
  takeAll(): MessageEnvelope[] {
    const all = [...this.#byPartner.values()].flatMap((held) => [...held.values()]);
    this.#byPartner.clear();
    this.count = 0;
    this.bytes = 0;
    return all;
  }

  #remove(held: Gathered, envelope: MessageEnvelope): void {
    held.delete(envelope.arrival.seq);
    this.count -= 1;
    this.bytes -= sizeOf(envelope);
  }
}

/** The first message behind numbers that are given up, up to which everything was processed. Usually none says so. */
function reached(held: Gathered, through: number): MessageEnvelope | undefined {
  let first: MessageEnvelope | undefined;
  for (const envelope of held.values()) {
    const { seq } = envelope.arrival;
    if (envelope.extension === undefined || seq <= through || seq > (first?.arrival.seq ?? seq)) continue;
    if ((behindIn(envelope.extension) ?? seq) <= through) first = envelope;
  }
  return first;
}

/** An item that is tried again, and when. */
export interface Retry {
  attempts: number;
  at: number;
  readonly item: Item;
}

/** Items of one entity to try again, by partner, or by the key of its own requests. */
export class Retries extends Map<string, Retry> {
  bytes = 0;
  /** Timers, ends of holds and outcomes of effects: no sender is waiting, so they take no room from messages. */
  ownCount = 0;

  override set(key: string, retry: Retry): this {
    this.delete(key);
    this.bytes += sizeOf(retry.item);
    if (retry.item.kind !== 'message') this.ownCount += 1;
    return super.set(key, retry);
  }

  override delete(key: string): boolean {
    const known = this.get(key);
    if (known !== undefined) this.bytes -= sizeOf(known.item);
    if (known !== undefined && known.item.kind !== 'message') this.ownCount -= 1;
    return super.delete(key);
  }
}

/** The last count of what is held for one entity, or for all. */
export class Held {
  /** In mailboxes. */
  waiting = 0;
  /** Messages in mailboxes, beside them, or in flight to the store. */
  messages = 0;
  queries = 0;
  /** Stream envelopes. */
  signals = 0;
  /** Bytes of all of them, and of their answers. */
  bytes = 0;
  /** Bytes of requests whose turns have run and whose answers wait. */
  pendingBytes = 0;
  aheadCount = 0;
  aheadBytes = 0;
  /** Requests whose answers wait only for a proof of ownership. */
  provingMessages = 0;
  provingQueries = 0;
  provingSignals = 0;
  provingBytes = 0;

  get isProving(): boolean {
    return this.provingBytes > 0;
  }

  /** One more, or one less, waits for a proof. It still counts as what it answers. */
  prove({ kind }: Asked, bytes: number, count: 1 | -1): void {
    if (kind === 'message') this.provingMessages += count;
    else if (kind === 'query') this.provingQueries += count;
    else this.provingSignals += count;
    this.provingBytes += count * bytes;
  }
}
