/** What an entity is in memory, and what is to be known of each kind of its parts. */
import {
  dropPart,
  idIn,
  kindIn,
  newRecord,
  ownTime,
  partNames,
  parts,
  putPart,
  recordName,
  rowsOf,
} from '../../core/record.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('record');

const bytes = new Uint8Array([1, 2, 3]);
const content = { kind: 'operation', operation: 'go', payload: bytes, hold: '', wantsAnswer: false } as const;
const timer = (name: string, due: number) => ({ name, due, order: 1, to: '', content });
const hold = (id: string, until: number) => ({ id, operation: 'go', payload: bytes, until, isLapsed: false });

test('a record says by its first letter of which kind it is, and no two kinds have one', () => {
  const letters = [
    ...partNames.map((name) => parts[name].letter),
    recordName.snapshot(),
    recordName.patch(0).charAt(0),
  ];
  assert.is(new Set(letters).size, letters.length);
  for (const letter of letters) assert.is(letter.length, 1);
  for (const name of partNames) assert.is(kindIn(`${parts[name].letter}x`), name);
  assert.equal(
    [kindIn(recordName.snapshot()), kindIn(recordName.patch(3)), kindIn('zx')],
    ['snapshot', 'patch', undefined],
  );
  assert.is(idIn(recordName.activity('a/b')), 'a/b');
});

test('R1: what comes and what goes is in memory and in the changes at once', () => {
  const record = newRecord('a/b', {});
  putPart(record, 'timers', timer('t', 5));
  assert.equal([record.timers.size, record.timers.bytes], [1, 3]);
  assert.equal([...record.changes.records], [['tt', { kind: 'timers', part: timer('t', 5) }]]);
  assert.equal(rowsOf(record), [['tt', { kind: 'timers', part: timer('t', 5) }]]);
  dropPart(record, 'timers', 't');
  assert.equal([record.timers.size, record.timers.bytes], [0, 0]);
  assert.equal([...record.changes.records], [['tt', null]]);
  assert.equal(rowsOf(record), []);
});

test('W3: an entity is woken for the first of its dates, of whichever kind, that has not had its wake', () => {
  const record = newRecord('a/b', {});
  assert.is(ownTime(record), undefined);
  putPart(record, 'trials', { key: 'm', ends: 0, epoch: 1, until: 40 });
  assert.is(ownTime(record), 40);
  putPart(record, 'holds', hold('h', 30));
  assert.is(ownTime(record), 30);
  putPart(record, 'timers', timer('t', 20));
  assert.is(ownTime(record), 20);
  record.forgetAt = 10;
  assert.equal(
    [5, 10, 20, 30, 40].map((now) => ownTime(record, now)),
    [10, 20, 30, 40, undefined],
  );
});

test.run();
