/**
 * What is held for one entity beside its mailbox, and how much all of it is: messages ahead of their turn, messages that are
 * tried again, and a count of everything from its arrival until its answer has left.
 *
 * Owns the sizes. The bounds on them (P12) are the pump's, since they are about all entities of a worker too.
 *
 * Invariants:
 * - HD1 What is held is counted in messages and in bytes, wherever it is held.
 */
import type { PartnerId } from '../../core/message.ts';
import type { Asked, Envelope, MessageEnvelope } from '../wire/envelope.ts';
import { envelopeBytes, type Item, sizeOf } from './mailbox.ts';

/** What an answer takes in memory until it leaves, about. */
export function sizeOfOutput(envelope: Envelope): number {
  return envelope.kind === 'reply' ? envelopeBytes + envelope.bytes.length : envelopeBytes;
}

/** Of one partner, by number. */
class Gathered extends Map<number, MessageEnvelope> {
  /** Since when none of them came to its turn, ms of steady time; undefined: nobody has looked since one did. */
  since: number | undefined;
}

/** Messages of one entity that came before their turn, by partner and number. */
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

  /** In the place of one of the same number, if there is one. */
  hold(envelope: MessageEnvelope): void {
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

  /** What comes after number `through`, if it is held; what is below it goes. */
  takeNext(partner: PartnerId, through: number): MessageEnvelope | undefined {
    const held = this.#byPartner.get(partner);
    if (held === undefined) return undefined;
    const next = held.get(through + 1);
    held.since = undefined;
    if (next !== undefined) this.#remove(held, next);
    // Numbers that a floor has passed: mostly there are none, and then nothing is looked through.
    else for (const envelope of held.values()) if (envelope.arrival.seq <= through) this.#remove(held, envelope);
    if (held.size === 0) this.#byPartner.delete(partner);
    return next;
  }

  /**
   * A partner that went away leaves what it never completed: a busy entity would hold that until its dates (P10), which may be a month
   * away, and have no room for others. `since`: so long, in steady time, anybody would have sent again what is missing, and the rest with it.
   */
  dropLate(now: number, steady: number, since: number): void {
    for (const [partner, held] of this.#byPartner) {
      held.since ??= steady;
      const isStuck = held.since <= since;
      for (const envelope of held.values()) if (isStuck || envelope.arrival.expires < now) this.#remove(held, envelope);
      if (held.size === 0) this.#byPartner.delete(partner);
    }
  }

  /** Everything, each partner's in the order of its numbers' arrival; nothing is held afterwards. */
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

/** What is being tried again, and when. */
export interface Retry {
  attempts: number;
  at: number;
  readonly item: Item;
}

/** Of one entity, by its partner, or by what of its own it is about. */
export class Retries extends Map<string, Retry> {
  bytes = 0;
  /** Timers, ends of holds and outcomes of effects: nobody else sent them, so they take no room from what others send. */
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

/** How much of one entity, or of all, is held, as it was last counted. */
export class Held {
  /** In mailboxes. */
  waiting = 0;
  /** Messages, in mailboxes or beside them, or under way to the store. */
  messages = 0;
  queries = 0;
  /** Signals of streams. */
  signals = 0;
  /** Of all of them, and of what they are answered. */
  bytes = 0;
  /** Of those whose turns have been run and whose answers wait. */
  pendingBytes = 0;
  aheadCount = 0;
  aheadBytes = 0;
  /** What is answered by what waits for a proof of ownership alone. */
  provingMessages = 0;
  provingQueries = 0;
  provingSignals = 0;
  provingBytes = 0;

  get isProving(): boolean {
    return this.provingBytes > 0;
  }

  /** One more, or less, waits for a proof; it goes on to count as what it answers. */
  prove({ kind }: Asked, bytes: number, count: 1 | -1): void {
    if (kind === 'message') this.provingMessages += count;
    else if (kind === 'query') this.provingQueries += count;
    else this.provingSignals += count;
    this.provingBytes += count * bytes;
  }
}
