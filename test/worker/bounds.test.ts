/**
 * What a worker holds, wherever it holds it, is bounded in messages and in bytes (P12).
 *
 * Longer than 400 lines because each way to fill a worker has its test, and they share their senders.
 */
import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import type { SkerryError } from '../../core/errors.ts';
import { command } from '../../core/operation.ts';
import { Ahead, Held } from '../../runtime/entity/held.ts';
import { envelopeBytes } from '../../runtime/entity/mailbox.ts';
import type { MessageEnvelope, QueryEnvelope } from '../../runtime/wire/envelope.ts';
import { contentOf } from '../support/bench.ts';
import type { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';
import { type Given, type Scripts, Tally, tallyWith, watch, withTallies } from '../support/tally.ts';

const test = suite('bounds');
const codesOf = (calls: readonly { readonly error: unknown }[]) =>
  calls.flatMap(({ error }) => (error === undefined ? [] : [(error as SkerryError).code]));
const times = <Made>(count: number, make: (index: number) => Made): Made[] =>
  Array.from({ length: count }, (_, index) => make(index));
const heldOf = ({ cluster }: Pick<Given, 'cluster'>) => ({ ...cluster.workers[0]?.held });
const nothing = { ...new Held() };

interface Sent {
  readonly from: string;
  readonly seq: number;
  readonly floor?: number;
  readonly lifeMs?: number;
  readonly input?: unknown;
}

const messageOf = (hand: HandEnvironment, { from, seq, floor = 1, lifeMs = 60_000, input = seq }: Sent) =>
  ({
    kind: 'message',
    to: 'tally/a',
    from,
    replyTo: '',
    call: 0,
    identity: '',
    arrival: { session: 1, seq, floor, expires: hand.now() + lifeMs, sent: hand.now(), keepMs: 0 },
    content: contentOf('see', input),
  }) satisfies MessageEnvelope;

test('W2, HD1, P12: while the store hangs, an entity takes in no more than it may hold, also of what its turns have run', () =>
  withTallies({ limits: { mailboxCountMax: 5 } }, async (given) => {
    const { hand, gate, cluster, tally, during } = given;
    await during(tally('a').add(1));
    const open = gate.holdCommits();
    const calls = [];
    for (let round = 0; round < 20; round++) {
      calls.push(watch(tally('a').add(1)));
      await hand.advance(10);
    }
    assert.equal(
      codesOf(calls),
      times(15, () => 'overloaded'),
    );
    assert.is(cluster.workers[0]?.figures.queued, 0, 'their turns have been run');
    assert.is(heldOf(given).messages, 5);
    assert.equal(codesOf([watch(tally('b').add(1))]), [], 'others are not concerned');
    open();
    await hand.advance(100);
    assert.equal(
      calls.slice(0, 5).map(({ value }) => value),
      [2, 3, 4, 5, 6],
    );
    assert.equal(heldOf(given), nothing);
    assert.is(await during(tally('a').add(1)), 7);
  }));

test('W2, HD1, P12: the same in bytes, of one entity and of a worker', async () => {
  for (const limits of [{ mailboxBytesMax: 3_500 }, { workerQueueBytesMax: 3_500 }])
    await withTallies({ limits }, async (given) => {
      const { hand, gate, tally, during } = given;
      await during(tally('a').add(1));
      const open = gate.holdCommits();
      const calls = times(10, () => watch(tally('a').see('x'.repeat(1_000))));
      await hand.advance(10);
      const codes = codesOf(calls);
      assert.equal(
        codes,
        times(7, () => 'overloaded'),
      );
      assert.ok((heldOf(given).bytes ?? 0) < 3 * 2_100, `${heldOf(given).bytes} bytes`);
      open();
      await hand.advance(100);
      assert.equal(heldOf(given), nothing);
    });
});

test('W5, P12: an entity that has all the messages it may have can still be asked, and one with all queries written to', () =>
  withTallies({ limits: { mailboxCountMax: 4 } }, async (given) => {
    const { hand, gate, tally } = given;
    const open = gate.holdCommits();
    const [adds, counts] = [times(6, () => watch(tally('a').add(1))), times(6, () => watch(tally('a').count()))];
    await hand.advance(10);
    assert.equal([codesOf(adds).length, codesOf(counts).length], [2, 2]);
    open();
    await hand.advance(100);
    assert.equal(
      [adds, counts].map((calls) => calls.map(({ value }) => value)),
      [
        [1, 2, 3, 4, undefined, undefined],
        [4, 4, 4, 4, undefined, undefined],
      ],
    );
    const openProofs = gate.holdEpochs();
    const more = times(6, () => watch(tally('a').count()));
    await hand.advance(10);
    assert.equal(codesOf(more), ['overloaded', 'overloaded'], 'a proof of ownership that does not come holds them');
    const add = watch(tally('a').add(1));
    await hand.advance(10);
    assert.is(add.value, 5);
    openProofs();
    await hand.advance(100);
    assert.equal(heldOf(given), nothing);
  }));

test('W6, P4: copies of what is held are neither turned away nor held beside it', () =>
  withTallies({ limits: { mailboxCountMax: 3 } }, async (given) => {
    const { hand, gate, cluster, tally } = given;
    const open = gate.holdCommits();
    const calls = times(3, () => watch(tally('a').add(1)));
    await hand.advance(5_000);
    assert.equal(codesOf(calls), []);
    assert.is(heldOf(given).messages, 3);
    open();
    await hand.advance(100);
    assert.equal(
      calls.map(({ value }) => value),
      [1, 2, 3],
    );
    assert.is(cluster.workers[0]?.figures.overloaded, 0);
  }));

test('W6: nor are they while the originals wait for their turns', () =>
  withTallies({ limits: { mailboxCountMax: 3 } }, async (given) => {
    const { hand, gate, cluster } = given;
    const [worker] = cluster.workers;
    gate.isAway = true;
    const message = (seq: number): MessageEnvelope => ({
      ...messageOf(hand, { from: '@c', seq }),
      replyTo: 'skerry.embedded.client.c',
      call: seq,
    });
    for (const seq of [1, 2, 3, 1, 2, 3, 1, 2, 3]) worker?.intake.receive(message(seq));
    assert.is(worker?.figures.overloaded, 0);
    assert.is(heldOf(given).messages, 3);
    worker?.intake.receive(message(4));
    assert.is(worker?.figures.overloaded, 1);
    gate.isAway = false;
  }));

for (const hung of ['a proof', 'a commit'] as const)
  test(`W2, W5, HD1, P12: copies, probes and what is late count as what they are while their answers wait for ${hung}`, () =>
    withTallies({ limits: { mailboxCountMax: 4 } }, async (given) => {
      const { hand, gate, cluster, tally, during } = given;
      const worker = cluster.workers[0];
      worker?.intake.receive(messageOf(hand, { from: 'tally/x', seq: 1 }));
      await during(tally('a').add(1));
      const open = hung === 'a proof' ? gate.holdEpochs() : gate.holdCommits();
      const adds = hung === 'a proof' ? [] : [watch(tally('a').add(1))];
      await hand.idle();
      const stale = messageOf(hand, { from: 'tally/x', seq: 1 });
      for (let round = 0; round < 20; round++) {
        worker?.intake.receive(messageOf(hand, { from: 'tally/x', seq: 1 }));
        worker?.intake.receive({ ...stale, arrival: { ...stale.arrival, session: 0 } });
        worker?.intake.receive({ kind: 'probe', to: 'tally/a', from: 'tally/x', session: 1, number: 1 });
        await hand.idle();
      }
      const counts = times(6, () => watch(tally('a').count()));
      await hand.idle();
      assert.is(codesOf(counts).length, 2, 'queries have all the room that is theirs');
      const { messages, queries, signals } = heldOf(given);
      assert.equal([messages, queries, signals], [4, 4, 5]);
      open();
      await hand.advance(100);
      assert.is([...adds, ...counts].filter(({ value }) => value !== undefined).length, adds.length + 4);
      assert.equal(heldOf(given), nothing);
    }));

test('HD1, P12: a call that comes too late counts until it is told so, behind a commit', () =>
  withTallies({ limits: { mailboxCountMax: 4 } }, async (given) => {
    const { hand, gate, cluster, tally, during } = given;
    await during(tally('a').add(1));
    const open = gate.holdCommits();
    watch(tally('a').add(1));
    await hand.idle();
    for (let call = 1; call <= 20; call++) {
      const late = messageOf(hand, { from: `@c${call}`, seq: 1, lifeMs: -5_000 });
      cluster.workers[0]?.intake.receive({ ...late, replyTo: 'skerry.embedded.client.c', call });
      await hand.idle();
    }
    assert.is(heldOf(given).messages, 4);
    open();
    await hand.advance(100);
    assert.equal(heldOf(given), nothing);
  }));

test('W7, P12: turns whose answers are large wait while those before them wait for the store', () => {
  const scripts: Scripts = { tell: () => 'x'.repeat(10_000) };
  return withTallies({ scripts, limits: { mailboxBytesMax: 40_000 } }, async (given) => {
    const { hand, gate, cluster, tally, during } = given;
    await during(tally('a').add(1));
    const open = gate.holdCommits();
    const before = cluster.workers[0]?.figures.turns ?? 0;
    const calls = times(20, () => watch(tally('a').run('tell')));
    await hand.advance(10);
    const turns = (cluster.workers[0]?.figures.turns ?? 0) - before;
    assert.ok(turns >= 3 && turns <= 4, `${turns} turns`);
    assert.ok((heldOf(given).bytes ?? 0) < 70_000);
    open();
    await hand.advance(100);
    assert.ok(calls.every(({ value }) => value === 'x'.repeat(10_000)));
    assert.equal(heldOf(given), nothing);
  });
});

test('W7, P12: so do those of a worker’s other entities', () => {
  const scripts: Scripts = { tell: () => 'x'.repeat(10_000) };
  return withTallies({ scripts, limits: { workerQueueBytesMax: 40_000 } }, async (given) => {
    const { hand, gate, cluster, tally } = given;
    const open = gate.holdCommits();
    const calls = times(20, (index) => watch(tally(`k${index}`).run('tell')));
    await hand.advance(10);
    assert.is(cluster.workers[0]?.figures.turns, 4);
    open();
    await hand.advance(200);
    assert.ok(calls.every(({ value }) => value === 'x'.repeat(10_000)));
    assert.equal(heldOf(given), nothing);
  });
});

test('W8: while the store is behind no turns are run', () =>
  withTallies({}, async (given) => {
    const { hand, gate, cluster, tally, during } = given;
    for (const key of ['a', 'b', 'c', 'd', 'e']) await during(tally(key).add(1));
    const turns = cluster.workers[0]?.figures.turns ?? 0;
    const open = gate.holdCommits();
    const first = watch(tally('a').add(1));
    await hand.advance(5);
    // Two groups may be under way; what comes then waits for one of them.
    const second = watch(tally('b').add(1));
    await hand.advance(5);
    const third = watch(tally('e').add(1));
    await hand.advance(600);
    const [late, long] = [watch(tally('c').add(1, { deadlineMs: 50 })), watch(tally('d').add(1))];
    await hand.advance(100);
    assert.is(cluster.workers[0]?.figures.turns, turns + 3);
    open();
    await hand.advance(100);
    assert.equal([first.value, second.value, third.value, long.value], [2, 2, 2, 2]);
    assert.equal(codesOf([late]), ['deadline'], 'it waited where it could still be left undone');
    assert.is(await during(tally('c').count()), 1);
    assert.equal(heldOf(given), nothing);
  }));

test('W8: an entity of an interval type that is used while its write waits makes no store be behind', () => {
  const Room = entity('room', { initial: () => ({ said: [0] }), operations: { say: command() } });
  const room = behaviour(Room, { say: (turn) => void turn.state.said.push(1) }, { durability: { intervalMs: 300 } });
  return withTallies({ behaviours: [tallyWith(), room] }, async ({ hand, gate, cluster, tally, during }) => {
    await hand.advance(5_000);
    await during(cluster.entity(Room, 'r').say());
    const turns = cluster.workers[0]?.figures.turns ?? 0;
    const open = gate.holdCommits();
    for (const key of ['a', 'b']) {
      watch(tally(key).add(1));
      await hand.advance(5);
    }
    // Two groups are under way, and the room's write is the first that waits.
    await hand.advance(350);
    await during(cluster.entity(Room, 'r').say());
    watch(tally('c').add(1));
    await hand.advance(10);
    assert.is(cluster.workers[0]?.figures.turns, turns + 4);
    await hand.advance(500);
    watch(tally('d').add(1));
    await hand.advance(10);
    assert.is(cluster.workers[0]?.figures.turns, turns + 4, 'it has waited since it was first to be written');
    open();
  });
});

test('W8: what needs no store is run all the same', () =>
  withTallies({ behaviour: { durability: 'none' } }, async ({ hand, gate, tally }) => {
    gate.holdCommits();
    const calls = times(600, (index) => watch(tally(`k${index}`).add(1)));
    await hand.advance(1_000);
    assert.ok(calls.every(({ value }) => value === 1));
  }));

test('N3, P12: what is held ahead of its turn takes a quarter of what an entity may hold, in messages and in bytes', async () => {
  for (const limits of [{ mailboxCountMax: 40 }, { mailboxBytesMax: 4 * 10 * (envelopeBytes + 100) }])
    await withTallies({ limits }, async (given) => {
      const { hand, cluster, tally, during } = given;
      for (let sender = 0; sender < 300; sender++) {
        const from = `tally/s${sender}`;
        cluster.workers[0]?.intake.receive(messageOf(hand, { from, seq: 2, input: 'x'.repeat(98) }));
        await hand.idle();
      }
      assert.is(heldOf(given).aheadCount, 10);
      assert.is(await during(tally('a').add(1)), 1, 'there is room for others');
    });
});

test('N3, P10: what is held ahead of its turn goes when its date has passed, also from an entity that is busy', () =>
  withTallies({}, async (given) => {
    const { hand, cluster, tally } = given;
    cluster.workers[0]?.intake.receive(messageOf(hand, { from: 'tally/gone', seq: 2, lifeMs: 5_000 }));
    cluster.workers[0]?.intake.receive(messageOf(hand, { from: 'tally/there', seq: 2, lifeMs: 90_000 }));
    for (let second = 0; second < 25; second++) {
      watch(tally('a').add(1));
      await hand.advance(1_000);
      if (second === 3) assert.is(heldOf(given).aheadCount, 2);
    }
    assert.is(heldOf(given).aheadCount, 1);
  }));

test('N3, P12: what is held ahead of its turn goes when its stream does not go on, however late its date', () =>
  withTallies({ limits: { mailboxCountMax: 40 } }, async (given) => {
    const { hand, cluster, tally } = given;
    const worker = cluster.workers[0];
    const monthMs = 30 * 86_400_000;
    for (let seq = 2; seq < 20; seq++)
      worker?.intake.receive(messageOf(hand, { from: 'tally/gone', seq, lifeMs: monthMs }));
    await hand.idle();
    assert.is(heldOf(given).aheadCount, 10);
    for (let second = 0; second < 80; second++) {
      watch(tally('a').add(1));
      await hand.advance(1_000);
      if (second === 50) assert.is(heldOf(given).aheadCount, 10);
    }
    assert.is(heldOf(given).aheadCount, 0, 'there is room for others');
    // It comes again, and then what is missing.
    for (const seq of [2, 1]) worker?.intake.receive(messageOf(hand, { from: 'tally/gone', seq, lifeMs: monthMs }));
    await hand.advance(100);
    assert.is(heldOf(given).aheadCount, 0);
    assert.is((await given.stored('a'))?.seen.length, 2);
  }));

test('N2, HD1, P12: messages whose turns throw count while they are to be tried again', () => {
  const see = () => {
    throw new Error('not yet');
  };
  return withTallies({ limits: { mailboxCountMax: 20 }, scripts: { see } }, async (given) => {
    const { hand, cluster, tally } = given;
    // The operation `see` of the tally is its own: `run` runs the script.
    for (let sender = 0; sender < 300; sender++) {
      const message = messageOf(hand, { from: `tally/s${sender}`, seq: 1 });
      cluster.workers[0]?.intake.receive({ ...message, content: contentOf('run', 'see') });
      await hand.idle();
    }
    assert.is(heldOf(given).messages, 20);
    assert.equal(codesOf([watch(tally('b').add(1))]), []);
  });
});

test('N2, HD1, P12: a message that is tried again counts once, also while what its turn needs is read', () => {
  let tries = 0;
  const scripts: Scripts = {
    late: (turn) => {
      tries += 1;
      if (tries === 1) throw new Error('not yet');
      turn.to(Tally, 's3').activity.count += 1;
    },
  };
  return withTallies({ limits: { activityCountMax: 1, retryMs: 100 }, scripts }, async (given) => {
    const { hand, gate, cluster, during, tally } = given;
    await during(tally('a').add(1));
    for (let sender = 0; sender < 8; sender++) {
      cluster.workers[0]?.intake.receive(messageOf(hand, { from: `tally/s${sender}`, seq: 1 }));
      await hand.advance(50);
    }
    const read = gate.read.bind(gate);
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    let reads = 0;
    gate.read = async (...asked) => {
      reads += 1;
      await opened;
      return read(...asked);
    };
    const message = messageOf(hand, { from: 'tally/s9', seq: 1 });
    cluster.workers[0]?.intake.receive({ ...message, content: contentOf('run', 'late') });
    const counts: (number | undefined)[] = [];
    for (let step = 0; step < 40; step++) {
      await hand.advance(20);
      counts.push(heldOf(given).messages);
    }
    assert.equal([tries > 1, reads], [true, 1]);
    assert.equal([...new Set(counts)], [1]);
    open();
    await hand.advance(5_000);
    assert.is(heldOf(given).messages, 0);
    assert.is(tries, 3);
  });
});

test('HD1, P12: timers of an entity that are tried again take no room from what others send', () => {
  const scripts: Scripts = {
    set: (turn) => {
      for (let index = 0; index < 10; index++) turn.timer(`t${index}`, { afterMs: 10 }).run('fail');
    },
    fail: () => {
      throw new Error('not yet');
    },
  };
  return withTallies({ limits: { mailboxCountMax: 5 }, scripts }, async (given) => {
    const { hand, tally, during } = given;
    await during(tally('a').run('set'));
    await hand.advance(30);
    assert.equal([heldOf(given).messages, heldOf(given).bytes], [0, 10 * envelopeBytes]);
    assert.equal(codesOf([watch(tally('a').add(1))]), []);
    assert.is(await during(tally('a').add(1)), 2);
  });
});

test('N3, P12: what is held ahead of its turn does not grow by larger messages under the same numbers', () =>
  withTallies({ limits: { mailboxBytesMax: 40_000 } }, async (given) => {
    const { hand, cluster, tally } = given;
    for (const input of ['', 'x'.repeat(5_000)])
      for (let seq = 2; seq <= 15; seq++) {
        cluster.workers[0]?.intake.receive(messageOf(hand, { from: 'tally/s', seq, input }));
        await hand.idle();
      }
    // A quarter of the bound, and one more that was taken when there was room.
    assert.ok((heldOf(given).aheadBytes ?? 0) < 10_000 + 6_000, `${heldOf(given).aheadBytes} bytes`);
    assert.equal(codesOf([watch(tally('a').add(1))]), []);
  }));

test('P12: signals of streams that nobody can take yet are bounded too', () =>
  withTallies({ limits: { mailboxCountMax: 3 } }, async (given) => {
    const { cluster } = given;
    for (let number = 1; number < 1_000; number++)
      cluster.workers[0]?.intake.receive({ kind: 'ack', to: 'tally/a', from: 'tally/b', session: 1, number });
    assert.equal([heldOf(given).signals, heldOf(given).messages], [4, 0]);
  }));

test('HD1, P12: what waits for another try while the store is away counts', () =>
  withTallies({ limits: { workerQueueCountMax: 10 } }, async (given) => {
    const { hand, gate, tally } = given;
    gate.isAway = true;
    const calls = [];
    for (let round = 0; round < 30; round++) {
      calls.push(watch(tally('a').add(1)));
      await hand.advance(1);
    }
    assert.is(codesOf(calls).length, 20);
    assert.is(heldOf(given).messages, 10);
    gate.isAway = false;
    await hand.advance(1_000);
    assert.equal(calls[9]?.value, 10);
    assert.equal(heldOf(given), nothing);
  }));

test('CR1: entities whose messages found no room are told when there is some, and wait for no pause to end', () => {
  const scripts: Scripts = {
    send: (turn) => {
      for (let count = 0; count < 3; count++) turn.to(Tally, 'a').add(1);
    },
  };
  const senders = 1_000;
  return withTallies({ scripts, limits: { mailboxCountMax: 100 } }, async (given) => {
    const { hand, gate, cluster, tally, during } = given;
    // All at once: none is sent before all are in the store.
    const open = gate.holdCommits();
    const calls = times(senders, (sender) => watch(tally(`s${sender}`).run('send')));
    await hand.advance(50);
    open();
    await hand.advance(300);
    assert.ok(calls.every(({ isSettled }) => isSettled));
    assert.is(await during(tally('a').count()), 3 * senders);
    assert.ok((cluster.workers[0]?.figures.overloaded ?? 0) > senders, 'there was no room');
  });
});

test('CR2, P12: so many of them are remembered, and the others come again by themselves', () => {
  const scripts: Scripts = { send: (turn) => void turn.to(Tally, 'a').add(1) };
  const limits = { mailboxCountMax: 4, turnedAwayCountMax: 4 };
  return withTallies({ scripts, limits }, async (given) => {
    const { hand, gate, tally, during } = given;
    const open = gate.holdCommits();
    const calls = times(60, (sender) => watch(tally(`s${sender}`).run('send')));
    await hand.advance(50);
    open();
    await hand.advance(200);
    assert.ok(calls.every(({ isSettled }) => isSettled));
    assert.ok((await during(tally('a').count())) < 60);
    await hand.advance(60_000);
    assert.is(await during(tally('a').count()), 60);
  });
});

test('a query that nobody waits for any more is not run', () => {
  let runs = 0;
  const look = () => {
    runs += 1;
  };
  return withTallies({ scripts: { look } }, async ({ hand, cluster }) => {
    const query: QueryEnvelope = {
      kind: 'query',
      to: 'tally/a',
      replyTo: 'skerry.embedded.client.c',
      call: 1,
      identity: '',
      operation: 'look',
      payload: contentOf('look', 'look').payload,
      deadline: hand.now() - 1,
    };
    cluster.workers[0]?.intake.receive(query);
    cluster.workers[0]?.intake.receive({ ...query, deadline: hand.now() + 10 });
    await hand.idle();
    assert.is(runs, 1);
  });
});

test('HD1: what is held ahead is counted exactly, whatever comes and goes', async () => {
  await withTallies({}, async ({ hand }) => {
    const ahead = new Ahead();
    const of = (from: string, seq: number, lifeMs = 1_000) =>
      messageOf(hand, { from, seq, lifeMs, input: 'x'.repeat(seq) });
    for (const seq of [3, 4, 4, 9]) ahead.put(of('tally/a', seq));
    ahead.put(of('tally/b', 2, 10));
    const bytes = (...messages: MessageEnvelope[]) =>
      messages.reduce((sum, { content }) => sum + envelopeBytes + content.payload.length, 0);
    assert.equal(
      [ahead.count, ahead.bytes],
      [4, bytes(of('tally/a', 3), of('tally/a', 4), of('tally/a', 9), of('tally/b', 2))],
    );
    assert.is(ahead.takeNext('tally/a', 2)?.arrival.seq, 3);
    assert.is(ahead.takeNext('tally/a', 7), undefined);
    assert.equal([ahead.count, ahead.bytes], [2, bytes(of('tally/a', 9), of('tally/b', 2))], 'passed by a floor');
    ahead.dropLate(hand.now() + 11, 0, -1);
    assert.equal([ahead.count, ahead.has('tally/b')], [1, false]);
    // Of a stream that goes on nothing is dropped, however long.
    for (const steady of [500, 900]) {
      assert.is(ahead.takeNext('tally/a', 7), undefined);
      ahead.dropLate(hand.now(), steady, steady - 450);
      ahead.dropLate(hand.now(), steady + 440, steady - 10);
    }
    assert.is(ahead.count, 1);
    assert.is(ahead.takeAll().length, 1);
    assert.equal([ahead.count, ahead.bytes], [0, 0]);
  });
});

test.run();
