/**
 * Where a command is to act: on a data folder, or on a live cluster, and how that one is reached.
 *
 * Options come before the environment (`--tls-ca` is also `SKERRY_TLS_CA`), and a folder that `skerry up` runs on
 * names its cluster itself.
 */
import { readFileSync } from 'node:fs';
import { withoutLogin } from '../open.ts';
import type { NatsOptions } from '../transports/nats/transport.ts';
import { shownPath } from './app.ts';
import { type ClusterNote, clusterNote, lastClusterNote } from './cluster-note.ts';
import type { Given, Option } from './command.ts';
import { shellWord } from './escape.ts';
import { CliError } from './failure.ts';

export interface ClusterPlace {
  readonly nats: NatsOptions;
  readonly cluster: string;
  /** Without what is secret. */
  readonly shown: string;
  /** What a further command needs to find it again. */
  readonly words: string;
}

const connection: readonly Option[] = [
  { flag: '--creds <file>', description: 'log in to NATS with these credentials (JWT and seed)' },
  { flag: '--nkey <file>', description: 'log in to NATS with the nkey seed in this file' },
  { flag: '--tls-ca <file>', description: 'TLS to NATS, with this CA file' },
  { flag: '--tls-cert <file>', description: 'client certificate for TLS to NATS' },
  { flag: '--tls-key <file>', description: 'key of the client certificate' },
];

/** Of every command that can act on a live cluster. */
export const clusterOptions: readonly Option[] = [
  { flag: '--nats <url>', description: 'act on the live cluster at this NATS ($SKERRY_NATS)' },
  { flag: '--cluster <name>', description: 'name of the cluster ($SKERRY_CLUSTER; default: main)' },
  ...connection,
];

export const clusterNotes = [
  'With --nats or SKERRY_NATS, it acts on a live cluster. Every connection option can come from the environment, such as SKERRY_TLS_CA for --tls-ca. The URL can hold a login, as in nats://user:password@host:4222. On this machine, the folder of a running skerry up is enough.',
] as const;

/** An option, or its variable: `tlsCa` is SKERRY_TLS_CA. */
export function setting(given: Given, name: string): string | undefined {
  const value = given.options[name];
  if (typeof value === 'string') return value;
  const variable = process.env[variableOf(name)];
  return variable === '' ? undefined : variable;
}

export function variableOf(name: string): string {
  return `SKERRY_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** Undefined: the data folder. Throws a usage error where both are named, and `closed` where that folder is of a cluster that has stopped. */
export function clusterOf(given: Given): ClusterPlace | undefined {
  const isFolderNamed = typeof given.options.data === 'string';
  const isClusterNamed = typeof given.options.nats === 'string';
  if (isFolderNamed && isClusterNamed)
    throw new CliError('usage', '--data names a folder and --nats a live cluster: give one of them');
  const url = isFolderNamed ? undefined : setting(given, 'nats');
  if (url !== undefined) return placeOf(given, url);
  const note = clusterNote(given.folder);
  if (note === undefined) return requireNoneStopped(given);
  if (note.nats === '')
    throw new CliError('closed', `${shownPath(note.app)} is starting on ${given.folder}`, {
      advice: 'try again in a moment',
    });
  const words = isFolderNamed ? ` --data ${shellWord(given.folder)}` : '';
  return { nats: { servers: note.tools }, cluster: note.cluster, shown: withoutLogin(note.nats), words };
}

/** What a cluster has stored only its own servers can read. */
function requireNoneStopped({ folder }: Given): undefined {
  const last = lastClusterNote(folder);
  if (last === undefined) return undefined;
  throw new CliError('closed', `The cluster of ${shownPath(last.app)} on ${shownPath(folder)} has stopped`, {
    advice: last.hasData
      ? `its entities are in the Redis of that folder: start it with ${upWords(last, folder)}, then try again`
      : `start it with skerry up as before, then try again; or name the cluster with --nats`,
  });
}

function upWords({ app, cluster }: ClusterNote, folder: string): string {
  const name = cluster === 'main' ? '' : ` --cluster ${cluster}`;
  return `skerry up ${shellWord(shownPath(app))} --data ${shellWord(folder)}${name}`;
}

/** The same for commands that have no use for a data folder. */
export function requireCluster(given: Given): ClusterPlace {
  const place = clusterOf(given);
  if (place !== undefined) return place;
  throw new CliError('usage', 'No cluster given, and none runs here', {
    advice: 'name it with --nats nats://host:4222 or SKERRY_NATS; skerry up <app.ts> starts one on this machine',
  });
}

/** How to connect, by the options alone. */
export function placeOf(given: Given, url: string): ClusterPlace {
  const [caFile, certFile, keyFile] = ['tlsCa', 'tlsCert', 'tlsKey'].map((name) => setting(given, name));
  const [credsFile, nkeyFile] = [setting(given, 'creds'), setting(given, 'nkey')];
  const hasTls = (caFile ?? certFile ?? keyFile) !== undefined;
  const nats: NatsOptions = {
    servers: url,
    ...(credsFile === undefined ? {} : { credsFile }),
    ...(nkeyFile === undefined ? {} : { nkeySeed: seedIn(nkeyFile) }),
    ...(hasTls
      ? {
          tls: {
            ...(caFile === undefined ? {} : { caFile }),
            ...(certFile === undefined ? {} : { certFile }),
            ...(keyFile === undefined ? {} : { keyFile }),
          },
        }
      : {}),
  };
  return { nats, cluster: setting(given, 'cluster') ?? 'main', shown: withoutLogin(url), words: wordsOf(given) };
}

function seedIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new CliError('not-found', `The nkey cannot be read: ${error instanceof Error ? error.message : file}`);
  }
}

/** The options of the connection as they were given, but for a URL that holds a login: that is not shown again. */
function wordsOf(given: Given): string {
  const names = clusterOptions.map(({ flag }) => flag.split(' ')[0] ?? '');
  return names
    .map((flag) => {
      const name = flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
      const value = given.options[name];
      return typeof value === 'string' && !value.includes('@') ? ` ${flag} ${shellWord(value)}` : '';
    })
    .join('');
}
