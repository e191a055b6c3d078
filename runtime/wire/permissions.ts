/**
 * Permissions: the subjects that a NATS server allows each party of a cluster to publish and subscribe to, so that a subject
 * identifies its sender (`subjects.ts`). `skerry permissions` prints them, and `skerry up` configures its own server with them.
 *
 * Invariants:
 * - PM1 Clients, gateways and tools publish to doors only; a client only to those that end in its own word.
 * - PM2 Only workers publish answers to a client, and only the client with that word can subscribe to them.
 */
import { anyWord } from '../transport.ts';
import { Subjects, wordOf } from './subjects.ts';

/** A login and its role. A gateway may also call under its own identity. */
export interface Login {
  readonly party: 'worker' | 'tool' | 'gateway' | 'client';
  /** The identity of its own calls. */
  readonly user: string;
  /** The password as written in the server's configuration: quoted, or the name of a variable. */
  readonly password: string;
}

export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Subject on which a connection learns that a frame had no listener. No other connection can publish there. */
const inbox = '_INBOX.>';

function permissionsOf({ party, user }: Pick<Login, 'party' | 'user'>, cluster: string): Permissions {
  const subjects = new Subjects(cluster);
  const word = wordOf(user);
  const resolve = (whose: string) => subjects.resolve(anyWord, whose);
  switch (party) {
    case 'worker':
      return { publish: [subjects.all], subscribe: [subjects.all, inbox] };
    case 'tool':
      return {
        publish: [subjects.door('tool', anyWord, anyWord), subjects.asks(anyWord), resolve(anyWord)],
        subscribe: [subjects.views, subjects.answers('>'), inbox],
      };
    case 'gateway':
    case 'client': {
      const call = subjects.door('client', anyWord, word);
      const gate = party === 'gateway' ? [subjects.door('gateway', anyWord, word)] : [];
      return {
        publish: [call, ...gate, resolve(word)],
        subscribe: [subjects.views, subjects.client('>', word), inbox],
      };
    }
  }
}

/** The `authorization` section of a server's configuration, for one cluster. */
export function authorizationText(logins: readonly Login[], cluster: string): string {
  const list = (texts: readonly string[]) => `[${texts.map((text) => JSON.stringify(text)).join(', ')}]`;
  const users = logins.flatMap((login) => {
    const { publish, subscribe } = permissionsOf(login, cluster);
    return [
      `    # ${login.party}`,
      `    { user: ${JSON.stringify(login.user)}, password: ${login.password}, permissions: {`,
      `        publish: ${list(publish)}`,
      `        subscribe: ${list(subscribe)} } }`,
    ];
  });
  return ['authorization {', '  users: [', ...users, '  ]', '}', ''].join('\n');
}
