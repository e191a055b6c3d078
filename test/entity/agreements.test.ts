/** Agreements in the runtime: what is stored of them, and what an acknowledgement does. */

import type { AgreementPart } from '../../core/agreement-part.ts';
import type { HistoryItem } from '../../core/record.ts';
import {
  decodeActivity,
  decodePart,
  encodeActivity,
  encodePart,
  movedPart,
} from '../../runtime/entity/record-format.ts';
import { restore, restoreActivity } from '../../runtime/entity/record-reader.ts';
import { imageOf, newLayout } from '../../runtime/entity/record-writer.ts';
import { committed } from '../support/bench.ts';
import { HubBench, line, order } from '../support/hub-bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('agreements, stored');

/** The hub as another worker reads it. */
function reread(it: HubBench): void {
  const { record } = it.hub;
  const { head, records, activities } = imageOf(record, newLayout(), order);
  const found = restore('order/one', { version: record.version, head, wakeAt: undefined, records }, order);
  for (const [partner, bytes] of activities) restoreActivity(found.record, partner, bytes);
  found.record.lineage = record.lineage;
  it.hub.with(found.record);
}

/** Bytes as a list: what is read may be another kind of array. */
const plain = (part: AgreementPart | undefined) => ({
  ...part,
  parties: part?.parties.map((party) => ({ ...party, answer: [...party.answer] })),
});

test('F1: an agreement goes on from what is stored, at each of its steps', () => {
  const it = new HubBench();
  committed(it.hub.ask('pick', { goods: [line('g')], spare: [line('a'), line('b'), line('c')] }));
  const [open] = it.hub.record.agreements.values();
  reread(it);
  assert.equal(plain(it.part), plain(open));
  assert.is(it.hub.record.agreements.bytes, 0);
  it.settle('g', 'c');
  const { bytes } = it.hub.record.agreements;
  assert.ok(bytes > 0);
  reread(it);
  assert.is(it.hub.record.agreements.bytes, bytes);
  it.settle('a');
  const [decided] = it.hub.record.agreements.values();
  assert.is(decided?.decision, 'confirm');
  reread(it);
  assert.equal(plain(it.part), plain(decided));
  committed(it.ask('b'));
  for (const key of ['g', 'a', 'b', 'c']) {
    committed(it.word(key));
    reread(it);
  }
  committed(it.due());
  assert.equal([it.heard.length, it.part], [2, undefined]);
});

test('F5: what a turn did to agreements is a column of its history that others have not', () => {
  const item = {
    version: 7,
    at: 5,
    partner: 'stock/a',
    kind: 'answer',
    operation: 'reserve',
    payload: new Uint8Array(0),
    status: 'done',
    sent: [{ to: 'stock/a', kind: 'confirm', operation: 'reserve' }],
    state: new Uint8Array(0),
  };
  const agreements = [
    { name: 'all', id: 'i.1', event: 'confirmed', detail: '' },
    { name: 'all', id: 'i.1', event: 'broken', detail: 'stock/a lapsed' },
  ] as const;
  const kept = (part: HistoryItem) => {
    const { payload, state, ...rest } = decodePart('history', encodePart({ kind: 'history', part }));
    return { ...rest, payload: new Uint8Array(payload), state: new Uint8Array(state) };
  };
  assert.equal(kept(item), item);
  assert.equal(kept({ ...item, agreements }), { ...item, agreements });
  assert.equal(
    movedPart('history', { ...item, agreements }, (date) => date + 1),
    { ...item, at: 6, agreements },
  );
});

test('AG7: that a party keeps its acknowledgement back is stored with it, and columns appear only then', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  it.settle('a');
  const { activities, holds } = it.party('a').record;
  const plain = decodeActivity('order/one', encodeActivity(activities.get('order/one') as never));
  assert.is(plain.inbound?.withheld, undefined);
  it.now += 60_000;
  committed(it.party('a').lapse([...holds.keys()][0] ?? ''));
  committed(it.word('a'));
  const { inbound } = activities.get('order/one') ?? {};
  assert.equal(inbound?.withheld, { from: 2, until: 2 });
  const kept = decodeActivity('order/one', encodeActivity(activities.get('order/one') as never));
  assert.equal(kept.inbound?.withheld, inbound?.withheld);
});

test.run();
