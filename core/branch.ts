/**
 * Branches: the proxy handlers behind drafts, one for each object that a turn touches. Owns the traps and what one write does to one
 * object. recorder.ts owns the bookkeeping of the whole turn and the invariants.
 */
import { SkerryError } from './errors.ts';
import type { BytesPlace } from './lent.ts';
import { defaultLimits } from './limits.ts';
import { type Edit, type Plain, replaceRange } from './patch.ts';
import type { Holder, Recorder } from './recorder.ts';
import type { Draft, Key } from './storable.ts';
import * as data from './storable.ts';
import { describe, expired } from './view.ts';

/** One change, as far as undo and the counting of references need it, linked to the step before it. */
export type Step = { readonly previous: Step | undefined } & (
  | { readonly kind: 'put'; readonly target: Plain; readonly key: Key; readonly old: unknown }
  | { readonly kind: 'add'; readonly target: Plain; readonly key: Key }
  | { readonly kind: 'hide'; readonly old: unknown }
  | {
      readonly kind: 'splice';
      readonly list: unknown[];
      readonly start: number;
      readonly count: number;
      readonly old: unknown[];
    }
  | { readonly kind: 'order'; readonly list: unknown[]; readonly old: readonly unknown[] }
  | { readonly kind: 'shape'; readonly target: Plain; readonly entries: readonly (readonly [string, unknown])[] }
);

/** One open state. */
export class Tree implements BytesPlace {
  readonly recorder: Recorder;
  readonly holder: Holder;
  readonly name: string;
  readonly next: Tree | undefined;
  root: Branch | undefined = undefined;
  isChanged = false;
  isWhole = false;
  edits: Edit[] | undefined = undefined;

  constructor(recorder: Recorder, holder: Holder, name: string, next: Tree | undefined) {
    this.recorder = recorder;
    this.holder = holder;
    this.name = name;
    this.next = next;
  }

  takeBack(original: Uint8Array, copy: Uint8Array): Uint8Array | undefined {
    if (this.holder.value !== original) return undefined;
    this.recorder.replace(this.holder, copy);
    return this.holder.value as unknown as Uint8Array;
  }
}

/** The proxy handler of one object of the state during one turn, and its place in the tree as last seen. */
export class Branch implements Draft, BytesPlace {
  readonly recorder: Recorder;
  readonly target: Plain;
  readonly proxy: Plain;
  parent: Branch | undefined = undefined;
  key: Key = '';
  tree: Tree | undefined = undefined;
  /** An edit made earlier in the turn carries its content. */
  isCarried = false;
  /**
   * Deleted properties are hidden until the turn is kept. Undo therefore need not restore the order of keys, which takes a walk over
   * all of them: 18 ms for 100,000.
   */
  gone: Set<string> | undefined = undefined;
  /** Present only while something is hidden, because this trap slows down listing the keys of a wide object. */
  declare ownKeys?: () => string[];

  constructor(recorder: Recorder, target: Plain) {
    this.recorder = recorder;
    this.target = target;
    this.proxy = new Proxy(target, this);
  }

  get plain(): object | undefined {
    this.recorder.takeBackBytes();
    return this.recorder.isHiding ? undefined : this.target;
  }

  get list(): unknown[] {
    return this.target as unknown as unknown[];
  }

  get(target: Plain, key: string | symbol, receiver?: unknown): unknown {
    if (this.recorder.isOver) throw expired();
    if (key === data.draftOf) return receiver === this.proxy ? this : undefined;
    if (typeof key === 'symbol') return Reflect.get(target, key);
    if (this.gone?.has(key) === true) return Reflect.get(Object.prototype, key);
    const value = target[key];
    if (typeof value === 'object' && value !== null) return Object.hasOwn(target, key) ? this.child(value, key) : value;
    if (typeof value === 'function' && Array.isArray(target)) return arrayMethods.get(key) ?? value;
    return value;
  }

  has(target: Plain, key: string | symbol): boolean {
    if (this.recorder.isOver) throw expired();
    return Reflect.has(this.gone?.has(key as string) === true ? Object.prototype : target, key);
  }

  getOwnPropertyDescriptor(target: Plain, key: string | symbol): PropertyDescriptor | undefined {
    if (this.recorder.isOver) throw expired();
    if (this.gone?.has(key as string) === true) return undefined;
    return describe(target, key, this);
  }

  set(target: Plain, key: string | symbol, value: unknown, receiver: unknown): boolean {
    if (this.recorder.isOver) throw expired();
    if (receiver !== this.proxy) return setInherited(receiver as object, key, value);
    if (typeof key === 'symbol' || key === '__proto__') throw this.refusal(String(key), data.keyProblem(key) ?? '');
    if (Array.isArray(target)) this.setElement(target, key, value);
    else this.put(key, value);
    return true;
  }

  deleteProperty(target: Plain, key: string | symbol): boolean {
    if (this.recorder.isOver) throw expired();
    if (typeof key === 'symbol' || !Object.hasOwn(target, key) || this.gone?.has(key) === true) return true;
    if (!Array.isArray(target)) this.hide(key);
    else if (key === 'length') return false;
    else this.put(Number(key), undefined);
    return true;
  }

  defineProperty(target: Plain, key: string | symbol, descriptor: PropertyDescriptor): boolean {
    if (descriptor.get !== undefined || descriptor.set !== undefined) {
      throw this.refusal(String(key), data.accessorProblem);
    }
    const current = this.getOwnPropertyDescriptor(target, key);
    for (const attribute of ['writable', 'enumerable', 'configurable'] as const) {
      if ((descriptor[attribute] ?? current?.[attribute] ?? false) !== (current?.[attribute] ?? true)) {
        throw this.refusal(String(key), `must stay ${attribute}: state is plain data`);
      }
    }
    return 'value' in descriptor || current === undefined ? this.set(target, key, descriptor.value, this.proxy) : true;
  }

  setPrototypeOf(): boolean {
    throw this.refusal(undefined, 'is state: its prototype cannot be changed');
  }

  preventExtensions(): boolean {
    throw this.refusal(undefined, 'is state: it cannot be frozen or sealed');
  }

  /** A value of this object as the handler sees it: a draft, or lent bytes (D11). */
  child(value: unknown, key: string): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Uint8Array) return this.recorder.lend(value, this);
    const branch = this.recorder.branch(value as Plain);
    branch.parent = this;
    branch.key = Array.isArray(this.target) ? Number(key) : key;
    return branch.proxy;
  }

  /** Whether the child is where it was last seen, or elsewhere in the same array. */
  holds(child: Branch): boolean {
    if (this.target[child.key] === child.target) return this.gone?.has(child.key as string) !== true;
    const index = Array.isArray(this.target) ? this.target.indexOf(child.target) : -1;
    if (index >= 0) child.key = index;
    return index >= 0;
  }

  takeBack(original: Uint8Array, copy: Uint8Array): Uint8Array | undefined {
    const { target, list } = this;
    const key = Array.isArray(target)
      ? list.indexOf(original)
      : Object.keys(target).find((name) => target[name] === original && this.gone?.has(name) !== true);
    if (key === undefined || key === -1) return undefined;
    this.put(key, copy);
    return target[key] as Uint8Array;
  }

  /** Sets a field or an existing element. */
  put(key: Key, value: unknown): void {
    const { target, recorder } = this;
    const old = target[key];
    const isHidden = this.gone?.has(key as string) === true;
    const had = Object.hasOwn(target, key) && !isHidden;
    if (had && Object.is(old, recorder.plainOf(value))) return;
    const problem = had || typeof key === 'number' ? undefined : data.keyProblem(key);
    if (problem !== undefined) throw this.refusal(key, problem);
    const tree = recorder.locate(this);
    const stored = recorder.admit(this, key, value);
    if (isHidden) this.bare();
    const previous = recorder.last;
    recorder.last = had ? { previous, kind: 'put', target, key, old } : { previous, kind: 'add', target, key };
    target[key] = stored;
    if (had) recorder.removed(old, target, key);
    const edits = recorder.editsOf(tree);
    if (edits === undefined) return;
    edits.push([recorder.path(this, key), stored]);
    recorder.carry(stored);
  }

  private setElement(list: unknown[], key: string, value: unknown): void {
    const index = Number(key);
    if (key === 'length') return this.setLength(list, value);
    if (!Number.isInteger(index) || String(index) !== key || index < 0) {
      throw this.refusal(key, 'is a named property of an array: arrays hold numbered elements only');
    }
    if (index < list.length) return this.put(index, value);
    if (index > list.length) this.setLength(list, index);
    this.splice(index, 0, [value]);
  }

  private setLength(list: unknown[], value: unknown): void {
    const length = Number(value);
    if (length >>> 0 !== length) throw new RangeError('Invalid array length');
    if (length <= list.length) this.splice(length, list.length - length, []);
    else this.splice(list.length, 0, this.padding(length - list.length));
  }

  /** Holes would come back from the store as undefined, so they are undefined from the start. */
  private padding(count: number): undefined[] {
    if (count > defaultLimits.stateBytesMax) throw data.tooLong(this.where(undefined), count);
    return new Array<undefined>(count).fill(undefined);
  }

  /** Replaces a range of this array and returns the old elements. */
  splice(start: number, count: number, items: readonly unknown[]): unknown[] {
    const { recorder, list } = this;
    if (count === 0 && items.length === 0) return [];
    const length = list.length - count + items.length;
    if (length > defaultLimits.stateBytesMax) throw data.tooLong(this.where(undefined), length);
    const tree = recorder.locate(this);
    for (let index = start; index < start + count; index++) recorder.removed(list[index], list, index);
    const inserted = items.map((item, index) => recorder.admit(this, start + index, item));
    const old = replaceRange(list, start, count, inserted);
    recorder.last = { previous: recorder.last, kind: 'splice', list, start, count: inserted.length, old };
    const edits = recorder.editsOf(tree);
    if (edits === undefined) return old;
    edits.push([recorder.path(this), start, count, inserted]);
    for (const item of inserted) recorder.carry(item);
    return old;
  }

  /** Reorders the elements of this array. */
  reorder(next: readonly unknown[]): void {
    const { recorder, list } = this;
    if (next.every((item, index) => Object.is(item, list[index]))) return;
    const tree = recorder.locate(this);
    recorder.last = { previous: recorder.last, kind: 'order', list, old: list.slice() };
    refill(list, next);
    recorder.editsOf(tree)?.push([recorder.path(this), list]);
    this.isCarried = true;
  }

  private hide(key: string): void {
    const { recorder, target } = this;
    const tree = recorder.locate(this);
    const old = target[key];
    recorder.last = { previous: recorder.last, kind: 'hide', old };
    if (this.gone === undefined) recorder.hide(this);
    this.gone = (this.gone ?? new Set()).add(key);
    this.ownKeys ??= () => (Reflect.ownKeys(target) as string[]).filter((name) => this.gone?.has(name) !== true);
    recorder.removed(old, target, key);
    recorder.editsOf(tree)?.push([recorder.path(this, key)]);
  }

  /** Deletes hidden properties and records the object's entries for undo. Walks the whole object. */
  bare(): void {
    const { recorder, target } = this;
    recorder.last = { previous: recorder.last, kind: 'shape', target, entries: Object.entries(target) };
    this.drop();
  }

  drop(): void {
    for (const key of this.gone ?? []) delete this.target[key];
    this.gone = undefined;
  }

  /** The path to this object or to one of its properties, for messages. */
  where(key: Key | undefined): string {
    const tree = this.recorder.locate(this);
    return data.pathText(tree?.name ?? 'draft', this.recorder.path(this, key));
  }

  refusal(key: Key | undefined, problem: string): SkerryError {
    return data.unstorable(this.where(key), problem);
  }
}

export function undoStep(step: Step): void {
  switch (step.kind) {
    case 'put':
      step.target[step.key] = step.old;
      return;
    case 'add':
      delete step.target[step.key];
      return;
    case 'hide':
      return;
    case 'splice':
      replaceRange(step.list, step.start, step.count, step.old);
      return;
    case 'order':
      refill(step.list, step.old);
      return;
    case 'shape':
      for (const key of Object.keys(step.target)) delete step.target[key];
      // Defined rather than assigned, because a decoded state could have a property named `__proto__`.
      for (const [key, value] of step.entries) {
        Object.defineProperty(step.target, key, { value, writable: true, enumerable: true, configurable: true });
      }
  }
}

function refill(list: unknown[], next: readonly unknown[]): void {
  for (let index = 0; index < next.length; index++) list[index] = next[index];
}

/** An assignment to an object whose prototype is a draft: the property belongs to that object. */
function setInherited(object: object, key: string | symbol, value: unknown): boolean {
  return Reflect.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

type ArrayChange = (branch: Branch, list: unknown[], given: readonly unknown[]) => unknown;

/**
 * Array methods that move elements, as one step on the live array. The built-in methods would move each element through the proxy: a
 * `shift` would touch, and its patch would hold, every element of a queue.
 */
const arrayMethods: ReadonlyMap<string, unknown> = new Map([
  arrayMethod('push', (branch, list, given) => {
    branch.splice(list.length, 0, given);
    return list.length;
  }),
  arrayMethod('unshift', (branch, list, given) => {
    branch.splice(0, 0, given);
    return list.length;
  }),
  arrayMethod('pop', (branch, list) =>
    branch.recorder.draft(branch.splice(Math.max(0, list.length - 1), Math.min(1, list.length), [])[0]),
  ),
  arrayMethod('shift', (branch, list) => branch.recorder.draft(branch.splice(0, Math.min(1, list.length), [])[0])),
  arrayMethod('splice', spliceDraft),
  arrayMethod('sort', sortDraft),
  arrayMethod('reverse', (branch, list) => {
    branch.reorder(list.toReversed());
    return branch.proxy;
  }),
]);

function arrayMethod(name: string, change: ArrayChange): readonly [string, unknown] {
  const builtIn: unknown = Reflect.get(Array.prototype, name);
  const method = function (this: object, ...given: unknown[]): unknown {
    const branch = data.draftIn(this);
    if (branch instanceof Branch && Array.isArray(branch.target)) return change(branch, branch.target, given);
    return Reflect.apply(builtIn as (...given: unknown[]) => unknown, this, given);
  };
  return [name, method];
}

function spliceDraft(branch: Branch, list: unknown[], given: readonly unknown[]): unknown[] {
  const [from, howMany, ...items] = given;
  const relative = Math.trunc(Number(from)) || 0;
  const start = relative < 0 ? Math.max(0, list.length + relative) : Math.min(relative, list.length);
  const rest = list.length - start;
  const wanted = given.length > 1 ? Math.trunc(Number(howMany)) || 0 : given.length * rest;
  const removed = branch.splice(start, Math.max(0, Math.min(wanted, rest)), items);
  return removed.map((item) => branch.recorder.draft(item));
}

function sortDraft(branch: Branch, list: unknown[], given: readonly unknown[]): unknown {
  const before = list.slice();
  const drafts = list.map((item, index) => branch.child(item, String(index)));
  const plain = new Map(drafts.map((draft, index) => [draft, before[index]]));
  drafts.sort(given[0] as ((left: unknown, right: unknown) => number) | undefined);
  if (before.length !== list.length || before.some((item, index) => !Object.is(item, list[index]))) {
    throw new SkerryError('failed', `${branch.where(undefined)} was changed by its own compare function`);
  }
  branch.reorder(drafts.map((draft) => plain.get(draft)));
  return branch.proxy;
}
