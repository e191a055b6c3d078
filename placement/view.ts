/**
 * The view: the versioned list of workers, from which partition → worker follows by hashing alone.
 *
 * For now its workers are fixed when a cluster is embedded; who changes it, and when, comes with the placement service.
 */
import { ownerOf, partitionOf } from './hash.ts';

export interface View {
  readonly version: number;
  readonly partitions: number;
  readonly workers: readonly string[];
  /** Owner of each partition, by its number. */
  readonly owners: readonly string[];
}

/** The view in which every partition goes to its rendezvous among `workers`. */
export function viewOf(version: number, partitions: number, workers: readonly string[]): View {
  const owners = Array.from({ length: partitions }, (_, partition) => ownerOf(partition, workers) ?? '');
  return { version, partitions, workers, owners };
}

/** Who should own an entity. */
export function workerOf(view: View, address: string): string {
  return view.owners[partitionOf(address, view.partitions)] ?? '';
}
