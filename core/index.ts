/**
 * The public programming model: all that an application needs to define entities. Everything here is pure.
 */
export { type AgreedWith, type AgreementHandlers, agreed } from './agreed.ts';
export {
  type Accepted,
  type Agreement,
  type Asked,
  agreement,
  type Because,
  type Breach,
  type Invited,
  many,
  type OpenAgreement,
  type Outcome,
  one,
  type Parties,
  type Party,
  type PartyAnswer,
  type PartyMap,
  type Rule,
  some,
  type Tally,
} from './agreement.ts';
export {
  type Answer,
  type AnswerOf,
  type AnswersFrom,
  type AnswerTurn,
  answers,
  type Behaviour,
  type BehaviourOptions,
  behaviour,
  type CommandTurn,
  type Cron,
  type Declined,
  type DeepReadonly,
  type Durability,
  type EffectHandler,
  type Every,
  type Handlers,
  type MissedDates,
  type Partner,
  type Recipient,
  settled,
  type TentativeHandlers,
  type Turn,
  type Upgrade,
  type View,
  type When,
} from './behaviour.ts';
export {
  type Effect,
  type EffectContext,
  type EffectOptions,
  type EffectOutcome,
  effect,
  permanent,
} from './effect.ts';
export {
  type AcceptedHold,
  type ActivityIsNotInTheContract,
  type ActivityMap,
  type ActivityOf,
  type AnyActivityOf,
  type AnyEntity,
  type CallArguments,
  type Caller,
  type CallOptions,
  type Entity,
  entity,
  type Hold,
  type InputArguments,
  type QueryCannotBeSentFromATurn,
  type Sender,
  type StateOf,
  type Storable,
} from './entity.ts';
export { type CallEffect, type ErrorCode, errorCodes, isSkerryError, SkerryError } from './errors.ts';
export type { Later } from './later.ts';
export { defaultLimits, type Limits } from './limits.ts';
export { type Address, addressOf, parseAddress } from './message.ts';
export {
  type AnyOperation,
  type Command,
  command,
  type OperationMap,
  type Query,
  query,
  type Schema,
  type Tentative,
  tentative,
  unchecked,
} from './operation.ts';
