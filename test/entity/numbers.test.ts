/**
 * Numbers that are none: refused where they are declared and where they arrive, never written, and read where they were.
 * Longer than 400 lines because each kind of record has its generator.
 */
import fc from 'fast-check';
import { type Activity, judge, newActivity } from '../../core/activity.ts';
import { behaviour, command, effect, entity, isSkerryError, tentative, unchecked } from '../../core/index.ts';
import { dateMsMax, defaultLimits, durationMsMax, type Limits } from '../../core/limits.ts';
import { newRecord, partNames, parts, type RecordChange, type RowName, recordName } from '../../core/record.ts';
import { connect } from '../../runtime/connect.ts';
import { type EmbedOptions, embed } from '../../runtime/embed.ts';
import { decodeActivity, encodeActivity, glancePart } from '../../runtime/entity/record-format.ts';
import { restoreActivity, restoreStored } from '../../runtime/entity/record-reader.ts';
import { drain, newLayout } from '../../runtime/entity/record-writer.ts';
import { Schedule } from '../../runtime/entity/schedule.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { serve } from '../../runtime/serve.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { openRedis } from '../../runtime/stores/redis/store.ts';
import { planOf } from '../../runtime/transports/nats/options.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import type { Envelope, MessageEnvelope } from '../../runtime/wire/envelope.ts';
import { Worker } from '../../runtime/worker/worker.ts';
import { Bench, contentOf } from '../support/bench.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';
import { tallyWith } from '../support/tally.ts';

const test = suite('numbers');

const notDurations: readonly unknown[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -1,
  1e308,
  durationMsMax + 1,
  '5',
  null,
  {},
];

function refused(code: 'invalid-definition' | 'invalid-input', act: () => unknown, what: string): void {
  try {
    act();
  } catch (error) {
    return assert.ok(isSkerryError(error, code), `${what}: ${String(error)}`);
  }
  assert.unreachable(`${what} was accepted`);
}

const Hold = entity('hold', { initial: () => ({}), operations: { add: command(unchecked<unknown>()) } });
const handlers = { add: () => undefined };

test('a duration that is none is refused where it is declared: contracts, behaviours, limits', async () => {
  for (const ms of notDurations) {
    const what = String(ms === null ? 'null' : typeof ms === 'object' ? 'object' : ms);
    const given = ms as number;
    // A hold may be one without end.
    if (ms !== Number.POSITIVE_INFINITY)
      refused('invalid-definition', () => tentative(undefined, { holdMs: given }), `holdMs ${what}`);
    refused('invalid-definition', () => behaviour(Hold, handlers, { horizonMs: given }), `horizonMs ${what}`);
    refused('invalid-definition', () => behaviour(Hold, handlers, { historyMs: given }), `historyMs ${what}`);
    refused(
      'invalid-definition',
      () => behaviour(Hold, handlers, { durability: { intervalMs: given } }),
      `intervalMs ${what}`,
    );
    for (const name of Object.keys(defaultLimits).filter((limit) => /Ms(Max)?$/.test(limit))) {
      const options = { behaviours: [behaviour(Hold, handlers)], store: 'memory', limits: { [name]: given } };
      const error = await embed(options as EmbedOptions).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(isSkerryError(error, 'invalid-definition'), `${name} ${what}: ${String(error)}`);
      assert.match(error.message, new RegExp(`'${name}'`));
    }
  }
  for (const attemptsMax of [Number.NaN, 0, 0.5, Number.POSITIVE_INFINITY])
    refused('invalid-definition', () => effect('e', async () => 1, { attemptsMax }), `attemptsMax ${attemptsMax}`);
  for (const holdMs of [0, 0.5, durationMsMax]) assert.is(tentative(undefined, { holdMs }).holdMs, holdMs);
});

test('a duration that is none is refused among options: of NATS, of Redis, of a connection, of placement', async () => {
  const nats = { servers: 'nats://127.0.0.1:1' };
  for (const ms of notDurations as number[]) {
    refused('invalid-definition', () => planOf({ ...nats, askEveryMs: ms }), `askEveryMs ${typeof ms}`);
    const attempts = [
      openRedis({ url: 'redis://127.0.0.1:1', commandTimeoutMs: ms }),
      connect({ cluster: 'c', nats, timeoutMs: ms } as never),
      serve({
        cluster: 'c',
        nats,
        store: 'memory',
        behaviours: [],
        placementLimits: { leaseMs: ms },
      } as never),
    ];
    for (const attempt of await Promise.allSettled(attempts)) {
      assert.ok(attempt.status === 'rejected' && isSkerryError(attempt.reason, 'invalid-definition'));
      assert.match(attempt.reason.message, /must be a number of milliseconds/);
    }
  }
});

test('A7: no type and no default asks to be remembered for longer than lifeMsMax', async () => {
  const tooLong: Omit<EmbedOptions, 'store'>[] = [
    { behaviours: [behaviour(Hold, handlers, { horizonMs: defaultLimits.lifeMsMax + 1 })] },
    { behaviours: [behaviour(Hold, handlers)], limits: { lifeMsMax: defaultLimits.horizonMs - 1 } },
    { behaviours: [behaviour(Hold, handlers)], limits: { deadlineMs: defaultLimits.lifeMsMax + 1 } },
  ];
  for (const options of tooLong) {
    const error = await embed({ ...options, store: 'memory' }).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(isSkerryError(error, 'invalid-definition'), String(error));
    assert.match(error.message, /lifeMsMax/);
  }
});

test('a time beyond the last date, or that is none, fails its turn; a fraction is rounded up', () => {
  const bench = new Bench(
    behaviour(Hold, {
      add(turn, given) {
        turn.timer('t', given as { at: number }).add(1);
      },
    }),
  );
  const codeOf = (when: unknown) => {
    bench.ask('add', when);
    const [, code] = decode(
      bench.record.activities.get('@client')?.inbound?.answers.at(-1)?.bytes ?? encode([]),
    ) as unknown[];
    return code;
  };
  for (const ms of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e300, dateMsMax + 1, '5', null]) {
    assert.is(codeOf({ at: ms }), 'invalid-input', `at ${String(ms)}`);
    if (ms !== null && ms !== '5') assert.is(codeOf({ afterMs: ms }), 'invalid-input', `afterMs ${String(ms)}`);
  }
  assert.is(codeOf({ at: dateMsMax }), undefined);
  assert.is(codeOf({ afterMs: 0.25 }), undefined);
  assert.is(bench.record.timers.get('t')?.due, bench.now + 1);
});

const arrival = { session: 1, seq: 1, floor: 1, expires: 2_000, sent: 1_000, keepMs: 0 };

test('A7: what asks to be remembered for longer than lifeMsMax is excessive, at the edge', () => {
  const limits: Limits = { ...defaultLimits, lifeMsMax: 5_000, skewMaxMs: 10 };
  const verdict = (change: Partial<typeof arrival>) => judge(undefined, { ...arrival, ...change }, 1_000, limits);
  assert.equal([verdict({ expires: 6_010 }), verdict({ expires: 6_011 })], ['next', 'excessive']);
  assert.equal([verdict({ keepMs: 5_000 }), verdict({ keepMs: 5_001 })], ['next', 'excessive']);
});

test('A7: a client that asks a worker to remember its call for ever is told no, and nothing is remembered', async () => {
  const store = new MemoryStore({ partitions: 1 });
  const hand = new HandEnvironment();
  const posted: Envelope[] = [];
  const worker = new Worker({
    name: 'w',
    store,
    behaviours: [tallyWith({})],
    environment: hand,
    limits: defaultLimits,
    post: (envelope) => void posted.push(envelope),
    astray: () => undefined,
  });
  await hand.during(worker.start([0]));
  const send = async (from: string, replyTo: string, change: Partial<MessageEnvelope['arrival']>) => {
    const dates = { expires: hand.now() + 1_000, sent: hand.now(), ...change };
    const content = contentOf('add', 1, { wantsAnswer: true });
    worker.intake.receive({
      kind: 'message',
      to: 'tally/x',
      from,
      replyTo,
      call: 1,
      identity: '',
      arrival: { ...arrival, ...dates },
      content,
    });
    await hand.idle();
  };
  const far = Number.MAX_SAFE_INTEGER;
  for (const change of [{ keepMs: far }, { expires: far }, { expires: far, sent: far }]) {
    await send('#key', 'skerry.client.c', change);
    const reply = posted.pop();
    assert.ok(reply?.kind === 'reply' && reply.status === 'not-run');
    assert.equal((decode(reply.bytes) as unknown[]).slice(0, 2), ['failed', 'invalid-input']);
    await send('order/1', '', change);
    assert.equal(posted, []);
  }
  const stored = async () => {
    const [found] = await hand.during(store.load([{ address: 'tally/x', partition: 0 }], { table: 'p', limit: 9 }));
    return found;
  };
  assert.is(await stored(), undefined);
  await send('#key', 'skerry.client.c', {});
  await hand.advance(10);
  const answer = posted.pop();
  assert.ok(answer?.kind === 'reply' && answer.status === 'answer');
  assert.ok((await stored()) !== undefined);
  await hand.during(worker.drain());
});

test('F4: a date that is none stops no other date of a worker', async () => {
  const hand = new HandEnvironment();
  const rung: string[] = [];
  const schedule = new Schedule(hand, (key) => rung.push(key));
  schedule.set('none', Number.NaN);
  schedule.setEarlier('none', Number.NaN);
  schedule.set('a', hand.now() + 5);
  schedule.set('never', Number.POSITIVE_INFINITY);
  await hand.advance(10);
  assert.equal(rung, ['a']);
});

test('F4: what cannot be written fails its entity alone: the others of its group are committed', async () => {
  const Other = entity('other', { initial: () => ({}), operations: { add: command(unchecked<unknown>()) } });
  // No declaration lets this pass; it stands for a bug of ours.
  const broken = { ...behaviour(Hold, handlers), version: Number.NaN };
  const environment = machineEnvironment(silentLog);
  const cluster = await embed({ behaviours: [broken, behaviour(Other, handlers)], store: 'memory', environment });
  try {
    const calls = [
      cluster.entity(Hold, 'a').add(1),
      cluster.entity(Other, 'b').add(1),
      cluster.entity(Hold, 'c').add(1),
    ];
    const [one, two, three] = await Promise.allSettled(calls);
    assert.equal([one?.status, two?.status, three?.status], ['rejected', 'fulfilled', 'rejected']);
    assert.ok(one?.status === 'rejected' && isSkerryError(one.reason, 'store-failed'));
  } finally {
    await cluster.close();
  }
});

// ---- what is written

const anyNumber = fc.oneof(
  fc.nat(),
  fc.double(),
  fc.constantFrom(Number.NaN, Infinity, -Infinity, 1e308, -1, 0.5, 2 ** 53, Number.MAX_SAFE_INTEGER),
);
const bytes = fc.uint8Array({ maxLength: 9 }).map((array) => new Uint8Array(array));
const text = fc.string({ unit: 'grapheme', maxLength: 9 });
const content = fc.record({
  kind: fc.constantFrom('operation', 'confirm', 'cancel', 'answer', 'dead-retry', 'dead-drop', 'effect', 'outbox-drop'),
  operation: text,
  payload: bytes,
  hold: text,
  wantsAnswer: fc.boolean(),
});
/** Mostly sound: for rows of many. */
const likelyNumber = fc.oneof({ weight: 12, arbitrary: fc.nat() }, { weight: 1, arbitrary: anyNumber });
const rows: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  outbox: fc.record({ partner: text, message: fc.record({ seq: anyNumber, expires: anyNumber, content }) }),
  timers: fc.record({ name: text, due: anyNumber, order: anyNumber, to: text, content }),
  holds: fc.record({ id: text, operation: text, payload: bytes, until: anyNumber, isLapsed: fc.boolean() }),
  effects: fc.record({ id: text, name: text, payload: bytes }),
  dead: fc.record({
    id: text,
    side: fc.constantFrom('receiver', 'sender'),
    partner: text,
    reason: text,
    at: anyNumber,
    attempts: anyNumber,
    content,
    stack: text,
  }),
  later: fc.record({
    id: text,
    partner: text,
    operation: text,
    session: likelyNumber,
    seq: likelyNumber,
    since: likelyNumber,
    until: likelyNumber,
    wantsAnswer: fc.boolean(),
    request: bytes,
  }),
  agreements: fc.record({
    id: text,
    name: text,
    at: likelyNumber,
    decideBy: likelyNumber,
    due: likelyNumber,
    decision: fc.constantFrom('none', 'confirm', 'cancel'),
    because: fc.constantFrom('none', 'declined', 'rule', 'cancelled', 'deadline', 'lapsing'),
    decidedAt: likelyNumber,
    isUntold: fc.boolean(),
    isResolved: fc.boolean(),
    parties: fc.array(
      fc.record({
        role: text,
        address: text,
        operation: text,
        status: fc.constantFrom('open', 'accepted', 'declined'),
        until: likelyNumber,
        answer: bytes,
        word: fc.constantFrom('none', 'confirm', 'cancel'),
        isHeard: fc.boolean(),
        isWordy: fc.boolean(),
        breach: fc.constantFrom('none', 'lapsed', 'failed', 'undelivered'),
        isTold: fc.boolean(),
      }),
      { maxLength: 3 },
    ),
  }),
  trials: fc.record({ key: text, ends: anyNumber, epoch: anyNumber, until: anyNumber }),
  history: fc.record({
    version: anyNumber,
    at: anyNumber,
    partner: text,
    kind: text,
    operation: text,
    payload: bytes,
    status: text,
    sent: fc.array(fc.record({ to: text, kind: text, operation: text }), { maxLength: 3 }),
    state: bytes,
  }),
};
const activities = fc.record({
  inbound: fc.option(
    fc.record({
      session: anyNumber,
      through: anyNumber,
      keepUntil: anyNumber,
      closedAt: anyNumber,
      answers: fc.array(fc.record({ seq: anyNumber, bytes, until: anyNumber }), { maxLength: 3 }),
    }),
    { nil: undefined },
  ),
  outbound: fc.option(
    fc.record({
      session: anyNumber,
      next: anyNumber,
      unacked: fc.constant([]),
      sealed: fc.array(fc.record({ session: anyNumber, end: anyNumber }), { maxLength: 2 }),
      isClosing: fc.boolean(),
      activeAt: anyNumber,
    }),
    { nil: undefined },
  ),
});

const vault = behaviour(Hold, handlers, { historyMs: 1 });
const head = () => drain(newRecord('hold/x', {}), newLayout(), vault).head;

/** The record's bytes as the store gets them, or undefined where it was refused to write them. */
function written(kind: RowName, part: unknown): Uint8Array | undefined {
  const record = newRecord('hold/x', {});
  record.changes.records.set(nameOf(kind), { kind, part } as RecordChange);
  try {
    return new Uint8Array(drain(record, newLayout(), vault).records[0]?.[1] ?? []);
  } catch {
    return undefined;
  }
}

const numbersIn = (value: unknown): number[] => {
  if (typeof value === 'number') return [value];
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  return Object.values(value).flatMap(numbersIn);
};
const isSound = (value: unknown) => numbersIn(value).every((one) => Number.isSafeInteger(one) && one >= 0);
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
};

/** What is read of a record; `history` is not among what an entity is restored from. */
function readBack(kind: RowName, bytes: Uint8Array): unknown {
  if (kind === 'history') return glancePart(kind, bytes);
  const records = [[nameOf(kind), bytes]] as const;
  const { record } = restoreStored('hold/x', { version: 1, head: head(), wakeAt: undefined, records });
  if (kind !== 'outbox') return record[kind].get('x');
  const [[partner, activity] = []] = [...record.activities];
  return { partner, message: activity?.outbound?.unacked[0] };
}

const nameOf = (kind: RowName) => `${parts[kind].letter}x`;

for (const kind of partNames.filter((name) => name !== 'activities'))
  test(`F4: of ${kind} that memory admits, what is written is read, and equal where its numbers can be`, () => {
    let count = 0;
    const property = fc.property(rows[kind] as fc.Arbitrary<unknown>, (row) => {
      const record = written(kind, row);
      if (record === undefined) return assert.not.ok(numbersIn(row).every(Number.isFinite), 'it was not written');
      const read = readBack(kind, record);
      assert.ok(isSound({ ...(read as object), content: 0 }) || numbersIn(read).every((one) => one >= 0));
      if (!isSound(row) || numbersIn(row).some((one) => one > durationMsMax)) return;
      count += 1;
      assert.equal(plain(read), plain(row));
    });
    fc.assert(property, { seed: 6, numRuns: 400 });
    assert.ok(count > 10, `${count} sound ones`);
  });

test('F4: of every activity that memory admits, what is written is read, and equal where its numbers can be', () => {
  const property = fc.property(activities, (parts) => {
    const activity = { ...newActivity('a/b'), ...parts } as Activity;
    let record: Uint8Array;
    try {
      record = new Uint8Array(encodeActivity(activity));
    } catch {
      return assert.not.ok(numbersIn(parts).every(Number.isFinite), 'it was not written');
    }
    const read = decodeActivity('a/b', record);
    assert.ok(numbersIn([read.inbound, read.outbound]).every((one) => one >= 0 && one <= Number.MAX_SAFE_INTEGER));
    if (isSound(parts)) assert.equal(plain(read), plain(activity));
  });
  fc.assert(property, { seed: 7, numRuns: 600 });
});

test('F4: entities that an earlier version wrote with dates and sessions that never come are readable, and end', () => {
  const none = [1, 'x', encode(1), '', false];
  const [never, nothing] = [Number.POSITIVE_INFINITY, Number.NaN];
  const inbound = [1.7e308, 1e300, never, 0, [[1, encode(['done']), never]]];
  const old = encode([
    2,
    1,
    5_000,
    0,
    0,
    0,
    encode({ a: 1 }),
    never,
    encode(['@c', [inbound, [1e308, 2, false, nothing], undefined]]),
  ]);
  const records: [string, Uint8Array][] = [
    [recordName.outbox('@c', 1), encode(['@c', 1, never, ...none])],
    ['tt', encode(['t', nothing, 1, '', ...none])],
    ['xh', encode(['h', 'add', encode(1), never, false])],
    ['xn', encode(['n', 'add', encode(1), nothing, false])],
    ['dd', encode(['d', 'receiver', '@c', 'why', never, 16, ...none])],
  ];
  const { record, layout } = restoreStored('hold/x', { version: 3, head: old, wakeAt: undefined, records });
  const { inbound: read, outbound } = record.activities.get('@c') ?? newActivity('@c');
  const life = 5_000 + defaultLimits.lifeMsMax;
  assert.equal([read?.session, read?.through, read?.keepUntil], [0, 0, life]);
  assert.equal([outbound?.session, outbound?.unacked[0]?.expires], [0, life]);
  assert.is(record.timers.get('t')?.due, 0, 'due at once');
  assert.equal([record.holds.get('h')?.until, record.holds.get('n')?.until], [Number.MAX_SAFE_INTEGER, 0]);
  assert.is(record.dead.get('d')?.at, Number.MAX_SAFE_INTEGER);
  // And written again as what can be read.
  restoreActivity(record, 'a/b', encode([[1, 1, never, 0, []], null, undefined]));
  const again = drain(record, layout, vault);
  assert.is(
    restoreStored('hold/x', { version: 4, head: new Uint8Array(again.head), wakeAt: undefined, records: [] }).record
      .now,
    5_000,
  );
});

test.run();
