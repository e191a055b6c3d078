/**
 * From a record to what a store keeps and back: by random turns of a real behaviour, and at the edges of the layout.
 *
 * Longer than 400 lines because all of it is about one behaviour and what one store keeps of it.
 */
import fc from 'fast-check';
import { type Content, lineageOf, newActivity } from '../../core/activity.ts';
import { behaviour, settled, type Turn } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { entity } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { command, tentative, unchecked } from '../../core/operation.ts';
import { leaveOutbox } from '../../core/outbox.ts';
import { type EntityRecord, forgetChanges } from '../../core/record.ts';
import { wholeBytesMax } from '../../core/turn-drafts.ts';
import {
  decodeActivity,
  encodeActivity,
  formatVersion,
  glancePart,
  packActivities,
} from '../../runtime/entity/record-format.ts';
import { overwrite, restore, restoreActivity } from '../../runtime/entity/record-reader.ts';
import { type Drained, drain, imageOf, newLayout } from '../../runtime/entity/record-writer.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import { Bench, committed, contentOf } from '../support/bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('persistence');

const Vault = entity('vault', {
  initial: () => ({ items: {} as Record<string, { text: string; bytes: Uint8Array }>, list: [] as unknown[] }),
  operations: {
    set: command(unchecked<{ key: string; size: number }>()),
    drop: command(unchecked<{ key: string; size: number }>()),
    push: command(unchecked<{ key: string; size: number }>()),
    tell: command(unchecked<{ key: string; size: number }>()),
    time: command(unchecked<{ key: string; size: number }>()),
    untime: command(unchecked<{ key: string; size: number }>()),
    call: command(unchecked<{ key: string; size: number }>()),
    refuse: command(unchecked<{ key: string; size: number }>()),
    fail: command(unchecked<{ key: string; size: number }>()),
    reserve: tentative(unchecked<{ key: string; size: number }>(), { holdMs: 50 }),
  },
  activities: { vault: () => ({ count: 0, note: null as string | null }) },
});
type VaultTurn = Turn<typeof Vault>;
type Given = { key: string; size: number };
const ring = effect('ring', async (_given: number) => 1);
const handlers = {
  set(turn: VaultTurn, { key, size }: Given) {
    turn.state.items[key] = { text: 'x'.repeat(size), bytes: new Uint8Array([size % 256]) };
  },
  drop(turn: VaultTurn, { key }: Given) {
    delete turn.state.items[key];
  },
  push(turn: VaultTurn, { size }: Given) {
    if (turn.state.list.push(size, null, undefined, { size }) > 12) turn.state.list.splice(1, 9);
  },
  tell(turn: VaultTurn, given: Given) {
    turn.to(Vault, given.key).set(given);
    turn.to(Vault, given.key).activity.count += 1;
  },
  time(turn: VaultTurn, given: Given) {
    turn.timer(given.key, { afterMs: given.size }).set(given);
    turn.to(Vault, given.key, { afterMs: given.size }).set(given);
  },
  untime: (turn: VaultTurn, { key }: Given) => turn.cancelTimer(key),
  call: (turn: VaultTurn, { size }: Given) => turn.perform(ring, size),
  refuse: (turn: VaultTurn, { key }: Given) => turn.refuse(key),
  fail(): void {
    throw new Error('no');
  },
  reserve: { tentative: () => undefined, confirm: () => undefined, cancel: () => undefined },
};
const options = { historyMs: 1_000, effects: [settled(Vault, ring)] };
const vault = behaviour(Vault, handlers, options);

/** What a store has: a head, and records by name; a name is written at most once in one commit. */
class Kept {
  version = 0;
  head: Uint8Array = new Uint8Array(0);
  readonly records = new Map<string, Uint8Array>();
  bytesWritten = 0;

  take({ head, records }: Drained, version: number): void {
    assert.is(new Set(records.map(([name]) => name)).size, records.length, 'a name occurs twice in one commit');
    this.version = version;
    this.head = new Uint8Array(head);
    this.bytesWritten = head.length;
    for (const [name, bytes] of records) {
      this.bytesWritten += bytes?.length ?? 0;
      if (bytes === null) this.records.delete(name);
      else this.records.set(name, new Uint8Array(bytes));
    }
  }

  names(table: string): string[] {
    return [...this.records.keys()].filter((name) => name[0] === table);
  }

  restore(as = vault): ReturnType<typeof restore> {
    const byBytes = (left: string, right: string) => Buffer.compare(Buffer.from(left), Buffer.from(right));
    const sorted = [...this.records].sort(([left], [right]) => byBytes(left, right));
    const eager = sorted.filter(([name]) => name[0] !== 'p' && name[0] !== 'h');
    const found = restore(
      'vault/one',
      { version: this.version, head: this.head, wakeAt: undefined, records: eager },
      as,
    );
    for (const [name, bytes] of sorted) if (name[0] === 'p') restoreActivity(found.record, name.slice(1), bytes);
    return found;
  }
}

/** All of a record that must survive, in an order of its own; bytes as plain ones. */
function pictureOf(record: EntityRecord): unknown {
  const sorted = <Part>(parts: Iterable<[string, Part]>) =>
    [...parts].sort(([left], [right]) => (left < right ? -1 : 1));
  const { version, state, now, timers, holds, effects, dead, outboxCount, outboxBytes, forgetAt } = record;
  const activities = sorted(record.activities).map(([partner, { inbound, outbound, application }]) => [
    partner,
    inbound,
    outbound,
    application.value,
  ]);
  const parts = [timers, holds, effects, dead].map((table) => sorted(table as Iterable<[string, unknown]>));
  const bytes = [timers, holds, effects, dead].map((table) => table.bytes);
  return plain({ version, state: state.value, now, outboxCount, outboxBytes, forgetAt, activities, parts, bytes });
}
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}

/** What another worker makes of a record that was passed on from memory. */
function handedOver(record: EntityRecord, layout: ReturnType<typeof newLayout>): EntityRecord {
  const { head, records, activities } = imageOf(record, layout, vault);
  const found = restore('vault/one', { version: record.version, head, wakeAt: undefined, records }, vault);
  assert.equal(found.layout, layout);
  for (const [partner, bytes] of activities) restoreActivity(found.record, partner, bytes);
  return found.record;
}

const step = fc.record({
  operation: fc.constantFrom(
    'set',
    'set',
    'set',
    'drop',
    'push',
    'tell',
    'time',
    'untime',
    'call',
    'refuse',
    'fail',
    'reserve',
    'confirm',
    'settle',
    'fire',
    'bury',
  ),
  key: fc.constantFrom('a', 'b', 'ü/\0', '🍵'),
  size: fc.oneof(fc.nat(60), fc.integer({ min: 500, max: 3_000 })),
  from: fc.constantFrom('@client', 'vault/two', '#key'),
  isDrained: fc.boolean(),
  isReopened: fc.constantFrom(false, false, false, true),
  countMax: fc.constantFrom(8, 8, 3, 0),
});

function play(
  bench: Bench,
  { operation, key, size, from }: { operation: string; key: string; size: number; from: string },
): void {
  const { record } = bench;
  const content = contentOf(operation, { key, size }, { hold: operation === 'reserve' ? key : '', wantsAnswer: true });
  const [effectId] = record.effects.keys();
  const [timer] = record.timers.keys();
  if (operation === 'settle') effectId !== undefined && bench.settle(effectId, { status: 'done', output: 1 });
  else if (operation === 'fire') timer !== undefined && bench.timer(timer);
  else if (operation === 'confirm')
    bench.send(from, { ...content, kind: 'confirm', operation: 'reserve', hold: key } satisfies Content);
  else if (operation === 'bury')
    bench.bury(
      bench.request('vault/dead', content, { seq: record.version + 1, floor: record.version + 1 }),
      new Error('x'),
    );
  else bench.send(from, content);
}

test('F1, F3, R1, A6: what is restored equals what was drained, after any turns and claims, drained at any time', () => {
  const property = fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
    let bench = new Bench(vault);
    let layout = newLayout();
    let epoch = 1;
    const kept = new Kept();
    for (const [index, one] of steps.entries()) {
      bench.now += 7;
      play(bench, one);
      const isLast = index === steps.length - 1;
      if (bench.record.version === kept.version || !(one.isDrained || isLast)) continue;
      kept.take(drain(bench.record, layout, vault, { countMax: one.countMax }), bench.record.version);
      const found = kept.restore();
      assert.equal(pictureOf(found.record), pictureOf(bench.record));
      assert.equal(found.layout, layout);
      assert.is(layout.hasActivities && kept.names('p').length > 0, false);
      assert.equal(pictureOf(handedOver(bench.record, layout)), pictureOf(bench.record));
      if (one.isReopened) {
        bench = bench.with(found.record);
        bench.record.lineage = lineageOf('bench', ++epoch);
        layout = found.layout;
      }
    }
  });
  fc.assert(property, { seed: 31, numRuns: 300 });
});

const ask = (bench: Bench, operation: string, key: string, size = 0) => committed(bench.ask(operation, { key, size }));
/** A bench, what a store has of it, and a commit of what changed. */
function given(partners: { countMax?: number } = {}) {
  const bench = new Bench(vault);
  const layout = newLayout();
  const kept = new Kept();
  const commit = () => kept.take(drain(bench.record, layout, vault, partners), bench.record.version);
  return { bench, layout, kept, commit };
}

test('F1: a drain takes all changes, and the next one is empty but for the head', () => {
  const { bench, kept, commit } = given();
  ask(bench, 'tell', 'two', 5);
  commit();
  assert.ok(kept.records.size > 1);
  const again = drain(bench.record, newLayout(), vault);
  assert.equal(again.records, []);
});

test('R1: changes that nobody is to write are let go of as a whole, however large the state', () => {
  const { bench } = given();
  ask(bench, 'set', 'a', 5_000);
  drain(bench.record, newLayout(), vault);
  for (let count = 0; count < 5; count++) ask(bench, 'tell', 'two', count);
  ask(bench, 'set', 'b', 1);
  assert.is(bench.record.changes.patches?.length, 1);
  forgetChanges(bench.record.changes);
  const { records, isStateChanged, whole, patches } = bench.record.changes;
  assert.equal([records.size, isStateChanged, whole, patches], [0, false, undefined, []]);
});

test('F2: a small state lies in the head; a large one in a snapshot with patches after it; a shrunk one in the head again', () => {
  const { bench, kept, layout, commit } = given();
  ask(bench, 'set', 'a', 10);
  commit();
  assert.equal([kept.names('s'), kept.names('u')], [[], []]);
  ask(bench, 'set', 'b', 5_000);
  commit();
  assert.equal([kept.names('s').length, kept.names('u').length, kept.head.length < 100], [1, 0, true]);
  for (let count = 0; count < 5; count++) {
    ask(bench, 'set', 'a', count);
    commit();
    assert.ok(kept.bytesWritten < 700, `${kept.bytesWritten} bytes for a small change`);
  }
  assert.is(kept.names('u').length, 5);
  assert.equal(pictureOf(kept.restore().record), pictureOf(bench.record));
  bench.record.stateBytes = wholeBytesMax;
  ask(bench, 'drop', 'b');
  commit();
  assert.equal([kept.names('s'), kept.names('u'), layout], [[], [], newLayout()]);
  assert.equal(pictureOf(kept.restore().record), pictureOf(bench.record));
});

test('F2: when the patches outweigh the snapshot a new one is taken, and they go', () => {
  const { bench, kept, layout, commit } = given();
  ask(bench, 'set', 'base', 4_000);
  commit();
  let snapshots = 0;
  for (let count = 0; count < 40; count++) {
    const before = kept.records.get('s');
    ask(bench, 'set', `k${count % 3}`, 900);
    commit();
    if (kept.records.get('s') !== before) snapshots += 1;
    assert.ok(layout.patchBytes <= layout.snapshotBytes);
    assert.is(kept.names('u').length, layout.patchCount);
    assert.equal(pictureOf(kept.restore().record), pictureOf(bench.record));
  }
  assert.ok(snapshots > 2 && snapshots < 20, `${snapshots}`);
});

test('F2: a large state that was emptied has its new size soon, however small the patches after it', () => {
  const { bench, kept, commit } = given();
  ask(bench, 'set', 'b', 100_000);
  commit();
  ask(bench, 'set', 'c', 9_000);
  commit();
  ask(bench, 'drop', 'b');
  commit();
  assert.ok((kept.records.get('s')?.length ?? 0) > 100_000);
  for (let count = 0; count < 12; count++) {
    ask(bench, 'set', 'a', count);
    commit();
    assert.equal(pictureOf(kept.restore().record), pictureOf(bench.record));
  }
  assert.ok((kept.records.get('s')?.length ?? 0) < 10_000);
  ask(bench, 'drop', 'c');
  commit();
  for (let count = 0; count < 20; count++) {
    ask(bench, 'set', 'a', count);
    commit();
    assert.equal(pictureOf(kept.restore().record), pictureOf(bench.record));
  }
  assert.equal([kept.names('s'), kept.names('u')], [[], []], 'it lies in the head again');
});

test('F2: a turn that changes no state writes none, however large it is', () => {
  const { bench, kept, commit } = given();
  ask(bench, 'set', 'a', 100_000);
  commit();
  ask(bench, 'refuse', 'x');
  commit();
  assert.ok(kept.bytesWritten < 1_000, `${kept.bytesWritten}`);
  assert.equal(pictureOf(kept.restore().record), pictureOf(bench.record));
});

test('F1, F3, P10: an acknowledged message and a forgotten activity are gone from the store', () => {
  for (const countMax of [8, 0]) {
    const { bench, kept, commit } = given({ countMax });
    const partners = () => [...kept.restore().record.activities].map(([partner]) => partner).sort();
    ask(bench, 'tell', 'two', 5);
    commit();
    assert.equal([kept.names('o').length, partners()], [1, ['@client', 'vault/two']]);
    assert.is(kept.names('p').length, countMax === 0 ? 2 : 0);
    const { record } = bench;
    record.activities.delete('@client');
    record.changes.records.set('p@client', 'activity');
    for (const name of kept.names('o')) record.changes.records.set(name, null);
    record.version += 1;
    commit();
    assert.equal([kept.names('o'), partners()], [[], ['vault/two']]);
  }
});

test('F3: partners leave the head when they are many or much, and come back when they are few again', () => {
  const { bench, kept, layout, commit } = given();
  const tell = (from: number, to: number) => {
    for (let partner = from; partner < to; partner++) ask(bench, 'tell', `${partner}`, 5);
    commit();
  };
  tell(0, 7);
  assert.equal([layout.hasActivities, kept.names('p').length], [true, 0]);
  tell(7, 8);
  assert.equal([layout.hasActivities, kept.names('p').length], [false, 9]);
  assert.equal(pictureOf(kept.restore().record), pictureOf(bench.record));
  const { record } = bench;
  const forget = (from: number, to: number) => {
    for (let partner = from; partner < to; partner++) {
      for (const message of record.activities.get(`vault/${partner}`)?.outbound?.unacked ?? [])
        leaveOutbox(record, message);
      record.activities.delete(`vault/${partner}`);
      record.changes.records.set(`pvault/${partner}`, 'activity');
      for (const name of kept.names('o').filter((one) => one.startsWith(`ovault/${partner}\0`)))
        record.changes.records.set(name, null);
    }
    record.version += 1;
    commit();
  };
  forget(4, 8);
  assert.equal([layout.hasActivities, kept.names('p').length], [false, 5]);
  forget(3, 4);
  assert.equal([layout.hasActivities, kept.names('p').length], [true, 0]);
  assert.equal(pictureOf(kept.restore().record), pictureOf(record));
  const { inbound } = record.activities.get('@client') ?? {};
  if (inbound !== undefined) inbound.answers = [{ seq: inbound.through, bytes: new Uint8Array(2_000), until: 9 }];
  record.version += 1;
  commit();
  assert.equal([layout.hasActivities, kept.names('p').length], [false, 4]);
  assert.equal(pictureOf(kept.restore().record), pictureOf(record));
});

test('F3: what is kept about one partner and is too large for a head is not encoded with each commit', () => {
  const { bench, kept, layout, commit } = given();
  const { record } = bench;
  ask(bench, 'tell', 'two', 5);
  commit();
  let encodedCount = 0;
  const note = {
    get text() {
      encodedCount += 1;
      return 'x'.repeat(2_000);
    },
  };
  const keep = (value: unknown) => {
    const { application } = record.activities.get('vault/two') ?? {};
    if (application !== undefined) application.value = value;
    record.changes.records.set('pvault/two', 'activity');
  };
  keep(note);
  commit();
  assert.equal([layout.hasActivities, kept.names('p').length], [false, 2]);
  const before = encodedCount;
  for (let times = 0; times < 3; times++) {
    ask(bench, 'set', 'a', 1);
    commit();
  }
  assert.is(encodedCount, before);
  keep('short');
  commit();
  assert.equal([layout.hasActivities, kept.names('p').length], [true, 0]);
  assert.equal(pictureOf(kept.restore().record), pictureOf(record));
});

test('F3: a head that says neither where its activities are, nor has them, is not read', () => {
  const { bench, kept, commit } = given();
  ask(bench, 'tell', 'two', 5);
  commit();
  const columns = decode(kept.head) as unknown[];
  for (const last of [[], [true], ['abc'], [[]], [7]]) {
    kept.head = encode([...columns.slice(0, 8), ...last]);
    assert.throws(() => kept.restore(), /column 9 is neither bytes nor null/);
  }
});

test('F3, RS1: an entity at rest keeps the partners in its head when it is written', () => {
  const { bench, kept, layout, commit } = given();
  ask(bench, 'tell', 'two', 5);
  commit();
  const before = pictureOf(bench.record);
  const { record } = bench;
  const packed = packActivities(record, 8, 1_024);
  const partners = [...record.activities];
  record.activities.clear();
  record.isComplete = false;
  kept.take(
    drain(record, layout, vault, { rested: Buffer.from(packed as Uint8Array).toString('latin1') }),
    record.version,
  );
  for (const [partner, activity] of partners) record.activities.set(partner, activity);
  assert.equal(pictureOf(kept.restore().record), before);
  record.activities.clear();
  assert.throws(() => drain(record, layout, vault), /has lost its partners/);
});

test('F3, P8: what came from memory and lacks partners is whole with those in the head of a store that went back', () => {
  const { bench, kept, layout, commit } = given();
  for (const partner of ['gone', 'known', 'old']) ask(bench, 'tell', partner, 5);
  commit();
  assert.ok(layout.hasActivities);
  const records = [...kept.records].filter(([name]) => name[0] !== 'h');
  const stored = { version: kept.version, head: kept.head, wakeAt: undefined, records };
  const { record } = bench;
  ask(bench, 'tell', 'known', 6);
  for (const message of record.activities.get('vault/gone')?.outbound?.unacked ?? []) leaveOutbox(record, message);
  record.activities.set('vault/gone', newActivity('vault/gone'));
  // It left memory, and the store has lost what it had of it then.
  for (const message of record.activities.get('vault/old')?.outbound?.unacked ?? []) leaveOutbox(record, message);
  record.activities.delete('vault/old');
  record.isComplete = false;
  const { layout: written } = overwrite(record, stored, []);
  kept.take(drain(record, written, vault), record.version);
  const restored = kept.restore().record;
  const counts = [...restored.activities].map(
    ([partner, { outbound }]) => `${partner} ${outbound?.unacked.length ?? 0}`,
  );
  assert.equal(counts.sort(), ['@client 0', 'vault/known 2', 'vault/old 1']);
  assert.equal([restored.outboxCount, record.outboxCount, restored.isComplete], [3, 3, true]);
});

test('F1: what format 1 wrote is read, and written as format 3', () => {
  const { bench, kept, layout, commit } = given({ countMax: 0 });
  ask(bench, 'tell', 'two', 5);
  commit();
  const columns = decode(kept.head) as unknown[];
  assert.equal([columns[0], columns.length], [3, 9]);
  kept.head = encode([1, ...columns.slice(1, 8)]);
  const found = kept.restore();
  assert.equal([found.layout, pictureOf(found.record)], [layout, pictureOf(bench.record)]);
  found.record.version += 1;
  kept.take(drain(found.record, found.layout, vault), found.record.version);
  assert.equal([kept.names('p'), found.layout.hasActivities], [[], true]);
  assert.equal(pictureOf(kept.restore().record), pictureOf(found.record));
});

test('F1: an activity keeps null, undefined and bytes as its application state', () => {
  for (const value of [null, undefined, 0, '', false, { a: null }, [undefined, null]]) {
    const activity = { partner: 'vault/two', inbound: undefined, outbound: undefined, application: { value } };
    assert.equal(decodeActivity('vault/two', encodeActivity(activity)), activity);
  }
  const bytes = new Uint8Array(
    encodeActivity({
      partner: 'v/2',
      inbound: undefined,
      outbound: undefined,
      application: { value: { raw: new Uint8Array([1, 2]) } },
    }),
  );
  const read = decodeActivity('v/2', bytes).application.value as { raw: Uint8Array };
  bytes.fill(0);
  assert.equal([...read.raw], [1, 2], 'P11: bytes are its own, not the store’s');
});

test('F1: outbox messages wait for their activity, in order, also when there are thousands', () => {
  const { bench, kept, commit } = given();
  for (let count = 0; count < 1_300; count++) ask(bench, 'tell', 'two', count);
  commit();
  const { record } = kept.restore();
  assert.equal(
    record.activities.get('vault/two')?.outbound?.unacked.map(({ seq }) => seq),
    Array.from({ length: 1_300 }, (_, index) => index + 1),
  );
  assert.is(record.outboxCount, 1_300);
});

test('F1: history rows come back as they were', () => {
  const { bench, kept, commit } = given();
  ask(bench, 'tell', 'two', 5);
  commit();
  const item = glancePart('history', kept.records.get(kept.names('h')[0] ?? '') ?? new Uint8Array(0));
  assert.equal(
    [item.version, item.partner, item.kind, item.operation, item.status],
    [1, '@client', 'operation', 'tell', 'done'],
  );
  assert.equal(item.sent, [{ to: 'vault/two', kind: 'operation', operation: 'set' }]);
});

const upgraded = behaviour(Vault, handlers, {
  ...options,
  version: 3,
  upgrades: {
    1: (state) => ({ ...(state as object), list: ['from 1'] }),
    2: (state) => ({ ...(state as object), list: [...(state as { list: unknown[] }).list, 'from 2'] }),
  },
});

test('a state of an earlier version is upgraded step by step, small or large, and written whole by the next commit', () => {
  for (const size of [10, 5_000]) {
    const { bench, kept, commit } = given();
    ask(bench, 'set', 'a', size);
    commit();
    ask(bench, 'set', 'b', 20);
    commit();
    const { record, layout } = kept.restore(upgraded);
    assert.equal((record.state.value as { list: unknown[] }).list, ['from 1', 'from 2']);
    assert.is(record.version, bench.record.version, 'reading is no change');
    record.version += 1;
    kept.take(drain(record, layout, upgraded), record.version);
    assert.equal(pictureOf(kept.restore(upgraded).record), pictureOf(record));
    assert.throws(
      () => kept.restore(vault),
      (error: unknown) => isSkerryError(error, 'store-format'),
    );
  }
});

test('what a newer Skerry wrote is refused, and told apart from damage', () => {
  const { bench, kept, commit } = given();
  ask(bench, 'set', 'a', 10);
  commit();
  kept.head = encode([formatVersion + 1, 1, 0, 0, 0, 0, null, 0]);
  assert.throws(() => kept.restore(), /vault\/one was written by a newer Skerry/);
  kept.head = new Uint8Array([0xc1]);
  assert.throws(() => kept.restore());
});

test.run();
