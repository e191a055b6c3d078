/**
 * The faults of one run: how often each kind happens, and how often it did.
 *
 * Each seed turns on some kinds and leaves others out ("swarm testing": Groce et al., 2012), since a fault that is always
 * there hides what only shows without it.
 */
import type { Chance } from './chance.ts';

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
  /** Of each second. */
  readonly pause: number;
  readonly cut: number;
  readonly takeover: number;
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
  pause: 0,
  cut: 0,
  takeover: 0,
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
  pause: 0.3,
  cut: 0.3,
  takeover: 0.2,
};

export function drawFaults(chance: Chance): FaultRates {
  const rates: Record<string, number> = {};
  for (const [kind, rate] of Object.entries(most)) {
    const isOn = chance.hits(0.65);
    const strength = chance.next();
    rates[kind] = isOn ? rate * strength : 0;
  }
  return { ...noFaults, ...rates };
}

/** What was injected, by kind. */
export class FaultCount {
  readonly counts: Record<string, number> = {};

  add(kind: string): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
  }
}
