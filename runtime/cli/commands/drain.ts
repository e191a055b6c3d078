/** `skerry drain`: make a worker hand off everything and exit, and wait until it has. */

import type { WorkerEntry } from '../../../placement/view.ts';
import { type LiveCluster, withCluster } from '../cluster-connection.ts';
import type { Command, Given } from '../command.ts';
import { CliError } from '../failure.ts';
import { clusterOptions, requireCluster } from '../target.ts';

export const drain: Command = {
  name: 'drain',
  parameters: '<worker>',
  summary: 'make a worker hand off everything and exit',
  options: [
    {
      flag: '--force',
      description: 'drain even the last worker: its entities are unavailable until another worker joins',
    },
    ...clusterOptions,
  ],
  notes: [
    'Waits until the worker has left. No call fails: other workers take over its partitions one by one, with the entities in memory. A supervisor that restarts processes restarts this one too; skerry up does so only after skerry start.',
    'With --json: {"status":"drained","worker","partitions","ms"}.',
  ],
  examples: ['skerry drain worker-2'],
  run: drainWorker,
};

const lookMs = 100;
const noticeMs = 5_000;
/** A worker gives up handing off after half a minute, and ends; this much later it is stuck, ms. */
const waitMs = 60_000;

async function drainWorker(given: Given): Promise<number> {
  const { args, options, output, environment } = given;
  return withCluster(given, requireCluster(given), async (cluster) => {
    const worker = cluster.worker(args[0] ?? '');
    if (options.force !== true) refuseLast(cluster, worker);
    const startedAt = environment.now();
    const partitions = await begin(cluster, worker);
    await untilGone(given, cluster, worker);
    const ms = environment.now() - startedAt;
    if (output.isJson) output.json({ status: 'drained', worker: worker.name, partitions, ms });
    else output.line(`${worker.name} has left: ${partitions} partitions handed off in ${ms} ms`);
    return 0;
  });
}

function refuseLast({ view }: LiveCluster, { name, id }: WorkerEntry): void {
  if (view.workers.some((other) => other.id !== id && !other.isLeaving)) return;
  throw new CliError('failed', `${name} is the last worker: no other worker could take over its entities`, {
    advice: 'start another one first, or drain it with --force',
  });
}

/** How many partitions it has. Throws `transport-failed` if it does not answer. */
async function begin(cluster: LiveCluster, worker: WorkerEntry): Promise<number> {
  const report = await cluster.report(worker);
  const answered = await cluster.request(worker, { kind: 'leave' });
  if (report !== undefined && answered.status === 'answered') return report.partitions.length;
  throw new CliError('transport-failed', `${worker.name} does not answer`, {
    advice: 'if it hangs or is cut off, end its process: other workers take over its partitions',
  });
}

async function untilGone({ output, environment }: Given, cluster: LiveCluster, worker: WorkerEntry): Promise<void> {
  const isInView = () => cluster.view.workers.some(({ id }) => id === worker.id);
  for (const until = environment.now() + waitMs; environment.now() < until; ) {
    const report = await cluster.report(worker);
    if (report === undefined) {
      // If placement ran there, another worker has to notice that first.
      for (const last = environment.now() + noticeMs; isInView() && environment.now() < last; )
        await cluster.pause(lookMs);
      return output.live('');
    }
    output.live(`${worker.name}: ${report.partitions.length} partitions to hand off`);
    await cluster.pause(lookMs);
  }
  throw new CliError('failed', `${worker.name} has not left within ${waitMs / 1_000} s`, {
    effect: 'unknown',
    advice: 'skerry view shows what it still has',
  });
}
