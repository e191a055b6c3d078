/** Drafts, patches, undo and views: core/state.ts. The last rules run random programs against plain JavaScript objects. */
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { Packr } from 'msgpackr';
import { assert, suite } from './support/suite.ts';
import { type ErrorCode, isSkerryError } from '../core/errors.ts';
import { defaultLimits } from '../core/limits.ts';
import { applyPatch, type Edit, type Holder, Recorder, view } from '../core/state.ts';

const rules = suite('state');
const packr = new Packr({ useRecords: false, moreTypes: true });

type Tree = { [key: string]: Tree } & Tree[] & number;

/** A draft as loosely typed as plain JavaScript, which these rules compare it with. */
function opened(recorder: Recorder, holder: Holder): Tree {
  return recorder.open(holder) as Tree;
}

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

/** Runs one turn; returns its edits, and checks that they lead from before to after. */
function turn(holder: Holder, act: (state: Tree) => unknown): readonly Edit[] | 'whole' {
  const before = packed(holder.value);
  const recorder = new Recorder(true);
  act(opened(recorder, holder));
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

function order(): Holder {
  return {
    value: {
      id: 'o1',
      total: 3,
      lines: [
        { sku: 'tea', units: 2 },
        { sku: 'cup', units: 1 },
      ],
      customer: { name: 'Ada', address: { city: 'Oslo' } },
      '10': 'ten',
      seal: new Uint8Array([1, 2]),
      note: undefined,
    },
  };
}

rules('D4: undo restores identity, content and key order', () => {
  const holder = order();
  const root = holder.value as Tree;
  const before = packed(root);
  const objects = objectsIn(root);
  const recorder = new Recorder(true);
  const state = opened(recorder, holder);
  delete state.total;
  delete state.customer?.address;
  state.total = 9 as Tree;
  state.lines?.shift();
  state.lines?.push({ sku: 'pot' } as unknown as Tree);
  state.lines?.sort((left, right) => Number(right.units ?? 0) - Number(left.units ?? 0));
  state.extra = [] as unknown as Tree;
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
  const state: Holder = { value: { queue: [{ n: 1 }, { n: 2 }] } };
  const activity: Holder = { value: undefined };
  const before = packed(state.value);
  const recorder = new Recorder(true);
  const draft = opened(recorder, state);
  recorder.open(activity, 'activity');
  recorder.replace(activity, { job: draft.queue?.shift() });
  const job = opened(recorder, activity).job as Tree;
  job.n = 5 as Tree;
  recorder.settle();
  assert.equal(recorder.patch(state), [[['queue'], 0, 1, []]]);
  assert.equal([recorder.patch(activity), recorder.whole(activity)], ['whole', { job: { n: 5 } }]);
  recorder.undo();
  assert.is(activity.value, undefined);
  same(state.value, before, 'undo');
});

rules('D5: a patch says what was written, where, and no more', () => {
  const holder = order();
  assert.equal(
    turn(holder, (state) => {
      state.total = ((state.total ?? 0) + 1) as Tree;
    }),
    [[['total'], 4]],
  );
  assert.equal(
    turn(holder, (state) => {
      state.total = 4 as Tree;
      state.lines = state.lines as Tree;
    }),
    [],
  );
  assert.equal(
    turn(holder, (state) => {
      delete state.customer?.address;
    }),
    [[['customer', 'address']]],
  );
  assert.equal(
    turn(holder, (state) => {
      (state.lines?.[1] as Tree).units = 7 as Tree;
    }),
    [[['lines', 1, 'units'], 7]],
  );
  assert.equal(
    turn(holder, (state) => {
      state.lines?.shift();
    }),
    [[['lines'], 0, 1, []]],
  );
  assert.equal(
    turn(holder, (state) => {
      (state.lines as Tree).length = 0;
    }),
    [[['lines'], 0, 1, []]],
  );
});

rules('D5: an edit holds a new object as it is at the end', () => {
  const holder: Holder = { value: {} };
  const patch = turn(holder, (state) => {
    state.a = { list: [] } as unknown as Tree;
    (state.a as Tree).list?.push(1 as Tree);
    (state.a as Tree).list?.push(2 as Tree);
  });
  assert.equal(patch, [[['a'], { list: [1, 2] }]]);
});

rules('D5: moving an element costs the element, not the state', () => {
  const holder: Holder = { value: { queue: [{ n: 1 }, { n: 2 }], done: [{ n: 0 }] } };
  const patch = turn(holder, (state) => {
    const job = state.queue?.shift() as Tree;
    job.tries = 1 as Tree;
    state.done?.push(job);
    job.at = 5 as Tree;
  });
  assert.equal(patch, [
    [['queue'], 0, 1, []],
    [['done'], 1, 0, [{ n: 1, tries: 1, at: 5 }]],
  ]);
});

rules('D5: a held draft finds its new place after its array moved', () => {
  const holder: Holder = { value: { list: [{ n: 1 }, { n: 2 }] } };
  const patch = turn(holder, (state) => {
    const second = state.list?.[1] as Tree;
    state.list?.shift();
    second.n = 9 as Tree;
  });
  assert.equal(patch, [
    [['list'], 0, 1, []],
    [['list', 0, 'n'], 9],
  ]);
});

rules('D5: what is changed after its removal needs no edit', () => {
  const holder: Holder = { value: { a: { n: 1 }, b: 1 } };
  assert.equal(
    turn(holder, (state) => {
      const { a } = state;
      delete state.a;
      (a as Tree).n = 2 as Tree;
    }),
    [[['a']]],
  );
});

rules('D5: a place that was given up is not relied on', () => {
  const holder: Holder = { value: { a: { n: 1 } } };
  assert.is(
    turn(holder, (state) => {
      const a = state.a as Tree;
      state.b = a;
      delete state.b;
      a.n = 2 as Tree;
    }),
    'whole',
  );
  assert.equal(holder.value, { a: { n: 2 } });
  assert.is(
    turn(holder, (state) => {
      state.t = [state.a] as unknown as Tree;
      delete state.t;
      (state.a as Tree).n = 3 as Tree;
    }),
    'whole',
  );
  assert.equal(holder.value, { a: { n: 3 } });
});

rules('D5: past the given number of edits the patch is whole; undo works all the same', () => {
  const holder: Holder = { value: { n: 0 } };
  for (const [count, expected] of [
    [
      3,
      [
        [['n'], 1],
        [['n'], 2],
        [['n'], 3],
      ],
    ],
    [4, 'whole'],
  ] as const) {
    const recorder = new Recorder(true, 3);
    const state = opened(recorder, holder);
    for (let n = 1; n <= count; n++) state.n = n as Tree;
    recorder.settle();
    assert.equal(recorder.patch(holder), expected);
    recorder.undo();
    assert.equal(holder.value, { n: 0 });
  }
});

rules('D5: without recording a change is written whole, and no change not at all', () => {
  const holder: Holder = { value: { n: 0, gone: 1 } };
  const recorder = new Recorder(false);
  const state = opened(recorder, holder);
  state.n = 0 as Tree;
  assert.not(recorder.isChanged(holder));
  delete state.gone;
  assert.ok(recorder.isChanged(holder));
  recorder.settle();
  assert.is(recorder.patch(holder), 'whole');
  assert.equal(recorder.whole(holder), { n: 0 });
  recorder.keep();
});

rules('D5: the whole may be taken although there is a patch', () => {
  const holder: Holder = { value: { a: 1, b: 2, c: 3 } };
  const recorder = new Recorder(true);
  delete opened(recorder, holder).b;
  recorder.settle();
  assert.equal(recorder.patch(holder), [[['b']]]);
  assert.equal(recorder.whole(holder), { a: 1, c: 3 });
  recorder.undo();
  same(holder.value, { a: 1, b: 2, c: 3 }, 'undo after whole');
});

rules('D5: a patch shares nothing with the state', () => {
  const holder: Holder = { value: {} };
  const patch = turn(holder, (state) => {
    state.a = { n: 1 } as unknown as Tree;
  });
  turn(holder, (state) => {
    (state.a as Tree).n = 2 as Tree;
  });
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
  const holder: Holder = { value: { a: { n: 1 } } };
  const patch = turn(holder, (state) => {
    state.b = state.a as Tree;
    assert.is(state.a, state.b);
    (state.b as Tree).n = 2 as Tree;
  });
  assert.is(patch, 'whole');
  assert.equal(holder.value, { a: { n: 2 }, b: { n: 2 } });
  objectsIn(holder.value);
});

rules('D6: an object cannot contain itself', () => {
  const holder: Holder = { value: { a: { b: {} } } };
  const before = packed(holder.value);
  const recorder = new Recorder(true);
  const state = opened(recorder, holder);
  const a = state.a as Tree;
  fails('unstorable', /state\.a would contain itself/, () => {
    (a.b as Tree).back = a;
  });
  fails('unstorable', /would contain itself/, () => {
    a.list = [{ state }] as unknown as Tree;
  });
  recorder.undo();
  same(holder.value, before, 'undo');
});

rules('D6: rebuilding a list from its own elements keeps them, and keeps drafts of them valid', () => {
  const holder = order();
  const [, cup] = (holder.value as Tree).lines as Tree;
  turn(holder, (state) => {
    const line = state.lines?.[1] as Tree;
    state.lines = (state.lines as Tree).filter((each) => each === line) as Tree;
    line.units = 8 as Tree;
    (state.lines[0] as Tree).ready = true as unknown as Tree;
  });
  assert.equal((holder.value as Tree).lines, [{ sku: 'cup', units: 8, ready: true }]);
  assert.is(((holder.value as Tree).lines as Tree)[0], cup);
});

rules('D7: what is assigned is copied, and what is read of bytes is a copy', () => {
  const holder = order();
  const line = { sku: 'pot', tags: ['new'] };
  turn(holder, (state) => {
    state.lines?.push(line as unknown as Tree);
    state.best = line as unknown as Tree;
    (state.seal as unknown as Uint8Array)[0] = 9;
    state.buffer = Buffer.from('ab') as unknown as Tree;
    assert.is((state.buffer as unknown as Uint8Array).constructor, Uint8Array);
  });
  line.tags.push('leaked');
  const state = holder.value as Tree;
  assert.equal(
    [state.lines?.[2], state.best, state.seal],
    [{ sku: 'pot', tags: ['new'] }, { sku: 'pot', tags: ['new'] }, new Uint8Array([1, 2])],
  );
});

rules('D8: a draft is dead after its turn, in every use', () => {
  for (const end of ['keep', 'undo'] as const) {
    const holder = order();
    const recorder = new Recorder(true);
    const state = opened(recorder, holder);
    const lines = state.lines as Tree;
    const { push } = lines;
    recorder[end]();
    const uses = [
      () => state.total,
      () => {
        state.total = 1 as Tree;
      },
      () => delete state.total,
      () => 'total' in state,
      () => Object.keys(state),
      () => ({ ...state }),
      () => JSON.stringify(lines),
      () => [...lines],
      () => Object.defineProperty(state, 'x', { value: 1, writable: true, enumerable: true, configurable: true }),
      () => push.call(lines, 1 as Tree),
      () => lines.sort(),
    ];
    for (const use of uses) fails('failed', /used after its turn/, use);
  }
});

rules('D9: a view reads all and changes nothing', () => {
  const holder = order();
  const before = packed(holder.value);
  const seen = view(holder.value);
  const state = seen.value as Tree;
  assert.is(state.lines, state.lines);
  assert.equal(
    (state.lines as Tree).map((line) => line.sku as unknown),
    ['tea', 'cup'],
  );
  assert.equal(JSON.parse(JSON.stringify(state)), JSON.parse(JSON.stringify(before)));
  (state.seal as unknown as Uint8Array)[0] = 9;
  const attempts = [
    () => {
      state.total = 1 as Tree;
    },
    () => delete state.total,
    () => state.lines?.push(1 as Tree),
    () => state.lines?.sort(),
    () => {
      (Object.getOwnPropertyDescriptor(state, 'customer')?.value as Tree).name = 1 as Tree;
    },
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

rules('D9: a view and a draft of another turn are copied when assigned', () => {
  const other = order();
  const holder: Holder = { value: {} };
  const seen = view(other.value).value as Tree;
  const open = opened(new Recorder(true), other);
  turn(holder, (state) => {
    state.a = seen.customer as Tree;
    state.b = open.customer as Tree;
  });
  assert.equal(holder.value, {
    a: { name: 'Ada', address: { city: 'Oslo' } },
    b: { name: 'Ada', address: { city: 'Oslo' } },
  });
  assert.is.not((holder.value as Tree).a, (other.value as Tree).customer);
});

rules('D10: depth is bounded over turns, for assignments and moves, at the edge', () => {
  const holder: Holder = { value: {} };
  const deepest = (state: Tree): Tree => {
    let at = state;
    while (at.a !== undefined) at = at.a as Tree;
    return at;
  };
  for (let level = 2; level <= defaultLimits.depthMax; level++)
    turn(holder, (state) => {
      deepest(state).a = {} as Tree;
    });
  const recorder = new Recorder(true);
  const state = opened(recorder, holder);
  fails('unstorable', /nested deeper than 64/, () => {
    deepest(state).a = {} as Tree;
  });
  deepest(state).leaf = 1 as Tree;
  recorder.replace(holder, { rest: state.a as Tree });
  fails('unstorable', /nested deeper than 64/, () =>
    recorder.replace(holder, { more: { rest: opened(recorder, holder).rest } }),
  );
  recorder.undo();
});

rules('D10: depth holds for what is put into an object that went along inside another', () => {
  const nest = (levels: number): unknown => (levels === 0 ? 1 : { a: nest(levels - 1) });
  const holder: Holder = { value: { x: {} } };
  const recorder = new Recorder(true);
  const state = opened(recorder, holder);
  const x = state.x as Tree;
  state.x = { b: { c: { x } } } as unknown as Tree;
  x.deep = nest(defaultLimits.depthMax - 2) as Tree;
  fails('unstorable', /nested deeper than 64/, () => recorder.settle());
  recorder.undo();
  assert.equal(holder.value, { x: {} });
});

rules('a draft refuses what cannot be stored, naming the path', () => {
  const holder = order();
  const recorder = new Recorder(true);
  const state = opened(recorder, holder);
  const line = state.lines?.[1] as Tree;
  const attempts: readonly (readonly [RegExp, () => unknown])[] = [
    [
      /^state\.lines\[1\]\.when is a Date: store milliseconds/,
      () => {
        line.when = new Date() as unknown as Tree;
      },
    ],
    [/^state\.lines\[2\]\.by\[0\] is a Map/, () => state.lines?.push({ by: [new Map()] } as unknown as Tree)],
    [
      /^state\.run is a function/,
      () => {
        state.run = (() => 1) as unknown as Tree;
      },
    ],
    [/symbol/, () => Reflect.set(state, Symbol('s'), 1)],
    [/^state\.__proto__ has a name/, () => Reflect.set(state, '__proto__', {})],
    [
      /^state\.lines\.name is a named property of an array/,
      () => {
        (state.lines as Tree).name = 1 as Tree;
      },
    ],
    [/^state\.x is a getter or setter/, () => Object.defineProperty(state, 'x', { get: () => 1, configurable: true })],
    [/^state\.x must stay writable/, () => Object.defineProperty(state, 'x', { value: 1 })],
    [/^state\.lines is state: it can have no other prototype/, () => Object.setPrototypeOf(state.lines, null)],
    [/cannot be frozen/, () => Object.freeze(state)],
  ];
  for (const [pattern, attempt] of attempts) fails('unstorable', pattern, attempt);
  fails('too-large', /stateBytesMax/, () => {
    (state.lines as Tree)[4e9] = 1 as Tree;
  });
  assert.not(recorder.isChanged(holder));
  recorder.undo();
});

rules('a draft is used like the object that it stands for', () => {
  const holder = order();
  turn(holder, (state) => {
    const lines = state.lines as Tree;
    assert.ok(Array.isArray(lines));
    assert.is(lines[0], lines[0]);
    assert.is(lines.indexOf(lines[1] as Tree), 1);
    assert.is(
      lines.find((line) => (line.sku as unknown) === 'cup'),
      lines[1],
    );
    assert.equal(lines.concat([1 as Tree]).length, 3);
    assert.equal([...lines].length, 2);
    assert.equal(Object.entries(state.customer?.address as Tree), [['city', 'Oslo']]);
    const { total, ...rest } = state;
    assert.equal([total, Object.keys(rest)], [3, ['10', 'id', 'lines', 'customer', 'seal', 'note']]);
    delete state.id;
    assert.equal(
      [Object.keys(state).includes('id'), 'id' in state, state.id, Object.hasOwn(state, 'id')],
      [false, false, undefined, false],
    );
    assert.not.ok('id' in structuredClone(JSON.parse(JSON.stringify(state)) as object));
    state.lines = [{ whole: state }].map((each) => each.whole.lines as Tree) as Tree;
    assert.is(lines.push(1 as Tree, 2 as Tree), 4);
    assert.equal([lines.pop(), lines.unshift(0 as Tree), lines.splice(-1).length, lines.splice(0, 1)], [2, 4, 1, [0]]);
    lines.length = 3;
    lines[4] = 4 as Tree;
    assert.equal(
      lines.map((line) => typeof line),
      ['object', 'object', 'undefined', 'undefined', 'number'],
    );
    delete (lines as Tree[])[4];
    Object.assign(state.customer as Tree, { name: 'Bo' });
    Object.defineProperty(state, 'made', { value: 1, writable: true, enumerable: true, configurable: true });
    lines
      .reverse()
      .fill(0 as Tree, 0, 2)
      .copyWithin(0, 2, 3);
    assert.equal(Array.prototype.shift.call(lines), undefined);
  });
  same((holder.value as Tree).lines, [[0, undefined, { sku: 'cup', units: 1 }, { sku: 'tea', units: 2 }]], 'lines');
});

rules('a function that compares elements cannot change the array that it sorts', () => {
  const holder = order();
  const recorder = new Recorder(true);
  const lines = opened(recorder, holder).lines as Tree;
  fails('failed', /compares its elements/, () => lines.sort(() => lines.push(1 as Tree)));
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
const kinds = [
  'set',
  'delete',
  'push',
  'pop',
  'shift',
  'unshift',
  'splice',
  'sort',
  'reverse',
  'move',
  'moveEarly',
  'alias',
  'wrap',
  'filter',
  'swap',
  'hold',
  'length',
  'replace',
  'failing',
] as const;
const choices = fc.array(fc.nat({ max: 6 }), { maxLength: 4 });
const instruction = fc.record({
  kind: fc.constantFrom(...kinds),
  at: choices,
  from: choices,
  key: fc.nat({ max: 5 }),
  count: fc.nat({ max: 3 }),
  value,
  useHeld: fc.boolean(),
});
type Instruction = typeof instruction extends fc.Arbitrary<infer T> ? T : never;

interface Machine {
  readonly isDraft: boolean;
  /** The root of the first and of the second state. */
  roots(): readonly unknown[];
  replace(which: number, value: unknown): void;
  held: unknown;
}

function isContainer(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
}

function choose(
  machine: Machine,
  path: readonly number[],
  useHeld: boolean,
): { parent: Tree | undefined; key: string; found: unknown } {
  const [first = 0, ...rest] = path;
  let found = useHeld && machine.held !== undefined ? machine.held : machine.roots()[first % 2];
  let parent: Tree | undefined;
  let key = '';
  for (const choice of rest) {
    if (!isContainer(found)) break;
    const container: Tree = found;
    const inner = Object.keys(container).filter((name) => isContainer(container[name]));
    const next = inner[choice % Math.max(1, inner.length)];
    if (next === undefined) break;
    parent = container;
    key = next;
    found = container[next];
  }
  return { parent, key, found };
}

function remove(parent: Tree, key: string): void {
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
}

/** Performs one instruction; `allows` tells whether something may be put into an object (no cycles). */
function perform(machine: Machine, step: Instruction, allows: (part: unknown, into: unknown) => boolean): void {
  const { found: at } = choose(machine, step.at, step.useHeld);
  const from = choose(machine, step.from, false);
  const raw = structuredClone(step.value) as Tree;
  if (step.kind === 'replace') {
    if (step.key < 2 && isContainer(from.found)) machine.replace(0, step.count === 0 ? raw : { old: from.found });
    return;
  }
  if (!isContainer(at)) return;
  const list = Array.isArray(at) ? (at as Tree[]) : undefined;
  const key = list === undefined ? (keys[step.key] ?? 'e') : String(Math.min(step.key, list.length));
  const put = (part: unknown): void => {
    if (list !== undefined && step.count > 1) list.splice(Number(key), step.count - 2, part as Tree);
    else at[key] = part as Tree;
  };
  const mayPut = isContainer(from.found) && allows(from.found, at);
  switch (step.kind) {
    case 'set':
      at[key] = raw;
      break;
    case 'failing':
      if (machine.isDraft) fails('unstorable', /./, () => { at[key] = [from.found, raw, () => 1] as unknown as Tree; });
      break;
    case 'delete':
      if (list === undefined) delete at[key];
      else if (Number(key) < list.length) list[Number(key)] = undefined as unknown as Tree;
      break;
    case 'hold':
      machine.held = from.found;
      break;
    case 'move':
    case 'moveEarly':
      if (!mayPut || from.parent === undefined) return;
      if (step.kind === 'move') remove(from.parent, from.key);
      if (list !== undefined && step.kind === 'move') list.push(from.found as Tree);
      else put(from.found);
      if (step.kind === 'moveEarly' && from.parent !== at && from.parent[from.key] === from.found)
        remove(from.parent, from.key);
      break;
    case 'alias':
      if (mayPut && step.count < 2) put(from.found);
      break;
    case 'wrap':
      if (mayPut) put({ inner: [from.found], raw });
      if (mayPut && from.parent !== undefined && from.parent[from.key] === from.found) remove(from.parent, from.key);
      break;
    case 'swap': {
      const other = at[keys[step.count] ?? 'a'];
      if (list === undefined) [at[key], at[keys[step.count] ?? 'a']] = [other as Tree, at[key] as Tree];
      break;
    }
    case 'filter':
      if (Array.isArray(at[key]))
        at[key] = (at[key] as Tree[]).filter((_, index) => (index + step.count) % 3 > 0) as Tree;
      break;
    default:
      if (list !== undefined) performOnList(list, step, raw);
  }
}

function performOnList(list: Tree[], step: Instruction, raw: Tree): void {
  const rank = (part: Tree): string => (isContainer(part) ? Object.keys(part).join() : String(part));
  if (step.kind === 'push') list.push(raw, structuredClone(raw));
  if (step.kind === 'pop') list.pop();
  if (step.kind === 'shift') list.shift();
  if (step.kind === 'unshift') list.unshift(raw);
  if (step.kind === 'splice') list.splice(step.key - 1, step.count, raw);
  if (step.kind === 'sort') list.sort((left, right) => (rank(left) < rank(right) ? -1 : 1));
  if (step.kind === 'reverse') list.reverse();
  if (step.kind === 'length') list.length = Math.min(step.key, list.length);
}

function reaches(from: unknown, to: unknown): boolean {
  return from === to || (isContainer(from) && Object.values(from).some((part) => reaches(part, to)));
}

function plainMachine(values: unknown[]): Machine {
  return { isDraft: false, roots: () => values, replace: (which, next) => void (values[which] = next), held: undefined };
}

function draftMachine(recorder: Recorder, holders: readonly Holder[]): Machine {
  return {
    isDraft: true,
    roots: () => holders.map((holder) => recorder.open(holder)),
    replace: (which, next) => recorder.replace(holders[which] as Holder, next),
    held: undefined,
  };
}

/** Runs a program on a model and on drafts; returns what the states should be, or undefined if it made something too deep. */
function runBoth(recorder: Recorder, holders: readonly Holder[], program: readonly Instruction[]): unknown[] {
  const expected = holders.map((holder) => structuredClone(holder.value));
  const model = plainMachine(expected);
  const drafts = draftMachine(recorder, holders);
  for (const step of program) {
    const verdicts: boolean[] = [];
    perform(model, step, (part, into) => verdicts[verdicts.push(!reaches(part, into)) - 1] === true);
    perform(drafts, step, () => verdicts.shift() === true);
  }
  return expected;
}

const runs = {
  numRuns: Number(process.env['STATE_RUNS'] ?? 3_000),
  seed: Number(process.env['STATE_SEED'] ?? 20_260_101),
  includeErrorInReport: true,
} as const;
const programs = fc.array(instruction, { minLength: 1, maxLength: 14 });
const tally = { turns: 0, patched: 0, whole: 0 };

function checkTurn(holders: readonly Holder[], program: readonly Instruction[], isRecording: boolean): void {
  const before = holders.map((holder) => packed(holder.value));
  const recorder = new Recorder(isRecording);
  const expected = runBoth(recorder, holders, program);
  recorder.settle();
  const patches = holders.map((holder) => recorder.patch(holder));
  recorder.keep();
  holders.forEach((holder, index) => {
    const patch = patches[index] ?? 'whole';
    tally.turns++;
    if (patch === 'whole') tally.whole++;
    else if (patch.length > 0) tally.patched++;
    same(holder.value, expected[index], 'a draft behaves like the plain object');
    if (patch !== 'whole') same(applyPatch(before[index], packed(patch)), holder.value, `D5: ${text(patch)}`);
    same(packed(holder.value), holder.value, 'D1: what is stored comes back');
  });
  objectsIn(holders.map((holder) => holder.value));
}

function checkUndo(holders: readonly Holder[], program: readonly Instruction[], isSettled: boolean): void {
  const before = holders.map((holder) => packed(holder.value));
  const objects = objectsIn(holders.map((holder) => holder.value)).slice(1);
  const recorder = new Recorder(true);
  runBoth(recorder, holders, program);
  if (isSettled) recorder.settle();
  if (isSettled && program.length % 2 === 0) for (const holder of holders) recorder.whole(holder);
  recorder.undo();
  holders.forEach((holder, index) => same(holder.value, before[index], 'D4: undo'));
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
  fc.assert(
    fc.property(root, value, turns, (first, second, sequence) => {
      const holders: Holder[] = [{ value: packed(first) }, { value: packed(second) }];
      for (const [program, end] of sequence) {
        if (end.endsWith('undo')) checkUndo(holders, program, end.startsWith('settled'));
        else checkTurn(holders, program, end === 'keep');
      }
    }),
    runs,
  );
  assert.ok(tally.patched > tally.turns / 10, `too few patches: ${text(tally)}`);
  if (process.env['STATE_RUNS'] !== undefined) console.log(tally);
});

rules.run();
