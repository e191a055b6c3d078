/** Everything that decodes bytes which somebody else may have made, with honest samples of each. */
import { newActivity } from '../../core/activity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { answers, behaviour, command, effect, entity, settled, tentative, unchecked } from '../../core/index.ts';
import { putPart } from '../../core/record.ts';
import { decodeActivity, encodeActivity, glancePart } from '../../runtime/entity/record-format.ts';
import { restoreActivities, restoreStored } from '../../runtime/entity/record-reader.ts';
import { drain, imageOf, newLayout } from '../../runtime/entity/record-writer.ts';
import {
  decodeAdminRequest,
  decodeAnswer,
  decodePart,
  encodeAdminRequest,
  encodeAnswer,
  encodeFailure,
  encodePart,
} from '../../runtime/wire/admin-messages.ts';
import { decode, decodeFrame, encode, encodeFrame, encodeLocationHint } from '../../runtime/wire/codec.ts';
import { type ControlMessage, decodeControl, encodeControl } from '../../runtime/wire/control-messages.ts';
import type { Envelope } from '../../runtime/wire/envelope.ts';
import { type Offer, OfferReader, Slices } from '../../runtime/worker/image-format.ts';
import { Bench, contentOf } from '../support/bench.ts';
import type { Forge, Where } from './forge.ts';

export interface Target {
  readonly name: string;
  readonly samples: readonly Uint8Array[];
  /** Well-formed hostile bytes of this kind, beside damaged samples and any msgpack. */
  readonly forged?: (forge: Forge) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
  /** What must hold of what was accepted. Throws where it does not. */
  readonly check?: (decoded: unknown, bytes: Uint8Array) => void;
}

const Peer = entity('peer', {
  initial: () => ({}),
  operations: { do: command(unchecked<unknown>()), hold: tentative() },
});
const call = effect<unknown, unknown>('call', async () => 1);
const Vault = entity('vault', {
  initial: () => ({ log: [] as unknown[], wide: {} as Record<string, unknown> }),
  activities: { peer: () => ({ kept: 0 as unknown }) },
  operations: {
    run: command(unchecked<unknown>(), unchecked<unknown>()),
    hold: tentative(unchecked<unknown>()),
    fail: command(),
  },
});
const vault = behaviour(
  Vault,
  {
    run(turn, given) {
      turn.state.log.push(given);
      turn.state.wide[`f${turn.state.log.length}`] = 'x'.repeat(400);
      const peer = turn.to(Peer, 'one');
      peer.activity = { kept: given };
      peer.do(given);
      peer.hold();
      turn.to(Peer, 'two', { afterMs: 5 }).do(given);
      turn.timer(`t${turn.state.log.length}`, { afterMs: 9 }).run(given);
      turn.perform(call, given);
      return { given };
    },
    hold: { tentative: () => undefined, confirm: () => undefined, cancel: () => undefined },
    fail: () => {
      throw new Error('never');
    },
  },
  {
    historyMs: 1e9,
    effects: [settled(Vault, call, () => undefined)],
    answers: [answers(Vault, Peer, { do: () => undefined })],
  },
);

/** An entity with something in each table, small and large, as it was written turn by turn. */
function writtenEntity(turns: number): { head: Uint8Array; records: (readonly [string, Uint8Array])[] } {
  const bench = new Bench(vault);
  const layout = newLayout();
  const records = new Map<string, Uint8Array>();
  let head = new Uint8Array(0);
  const commit = () => {
    const drained = drain(bench.record, layout, vault);
    head = new Uint8Array(drained.head);
    for (const [name, bytes] of drained.records)
      if (bytes === null) records.delete(name);
      else records.set(name, new Uint8Array(bytes));
  };
  for (let turn = 0; turn < turns; turn++) {
    bench.ask('run', { turn, bytes: new Uint8Array(3), big: 2n ** 60n, deep: [[[{}]]] });
    commit();
  }
  bench.ask('hold', undefined, { hold: 'h1' });
  const trial = { key: 'm@client', ends: 1, epoch: 3, until: 1_000 };
  putPart(bench.record, 'trials', trial);
  const asked = { role: 'all', address: 'vault/two', operation: 'reserve', status: 'accepted', until: 9 } as const;
  const word = { word: 'confirm', isHeard: true, isWordy: false, breach: 'lapsed', isTold: true } as const;
  const party = { ...asked, ...word, answer: new Uint8Array([1]) };
  const dates = { at: 1, decideBy: 2, due: 3, decidedAt: 4, isUntold: false, isResolved: true };
  const decision = { decision: 'confirm', because: 'declined' } as const;
  putPart(bench.record, 'agreements', { id: 'one', name: 'all', ...dates, ...decision, parties: [party, party] });
  bench.bury(bench.request('peer/one', contentOf('fail')), new Error('never'));
  commit();
  return { head, records: [...records] };
}

const small = writtenEntity(1);
export const large = writtenEntity(12);
/** What a load brings of an entity that has something in each table. */
export const loadedRecords = large.records.filter(([name]) => !'ph'.includes(name[0] as string));
const address = 'vault/one';

/** What another worker makes of it, must make the same of it again: nothing is read that cannot be written. */
function checkEntity(decoded: unknown): void {
  const { record, layout } = decoded as ReturnType<typeof restoreStored>;
  const image = imageOf(record, layout, vault);
  restoreStored(address, { version: 1, head: image.head, wakeAt: undefined, records: image.records });
  for (const [partner, bytes] of image.activities) decodeActivity(partner, bytes);
}

const entityTargets: readonly Target[] = [
  {
    name: 'head',
    samples: [small.head, large.head],
    decode: (head) => restoreStored(address, { version: 1, head, wakeAt: undefined, records: loadedRecords }),
    check: checkEntity,
  },
  ...['o', 't', 'x', 'f', 'd', 'n', 's', 'u'].map((table): Target => {
    const records = [...small.records, ...large.records].filter(([name]) => name[0] === table);
    const others = large.records.filter(([name]) => name[0] === 's' && table === 'u');
    return {
      name: `record ${table}`,
      samples: records.map(([, bytes]) => bytes),
      decode: (bytes) => {
        const [name] = records[0] ?? [table];
        return restoreStored(address, {
          version: 1,
          head: large.head,
          wakeAt: undefined,
          records: [...others, [name, bytes]],
        });
      },
      check: checkEntity,
    };
  }),
  {
    name: 'history',
    samples: large.records.filter(([name]) => name[0] === 'h').map(([, bytes]) => bytes),
    decode: (bytes) => glancePart('history', bytes),
  },
  {
    name: 'activity',
    samples: [activitySample()],
    decode: (bytes) => decodeActivity('peer/one', bytes),
    check: (decoded) => decodeActivity('peer/one', encodeActivity(decoded as ReturnType<typeof decodeActivity>)),
  },
  {
    name: 'activities',
    samples: [encode(['peer/one', decode(activitySample()), '@client', decode(activitySample())])],
    decode: (bytes) => {
      const { record } = restoreStored(address, { version: 1, head: large.head, wakeAt: undefined, records: [] });
      restoreActivities(record, bytes);
      return record;
    },
  },
];

function activitySample(): Uint8Array {
  const activity = newActivity('peer/one');
  activity.inbound = {
    session: 3,
    through: 9,
    keepUntil: 1e13,
    closedAt: 0,
    answers: [{ seq: 9, bytes: encode(['done', 1]), until: 1e13 }],
  };
  const sealed = [{ session: 1, end: 3 }];
  activity.outbound = { session: 2, next: 7, unacked: [], sealed, isClosing: true, activeAt: 1e12 };
  activity.application.value = { kept: [1, { b: new Uint8Array(4) }] };
  return new Uint8Array(encodeActivity(activity));
}

const where: Where = {
  addresses: ['stock/tea', 'order/1'],
  partners: ['@client', '#key', 'stock/tea'],
  subjects: ['skerry.client.one'],
  operations: ['add', 'look'],
};

const envelopes: readonly Envelope[] = [
  {
    kind: 'message',
    to: 'stock/tea',
    from: '@client',
    replyTo: 'skerry.client.one',
    call: 7,
    identity: 'ada',
    arrival: {
      session: 1_790_000_000_000,
      seq: 4,
      floor: 3,
      expires: 1_790_000_030_000,
      sent: 1_790_000_000_000,
      keepMs: 60_000,
    },
    content: contentOf('add', { units: 3 }, { wantsAnswer: true, hold: 'h' }),
  },
  {
    kind: 'query',
    to: 'stock/tea',
    replyTo: 'skerry.client.one',
    call: 8,
    identity: '',
    operation: 'look',
    payload: encode(1),
    deadline: 1e12,
  },
  { kind: 'reply', to: 'skerry.client.one', call: 8, status: 'answer', bytes: encode(['done', { units: 3 }]) },
  { kind: 'ack', to: 'order/1', from: 'stock/tea', session: 4, number: 9 },
];

const entry = {
  name: 'a',
  id: 'a-1',
  weight: 64,
  labels: ['gpu'],
  types: [{ type: 'stock', labels: [] }],
  version: '1',
  isLeaving: false,
};
const view = { version: 4, partitions: 256, workers: [entry], pins: [{ address: 'stock/tea', worker: 'a' }] };
const warm = {
  address,
  loaded: { version: 3, head: small.head, wakeAt: 5, records: small.records },
  activities: [['peer/one', activitySample()]] as const,
};
const signals: readonly ControlMessage[] = [
  { kind: 'echo', number: 3 },
  { kind: 'doubt', id: 'a-1', number: 3 },
  { kind: 'present', number: 3, term: 2, sent: 5 },
  { kind: 'pinned' },
  { kind: 'keeping', id: 'a-1', partitions: [1], ask: 3 },
  { kind: 'boarded', id: 'a-1', partition: 1, epoch: 3, batch: 2, except: [address] },
  { kind: 'settled', id: 'a-1', partition: 1, epoch: 3 },
  { kind: 'fetch', id: 'a-1', view, partitions: [1, 2], epochs: [3, 4], ask: 5, batches: [0, 2], slices: [0, 7] },
  { kind: 'bare', id: 'a-1', partitions: [1], ask: 5 },
  {
    kind: 'carried',
    id: 'a-1',
    name: 'a',
    partition: 1,
    epoch: 3,
    ask: 5,
    batch: 2,
    index: 0,
    count: 1,
    bytes: new Uint8Array(3),
    isLast: true,
    leftCount: 0,
  },
  { kind: 'view', view, sent: 5 },
  { kind: 'resolve', replyTo: 'skerry.client.one' },
  { kind: 'announce', entry, viewVersion: 4, sent: 5 },
  { kind: 'absent', id: 'a-1', by: 'b-1' },
  { kind: 'ping', mark: { term: 1, at: 5 } },
  { kind: 'pong', id: 'a-1', mark: { term: 1, at: 5 }, sent: 6 },
  { kind: 'gone', id: 'a-1', viewVersion: 4 },
  { kind: 'seek', id: 'a-1', view, partitions: [1, 2], ask: 7 },
  { kind: 'none', id: 'a-1', partitions: [3], ask: 7 },
  {
    kind: 'released',
    id: 'a-1',
    ask: 7,
    partition: 3,
    epoch: 2,
    mark: 1,
    index: 0,
    count: 1,
    entities: [warm],
  },
];

/** All of them. */
export const targets: readonly Target[] = [
  {
    name: 'value',
    samples: [encode({ a: [1, 2.5, 'é', null, true, new Uint8Array(9), { b: undefined }] }), encode(2n ** 60n)],
    decode,
    check: (decoded) => void decode(encode(decoded)),
  },
  {
    name: 'frame',
    samples: [
      encodeFrame(envelopes, { viewVersion: 3, hops: 0 }),
      encodeLocationHint({ id: 'a-1', partitions: [1, 2, 3] }, 4),
    ].map(copy),
    forged: (forge) => forge.hostileFrame(where),
    decode: decodeFrame,
    check: (decoded) => {
      const { envelopes: read, viewVersion, hops } = decoded as ReturnType<typeof decodeFrame>;
      decodeFrame(new Uint8Array(encodeFrame(read, { viewVersion, hops })));
    },
  },
  {
    name: 'signal',
    samples: signals.map((signal) => copy(encodeControl(signal))),
    decode: decodeControl,
    check: (decoded) => void decodeControl(copy(encodeControl(decoded as ControlMessage))),
  },
  {
    name: 'ask',
    samples: [
      copy(
        encodeAdminRequest({
          replyTo: 'skerry.answers.one',
          number: 3,
          request: { kind: 'list', type: 'stock', after: '', limit: 10 },
        }),
      ),
      copy(
        encodeAdminRequest({
          replyTo: 'skerry.answers.one',
          number: 4,
          request: { kind: 'epochs', partitions: [1, 2] },
        }),
      ),
      copy(
        encodeAdminRequest({
          replyTo: 'skerry.answers.one',
          number: 5,
          request: { kind: 'pin', address, worker: 'a' },
        }),
      ),
    ],
    decode: decodeAdminRequest,
    check: (decoded) =>
      void decodeAdminRequest(copy(encodeAdminRequest(decoded as ReturnType<typeof decodeAdminRequest>))),
  },
  {
    name: 'part of an answer',
    samples: [copy(encodePart({ number: 1, index: 0, count: 2, bytes: encode(['done', 1]) }))],
    decode: decodePart,
  },
  {
    name: 'answer',
    samples: [copy(encodeAnswer({ a: 1 })), copy(encodeFailure(new Error('x')))],
    decode: answerOrFailure,
  },
  {
    name: 'carriage',
    samples: [
      imagesOf({
        carried: { ...warm, partition: 3, epoch: 7, isComplete: true },
        name: 'a',
        givenTo: ['b-1'],
        isForsaken: false,
      }),
    ],
    decode: (bytes) => {
      const reader = new OfferReader([bytes], 'a');
      while (reader.read());
      return reader.offers;
    },
  },
  ...entityTargets,
];

function imagesOf(offer: Offer): Uint8Array {
  const slices = new Slices(1_000_000);
  slices.add(offer, 1_000_000);
  return slices.slice(0);
}

function copy(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** A failure is an answer too: what the worker says of it is thrown. */
function answerOrFailure(bytes: Uint8Array): unknown {
  try {
    return decodeAnswer(bytes);
  } catch (error) {
    if (isSkerryError(error)) return error;
    throw error;
  }
}
