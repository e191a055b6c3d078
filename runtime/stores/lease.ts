/**
 * Who gets a lease: the rule of `Store.lease`, for stores that keep one as a record and change it in one step.
 *
 * Owns no lease and takes no time: both are handed in.
 */
import type { Lease } from '../store.ts';

export interface LeaseCall {
  readonly now: number;
  readonly ms: number;
  readonly instead?: Pick<Lease, 'term' | 'until'>;
}

const free: Lease = { holder: '', term: 0, until: 0 };

/**
 * The lease after a call, as it is kept (its term outlives its holder, so that none is given twice, S9); the very object that was
 * handed in if the call changes nothing.
 */
export function leaseAfter(kept: Lease = free, holder: string, { now, ms, instead }: LeaseCall): Lease {
  const isMine = kept.holder === holder;
  if (ms <= 0) return isMine ? { ...free, term: kept.term } : kept;
  if (isMine) return { ...kept, until: now + ms };
  const isFree =
    kept.holder === '' || kept.until <= now || (kept.term === instead?.term && kept.until === instead.until);
  return isFree ? { holder, term: kept.term + 1, until: now + ms } : kept;
}
