/**
 * Words of agreements on their way: what a hub makes of their acknowledgements, and what a party acknowledges of them.
 *
 * That a party heard a word is the stream's acknowledgement, and only bad news is a message. So a party must not acknowledge a confirm
 * that it could not keep before its hub has the news: the hub would take the agreement for settled and forget it.
 *
 * Invariants:
 * - AG7 An acknowledgement of a confirm, or the answer to a probe of it, says that it was kept, or that the hub has processed the news
 *   that it was not; or that this news is a dead letter of the party (P7).
 * - AG8 An agreement is settled only when each party has acknowledged its word.
 */

import { type Activity, type Content, floorOf } from './activity.ts';
import type { AgreedWith } from './agreed.ts';
import { type AgreementPart, isOfAgreement, isOver, placeIn, withParty } from './agreement-part.ts';
import { dropPart, type EntityRecord, putPart } from './record.ts';

/**
 * A message of the hub was acknowledged, outside of any turn. Returns when the agreement's own turn is due, ms; 0: not for this. Without
 * a handler of `settled` there is nothing to run, and the part goes with the next commit.
 */
export function heard(
  record: EntityRecord,
  { kind, hold }: Content,
  at: number,
  agreements: ReadonlyMap<string, AgreedWith>,
): number {
  if (!isOfAgreement(hold)) return 0;
  const { agreement, index } = placeIn(hold);
  const part = record.agreements.get(agreement);
  const party = part?.parties[index];
  if (part === undefined || party === undefined) return 0;
  const isNews = (kind === 'confirm' || kind === 'cancel') && kind === party.word && !party.isHeard;
  if (!isNews || (kind === 'confirm' && party.isWordy)) return part.due;
  const next = withParty(part, index, { isHeard: true });
  return keep(record, next, at, agreements.get(part.name)?.handlers.settled !== undefined);
}

function keep(record: EntityRecord, part: AgreementPart, at: number, isTold: boolean): number {
  if (!isOver(part)) putPart(record, 'agreements', part);
  else if (isTold) putPart(record, 'agreements', { ...part, due: at });
  else dropPart(record, 'agreements', part.id);
  return isOver(part) && isTold ? at : part.due;
}

/** A message of the hub is a dead letter: its party does not hear it (P7). */
export function undelivered(record: EntityRecord, { kind, hold }: Content, at: number): void {
  if (record.agreements.size === 0 || !isOfAgreement(hold)) return;
  const { agreement, index } = placeIn(hold);
  const part = record.agreements.get(agreement);
  const party = part?.parties[index];
  if (part === undefined || party === undefined) return;
  if (kind === 'operation' && part.decision === 'none' && party.status === 'open')
    putPart(record, 'agreements', { ...withParty(part, index, { status: 'declined' }), due: at });
  else if (kind === 'confirm' && !party.isHeard)
    putPart(record, 'agreements', {
      ...withParty(part, index, { isHeard: true, breach: 'undelivered', isTold: false }),
      isResolved: false,
      due: at,
    });
  // Its hold ends by itself.
  else if (kind === 'cancel' && !party.isHeard) keep(record, withParty(part, index, { isHeard: true }), at, true);
}

// ---- the party's side

/** Whether the answer to a word is news: an agreement wants none of what went as decided. */
export function isNews({ kind, hold }: Content, status: string): boolean {
  return (
    !isOfAgreement(hold) || (kind !== 'confirm' && kind !== 'cancel') || (kind === 'confirm' && status !== 'confirmed')
  );
}

/** A confirm of this number could not be kept, and the last message to its hub says so (AG7). */
export function withhold({ inbound, outbound }: Activity, seq: number): void {
  if (inbound === undefined || outbound === undefined) return;
  const from = isWithheld({ inbound, outbound }) ? inbound.withheld?.from : undefined;
  inbound.withheld = { from: from ?? seq, until: outbound.next - 1 };
}

function isWithheld({ inbound, outbound }: Pick<Activity, 'inbound' | 'outbound'>): boolean {
  const { withheld } = inbound ?? {};
  if (withheld === undefined || outbound === undefined) return false;
  return floorOf(outbound) <= withheld.until && withheld.until < outbound.next;
}

/** Up to which number a partner's messages are acknowledged (AG7). Undefined: it has none here. */
export function acknowledged(activity: Activity | undefined): number | undefined {
  const { inbound } = activity ?? {};
  if (activity === undefined || inbound === undefined) return undefined;
  if (inbound.withheld === undefined || !isWithheld(activity)) return inbound.through;
  return Math.min(inbound.through, inbound.withheld.from - 1);
}
