/** Durable increments while workers come and go: `counter` with faults of its own. */
import type { Scenario } from '../scenario.ts';
import { counter } from './counter.ts';

export const move: Scenario = {
  ...counter,
  name: 'move',
  summary: 'durable increments while workers leave cleanly and come back',
  defaults: {
    // Of two workers on two cores, one alone would reach a third less, and the dip would show that.
    workers: 3,
    concurrency: 256,
    durationMs: 20_000,
    repeats: 3,
    faults: [
      { kind: 'move', atMs: 5_000 },
      { kind: 'move', atMs: 12_000 },
    ],
  },
  steps: () => [{ name: 'move' }],
};

export const failover: Scenario = {
  ...counter,
  name: 'failover',
  summary: 'durable increments while workers are killed and restarted',
  defaults: {
    workers: 3,
    concurrency: 256,
    durationMs: 60_000,
    repeats: 3,
    faults: Array.from({ length: 11 }, (_, kill) => ({ kind: 'kill' as const, atMs: 3_000 + kill * 5_000 })),
  },
  steps: () => [{ name: 'failover' }],
};
