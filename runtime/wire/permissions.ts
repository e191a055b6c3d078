/**
 * Permissions: what a NATS server lets each party of a cluster publish and hear, so that it vouches for who is who
 * (`subjects.ts`). `skerry permissions` prints them, and `skerry up` gives its own server the same.
 *
 * Invariants:
 * - PM1 Who is no worker publishes to doors only, and a client to those that end in its own word.
 * - PM2 What is answered to a client is heard by who has its word, and published by workers only.
 */
import { anyWord } from '../transport.ts';
import { Subjects, wordOf } from './subjects.ts';

/** A login and what it may be. A gateway may also call as itself. */
export interface Login {
  readonly party: 'worker' | 'tool' | 'gateway' | 'client';
  /** The identity of its calls, of those that are no others'. */
  readonly user: string;
  /** As the server's configuration has it: quoted, or the name of a variable. */
  readonly password: string;
}

export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Where a connection hears from its server that nobody listens; nobody else can publish there. */
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

/** The `authorization` of a server's configuration for one cluster. */
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
