/** `skerry pin` and `skerry unpin`: have one entity hosted by a chosen worker, or where it belongs again. */

import { typeOf } from '../../../core/message.ts';
import type { WorkerEntry } from '../../../placement/view.ts';
import { type LiveCluster, withCluster } from '../cluster-connection.ts';
import type { Command, Given } from '../command.ts';
import { addressArgument, addressText } from '../escape.ts';
import { CliError } from '../failure.ts';
import { clusterOptions, requireCluster } from '../target.ts';

export const pin: Command = {
  name: 'pin',
  parameters: '<type/key> <worker>',
  summary: 'pin an entity to a chosen worker',
  options: clusterOptions,
  notes: [
    'The pin stays in the store until unpin; skerry view lists all pins. While that worker is away, the entity is where it would be without the pin. With --json: {"address","worker","version"}; the pin is in force from that version of the view on.',
  ],
  examples: ['skerry pin game/42 worker-3'],
  run: (given) => changePin(given, given.args[1]),
};

export const unpin: Command = {
  name: 'unpin',
  parameters: '<type/key>',
  summary: 'remove the pin of an entity',
  options: clusterOptions,
  notes: ['With --json: {"address","worker":null,"version"}.'],
  examples: ['skerry unpin game/42'],
  run: (given) => changePin(given, undefined),
};

const lookMs = 100;
const askAgainMs = 1_000;
/** For longer than it takes until another worker runs the placement service, ms. */
const waitMs = 15_000;

async function changePin(given: Given, name: string | undefined): Promise<number> {
  const { args, output } = given;
  const address = addressArgument(args[0] ?? '');
  return withCluster(given, requireCluster(given), async (cluster) => {
    if (name === undefined) requirePin(cluster, address);
    else requireHost(cluster, address, cluster.worker(name));
    await untilInView(given, cluster, { address, worker: name });
    const { version } = cluster.view;
    if (output.isJson) output.json({ address, worker: name ?? null, version });
    else if (name === undefined) output.line(`${addressText(address)} is no longer pinned`);
    else output.line(`${addressText(address)} is pinned to ${name}`);
    return 0;
  });
}

function pinnedTo({ view }: LiveCluster, address: string): string | undefined {
  return view.pins.find((one) => one.address === address)?.worker;
}

function requirePin(cluster: LiveCluster, address: string): void {
  if (pinnedTo(cluster, address) !== undefined) return;
  const pins = cluster.view.pins.map((one) => addressText(one.address));
  const some = pins.length > 12 ? `${pins.slice(0, 12).join(', ')} and more` : pins.join(', ');
  throw new CliError('not-found', `${addressText(address)} is not pinned`, {
    advice: pins.length === 0 ? 'no entity is pinned' : `these are pinned: ${some}`,
  });
}

/** A pin to a worker that cannot host the entity would be kept and change nothing. */
function requireHost({ view }: LiveCluster, address: string, worker: WorkerEntry): void {
  const type = typeOf(address);
  const hosted = view.workers.flatMap(({ types }) => types.filter((one) => one.type === type));
  if (!worker.types.some((one) => one.type === type))
    throw new CliError('unknown-type', `${worker.name} does not host '${type}'`, {
      advice: `it hosts: ${worker.types.map((one) => one.type).join(', ')}`,
    });
  const missing = hosted.flatMap(({ labels }) => labels).filter((label) => !worker.labels.includes(label));
  if (missing.length > 0)
    throw new CliError('failed', `${worker.name} lacks what '${type}' requires: ${[...new Set(missing)].join(', ')}`, {
      advice: 'start a worker with that --label',
    });
}

interface Wanted {
  readonly address: string;
  readonly worker: string | undefined;
}

/** Asks until the view has it: who runs the placement service may change meanwhile. */
async function untilInView({ environment }: Given, cluster: LiveCluster, { address, worker }: Wanted): Promise<void> {
  const until = environment.now() + waitMs;
  for (let askedAt = 0; environment.now() < until; ) {
    if (environment.now() - askedAt >= askAgainMs) {
      askedAt = environment.now();
      await cluster.requestAny({ kind: 'pin', address, worker: worker ?? '' });
    }
    if (pinnedTo(cluster, address) === worker) return;
    await cluster.pause(lookMs);
  }
  throw new CliError('failed', `The store has the pin, but no view showed it within ${waitMs / 1_000} s`, {
    effect: 'unknown',
    advice: 'skerry view shows whether a worker runs the placement service',
  });
}
