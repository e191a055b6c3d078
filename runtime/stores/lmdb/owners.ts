/**
 * Ownership in the embedded store: epochs, pins and leases, each a key of `meta`. Every function runs inside a transaction of
 * its caller, or only reads (`pinsOf`).
 *
 * Owns no state, and imports no package.
 */
import type { Address } from '../../../core/message.ts';
import type { Pin } from '../../../placement/view.ts';
import type { Claim, Lease, Mark, Partition } from '../../store.ts';
import { type LeaseCall, leaseAfter } from '../lease.ts';
import { compareAddresses } from '../memory.ts';
import {
  claimedOf,
  epochKey,
  epochOf,
  epochValue,
  leaseKey,
  pinKey,
  pinnedIn,
  pinPrefix,
  raisedKey,
  raisedValue,
} from './layout.ts';
import { type Ordered, page } from './reading.ts';

interface Meta extends Ordered {
  getBinary(key: string): Buffer | undefined;
  putSync(key: string, value: Uint8Array): unknown;
  removeSync(key: string): unknown;
}

/** Acknowledged commits are never lost, so the epoch is mark enough. */
export const markOf = (): Mark => 0;

export function claimOne(
  meta: Meta,
  { partition, home, now }: { partition: Partition; home: Partition; now: number },
  owner: string,
): Claim {
  const { epoch, previous, claimed, before } = raise(meta, partition, { now, owner });
  return { partition, epoch, previous, claimed, mark: markOf(), before, pins: pinsOf(meta, home) };
}

export function pin(
  meta: Meta,
  { address, partition, home, now }: { address: Address; partition: Partition; home: Partition; now: number },
  worker: string | undefined,
): void {
  if (worker === undefined) meta.removeSync(pinKey(home, address));
  else meta.putSync(pinKey(home, address), Buffer.from(worker));
  for (const raised of new Set([home, partition])) {
    const { epoch, claimed } = raise(meta, raised, { now, owner: undefined });
    meta.putSync(raisedKey(raised), raisedValue(claimed, epoch));
  }
}

/** The pins of one home, or all, in order of their addresses. */
export function pinsOf(meta: Ordered, home: Partition | undefined): Pin[] {
  return page(meta, pinPrefix(home), undefined, Number.POSITIVE_INFINITY)
    .map(({ key, value }) => ({ address: pinnedIn(key), worker: Buffer.from(value).toString() }))
    .sort(compareAddresses);
}

export function lease(meta: Meta, name: string, holder: string, call: LeaseCall): Lease {
  const bytes = meta.getBinary(leaseKey(name));
  const before = bytes === undefined ? undefined : (JSON.parse(bytes.toString()) as Lease);
  const after = leaseAfter(before, holder, call);
  if (after !== before) meta.putSync(leaseKey(name), Buffer.from(JSON.stringify(after)));
  return after;
}

/**
 * Raises an epoch to at least the date: a folder restored from a copy has forgotten only lower ones (S6). Without a new owner the
 * old one remains the last owner.
 */
function raise(
  meta: Meta,
  partition: Partition,
  { now, owner }: { now: number; owner: string | undefined },
): Pick<Claim, 'epoch' | 'previous' | 'claimed' | 'before'> {
  const held = epochOf(meta.getBinary(epochKey(partition)));
  const epoch = Math.max(held.epoch + 1, now);
  meta.putSync(epochKey(partition), epochValue(epoch, owner ?? held.owner));
  const claimed = claimedOf(meta.getBinary(raisedKey(partition)), held.epoch);
  return { epoch, previous: held.epoch, claimed, before: held.owner };
}
