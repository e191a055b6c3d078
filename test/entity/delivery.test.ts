/** Messages between entities, on their way and off it: lost, repeated, expired, given up; and effects and timers. */
import { settled } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { partitionOf } from '../../placement/hash.ts';
import type { MessageEnvelope } from '../../runtime/wire/envelope.ts';
import { across, far, near, placement } from '../support/across.ts';
import { contentOf } from '../support/bench.ts';
import { GateStore } from '../support/gate.ts';
import type { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';
import { type Given, type GivenOptions, type Scripts, Tally, watch, withTallies } from '../support/tally.ts';

const test = suite('delivery');
const outboxOf = async ({ cluster }: Given, key: string) => {
  const found = await cluster.inspector.get(`tally/${key}`);
  return (found?.activities ?? []).flatMap(({ outbound }) => outbound?.unacked ?? []);
};
const deadOf = async ({ cluster }: Given, key: string) => (await cluster.inspector.get(`tally/${key}`))?.dead ?? [];

test('Q1, P2: nothing goes to another worker before the store has accepted its turn', () =>
  across({}, async ({ hand, gate, thief, tally }) => {
    const open = gate.holdCommits();
    watch(tally(near).run('see'));
    await hand.advance(3_000);
    assert.equal(thief.sent, []);
    open();
    await hand.advance(100);
    assert.equal(
      thief.sent.map(({ kind }) => kind),
      ['message', 'ack'],
    );
  }));

test('Q1, P2: of two turns that send to one partner, the first to be durable releases its own message only', () =>
  across({}, async ({ hand, gate, thief, tally }) => {
    const openFirst = gate.holdCommits();
    watch(tally(near).run('see'));
    await hand.advance(50);
    watch(tally(near).run('see'));
    await hand.advance(50);
    const seqs = () => thief.sent.flatMap((one) => (one.kind === 'message' ? [one.arrival.seq] : []));
    openFirst();
    const openSecond = gate.holdCommits();
    for (let step = 0; step < 200 && seqs().length === 0; step++) await hand.advance(1);
    assert.equal(seqs(), [1]);
    openSecond();
    await hand.advance(100);
    assert.equal(seqs(), [1, 2]);
  }));

test('Q2, P7: a message that is lost is sent again until it is acknowledged, with the same identity', () =>
  across({}, async (given) => {
    const { hand, thief, tally, during, stored } = given;
    let lost = 0;
    thief.takes = ({ kind }) => kind === 'message' && ++lost <= 4;
    await during(tally(near).run('see'));
    await during(tally(near).run('see'));
    await hand.advance(60_000);
    assert.equal((await stored(far))?.seen, [1, 2]);
    assert.equal(await outboxOf(given, near), []);
    const identities = thief.sent.flatMap((one) =>
      one.kind === 'message' ? [`${one.arrival.session} ${one.arrival.seq}`] : [],
    );
    assert.is(new Set(identities).size, 2);
  }));

test('P4, Q2: a message whose acknowledgement is lost comes again, and is processed once', () =>
  across({}, async (given) => {
    const { hand, thief, tally, during, stored } = given;
    let lost = 0;
    thief.takes = ({ kind }) => kind === 'ack' && ++lost <= 4;
    await during(tally(near).run('see'));
    await hand.advance(60_000);
    assert.equal((await stored(far))?.seen, [1]);
    assert.ok(thief.sent.filter(({ kind }) => kind === 'message').length >= 5);
    assert.equal(await outboxOf(given, near), []);
  }));

const short: GivenOptions = { behaviour: { horizonMs: 2_000 } };

test('Q3, P7: a message that expired unprocessed becomes a dead letter of its sender, and the next one gets through', () =>
  across(short, async (given) => {
    const { hand, thief, tally, during, stored } = given;
    thief.takes = ({ kind }) => kind === 'message';
    await during(tally(near).run('see'));
    await hand.advance(20_000);
    thief.takes = () => false;
    await during(tally(near).run('see'));
    await hand.advance(120_000);
    const [letter, ...more] = await deadOf(given, near);
    assert.equal([letter?.side, letter?.partner, more.length], ['sender', `tally/${far}`, 0]);
    assert.match(String(letter?.reason), /expired before its receiver processed it/);
    assert.equal((await stored(far))?.seen, [2]);
    assert.equal(await outboxOf(given, near), []);
  }));

test('Q3, P4: one that expired unacknowledged but was processed is no dead letter', () =>
  across(short, async (given) => {
    const { hand, thief, tally, during, stored } = given;
    thief.takes = ({ kind }) => kind === 'ack';
    await during(tally(near).run('see'));
    await hand.advance(120_000);
    assert.equal((await stored(far))?.seen, [1]);
    assert.equal([await deadOf(given, near), await outboxOf(given, near)], [[], []]);
  }));

test('Q3: one whose receiver can no longer say is marked in doubt, and not before', () =>
  across({ ...short, limits: { doubtMs: 60_000 } }, async (given) => {
    const { hand, thief, tally, during } = given;
    thief.takes = () => true;
    await during(tally(near).run('see'));
    await hand.advance(60_000);
    assert.is((await outboxOf(given, near)).length, 1, 'it may still be asked for');
    await hand.advance(100_000);
    assert.match(String((await deadOf(given, near))[0]?.reason), /in doubt/);
    assert.is((await outboxOf(given, near)).length, 0);
  }));

test('N2, P7: a message whose turn throws blocks only its own stream; after its last try it is buried and the stream goes on', async () => {
  let isBroken = true;
  const scripts: Scripts = {
    boom() {
      if (isBroken) throw new Error('cannot');
    },
    boomThenSee(turn) {
      turn.to(Tally, 'bad').run('boom');
      turn.to(Tally, 'bad').see('after it');
    },
    seeBad: (turn) => turn.to(Tally, 'bad').see('from another'),
  };
  await withTallies({ scripts, limits: { attemptsMax: 3 } }, async (given) => {
    const { hand, tally, during, stored, cluster } = given;
    await during(tally('a').run('boomThenSee'));
    await during(tally('b').run('seeBad'));
    await hand.advance(50);
    assert.equal(await during(tally('bad').seen()), ['from another']);
    await hand.advance(5_000);
    assert.equal((await stored('bad'))?.seen, ['from another', 'after it']);
    const [letter] = await deadOf(given, 'bad');
    assert.equal(
      [letter?.side, letter?.partner, letter?.attempts, letter?.reason],
      ['receiver', 'tally/a', 3, 'cannot'],
    );
    assert.equal(await outboxOf(given, 'a'), []);
    isBroken = false;
    assert.ok(letter);
    await during(cluster.client.resolveDead('tally/bad', letter, 'dead-retry'));
    assert.equal(await deadOf(given, 'bad'), []);
  });
});

const messageOf = (hand: HandEnvironment, seq: number, floor = 1): MessageEnvelope => ({
  kind: 'message',
  to: 'tally/a',
  from: 'tally/sender',
  replyTo: '',
  call: 0,
  identity: '',
  arrival: { session: 1, seq, floor, expires: hand.now() + 60_000, sent: hand.now(), keepMs: 0 },
  content: contentOf('see', seq),
});

test('N3, P6, P12: what comes ahead of its turn is held, up to a bound, and runs in order; the rest comes again', () =>
  withTallies({ limits: { aheadCountMax: 2 } }, async ({ hand, cluster, stored }) => {
    const [worker] = cluster.workers;
    for (const seq of [5, 3, 2, 4]) worker?.intake.receive(messageOf(hand, seq));
    await hand.idle();
    assert.is(await stored('a'), undefined, 'nothing of it has run');
    worker?.intake.receive(messageOf(hand, 1));
    await hand.advance(100);
    assert.equal((await stored('a'))?.seen, [1]);
    for (const seq of [2, 3, 4, 5, 2]) worker?.intake.receive(messageOf(hand, seq));
    await hand.advance(100);
    assert.equal((await stored('a'))?.seen, [1, 2, 3, 4, 5]);
  }));

test('N3, P6: held messages run as soon as what they wait for has come, whatever the order', () =>
  withTallies({}, async ({ hand, cluster, stored }) => {
    for (const seq of [4, 2, 5, 3, 1]) cluster.workers[0]?.intake.receive(messageOf(hand, seq));
    await hand.idle();
    assert.equal((await stored('a'))?.seen, [1, 2, 3, 4, 5]);
  }));

test('N2, P7: a message that throws and has no other copy is tried again also when that is long after it was sent', () => {
  let tries = 0;
  const see = () => {
    tries += 1;
    if (tries < 4) throw new Error('not yet');
  };
  const limits = { transitMaxMs: 200, attemptsMax: 9 };
  return withTallies({ scripts: { see }, limits }, async ({ hand, cluster }) => {
    const message = messageOf(hand, 1);
    cluster.workers[0]?.intake.receive({ ...message, content: contentOf('run', 'see') });
    await hand.advance(20_000);
    assert.is(tries, 4);
  });
});

// ---- timers and effects

const timers: Scripts = {
  set: (turn) => turn.timer('t', { afterMs: 10_000 }).see('rang'),
  later: (turn) => turn.to(Tally, 'b', { afterMs: 10_000 }).see('came'),
};

test('W3: a timer fires at its time, in memory or not, once', () =>
  withTallies({ scripts: timers, limits: { idleMs: 2_000 } }, async ({ hand, tally, during, stored, cluster }) => {
    await during(tally('a').run('set'));
    await during(tally('b').run('later'));
    await hand.advance(9_900);
    assert.is(cluster.workers[0]?.figures.activations, 0, 'passivated meanwhile');
    assert.equal((await stored('a'))?.seen, []);
    await hand.advance(600);
    assert.equal((await stored('a'))?.seen, ['rang']);
    assert.equal((await stored('b'))?.seen, ['came']);
    await hand.advance(60_000);
    assert.equal((await stored('a'))?.seen, ['rang']);
  }));

test('W3, P7: another worker goes on with timers, outboxes and effects without anybody calling', async () => {
  const gate = new GateStore();
  const keys: string[] = [];
  let isBroken = true;
  const call = effect('call', async (_given: number, { idempotencyKey }) => {
    keys.push(idempotencyKey);
    if (isBroken) throw new Error('no route');
    return 'reached';
  });
  const behaviour = { effects: [settled(Tally, call, (turn, outcome) => void turn.state.seen.push(outcome.status))] };
  const scripts: Scripts = {
    all(turn) {
      turn.timer('t', { afterMs: 10_000 }).see('rang');
      turn.to(Tally, 'b').see('told');
      turn.perform(call, 1);
    },
  };
  const limits = { retryMs: 100_000, retryMsMax: 100_000 };
  await withTallies({ gate, scripts, behaviour, limits }, async ({ hand, tally }) => {
    watch(tally('a').run('all'));
    for (let step = 0; step < 100 && gate.commits.length === 0; step++) await hand.idle();
    await hand.idle();
  });
  isBroken = false;
  await withTallies({ gate, scripts, behaviour }, async ({ hand, stored }) => {
    hand.jump(5_000);
    await hand.advance(20_000);
    assert.equal(((await stored('a'))?.seen ?? []).sort(), ['done', 'rang']);
    assert.equal((await stored('b'))?.seen, ['told']);
  });
  assert.ok(keys.length >= 2 && new Set(keys).size === 1, 'every try has the same key');
});

test('L1, L2: an effect runs after its turn is durable, is tried again with one key, one try at a time, and settles once', async () => {
  const tries: { key: string; attempt: number; running: number }[] = [];
  let running = 0;
  const call = effect('call', async (_given: number, { idempotencyKey, attempt }) => {
    tries.push({ key: idempotencyKey, attempt, running: ++running });
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (attempt < 4) throw new Error('not yet');
    return 'reached';
  });
  const behaviour = { effects: [settled(Tally, call, (turn, outcome) => void turn.state.seen.push(outcome))] };
  const scripts: Scripts = { call: (turn) => turn.perform(call, 1) };
  await withTallies(
    { scripts, behaviour, limits: { idleMs: 300, retryMs: 3_000 } },
    async ({ hand, gate, tally, stored }) => {
      const open = gate.holdCommits();
      watch(tally('a').run('call'));
      await hand.advance(2_000);
      assert.equal(tries, []);
      open();
      await hand.advance(60_000);
      assert.equal(
        tries.map(({ attempt, running: at }) => [attempt, at]),
        [
          [1, 1],
          [2, 1],
          [3, 1],
          [4, 1],
        ],
      );
      assert.is(new Set(tries.map(({ key }) => key)).size, 1);
      assert.equal((await stored('a'))?.seen, [{ status: 'done', output: 'reached' }]);
    },
  );
});

test('L2: an effect whose outcome makes its turn throw is not run again for that', async () => {
  let [tries, turns] = [0, 0];
  const call = effect('call', async () => ++tries);
  const settle = (turn: { state: { seen: unknown[] } }, outcome: unknown) => {
    if (++turns < 4) throw new Error('not yet');
    turn.state.seen.push(outcome);
  };
  const behaviour = { effects: [settled(Tally, call, settle)] };
  const scripts: Scripts = { call: (turn) => turn.perform(call, undefined as never) };
  await withTallies({ scripts, behaviour }, async ({ hand, tally, during, stored }) => {
    await during(tally('a').run('call'));
    await hand.advance(60_000);
    assert.equal([tries, turns], [1, 4]);
    assert.equal((await stored('a'))?.seen, [{ status: 'done', output: 1 }]);
  });
});

test('an effect that keeps failing, or gives what cannot be stored, settles as failed', async () => {
  let tries = 0;
  const call = effect('call', async () => Promise.reject(new Error(`try ${++tries}`)), { attemptsMax: 3 });
  const odd = effect('odd', async () => new Map());
  const see = (turn: { state: { seen: unknown[] } }, outcome: unknown) => void turn.state.seen.push(outcome);
  const behaviour = { effects: [settled(Tally, call, see), settled(Tally, odd, see)] };
  const scripts: Scripts = {
    call: (turn) => turn.perform(call, undefined as never),
    odd: (turn) => turn.perform(odd, undefined as never),
  };
  await withTallies({ scripts, behaviour }, async ({ hand, tally, during, stored }) => {
    await during(tally('a').run('call'));
    await during(tally('b').run('odd'));
    await hand.advance(60_000);
    assert.equal((await stored('a'))?.seen, [{ status: 'failed', message: 'try 3' }]);
    const [outcome] = ((await stored('b'))?.seen ?? []) as { status: string; message: string }[];
    assert.is(outcome?.status, 'failed');
    assert.match(String(outcome?.message), /Map/);
  });
});

test('the partition of an address is where its worker finds it', () => {
  assert.is(placement.workerOf(partitionOf(`tally/${near}`, 16))?.name, 'worker-1');
});

test.run();
