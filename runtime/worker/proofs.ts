/**
 * Proofs: what an entity says from memory alone waits until the store has said that this worker is still the owner (P9, O2).
 *
 * Owns what becomes of the answer meanwhile: it counts as held, and leaves, or is refused as another worker's.
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

  /** A batch may leave: of what was decided while it was under way it proves nothing. */
  released(activation: Activation, { unproven }: Batch): void {
    if (unproven !== undefined) for (const one of unproven) this.prove(activation, one);
  }

  /** Send it once ownership is proven; whoever called is told if this worker is not the owner any more. */
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
