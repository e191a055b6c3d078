/**
 * The public programming model: all that an application needs to define entities. Everything here is pure.
 */
export {
  type Answer,
  type AnswerOf,
  type AnswersFrom,
  type AnswerTurn,
  answers,
  type Behaviour,
  type BehaviourOptions,
  behaviour,
  type Declined,
  type DeepReadonly,
  type Durability,
  type Handlers,
  type Partner,
  settled,
  type Turn,
  type View,
  type When,
} from './behaviour.ts';
export {
  type Effect as EffectOf,
  type EffectContext,
  type EffectOptions,
  type EffectOutcome,
  effect,
  permanent,
} from './effect.ts';
export {
  type AcceptedHold,
  type ActivityOf,
  type AnyEntity,
  type Caller,
  type CallOptions,
  type Entity,
  entity,
  type Hold,
  type StateOf,
} from './entity.ts';
export { type Effect, type ErrorCode, errorCodes, isSkerryError, SkerryError } from './errors.ts';
export { defaultLimits, type Limits } from './limits.ts';
export { type Address, addressOf, parseAddress } from './message.ts';
export {
  type Command,
  command,
  type Query,
  query,
  type Schema,
  type Tentative,
  tentative,
  unchecked,
} from './operation.ts';
