/**
 * Backpressure: remembers the partners whose messages found no room at an entity, and tells them when there is room.
 *
 * A message of an entity that finds no room is dropped, and its sender retries after pauses that grow to half a minute. Of a hundred
 * thousand senders at once nearly all would wait that long for an entity that is idle meanwhile.
 *
 * Invariants:
 * - CR1 A sender that was turned away is told so, and told again when there is room; in order, and never more senders than there is
 *   room for.
 * - CR2 A worker remembers a bounded number of senders; the others retry by themselves (P12).
 */
import type { Limits } from '../../core/limits.ts';
import type { PartnerId } from '../../core/message.ts';
import type { Activation } from '../entity/activation.ts';
import type { Environment } from '../environment.ts';
import type { Envelope } from '../wire/envelope.ts';

export interface BackpressureParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly post: (envelope: Envelope) => void;
  /** For how many more messages an entity has room. */
  readonly roomFor: (activation: Activation) => number;
}

interface Waiting {
  readonly partners: Set<PartnerId>;
  /** Messages invited that have not arrived, and when the last was invited, ms. */
  invited: number;
  invitedAt: number;
}

/** Part of a mailbox that must be free before further senders are told, so that many are told at a time. */
const roomShare = 1 / 4;
/** An invited message that has not arrived after this is lost, ms. */
const patienceMs = 5_000;
/** Interval at which room is checked when no turn runs, ms. */
const lookMs = 100;

export class Backpressure {
  readonly #parts: BackpressureParts;
  readonly #waiting = new Map<Activation, Waiting>();
  #count = 0;
  #cancelLook: (() => void) | undefined;

  constructor(parts: BackpressureParts) {
    this.#parts = parts;
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** A message of this partner found no room. */
  turnedAway(activation: Activation, partner: PartnerId): void {
    if (this.#waiting.size === 0) this.#lookSoon();
    let waiting = this.#waiting.get(activation);
    if (waiting !== undefined && waiting.invited > 0) waiting.invited -= 1;
    if (waiting?.partners.has(partner) === true || this.#count >= this.#parts.limits.turnedAwayCountMax) return;
    if (waiting === undefined) {
      waiting = { partners: new Set(), invited: 0, invitedAt: 0 };
      this.#waiting.set(activation, waiting);
    }
    waiting.partners.add(partner);
    this.#count += 1;
    this.#parts.post({ kind: 'room', to: partner, from: activation.address, session: 0, number: 0 });
  }

  /** A message of an entity was accepted. */
  came(activation: Activation): void {
    const waiting = this.#waiting.get(activation);
    if (waiting !== undefined && waiting.invited > 0) waiting.invited -= 1;
  }

  /** Messages have been answered: tells as many partners as there is room for (CR1). */
  tell(activation: Activation): void {
    const waiting = this.#waiting.get(activation);
    if (waiting === undefined) return;
    const { environment, limits, post, roomFor } = this.#parts;
    const now = environment.steady();
    if (now - waiting.invitedAt >= patienceMs) waiting.invited = 0;
    let room = roomFor(activation) - waiting.invited;
    const { partners } = waiting;
    const most = Math.min(limits.mailboxCountMax, limits.workerQueueCountMax);
    if (room < Math.min(partners.size, Math.ceil(most * roomShare)) || room <= 0) return;
    for (const partner of partners) {
      if (room-- <= 0) break;
      partners.delete(partner);
      this.#count -= 1;
      waiting.invited += 1;
      waiting.invitedAt = now;
      // Room for one: a sender with more messages doubles its window with each acknowledgement.
      post({ kind: 'room', to: partner, from: activation.address, session: 0, number: 1 });
    }
    if (partners.size === 0) this.#waiting.delete(activation);
  }

  /** The notices may be lost, and a worker that was full for everybody may have room again. */
  #lookSoon(): void {
    this.#cancelLook?.();
    this.#cancelLook = this.#parts.environment.after(lookMs, () => {
      for (const activation of [...this.#waiting.keys()]) this.tell(activation);
      if (this.#waiting.size > 0) this.#lookSoon();
    });
  }

  close(): void {
    this.#cancelLook?.();
    this.#waiting.clear();
  }

  /** The entity leaves memory. Its partners retry by themselves. */
  forget(activation: Activation): void {
    this.#count -= this.#waiting.get(activation)?.partners.size ?? 0;
    this.#waiting.delete(activation);
  }
}
