/** Samples the memory of processes during a load: every second, or less often in a long run, so that all samples fit on a page. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Usage } from '../plan.ts';
import type { MemorySeries } from '../report/outcome.ts';

const everyMs = 1_000;
const lookCountMax = 600;

export class MemoryWatch {
  readonly #look: () => Promise<readonly Usage[]>;
  readonly #beganAt = performance.now();
  readonly #series = new Map<string, { atMs: number[]; rssBytes: number[]; heapBytes: number[] }>();

  constructor(look: () => Promise<readonly Usage[]>) {
    this.#look = look;
  }

  async keep(durationMs: number, ending: AbortSignal): Promise<void> {
    const pauseMs = Math.max(everyMs, durationMs / lookCountMax);
    for (let due = this.#beganAt + pauseMs; !ending.aborted; due += pauseMs) {
      await pause(Math.max(0, due - performance.now()), undefined, { signal: ending }).catch(() => undefined);
      if (!ending.aborted) this.saw(await this.#look());
    }
  }

  saw(usages: readonly Usage[]): void {
    const atMs = Math.round(performance.now() - this.#beganAt);
    for (const usage of usages) {
      const series = this.#series.get(idOf(usage)) ?? { atMs: [], rssBytes: [], heapBytes: [] };
      this.#series.set(idOf(usage), series);
      series.atMs.push(atMs);
      series.rssBytes.push(usage.rssBytes);
      series.heapBytes.push(usage.heapBytes);
    }
  }

  of(one: Pick<Usage, 'name' | 'pid'>): MemorySeries {
    return this.#series.get(idOf(one)) ?? { atMs: [], rssBytes: [], heapBytes: [] };
  }
}

/** A worker that was killed is followed by one of the same name, which is sampled separately. */
const idOf = ({ name, pid }: Pick<Usage, 'name' | 'pid'>) => `${name} ${pid}`;
