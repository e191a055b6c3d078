/** Frames of two versions: extensions, and what a later release has a number for. */
import fc from 'fast-check';
import { decodeFrame, encode, encodeFrame, protocol } from '../../runtime/wire/codec.ts';
import type { Envelope } from '../../runtime/wire/envelope.ts';
import { entryIn, extensionOf, hasWorkerEntries } from '../../runtime/wire/extension.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('extension');
const head = { viewVersion: 7, hops: 1 };
const payload = new Uint8Array([1, 2]);
const arrival = { session: 3, seq: 2, floor: 1, expires: 5, sent: 1, keepMs: 0 };
const content = { kind: 'operation', operation: 'add', payload, hold: '', wantsAnswer: true } as const;
const asked = { to: 'stock/tea', replyTo: 'c', call: 1, identity: 'ada' };
const samples: readonly Envelope[] = [
  { kind: 'message', ...asked, from: '@ada.c', arrival, content },
  { kind: 'query', ...asked, operation: 'count', payload, deadline: 5 },
  { kind: 'reply', to: 'c', call: 1, status: 'answer', bytes: payload },
  { kind: 'ack', to: 'order/1', from: 'stock/tea', session: 1, number: 7 },
];

test('K6: what a later version has a number for is passed over one by one, and what stands beside it is read', () => {
  const later = [
    [5],
    [16, 'a', { b: [new Uint8Array(3), null, true, 1n << 60n] }, 0.5, -1, undefined],
    [3, 99, 'a/b', 'c/d', 1, 1],
    [2, 'x', 1, 99, new Uint8Array(0)],
    [0, 'a/b', 'c/d', '', 0, '', 1, 1, 1, 5, 1, 0, 99, 'add', new Uint8Array(1), '', true],
    [3, 99, 'a/b', 'c/d', 1, 1, [1, new Uint8Array(1)]],
  ];
  const known = [3, 0, 'a/b', 'c/d', 1, 7];
  const frame = decodeFrame(encode([protocol.from, 5, 0, known, ...later.flatMap((row) => [row, known])]));
  assert.is(frame.skipped, later.length);
  assert.is(frame.envelopes.length, later.length + 1);
});

test('K5, K6: what is passed over must be msgpack all the same: of any form, not too deep, and whole', () => {
  const frame = (...body: number[]) => Uint8Array.from([0x94, protocol.from, 5, 0, 0x92, 9, ...body]);
  const forms = [
    [0xc0],
    [0xc2],
    [0xcc, 1],
    [0xd3, 1, 2, 3, 4, 5, 6, 7, 8],
    [0xca, 1, 2, 3, 4],
    [0xe0],
    [0x81, 1, 0xa1, 97],
    [0xa2, 97, 97],
    [0xd9, 1, 97],
    [0xc5, 0, 1, 9],
    [0xd4, 1, 9],
    [0xd8, 1, ...Array(16).fill(9)],
    [0xc7, 2, 1, 9, 9],
    [0xde, 0, 1, 1, 1],
    [0xdc, 0, 2, 1, 1],
  ];
  for (const form of forms) {
    assert.is(decodeFrame(frame(...form)).skipped, 1, form.join());
    for (let length = 0; length < form.length; length++)
      assert.throws(() => decodeFrame(frame(...form.slice(0, length))), undefined, form.slice(0, length).join());
    assert.throws(() => decodeFrame(frame(...form, 0)), undefined, `${form.join()} and more`);
  }
  assert.throws(() => decodeFrame(frame(0xc1)));
  assert.throws(() => decodeFrame(frame(0xdd, 255, 255, 255, 255)));
  assert.throws(() => decodeFrame(frame(...Array(100).fill(0x91), 1)));
});

const envelope = fc.constantFrom(...samples);
const extension = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 65_535 }), fc.uint8Array({ maxLength: 40 })), {
    minLength: 1,
    maxLength: 5,
    selector: ([entry]) => entry,
  })
  .map((entries) => entries.sort(([one], [other]) => one - other));

test('K7, EX1: an extension comes back as it went, with any envelope; without one the frame is of version 1', () => {
  const property = fc.property(envelope, envelope, extension, (plain, extended, entries) => {
    const frame = new Uint8Array(encodeFrame([plain, { ...extended, extension: extensionOf(entries) }], head));
    const [first, second] = decodeFrame(frame).envelopes;
    assert.is(first?.extension, undefined);
    for (const [number, entry] of entries) assert.equal([...(entryIn(second?.extension, number) ?? [])], [...entry]);
    assert.is(entryIn(second?.extension, 65_536), undefined);
    assert.is(
      hasWorkerEntries(extensionOf(entries)),
      entries.some(([number]) => number >= 128),
    );
    assert.equal([...encodeFrame(decodeFrame(frame).envelopes, head)], [...frame]);
    assert.is(frame[1], 2);
    assert.throws(() => decodeFrame(frame, { from: 1, to: 1 }), /version 2/);
    assert.is(encodeFrame([plain], head)[1], 1);
  });
  fc.assert(property, { seed: 21, numRuns: 500 });
});

test('K1, EX2: an extension that is out of order, double, empty, too large or of other values is refused with its frame', () => {
  const row = (last: unknown) => encode([2, 5, 0, [3, 0, 'a/b', 'c/d', 1, 1, last]]);
  const some = new Uint8Array(3);
  assert.is(decodeFrame(row([1, some, 2, some])).envelopes.length, 1);
  const wrong = [
    [],
    [1],
    [2, some, 1, some],
    [1, some, 1, some],
    [0, some],
    [-1, some],
    [65_536, some],
    [1, 'a'],
    [1, 1],
  ];
  for (const last of [...wrong, null, 1, 'a', some, { 1: some }, [1, new Uint8Array(1_024)]])
    assert.throws(() => decodeFrame(row(last)), undefined, JSON.stringify(last));
  assert.is(decodeFrame(row([1, new Uint8Array(1_000)])).envelopes.length, 1);
  assert.throws(() => decodeFrame(encode([2, 5, 0, [3, 0, 'a/b', 'c/d', 1, 1, [1, some], 0]])));
});

test.run();
