/**
 * Plain data: checks and copies a value to be stored or sent in one pass. Entities are islands and share no objects (P11).
 *
 * Owns the definition of plain data, and the copy. It knows only that a value may be a draft, which the symbol `draftOf` tells;
 * recorder.ts owns drafts. The codec owns the encoding.
 *
 * D1: Accepted data comes back equal from the store. msgpack has no -0 (stored as 0), no lone surrogates and no bigints
 *     beyond 64 bits (both rejected), no holes (stored as undefined) and no named properties of arrays (not copied).
 * D2: The copy shares no object with the value and is a tree: an object that the value holds twice becomes two.
 *     The work is linear in the size of the copy and stops once that is over the limit (`too-large`). An object that holds the previous
 *     one twice, forty levels deep, is small only as long as it shares.
 * D3: Nothing that a program could have meant is dropped: functions, class instances, accessors and symbol keys are rejected with the
 *     path to them. Getters are never run.
 */
import { SkerryError } from './errors.ts';
import { defaultLimits } from './limits.ts';

export type Key = string | number;

/** Where a value was found, for messages: a text, or a function that makes the text on demand. */
export type Where = string | (() => string);

/** Drafts and views return their handler for this symbol. */
export const draftOf: unique symbol = Symbol('skerry.draft');

export interface Draft {
  /** The object behind the draft, or undefined when it can only be read through the draft. */
  readonly plain: object | undefined;
}

/** A limit on the size of copies, bytes. The count is a lower bound of the encoded size. */
export interface Budget {
  readonly bytesMax: number;
  bytesLeft: number;
}

/** Puts the objects behind drafts into a copy as they are instead of copying them; see recorder.ts. */
export interface Keeper extends Budget {
  adopt(draft: Draft, parent: object, key: Key, level: number): object | undefined;
}

type Plain = Record<PropertyKey, unknown>;

const bigintMin = -(2n ** 63n);
const bigintMax = 2n ** 64n - 1n;
const identifier = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

/**
 * A copy of the value that shares no object with it. Throws `unstorable` with the path to a part that cannot be stored, and `too-large`
 * if the value certainly takes more than `bytesMax` when encoded.
 */
export function storable(value: unknown, where: string, bytesMax: number = defaultLimits.stateBytesMax): unknown {
  if (typeof value === 'object' && value !== null) return new Copying(where, undefined, bytesMax).copy(value, 1);
  return leaf(value, where);
}

/**
 * The same for a value at `level` of a tree, where a `keeper` may take drafts as they are. Bounded by the keeper's budget. A copy
 * without a keeper is of a tree that was bounded before.
 */
export function copyStorable(value: unknown, where: Where, level: number, keeper?: Keeper): unknown {
  if (typeof value === 'object' && value !== null)
    return new Copying(where, keeper, Number.POSITIVE_INFINITY).copy(value, level);
  return leaf(value, where);
}

function leaf(value: unknown, where: Where): unknown {
  const problem = leafProblem(value);
  if (problem !== undefined) throw unstorable(where, problem);
  return value === 0 ? 0 : value;
}

/** Subtracts bytes from a budget. Throws `too-large` when nothing is left. */
export function spend(budget: Budget, bytes: number, where: Where): void {
  budget.bytesLeft -= bytes;
  if (budget.bytesLeft < 0) throw tooMuch(where, budget.bytesMax);
}

function tooMuch(where: Where, bytesMax: number): SkerryError {
  return new SkerryError(
    'too-large',
    `${typeof where === 'string' ? where : where()} takes more than ${bytesMax} bytes: messageBytesMax limits inputs and outputs, stateBytesMax states`,
  );
}

export function unstorable(where: Where, problem: string): SkerryError {
  return new SkerryError('unstorable', `${typeof where === 'string' ? where : where()} ${problem}`);
}

/** Steps of a path shown at its start and at its end. The path into a value that contains itself has depthMax steps. */
const shownSteps = { first: 8, last: 4 };
/** Characters shown of a name in a path. */
const nameLengthMax = 64;

/** `order`, `['lines', 3, 'when']` → `order.lines[3].when`. */
export function pathText(where: Where, path: readonly Key[]): string {
  const { first, last } = shownSteps;
  const start = `${typeof where === 'string' ? where : where()}`;
  if (path.length <= first + last) return start + path.map(stepText).join('');
  return `${start}${path.slice(0, first).map(stepText).join('')}…${path.slice(-last).map(stepText).join('')}`;
}

function stepText(key: Key): string {
  if (typeof key === 'number') return `[${key}]`;
  const name = key.length > nameLengthMax ? `${key.slice(0, nameLengthMax)}…` : key;
  return identifier.test(key) ? `.${name}` : `[${JSON.stringify(name)}]`;
}

/** Whether a level of nesting is beyond depthMax. */
export function isTooDeep(level: number): boolean {
  return level > defaultLimits.depthMax;
}

export const tooDeep = `is nested deeper than ${defaultLimits.depthMax} levels, or contains itself`;

/** One copy in progress. It keeps the path to the current part for the error message. */
class Copying implements Budget {
  readonly bytesMax: number;
  bytesLeft: number;
  private readonly trail: Key[] = [];
  private readonly where: Where;
  private readonly keeper: Keeper | undefined;
  private readonly budget: Budget;

  constructor(where: Where, keeper: Keeper | undefined, bytesMax: number) {
    this.where = where;
    this.keeper = keeper;
    this.bytesMax = bytesMax;
    this.bytesLeft = bytesMax;
    this.budget = keeper ?? this;
  }

  copy(value: object, level: number): object {
    if (isTooDeep(level)) throw this.refusal(tooDeep);
    const draft = draftIn(value);
    const source = draft?.plain ?? value;
    if (Array.isArray(source)) return this.array(source, level);
    const prototype: unknown = Object.getPrototypeOf(source);
    if (prototype === Object.prototype || isPlainPrototype(prototype)) return this.record(source as Plain, level);
    if (!isBytes(source)) throw this.refusal(objectProblem(source));
    spend(this.budget, source.length, this.where);
    return new Uint8Array(source);
  }

  private record(source: Plain, level: number): object {
    const copy: Plain = {};
    const keys = Object.keys(source);
    spend(this.budget, 2 * keys.length, this.where);
    let count = 0;
    for (const key of keys) {
      const descriptor = Reflect.getOwnPropertyDescriptor(source, key);
      if (descriptor === undefined) continue;
      if (descriptor.get !== undefined || descriptor.set !== undefined) throw this.refusal(accessorProblem, key);
      const problem = keyProblem(key);
      if (problem !== undefined) throw this.refusal(problem, key);
      if (isFarIndex(key, count++)) scatter(copy);
      copy[key] = this.part(descriptor.value, copy, key, level);
    }
    if (Object.getOwnPropertySymbols(source).length > 0) throw this.refusal(symbolProblem);
    return copy;
  }

  private array(source: readonly unknown[], level: number): object {
    if (!isArrayPrototype(Object.getPrototypeOf(source))) throw this.refusal(objectProblem(source));
    if (source.length > defaultLimits.stateBytesMax) throw tooLong(pathText(this.where, this.trail), source.length);
    spend(this.budget, source.length, this.where);
    const copy: unknown[] = [];
    for (let index = 0; index < source.length; index++) copy.push(this.part(source[index], copy, index, level));
    return copy;
  }

  private part(value: unknown, parent: object, key: Key, level: number): unknown {
    if (typeof value !== 'object' || value === null) {
      const problem = leafProblem(value);
      if (problem !== undefined) throw this.refusal(problem, key);
      if (typeof value === 'string') spend(this.budget, value.length, this.where);
      return value === 0 ? 0 : value;
    }
    this.trail.push(key);
    const draft = this.keeper === undefined ? undefined : draftIn(value);
    const kept = draft && this.keeper?.adopt(draft, parent, key, level + 1);
    const copy = kept ?? this.copy(value, level + 1);
    this.trail.pop();
    return copy;
  }

  private refusal(problem: string, key?: Key): SkerryError {
    if (key !== undefined) this.trail.push(key);
    return unstorable(pathText(this.where, this.trail), problem);
  }
}

/**
 * Whether a field's name is an index far beyond the number of fields before it. The engine would reserve all elements up to it, 12 KB
 * for a field of 7 bytes, so the object is scattered first.
 */
export function isFarIndex(key: string, fieldCount: number): boolean {
  const first = key.charCodeAt(0);
  return first >= 49 && first <= 57 && Number(key) > 4 * fieldCount + 16;
}

/** Makes the engine keep an object's numbered fields in a hash table. */
export function scatter(fields: Record<string, unknown>): void {
  const farthest = '4294967294';
  fields[farthest] = undefined;
  delete fields[farthest];
}

/** The prototype of plain objects, also of another realm (a vm context, a frame): no class between, nothing above. */
function isPlainPrototype(prototype: unknown): boolean {
  if (prototype === null) return true;
  return (
    typeof prototype === 'object' &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'isPrototypeOf')
  );
}

/** The prototype of arrays is itself an array in every realm. The prototype of a class that extends Array is not. */
function isArrayPrototype(prototype: unknown): boolean {
  return (
    prototype === Array.prototype || (Array.isArray(prototype) && isPlainPrototype(Object.getPrototypeOf(prototype)))
  );
}

const typedName = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)?.get;

/** Whether it is a Uint8Array, of this realm or another. */
function isBytes(value: object): value is Uint8Array {
  return (
    value instanceof Uint8Array || (typedName !== undefined && Reflect.apply(typedName, value, []) === 'Uint8Array')
  );
}

/** The handler behind a draft or a view; undefined for every other object. */
export function draftIn(value: object): Draft | undefined {
  return (value as { readonly [draftOf]?: Draft })[draftOf];
}

/** The error for an array that is too long. Its length is checked before it is walked: `new Array(4e9)` is one statement. */
export function tooLong(where: string, length: number): SkerryError {
  const limit = defaultLimits.stateBytesMax;
  return new SkerryError('too-large', `${where} has ${length} elements: more than fit into stateBytesMax (${limit})`);
}

/** Why a property of this name cannot be stored. */
export function keyProblem(key: string | symbol): string | undefined {
  if (typeof key === 'symbol') return symbolProblem;
  if (key === '__proto__') return 'has a name that would change prototypes: choose another';
  return key.isWellFormed() ? undefined : 'has a name that is not well-formed Unicode (a lone surrogate)';
}

export const accessorProblem = 'is a getter or setter: store its value instead';
const symbolProblem = 'has a symbol as a property name: use a string';

/** Why a value that is not an object cannot be stored. */
export function leafProblem(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed()
        ? undefined
        : 'is not well-formed Unicode (a lone surrogate): store a Uint8Array instead';
    case 'bigint':
      return value >= bigintMin && value <= bigintMax
        ? undefined
        : 'is a bigint of more than 64 bits: store a string instead';
    case 'function':
      return 'is a function: store data, and keep behaviour in operations';
    case 'symbol':
      return 'is a symbol: store a string instead';
    default:
      return undefined;
  }
}

const remedies: Readonly<Record<string, string>> = {
  Date: 'store milliseconds instead',
  Map: 'store a plain object or an array of pairs instead',
  Set: 'store an array instead',
  Promise: 'a turn does not wait; use an effect and store its outcome',
  Error: 'store its message instead',
  RegExp: 'store its source instead',
  ArrayBuffer: 'store a Uint8Array instead',
};

function objectProblem(value: object): string {
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  const remedy = Object.hasOwn(remedies, tag) ? remedies[tag] : undefined;
  const constructed: unknown = Reflect.get(value, 'constructor');
  const name = typeof constructed === 'function' && constructed.name !== '' ? constructed.name : tag;
  if (remedy !== undefined) return `is ${/^[AE]/.test(name) ? 'an' : 'a'} ${name}: ${remedy}`;
  return `is an instance of ${name}: store a plain object instead`;
}

/** A copy of bytes that keeps no larger buffer alive: encoders return slices of large ones. */
export function retained(bytes: Uint8Array): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes);
}
