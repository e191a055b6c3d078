/**
 * behaviour(): the code of an entity type's operations, as a plain object of functions or as an actor class.
 *
 * Owns the types of handlers and the check that every operation has one. `turn.ts` runs them.
 * Longer than 400 lines because the types of handlers, turns and answers refer to each other, and are documented here.
 */

import type { AgreedWith } from './agreed.ts';
import type { Agreement, Invited, OpenAgreement, PartyMap } from './agreement.ts';
import type { Effect, EffectOutcome, EffectStub } from './effect.ts';
import {
  type ActivityOf,
  type AnyActivityOf,
  type AnyEntity,
  type Hold,
  type InputArguments,
  type Sender,
  type StateOf,
  typeIn,
} from './entity.ts';
import { SkerryError } from './errors.ts';
import type { Later } from './later.ts';
import { durationProblem } from './limits.ts';
import type { AnyOperation, Command, OperationMap, Query, Tentative } from './operation.ts';
import {
  type Check,
  checkOptions,
  choice,
  count,
  described,
  duration,
  list,
  type OptionTable,
  record,
  texts,
} from './options.ts';

/**
 * The sender of a message: another entity, a client, or the entity itself (timers and effects). A call under an
 * idempotency key counts as a client. `identity` is the client's verified identity, '' if it has none.
 */
export type Partner =
  | { readonly kind: 'entity'; readonly type: string; readonly key: string }
  | { readonly kind: 'client'; readonly id: string; readonly identity: string }
  | { readonly kind: 'self' };

type Primitive = string | number | bigint | boolean | null | undefined;

/**
 * A type that is read-only at every level. Primitives come first, because a branded one (`string & Brand`) also extends
 * `object`. Arrays and tuples are left to the mapped type, which preserves the positions of a tuple.
 */
export type DeepReadonly<Value> = Value extends Primitive | Uint8Array
  ? Value
  : Value extends object
    ? { readonly [Name in keyof Value]: DeepReadonly<Value[Name]> }
    : Value;

/** What a query sees of its entity: read-only, and valid only until the query returns. */
export interface View<Contract extends AnyEntity> {
  readonly key: string;
  readonly state: DeepReadonly<StateOf<Contract>>;
  /** The worker's time, ms since 1970. It never goes back for one entity. */
  readonly now: number;
  /** Refuse to answer; see `Turn.refuse`. */
  refuse(reason: string, detail?: unknown): never;
}

/** When a message is due: after a delay (ms), or at a time (ms since 1970). `undefined` means at once. */
export type When = { readonly afterMs: number | undefined } | { readonly at: number | undefined };

/** What becomes of dates of a periodic timer at which nobody could run it: no worker was there, or its entity was busy. */
export interface MissedDates {
  /**
   * - `'once'` (default): one turn for all of them, at once, for the latest.
   * - `'each'`: one turn for each of them, in order, for the `upTo` latest.
   * - `'skip'`: no turn for a date that is more than `graceMs` ago when it could run.
   */
  readonly missed?: 'once' | 'skip' | 'each' | undefined;
  /** With `'each'`: how many missed dates are made up for at most, 1 to 1,000 (default 100). */
  readonly upTo?: number | undefined;
  /** With `'skip'`: how late a turn may be, ms (default 60,000). */
  readonly graceMs?: number | undefined;
}

/** A timer that is due every so many ms from now, a whole number from 10. The dates do not drift. */
export interface Every extends MissedDates {
  readonly everyMs: number;
}

/**
 * A timer that is due at the times which five fields name: minute, hour, day of month, month, day of week.
 *
 * With hours that are named, each time is due once: a time that is skipped when clocks are set forward is due at the first instant
 * after, and one that is repeated when they are set back is due at its first pass. With every hour (`*` or `*` with a step) every
 * instant is due at which the zone's clock shows such a time.
 */
export interface Cron extends MissedDates {
  readonly cron: string;
  /** IANA name of a time zone, such as `Europe/Berlin` (default `UTC`). */
  readonly zone?: string | undefined;
}

interface TurnWithoutActivity<Contract extends AnyEntity> {
  readonly key: string;
  /** A draft of the state: change it in place. Assigned values are copied. Returning commits the draft, throwing discards it. */
  get state(): StateOf<Contract>;
  set state(value: StateOf<Contract>);
  /** Time of the turn, ms since 1970. It is the same throughout a turn and never goes back for one entity. */
  readonly now: number;
  /** A random number, 0 <= random() < 1. */
  random(): number;
  /** The sender of the message. */
  readonly from: Partner;
  /**
   * Refuse the operation by throwing: the state stays as it was, nothing is sent, and the sender gets `refused` with this
   * reason and detail. A repeat of the same call gets the same answer.
   *
   * Write `return turn.refuse(…)`. TypeScript does not narrow types after a `never` method of an inferred parameter; the
   * `return` makes it do so.
   */
  refuse(reason: string, detail?: unknown): never;
  /** Refuse a command that was put off, with this turn's commit. The turn goes on. */
  refuse(later: Later<unknown>, reason: string, detail?: unknown): void;
  /**
   * Answer a command that was put off (`turn.later`), once, with this turn's commit. Its client gets the output, or the entity that
   * asked has its answer handler run. After `later.until` it does nothing. Throws `invalid-input` for one that was answered already.
   */
  answer<Output>(later: Later<Output>, ...output: InputArguments<NoInfer<Output>>): void;
  /**
   * An entity to send messages to; it may be this one. Messages leave after the commit. Each takes effect once, and messages
   * to one entity arrive in the order sent. With `when`, the message leaves at that time instead.
   */
  to<To extends AnyEntity>(contract: To, key: string, when?: When): Recipient<Contract, To>;
  /** Confirm a tentative operation that this entity sent, which gives up the right to cancel it. */
  confirm(hold: Hold): void;
  /** Cancel a tentative operation that this entity sent, or an agreement that is not decided. */
  cancel(what: Hold | OpenAgreement): void;
  /**
   * Open an agreement: its parties are asked after the commit, and all hear one decision, to confirm or to cancel. `agreed` says
   * what the entity does when it is decided. Throws `invalid-input` for a party named twice, no party, or the entity itself.
   */
  agree<Name extends string, Roles extends PartyMap>(
    agreement: Agreement<Name, Roles>,
    parties: Invited<Roles>,
  ): OpenAgreement<Name>;
  /**
   * What is broken of an agreement so far is dealt with: it no longer shows, and ends when every party has heard. Again does
   * nothing. Throws `failed` for an agreement that is not broken.
   */
  resolve(open: OpenAgreement): void;
  /**
   * Set a timer: a message from the entity to itself. It fires at or after its time and takes effect once. It replaces a
   * timer of the same name.
   *
   * With `{ everyMs }` or `{ cron, zone }` it is periodic: it fires at each date until it is cancelled or replaced. Each date has at
   * most one turn that takes effect. A turn of it that throws is retried; it never ends the series. Throws `invalid-input` for a
   * period that is wrong or never due.
   */
  timer(name: string, when: When | Every | Cron): Sender<Contract['operations']>;
  /** Cancel a timer, periodic or not. Does nothing if no timer of that name is set. */
  cancelTimer(name: string): void;
  /** In the turn of a timer: the date that it is for, ms since 1970. Undefined in all others. */
  readonly scheduledFor: number | undefined;
  /** In the turn of a periodic timer: how many of its dates before this one, since its last turn, have no turn. Else 0. */
  readonly missedCount: number;
  /** Run an effect after the commit. Its outcome arrives as a later turn of this entity (`settled`). */
  perform<Given, Output>(effect: Effect<Given, Output>, input: Given): void;
}

/** One message processed by one entity: a local transaction that runs without interruption. Do not use it after it ends. */
export interface Turn<Contract extends AnyEntity> extends TurnWithoutActivity<Contract> {
  /**
   * The application's state about the sender. Assign `undefined` to remove it. It exists only for senders whose type is
   * listed in the contract's `activities`; not for clients and not for the entity itself.
   */
  get activity(): AnyActivityOf<Contract>;
  set activity(value: AnyActivityOf<Contract> | undefined);
}

/** The turn of a command: it alone can put its answer off. */
export interface CommandTurn<Contract extends AnyEntity, Output> extends Turn<Contract> {
  /**
   * Put the answer off: keep the value, return it in place of an output, and let a later turn answer or refuse it. The caller waits
   * until then, for as long as its deadline allows. A turn that takes one and returns another thing fails.
   */
  later(): Later<Output>;
}

/** A turn that processes an answer: the type of its sender is known. */
export interface AnswerTurn<Contract extends AnyEntity, PartnerType extends string>
  extends TurnWithoutActivity<Contract> {
  readonly from: { readonly kind: 'entity'; readonly type: PartnerType; readonly key: string };
  /** The application's state about the partner that answers. Assign `undefined` to remove it. */
  get activity(): ActivityOf<Contract, PartnerType>;
  set activity(value: ActivityOf<Contract, PartnerType> | undefined);
}

/** An entity to send to: one method per command and tentative operation, and the application's state about this partner. */
export type Recipient<Contract extends AnyEntity, To extends AnyEntity> = Sender<To['operations']> & {
  /** The application's state about this partner. Assign `undefined` to remove it. */
  get activity(): ActivityOf<Contract, To['type']>;
  set activity(value: ActivityOf<Contract, To['type']> | undefined);
};

/** An output that an async function does not satisfy, because a turn never waits. The compiler quotes this name in its error. */
type SynchronousOutput<Output> = Output | (0 extends 1 & Output ? never : [Output] extends [void] ? undefined : never);

/**
 * The three handlers of a tentative operation. `tentative` accepts it, by returning, or refuses it. Later exactly one of
 * `confirm` and `cancel` runs; `cancel` also runs when the hold lapses. Both get the input of `tentative`.
 */
export interface TentativeHandlers<Contract extends AnyEntity, Input, Output> {
  // Properties, not methods: TypeScript compares the parameters of methods bivariantly, so a wrong input type would compile.
  readonly tentative: (turn: Turn<Contract>, input: Input) => SynchronousOutput<Output>;
  readonly confirm: (turn: Turn<Contract>, input: Input) => SynchronousOutput<void>;
  readonly cancel: (turn: Turn<Contract>, input: Input) => SynchronousOutput<void>;
}

type Handler<Contract extends AnyEntity, Operation extends AnyOperation> =
  Operation extends Command<infer _G, infer Input, infer Output>
    ? (turn: CommandTurn<Contract, Output>, input: Input) => SynchronousOutput<Output | Later<Output>>
    : Operation extends Query<infer _G, infer Input, infer Output>
      ? (view: View<Contract>, input: Input) => DeepReadonly<Output>
      : Operation extends Tentative<infer _G, infer Input, infer Output>
        ? TentativeHandlers<Contract, Input, Output>
        : never;

/** The handlers of an entity type: one function per operation, three for a tentative one. */
export type Handlers<Contract extends AnyEntity> = {
  [Name in keyof Contract['operations']]: Handler<Contract, Contract['operations'][Name]>;
};

/**
 * An alternative to `TentativeHandlers` that no value satisfies. If a tentative operation is written as one function, the
 * compiler takes the types of its parameters from here, and quotes this name and the missing property in its errors.
 */
interface TentativeOperationNeedsThreeFunctions {
  // biome-ignore lint/suspicious/noExplicitAny: one error, at the turn, is enough
  (turn: TentativeOperationNeedsThreeFunctions, input: any): void;
  readonly '{ tentative, confirm, cancel }': never;
}

/** What `behaviour` takes: `Handlers`, with a helpful error for a tentative operation that is one function. */
type GivenHandlers<Contract extends AnyEntity> = {
  [Name in keyof Contract['operations']]:
    | Handlers<Contract>[Name]
    | (Contract['operations'][Name] extends { kind: 'tentative' } ? TentativeOperationNeedsThreeFunctions : never);
};

/** The answer to an operation that did not happen: the behaviour refused it, or its turn failed. */
export type Declined =
  | { readonly status: 'refused'; readonly reason: string; readonly detail: unknown }
  | { readonly status: 'failed'; readonly code: string; readonly message: string };

/** The answer to a message, as passed to the sender's answer handler. */
export type Answer<Operation> =
  Operation extends Command<infer _G, infer _I, infer Output>
    ? { readonly status: 'done'; readonly output: Output } | Declined
    : Operation extends Tentative<infer _G, infer _I, infer Output>
      ?
          | { readonly status: 'accepted'; readonly output: Output; readonly hold: Hold }
          | { readonly status: 'confirmed' | 'cancelled' | 'lapsed'; readonly hold: Hold }
          | (Declined & { readonly hold: Hold })
      : never;

/** The answer to one operation of a contract, by the operation's name. */
export type AnswerOf<From extends AnyEntity, Name extends keyof From['operations']> = Answer<From['operations'][Name]>;

type AnswerHandlers<Contract extends AnyEntity, From extends AnyEntity> = {
  [Name in keyof From['operations'] as From['operations'][Name] extends { kind: 'query' } ? never : Name]?: (
    turn: AnswerTurn<Contract, From['type']>,
    answer: Answer<From['operations'][Name]>,
  ) => SynchronousOutput<void>;
};

// biome-ignore lint/suspicious/noExplicitAny: one table holds the handlers of every type; turn.ts calls them with validated values
export type AnyHandler = (turn: any, input: any) => unknown;

/** The answer handlers for one partner type, as `answers` makes them. */
export interface AnswersFrom {
  /** The type whose turns the handlers are. */
  readonly of: string;
  /** The partner's type. */
  readonly type: string;
  readonly handlers: Readonly<Record<string, AnyHandler | undefined>>;
}

/**
 * Answer handlers: what entities of `contract` do when entities of `from` answer their messages. `from` may be the same
 * type; messages that an entity sends to itself by `turn.to` are then answered too. Messages of timers have no answers.
 */
export function answers<Contract extends AnyEntity, From extends AnyEntity>(
  contract: Contract,
  from: From,
  handlers: AnswerHandlers<Contract, From>,
): AnswersFrom {
  return {
    of: typeIn(contract),
    type: typeIn(from),
    handlers: handlers as Readonly<Record<string, AnyHandler | undefined>>,
  };
}

/** An effect registered with a behaviour, as `settled` makes it. */
export interface EffectHandler {
  /** The type whose turns perform the effect. */
  readonly of: string;
  // biome-ignore lint/suspicious/noExplicitAny: one table holds the effects of every type
  readonly effect: Effect<any, any>;
  readonly settled: AnyHandler | undefined;
  /** The function that a test runs instead. */
  readonly stub?: EffectStub | undefined;
}

/**
 * Replace effects by stubs, by name, for tests on a cluster. Returns new behaviours. What a stub returns or throws counts
 * as what the effect returned or threw. Throws `invalid-definition` for a name that no effect has.
 */
export function stubEffects<Some extends readonly Behaviour[]>(
  behaviours: Some,
  stubs: Readonly<Record<string, EffectStub>>,
): Some {
  const names = new Set(behaviours.flatMap(({ effects }) => [...effects.keys()]));
  for (const name of Object.keys(stubs))
    if (!names.has(name))
      throw new SkerryError('invalid-definition', `No effect '${name}'; there are ${[...names].join(', ')}`);
  const stubbed = behaviours.map((one) => ({
    ...one,
    effects: new Map(
      [...one.effects].map(([name, handler]) => {
        const stub = Object.hasOwn(stubs, name) ? stubs[name] : undefined;
        return [name, stub === undefined ? handler : { ...handler, stub }];
      }),
    ),
  }));
  return stubbed as readonly Behaviour[] as Some;
}

/** Register an effect with a behaviour. The handler, if any, runs as a turn of the entity when the effect has an outcome. */
export function settled<Contract extends AnyEntity, Given, Output>(
  contract: Contract,
  of: Effect<Given, Output>,
  handler?: (turn: Turn<Contract>, outcome: EffectOutcome<Output>) => SynchronousOutput<void>,
): EffectHandler {
  return { of: typeIn(contract), effect: of, settled: handler };
}

/**
 * When the turns of a type become durable.
 *
 * - `'turn'`: before any answer or message of the turn leaves the worker.
 * - `{ intervalMs }`: every `intervalMs`. A crash loses at most the turns of that interval.
 * - `'none'`: in memory only, until the entity has been idle for `idleMs`. A crash loses everything since.
 *
 * With the last two, a crash also loses messages and timers not yet written: they are delivered at most once. A handoff to
 * another worker loses nothing except the fields of an actor class.
 */
export type Durability = 'turn' | 'none' | { readonly intervalMs: number };

/** Turns a state of one version into a state of the next. It may change its argument, and must return the new state. */
// biome-ignore lint/suspicious/noExplicitAny: no contract describes the states of earlier versions
export type Upgrade = (state: any) => NonNullable<unknown> | null;

export interface BehaviourOptions {
  /** When turns become durable (default `'turn'`). */
  readonly durability?: Durability | undefined;
  /** Handlers of the answers to messages that these entities send, one entry per partner type. */
  readonly answers?: readonly AnswersFrom[] | undefined;
  /** The effects that turns of this type may perform. */
  readonly effects?: readonly EffectHandler[] | undefined;
  /** The agreements that turns of this type may open, with what they do when one is decided. They need durability `'turn'`. */
  readonly agreements?: readonly AgreedWith[] | undefined;
  /** Version of the state's shape, a whole number from 1 (default 1). A version above 1 needs `upgrades`. */
  readonly version?: number | undefined;
  /** `upgrades[n]` turns a state of version n into one of version n + 1. Required for each n from 1 to `version` - 1. */
  readonly upgrades?: Readonly<Record<number, Upgrade>> | undefined;
  /** How long messages sent by this type stay valid, ms (default: the limit `horizonMs`; at most `lifeMsMax`). */
  readonly horizonMs?: number | undefined;
  /** How long to keep a record of every committed turn, ms: its message, its changes, its output (default: not kept). */
  readonly historyMs?: number | undefined;
  /** `current` (default): a query sees every acknowledged turn (P9). `local`: it may be stale while ownership is in doubt. */
  readonly reads?: 'current' | 'local' | undefined;
  /** Labels that a worker must have to own entities of this type (default none). */
  readonly labels?: readonly string[] | undefined;
}

const durability: Check = (value) =>
  isDurability(value)
    ? undefined
    : `must be 'turn', 'none' or { intervalMs }, not ${typeof value === 'string' ? `'${value}'` : String(value)}`;

const behaviourOptions: OptionTable<BehaviourOptions> = {
  durability,
  answers: list,
  effects: list,
  agreements: list,
  version: count(1),
  upgrades: record,
  horizonMs: duration,
  historyMs: duration,
  reads: choice('current', 'local'),
  labels: texts,
};

/** The code that workers run for one entity type, as `behaviour` makes it. */
export interface Behaviour<Contract extends AnyEntity = AnyEntity> {
  readonly contract: Contract;
  /** Returns the handlers of one activation: the plain object itself, or a new instance of the actor class. */
  readonly instantiate: (key: string) => Readonly<Record<string, unknown>>;
  readonly isClass: boolean;
  readonly operations: OperationMap;
  readonly answers: ReadonlyMap<string, AnswersFrom['handlers']>;
  readonly effects: ReadonlyMap<string, EffectHandler>;
  readonly agreements: ReadonlyMap<string, AgreedWith>;
  readonly durability: Durability;
  readonly version: number;
  readonly upgrades: Readonly<Record<number, Upgrade>>;
  readonly horizonMs: number | undefined;
  readonly historyMs: number | undefined;
  readonly reads: 'current' | 'local';
  /** Sorted, without duplicates. */
  readonly labels: readonly string[];
}

/**
 * Define the code that workers run for a contract: a plain object of functions, or an actor class.
 *
 * A class is instantiated once per activation. Its fields are volatile memory and not part of the turn's transaction; a
 * turn that throws discards the instance. Throws `invalid-definition` for a missing handler, for a wrong option, and for
 * answers or effects of another contract.
 */
export function behaviour<Contract extends AnyEntity>(
  contract: Contract,
  handlers: GivenHandlers<Contract> | (new (key: string) => Handlers<Contract>),
  options: BehaviourOptions = {},
): Behaviour<Contract> {
  checkOptions(`the behaviour of '${typeIn(contract)}'`, options, behaviourOptions);
  const isClass = typeof handlers === 'function';
  const instantiate = isClass ? (key: string) => new handlers(key) : () => handlers;
  checkHandlers(contract, isClass ? handlers.prototype : handlers, isClass);
  checkUpgrades(contract, options);
  checkOwn(contract, 'answers()', options.answers);
  checkOwn(contract, 'settled()', options.effects);
  checkOwn(contract, 'agreed()', options.agreements);
  checkEffects(contract, options);
  checkAgreements(contract, options);
  checkDurations(contract, options);
  return {
    contract,
    instantiate: instantiate as Behaviour['instantiate'],
    isClass,
    operations: contract.operations,
    answers: new Map(options.answers?.map((from) => [from.type, from.handlers])),
    effects: new Map(options.effects?.map((handler) => [handler.effect.name, handler])),
    agreements: new Map(options.agreements?.map((one) => [one.agreement.name, one])),
    durability: options.durability ?? 'turn',
    version: options.version ?? 1,
    upgrades: options.upgrades ?? {},
    horizonMs: options.horizonMs,
    historyMs: options.historyMs,
    reads: options.reads ?? 'current',
    labels: [...new Set(options.labels)].sort(),
  };
}

/** The fields of a class exist only on instances, so only the methods on its prototype are checked. */
function checkHandlers(contract: AnyEntity, handlers: unknown, isClass: boolean): void {
  if (typeof handlers !== 'object' || handlers === null)
    throw new SkerryError(
      'invalid-definition',
      `The behaviour of '${contract.type}' must be an object of functions or a class, not ${described(handlers)}`,
    );
  for (const [name, operation] of Object.entries(contract.operations)) {
    const handler: unknown = Reflect.get(handlers, name);
    if (handler === undefined && isClass) continue;
    const needed = operation.kind === 'tentative' ? ['tentative', 'confirm', 'cancel'] : [];
    const isComplete =
      needed.length === 0
        ? typeof handler === 'function'
        : needed.every(
            (step) =>
              typeof handler === 'object' && handler !== null && typeof Reflect.get(handler, step) === 'function',
          );
    if (isComplete) continue;
    throw new SkerryError(
      'invalid-definition',
      `The behaviour of '${contract.type}' lacks ${needed.length === 0 ? name : `${name} with its three functions ${needed.join(', ')}`}`,
    );
  }
}

function isDurability(value: unknown): boolean {
  return value === 'turn' || value === 'none' || (typeof value === 'object' && value !== null);
}

/** An invalid duration would be stored and would never end. */
function checkDurations(contract: AnyEntity, { horizonMs, historyMs, durability }: BehaviourOptions): void {
  const intervalMs = typeof durability === 'object' ? durability.intervalMs : undefined;
  for (const [name, ms] of Object.entries({ horizonMs, historyMs, intervalMs })) {
    const isInterval = name === 'intervalMs' && typeof durability === 'object';
    const problem = ms === undefined && !isInterval ? undefined : durationProblem(ms, name === 'historyMs' ? 0 : 1);
    if (problem !== undefined)
      throw new SkerryError('invalid-definition', `${name} of the behaviour of '${contract.type}' ${problem}`);
  }
}

/** Checks the form, not the class: an application may have another copy of this package. */
export function isBehaviour(value: unknown): value is Behaviour {
  if (typeof value !== 'object' || value === null) return false;
  const { contract, instantiate, operations } = value as Partial<Behaviour>;
  return (
    typeof instantiate === 'function' &&
    typeof operations === 'object' &&
    typeof contract === 'object' &&
    typeof contract?.type === 'string'
  );
}

/** The handlers of another type would run on the state of this one. */
function checkOwn({ type }: AnyEntity, maker: string, made: readonly { readonly of: string }[] | undefined): void {
  for (const { of } of made ?? []) {
    if (of === type) continue;
    const found = typeof of === 'string' ? `${maker} of '${of}'` : `an entry that is not from ${maker}`;
    throw new SkerryError('invalid-definition', `The behaviour of '${type}' has ${found}`);
  }
}

/** A recovered effect is found by its name. */
function checkEffects(contract: AnyEntity, options: BehaviourOptions): void {
  const names = options.effects?.map((handler) => handler.effect.name) ?? [];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new SkerryError('invalid-definition', `Two effects of '${contract.type}' have the name '${twice}'`);
}

/** A recovered agreement is found by its name. One that a crash forgets would leave its parties without a word (P13). */
function checkAgreements({ type }: AnyEntity, { agreements, durability = 'turn' }: BehaviourOptions): void {
  const names = agreements?.map(({ agreement }) => agreement.name) ?? [];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new SkerryError('invalid-definition', `Two agreements of '${type}' have the name '${twice}'`);
  if (names.length > 0 && durability !== 'turn')
    throw new SkerryError('invalid-definition', `'${type}' has agreements, which need the durability 'turn'`);
}

function checkUpgrades(contract: AnyEntity, options: BehaviourOptions): void {
  for (let version = 1; version < (options.version ?? 1); version++) {
    if (typeof options.upgrades?.[version] === 'function') continue;
    throw new SkerryError(
      'invalid-definition',
      `'${contract.type}' is at version ${options.version} but has no upgrade from ${version}`,
    );
  }
}
