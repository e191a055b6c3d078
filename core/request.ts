/**
 * What asks an entity for a turn, what a turn is given besides, and the form of its answer.
 */
import type { Arrival, Content } from './activity.ts';
import type { EffectOutcome } from './behaviour.ts';
import type { Limits } from './limits.ts';
import type { PartnerId } from './message.ts';

export interface TurnEnvironment {
  readonly now: number;
  readonly random: () => number;
  readonly encode: (value: unknown) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
  readonly limits: Limits;
}

/** What asks for a turn. */
export type Request =
  | { readonly kind: 'message'; readonly partner: PartnerId; readonly arrival: Arrival; readonly content: Content }
  | { readonly kind: 'timer'; readonly name: string }
  | { readonly kind: 'lapse'; readonly hold: string }
  | { readonly kind: 'effect'; readonly id: string; readonly outcome: EffectOutcome<unknown> };

/** An answer on its way: status, then output; or reason and detail; or code and message. */
export type AnswerRow = readonly [status: string, first?: unknown, second?: unknown];
