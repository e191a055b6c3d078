/**
 * A cluster of real nats-servers whose routes are cut, and signals that come again late.
 *
 * Time limit: 120 s.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { viewsPerTerm } from '../../placement/service.ts';
import { freePort } from '../../runtime/cli/programs.ts';
import { connect, type RemoteCluster } from '../../runtime/connect.ts';
import { type ServedWorker, serve } from '../../runtime/serve.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import type { Transport } from '../../runtime/transport.ts';
import { decodeControl } from '../../runtime/wire/control-messages.ts';
import { NatsServer } from '../support/nats-server.ts';
import { comesTrue, Noted } from '../support/noted.ts';
import { withWorkers } from '../support/served.ts';
import { assert, suite } from '../support/suite.ts';
import { Tally, tallyWith } from '../support/tally.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const test = suite('split');

interface Sides {
  readonly servers: readonly [NatsServer, NatsServer];
  readonly route: TcpProxy;
  readonly store: MemoryStore;
}

/** Two servers that are one NATS by a route that can be cut. */
async function withSides(body: (sides: Sides) => Promise<void>): Promise<void> {
  const port = await freePort();
  const cluster = (rest: string) => `cluster { name: one, no_advertise: true, ${rest} }`;
  const first = await NatsServer.start(cluster(`listen: "127.0.0.1:${port}"`));
  const route = await TcpProxy.to(port);
  const routes = `listen: "127.0.0.1:${await freePort()}", routes: ["nats://127.0.0.1:${route.port}"]`;
  const second = await NatsServer.start(cluster(routes));
  try {
    await comesTrue('the servers are one', () => /Route connection created/.test(second.output));
    await body({ servers: [first, second], route, store: new MemoryStore({ partitions: 64 }) });
  } finally {
    await second.close();
    await route.close();
    await first.close();
  }
}

/** Starts a worker on one of the servers; `noted` has what it logs. */
async function join(sides: Sides, name: string, side: 0 | 1): Promise<{ worker: ServedWorker; noted: Noted }> {
  const noted = new Noted();
  const { store } = sides;
  const nats = sides.servers[side].url;
  const worker = await serve({ nats, store, name, behaviours: [tallyWith()], environment: noted.environment });
  await worker.ready();
  return { worker, noted };
}

const namesIn = ({ view }: { view: ServedWorker['view'] }) => view.workers.map(({ name }) => name).join();
const termOf = ({ view }: ServedWorker) => Math.floor(view.version / viewsPerTerm);
const splits = /cluster is split/;

async function addAll(remote: RemoteCluster): Promise<void> {
  const keys = Array.from({ length: 60 }, (_, key) => String(key));
  await Promise.all(keys.map((key) => remote.entity(Tally, key).add(1)));
}

test(
  'EL4, TY6: where routes are cut, the side of the service stays and has everything, and each side says so once',
  () =>
    withSides(async (sides) => {
      const a = await join(sides, 'a', 0);
      const b = await join(sides, 'b', 0);
      const c = await join(sides, 'c', 1);
      const remote = await connect({ nats: sides.servers[0].url, environment: new Noted().environment });
      try {
        await addAll(remote);
        for (const round of [1, 2]) {
          await sides.route.cut();
          await comesTrue('c gave everything up', () => c.worker.member.worker.partitions.length === 0);
          await comesTrue('it is out of the view', () => namesIn(a.worker) === 'a,b');
          await comesTrue('the service knows of it', () => a.worker.member.split !== '');
          await addAll(remote);
          // Some claims and looks at the lease more would have come by now.
          await sleep(3_000);
          await addAll(remote);
          assert.equal(
            [a, b, c].map(({ worker }) => worker.member.isServing),
            [true, false, false],
          );
          assert.is(c.worker.member.worker.partitions.length, 0);
          assert.equal(
            [a, b, c].map(({ noted }) => noted.count(splits)),
            [round, 0, round],
          );
          await sides.route.heal();
          await comesTrue('c is back', () => namesIn(a.worker) === 'a,b,c' && c.worker.member.isReady, 30_000);
          await comesTrue('nobody says that it is split', () => a.worker.member.split + c.worker.member.split === '');
        }
        await addAll(remote);
        assert.is(termOf(a.worker), 1);
        assert.ok(a.noted.lines.length + b.noted.lines.length + c.noted.lines.length < 60, 'it is quiet');
      } finally {
        await remote.close();
        for (const { worker } of [c, b, a]) await worker.close();
      }
    }),
  { timeoutMs: 110_000 },
);

test(
  'EL4: where the service is cut off from most workers, it yields once, and those go on',
  () =>
    withSides(async (sides) => {
      const c = await join(sides, 'c', 1);
      const a = await join(sides, 'a', 0);
      const b = await join(sides, 'b', 0);
      assert.equal(
        [a, b, c].map(({ worker }) => worker.member.isServing),
        [false, false, true],
      );
      await sides.route.cut();
      await comesTrue('c gave everything up', () => c.worker.member.worker.partitions.length === 0);
      await comesTrue('a and b have everything', () => namesIn(a.worker) === 'a,b' && a.worker.member.isReady);
      await sleep(3_000);
      assert.is(c.worker.member.worker.partitions.length, 0);
      assert.equal([a, b].filter(({ worker }) => worker.member.isServing).length, 1);
      assert.is(c.worker.member.isServing, false);
      assert.is(termOf(a.worker), 2);
      await sides.route.heal();
      await comesTrue('all are together', () => namesIn(a.worker) === 'a,b,c' && c.worker.member.isReady, 30_000);
      assert.is(termOf(a.worker), 2);
      for (const { worker } of [c, b, a]) await worker.close();
    }),
  { timeoutMs: 110_000 },
);

/** Keeps what is said to workers and to the service, so that it can be said again. */
class Recorder implements Transport {
  readonly #inner: Transport;
  readonly said: { readonly subject: string; readonly frame: Uint8Array }[] = [];
  /** Of this process nothing gets to the service. */
  muteId = '';

  constructor(inner: Transport) {
    this.#inner = inner;
  }

  get frameBytesMax(): number {
    return this.#inner.frameBytesMax;
  }

  send(subject: string, frame: Uint8Array): void {
    if (/\.(views|service)$|\.control\./.test(subject)) this.said.push({ subject, frame: new Uint8Array(frame) });
    if (this.muteId === '' || !subject.endsWith('.service') || !this.#isOf(this.muteId, frame))
      this.#inner.send(subject, frame);
  }

  #isOf(id: string, frame: Uint8Array): boolean {
    const message = decodeControl(frame);
    return message.kind === 'announce' ? message.entry.id === id : 'id' in message && message.id === id;
  }

  /** What was said, or the first of it, once more. */
  again(count = this.said.length): void {
    for (const { subject, frame } of this.said.slice(0, count)) this.#inner.send(subject, frame);
  }

  readonly listen: Transport['listen'] = (subject, receive) => this.#inner.listen(subject, receive);
  readonly onAbsent: Transport['onAbsent'] = (tell) => this.#inner.onAbsent(tell);
  readonly onRestored: Transport['onRestored'] = (tell) => this.#inner.onRestored(tell);
  close(): Promise<void> {
    return this.#inner.close();
  }
}

test('PS6, MB1: signals of long ago that come again stop no worker, move nothing and delay no failover', () =>
  withWorkers({ names: [] }, async ({ hand, transport, join: start, remoteOf, during, workers }) => {
    const recorder = new Recorder(transport);
    const store = new MemoryStore({ partitions: 16 });
    const begin = (name: string) => start(name, { transport: recorder, store });
    const stop = (name: string) => workers.get(name)?.member.stop();
    // Each name had a process before, and the service was elsewhere.
    for (const name of ['a', 'b', 'c']) await begin(name);
    await hand.advance(2_000);
    const earlierCount = recorder.said.length;
    for (const name of ['a', 'b', 'c']) {
      stop(name);
      await begin(name);
      await hand.advance(3_000);
    }
    const remote = await remoteOf();
    const keys = Array.from({ length: 40 }, (_, key) => String(key));
    const addAll = () => during(Promise.all(keys.map((key) => remote.entity(Tally, key).add(1))));
    await addAll();
    const before = [...workers.values()].map(({ member }) => member.worker.partitions);
    const ends: string[] = [];
    for (const [name, { closed }] of workers) void closed.then((how) => ends.push(`${name} ${how}`));
    for (let round = 0; round < 40; round++) {
      await hand.advance(4_000);
      recorder.again();
    }
    // One is not heard for a while: long enough to be taken for dead. What the process before it said is heard meanwhile.
    recorder.muteId = [...workers.values()].find(({ member }) => !member.isServing)?.id ?? '';
    for (let round = 0; round < 20; round++) {
      await hand.advance(200);
      recorder.again(earlierCount);
    }
    recorder.muteId = '';
    await hand.advance(5_000);
    assert.equal(ends, []);
    assert.equal(
      [...workers.values()].map(({ member }) => member.worker.partitions),
      before,
    );
    // A crash is found as soon as ever, whatever was said before by who has crashed.
    const startedAt = hand.now();
    stop('b');
    const repeat = hand.after(100, () => recorder.again());
    await addAll();
    assert.ok(hand.now() - startedAt < 6_000, `${hand.now() - startedAt} ms`);
    repeat();
  }));

test.run();
