/** How a group divides into calls to the server: commits by partition and epoch, entities to be loaded by home; and what is in none. */
import { SkerryError } from '../../../core/errors.ts';
import type { Commit, Outcome } from '../../store.ts';
import type { RedisCounters } from './counters.ts';
import type { Share } from './request.ts';

export const valueBytesMax = 67_108_864;

/** Commits with an epoch that is known to be lost get their outcome here; the others are to be sent. */
export function sharesOf(group: readonly Commit[], counters: RedisCounters, outcomes: Outcome[]): Share[] {
  const shares: Share[] = [];
  const byPartition = new Map<number, Share[]>();
  for (let place = 0; place < group.length; place++) {
    const { partition, epoch } = group[place] as Commit;
    if (counters.isLost(partition, epoch)) {
      outcomes[place] = 'stale-epoch';
      continue;
    }
    const known = byPartition.get(partition);
    const same = known?.find((one) => one.epoch === epoch);
    if (same !== undefined) {
      same.places.push(place);
      continue;
    }
    const share = { partition, epoch, counter: counters.least(partition, epoch), places: [place] };
    if (known === undefined) byPartition.set(partition, [share]);
    else known.push(share);
    shares.push(share);
  }
  return shares;
}

/** On one server all in one call; on a cluster one for each, since homes are anywhere (SR1). */
export function callsOf(shares: readonly Share[], isCluster: boolean): (readonly Share[])[] {
  if (shares.length === 0) return [];
  return isCluster ? shares.map((share) => [share]) : [shares];
}

/** Entities that one call to the server loads. */
const loadedAtOnce = 64;

/** How entities divide, by their homes, into calls of the load script: on a cluster one for each home (SR1). */
export function placesOf(homes: readonly number[], isCluster: boolean): number[][] {
  const calls: number[][] = [];
  const open = new Map<number, number[]>();
  for (const [place, home] of homes.entries()) {
    const group = isCluster ? home : 0;
    const call = open.get(group);
    if (call !== undefined && call.length < loadedAtOnce) call.push(place);
    else {
      const next = [place];
      open.set(group, next);
      calls.push(next);
    }
  }
  return calls;
}

/** Before anything is sent: what is refused must not have been begun (S5). */
export function refuseTooLarge({ address, head, records }: Commit): void {
  let largest = head.length;
  for (const [, value] of records) if (value !== null && value.length > largest) largest = value.length;
  if (largest <= valueBytesMax) return;
  throw new SkerryError(
    'too-large',
    `A value of ${address} has ${largest} bytes; the limit of this store is ${valueBytesMax} (valueBytesMax)`,
  );
}
