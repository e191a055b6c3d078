/**
 * Proofs: an answer from memory alone waits until the store has confirmed that this worker is still the owner (P9, O2).
 *
 * Owns the answer meanwhile: it counts as held, and then leaves, or is replaced by 'moved'.
 */
import type { Activation } from '../entity/activation.ts';
import type { Batch, Unproven } from '../entity/batch.ts';
import type { Ownership } from '../entity/ownership.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Outlet } from './outlet.ts';
import type { Refusals } from './refusals.ts';

export interface ProofParts {
  readonly ownership: Ownership;
  readonly dispatcher: Dispatcher;
  readonly outlet: Outlet;
  readonly refusals: Refusals;
}

export class Proofs {
  readonly #parts: ProofParts;

  constructor(parts: ProofParts) {
    this.#parts = parts;
  }

  /** A batch may leave. It proves nothing for output made while it was in flight. */
  released(activation: Activation, { unproven }: Batch): void {
    if (unproven !== undefined) for (const one of unproven) this.prove(activation, one);
  }

  /** Sends the envelope after a proof of ownership. Its caller is told if this worker is not the owner any more. */
  prove(activation: Activation, unproven: Unproven): void {
    const { envelope, asked } = unproven;
    const { ownership, dispatcher, outlet, refusals } = this.#parts;
    const proved = dispatcher.prove(activation, unproven);
    ownership.check(
      activation.partition,
      () => {
        proved();
        outlet.post(envelope);
      },
      () => {
        proved();
        if (asked.kind === 'message' || asked.kind === 'query') refusals.reply(asked, 'moved');
      },
    );
  }
}
