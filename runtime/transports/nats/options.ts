/**
 * Options of a connection to NATS: servers, login and certificates.
 *
 * Owns the checks of these options and the reading of their files. `transport.ts` connects with them.
 *
 * Invariants:
 * - NO1 Contradictory options and invalid addresses are rejected before a connection is tried.
 * - NO2 No error or log text from here contains a password, token, seed or the content of a file.
 */
import { readFile } from 'node:fs/promises';
import { errorText, SkerryError } from '../../../core/errors.ts';
import { checkOptions, count, duration, type OptionTable, record, text, textOrTexts } from '../../../core/options.ts';

export interface NatsOptions {
  /**
   * `nats://host:4222` or `tls://…`, with `user:password@` or `token@` before the host to log in. Further servers of the
   * NATS cluster are discovered from the one that answers.
   */
  readonly servers: string | readonly string[];
  /** Name of the connection in the server's monitoring. */
  readonly name?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  /** The seed of an nkey: `SU…`. */
  readonly nkeySeed?: string | undefined;
  /** A credentials file (JWT and seed), as `nsc` writes it. It is read again at each connection. */
  readonly credsFile?: string | undefined;
  /** TLS with these PEM files, which are read again at each connection. `{}`: TLS with the system's authorities. */
  readonly tls?:
    | {
        readonly caFile?: string | undefined;
        readonly certFile?: string | undefined;
        readonly keyFile?: string | undefined;
      }
    | undefined;
  /** Maximum bytes buffered on the way to the server. Frames beyond it are dropped (X3). */
  readonly bufferBytesMax?: number | undefined;
  /** Prefix of this connection's inbox, the subject on which it learns of absent listeners. */
  readonly inboxPrefix?: string | undefined;
  /** Minimum interval between checks whether a subject has a listener, ms. 0: with each frame. */
  readonly askEveryMs?: number | undefined;
}

const natsOptions: OptionTable<NatsOptions> = {
  servers: textOrTexts,
  name: text,
  user: text,
  password: text,
  token: text,
  nkeySeed: text,
  credsFile: text,
  tls: record,
  bufferBytesMax: count(1),
  inboxPrefix: text,
  askEveryMs: duration,
};

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

export type Login =
  | { readonly kind: 'none' }
  | { readonly kind: 'user'; readonly user: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'nkey'; readonly seed: string }
  | { readonly kind: 'creds'; readonly file: string };

export interface NatsPlan {
  readonly servers: readonly ServerAddress[];
  readonly login: Login;
  readonly tls: NatsOptions['tls'];
  readonly name: string | undefined;
  readonly bufferBytesMax: number;
  readonly inboxPrefix: string;
  readonly askEveryMs: number;
}

export function planOf(options: NatsOptions): NatsPlan {
  checkOptions('NATS', options, natsOptions);
  if (options.servers === undefined) throw wrong('servers is missing: pass an address, such as nats://host:4222');
  checkOptions('tls of NATS', options.tls ?? {}, { caFile: text, certFile: text, keyFile: text });
  const texts = typeof options.servers === 'string' ? options.servers.split(',') : options.servers;
  if (texts.length === 0) throw wrong('servers is empty');
  const urls = texts.map(parse);
  const { bufferBytesMax = 33_554_432, inboxPrefix = '_INBOX', askEveryMs = 10 } = options;
  if (!isSubject(inboxPrefix)) throw wrong('inboxPrefix is not a subject');
  if (!(bufferBytesMax > 0)) throw wrong('bufferBytesMax must be above 0');
  return {
    servers: urls.map(({ hostname, port }) => ({
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: port === '' ? 4222 : Number(port),
    })),
    login: loginOf(options, urls),
    tls: options.tls ?? (urls.some(({ protocol }) => protocol === 'tls:') ? {} : undefined),
    name: options.name,
    bufferBytesMax,
    inboxPrefix,
    askEveryMs,
  };
}

/** The user of a login by user and password; '' for another login, or none. */
export function userIn(options: NatsOptions): string {
  const { login } = planOf(options);
  return login.kind === 'user' ? login.user : '';
}

/** Words between points; a space or an end of line in one would be read by the server as a command (and * and > mean many). */
export function isSubject(text: string): boolean {
  return /^[^\s.*>\0]+(?:\.[^\s.*>\0]+)*$/.test(text);
}

/** The address as it may be shown: without what stands before the @. */
function shown(text: string): string {
  return text.trim().replace(/^(.*:\/\/)?.*@/s, '$1');
}

function parse(text: string): URL {
  const whole = text.includes('://') ? text.trim() : `nats://${text.trim()}`;
  const url = URL.canParse(whole) ? new URL(whole) : undefined;
  const isGood = url !== undefined && ['nats:', 'tls:'].includes(url.protocol) && url.hostname !== '';
  if (!isGood) throw wrong(`'${shown(text)}' is not a NATS address, such as nats://host:4222`);
  return url;
}

function loginOf(options: NatsOptions, urls: readonly URL[]): Login {
  const logins: Login[] = [];
  const { user, password, token, nkeySeed, credsFile } = options;
  const inUrl = urls.find(({ username }) => username !== '');
  if (inUrl !== undefined) logins.push(loginIn(inUrl));
  if (user !== undefined) logins.push({ kind: 'user', user, password: password ?? '' });
  else if (password !== undefined) throw wrong('password is given without user');
  if (token !== undefined) logins.push({ kind: 'token', token });
  if (nkeySeed !== undefined) logins.push({ kind: 'nkey', seed: nkeySeed.trim() });
  if (credsFile !== undefined) logins.push({ kind: 'creds', file: credsFile });
  if (logins.length > 1)
    throw wrong(`more than one way to log in is given (${logins.map(({ kind }) => kind).join(', ')})`);
  return logins[0] ?? { kind: 'none' };
}

function loginIn(url: URL): Login {
  try {
    const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
    return password === '' ? { kind: 'token', token: user } : { kind: 'user', user, password };
  } catch {
    throw wrong('a % before the @ of an address must be written as %25');
  }
}

function wrong(what: string): SkerryError {
  return new SkerryError('invalid-definition', `NATS: ${what}`);
}

/** The content of the files that are named, read anew: certificates and credentials are replaced while a process runs. */
export async function readNamed<Name extends string>(
  files: Readonly<Partial<Record<Name, string | undefined>>>,
): Promise<Partial<Record<Name, string>>> {
  const contents: Partial<Record<Name, string>> = {};
  for (const [name, path] of Object.entries(files) as [Name, string | undefined][]) {
    if (path === undefined) continue;
    try {
      contents[name] = await readFile(path, 'utf8');
    } catch (error) {
      throw new SkerryError('transport-failed', `NATS: ${name} cannot be read: ${errorText(error)}`, { cause: error });
    }
  }
  return contents;
}
