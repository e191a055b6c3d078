/**
 * Later answers in turns: a command is put off, a later turn answers or refuses it once, or its time ends.
 *
 *     taken and returned ──▶ open ─┬─ answered, refused ─▶ the asker hears it, with that commit
 *                                  └─ `until` has come ──▶ a client has given up; an entity hears `failed`
 *
 * Owns what each of these leaves behind. `later.ts` owns the forms; a client's answer is kept like any other (`activity.ts`).
 *
 * Invariants:
 * - LA1 A later answer is answered at most once: the turn that answers it removes it, in one commit with the answer (P1, P5).
 * - LA2 It is open from the turn that took it and returned it. A turn that takes one and returns another thing fails.
 * - LA3 Each one ends: answered, or by its date. An entity that asked hears either (P7).
 */
import type { Content } from './activity.ts';
import { isSkerryError, SkerryError } from './errors.ts';
import { checkedLater, isLater, isOfCall, type Later, type LaterAnswer, laterId } from './later.ts';
import { isEntityPartner, isKeyPartner } from './message.ts';
import { type AnswerRow, answerContent, encodeAnswer, outputOf, type TurnEnvironment } from './request.ts';
import type { TurnScope } from './scope.ts';
import { retained } from './storable.ts';

const noBytes = new Uint8Array(0);
/** The most that end in one turn: those of a whole crowd, whose calls have one deadline, are not a turn each. */
const endedAtOnceMax = 1_000;

/** The right to answer the command that this turn runs. The same one each time. */
export function takeLater(scope: TurnScope, content: Content): Later<unknown> {
  scope.checkOpen();
  scope.taken ??= newLater(scope, content);
  const { id, until } = scope.taken;
  return { at: scope.record.address, id, until };
}

function newLater(scope: TurnScope, content: Content): LaterAnswer {
  const { request, environment, now } = scope;
  const isCall = request.kind === 'message' && request.content === content && !isEntityPartner(request.partner);
  const arrival = isCall ? request.arrival : undefined;
  return {
    id: laterId(scope.newId()),
    partner: scope.partner,
    operation: content.operation,
    session: arrival?.session ?? 0,
    seq: arrival?.seq ?? 0,
    since: now,
    until: arrival === undefined ? now + scope.horizonMs : Math.max(arrival.expires, environment.now + arrival.keepMs),
    wantsAnswer: content.wantsAnswer,
    request: isCall && isKeyPartner(scope.partner) ? environment.fingerprint(content) : noBytes,
  };
}

/** Whether a command's handler has put its answer off: it has returned what it took (LA2). */
export function isPutOff(scope: TurnScope, output: unknown, operation: string): boolean {
  const { taken } = scope;
  const isReturned = isLater(output);
  if (isReturned && output.id === taken?.id) {
    scope.add('later', taken);
    return true;
  }
  if (isReturned)
    throw new SkerryError(
      'invalid-definition',
      `'${operation}' returned a later answer that this turn did not take: return what turn.later() gave it`,
    );
  if (taken !== undefined && !(output instanceof Promise))
    throw new SkerryError(
      'invalid-definition',
      `'${operation}' called turn.later() and did not return its value: return it, or do not take it`,
    );
  return false;
}

/** Answers or refuses. The row is not encoded, and an output is checked where the command was accepted. */
export function answerLater(scope: TurnScope, given: Later<unknown>, row: AnswerRow): void {
  scope.checkOpen();
  const later = checkedLater(given);
  if (later.at !== scope.record.address) return sendAnswer(scope, later, row);
  const open = openOf(scope, later);
  if (open !== undefined) conclude(scope, open, checkedRow(scope, open, row));
}

/** The entity that accepted the command answers it, in a turn of its own. */
function sendAnswer(scope: TurnScope, { at, id, until }: Later<unknown>, row: AnswerRow): void {
  const [status, first, second] = row;
  const payload = scope.encodeMessage([until, status, first, second], `the later answer ${id}`);
  scope.sendContent(at, { kind: 'later-answer', operation: '', payload, hold: id, wantsAnswer: false });
}

/** Undefined: its time is over, and nobody waits. Throws `invalid-input` for one that is not open. */
function openOf(scope: TurnScope, { id, until }: Later<unknown>): LaterAnswer | undefined {
  const { record, now, taken } = scope;
  if (taken?.id === id)
    throw new SkerryError('invalid-input', `${record.address} has taken ${id} in this turn: return the output instead`);
  const open = record.later.get(id);
  if (open !== undefined && open.until === until && scope.spent?.has(id) !== true)
    return open.until <= now ? undefined : open;
  if (open === undefined && until <= now) return undefined;
  throw new SkerryError(
    'invalid-input',
    `${record.address} has no open later answer ${id}: it was already answered, or never existed`,
  );
}

function checkedRow(scope: TurnScope, { operation }: LaterAnswer, [status, first, second]: AnswerRow): AnswerRow {
  if (status !== 'done') return [status, first, second];
  const { contract } = scope.behaviour;
  const declared = Object.hasOwn(contract.operations, operation) ? contract.operations[operation] : undefined;
  return [status, outputOf(first, operation, scope.environment.limits, declared)];
}

/** It is answered, with the commit of this turn (LA1). */
function conclude(scope: TurnScope, open: LaterAnswer, row: AnswerRow): void {
  const bytes = retained(encodeAnswer(row, scope.environment));
  scope.spent ??= new Set();
  scope.spent.add(open.id);
  scope.remove('later', open.id);
  if (isOfCall(open)) scope.keepAnswer({ later: open, bytes });
  else if (open.wantsAnswer) tellEntity(scope, open, bytes);
}

function tellEntity(scope: TurnScope, { partner, operation }: LaterAnswer, bytes: Uint8Array): void {
  const content = answerContent({ operation, hold: '' }, bytes);
  if (partner === '') scope.askItself(content);
  else scope.sendContent(partner, content);
}

/** The time of one has ended, and with it that of others. A client has given up by itself (LA3). */
export function endLater(scope: TurnScope): AnswerRow | undefined {
  const { record, now } = scope;
  let count = 0;
  for (const open of record.later.values()) {
    if (open.until > now || count >= endedAtOnceMax) continue;
    count += 1;
    scope.remove('later', open.id);
    if (!open.wantsAnswer || isOfCall(open)) continue;
    const text = `${record.address} accepted ${open.operation} and did not answer it in time`;
    tellEntity(scope, open, retained(scope.environment.encode(['failed', 'deadline', text])));
  }
  return count === 0 ? undefined : ['done'];
}

/** Another entity answers. Throws what is wrong with that. */
export function runLaterAnswer(scope: TurnScope, content: Content): AnswerRow {
  const [until, row] = answerIn(content.payload, scope.environment);
  answerLater(scope, { at: scope.record.address, id: content.hold, until }, row);
  return ['done'];
}

/**
 * The same of a message: its sender is in a turn no more that could fail, and a further try would find the same. What cannot be used is
 * a dead letter at once, and the later answer stays open (P7).
 */
export function receiveLaterAnswer(scope: TurnScope, content: Content): AnswerRow {
  try {
    return runLaterAnswer(scope, content);
  } catch (error) {
    if (!isSkerryError(error) || error.code === 'overloaded') throw error;
    scope.bury(content, error.message);
    return ['done'];
  }
}

function answerIn(payload: Uint8Array, environment: TurnEnvironment): readonly [until: number, row: AnswerRow] {
  const [until, status, first, second] = partsOf(environment.decode(payload));
  if (typeof until === 'number' && status === 'done') return [until, [status, first]];
  if (typeof until === 'number' && status === 'refused' && typeof first === 'string')
    return [until, [status, first, second]];
  throw new SkerryError('invalid-input', 'The later answer has an unknown form');
}

function partsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
