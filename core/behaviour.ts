/**
 * behaviour(): the code that performs an entity type's operations, as a plain object of functions or as an actor class.
 *
 * Owns the types of handlers and the check that none is missing; `turn.ts` runs them.
 */

import type { Effect, EffectOutcome, EffectStub } from './effect.ts';
import {
  type ActivityOf,
  type AnyActivityOf,
  type AnyEntity,
  type Hold,
  type Sender,
  type StateOf,
  typeIn,
} from './entity.ts';
import { SkerryError } from './errors.ts';
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
 * Who asked: another entity, a client (or an idempotency key) with its verified identity, '' for none, or the entity itself
 * (timers, effects).
 */
export type Partner =
  | { readonly kind: 'entity'; readonly type: string; readonly key: string }
  | { readonly kind: 'client'; readonly id: string; readonly identity: string }
  | { readonly kind: 'self' };

type Primitive = string | number | bigint | boolean | null | undefined;

/**
 * Read-only all the way down. Primitives come first, since a branded one (`string & Brand`) counts as an object;
 * arrays and tuples are left to the mapped type, which keeps the places of a tuple.
 */
export type DeepReadonly<Value> = Value extends Primitive | Uint8Array
  ? Value
  : Value extends object
    ? { readonly [Name in keyof Value]: DeepReadonly<Value[Name]> }
    : Value;

/** What a query sees. */
export interface View<Contract extends AnyEntity> {
  readonly key: string;
  readonly state: DeepReadonly<StateOf<Contract>>;
  /** Commit time of the worker, ms since 1970; never goes back for one entity. */
  readonly now: number;
  /** Decline to answer; see `Turn.refuse`. */
  refuse(reason: string, detail?: unknown): never;
}

/** When something is to happen: after a while, or at a time (ms since 1970); undefined: at once. */
export type When = { readonly afterMs: number | undefined } | { readonly at: number | undefined };

interface TurnWithoutActivity<Contract extends AnyEntity> {
  readonly key: string;
  /** A draft: change it in place. What is assigned is copied; returning commits, throwing discards. */
  get state(): StateOf<Contract>;
  set state(value: StateOf<Contract>);
  /** Time of the turn, ms since 1970; never goes back for one entity. */
  readonly now: number;
  /** Chance of the turn: 0 <= random() < 1. */
  random(): number;
  readonly from: Partner;
  /**
   * Decline: nothing changes, the sender is answered, and a repeated call is refused again. It throws. Write `return turn.refuse(…)`: that
   * also tells the compiler that nothing follows, which it does not see of a method of a parameter whose type it infers.
   */
  refuse(reason: string, detail?: unknown): never;
  /** Another entity (or this one), to send to: sent after the commit, once in effect, in order. */
  to<To extends AnyEntity>(contract: To, key: string, when?: When): Recipient<Contract, To>;
  /** Release the right to cancel of a tentative operation that this entity asked for. */
  confirm(hold: Hold): void;
  /** Use that right. */
  cancel(hold: Hold): void;
  /** A named message to itself; a timer of the same name is replaced. Fires at or after its time, once in effect. */
  timer(name: string, when: When): Sender<Contract['operations']>;
  cancelTimer(name: string): void;
  /** Have an effect performed after the commit; its outcome comes back as a message. */
  perform<Given, Output>(effect: Effect<Given, Output>, input: Given): void;
}

/** One message against one entity: a local transaction, one uninterrupted step. Unusable after it. */
export interface Turn<Contract extends AnyEntity> extends TurnWithoutActivity<Contract> {
  /**
   * The application's own state about the sender; `undefined` lets go of it. There is none about clients, about the
   * entity itself, and about types that the contract names no activity for.
   */
  get activity(): AnyActivityOf<Contract> | undefined;
  set activity(value: AnyActivityOf<Contract> | undefined);
}

/** A turn that an answer asks for: its sender's type is known. */
export interface AnswerTurn<Contract extends AnyEntity, PartnerType extends string>
  extends TurnWithoutActivity<Contract> {
  readonly from: { readonly kind: 'entity'; readonly type: PartnerType; readonly key: string };
  /** The application's own state about the partner that answers; `undefined` lets go of it. */
  get activity(): ActivityOf<Contract, PartnerType>;
  set activity(value: ActivityOf<Contract, PartnerType> | undefined);
}

export type Recipient<Contract extends AnyEntity, To extends AnyEntity> = Sender<To['operations']> & {
  /** The application's own state about this partner; `undefined` lets go of it. */
  get activity(): ActivityOf<Contract, To['type']>;
  set activity(value: ActivityOf<Contract, To['type']> | undefined);
};

/** `void` that an async function does not satisfy: a turn never waits. Its name is what the compiler says of one. */
type SynchronousOutput<Output> = Output | (0 extends 1 & Output ? never : [Output] extends [void] ? undefined : never);

export interface TentativeHandlers<Contract extends AnyEntity, Input, Output> {
  // Properties, not methods: a method's parameters are compared both ways, and a wrong input would compile.
  readonly tentative: (turn: Turn<Contract>, input: Input) => SynchronousOutput<Output>;
  readonly confirm: (turn: Turn<Contract>, input: Input) => SynchronousOutput<void>;
  readonly cancel: (turn: Turn<Contract>, input: Input) => SynchronousOutput<void>;
}

type Handler<Contract extends AnyEntity, Operation extends AnyOperation> =
  Operation extends Command<infer _G, infer Input, infer Output>
    ? (turn: Turn<Contract>, input: Input) => SynchronousOutput<Output>
    : Operation extends Query<infer _G, infer Input, infer Output>
      ? (view: View<Contract>, input: Input) => DeepReadonly<Output>
      : Operation extends Tentative<infer _G, infer Input, infer Output>
        ? TentativeHandlers<Contract, Input, Output>
        : never;

/** One function per operation (three for a tentative one): what a plain object or an actor class provides. */
export type Handlers<Contract extends AnyEntity> = {
  [Name in keyof Contract['operations']]: Handler<Contract, Contract['operations'][Name]>;
};

/** An operation that did not happen. */
export type Declined =
  | { readonly status: 'refused'; readonly reason: string; readonly detail: unknown }
  | { readonly status: 'failed'; readonly code: string; readonly message: string };

/** The answer to a message, as its sender's answer handler gets it. */
export type Answer<Operation> =
  Operation extends Command<infer _G, infer _I, infer Output>
    ? { readonly status: 'done'; readonly output: Output } | Declined
    : Operation extends Tentative<infer _G, infer _I, infer Output>
      ?
          | { readonly status: 'accepted'; readonly output: Output; readonly hold: Hold }
          | { readonly status: 'confirmed' | 'cancelled' | 'lapsed'; readonly hold: Hold }
          | (Declined & { readonly hold: Hold })
      : never;

/** The answer to one operation of a contract, by its name. */
export type AnswerOf<From extends AnyEntity, Name extends keyof From['operations']> = Answer<From['operations'][Name]>;

type AnswerHandlers<Contract extends AnyEntity, From extends AnyEntity> = {
  [Name in keyof From['operations'] as From['operations'][Name] extends { kind: 'query' } ? never : Name]?: (
    turn: AnswerTurn<Contract, From['type']>,
    answer: Answer<From['operations'][Name]>,
  ) => void | undefined;
};

// biome-ignore lint/suspicious/noExplicitAny: handlers of every type are kept in one table; turn.ts calls them with what was validated
export type AnyHandler = (turn: any, input: any) => unknown;

export interface AnswersFrom {
  readonly type: string;
  readonly handlers: Readonly<Record<string, AnyHandler | undefined>>;
}

/**
 * What `contract`'s entities do with the answers that come from `from`'s. It may be their own type: what an entity asks
 * itself by `turn.to` is then answered, too. What a timer asks is not.
 */
export function answers<Contract extends AnyEntity, From extends AnyEntity>(
  _contract: Contract,
  from: From,
  handlers: AnswerHandlers<Contract, From>,
): AnswersFrom {
  return { type: typeIn(from), handlers: handlers as Readonly<Record<string, AnyHandler | undefined>> };
}

export interface EffectHandler {
  // biome-ignore lint/suspicious/noExplicitAny: effects of every type are kept in one table
  readonly effect: Effect<any, any>;
  readonly settled: AnyHandler | undefined;
  /** What runs in its place, in a test. */
  readonly stub?: EffectStub | undefined;
}

/**
 * The same behaviours with these functions in the place of their effects of those names, for tests on a cluster: what a stub throws or
 * returns is the effect's. Throws `invalid-definition` for a name that no effect has.
 */
export function stubEffects<Some extends readonly Behaviour[]>(
  behaviours: Some,
  stubs: Readonly<Record<string, EffectStub>>,
): Some {
  const names = new Set(behaviours.flatMap(({ effects }) => [...effects.keys()]));
  for (const name of Object.keys(stubs))
    if (!names.has(name))
      throw new SkerryError('invalid-definition', `No effect is called '${name}'; there are ${[...names].join(', ')}`);
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

/** Register an effect with a behaviour, and what its outcome does to the entity. */
export function settled<Contract extends AnyEntity, Given, Output>(
  _contract: Contract,
  of: Effect<Given, Output>,
  handler?: (turn: Turn<Contract>, outcome: EffectOutcome<Output>) => void | undefined,
): EffectHandler {
  return { effect: of, settled: handler };
}

/**
 * How durable a type's turns are. `turn`: durable before anything leaves. `{ intervalMs }`: written that often, a crash
 * loses at most that. `none`: memory only, until the entity has had nothing to do for `idleMs`. What the last two send or
 * schedule is lost with a crash, at most once. A planned move carries them whole, but for the fields of an actor class.
 */
export type Durability = 'turn' | 'none' | { readonly intervalMs: number };

/** From the state of one version to that of the next. It may change what it is given, and must return the state. */
// biome-ignore lint/suspicious/noExplicitAny: a state of a version that no contract describes any more
export type Upgrade = (state: any) => NonNullable<unknown> | null;

export interface BehaviourOptions {
  readonly durability?: Durability | undefined;
  readonly answers?: readonly AnswersFrom[] | undefined;
  readonly effects?: readonly EffectHandler[] | undefined;
  /** Version of the state's shape (default 1) and how to get there: `upgrades[n]` turns version n into n + 1. */
  readonly version?: number | undefined;
  readonly upgrades?: Readonly<Record<number, Upgrade>> | undefined;
  /** How long this type's messages stay valid, ms; default: the limit `horizonMs`. */
  readonly horizonMs?: number | undefined;
  /** Keep every committed turn for this long, ms: who asked what, what changed, what was sent. */
  readonly historyMs?: number | undefined;
  /** `current` (default, P9): a query sees every acknowledged turn. `local`: may be stale while ownership is in doubt. */
  readonly reads?: 'current' | 'local' | undefined;
  /** Labels that a worker must have to be given any of these entities (default none). */
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
  version: count(1),
  upgrades: record,
  horizonMs: duration,
  historyMs: duration,
  reads: choice('current', 'local'),
  labels: texts,
};

/** What workers run for one entity type. */
export interface Behaviour<Contract extends AnyEntity = AnyEntity> {
  readonly contract: Contract;
  /** Makes the handlers of one activation: the plain object itself, or an instance of the actor class. */
  readonly instantiate: (key: string) => Readonly<Record<string, unknown>>;
  readonly isClass: boolean;
  readonly operations: OperationMap;
  readonly answers: ReadonlyMap<string, AnswersFrom['handlers']>;
  readonly effects: ReadonlyMap<string, EffectHandler>;
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
 * What workers run: a plain object of functions, or an actor class, instantiated once for each activation (its fields
 * are volatile memory outside the turn's atomicity; a turn that throws discards the instance).
 * Throws `invalid-definition` when a handler is missing.
 */
export function behaviour<Contract extends AnyEntity>(
  contract: Contract,
  handlers: Handlers<Contract> | (new (key: string) => Handlers<Contract>),
  options: BehaviourOptions = {},
): Behaviour<Contract> {
  checkOptions(`the behaviour of '${typeIn(contract)}'`, options, behaviourOptions);
  const isClass = typeof handlers === 'function';
  const instantiate = isClass ? (key: string) => new handlers(key) : () => handlers;
  checkHandlers(contract, isClass ? handlers.prototype : handlers, isClass);
  checkUpgrades(contract, options);
  checkEffects(contract, options);
  checkDurations(contract, options);
  return {
    contract,
    instantiate: instantiate as Behaviour['instantiate'],
    isClass,
    operations: contract.operations,
    answers: new Map(options.answers?.map((from) => [from.type, from.handlers])),
    effects: new Map(options.effects?.map((handler) => [handler.effect.name, handler])),
    durability: options.durability ?? 'turn',
    version: options.version ?? 1,
    upgrades: options.upgrades ?? {},
    horizonMs: options.horizonMs,
    historyMs: options.historyMs,
    reads: options.reads ?? 'current',
    labels: [...new Set(options.labels)].sort(),
  };
}

/** Fields of a class exist only on instances, so a class is checked for what its prototype can show. */
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

/** One that is none would be stored, and never be over. */
function checkDurations(contract: AnyEntity, { horizonMs, historyMs, durability }: BehaviourOptions): void {
  const intervalMs = typeof durability === 'object' ? durability.intervalMs : undefined;
  for (const [name, ms] of Object.entries({ horizonMs, historyMs, intervalMs })) {
    const isInterval = name === 'intervalMs' && typeof durability === 'object';
    const problem = ms === undefined && !isInterval ? undefined : durationProblem(ms, name === 'historyMs' ? 0 : 1);
    if (problem !== undefined)
      throw new SkerryError('invalid-definition', `${name} of the behaviour of '${contract.type}' ${problem}`);
  }
}

/** By its form, since an application may have a copy of this package of its own. */
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

/** A recovered effect is found by its name. */
function checkEffects(contract: AnyEntity, options: BehaviourOptions): void {
  const names = options.effects?.map((handler) => handler.effect.name) ?? [];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new SkerryError('invalid-definition', `Two effects of '${contract.type}' are called '${twice}'`);
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
