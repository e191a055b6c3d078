/**
 * The logins of a nats-server of `skerry up`'s own, which stay with its data folder (`logins.json`): an application that
 * has read one goes on with it when `up` is started again. Who removes the file has new ones made at the next start.
 */
import { join } from 'node:path';
import type { Environment } from '../environment.ts';
import type { Login } from '../wire/permissions.ts';
import { readPrivate, writePrivate } from './private-file.ts';

/** Who logs in there: an app on this machine may call for its users. */
const users = [
  { party: 'worker', user: 'worker' },
  { party: 'tool', user: 'tool' },
  { party: 'gateway', user: 'app' },
] as const;

export type OwnParty = (typeof users)[number]['party'];

const loginsFormat = 1;
/** Of what `newId` makes: letters, digits, '-' and '_', which need no escape in an address or a configuration. */
const isPassword = (value: unknown): value is string => typeof value === 'string' && /^[\w-]{12,}$/.test(value);

/** Those of the last `up` on this folder, else new ones. Throws `denied` for a file that is not this user's alone. */
export function loginsOf(folder: string, environment: Environment): readonly Login[] {
  const path = join(folder, 'logins.json');
  const kept = readPrivate(path, {
    because: 'Skerry does not use its logins',
    advice: 'remove that file: the next start creates new ones',
  });
  const known = kept?.skerry === loginsFormat ? kept : {};
  const passwords = users.map(({ user }) => (isPassword(known[user]) ? known[user] : environment.newId()));
  const named = users.map(({ user }, index) => [user, passwords[index]]);
  writePrivate(path, { skerry: loginsFormat, ...Object.fromEntries(named) });
  return users.map((one, index) => ({ ...one, password: JSON.stringify(passwords[index]) }));
}
