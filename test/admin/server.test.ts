/** What tools ask of workers, over the in-process transport: reports, what is stored, pins, leaving; and the bounds on it. */
import { AdminClient } from '../../runtime/admin/client.ts';
import { Inspector } from '../../runtime/admin/inspector.ts';
import { RemoteStore } from '../../runtime/admin/remote-store.ts';
import { readPlace, readReport, readTypes, reportRow } from '../../runtime/admin/worker-report.ts';
import {
  type AdminRequest,
  decodeAdminRequest,
  decodeAnswer,
  decodePart,
  encodeAdminRequest,
  encodePart,
} from '../../runtime/wire/admin-messages.ts';
import { encode } from '../../runtime/wire/codec.ts';
import { Subjects } from '../../runtime/wire/subjects.ts';
import { type ServedGiven, withWorkers } from '../support/served.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { tallyWith } from '../support/tally.ts';

const adminServer = suite('admin server');
const subjects = new Subjects('main');

/** Asks a worker by its name, as a tool does. */
function toolOf({ hand, transport, workers, during }: ServedGiven) {
  const admin = new AdminClient({ environment: hand, transport, subjects });
  const idOf = (name: string) => workers.get(name)?.id ?? name;
  const requested = (name: string, question: AdminRequest, timeoutMs?: number) =>
    during(admin.request(idOf(name), question, timeoutMs));
  const value = async (name: string, question: AdminRequest) => {
    const answered = await requested(name, question);
    return answered.status === 'answered' ? answered.value : answered.status;
  };
  return { admin, requested, value, idOf };
}

adminServer('a report says what a worker has: partitions with epochs, what comes, and figures', () =>
  withWorkers({ limits: { skewMaxMs: 12_345 } }, async (given) => {
    const { value } = toolOf(given);
    await given.during(given.tally(given.keyAt('b')).add(1));
    const [a, b] = [readReport(await value('a', { kind: 'report' })), readReport(await value('b', { kind: 'report' }))];
    assert.is(a.partitions.length + b.partitions.length, 16);
    assert.equal([a.isReady, b.isReady, a.isServing, b.isServing], [true, true, true, false]);
    assert.equal([a.figures.activations, b.figures.activations, b.figures.turns], [0, 1, 1]);
    assert.is(b.skewMaxMs, 12_345);
    const [early] = [reportRow(b).slice(0, 12)];
    assert.is(readReport(early).skewMaxMs, undefined, 'an earlier worker does not say it');
    const epochs = await given.gate.inner.epochs(b.partitions.map(({ partition }) => partition));
    assert.equal(
      b.partitions.map(({ epoch }) => epoch),
      epochs,
    );
    const place = readPlace(await value('b', { kind: 'entity', address: `tally/${given.keyAt('b')}` }));
    assert.ok(place.isActive && place.epoch !== undefined);
    assert.is(readPlace(await value('a', { kind: 'entity', address: `tally/${given.keyAt('b')}` })).epoch, undefined);
    const [tally] = readTypes(await value('a', { kind: 'types' }));
    assert.equal(
      tally?.operations.find(({ name }) => name === 'take'),
      { name: 'take', kind: 'tentative', holdMs: 5_000 },
    );
  }),
);

adminServer('RD1: what is stored is read through a worker, page by page, as from the store itself', () =>
  withWorkers({ behaviours: [tallyWith({}, { historyMs: 1_000_000 })] }, async (given) => {
    const { value } = toolOf(given);
    const keys = Array.from({ length: 90 }, (_, index) => `k${String(index).padStart(3, '0')}`);
    await given.during(Promise.all(keys.map((key) => given.tally(key).see('a'.repeat(20)))));
    for (let turn = 0; turn < 150; turn++) await given.during(given.tally('k000').add(1));
    const remote = new RemoteStore(16, (question) => value('b', question));
    const { inner } = given.gate;
    const all = { limit: 1_000 };
    assert.equal(await remote.list('tally', all), await inner.list('tally', all));
    assert.equal(await remote.list(undefined, { after: 'tally/k050', limit: 3 }), [
      'tally/k051',
      'tally/k052',
      'tally/k053',
    ]);
    assert.equal(await remote.list('other', all), []);
    for (let partition = 0; partition < 16; partition++)
      assert.equal(await remote.wakes(partition, all), await inner.wakes(partition, all));
    assert.equal(await remote.epochs([3, 4]), await inner.epochs([3, 4]));
    const [mine, direct] = [new Inspector(remote), new Inspector(inner)];
    assert.equal(await mine.get('tally/k000'), await direct.get('tally/k000'));
    assert.is(await mine.get('tally/nobody'), undefined);
    const versions: number[] = [];
    for await (const item of mine.history('tally/k000')) versions.push(item.version);
    assert.is(versions.length, 151);
    assert.equal(
      versions,
      [...versions].sort((one, other) => one - other),
    );
  }),
);

adminServer('DK1: an answer larger than a frame comes in parts, also if some are lost on the way', () =>
  withWorkers({ names: ['a'] }, async (given) => {
    const { value } = toolOf(given);
    for (let time = 0; time < 5; time++) await given.during(given.tally('large').see('x'.repeat(800_000)));
    const send = given.transport.send.bind(given.transport);
    let sentCount = 0;
    given.transport.send = (subject, frame) => {
      sentCount += 1;
      if (sentCount % 3 !== 0) send(subject, frame);
    };
    const found = await given.during(
      new Inspector(new RemoteStore(16, (request) => value('a', request))).get('tally/large'),
    );
    const { seen = [] } = (found?.state ?? {}) as { seen?: string[] };
    assert.equal(
      seen.map((text) => text.length),
      Array(5).fill(800_000),
    );
  }),
);

adminServer('DK1: an answer that is too large as a whole is an error that says so', () =>
  withWorkers({ names: ['a'], limits: { stateBytesMax: 64 * 1024 * 1024 } }, async (given) => {
    const { requested } = toolOf(given);
    for (let time = 0; time < 45; time++) await given.during(given.tally('large').see('x'.repeat(800_000)));
    await rejects(requested('a', { kind: 'load', address: 'tally/large' }), 'too-large', /the limit is 33554432/);
  }),
);

adminServer(
  'DK2: epochs are told of no more partitions than a cluster may have, and the store is not asked for more',
  () =>
    withWorkers({ names: ['a'] }, async ({ gate, ...given }) => {
      const { requested, value } = toolOf({ gate, ...given });
      const many = Array.from({ length: 65_536 }, () => 3);
      const epochs = gate.inner.epochs.bind(gate.inner);
      const [epoch] = await epochs([3]);
      assert.equal(
        await value('a', { kind: 'epochs', partitions: many }),
        many.map(() => epoch),
      );
      let askedCount = 0;
      gate.epochs = (partitions) => {
        askedCount += partitions.length;
        return epochs(partitions);
      };
      await rejects(requested('a', { kind: 'epochs', partitions: [...many, 3] }), 'too-large', /the limit is 65536/);
      assert.ok(askedCount < 65_536);
    }),
);

adminServer('DK1: a worker that answers without end is not listened to for longer', () =>
  withWorkers({ names: ['a'] }, async ({ hand, transport, during }) => {
    const admin = new AdminClient({ environment: hand, transport, subjects });
    let sentBytes = 0;
    transport.listen(subjects.asks('liar'), (bytes) => {
      const { replyTo, number, request } = decodeAdminRequest(bytes);
      const index = request.kind === 'more' ? request.index : 0;
      const part = new Uint8Array(index === 5 ? 0 : 900_000);
      sentBytes += part.length;
      transport.send(replyTo, encodePart({ number, index, count: 1_000_000, bytes: part }));
    });
    const lied = admin.request('liar', { kind: 'report' });
    const answered = await during(lied);
    assert.equal(
      [answered, sentBytes < 20 * 900_000],
      [{ status: 'silent' }, true],
      'of nothing it is not asked for more',
    );
  }),
);

adminServer('DK1: an answer that has more than any may have is refused', () =>
  withWorkers({ names: ['a'] }, async ({ hand, transport, during }) => {
    const admin = new AdminClient({ environment: hand, transport, subjects });
    transport.listen(subjects.asks('liar'), (bytes) => {
      const { replyTo, number, request } = decodeAdminRequest(bytes);
      const index = request.kind === 'more' ? request.index : 0;
      transport.send(replyTo, encodePart({ number, index, count: 1_000_000, bytes: new Uint8Array(900_000) }));
    });
    await rejects(during(admin.request('liar', { kind: 'report' })), 'too-large', /exceeds 33554432 bytes/);
  }),
);

adminServer('DK2: past its bound a worker answers overloaded, and what was asked for before is still answered', () =>
  withWorkers({ names: ['a'] }, async (given) => {
    const { admin, idOf } = toolOf(given);
    const load = given.gate.load.bind(given.gate);
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    given.gate.load = (...asked) => opened.then(() => load(...asked));
    const requests = Array.from({ length: 40 }, () => admin.request(idOf('a'), { kind: 'load', address: 'tally/a' }));
    const settled = Promise.allSettled(requests);
    await given.hand.advance(100);
    open();
    const results = await given.during(settled);
    const refused = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    assert.is(results.length - refused.length, 32);
    for (const { reason } of refused) assert.is((reason as { code: string }).code, 'overloaded');
  }),
);

adminServer('DK2: the oldest answer that nobody fetches goes; whoever comes for it is told to ask again', () =>
  withWorkers({ names: ['a'] }, async (given) => {
    const { idOf } = toolOf(given);
    for (let time = 0; time < 2; time++) await given.during(given.tally('large').see('x'.repeat(800_000)));
    const replyTo = subjects.answers('lazy');
    const parts: ReturnType<typeof decodePart>[] = [];
    given.transport.listen(replyTo, (bytes) => parts.push(decodePart(bytes)));
    const send = async (number: number, request: AdminRequest) => {
      given.transport.send(subjects.asks(idOf('a')), encodeAdminRequest({ replyTo, number, request }));
      await given.hand.idle();
      return parts.at(-1);
    };
    for (let number = 1; number <= 5; number++)
      assert.is((await send(number, { kind: 'load', address: 'tally/large' }))?.count, 2);
    const gone = await send(1, { kind: 'more', index: 1 });
    assert.is(gone?.count, 1);
    await rejects(
      (async () => decodeAnswer(gone?.bytes ?? new Uint8Array()))(),
      'overloaded',
      /send the request again/,
    );
    assert.is((await send(5, { kind: 'more', index: 1 }))?.count, 2);
  }),
);

adminServer(
  'AQ1: an ask of a worker that is gone says absent, of one that does not answer silent, and a failure is its error',
  () =>
    withWorkers({}, async (given) => {
      const { requested, admin, idOf } = toolOf(given);
      assert.equal(await requested('nobody', { kind: 'report' }), { status: 'absent' });
      await rejects(requested('a', { kind: 'load', address: 'nonsense' }), 'invalid-address');
      const stop = given.transport.listen(subjects.asks('mute'), () => undefined);
      const before = given.hand.now();
      assert.equal(await requested('mute', { kind: 'report' }, 2_000), { status: 'silent' });
      assert.is(given.hand.now() - before, 2_000);
      const unanswered = admin.request('mute', { kind: 'report' });
      admin.close();
      await rejects(unanswered, 'closed');
      stop();
      assert.is(idOf('mute'), 'mute');
    }),
);

adminServer('AK1: what is no ask, or wants its answer where no answers go, is dropped; what is no answer, too', () =>
  withWorkers({ names: ['a'] }, async (given) => {
    const { value, idOf, admin } = toolOf(given);
    const heard: Uint8Array[] = [];
    given.transport.listen(subjects.control('victim'), (bytes) => heard.push(bytes));
    const to = subjects.asks(idOf('a'));
    const report: AdminRequest = { kind: 'report' };
    given.transport.send(to, encodeAdminRequest({ replyTo: subjects.control('victim'), number: 1, request: report }));
    for (const bytes of [new Uint8Array([1, 2]), encode([2, 'x', 1, 0]), encode([1, 'x', 1, 99]), encode('nothing')])
      given.transport.send(to, bytes);
    await given.hand.idle();
    assert.is(heard.length, 0);
    assert.throws(() => decodeAdminRequest(encode([1, subjects.answers('x'), 1, 7, ['1']])), /whole numbers/);
    assert.throws(() => decodePart(encode([9, 1, 0, 1, new Uint8Array()])), /version 9/);
    const answer = admin.request('mute', report, 1_000);
    given.transport.listen(subjects.asks('mute'), (bytes) => {
      const { replyTo, number } = decodeAdminRequest(bytes);
      given.transport.send(replyTo, new Uint8Array([255]));
      given.transport.send(replyTo, encodePart({ number: number + 7, index: 0, count: 1, bytes: encode(['done', 1]) }));
    });
    assert.equal(await given.during(answer), { status: 'silent' });
    assert.is(readReport(await value('a', report)).name, 'a');
  }),
);

adminServer('a pin and its end, through a worker that is not concerned; a worker that is not there is refused', () =>
  withWorkers({}, async (given) => {
    const { value, requested } = toolOf(given);
    const key = given.keyAt('a');
    await given.during(given.tally(key).add(1));
    const address = `tally/${key}`;
    await value('a', { kind: 'pin', address, worker: 'b' });
    await given.hand.advance(500);
    assert.is(given.remote.where(address).worker, 'b');
    assert.is(await given.during(given.tally(key).add(1)), 2);
    assert.ok(readPlace(await value('b', { kind: 'entity', address })).isActive);
    await rejects(requested('a', { kind: 'pin', address, worker: 'c' }), 'not-found');
    await value('a', { kind: 'pin', address, worker: '' });
    await given.hand.advance(500);
    assert.is(given.remote.where(address).worker, 'a');
    assert.is(await given.during(given.tally(key).add(1)), 3);
  }),
);

adminServer('a worker that is asked to leave hands everything off, and is gone', () =>
  withWorkers({}, async (given) => {
    const { value, requested } = toolOf(given);
    const key = given.keyAt('a');
    await given.during(given.tally(key).add(1));
    await value('a', { kind: 'leave' });
    assert.is(await given.during(given.workers.get('a')?.closed ?? Promise.reject(new Error('no a'))), 'left');
    assert.equal(await requested('a', { kind: 'report' }), { status: 'absent' });
    assert.is(readReport(await value('b', { kind: 'report' })).partitions.length, 16);
    assert.is(await given.during(given.tally(key).add(1)), 2);
  }),
);

adminServer.run();
