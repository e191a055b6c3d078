/** Hostile bytes against every decoder: a small part of what `npm run fuzz` runs, and how decoding grows with its input. */

import { isSkerryError } from '../../core/errors.ts';
import { applyPatch, editsIn } from '../../core/patch.ts';
import { storable } from '../../core/storable.ts';
import { decode } from '../../runtime/wire/codec.ts';
import { assert, suite } from '../support/suite.ts';
import { campaign, growing, leastMs } from './campaign.ts';
import { Forge } from './forge.ts';

const test = suite('fuzz');
const slow = { timeoutMs: 120_000 };

test(
  'K1, K2: hostile bytes are refused by an error of ours that shows nothing of them, or can be written again',
  () => {
    const { broken, tallies } = campaign({ count: 20_000, seed: 11 });
    assert.equal(broken, []);
    for (const [name, { accepted, refused }] of tallies)
      assert.ok(accepted > 0 && refused > 0, `${name}: ${accepted} accepted, ${refused} refused`);
  },
  slow,
);

test('one seed makes the same bytes again', () => {
  const made = (seed: number) =>
    Array.from({ length: 50 }, (_, index) => new Forge(`${seed}.${index}`).msgpack().toString('hex'));
  assert.equal(made(3), made(3));
  assert.not.equal(made(3), made(4));
});

test(
  'K5: a million and a half bytes of anything are read in less than three seconds of CPU',
  () => {
    // They take a tenth of one; what grew with the square of the bytes would take hours.
    for (const [name, make] of Object.entries(growing)) {
      const ms = leastMs(decode, make(1_500_000), 1);
      assert.ok(ms < 3_000, `${name}: ${ms} ms`);
    }
  },
  slow,
);

test('K5: copying takes memory in proportion to the data too, far numbers as names included', () => {
  const before = process.memoryUsage().heapUsed;
  const copy = storable(decode(growing['far numbers']?.(140_000) ?? new Uint8Array()), 'x') as unknown[];
  assert.is(copy.length, 20_000);
  assert.ok(process.memoryUsage().heapUsed - before < 60_000_000);
});

test('D5: a stored patch that is none, or reaches behind an array, is refused', () => {
  const wrong = [
    null,
    'x',
    [[1]],
    [[['a'], 1, 2]],
    [[['a'], -1, 0, []]],
    [[[{}], 1]],
    [[['list', 4_000_000_000], 1]],
    [[['list', 'x'], 1]],
    [[['list', -1]]],
  ];
  for (const stored of wrong)
    try {
      applyPatch({ list: [1] }, editsIn(stored));
      assert.unreachable(JSON.stringify(stored));
    } catch (error) {
      assert.ok(isSkerryError(error, 'store-format'), String(error));
    }
});

test.run();
