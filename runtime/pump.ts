/**
 * The pump: gives every entity with something in its mailbox its turns, a few at a time.
 *
 * Owns the list of those that have, and the bounds on what waits (P12). What running an item means is the caller's.
 *
 * Invariants:
 * - W2 A mailbox, and all mailboxes together, are bounded: what does not fit is not taken (P12).
 */
import type { Limits } from '../core/limits.ts';
import type { Activation } from './activation.ts';
import type { Environment } from './environment.ts';
import type { Item } from './mailbox.ts';

/** Turns that one entity runs before others get theirs. */
const turnsInARow = 64;
/** Turns before waiting input and timers get their chance: as many as a group of commits has room for. */
const turnsAtOnce = 2_048;

export interface PumpParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly run: (activation: Activation, item: Item) => void;
  /** Some turns have been run, and input gets its chance: what they decided may go to the store meanwhile. */
  readonly paused: () => void;
}

export class Pump {
  readonly #environment: Environment;
  readonly #limits: Limits;
  readonly #run: (activation: Activation, item: Item) => void;
  readonly #paused: () => void;
  #list: Activation[] = [];
  #isPumping = false;
  #isStopped = false;
  #running: Activation | undefined;
  /** What waits in all mailboxes. */
  waitingCount = 0;

  constructor(parts: PumpParts) {
    this.#environment = parts.environment;
    this.#limits = parts.limits;
    this.#run = parts.run;
    this.#paused = parts.paused;
  }

  /** Put an item into a mailbox; false: it is a call, and there is no room (W2). */
  offer(activation: Activation, item: Item): boolean {
    const isBounded = item.kind === 'message' || item.kind === 'query';
    const { mailboxCountMax, workerQueueCountMax } = this.#limits;
    if (isBounded && (activation.waitingCount >= mailboxCountMax || this.waitingCount >= workerQueueCountMax))
      return false;
    activation.mailbox.push(item);
    // What an entity's turn brings itself is counted when that turn has been run.
    if (activation !== this.#running) this.waitingCount += 1;
    this.enlist(activation);
    return true;
  }

  /** Everything out of a mailbox, whose activation is about to go. */
  takeAll(activation: Activation): Item[] {
    const items = activation.mailbox.takeAll();
    this.waitingCount -= items.length;
    return items;
  }

  /** The activation may have become able to run what waits for it. */
  enlist(activation: Activation): void {
    if (activation.isListed || activation.phase !== 'ready' || activation.waitingCount === 0) return;
    activation.isListed = true;
    this.#list.push(activation);
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#environment.soon(() => this.#pump());
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Run turns: some of each entity that has any, for a while; then let input and timers in. */
  #pump(): void {
    let budget = turnsAtOnce;
    while (budget > 0 && this.#list.length > 0 && !this.#isStopped) {
      const round = this.#list;
      this.#list = [];
      for (const [index, activation] of round.entries()) {
        if (budget <= 0) {
          this.#list = round.slice(index).concat(this.#list);
          break;
        }
        budget -= this.#runSome(activation);
      }
    }
    if (this.#list.length > 0 && !this.#isStopped) this.#environment.soon(() => this.#pump());
    else this.#isPumping = false;
    this.#paused();
  }

  #runSome(activation: Activation): number {
    activation.isListed = false;
    activation.usedAt = this.#environment.now();
    let count = 0;
    while (count < turnsInARow && activation.phase === 'ready') {
      const item = activation.mailbox.shift();
      if (item === undefined) break;
      const before = activation.waitingCount;
      this.#running = activation;
      this.#run(activation, item);
      this.#running = undefined;
      // A turn may put items back: its own that lacks an activity, or what was held for it.
      this.waitingCount += activation.waitingCount - before - 1;
      count += 1;
    }
    this.enlist(activation);
    return count;
  }
}
