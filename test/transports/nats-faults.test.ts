/**
 * The transport over NATS when servers and cables fail.
 *
 * Time limit: 120 s.
 */
import { setImmediate as tick } from 'node:timers/promises';
import { type NatsOptions, type NatsTransport, openNats } from '../../runtime/transports/nats/transport.ts';
import { NatsServer } from '../support/nats-server.ts';
import { comesTrue, Noted } from '../support/noted.ts';
import { Patience } from '../support/patience.ts';
import { assert, suite } from '../support/suite.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const faults = suite('nats faults');
const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

interface Given {
  readonly server: NatsServer;
  readonly noted: Noted;
  /** A connection that is closed with the test; `by` is where it leads through. */
  open(options?: Partial<NatsOptions>, by?: TcpProxy): Promise<NatsTransport>;
  proxy(): Promise<TcpProxy>;
}

function given(title: string, body: (parts: Given) => Promise<void>, { speed = 1, configuration = '' } = {}): void {
  faults(title, async () => {
    const server = await NatsServer.start(configuration);
    const noted = new Noted(speed);
    const open: NatsTransport[] = [];
    const proxies: TcpProxy[] = [];
    const openOne: Given['open'] = async (options = {}, by) => {
      const servers = by === undefined ? server.url : `nats://127.0.0.1:${by.port}`;
      const transport = await openNats({ servers, askEveryMs: 0, ...options }, noted.environment);
      open.push(transport);
      return transport;
    };
    const proxy = async () => {
      const one = await TcpProxy.to(server.port);
      proxies.push(one);
      return one;
    };
    try {
      await body({ server, noted, open: openOne, proxy });
    } finally {
      server.thaw();
      for (const transport of open) await transport.close();
      for (const one of proxies) await one.close();
      await server.close();
    }
  });
}

/** What arrives, each frame as its first byte. */
function arrivals(transport: NatsTransport, subject: string): number[] {
  const frames: number[] = [];
  transport.listen(subject, (frame) => void frames.push(frame[0] ?? -1));
  return frames;
}

function restorations(transport: NatsTransport): { count: number } {
  const told = { count: 0 };
  transport.onRestored(() => {
    told.count += 1;
  });
  return told;
}

given(
  'X6, NT1: after a server was killed and started again, all is listened to, and nothing old comes',
  async (parts) => {
    const { server, open, noted } = parts;
    const transport = await open();
    const frames = arrivals(transport, 's.a');
    const told = restorations(transport);
    await transport.ready();
    await server.kill();
    await comesTrue('the loss is noted', () => noted.count(/is lost/) === 1);
    transport.send('s.a', bytes(1));
    assert.is(transport.droppedCount, 1);
    const meanwhile = arrivals(transport, 's.meanwhile');
    await server.restart();
    await comesTrue('it is restored', () => told.count === 1);
    for (const subject of ['s.a', 's.meanwhile']) transport.send(subject, bytes(2));
    await transport.ready();
    assert.equal([frames, meanwhile], [[2], [2]]);
    assert.is(noted.count(/is restored/), 1);
  },
);

given('a login is refused when every server says so, and from when on nothing was sent', async (parts) => {
  const { server, open, noted } = parts;
  const transport = await open({ servers: [server.url, 'nats://127.0.0.1:1'], user: 'skerry', password: 'one' });
  const alone = await open({ user: 'skerry', password: 'one' });
  const told: number[] = [];
  transport.onRefused(() => assert.unreachable('one of its servers is only away'));
  const stop = alone.onRefused((reason, lostMs) => {
    assert.match(reason, /^NATS refuses this login.*refused the credentials/);
    told.push(lostMs);
  });
  server.configure('authorization { user: skerry, password: two }');
  await server.kill();
  await server.restart();
  await comesTrue('each try is told', () => told.length >= 3);
  assert.ok(told.every((ms, index) => ms > (told[index - 1] ?? 0)));
  assert.is(noted.count(/NATS refuses this login/), 1);
  stop();
  const { length } = told;
  await new Promise((resolve) => noted.environment.after(2_500, () => resolve(undefined)));
  assert.is(told.length, length);
});

given('NT2: a server that is away for long, and refuses the login meanwhile, is found again', async (parts) => {
  const { server, open, noted } = parts;
  const transport = await open({ user: 'skerry', password: 'one' });
  const told = restorations(transport);
  const frames = arrivals(transport, 's.a');
  server.configure('authorization { user: skerry, password: two }');
  await server.kill();
  await comesTrue('tries failed', () => noted.waits.length > 6);
  await server.restart();
  await comesTrue('the refusal is noted', () => /refused the credentials/.test(noted.text));
  await server.kill();
  server.configure('authorization { user: skerry, password: one }');
  await server.restart();
  await comesTrue('it is restored', () => told.count === 1);
  transport.send('s.a', bytes(1));
  await transport.ready();
  assert.equal(frames, [1]);
  assert.not.match(noted.text, /\bone\b|\btwo\b/);
});

given(
  'X3, P12, OF1: while the server is stopped 1 GB of frames takes no more memory than the buffer allows',
  async ({ server, open, noted }) => {
    const [transport, other] = [await open({ bufferBytesMax: 8_388_608 }), await open()];
    const frames = arrivals(other, 's.a');
    await other.ready();
    server.freeze();
    const frame = new Uint8Array(100_000);
    const before = process.memoryUsage().rss;
    let most = before;
    for (let sent = 0; sent < 10_000; sent++) {
      transport.send('s.a', frame);
      if (sent % 100 > 0) continue;
      await tick();
      most = Math.max(most, process.memoryUsage().rss);
    }
    assert.ok(most - before < 67_108_864, `took ${most - before} bytes`);
    assert.ok(transport.droppedCount >= 9_900, `${transport.droppedCount} were dropped`);
    assert.is(noted.count(/accepts less than this process sends/), 1);
    server.thaw();
    await transport.ready();
    await other.ready();
    assert.is(frames.length, 10_000 - transport.droppedCount);
    transport.send('s.a', bytes(7));
    await transport.ready();
    await other.ready();
    assert.is(frames.at(-1), 7);
    assert.is(noted.count(/is lost/), 0);
  },
);

given(
  'OF2, NS2: a server that says nothing is given up, tries leave nothing open, and what it thaws comes once',
  async ({ server, open, noted }) => {
    const transport = await open();
    const frames = arrivals(transport, 's.a');
    const told = restorations(transport);
    await transport.ready();
    server.freeze();
    transport.send('s.a', bytes(1));
    await comesTrue('it is given up', () => noted.count(/is lost/) === 1);
    assert.match(noted.text, /no sign of life/);
    const dials = () => noted.waits.filter((ms) => ms === 3_000).length;
    const before = dials();
    await comesTrue('further tries', () => dials() >= before + 5);
    const sockets = process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
    assert.ok(sockets <= 2, `${sockets} sockets are open`);
    server.thaw();
    await comesTrue('it is restored', () => told.count === 1);
    for (let value = 2; value <= 20; value++) transport.send('s.a', bytes(value));
    await transport.ready();
    // The server may read what stood in the given-up connection before or after the new subscription.
    assert.ok(frames.filter((value) => value === 1).length <= 1, `${frames}`);
    assert.equal(
      frames.filter((value) => value !== 1),
      Array.from({ length: 19 }, (_, index) => index + 2),
    );
  },
  { speed: 10 },
);

given('X6: a cable that is cut and mended; what was sent meanwhile is gone', async ({ open, proxy, noted }) => {
  const cable = await proxy();
  const [transport, other] = [await open({}, cable), await open()];
  const told = restorations(transport);
  const frames = arrivals(transport, 's.a');
  await transport.ready();
  await cable.cut();
  await comesTrue('the loss is noted', () => noted.count(/is lost/) === 1);
  other.send('s.a', bytes(1));
  await other.ready();
  await cable.heal();
  await comesTrue('it is restored', () => told.count === 1);
  other.send('s.a', bytes(2));
  await other.ready();
  await transport.ready();
  assert.equal(frames, [2]);
});

given('X1: what a cable held for a while arrives, once, and nobody calls it a loss', async ({ open, proxy, noted }) => {
  const cable = await proxy();
  const [transport, other] = [await open({}, cable), await open()];
  const frames = arrivals(other, 's.a');
  await other.ready();
  cable.freeze();
  transport.send('s.a', bytes(1));
  for (let round = 0; round < 5; round++) await other.ready();
  assert.equal(frames, []);
  await cable.heal();
  await transport.ready();
  await other.ready();
  assert.equal(frames, [1]);
  assert.is(noted.count(/is lost/), 0);
});

given('X5: a listener whose connection breaks is told of within some hundred ms', async ({ open, proxy }) => {
  const cable = await proxy();
  const [transport, other] = [await open({ askEveryMs: 10 }), await open({}, cable)];
  arrivals(other, 's.a');
  await other.ready();
  const absent: string[] = [];
  transport.onAbsent((subject) => void absent.push(subject));
  transport.send('s.a', bytes(1));
  await transport.ready();
  assert.equal(absent, []);
  const patience = new Patience();
  await cable.cut();
  await comesTrue('the absence is told', () => {
    transport.send('s.a', bytes(2));
    return absent.length > 0;
  });
  const tookMs = patience.passedMs();
  assert.ok(tookMs < 1_200, `took ${tookMs} ms`);
  assert.equal([...new Set(absent)], ['s.a']);
});

given('X5: of many frames to one subject at once only the first asks, and later ones ask again', async ({ open }) => {
  const transport = await open({ askEveryMs: 20 });
  const absent: string[] = [];
  transport.onAbsent((subject) => void absent.push(subject));
  for (let sent = 0; sent < 50; sent++) for (const subject of ['s.a', 's.b']) transport.send(subject, bytes(1));
  await transport.ready();
  assert.equal(absent.sort(), ['s.a', 's.b']);
  await comesTrue('it is told again', () => {
    transport.send('s.a', bytes(1));
    return absent.length > 2;
  });
});

given('X1: clusters whose subjects differ do not hear each other on one server', async ({ open }) => {
  const [one, other] = [await open(), await open()];
  const frames = [arrivals(one, 'one.worker.a'), arrivals(other, 'other.worker.a')];
  await one.ready();
  await other.ready();
  one.send('one.worker.a', bytes(1));
  other.send('other.worker.a', bytes(2));
  for (const transport of [one, other, one]) await transport.ready();
  assert.equal(frames, [[1], [2]]);
});

given('X4: closing while the server is away ends the tries, and closing sends what was sent last', async (parts) => {
  const { server, open, noted } = parts;
  const [transport, other] = [await open(), await open()];
  const frames = arrivals(other, 's.a');
  await other.ready();
  transport.send('s.a', bytes(1));
  await transport.close();
  await other.ready();
  assert.equal(frames, [1]);
  await server.kill();
  await comesTrue('the loss is noted', () => noted.count(/is lost/) === 1);
  await other.close();
  const waits = noted.waits.length;
  await server.restart();
  const third = await open();
  await third.ready();
  assert.is(noted.count(/is restored/), 0);
  assert.ok(noted.waits.length <= waits + 5);
});

given('NT4: a server that is about to stop is noted', async ({ server, open, noted }) => {
  await open();
  server.signal('SIGUSR2');
  await comesTrue('it is noted', () => noted.count(/about to stop/) > 0);
});

faults.run();
