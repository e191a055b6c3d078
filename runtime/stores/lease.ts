/**
 * The rule of `Store.lease`, for stores that keep a lease as a record and change it in one step.
 *
 * Owns neither lease nor clock: both are arguments.
 */
import type { Lease } from '../store.ts';

export interface LeaseCall {
  readonly now: number;
  readonly ms: number;
  readonly instead?: Pick<Lease, 'term' | 'until'>;
}

const free: Lease = { holder: '', term: 0, until: 0 };

/**
 * The lease as it is stored after a call. Its term outlives its holder, so that no term is given twice (S9). Returns the given
 * object itself if the call changes nothing.
 */
export function leaseAfter(kept: Lease = free, holder: string, { now, ms, instead }: LeaseCall): Lease {
  const isMine = kept.holder === holder;
  if (ms <= 0) return isMine ? { ...free, term: kept.term } : kept;
  if (isMine) return { ...kept, until: now + ms };
  const isFree =
    kept.holder === '' || kept.until <= now || (kept.term === instead?.term && kept.until === instead.until);
  return isFree ? { holder, term: kept.term + 1, until: now + ms } : kept;
}
