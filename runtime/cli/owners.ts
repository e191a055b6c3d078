/** Derived from the reports of all workers: the owner of each partition, the partitions that are moving, and each worker's status. */
import { defaultLimits } from '../../core/limits.ts';
import type { Placement } from '../../placement/placement.ts';
import { viewsPerTerm } from '../../placement/service.ts';
import type { View } from '../../placement/view.ts';
import type { LiveCluster, LiveWorker } from './cluster-connection.ts';

export type State = 'ready' | 'joining' | 'leaving' | 'silent';

/** A partition that is with another worker than the view gives it to, or with none. */
export interface Handoff {
  readonly partition: number;
  /** Undefined: with none that answers. */
  readonly from: string | undefined;
  readonly to: string;
}

export interface OwnedPartition {
  readonly partition: number;
  /** By the view. */
  readonly worker: string | undefined;
  /** Who has claimed it with the store's present epoch, of those that answer. */
  readonly owner: string | undefined;
  readonly epoch: number;
}

/** What workers say of a split cluster, each thing once. */
export function splitsOf(workers: readonly LiveWorker[]): string[] {
  const said = workers.flatMap(({ entry, report }) =>
    report === undefined || report.split === '' ? [] : [`${entry.name}: ${report.split}`],
  );
  return [...new Set(said)];
}

export interface ClockSkew {
  /** By how much each worker's clock is ahead of that in the middle, ms, by the worker's id. */
  readonly aheadMs: ReadonlyMap<string, number>;
  /** The largest difference of two workers. */
  readonly skewMs: number;
  /** By how much this machine's is ahead of that in the middle. */
  readonly hereMs: number;
  /** What the workers allow for: the least that one says, since a promise is kept by all of them. */
  readonly skewMaxMs: number;
}

/** The clocks of workers against the one in the middle, so that one that is wrong does not make all others look so. */
export function clocksOf(workers: readonly LiveWorker[]): ClockSkew {
  const heard = workers.flatMap(({ entry, aheadMs }) => (aheadMs === undefined ? [] : [[entry.id, aheadMs] as const]));
  const said = workers.flatMap(({ report }) => (report?.skewMaxMs === undefined ? [] : [report.skewMaxMs]));
  const sorted = heard.map(([, ms]) => ms).sort((one, other) => one - other);
  const middle = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
  return {
    aheadMs: new Map(heard.map(([id, ms]) => [id, Math.round(ms - middle)])),
    skewMs: Math.round((sorted.at(-1) ?? 0) - (sorted[0] ?? 0)),
    hereMs: Math.round(-middle),
    skewMaxMs: said.length === 0 ? defaultLimits.skewMaxMs : Math.min(...said),
  };
}

/** `+12.3 s`; what an answer's way takes is no difference of clocks. */
export function aheadText(ms: number): string {
  if (Math.abs(ms) < 1_000) return `${ms > 0 ? '+' : ''}${ms} ms`;
  return `${ms > 0 ? '+' : ''}${(ms / 1_000).toFixed(1)} s`;
}

export function handoffsOf(placement: Placement, workers: readonly LiveWorker[]): Handoff[] {
  const holders = new Map<number, { readonly name: string; readonly epoch: number }>();
  const coming = new Map<number, string>();
  for (const { entry, report } of workers) {
    // Of two that believe they have it, the later claim is right: the other one finds out soon.
    for (const { partition, epoch } of report?.partitions ?? [])
      if (epoch > (holders.get(partition)?.epoch ?? -1)) holders.set(partition, { name: entry.name, epoch });
    for (const partition of report?.coming ?? []) coming.set(partition, entry.name);
  }
  for (const [partition, { name }] of holders) {
    const to = placement.workerOf(partition)?.name;
    if (to !== undefined && to !== name) coming.set(partition, to);
  }
  return [...coming]
    .sort(([one], [other]) => one - other)
    .map(([partition, to]) => {
      const from = holders.get(partition)?.name;
      return { partition, from: from === to ? undefined : from, to };
    });
}

export async function partitionsOf(
  { store }: LiveCluster,
  placement: Placement,
  workers: readonly LiveWorker[],
): Promise<OwnedPartition[]> {
  const numbers = [...placement.partitionNumbers];
  const epochs = await store.epochs(numbers);
  const holders = new Map<string, string>();
  for (const { entry, report } of workers)
    for (const { partition, epoch } of report?.partitions ?? []) holders.set(`${partition} ${epoch}`, entry.name);
  return numbers.map((partition, index) => ({
    partition,
    worker: placement.workerOf(partition)?.name,
    owner: holders.get(`${partition} ${epochs[index]}`),
    epoch: epochs[index] ?? 0,
  }));
}

export function stateOf({ entry: { isLeaving }, report }: LiveWorker): State {
  if (report === undefined) return 'silent';
  if (isLeaving) return 'leaving';
  return report.isReady ? 'ready' : 'joining';
}

/** As people count them: which holder of the lease, and its how manieth. */
export function versionText({ version }: View): string {
  return `${Math.floor(version / viewsPerTerm)}.${version % viewsPerTerm}`;
}
