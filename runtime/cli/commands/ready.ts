/** `skerry ready`: whether a worker is ready, as an exit code: for probes. */

import { type LiveCluster, withCluster } from '../cluster-connection.ts';
import type { Command, Given } from '../command.ts';
import { CliError } from '../failure.ts';
import { clusterOptions, requireCluster, setting } from '../target.ts';

export const ready: Command = {
  name: 'ready',
  parameters: '',
  summary: 'report by the exit code whether a worker is ready',
  options: [{ flag: '--name <name>', description: 'the worker ($SKERRY_NAME)' }, ...clusterOptions],
  notes: [
    'A worker is ready when it is in the view and has claimed every partition that the view gives it. Exit code 0: ready; 1: not ready, or not there; 4: NATS or the cluster cannot be reached.',
  ],
  examples: ['skerry ready --name "$HOSTNAME" --nats nats://nats:4222'],
  run: sayReady,
};

async function sayReady(given: Given): Promise<number> {
  const { output } = given;
  const name = setting(given, 'name');
  if (name === undefined)
    throw new CliError('usage', 'Which worker?', { advice: 'name it with --name or SKERRY_NAME' });
  return withCluster(given, requireCluster(given), async (cluster) => {
    const { isReady, why, partitions } = await stateOf(cluster, name);
    if (output.isJson) output.json({ name, isReady, why, partitions });
    else output.line(isReady ? `${name} is ready: ${partitions} partitions` : `${name} is not ready: ${why}`);
    return isReady ? 0 : 1;
  });
}

async function stateOf(
  cluster: LiveCluster,
  name: string,
): Promise<{ isReady: boolean; why?: string; partitions?: number }> {
  const worker = cluster.view.workers.find((one) => one.name === name);
  if (worker === undefined) return { isReady: false, why: 'it is not in the view' };
  const report = await cluster.report(worker);
  if (report === undefined) return { isReady: false, why: 'it does not answer' };
  const partitions = report.partitions.length;
  if (worker.isLeaving) return { isReady: false, why: 'it is leaving', partitions };
  if (report.isReady) return { isReady: true, partitions };
  return { isReady: false, why: `it is still acquiring ${report.coming.length} partitions`, partitions };
}
