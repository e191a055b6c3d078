/**
 * Drafts: the state that a turn changes in place, and a log of the changes for undo and for patches.
 *
 * A turn is one uninterrupted step, so no other code sees a half-changed state and no copy is needed: a draft is a thin proxy over the
 * live objects. Opening one costs nothing per field; reads and writes cost what they touch (docs/decisions/0001). Owns drafts and undo;
 * the proxy handlers are in branch.ts, patches in patch.ts, views in view.ts. Does not encode, and does not know when a turn commits.
 *
 * Longer than 400 lines because the bookkeeping of one turn is one class: each rule needs several of its fields.
 *
 *   new Recorder ── open, replace, use of drafts ──▶ settle ──▶ isChanged, patch, whole ──▶ keep
 *                                  └── a turn that throws, or a patch too large ──────────▶ undo
 *
 * D4: Undo restores the same objects with the same content in the same key order.
 * D5: `applyPatch(before, patch)` equals the state after.
 * D6: Stored state is a tree. An object may be moved. An object that ends up in two places is copied at the later one.
 *     Such copies are bounded like assigned values, by the state's limit (`too-large`).
 * D7: An assigned value is copied (D2), so a caller's later change to its own object does not reach the state.
 * D8: After `keep` or `undo` every draft and view throws, so a leaked one neither reads nor changes the live state.
 * D10: Nothing in the state is nested deeper than depthMax, however many turns it took to nest it.
 * D11: Bytes that a turn reads are a copy, the same one each time. Changes to that copy are stored like an assignment.
 *
 * Why patches may skip writes: once an edit carries an object (a new one, or an existing one that moved), the object's value is read
 * after the turn has settled, so writes inside it need no edit of their own. Why no tree is walked to find duplicates (D6): the state
 * was a tree, and each step records what it put and removed, so it is enough to count references to the objects that moved. Only if one
 * has two is the tree walked, and the state written whole.
 */
import { Branch, type Step, Tree, undoStep } from './branch.ts';
import { assert } from './errors.ts';
import { type BytesPlace, LentBytes } from './lent.ts';
import { defaultLimits } from './limits.ts';
import { copyEdit, type Edit, type Patch, type Plain } from './patch.ts';
import type { Draft, Keeper, Key } from './storable.ts';
import * as data from './storable.ts';
import { expired } from './view.ts';

/** A box around live state, so that its root can be replaced. */
export interface Holder {
  value: unknown;
}

/** An existing object that the turn assigned: its last place, and how often it was assigned. */
interface Carried {
  readonly parent: object;
  readonly key: Key;
  readonly times: number;
}

/** Records what one turn does to the states that it opened. One per turn; ended by `keep` or `undo`. */
export class Recorder implements Keeper {
  /** After `keep` or `undo`. */
  isOver = false;
  readonly bytesMax: number;
  bytesLeft: number;
  /** The newest step. */
  last: Step | undefined = undefined;
  private readonly isRecording: boolean;
  private readonly editCountMax: number;
  private trees: Tree | undefined = undefined;
  private branches: Map<object, Branch> | undefined = undefined;
  private lent: LentBytes | undefined = undefined;
  /** Branches with hidden properties. */
  private hidden: Branch[] | undefined = undefined;
  private carried: Map<unknown, Carried> | undefined = undefined;
  /** Objects whose content an edit carries and that have no branch yet. */
  private fresh: Set<object> | undefined = undefined;
  /** Paths are unreliable, so every open state counts as changed and is written whole. */
  private isWhole = false;
  /** An object was put into one whose place, and therefore depth, is unknown. */
  private isUnsure = false;
  private isSettled = false;
  // The findings of `locate` about the object that is about to change.
  private level = 0;
  private isSilent = false;
  private isLoose = false;
  private into: Branch | undefined = undefined;

  /** Without recording, or after more edits than `editCountMax`, a changed state's patch is 'whole'. */
  constructor(isRecording: boolean, editCountMax = 1_000, bytesMax: number = defaultLimits.stateBytesMax) {
    this.isRecording = isRecording;
    this.editCountMax = editCountMax;
    this.bytesMax = bytesMax;
    this.bytesLeft = bytesMax;
  }

  /** A draft of the holder's value; the same draft for the same value. `name` appears in error messages. */
  open(holder: Holder, name = 'state'): unknown {
    if (this.isOver) throw expired();
    const tree = this.treeOf(holder) ?? this.plant(holder, name);
    const { value } = holder;
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Uint8Array) return this.lend(value, tree);
    if (tree.root?.target !== value) this.root(tree, value as Plain);
    return tree.root?.proxy;
  }

  /** Replaces the holder's value. Throws `unstorable`. */
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
    this.index(); // The old root keeps its branch: an object has one draft and one set of hidden properties.
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
    this.takeBackBytes();
    this.isSettled = true;
    this.bareUnseen();
    if (this.carried === undefined) return;
    const isTree = !this.hasTwoPlaces(this.carried) && !this.isUnsure;
    if (!isTree) this.isWhole = true;
    this.bareUnseen();
    if (isTree) return;
    const seen = new Set<unknown>();
    this.bytesLeft = this.bytesMax;
    for (let tree = this.trees; tree !== undefined; tree = tree.next) {
      this.separate(tree.holder as unknown as Plain, 0, new Set(), seen);
    }
  }

  /** The turn's changes as copies; no edits if nothing changed. Call it after `settle`. */
  patch(holder: Holder): Patch {
    assert(this.isSettled, 'a patch is asked for after settle');
    const tree = this.treeOf(holder);
    if (tree === undefined || !this.isChanged(holder)) return [];
    if (!this.isRecording || this.isWhole || tree.isWhole) return 'whole';
    return (tree.edits ?? []).map(copyEdit);
  }

  /** The holder's whole value, to be encoded before the next turn. Call it after `settle`, also if a patch is too large. */
  whole(holder: Holder): unknown {
    assert(this.isSettled, 'the whole is asked for after settle');
    const tree = this.treeOf(holder);
    if (tree !== undefined) tree.isWhole = true;
    this.bareUnseen();
    return holder.value;
  }

  /** Ends the turn with its changes in place. */
  keep(): void {
    if (this.hidden !== undefined) for (const branch of this.hidden) branch.drop();
    this.end();
  }

  /** Ends the turn and reverts its changes (D4). Allowed after `settle` too, and after an error in it. */
  undo(): void {
    for (let step = this.last; step !== undefined; step = step.previous) undoStep(step);
    this.end();
  }

  /** A leaked draft keeps this recorder alive, so the recorder drops its references to the state. */
  private end(): void {
    assert(!this.isOver, 'a recorder is ended once');
    this.isOver = true;
    this.last = undefined;
    this.trees = undefined;
    this.branches = undefined;
    this.hidden = undefined;
    this.carried = undefined;
    this.fresh = undefined;
    this.lent = undefined;
  }

  // ---- for branches

  lend(original: Uint8Array, place: BytesPlace): Uint8Array {
    this.lent ??= new LentBytes();
    return this.lent.lend(original, place);
  }

  /** Stores changes to lent bytes. Needed before the state is read other than through drafts (D11). */
  takeBackBytes(): void {
    if (!this.isSettled) this.lent?.takeBack();
  }

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

  /** The draft of a value that was removed from its place. */
  draft(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Uint8Array) return this.lent?.lentOf(value) ?? new Uint8Array(value);
    return this.branch(value as Plain).proxy;
  }

  /** The object behind a draft of this recorder; any other value unchanged. */
  plainOf(value: unknown): unknown {
    return this.branchOf(value)?.target ?? value;
  }

  /** The open state that contains the object, by its last known place; undefined if none does. */
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

  /** The value to store for an assignment to a property of the branch that was just located. */
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
    this.bytesLeft = this.bytesMax;
    const moved = this.branchOf(value);
    if (moved === undefined) return data.copyStorable(value, where, this.level + 1, this);
    const stored = this.adopt(moved, parent, key, this.level + 1);
    moved.parent = into;
    moved.key = key;
    return stored;
  }

  /** For storable.ts: keeps the object behind a draft of this recorder instead of a copy. */
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

  /** A value was removed from a place. If an edit carried it there, later paths to it are unreliable. */
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

  /** From now on the last edit carries the object's content. */
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
    this.trees = new Tree(this, holder, name, this.trees);
    return this.trees;
  }

  /** All branches by object. Not made for a turn that touches only fields of the root. */
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

  /** Levels of nesting in an object, counted up to the limit. Hidden properties are skipped, because they could form a cycle. */
  private height(value: object, level: number): number {
    if (data.isTooDeep(level) || value instanceof Uint8Array) return level;
    data.spend(this, 1, 'state');
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

  /** Deletes hidden properties that no patch mentions. */
  private bareUnseen(): void {
    if (this.hidden === undefined) return;
    for (const branch of this.hidden) {
      if (branch.gone === undefined) continue;
      const tree = this.locate(branch);
      const isSeen = tree !== undefined && this.isRecording && !this.isSilent && !this.isWhole && !tree.isWhole;
      if (!isSeen) branch.bare();
    }
  }

  /** Counts references to the objects that moved: one at first, plus those put, minus those removed. */
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

  /** A reference to this object is gone. If it was the only one, the object's own references are gone too. */
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

  /** Walks a whole state and replaces objects seen before by copies. */
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
      target[key] = data.copyStorable(child, 'state', level + 1, this);
    }
    above.delete(target);
  }
}
