/** `skerry start`: have `skerry up` start a worker again that was drained. */
import { clusterNote } from '../cluster-note.ts';
import type { Command, Given } from '../command.ts';
import { askApp } from '../control-client.ts';
import { CliError } from '../failure.ts';

export const start: Command = {
  name: 'start',
  parameters: '<worker>',
  summary: 'make skerry up restart a worker that was drained',
  options: [],
  notes: [
    'Only for workers of the skerry up that runs on the data folder; restart any other worker in the way it was started. The worker gets its partitions back one by one, and no call fails. skerry ready reports when it has them.',
    'With --json: {"status","worker","pid"}; the status is started, or running if the worker had not left.',
  ],
  examples: ['skerry drain worker-2', 'skerry start worker-2'],
  run: startWorker,
};

interface Started {
  readonly status: 'started' | 'running';
  readonly worker: string;
  readonly pid: number;
}

async function startWorker({ args, folder, output }: Given): Promise<number> {
  const note = clusterNote(folder);
  const asked = note === undefined ? undefined : await askApp(folder, { ask: 'start-worker', worker: args[0] ?? '' });
  if (asked === undefined)
    throw new CliError('not-found', `No reachable skerry up runs on ${folder}`, {
      advice: 'name its folder with --data; restart a worker that skerry up did not start in the way it was started',
    });
  const { status, worker, pid } = asked.answer as Started;
  if (output.isJson) output.json({ status, worker, pid });
  else output.line(`${worker} ${status === 'started' ? 'starts' : 'is already running'}: process ${pid}`);
  return 0;
}
