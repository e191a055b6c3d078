/**
 * A turn: runs one request against one entity and returns the changed record, the answer and the outputs.
 *
 *     request ──▶ handler on a draft ──┬─ returned ──────────▶ changes, version + 1, outputs   'committed'
 *                                      ├─ refused ───────────▶ activity only, version + 1      'committed'
 *                                      ├─ threw ─────────────▶ nothing; retry or bury          'threw'
 *                                      └─ needs an activity ─▶ nothing; load it, run again     'needs'
 *
 * Owns the order of steps within a turn and what each outcome leaves behind. Does not own when the result becomes durable, nor
 * anything after that: a turn returns values and performs no effect.
 *
 * Invariants:
 * - T1 A turn that throws or refuses leaves state, application activities, outbox, timers, holds and effects untouched (P1).
 * - T2 A turn's decisions are applied only after its handler returned and every limit was checked. Applying them cannot fail.
 * - T3 A refusal, and a client's failed call, are remembered with the activity like any answer (P5).
 * - T4 All data that enters or leaves the entity is copied or encoded before the turn ends (P11).
 */
import type { Activity, Content } from './activity.ts';
import { accept, keepAnswer } from './activity.ts';
import { type AgreementNews, isOfAgreement } from './agreement-part.ts';
import type { Behaviour } from './behaviour.ts';
import { errorText, isSkerryError, lookedAt, type SkerryError, stackText } from './errors.ts';
import type { LaterAnswer } from './later.ts';
import { isEntityPartner, isKeyPartner, type PartnerId } from './message.ts';
import type { Withdrawal } from './outbox.ts';
import { buryAnswer, runContent, runEffectOutcome, runQuery, runTellings } from './perform.ts';
import type { DeadLetter, EntityRecord, HistoryItem, PendingEffect } from './record.ts';
import { activityWith, notePart, recordName } from './record.ts';
import {
  type AnswerRow,
  answerContent,
  encodeAnswer,
  NeedActivity,
  Refusal,
  type Request,
  type TurnEnvironment,
} from './request.ts';
import { type AnsweredCall, TurnScope } from './scope.ts';
import { askedBy, type DueRequest, receiverOf, turnName } from './turn-parts.ts';
import { isNews, withhold } from './word.ts';

export type TurnResult =
  | {
      readonly kind: 'committed';
      /** The encoded answer, for the sender if it is a client. */
      readonly answer: Uint8Array;
      /** Activities whose outbox changed. */
      readonly sentTo: ReadonlySet<Activity>;
      /** The message that moved from an outbox to the dead letters. */
      readonly withdrawn: Withdrawal | undefined;
      readonly effects: readonly PendingEffect[];
      /** Its command is answered later: by then nobody hears of it. */
      readonly putOff: LaterAnswer | undefined;
      /** Calls of earlier turns that it answers. */
      readonly answered: readonly AnsweredCall[] | undefined;
      /** What it did to agreements. */
      readonly agreementNews: readonly AgreementNews[] | undefined;
      /** The handler threw, and its error is the answer. An instance of an actor class may be half changed. */
      readonly thrown?: { readonly error: unknown };
    }
  | { readonly kind: 'threw'; readonly error: unknown }
  | { readonly kind: 'needs'; readonly partner: PartnerId }
  /** The part that requested the turn is gone, such as a timer cancelled meanwhile. There is nothing to commit. */
  | { readonly kind: 'void' };

type Committed = Extract<TurnResult, { kind: 'committed' }>;

const nothing: readonly PendingEffect[] = [];
const nobody: ReadonlySet<Activity> = new Set();

/** Runs a turn. The caller has found the message's arrival to be 'next' and has loaded its sender's activity. */
export function runTurn(
  record: EntityRecord,
  behaviour: Behaviour,
  handlers: Readonly<Record<string, unknown>>,
  request: Request,
  environment: TurnEnvironment,
): TurnResult {
  const scope = new TurnScope(record, behaviour, request, environment);
  try {
    const row = runHandler(scope, handlers, request);
    if (row === undefined) return { kind: 'void' };
    if (scope.tellings !== undefined) runTellings(scope);
    scope.validate();
    const answer = encodeAnswer(row, environment);
    return conclude(scope, request, row, answer);
  } catch (error) {
    scope.undo();
    return concludeUndone(scope, request, lookedAt(error));
  } finally {
    scope.end();
  }
}

function runHandler(
  scope: TurnScope,
  handlers: Readonly<Record<string, unknown>>,
  request: Request,
): AnswerRow | undefined {
  switch (request.kind) {
    case 'message':
      return runContent(scope, handlers, request.partner, request.content);
    case 'due': {
      const { member, part } = askedBy(scope.record, request) ?? {};
      if (member === undefined) return undefined;
      return member.due(scope, handlers, part);
    }
    case 'effect':
      scope.remove('effects', request.id);
      return runEffectOutcome(scope, request.id, request.outcome);
  }
}

/** The handler returned: its decisions are applied to the record (T2). */
function conclude(scope: TurnScope, request: Request, row: AnswerRow, answer: Uint8Array): Committed {
  const { record } = scope;
  if (request.kind === 'due' && scope.taken === undefined) answerDue(scope, request, answer);
  record.version += 1;
  record.now = scope.now;
  scope.apply();
  acceptMessage(scope, request, String(row[0]), answer);
  keepHistory(scope, request, String(row[0]));
  const { sentTo = nobody, withdrawn, taken, answered, agreementNews } = scope;
  const effects = scope.added('effects') ?? nothing;
  return { kind: 'committed', answer, sentTo, withdrawn, effects, putOff: taken, answered, agreementNews };
}

/** The handler did not return. A refusal and a client's failed call are answers (T3). The caller handles all else. */
function concludeUndone(scope: TurnScope, request: Request, error: unknown): TurnResult {
  const needed = error instanceof NeedActivity ? error : scope.needed;
  if (needed !== undefined) return { kind: 'needs', partner: needed.partner };
  const row = declinedRow(scope.record, request, { error, environment: scope.environment });
  if (row === undefined) return { kind: 'threw', error };
  scope.forget();
  remainder(scope, request, 'refused');
  const result = conclude(scope, request, row, scope.environment.encode(row));
  return !(error instanceof Refusal) ? { ...result, thrown: { error } } : result;
}

/** Decides what stays of the part or effect whose turn was refused or buried. */
function remainder(scope: TurnScope, request: Request, end: 'refused' | 'buried'): void {
  if (request.kind === 'effect') scope.remove('effects', request.id);
  if (request.kind !== 'due') return;
  const { member, part } = askedBy(scope.record, request) ?? {};
  member?.[end]?.(scope, part);
}

function declinedRow(
  record: EntityRecord,
  request: Request,
  { error, environment }: { readonly error: unknown; readonly environment: TurnEnvironment },
): AnswerRow | undefined {
  const isHeard = request.kind !== 'due' || askedBy(record, request)?.member.refused !== undefined;
  if (error instanceof Refusal && isHeard) return boundedRefusal(error, environment);
  if (request.kind !== 'message') return undefined;
  if (isEntityPartner(request.partner) || isSkerryError(error, 'overloaded')) return undefined;
  return isKeyPartner(request.partner) && isNotRun(error) ? undefined : failedRow(error);
}

/** Whether an operation could not start. Such a failure is not remembered under a key, so a corrected request may use the same key. */
export function isNotRun(error: unknown): error is SkerryError {
  return isSkerryError(error, 'invalid-input') || isSkerryError(error, 'unknown-operation');
}

function boundedRefusal(refusal: Refusal, environment: TurnEnvironment): AnswerRow {
  const row: AnswerRow = ['refused', refusal.reason, refusal.detail];
  return environment.encode(row).length <= environment.limits.messageBytesMax
    ? row
    : ['refused', refusal.reason.slice(0, 1_000), undefined];
}

/** The encoded answer to a query on the record in memory. An answer larger than a message is an error, as it is of a turn. */
export function answerQuery(
  record: EntityRecord,
  behaviour: Behaviour,
  handlers: Readonly<Record<string, unknown>>,
  request: { readonly operation: string; readonly payload: Uint8Array },
  environment: TurnEnvironment,
): Uint8Array {
  try {
    return encodeAnswer(runQuery(record, behaviour, handlers, request, environment), environment);
  } catch (thrown) {
    const error = lookedAt(thrown);
    if (!(error instanceof Refusal)) environment.threw?.(error);
    return environment.encode(error instanceof Refusal ? boundedRefusal(error, environment) : failedRow(error));
  }
}

/** The code and message of an error, but never its stack. */
export function failedRow(error: unknown): AnswerRow {
  return ['failed', isSkerryError(error) ? error.code : 'failed', errorText(error).slice(0, 2_000)];
}

/** Records the message's number and its answer in the sender's activity, and acknowledges it: one commit with the rest of the turn. */
function acceptMessage(scope: TurnScope, request: Request, status: string, answer: Uint8Array): void {
  if (request.kind !== 'message') return;
  const { record, environment } = scope;
  const activity = activityWith(record, request.partner);
  const inbound = accept(activity, request.arrival, environment.now, environment.limits);
  record.changes.records.set(recordName.activity(request.partner), 'activity');
  if (scope.taken !== undefined) return;
  const { content } = request;
  if (!isEntityPartner(request.partner)) {
    const until = Math.max(request.arrival.expires, environment.now + request.arrival.keepMs);
    const kept = { seq: request.arrival.seq, bytes: answer, until };
    const isKey = isKeyPartner(request.partner);
    keepAnswer(inbound, isKey ? { ...kept, request: environment.fingerprint(content) } : kept);
  } else if (content.wantsAnswer && content.kind !== 'answer' && isNews(content, status)) {
    scope.enqueue(activity, answerContent(content, answer));
    if (content.kind === 'confirm' && isOfAgreement(content.hold)) withhold(activity, request.arrival.seq);
  }
}

function answerDue(scope: TurnScope, request: DueRequest, answer: Uint8Array): void {
  const { member, part } = askedBy(scope.record, request) ?? {};
  member?.answered?.(scope, part, answer);
}

function keepHistory(scope: TurnScope, request: Request, status: string): void {
  if (scope.behaviour.historyMs === undefined) return;
  const { record } = scope;
  const content = request.kind === 'message' ? request.content : undefined;
  const outcome = request.kind === 'effect' ? request.outcome : undefined;
  const item: HistoryItem = {
    version: record.version,
    at: scope.now,
    partner: request.kind === 'message' ? request.partner : '',
    kind: content?.kind ?? turnName(request),
    operation: content?.operation ?? scope.timerOperation ?? '',
    payload: content?.payload ?? (outcome === undefined ? new Uint8Array(0) : scope.environment.encode(outcome)),
    // The turn that records a failed effect succeeds, but history shows that the effect failed.
    status: status === 'done' && outcome !== undefined ? outcome.status : status,
    sent: scope.sentLog ?? [],
    state: scope.isStateChanged ? (record.changes.whole ?? new Uint8Array(0)) : new Uint8Array(0),
  };
  const { agreementNews: agreements } = scope;
  notePart(record, 'history', agreements === undefined ? item : { ...item, agreements });
}

/**
 * Gives up on a request whose turn kept throwing. The request becomes a dead letter of this entity in a turn of its own, so that later
 * messages can proceed (P7). A sender that wants an answer gets the error.
 */
export function bury(
  record: EntityRecord,
  behaviour: Behaviour,
  request: Request,
  failure: { error: unknown; attempts: number },
  environment: TurnEnvironment,
): Committed {
  const scope = new TurnScope(record, behaviour, request, environment);
  const content = buriedContent(record, request, environment);
  const row = failedRow(failure.error);
  remainder(scope, request, 'buried');
  if (request.kind === 'message') buryAnswer(scope, request.partner, request.content);
  const delayedTo = request.kind === 'due' ? receiverOf(record, request) : '';
  const letter: DeadLetter = {
    id: letterId(record, request) ?? `${record.version + 1}`,
    // A delayed message that could not be sent is a letter of its sender: a retry sends it and does not run it here.
    side: delayedTo === '' ? 'receiver' : 'sender',
    partner: request.kind === 'message' ? request.partner : delayedTo,
    content,
    reason: String(row[2]),
    stack: stackText(failure.error),
    at: scope.now,
    attempts: failure.attempts,
  };
  // A client gets the error as its answer and can call again, so it leaves no letter.
  if (request.kind !== 'message' || isEntityPartner(request.partner)) scope.add('dead', letter);
  const result = conclude(scope, request, row, environment.encode(row));
  scope.end();
  return result;
}

/** A series that keeps failing has one letter, its latest: it would have thousands. */
function letterId(record: EntityRecord, request: Request): string | undefined {
  if (request.kind !== 'due') return undefined;
  const { member, part } = askedBy(record, request) ?? {};
  return member?.letterOf?.(part);
}

function buriedContent(record: EntityRecord, request: Request, environment: TurnEnvironment): Content {
  const none: Content = { kind: 'operation', operation: '', payload: new Uint8Array(0), hold: '', wantsAnswer: false };
  switch (request.kind) {
    case 'message':
      return request.content;
    case 'due': {
      const { member, part } = askedBy(record, request) ?? {};
      return member?.contentOf(part) ?? none;
    }
    case 'effect':
      // The letter carries the outcome, because the effect has run and a retry must not run it again.
      return {
        ...none,
        kind: 'effect',
        operation: record.effects.get(request.id)?.name ?? '',
        payload: environment.encode(request.outcome),
        hold: request.id,
      };
  }
}
