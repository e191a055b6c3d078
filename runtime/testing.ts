/**
 * The public entry for tests of applications: entities on a stage of their own, and simulated clusters.
 */

export { stubEffects } from '../core/behaviour.ts';
export type { EffectStub } from '../core/effect.ts';
export {
  type PerformedEffect,
  type Play,
  type PlayedAnswer,
  type PlayedHold,
  type Player,
  type PlayOptions,
  play,
  type SentMessage,
} from './play.ts';
export { Chance } from './simulator/chance.ts';
export type { SimulatedClient } from './simulator/cluster.ts';
export { type FaultRates, noFaults } from './simulator/faults.ts';
export type { StoredEntity } from './simulator/image.ts';
export {
  type Scenario,
  type SimulationOptions,
  type SimulationReport,
  type Stage,
  simulate,
} from './simulator/simulation.ts';
export type { Invariant, Violation } from './simulator/watch.ts';
export { decode } from './wire/codec.ts';
