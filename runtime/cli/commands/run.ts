/** `skerry run`: an app's behaviours on a data folder, until it is told to stop. */

import { basename } from 'node:path';
import { type EmbeddedCluster, embed } from '../../embed.ts';
import { machineEnvironment } from '../../environment.ts';
import { type App, loadApp, shownPath } from '../app.ts';
import { openWaiting } from '../app-connection.ts';
import { clusterNote, lastClusterNote, removeClusterNote } from '../cluster-note.ts';
import type { Command, Given } from '../command.ts';
import { optionText } from '../command.ts';
import { greet } from '../control-client.ts';
import { type Control, serveControl } from '../control-server.ts';
import { realFolder, remember } from '../data-folder.ts';
import { shellWord } from '../escape.ts';
import { CliError, failureOf } from '../failure.ts';
import { answer, hostedApp } from '../requests.ts';
import { Stopping, watch } from '../run-until-signal.ts';

const workerCountMax = 256;

export const run: Command = {
  name: 'run',
  parameters: '<app>',
  summary: 'run an app on a data folder until Ctrl-C',
  options: [{ flag: '--workers <count>', description: 'number of workers in this process (default: 1)' }],
  notes: [
    'The app is a module (TypeScript where its project has tsx) that exports behaviours, one by one or in arrays. The folder is created if it is missing. It remembers the app, so that call works even when no app runs. An export named limits, such as { attemptsMax: 4 }, changes limits.',
    'Ctrl-C or SIGTERM finishes the turns that have started and closes cleanly. A second one ends at once, which loses nothing that was acknowledged.',
  ],
  examples: ['skerry run app.ts', 'skerry run app.ts --data /var/lib/shop --workers 4'],
  run: runApp,
};

async function runApp(given: Given): Promise<number> {
  const { folder, output } = given;
  const workers = workerCount(given);
  const app = await loadApp(given.args[0] ?? '');
  refuseCluster(folder);
  const other = await greet(folder);
  if (other !== undefined)
    throw new CliError(
      'store-in-use',
      `${basename(other.app)} already runs on the data in ${folder}, in process ${other.pid}`,
      { advice: 'stop it first, or name another folder with --data' },
    );
  const stopping = new Stopping(given);
  if (lastClusterNote(folder)?.hasData === true)
    output.note(
      `${shownPath(folder)} also holds entities of skerry up, in its Redis; they are separate from those of this app`,
    );
  const store = await openWaiting(folder, 'skerry run', given.environment);
  try {
    const environment = machineEnvironment(output.log('warn'));
    const cluster = await embed({ behaviours: app.behaviours, limits: app.limits, store, workers, environment });
    remember(folder, app.path, app.behaviours);
    // From here on the folder is this app's: commands look into it.
    removeClusterNote(folder);
    const control = await startControl(given, cluster, app);
    announce(given, app, workers);
    await watch(given, cluster.workers, stopping.asked);
    if (!output.isJson) output.line('closing …');
    control?.stop();
    await cluster.close();
    await control?.close();
  } finally {
    await store.close();
  }
  if (output.isJson) output.json({ status: 'closed' });
  else output.line('closed');
  return 0;
}

function refuseCluster(folder: string): void {
  const cluster = clusterNote(folder);
  if (cluster === undefined) return;
  throw new CliError('store-in-use', `skerry up runs a cluster on ${shownPath(folder)}, in process ${cluster.pid}`, {
    advice: 'use that cluster, or name another folder with --data',
  });
}

function workerCount(given: Given): number {
  const text = optionText(given, 'workers') ?? '1';
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= workerCountMax) return count;
  throw new CliError('usage', `--workers takes a number from 1 to ${workerCountMax}, not '${text}'`);
}

/** Without its socket the app runs all the same: only other commands cannot ask it. */
async function startControl(given: Given, cluster: EmbeddedCluster, app: App): Promise<Control | undefined> {
  const { folder, environment, output } = given;
  const about = { pid: process.pid, app: app.path, folder: realFolder(folder), startedAt: environment.now() };
  try {
    const hosted = hostedApp(cluster, app.behaviours, about);
    return await serveControl(folder, (request) => answer(hosted, request));
  } catch (error) {
    output.note(`warning: other commands cannot reach this app: ${failureOf(error).message}`);
    return undefined;
  }
}

function announce({ folder, options, output }: Given, app: App, workers: number): void {
  const types = app.behaviours.map(({ contract }) => contract);
  if (output.isJson) {
    output.json({
      status: 'running',
      pid: process.pid,
      app: app.path,
      folder: realFolder(folder),
      workers,
      types: types.map(({ type, operations }) => ({ type, operations: Object.keys(operations) })),
    });
    return;
  }
  output.line(
    `${output.style('bold', shownPath(app.path))} runs on ${shownPath(folder)} ${output.style('dim', `· process ${process.pid} · ${workers === 1 ? '1 worker' : `${workers} workers`}`)}`,
  );
  output.line();
  output.table(
    [{ title: 'type' }, { title: 'operations', isFlexible: true }],
    types.map(({ type, operations }) => [type, Object.keys(operations).join(', ')]),
    '  ',
  );
  output.line();
  const where = options.data === undefined ? '' : ` --data ${shellWord(folder)}`;
  const hint = `From another terminal: skerry call <type/key> <operation> [json]${where}\nCtrl-C stops it.`;
  for (const line of hint.split('\n')) output.line(output.style('dim', line));
  output.line();
}
