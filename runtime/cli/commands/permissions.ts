/** `skerry permissions`: what a NATS server has to be told so that workers, tools and clients cannot be mistaken for each other. */
import { isIdentity } from '../../../core/message.ts';
import { authorizationText, type Login } from '../../wire/permissions.ts';
import { checkedCluster } from '../../wire/subjects.ts';
import { type Command, type Given, optionText } from '../command.ts';
import { CliError } from '../failure.ts';
import { setting } from '../target.ts';

export const permissions: Command = {
  name: 'permissions',
  parameters: '',
  summary: 'print the users and permissions for a NATS server’s configuration',
  options: [
    { flag: '--cluster <name>', description: 'the name of the cluster ($SKERRY_CLUSTER; default: main)' },
    {
      flag: '--client <names>',
      description: 'logins that call as themselves; for several, repeat the option or use a,b',
      isList: true,
    },
    {
      flag: '--gateway <names>',
      description: 'logins that may also call for others, such as an API process',
      isList: true,
    },
    {
      flag: '--passwords',
      description: 'print new passwords; without it, passwords are variables of the server’s environment',
    },
  ],
  notes: [
    'Workers log in as worker and tools (skerry view, call, drain, …) as tool. A client’s or gateway’s name is the identity that authorise and turn.from see: connect() takes it from the login, or from { identity }. A gateway opens clients for its own users with cluster.connect({ identity }).',
    'Include the output in the server’s configuration, and start the server with the variables. A user can have an nkey or a certificate instead of a password: replace user and password, and keep the permissions. For clusters that share a server, print the users of each, give them different names, and join the lists.',
  ],
  examples: ['skerry permissions --gateway api --client reports', 'skerry permissions --passwords > skerry-users.conf'],
  run: runPermissions,
};

async function runPermissions(given: Given): Promise<number> {
  const cluster = checkedCluster(setting(given, 'cluster') ?? 'main');
  const logins: Login[] = [];
  const add = (party: Login['party'], names: readonly string[]) => {
    for (const user of names) logins.push({ party, user, password: passwordOf(given, user) });
  };
  add('worker', ['worker']);
  add('tool', ['tool']);
  add('gateway', namesIn(given, 'gateway'));
  add('client', namesIn(given, 'client'));
  const users = logins.map(({ user }) => user);
  const twice = users.find((user, index) => users.indexOf(user) !== index);
  if (twice !== undefined) throw new CliError('usage', `Two logins have the name '${twice}'`);
  const text = authorizationText(logins, cluster);
  if (given.output.isJson) given.output.json({ cluster, configuration: text });
  else for (const line of text.trimEnd().split('\n')) given.output.line(line);
  return 0;
}

function namesIn(given: Given, option: string): string[] {
  const names = optionText(given, option)?.split(',') ?? [];
  const bad = names.find((name) => name === '' || !isIdentity(name));
  if (bad !== undefined) throw new CliError('usage', `--${option}: '${bad}' is not a valid login name`);
  return names;
}

function passwordOf({ options, environment }: Given, user: string): string {
  if (options.passwords === true) return JSON.stringify(`${environment.newId()}${environment.newId()}`);
  return `$SKERRY_PASSWORD_${user.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`;
}
