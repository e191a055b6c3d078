/**
 * The hub of an agreement: what its turns do to open, decide, cancel and resolve it, and what they make of an answer.
 *
 * Owns every change of the part of an agreement that a turn makes. Handlers of the application run at the end of the turn, in the order
 * in which they are asked for here (`TurnScope.tell`); what is heard without a turn is `word.ts`.
 *
 * Invariants:
 * - AG3 The decision, the words to the parties and the application's `decided` are one commit: that of the answer that settles it, of
 *   the deadline, or of the turn that cancels (P13).
 * - AG4 It is decided once: a part with a decision never gets another.
 * - AG5 Nobody hears 'confirm' of an agreement that was not decided so; who may hold and is not confirmed hears 'cancel'.
 * - AG6 A party that was to be confirmed and is not is told to the application, each once, before its part can go.
 */
import type { AgreedWith } from './agreed.ts';
import type { AnyAgreement, Because, OpenAgreement } from './agreement.ts';
import {
  type AgreementNews,
  type AgreementPart,
  holdOf,
  isBroken,
  isOver,
  mayHold,
  type PartyPart,
  rolesOf,
  verdictOf,
  winnersOf,
  withParty,
} from './agreement-part.ts';
import { SkerryError } from './errors.ts';
import { addressOf, keyOf } from './message.ts';
import { described } from './options.ts';
import type { AnswerRow } from './request.ts';
import type { TurnScope } from './scope.ts';

const nothing = new Uint8Array(0);

/** Asks the parties; they hear of it after the commit. */
export function openAgreement(scope: TurnScope, agreement: AnyAgreement, invited: unknown): OpenAgreement {
  scope.checkOpen();
  const { contract, agreements } = scope.behaviour;
  if (agreements.get(agreement?.name)?.agreement !== agreement)
    throw new SkerryError(
      'invalid-definition',
      `The agreement '${agreement?.name}' is not among the agreements of the behaviour of '${contract.type}': add agreed(…) to its options`,
    );
  if (scope.isTentative)
    throw new SkerryError(
      'invalid-definition',
      `A tentative operation of '${contract.type}' opens the agreement '${agreement.name}': its answer would not wait for that; open it in a command, or when it is confirmed`,
    );
  const id = scope.newId();
  const parties: PartyPart[] = [];
  for (const { role, address, operation, input } of guestsOf(scope, agreement, invited)) {
    const payload = scope.encodeMessage(input, `${address} ${operation}`);
    const hold = holdOf(id, parties.length);
    scope.sendContent(address, { kind: 'operation', operation, payload, hold, wantsAnswer: true });
    parties.push({ role, address, operation, ...unasked });
  }
  const decideBy = Math.ceil(scope.now + agreement.decideWithinMs);
  const { name } = agreement;
  scope.put('agreements', { id, name, at: scope.now, decideBy, due: decideBy, ...undecided, parties });
  note(scope, { id, name }, 'opened');
  return { agreement: agreement.name, id };
}

const unasked = {
  status: 'open',
  until: 0,
  answer: nothing,
  word: 'none',
  isHeard: false,
  isWordy: false,
  breach: 'none',
  isTold: false,
} as const;
const undecided = { decision: 'none', because: 'none', decidedAt: 0, isUntold: false, isResolved: false } as const;

interface Guest {
  readonly role: string;
  readonly address: string;
  readonly operation: string;
  readonly input: unknown;
}

function guestsOf(scope: TurnScope, agreement: AnyAgreement, invited: unknown): Guest[] {
  const guests: Guest[] = [];
  const roles = rolesOf(agreement);
  const given = typeof invited === 'object' && invited !== null ? invited : {};
  const unknown = Object.keys(given).find((role) => !roles.some(([known]) => known === role));
  if (unknown !== undefined) throw bad(agreement, `has no party '${unknown}'`);
  for (const [role, { type, operation, count, enough }] of roles) {
    const asked: unknown = Object.hasOwn(given, role) ? Reflect.get(given, role) : undefined;
    const list = count === 'one' ? [asked] : asked;
    if (!Array.isArray(list)) throw bad(agreement, `takes a list of parties as '${role}', not ${described(asked)}`);
    for (const one of list as { readonly key: string; readonly input: unknown }[]) {
      if (typeof one !== 'object' || one === null)
        throw bad(agreement, `takes { key, input } as '${role}', not ${described(one)}`);
      guests.push({ role, address: addressOf(type, one.key), operation, input: one.input });
    }
    if (typeof enough === 'number' && list.length < enough)
      throw bad(agreement, `needs ${enough} of the parties '${role}', and only ${list.length} are asked`);
  }
  checkGuests(scope, agreement, guests);
  return guests;
}

function checkGuests({ record, environment }: TurnScope, agreement: AnyAgreement, guests: readonly Guest[]): void {
  if (guests.length === 0) throw bad(agreement, 'was opened without a party');
  const { agreementPartyCountMax } = environment.limits;
  if (guests.length > agreementPartyCountMax)
    throw new SkerryError(
      'too-large',
      `The agreement '${agreement.name}' has ${guests.length} parties; agreementPartyCountMax is ${agreementPartyCountMax}`,
    );
  const named = new Set<string>();
  for (const { address, operation } of guests) {
    if (address === record.address)
      throw bad(
        agreement,
        `has its own hub ${address} as a party: hold its part in the turn that agrees, and settle it in 'decided'`,
      );
    const name = `${operation} ${address}`;
    if (named.has(name)) throw bad(agreement, `asks ${address} twice for '${operation}': ask once, for both`);
    named.add(name);
  }
}

function bad({ name }: AnyAgreement, what: string): SkerryError {
  return new SkerryError('invalid-input', `The agreement '${name}' ${what}`);
}

// ---- by the application

/** The application cancels what is not decided. Again does nothing. */
export function cancelAgreement(scope: TurnScope, open: OpenAgreement): void {
  scope.checkOpen();
  const part = partOf(scope, open);
  if (part.decision === 'confirm')
    throw new SkerryError(
      'failed',
      `The agreement '${part.name}' was decided already, to confirm: it cannot be cancelled`,
    );
  if (part.decision === 'none') decide(scope, part, 'cancel', 'cancelled');
}

/**
 * The application has dealt with what is broken so far. Again does nothing, also after the agreement has ended: a `broken` that
 * was a dead letter is retried when another one may have resolved it.
 */
export function resolveAgreement(scope: TurnScope, open: OpenAgreement): void {
  scope.checkOpen();
  if (isEnded(scope, open)) return;
  const part = partOf(scope, open);
  if (!isBroken(part) && part.isResolved) return;
  if (!isBroken(part))
    throw new SkerryError('failed', `The agreement '${part.name}' is not broken: nothing is to be resolved`);
  note(scope, part, 'resolved');
  keep(scope, { ...part, isResolved: true, parties: part.parties.map((party) => ({ ...party, isTold: true })) });
}

/** Whether it is an agreement of this hub that is not stored any more. Its id ends with its hub's address. */
function isEnded(scope: TurnScope, open: Partial<OpenAgreement> | undefined): boolean {
  const id = open?.id;
  if (typeof id !== 'string' || !id.endsWith(`.${scope.record.address}`)) return false;
  return scope.partNow('agreements', id) === undefined;
}

function partOf(scope: TurnScope, open: OpenAgreement): AgreementPart {
  const given: Partial<OpenAgreement> = typeof open === 'object' && open !== null ? open : {};
  if (typeof given.id !== 'string' || typeof given.agreement !== 'string')
    throw new SkerryError(
      'invalid-input',
      'An agreement must be the value that turn.agree() returned: { agreement, id }',
    );
  const part = scope.partNow('agreements', given.id);
  if (part !== undefined && part.name === given.agreement) return part;
  throw new SkerryError(
    'not-found',
    `${scope.record.address} has no agreement '${given.agreement}' with the id ${given.id}: every party has heard what was decided, or another entity opened it`,
  );
}

// ---- by answers and dates

/** A party has answered: the tentative operation, or bad news of its confirm. `payload` is the row, encoded. */
export function hearParty(
  scope: TurnScope,
  part: AgreementPart,
  index: number,
  { row: [status, , until], payload }: { readonly row: AnswerRow; readonly payload: Uint8Array },
): void {
  const party = part.parties[index] as PartyPart;
  if (part.decision === 'none') {
    if (party.status === 'open') judge(scope, answered(scope, part, index, { status, until, payload }));
  } else if (party.word === 'confirm') {
    if (status === 'confirmed') keep(scope, withParty(part, index, { isHeard: true }));
    else if (status === 'lapsed' || status === 'failed')
      tellBreaches(scope, party.breach === 'none' ? breached(part, index, status) : part);
  }
}

/** What is remembered of bad news whose turn kept throwing: a dead letter's retry tells it. */
export function noteBreach(scope: TurnScope, part: AgreementPart, index: number, status: string): void {
  const party = part.parties[index];
  if (party?.word === 'confirm' && party.breach === 'none' && (status === 'lapsed' || status === 'failed'))
    keep(scope, breached(part, index, status));
}

function breached(part: AgreementPart, index: number, breach: PartyPart['breach']): AgreementPart {
  return { ...withParty(part, index, { isHeard: true, breach, isTold: false }), isResolved: false };
}

function answered(
  scope: TurnScope,
  part: AgreementPart,
  index: number,
  { status, until, payload }: { readonly status: string; readonly until: unknown; readonly payload: Uint8Array },
): AgreementPart {
  const { role, address, operation } = part.parties[index] as PartyPart;
  if (status !== 'accepted') return withParty(part, index, { status: 'declined', answer: payload });
  const { agreementBytesMax } = scope.environment.limits;
  const bytes = part.parties.reduce((sum, { answer }) => sum + answer.length, payload.length);
  if (bytes > agreementBytesMax) {
    sendWord(scope, part, index, 'cancel');
    const text = `The outputs of the parties of '${part.name}' take more than agreementBytesMax (${agreementBytesMax} bytes) with that of ${address} ${operation}`;
    const answer = scope.environment.encode(['failed', 'too-large', text]);
    return withParty(part, index, { status: 'declined', answer, word: 'cancel' });
  }
  // Workers that know no agreements say nothing of its end, and answer each word.
  if (typeof until === 'number') return withParty(part, index, { status: 'accepted', until, answer: payload });
  const { holdMs = scope.environment.limits.holdMs } = agreedOf(scope, part).agreement.parties[role] ?? {};
  return withParty(part, index, { status: 'accepted', until: part.at + holdMs, answer: payload, isWordy: true });
}

/** Its own turn: the deadline, or what was heard without a turn. */
export function agreementDue(scope: TurnScope, part: AgreementPart): void {
  if (part.decision !== 'none') tellBreaches(scope, { ...part, due: 0 });
  else if (part.isUntold) decide(scope, part, 'cancel', 'deadline');
  else judge(scope, part);
}

/** The turn that was to do that kept throwing. The parties need not wait for its repair: another turn cancels without the application. */
export function agreementBuried(scope: TurnScope, part: AgreementPart): void {
  scope.put(
    'agreements',
    part.decision === 'none' ? { ...part, isUntold: true, due: scope.now + 1 } : { ...part, due: 0 },
  );
}

/** A dead letter of the agreement itself is retried: the application hears what it has not heard. */
export function retellAgreement(scope: TurnScope, part: AgreementPart): void {
  const told = { ...part, isUntold: false };
  if (part.decision === 'none') return judge(scope, told);
  if (part.isUntold) tellDecided(scope, told);
  tellBreaches(scope, told);
}

/** It is dropped: nobody will tell the application. */
export function dropTelling(scope: TurnScope, part: AgreementPart): void {
  const known = { ...part, isUntold: false };
  if (isOver(known)) end(scope, part);
  else scope.put('agreements', known);
}

function judge(scope: TurnScope, part: AgreementPart): void {
  const { agreement } = agreedOf(scope, part);
  const { verdict, because } = verdictOf(agreement, part, freshFrom(scope));
  if (verdict === 'cancel') decide(scope, part, 'cancel', because);
  else if (scope.now >= part.decideBy) decide(scope, part, 'cancel', 'deadline');
  else if (verdict === 'confirm') decide(scope, part, 'confirm', because);
  else scope.put('agreements', { ...part, due: part.decideBy });
}

/** Holds that end before then may end before the word arrives (AG2). */
function freshFrom({ now, environment }: TurnScope): number {
  return now + environment.limits.skewMaxMs + environment.limits.wordMs;
}

function agreedOf({ behaviour }: TurnScope, { name }: AgreementPart): AgreedWith {
  const agreed = behaviour.agreements.get(name);
  if (agreed !== undefined) return agreed;
  throw new SkerryError(
    'failed',
    `The behaviour of '${behaviour.contract.type}' has no agreement '${name}' any more, and one is open: put agreed(…) back into its options`,
  );
}

/** The one decision (AG3, AG4, AG5). */
function decide(scope: TurnScope, part: AgreementPart, decision: 'confirm' | 'cancel', because: Because): void {
  const winners = decision === 'confirm' ? winnersOf(agreedOf(scope, part).agreement, part, freshFrom(scope)) : nobody;
  const parties = part.parties.map((party, index): PartyPart => {
    if (party.word !== 'none' || !mayHold(party)) return party;
    const word = winners.has(index) ? 'confirm' : 'cancel';
    sendWord(scope, part, index, word);
    return { ...party, word };
  });
  const decided: AgreementPart = { ...part, decision, because, decidedAt: scope.now, due: 0, parties };
  if (decision === 'confirm') note(scope, part, 'confirmed');
  else note(scope, part, 'cancelled', because);
  if (!part.isUntold) tellDecided(scope, decided);
  keep(scope, decided);
}

const nobody: ReadonlySet<number> = new Set();

/** Only bad news of a confirm comes back; that a party heard is its acknowledgement. */
function sendWord(scope: TurnScope, { id, parties }: AgreementPart, index: number, kind: 'confirm' | 'cancel'): void {
  const { address, operation } = parties[index] as PartyPart;
  const hold = holdOf(id, index);
  scope.sendContent(address, { kind, operation, payload: nothing, hold, wantsAnswer: kind === 'confirm' });
}

// ---- what the application hears, and history

function note(
  scope: TurnScope,
  { name, id }: Pick<AgreementPart, 'name' | 'id'>,
  event: AgreementNews['event'],
  detail = '',
): void {
  scope.agreementNews ??= [];
  scope.agreementNews.push({ name, id, event, detail });
}

function end(scope: TurnScope, part: AgreementPart): void {
  scope.discard('agreements', part.id);
  note(scope, part, 'settled');
}

/** The part goes when nothing is left to wait for; the application hears that, too. */
function keep(scope: TurnScope, part: AgreementPart): void {
  if (!isOver(part)) return scope.put('agreements', part);
  end(scope, part);
  const settled = scope.behaviour.agreements.get(part.name)?.handlers.settled;
  if (settled !== undefined) scope.tell(settled, nameOf(part));
}

/** Each breach that it has not heard of (AG6). */
function tellBreaches(scope: TurnScope, part: AgreementPart): void {
  const told = (party: PartyPart): PartyPart => {
    if (party.breach === 'none' || party.isTold) return party;
    const { role, address, breach: why } = party;
    const [, output] = scope.environment.decode(party.answer) as [string, unknown];
    scope.tell(agreedOf(scope, part).handlers.broken, { of: nameOf(part), role, key: keyOf(address), output, why });
    note(scope, part, 'broken', `${address} ${why}`);
    return { ...party, isTold: true };
  };
  keep(scope, { ...part, parties: part.parties.map(told) });
}

function tellDecided(scope: TurnScope, part: AgreementPart): void {
  const { agreement, handlers } = agreedOf(scope, part);
  const parties = Object.fromEntries(
    rolesOf(agreement).map(([role, { count }]) => {
      const answers = part.parties.filter((one) => one.role === role).map((one) => answerOf(scope, part, one));
      return [role, count === 'one' ? answers[0] : answers];
    }),
  );
  const { decision, because } = part;
  const of = nameOf(part);
  scope.tell(handlers.decided, decision === 'confirm' ? { decision, of, parties } : { decision, because, of, parties });
}

function nameOf({ name, id }: AgreementPart): OpenAgreement {
  return { agreement: name, id };
}

function answerOf(scope: TurnScope, { decision }: AgreementPart, party: PartyPart): object {
  const key = keyOf(party.address);
  if (party.status === 'open') return { key, status: 'open' };
  if (party.answer.length === 0)
    return {
      key,
      status: 'failed',
      code: 'undelivered',
      message: 'The message that asks it is a dead letter of the hub',
    };
  const [status, first, second] = scope.environment.decode(party.answer) as [string, unknown, unknown];
  if (status === 'refused') return { key, status, reason: first, detail: second };
  if (status === 'failed') return { key, status, code: first, message: second };
  return { key, status: decision === 'confirm' && party.word === 'cancel' ? 'cancelled' : 'accepted', output: first };
}
