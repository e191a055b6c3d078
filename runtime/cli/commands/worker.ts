/** `skerry worker`: one worker of a cluster, until it is told to stop, or drained from elsewhere. */
import { type Environment, machineEnvironment } from '../../environment.ts';
import { whenThere } from '../../open.ts';
import { type ServedWorker, serve } from '../../serve.ts';
import { type App, authorisationNote, loadApp, shownPath } from '../app.ts';
import { openTransport } from '../cluster-connection.ts';
import type { Command, Given } from '../command.ts';
import { CliError } from '../failure.ts';
import { Stopping, watch } from '../run-until-signal.ts';
import { openClusterStore, storeOptions } from '../store-option.ts';
import { type ClusterPlace, clusterOptions, placeOf, setting } from '../target.ts';

export const worker: Command = {
  name: 'worker',
  parameters: '<app>',
  summary: 'run one worker of a cluster until Ctrl-C, SIGTERM or drain',
  options: [
    { flag: '--name <name>', description: 'stable across restarts: partitions follow the name ($SKERRY_NAME)' },
    {
      flag: '--label <labels>',
      description: 'a label that types can require; for several, repeat the option or use a,b',
      isList: true,
    },
    { flag: '--weight <n>', description: 'its share of the partitions relative to the others (default: 1)' },
    ...storeOptions,
    { flag: '--app-version <text>', description: 'version of the app, shown by skerry view' },
    ...clusterOptions,
  ],
  notes: [
    'Needs NATS, and a store that all workers of the cluster can reach. The worker is ready when it has claimed every partition that the view gives it: it prints a line then, and skerry ready checks it.',
    'Ctrl-C or SIGTERM drains the worker: the others take over, and no call fails. A second one ends it at once, which loses nothing that was acknowledged. Every option can come from the environment: SKERRY_NATS, SKERRY_STORE, SKERRY_CLUSTER, SKERRY_NAME, …',
  ],
  examples: [
    'skerry worker app.ts --nats 10.0.0.5 --store redis://10.0.0.6 --name worker-1',
    'skerry worker app.ts --nats localhost --store ./data --label gpu --weight 2',
  ],
  run: runWorker,
};

async function runWorker(given: Given): Promise<number> {
  const url = setting(given, 'nats');
  if (url === undefined)
    throw new CliError('usage', 'No NATS URL given', {
      advice: 'name it with --nats or SKERRY_NATS; skerry up <app.ts> starts everything on this machine',
    });
  const place = placeOf(given, url);
  const weight = weightOf(given);
  const app = await loadApp(given.args[0] ?? '');
  const stopping = new Stopping(given);
  const environment = machineEnvironment(given.output.log(given.output.isTerminal || isSupervised() ? 'warn' : 'info'));
  const name = setting(given, 'name');
  const owner = `skerry worker ${name ?? ''}`.trim();
  // A signal ends the wait for servers that are away; what was opened goes with the process.
  const isAsked = stopping.asked.then(() => undefined);
  const waiting = <What>(open: () => Promise<What>) => Promise.race([whenThere(open, environment), isAsked]);
  const transport = await waiting(() => openTransport(place, environment, owner));
  if (transport === undefined) return 0;
  try {
    const store = await waiting(() => openClusterStore(given, { owner, environment }));
    if (store === undefined) return 0;
    try {
      const served = await serve({
        ...optionsOf(given, name),
        behaviours: app.behaviours,
        limits: app.limits,
        ...(app.authorise === undefined ? {} : { authorise: app.authorise }),
        transport,
        store,
        environment,
        cluster: place.cluster,
        weight,
      });
      return await live(given, { environment, served, app, place, stopping });
    } finally {
      await store.close();
    }
  } finally {
    await transport.close();
  }
}

function weightOf(given: Given): number {
  const text = setting(given, 'weight') ?? '1';
  const weight = Number(text);
  if (Number.isInteger(weight) && weight > 0) return weight;
  throw new CliError('usage', `--weight takes a whole number from 1, not '${text}'`);
}

function optionsOf(given: Given, name: string | undefined) {
  const labels = setting(given, 'label')?.split(',');
  const version = setting(given, 'appVersion');
  return {
    ...(name === undefined ? {} : { name }),
    ...(labels === undefined ? {} : { labels }),
    ...(version === undefined ? {} : { version }),
  };
}

/** What a worker tells the `skerry up` that started it. */
export interface FromWorker {
  readonly status: 'ready';
  /** Whether its app exports a hook that decides who may do what. */
  readonly isAuthorising: boolean;
}

/** Whether `skerry up` started this process, and ends with it. */
function isSupervised(): boolean {
  return process.env.SKERRY_SUPERVISED === '1';
}

interface Living {
  readonly environment: Environment;
  readonly served: ServedWorker;
  readonly app: App;
  readonly place: ClusterPlace;
  readonly stopping: Stopping;
}

async function live(given: Given, { environment, served, app, place, stopping }: Living): Promise<number> {
  const { output } = given;
  const ended = Promise.race([stopping.asked.then(() => 'asked' as const), served.closed]);
  if (isSupervised()) process.once('disconnect', () => stopping.stop());
  const cancel = sayWhyNotReady(environment, served);
  const isStarted = await Promise.race([served.ready().then(() => true), ended.then(() => false)]);
  cancel();
  if (isStarted) {
    tellReady(given, { served, app, place });
    await watch(given, served.workers, ended);
  }
  const how = await ended;
  if (how === 'replaced')
    throw new CliError('closed', `Another process has taken over the name '${served.name}' in this cluster`, {
      advice: 'give each worker a unique name with --name',
    });
  const partitions = served.member.worker.partitions.length;
  if (!output.isJson && how === 'asked' && !isSupervised())
    output.line(partitions === 0 ? 'leaving …' : `leaving: ${partitions} partitions to hand off …`);
  const startedAt = environment.now();
  await served.close();
  const ms = environment.now() - startedAt;
  if (isSupervised()) return 0;
  if (output.isJson) output.json({ status: 'closed', how: how === 'asked' ? 'told to stop' : 'drained', ms });
  else output.line(how === 'asked' ? `left after ${ms} ms` : 'left: it was drained');
  return 0;
}

/** Who waits for this long is told why, as far as this worker knows; a start that takes longer than the second is not normal, ms. */
const [whyMs, lateMs] = [2_000, 10_000];

/** What is asked of a worker that is not ready. */
interface Starting {
  readonly name: string;
  readonly id: string;
  readonly view: { readonly version: unknown };
  readonly member: {
    readonly views: {
      readonly isKnown: boolean;
      readonly placement: {
        readonly view: { readonly workers: readonly { readonly name: string; readonly id: string }[] };
      };
    };
    readonly acquisition: { readonly coming: readonly unknown[] };
  };
}

/** The function that comes back ends that. */
export function sayWhyNotReady({ after, log }: Pick<Environment, 'after' | 'log'>, served: Starting): () => void {
  const tell = (isLate: boolean) => {
    const { name, id, view, member } = served;
    const { isKnown } = member.views;
    const namesake = member.views.placement.view.workers.find((one) => one.name === name);
    const count = member.acquisition.coming.length;
    if (!isKnown) log[isLate ? 'warn' : 'info']({ worker: name }, 'not ready: no view has arrived yet');
    else if (namesake !== undefined && namesake.id !== id)
      log.warn(
        { worker: name, other: namesake.id },
        'not ready: another live worker has this name; it must leave first',
      );
    else log[isLate ? 'warn' : 'info']({ worker: name, view: view.version }, `not ready: claiming ${count} partitions`);
  };
  const cancels = [after(whyMs, () => tell(false)), after(lateMs, () => tell(true))];
  return () => {
    for (const cancel of cancels) cancel();
  };
}

function tellReady({ output }: Given, { served, app, place }: Pick<Living, 'served' | 'app' | 'place'>): void {
  const partitions = served.member.worker.partitions.length;
  const isAuthorising = app.authorise !== undefined;
  if (isSupervised()) return void process.send?.({ status: 'ready', isAuthorising } satisfies FromWorker);
  if (output.isJson)
    return output.json({
      status: 'ready',
      name: served.name,
      id: served.id,
      pid: process.pid,
      cluster: place.cluster,
      app: app.path,
      partitions,
      isAuthorising,
      types: app.behaviours.map(({ contract: { type, operations } }) => ({
        type,
        operations: Object.keys(operations),
      })),
    });
  const what = `${output.style('bold', served.name)} is ready: ${partitions} of ${served.view.partitions} partitions`;
  output.line(
    `${what} ${output.style('dim', `· ${shownPath(app.path)} · ${place.cluster} on ${place.shown} · process ${process.pid}`)}`,
  );
  if (!isAuthorising) output.line(output.style('dim', authorisationNote(app.path)));
}
