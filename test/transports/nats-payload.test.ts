/**
 * A cluster over a NATS that takes small frames, or takes smaller ones from some moment on: what is too large is refused in its
 * turn, with nothing done, and nobody is disconnected.
 *
 * Time limit: 90 s.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { isSkerryError } from '../../core/errors.ts';
import { Inspector } from '../../runtime/admin/inspector.ts';
import { freePort } from '../../runtime/cli/programs.ts';
import { connect, type RemoteCluster } from '../../runtime/connect.ts';
import { type ServedWorker, serve } from '../../runtime/serve.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { openNats } from '../../runtime/transports/nats/transport.ts';
import { envelopeOverheadBytes } from '../../runtime/wire/codec.ts';
import { NatsServer } from '../support/nats-server.ts';
import { comesTrue, Noted } from '../support/noted.ts';
import { Patience } from '../support/patience.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, type TallyTurn, tallyWith } from '../support/tally.ts';

const test = suite('max_payload');
/** Some of them live on the worker of any other entity, some do not. */
const others = Array.from({ length: 12 }, (_, at) => `other ${at}`);
const tally = tallyWith({
  send: (turn: TallyTurn) => void turn.to(Tally, 'other').see('x'.repeat(turn.state.count)),
  later: (turn: TallyTurn) => {
    for (const key of others) turn.to(Tally, key, { afterMs: 6_000 }).see('x'.repeat(turn.state.count));
  },
  answer: (turn: TallyTurn) => 'x'.repeat(turn.state.count),
  grow: (turn: TallyTurn) => void turn.state.seen.push('x'.repeat(200_000)),
});

function missing(): never {
  throw new Error('there is no such entity');
}

const failureOf = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => undefined,
    (error: unknown) => error,
  );

async function comesTrueOf(what: string, isSo: () => Promise<boolean>): Promise<void> {
  let isTrue = false;
  const look = async (): Promise<void> => {
    isTrue = await isSo();
    if (!isTrue) await pause(20).then(look);
  };
  void look();
  await comesTrue(what, () => isTrue, 20_000);
}

/** So many messages have reached a tally. */
const arrives = ({ inspector }: Given, address: string, count: number) =>
  comesTrueOf(`${count} have reached ${address}`, async () => {
    const found = await inspector.get(address);
    return ((found?.state as { seen: unknown[] } | undefined)?.seen.length ?? 0) >= count;
  });

interface Given {
  readonly server: NatsServer;
  readonly noted: Noted;
  readonly cluster: RemoteCluster;
  readonly inspector: Inspector;
  /** The server comes back with another configuration. */
  again(configuration: string): Promise<void>;
  /** What the server has counted, without what comes with time. */
  messages(): Promise<number>;
}

const given = (title: string, configuration: string, body: (given: Given) => Promise<void>) =>
  test(
    title,
    async () => {
      const monitor = `http: "127.0.0.1:${await freePort()}"`;
      const server = await NatsServer.start(`${configuration}\n${monitor}`);
      const noted = new Noted();
      const store = new MemoryStore({ partitions: 16 });
      const workers: ServedWorker[] = [];
      const { environment } = noted;
      let cluster: RemoteCluster | undefined;
      try {
        for (const name of ['a', 'b'])
          workers.push(await serve({ behaviours: [tally], nats: server.url, store, name, environment }));
        for (const worker of workers) await worker.ready();
        cluster = await connect({ nats: server.url, environment });
        const inspector = new Inspector(store);
        const again = async (text: string) => {
          const before = noted.count(/is restored/);
          await server.kill();
          server.configure(`${text}\n${monitor}`);
          await server.restart();
          await comesTrue('all are there again', () => noted.count(/is restored/) === before + 3, 30_000);
        };
        const startedAt = performance.now();
        const messages = async () => {
          const answer = await fetch(`http://${/"(.*)"/.exec(monitor)?.[1]}/varz`);
          // Signs of life of two workers and views come all the time.
          const signs = (performance.now() - startedAt) * 0.06;
          return Number(((await answer.json()) as { in_msgs: number }).in_msgs) - signs;
        };
        await body({ server, noted, cluster, inspector, again, messages });
      } finally {
        await cluster?.close();
        for (const worker of workers) await worker.close();
        await server.close();
      }
    },
    { timeoutMs: 60_000 },
  );

const small = 'max_payload: 65536';
const messageBytesMax = 65_536 - envelopeOverheadBytes;
const large = 'x'.repeat(100_000);

given('M8, P12: with 64 KiB what is larger is refused where it arises, with nothing done', small, async (all) => {
  const { cluster, inspector, noted, messages } = all;
  assert.is(noted.count(/messageBytesMax is lowered/), 3, 'two workers and the client say so');
  const one = cluster.entity(Tally, 'one');
  const refused = async (asked: Promise<unknown>) => {
    const error = await failureOf(asked);
    assert.ok(isSkerryError(error, 'too-large'), String(error));
    assert.is(error.effect, 'none');
    assert.match(error.message, /messageBytesMax/);
  };
  const before = await messages();
  const patience = new Patience();
  await refused(one.see(large));
  await one.add(100_000);
  for (const name of ['send', 'later', 'answer']) await refused(one.run(name));
  await refused(one.look('answer'));
  assert.ok(patience.passedMs() < 25_000, 'none of them waits for a deadline');
  const { state, outbox, timers } = (await inspector.get('tally/one')) ?? missing();
  assert.equal([state, outbox, timers], [{ count: 100_000, seen: [] }, [], []]);
  assert.is(await inspector.get('tally/other'), undefined);
  // A state is not sent: it may be larger.
  await one.run('grow');
  await one.see('y'.repeat(messageBytesMax - 100));
  await one.add(messageBytesMax - 100_000 - 100);
  await one.run('send');
  await arrives(all, 'tally/other', 1);
  await refused(one.seen());
  assert.ok((await messages()) - before < 400, 'nothing is sent again and again');
  assert.is(noted.count(/is lost|did not send/), 0, 'nobody was disconnected, and nothing came to be sent');
});

given(
  'M8, P7: when NATS comes back with less, turns and calls go by that, and what was decided ends',
  '',
  async (all) => {
    const { cluster, inspector, noted, again, messages } = all;
    const one = cluster.entity(Tally, 'one');
    await one.add(50_000);
    await one.run('later');
    await again(small);
    await one.run('send');
    await arrives(all, 'tally/other', 1);
    await again('max_payload: 32768');
    const before = await messages();
    for (const name of ['send', 'answer']) await rejects(one.run(name), 'too-large');
    await rejects(one.see(large), 'too-large');
    await rejects(one.look('answer'), 'too-large');
    await rejects(one.see('x'.repeat(31_000)), 'too-large');
    assert.is(await one.add(-40_000), 10_000);
    await one.run('send');
    await arrives(all, 'tally/other', 2);
    // What was decided before, and is due now, reaches who lives beside it; the others become dead letters.
    await comesTrueOf('what was delayed has ended', async () => {
      const { timers, outbox } = (await inspector.get('tally/one')) ?? missing();
      return timers.length + outbox.length === 0;
    });
    const { dead } = (await inspector.get('tally/one')) ?? missing();
    let came = 0;
    for (const key of others) came += (await inspector.get(`tally/${key}`)) === undefined ? 0 : 1;
    assert.is(came + dead.length, others.length);
    assert.ok(dead.length > 0 && dead.every(({ reason }) => reason.includes('max_payload')));
    assert.ok((await messages()) - before < 400, 'nothing is sent again and again');
    assert.is(noted.count(/smaller frames than before/), 6);
    assert.is(await one.add(1), 10_001, 'and all goes on');
  },
);

test('a worker whose limits say more than NATS takes does not start, nor does one that NATS leaves no room', async () => {
  for (const [configuration, limits, pattern] of [
    [small, { messageBytesMax: 61_441 }, /messageBytesMax \(61441\) is too large/],
    ['max_payload: 8191', {}, /at least 8192 are needed/],
  ] as const) {
    const server = await NatsServer.start(configuration);
    const { environment } = new Noted();
    const starting = serve({ behaviours: [tally], nats: server.url, store: new MemoryStore(), limits, environment });
    await rejects(starting, 'invalid-definition', pattern);
    await rejects(connect({ nats: server.url, limits, environment }), 'invalid-definition', pattern);
    await server.close();
  }
});

test('a server that comes back with next to no room is away until it has some: that lowers nothing for good', async () => {
  const server = await NatsServer.start(small);
  const noted = new Noted();
  const transport = await openNats({ servers: server.url }, noted.environment);
  const { frameBytesMax } = transport;
  const comeBack = async (configuration: string): Promise<void> => {
    await server.kill();
    server.configure(configuration);
    await server.restart();
  };
  await comeBack('max_payload: 1024');
  await comesTrue('it is refused', () => /accepts frames of 1024 bytes/.test(noted.text));
  assert.is(transport.frameBytesMax, frameBytesMax);
  await comeBack(small);
  await comesTrue('it is back', () => noted.count(/is restored/) === 1);
  assert.is(transport.frameBytesMax, frameBytesMax);
  await transport.close();
  await server.close();
});

test.run();
