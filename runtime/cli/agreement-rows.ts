/** Rows for agreements, shared by several commands: what is asked, how each party stands, and whom an agreement waits for. Pure. */
import {
  type AgreementNews,
  type AgreementPart,
  blockersOf,
  isBroken,
  type PartyPart,
  standingOf,
} from '../../core/agreement-part.ts';
import { dateMsMax } from '../../core/limits.ts';
import { addressText, visible } from './escape.ts';
import { payloadText, payloadValue } from './message-rows.ts';
import type { Column } from './table.ts';
import { relative } from './time.ts';

/** One agreement in one row, without its hub. */
export const agreementColumns: readonly Column[] = [
  { title: 'state' },
  { title: 'agreement' },
  { title: 'since' },
  { title: 'holds end' },
  { title: 'waits for', isFlexible: true },
];

export function agreementRow(part: AgreementPart, now: number): string[] {
  return [standingOf(part), part.name, relative(sinceOf(part), now), firstEnd(part, now), waitsFor(part)];
}

export const partyColumns: readonly Column[] = [
  { title: 'role' },
  { title: 'asked' },
  { title: 'state', isFlexible: true },
  { title: 'hold ends' },
  { title: 'party' },
];

export function partyRow(party: PartyPart, part: AgreementPart, now: number): string[] {
  const { role, operation, address, until, status } = party;
  const end = status === 'accepted' && !isDone(party) ? endText(until, now) : '';
  return [role, operation, partyState(party, part), end, addressText(address)];
}

/** Since when it stands as it does: opened, or decided. */
export function sinceOf({ decision, at, decidedAt }: AgreementPart): number {
  return decision === 'none' ? at : decidedAt;
}

/** So many are named. */
const namedCount = 2;

function waitsFor(part: AgreementPart): string {
  const blockers = blockersOf(part);
  if (blockers.length === 0) return part.isUntold ? 'its hub: the handler of decided throws' : 'its hub';
  const named = blockers.slice(0, namedCount).map(({ address, breach }) => {
    const why = isBroken(part) ? ` (${breach})` : '';
    return `${addressText(address)}${why}`;
  });
  const more = blockers.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more.toLocaleString('en')} more` : ''}`;
}

/** When the first hold ends that is not settled. */
function firstEnd({ parties }: AgreementPart, now: number): string {
  const ends = parties.filter((one) => one.status === 'accepted' && !isDone(one)).map(({ until }) => until);
  return ends.length === 0 ? '' : endText(Math.min(...ends), now);
}

function endText(until: number, now: number): string {
  return until >= dateMsMax ? 'never' : relative(until, now);
}

function isDone({ word, isHeard }: PartyPart): boolean {
  return word !== 'none' && isHeard;
}

/** `refused: not enough stock`, `confirming`, `lapsed, resolved`. */
function partyState(
  { breach, isTold, word, isHeard, status, answer }: PartyPart,
  { isResolved }: AgreementPart,
): string {
  if (breach !== 'none') return `${breach}${isResolved && isTold ? ', resolved' : ''}`;
  if (status === 'declined') return answer.length === 0 ? 'undelivered' : visible(payloadText(answer, 'answer'));
  if (word === 'confirm') return isHeard ? 'confirmed' : 'confirming';
  if (word === 'cancel') return isHeard ? 'cancelled' : 'cancelling';
  return status;
}

/** `place opened`, `place cancelled: deadline`, `place broken: stock/tea lapsed`. */
export function newsText({ name, event, detail }: AgreementNews): string {
  return `${name} ${event}${detail === '' ? '' : `: ${visible(detail)}`}`;
}

export function agreementValue(part: AgreementPart): object {
  const { id, name, at, decideBy, decision, because, decidedAt, parties } = part;
  return {
    agreement: name,
    id,
    state: standingOf(part),
    since: sinceOf(part),
    at,
    decideBy,
    ...(decision === 'none' ? {} : { decision, decidedAt }),
    ...(decision === 'cancel' ? { because } : {}),
    waitsFor: blockersOf(part).map(({ address }) => address),
    parties: parties.map((party) => ({
      role: party.role,
      party: party.address,
      operation: party.operation,
      status: party.status,
      state: partyState(party, part),
      holdUntil: party.status === 'accepted' ? party.until : undefined,
      answer: payloadValue(party.answer),
      word: party.word === 'none' ? undefined : party.word,
      isHeard: party.word === 'none' ? undefined : party.isHeard,
      breach: party.breach === 'none' ? undefined : party.breach,
    })),
  };
}
