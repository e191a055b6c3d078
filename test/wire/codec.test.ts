/** Bytes: every envelope there and back, and everything that is no frame of ours refused. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import {
  decode,
  decodeFrame,
  encode,
  encodeFrame,
  encodeLocationHint,
  protocol,
  rowOf,
} from '../../runtime/wire/codec.ts';
import type { Envelope } from '../../runtime/wire/envelope.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('codec');

const text = fc.string({ unit: 'grapheme', maxLength: 12 });
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => new Uint8Array(array));
const number = fc.oneof(fc.nat(), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
const date = fc.oneof(number, fc.constantFrom(0.5, 1_790_000_000_000.25));
const arrival = fc.record({
  session: number,
  seq: number,
  floor: number,
  expires: date,
  sent: date,
  keepMs: date,
});
const content = fc.record({
  kind: fc.constantFrom('operation', 'confirm', 'cancel', 'answer', 'dead-retry', 'dead-drop', 'outbox-drop'),
  operation: text,
  payload: bytes,
  hold: text,
  wantsAnswer: fc.boolean(),
});
const head = { to: text, replyTo: text, call: number, identity: text };
const envelope = fc.oneof(
  fc.record({ kind: fc.constant('message'), ...head, from: text, arrival, content }),
  fc.record({ kind: fc.constant('query'), ...head, operation: text, payload: bytes, deadline: date }),
  fc.record({
    kind: fc.constant('reply'),
    to: text,
    call: number,
    status: fc.constantFrom('answer', 'overloaded', 'store-failed', 'unknown-type', 'denied', 'moved'),
    bytes,
  }),
  fc.record({
    kind: fc.constantFrom('ack', 'close', 'closed', 'stale', 'probe', 'probed'),
    to: text,
    from: text,
    session: number,
    number: fc.oneof(number, fc.constant(-1)),
  }),
) as fc.Arbitrary<Envelope>;

/** Bytes compare by their content, whichever class of bytes they are of. */
const comparable = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, part) => (ArrayBuffer.isView(part) ? [...(part as Uint8Array)] : part)),
    (_k, part) => {
      const isBuffer = typeof part === 'object' && part !== null && part.type === 'Buffer' && Array.isArray(part.data);
      return isBuffer ? part.data : part;
    },
  );

const frameHead = { viewVersion: 7, hops: 1 };

test('K1: every kind of envelope comes back as it went, in order', () => {
  const property = fc.property(fc.array(envelope, { maxLength: 12 }), (envelopes) => {
    assert.equal(
      comparable(decodeFrame(new Uint8Array(encodeFrame(envelopes, frameHead))).envelopes),
      comparable(envelopes),
    );
  });
  fc.assert(property, { seed: 21, numRuns: 300 });
});

const sample: Envelope = {
  kind: 'message',
  to: 'stock/tea',
  from: '@c',
  replyTo: 'skerry.client.c',
  call: 1,
  identity: '',
  arrival: { session: 1, seq: 1, floor: 1, expires: 5, sent: 1, keepMs: 0 },
  content: { kind: 'operation', operation: 'add', payload: encode(1), hold: '', wantsAnswer: true },
};

test('K1: a frame that was cut off anywhere, or has more behind it, is refused as a whole', () => {
  const frame = new Uint8Array(encodeFrame([sample, sample], frameHead));
  for (let length = 0; length < frame.length; length++)
    assert.throws(() => decodeFrame(frame.slice(0, length)), undefined, `${length} bytes`);
  assert.throws(() => decodeFrame(new Uint8Array([...frame, 0])));
});

test('K1: a location hint comes back as it went; cut off, empty, or beside other rows it is refused, at no cost', () => {
  const told = { id: 'wörker', partitions: [0, 7, 2 ** 40] };
  const bytes = new Uint8Array(encodeLocationHint(told, 9));
  assert.equal(decodeFrame(bytes), {
    version: 1,
    viewVersion: 9,
    hops: 0,
    envelopes: [],
    skipped: 0,
    hint: told,
  });
  for (let length = 0; length < bytes.length; length++) assert.throws(() => decodeFrame(bytes.slice(0, length)));
  const row = [4, 'w', 1];
  for (const rows of [[[4]], [[4, 'w']], [[4, 'w', -1]], [[4, 'w', 'x']], [[4, 7, 1]], [row, row]])
    assert.throws(() => decodeFrame(encode([protocol.from, 1, 0, ...rows])));
  // A row that says it has 2^25 columns and ends after two.
  const long = Uint8Array.from([0x94, protocol.from, 1, 0, 0xdd, 2, 0, 0, 0, 4, 0xa1, 97]);
  const before = process.memoryUsage().heapTotal;
  assert.throws(() => decodeFrame(long));
  assert.ok(process.memoryUsage().heapTotal - before < 50_000_000);
});

test('K1: random bytes, and frames with a byte changed, are refused or decode as envelopes; nothing else happens', () => {
  const kinds = ['message', 'query', 'reply', 'ack', 'close', 'closed', 'stale', 'probe', 'probed'];
  const attempt = (frame: Uint8Array) => {
    try {
      for (const { kind, to } of decodeFrame(frame).envelopes)
        assert.ok(kinds.includes(kind) && typeof to === 'string');
    } catch (error) {
      assert.ok(error instanceof Error);
      assert.not.ok('details' in error, String(error));
    }
  };
  const frame = new Uint8Array(encodeFrame([sample], frameHead));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), attempt), { seed: 5, numRuns: 3_000 });
  for (let at = 0; at < frame.length; at++)
    for (const value of [0, 1, 0x7f, 0x80, 0xc0, 0xc1, 0xd4, 0xff])
      attempt(frame.map((byte, index) => (index === at ? value : byte)));
  assert.is(({} as { polluted?: unknown }).polluted, undefined);
});

test('K1: a frame of another version, or whose rows have a column of another kind, is refused', () => {
  const row = (...columns: unknown[]) => encode([protocol.from, 5, 0, columns]);
  const wrong: unknown[] = [
    new Uint8Array([0x90, protocol.from, 5, 0]),
    encode([protocol.from, 5]),
    encode([protocol.from, 5, -1]),
    encode([protocol.from, 5, 0.5]),
    encode([protocol.from, -5, 0]),
    encode([protocol.to + 1]),
    encode([0]),
    encode(['1']),
    encode([]),
    encode({ 0: 1 }),
    encode(null),
    encode([protocol.from, 5]),
    encode([protocol.from, { to: 'x' }]),
    row(),
    row(4),
    row(5.5),
    row(2 ** 53),
    row(-1),
    row('0'),
    row(2, 'x', 1, 0.5, new Uint8Array(0)),
    row(2, 'x', 1, 0, [1, 2]),
    row(3, 0, 'a', 'b', Number.NaN, 1),
    row(3, 0, 'a', 'b', Number.POSITIVE_INFINITY, 1),
    row(3, 0, 'a', null, 1, 1),
    row(3, 0, ['a'], 'b', 1, 1),
    row(3, 0, 'a', 'b', 1n << 60n, 1),
  ];
  for (const frame of wrong)
    assert.throws(
      () => decodeFrame(new Uint8Array(frame as Uint8Array)),
      undefined,
      Buffer.from(frame as Uint8Array).toString('hex'),
    );
});

test('K1: numbers that no sender of ours would count or date by are refused with the frame', () => {
  const wrong = [-1, 0.5, 2 ** 53, 1e308, Number.NaN, Number.POSITIVE_INFINITY, 2n ** 60n, '1', null];
  const message = (at: number, value: unknown) => {
    const columns = [0, 'stock/tea', '@c', 'skerry.client.c', 1, '', 1, 1, 1, 5, 1, 0, 0, 'add', encode(1), '', true];
    return encode([protocol.from, 5, 0, columns.map((column, index) => (index === at ? value : column))]);
  };
  assert.is(decodeFrame(message(-1, 0)).envelopes.length, 1);
  for (const at of [4, 6, 7, 8, 9, 10, 11])
    for (const value of wrong)
      if (at < 9 || value !== 0.5) assert.throws(() => decodeFrame(message(at, value)), undefined, `${at}: ${value}`);
  for (const value of wrong) {
    assert.throws(
      () => decodeFrame(encode([protocol.from, 5, 0, [3, 0, 'a/b', 'c/d', value, 1]])),
      undefined,
      `${value}`,
    );
    const isNegative = value === -1;
    if (!isNegative) assert.throws(() => decodeFrame(encode([protocol.from, 5, 0, [3, 0, 'a/b', 'c/d', 1, value]])));
    if (value !== 0.5)
      assert.throws(() => decodeFrame(encode([protocol.from, 5, 0, [1, 'a/b', 'c', 1, '', 'o', encode(1), value]])));
  }
});

test('values come back equal: numbers of every size, bigints, bytes, undefined, any Unicode, nesting', () => {
  const values = [0, -1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -(2 ** 53), 0.1, 1e300, Number.NaN, Number.POSITIVE_INFINITY];
  const others = [2n ** 64n - 1n, -(2n ** 63n), null, true, '', '🍵'.repeat(100), 'é'.repeat(70_000), [], {}];
  for (const value of [...values, ...others]) assert.equal(decode(encode(value)), value);
  assert.equal(decode(encode([undefined, null])), [undefined, null]);
  const nested = {
    a: [{ b: { c: [1, [2, [3]]] } }],
    'a b': { '': 0 },
    list: Array.from({ length: 70_000 }, (_, index) => index),
  };
  assert.equal(decode(encode(nested)), nested);
  const json = fc.jsonValue({ maxDepth: 5 });
  const plain = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value).replaceAll('-0', '0').replaceAll('__proto__', 'p'));
  fc.assert(
    fc.property(json, (value) => assert.equal(decode(encode(plain(value))), plain(value))),
    { seed: 9, numRuns: 300 },
  );
});

test('K2: bytes come back as a copy of their own, of no other class than Uint8Array', () => {
  for (const source of [(bytes: Uint8Array) => Buffer.from(bytes), (bytes: Uint8Array) => new Uint8Array(bytes)]) {
    const packed = source(encode({ held: new Uint8Array([1, 2, 3]) }));
    const before = Buffer.from(packed);
    const { held } = decode(packed) as { held: Uint8Array };
    assert.equal([...held], [1, 2, 3]);
    assert.is(Object.getPrototypeOf(held), Uint8Array.prototype);
    held.fill(9);
    assert.is(Buffer.compare(before, Buffer.from(packed)), 0);
  }
});

const latin = (name: string) => [0xa0 + name.length, ...Buffer.from(name)];

test('K2: a map named __proto__, by map, record or bundle, reaches no prototype', () => {
  const payloads = [
    [0x81, ...latin('__proto__'), 0x81, ...latin('polluted'), 1],
    [0x91, 0x81, ...latin('__proto__'), 0x81, ...latin('polluted'), 1],
    [0xd4, 0x72, 0x40, 0x91, ...latin('__proto__'), 0x81, ...latin('polluted'), 1],
    [0x81, ...latin('constructor'), 0x81, ...latin('prototype'), 0x81, ...latin('polluted'), 1],
  ];
  for (const payload of payloads) {
    let value: unknown;
    try {
      value = decode(new Uint8Array(payload));
    } catch {
      continue;
    }
    const parts = Array.isArray(value) ? value : [value];
    for (const part of parts) assert.is(Object.getPrototypeOf(part), Object.prototype);
    assert.is((parts[0] as { polluted?: unknown }).polluted, undefined);
    assert.is(({} as { polluted?: unknown }).polluted, undefined);
  }
});

test('K2: what would decode as anything but plain data is refused', () => {
  const rich = new Packr({ moreTypes: true, structuredClone: true, useRecords: false });
  const exotic: [string, Uint8Array][] = [
    ['Date', rich.pack(new Date(5))],
    ['Set', rich.pack(new Set([1]))],
    ['RegExp', rich.pack(/a+/)],
    ['Error', rich.pack(new Error('x'))],
    ['Float32Array', rich.pack(new Float32Array([1]))],
    ['a cycle', new Uint8Array([0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1])],
    ['0xC1', new Uint8Array([0xc1])],
    ['an unknown extension', new Uint8Array([0xd4, 99, 1])],
    ['deep nesting', new Uint8Array([...new Array<number>(100_000).fill(0x91), 1])],
    ['nesting beyond what can be stored', new Uint8Array([...new Array<number>(200).fill(0x91), 1])],
    ['an array longer than its bytes', new Uint8Array([0xdd, 255, 255, 255, 255])],
    ['bytes longer than there are', new Uint8Array([0xc6, 255, 255, 255, 255])],
    ['a map whose keys are arrays', new Uint8Array([0x81, 0x91, 1, 2])],
  ];
  for (const [name, payload] of exotic) {
    assert.throws(() => decode(new Uint8Array(payload)), undefined, name);
    assert.throws(() => decode(new Uint8Array([0x91, ...payload])), undefined, `${name}, inside an array`);
    assert.throws(
      () => decode(new Uint8Array([0x81, ...latin('a'), ...payload])),
      undefined,
      `${name}, inside an object`,
    );
  }
});

/** Arrays that hold the one before them twice each, by the references of structured clones: a graph of 2 ** depth paths. */
function laughs(depth: number): Uint8Array {
  const parts = [0xdc, depth >> 8, depth & 255];
  for (let level = 1; level <= depth; level++) {
    parts.push(0xd6, 0x69, 0, 0, 0, level, 0x92);
    for (const _ of [0, 1]) parts.push(...(level === 1 ? [0x90] : [0xd6, 0x70, 0, 0, 0, level - 1]));
  }
  return Uint8Array.from(parts);
}

test('K5: shared references are no plain data: 753 bytes that would be a graph of 2 ** 40 paths are refused at once', () => {
  // With the extensions of structured clones read this took for ever.
  assert.throws(() => decode(laughs(40)), /plain data/);
  assert.throws(() => rowOf(laughs(40)), /plain data/);
});

test('K5: a length that the bytes do not bear out costs nothing, and a numbered field not more than another', () => {
  const before = process.memoryUsage().heapUsed;
  for (const type of [0xdd, 0xdf]) {
    const bytes = Uint8Array.from([type, 3, 255, 255, 255, ...new Array<number>(1_000).fill(0)]);
    assert.throws(() => decode(bytes), /ends too early/);
  }
  // The engine would reserve 1,024 places in each object: 12 KB for 7 bytes.
  const far = decode(encode(Array.from({ length: 20_000 }, () => ({ 1023: 0 })))) as object[];
  assert.equal(far[0], { 1023: 0 });
  assert.ok(process.memoryUsage().heapUsed - before < 60_000_000);
});

test('K2: errors show nothing of what came', () => {
  const secret = 'hunter2';
  const wrong = [
    [0x81, ...latin('__proto__'), ...latin(secret)],
    [0xc7, 7, 9, ...Buffer.from(secret)],
    [0x92, ...latin(secret), 0xc1],
    [0x81, 0x91, ...latin(secret), 1],
    [...latin(secret), 1],
  ];
  for (const payload of wrong)
    try {
      decode(Uint8Array.from(payload));
      assert.unreachable();
    } catch (error) {
      assert.not.ok(String(error).includes(secret), String(error));
    }
});

test('K4: every name of a field, any number of them, and every value that storable passes is written', () => {
  const names = ['constructor', 'toJSON', 'toString', 'valueOf', 'then', 'length', 'prototype', 'hasOwnProperty', ''];
  const wide = Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`f${index}`, index]));
  for (const name of names)
    for (const value of [1, null, undefined, 'x', { [name]: 1 }, [{}]])
      assert.ok(isDeepStrictEqual(decode(encode({ [name]: value })), { [name]: value }), name);
  assert.equal(decode(encode(wide)), wide);
  assert.equal(decode(encode(Object.assign(Object.create(null), { a: 1 }))), { a: 1 });
});

test('K4: what is no plain data is an error, not something else, and leaves nothing behind', () => {
  class Point {
    x = 1;
  }
  const cycle: unknown[] = [];
  cycle.push(cycle);
  for (const value of [new Point(), new Date(0), new Map(), () => 1, Symbol('s'), cycle, { a: [new Point()] }])
    assert.throws(() => encode(value), /plain data|too deep/);
  assert.equal(decode(encode(['a'])), ['a']);
});

test('what msgpackr wrote of the same values before is read', () => {
  const before = new Packr({ useRecords: false, mapsAsObjects: true, moreTypes: false });
  const value = fc
    .jsonValue({ maxDepth: 4 })
    .map((json) => JSON.parse(JSON.stringify(json).replaceAll('__proto__', 'p')));
  const property = fc.property(
    value,
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.double(),
    (...parts) => {
      const stored = [...parts, undefined, new Uint8Array([1, 2])];
      assert.equal(decode(before.pack(stored)), decode(encode(stored)));
    },
  );
  fc.assert(property, { seed: 3, numRuns: 300 });
});

test('K2: what one payload declares does not change how the next one is read', () => {
  try {
    decode(new Uint8Array([0xd4, 0x72, 0x40, 0x91, ...latin('a'), 1]));
  } catch {
    // Refused: as well.
  }
  assert.is(decode(new Uint8Array([0x40])), 64);
});

test.run();
