/**
 * How a transport over NATS gets in: credentials, TLS, permissions, and what a server's limits say.
 *
 * Time limit: 90 s.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NatsOptions, type NatsTransport, openNats } from '../../runtime/transports/nats/transport.ts';
import { newCertificates, newCredentials, newNkey } from '../support/nats-credentials.ts';
import { NatsServer } from '../support/nats-server.ts';
import { comesTrue, Noted } from '../support/noted.ts';
import { pathOf } from '../support/programs.ts';
import { assert, rejects, suite } from '../support/suite.ts';

const login = suite('nats login');

interface Given {
  readonly server: NatsServer;
  readonly noted: Noted;
  open(options?: Partial<NatsOptions>): Promise<NatsTransport>;
}

async function withServer(
  configuration: string | ((folder: string) => string),
  body: (given: Given) => Promise<void>,
): Promise<void> {
  const server = await NatsServer.start(configuration);
  const noted = new Noted();
  const open: NatsTransport[] = [];
  const openOne = async (options: Partial<NatsOptions> = {}) => {
    const transport = await openNats({ servers: server.url, askEveryMs: 0, ...options }, noted.environment);
    open.push(transport);
    return transport;
  };
  try {
    await body({ server, noted, open: openOne });
  } finally {
    for (const transport of open) await transport.close();
    await server.close();
  }
}

/** A frame goes through it. */
async function works(transport: NatsTransport, subject = 's.a'): Promise<void> {
  const frames: number[] = [];
  const stop = transport.listen(subject, ([first = 0]) => void frames.push(first));
  await transport.ready();
  transport.send(subject, new Uint8Array([7]));
  await transport.ready();
  stop();
  assert.equal(frames, [7]);
}

const refused = /^NATS at 127\.0\.0\.1:\d+ refused the credentials/;

login('NO2: user and password, as options and in the address; wrong ones are refused and not shown', () =>
  withServer('authorization { user: skerry, password: "pa%ss@word" }', async ({ server, open }) => {
    await works(await open({ user: 'skerry', password: 'pa%ss@word' }));
    await works(await open({ servers: `nats://skerry:${encodeURIComponent('pa%ss@word')}@127.0.0.1:${server.port}` }));
    const wrong = await rejects(open({ user: 'skerry', password: 'hidden' }), 'transport-failed', refused);
    assert.not.match(wrong.message, /hidden/);
    const inAddress = open({ servers: `nats://skerry:hidden@127.0.0.1:${server.port}` });
    assert.not.match((await rejects(inAddress, 'transport-failed', refused)).message, /hidden/);
    await rejects(open(), 'transport-failed', refused);
  }),
);

login('a token, as an option and in the address', () =>
  withServer('authorization { token: secret }', async ({ server, open }) => {
    await works(await open({ token: 'secret' }));
    await works(await open({ servers: `nats://secret@127.0.0.1:${server.port}` }));
    await rejects(open({ token: 'other' }), 'transport-failed', refused);
  }),
);

login('an nkey; one that is unknown, or none, is refused', () => {
  const { publicKey, seed } = newNkey();
  return withServer(`authorization { users: [ { nkey: ${publicKey} } ] }`, async ({ open }) => {
    await works(await open({ nkeySeed: `${seed}\n` }));
    await rejects(open({ nkeySeed: newNkey().seed }), 'transport-failed', refused);
    const broken = await rejects(open({ nkeySeed: 'SUNOSEED' }), 'transport-failed');
    assert.not.match(broken.message, /SUNOSEED/);
  });
});

login('a file of credentials, which is read again at each connection', () => {
  const [first, second] = [newCredentials(), newCredentials()];
  return withServer(first.configuration, async ({ server, open, noted }) => {
    const credsFile = join(server.folder, 'user.creds');
    await rejects(open({ credsFile }), 'transport-failed', /credsFile cannot be read/);
    writeFileSync(credsFile, first.creds);
    const transport = await open({ credsFile });
    await works(transport);
    server.configure(second.configuration);
    await server.kill();
    await server.restart();
    await comesTrue('the old ones are refused', () => /refused the credentials/.test(noted.text));
    writeFileSync(credsFile, second.creds);
    await works(transport);
    writeFileSync(credsFile, 'no credentials');
    await rejects(open({ credsFile }), 'transport-failed');
  });
});

login('a server that is not there, or says nothing that NATS would', async () => {
  const { environment } = new Noted();
  const server = await NatsServer.start();
  await server.kill();
  await rejects(
    openNats({ servers: server.url }, environment),
    'transport-failed',
    /could not be reached.*ECONNREFUSED/,
  );
  const both = openNats({ servers: [server.url, 'nats://127.0.0.1:1'] }, environment);
  await rejects(both, 'transport-failed', /could not be reached.*; NATS at .*could not be reached/);
  await server.restart();
  const transport = await openNats({ servers: `nats://127.0.0.1:1,${server.url}` }, environment);
  await works(transport);
  await transport.close();
  await server.close();
});

/** A server with TLS for these names. */
function withTls(
  names: string,
  more: string,
  body: (given: Given, files: ReturnType<typeof newCertificates>) => Promise<void>,
) {
  let files: ReturnType<typeof newCertificates> | undefined;
  const configuration = (folder: string) => {
    files = newCertificates(folder, 'server', names);
    return `tls { cert_file: "${files.certFile}", key_file: "${files.keyFile}", ca_file: "${files.caFile}" ${more} }`;
  };
  return withServer(configuration, (given) => {
    assert.ok(files);
    return body(given, files);
  });
}

function withOpenssl(name: string, body: () => Promise<void>): void {
  try {
    pathOf('openssl');
  } catch {
    login.skip(name, 'openssl is not installed');
    return;
  }
  login(name, body);
}

withOpenssl('TLS: with the authority of the server, by name and by address, and by tls: alone', () =>
  withTls('DNS:localhost,IP:127.0.0.1', '', async ({ server, open }, { caFile }) => {
    await works(await open({ tls: { caFile } }));
    await works(await open({ tls: { caFile }, servers: `tls://localhost:${server.port}` }));
    await rejects(open({ servers: `tls://127.0.0.1:${server.port}` }), 'transport-failed', /certificate/);
    await rejects(open({ tls: {} }), 'transport-failed', /certificate/);
    const elsewhere = newCertificates(server.folder, 'elsewhere', 'DNS:localhost');
    await rejects(open({ tls: { caFile: elsewhere.caFile } }), 'transport-failed', /certificate/);
    await rejects(open({ tls: { caFile: join(server.folder, 'none') } }), 'transport-failed', /ca cannot be read/);
  }),
);

withOpenssl('TLS: a certificate for another name is refused', () =>
  withTls('DNS:elsewhere.test', '', async ({ server, open }, { caFile }) => {
    await rejects(open({ tls: { caFile } }), 'transport-failed', /altnames|elsewhere/i);
    await rejects(
      open({ tls: { caFile }, servers: `nats://localhost:${server.port}` }),
      'transport-failed',
      /altnames/i,
    );
  }),
);

withOpenssl('TLS: a certificate of our own, where the server wants one', () =>
  withTls('IP:127.0.0.1', ', verify: true', async ({ open }, { caFile, certFile, keyFile }) => {
    await works(await open({ tls: { caFile, certFile, keyFile } }));
    await rejects(open({ tls: { caFile } }), 'transport-failed');
  }),
);

withOpenssl('TLS: a server without it is not trusted with what was to be encrypted', () =>
  withServer('', async ({ open }) => {
    await rejects(open({ tls: {} }), 'transport-failed');
  }),
);

const permissions = `authorization { users: [ { user: a, password: a, permissions: {
  publish: { allow: ["s.>", "_INBOX.>"], deny: "s.closed" }, subscribe: { allow: ["s.>", "_INBOX.>"], deny: "s.secret" } } } ] }`;

login('NT4: what the server does not permit is said, once, without asking for more rights; the rest works', () =>
  withServer(permissions, async ({ open, noted }) => {
    const transport = await open({ user: 'a', password: 'a' });
    await works(transport);
    const stop = transport.listen('s.secret', () => undefined);
    await rejects(transport.ready(), 'transport-failed', /subscribe to 's\.secret'$/);
    stop();
    await transport.ready();
    for (let sent = 0; sent < 10; sent++) transport.send('s.closed', new Uint8Array([1]));
    await transport.ready();
    await comesTrue('it is noted', () => noted.count(/publish to 's\.closed'; use a login/) > 0);
    await works(transport);
    // Who asked was told of the subject that it listens to.
    assert.is(noted.count(/does not let/), 1);
    // Who gave it more rights to be rid of the line would make it a gateway, or a worker.
    assert.is(noted.count(/allow it/), 0);
  }),
);

login('NT4: an inbox that is not permitted is said; another may be chosen', () =>
  withServer(permissions, async ({ open, noted }) => {
    const transport = await open({ user: 'a', password: 'a', inboxPrefix: 'elsewhere' });
    await works(transport);
    assert.match(noted.text, /subscribe to 'elsewhere\..*'; use a login/);
    const other = await open({ user: 'a', password: 'a', inboxPrefix: 's.inbox' });
    const absent: string[] = [];
    other.onAbsent((subject) => void absent.push(subject));
    other.send('s.nobody', new Uint8Array([1]));
    await other.ready();
    assert.equal(absent, ['s.nobody']);
  }),
);

login('X1: frameBytesMax is what the server says, and later ones can only make it smaller', () =>
  withServer('max_payload: 16384', async ({ server, open, noted }) => {
    const transport = await open();
    const told = { count: 0 };
    transport.onRestored(() => {
      told.count += 1;
    });
    const again = async (maxPayload: number) => {
      const { count } = told;
      await server.kill();
      server.configure(`max_payload: ${maxPayload}`);
      await server.restart();
      await comesTrue('it is restored', () => told.count > count);
    };
    assert.is(transport.frameBytesMax, 16_384);
    await again(8192);
    assert.is(transport.frameBytesMax, 8192);
    assert.throws(() => transport.send('s.a', new Uint8Array(8193)), /8193 bytes; frameBytesMax is 8192 \(max_payload/);
    assert.is(noted.count(/smaller frames than before/), 1);
    await again(32_768);
    assert.is(transport.frameBytesMax, 8192);
    await works(transport);
    assert.is((await open({ bufferBytesMax: 1000 })).frameBytesMax, 1000);
  }),
);

login('NT3: a subject that would be a command goes nowhere', () =>
  withServer('', async ({ open }) => {
    const transport = await open();
    const frames: string[] = [];
    transport.listen('s.victim', (frame) => void frames.push(Buffer.from(frame).toString()));
    await transport.ready();
    for (const subject of ['s.a 0\r\n\r\nPUB s.victim 1\r\nx\r\nPUB s.a', 's.*', 's.>', 's. a', '', 's..a', '.s', 's.'])
      transport.send(subject, new Uint8Array([120]));
    assert.is(transport.droppedCount, 8);
    for (const subject of ['s.>', 's.*.a', '*', 's.a*'])
      assert.throws(() => transport.listen(subject, () => undefined), /is not a subject/, subject);
    await works(transport);
    assert.equal(frames, []);
  }),
);

login('ready and a repeated close after close', () =>
  withServer('', async ({ open }) => {
    const transport = await open();
    await Promise.all([transport.close(), transport.close()]);
    await transport.close();
    await rejects(transport.ready(), 'closed');
  }),
);

login.run();
