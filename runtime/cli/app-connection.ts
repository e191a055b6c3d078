/**
 * Reaching the app: a live cluster's, or the one that runs on a folder, else the remembered one, started for one request and
 * closed again.
 *
 * Owns what happens when the data folder is in use for a moment, by another such call for instance: a short wait.
 */
import { existsSync } from 'node:fs';
import { isSkerryError } from '../../core/errors.ts';
import type { Inspector } from '../admin/inspector.ts';
import { embed } from '../embed.ts';
import { type Environment, machineEnvironment } from '../environment.ts';
import { openLmdb } from '../open.ts';
import type { Store } from '../store.ts';
import { type App, loadApp, shownPath } from './app.ts';
import { type LiveCluster, withCluster } from './cluster-connection.ts';
import type { Given } from './command.ts';
import { askApp, greet } from './control-client.ts';
import { remembered, requireFolder } from './data-folder.ts';
import { CliError } from './failure.ts';
import { lookInto } from './reading.ts';
import { type AppRequest, answer, hostedApp } from './requests.ts';
import { clusterOf } from './target.ts';

/** How long a folder that is in use is waited for, and the pause between two tries, ms. */
const waitMs = 3_000;
const pauseMs = 100;

/** What the app answers. Throws what it answers with, and `not-found` or `store-in-use` when there is none to ask. */
export async function reach(given: Given, request: AppRequest): Promise<unknown> {
  const { folder, environment } = given;
  const place = clusterOf(given);
  if (place !== undefined) return withCluster(given, place, (cluster) => askCluster(cluster, request));
  const running = await askApp(folder, request);
  if (running !== undefined) return running.answer;
  requireFolder(folder);
  const app = await rememberedApp(folder);
  const until = environment.now() + waitMs;
  for (;;) {
    const store = await openUnlessInUse(folder, 'skerry call', environment.now() >= until);
    if (store !== undefined) return embedded(given, { app, store }, ({ hosted }) => answer(hosted, request));
    await pause(environment);
    const started = await askApp(folder, request);
    if (started !== undefined) return started.answer;
  }
}

/** The app for many requests, and what is stored. */
export interface Reached {
  readonly request: (request: AppRequest) => Promise<unknown>;
  readonly inspector: Inspector;
}

/** The same for many requests: the app is started once where none runs. */
export async function reachAll<Result>(given: Given, body: (reached: Reached) => Promise<Result>): Promise<Result> {
  const { folder, environment } = given;
  const place = clusterOf(given);
  if (place !== undefined)
    return withCluster(given, place, (cluster) =>
      body({ request: (request) => askCluster(cluster, request), inspector: cluster.inspector }),
    );
  if ((await greet(folder)) !== undefined)
    return lookInto(folder, ({ inspector }) => body({ request: (request) => askRunning(folder, request), inspector }));
  requireFolder(folder);
  const app = await rememberedApp(folder);
  const store = await openWaiting(folder, 'skerry dead', environment);
  return embedded(given, { app, store }, ({ hosted, inspector }) =>
    body({ request: (request) => answer(hosted, request), inspector }),
  );
}

async function askRunning(folder: string, request: AppRequest): Promise<unknown> {
  const told = await askApp(folder, request);
  if (told === undefined) throw new CliError('closed', 'The app that ran on this folder has ended: try again');
  return told.answer;
}

/** As a client of the cluster: its hook decides, and what the input must be only the turn knows. */
async function askCluster(cluster: LiveCluster, request: AppRequest): Promise<unknown> {
  const { client, inspector } = cluster;
  const types = await (request.ask === 'call' ? cluster.typesFor(request.address, request.operation) : cluster.types());
  return answer({ client, inspector, types, check: () => undefined, hello: () => ({}) }, request);
}

async function rememberedApp(folder: string): Promise<App> {
  const note = remembered(folder);
  if (note === undefined) {
    throw new CliError('not-found', `No app runs on the data in ${folder}, and the folder remembers none`, {
      advice: `start it: skerry run <app.ts> --data ${folder}`,
    });
  }
  if (existsSync(note.app)) return loadApp(note.app);
  throw new CliError(
    'not-found',
    `No app runs on the data in ${folder}, and the last one is gone: ${shownPath(note.app)}`,
    { advice: `start it from its new place: skerry run <app.ts> --data ${folder}` },
  );
}

interface Hosted {
  readonly hosted: ReturnType<typeof hostedApp>;
  readonly inspector: Inspector;
}

async function embedded<Result>(
  given: Given,
  { app, store }: { app: App; store: Store },
  body: (hosted: Hosted) => Promise<Result>,
): Promise<Result> {
  try {
    const environment = machineEnvironment(given.output.log('error'));
    const cluster = await embed({ behaviours: app.behaviours, limits: app.limits, store, environment });
    try {
      return await body({ hosted: hostedApp(cluster, app.behaviours, {}), inspector: cluster.inspector });
    } finally {
      await cluster.close();
    }
  } finally {
    await store.close();
  }
}

/** The store, opened for writing; waits a little for whoever has it open. Throws `store-in-use`. */
export async function openWaiting(folder: string, owner: string, environment: Environment): Promise<Store> {
  const until = environment.now() + waitMs;
  for (;;) {
    const store = await openUnlessInUse(folder, owner, environment.now() >= until);
    if (store !== undefined) return store;
    await pause(environment);
  }
}

async function openUnlessInUse(folder: string, owner: string, isLast: boolean): Promise<Store | undefined> {
  try {
    return await openLmdb(folder, { owner });
  } catch (error) {
    if (!isSkerryError(error, 'store-in-use')) throw error;
    if (!isLast) return undefined;
    throw new CliError('store-in-use', error.message.replace(/: .*/, ''), {
      cause: error,
      advice: 'it cannot be reached from here: stop it, or use its own interface',
    });
  }
}

function pause(environment: Environment): Promise<void> {
  return new Promise((resolve) => environment.after(pauseMs, resolve));
}
