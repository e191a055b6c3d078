/** Durable increments while half of the workers leave in order, all at once: `counter` with many workers and many clients. */
import type { Scenario } from '../scenario.ts';
import { counter } from './counter.ts';

export const drain: Scenario = {
  ...counter,
  name: 'drain',
  summary: 'durable increments by 1,000 clients while 10 of 20 workers leave cleanly, all at once and for good',
  defaults: {
    workers: 20,
    isTogether: true,
    connections: 1_000,
    nats: { kind: 'own' },
    // One call per second and client, so that the drain is measured and not the machine's limit.
    ratePerS: 1_000,
    // No call waits for the end of another.
    concurrency: 40_000,
    durationMs: 20_000,
    repeats: 1,
    floors: 'none',
  },
  faults: (durationMs) => [{ kind: 'drain', atMs: Math.round(durationMs / 4) }],
  steps: () => [{ name: 'drain' }],
};
