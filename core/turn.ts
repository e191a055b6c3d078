/**
 * One message against one entity → changed record, answer, outputs; the heart.
 *
 *     request ──▶ perform ──▶ handler on a draft ──┬─ returned ──▶ changes, version + 1, outputs   'committed'
 *                                                 ├─ refused ───▶ activity only, version + 1      'committed'
 *                                                 ├─ threw ─────▶ nothing; try again or bury      'threw'
 *                                                 └─ lacks an activity ─▶ nothing; load it, again 'needs'
 *
 * Owns the order of things within a turn and what each way out of it leaves behind. Does not own when the result
 * becomes durable, nor anything that happens after that: it returns values, performs no effect.
 *
 * Invariants:
 * - T1 A turn that throws or refuses leaves state, application activities, outbox, timers, holds and effects untouched (P1).
 * - T2 What a turn decides is applied only after its handler returned and every limit held; applying cannot fail.
 * - T3 A refusal, and a client's failed call, are remembered with the activity like any answer (P5).
 * - T4 Everything that crosses the entity's border is copied or encoded before the turn ends (P11).
 */
import type { Activity, Content } from './activity.ts';
import { accept, keepAnswer } from './activity.ts';
import type { Behaviour } from './behaviour.ts';
import { errorText, isSkerryError, lookedAt, SkerryError, stackText } from './errors.ts';
import { isEntityPartner, isKeyPartner, type PartnerId } from './message.ts';
import type { Withdrawal } from './outbox.ts';
import { runContent, runEffectOutcome, runQuery } from './perform.ts';
import type { DeadLetter, EntityRecord, HistoryItem, PendingEffect } from './record.ts';
import { activityWith, notePart, recordName } from './record.ts';
import { type AnswerRow, NeedActivity, Refusal, type Request, type TurnEnvironment } from './request.ts';
import { TurnScope } from './scope.ts';
import { answerContent, askedBy, type DueRequest, receiverOf, turnName } from './turn-parts.ts';

export type TurnResult =
  | {
      readonly kind: 'committed';
      /** The encoded answer, for the sender if it is a client. */
      readonly answer: Uint8Array;
      /** Activities whose outbox changed. */
      readonly sentTo: ReadonlySet<Activity>;
      /** What has left an outbox for the dead letters. */
      readonly withdrawn: Withdrawal | undefined;
      readonly effects: readonly PendingEffect[];
      /** The handler threw, and that is the answer: an actor class' instance may be half changed. */
      readonly thrown?: { readonly error: unknown };
    }
  | { readonly kind: 'threw'; readonly error: unknown }
  | { readonly kind: 'needs'; readonly partner: PartnerId }
  /** What asked is gone: a timer that was cancelled meanwhile. Nothing changed, nothing is to be committed. */
  | { readonly kind: 'void' };

type Committed = Extract<TurnResult, { kind: 'committed' }>;

const nothing: readonly PendingEffect[] = [];
const nobody: ReadonlySet<Activity> = new Set();

/** Run a turn. The caller has judged a message's arrival as 'next' and loaded its sender's activity. */
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

function encodeAnswer(row: AnswerRow, environment: TurnEnvironment): Uint8Array {
  const bytes = environment.encode(row);
  if (bytes.length > environment.limits.messageBytesMax) {
    throw new SkerryError(
      'too-large',
      `The answer takes ${bytes.length} bytes; messageBytesMax is ${environment.limits.messageBytesMax}`,
    );
  }
  return bytes;
}

/** The handler returned: everything it decided becomes the record (T2). */
function conclude(scope: TurnScope, request: Request, row: AnswerRow, answer: Uint8Array): Committed {
  const { record } = scope;
  if (request.kind === 'due') answerDue(scope, request, answer);
  record.version += 1;
  record.now = scope.now;
  scope.apply();
  acceptMessage(scope, request, answer);
  keepHistory(scope, request, String(row[0]));
  const { sentTo = nobody, withdrawn } = scope;
  return { kind: 'committed', answer, sentTo, withdrawn, effects: scope.added('effects') ?? nothing };
}

/** The handler did not return. A refusal, and a client's failed call, are answers (T3); the rest is for the caller. */
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

/** What stays of who asked for a turn that came to nothing. */
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

/** Whether an operation could not even begin. Under a key that is not remembered: once corrected, the request may use it. */
export function isNotRun(error: unknown): error is SkerryError {
  return isSkerryError(error, 'invalid-input') || isSkerryError(error, 'unknown-operation');
}

function boundedRefusal(refusal: Refusal, environment: TurnEnvironment): AnswerRow {
  const row: AnswerRow = ['refused', refusal.reason, refusal.detail];
  return environment.encode(row).length <= environment.limits.messageBytesMax
    ? row
    : ['refused', refusal.reason.slice(0, 1_000), undefined];
}

/** The encoded answer to a query on what is in memory. What is larger than a message may be is an error, like a turn's. */
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

/** Code and message of an error; never its stack. */
export function failedRow(error: unknown): AnswerRow {
  return ['failed', isSkerryError(error) ? error.code : 'failed', errorText(error).slice(0, 2_000)];
}

/** The sender's side of the turn: number, answer, acknowledgement (one commit with the rest). */
function acceptMessage(scope: TurnScope, request: Request, answer: Uint8Array): void {
  if (request.kind !== 'message') return;
  const { record, environment } = scope;
  const activity = activityWith(record, request.partner);
  const inbound = accept(activity, request.arrival, environment.now, environment.limits);
  record.changes.records.set(recordName.activity(request.partner), 'activity');
  const { content } = request;
  if (!isEntityPartner(request.partner)) {
    const until = Math.max(request.arrival.expires, environment.now + request.arrival.keepMs);
    const kept = { seq: request.arrival.seq, bytes: answer, until };
    const isKey = isKeyPartner(request.partner);
    keepAnswer(inbound, isKey ? { ...kept, request: environment.fingerprint(content) } : kept);
  } else if (content.wantsAnswer && content.kind !== 'answer') {
    scope.enqueue(activity, answerContent(content, answer));
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
    // An effect that failed for good is not done because its entity has taken note of that.
    status: status === 'done' && outcome !== undefined ? outcome.status : status,
    sent: scope.sentLog ?? [],
    state: scope.isStateChanged ? (record.changes.whole ?? new Uint8Array(0)) : new Uint8Array(0),
  };
  notePart(record, 'history', item);
}

/**
 * Give up on a request whose turn kept throwing: it becomes a dead letter here, in a turn of its own, so that what
 * comes after it can go on (P7). A sender that wants an answer is told.
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
  const delayedTo = request.kind === 'due' ? receiverOf(record, request) : '';
  const letter: DeadLetter = {
    id: `${record.version + 1}`,
    // A delayed message that could not even be sent is its sender's: a retry sends it, and does not run it here.
    side: delayedTo === '' ? 'receiver' : 'sender',
    partner: request.kind === 'message' ? request.partner : delayedTo,
    content,
    reason: String(row[2]),
    stack: stackText(failure.error),
    at: scope.now,
    attempts: failure.attempts,
  };
  // A client that asked hears of it at once, and can ask again.
  if (request.kind !== 'message' || isEntityPartner(request.partner)) scope.add('dead', letter);
  const result = conclude(scope, request, row, environment.encode(row));
  scope.end();
  return result;
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
      // The outcome goes with the letter: the effect has run, and its retry must not run it again.
      return {
        ...none,
        kind: 'effect',
        operation: record.effects.get(request.id)?.name ?? '',
        payload: environment.encode(request.outcome),
        hold: request.id,
      };
  }
}
