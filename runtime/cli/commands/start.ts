/** `skerry start`: have `skerry up` start a worker again that was drained. */
import { clusterNote } from '../cluster-note.ts';
import type { Command, Given } from '../command.ts';
import { askApp } from '../control-client.ts';
import { CliError } from '../failure.ts';

export const start: Command = {
  name: 'start',
  parameters: '<worker>',
  summary: 'have skerry up start a worker again that was drained',
  options: [],
  notes: [
    'Only for workers of the skerry up that runs on the data folder; any other is started again by what started it. It takes its partitions back one after the other, and no call fails: skerry ready says when it has them.',
    'With --json: {"status","worker","pid"}; the status is started, or running if it had not left.',
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
    throw new CliError('not-found', `No skerry up runs on ${folder} that could be asked`, {
      advice: 'name its folder with --data; a worker that skerry up did not start is started by what started it',
    });
  const { status, worker, pid } = asked.answer as Started;
  if (output.isJson) output.json({ status, worker, pid });
  else output.line(`${worker} ${status === 'started' ? 'starts' : 'runs already'}: process ${pid}`);
  return 0;
}
