/** Injects faults at their times, one at a time, and tells the generators about them. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Fault } from '../plan.ts';
import type { Mark, Traffic } from '../report/outcome.ts';
import { restartMs } from './process-setup.ts';
import type { Crew, Hand } from './processes.ts';

export interface FaultParts {
  readonly crew: Crew;
  readonly generators: readonly Hand[];
  readonly isEmbedded: boolean;
  readonly startWorker: (name: string) => Promise<Hand>;
  readonly traffic: () => Promise<Traffic | undefined>;
}

export class FaultMaker {
  readonly #parts: FaultParts;

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  /** Faults due after the end of the load are skipped. */
  async make(faults: readonly Fault[], beganAt: number, ended: Promise<void>): Promise<Mark[]> {
    const marks: Mark[] = [];
    const { traffic } = this.#parts;
    const atFirst = faults.length === 0 ? undefined : await traffic();
    const firstAt = performance.now();
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    for (const [number, { kind, atMs }] of faults.entries()) {
      await Promise.race([ended, pause(Math.max(0, beganAt + atMs - performance.now()))]);
      if (isOver) break;
      const before = await traffic();
      const startedAt = performance.now();
      const worker = await (this.#parts.isEmbedded ? this.#inside(kind, number) : this.#outside(kind, number));
      const mark = {
        kind,
        worker,
        atMs: Math.round(startedAt - beganAt),
        overMs: Math.round(performance.now() - beganAt),
      };
      const after = await traffic();
      if (atFirst === undefined || before === undefined || after === undefined) marks.push(mark);
      else {
        const usualPerS = scaled(between(atFirst, before), 1_000 / Math.max(1, startedAt - firstAt));
        marks.push({ ...mark, traffic: { during: between(before, after), usualPerS } });
      }
    }
    return marks;
  }

  async #inside(kind: Fault['kind'], number: number): Promise<string> {
    const [generator] = this.#parts.generators;
    return (await generator?.peer.ask<string>('fault', { kind, number })) ?? '';
  }

  async #outside(kind: Fault['kind'], number: number): Promise<string> {
    const { crew, generators, startWorker } = this.#parts;
    if (kind === 'drain' || kind === 'stall') return this.#all(kind);
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

  /** Faults when all workers run in one process. */
  async #all(kind: 'drain' | 'stall'): Promise<string> {
    const [workers] = this.#parts.crew.hands.filter((hand) => hand.kind === 'worker');
    if (workers === undefined) throw new Error('there are no workers to which something could happen');
    return workers.peer.ask<string>(kind);
  }
}

const between = (before: Traffic, after: Traffic): Traffic => ({
  messagesIn: after.messagesIn - before.messagesIn,
  messagesOut: after.messagesOut - before.messagesOut,
  bytesIn: after.bytesIn - before.bytesIn,
  bytesOut: after.bytesOut - before.bytesOut,
  slowConsumers: after.slowConsumers - before.slowConsumers,
});

const scaled = (traffic: Traffic, by: number): Traffic => ({
  messagesIn: traffic.messagesIn * by,
  messagesOut: traffic.messagesOut * by,
  bytesIn: traffic.bytesIn * by,
  bytesOut: traffic.bytesOut * by,
  slowConsumers: traffic.slowConsumers * by,
});
