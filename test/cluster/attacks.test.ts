/** What an attack on the promises of a cluster once broke: each case is one of them, with as few parts as it takes. */
import { defaultLimits } from '../../core/limits.ts';
import { pinnedPartition } from '../../placement/placement.ts';
import { viewsPerTerm } from '../../placement/service.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { encode } from '../../runtime/wire/codec.ts';
import { controlVersion, decodeControl, encodeControl } from '../../runtime/wire/control-messages.ts';
import type { Envelope, MessageEnvelope } from '../../runtime/wire/envelope.ts';
import { Subjects } from '../../runtime/wire/subjects.ts';
import { Worker } from '../../runtime/worker/worker.ts';
import { HandEnvironment } from '../support/hand.ts';
import { withWorkers } from '../support/served.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { tallyWith } from '../support/tally.ts';

const test = suite('attacks: cluster');

test('P4: what a paused worker had tried before, and sends on when it wakes, is as old as it is', async () => {
  const store = new MemoryStore({ partitions: 1 });
  let isBroken = true;
  const once = (turn: { state: { count: number } }) => {
    if (isBroken) throw new Error('not yet');
    turn.state.count += 1;
  };
  const workerOf = (name: string) => {
    const hand = new HandEnvironment();
    const [posted, astray]: [Envelope[], Envelope[]] = [[], []];
    const worker = new Worker({
      name,
      store,
      behaviours: [tallyWith({ once })],
      environment: hand,
      limits: defaultLimits,
      post: (envelope) => void posted.push(envelope),
      astray: (envelope) => void astray.push(envelope),
    });
    return { hand, posted, astray, worker };
  };
  const [paused, next] = [workerOf('paused'), workerOf('next')];
  await paused.hand.during(paused.worker.start([0]));
  const copy = (): MessageEnvelope => ({
    kind: 'message',
    to: 'tally/x',
    from: 'order/1',
    replyTo: '',
    call: 0,
    identity: '',
    arrival: { session: 1, seq: 1, floor: 1, expires: 90_000_000, sent: paused.hand.now(), keepMs: 0 },
    content: { kind: 'operation', operation: 'run', payload: encode('once'), hold: '', wantsAnswer: false },
  });
  paused.worker.intake.receive(copy());
  await paused.hand.idle();
  isBroken = false;
  // Another has the entity meanwhile, and gets another copy; the stream is closed, and forgotten after a while.
  await next.hand.during(next.worker.start([0]));
  next.worker.intake.receive(copy());
  await next.hand.advance(100);
  next.worker.intake.receive({ kind: 'close', to: 'tally/x', from: 'order/1', session: 1, number: 0 });
  await next.hand.advance(300_000);
  paused.hand.jump(300_000);
  await paused.hand.advance(1_000);
  assert.is(paused.astray.length, 1);
  const acks = () => next.posted.filter(({ kind }) => kind === 'ack').length;
  assert.is(acks(), 1);
  for (const envelope of paused.astray) next.worker.intake.receive(envelope);
  await next.hand.advance(100);
  assert.is(acks(), 1, 'processed twice');
});

test('a view that no process could compute, or get beyond, is not read', () => {
  const viewOf = (version: number, weight: number) => {
    const entry = ['a', 'a', weight, [], [['stock', []]], '', false];
    return encode([controlVersion, 0, 1_000, [version, 256, [entry], []], 0]);
  };
  assert.is(decodeControl(viewOf(1, 64)).kind, 'view');
  for (const weight of [0, 0.5, 65, 1e9]) assert.throws(() => decodeControl(viewOf(1, weight)), /a weight/);
  for (const version of [-1, 1.5, 2 ** 53, 1e300]) assert.throws(() => decodeControl(viewOf(version, 1)), /of version/);
});

test('VW4: where a server has no permissions, a view that anybody publishes costs moments, and never the cluster', () =>
  withWorkers({}, async ({ hand, transport, tally, during, workers, remote }) => {
    const { views } = new Subjects('main');
    let count = 0;
    for (const change of [
      { version: 2 ** 53 - 1, workers: [] },
      { version: 2 ** 53 - 1 },
      { partitions: 65_536, version: remote.view.version + 5 },
      { version: remote.view.version + viewsPerTerm * 2 ** 20, workers: [] },
      { version: remote.view.version + viewsPerTerm * (2 ** 21 - 1), workers: [] },
    ]) {
      transport.send(views, encodeControl({ kind: 'view', view: { ...remote.view, ...change }, sent: hand.now() }));
      await hand.advance(20_000);
      count += 1;
      assert.is(await during(tally('x').add(1)), count, JSON.stringify(change));
      for (const name of ['a', 'b']) assert.ok(workers.get(name)?.member.isReady, name);
    }
  }));

test('P12: pins for which the view has no room are refused, and end no worker if they are in the store all the same', () =>
  withWorkers({ names: [], limits: { messageBytesMax: 4_096 } }, async ({ hand, gate, join, during }) => {
    const transport = new MemoryTransport(hand, { frameBytesMax: 16_384 });
    const { member } = await join('a', { transport });
    const address = (key: number) => `tally/${'x'.repeat(100)}${key}`;
    for (let key = 0; key < 60; key++) await during(member.pin(address(key), 'a'));
    await hand.advance(200);
    for (let key = 60; key < 90; key++) await gate.inner.pin(address(key), pinnedPartition(address(key), 16), 'a');
    await hand.advance(6_000);
    assert.is(member.views.placement.view.pins.length, 90);
    await rejects(during(member.pin('tally/one', 'a')), 'too-large', /90 pins/);
    for (let key = 90; key < 200; key++) await gate.inner.pin(address(key), pinnedPartition(address(key), 16), 'a');
    await hand.advance(6_000);
    assert.is(member.views.placement.view.pins.length, 90);
    assert.ok(hand.logged.some(({ level, message }) => level === 'error' && /does not fit into a frame/.test(message)));
  }));

test.run();
