/** Placement as tests see it: a fixed view of a few workers, and addresses that belong to each. */
import { Placement } from '../../placement/placement.ts';
import { viewOf } from '../../placement/view.ts';

/** The placement of workers with these names, all of which host these types. */
export function placed(partitions: number, names: readonly string[], types: readonly string[] = ['stock']): Placement {
  return new Placement(viewOf(1, partitions, names, types));
}

/** The first key of a type, from number `start` on, that belongs to a worker. */
export function keyAt(placement: Placement, type: string, worker: string, start = 0): string {
  for (let key = start; key < start + 100_000; key++)
    if (placement.workerOf(placement.partitionOf(`${type}/${key}`))?.name === worker) return String(key);
  throw new Error(`${worker} has no ${type}`);
}
