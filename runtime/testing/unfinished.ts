/**
 * What entities have still to do, from the image alone: messages in outboxes, timers, holds, effects, later answers, agreements.
 *
 * Owns what counts as unfinished (P7), and its words. The names of records are for nobody but the store.
 */
import { type AgreementPart, blockersOf, isBroken, isOfAgreement, placeIn } from '../../core/agreement-part.ts';
import { type Address, isAddress } from '../../core/message.ts';
import { type HeldOperation, kindIn, parts } from '../../core/record.ts';
import { isUnnamed, type Timer } from '../../core/timer.ts';
import { decodePart } from '../entity/record-format.ts';
import type { Image, Stored } from './image.ts';

/** Something that an entity has still to do. */
export interface Unfinished {
  readonly text: string;
  /** The entity, and whom it waits for. */
  readonly entities: readonly Address[];
}

/** A series never ends: it has something to do when it is this much late, ms. */
const seriesLateMs = 60_000;

/** Whether any entity has anything still to do. `now`: true time. */
export function isUnfinished(image: Image, now: number): boolean {
  for (const entity of image.entities.values()) for (const _record of workOf(entity, now)) return true;
  return false;
}

/** All that is still to do, in the words of an application. `now`: true time. */
export function unfinished(image: Image, now: number): Unfinished[] {
  return [...image.entities.values()].flatMap((entity) => unfinishedOf(entity, now));
}

function* workOf({ records }: Stored, now: number) {
  for (const [name, bytes] of records) {
    const kind = kindIn(name);
    if (kind === undefined || kind === 'snapshot' || kind === 'patch' || parts[kind].isWork !== true) continue;
    // It is only remembered, for a late confirm.
    if (kind === 'holds' && decodePart('holds', bytes).isLapsed) continue;
    if (kind === 'timers') {
      const { period, due } = decodePart('timers', bytes);
      if (period !== undefined && due > now - seriesLateMs) continue;
    }
    // What the application has not heard waits for somebody to retry or drop the letter.
    if (kind === 'agreements' && isInLetter(records, decodePart('agreements', bytes))) continue;
    yield { kind, bytes, name };
  }
}

/** Whether all that is left of an agreement is a dead letter: what its application has not heard, or was to resolve it. */
function isInLetter(records: Stored['records'], part: AgreementPart): boolean {
  const { id, decision, due, parties } = part;
  if (decision === 'none' || due > 0 || parties.some(({ word, isHeard }) => word !== 'none' && !isHeard)) return false;
  for (const [name, bytes] of records) {
    if (kindIn(name) !== 'dead') continue;
    const { kind, hold } = decodePart('dead', bytes).content;
    if (kind === 'operation' && isBroken(part)) return true;
    if (kind === 'answer' && isOfAgreement(hold) && placeIn(hold).agreement === id) return true;
  }
  return false;
}

function unfinishedOf(entity: Stored, now: number): Unfinished[] {
  const { address } = entity;
  const found: Unfinished[] = [];
  const unacked = new Map<string, number>();
  const add = (text: string, other = '') =>
    found.push({ text: `${address} ${text}`, entities: other === '' ? [address] : [address, other] });
  for (const { kind, bytes, name } of workOf(entity, now)) {
    if (kind === 'outbox') {
      const { partner } = decodePart(kind, bytes);
      unacked.set(partner, (unacked.get(partner) ?? 0) + 1);
    } else if (kind === 'holds') {
      const hold = decodePart(kind, bytes);
      const holder = holderOf(hold.id);
      add(`still holds ${hold.operation}${holder === '' ? '' : ` for ${holder}`} ${untilText(hold, now)}`, holder);
    } else if (kind === 'timers') {
      const timer = decodePart(kind, bytes);
      add(`has ${timerText(timer)}, due ${fromNow(timer.due, now)}`, timer.to);
    } else if (kind === 'effects') add(`has the effect ${decodePart(kind, bytes).name}, which has no outcome yet`);
    else if (kind === 'later') {
      const { operation, partner, until } = decodePart(kind, bytes);
      const whom = isAddress(partner) ? partner : '';
      add(`has not answered ${operation}${whom === '' ? '' : ` of ${whom}`}, open until ${fromNow(until, now)}`, whom);
    } else if (kind === 'agreements') {
      const part = decodePart(kind, bytes);
      add(`has ${agreementText(part, now)}`, blockersOf(part)[0]?.address ?? '');
    } else add(`has ${JSON.stringify(name)}`);
  }
  for (const [partner, count] of unacked)
    add(`has ${count === 1 ? '1 message' : `${count} messages`} for ${partner} not acknowledged`, partner);
  return found;
}

function timerText({ name, to, content: { kind, operation } }: Timer): string {
  const what = kind === 'operation' ? operation : `${kind} of ${operation}`;
  const whom = to === '' ? '' : ` for ${to}`;
  return isUnnamed(name) ? `a delayed ${what}${whom}` : `the timer ${JSON.stringify(name)} (${what}${whom})`;
}

function agreementText(part: AgreementPart, now: number): string {
  const { name, decision, decideBy } = part;
  const blockers = blockersOf(part);
  if (isBroken(part)) {
    const by = blockers.map(({ address, breach }) => `${address} (${breach})`).join(', ');
    return `the agreement ${name}, decided to ${decision}, broken by ${by}: no turn has resolved it`;
  }
  const whom = blockers.length === 0 ? '' : `, which waits for ${blockers.map(({ address }) => address).join(', ')}`;
  return `the agreement ${name}${whom}, ${decision === 'none' ? `to be decided by ${fromNow(decideBy, now)}` : `decided to ${decision}`}`;
}

/** Beyond any date: its turn is a dead letter. */
const neverFrom = 8.64e15;

function untilText({ until }: HeldOperation, now: number): string {
  return until > neverFrom ? 'until somebody retries or drops its dead letter' : `until ${fromNow(until, now)}`;
}

function fromNow(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1_000);
  return `${seconds < 0 ? '' : '+'}${seconds} s`;
}

/** The entity that asked for a hold, whose id ends with its address; '': a client. */
function holderOf(id: string): Address {
  return /^[^./]+\.[^./]+\.[0-9a-z]+\.[0-9a-z]+\.(.+\/.+)$/s.exec(id)?.[1] ?? '';
}
