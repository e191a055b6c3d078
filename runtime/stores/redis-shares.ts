/** How a group of commits divides: by partition and epoch, and by what may be one call to the server. */
import type { Commit, Outcome } from '../store.ts';
import type { RedisCounters } from './redis-counters.ts';
import type { Share } from './redis-request.ts';

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
