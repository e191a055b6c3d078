/** Durable increments while half of the workers leave in order, all at once: `counter` with many workers and many clients. */
import type { Scenario } from '../scenario.ts';
import { counter } from './counter.ts';

export const drain: Scenario = {
  ...counter,
  name: 'drain',
  summary: 'durable increments by 1,000 clients while 10 of 20 workers leave in order, all at once, for good',
  defaults: {
    workers: 20,
    isTogether: true,
    connections: 1_000,
    nats: { kind: 'own' },
    // A call a second of each client: what is measured is the drain, not the machine's limit.
    ratePerS: 1_000,
    // No call waits for another one to end.
    concurrency: 40_000,
    durationMs: 20_000,
    repeats: 1,
    floors: 'none',
  },
  faults: (durationMs) => [{ kind: 'drain', atMs: Math.round(durationMs / 4) }],
  steps: () => [{ name: 'drain' }],
};
