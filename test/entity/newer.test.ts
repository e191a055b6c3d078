/** What a later release wrote and this one would lose: it is refused, and nothing of it is written. */
import type { Activity } from '../../core/activity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { decodeActivity, encodeActivity } from '../../runtime/entity/record-format.ts';
import { restoreStored } from '../../runtime/entity/record-reader.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import { large, loadedRecords } from '../fuzz/targets.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('newer');

const longer = (bytes: Uint8Array) => encode([...(decode(bytes) as unknown[]), 'more']);
/** The same with one column more in each row in its last column. */
const longerWithin = (bytes: Uint8Array) => {
  const columns = decode(bytes) as unknown[];
  const rows = columns.at(-1) as readonly unknown[][];
  return encode([...columns.slice(0, -1), rows.map((row) => [...row, 'more'])]);
};
const read = (head: Uint8Array, records: readonly (readonly [string, Uint8Array])[]) =>
  restoreStored('vault/one', { version: 1, head, wakeAt: undefined, records });
const isRefusal = (error: unknown) => isSkerryError(error, 'store-format') && /newer Skerry/.test(error.message);

test('F5: an entity with a column, or a kind of record, of a later release is refused, whichever row has it', () => {
  read(large.head, loadedRecords);
  assert.throws(() => read(longer(large.head), loadedRecords), isRefusal);
  assert.throws(() => read(large.head, [...loadedRecords, ['znew', encode([1])]]), isRefusal);
  const tried = new Set<string>();
  for (const [index, [name, bytes]] of loadedRecords.entries()) {
    if (name[0] === 's' || name[0] === 'u') continue;
    tried.add(name[0] as string);
    assert.throws(
      () =>
        read(
          large.head,
          loadedRecords.map((one, at) => (at === index ? [name, longer(bytes)] : one)),
        ),
      isRefusal,
      name,
    );
  }
  assert.equal([...tried].sort(), ['d', 'f', 'g', 'n', 'o', 't', 'x']);
  const [party] = loadedRecords.filter(([name]) => name[0] === 'g');
  const others = loadedRecords.filter((one) => one !== party);
  assert.throws(() => read(large.head, [...others, [party?.[0] ?? '', longerWithin(party?.[1] as never)]]), isRefusal);
});

test('F5: so is an activity with more in any of its parts', () => {
  const answers = [{ seq: 1, bytes: new Uint8Array(1), until: 5, request: new Uint8Array(16) }];
  const inbound = { session: 1, through: 1, keepUntil: 5, closedAt: 0, answers, withheld: { from: 1, until: 2 } };
  const outbound = {
    session: 2,
    next: 3,
    isClosing: false,
    activeAt: 5,
    unacked: [],
    sealed: [{ session: 1, end: 1 }],
  };
  const activity = { partner: 'vault/two', inbound, outbound, application: { value: 1 } };
  const good = decode(encodeActivity(activity as unknown as Activity));
  let rows = 0;
  const visit = (value: unknown, path: readonly number[]): void => {
    if (!Array.isArray(value)) return;
    const isList = path.join() === '0,4' || path.join() === '1,4';
    if (!isList) {
      rows += 1;
      const copy = structuredClone(good);
      let at = copy as unknown[];
      for (const index of path) at = at[index] as unknown[];
      at.push(7);
      assert.throws(() => decodeActivity('vault/two', encode(copy)), /newer Skerry/, path.join());
    }
    for (const [index, part] of value.entries()) visit(part, [...path, index]);
  };
  visit(good, []);
  assert.is(rows, 6);
});

test.run();
