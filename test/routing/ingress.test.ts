/** What a worker takes from those who are no workers: each party by its doors, and nothing that only workers say. */
import fc from 'fast-check';
import type { Content } from '../../core/activity.ts';
import { defaultLimits } from '../../core/limits.ts';
import { clientOf, identityOfWord, identityWord, isIdentity, isPartner, keyPartner } from '../../core/message.ts';
import { ViewServer } from '../../runtime/cluster/view-server.ts';
import { Router } from '../../runtime/routing/router.ts';
import { asWorker, noView, Views } from '../../runtime/routing/views.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { encodeFrame, encodeLocationHint } from '../../runtime/wire/codec.ts';
import { decodeControl, encodeControl } from '../../runtime/wire/control-messages.ts';
import type { Envelope, MessageEnvelope, QueryEnvelope } from '../../runtime/wire/envelope.ts';
import { extensionOf } from '../../runtime/wire/extension.ts';
import { insider, type Party, Subjects, wordOf } from '../../runtime/wire/subjects.ts';
import { reasonToDeny } from '../../runtime/worker/authorise.ts';
import { HandEnvironment } from '../support/hand.ts';
import { placed } from '../support/placed.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('doors');
const subjects = new Subjects('tested');
// As frames are read: what is sent and what arrives can be compared.
const payload = Buffer.alloc(0);

const contentOf = (given: Partial<Content> = {}): Content => ({
  kind: 'operation',
  operation: 'add',
  payload,
  hold: '',
  wantsAnswer: true,
  ...given,
});
const call = (given: Partial<MessageEnvelope> = {}): MessageEnvelope => ({
  kind: 'message',
  to: 'stock/tea',
  from: '@ada.c1',
  replyTo: subjects.client('c1.1', 'ada'),
  call: 1,
  identity: 'ada',
  arrival: { session: 1, seq: 1, floor: 1, expires: 5, sent: 1, keepMs: 0 },
  content: contentOf(),
  ...given,
});
const query = (given: Partial<QueryEnvelope> = {}): QueryEnvelope => ({
  kind: 'query',
  to: 'stock/tea',
  replyTo: subjects.client('c1.1', 'ada'),
  call: 1,
  identity: 'ada',
  operation: 'count',
  payload,
  deadline: 5,
  ...given,
});

interface Given {
  readonly hand: HandEnvironment;
  readonly transport: MemoryTransport;
  readonly router: Router;
  /** What the worker takes of these envelopes, sent by a party under a word. */
  taken(party: Party, word: string, envelopes: readonly Envelope[], hops?: number): Promise<Envelope[]>;
}

function given(): Given {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand);
  const router = new Router({ transport, environment: hand, subjects }, placed(64, ['near', 'far']));
  const got: Envelope[] = [];
  router.openDoors('near', (envelope) => void got.push(envelope));
  const taken: Given['taken'] = async (party, word, envelopes, hops = 0) => {
    got.length = 0;
    for (const one of envelopes)
      transport.send(subjects.door(party, 'near', word), encodeFrame([one], { viewVersion: 1, hops }));
    await hand.idle();
    return [...got];
  };
  return { hand, transport, router, taken };
}

test('DO1: a client is who its door says; a gateway and a tool call for anybody', async () => {
  const { taken } = given();
  const others = ['', 'bob', 'ada '].map((identity) => query({ identity }));
  assert.equal(await taken('client', 'ada', [query(), ...others]), [query()]);
  const eve = query({ identity: 'eve@x.org' });
  assert.equal(await taken('gateway', 'ada', [query(), eve]), [query(), eve]);
  const home = { replyTo: subjects.answers('c1.1') };
  assert.equal((await taken('tool', 'c1', [query(home), { ...eve, ...home }])).length, 2);
  assert.equal(await taken('gateway', 'ada', [query({ identity: 'x'.repeat(129) })]), []);
});

test('DO1: who has no identity has a door too; a word that is nobody’s opens none', async () => {
  const { taken, router } = given();
  const replyTo = subjects.client('c1.1');
  assert.is((await taken('client', '=', [query({ identity: '', replyTo })])).length, 1);
  for (const word of ['=worker', '=4', 'a=zz', '=61', 'x'.repeat(129), '=ff'])
    assert.equal(await taken('client', word, [query({ identity: '', replyTo: subjects.client('c', word) })]), []);
  assert.is(router.counters.sumOf('frames-refused'), 6);
});

test('DO2: a call comes from a partner of its identity, and asks for holds of its own', async () => {
  const { taken } = given();
  const good = [
    call(),
    call({ from: '#ada.k' }),
    call({ content: contentOf({ hold: '@ada.c1.7' }) }),
    call({ from: '#ada.k', content: contentOf({ hold: '#ada.k' }) }),
    call({ content: contentOf({ kind: 'confirm', hold: '@bob.c2.1' }) }),
  ];
  assert.equal(await taken('client', 'ada', good), good);
  const forged = [
    ...['@bob.c1', '#bob.k', '#k', '@c1', '@adam.c1', '@ada', 'order/1', ''].map((from) => call({ from })),
    ...['#ada.k', '@ada.c12.7', '@ada.c2.1', 'order/1.x'].map((hold) => call({ content: contentOf({ hold }) })),
  ];
  for (const one of forged) assert.equal(await taken('client', 'ada', [one]), [], JSON.stringify(one));
  const asEve = { identity: 'eve', from: '@eve.c1' };
  assert.equal((await taken('gateway', 'ada', [call(), call({ ...asEve, from: '@ada.c1' }), call(asEve)])).length, 2);
});

test('EX3: whoever calls says in an extension what anybody may say, and nothing that is a worker’s to say', async () => {
  const { taken, router } = given();
  const some = new Uint8Array([7]);
  const free = {
    ...query(),
    extension: extensionOf([
      [1, some],
      [127, some],
    ]),
  };
  assert.equal(
    (await taken('client', 'ada', [free])).map(({ extension }) => [...(extension ?? [])]),
    [[...free.extension]],
  );
  for (const party of ['client', 'gateway', 'tool'] as const)
    for (const entries of [
      [[128, some]],
      [
        [1, some],
        [65_535, some],
      ],
    ] as const)
      for (const one of [query({ replyTo: subjects.answers('ada.1') }), query(), call()])
        assert.equal(await taken(party, 'ada', [{ ...one, extension: extensionOf(entries) }]), []);
  assert.is(router.counters.sumOf('frames-refused'), 18);
});

test('DO3: what comes back goes to who asked, and nowhere else', async () => {
  const { taken } = given();
  const elsewhere = [
    '',
    subjects.client('c1.1', 'bob'),
    subjects.client('c1.1', insider),
    subjects.client('c1.1'),
    subjects.worker('near'),
    subjects.views,
    `${subjects.client('c1.1', 'ada')}.x`,
    subjects.client('c 1', 'ada'),
    'skerry.other.client.ada.c1.1',
  ];
  for (const replyTo of elsewhere) {
    assert.equal(await taken('client', 'ada', [query({ replyTo }), call({ replyTo })]), [], replyTo);
    assert.equal(await taken('gateway', 'ada', [query({ replyTo }), call({ replyTo })]), [], replyTo);
  }
});

test('DO4: dead letters are a tool’s to resolve, and messages of outboxes to drop; outcomes of effects and answers are nobody’s to send', async () => {
  const { taken } = given();
  const home = { replyTo: subjects.answers('c1.1') };
  const kinds = ['dead-retry', 'dead-drop', 'outbox-drop', 'answer', 'effect'] as const;
  const asked = kinds.map((kind) => call({ content: contentOf({ kind }) }));
  assert.equal(await taken('client', 'ada', asked), []);
  assert.equal(await taken('gateway', 'ada', asked), []);
  const got = await taken(
    'tool',
    'c1',
    asked.map((one) => ({ ...one, ...home })),
  );
  assert.equal(
    got.map((one) => one.kind === 'message' && one.content.kind),
    ['dead-retry', 'dead-drop', 'outbox-drop'],
  );
});

test('M7: acknowledgements, ends of streams, replies, location hints and what was forwarded are only a worker’s to send', async () => {
  const { hand, transport, router, taken } = given();
  const kinds = ['ack', 'close', 'closed', 'stale', 'probe', 'probed'] as const;
  const streams = kinds.map((kind): Envelope => ({ kind, to: 'stock/tea', from: '@ada.c1', session: 1, number: 1 }));
  const reply: Envelope = {
    kind: 'reply',
    to: subjects.client('c1.1', 'ada'),
    call: 1,
    status: 'answer',
    bytes: payload,
  };
  for (const party of ['client', 'gateway', 'tool'] as const) {
    assert.equal(await taken(party, 'ada', [...streams, reply]), []);
    assert.equal(await taken(party, 'ada', [query()], 1), []);
    const before = router.counters.sumOf('frames-refused');
    transport.send(subjects.door(party, 'near', 'ada'), encodeLocationHint({ id: 'far', partitions: [1] }, 1));
    await hand.idle();
    assert.is(router.counters.sumOf('frames-refused'), before + 1);
  }
});

test('M7: between workers a message is an entity’s and unanswered, or a client’s that waits for its answer', async () => {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand);
  const router = new Router({ transport, environment: hand, subjects }, placed(64, ['near']));
  let count = 0;
  router.listen(subjects.worker('near'), () => {
    count += 1;
  });
  const come = async (one: Envelope) => {
    count = 0;
    transport.send(subjects.worker('near'), encodeFrame([one], { viewVersion: 1, hops: 1 }));
    await hand.idle();
    return count;
  };
  const answer = contentOf({ kind: 'answer' });
  assert.equal([await come(call()), await come(call({ from: 'order/1', replyTo: '', content: answer }))], [1, 1]);
  const forged = [
    call({ replyTo: '' }),
    call({ from: 'order/1' }),
    call({ content: answer }),
    call({ from: 'order/1', replyTo: '', content: contentOf({ kind: 'dead-retry' }) }),
    call({ from: 'order/1', replyTo: '', content: contentOf({ kind: 'effect' }) }),
  ];
  for (const one of forged) assert.is(await come(one), 0, JSON.stringify(one));
});

test('AU1: the hook is asked whatever the envelope says about its answer, and sees the kind; messages of entities pass', () => {
  const asked: string[] = [];
  const authorise = ({ kind, operation, identity }: { kind: string; operation: string; identity: string }) => {
    asked.push(`${identity} ${kind} ${operation}`);
    return false;
  };
  const dead = call({ content: contentOf({ kind: 'dead-retry', operation: 'add' }) });
  for (const one of [call(), call({ replyTo: '' }), query({ replyTo: '' }), dead])
    assert.is(reasonToDeny(authorise, one), '', JSON.stringify(one));
  assert.is(reasonToDeny(authorise, call({ from: 'order/1', replyTo: '' })), undefined);
  assert.equal(asked, ['ada operation add', 'ada operation add', 'ada query count', 'ada dead-retry add']);
});

test('AD1: an identity is one word that says whose it is, and parts its keys from all others', () => {
  const anyIdentity = fc.string({ unit: 'grapheme', maxLength: 40 }).filter(isIdentity);
  fc.assert(
    fc.property(anyIdentity, anyIdentity, fc.string({ minLength: 1, maxLength: 60 }), (one, other, key) => {
      assert.is(identityOfWord(identityWord(one)), one);
      assert.match(wordOf(one), /^[\w=-]+$/);
      const partner = keyPartner(one, key);
      assert.equal(clientOf(partner), { identity: one, id: key });
      if (isPartner(partner)) assert.is(partner.startsWith(`#${identityWord(one)}.`), true);
      if (one !== other) assert.not.equal(keyPartner(other, key), partner);
    }),
  );
  assert.equal(clientOf('#order-7'), { identity: '', id: 'order-7' });
  const longest = 'x'.repeat(defaultLimits.identityBytesMax);
  assert.equal([isIdentity(longest), isIdentity(`${longest}x`), isIdentity('.'.repeat(43))], [true, false, false]);
});

const viewOf = (count: number) =>
  placed(
    16,
    Array.from({ length: count }, (_, index) => `w${index}`),
  ).view;

function reception(count: number) {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand);
  const where = asWorker(subjects, 'w0');
  const views = new Views({ environment: hand, transport, id: 'w0', ...where, follow: () => undefined }, noView(16));
  const absent: string[] = [];
  const one = new ViewServer({ environment: hand, transport, subjects, views });
  one.open('w0');
  one.open(undefined, (id) => void absent.push(id));
  views.learn(viewOf(count));
  return { hand, transport, views, absent };
}

test('RP2: who asks for the view is told at a subject of its own, and at no other', async () => {
  const { hand, transport, absent } = reception(3);
  const heard: string[] = [];
  const places = [subjects.client('c1.view', 'ada'), subjects.client('c1.view', 'bob'), subjects.views];
  for (const place of [...places, subjects.control('w0')])
    transport.listen(place, (bytes) => void heard.push(`${place} ${decodeControl(bytes).kind}`));
  for (const replyTo of places)
    transport.send(subjects.resolve('w0', 'ada'), encodeControl({ kind: 'resolve', replyTo }));
  transport.send(subjects.resolve(undefined, 'ada'), encodeControl({ kind: 'absent', id: 'w1', by: '' }));
  transport.send(subjects.resolve('w0', 'ada'), encodeControl({ kind: 'absent', id: 'w2', by: '' }));
  transport.send(subjects.resolve(undefined, 'ada'), encodeControl({ kind: 'gone', id: 'w1', viewVersion: 0 }));
  transport.send(subjects.resolve('w0', 'ada'), encodeControl({ kind: 'view', view: viewOf(1), sent: 1 }));
  await hand.idle();
  assert.equal([heard, absent], [[`${places[0]} view`], ['w1']]);
});

test('RP1, P12: small questions do not become large answers without bound', async () => {
  const { hand, transport } = reception(1_000);
  let bytes = 0;
  const replyTo = subjects.client('c1.view', 'ada');
  transport.listen(replyTo, (frame) => {
    bytes += frame.length;
  });
  const ask = async () => {
    bytes = 0;
    for (let count = 0; count < 1_000; count++)
      transport.send(subjects.resolve('w0', 'ada'), encodeControl({ kind: 'resolve', replyTo }));
    await hand.idle();
    return bytes;
  };
  const first = await ask();
  assert.ok(first > 4_000_000 && first < 4_400_000, `${first}`);
  assert.is(await ask(), 0);
  await hand.advance(1_000);
  assert.is(await ask(), first);
});

function clientViews(told: string | undefined) {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand);
  const where = { replyTo: 'r', whereToAsk: () => subjects.service, told };
  return {
    hand,
    views: new Views({ environment: hand, transport, id: 'x', ...where, follow: () => undefined }, noView(16)),
  };
}

test('VW4: a view after which there would be none, or of other partitions, is not followed', () => {
  const view = viewOf(2);
  const { views } = clientViews(subjects.service);
  const versions = () => views.placement.view.version;
  for (const given of [{ partitions: 32 }, { version: 2 ** 53 - 1 }]) {
    views.learn({ ...view, ...given });
    assert.is(versions(), 0);
  }
  views.learn({ ...view, version: 2 ** 52 });
  assert.is(versions(), 2 ** 52);
  views.learn({ ...view, version: 2 ** 53 - 1 });
  assert.is(versions(), 2 ** 52);
  views.learn({ ...view, version: 2 ** 52 + 2 ** 40 });
  assert.is(versions(), 2 ** 52 + 2 ** 40);
});

test.run();
