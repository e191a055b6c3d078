/**
 * The intake: the way into a worker. An item that arrives, is due or is tried again goes into the mailbox of its entity, or is
 * forwarded or turned away.
 *
 *     arrived ─▶ authorised? ─▶ may it run here? ─▶ entity in memory, or activated ─▶ room in its mailbox? ─▶ its turn
 *                    └ denied       └ forwarded          └ no such type                   └ overloaded
 *     due, tried again ─────────────▲
 *
 * No turn runs inside of it.
 *
 * Invariants:
 * - W1 An item for a partition that this worker does not own is not run.
 */
import type { EffectOutcome } from '../../core/effect.ts';
import { type Address, typeOf } from '../../core/message.ts';
import type { Item } from '../entity/mailbox.ts';
import type { WaitingCalls } from '../entity/waiting.ts';
import type { Counter, Counters } from '../meter.ts';
import type { Partition } from '../store.ts';
import type { Envelope } from '../wire/envelope.ts';
import type { Activations } from './activations.ts';
import type { Authorise } from './authorise.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Forwarded } from './handoff.ts';
import type { Hosting } from './hosting.ts';
import type { Refusals } from './refusals.ts';
import type { Life } from './shutdown.ts';

export interface IntakeParts {
  readonly life: Life;
  readonly refusals: Refusals;
  readonly counters: Counters;
  readonly authorise?: Authorise | undefined;
  /** Called for an envelope whose partition this worker does not own. Without it the envelope is dropped (W1). */
  readonly astray?: ((envelope: Forwarded, partition: Partition, hops: number) => void) | undefined;
  /** Whether another worker hosts a type that this one does not: two versions of an application run side by side. */
  readonly isElsewhere?: ((type: string) => boolean) | undefined;
}

/** Where it goes from here. */
interface Inside {
  readonly hosting: Hosting;
  readonly activations: Activations;
  readonly dispatcher: Dispatcher;
  readonly waiting: WaitingCalls;
}

export class Intake {
  readonly #parts: IntakeParts;
  #inside: Inside | undefined;
  readonly #overloaded: Counter;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
    this.#overloaded = parts.counters.of('overloaded');
  }

  connect(inside: Inside): void {
    this.#inside = inside;
  }

  /** Accepts an envelope. */
  receive(envelope: Envelope, hops = 0): void {
    const { life, refusals, authorise } = this.#parts;
    if (life.isStopped || envelope.kind === 'reply') return;
    const isCall = envelope.kind === 'message' || envelope.kind === 'query';
    if (isCall && refusals.denies(envelope, authorise)) return;
    if (isCall && life.isDraining) return;
    this.deliver(envelope.to, envelope, { hops, isNew: true });
  }

  /** Passes an item to its entity, wherever that is now. `isNew`: it was not accepted before. */
  deliver(address: Address, item: Item, { hops, isNew } = { hops: 0, isNew: false }): void {
    const { life, refusals, isElsewhere } = this.#parts;
    if (life.isStopped || this.#inside === undefined) return;
    const { hosting, activations, dispatcher, waiting } = this.#inside;
    const partition = hosting.partitionOf(address);
    if (!hosting.mayRun(address, partition)) {
      if (item.kind !== 'wake' && item.kind !== 'effect') this.sendOn(item, partition, hops);
      return;
    }
    if (item.kind === 'message' && waiting.count > 0 && activations.get(address) === undefined && waiting.isKnown(item))
      return;
    const activation = activations.activate(address, partition);
    if (activation === undefined) {
      const type = typeOf(address);
      const status = isElsewhere?.(type) === true ? 'moved' : 'unknown-type';
      if (item.kind === 'message' || item.kind === 'query') refusals.reply(item, status, type);
      return;
    }
    if (dispatcher.offer(activation, item, isNew) !== 'full') return;
    this.#overloaded.add();
    if (item.kind === 'message' || item.kind === 'query') refusals.reply(item, 'overloaded');
  }

  /** If it may have been committed here, no other worker may say that nothing was done. Its sender retries (C2). */
  sendOn(envelope: Forwarded, partition: Partition, hops = 0): void {
    if (!this.#parts.refusals.isDoubtful(envelope)) this.#parts.astray?.(envelope, partition, hops);
  }

  /** A date of an entity is due. */
  readonly wake = (address: Address): void => {
    // The store has the date too. Timers that set themselves again would keep a worker from ever draining.
    if (!this.#parts.life.isDraining) this.deliver(address, { kind: 'wake' });
  };

  /** An effect of an entity has settled. */
  readonly settled = (address: Address, id: string, outcome: EffectOutcome<unknown>): void =>
    this.deliver(address, { kind: 'effect', id, outcome });
}
