/**
 * Effects: named async functions that run after the commit of the turn that performed them, until they settle.
 *
 * Owns the effects running in this worker, and their back-off. Pending effects are in the entity's record, so a new owner runs
 * them again, with the same idempotency key: at least once outside, effectively once inside.
 *
 * Invariants:
 * - L1 An effect runs only after the turn that performed it is durable (P2).
 * - L2 In one worker an effect runs once at a time, even while its entity leaves memory and returns.
 * - L3 The signal of a try is aborted when the try is given up: at its time limit, at the end of the worker, and when another worker
 *   owns its entity. In the last case this worker does not try again.
 */
import type { Behaviour, EffectHandler } from '../../core/behaviour.ts';
import { type EffectOutcome, effect, isPermanent } from '../../core/effect.ts';
import { errorText, isSkerryError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Address } from '../../core/message.ts';
import type { PendingEffect } from '../../core/record.ts';
import { storable } from '../../core/storable.ts';
import type { Environment } from '../environment.ts';
import { decode, encode } from '../wire/codec.ts';
import type { Activation } from './activation.ts';
import type { Batch } from './batch.ts';

export interface EffectParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly settled: (address: Address, id: string, outcome: EffectOutcome<unknown>) => void;
}

/** An effect from its start until it settles, or until another worker owns it. */
interface Running {
  readonly address: Address;
  readonly handler: EffectHandler;
  readonly pending: PendingEffect;
  attempt: number;
  /** Aborts the current try. */
  controller: AbortController;
}

export class Effects {
  readonly #parts: EffectParts;
  readonly #running = new Map<string, Running>();
  #isDraining = false;
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

  /** A batch may leave: its effects start. */
  released({ address, behaviour }: Activation, { effects }: Batch): void {
    if (effects !== undefined) for (const effect of effects) this.start(address, behaviour, effect);
  }

  start(address: Address, behaviour: Behaviour, pending: PendingEffect): void {
    if (this.#running.has(pending.id) || this.#isDraining || this.#isClosed) return;
    const handler = behaviour.effects.get(pending.name) ?? noEffect;
    const running: Running = { address, handler, pending, attempt: 0, controller: new AbortController() };
    this.#running.set(pending.id, running);
    void this.#run(running);
  }

  #isOver(running: Running): boolean {
    return this.#isClosed || this.#running.get(running.pending.id) !== running;
  }

  async #run(running: Running): Promise<void> {
    if (this.#isOver(running)) return;
    running.attempt += 1;
    running.controller = new AbortController();
    const outcome = await this.#try(running);
    if (this.#isOver(running)) return;
    const { address, pending, attempt, handler } = running;
    if (outcome !== undefined) {
      this.#running.delete(pending.id);
      this.#parts.settled(address, pending.id, outcome);
      return;
    }
    const { environment, limits } = this.#parts;
    const { retryMs = limits.retryMs, retryMsMax = limits.retryMsMax } = handler.effect.options;
    const pause = Math.min(retryMs * 2 ** (attempt - 1), retryMsMax);
    environment.after(Math.ceil(pause * (0.75 + environment.random() / 2)), () => void this.#run(running));
  }

  /** The outcome; undefined: try again. */
  async #try(running: Running): Promise<EffectOutcome<unknown> | undefined> {
    const { address, handler, pending, attempt } = running;
    if (handler === noEffect)
      return { status: 'failed', message: `The behaviour no longer has an effect '${pending.name}'` };
    const { environment, limits } = this.#parts;
    try {
      const made = await this.#attempt(running);
      const output = storable(made, `output of effect ${pending.name}`, limits.messageBytesMax);
      const { length } = encode(output);
      if (length > limits.messageBytesMax)
        return {
          status: 'failed',
          message: `The output of the effect takes ${length} bytes; messageBytesMax is ${limits.messageBytesMax}`,
        };
      return { status: 'done', output };
    } catch (error) {
      if (this.#isOver(running)) return undefined;
      const isLast = isFinal(error) || attempt >= (handler.effect.options.attemptsMax ?? limits.attemptsMax);
      // An error that the application declares permanent, and handles, is an expected outcome, such as a declined card.
      const isForeseen = isPermanent(error) && handler.settled !== undefined;
      environment.log[isForeseen ? 'info' : 'warn'](
        { entity: address, effect: pending.name, attempt, error: errorText(error) },
        isLast ? 'an effect failed for good' : 'an effect failed; it will be retried',
      );
      return isLast ? { status: 'failed', message: errorText(error) } : undefined;
    }
  }

  /** One try, until it settles or is given up (L3). */
  async #attempt({ address, handler, pending, attempt, controller }: Running): Promise<unknown> {
    const { environment, limits } = this.#parts;
    const { signal } = controller;
    const limitMs = handler.effect.options.timeoutMs ?? limits.effectMsMax;
    const givenUp = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
    );
    const cancel = environment.after(limitMs, () =>
      controller.abort(new Error(`The effect took longer than its limit of ${limitMs} ms`)),
    );
    try {
      const input = pending.payload.length === 0 ? undefined : decode(pending.payload);
      const run = handler.stub ?? handler.effect.run;
      return await Promise.race([run(input, { idempotencyKey: pending.id, attempt, address, signal }), givenUp]);
    } finally {
      cancel();
    }
  }

  /** Another worker owns these entities, and runs their effects again. */
  leave(isGone: (address: Address) => boolean): void {
    for (const [id, { address, controller }] of this.#running) {
      if (!isGone(address)) continue;
      this.#running.delete(id);
      controller.abort(new Error('The entity has moved to another worker'));
    }
  }

  /** Starts no more effects: they would be aborted at once, and the next owner runs them. */
  drain(): void {
    this.#isDraining = true;
  }

  close(): void {
    this.#isClosed = true;
    for (const { controller } of this.#running.values()) controller.abort(new Error('The worker is closing'));
  }
}

/** In place of an effect that the behaviour no longer has. */
const noEffect: EffectHandler = { of: '', effect: effect('none', async () => undefined), settled: undefined };

/** Errors that another try cannot fix. */
function isFinal(error: unknown): boolean {
  return isPermanent(error) || isSkerryError(error, 'unstorable') || isSkerryError(error, 'too-large');
}
