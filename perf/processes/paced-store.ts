/**
 * A store in memory that commits a fixed number of entities per second, and pauses on request. The saturation point is therefore known, and
 * the generator has capacity left.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { MemoryStore } from '../../runtime/stores/memory.ts';

export class PacedStore extends MemoryStore {
  readonly #perS: number;
  #freeAt = 0;

  constructor(perS: number) {
    super();
    this.#perS = perS;
  }

  /** Accepts no commit for this time, ms. */
  stall(ms: number): void {
    this.#freeAt = Math.max(this.#freeAt, performance.now() + ms);
  }

  override async commit(group: Parameters<MemoryStore['commit']>[0]): ReturnType<MemoryStore['commit']> {
    this.#freeAt = Math.max(this.#freeAt, performance.now()) + (group.length * 1_000) / this.#perS;
    await pause(this.#freeAt - performance.now());
    return super.commit(group);
  }
}
