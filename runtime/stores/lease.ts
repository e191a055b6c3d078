/**
 * Who gets a lease: the rule of `Store.lease`, for stores that keep one as a record and change it in one step.
 *
 * Owns no lease and takes no time: both are handed in.
 */
import type { Lease } from '../store.ts';

export interface LeaseCall {
  readonly now: number;
  readonly ms: number;
  readonly instead?: number;
}

/** A lease as it is kept. Its term outlives its holder, so that none is given twice (S9). */
export interface KeptLease extends Lease {
  /** When it is over, by the clock of whoever took it. */
  readonly until: number;
}

const free: KeptLease = { holder: '', term: 0, until: 0 };

/** The lease after a call; the very object that was handed in if the call changes nothing. */
export function leaseAfter(kept: KeptLease = free, holder: string, { now, ms, instead }: LeaseCall): KeptLease {
  const isMine = kept.holder === holder;
  if (ms <= 0) return isMine ? { ...free, term: kept.term } : kept;
  if (isMine) return { ...kept, until: now + ms };
  const isFree = kept.holder === '' || kept.until <= now || kept.term === instead;
  return isFree ? { holder, term: kept.term + 1, until: now + ms } : kept;
}
