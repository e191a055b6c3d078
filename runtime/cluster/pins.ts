/**
 * Pinning: the writes to the store that pin or unpin an entity, and their order.
 *
 * Invariants:
 * - PN1 The claim of the partition that the entity leaves is stale before another worker may run the entity.
 */
import { SkerryError } from '../../core/errors.ts';
import { typeOf } from '../../core/message.ts';
import { type Placement, pinnedPartition } from '../../placement/placement.ts';
import type { View } from '../../placement/view.ts';
import type { Store } from '../store.ts';
import type { Transport } from '../transport.ts';
import { encodeControl } from '../wire/control-messages.ts';

export interface Pinning {
  readonly address: string;
  /** The worker's name; undefined: unpin. */
  readonly worker: string | undefined;
}

/**
 * Resolves when the pin is stored. A rejected call may have been done in part; repeat it. Rejects with `too-large`, without
 * effect, if the view has no room for the pin, and with `unknown-type` if no worker hosts the type.
 */
export async function pinInStore(
  { store, transport }: { readonly store: Store; readonly transport: Transport },
  placement: Placement,
  { address, worker }: Pinning,
): Promise<void> {
  checkRoom(placement.view, { address, worker }, transport.frameBytesMax);
  checkHosted(placement.view, { address, worker });
  const own = pinnedPartition(address, store.partitions);
  // A pin raises the epochs of the home partition and of the entity's own. The third partition, of a type that requires labels,
  // is raised by a second write. In this order at most one worker may run the entity, even if this process ends in between.
  const other = placement.withoutPin(address);
  const raised = other < store.partitions ? [own] : worker === undefined ? [own, other] : [other, own];
  for (const partition of raised) await store.pin(address, partition, worker);
}

/** Throws `unknown-type`. The partition of an unpinned entity depends on its type's labels, which only its hosts announce (PN1). */
function checkHosted({ workers }: View, { address, worker }: Pinning): void {
  const type = typeOf(address);
  if (worker === undefined || workers.some(({ types }) => types.some((one) => one.type === type))) return;
  throw new SkerryError('unknown-type', `No worker in the view hosts the type '${type}'`);
}

/**
 * Throws `too-large` for a pin that the view has no room for. Half a frame stays free for concurrent pins and new workers.
 */
function checkRoom(view: View, { address, worker }: Pinning, frameBytesMax: number): void {
  if (worker === undefined) return;
  const others = view.pins.filter((pin) => pin.address !== address);
  const next = encodeControl({ kind: 'view', view: { ...view, pins: [...others, { address, worker }] }, sent: 0 });
  if (next.length * 2 <= frameBytesMax) return;
  throw new SkerryError(
    'too-large',
    `There are ${others.length} pins; with one more, the view would take more than half of a frame (frameBytesMax): remove other pins first`,
  );
}
