/**
 * Drafts: the state that a turn changes in place, with a record from which the change is undone or written as a patch.
 *
 * A turn is one uninterrupted step, so nobody else sees the state half changed, and no copy is needed: the draft is a
 * thin proxy over the live objects. Opening costs nothing per field; reads and writes cost what they touch
 * (docs/decisions/0001). Owns drafts, views, undo and patches. Does not encode, and does not know when a turn commits.
 *
 *   new Recorder ── open, replace, use of drafts ──▶ settle ──▶ isChanged, patch, whole ──▶ keep
 *                                  └── a turn that throws, or a patch too large ──────────▶ undo
 *
 * D4: Undo restores the same objects with the same content in the same key order.
 * D5: `applyPatch(before, patch)` equals the state after.
 * D6: Stored state is a tree. An object may be moved; one that ends up at two places is copied at the later one.
 * D7: What is assigned is copied (D2): a caller's later change to its own object does not reach the state.
 * D8: After `keep` or `undo` every draft and view throws, so a leaked one neither reads nor changes the live state.
 * D9: A view cannot change anything.
 * D10: Nothing in the state is nested deeper than depthMax, however many turns it took to nest it.
 *
 * Why patches may skip writes: once an edit carries an object (a new one, or an existing one that moved), its value is
 * read when the turn has settled, so writes inside a carried object need none. And why no tree is walked to find
 * doubles (D6): the state was a tree, each step says what it put and what it removed, so counting the references to the
 * objects that moved is enough; only when one has two is the tree walked, and the change written whole.
 *
 * Longer than 400 lines because the proxy, its record and the argument above are one decision.
 */
import { assert, SkerryError } from './errors.ts';
import { defaultLimits } from './limits.ts';
import type { Draft, Keeper, Key } from './storable.ts';
import * as data from './storable.ts';

/** The box in which live state lies, so that the root can be replaced. */
export interface Holder {
  value: unknown;
}

export type Path = readonly Key[];

/** Set at a path; delete at a path; at the path of an array, remove `count` elements from `start` and insert others. */
export type Edit =
  | readonly [path: Path, value: unknown]
  | readonly [path: Path]
  | readonly [path: Path, start: number, count: number, inserted: readonly unknown[]];

/** Edits that make the state before a turn the state after it, or the advice to write all of it. */
export type Patch = readonly Edit[] | 'whole';

/** An object or array of the state. */
type Plain = Record<Key, unknown>;

/** What was done, as far as it is needed to undo it and to count references; each knows the step before it. */
type Step = { readonly previous: Step | undefined } & (
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

/** An existing object that was assigned somewhere: the last place, and how many times. */
interface Carried {
  readonly parent: object;
  readonly key: Key;
  readonly times: number;
}

/** One open holder. */
class Tree {
  readonly holder: Holder;
  readonly name: string;
  readonly next: Tree | undefined;
  root: Branch | undefined = undefined;
  isChanged = false;
  isWhole = false;
  edits: Edit[] | undefined = undefined;

  constructor(holder: Holder, name: string, next: Tree | undefined) {
    this.holder = holder;
    this.name = name;
    this.next = next;
  }
}

/** The proxy handler of one object of the state during one turn, and its place in the tree as last seen. */
class Branch implements Draft {
  readonly recorder: Recorder;
  readonly target: Plain;
  readonly proxy: Plain;
  parent: Branch | undefined = undefined;
  key: Key = '';
  tree: Tree | undefined = undefined;
  /** Its content goes with an edit made earlier in the turn. */
  isCarried = false;
  /**
   * Deleted properties are hidden until the turn is kept. Undo then needs no order of keys, which only a walk over all
   * of them could tell: 18 ms for 100,000.
   */
  gone: Set<string> | undefined = undefined;
  /** A trap only while something is hidden: it makes listing the keys of a wide object slower. */
  declare ownKeys?: () => string[];

  constructor(recorder: Recorder, target: Plain) {
    this.recorder = recorder;
    this.target = target;
    this.proxy = new Proxy(target, this);
  }

  get plain(): object | undefined {
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
    throw this.refusal(undefined, 'is state: it can have no other prototype');
  }

  preventExtensions(): boolean {
    throw this.refusal(undefined, 'is state: it cannot be frozen or sealed');
  }

  /** What a program sees of a value of this object: a draft, or a copy of bytes. */
  child(value: unknown, key: string): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Uint8Array) return new Uint8Array(value);
    const branch = this.recorder.branch(value as Plain);
    branch.parent = this;
    branch.key = Array.isArray(this.target) ? Number(key) : key;
    return branch.proxy;
  }

  /** True if the child is where it was last seen, or elsewhere in the same array. */
  holds(child: Branch): boolean {
    if (this.target[child.key] === child.target) return this.gone?.has(child.key as string) !== true;
    const index = Array.isArray(this.target) ? this.target.indexOf(child.target) : -1;
    if (index >= 0) child.key = index;
    return index >= 0;
  }

  /** Sets a field, or an element that exists. */
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

  /** Holes would come back from the store as undefined, so they are that from the start. */
  private padding(count: number): undefined[] {
    if (count > defaultLimits.stateBytesMax) throw data.tooLong(this.where(undefined), count);
    return new Array<undefined>(count).fill(undefined);
  }

  /** Replaces a range of this array; returns what was in it. */
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

  /** Gives this array's elements another order. */
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

  /** Deletes what is hidden, keeping for undo what the object was; walks all of it. */
  bare(): void {
    const { recorder, target } = this;
    recorder.last = { previous: recorder.last, kind: 'shape', target, entries: Object.entries(target) };
    this.drop();
  }

  drop(): void {
    for (const key of this.gone ?? []) delete this.target[key];
    this.gone = undefined;
  }

  /** The path to here or to one of the properties, for messages. */
  where(key: Key | undefined): string {
    const tree = this.recorder.locate(this);
    return data.pathText(tree?.name ?? 'draft', this.recorder.path(this, key));
  }

  refusal(key: Key | undefined, problem: string): SkerryError {
    return data.unstorable(this.where(key), problem);
  }
}

/** What one turn does to the states that it opened. One for each turn; ended by `keep` or `undo`. */
export class Recorder implements Keeper {
  /** After `keep` or `undo`. */
  isOver = false;
  /** The newest step. */
  last: Step | undefined = undefined;
  private readonly isRecording: boolean;
  private readonly editCountMax: number;
  private trees: Tree | undefined = undefined;
  private branches: Map<object, Branch> | undefined = undefined;
  /** Branches with hidden properties. */
  private hidden: Branch[] | undefined = undefined;
  private carried: Map<unknown, Carried> | undefined = undefined;
  /** Objects whose content goes with an edit, and that had no branch yet. */
  private fresh: Set<object> | undefined = undefined;
  /** Paths cannot be relied on: every open state counts as changed and is written whole. */
  private isWhole = false;
  /** An object was put into one of whose place, and so depth, nothing is known. */
  private isUnsure = false;
  private isSettled = false;
  // What `locate` found out about the object that is about to change.
  private level = 0;
  private isSilent = false;
  private isLoose = false;
  private into: Branch | undefined = undefined;

  /** Without recording, or after more edits than `editCountMax`, a changed state's patch is 'whole'. */
  constructor(isRecording: boolean, editCountMax = 1_000) {
    this.isRecording = isRecording;
    this.editCountMax = editCountMax;
  }

  /** A draft of what the holder holds; the same draft while the holder holds the same. `name` appears in messages. */
  open(holder: Holder, name = 'state'): unknown {
    if (this.isOver) throw expired();
    const tree = this.treeOf(holder) ?? this.plant(holder, name);
    const { value } = holder;
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Uint8Array) return new Uint8Array(value);
    if (tree.root?.target !== value) this.root(tree, value as Plain);
    return tree.root?.proxy;
  }

  /** Puts a value in the place of all that the holder holds. Throws `unstorable`. */
  replace(holder: Holder, value: unknown, name = 'state'): void {
    if (this.isOver) throw expired();
    const tree = this.treeOf(holder) ?? this.plant(holder, name);
    const old = holder.value;
    if (Object.is(old, this.plainOf(value))) return;
    this.level = 0;
    this.isLoose = false;
    const stored = this.take(undefined, holder, 'value', value, name);
    this.last = { previous: this.last, kind: 'put', target: holder as unknown as Plain, key: 'value', old };
    holder.value = stored;
    this.removed(old, holder, 'value');
    tree.isChanged = true;
    tree.isWhole = true;
    this.index(); // the old root is a branch as before: an object has one draft, and one set of hidden properties
    tree.root = undefined;
  }

  isChanged(holder: Holder): boolean {
    return this.isWhole || this.treeOf(holder)?.isChanged === true;
  }

  /**
   * Ends the use of drafts and makes the states trees again (D6); `undo` is still possible.
   * Throws `unstorable` if an object contains itself.
   */
  settle(): void {
    assert(!this.isOver && !this.isSettled, 'a recorder is settled once');
    this.isSettled = true;
    this.bareUnseen();
    if (this.carried === undefined) return;
    const isTree = !this.hasTwoPlaces(this.carried) && !this.isUnsure;
    if (!isTree) this.isWhole = true;
    this.bareUnseen();
    if (isTree) return;
    const seen = new Set<unknown>();
    for (let tree = this.trees; tree !== undefined; tree = tree.next) {
      this.separate(tree.holder as unknown as Plain, 0, new Set(), seen);
    }
  }

  /** What the turn changed, as copies; no edits if nothing was. After `settle`. */
  patch(holder: Holder): Patch {
    assert(this.isSettled, 'a patch is asked for after settle');
    const tree = this.treeOf(holder);
    if (tree === undefined || !this.isChanged(holder)) return [];
    if (!this.isRecording || this.isWhole || tree.isWhole) return 'whole';
    return (tree.edits ?? []).map(copyEdit);
  }

  /** All that the holder holds, to be encoded before the next turn. After `settle`; also where a patch is too large. */
  whole(holder: Holder): unknown {
    assert(this.isSettled, 'the whole is asked for after settle');
    const tree = this.treeOf(holder);
    if (tree !== undefined) tree.isWhole = true;
    this.bareUnseen();
    return holder.value;
  }

  /** Ends the turn with its changes in place. */
  keep(): void {
    for (const branch of this.hidden ?? []) branch.drop();
    this.end();
  }

  /** Ends the turn as if it had not been (D4); also after `settle`, and after an error in it. */
  undo(): void {
    for (let step = this.last; step !== undefined; step = step.previous) undoStep(step);
    this.end();
  }

  /** A draft that leaked holds on to this recorder: the state must not hang on that. */
  private end(): void {
    assert(!this.isOver, 'a recorder is ended once');
    this.isOver = true;
    this.last = undefined;
    this.trees = undefined;
    this.branches = undefined;
    this.hidden = undefined;
    this.carried = undefined;
    this.fresh = undefined;
  }

  // From here on: what branches ask of their recorder.

  get isHiding(): boolean {
    return this.hidden !== undefined;
  }

  hide(branch: Branch): void {
    this.hidden ??= [];
    this.hidden.push(branch);
  }

  branch(target: Plain): Branch {
    const branches = this.index();
    let branch = branches.get(target);
    if (branch !== undefined) return branch;
    branch = new Branch(this, target);
    branch.isCarried = this.fresh?.has(target) === true;
    branches.set(target, branch);
    return branch;
  }

  /** What a program gets of something that left its place. */
  draft(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    return value instanceof Uint8Array ? new Uint8Array(value) : this.branch(value as Plain).proxy;
  }

  /** The object behind one of our own drafts; every other value as it is. */
  plainOf(value: unknown): unknown {
    return this.branchOf(value)?.target ?? value;
  }

  /** The open state in which the object lies, by its last known place; undefined where it lies in none. */
  locate(branch: Branch): Tree | undefined {
    this.isSilent = false;
    this.isLoose = false;
    let at = branch;
    for (this.level = 1; !data.isTooDeep(this.level); this.level++) {
      if (at.isCarried) this.isSilent = true;
      const { parent, tree } = at;
      if (parent === undefined && tree !== undefined && tree.holder.value === at.target) return tree;
      if (parent === undefined || !parent.holds(at)) {
        this.isLoose = this.carried?.has(at.target) === true;
        return undefined;
      }
      at = parent;
    }
    throw data.unstorable('state', data.tooDeep);
  }

  path(branch: Branch, key?: Key): Key[] {
    const path: Key[] = key === undefined ? [] : [key];
    if (branch.parent === undefined) return path;
    for (let at = branch; at.parent !== undefined && !data.isTooDeep(path.length); at = at.parent) path.push(at.key);
    return path.reverse();
  }

  /** What is stored for a value assigned to a property of the branch that was just located. */
  admit(branch: Branch, key: Key, value: unknown): unknown {
    if (typeof value === 'object' && value !== null) {
      return this.take(branch, branch.target, key, value, () => branch.where(key));
    }
    const problem = data.leafProblem(value);
    if (problem !== undefined) throw branch.refusal(key, problem);
    return value === 0 ? 0 : value;
  }

  private take(into: Branch | undefined, parent: object, key: Key, value: unknown, where: data.Where): unknown {
    this.into = into;
    if (this.isLoose) this.isUnsure = true;
    const moved = this.branchOf(value);
    if (moved === undefined) return data.copyStorable(value, where, this.level + 1, this);
    const stored = this.adopt(moved, parent, key, this.level + 1);
    moved.parent = into;
    moved.key = key;
    return stored;
  }

  /** For storable.ts: takes a draft of ours as the object that it is. */
  adopt(draft: Draft, parent: object, key: Key, level: number): object | undefined {
    if (!(draft instanceof Branch) || draft.recorder !== this) return undefined;
    const { target } = draft;
    for (let at = this.into, count = 0; at !== undefined && !data.isTooDeep(count); count++) {
      if (at === draft) throw data.unstorable(at.where(undefined), 'would contain itself');
      at = at.parent?.holds(at) === true ? at.parent : undefined;
    }
    if (data.isTooDeep(level - 1 + this.height(target, 1))) throw data.unstorable(draft.where(undefined), data.tooDeep);
    this.carried ??= new Map();
    this.carried.set(target, { parent, key, times: (this.carried.get(target)?.times ?? 0) + 1 });
    return target;
  }

  /** Something left a place. If it was the place of an edit that carries it, paths to it say nothing any more. */
  removed(old: unknown, parent: object, key: Key): void {
    if (this.carried === undefined || typeof old !== 'object' || old === null) return;
    const place = this.carried.get(old);
    if (place?.parent === parent && (Array.isArray(parent) || place.key === key)) this.isWhole = true;
  }

  /** Marks the located state as changed; returns its edits if the change needs one. */
  editsOf(tree: Tree | undefined): Edit[] | undefined {
    if (tree === undefined) return undefined;
    tree.isChanged = true;
    if (!this.isRecording || this.isSilent || this.isWhole || tree.isWhole) return undefined;
    tree.edits ??= [];
    if (tree.edits.length < this.editCountMax) return tree.edits;
    tree.isWhole = true;
    tree.edits = undefined;
    return undefined;
  }

  /** From now on the object's content goes with the edit that was just made. */
  carry(stored: unknown): void {
    if (typeof stored !== 'object' || stored === null || stored instanceof Uint8Array) return;
    const branch = this.find(stored);
    if (branch !== undefined) branch.isCarried = true;
    else this.fresh = (this.fresh ?? new Set()).add(stored);
  }

  private branchOf(value: unknown): Branch | undefined {
    if (typeof value !== 'object' || value === null) return undefined;
    const draft = data.draftIn(value);
    return draft instanceof Branch && draft.recorder === this ? draft : undefined;
  }

  private treeOf(holder: Holder): Tree | undefined {
    let tree = this.trees;
    while (tree !== undefined && tree.holder !== holder) tree = tree.next;
    return tree;
  }

  private plant(holder: Holder, name: string): Tree {
    this.trees = new Tree(holder, name, this.trees);
    return this.trees;
  }

  /** All branches by object; not made for a turn that touches nothing but the root's own fields. */
  private index(): Map<object, Branch> {
    if (this.branches !== undefined) return this.branches;
    this.branches = new Map();
    for (let tree = this.trees; tree !== undefined; tree = tree.next) {
      if (tree.root !== undefined) this.branches.set(tree.root.target, tree.root);
    }
    return this.branches;
  }

  private find(target: object): Branch | undefined {
    if (this.branches !== undefined) return this.branches.get(target);
    let tree = this.trees;
    while (tree !== undefined && tree.root?.target !== target) tree = tree.next;
    return tree?.root;
  }

  /** Levels of nesting in an object, counted no further than the limit; what is hidden could lead in a circle. */
  private height(value: object, level: number): number {
    if (data.isTooDeep(level) || value instanceof Uint8Array) return level;
    const gone = this.hidden === undefined ? undefined : this.find(value)?.gone;
    let highest = level;
    for (const [key, child] of Object.entries(value)) {
      if (typeof child !== 'object' || child === null || gone?.has(key) === true) continue;
      highest = Math.max(highest, this.height(child, level + 1));
    }
    return highest;
  }

  private root(tree: Tree, target: Plain): Branch {
    const branch = this.find(target) ?? new Branch(this, target);
    branch.parent = undefined;
    branch.tree = tree;
    tree.root = branch;
    this.branches?.set(target, branch);
    return branch;
  }

  /** Really deletes what is hidden where a patch will not say so. */
  private bareUnseen(): void {
    for (const branch of this.hidden ?? []) {
      if (branch.gone === undefined) continue;
      const tree = this.locate(branch);
      const isSeen = tree !== undefined && this.isRecording && !this.isSilent && !this.isWhole && !tree.isWhole;
      if (!isSeen) branch.bare();
    }
  }

  /** Counts what refers to the objects that moved: one place each at first, plus what was put, minus what was removed. */
  private hasTwoPlaces(carried: ReadonlyMap<unknown, Carried>): boolean {
    const references = new Map<unknown, number>();
    for (const [target, { times }] of carried) references.set(target, times + 1);
    for (let step = this.last; step !== undefined; step = step.previous) {
      if (step.kind === 'put' || step.kind === 'hide') this.release(step.old, references, carried);
      else if (step.kind === 'splice') for (const old of step.old) this.release(old, references, carried);
    }
    for (const count of references.values()) if (count > 1) return true;
    return false;
  }

  /** A reference to this object is gone; if it was the only one, so are the object's own references. */
  private release(old: unknown, references: Map<unknown, number>, carried: ReadonlyMap<unknown, Carried>): void {
    if (typeof old !== 'object' || old === null || old instanceof Uint8Array) return;
    const count = references.get(old);
    if (count !== undefined) {
      references.set(old, count - 1);
      return;
    }
    for (const child of Object.values(old)) {
      if (typeof child !== 'object' || child === null) continue;
      if (carried.get(child)?.parent === old) this.isWhole = true;
      this.release(child, references, carried);
    }
  }

  /** Walks a whole state: what was seen before is replaced by a copy. */
  private separate(target: Plain, level: number, above: Set<unknown>, seen: Set<unknown>): void {
    if (data.isTooDeep(level)) throw data.unstorable('state', data.tooDeep);
    above.add(target);
    seen.add(target);
    for (const key of Object.keys(target)) {
      const child = target[key];
      if (typeof child !== 'object' || child === null || child instanceof Uint8Array) continue;
      if (above.has(child)) throw data.unstorable('state', 'contains itself');
      if (!seen.has(child)) {
        this.separate(child as Plain, level + 1, above, seen);
        continue;
      }
      this.last = { previous: this.last, kind: 'put', target, key, old: child };
      target[key] = data.copyStorable(child, 'state', level + 1);
    }
    above.delete(target);
  }
}

/** A read-only draft: for queries. */
export interface View {
  readonly value: unknown;
  /** From now on its use throws (D8). */
  revoke(): void;
}

/** Shows a value without copying it; a write throws `failed` (D9). Read lazily: as cheap for a wide state as for a small. */
export function view(value: unknown): View {
  const scope: ViewScope = { isOver: false, sights: new Map() };
  return {
    value: look(scope, value),
    revoke() {
      scope.isOver = true;
      scope.sights.clear();
    },
  };
}

interface ViewScope {
  isOver: boolean;
  readonly sights: Map<object, Sight>;
}

function look(scope: ViewScope, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  let sight = scope.sights.get(value);
  if (sight === undefined) {
    sight = new Sight(scope, value as Plain);
    scope.sights.set(value, sight);
  }
  return sight.proxy;
}

/** The proxy handler of one object of a view. */
class Sight implements Draft {
  readonly scope: ViewScope;
  readonly plain: Plain;
  readonly proxy: Plain;

  constructor(scope: ViewScope, plain: Plain) {
    this.scope = scope;
    this.plain = plain;
    this.proxy = new Proxy(plain, this);
  }

  get(target: Plain, key: string | symbol, receiver: unknown): unknown {
    if (this.scope.isOver) throw expired();
    if (key === data.draftOf) return receiver === this.proxy ? this : undefined;
    const value: unknown = Reflect.get(target, key);
    return typeof value === 'object' && Object.hasOwn(target, key) ? this.child(value) : value;
  }

  has(target: Plain, key: string | symbol): boolean {
    if (this.scope.isOver) throw expired();
    return Reflect.has(target, key);
  }

  getOwnPropertyDescriptor(target: Plain, key: string | symbol): PropertyDescriptor | undefined {
    if (this.scope.isOver) throw expired();
    return describe(target, key, this);
  }

  child(value: unknown): unknown {
    return look(this.scope, value);
  }

  set(): boolean {
    throw readOnly();
  }

  deleteProperty(): boolean {
    throw readOnly();
  }

  defineProperty(): boolean {
    throw readOnly();
  }

  setPrototypeOf(): boolean {
    throw readOnly();
  }

  preventExtensions(): boolean {
    throw readOnly();
  }
}

/** Applies a patch in place and returns the value; takes over the objects that the patch holds. */
export function applyPatch(value: unknown, edits: readonly Edit[]): unknown {
  const holder: Holder = { value };
  for (const edit of edits) applyEdit(holder, edit);
  return holder.value;
}

function applyEdit(holder: Holder, edit: Edit): void {
  let at = holder as unknown as Plain;
  let key: Key = 'value';
  for (const next of edit[0]) {
    at = inside(at, key);
    key = next;
  }
  if (key === '__proto__') throw misfit();
  if (edit.length === 1) delete at[key];
  else if (edit.length === 2) at[key] = edit[1];
  else {
    const list: unknown = inside(at, key);
    if (!Array.isArray(list)) throw misfit();
    replaceRange(list, edit[1], edit[2], edit[3]);
  }
}

function inside(at: Plain, key: Key): Plain {
  const value = Object.hasOwn(at, key) ? at[key] : undefined;
  if (typeof value !== 'object' || value === null) throw misfit();
  return value as Plain;
}

function copyEdit(edit: Edit): Edit {
  if (edit.length === 1) return edit;
  if (edit.length === 2) return [edit[0], data.copyStorable(edit[1], 'state', 1)];
  return [edit[0], edit[1], edit[2], edit[3].map((item) => data.copyStorable(item, 'state', 1))];
}

function undoStep(step: Step): void {
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
      // Not by assignment: a state decoded from elsewhere could have an own `__proto__`.
      for (const [key, value] of step.entries) {
        Object.defineProperty(step.target, key, { value, writable: true, enumerable: true, configurable: true });
      }
  }
}

/** `splice` that also takes more elements than a call may have arguments. */
function replaceRange(list: unknown[], start: number, count: number, items: readonly unknown[]): unknown[] {
  if (items.length < 10_000) return list.splice(start, count, ...items);
  const removed = list.slice(start, start + count);
  const rest = list.slice(start + count);
  list.length = start;
  for (const item of items) list.push(item);
  for (const item of rest) list.push(item);
  return removed;
}

function refill(list: unknown[], next: readonly unknown[]): void {
  for (let index = 0; index < next.length; index++) list[index] = next[index];
}

interface Shown {
  child(value: unknown, key: string): unknown;
}

function describe(target: Plain, key: string | symbol, shown: Shown): PropertyDescriptor | undefined {
  const descriptor = Reflect.getOwnPropertyDescriptor(target, key);
  if (typeof descriptor?.value === 'object') descriptor.value = shown.child(descriptor.value, String(key));
  return descriptor;
}

/** An assignment to an object that has a draft as its prototype: that object's business. */
function setInherited(object: object, key: string | symbol, value: unknown): boolean {
  return Reflect.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

function expired(): SkerryError {
  return new SkerryError(
    'failed',
    'a draft of the state was used after its turn: copy what you need before the turn ends',
  );
}

function readOnly(): SkerryError {
  return new SkerryError('failed', 'a query must not change state: make it a command');
}

function misfit(): SkerryError {
  return new SkerryError('store-format', 'a stored patch does not fit the state that it was made for');
}

type ArrayChange = (branch: Branch, list: unknown[], given: readonly unknown[]) => unknown;

/**
 * Array methods that move elements, as one step on the live array. The built-in ones would move each through the proxy:
 * a `shift` would cost, and a patch would hold, every element of the queue.
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
    throw new SkerryError(
      'failed',
      `${branch.where(undefined)} was changed by the function that compares its elements`,
    );
  }
  branch.reorder(drafts.map((draft) => plain.get(draft)));
  return branch.proxy;
}
