/**
 * Pinning: what the store is told when an entity is pinned or unpinned, and in which order.
 *
 * Invariants:
 * - PN1 Whoever has the entity by the partition that it is taken out of finds its claim stale, before another may run it.
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
  /** Its name; undefined: the entity belongs again where it would be without a pin. */
  readonly worker: string | undefined;
}

/**
 * Resolves when the store knows. One that was rejected may have been done in part: do it again. Rejects with `too-large`,
 * having done nothing, when the view has no room for it, and with `unknown-type` when nobody in it hosts the type.
 */
export async function pinInStore(
  { store, transport }: { readonly store: Store; readonly transport: Transport },
  placement: Placement,
  { address, worker }: Pinning,
): Promise<void> {
  checkRoom(placement.view, { address, worker }, transport.frameBytesMax);
  checkHosted(placement.view, { address, worker });
  const own = pinnedPartition(address, store.partitions);
  // With a pin the store raises the epochs of home and own partition. The third, of an entity whose type requires labels, is
  // raised by saying the same once more: in this order at most one of the two may run it, also if this process ends between.
  const other = placement.withoutPin(address);
  const raised = other < store.partitions ? [own] : worker === undefined ? [own, other] : [other, own];
  for (const partition of raised) await store.pin(address, partition, worker);
}

/** Throws `unknown-type`: where an entity is without its pin depends on the labels of its type, which its hosts tell (PN1). */
function checkHosted({ workers }: View, { address, worker }: Pinning): void {
  const type = typeOf(address);
  if (worker === undefined || workers.some(({ types }) => types.some((one) => one.type === type))) return;
  throw new SkerryError('unknown-type', `No worker in the view hosts the type '${type}'`);
}

/**
 * Throws `too-large` for a pin that the view has no room for. Half a frame is left: others pin meanwhile, and workers come.
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
