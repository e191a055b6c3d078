/** What a busy worker refuses at the door: calls that would wait for longer than their callers, and whose it is not. */
import { type ErrorCode, isSkerryError, type SkerryError } from '../../core/errors.ts';
import type { Commit, Outcome } from '../../runtime/store.ts';
import type { MessageEnvelope, QueryEnvelope } from '../../runtime/wire/envelope.ts';
import { Admission } from '../../runtime/worker/admission.ts';
import { contentOf } from '../support/bench.ts';
import { GateStore } from '../support/gate.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';
import { type Given, type GivenOptions, watch, withTallies } from '../support/tally.ts';

const test = suite('admission');

/** Takes so long for each entity of a group, and one group after the other. */
class SlowStore extends GateStore {
  readonly #hand: HandEnvironment;
  readonly #entityMs: number;
  #busyUntil = 0;

  constructor(hand: HandEnvironment, entityMs: number) {
    super();
    this.#hand = hand;
    this.#entityMs = entityMs;
  }

  /** It stands still for so long. */
  stall(ms: number): void {
    this.#busyUntil = Math.max(this.#busyUntil, this.#hand.now()) + ms;
  }

  override async commit(commits: readonly Commit[]): Promise<Outcome[]> {
    const now = this.#hand.now();
    this.#busyUntil = Math.max(this.#busyUntil, now) + commits.length * this.#entityMs;
    const waitMs = this.#busyUntil - now;
    await new Promise<void>((resolve) => void this.#hand.after(waitMs, resolve));
    return super.commit(commits);
  }
}

interface Ended {
  readonly at: number;
  readonly waitMs: number;
  readonly code: ErrorCode | 'answered';
}

/** Calls of one more entity each, so many in every tenth of a second, with what became of them. */
async function offer(
  given: Given,
  ended: Ended[],
  { perTick, ticks, deadlineMs = 5_000, name = 'k', each = () => {} }: Offered,
) {
  const { hand, tally } = given;
  let made = ended.length;
  for (let tick = 0; tick < ticks; tick++) {
    each(tick);
    for (let index = 0; index < perTick; index++) {
      const at = hand.now();
      const end = (code: Ended['code']) => void ended.push({ at, waitMs: hand.now() - at, code });
      tally(`${name}${made++}`)
        .add(1, { deadlineMs })
        .then(
          () => end('answered'),
          (error: unknown) => end(isSkerryError(error) ? error.code : 'failed'),
        );
    }
    await hand.advance(100);
  }
}

interface Offered {
  readonly perTick: number;
  readonly ticks: number;
  readonly deadlineMs?: number;
  readonly name?: string;
  readonly each?: (tick: number) => void;
}

/** A worker whose store takes five hundred entities a second. */
function withSlowStore(
  options: GivenOptions,
  body: (given: Given & { store: SlowStore }) => Promise<void>,
): Promise<void> {
  const hand = new HandEnvironment();
  const store = new SlowStore(hand, 2);
  return withTallies({ hand, gate: store, ...options }, (given) => body({ ...given, store }));
}

const waitsOf = (ended: readonly Ended[]) =>
  ended
    .filter(({ code }) => code === 'answered')
    .map(({ waitMs }) => waitMs)
    .sort((one, other) => one - other);
const median = (waits: readonly number[]) => waits[Math.floor(waits.length / 2)] ?? Number.NaN;
const count = (ended: readonly Ended[], code: Ended['code']) => ended.filter((one) => one.code === code).length;

/** Of somebody else, by what a worker takes in. */
function callOf(hand: HandEnvironment, nth: number, change: Partial<MessageEnvelope> = {}): MessageEnvelope {
  return {
    kind: 'message',
    to: `tally/m${nth}`,
    from: `@mallory.${nth}`,
    replyTo: 'skerry.embedded.client.m',
    call: nth,
    identity: 'mallory',
    arrival: { session: 1, seq: 1, floor: 1, expires: hand.now() + 5_000, sent: hand.now(), keepMs: 0 },
    content: contentOf('add', 1),
    ...change,
  };
}

/** Answers a call a millisecond for a second while a queue stands, and has just had a late one. */
async function overloaded(hand: HandEnvironment): Promise<Admission> {
  const admission = new Admission(hand);
  for (let tick = 0; tick < 10; tick++) {
    admission.isInTime(callOf(hand, tick), 100, 0, false);
    await hand.advance(100);
    admission.answered(100);
  }
  admission.isInTime(callOf(hand, 10), 100, 0, false);
  admission.late(callOf(hand, 11));
  return admission;
}

test('AM2: neither a pause of the store nor a time without a queue lowers the rate', async () => {
  const hand = new HandEnvironment();
  // Of its five seconds it may wait for 625 ms: for 600 others at the rate that was measured, not for 650.
  const takes = (admission: Admission, before: number) => admission.isInTime(callOf(hand, 12), before, before, false);
  const measured = await overloaded(hand);
  assert.ok(takes(measured, 600));
  assert.not.ok(takes(measured, 650));

  const paused = await overloaded(hand);
  await hand.advance(100);
  paused.answered(50);
  await hand.advance(1_500);
  assert.ok(takes(paused, 600), 'after a pause');
  assert.not.ok(takes(paused, 650));

  const idle = await overloaded(hand);
  idle.isInTime(callOf(hand, 13), 0, 0, false);
  await hand.advance(300);
  idle.answered(10);
  assert.ok(takes(idle, 600), 'after a time without a queue');
  assert.not.ok(takes(idle, 650));
});

test('W9, AM1: offered more than its store takes, a worker answers as many, and those without a long wait', async () => {
  for (const perTick of [100, 250])
    await withSlowStore({}, async (given) => {
      const ended: Ended[] = [];
      await offer(given, ended, { perTick, ticks: 150 });
      const until = given.hand.now();
      const late = ended.filter(({ at, waitMs }) => at + waitMs >= until - 6_000);
      assert.ok(count(late, 'answered') > 2_700, `${count(late, 'answered')} of 3,000 were answered`);
      assert.ok(median(waitsOf(late)) < 2_300, `they waited ${median(waitsOf(late))} ms`);
      assert.is(count(late, 'deadline'), 0, 'nobody waits in vain');
    });
});

test('AM1: a cold start and a burst that can be served in time are taken in whole', () =>
  withSlowStore({}, async (given) => {
    const ended: Ended[] = [];
    for (const total of [3_000, 6_000]) {
      await offer(given, ended, { perTick: 3_000, ticks: 1, deadlineMs: 15_000 });
      await given.hand.advance(10_000);
      assert.is(count(ended, 'answered'), total, 'the second time the rate is known');
    }
  }));

test('AM2: a store that stood still is no slow store: at half of its load nobody is refused at the door', () =>
  withSlowStore({}, async (given) => {
    const stall = (tick: number) => (tick === 20 ? given.store.stall(3_000) : undefined);
    const ended: Ended[] = [];
    await offer(given, ended, { perTick: 25, ticks: 60, deadlineMs: 15_000, each: stall });
    await given.hand.advance(15_000);
    assert.is(count(ended, 'answered'), 1_500);
  }));

test('AM1, AM2, AM3: what is refused, and when', () => {
  const hand = new HandEnvironment();
  const admission = new Admission(hand);
  const isIn = (leftMs: number, { isLight = false, waiting = 100, before = 100 } = {}) => {
    const { arrival, ...call } = callOf(hand, 1);
    const late = { ...call, arrival: { ...arrival, expires: hand.now() + leftMs } };
    return admission.isInTime(late, waiting, before, isLight);
  };
  const work = (ticks: number, { tickMs = 10, idle = false } = {}) => {
    for (let tick = 0; tick < ticks; tick++) {
      hand.jump(tickMs);
      admission.answered(1);
      if (idle) admission.rest();
      else isIn(60_000);
    }
  };
  assert.ok(isIn(1), 'nothing is known');
  work(60);
  assert.ok(isIn(100), 'a hundred are answered in a second, but no call was late');
  admission.late(callOf(hand, 1));
  assert.ok(isIn(0), 'a call that has expired is told so');
  assert.equal([isIn(8_100), isIn(7_900)], [true, false], 'while it is overloaded, a part of the deadline');
  assert.equal([isIn(100, { before: 1 }), isIn(2_300, { before: 300 })], [true, false]);
  assert.equal([isIn(2_100, { isLight: true }), isIn(1_900, { isLight: true })], [true, false]);
  work(190);
  assert.not(isIn(7_900), 'it is so for two seconds');
  work(210);
  assert.ok(isIn(100), 'and then no longer');
  admission.late(callOf(hand, 1));
  hand.jump(1_900);
  work(60, { tickMs: 1 });
  assert.equal([isIn(8_100), isIn(7_900)], [true, false], 'a pause is no rate');
  admission.late(callOf(hand, 1));
  work(15, { tickMs: 100, idle: true });
  admission.late(callOf(hand, 1));
  assert.equal([isIn(8_100), isIn(900)], [true, false], 'nor is what is answered where nothing waits');
  work(30, { tickMs: 1_500, idle: true });
  assert.not(admission.isMeasuring, 'a worker at rest counts nothing');
});

test('AM5: calls that had expired before they came have no other call refused', () =>
  withSlowStore({}, async (given) => {
    const { hand, cluster } = given;
    const [worker] = cluster.workers;
    const ended: Ended[] = [];
    await offer(given, ended, { perTick: 3_000, ticks: 1, deadlineMs: 15_000 });
    await hand.advance(10_000);
    // One of whoever's clock is behind, one that has been on its way for too long, and copies of both.
    const lie = (nth: number) => {
      const { arrival, ...call } = callOf(hand, nth);
      for (const change of [{ expires: hand.now() - 1 }, { sent: hand.now() - 600_000 }, {}])
        for (let copy = 0; copy < 2; copy++)
          worker?.intake.receive({
            ...call,
            arrival: { ...arrival, ...change, expires: change.expires ?? arrival.expires },
          });
    };
    const each = (tick: number) => {
      for (let nth = 0; nth < 10; nth++) lie(tick * 10 + nth);
    };
    await offer(given, ended, { perTick: 30, ticks: 20, deadlineMs: 15_000, each });
    await offer(given, ended, { perTick: 1_000, ticks: 3, deadlineMs: 15_000, each });
    await hand.advance(15_000);
    assert.is(count(ended, 'answered'), 6_600);
  }));

test('W6, W9: an overloaded worker refuses no copy of what it holds, no message of an entity and no query', () =>
  withSlowStore({}, async (given) => {
    const { hand, cluster } = given;
    const [worker] = cluster.workers;
    let nth = 0;
    for (let tick = 0; tick < 100; tick++) {
      for (let index = 0; index < 100; index++) worker?.intake.receive(callOf(hand, nth++));
      await hand.advance(100);
    }
    const refusedOf = (offered: () => void) => {
      const before = worker?.figures.overloaded ?? 0;
      offered();
      return (worker?.figures.overloaded ?? 0) - before;
    };
    const taken: MessageEnvelope[] = [];
    assert.ok(
      refusedOf(() => {
        for (let index = 0; index < 400; index++) {
          const call = callOf(hand, nth++);
          if (refusedOf(() => worker?.intake.receive(call)) === 0) taken.push(call);
        }
      }) > 100,
    );
    assert.ok(taken.length > 0);
    // Copies of what came first, then what no client waits for.
    const copies = taken.map((call) => ({ ...call, arrival: { ...call.arrival } }));
    assert.is(
      refusedOf(() => {
        for (const copy of copies) worker?.intake.receive(copy);
      }),
      0,
    );
    const ofEntity = callOf(hand, nth++, { from: 'tally/far', replyTo: '', identity: '' });
    assert.is(
      refusedOf(() => worker?.intake.receive(ofEntity)),
      0,
    );
    const query: QueryEnvelope = {
      kind: 'query',
      to: 'tally/far',
      replyTo: 'skerry.embedded.client.m',
      call: nth,
      identity: 'mallory',
      operation: 'count',
      payload: new Uint8Array([0xc0]),
      deadline: hand.now() + 300,
    };
    assert.is(
      refusedOf(() => worker?.intake.receive(query)),
      0,
    );
  }));

test('AM3, W9: a client that floods a worker does not make the calls of another one overloaded', () =>
  withSlowStore({}, async (given) => {
    const { hand, cluster } = given;
    const [worker] = cluster.workers;
    const ended: Ended[] = [];
    let nth = 0;
    const flood = () => {
      for (let index = 0; index < 200; index++) worker?.intake.receive(callOf(hand, nth++));
    };
    await offer(given, ended, { perTick: 2, ticks: 60, each: flood });
    const settled = hand.now();
    await offer(given, ended, { perTick: 2, ticks: 100, each: flood });
    await hand.advance(5_000);
    const quiet = ended.filter(({ at }) => at >= settled);
    assert.is(count(quiet, 'overloaded') + count(quiet, 'deadline'), 0);
    assert.is(count(quiet, 'answered'), 200);
    assert.ok((worker?.figures.overloaded ?? 0) > 10_000);
  }));

test('AM3, W10: nor does one that fills the mailbox of an entity, with calls or with queries', () =>
  withTallies({ limits: { mailboxCountMax: 400 } }, async ({ hand, gate, cluster, tally, during }) => {
    const [worker] = cluster.workers;
    await during(tally('a').add(1));
    const open = gate.holdCommits();
    const openProofs = gate.holdEpochs();
    let nth = 0;
    const flood = async (times: number) => {
      for (let index = 0; index < times; index++) {
        const call = callOf(hand, nth++, { to: 'tally/a' });
        const { replyTo, identity, to } = call;
        worker?.intake.receive({ ...call, arrival: { ...call.arrival, expires: hand.now() + 60_000 } });
        worker?.intake.receive({
          kind: 'query',
          to,
          replyTo,
          call: nth++,
          identity,
          operation: 'count',
          payload: new Uint8Array([0xc0]),
          deadline: hand.now() + 60_000,
        });
      }
      await hand.advance(100);
    };
    const early = [watch(tally('a').add(1)), watch(tally('a').count())];
    for (let tick = 0; tick < 11; tick++) {
      await flood(10);
      early.push(watch(tally('a').add(1)), watch(tally('a').count()));
    }
    for (let tick = 0; tick < 5; tick++) await flood(200);
    const later = [watch(tally('a').add(1)), watch(tally('a').count())];
    await hand.advance(100);
    assert.equal(
      [...early, ...later].map(({ error }) => (error as SkerryError | undefined)?.code),
      Array.from({ length: 26 }, () => undefined),
    );
    const { messages = 0, queries = 0 } = worker?.held ?? {};
    assert.ok(messages > 340 && messages <= 365, `${messages} messages`);
    assert.ok(queries > 340 && queries <= 365, `${queries} queries`);
    openProofs();
    open();
    await hand.advance(1_000);
    assert.equal(
      [...early, ...later].filter(({ isSettled, error }) => !isSettled || error !== undefined),
      [],
    );
  }));

test('AM4, P12: so many clients are remembered, and one login is one client under any name', () => {
  const hand = new HandEnvironment();
  const admission = new Admission(hand);
  const ask = (client: string, identity = '') =>
    admission.isLight(callOf(hand, 1, { identity, replyTo: `skerry.embedded.client.${client}` }));
  assert.is(ask('first'), undefined);
  for (let nth = 0; nth < 900; nth++) ask(`${nth}`, 'mallory');
  ask('quiet', 'anna');
  hand.jump(1_000);
  assert.is(ask('quiet', 'anna'), true);
  assert.is(ask('new'), true);
  assert.is(ask('another', 'mallory'), false);
  for (let nth = 0; nth < 3_000; nth++) ask(`${nth}`);
  hand.jump(1_000);
  assert.is(ask('quiet', 'anna'), true);
  assert.is(ask('2999'), false, 'those that were too many count as one');
  hand.jump(2_500);
  assert.is(ask('quiet', 'anna'), undefined, 'what was long ago says nothing');
});

test.run();
