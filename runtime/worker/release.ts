/**
 * Release: who hears that a batch may leave, in which order.
 *
 *     the store accepted it ─▶ released: its outputs leave ─▶ stored: what may be done since the store has it
 *     of a volatile type ────▶ released, at once
 *
 * Owns the list. A sink hears of either, or of both; one that is not in the list costs nothing. When a batch may leave is
 * `group-commit.ts`'s to say.
 *
 * Invariants:
 * - RE1 Every sink hears of a batch once, in the order of the list, and of the batches of an entity in the order of its versions.
 * - RE2 Once the worker has stopped nobody hears of a batch.
 */
import type { Activation } from '../entity/activation.ts';
import type { Batch } from '../entity/batch.ts';
import type { Life } from './shutdown.ts';

/** `version`: the one that the entity has with the batch; its state may be a later one already. */
type Hear = (activation: Activation, batch: Batch, version: number) => void;

export interface ReleaseSink {
  /** What is in the batch may leave. */
  released?(...heard: Parameters<Hear>): void;
  /** The store has the batch, and every sink has heard that it may leave. */
  stored?(...heard: Parameters<Hear>): void;
}

type Hearing = Required<ReleaseSink>;

export class Release {
  readonly #life: Life;
  #outputs: readonly Pick<Hearing, 'released'>[] = [];
  #afterwards: readonly Pick<Hearing, 'stored'>[] = [];

  constructor(life: Life) {
    this.#life = life;
  }

  /** These hear of batches from now on, in this order. */
  connect(sinks: readonly ReleaseSink[]): void {
    this.#outputs = sinks.filter((sink): sink is Pick<Hearing, 'released'> => sink.released !== undefined);
    this.#afterwards = sinks.filter((sink): sink is Pick<Hearing, 'stored'> => sink.stored !== undefined);
  }

  /** A batch of a volatile type may leave. */
  released(activation: Activation, batch: Batch, version: number): void {
    if (this.#life.isStopped) return;
    for (const sink of this.#outputs) sink.released(activation, batch, version);
  }

  /** The store has accepted the commit that carries the batch. */
  stored(activation: Activation, batch: Batch, version: number): void {
    if (this.#life.isStopped) return;
    for (const sink of this.#outputs) sink.released(activation, batch, version);
    for (const sink of this.#afterwards) sink.stored(activation, batch, version);
  }
}
