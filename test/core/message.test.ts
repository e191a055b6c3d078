/** Addresses: which there are, and that a key may hold anything that is Unicode. */
import fc from 'fast-check';
import { isSkerryError } from '../../core/errors.ts';
import { addressOf, isEntityPartner, isTypeName, keyOf, parseAddress, typeOf } from '../../core/message.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('message');
const isInvalid = (error: unknown) => isSkerryError(error, 'invalid-address');
const keys = [
  'tea',
  'a.b',
  ' ',
  'a b',
  '*',
  '>',
  '$',
  '/',
  'a/b/c',
  '\0',
  'a\0b',
  '茶',
  '🍵',
  'é',
  'e\u0301',
  '__proto__',
];

test('a key may hold dots, spaces, wildcards, slashes, NUL and any other Unicode', () => {
  for (const key of keys) {
    const address = addressOf('stock', key);
    assert.is(address, `stock/${key}`);
    assert.equal(parseAddress(address), { type: 'stock', key });
    assert.equal([typeOf(address), keyOf(address)], ['stock', key]);
  }
});

test('any two addresses are different when their types or keys are', () => {
  const type = fc.stringMatching(/^[a-z][a-z0-9-]{0,5}$/);
  const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 6 });
  const property = fc.property(type, key, type, key, (oneType, oneKey, otherType, otherKey) => {
    const isSame = oneType === otherType && oneKey === otherKey;
    assert.is(addressOf(oneType, oneKey) === addressOf(otherType, otherKey), isSame);
    assert.equal(parseAddress(addressOf(oneType, oneKey)), { type: oneType, key: oneKey });
  });
  fc.assert(property, { seed: 7, numRuns: 500 });
});

test('a key has 1 to 512 bytes of UTF-8, however many characters these are', () => {
  const edges = ['k'.repeat(512), 'é'.repeat(256), `${'茶'.repeat(170)}ab`, '🍵'.repeat(128)];
  for (const key of edges) {
    assert.is(Buffer.byteLength(key), 512);
    assert.is(keyOf(addressOf('stock', key)), key);
    assert.throws(() => addressOf('stock', `${key}x`), isInvalid);
  }
  assert.throws(() => addressOf('stock', '茶'.repeat(171)), /longer than 512 bytes \(keyBytesMax\)/);
  assert.throws(() => addressOf('stock', 'k'.repeat(1_000_000)), isInvalid);
  assert.throws(() => addressOf('stock', ''), /must not be empty/);
});

test('a lone surrogate is no key, wherever it stands', () => {
  for (const key of ['\ud800', '\udc00', 'a\ud83c', '\udf75a', '🍵\ud800🍵', `${'k'.repeat(500)}\ud800`])
    assert.throws(() => addressOf('stock', key), /not well-formed Unicode/);
});

test('a key is a string: nothing else is turned into one', () => {
  for (const key of [undefined, null, 5, {}, ['a'], Symbol('k')])
    assert.throws(() => addressOf('stock', key as string), isInvalid, String(key));
});

test('a type is lower-case letters, digits and hyphens, from a letter on, at most 64', () => {
  for (const type of ['a', 'stock', 's2-x', 'a'.repeat(64)]) assert.ok(isTypeName(type), type);
  const none = ['', 'A', '2a', '-a', 'a_b', 'a.b', 'a/b', 'é', 'a'.repeat(65), 'a\n', ' a', '@a', '#a', '__proto__'];
  for (const type of none) {
    assert.not.ok(isTypeName(type), type);
    assert.throws(() => addressOf(type, 'k'), isInvalid);
  }
});

test('an address from outside is checked in both parts', () => {
  const none = [
    '',
    'stock',
    '/',
    'stock/',
    '/tea',
    'Stock/tea',
    `stock/${'k'.repeat(513)}`,
    'stock/\ud800',
    '@c',
    '#k',
  ];
  for (const address of none) assert.throws(() => parseAddress(address), isInvalid, address);
  for (const address of [undefined, null, 7, {}]) assert.throws(() => parseAddress(address as never), isInvalid);
});

test('the first character tells an entity from a client and from an idempotency key', () => {
  assert.equal(['stock/tea', '@c1', '#order-7'].map(isEntityPartner), [true, false, false]);
});

test.run();
