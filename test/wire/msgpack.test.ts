/** Rows and values by hand: msgpack that msgpackr reads and makes, and nothing else read as one. */
import fc from 'fast-check';
import { Packr, unpack } from 'msgpackr';
import { decode, encode } from '../../runtime/wire/codec.ts';
import { LastText, MsgpackReader } from '../../runtime/wire/msgpack-reader.ts';
import { MsgpackWriter } from '../../runtime/wire/msgpack-writer.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('packing');

const texts = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.constantFrom('', 'é'.repeat(200), 'a'.repeat(47), 'a'.repeat(48), 'a'.repeat(49), '🍵'.repeat(20_000)),
);
const numbers = fc.oneof(
  fc.integer(),
  fc.nat(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1, -32, -33, -129),
);
const lengths = fc.constantFrom(0, 1, 31, 32, 33, 255, 256, 65_535, 65_536, 100_000);
const byteRuns = lengths.map((length) => new Uint8Array(length).map((_, index) => index));

const packr = new Packr({ useRecords: false, moreTypes: false });
/** Bytes as an array of the plain class, to compare. */
const copied = (value: unknown) => (value instanceof Uint8Array ? new Uint8Array(value) : value);

function packed(write: (packer: MsgpackWriter) => void, packer = new MsgpackWriter()): Uint8Array {
  packer.begin();
  write(packer);
  return new Uint8Array(packer.end());
}

test('what is packed is what is read as a value, and by msgpackr, column by column', () => {
  const packer = new MsgpackWriter();
  const rows = fc.array(fc.tuple(texts, numbers, byteRuns, fc.boolean()), { maxLength: 20 });
  const property = fc.property(rows, (list) => {
    const bytes = packed((to) => {
      to.array(list.length * 5 + 1);
      for (const [text, number, run, truth] of list) {
        to.text(text);
        to.number(number);
        to.bytes(run);
        to.boolean(truth);
        to.nothing();
      }
      to.encoded(encode({ some: 'value' }));
    }, packer);
    const columns = list.flatMap(([text, number, run, truth]) => [text, number === 0 ? 0 : number, run, truth, null]);
    assert.equal(decode(bytes), [...columns, { some: 'value' }]);
    assert.equal(unpack(bytes).map(copied), [...columns, { some: 'value' }]);
  });
  fc.assert(property, { seed: 4, numRuns: 200 });
});

test('K3: what msgpackr wrote is read, column by column; what is not there, or of another kind, is not', () => {
  const property = fc.property(texts, numbers, byteRuns, fc.boolean(), (text, number, run, truth) => {
    fc.pre(Number.isFinite(number));
    const bytes = new Uint8Array(packr.pack([text, number, run, truth]));
    const read = (from: Uint8Array) => {
      const row = new MsgpackReader(from);
      const length = row.array();
      return [length, row.text(), row.number(), new Uint8Array(row.bytes()), row.boolean(), row.isAtEnd];
    };
    // -0 and 0 are one number to the wire.
    assert.equal(read(bytes), [4, text, number === 0 ? 0 : number, run, truth, true]);
    for (const length of [0, 1, bytes.length >> 1, bytes.length - 1]) assert.throws(() => read(bytes.slice(0, length)));
  });
  fc.assert(property, { seed: 5, numRuns: 300 });
  const kinds = ['array', 'number', 'text', 'bytes', 'boolean'] as const;
  const values: Record<(typeof kinds)[number], unknown> = {
    array: [1],
    number: 1,
    text: 'a',
    bytes: new Uint8Array(1),
    boolean: true,
  };
  for (const kind of kinds)
    for (const other of [...kinds.filter((one) => one !== kind).map((one) => values[one]), null, undefined, {}])
      assert.throws(() => new MsgpackReader(encode(other))[kind](), undefined, `${kind} of ${String(other)}`);
  for (const number of [Number.NaN, Number.POSITIVE_INFINITY, 2n ** 60n])
    assert.throws(() => new MsgpackReader(encode(number)).number());
});

test('a text that is the one before is that one; a text that only looks like it is not', () => {
  const last = new LastText();
  const read = (text: string) => new MsgpackReader(packed((to) => to.text(text))).text(last);
  const twice = ['abc', 'abc', 'abd', 'ab', 'é', 'é', 'Ã©', 'é', '', 'abc', 'x'.repeat(40), 'x'.repeat(40)];
  for (const text of twice) assert.is(read(text), text);
  // Those that differ in one byte, at each place; and those that are too long to be recognised.
  for (const length of [1, 3, 4, 5, 8, 11, 127, 128, 129, 300])
    for (let place = 0; place < length; place++) {
      const text = 'y'.repeat(length);
      const other = `${text.slice(0, place)}z${text.slice(place + 1)}`;
      for (const one of [text, other, other, text]) assert.is(read(one), one);
    }
});

test('a row goes over to the next page as a whole, and pages that were handed out stay as they are', () => {
  const packer = new MsgpackWriter();
  const rows = Array.from({ length: 40 }, (_, index) => {
    packer.begin();
    packer.array(2);
    packer.bytes(new Uint8Array(5_000).fill(index));
    packer.text(`row ${index}`);
    return packer.end();
  });
  for (const [index, row] of rows.entries())
    assert.equal(decode(row), [new Uint8Array(5_000).fill(index), `row ${index}`]);
});

test.run();
