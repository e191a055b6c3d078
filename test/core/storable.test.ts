/** What may be stored: core/storable.ts, and the same rules for what is put into a draft. */
import { isDeepStrictEqual } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import * as fc from 'fast-check';
import { Packr } from 'msgpackr';
import { type ErrorCode, isSkerryError } from '../../core/errors.ts';
import { defaultLimits } from '../../core/limits.ts';
import { Recorder } from '../../core/recorder.ts';
import { storable } from '../../core/storable.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import { assert, suite } from '../support/suite.ts';

const rules = suite('storable');
const packr = new Packr({ useRecords: false, moreTypes: true });

// biome-ignore lint/suspicious/noExplicitAny: a draft is used here like any value of plain JavaScript
type Loose = any;
type Box = { value: Loose };

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

function begin(value: object): { holder: Box; recorder: Recorder; state: Loose } {
  const holder = { value };
  const recorder = new Recorder(true);
  return { holder, recorder, state: recorder.open(holder) };
}

function order(): object {
  return { id: 'o1', lines: [{ sku: 'tea' }, { sku: 'cup' }], customer: { name: 'Ada', address: { city: 'Oslo' } } };
}

rules('D1: what is data passes unchanged', () => {
  const values = [null, true, 0, -1.5, Number.NaN, Number.POSITIVE_INFINITY, '', 'naïve 日本 😀', undefined];
  const integers = [7n, -(2n ** 63n), 2n ** 64n - 1n];
  const nested: object = { '': [{}, [], { '0': 1, constructor: 2, toString: 3, hasOwnProperty: 4 }], undefined };
  for (const value of [...values, ...integers, nested, new Uint8Array([1, 2])]) {
    assert.equal(storable(value, 'x'), value);
    assert.equal(packr.unpack(packr.pack(storable(value, 'x'))), value);
  }
});

rules('D1: what the store would change is changed at once', () => {
  assert.ok(Object.is(storable(-0, 'x'), 0));
  assert.equal(Object.is((storable({ a: [-0] }, 'x') as Loose).a[0], 0), true);
  const sparse = Object.assign(new Array<number>(2), { name: 'lost' });
  assert.equal(Object.keys(storable(sparse, 'x') as object), ['0', '1']);
  assert.is(Object.getPrototypeOf(storable(Object.create(null), 'x')), Object.prototype);
  const bytes = storable(Buffer.from('ab'), 'x') as Uint8Array;
  assert.equal([bytes.constructor, bytes.length, bytes[0]], [Uint8Array, 2, 97]);
});

/** An object whose two fields are the one before it: small in memory, and 2 ** depth objects as a tree. */
function shared(depth: number): object {
  let value: object = { leaf: 1 };
  for (let level = 0; level < depth; level++) value = { left: value, right: value };
  return value;
}

rules('D2: shared references cost what their copy takes, and no more than its limit', () => {
  fails('too-large', /^x takes more than 900000 bytes.*messageBytesMax.*stateBytesMax/, () =>
    storable(shared(40), 'x', 900_000),
  );
  const lists = Array.from({ length: 60 }).reduce<unknown>((list) => [list, list], []);
  fails('too-large', /takes more than/, () => storable(lists, 'x', 900_000));
  const bytes = new Uint8Array(800_000);
  fails('too-large', /takes more than/, () => storable([bytes, bytes], 'x', 900_000));
  const long = 'x'.repeat(800_000);
  fails('too-large', /takes more than/, () => storable([long, long], 'x', 900_000));
  assert.equal((storable(shared(3), 'x', 900_000) as Loose).right.left.right, { leaf: 1 });
});

rules('D2: what is counted before encoding is at most what encoding takes: nothing that fits is refused', () => {
  const data = fc.anything({ withBigInt: true, maxDepth: 4 }).filter((value) => {
    try {
      return storable(value, 'x') !== undefined;
    } catch {
      return false;
    }
  });
  const property = fc.property(data, (value) => {
    const { length } = encode(storable(value, 'x'));
    assert.equal(storable(value, 'x', length), storable(value, 'x'));
  });
  void fc.assert(property, { seed: 8, numRuns: 2_000 });
});

rules('D3: plain objects, arrays and bytes of another realm are plain; classes of another realm are none', () => {
  const other = createContext({});
  const made = (source: string) => runInContext(source, other) as unknown;
  const value = made('({ a: [1, { b: new Uint8Array([1, 2]) }], n: Object.create(null) })');
  const copy = storable(value, 'x');
  assert.ok(isDeepStrictEqual(copy, { a: [1, { b: new Uint8Array([1, 2]) }], n: {} }));
  assert.equal(decode(encode(copy)), copy);
  const { recorder, state, holder } = begin({});
  state.kept = value;
  recorder.settle();
  recorder.keep();
  assert.ok(isDeepStrictEqual(holder.value.kept, copy));
  const classes = [
    'new (class P { x = 1 })()',
    'new (class extends Array {})()',
    'new Date(0)',
    'new Map()',
    'Object.create({})',
  ];
  for (const source of classes) fails('unstorable', /^x is/, () => storable(made(source), 'x'));
  fails('unstorable', /^x is/, () => storable(Object.create({}), 'x'));
  fails('unstorable', /^x is/, () => storable(new (class extends Array {})(), 'x'));
});

const anything = fc.anything({
  withBigInt: true,
  withNullPrototype: true,
  withTypedArray: true,
  withMap: true,
  withDate: true,
});

rules('D1, D2, D3: whatever passes comes back from the store as it was kept; all else is refused', () => {
  const runs = { numRuns: 3_000, seed: 20_260_102 };
  let passed = 0;
  const check = (value: unknown) => {
    try {
      const kept = storable(value, 'x');
      passed++;
      assert.equal(packr.unpack(packr.pack(kept)), kept);
      if (typeof kept === 'object' && kept !== null) assert.is.not(kept, value);
    } catch (error) {
      assert.ok(isSkerryError(error, 'unstorable'), String(error));
    }
  };
  void fc.assert(fc.property(anything, check), runs);
  assert.ok(passed > 500, `only ${passed} passed`);
});

rules('D2: the copy shares nothing, and holds twice what the value holds twice', () => {
  const part = { bytes: new Uint8Array([1]) };
  const value = { first: part, second: part };
  const copy = storable(value, 'x') as typeof value;
  assert.is.not(copy.first, copy.second);
  part.bytes[0] = 9;
  copy.second.bytes[0] = 8;
  assert.is(copy.first.bytes[0], 1);
});

rules('D3: what cannot be stored is refused, with the path to it and what to do', () => {
  const cases: readonly (readonly [RegExp, unknown])[] = [
    [/^order\.lines\[3\]\.when is a Date: store milliseconds instead$/, { lines: [1, 2, 3, { when: new Date(0) }] }],
    [/^order is a Map: store a plain object or an array of pairs instead$/, new Map()],
    [/^order\.a is a Set: store an array/, { a: new Set() }],
    [/^order\.a is a function: /, { a: () => 1 }],
    [/^order\["a b"\] is a symbol: /, { 'a b': Symbol('s') }],
    [/^order has a symbol as a property name/, { [Symbol('s')]: 1 }],
    [/^order is an instance of Money: store a plain object/, new (class Money {})()],
    [/^order\[0\] is an instance of List: /, [new (class List extends Array {})()]],
    [/^order is an instance of Float32Array: /, new Float32Array(1)],
    [/^order\.failure is a TypeError: store its message/, { failure: new TypeError('x') }],
    [/^order\.reply is a Promise: a turn does not wait/, { reply: Promise.resolve() }],
    [/^order\.total is a getter or setter/, { get total() { throw new Error('never run'); } }], // biome-ignore format: one
    [/^order\.__proto__ has a name/, JSON.parse('{"__proto__":{"x":1}}')],
    [/^order\.name is not well-formed Unicode/, { name: 'a\ud800' }],
    [/has a name that is not well-formed/, { '\ud800': 1 }],
    [/^order is a bigint of more than 64 bits/, 2n ** 64n],
    [/^order is a bigint of more than 64 bits/, -(2n ** 63n) - 1n],
  ];
  for (const [pattern, value] of cases) fails('unstorable', pattern, () => storable(value, 'order'));
  fails('too-large', /^order\.a has 4000000000 elements: .*stateBytesMax/, () =>
    storable({ a: new Array(4e9) }, 'order'),
  );
});

rules('D3: nesting is refused past depthMax, so circles are', () => {
  const nest = (levels: number): unknown => (levels === 0 ? 1 : { a: nest(levels - 1) });
  storable(nest(defaultLimits.depthMax), 'x');
  fails('unstorable', /nested deeper than 64 levels/, () => storable(nest(defaultLimits.depthMax + 1), 'x'));
  const circle: unknown[] = [];
  circle.push(circle);
  fails('unstorable', /or contains itself/, () => storable(circle, 'x'));
  // The path to it is as long as values may be deep: its start and end say enough, and names are cut.
  try {
    storable({ loop: circle, ['n'.repeat(1_000)]: 1 }, 'state');
  } catch (error) {
    const { message } = error as Error;
    assert.ok(message.length < 300, message);
    assert.match(message, /^state\.loop.*….* is nested deeper/);
  }
  const long = { ['n'.repeat(1_000)]: new Date(0) };
  fails('unstorable', /^x\.n{64}… is a Date/, () => storable(long, 'x'));
});

rules('D2: a draft is copied as what it shows', () => {
  const { state, recorder } = begin(order());
  const whole = storable({ state }, 'x') as Loose;
  assert.equal(whole.state, order());
  delete state.customer.address;
  state.lines[0].units = 1;
  assert.equal(storable(state, 'x'), {
    id: 'o1',
    lines: [{ sku: 'tea', units: 1 }, { sku: 'cup' }],
    customer: { name: 'Ada' },
  });
  recorder.undo();
  assert.is(whole.state.lines[0].units, undefined);
});

function deepest(state: Loose): Loose {
  return state.a === undefined ? state : deepest(state.a);
}

rules('D10: depth is bounded over turns, for assignments and moves, at the edge', () => {
  const grown: Box = { value: {} };
  for (let level = 2; level <= defaultLimits.depthMax; level++) {
    const recorder = new Recorder(true);
    Object.assign(deepest(recorder.open(grown)), { a: {} });
    recorder.keep();
  }
  const { recorder, state, holder } = begin(grown.value);
  fails('unstorable', /nested deeper than 64/, () => Object.assign(deepest(state), { a: {} }));
  deepest(state).leaf = 1;
  recorder.replace(holder, { rest: state.a });
  const rest = (recorder.open(holder) as Loose).rest;
  fails('unstorable', /nested deeper than 64/, () => recorder.replace(holder, { more: { rest } }));
  recorder.undo();
});

rules('D10: depth holds for what is put into an object that went along inside another', () => {
  const { holder, recorder, state } = begin({ x: {} });
  const { x } = state;
  state.x = { b: { c: { x } } };
  let nest: unknown = 1;
  for (let level = 3; level <= defaultLimits.depthMax; level++) nest = { a: nest };
  x.deep = nest;
  fails('unstorable', /nested deeper than 64/, () => recorder.settle());
  recorder.undo();
  assert.equal(holder.value, { x: {} });
});

rules('D10: what was deleted in the same turn does not count', () => {
  const { recorder, state, holder } = begin({ a: { b: {} } });
  const { b } = state.a;
  delete state.a.b;
  b.old = { a: state.a };
  state.b = b;
  delete state.a;
  recorder.settle();
  assert.equal(recorder.whole(holder), { b: { old: { a: {} } } });
  recorder.undo();
});

rules('D3: a draft refuses what cannot be stored, naming the path', () => {
  const { holder, recorder, state } = begin(order());
  const assign = (target: Loose, part: object) => () => Object.assign(target, part);
  const attempts: readonly (readonly [RegExp, () => unknown])[] = [
    [/^state\.lines\[1\]\.when is a Date: store milli/, assign(state.lines[1], { when: new Date(0) })],
    [/^state\.lines\[2\]\.by\[0\] is a Map/, () => state.lines.push({ by: [new Map()] })],
    [/^state\.run is a function/, assign(state, { run: () => 1 })],
    [/^state\.heir is an instance of/, assign(state, { heir: Object.create(state.customer) as unknown })],
    [/symbol/, () => Reflect.set(state, Symbol('s'), 1)],
    [/^state\.__proto__ has a name/, () => Reflect.set(state, '__proto__', {})],
    [/^state\.lines\.name is a named property of an array/, assign(state.lines, { name: 1 })],
    [/^state\.x is a getter or setter/, () => Object.defineProperty(state, 'x', { get: () => 1, configurable: true })],
    [/^state\.x must stay writable/, () => Object.defineProperty(state, 'x', { value: 1 })],
    [/^state\.lines is state: its prototype cannot be changed/, () => Object.setPrototypeOf(state.lines, null)],
    [/cannot be frozen/, () => Object.freeze(state)],
  ];
  for (const [pattern, attempt] of attempts) fails('unstorable', pattern, attempt);
  fails('too-large', /stateBytesMax/, assign(state.lines, { 4000000000: 1 }));
  assert.not(recorder.isChanged(holder));
  recorder.replace(holder, state.customer);
  fails(
    'unstorable',
    /^state\.address\.by is a Set/,
    assign((recorder.open(holder) as Loose).address, { by: new Set() }),
  );
  recorder.undo();
});

rules('D6: an object cannot contain itself', () => {
  const { holder, recorder, state } = begin({ a: { b: {} } });
  fails('unstorable', /state\.a would contain itself/, () => Object.assign(state.a.b, { back: state.a }));
  fails('unstorable', /would contain itself/, () => Object.assign(state.a, { list: [{ state }] }));
  recorder.undo();
  assert.equal(holder.value, { a: { b: {} } });
});

rules('a function that compares elements cannot change the array that it sorts', () => {
  const { recorder, state } = begin(order());
  fails('failed', /changed by its own compare function/, () => state.lines.sort(() => state.lines.push(1)));
  recorder.undo();
});

rules.run();
