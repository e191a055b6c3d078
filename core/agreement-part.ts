/**
 * An agreement as its hub keeps it: a part of the hub's record, from the turn that opens it until every party has heard.
 *
 *     none ──agree──▶ open ──an answer, the deadline, the application──▶ confirm | cancel ──every party has heard──▶ settled, gone
 *                                                                          └─ confirm: a party could not keep it ──▶ broken ──resolve──▶
 *
 * Owns its form, the ids of its holds, and the verdict on its answers. All of it is pure; `hub.ts` changes it in turns.
 *
 * Invariants:
 * - AG1 The id of a hold names its agreement and the party's place in it, so that an answer is never taken for another's.
 * - AG2 The verdict is to confirm only while every hold that it counts has more time left than the word may take (P13).
 */
import type { AnyAgreement, Because, Cardinality, Party, Rule, Tally } from './agreement.ts';
import { SkerryError } from './errors.ts';
import type { Address } from './message.ts';

/** A party as the hub knows it. */
export interface PartyPart {
  readonly role: string;
  readonly address: Address;
  readonly operation: string;
  readonly status: 'open' | 'accepted' | 'declined';
  /** Of an accepted one: when its hold ends, by its own clock, ms; else 0. */
  readonly until: number;
  /** Its encoded answer; empty: none came, or the message that asks is a dead letter of the hub. */
  readonly answer: Uint8Array;
  /** What it is told. */
  readonly word: 'none' | 'confirm' | 'cancel';
  /** It has the word, or the word is a dead letter of the hub. */
  readonly isHeard: boolean;
  /** It answers a confirm in any case, as workers did that knew no agreements: only then it has heard. */
  readonly isWordy: boolean;
  /** Why it is not confirmed though it was to be. */
  readonly breach: 'none' | 'lapsed' | 'failed' | 'undelivered';
  /** The application has heard of the breach. */
  readonly isTold: boolean;
}

export interface AgreementPart {
  readonly id: string;
  readonly name: string;
  readonly at: number;
  readonly decideBy: number;
  /** When its own turn is due, ms; 0: it waits for parties. */
  readonly due: number;
  readonly decision: 'none' | 'confirm' | 'cancel';
  readonly because: Because | 'none';
  readonly decidedAt: number;
  /** The turn that was to decide kept throwing: it is cancelled without the application, which a dead letter's retry tells. */
  readonly isUntold: boolean;
  /** The application has resolved the breaches so far. */
  readonly isResolved: boolean;
  readonly parties: readonly PartyPart[];
}

/** What a turn did to an agreement, for history and metrics. */
export interface AgreementNews {
  readonly name: string;
  readonly id: string;
  readonly event: 'opened' | 'confirmed' | 'cancelled' | 'broken' | 'resolved' | 'settled';
  /** Of a cancelled one why, of a broken one the party and why; else ''. */
  readonly detail: string;
}

// ---- ids of holds

const mark = '&';

/** Whether a hold is of an agreement. No other id begins like that. */
export function isOfAgreement(hold: string): boolean {
  return hold.startsWith(mark);
}

/** The id of a party's hold (AG1). The id of the agreement ends with the address of its hub. */
export function holdOf(agreement: string, index: number): string {
  return `${mark}${index}.${agreement}`;
}

/** What stands in place of a hold where a dead letter is of the agreement itself. */
export function ownHoldOf(agreement: string): string {
  return `${mark}.${agreement}`;
}

/** The agreement and the party's place in it; -1: of the agreement itself. */
export function placeIn(hold: string): { readonly agreement: string; readonly index: number } {
  const dot = hold.indexOf('.');
  return { agreement: hold.slice(dot + 1), index: dot === mark.length ? -1 : Number(hold.slice(mark.length, dot)) };
}

/** Whether this hub has made the hold: only it may settle it. */
export function isMadeBy(hold: string, hub: Address): boolean {
  return hold.endsWith(`.${hub}`);
}

// ---- the verdict

export interface Verdict {
  readonly verdict: 'confirm' | 'cancel' | 'wait';
  readonly because: Because;
}

const waiting: Verdict = { verdict: 'wait', because: 'declined' };

/** What is to become of it by the answers so far (AG2). `freshFrom`: holds that end before that may end before the word arrives. */
export function verdictOf(agreement: AnyAgreement, { parties }: AgreementPart, freshFrom: number): Verdict {
  let verdict: Verdict = { verdict: 'confirm', because: 'declined' };
  for (const [role, party] of rolesOf(agreement)) {
    const asked = parties.filter((one) => one.role === role);
    const isStale = asked.some((one) => one.status === 'accepted' && one.until < freshFrom);
    switch (ruleOf(party)(tallyOf(asked, freshFrom))) {
      case 'confirm':
        break;
      case 'wait':
        verdict = waiting;
        break;
      case 'cancel':
        return {
          verdict: 'cancel',
          because: isStale ? 'lapsing' : typeof party.enough === 'function' ? 'rule' : 'declined',
        };
      default:
        throw new SkerryError(
          'invalid-definition',
          `The rule of the party '${role}' of the agreement '${agreement.name}' must return 'confirm', 'cancel' or 'wait'`,
        );
    }
  }
  return verdict;
}

export function rolesOf({ parties }: AnyAgreement): [string, Party<Cardinality, unknown, unknown>][] {
  return Object.entries(parties);
}

function tallyOf(asked: readonly PartyPart[], freshFrom: number): Tally {
  const open = asked.filter(({ status }) => status === 'open').length;
  const accepted = asked.filter((one) => isFresh(one, freshFrom)).length;
  return { asked: asked.length, open, accepted, declined: asked.length - open - accepted };
}

function isFresh({ status, until }: PartyPart, freshFrom: number): boolean {
  return status === 'accepted' && until >= freshFrom;
}

const all: Rule = ({ asked, accepted, declined }) =>
  declined > 0 ? 'cancel' : accepted === asked ? 'confirm' : 'wait';

function ruleOf({ enough }: Party<Cardinality, unknown, unknown>): Rule {
  if (typeof enough === 'function') return enough;
  if (enough === undefined) return all;
  return ({ asked, accepted, declined }) =>
    accepted >= enough ? 'confirm' : asked - declined < enough ? 'cancel' : 'wait';
}

/** The places of those that are to be confirmed. */
export function winnersOf(agreement: AnyAgreement, { parties }: AgreementPart, freshFrom: number): ReadonlySet<number> {
  const winners = new Set<number>();
  for (const [role, { enough }] of rolesOf(agreement)) {
    let left = typeof enough === 'number' ? enough : parties.length;
    for (const [index, party] of parties.entries())
      if (party.role === role && left > 0 && isFresh(party, freshFrom)) {
        winners.add(index);
        left -= 1;
      }
  }
  return winners;
}

/** It may still hold, or come to hold: it must hear the decision. Who has declined holds nothing. */
export function mayHold({ status, answer }: PartyPart): boolean {
  return status !== 'declined' || answer.length === 0;
}

// ---- after the decision

function isAllHeard({ parties }: AgreementPart): boolean {
  return parties.every(({ word, isHeard }) => word === 'none' || isHeard);
}

/** A party is not confirmed though it was to be, and the application has not said that this is dealt with. */
export function isBroken({ parties, isResolved }: AgreementPart): boolean {
  return parties.some(({ breach, isTold }) => breach !== 'none' && !(isResolved && isTold));
}

/** How an agreement stands, as people are told. `confirmed` and `cancelled`: decided, and not all parties have heard. */
export type Standing = 'broken' | 'open' | 'confirmed' | 'cancelled';

export function standingOf(part: AgreementPart): Standing {
  if (isBroken(part)) return 'broken';
  if (part.decision === 'none') return 'open';
  return part.decision === 'confirm' ? 'confirmed' : 'cancelled';
}

/** The parties that it waits for: those that have not answered, have not heard, or have not kept what was agreed. */
export function blockersOf(part: AgreementPart): readonly PartyPart[] {
  const { parties, isResolved, decision } = part;
  if (isBroken(part)) return parties.filter(({ breach, isTold }) => breach !== 'none' && !(isResolved && isTold));
  if (decision === 'none') return parties.filter(({ status }) => status === 'open');
  return parties.filter(({ word, isHeard }) => word !== 'none' && !isHeard);
}

/** Whether there is nothing more that it waits for. */
export function isOver(part: AgreementPart): boolean {
  return part.decision !== 'none' && !part.isUntold && !isBroken(part) && isAllHeard(part);
}

export function withParty(part: AgreementPart, index: number, change: Partial<PartyPart>): AgreementPart {
  return { ...part, parties: part.parties.map((party, at) => (at === index ? { ...party, ...change } : party)) };
}
