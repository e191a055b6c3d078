/**
 * Types that are durable by interval or not at all, while their partitions and pins move: what comes along, and what a crash loses.
 *
 * Longer than 400 lines because each way in which something could be lost has a test of its own.
 */

import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { SkerryError } from '../../core/errors.ts';
import { command } from '../../core/operation.ts';
import { pinnedPartition } from '../../placement/placement.ts';
import type { Environment } from '../../runtime/environment.ts';
import { serve } from '../../runtime/serve.ts';
import { StoreAway } from '../../runtime/store.ts';
import { type ControlMessage, decodeControl, encodeControl } from '../../runtime/wire/control-messages.ts';
import { Subjects } from '../../runtime/wire/subjects.ts';
import type { Worker } from '../../runtime/worker/worker.ts';
import type { HandEnvironment } from '../support/hand.ts';
import { type ServedGiven, withWorkers } from '../support/served.ts';
import { assert, suite } from '../support/suite.ts';
import { Tally, type TallyTurn, tallyWith, watch, withTallies } from '../support/tally.ts';

const test = suite('volatile');
const Ledger = entity('ledger', { initial: () => ({}), operations: { note: command() } });
const missing = () => Promise.reject(new Error('no such worker'));
/** Nobody sends anything again, unless a view tells. */
const limits = { retryMs: 30_000, retryMsMax: 30_000, deadlineMs: 120_000 };
const keys = Array.from({ length: 40 }, (_, key) => String(key));
const scripts = {
  remind: (turn: TallyTurn) => turn.timer('later', { afterMs: 20_000 }).add(100),
  forget: (turn: TallyTurn) => turn.cancelTimer('later'),
  tell: (turn: TallyTurn) => turn.to(Tally, `partner of ${turn.key}`).add(1),
};

const moves: Record<string, (given: ServedGiven) => Promise<unknown>> = {
  'a worker that leaves': ({ workers, during }) => during(workers.get('b')?.close() ?? missing()),
  'a worker that joins': ({ join }) => join('c'),
  'a pin': async ({ workers, during, remote }) => {
    for (const key of keys.slice(0, 10)) {
      const { worker } = remote.where(`tally/${key}`);
      await during(workers.get('a')?.member.pin(`tally/${key}`, worker === 'a' ? 'b' : 'a') ?? missing());
    }
  },
  'a pin to where it is': async ({ workers, during, remote }) => {
    for (const key of keys.slice(0, 10))
      await during(workers.get('a')?.member.pin(`tally/${key}`, remote.where(`tally/${key}`).worker) ?? missing());
  },
  'a pin and its end': async ({ hand, workers, during }) => {
    const pinAll = async (worker: string | undefined) => {
      for (const key of keys.slice(0, 10))
        await during(workers.get('a')?.member.pin(`tally/${key}`, worker) ?? missing());
    };
    await pinAll('b');
    await hand.advance(2_000);
    await pinAll(undefined);
  },
};

for (const durability of ['none', { intervalMs: 60_000 }] as const)
  for (const [what, move] of Object.entries(moves))
    test(`CA1: ${what} takes nothing from entities of durability ${JSON.stringify(durability)}: state, timers, answers and streams`, () =>
      withWorkers({ limits, behaviours: [tallyWith(scripts, { durability })] }, async (given) => {
        const { hand, tally, during, gate } = given;
        const once = { idempotencyKey: 'one' };
        await during(Promise.all(keys.map((key) => tally(key).add(7, once))));
        await during(Promise.all(keys.map((key) => tally(key).run('remind'))));
        await during(Promise.all(keys.map((key) => tally(key).run('tell'))));
        await move(given);
        await hand.advance(3_000);
        const counts = () => during(Promise.all(keys.map((key) => tally(key).count())));
        assert.equal(
          await counts(),
          keys.map(() => 7),
        );
        await during(Promise.all(keys.map((key) => tally(key).add(7, once))));
        await during(Promise.all(keys.map((key) => tally(key).run('tell'))));
        await hand.advance(25_000);
        assert.equal(
          await counts(),
          keys.map(() => 107),
        );
        assert.equal(
          await during(Promise.all(keys.map((key) => tally(`partner of ${key}`).count()))),
          keys.map(() => 2),
        );
        if (durability === 'none') assert.is(gate.commits.length, 0);
      }));

for (const lost of ['carried', 'released', 'fetch', 'bare', 'boarded', 'settled'] as const)
  test(`CA3: that the first ${lost} of every partition gets lost takes nothing from volatile entities`, () =>
    withWorkers({ limits, behaviours: [tallyWith(scripts, { durability: 'none' })] }, async (given) => {
      const { hand, tally, during, transport, workers } = given;
      await during(Promise.all(keys.map((key) => tally(key).add(7))));
      const send = transport.send.bind(transport);
      const taken = new Set<number>();
      transport.send = (subject, bytes) => {
        const message = subject.includes('.control.') ? decodeControl(bytes) : undefined;
        const partition = partitionIn(message);
        if (message?.kind === lost && partition !== undefined && !taken.has(partition)) taken.add(partition);
        else send(subject, bytes);
      };
      await during(workers.get('b')?.close() ?? missing());
      await hand.advance(1_000);
      // Partitions of which nobody has anything are answered together.
      assert.ok(taken.size > (lost === 'bare' ? 0 : 3), `${taken.size} were lost`);
      assert.equal(
        await during(Promise.all(keys.map((key) => tally(key).count()))),
        keys.map(() => 7),
      );
    }));

test('CA1: a store that does not answer while volatile entities move takes nothing from them', () =>
  withWorkers(
    { limits, behaviours: [tallyWith(scripts, { durability: 'none' }), behaviour(Ledger, { note: () => undefined })] },
    async ({ hand, tally, during, gate, remote, join }) => {
      await during(Promise.all(keys.map((key) => tally(key).add(7))));
      // Of durable entities in the same partitions something is under way: none is released before it is claimed without that.
      const open = gate.holdCommits();
      for (let key = 0; key < 100; key++) watch(remote.entity(Ledger, String(key)).note());
      await hand.advance(10);
      const joining = join('c');
      await hand.advance(5_000);
      open();
      await joining;
      assert.equal(
        await during(Promise.all(keys.map((key) => tally(key).count()))),
        keys.map(() => 7),
      );
    },
  ));

test('CA2: an image that is older than another owner is not used: the entity is what that owner made of it', () =>
  withWorkers({ names: ['a'], behaviours: [tallyWith(scripts, { durability: 'none' })] }, async (given) => {
    const { hand, tally, during, gate, workers, remote } = given;
    await during(tally('x').add(7));
    const worker = workers.get('a')?.member.worker;
    const { partition } = remote.where('tally/x');
    // Somebody claims it and is gone again.
    await gate.claim([partition], 'somebody');
    worker?.ownership.verify([partition]);
    await hand.advance(2_000);
    assert.ok(worker?.has(partition));
    assert.is(await during(tally('x').count()), 0);
    // And by this worker again: what it had is what it was.
    await during(tally('x').add(5));
    await gate.pin('tally/other', partition + 16 * 999, 'a');
    await gate.pin('tally/other', partition + 16 * 999, undefined);
    worker?.ownership.verify([partition]);
    await hand.advance(2_000);
    assert.is(await during(tally('x').count()), 5);
  }));

test('CA1: thousands of volatile entities, and one that is larger than a signal, go along', () => {
  const wide = { grow: (turn: TallyTurn) => void turn.state.seen.push('x'.repeat(3_000_000)) };
  return withWorkers({ names: ['a'], limits, behaviours: [tallyWith(wide, { durability: 'none' })] }, async (given) => {
    const { tally, during, join, workers, remote } = given;
    const many = Array.from({ length: 3_000 }, (_, key) => `room ${key}`);
    for (let at = 0; at < many.length; at += 500)
      await during(Promise.all(many.slice(at, at + 500).map((key) => tally(key).see('y'.repeat(1_000)))));
    await during(tally('large').run('grow'));
    await join('b');
    await during(workers.get('a')?.close() ?? missing());
    assert.is(remote.where('tally/large').worker, 'b');
    const seen = (key: string) => tally(key).look('size') as Promise<number>;
    Object.assign(wide, { size: (view: TallyTurn) => (view.state.seen[0] as string).length });
    assert.is(await during(seen('large')), 3_000_000);
    for (let at = 0; at < many.length; at += 500)
      assert.equal(new Set(await during(Promise.all(many.slice(at, at + 500).map(seen)))), new Set([1_000]));
  });
});

/** Drops what is more than a buffer has room for; so much of it goes out each 10 ms. */
function throttle({ hand, transport }: ServedGiven, bufferBytesMax: number) {
  const send = transport.send.bind(transport);
  const seen = { carried: 0, end: () => void Object.assign(transport, { send }) };
  let [bytes, at] = [0, 0];
  transport.send = (subject, frame) => {
    const now = Math.floor(hand.steady() / 10);
    if (now > at) [bytes, at] = [0, now];
    const isCarried = subject.includes('.control.') && decodeControl(frame).kind === 'carried';
    if (isCarried) seen.carried += frame.length;
    if (bytes + frame.length > bufferBytesMax) return;
    bytes += frame.length;
    send(subject, frame);
  };
  return seen;
}

for (const [what, bufferBytesMax] of [
  ['a buffer that has room for a few of them', 8_388_608],
  ['a buffer that has room for one', 700_000],
] as const)
  test(`CA1, FE3: a partition with more in memory than ${what} comes whole`, () =>
    withWorkers({ limits, behaviours: [tallyWith(scripts, { durability: 'none' })] }, async (given) => {
      const { tally, during, workers, hand, remote, keyAt } = given;
      const { partition } = remote.where(`tally/${keyAt('a')}`);
      const large = Array.from({ length: 600 }, (_, key) => `large ${key}`).filter(
        (key) => remote.where(`tally/${key}`).partition === partition,
      );
      const text = 'x'.repeat(500_000);
      for (const key of large) await during(tally(key).see(text));
      const seen = throttle(given, bufferBytesMax);
      const began = hand.steady();
      await during(workers.get('a')?.close() ?? missing());
      const total = large.length * text.length;
      assert.ok(large.length > 20 && seen.carried >= total, `${large.length} entities`);
      // What gets through a buffer with room for a window is not sent again and again.
      if (bufferBytesMax > 4_194_304) assert.ok(seen.carried < total * 1.25, `${seen.carried} bytes for ${total}`);
      assert.ok(hand.steady() - began < 25_000, `left in ${hand.steady() - began} ms`);
      seen.end();
      for (const key of large) assert.is(((await during(tally(key).seen())) as string[])[0]?.length, text.length);
    }));

test('CA1: an entity of durability interval outlives a store that is away for longer than its interval', () =>
  withWorkers(
    { names: ['a'], behaviours: [tallyWith(scripts, { durability: { intervalMs: 1_000 } })] },
    async (given) => {
      const { hand, tally, during, gate, workers } = given;
      await during(tally('x').add(1));
      await hand.advance(3_000);
      await during(tally('x').add(2));
      gate.isAway = true;
      await hand.advance(40_000);
      gate.isAway = false;
      await hand.advance(2_000);
      assert.is(await during(tally('x').count()), 3);
      await during(tally('x').add(4));
      await hand.advance(3_000);
      const found = await workers.get('a')?.inspector.get('tally/x');
      assert.equal(found?.state, { count: 7, seen: [] });
    },
  ));

test('CA1: an image that is written over what the store has leaves nothing of that behind', () =>
  withWorkers(
    {
      behaviours: [tallyWith(scripts, { durability: { intervalMs: 5_000 } })],
      limits: { ...limits, activityCountMax: 4 },
    },
    async (given) => {
      const { hand, tally, during, workers, keyAt, gate, remote } = given;
      const key = keyAt('a');
      await during(tally(key).run('remind'));
      for (let count = 0; count < 12; count++) await during((await given.remoteOf()).entity(Tally, key).add(1));
      await hand.advance(6_000);
      // Not written: the timer is gone, the number is another.
      await during(tally(key).run('forget'));
      await during(tally(key).add(1));
      await during(workers.get('a')?.member.pin(`tally/${key}`, 'b') ?? missing());
      await hand.advance(8_000);
      assert.is(remote.where(`tally/${key}`).worker, 'b');
      const [loaded] = await gate.load([
        { address: `tally/${key}`, partition: remote.where(`tally/${key}`).partition },
      ]);
      assert.equal(
        loaded?.records.map(([name]) => name),
        [],
      );
      // It crashes: what comes back is what was written.
      workers.get('b')?.member.stop();
      await hand.advance(30_000);
      assert.is(await during(tally(key).count()), 13);
    },
  ));

/** Sees what workers say to each other, and says what becomes of it: sent, lost, or as it comes back. */
function tap(
  { transport }: ServedGiven,
  becomes: (message: ControlMessage, to: string) => boolean | ((send: () => void) => void),
): void {
  const send = transport.send.bind(transport);
  transport.send = (subject, bytes) => {
    const to = subject.split('.control.')[1];
    const fate = to === undefined || becomes(decodeControl(bytes), to);
    if (fate === true) send(subject, bytes);
    else if (fate !== false) fate(() => send(subject, bytes));
  };
}

/** The service asks the store for the pins. */
const tellOfPins = ({ transport }: ServedGiven) =>
  transport.send(new Subjects('main').service, new Uint8Array(encodeControl({ kind: 'pinned' })));

const volatiles = [tallyWith(scripts, { durability: 'none' })];
const idOf = ({ workers }: ServedGiven, name: string) => workers.get(name)?.member.entry.id ?? '';
function workerOf({ workers }: ServedGiven, name: string): Worker {
  const worker = workers.get(name)?.member.worker;
  if (worker === undefined) throw new Error(`no worker ${name}`);
  return worker;
}

for (const moment of ['is claimed', 'has been claimed, and others are asked', 'is here'] as const)
  test(`CA1, FE1: an unpinning that the view tells when the home ${moment} takes nothing from the entity`, () =>
    withWorkers({ behaviours: volatiles }, async (given) => {
      const { hand, tally, during, gate, keyAt, workers, remote } = given;
      const key = keyAt('a');
      const address = `tally/${key}`;
      const { partition } = remote.where(address);
      await during(tally(key).add(7));
      await during(workers.get('a')?.member.pin(address, 'b') ?? missing());
      await hand.advance(1_000);
      assert.is(remote.where(address).worker, 'b');
      assert.is(await during(tally(key).add(1)), 8);
      // The store knows, and nobody else: a claims its home by a view that gives the entity to b.
      await gate.pin(address, pinnedPartition(address, 16), undefined);
      let releases: (() => void)[] = [];
      tap(given, (message, to) => {
        if (to !== idOf(given, 'a') || message.kind !== 'bare' || moment !== 'has been claimed, and others are asked')
          return true;
        return message.partitions.includes(partition) ? (send) => releases.push(send) : true;
      });
      const claim = gate.claim.bind(gate);
      let open: (() => void) | undefined;
      gate.claim = async (partitions, owner) => {
        const claims = await claim(partitions, owner);
        if (moment === 'is claimed' && partitions.includes(partition) && open === undefined)
          await new Promise<void>((resolve) => {
            open = resolve;
          });
        return claims;
      };
      workerOf(given, 'a').ownership.verify([partition]);
      await hand.advance(700);
      assert.is(workerOf(given, 'a').has(partition), moment === 'is here');
      assert.is(remote.where(address).worker, 'b');
      tellOfPins(given);
      await hand.advance(200);
      assert.is(remote.where(address).worker, 'a');
      for (const release of releases.splice(0)) release();
      releases = [];
      open?.();
      await hand.advance(1_000);
      assert.is(await during(tally(key).add(1)), 9);
    }));

test('CA1: types that require labels from now on, whose group has an owner already, come whole', () => {
  const Engine = entity('engine', { initial: () => ({}), operations: { run: command() } });
  const engine = behaviour(Engine, { run: () => undefined }, { labels: ['gpu'] });
  const [plain, labelled] = [volatiles, [tallyWith(scripts, { durability: 'none', labels: ['gpu'] })]];
  return withWorkers(
    { names: ['a'], limits, behaviours: volatiles },
    async ({ join, during, tally, remote, hand, workers }) => {
      await join('c', { labels: ['gpu'], behaviours: [...plain, engine] });
      await during(Promise.all(keys.map((key) => tally(key).add(7))));
      const groups = workers.get('c')?.member.worker.partitions.filter((partition) => partition >= 16) ?? [];
      assert.is(groups.length, 16);
      await join('d', { labels: ['gpu'], behaviours: labelled });
      await hand.advance(1_000);
      assert.ok(keys.some((key) => remote.where(`tally/${key}`).worker === 'c'));
      assert.ok(keys.every((key) => groups.includes(remote.where(`tally/${key}`).partition)));
      assert.equal(
        await during(Promise.all(keys.map((key) => tally(key).count()))),
        keys.map(() => 7),
      );
    },
  );
});

test('CA1, CA3: a pin that is taken back while its claim is under way leaves the entity with who has it', () =>
  withWorkers({ limits, behaviours: volatiles }, async (given) => {
    const { hand, tally, during, gate, keyAt, workers, remote } = given;
    const key = keyAt('a');
    const address = `tally/${key}`;
    const own = pinnedPartition(address, 16);
    await during(tally(key).add(7));
    const claim = gate.claim.bind(gate);
    gate.claim = async (partitions, owner) => {
      if (partitions.includes(own)) await gate.pin(address, own, undefined);
      return claim(partitions, owner);
    };
    await during(workers.get('a')?.member.pin(address, 'b') ?? missing());
    await hand.advance(1_000);
    assert.ok(workerOf(given, 'b').has(own), 'b has the partition of a pin that is over');
    assert.equal([workerOf(given, 'a').images.count, workerOf(given, 'b').images.count], [1, 0]);
    tellOfPins(given);
    await hand.advance(2_000);
    assert.is(remote.where(address).worker, 'a');
    assert.is(await during(tally(key).add(1)), 8);
  }));

test('CA2, P4: an image that was given to a worker which is gone is not used: what it had to do may have been done', () => {
  let fired = 0;
  const script = {
    ...scripts,
    remind: (turn: TallyTurn) => turn.timer('later', { afterMs: 3_000 }).run('fire'),
    fire: () => void fired++,
  };
  return withWorkers({ limits, behaviours: [tallyWith(script, { durability: 'none' })] }, async (given) => {
    const { hand, tally, during, keyAt, workers, remote } = given;
    const key = keyAt('a');
    await during(tally(key).add(7));
    await during(tally(key).run('remind'));
    tap(given, ({ kind }) => kind !== 'boarded');
    await during(workers.get('a')?.member.pin(`tally/${key}`, 'b') ?? missing());
    await hand.advance(6_000);
    assert.equal([fired, workerOf(given, 'a').images.count], [1, 1]);
    workers.get('b')?.member.stop();
    await hand.advance(12_000);
    assert.is(remote.where(`tally/${key}`).worker, 'a');
    assert.is(await during(tally(key).count()), 0);
    await hand.advance(6_000);
    assert.is(fired, 1);
  });
});

test('FE2, MB2: what became of images is said until it was heard, also by a worker that leaves', () =>
  withWorkers({ limits, behaviours: volatiles }, async (given) => {
    const { hand, tally, during, keyAt, workers, remote } = given;
    const key = keyAt('a');
    await during(tally(key).add(7));
    let deaf = true;
    tap(given, ({ kind }) => kind !== 'boarded' || !deaf);
    await during(workers.get('a')?.member.pin(`tally/${key}`, 'b') ?? missing());
    await hand.advance(1_000);
    assert.is(workerOf(given, 'a').images.count, 1);
    const leaving = watch(workers.get('b')?.close() ?? missing());
    await hand.advance(3_000);
    assert.not.ok(leaving.isSettled);
    deaf = false;
    await hand.advance(3_000);
    assert.ok(leaving.isSettled);
    assert.is(remote.where(`tally/${key}`).worker, 'a');
    assert.is(await during(tally(key).add(1)), 8);
    assert.equal(
      [workerOf(given, 'a').images.count, workerOf(given, 'a').has(pinnedPartition(`tally/${key}`, 16))],
      [0, true],
    );
  }));

test('CA1, MB2: a worker that leaves while it fetches its first partitions takes nothing along: what it was given is free again', () =>
  withWorkers({ names: ['a', 'c'], limits, behaviours: volatiles }, async (given) => {
    const { hand, tally, during, workers, transport, gate } = given;
    await during(Promise.all(keys.map((key) => tally(key).add(7))));
    // One of those that are asked takes its time: by then the other one has given what it had.
    tap(given, ({ kind }, to) => kind !== 'fetch' || to !== idOf(given, 'c'));
    const b = await serve({ name: 'b', behaviours: volatiles, transport, store: gate, environment: hand, limits });
    const carried = () => workerOf(given, 'a').images.count;
    for (let ms = 0; ms < 3_000 && carried() === 0; ms += 10) await hand.advance(10);
    assert.ok(carried() > 0 && b.member.worker.partitions.length === 0);
    await during(b.close());
    await hand.advance(5_000);
    assert.equal(
      [...workers.values()].map(({ member }) => member.worker.images.count),
      [0, 0],
    );
    assert.equal(
      await during(Promise.all(keys.map((key) => tally(key).count()))),
      keys.map(() => 7),
    );
  }));

test('CA1, MB2: a worker that leaves while its claim is under way takes nothing along, also if the claim comes last', () =>
  withWorkers({ names: ['a', 'c'], behaviours: volatiles }, async (given) => {
    const { hand, tally, during, transport, gate } = given;
    await during(Promise.all(keys.map((key) => tally(key).add(7))));
    const claim = gate.claim.bind(gate);
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    let asked = 0;
    gate.claim = async (partitions, owner) => {
      if (owner === 'b') asked += 1;
      if (owner === 'b') await opened;
      return claim(partitions, owner);
    };
    const b = await serve({ name: 'b', behaviours: volatiles, transport, store: gate, environment: hand });
    for (let ms = 0; ms < 3_000 && asked === 0; ms += 10) await hand.advance(10);
    assert.is(asked, 1);
    const leaving = watch(b.close());
    await hand.advance(1_000);
    const counts = () => during(Promise.all(keys.map((key) => tally(key).count())));
    const all = keys.map(() => 7);
    assert.equal(await counts(), all);
    open();
    await hand.advance(12_000);
    assert.ok(leaving.isSettled);
    assert.equal(await counts(), all);
  }));

for (const durability of ['none', { intervalMs: 300 }] as const)
  test(`CA2: of two lives of an entity of durability ${JSON.stringify(durability)} the one of the later claim goes on, whatever the clocks of workers say`, () =>
    withWorkers(
      { names: ['b', 'c'], limits, isDated: true, behaviours: [tallyWith(scripts, { durability })] },
      async (given) => {
        const { hand, tally, during, join, keyAt, workers, remote, transport } = given;
        await join('a', { environment: ahead(hand, 8_000), transport });
        const key = keyAt('a');
        const address = `tally/${key}`;
        for (let count = 0; count < 5; count++) await during(tally(key).add(100));
        await hand.advance(500);
        // For a while nobody hears a: that counts as a crash, and b begins anew.
        let isDeaf = true;
        tap(
          given,
          (message, to) =>
            !isDeaf || (to !== idOf(given, 'a') && !('id' in message && message.id === idOf(given, 'a'))),
        );
        await during(workers.get('c')?.member.pin(address, 'b') ?? missing());
        await hand.advance(5_000);
        assert.is(remote.where(address).worker, 'b');
        const begun = await during(tally(key).add(1));
        await hand.advance(1_000);
        isDeaf = false;
        await during(workers.get('c')?.member.pin(address, 'c') ?? missing());
        await hand.advance(3_000);
        assert.is(remote.where(address).worker, 'c');
        assert.is(await during(tally(key).add(1)), begun + 1);
        assert.is(begun, durability === 'none' ? 1 : 501);
      },
    ));

test("E2: an entity of durability 'none' that has something to do stays in memory, however idle it looks", () =>
  withWorkers(
    { names: ['a'], limits: { ...limits, idleMs: 5_000 }, behaviours: [tallyWith(scripts, { durability: 'none' })] },
    async ({ hand, tally, during }) => {
      await during(tally('x').add(7));
      await during(tally('x').run('remind'));
      await hand.advance(30_000 - 5_000);
      assert.is(await during(tally('x').count()), 107);
      await hand.advance(10_000);
      assert.is(await during(tally('x').count()), 0);
    },
  ));

/** The same time by a clock that is ahead. */
function ahead(hand: HandEnvironment, ms: number): Environment {
  return {
    now: () => hand.now() + ms,
    steady: () => hand.steady(),
    after: (pause, run) => hand.after(pause, run),
    soon: (run) => hand.soon(run),
    random: () => hand.random(),
    newId: () => hand.newId(),
    log: hand.log,
  };
}

function partitionIn(message: ControlMessage | undefined): number | undefined {
  if (message === undefined) return undefined;
  if ('partition' in message) return message.partition;
  return 'partitions' in message ? message.partitions[0] : undefined;
}

for (const [what, failure] of [
  ['fails', new SkerryError('store-failed', 'cannot read', { effect: 'none' })],
  ['finds the store away', new StoreAway('not connected')],
  ['throws what nobody expects', new Error('what is this')],
] as const)
  test(`CA1: a read between turns that ${what} takes nothing from an entity of durability interval that lives on`, () =>
    withTallies(
      { limits: { activityCountMax: 8, idleMs: 5_000 }, behaviour: { durability: { intervalMs: 20_000 } } },
      async (given) => {
        const { hand, tally, gate, during } = given;
        for (let key = 0; key < 40; key++) await during(tally('a').add(1, { idempotencyKey: `${key}` }));
        await hand.advance(60_000);
        const loadCount = gate.loadCount;
        // Not written for 20 s; nor is what the next one asks for in memory.
        assert.is(await during(tally('a').add(100)), 140);
        assert.ok(gate.loadCount > loadCount, 'it had left memory');
        const read = gate.read.bind(gate);
        let failureCount = 0;
        gate.read = () => {
          failureCount += 1;
          gate.read = read;
          return Promise.reject(failure);
        };
        const again = watch(tally('a').add(1, { idempotencyKey: '7' }));
        await hand.advance(2_000);
        assert.is(failureCount, 1);
        assert.is(again.isSettled, true);
        assert.is(await during(tally('a').count()), 140);
        await hand.advance(60_000);
        assert.is((await given.stored('a'))?.count, 140);
      },
    ));

test.run();
