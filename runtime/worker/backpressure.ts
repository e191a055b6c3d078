/**
 * Crowds: the partners whose messages found no room at an entity, until they are told that there is some.
 *
 * A message of an entity that finds no room is dropped, and its sender comes again after pauses that grow to half a minute: of
 * a hundred thousand that write at once nearly all would wait that long for an entity that idles meanwhile.
 *
 * Invariants:
 * - CR1 Who was turned away is told so, and again when there is room, in that order, and no more at a time than there is room for.
 * - CR2 So many of a worker are remembered, at most; the others come again by themselves (P12).
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
  /** For how many more messages of an entity there is room. */
  readonly roomFor: (activation: Activation) => number;
}

interface Crowd {
  readonly partners: Set<PartnerId>;
  /** Messages that were asked for and have not come, and when that was last done, ms. */
  asked: number;
  askedAt: number;
}

/** Part of a mailbox that must be free before further ones are told: each time many of them, not each time one. */
const roomShare = 1 / 4;
/** What was asked for and has come neither into the mailbox nor to its door after this is lost, ms. */
const patienceMs = 5_000;
/** Room is looked for this often also where no turn is run, ms. */
const lookMs = 100;

export class Backpressure {
  readonly #parts: BackpressureParts;
  readonly #crowds = new Map<Activation, Crowd>();
  #count = 0;
  #cancelLook: (() => void) | undefined;

  constructor(parts: BackpressureParts) {
    this.#parts = parts;
  }

  get isEmpty(): boolean {
    return this.#crowds.size === 0;
  }

  /** A message of this partner found no room. */
  turnedAway(activation: Activation, partner: PartnerId): void {
    if (this.#crowds.size === 0) this.#lookSoon();
    let crowd = this.#crowds.get(activation);
    if (crowd !== undefined && crowd.asked > 0) crowd.asked -= 1;
    if (crowd?.partners.has(partner) === true || this.#count >= this.#parts.limits.turnedAwayCountMax) return;
    if (crowd === undefined) {
      crowd = { partners: new Set(), asked: 0, askedAt: 0 };
      this.#crowds.set(activation, crowd);
    }
    crowd.partners.add(partner);
    this.#count += 1;
    this.#parts.post({ kind: 'room', to: partner, from: activation.address, session: 0, number: 0 });
  }

  /** A message of an entity was taken in. */
  came(activation: Activation): void {
    const crowd = this.#crowds.get(activation);
    if (crowd !== undefined && crowd.asked > 0) crowd.asked -= 1;
  }

  /** Some have been answered: tell as many partners as there is room for (CR1). */
  tell(activation: Activation): void {
    const crowd = this.#crowds.get(activation);
    if (crowd === undefined) return;
    const { environment, limits, post, roomFor } = this.#parts;
    const now = environment.steady();
    if (now - crowd.askedAt >= patienceMs) crowd.asked = 0;
    let room = roomFor(activation) - crowd.asked;
    const { partners } = crowd;
    const most = Math.min(limits.mailboxCountMax, limits.workerQueueCountMax);
    if (room < Math.min(partners.size, Math.ceil(most * roomShare)) || room <= 0) return;
    for (const partner of partners) {
      if (room-- <= 0) break;
      partners.delete(partner);
      this.#count -= 1;
      crowd.asked += 1;
      crowd.askedAt = now;
      // For one: whoever has more sends twice as many with each that is acknowledged.
      post({ kind: 'room', to: partner, from: activation.address, session: 0, number: 1 });
    }
    if (partners.size === 0) this.#crowds.delete(activation);
  }

  /** What was told may be lost, and the worker may have room again where it had none for anybody. */
  #lookSoon(): void {
    this.#cancelLook?.();
    this.#cancelLook = this.#parts.environment.after(lookMs, () => {
      for (const activation of [...this.#crowds.keys()]) this.tell(activation);
      if (this.#crowds.size > 0) this.#lookSoon();
    });
  }

  close(): void {
    this.#cancelLook?.();
    this.#crowds.clear();
  }

  /** The entity leaves memory: its partners come again by themselves. */
  forget(activation: Activation): void {
    this.#count -= this.#crowds.get(activation)?.partners.size ?? 0;
    this.#crowds.delete(activation);
  }
}
