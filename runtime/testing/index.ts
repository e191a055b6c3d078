/**
 * The public entry for tests of applications: single entities without a cluster (`play`), every interleaving of a few (`enumerate`), and
 * simulated clusters (`simulate`).
 */

export { stubEffects } from '../../core/behaviour.ts';
export type { EffectStub } from '../../core/effect.ts';
export { decode } from '../wire/codec.ts';
export type { Invariant, Violation } from './checker.ts';
export type { Ask, AskedHold, Asker } from './client-script.ts';
export type { SimulatedClient } from './cluster.ts';
export {
  type Counterexample,
  type EnumeratedFaults,
  type EnumerateOptions,
  type EnumerationReport,
  enumerate,
} from './enumerate.ts';
export { type FaultRates, noFaults } from './faults.ts';
export type { StoredEntity } from './image.ts';
export {
  type PerformedEffect,
  type Play,
  type PlayedAnswer,
  type PlayedCall,
  type PlayedHold,
  type Player,
  type PlayOptions,
  play,
  type SentMessage,
} from './play.ts';
export { SeededRandom as Chance } from './random.ts';
export {
  type Scenario,
  type SimulationOptions,
  type SimulationReport,
  type Stage,
  simulate,
} from './simulation.ts';
export type { World, WorldCall, WorldHold } from './world.ts';
