/**
 * The faults of one run: how often each kind happens.
 *
 * Each seed turns on some kinds and leaves others out ("swarm testing": Groce et al., 2012), since a fault that is always
 * there hides what only shows without it.
 */
import type { SeededRandom } from './random.ts';

/** Share of calls, messages or steps that meet each fault; 0 turns it off. */
export interface FaultRates {
  /** Of each frame on the network. */
  readonly drop: number;
  readonly duplicate: number;
  /** By some hundred ms, so that it is overtaken. */
  readonly delay: number;
  /** By more than transitMaxMs: it must not run any more. */
  readonly late: number;
  /** Of each call of the store. */
  readonly storeRefuses: number;
  /** Of each commit: it fails, and may have been written, or be written later. */
  readonly storeUnknown: number;
  readonly storeSlow: number;
  /** At each step of the commit path and each envelope that is released. */
  readonly crash: number;
  /** Of each view that comes to a worker or client: it is lost, or comes late. */
  readonly view: number;
  /** Of each second, as everything below. A worker hangs; its node comes back. */
  readonly pause: number;
  /** It gets no frames, sends none, or both. */
  readonly cut: number;
  readonly clientCut: number;
  /** It reaches everybody but the store. */
  readonly storeCut: number;
  /** Nothing that it asks the store is answered any more, until somebody ends it. */
  readonly storeHang: number;
  /** The clock of its machine is set, or gains or loses from here on; never so that two are more than `skewMaxMs` apart. */
  readonly clockStep: number;
  readonly clockDrift: number;
  /** It crashes at any moment. */
  readonly kill: number;
  /** It is told to leave; mostly it starts again. */
  readonly leave: number;
  readonly join: number;
  /** From here on whoever starts is of the application's next version. */
  readonly deploy: number;
  /** Another process with its name is started beside it. */
  readonly takeover: number;
  /** Who runs the placement service hangs or is cut off. */
  readonly coup: number;
  /** An entity is pinned to a worker, or not any more. */
  readonly pin: number;
  /** The store goes back to what it held a while ago, all of it or one home: acknowledged turns are lost, so it is not drawn. */
  readonly rollback: number;
}

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

/** The most that a seed draws of each; about a third of the kinds are off in each. */
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
