/**
 * Release: tells the sinks that a batch may leave, in a fixed order.
 *
 *     the store accepted it ─▶ released: its output leaves ─▶ stored: what may be done since the store has it
 *     of a volatile type ────▶ released, at once
 *
 * Owns the list. A sink gets either event, or both; one that is not in the list costs nothing. `group-commit.ts` decides when a batch
 * may leave.
 *
 * Invariants:
 * - RE1 Every sink gets each batch once, in the order of the list, and the batches of an entity in the order of its versions.
 * - RE2 After the worker has stopped no sink gets a batch.
 */
import type { Activation } from '../entity/activation.ts';
import type { Batch } from '../entity/batch.ts';
import type { Life } from './shutdown.ts';

/** `version`: the entity's version with this batch. Its state may be later already. */
type Hear = (activation: Activation, batch: Batch, version: number) => void;

export interface ReleaseSink {
  /** The output of the batch may leave. */
  released?(...heard: Parameters<Hear>): void;
  /** The store has the batch, and every sink knows that it may leave. */
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

  /** Sinks that get batches from now on, in this order. */
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
