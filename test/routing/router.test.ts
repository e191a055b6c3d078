/**
 * The router of a node: the subject and frame of each envelope, and frames that cannot be read.
 *
 * Longer than 400 lines because every invariant of the router is tested on one pair of routers.
 */

import { Placement } from '../../placement/placement.ts';
import { Router } from '../../runtime/routing/router.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import {
  decode,
  decodeFrame,
  encode,
  encodeFrame,
  encodeLocationHint,
  type LocationHint,
  protocol,
} from '../../runtime/wire/codec.ts';
import type { Envelope, MessageEnvelope, StreamEnvelope } from '../../runtime/wire/envelope.ts';
import { extensionOf } from '../../runtime/wire/extension.ts';
import { Subjects } from '../../runtime/wire/subjects.ts';
import { HandEnvironment } from '../support/hand.ts';
import { keyAt, placed } from '../support/placed.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('post');
const placement = placed(64, ['near', 'far', 'else']);
const subjects = new Subjects('tested');
/** An address of each worker. */
const at = (worker: string, start = 0): string => `stock/${keyAt(placement, 'stock', worker, start)}`;
const head = { viewVersion: 1, hops: 0 };
const sentIn = (frames: readonly Uint8Array[]) => frames.flatMap((frame) => decodeFrame(frame).envelopes);
const ack = (to: string, number = 1): StreamEnvelope => ({ kind: 'ack', to, from: 'order/1', session: 1, number });
const message = (to: string, bytes: number): MessageEnvelope => ({
  kind: 'message',
  to,
  from: '@c',
  replyTo: subjects.client('c'),
  call: 1,
  identity: 'i'.repeat(100),
  arrival: { session: 1, seq: 1, floor: 1, expires: 5, sent: 1, keepMs: 0 },
  content: {
    kind: 'operation',
    operation: 'add',
    payload: new Uint8Array(bytes),
    hold: 'h'.repeat(500),
    wantsAnswer: true,
  },
});

interface Given {
  readonly hand: HandEnvironment;
  readonly transport: MemoryTransport;
  readonly router: Router;
  readonly near: Envelope[];
  readonly frames: Uint8Array[];
}

function given(options: { frameBytesMax?: number } = {}): Given {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand, options);
  const router = new Router({ transport, environment: hand, subjects }, placement);
  const near: Envelope[] = [];
  const frames: Uint8Array[] = [];
  router.listen(subjects.worker('near'), (envelope) => void near.push(envelope));
  transport.listen(subjects.worker('far'), (frame) => void frames.push(frame));
  return { hand, transport, router, near, frames };
}

test('what belongs to this node is handed over as it is, on the spot', () => {
  const { router, near } = given();
  const envelope = ack(at('near'));
  router.post(envelope);
  assert.is(near[0], envelope);
});

test('what belongs elsewhere leaves for the subject of its worker, and replies for the one that they name', async () => {
  const { hand, transport, router, near, frames } = given();
  const replies: Uint8Array[] = [];
  transport.listen(subjects.client('c'), (frame) => void replies.push(frame));
  router.post(ack(at('far')));
  router.post({ kind: 'reply', to: subjects.client('c'), call: 7, status: 'moved', bytes: new Uint8Array(0) });
  await hand.idle();
  assert.equal(near, []);
  assert.equal(sentIn(frames), [ack(at('far'))]);
  assert.is(sentIn(replies)[0]?.kind, 'reply');
});

test('everything for one subject that is posted in one tick leaves as one frame, in order', async () => {
  const { hand, router, frames } = given();
  for (let number = 1; number <= 50; number++) router.post(ack(at('far', number), number));
  await hand.idle();
  assert.is(frames.length, 1);
  assert.equal(
    decodeFrame(frames[0]!).envelopes.map((envelope) => (envelope as StreamEnvelope).number),
    Array.from({ length: 50 }, (_, index) => index + 1),
  );
  router.post(ack(at('far')));
  await hand.idle();
  assert.is(frames.length, 2);
});

test('M2: a frame stays below frameBytesMax, and nothing is lost or reordered by splitting', async () => {
  for (const bytes of [0, 100, 5_000, 15_000, 28_000]) {
    const { hand, router, frames } = given({ frameBytesMax: 32_768 });
    for (let count = 0; count < 30; count++) router.post(message(at('far', count), bytes));
    await hand.idle();
    const sent = sentIn(frames);
    assert.equal(
      sent.map(({ to }) => to),
      Array.from({ length: 30 }, (_, count) => at('far', count)),
    );
    for (const frame of frames) assert.ok(frame.length <= 32_768, `${frame.length}`);
  }
});

test('M1: a frame that cannot be read is counted, logged once per subject, and dropped; the next one is read', async () => {
  const { hand, transport, router, near } = given();
  router.listen(subjects.client('c'), () => assert.unreachable());
  const good = encodeFrame([ack(at('near'))], head);
  const bad = [new Uint8Array([0xc1]), new Uint8Array(0), encode([protocol.to + 1]), good.slice(0, -1)];
  for (const frame of bad) transport.send(subjects.worker('near'), frame);
  for (const frame of bad) transport.send(subjects.client('c'), frame);
  transport.send(subjects.worker('near'), good);
  await hand.idle();
  assert.is(router.counters.sumOf('frames-refused'), 8);
  assert.equal(
    hand.logged.map(({ level, message: text }) => [level, /cannot be decoded/.test(text)]),
    [
      ['warn', true],
      ['warn', true],
    ],
  );
  assert.equal(near, [ack(at('near'))]);
});

test('M1: of a frame whose last envelope cannot be read nothing is handed on', async () => {
  const { hand, transport, router, near } = given();
  transport.send(subjects.worker('near'), encode([protocol.from, 1, 0, [3, 0, at('near'), 'order/1', 1, 1], [3]]));
  await hand.idle();
  assert.equal([near, router.counters.sumOf('frames-refused')], [[], 1]);
});

test('K6: an envelope of a later version is passed over and counted; those beside it are handed on', async () => {
  const { hand, transport, router, near } = given();
  transport.send(
    subjects.worker('near'),
    encode([protocol.from, 1, 0, [99, 'x'], [3, 0, at('near'), 'order/1', 1, 1]]),
  );
  await hand.idle();
  assert.equal(
    [near, router.counters.sumOf('frames-refused'), router.counters.sumOf('envelopes-skipped')],
    [[ack(at('near'))], 0, 1],
  );
});

test('M9, EX1: an extension goes to workers that announce that they read it, forwarded too, and to no others', async () => {
  const { hand, transport, router, frames } = given();
  const extension = extensionOf([[7, new Uint8Array([1, 2])]]);
  const speaking = (to: number): Placement => {
    const { version, ...view } = placement.view;
    const workers = view.workers.map((entry) => ({ ...entry, protocol: { from: 1, to } }));
    return new Placement({ ...view, version: version + to, workers });
  };
  const heard = async () => {
    router.post({ ...ack(at('far')), extension });
    router.forward({ ...message(at('far'), 3), extension }, 0);
    await hand.idle();
    return frames.splice(0).flatMap((frame) => decodeFrame(frame).envelopes.map((one) => [frame[1], one.extension]));
  };
  assert.equal(await heard(), [
    [1, undefined],
    [1, undefined],
  ]);
  router.follow(speaking(2));
  const sent = await heard();
  assert.equal(
    sent.map(([version, one]) => [version, [...(one as Uint8Array)]]),
    [
      [2, [...extension]],
      [2, [...extension]],
    ],
  );
  router.follow(speaking(1));
  assert.equal(
    (await heard()).map(([version]) => version),
    [1, 1],
  );
  const old = new Router({ transport, environment: hand, subjects, protocol: { from: 1, to: 1 } }, speaking(2));
  old.follow(speaking(3));
  old.post({ ...ack(at('far')), extension });
  await hand.idle();
  assert.equal(
    frames.map((frame) => frame[1]),
    [1],
  );
});

test('M1: what comes from nobody, or asks nobody to be answered, is not handed on, not even first', async () => {
  const { hand, transport, router, near } = given();
  const payload = new Uint8Array(0);
  const call = { to: at('near'), call: 1, identity: '' };
  const arrival = { session: 1, seq: 1, floor: 1, expires: 1, sent: 1, keepMs: 0 };
  const content = { kind: 'operation', operation: 'add', payload, hold: '', wantsAnswer: true } as const;
  const forged = [
    { kind: 'message', ...call, from: '', replyTo: '', arrival, content },
    { kind: 'query', ...call, replyTo: '', operation: 'count', payload, deadline: 1 },
  ] as const;
  transport.send(subjects.worker('near'), encodeFrame(forged, head));
  await hand.idle();
  assert.equal([near, router.counters.sumOf('frames-refused')], [[], 2]);
});

const home = placement.partitionOf(at('far'));
const query = (to: string, client: string): Envelope => {
  const asked = {
    kind: 'query',
    to,
    replyTo: subjects.client(client),
    call: 1,
    identity: '',
    operation: 'count',
  } as const;
  return { ...asked, payload: new Uint8Array(0), deadline: 5 };
};

/** A post that has sent to `far`'s entity, was told this, and sends there again. */
async function wayAfter(
  told: readonly LocationHint[],
  then?: (given: Given & { close: () => void }) => unknown,
): Promise<string[]> {
  const all = given();
  const { hand, transport, router, frames } = all;
  const elsewhere: Uint8Array[] = [];
  const close = transport.listen(subjects.worker('else'), (frame) => void elsewhere.push(frame));
  router.post(ack(at('far')));
  await hand.idle();
  for (const one of told) transport.send(subjects.worker('near'), encodeLocationHint(one, 1));
  await hand.idle();
  await then?.({ ...all, close });
  router.post(ack(at('far')));
  await hand.idle();
  assert.is(router.counters.sumOf('frames-refused'), 0);
  return [...frames.slice(1).map(() => 'far'), ...elsewhere.map(() => 'else')];
}

const there: LocationHint = { id: 'else', partitions: [home] };

test('M4: where a partition is said to be messages go, for a while; said to be where the view has it, they go there again', async () => {
  assert.equal(await wayAfter([]), ['far']);
  assert.equal(await wayAfter([there]), ['else']);
  assert.equal(await wayAfter([there, { ...there, id: 'far' }]), ['far']);
  assert.equal(await wayAfter([{ ...there, partitions: [home + 1, home - 1, 2 ** 50] }]), ['far']);
  assert.equal(await wayAfter([there], ({ hand }) => hand.advance(499)), ['else']);
  assert.equal(await wayAfter([there], ({ hand }) => hand.advance(500)), ['far']);
});

test('M4: what is said ends with the view, and when nobody is there', async () => {
  const sees: ((address: string) => boolean)[] = [];
  const later = placed(64, ['near', 'far', 'else']);
  assert.equal(await wayAfter([there], ({ router }) => void sees.push(router.follow(later))), ['far']);
  // What went there by the hint may be lost with it.
  assert.equal([sees[0]?.(at('far')), sees[0]?.(at('else'))], [true, false]);
  const gone = async ({ hand, router, close }: { hand: HandEnvironment; router: Router; close: () => void }) => {
    close();
    router.post(ack(at('far')));
    await hand.idle();
  };
  assert.equal(await wayAfter([there], gone), ['far']);
});

test('M6: workers of the view are believed, about what the view gives to neither this node nor them', async () => {
  assert.equal(await wayAfter([{ ...there, id: 'nobody' }]), ['far']);
  assert.equal(await wayAfter([{ ...there, id: 'near' }]), ['far']);
  const { hand, transport, router, near } = given();
  const own = ack(at('near'));
  router.post(own);
  const ours = { ...there, partitions: [placement.partitionOf(own.to)] };
  transport.send(subjects.worker('near'), encodeLocationHint(ours, 1));
  await hand.idle();
  router.post(own);
  assert.is(near.length, 2);
});

test('M5: two that each believe the other to have it send a message to the one that has it all the same', async () => {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand);
  let count = 0;
  const make = (id: string): Router => {
    const router: Router = new Router({ transport, environment: hand, subjects }, placement);
    router.listen(subjects.worker(id), (envelope, hops) => {
      if (id === 'far') count += 1;
      else if (envelope.kind !== 'reply') router.forward(envelope, hops);
    });
    return router;
  };
  const posts = [make('near'), make('else')];
  make('far');
  for (const router of posts) router.post(ack(at('far')));
  transport.send(subjects.worker('near'), encodeLocationHint(there, 1));
  transport.send(subjects.worker('else'), encodeLocationHint({ ...there, id: 'near' }, 1));
  await hand.idle();
  for (const router of posts) router.post(ack(at('far')));
  await hand.idle();
  assert.is(count, 4);
});

test('what comes by a detour to who has it makes that worker tell each sender where it is', async () => {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand);
  const has = (partition: number) => partition === home;
  const router = new Router({ transport, environment: hand, subjects, id: 'near', has }, placement);
  const heard: [string, LocationHint | undefined][] = [];
  for (const client of ['c', 'd'])
    transport.listen(subjects.client(client), (frame) => void heard.push([client, decodeFrame(frame).hint]));
  for (const worker of ['far', 'else'])
    transport.listen(subjects.worker(worker), (frame) => void heard.push([worker, decodeFrame(frame).hint]));
  let count = 0;
  router.listen(subjects.worker('near'), () => {
    count += 1;
  });
  const here = { id: 'near', partitions: [home] };
  const come = async (envelopes: Envelope[], hops: number) => {
    heard.length = 0;
    transport.send(subjects.worker('near'), encodeFrame(envelopes, { viewVersion: 1, hops }));
    await hand.idle();
    return heard;
  };
  const both = [query(at('far'), 'c'), message(at('far'), 1), query(at('far'), 'd')];
  assert.equal(await come(both, 0), []);
  assert.equal(await come(both, 1), [
    ['c', here],
    ['d', here],
  ]);
  const between = { ...ack(at('far')), from: at('else') };
  assert.equal(await come([between, between], 1), [['else', here]]);
  // What is not here, comes from here, or from nobody who could be told.
  const many = Array.from({ length: 1_000 }, (_, client) => query(at('far'), `c${client}`));
  for (let client = 0; client < 1_000; client++)
    transport.listen(subjects.client(`c${client}`), (frame) => void heard.push(['', decodeFrame(frame).hint]));
  assert.is((await come(many, 1)).length, 64);
  const others = [query(at('else'), 'c'), { ...between, from: at('near') }, { ...between, from: '@c' }];
  assert.equal(await come(others, 1), []);
  assert.is(count, 1_011);
});

test('M9, K7: a kind of content that came with a version goes only to workers that read it, and no other waits for it', async () => {
  const { hand, router, frames } = given();
  const { version, ...view } = placement.view;
  const speaking = (to: number): Placement =>
    new Placement({
      ...view,
      version: version + to,
      workers: view.workers.map((entry) => ({ ...entry, protocol: { from: 1, to } })),
    });
  const sender = { ...message(at('far'), 3), from: 'order/1', replyTo: '', call: 0 };
  const later = { ...sender, content: { ...sender.content, kind: 'later-answer' as const } };
  const heard = async () => {
    router.post(later);
    router.post(ack(at('far')));
    router.forward(later, 0);
    await hand.idle();
    return frames
      .splice(0)
      .map((frame) => [
        frame[1],
        decodeFrame(frame)
          .envelopes.map(({ kind }) => kind)
          .join(),
      ])
      .sort();
  };
  assert.equal(await heard(), [[1, 'ack']], 'a worker that announces nothing');
  router.follow(speaking(2));
  assert.equal(await heard(), [[1, 'ack']]);
  router.follow(speaking(3));
  assert.equal(await heard(), [
    [3, 'message'],
    [3, 'message,ack'],
  ]);
});

test('who has stopped listening gets nothing more; close ends everything, after what was posted has left', async () => {
  const { hand, transport, router, near, frames } = given();
  router.post(ack(at('far')));
  router.close();
  transport.send(subjects.worker('near'), encodeFrame([ack(at('near'))], head));
  await hand.idle();
  assert.equal([near.length, frames.length], [0, 1]);
});

test('M8: what does not fit into a frame is told to who waits for it, and a message of an entity to its sender', async () => {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand, { frameBytesMax: 2_000 });
  const unsendable: string[] = [];
  const onUnsendable = ({ from }: MessageEnvelope) => void unsendable.push(from);
  const router = new Router({ transport, environment: hand, subjects, onUnsendable }, placement);
  const [told, away]: [Envelope[], Uint8Array[]] = [[], []];
  router.listen(subjects.client('c'), (envelope) => void told.push(envelope));
  transport.listen(subjects.client('away'), (frame) => void away.push(frame));
  const large = message(at('far'), 3_000);
  router.post(large);
  router.post({ ...large, from: 'order/1', replyTo: '', call: 0 });
  const query = { kind: 'query', to: at('far'), replyTo: subjects.client('c'), call: 2, identity: '' } as const;
  router.post({ ...query, operation: 'look', payload: new Uint8Array(3_000), deadline: 5 });
  const reply = { kind: 'reply', to: subjects.client('away'), call: 3, status: 'answer' } as const;
  router.post({ ...reply, bytes: new Uint8Array(3_000) });
  assert.equal(told, [], 'not inside of the call');
  await hand.idle();
  assert.equal(
    told.map((one) => (one.kind === 'reply' ? [one.call, one.status, (decode(one.bytes) as string[])[1]] : one.kind)),
    [
      [1, 'not-run', 'too-large'],
      [2, 'not-run', 'too-large'],
    ],
  );
  assert.equal(unsendable, ['order/1']);
  assert.equal(
    sentIn(away).map((one) => (one.kind === 'reply' ? [one.call, one.status] : one.kind)),
    [[3, 'unsent']],
  );
  assert.is(hand.logged.filter(({ level }) => level === 'error').length, 1, 'said once');
});

test.run();
