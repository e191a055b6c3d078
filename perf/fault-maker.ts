/** Faults, one after the other at their times: what happens to workers, and that generators hear of it. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Crew, Hand } from './crew.ts';
import type { Mark } from './outcome.ts';
import type { Fault } from './plan.ts';
import { restartMs } from './site.ts';

export interface FaultParts {
  readonly crew: Crew;
  readonly generators: readonly Hand[];
  readonly isEmbedded: boolean;
  readonly startWorker: (name: string) => Promise<Hand>;
}

export class FaultMaker {
  readonly #parts: FaultParts;

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  /** What is due after the load has ended is left out. */
  async make(faults: readonly Fault[], beganAt: number, ended: Promise<void>): Promise<Mark[]> {
    const marks: Mark[] = [];
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    for (const [number, { kind, atMs }] of faults.entries()) {
      await Promise.race([ended, pause(Math.max(0, beganAt + atMs - performance.now()))]);
      if (isOver) break;
      const madeMs = Math.round(performance.now() - beganAt);
      const worker = await (this.#parts.isEmbedded ? this.#inside(kind, number) : this.#outside(kind, number));
      marks.push({ kind, worker, atMs: madeMs, overMs: Math.round(performance.now() - beganAt) });
    }
    return marks;
  }

  async #inside(kind: Fault['kind'], number: number): Promise<string> {
    const [generator] = this.#parts.generators;
    return (await generator?.peer.ask<string>('fault', { kind, number })) ?? '';
  }

  async #outside(kind: Fault['kind'], number: number): Promise<string> {
    const { crew, generators, startWorker } = this.#parts;
    const workers = crew.hands
      .filter((hand) => hand.kind === 'worker')
      .sort((one, other) => one.name.localeCompare(other.name));
    const worker = workers[number % workers.length];
    if (worker === undefined) throw new Error('there is no worker to which something could happen');
    const { name } = worker;
    crew.forget(worker);
    if (kind === 'kill') worker.kill();
    for (const { peer } of generators) peer.tell('happened', { kind, worker: name });
    if (kind === 'kill') await pause(restartMs);
    else await worker.peer.ask('close');
    await worker.end();
    await startWorker(name);
    return name;
  }
}
