/**
 * Effects: named async functions that run after the commit that asked for them, until they settle.
 *
 * Owns which effects run in this worker and their back-off. That an effect is still wanted is in the entity's record,
 * so a new owner runs it again, with the same idempotency key: at least once outside, effectively once inside.
 *
 * Invariants:
 * - L1 An effect runs only after the turn that asked for it is durable (P2).
 * - L2 In one worker an effect runs once at a time, also while its entity leaves memory and returns.
 */
import type { Behaviour, EffectOutcome } from '../core/behaviour.ts';
import { errorText, isSkerryError } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import type { Address } from '../core/message.ts';
import type { PendingEffect } from '../core/record.ts';
import { storable } from '../core/storable.ts';
import { decode, encode } from './codec.ts';
import type { Environment } from './environment.ts';

export interface EffectParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly settled: (address: Address, id: string, outcome: EffectOutcome<unknown>) => void;
}

export class Effects {
  readonly #parts: EffectParts;
  readonly #running = new Set<string>();
  #isClosed = false;

  constructor(parts: EffectParts) {
    this.#parts = parts;
  }

  get count(): number {
    return this.#running.size;
  }

  isRunning(effect: PendingEffect): boolean {
    return this.#running.has(effect.id);
  }

  start(address: Address, behaviour: Behaviour, effect: PendingEffect): void {
    if (this.#running.has(effect.id) || this.#isClosed) return;
    this.#running.add(effect.id);
    void this.#run(address, behaviour, effect, 1);
  }

  async #run(address: Address, behaviour: Behaviour, pending: PendingEffect, attempt: number): Promise<void> {
    const outcome = await this.#try(address, behaviour, pending, attempt);
    if (this.#isClosed) return;
    if (outcome !== undefined) {
      this.#running.delete(pending.id);
      this.#parts.settled(address, pending.id, outcome);
      return;
    }
    const { environment, limits } = this.#parts;
    const pause = Math.min(limits.retryMs * 2 ** (attempt - 1), limits.retryMsMax);
    environment.after(
      Math.ceil(pause * (0.75 + environment.random() / 2)),
      () => void this.#run(address, behaviour, pending, attempt + 1),
    );
  }

  /** The outcome, or undefined: try again. */
  async #try(
    address: Address,
    behaviour: Behaviour,
    pending: PendingEffect,
    attempt: number,
  ): Promise<EffectOutcome<unknown> | undefined> {
    const effect = behaviour.effects.get(pending.name)?.effect;
    if (effect === undefined)
      return { status: 'failed', message: `The behaviour has no effect '${pending.name}' any more` };
    const { environment, limits } = this.#parts;
    try {
      const input = pending.payload.length === 0 ? undefined : decode(pending.payload);
      const output = storable(
        await effect.run(input, { idempotencyKey: pending.id, attempt, address }),
        `output of effect ${pending.name}`,
        limits.messageBytesMax,
      );
      const { length } = encode(output);
      if (length > limits.messageBytesMax)
        return {
          status: 'failed',
          message: `Its output of ${length} bytes is over messageBytesMax (${limits.messageBytesMax})`,
        };
      return { status: 'done', output };
    } catch (error) {
      const isLast =
        attempt >= (effect.attemptsMax ?? limits.attemptsMax) ||
        isSkerryError(error, 'unstorable') ||
        isSkerryError(error, 'too-large');
      environment.log.warn(
        { entity: address, effect: pending.name, attempt, error: errorText(error) },
        isLast ? 'an effect failed for good' : 'an effect failed; it is tried again',
      );
      return isLast ? { status: 'failed', message: errorText(error) } : undefined;
    }
  }

  close(): void {
    this.#isClosed = true;
  }
}
