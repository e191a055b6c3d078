/**
 * The fault rates of one run.
 *
 * Each seed turns on some kinds of faults and leaves out others ("swarm testing": Groce et al., 2012), because a fault that is
 * always present hides bugs that only show without it.
 */
import type { SeededRandom } from './random.ts';

/** Probability of each fault, 0 to 1; 0 turns it off. The unit (per frame, per call, per second) is stated for each. */
export interface FaultRates {
  /** Per frame: it is lost. */
  readonly drop: number;
  /** Per frame: it arrives twice. */
  readonly duplicate: number;
  /** Per frame: it is delayed by some hundred ms, so that later frames overtake it. */
  readonly delay: number;
  /** Per frame: it is delayed by more than `transitMaxMs`, so that it must not run. */
  readonly late: number;
  /** Per call of the store: it is rejected with effect 'none'. */
  readonly storeRefuses: number;
  /** Per commit: it is rejected with effect 'unknown', and may have been written or be written later. */
  readonly storeUnknown: number;
  /** Per call of the store: it takes long. */
  readonly storeSlow: number;
  /** Per step of the commit path, and per envelope released: the worker crashes there. */
  readonly crash: number;
  /** Per view that reaches a worker or client: it is lost or delayed. */
  readonly view: number;
  /** Per second, like all rates below: a worker's process is paused and resumes. */
  readonly pause: number;
  /** A worker receives no frames, sends none, or both, for a while. */
  readonly cut: number;
  /** The same for a client. */
  readonly clientCut: number;
  /** A worker cannot reach the store, but everything else. */
  readonly storeCut: number;
  /** The store no longer answers a worker, until the worker is killed. */
  readonly storeHang: number;
  /** A machine's clock is set forward or back. Two clocks never differ by more than `skewMaxMs`. */
  readonly clockStep: number;
  /** A machine's clock starts to run fast or slow, within the same bound. */
  readonly clockDrift: number;
  /** A worker crashes at any moment. */
  readonly kill: number;
  /** A worker leaves in order; usually it starts again. */
  readonly leave: number;
  /** A worker joins. */
  readonly join: number;
  /** From now on, workers that start run the application's next version. */
  readonly deploy: number;
  /** A second process with a worker's name starts beside it. */
  readonly takeover: number;
  /** The worker that runs the placement service is paused or cut off. */
  readonly coup: number;
  /** An entity is pinned to a worker, or unpinned. */
  readonly pin: number;
  /** The store, or one home of it, returns to an earlier state. Acknowledged turns are lost, so no seed draws it. */
  readonly rollback: number;
}

/** Every fault off. */

export const noFaults: FaultRates = {
  drop: 0,
  duplicate: 0,
  delay: 0,
  late: 0,
  storeRefuses: 0,
  storeUnknown: 0,
  storeSlow: 0,
  crash: 0,
  view: 0,
  pause: 0,
  cut: 0,
  clientCut: 0,
  storeCut: 0,
  storeHang: 0,
  clockStep: 0,
  clockDrift: 0,
  kill: 0,
  leave: 0,
  join: 0,
  deploy: 0,
  takeover: 0,
  coup: 0,
  pin: 0,
  rollback: 0,
};

/** The highest rate that a seed draws for each fault. A seed turns about a third of the kinds off. */
const most: FaultRates = {
  drop: 0.08,
  duplicate: 0.08,
  delay: 0.15,
  late: 0.02,
  storeRefuses: 0.02,
  storeUnknown: 0.03,
  storeSlow: 0.1,
  crash: 0.004,
  view: 0.5,
  pause: 0.3,
  cut: 0.3,
  clientCut: 0.1,
  storeCut: 0.2,
  storeHang: 0.06,
  clockStep: 0.3,
  clockDrift: 0.2,
  kill: 0.2,
  leave: 0.3,
  join: 0.2,
  deploy: 0.15,
  takeover: 0.2,
  coup: 0.1,
  pin: 0.5,
  rollback: 0,
};

export function drawFaults(chance: SeededRandom): FaultRates {
  const rates: Record<string, number> = {};
  for (const [kind, rate] of Object.entries(most)) {
    const isOn = chance.hits(0.65);
    const strength = chance.next();
    rates[kind] = isOn ? rate * strength : 0;
  }
  return { ...noFaults, ...rates };
}
