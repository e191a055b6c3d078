/**
 * A mailbox: the items that wait for one entity's turns, first in first out.
 *
 * Owns the order, and once many items wait, the index of their senders: a copy of a waiting call takes the place of its original.
 * The dispatcher owns the bounds (P12), because they also cover all mailboxes of a worker.
 *
 * Invariants:
 * - MX1 Once the index exists, one copy of a message waits: the first, with the dates of the last.
 */

import type { EffectOutcome } from '../../core/effect.ts';
import type { PartnerId } from '../../core/message.ts';
import type { MessageEnvelope, QueryEnvelope, StreamEnvelope } from '../wire/envelope.ts';

export type Item =
  | MessageEnvelope
  | QueryEnvelope
  | StreamEnvelope
  | { readonly kind: 'effect'; readonly id: string; readonly outcome: EffectOutcome<unknown> }
  /** Something of the entity's own is due: timers, holds, retransmission, housekeeping. `isDelayed`: a message to another entity. */
  | { readonly kind: 'wake'; readonly isDelayed?: true };

/** Whether its sender still waits. A stream envelope is useful at any age. */
export function isYoung(item: Item, now: number): boolean {
  if (item.kind === 'query') return now <= item.deadline;
  return item.kind !== 'message' || now <= item.arrival.expires;
}

/** Bytes of an envelope in memory beside its payload. */
export const envelopeBytes = 512;

/** Estimated size of an item in memory, bytes. */
export function sizeOf(item: Item): number {
  if (item.kind === 'effect' || item.kind === 'wake') return envelopeBytes;
  const bytes = envelopeBytes + (item.extension?.length ?? 0);
  if (item.kind === 'message') return bytes + item.content.payload.length;
  return item.kind === 'query' ? bytes + item.payload.length : bytes;
}

/** Shared by all empty mailboxes; never added to. */
const nothing: never[] = [];

/** Waiting messages by sender: one, or several by number. Most senders have one. */
type Register = Map<PartnerId, MessageEnvelope | Map<number, MessageEnvelope>>;

export class Mailbox {
  #items: (Item | undefined)[] = nothing;
  #first = 0;
  #register: Register | undefined;
  bytes = 0;
  /** Counts by kind. Other items are the entity's own, and have separate bounds. */
  messageCount = 0;
  queryCount = 0;
  signalCount = 0;

  get count(): number {
    return this.#items.length - this.#first;
  }

  push(item: Item): void {
    // A literal with one item allocates room for one, which is all that most mailboxes ever hold.
    if (this.#items.length === 0) this.#items = [item];
    else this.#items.push(item);
    this.#came(item);
    if (this.#register !== undefined && item.kind === 'message') note(this.#register, item);
  }

  /** Puts back the item taken last, because it could not be run yet. */
  unshift(item: Item): void {
    if (this.#first > 0) this.#items[--this.#first] = item;
    else this.#items = [item, ...this.#items];
    this.#came(item);
  }

  shift(): Item | undefined {
    const item = this.#items[this.#first];
    if (item === undefined) return undefined;
    this.#items[this.#first++] = undefined;
    if (this.#first === this.#items.length) {
      this.#items = nothing;
      this.#first = 0;
    } else if (this.#first > 1_024 && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    this.bytes -= sizeOf(item);
    this.#add(item, -1);
    return this.#register === undefined ? item : taken(this.#register, item);
  }

  /** The first waiting items, without removing them. */
  peek(count: number): readonly Item[] {
    return this.#items.slice(this.#first, this.#first + count) as Item[];
  }

  /** All waiting items, in order. The mailbox is empty afterwards. */
  takeAll(): Item[] {
    const register = this.#register;
    const items = this.#items.slice(this.#first) as Item[];
    this.#items = nothing;
    this.#first = 0;
    this.#register = undefined;
    this.bytes = 0;
    this.messageCount = 0;
    this.queryCount = 0;
    this.signalCount = 0;
    return register === undefined ? items : items.map((item) => taken(register, item));
  }

  /** Builds or drops the index of senders. It costs every message a little, and pays only if many wait. */
  registers(whether: boolean): void {
    if (whether === (this.#register !== undefined)) return;
    this.#register = whether ? new Map() : undefined;
    if (this.#register === undefined) return;
    for (const item of this.peek(this.count)) if (item.kind === 'message') note(this.#register, item);
  }

  /**
   * If a copy of this message waits, the copy gets the later floor and dates, and keeps its content, which has been counted. So a
   * sender gains nothing by other content under the same number. Returns false if no copy is known.
   */
  renew(envelope: MessageEnvelope): boolean {
    const known = this.#register === undefined ? undefined : found(this.#register, envelope);
    if (this.#register === undefined || known === undefined) return false;
    note(this.#register, { ...known, arrival: envelope.arrival });
    return true;
  }

  #came(item: Item): void {
    this.bytes += sizeOf(item);
    this.#add(item, 1);
  }

  #add({ kind }: Item, count: 1 | -1): void {
    if (kind === 'message') this.messageCount += count;
    else if (kind === 'query') this.queryCount += count;
    else if (kind !== 'wake' && kind !== 'effect') this.signalCount += count;
  }
}

function note(register: Register, envelope: MessageEnvelope): void {
  const { from, arrival } = envelope;
  const known = register.get(from);
  if (known instanceof Map) known.set(arrival.seq, envelope);
  else if (known === undefined || known.arrival.seq === arrival.seq) register.set(from, envelope);
  else
    register.set(
      from,
      new Map([
        [known.arrival.seq, known],
        [arrival.seq, envelope],
      ]),
    );
}

/** The waiting item that is the same message of the same call. */
function found(register: Register, envelope: MessageEnvelope): MessageEnvelope | undefined {
  const { from, arrival } = envelope;
  const known = register.get(from);
  const other = known instanceof Map ? known.get(arrival.seq) : known;
  const isCopy =
    other !== undefined &&
    other.arrival.seq === arrival.seq &&
    other.arrival.session === arrival.session &&
    other.call === envelope.call &&
    other.replyTo === envelope.replyTo &&
    other.identity === envelope.identity;
  return isCopy ? other : undefined;
}

/** An item as it is to be run: with the dates of its last copy. */
function taken(register: Register, item: Item): Item {
  if (item.kind !== 'message') return item;
  const last = found(register, item);
  if (last === undefined) return item;
  const known = register.get(item.from);
  if (!(known instanceof Map)) register.delete(item.from);
  else {
    known.delete(item.arrival.seq);
    if (known.size === 0) register.delete(item.from);
  }
  return last;
}
