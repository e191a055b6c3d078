/**
 * The public entry for tests of applications: entities on a stage of their own, and simulated clusters.
 */
export { type Play, type PlayedAnswer, type PlayedHold, type Player, play, type SentMessage } from './play.ts';
