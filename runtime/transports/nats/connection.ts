/**
 * One connection to one NATS server, from the options to the handshake. The only file that imports the client library.
 *
 * The library's own reconnecting stays off: `transport.ts` makes each connection anew, and says there why.
 */
import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type Msg,
  type NatsConnection,
  type NatsError,
  nkeyAuthenticator,
  type Status,
  type Subscription,
} from 'nats';
import { errorText, SkerryError } from '../../../core/errors.ts';
import type { Environment } from '../../environment.ts';
import { TransportAway, TransportRefused } from '../../transport.ts';
import { type NatsPlan, readNamed, type ServerAddress } from './options.ts';
import { type ServerRing, somebodyThere } from './servers.ts';

export type { Msg, NatsConnection, NatsError, Status, Subscription };

/** How long a server may take to say its first words, and again to let us in. */
const dialMs = 3_000;
/** What the library says of a server that went away again, or is not there yet. */
const passing: ReadonlySet<string> = new Set(['TIMEOUT', 'CONNECTION_CLOSED', 'CONNECTION_REFUSED', 'DISCONNECT']);

/** Connects to the next server of the ring; rejects with `transport-failed`. `more`: for who measures the library otherwise. */
export async function dial(
  plan: NatsPlan,
  ring: ServerRing,
  environment: Environment,
  more: Pick<ConnectionOptions, 'noAsyncTraces'> = {},
): Promise<NatsConnection> {
  const address = ring.next();
  const shown = `NATS at ${address.host}:${address.port}`;
  await somebodyThere(address, dialMs, environment).catch((error: unknown) => {
    throw new TransportAway(`${shown} could not be reached: ${reasonOf(error)}`, error);
  });
  try {
    return await connect({ ...(await connectionOptions(plan, address, ring.certifiedName(address))), ...more });
  } catch (error) {
    if (error instanceof Error && 'code' in error && passing.has(String(error.code)))
      throw new TransportAway(`${shown} could not be reached: ${errorText(error)}`, error);
    if (error instanceof Error && 'code' in error && /^(?:AUTHORIZATION|AUTHENTICATION)/.test(`${error.code}`))
      throw new TransportRefused(`${shown} refused the credentials: ${errorText(error)}`, error);
    throw new SkerryError('transport-failed', `${shown} could not be reached: ${errorText(error)}`, { cause: error });
  }
}

/** Without the address, which was said. */
function reasonOf(error: unknown): string {
  return errorText(error).replace(/^(connect E[A-Z]+) .*:\d+$/, '$1');
}

async function connectionOptions(plan: NatsPlan, address: ServerAddress, name: string): Promise<ConnectionOptions> {
  const { host, port } = address;
  const options: ConnectionOptions = {
    servers: [host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`],
    // Names are the system's to resolve, as for every other connection.
    resolve: false,
    reconnect: false,
    timeout: dialMs,
    // Signs of life are asked for here: the library cannot let go of a connection that takes no bytes.
    pingInterval: 2_147_483_647,
    noAsyncTraces: true,
    ...(plan.name === undefined ? {} : { name: plan.name }),
    ...(await loginOptions(plan)),
  };
  if (plan.tls === undefined) return options;
  const { caFile, certFile, keyFile } = plan.tls;
  const files = await readNamed({ ca: caFile, cert: certFile, key: keyFile });
  const isName = /[a-z]/i.test(name) && !name.includes(':');
  const tls = { ...files, host: name, ...(isName ? { servername: name } : {}) };
  return { ...options, tls };
}

async function loginOptions({ login }: NatsPlan): Promise<ConnectionOptions> {
  const encoder = new TextEncoder();
  switch (login.kind) {
    case 'none':
      return {};
    case 'user':
      return { user: login.user, pass: login.password };
    case 'token':
      return { token: login.token };
    case 'nkey':
      return { authenticator: nkeyAuthenticator(encoder.encode(login.seed)) };
    case 'creds': {
      const { credsFile = '' } = await readNamed({ credsFile: login.file });
      return { authenticator: credsAuthenticator(encoder.encode(credsFile)) };
    }
  }
}
