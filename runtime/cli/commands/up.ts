/** `skerry up`: a cluster on this machine: workers as processes, looked after, and servers of its own where none are named. */
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkedCluster } from '../../wire/subjects.ts';
import { shownPath } from '../app.ts';
import {
  type ClusterNote,
  clusterNote,
  lastClusterNote,
  noteStopped,
  removeClusterNote,
  writeClusterNote,
} from '../cluster-note.ts';
import type { Command, Given } from '../command.ts';
import { optionText } from '../command.ts';
import { type Control, serveControl } from '../control-server.ts';
import { hasData } from '../data-folder.ts';
import { CliError, failureOf } from '../failure.ts';
import type { AppRequest } from '../requests.ts';
import { Stopping } from '../run-until-signal.ts';
import { endLeftOvers, OwnServer, requirePrograms, type ServerName } from '../servers.ts';
import { partitionsOf, storeOptions } from '../store-option.ts';
import { Supervisor, type SupervisorEvent } from '../supervisor.ts';
import { clusterOptions, setting, variableOf } from '../target.ts';
import { Teller } from '../up-output.ts';

const workerCountMax = 64;

export const up: Command = {
  name: 'up',
  parameters: '<app>',
  summary: 'run a cluster on this machine: several workers, restarted when they crash',
  options: [
    { flag: '--workers <count>', description: 'number of workers (default: 2)' },
    ...storeOptions,
    { flag: '--app-version <text>', description: 'version of the app, shown by skerry view' },
    ...clusterOptions,
  ],
  notes: [
    'Without --nats and --store, it starts its own nats-server and redis-server, which must be installed. They listen on free ports of this machine, keep their data in the data folder (Redis writes its log every second), and end with it. Other commands find the cluster through that folder.',
    'Workers are named worker-1, worker-2, … A worker that crashes is restarted, after a pause that doubles with each crash. A worker that was drained stays away until skerry start brings it back. Ctrl-C drains all workers; a second one ends everything at once, which loses nothing that was acknowledged and flushed.',
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
  await takeFolder(given, own.includes('redis'));
  return new Run(given, app).run(own, count);
}

/** One run of `up`: its servers, its workers, and its note in the folder. */
class Run {
  readonly #given: Given;
  readonly #app: string;
  readonly #servers: OwnServer[] = [];
  #supervisor: Supervisor | undefined;
  #control: Control | undefined;

  constructor(given: Given, app: string) {
    this.#given = given;
    this.#app = app;
  }

  async run(own: readonly ServerName[], count: number): Promise<number> {
    const { output } = this.#given;
    const stopping = new Stopping(this.#given, () => this.#endAtOnce());
    this.#note();
    try {
      for (const name of own) await this.#startServer(name);
      this.#note();
      const teller = new Teller(this.#given, { names: namesOf(count), app: this.#app, variables: this.#variables });
      const supervisor = this.#supervise(count, teller);
      await this.#startControl(supervisor);
      const code = await Promise.race([supervisor.ended, stopping.asked]);
      if (code === undefined) teller.say(`draining ${count === 1 ? '1 worker' : `${count} workers`} …`);
      this.#control?.stop();
      supervisor.stop();
      const last = await supervisor.ended;
      if (output.isJson) output.json({ status: 'closed' });
      else output.line('closed');
      return code ?? last;
    } finally {
      await this.#control?.close();
      for (const server of [...this.#servers].reverse()) await server.stop();
      this.#noteStopped();
    }
  }

  /** Without its socket only `skerry start` does not work. */
  async #startControl(supervisor: Supervisor): Promise<void> {
    const { folder, output } = this.#given;
    try {
      this.#control = await serveControl(folder, async (request) => bringBack(supervisor, request));
    } catch (error) {
      output.note(`warning: skerry start cannot reach this process: ${failureOf(error).message}`);
    }
  }

  async #startServer(name: ServerName): Promise<void> {
    const { folder, environment, output } = this.#given;
    const cluster = checkedCluster(setting(this.#given, 'cluster') ?? 'main');
    const restarted = (text: string) => {
      output.note(text);
      this.#note();
    };
    this.#servers.push(await OwnServer.start(name, { folder, cluster, environment, restarted }));
  }

  #supervise(count: number, teller: Teller): Supervisor {
    const { environment } = this.#given;
    const words = ['worker', this.#app];
    const tell = (event: SupervisorEvent) => teller.tell(event);
    const names = namesOf(count);
    this.#supervisor = new Supervisor({ environment, names, words, variables: this.#variables, tell });
    this.#supervisor.start();
    return this.#supervisor;
  }

  #endAtOnce(): void {
    this.#supervisor?.kill();
    for (const server of this.#servers) server.kill();
    this.#noteStopped();
  }

  /** What a worker is told: through its environment, where no other user sees logins. */
  get #variables(): Record<string, string> {
    const variables: Record<string, string> = {};
    for (const name of passedOn) {
      const value = setting(this.#given, name);
      if (value !== undefined) variables[variableOf(name)] = value;
    }
    for (const { name, url } of this.#servers) variables[name === 'nats' ? 'SKERRY_NATS' : 'SKERRY_STORE'] = url;
    return variables;
  }

  /** So that other commands find it by the folder; certificates and files of logins they must be given again. */
  #note(): void {
    writeClusterNote(this.#given.folder, this.#noteNow);
  }

  /** What has never run here leaves no note. */
  #noteStopped(): void {
    const note = this.#noteNow;
    if (this.#supervisor === undefined && !note.hasData) removeClusterNote(this.#given.folder);
    else noteStopped(this.#given.folder, note);
  }

  get #noteNow(): ClusterNote {
    const { SKERRY_NATS: given = '', SKERRY_CLUSTER: cluster = 'main' } = this.#variables;
    const own = this.#servers.find(({ name }) => name === 'nats');
    const [nats, tools] = [own?.urlOf('gateway') ?? given, own?.urlOf('tool') ?? given];
    const servers = Object.fromEntries(this.#servers.map(({ name, pid }) => [name, pid]));
    const hasData = setting(this.#given, 'store') === undefined && existsSync(join(this.#given.folder, 'redis'));
    return { pid: process.pid, app: this.#app, cluster, nats, tools, servers, hasData };
  }
}

/** What `skerry start` asks; everything else is asked of the workers. */
function bringBack(supervisor: Supervisor, request: AppRequest): unknown {
  if (request.ask !== 'start-worker')
    throw new CliError('usage', 'skerry up accepts only start; its workers are reached over NATS');
  return supervisor.bringBack(request.worker);
}

const passedOn = [
  'nats',
  'store',
  'cluster',
  'partitions',
  'appVersion',
  'creds',
  'nkey',
  'tlsCa',
  'tlsCert',
  'tlsKey',
];

function namesOf(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `worker-${index + 1}`);
}

function workerCount(given: Given): number {
  const text = optionText(given, 'workers') ?? '2';
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= workerCountMax) return count;
  throw new CliError('usage', `--workers takes a number from 1 to ${workerCountMax}, not '${text}'`);
}

/** Nobody else's, and nothing left in it that still runs. */
async function takeFolder({ folder, environment, output }: Given, isOwnStore: boolean): Promise<void> {
  const other = clusterNote(folder);
  if (other !== undefined)
    throw new CliError('store-in-use', `${shownPath(other.app)} already runs on ${folder}, in process ${other.pid}`, {
      advice: 'stop it first, or name another folder with --data',
    });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (hasData(folder) && isOwnStore)
    output.note(
      `${shownPath(folder)} also holds entities of skerry run; they are separate from those of this cluster, which are in its Redis`,
    );
  const last = lastClusterNote(folder);
  if (last !== undefined) await endLeftOvers(folder, last.servers, environment);
}
