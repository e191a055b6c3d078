/**
 * Calls from their start to their answer: identity, repeats, deadlines, and honest errors.
 *
 * Longer than 400 lines because one client with a post office of its own serves all of it.
 */
import type { SkerryError } from '../../core/errors.ts';
import { defaultLimits, type Limits } from '../../core/limits.ts';
import { Client } from '../../runtime/client/client.ts';
import type { Transport } from '../../runtime/transport.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import type { Envelope, MessageEnvelope } from '../../runtime/wire/envelope.ts';
import { behindIn } from '../../runtime/wire/extension.ts';
import { HandEnvironment } from '../support/hand.ts';
import { withWorkers } from '../support/served.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, watch, withTallies } from '../support/tally.ts';

const test = suite('client');

/** A client whose post office is the test. */
function given(limits: Partial<Limits> = {}) {
  const hand = new HandEnvironment();
  const posted: Envelope[] = [];
  const parts = {
    environment: hand,
    limits: { ...defaultLimits, ...limits },
    subject: 'skerry.client.c',
    identity: 'ann',
  };
  const client = new Client({ ...parts, post: (envelope) => void posted.push(envelope) });
  const messages = () => posted.filter((one): one is MessageEnvelope => one.kind === 'message');
  const answer = (to: Envelope | undefined, output: unknown) =>
    client.receive({
      kind: 'reply',
      to: 's',
      call: (to as MessageEnvelope).call,
      status: 'answer',
      bytes: encode(['done', output]),
    });
  const turnAway = (
    to: Envelope | undefined,
    status: 'overloaded' | 'store-failed' | 'moved' | 'denied' | 'unknown-type',
  ) => client.receive({ kind: 'reply', to: 's', call: (to as MessageEnvelope).call, status, bytes: new Uint8Array(0) });
  return { hand, client, posted, messages, answer, turnAway, tally: client.entity(Tally, 'a') };
}
const codeOf = ({ error }: { error: unknown }) => [(error as SkerryError).code, (error as SkerryError).effect];

test('P4: a call keeps its identity however often it is sent; later calls follow in its stream', async () => {
  const { hand, messages, tally } = given();
  watch(tally.add(1));
  watch(tally.add(2));
  await hand.advance(2_000);
  const identities = messages().map(({ from, arrival: { session, seq } }) => `${from} ${session} ${seq}`);
  const [from] = identities[0]?.split(' ') ?? [];
  assert.equal([...new Set(identities)].sort(), [`${from} 1 1`, `${from} 1 2`]);
  assert.ok(identities.length >= 4, 'it was sent again');
  assert.ok(messages().every(({ arrival }) => arrival.floor === 1));
});

test('C5: a late word that a copy came too late ends no call: an answer may be on its way', async () => {
  const { hand, client, messages, answer, tally } = given();
  const call = watch(tally.add(1, { deadlineMs: 60_000 }));
  await hand.advance(2_000);
  const expired = (atMs: number) =>
    client.receive({
      kind: 'reply',
      to: 's',
      call: messages()[0]?.call ?? 0,
      status: 'expired',
      bytes: new TextEncoder().encode(String(hand.now() + atMs)),
    });
  // It took longer than clocks may differ, or the clock that made it is behind: neither makes a call late.
  expired(-defaultLimits.skewMaxMs - 1_000);
  expired(0);
  await hand.advance(10);
  assert.not.ok(call.isSettled);
  answer(messages()[0], 7);
  await hand.advance(10);
  assert.is(call.value, 7);
});

test('C6: a call says how long the ones before it may still arrive, given up or not', async () => {
  const { hand, messages, tally, turnAway } = given();
  // Durations are steady, and steady time has fractions.
  hand.jump(0.25);
  watch(tally.add(1, { deadlineMs: 20_000 }));
  hand.jump(0.5);
  watch(tally.add(2, { deadlineMs: 200 }));
  const keeps = () => messages().map(({ arrival: { seq, keepMs } }) => [seq, keepMs]);
  assert.equal(keeps(), [
    [1, 0],
    // With the difference that clocks may have: its entity may have another owner by then (A3).
    [2, 30_000],
  ]);
  turnAway(messages()[0], 'overloaded');
  await hand.advance(100);
  assert.equal(keeps().slice(2), [[2, 30_000]], 'sent again at once');
  watch(tally.add(3, { deadlineMs: 30_000 }));
  assert.equal(keeps().slice(-1), [[3, 0]], 'its own date is the later one');
  watch(tally.add(4, { deadlineMs: defaultLimits.lifeMsMax }));
  watch(tally.add(5));
  assert.equal(keeps().slice(-1), [[5, defaultLimits.lifeMsMax]], 'nothing may be remembered for longer (A7)');
});

test('C2: a login that is refused ends calls at once; without effect are queries, and what began after the loss', async () => {
  const { hand, client, messages, tally, answer } = given();
  const before = watch(tally.add(1));
  const read = watch(tally.count());
  await hand.advance(10);
  const since = watch(tally.add(2));
  await hand.advance(990);
  client.refused('NATS refuses this login', 1_000);
  await hand.advance(1);
  assert.equal(codeOf(before), ['transport-failed', 'unknown']);
  for (const call of [read, since]) assert.equal(codeOf(call), ['transport-failed', 'none']);
  // It is let in again: the next call passes what was given up.
  const next = watch(tally.add(3));
  const last = messages().at(-1);
  assert.equal([last?.arrival.seq, last?.arrival.floor], [3, 3]);
  answer(last, 3);
  await hand.advance(1);
  assert.ok(next.isSettled);
});

test('C2: a worker whose login is refused ends the calls of its own handle that go elsewhere, and those only', () =>
  withWorkers({}, async ({ hand, transport, join, keyAt, workers, during }) => {
    let refuse: (reason: string, lostMs: number) => void = () => undefined;
    let isLost = false;
    const cut: Transport = {
      frameBytesMax: transport.frameBytesMax,
      listen: (subject, receive) => transport.listen(subject, (frame, on) => isLost || receive(frame, on)),
      send: (subject, frame) => isLost || transport.send(subject, frame),
      onAbsent: (tell) => transport.onAbsent(tell),
      onRestored: () => transport.onRestored(),
      onRefused: (tell) => {
        refuse = tell;
        return () => {
          refuse = () => undefined;
        };
      },
      close: async () => undefined,
    };
    const worker = await join('c', { transport: cut });
    await hand.advance(5_000);
    const [far, near] = [keyAt('a'), keyAt('c')];
    assert.is(await during(worker.entity(Tally, far).add(1)), 1);
    isLost = true;
    const [there, read, here] = [
      watch(worker.entity(Tally, far).add(1)),
      watch(worker.entity(Tally, far).count()),
      watch(worker.entity(Tally, near).add(1)),
    ];
    refuse('NATS refuses this login', 1_000);
    await hand.advance(10);
    assert.equal(codeOf(there), ['transport-failed', 'unknown'], 'it may have run the entity until just now');
    assert.equal(codeOf(read), ['transport-failed', 'none']);
    assert.is(here.value, 1);
    isLost = false;
    assert.is(await during(worker.entity(Tally, far).add(1)), 2);
    workers.get('c')?.member.stop();
  }));

test('a call is sent again with growing pauses until its deadline', async () => {
  const { hand, messages, tally } = given();
  const call = watch(tally.add(1, { deadlineMs: 20_000 }));
  await hand.advance(19_999);
  const times = messages().map(({ arrival }) => arrival.sent);
  const pauses = times.slice(1).map((at, index) => at - (times[index] ?? 0));
  assert.ok(pauses.length >= 3 && pauses.length <= 7, pauses.join());
  for (const [index, pause] of pauses.entries())
    assert.ok(pause >= 500 * 2 ** index * 0.75 && pause <= 500 * 2 ** index * 1.25 + 1, pauses.join());
  assert.not.ok(call.isSettled);
  await hand.advance(1);
  assert.equal(codeOf(call), ['deadline', 'unknown']);
});

test('a call that is sent again for news is tried as often as a new one: the news may have come too soon', async () => {
  const { hand, messages, tally, client } = given();
  watch(tally.add(1));
  await hand.advance(12_000);
  const before = messages().length;
  client.again(() => true);
  assert.is(messages().length, before + 1);
  await hand.advance(626);
  assert.is(messages().length, before + 2, 'half a second later');
  await hand.advance(1_251);
  assert.is(messages().length, before + 3, 'and a second after that');
});

test('C1: a call settles once, whatever comes after its answer', async () => {
  const { hand, messages, client, answer, turnAway, tally } = given();
  const call = watch(tally.add(1));
  answer(messages()[0], 5);
  answer(messages()[0], 6);
  turnAway(messages()[0], 'overloaded');
  client.close();
  await hand.advance(60_000);
  assert.equal([call.value, call.error], [5, undefined]);
  assert.is(messages().length, 1, 'and is not sent again');
  assert.equal([client.callCount, hand.alarmCount], [0, 0]);
});

test('C2: turned away after one sending is effect none; after two it is unknown; a query has none', async () => {
  const { hand, messages, posted, turnAway, tally } = given();
  for (const status of ['overloaded', 'store-failed', 'denied', 'unknown-type'] as const) {
    const once = watch(tally.add(1));
    turnAway(messages().at(-1), status);
    await hand.idle();
    assert.equal(codeOf(once), [status, 'none']);
    const twice = watch(tally.add(1));
    await hand.advance(700);
    turnAway(messages().at(-1), status);
    await hand.idle();
    assert.equal(codeOf(twice), [status, 'unknown']);
  }
  const query = watch(tally.count());
  await hand.advance(700);
  turnAway(posted.at(-1), 'overloaded');
  await hand.idle();
  assert.equal(codeOf(query), ['overloaded', 'none']);
});

test('C2: a call that was turned away as moved and sent again may have happened', async () => {
  const { hand, messages, turnAway, tally } = given();
  const call = watch(tally.add(1));
  turnAway(messages()[0], 'moved');
  await hand.advance(150);
  assert.is(messages().length, 2, 'sooner than by itself');
  turnAway(messages()[0], 'overloaded');
  await hand.idle();
  assert.equal(codeOf(call), ['overloaded', 'unknown']);
});

test('C3: when the first of several is given up, the one behind it is sent again at once, with the floor past it', async () => {
  const { hand, messages, turnAway, tally } = given();
  const calls = [1, 2, 3].map((units) => watch(tally.add(units)));
  turnAway(messages()[0], 'overloaded');
  await hand.idle();
  const again = messages()
    .slice(3)
    .map(({ arrival: { seq, floor } }) => [seq, floor]);
  assert.equal(again, [[2, 2]]);
  assert.equal(
    calls.map(({ isSettled }) => isSettled),
    [true, false, false],
  );
});

test('C3, P6: calls that are held behind several that are given up run as soon as the floor is told, each once', () =>
  withTallies({}, async ({ hand, cluster, tally }) => {
    const posted: MessageEnvelope[] = [];
    const lost = new Set([1, 3, 4]);
    const [worker] = cluster.workers;
    const client = new Client({
      environment: hand,
      limits: defaultLimits,
      subject: 'skerry.client.none',
      identity: '',
      post: (envelope) => {
        if (envelope.kind !== 'message') return;
        posted.push(envelope);
        if (!lost.has(envelope.arrival.seq)) worker?.intake.receive(envelope);
      },
    });
    for (const units of [1, 10, 100, 1_000, 10_000]) {
      const deadlineMs = lost.has(posted.length + 1) ? 200 : 300;
      watch(client.entity(Tally, 'a').add(units, { deadlineMs }));
    }
    await hand.advance(199);
    assert.is(await hand.during(tally('a').count()), 0, 'the first one is awaited');
    await hand.advance(2);
    client.receive({ kind: 'reply', to: '', call: 2, status: 'answer', bytes: encode(['done', 10]) });
    await hand.idle();
    assert.is(await hand.during(tally('a').count()), 10_010);
    assert.is(posted.length, 7, 'two gaps: two envelopes');
  }));

test('C4, P12: an entity that does not answer gets no more than a few envelopes for each call, however many wait', async () => {
  const { hand, posted, tally } = given();
  const callCount = 4_000;
  for (let index = 0; index < callCount; index++) {
    watch(tally.add(1, { deadlineMs: 2_000 }));
    if (index % 4 === 0) await hand.advance(4);
  }
  await hand.advance(2_000);
  const copies = posted.length - callCount;
  assert.ok(copies <= callCount * (1 + defaultLimits.retryShareMax) + 1_200, `${copies} copies of ${callCount} calls`);
});

test('C4: what was not copied for want of a share is copied when there is one again', async () => {
  const { hand, messages, tally } = given({ retryBurstCountMax: 2, retryMsMax: 4_000 });
  for (const units of [1, 2, 3, 4]) watch(tally.add(units));
  await hand.advance(626);
  assert.is(messages().length, 6, 'two of four');
  await hand.advance(20_000);
  const counts = [1, 2, 3, 4].map((seq) => messages().filter(({ arrival }) => arrival.seq === seq).length);
  assert.ok(
    counts.every((count) => count >= 2),
    counts.join(),
  );
});

test('a call is copied no sooner than answers take', async () => {
  const { hand, messages, answer, tally } = given();
  for (let count = 0; count < 200; count++) {
    watch(tally.add(1));
    const sent = messages().at(-1);
    await hand.advance(300);
    answer(sent, 1);
  }
  assert.is(messages().length, 200);
  for (let count = 0; count < 200; count++) {
    watch(tally.add(1));
    const sent = messages().at(-1);
    await hand.advance(1_500);
    answer(sent, 1);
  }
  const before = messages().length;
  watch(tally.add(1));
  await hand.advance(1_100);
  assert.is(messages().length, before + 1);
});

test('C3: so is what waits behind one in the middle, with the number that it is behind', async () => {
  const { hand, messages, answer, turnAway, tally } = given();
  const told = () =>
    messages()
      .slice(5)
      .map(({ arrival: { seq, floor }, extension }) => [seq, floor, behindIn(extension)]);
  for (const units of [1, 2, 3, 4, 5]) watch(tally.add(units));
  turnAway(messages()[1], 'overloaded');
  turnAway(messages()[3], 'overloaded');
  watch(tally.add(6));
  await hand.idle();
  // The first one holds the floor.
  assert.equal(told(), [
    [6, 1, undefined],
    [3, 1, 1],
    [5, 1, 3],
  ]);
  answer(messages()[4], 1);
  watch(tally.add(7));
  await hand.idle();
  assert.equal(told().at(-1), [7, 1, undefined], 'the answer of 5 shows that 2 and 4 are passed');
});

test('C3, P6: an overload in the middle of a burst does not keep the rest waiting', () =>
  withTallies({ limits: { mailboxCountMax: 3 } }, async ({ hand, tally }) => {
    const first = [1, 2, 3, 4].map((units) => watch(tally('a').add(units)));
    await hand.idle();
    const after = watch(tally('a').add(10));
    await hand.idle();
    assert.equal(
      first.map(({ value }) => value),
      [1, 3, 6, undefined],
    );
    assert.is(after.value, 16, 'at once, without a pause');
  }));

test('a call of its own stream per entity: one that hangs keeps nobody else waiting', async () => {
  const { hand, client, messages, answer } = given();
  watch(client.entity(Tally, 'a').add(1));
  const other = watch(client.entity(Tally, 'b').add(1));
  const [a, b] = messages();
  assert.is.not(a?.arrival.session, b?.arrival.session);
  answer(b, 7);
  await hand.idle();
  assert.is(other.value, 7);
});

test('RF1: a call that is turned away is answered after it, not inside of it', () =>
  withTallies({ limits: { mailboxCountMax: 0 } }, async ({ hand, cluster, tally }) => {
    const call = watch(tally('a').add(1));
    assert.is(cluster.client.callCount, 1);
    await hand.idle();
    assert.equal(codeOf(call), ['overloaded', 'none']);
  }));

test('P12: a client has clientCallCountMax calls under way, and answers make room', async () => {
  const { hand, messages, answer, tally } = given({ clientCallCountMax: 2 });
  watch(tally.add(1));
  watch(tally.add(1));
  const third = watch(tally.add(1));
  await hand.idle();
  assert.equal(codeOf(third), ['overloaded', 'none']);
  answer(messages()[0], 1);
  const fourth = watch(tally.add(1));
  await hand.idle();
  assert.not.ok(fourth.isSettled);
});

test('P12: a client’s calls under way are bounded in bytes of their inputs, too', async () => {
  const { hand, client, messages, answer } = given({ clientCallBytesMax: 150 });
  const [first, second, third] = [1, 2, 3].map(() => watch(client.entity(Tally, 'a').see('x'.repeat(98))));
  await hand.idle();
  assert.equal(codeOf(third ?? { error: undefined }), ['overloaded', 'none']);
  assert.equal([first?.isSettled, second?.isSettled], [false, false]);
  for (const message of messages()) answer(message, undefined);
  const fourth = watch(client.entity(Tally, 'a').see('x'.repeat(98)));
  await hand.idle();
  assert.not.ok(fourth.isSettled);
});

test('C1: close rejects what is under way and what comes after, with what may have happened', async () => {
  const { hand, client, tally } = given();
  const [command, query] = [watch(tally.add(1)), watch(tally.count())];
  client.close();
  const late = watch(tally.add(1));
  await hand.idle();
  assert.equal([command, query, late].map(codeOf), [
    ['closed', 'unknown'],
    ['closed', 'none'],
    ['closed', 'none'],
  ]);
  assert.is(hand.alarmCount, 0);
});

test('what cannot be sent is refused before anything is sent: too large, unstorable, too deep, no address', async () => {
  const { hand, client, posted, tally } = given({ messageBytesMax: 1_000 });
  const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);
  const cases: [unknown, string][] = [
    ['x'.repeat(998), 'too-large'],
    [() => 1, 'unstorable'],
    [new Map(), 'unstorable'],
    [nested(65), 'unstorable'],
    ['\ud800', 'unstorable'],
  ];
  for (const [input, code] of cases) {
    const call = watch(tally.see(input));
    await hand.idle();
    assert.equal(codeOf(call), [code, 'none'], String(input).slice(0, 30));
  }
  assert.equal(posted, []);
  watch(tally.see('x'.repeat(997)));
  watch(tally.see(nested(64)));
  assert.is(posted.length, 2);
  for (const key of ['', 'k'.repeat(513), '\ud800']) assert.throws(() => client.entity(Tally, key), /key of a 'tally'/);
});

test('an address that is none is refused at once, also where tools name it', async () => {
  const { posted, client } = given();
  const payload = new Uint8Array(0);
  const letter = {
    id: '1',
    content: { kind: 'operation', operation: 'add', payload, hold: '', wantsAnswer: true },
  } as const;
  for (const address of ['tally', 'tally/', '/a', 'Tally/a', `tally/${'k'.repeat(513)}`, 'tally/\ud800', '@c', '']) {
    await rejects(client.call(address, 'add', 1), 'invalid-address');
    await rejects(client.resolve({ entity: address, operation: 'take', id: 'h' }, 'cancel'), 'invalid-address');
    await rejects(client.resolveDead(address, letter, 'dead-drop'), 'invalid-address');
  }
  assert.equal(posted, []);
});

test('an idempotency key is well-formed Unicode: with its identity and two marks it is as long as a key', async () => {
  const { posted, tally } = given();
  for (const idempotencyKey of ['', 'k'.repeat(512 - '#ann.'.length + 1), '\ud800'])
    await rejects(tally.add(1, { idempotencyKey }), 'invalid-input');
  assert.equal(posted, []);
  for (const idempotencyKey of ['k'.repeat(512 - '#ann.'.length), '🍵 \0/']) watch(tally.add(1, { idempotencyKey }));
  assert.is(posted.length, 2);
});

test('a deadline and the life of a key are finite: what cannot be sent is refused at once', async () => {
  const { posted, tally } = given();
  for (const ms of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
    await rejects(tally.add(1, { deadlineMs: ms }), 'invalid-input', /finite/);
    await rejects(tally.count(undefined, { deadlineMs: ms }), 'invalid-input');
    await rejects(tally.add(1, { idempotencyKey: 'k', keyLifeMs: ms }), 'invalid-input');
  }
  assert.equal(posted, []);
});

test('a call in a key’s name has the key as its sender, whoever sends it, and asks for its answer to be kept', async () => {
  const { messages, tally } = given();
  watch(tally.add(1, { idempotencyKey: 'k', keyLifeMs: 5_000 }));
  watch(tally.add(1, { idempotencyKey: 'k' }));
  const picture = messages().map(({ from, arrival: { session, seq, floor, keepMs } }) => ({
    from,
    session,
    seq,
    floor,
    keepMs,
  }));
  const same = { from: '#ann.k', session: 1, seq: 1, floor: 1 };
  assert.equal(picture, [
    { ...same, keepMs: 5_000 },
    { ...same, keepMs: defaultLimits.horizonMs },
  ]);
});

test('an answer that cannot be read says so, with effect unknown', async () => {
  const { hand, client, messages, tally } = given();
  for (const bytes of [new Uint8Array([0xc1]), new Uint8Array(0), encode('x'), encode([1])]) {
    const call = watch(tally.add(1));
    client.receive({ kind: 'reply', to: 's', call: messages().at(-1)?.call ?? 0, status: 'answer', bytes });
    await hand.idle();
    assert.ok(call.error instanceof Error, String(decode(encode(1))));
  }
});

test('C2: an answer that does not fit into a frame says so, with effect unknown: its turn is durable', async () => {
  const { hand, client, messages, posted, tally } = given();
  const calls = [watch(tally.add(1)), watch(tally.count())];
  for (const envelope of [messages()[0], posted.at(-1)])
    client.receive({
      kind: 'reply',
      to: 's',
      call: (envelope as MessageEnvelope).call,
      status: 'unsent',
      bytes: new TextEncoder().encode('too much'),
    });
  await hand.idle();
  assert.equal(calls.map(codeOf), [
    ['too-large', 'unknown'],
    ['too-large', 'none'],
  ]);
});

test('a query is asked without a stream, and carries the identity of its client', async () => {
  const { posted, tally } = given();
  watch(tally.look('x', { deadlineMs: 5 }));
  const { kind, identity, operation, deadline } = posted[0] as Extract<Envelope, { kind: 'query' }>;
  assert.equal([kind, identity, operation, deadline], ['query', 'ann', 'look', 1_000_005]);
});

test.run();
