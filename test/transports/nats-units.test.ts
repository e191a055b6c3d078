/** The parts of the transport over NATS that need no server of it. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { isSkerryError } from '../../core/errors.ts';
import { freePort } from '../../runtime/cli/programs.ts';
import { isSubject, type NatsOptions, planOf } from '../../runtime/transports/nats/options.ts';
import { Outflow } from '../../runtime/transports/nats/outflow.ts';
import { ServerRing, somebodyThere } from '../../runtime/transports/nats/servers.ts';
import { Noted } from '../support/noted.ts';
import { assert, rejects, suite } from '../support/suite.ts';

const units = suite('nats units');

units('OF1: what is on its way stays within the bound; what was answered makes room', () => {
  const outflow = new Outflow(100_000);
  assert.ok(outflow.admit(60_000));
  assert.not(outflow.isToAsk);
  assert.ok(outflow.admit(40_000));
  assert.not(outflow.admit(1));
  assert.ok(outflow.isToAsk);
  outflow.ask();
  assert.not(outflow.isToAsk);
  assert.not(outflow.admit(1));
  outflow.answered();
  assert.is(outflow.bytes, 0);
  assert.ok(outflow.admit(70_000));
  outflow.ask();
  assert.ok(outflow.admit(30_000));
  outflow.answered();
  assert.is(outflow.bytes, 30_000);
  assert.not(outflow.admit(70_001));
  assert.ok(outflow.admit(70_000));
});

units('OF1: a frame above the bound goes if it is alone', () => {
  const outflow = new Outflow(10);
  assert.ok(outflow.admit(11));
  assert.not(outflow.admit(1));
  outflow.ask();
  outflow.answered();
  assert.ok(outflow.admit(11));
});

units('OF2: four looks in a row without an answer, and the server is gone; an answer starts the count anew', () => {
  const outflow = new Outflow(100);
  assert.is(outflow.look(), 'ask');
  outflow.ask();
  assert.equal([outflow.look(), outflow.look(), outflow.look()], ['wait', 'wait', 'wait']);
  outflow.answered();
  assert.is(outflow.look(), 'ask');
  outflow.ask();
  assert.equal([outflow.look(), outflow.look(), outflow.look(), outflow.look()], ['wait', 'wait', 'wait', 'gone']);
});

const login = (options: NatsOptions) => planOf(options).login;

units('NO1: addresses, with what is left out, and who logs in', () => {
  const servers = (text: string) => planOf({ servers: text }).servers;
  assert.equal(servers('localhost'), [{ host: 'localhost', port: 4222 }]);
  assert.equal(servers('nats://a:1, tls://b,[::1]:5'), [
    { host: 'a', port: 1 },
    { host: 'b', port: 4222 },
    { host: '::1', port: 5 },
  ]);
  assert.equal(planOf({ servers: ['nats://a', 'tls://b'] }).tls, {});
  assert.is(planOf({ servers: 'nats://a' }).tls, undefined);
  assert.equal(login({ servers: 'a' }), { kind: 'none' });
  assert.equal(login({ servers: 'nats://a,nats://u%40:p%25@b' }), { kind: 'user', user: 'u@', password: 'p%' });
  assert.equal(login({ servers: 'nats://t@b' }), { kind: 'token', token: 't' });
  assert.equal(login({ servers: 'a', user: 'u' }), { kind: 'user', user: 'u', password: '' });
  assert.equal(login({ servers: 'a', nkeySeed: ' SU\n' }), { kind: 'nkey', seed: 'SU' });
  assert.equal(login({ servers: 'a', credsFile: 'f' }), { kind: 'creds', file: 'f' });
});

units('NO1, NO2: what cannot be meant is refused, and no secret is in what is said of it', () => {
  const wrong: NatsOptions[] = [
    { servers: [] },
    { servers: '' },
    { servers: 'http://hidden@a' },
    { servers: 'redis://user:hidden@a' },
    { servers: 'nats://user:hidden@' },
    { servers: 'nats://user:hidden@a b' },
    { servers: 'nats://user:hid%den@a' },
    { servers: 'nats://u:hidden@a:99999' },
    { servers: 'nats://u:hidden@a', token: 'hidden' },
    { servers: 'a', user: 'u', password: 'hidden', credsFile: 'f' },
    { servers: 'a', password: 'hidden' },
    { servers: 'a', inboxPrefix: 'a b' },
    { servers: 'a', bufferBytesMax: 0 },
    { servers: 'a', bufferBytesMax: Number.NaN },
  ];
  for (const options of wrong)
    assert.throws(
      () => planOf(options),
      (error: unknown) => isSkerryError(error, 'invalid-definition') && !/hid/.test(error.message),
      JSON.stringify(options),
    );
});

units('NT3: what is a subject', () => {
  for (const text of ['a', 'skerry.worker.Ä-1_x', '@client.#1', '$SYS.x']) assert.ok(isSubject(text), text);
  for (const text of ['', '.', 'a.', '.a', 'a..b', 'a b', 'a\tb', 'a\r\nb', 'a\n', 'a.*', '>', 'a>', '\0'])
    assert.not(isSubject(text), JSON.stringify(text));
});

units('NS1: every configured server has its turn for ever; those learnt follow, and go when they are not named', () => {
  const [a, b] = [
    { host: 'a', port: 1 },
    { host: 'b', port: 2 },
  ];
  const ring = new ServerRing([a, b], 0.5);
  assert.equal([ring.next(), ring.next(), ring.next()], [b, a, b]);
  ring.learn(['a:1', '10.0.0.1:3', '[::1]:4']);
  assert.is(ring.size, 4);
  const [learnt, other] = [
    { host: '10.0.0.1', port: 3 },
    { host: '::1', port: 4 },
  ];
  assert.equal([ring.next(), ring.next(), ring.next(), ring.next()], [a, b, learnt, other]);
  assert.is(ring.certifiedName(learnt), 'a');
  assert.is(ring.certifiedName(b), 'b');
  ring.next();
  ring.learn([]);
  assert.equal([ring.next(), ring.next(), ring.next()], [b, a, b]);
  const addresses = new ServerRing([{ host: '127.0.0.1', port: 1 }], 0);
  assert.is(addresses.certifiedName(learnt), '10.0.0.1');
});

units('NS2: whether somebody is there: who speaks, who is silent, who hangs up, nobody', async () => {
  const { environment } = new Noted();
  const sockets: { destroy(): void }[] = [];
  const listen = async (greet: (socket: Socket) => void) => {
    const server = createServer((socket) => {
      sockets.push(socket);
      greet(socket);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    return { server, address: { host: '127.0.0.1', port: address.port } };
  };
  const speaks = await listen((socket) => void socket.write('INFO {}\r\n'));
  const silent = await listen(() => undefined);
  const hangsUp = await listen((socket) => void socket.end());
  await somebodyThere(speaks.address, 5_000, environment);
  await rejects(somebodyThere(silent.address, 20, environment), 'transport-failed', /no answer within 20 ms/);
  await rejects(somebodyThere(hangsUp.address, 5_000, environment), 'transport-failed', /closed the connection/);
  const nobody = { host: '127.0.0.1', port: await freePort() };
  await rejects(somebodyThere(nobody, 5_000, environment), 'transport-failed', /ECONNREFUSED/);
  for (const socket of sockets) socket.destroy();
  for (const { server } of [speaks, silent, hangsUp]) server.close();
});

units.run();
