/**
 * Pinning: what the store is told when an entity is pinned or unpinned, and in which order.
 *
 * Invariants:
 * - PN1 Whoever has the entity by the partition that it is taken out of finds its claim stale, before another may run it.
 */
import { type Placement, pinnedPartition } from '../placement/placement.ts';
import type { Store } from './store.ts';

export interface Pinning {
  readonly address: string;
  /** Its name; undefined: the entity belongs again where it would be without a pin. */
  readonly worker: string | undefined;
}

/** Resolves when the store knows. One that was rejected may have been done in part: do it again. */
export async function pinInStore(store: Store, placement: Placement, { address, worker }: Pinning): Promise<void> {
  const own = pinnedPartition(address, store.partitions);
  // With a pin the store raises the epochs of home and own partition. The third, of an entity whose type requires labels, is
  // raised by saying the same once more: in this order at most one of the two may run it, also if this process ends between.
  const other = placement.withoutPin(address);
  const raised = other < store.partitions ? [own] : worker === undefined ? [own, other] : [other, own];
  for (const partition of raised) await store.pin(address, partition, worker);
}
