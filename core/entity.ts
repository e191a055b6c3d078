/**
 * entity(): a contract, and the types derived from it.
 *
 * A contract is a plain value: the type's name, its initial state, its operations with their schemas, and the initial
 * activity for each type of partner. It contains no behaviour, so partners, clients and browsers import contracts only.
 */
import { SkerryError } from './errors.ts';
import { defaultLimits } from './limits.ts';
import { isTypeName, parseAddress, utf8Length } from './message.ts';
import type { Command, OperationMap, Query, Tentative } from './operation.ts';
import { callable, checkOptions, described, record } from './options.ts';

/** For each type of partner, a function that returns the initial activity: the application's state about one partner. */
export type ActivityMap = Readonly<Record<string, () => unknown>>;

/** A contract, as `entity` makes it. */
export interface Entity<Type extends string, State, Operations extends OperationMap, Activities extends ActivityMap> {
  readonly type: Type;
  readonly initial: (key: string) => State;
  readonly operations: Operations;
  readonly activities: Activities;
}

// biome-ignore lint/suspicious/noExplicitAny: the widest contract; inference narrows it
export type AnyEntity = Entity<string, any, OperationMap, ActivityMap>;

/** The type of a contract's state. */
export type StateOf<Contract extends AnyEntity> = ReturnType<Contract['initial']>;

/**
 * Stands in place of the application's state about a partner whose type the contract's `activities` do not list. The value is always
 * `undefined`. The compiler quotes this name.
 */
export interface ActivityIsNotInTheContract {
  readonly 'list this type of partner in activities of the contract': never;
}

/** The type of the application's state about a partner of one type. */
export type ActivityOf<Contract extends AnyEntity, Type extends string> = Type extends keyof Contract['activities']
  ? ReturnType<Contract['activities'][Type]>
  : ActivityIsNotInTheContract;

/** The type of the application's state about a sender of any type; `undefined` for senders of types that are not listed. */
export type AnyActivityOf<Contract extends AnyEntity> = [keyof Contract['activities']] extends [never]
  ? ActivityIsNotInTheContract
  : ReturnType<Contract['activities'][keyof Contract['activities']]> | undefined;

/** Parameters of an operation: `(input)` if it has an input, else `()`. `any` counts as an input, although it extends `void`. */
export type InputArguments<Given> = 0 extends 1 & Given
  ? [input?: Given]
  : [Given] extends [void]
    ? [input?: undefined]
    : undefined extends Given
      ? [input?: Given]
      : [input: Given];

/** Identifies one tentative operation on one entity. A plain value: keep it in state, activity or messages. */
export interface Hold {
  /** The address of the entity. */
  readonly entity: string;
  readonly operation: string;
  readonly id: string;
}

/** Stands in place of a query in `turn.to(…)`: only clients call queries, because a turn never waits. The compiler quotes its name. */
export interface QueryCannotBeSentFromATurn {
  readonly kind: 'query';
}

/** The messages that a turn can send to an entity, one method per command and tentative operation. They leave after the commit. */
export type Sender<Operations extends OperationMap> = {
  readonly [Name in keyof Operations]: Operations[Name] extends Command<infer Given, infer _I, infer _O>
    ? (...input: InputArguments<Given>) => void
    : Operations[Name] extends Tentative<infer Given, infer _I, infer _O>
      ? (...input: InputArguments<Given>) => Hold
      : QueryCannotBeSentFromATurn;
};

/** A client's tentative operation that the entity has accepted. */
export interface AcceptedHold<Output> {
  readonly hold: Hold;
  readonly output: Output;
  /** Confirm the operation, which gives up the right to cancel it. Rejects with `lapsed` if the hold has lapsed. */
  confirm(options?: CallOptions): Promise<void>;
  /** Cancel the operation. Also resolves if the hold has lapsed, because the operation is then already cancelled. */
  cancel(options?: CallOptions): Promise<void>;
}

export interface CallOptions {
  /** Reject with `deadline` after this long, ms (default: the limit `deadlineMs`; at most `lifeMsMax`). */
  readonly deadlineMs?: number | undefined;
  /**
   * A name for this request. Calls of one entity with the same key, from any process, take effect once and get the same
   * answer, for `keyLifeMs` after the first. A call with the same key but another operation or input rejects with
   * `invalid-input`; so does the confirm or cancel of a hold under the key of its tentative operation.
   */
  readonly idempotencyKey?: string | undefined;
  /** The minimum time that the idempotency key is remembered, ms (default: the limit `horizonMs`; at most `lifeMsMax`). */
  readonly keyLifeMs?: number | undefined;
}

/** Parameters of a call: `(input, options?)` if the operation has an input, else `(options?)` or `(undefined, options?)`. */
export type CallArguments<Given> = 0 extends 1 & Given
  ? [input?: Given, options?: CallOptions]
  : [Given] extends [void]
    ? [options?: CallOptions] | [input: undefined, options?: CallOptions]
    : [...InputArguments<Given>, options?: CallOptions];

/** A reference to an entity, as a client has it: one method per operation. */
export type Caller<Operations extends OperationMap> = {
  readonly [Name in keyof Operations]: Operations[Name] extends Command<infer Given, infer _I, infer Output>
    ? (...input: CallArguments<Given>) => Promise<Output>
    : Operations[Name] extends Query<infer Given, infer _I, infer Output>
      ? (...input: CallArguments<Given>) => Promise<Output>
      : Operations[Name] extends Tentative<infer Given, infer _I, infer Output>
        ? (...input: CallArguments<Given>) => Promise<AcceptedHold<Output>>
        : never;
};

/** Names that every object has, or that make an object look like something else (`then`: a promise). */
const reserved = [
  'constructor',
  'prototype',
  'then',
  'activity',
  'toString',
  'toJSON',
  'valueOf',
  'hasOwnProperty',
] as const;
const reservedNames: ReadonlySet<string> = new Set(reserved);

/** Puts a compile-time error on an operation with a reserved name. */
type WellNamed<Operations> = {
  readonly [Name in keyof Operations & (typeof reserved)[number]]: `'${Name}' cannot name an operation`;
};

type Leaf = string | number | bigint | boolean | null | undefined | Uint8Array;

/**
 * The type itself if it can be stored. Each part that cannot be stored is replaced by a text that says why. Parts of type
 * `unknown` and `any` are checked at run time instead.
 */
export type Storable<Value> = Value extends Leaf
  ? Value
  : Value extends Date
    ? 'a Date cannot be stored: store milliseconds'
    : Value extends ReadonlyMap<unknown, unknown>
      ? 'a Map cannot be stored: store an object or an array of pairs'
      : Value extends ReadonlySet<unknown>
        ? 'a Set cannot be stored: store an array'
        : Value extends Promise<unknown>
          ? 'a Promise cannot be stored: a turn does not wait'
          : Value extends RegExp | Error | ArrayBuffer | symbol | ((...parameters: never) => unknown)
            ? 'this cannot be stored: store plain data'
            : Value extends object
              ? { [Name in keyof Value]: Storable<Value[Name]> }
              : Value;
const operationPattern = /^[a-zA-Z][a-zA-Z0-9]{0,63}$/;

/**
 * Define a contract: the type's name, its initial state, its operations, and its initial activity for each type of partner.
 *
 *     const Stock = entity('stock', {
 *       initial: () => ({ free: 0, held: 0 }),
 *       operations: { receive: command(Units), reserve: tentative(Units), available: query(v.number()) },
 *     });
 *
 * Throws `invalid-definition` for an invalid type, operation name or option.
 */
export function entity<
  const Type extends string,
  State,
  const Operations extends OperationMap,
  const Activities extends ActivityMap = Record<never, never>,
>(
  type: Type,
  definition: {
    readonly initial: (key: string) => State & Storable<NoInfer<State>>;
    readonly operations: Operations & WellNamed<Operations>;
    readonly activities?: Activities | undefined;
  },
): Entity<Type, State, Operations, Activities> {
  if (typeof type !== 'string' || !isTypeName(type))
    throw new SkerryError(
      'invalid-definition',
      `'${String(type)}' cannot name an entity type: lower-case letters, digits and '-', at most 64`,
    );
  const table = { initial: callable, operations: record, activities: record };
  checkOptions(`entity('${type}')`, definition, table);
  for (const name of ['initial', 'operations'] as const)
    if (definition[name] === undefined) throw new SkerryError('invalid-definition', `entity('${type}') lacks ${name}`);
  for (const name of Object.keys(definition.operations)) {
    if (!operationPattern.test(name) || reservedNames.has(name)) {
      throw new SkerryError(
        'invalid-definition',
        `'${name}' cannot name an operation of '${type}': letters and digits, at most 64, and not ${[...reservedNames].join(', ')}`,
      );
    }
  }
  const activities = definition.activities ?? ({} as Activities);
  return Object.freeze({ type, initial: definition.initial, operations: definition.operations, activities });
}

/** The type name of a contract. Throws `invalid-definition` for any other value, such as a behaviour or an undefined import. */
export function typeIn(contract: AnyEntity): string {
  const given: unknown = contract;
  if (typeof given === 'object' && given !== null && 'type' in given && typeof given.type === 'string')
    return given.type;
  const isBehaviour = typeof given === 'object' && given !== null && 'contract' in given;
  throw new SkerryError(
    'invalid-definition',
    `A contract from entity() is needed, not ${isBehaviour ? 'a behaviour: pass its contract' : described(given)}`,
  );
}

/** Most UTF-8 bytes in the id of a hold: enough for an address, a version and a number. */
export const holdIdBytesMax = 640;

/** Checks a hold, which may come from an unchecked input. An invalid one would stay in the outbox, because no receiver can read it. */
export function checkedHold(hold: Hold): Hold {
  // The sizes too: an invented hold must not make a frame too large.
  const isHold =
    typeof hold === 'object' &&
    hold !== null &&
    typeof hold.operation === 'string' &&
    hold.operation.length <= defaultLimits.nameLengthMax &&
    typeof hold.id === 'string' &&
    utf8Length(hold.id) <= holdIdBytesMax;
  if (!isHold)
    throw new SkerryError(
      'invalid-input',
      'A hold must be the value that a tentative operation returned: { entity, operation, id }',
    );
  parseAddress(hold.entity);
  return hold;
}
