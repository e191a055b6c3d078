/**
 * A mailbox: what waits for one entity's turns, first in first out.
 *
 * Owns the order only. The bounds (P12) are the worker's, since they are about all of its mailboxes too.
 */
import type { EffectOutcome } from '../core/behaviour.ts';
import type { MessageEnvelope, QueryEnvelope, StreamEnvelope } from './envelope.ts';

export type Item =
  | MessageEnvelope
  | QueryEnvelope
  | StreamEnvelope
  | { readonly kind: 'effect'; readonly id: string; readonly outcome: EffectOutcome<unknown> }
  /** Something of the entity's own is due: timers, holds, retransmission, housekeeping. */
  | { readonly kind: 'wake' };

/** Of all that are empty: never added to. */
const nothing: never[] = [];

export class Mailbox {
  #items: (Item | undefined)[] = nothing;
  #first = 0;

  get count(): number {
    return this.#items.length - this.#first;
  }

  push(item: Item): void {
    // A list that is made with one item has room for one, which is all that most ever hold.
    if (this.#items.length === 0) this.#items = [item];
    else this.#items.push(item);
  }

  /** Put back what was taken last: it could not be run yet. */
  unshift(item: Item): void {
    if (this.#first > 0) this.#items[--this.#first] = item;
    else this.#items = [item, ...this.#items];
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
    return item;
  }

  /** The first ones that wait, without taking them. */
  peek(count: number): readonly Item[] {
    return this.#items.slice(this.#first, this.#first + count) as Item[];
  }

  /** Everything that waits, in order; the mailbox is empty afterwards. */
  takeAll(): Item[] {
    const items = this.#items.slice(this.#first) as Item[];
    this.#items = nothing;
    this.#first = 0;
    return items;
  }
}
