/** An operator drops a message that nobody acknowledges: out of the outbox, into the dead letters, and the rest goes on. */
import { acknowledge, floorOf, frontOf, newOutbound, type Outbound, unackedOf, withdraw } from '../../core/activity.ts';
import { CliError } from '../../runtime/cli/failure.ts';
import { answer, hostedApp } from '../../runtime/cli/requests.ts';
import { encode } from '../../runtime/wire/codec.ts';
import { across, far, near } from '../support/across.ts';
import { Bench, committed, contentOf, rowOf } from '../support/bench.ts';
import { GateStore } from '../support/gate.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { type Given, type Scripts, Tally, tallyWith, watch, withTallies } from '../support/tally.ts';

const test = suite('outbox-drop');
const to = `tally/${far}`;

// ---- one entity

const three: Scripts = {
  three(turn) {
    for (const what of [1, 2, 3]) turn.to(Tally, 'far').see(what);
  },
};

function benchWithThree() {
  const one = new Bench(tallyWith(three));
  committed(one.ask('run', 'three'));
  const outbound = () => one.record.activities.get('tally/far')?.outbound;
  const seqs = () => (outbound()?.unacked ?? []).map(({ seq }) => seq);
  const drop = (seq: number, change: { operation?: string; session?: number; partner?: string } = {}) => {
    const { operation = 'see', session = outbound()?.session, partner = 'tally/far' } = change;
    return one.ask(operation, [partner, session, seq], { kind: 'outbox-drop' });
  };
  return { one, outbound, seqs, drop };
}

test('P7, R1: a message that is dropped is a dead letter in doubt in the same commit, wherever in the outbox it was', () => {
  for (const seq of [1, 2, 3]) {
    const { one, seqs, drop } = benchWithThree();
    one.record.changes.records.clear();
    const result = committed(drop(seq));
    const id = `${one.record.version}`;
    assert.equal(rowOf(result), ['done', id]);
    assert.equal(
      seqs(),
      [1, 2, 3].filter((other) => other !== seq),
    );
    assert.is(one.record.outboxCount, 2);
    const letter = one.record.dead.get(id);
    assert.equal([letter?.side, letter?.partner, letter?.content.operation], ['sender', 'tally/far', 'see']);
    assert.match(String(letter?.reason), /^dropped by an operator, in doubt: /);
    const { records } = one.record.changes;
    assert.is(records.get(`otally/far\0${String(seq).padStart(11, '0')}`), null);
    assert.equal([records.has(`d${id}`), records.get('ptally/far')], [true, 'activity']);
  }
});

test('P7: dropped once it is no such message, as it is after an acknowledgement, and the dead letter can be retried', () => {
  const { one, outbound, seqs, drop } = benchWithThree();
  const isUnknown = (result: ReturnType<typeof drop>) => {
    const [status, code, message] = rowOf(result);
    assert.equal([status, code], ['failed', 'not-found']);
    assert.match(String(message), /has no message \d+ to .* in its outbox/);
  };
  const [, id] = rowOf(drop(2)) as [string, string];
  isUnknown(drop(2));
  acknowledge(outbound(), outbound()?.session ?? 0, 1, one.now);
  isUnknown(drop(1));
  isUnknown(drop(4));
  isUnknown(drop(3, { partner: 'tally/other' }));
  assert.is(one.record.dead.size, 1);
  assert.equal(rowOf(one.ask('see', id, { kind: 'dead-retry' })).slice(0, 1), ['done']);
  assert.equal([seqs(), one.record.dead.size], [[3, 4], 0]);
});

test('A6: who drops a message names its session and its operation: another one under the same number stays', () => {
  const { one, outbound, seqs, drop } = benchWithThree();
  const session = (outbound()?.session ?? 0) + 1;
  for (const change of [{ session }, { operation: 'add' }])
    assert.equal(rowOf(drop(2, change)).slice(0, 2), ['failed', 'not-found']);
  for (const given of [undefined, 2, ['tally/far', 2], ['tally/far', 'x', 2]])
    assert.equal(rowOf(one.ask('see', given, { kind: 'outbox-drop' })).slice(0, 2), ['failed', 'invalid-input']);
  assert.equal([seqs(), one.record.dead.size], [[1, 2, 3], 0]);
});

const content = contentOf('see');
/** Messages 1 and 2 of session 3, message 3 of session 4, 4 and 5 of session 5. */
const sealed = (): Outbound => ({
  ...newOutbound(5, 0),
  next: 6,
  unacked: [1, 2, 3, 4, 5].map((seq) => ({ seq, expires: 100, content })),
  sealed: [
    { session: 3, end: 3 },
    { session: 4, end: 4 },
  ],
});

function dropped(outbound: Outbound, session: number, seq: number): void {
  const message = unackedOf(outbound, session, seq);
  if (message === undefined) throw new Error(`${seq} is not of session ${session}`);
  withdraw(outbound, message, 10);
}

test('A6: a session of an earlier lineage ends with its last message, acknowledged or dropped, and the next one is sent', () => {
  const outbound = sealed();
  assert.is(unackedOf(outbound, 5, 3), undefined);
  dropped(outbound, 3, 2);
  assert.equal([frontOf(outbound), floorOf(outbound)], [3, 1]);
  assert.is(acknowledge(outbound, 3, 1, 10).length, 1);
  assert.equal([frontOf(outbound), floorOf(outbound)], [4, 3]);
  dropped(outbound, 4, 3);
  assert.equal([frontOf(outbound), floorOf(outbound), outbound.sealed], [5, 4, []]);
  assert.equal(acknowledge(outbound, 4, 3, 10), [], 'late, of a session that is over');
});

test('A6: a sealed session of which everything was dropped is passed over when those before it are over', () => {
  const outbound = sealed();
  dropped(outbound, 4, 3);
  assert.is(frontOf(outbound), 3);
  assert.is(acknowledge(outbound, 3, 2, 10).length, 2);
  assert.equal([frontOf(outbound), floorOf(outbound), outbound.activeAt], [5, 4, 10]);
});

// ---- two workers, a thief between them

type Across = Parameters<Parameters<typeof across>[1]>[0];

const drop = async ({ cluster }: Given, seq: number) =>
  cluster.client.dropMessage(`tally/${near}`, await cluster.inspector.outboxMessage(`tally/${near}`, to, seq));
const reasonsOf = async ({ cluster }: Given) =>
  ((await cluster.inspector.get(`tally/${near}`))?.dead ?? []).map(({ reason }) => reason.replace(/:.*/, ''));
const waitingOf = async ({ cluster }: Given) =>
  ((await cluster.inspector.get(`tally/${near}`))?.outbox ?? []).map(({ message }) => message.seq);
const floors = ({ thief }: Across) =>
  thief.sent.flatMap((one) => (one.kind === 'message' ? [`${one.arrival.seq} ${one.arrival.floor}`] : []));
const dropReason = 'dropped by an operator, in doubt';

async function sendThree({ tally, during }: Given): Promise<void> {
  for (let count = 0; count < 3; count++) await during(tally(near).run('see'));
}

for (const [which, seq, seen] of [
  ['first', 1, [2, 3]],
  ['middle', 2, [1, 3]],
  ['last', 3, [1, 2]],
] as const)
  test(`Q2, P6, P7: when the ${which} message is dropped the others get through, once and in order`, () =>
    across({}, async (given) => {
      const { hand, thief, tally, during, stored } = given;
      thief.takes = ({ kind }) => kind === 'message';
      await sendThree(given);
      await hand.advance(100);
      await during(drop(given, seq));
      await rejects(during(drop(given, seq)), 'not-found');
      thief.takes = () => false;
      await hand.advance(60_000);
      assert.equal((await stored(far))?.seen, seen);
      await during(tally(near).run('see'));
      await hand.advance(1_000);
      assert.equal((await stored(far))?.seen, [...seen, 4]);
      assert.equal([await waitingOf(given), await reasonsOf(given)], [[], [dropReason]]);
    }));

test('Q3, P7: no floor passes a dropped message before its dead letter is durable, also when those before it are acknowledged', () =>
  across({ limits: { retryMs: 50, retryMsMax: 50 } }, async (given) => {
    const { hand, gate, thief, stored } = given;
    thief.takes = (one) => one.kind === 'message' && one.arrival.seq <= 2;
    await sendThree(given);
    await hand.advance(100);
    const entry = await given.cluster.inspector.outboxMessage(`tally/${near}`, to, 2);
    const open = gate.holdCommits();
    const asked = watch(given.cluster.client.dropMessage(`tally/${near}`, entry));
    await hand.advance(50);
    thief.takes = () => false;
    thief.sent.length = 0;
    await hand.advance(500);
    assert.ok(thief.sent.length > 0);
    assert.equal(
      floors(given).filter((one) => !one.endsWith(' 1')),
      [],
    );
    assert.is(asked.isSettled, false);
    open();
    await hand.advance(2_000);
    assert.equal([asked.isSettled, asked.error], [true, undefined]);
    assert.equal((await stored(far))?.seen, [1, 3]);
  }));

test('Q3, P7: the floor stays at a first message that was dropped until its dead letter is durable, and moves at once then', () =>
  across({ limits: { retryMs: 300, retryMsMax: 100_000 } }, async (given) => {
    const { hand, gate, thief, stored } = given;
    thief.takes = (one) => one.kind === 'message' && one.arrival.seq === 1;
    await sendThree(given);
    await hand.advance(100);
    const entry = await given.cluster.inspector.outboxMessage(`tally/${near}`, to, 1);
    const open = gate.holdCommits();
    const asked = watch(given.cluster.client.dropMessage(`tally/${near}`, entry));
    await hand.advance(1_500);
    const held = floors(given);
    assert.ok(held.length > 3, 'they were sent again meanwhile');
    assert.equal(
      held.filter((one) => !one.endsWith(' 1')),
      [],
    );
    open();
    await hand.advance(30);
    assert.equal([asked.isSettled, asked.error], [true, undefined]);
    assert.equal(floors(given).slice(held.length), ['2 2']);
    await hand.advance(30);
    assert.equal((await stored(far))?.seen, [2, 3]);
  }));

test('Q3, P12: the one behind a dropped message is told the floor as soon as those before it are acknowledged', () =>
  across({ limits: { retryMs: 5_000, retryMsMax: 100_000 } }, async (given) => {
    const { hand, thief, during, stored } = given;
    thief.takes = (one) => one.kind === 'message' && one.arrival.seq <= 2;
    await sendThree(given);
    await hand.advance(100);
    assert.equal(floors(given), ['1 1', '2 1', '3 1']);
    await during(drop(given, 2));
    assert.equal(floors(given).length, 3, 'nothing that is not next is sent again');
    thief.takes = () => false;
    for (let waited = 0; waited < 20_000 && floors(given).length === 3; waited += 10) await hand.advance(10);
    await hand.advance(100);
    assert.equal((await stored(far))?.seen, [1, 3]);
    assert.equal(floors(given).slice(3), ['1 1', '3 1', '3 3']);
    await hand.advance(2_000);
    assert.equal(await waitingOf(given), []);
  }));

test('P4, P7: an acknowledgement that comes after its message was dropped takes out nothing else, and the stream goes on', () =>
  across({ limits: { retryMs: 5_000, retryMsMax: 5_000 } }, async (given) => {
    const { hand, thief, tally, during, stored } = given;
    thief.takes = (one) => one.kind === 'ack' || (one.kind === 'message' && one.arrival.seq === 3);
    await sendThree(given);
    await hand.advance(100);
    assert.equal(
      [(await stored(far))?.seen, await waitingOf(given)],
      [
        [1, 2],
        [1, 2, 3],
      ],
    );
    await during(drop(given, 2));
    assert.equal(await waitingOf(given), [1, 3]);
    for (const number of [2, 2])
      for (const worker of given.cluster.workers)
        if (worker.isActive(`tally/${near}`))
          worker.intake.receive({ kind: 'ack', to: `tally/${near}`, from: to, session: sessionIn(given), number });
    await hand.advance(2_000);
    assert.equal(await waitingOf(given), [3]);
    thief.takes = () => false;
    await hand.advance(60_000);
    await during(tally(near).run('see'));
    await hand.advance(1_000);
    assert.equal((await stored(far))?.seen, [1, 2, 3, 4], 'each once, though one is a dead letter in doubt');
    assert.equal([await waitingOf(given), await reasonsOf(given)], [[], [dropReason]]);
  }));

function sessionIn({ thief }: { thief?: Across['thief'] }): number {
  for (const one of thief?.sent ?? []) if (one.kind === 'message') return one.arrival.session;
  throw new Error('nothing was sent');
}

test('P2, P7: a drop that never became durable has not been: the next owner sends the message', async () => {
  const gate = new GateStore();
  const stuck: Scripts = {
    send: (turn) => void turn.to(Tally, 'b').run('see'),
    see() {
      throw new Error('nobody takes it yet');
    },
  };
  await withTallies({ gate, scripts: stuck }, async ({ hand, tally, during, cluster }) => {
    await during(tally('a').run('send'));
    await hand.advance(50);
    const entry = await cluster.inspector.outboxMessage('tally/a', 'tally/b', 1);
    gate.faults.commit.push('lost before');
    const asked = watch(cluster.client.dropMessage('tally/a', entry));
    for (let step = 0; step < 50 && gate.faults.commit.length > 0; step++) await hand.idle();
    assert.is(gate.faults.commit.length, 0);
    assert.is(asked.isSettled, false);
  });
  await withTallies({ gate, scripts: { see: (turn) => void turn.state.seen.push('came') } }, async (given) => {
    await given.hand.advance(60_000);
    const found = await given.cluster.inspector.get('tally/a');
    assert.equal([found?.outbox.length, found?.dead.length], [0, 0]);
    assert.equal((await given.stored('b'))?.seen, ['came']);
  });
});

test('what is asked of an app by its control socket: drop a message, once, of a type that it has', () =>
  across({}, async (given) => {
    const { thief, cluster, during } = given;
    const app = hostedApp(cluster, [tallyWith()], {});
    thief.takes = ({ kind }) => kind === 'message';
    await sendThree(given);
    const ask = (address: string, seq: number) =>
      during(answer(app, { ask: 'outbox-drop', address, partner: to, seq }));
    const told = (await ask(`tally/${near}`, 2)) as { status: string; letter: string };
    assert.is(told.status, 'dropped');
    assert.equal(await waitingOf(given), [1, 3]);
    assert.is((await cluster.inspector.deadLetter(`tally/${near}`, told.letter)).partner, to);
    await rejects(ask(`tally/${near}`, 2), 'not-found');
    await rejects(ask(`tally/${far}`, 2), 'not-found');
    const error: unknown = await ask('other/x', 2).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof CliError && error.failure.code === 'unknown-type');
  }));

test('F3: a message is found by its number however the activities of its entity are stored', async () => {
  const scripts: Scripts = {
    many(turn) {
      for (let count = 0; count < 40; count++) turn.to(Tally, `b${count}`).run('boom');
    },
    boom: () => {
      throw new Error('not today');
    },
  };
  await withTallies({ scripts }, async ({ hand, tally, during, cluster }) => {
    await during(tally('a').run('many'));
    await hand.advance(50);
    const entry = await cluster.inspector.outboxMessage('tally/a', 'tally/b7', 1);
    assert.ok(entry.session > 0);
    assert.equal(entry.message.content.payload, encode('boom'));
    await during(cluster.client.dropMessage('tally/a', entry));
    await rejects(cluster.inspector.outboxMessage('tally/a', 'tally/b7', 1), 'not-found');
    await rejects(cluster.inspector.outboxMessage('tally/none', 'tally/b7', 1), 'not-found');
  });
});

test.run();
