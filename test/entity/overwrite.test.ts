/** A record from memory that is written whole over what the store has. */
import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { newRecord } from '../../core/record.ts';
import { overwrite, restoreStored } from '../../runtime/entity/record-reader.ts';
import { drain, newLayout } from '../../runtime/entity/record-writer.ts';
import { large, loadedRecords } from '../fuzz/targets.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('overwrite');

const Vault = entity('vault', { initial: () => ({}), operations: {} });
const vault = behaviour(Vault, {});
const stored = { version: 7, head: large.head, wakeAt: undefined, records: loadedRecords };
const isOfState = ([name]: readonly [string, unknown]) => name[0] === 's' || name[0] === 'u';
const names = loadedRecords.filter((one) => !isOfState(one)).map(([name]) => name);

test('F1, CA1: no part of any kind is lost where the store has the same, and none stays that memory has not', () => {
  const { record } = restoreStored('vault/one', stored);
  const { layout } = overwrite(record, stored, []);
  const written = drain(record, layout, vault).records.filter((one) => !isOfState(one) && one[0][0] !== 'p');
  assert.equal(
    written
      .filter(([, bytes]) => bytes !== null)
      .map(([name]) => name)
      .sort(),
    [...names].sort(),
  );
  assert.equal(record.version, 8);
  const empty = newRecord('vault/one', {});
  const gone = drain(empty, overwrite(empty, stored, []).layout, vault).records.filter((one) => !isOfState(one));
  assert.equal(gone.map(([name, bytes]) => [name, bytes]).sort(), names.map((name) => [name, null]).sort());
  assert.equal(overwrite(newRecord('vault/one', {}), undefined, []).layout, newLayout());
});

test.run();
