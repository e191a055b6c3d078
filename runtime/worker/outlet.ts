/**
 * The outlet: the way out of a worker, for every envelope that one of its parts sends.
 *
 * Invariants:
 * - OU1 Nothing leaves a worker that has stopped.
 */
import type { Activation } from '../entity/activation.ts';
import type { Batch } from '../entity/batch.ts';
import type { Envelope } from '../wire/envelope.ts';
import type { Life } from './shutdown.ts';

export class Outlet {
  readonly #life: Life;
  readonly #post: (envelope: Envelope) => void;

  constructor(life: Life, post: (envelope: Envelope) => void) {
    this.#life = life;
    this.#post = post;
  }

  readonly post = (envelope: Envelope): void => {
    if (!this.#life.isStopped) this.#post(envelope);
  };

  /** A batch may leave, with its answers and acknowledgements. */
  released(_: Activation, { envelopes }: Batch): void {
    for (const envelope of envelopes) this.post(envelope);
  }
}
