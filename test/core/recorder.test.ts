/**
 * Drafts, patches, undo and views: core/recorder.ts.
 *
 * Longer than 400 lines because the last rule's random programs are an interpreter of their own.
 */
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { Packr } from 'msgpackr';
import { type ErrorCode, isSkerryError } from '../../core/errors.ts';
import { applyPatch, type Patch } from '../../core/patch.ts';
import { Recorder } from '../../core/recorder.ts';
import { storable } from '../../core/storable.ts';
import { view } from '../../core/view.ts';
import { assert, suite } from '../support/suite.ts';

const rules = suite('state');
const packr = new Packr({ useRecords: false, moreTypes: true });

// biome-ignore lint/suspicious/noExplicitAny: a draft is used here like any value of plain JavaScript
type Loose = any;
type Box = { value: Loose };
type Act = (state: Loose) => unknown;

const attributes = { writable: true, enumerable: true, configurable: true };

function fails(code: ErrorCode, pattern: RegExp, act: () => unknown): void {
  try {
    act();
  } catch (error) {
    assert.ok(isSkerryError(error, code), `not ${code}: ${String(error)}`);
    assert.match((error as Error).message, pattern);
    return;
  }
  assert.unreachable(`nothing was thrown: expected ${code}`);
}

function packed<T>(value: T): T {
  return packr.unpack(packr.pack(value)) as T;
}

/** Runs one turn; returns its patch, and checks that it leads from before to after. */
function turn(holder: Box, act: Act): Patch {
  const before = packed(holder.value);
  const recorder = new Recorder(true);
  act(recorder.open(holder));
  recorder.settle();
  const patch = recorder.patch(holder);
  recorder.keep();
  if (patch !== 'whole') same(applyPatch(before, packed(patch)), holder.value, 'D5: patch');
  return patch;
}

/** Equal in content and in the order of keys. */
function same(actual: unknown, expected: unknown, what: string): void {
  assert.ok(isDeepStrictEqual(actual, expected), `${what}: ${text(actual)} is not ${text(expected)}`);
  assert.is(Buffer.compare(packr.pack(actual), packr.pack(expected)), 0, `${what}: order of keys in ${text(actual)}`);
}

function text(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part));
}

/** Every object in a value. Fails if one occurs twice. */
function objectsIn(value: unknown, found: object[] = []): object[] {
  if (typeof value !== 'object' || value === null) return found;
  assert.not(found.includes(value), 'D6: an object occurs twice');
  found.push(value);
  if (!(value instanceof Uint8Array)) for (const part of Object.values(value)) objectsIn(part, found);
  return found;
}

function order(): Box {
  const lines = [
    { sku: 'tea', units: 2 },
    { sku: 'cup', units: 1 },
  ];
  const customer = { name: 'Ada', address: { city: 'Oslo' } };
  return { value: { id: 'o1', total: 3, lines, customer, '10': 'ten', seal: new Uint8Array([1, 2]), note: undefined } };
}

function begin(holder: Box = order()): { holder: Box; recorder: Recorder; state: Loose } {
  const recorder = new Recorder(true);
  return { holder, recorder, state: recorder.open(holder) };
}

rules('D4: undo restores identity, content and key order', () => {
  const { holder, recorder, state } = begin();
  const root = holder.value;
  const before = packed(root);
  const objects = objectsIn(root);
  delete state.total;
  delete state.customer.address;
  state.total = 9;
  state.lines.shift();
  state.lines.push({ sku: 'pot' });
  state.lines.sort((left: Loose, right: Loose) => (left.units ?? 0) - (right.units ?? 0));
  state.extra = [];
  recorder.replace(holder, { old: state });
  recorder.settle();
  assert.not.equal(holder.value, before);
  recorder.undo();
  assert.is(holder.value, root);
  same(holder.value, before, 'undo');
  const after = objectsIn(holder.value);
  assert.ok(after.every((object, index) => object === objects[index]));
});

rules('D4: one undo for all open holders, and objects that moved between them', () => {
  const { holder, recorder, state } = begin({ value: { queue: [{ n: 1 }, { n: 2 }] } });
  const activity: Box = { value: undefined };
  const before = packed(holder.value);
  recorder.open(activity, 'activity');
  recorder.replace(activity, { job: state.queue.shift() });
  (recorder.open(activity) as Loose).job.n = 5;
  recorder.settle();
  assert.equal(recorder.patch(holder), [[['queue'], 0, 1, []]]);
  assert.equal([recorder.patch(activity), recorder.whole(activity)], ['whole', { job: { n: 5 } }]);
  recorder.undo();
  assert.is(activity.value, undefined);
  same(holder.value, before, 'undo');
});

// biome-ignore format: a table
const patched: readonly (readonly [rule: string, before: object, act: Act, patch: unknown])[] = [
  ['a field', { n: 3, m: 0 }, (state) => Object.assign(state, { n: state.n + 1 }), [[['n'], 4]]],
  ['what stays the same is no change', { n: 3, a: {} }, (state) => Object.assign(state, { n: 3, a: state.a }), []],
  ['a deletion', { a: { b: 1 } }, (state) => Reflect.deleteProperty(state.a, 'b'), [[['a', 'b']]]],
  ['an element', { a: [{ n: 1 }] }, (state) => Object.assign(state.a[0], { n: 2 }), [[['a', 0, 'n'], 2]]],
  ['a shift is one edit', { a: [1, 2, 3] }, (state) => state.a.shift(), [[['a'], 0, 1, []]]],
  ['so is a length', { a: [1, 2, 3] }, (state) => Object.assign(state.a, { length: 1 }), [[['a'], 1, 2, []]]],
  ['a sorted array is written once', { a: [2, 1] }, (state) => state.a.sort().push(0), [[['a'], [1, 2, 0]]]],
  ['an edit holds a new object as it is at the end', {}, (state) => {
    state.a = { list: [] };
    state.a.list.push(1);
    state.a.list.push(2);
  }, [[['a'], { list: [1, 2] }]]],
  ['moving an element costs the element, not the state', { queue: [{ n: 1 }, { n: 2 }], done: [{ n: 0 }] }, (state) => {
    const job = state.queue.shift();
    job.tries = 1;
    state.done.push(job);
    job.at = { ms: 5 };
  }, [[['queue'], 0, 1, []], [['done'], 1, 0, [{ n: 1, tries: 1, at: { ms: 5 } }]]]],
  ['a held draft finds its new place in its array', { list: [{ n: 1 }, { n: 2 }] }, (state) => {
    const second = state.list[1];
    state.list.shift();
    second.n = 9;
  }, [[['list'], 0, 1, []], [['list', 0, 'n'], 9]]],
  ['what is changed after its removal needs no edit', { a: { n: 1 }, b: 1 }, (state) => {
    const { a } = state;
    delete state.a;
    a.n = 2;
  }, [[['a']]]],
  ['a place that was given up is not relied on', { a: { n: 1 } }, (state) => {
    const { a } = state;
    state.b = a;
    delete state.b;
    a.n = 2;
  }, 'whole'],
  ['nor is one inside something that was given up', { a: { n: 1 } }, (state) => {
    state.t = [state.a];
    delete state.t;
    state.a.n = 3;
  }, 'whole'],
];

for (const [rule, before, act, expected] of patched) {
  rules(`D5: a patch: ${rule}`, () => assert.equal(turn({ value: packed(before) }, act), expected));
}

rules('D5: past the given number of edits the patch is whole; undo works all the same', () => {
  for (const count of [3, 4]) {
    const recorder = new Recorder(true, 3);
    const holder = { value: { n: 0 } };
    const state = recorder.open(holder) as Loose;
    for (let n = 1; n <= count; n++) state.n = n;
    recorder.settle();
    assert.is(recorder.patch(holder).length, count === 3 ? 3 : 'whole'.length);
    assert.is(recorder.patch(holder) === 'whole', count === 4);
    recorder.undo();
    assert.equal(holder.value, { n: 0 });
  }
});

rules('D5: without recording a change is written whole, and no change not at all', () => {
  const holder: Box = { value: { n: 0, gone: 1 } };
  const recorder = new Recorder(false);
  const state = recorder.open(holder) as Loose;
  state.n = 0;
  assert.not(recorder.isChanged(holder));
  delete state.gone;
  assert.ok(recorder.isChanged(holder));
  recorder.settle();
  assert.is(recorder.patch(holder), 'whole');
  assert.equal(recorder.whole(holder), { n: 0 });
  recorder.keep();
});

rules('D5: the whole may be taken although there is a patch', () => {
  const { holder, recorder, state } = begin({ value: { a: 1, b: 2, c: 3 } });
  delete state.b;
  recorder.settle();
  assert.equal(recorder.patch(holder), [[['b']]]);
  assert.equal(recorder.whole(holder), { a: 1, c: 3 });
  recorder.undo();
  same(holder.value, { a: 1, b: 2, c: 3 }, 'undo after whole');
});

rules('D5: a patch shares nothing with the state', () => {
  const holder: Box = { value: {} };
  const patch = turn(holder, (state) => Object.assign(state, { a: { n: 1 } }));
  turn(holder, (state) => Object.assign(state.a, { n: 2 }));
  assert.equal(patch, [[['a'], { n: 1 }]]);
});

rules('D5: a patch that does not fit is refused, and none reaches a prototype', () => {
  fails('store-format', /does not fit/, () => applyPatch({}, [[['a', 'b'], 1]]));
  fails('store-format', /does not fit/, () => applyPatch({}, [[['constructor', 'x'], 1]]));
  fails('store-format', /does not fit/, () => applyPatch({}, [[['__proto__', 'x'], 1]]));
  fails('store-format', /does not fit/, () => applyPatch({}, [[['__proto__'], { x: 1 }]]));
  fails('store-format', /does not fit/, () => applyPatch({ a: {} }, [[['a'], 0, 0, [1]]]));
});

rules('D6: an object at two places becomes two', () => {
  const holder: Box = { value: { a: { n: 1 } } };
  const patch = turn(holder, (state) => {
    state.b = state.a;
    assert.is(state.a, state.b);
    state.b.n = 2;
  });
  assert.is(patch, 'whole');
  assert.equal(holder.value, { a: { n: 2 }, b: { n: 2 } });
  objectsIn(holder.value);
});

rules('D6: rebuilding a list from its own elements keeps them, their drafts, and the patch', () => {
  const holder = order();
  const cup = holder.value.lines[1];
  const patch = turn(holder, (state) => {
    const line = state.lines[1];
    state.lines = state.lines.filter((each: Loose) => each === line);
    line.units = 8;
  });
  assert.equal(patch, [[['lines'], [{ sku: 'cup', units: 8 }]]]);
  assert.is(holder.value.lines[0], cup);
});

rules('D7: what is assigned is copied', () => {
  const holder = order();
  const line = { sku: 'pot', tags: ['new'] };
  turn(holder, (state) => {
    state.lines.push(line);
    state.best = line;
    state.buffer = Buffer.from('ab');
    assert.is(state.buffer.constructor, Uint8Array);
  });
  line.tags.push('leaked');
  const { lines, best } = holder.value;
  assert.equal([lines[2].tags, best.tags], [['new'], ['new']]);
});

rules('D8: a draft is dead after its turn, in every use', () => {
  for (const end of ['keep', 'undo'] as const) {
    const { recorder, state } = begin();
    const { lines } = state;
    const { push } = lines;
    recorder[end]();
    const uses = [
      () => state.total,
      () => Object.assign(state, { total: 1 }),
      () => Reflect.deleteProperty(state, 'total'),
      () => 'total' in state,
      () => Object.keys(state),
      () => ({ ...state }),
      () => JSON.stringify(lines),
      () => [...lines],
      () => Object.defineProperty(state, 'x', { value: 1, ...attributes }),
      () => push.call(lines, 1),
      () => lines.sort(),
    ];
    for (const use of uses) fails('failed', /used after its turn/, use);
  }
});

rules('D9: a view reads all and changes nothing', () => {
  const { value: before } = packed(order());
  const holder = order();
  const seen = view(holder.value);
  const state = seen.value as Loose;
  assert.is(state.lines, state.lines);
  assert.is(state.lines.map((line: Loose) => line.sku).join(), 'tea,cup');
  assert.is(JSON.stringify(state), JSON.stringify(holder.value));
  state.seal[0] = 9;
  const attempts = [
    () => Object.assign(state, { total: 1 }),
    () => Reflect.deleteProperty(state, 'total'),
    () => state.lines.push(1),
    () => state.lines.sort(),
    () => Object.assign(Object.getOwnPropertyDescriptor(state, 'customer')?.value, { name: 1 }),
    () => Object.setPrototypeOf(state, null),
    () => Object.freeze(state),
    () => Object.defineProperty(state, 'x', { value: 1 }),
  ];
  for (const attempt of attempts) fails('failed', /must not change state/, attempt);
  same(holder.value, before, 'view');
  seen.revoke();
  fails('failed', /used after its turn/, () => state.total);
  assert.is(view(7).value, 7);
});

rules('D9: what is assigned from a view or from the draft of another turn is copied', () => {
  const other = begin();
  const seen = view(other.holder.value).value as Loose;
  const holder: Box = { value: {} };
  turn(holder, (state) => Object.assign(state, { a: seen.customer, b: other.state.customer }));
  assert.equal(holder.value, { a: other.holder.value.customer, b: other.holder.value.customer });
  assert.is.not(holder.value.a, other.holder.value.customer);
});

rules('a draft is used like the object that it stands for', () => {
  const holder = order();
  turn(holder, (state) => {
    const { lines } = state;
    const [first] = lines;
    assert.ok(Array.isArray(lines) && lines[0] === first && lines.indexOf(lines[1]) === 1);
    assert.ok(lines.find((line) => line.sku === 'cup') === lines[1]);
    assert.equal([lines.concat([1]).length, [...lines].length], [3, 2]);
    const { total, ...rest } = state;
    assert.equal([total, Object.keys(rest)], [3, ['10', 'id', 'lines', 'customer', 'seal', 'note']]);
    delete state.id;
    assert.equal([Object.keys(state).includes('id'), 'id' in state, state.id], [false, false, undefined]);
    assert.not('id' in (storable(state, 'x') as object) || JSON.stringify(state).includes('o1'));
    assert.equal(
      [lines.push(1, 2), lines.pop(), lines.unshift(0), lines.splice(-1), lines.splice(0, 1)],
      [4, 2, 4, [1], [0]],
    );
    lines.length = 3;
    lines[4] = 4;
    delete lines[4];
    assert.is(lines.map((line) => typeof line).join(), 'object,object,undefined,undefined,undefined');
    Object.defineProperty(state, 'made', { value: 1, ...attributes });
    lines.reverse().fill(0, 0, 2).copyWithin(0, 2, 3);
    assert.is(Array.prototype.shift.call(lines), undefined);
  });
  same(holder.value.lines, [0, undefined, { sku: 'cup', units: 1 }, { sku: 'tea', units: 2 }], 'lines');
  assert.is(holder.value.made, 1);
});

rules('an object has one draft, also after it was replaced as the root', () => {
  const { holder, recorder, state } = begin({ value: { gone: {}, a: 1 } });
  delete state.gone;
  recorder.replace(holder, { old: state });
  assert.is((recorder.open(holder) as Loose).old, state);
  const other: Box = { value: undefined };
  recorder.open(other);
  recorder.replace(other, state);
  assert.is(recorder.open(other), state);
  recorder.undo();
});

// Random programs. Each instruction walks to an object by choices, and does the same to a draft and to a plain copy.

const leaf = fc.oneof(
  fc.integer({ min: 0, max: 3 }),
  fc.constantFrom('x', null, undefined, Number.NaN, 7n, true),
  fc.constant(new Uint8Array([1])),
);
const keys = ['a', 'b', 'c', 'd', '7'];
const value = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    leaf,
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...keys), tie('node'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).node;
const root = fc.dictionary(fc.constantFrom(...keys), value, { minKeys: 2, noNullPrototype: true });
const place = fc.array(fc.nat({ max: 6 }), { maxLength: 4 });
const small = fc.nat({ max: 5 });

interface Machine {
  readonly isDraft: boolean;
  readonly holders: readonly Box[];
  open(which: number): unknown;
  replace(which: number, value: unknown): void;
  held: unknown;
}

/** What one instruction works on: an object and one of its keys, and a value found elsewhere, in its parent. */
interface Site {
  readonly machine: Machine;
  readonly at: Loose;
  readonly key: string;
  readonly from: { readonly parent: Loose; readonly key: string; readonly found: Loose };
  readonly raw: Loose;
  readonly count: number;
}

function put({ at, key, count }: Site, part: unknown): void {
  if (Array.isArray(at) && count > 1) at.splice(Number(key), count - 2, part);
  else at[key] = part;
}

function remove({ from }: Site): void {
  if (from.parent?.[from.key] !== from.found) return;
  if (Array.isArray(from.parent)) from.parent.splice(Number(from.key), 1);
  else delete from.parent[from.key];
}

function rank(part: Loose): string {
  return isContainer(part) ? Object.keys(part).join() : String(part);
}

/** Instructions that put the found object somewhere; left out where it would come to contain itself. */
const moving: Readonly<Record<string, (site: Site) => void>> = {
  alias: (site) => put(site, site.from.found),
  move(site) {
    remove(site);
    if (Array.isArray(site.at)) site.at.push(site.from.found);
    else put(site, site.from.found);
  },
  moveEarly(site) {
    put(site, site.from.found);
    if (site.from.parent !== site.at) remove(site);
  },
  wrap(site) {
    put(site, { inner: [site.from.found], raw: site.raw });
    remove(site);
  },
  replace: ({ machine, from, key }) => key < 'c' && machine.replace(0, key === 'a' ? from.found : { old: from.found }),
};

const others: Readonly<Record<string, (site: Site) => void>> = {
  set: (site) => Object.assign(site.at, { [site.key]: site.raw }),
  failing({ machine, at, key, from, raw }) {
    if (machine.isDraft) fails('unstorable', /./, () => Object.assign(at, { [key]: [from.found, raw, () => 1] }));
  },
  delete({ at, key }) {
    if (!Array.isArray(at)) delete at[key];
    else if (Number(key) < at.length) at[Number(key)] = undefined;
  },
  hold: ({ machine, from }) => Object.assign(machine, { held: from.found }),
  swap({ at, key, count }) {
    const other = keys[count] ?? 'a';
    if (!Array.isArray(at)) [at[key], at[other]] = [at[other], at[key]];
  },
  filter({ at, key, count }) {
    if (Array.isArray(at[key])) at[key] = at[key].filter((_: unknown, index: number) => (index + count) % 3 > 0);
  },
};

const onLists: Readonly<Record<string, (list: Loose[], site: Site) => unknown>> = {
  push: (list, { raw }) => list.push(raw, structuredClone(raw)),
  pop: (list) => list.pop(),
  shift: (list) => list.shift(),
  unshift: (list, { raw }) => list.unshift(raw),
  splice: (list, { key, count, raw }) => list.splice(Number(key) - 1, count, raw),
  sort: (list) => list.sort((left, right) => (rank(left) < rank(right) ? -1 : 1)),
  reverse: (list) => list.reverse(),
  length: (list, { count }) => Object.assign(list, { length: Math.min(count, list.length) }),
};

const kinds = Object.keys({ ...moving, ...others, ...onLists });
const kind = fc.constantFrom(...kinds);
const instruction = fc.record({ kind, at: place, from: place, key: small, count: small, value, useHeld: fc.boolean() });
type Instruction = typeof instruction extends fc.Arbitrary<infer T> ? T : never;

function isContainer(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
}

/** Walks down from one of the roots, or from what is held, each choice being one of an object's inner objects. */
function find(machine: Machine, [first = 0, ...rest]: readonly number[], useHeld: boolean): Site['from'] {
  let step: Site['from'] = { parent: undefined, key: '', found: machine.open(first % 2) };
  if (useHeld && machine.held !== undefined) step = { ...step, found: machine.held };
  for (const choice of rest) {
    const parent = step.found;
    const inner = isContainer(parent) ? Object.keys(parent).filter((name) => isContainer(parent[name])) : [];
    const key = inner[choice % Math.max(1, inner.length)];
    if (key !== undefined) step = { parent, key, found: parent[key] };
  }
  return step;
}

/** Performs one instruction; `allows` tells whether something may be put into an object. */
function perform(machine: Machine, step: Instruction, allows: (part: unknown, into: unknown) => boolean): void {
  const { found: at } = find(machine, step.at, step.useHeld);
  const from = find(machine, step.from, false);
  if (!isContainer(at)) return;
  const key = Array.isArray(at) ? String(Math.min(step.key, at.length)) : (keys[step.key] ?? 'e');
  const site: Site = { machine, at, key, from, raw: structuredClone(step.value), count: step.count };
  others[step.kind]?.(site);
  if (Array.isArray(at)) onLists[step.kind]?.(at, site);
  if (isContainer(from.found) && allows(from.found, at)) moving[step.kind]?.(site);
}

function reaches(from: unknown, to: unknown): boolean {
  return from === to || (isContainer(from) && Object.values(from).some((part) => reaches(part, to)));
}

function plainMachine(holders: readonly Box[]): Machine {
  const open = (which: number) => holders[which]?.value;
  return {
    isDraft: false,
    holders,
    open,
    replace: (which, value) => Object.assign(holders[which] as Box, { value }),
    held: undefined,
  };
}

function draftMachine(recorder: Recorder, holders: readonly Box[]): Machine {
  const open = (which: number) => recorder.open(holders[which] as Box);
  return {
    isDraft: true,
    holders,
    open,
    replace: (which, value) => recorder.replace(holders[which] as Box, value),
    held: undefined,
  };
}

/** Runs a program on plain objects and on drafts; returns what the states should be. */
function runBoth(recorder: Recorder, holders: readonly Box[], program: readonly Instruction[]): unknown[] {
  const model = plainMachine(holders.map((holder) => structuredClone(holder)));
  const drafts = draftMachine(recorder, holders);
  for (const step of program) {
    const verdicts: boolean[] = [];
    perform(model, step, (part, into) => verdicts[verdicts.push(!reaches(part, into)) - 1] === true);
    perform(drafts, step, () => verdicts.shift() === true);
  }
  return model.holders.map((holder) => holder.value);
}

const runs = {
  numRuns: Number(process.env.STATE_RUNS ?? 3_000),
  seed: Number(process.env.STATE_SEED ?? 20_260_101),
  includeErrorInReport: true,
} as const;
const programs = fc.array(instruction, { minLength: 1, maxLength: 14 });
const tally = { turns: 0, patched: 0, whole: 0 };

function checkTurn(holders: readonly Box[], program: readonly Instruction[], isRecording: boolean): void {
  const before = holders.map((holder) => packed(holder.value));
  const recorder = new Recorder(isRecording);
  const expected = runBoth(recorder, holders, program);
  recorder.settle();
  const patches = holders.map((holder) => recorder.patch(holder));
  recorder.keep();
  for (const [index, holder] of holders.entries()) {
    const patch = patches[index] ?? 'whole';
    tally.turns++;
    if (patch === 'whole') tally.whole++;
    else if (patch.length > 0) tally.patched++;
    same(holder.value, expected[index], 'a draft behaves like the plain object');
    if (patch !== 'whole') same(applyPatch(before[index], packed(patch)), holder.value, `D5: ${text(patch)}`);
    same(packed(holder.value), holder.value, 'D1: what is stored comes back');
  }
  objectsIn(holders.map((holder) => holder.value));
}

function checkUndo(holders: readonly Box[], program: readonly Instruction[], isSettled: boolean): void {
  const before = holders.map((holder) => packed(holder.value));
  const objects = objectsIn(holders.map((holder) => holder.value)).slice(1);
  const recorder = new Recorder(true);
  runBoth(recorder, holders, program);
  if (isSettled) recorder.settle();
  if (isSettled && program.length % 2 === 0) for (const holder of holders) recorder.whole(holder);
  recorder.undo();
  for (const [index, holder] of holders.entries()) same(holder.value, before[index], 'D4: undo');
  const after = objectsIn(holders.map((holder) => holder.value)).slice(1);
  assert.ok(
    after.length === objects.length && after.every((object, index) => object === objects[index]),
    'D4: identity',
  );
}

rules('D4, D5, D6: random programs, several turns on', () => {
  const turns = fc.array(fc.tuple(programs, fc.constantFrom('keep', 'keep', 'unrecorded', 'undo', 'settled undo')), {
    minLength: 1,
    maxLength: 4,
  });
  void fc.assert(
    fc.property(root, value, turns, (first, second, sequence) => {
      const holders: Box[] = [{ value: packed(first) }, { value: packed(second) }];
      for (const [program, end] of sequence) {
        if (end.endsWith('undo')) checkUndo(holders, program, end.startsWith('settled'));
        else checkTurn(holders, program, end === 'keep');
      }
    }),
    runs,
  );
  assert.ok(tally.patched > tally.turns / 10, `too few patches: ${text(tally)}`);
  if (process.env.STATE_RUNS !== undefined) console.log(tally);
});

rules.run();
