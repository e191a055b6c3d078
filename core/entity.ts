/**
 * entity(): a contract, and the types that follow from it.
 *
 * A contract is a plain value: the type's name, its operations with their schemas, the state at first, and what the type
 * remembers about its partners. Partners, clients and browsers import contracts only.
 */
import { SkerryError } from './errors.ts';
import { defaultLimits } from './limits.ts';
import { isTypeName, parseAddress, utf8Length } from './message.ts';
import type { Command, OperationMap, Query, Tentative } from './operation.ts';
import { callable, checkOptions, described, record } from './options.ts';

/** What an entity type remembers about its partners of each type, as it is at first. */
export type ActivityMap = Readonly<Record<string, () => unknown>>;

export interface Entity<Type extends string, State, Operations extends OperationMap, Activities extends ActivityMap> {
  readonly type: Type;
  readonly initial: (key: string) => State;
  readonly operations: Operations;
  readonly activities: Activities;
}

// biome-ignore lint/suspicious/noExplicitAny: the widest contract; inference narrows it
export type AnyEntity = Entity<string, any, OperationMap, ActivityMap>;

export type StateOf<Contract extends AnyEntity> = ReturnType<Contract['initial']>;

/** The application's state about a partner of a type; `undefined` where the contract declares none. */
export type ActivityOf<Contract extends AnyEntity, Type extends string> = Type extends keyof Contract['activities']
  ? ReturnType<Contract['activities'][Type]>
  : undefined;

/** The application's state about a partner of any declared type; `undefined` where the contract declares none. */
export type AnyActivityOf<Contract extends AnyEntity> = [keyof Contract['activities']] extends [never]
  ? undefined
  : ReturnType<Contract['activities'][keyof Contract['activities']]>;

/** `(input)` where the operation has one, else `()`. `any` is an input too, although it extends `void`. */
export type InputArguments<Given> = 0 extends 1 & Given
  ? [input?: Given]
  : [Given] extends [void]
    ? [input?: undefined]
    : undefined extends Given
      ? [input?: Given]
      : [input: Given];

/** A tentative operation that was asked of an entity: a plain value that may be kept in state, activity or messages. */
export interface Hold {
  readonly entity: string;
  readonly operation: string;
  readonly id: string;
}

/** What a compiler says of it: a query is asked by clients, and a turn never waits. There is nothing of it to call. */
export interface QueryCannotBeSentFromATurn {
  readonly kind: 'query';
}

/** What a turn can send to another entity: recorded in the turn, sent after its commit. Queries are not among it. */
export type Sender<Operations extends OperationMap> = {
  readonly [Name in keyof Operations]: Operations[Name] extends Command<infer Given, infer _I, infer _O>
    ? (...input: InputArguments<Given>) => void
    : Operations[Name] extends Tentative<infer Given, infer _I, infer _O>
      ? (...input: InputArguments<Given>) => Hold
      : QueryCannotBeSentFromATurn;
};

/** A tentative operation that was accepted, in the hands of a client. */
export interface AcceptedHold<Output> {
  readonly hold: Hold;
  readonly output: Output;
  /** Release the right to cancel. Rejects with `lapsed` if the hold had ended by then. */
  confirm(options?: CallOptions): Promise<void>;
  /** Use it. Resolves also if the hold had lapsed by then: it is cancelled already. */
  cancel(options?: CallOptions): Promise<void>;
}

export interface CallOptions {
  /** Give up after this long, ms. */
  readonly deadlineMs?: number | undefined;
  /**
   * A name for this request: every call of the entity with the same key, from any process, has the effect of one and gets
   * its answer, for `keyLifeMs` after the first of them. Another operation or input under it is refused with
   * `invalid-input`, also the confirm or cancel of a hold that was asked for under it.
   */
  readonly idempotencyKey?: string | undefined;
  /** How long the idempotency key is remembered at least, ms (default: the limit `horizonMs`). */
  readonly keyLifeMs?: number | undefined;
}

/** `(input, options?)` where the operation has an input; else `(options?)`, or, as for all others, `(undefined, options?)`. */
export type CallArguments<Given> = 0 extends 1 & Given
  ? [input?: Given, options?: CallOptions]
  : [Given] extends [void]
    ? [options?: CallOptions] | [input: undefined, options?: CallOptions]
    : [...InputArguments<Given>, options?: CallOptions];

/** What a client can ask of an entity. */
export type Caller<Operations extends OperationMap> = {
  readonly [Name in keyof Operations]: Operations[Name] extends Command<infer Given, infer _I, infer Output>
    ? (...input: CallArguments<Given>) => Promise<Output>
    : Operations[Name] extends Query<infer Given, infer _I, infer Output>
      ? (...input: CallArguments<Given>) => Promise<Output>
      : Operations[Name] extends Tentative<infer Given, infer _I, infer Output>
        ? (...input: CallArguments<Given>) => Promise<AcceptedHold<Output>>
        : never;
};

/** Names that every object has, or that make an object look like something else. */
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

/** An error on the operation that has one of these names. */
type WellNamed<Operations> = {
  readonly [Name in keyof Operations & (typeof reserved)[number]]: `'${Name}' cannot name an operation`;
};

type Leaf = string | number | bigint | boolean | null | undefined | Uint8Array;

/**
 * A type as it can be stored. A part that is not data has an error in its place. What may be anything at
 * run time (`unknown`, `any`) is left to the check that is made there.
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
 * A contract: the type's name, its state at first, its operations, and the state it keeps about partners of each type.
 *
 *     const Stock = entity('stock', {
 *       initial: () => ({ free: 0, held: 0 }),
 *       operations: { receive: command(Units), reserve: tentative(Units), available: query(v.number()) },
 *     });
 *
 * Throws `invalid-definition` for names that cannot be.
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

/** The type that a contract is for. Throws `invalid-definition` for what is none: a behaviour, mostly, or an import that came to nothing. */
export function typeIn(contract: AnyEntity): string {
  const given: unknown = contract;
  if (typeof given === 'object' && given !== null && 'type' in given && typeof given.type === 'string')
    return given.type;
  const isBehaviour = typeof given === 'object' && given !== null && 'contract' in given;
  throw new SkerryError(
    'invalid-definition',
    `A contract is needed, as entity() makes it, not ${isBehaviour ? 'a behaviour: give its contract' : described(given)}`,
  );
}

/** Bytes of UTF-8 in a hold's id: an address, a version and a number have room in it. */
export const holdIdBytesMax = 640;

/** A hold may come from anywhere, an unchecked input too; one that is none would lie in the outbox and never be read. */
export function checkedHold(hold: Hold): Hold {
  // Also its sizes: no frame may get too large for what an application made up.
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
      'A hold must be the value that a tentative operation gave: { entity, operation, id }',
    );
  parseAddress(hold.entity);
  return hold;
}
