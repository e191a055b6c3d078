/** `skerry up`: a cluster on this machine: workers as processes, looked after, and servers of its own where none are named. */
import { existsSync, mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { shownPath } from './app.ts';
import { clusterNote, lastClusterNote, removeClusterNote, writeClusterNote } from './cluster-note.ts';
import type { Command, Given } from './command.ts';
import { optionText } from './command.ts';
import { shellWord, visible } from './escape.ts';
import { CliError } from './failure.ts';
import { logText, type Output, type Style } from './output.ts';
import { clusterOptions, setting, withoutLogin } from './place.ts';
import { endLeftOvers, OwnServer, requirePrograms, type ServerName } from './servers.ts';
import { Stopping } from './stopping.ts';
import { partitionsOf } from './stores.ts';
import { Supervisor, type SupervisorEvent } from './supervisor.ts';

const workerCountMax = 64;

export const up: Command = {
  name: 'up',
  parameters: '<app>',
  summary: 'run a cluster on this machine: several workers, started again when they crash',
  options: [
    { flag: '--workers <count>', description: 'how many (default: 2)' },
    {
      flag: '--store <where>',
      description: 'redis://…, or a folder ($SKERRY_STORE; default: a redis-server of its own)',
    },
    { flag: '--partitions <n>', description: 'of a new store (default: 256); fixed for its life' },
    { flag: '--app-version <text>', description: "the app's version, for people" },
    ...clusterOptions,
  ],
  notes: [
    'Without --nats and --store it starts a nats-server and a redis-server of its own, which must be installed: on free ports of this machine, with what they keep in the data folder (Redis writes its log every second), and ends them with itself. Other commands find the cluster by that folder.',
    'Workers are called worker-1, worker-2, … One that crashes is started again, after a pause that doubles with each crash; one that was drained stays away. Ctrl-C drains all; a second one ends everything at once, which loses nothing that was acknowledged and flushed.',
  ],
  examples: ['skerry up app.ts --workers 4', 'skerry up app.ts --nats localhost --store redis://localhost'],
  run: runUp,
};

async function runUp(given: Given): Promise<number> {
  const count = workerCount(given);
  partitionsOf(given);
  const app = resolve(given.args[0] ?? '');
  if (!existsSync(app))
    throw new CliError('not-found', `There is no file ${shownPath(app)}`, {
      advice: 'name the module that exports your behaviours: skerry up app.ts',
    });
  const own = (['nats', 'redis'] as const).filter(
    (name) => setting(given, name === 'nats' ? 'nats' : 'store') === undefined,
  );
  requirePrograms(own);
  await takeFolder(given);
  const servers: OwnServer[] = [];
  let supervisor: Supervisor | undefined;
  const stopping = new Stopping(given.environment, () => {
    supervisor?.kill();
    for (const server of servers) server.kill();
    removeClusterNote(given.folder);
  });
  try {
    for (const name of own) servers.push(await startServer(given, name));
    const variables = variablesOf(given, servers);
    const cluster = variables.SKERRY_CLUSTER ?? 'main';
    note(given, { app, cluster, nats: variables.SKERRY_NATS ?? '', servers });
    const names = Array.from({ length: count }, (_, index) => `worker-${index + 1}`);
    const teller = new Teller(given, { names, app, cluster, variables });
    supervisor = new Supervisor({
      environment: given.environment,
      names,
      words: ['worker', app],
      variables,
      tell: (event) => teller.tell(event),
    });
    supervisor.start();
    const code = await Promise.race([supervisor.ended, stopping.asked]);
    if (code === undefined) teller.say(`draining ${count === 1 ? '1 worker' : `${count} workers`} …`);
    supervisor.stop();
    const last = await supervisor.ended;
    if (given.output.isJson) given.output.json({ status: 'closed' });
    else given.output.line('closed');
    return code ?? last;
  } finally {
    removeClusterNote(given.folder);
    for (const server of servers.reverse()) await server.stop();
  }
}

function workerCount(given: Given): number {
  const text = optionText(given, 'workers') ?? '2';
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= workerCountMax) return count;
  throw new CliError('usage', `--workers takes a number from 1 to ${workerCountMax}, not '${text}'`);
}

/** Nobody else's, and nothing left in it that still runs. */
async function takeFolder({ folder, environment }: Given): Promise<void> {
  const other = clusterNote(folder);
  if (other !== undefined)
    throw new CliError('store-in-use', `${shownPath(other.app)} is up on ${folder} already, in process ${other.pid}`, {
      advice: 'stop it first, or name another folder with --data',
    });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const last = lastClusterNote(folder);
  if (last !== undefined) await endLeftOvers(folder, last.servers, environment);
}

function startServer({ folder, environment, output }: Given, name: ServerName): Promise<OwnServer> {
  return OwnServer.start(name, { folder, environment, tell: (text) => output.note(text) });
}

/** What a worker is told: through its environment, where no other user sees logins. */
function variablesOf(given: Given, servers: readonly OwnServer[]): Record<string, string> {
  const variables: Record<string, string> = {};
  const names = ['nats', 'store', 'cluster', 'partitions', 'appVersion', 'creds', 'nkey', 'tlsCa', 'tlsCert', 'tlsKey'];
  for (const name of names) {
    const value = setting(given, name);
    const variable = `SKERRY_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
    if (value !== undefined) variables[variable] = value;
  }
  for (const { name, url } of servers) variables[name === 'nats' ? 'SKERRY_NATS' : 'SKERRY_STORE'] = url;
  return variables;
}

interface Running {
  readonly app: string;
  readonly cluster: string;
  readonly nats: string;
  readonly servers: readonly OwnServer[];
}

/** So that other commands find it by the folder; what logins beyond the URL it needs, they must be given again. */
function note({ folder }: Given, { app, cluster, nats, servers }: Running): void {
  const pids = Object.fromEntries(servers.map(({ name, pid }) => [name, pid]));
  writeClusterNote(folder, { pid: process.pid, app, cluster, nats, servers: pids });
}

const prefixStyles: readonly Style[] = ['cyan', 'green', 'magenta', 'yellow', 'blue'];

interface TellerParts {
  readonly names: readonly string[];
  readonly app: string;
  readonly cluster: string;
  readonly variables: Readonly<Record<string, string>>;
}

/** What the supervisor tells, for people or machines. */
class Teller {
  readonly #given: Given;
  readonly #output: Output;
  readonly #parts: TellerParts;
  readonly #ready = new Set<string>();
  #isComplete = false;

  constructor(given: Given, parts: TellerParts) {
    this.#given = given;
    this.#output = given.output;
    this.#parts = parts;
  }

  say(text: string): void {
    if (!this.#output.isJson) this.#output.line(text);
  }

  tell(event: SupervisorEvent): void {
    const { kind, ...rest } = event;
    if (this.#output.isJson) this.#output.json(kind === 'line' ? lineValue(event) : { status: kind, ...rest });
    else for (const text of textsOf(event)) this.#line(event.worker, text);
    if (event.kind !== 'ready') return;
    this.#ready.add(event.worker);
    if (this.#isComplete || this.#ready.size < this.#parts.names.length) return;
    this.#isComplete = true;
    this.#complete();
  }

  #line(worker: string, text: string): void {
    const { names } = this.#parts;
    const width = Math.max(...names.map((name) => name.length));
    const style = prefixStyles[names.indexOf(worker) % prefixStyles.length] ?? 'cyan';
    this.#output.line(`${this.#output.style(style, `${worker.padEnd(width)} |`)} ${text}`);
  }

  /** All are ready for the first time. */
  #complete(): void {
    const { names, app, cluster, variables } = this.#parts;
    const [nats, store] = [variables.SKERRY_NATS ?? '', variables.SKERRY_STORE ?? ''].map(withoutLogin);
    if (this.#output.isJson)
      return this.#output.json({ status: 'running', pid: process.pid, app, cluster, nats, store, workers: names });
    const output = this.#output;
    output.line();
    output.line(
      `${output.style('bold', shownPath(app))} runs on ${names.length === 1 ? '1 worker' : `${names.length} workers`} ${output.style('dim', `· cluster ${cluster} · process ${process.pid}`)}`,
    );
    output.line(output.style('dim', `${nats} · ${store}`));
    const where = this.#given.options.data === undefined ? '' : ` --data ${shellWord(this.#given.folder)}`;
    output.line(
      output.style(
        'dim',
        `Ask it from another terminal: skerry view${where}; skerry call <type/key> <operation> [json]${where}`,
      ),
    );
    output.line(output.style('dim', 'Ctrl-C drains and stops it.'));
    output.line();
  }
}

function textsOf(event: SupervisorEvent): string[] {
  switch (event.kind) {
    case 'started':
      return [];
    case 'ready':
      return [`ready: ${event.partitions} partitions · process ${event.pid}`];
    case 'left':
      return ['left'];
    case 'crashed':
      return [`ended (${event.signal ?? `exit code ${event.code}`}); started again in ${event.againMs} ms`];
    case 'line':
      return [lineText(event.text)];
  }
}

interface LogLine {
  readonly level: number;
  readonly time: number;
  readonly msg: string;
}

/** A line of the runtime's log; undefined: it is the application's own. */
function logLineOf(text: string): (LogLine & Readonly<Record<string, unknown>>) | undefined {
  if (!text.startsWith('{"level":')) return undefined;
  try {
    const line = JSON.parse(text) as Partial<LogLine> & Readonly<Record<string, unknown>>;
    const isLog = typeof line.level === 'number' && typeof line.msg === 'string' && typeof line.time === 'number';
    return isLog ? (line as LogLine & Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

const errorLevel = 50;

function lineText(text: string): string {
  const line = logLineOf(text);
  if (line === undefined) return visible(text);
  const { level, time: _, msg, ...details } = line;
  return visible(`${level >= errorLevel ? 'error:' : 'warning:'} ${logText(details, msg)}`);
}

function lineValue({ worker, text }: Extract<SupervisorEvent, { kind: 'line' }>): object {
  const line = logLineOf(text);
  return line === undefined ? { status: 'line', worker, text } : { status: 'log', worker, ...line };
}
