/**
 * Dispatch: from the content of a message to the handler that runs it.
 *
 * Owns the lookup of handlers (own properties of contracts only, so inherited names reach nothing), the validation of inputs, and the
 * three steps of a tentative operation. The scope owns what a step decides.
 */
import { type Content, unackedOf } from './activity.ts';
import { isMadeBy, isOfAgreement, placeIn } from './agreement-part.ts';
import { isPutOff, receiveLaterAnswer, runLaterAnswer } from './answering.ts';
import type { View } from './behaviour.ts';
import type { EffectOutcome } from './effect.ts';
import { type AnyEntity, type Hold, holdIdBytesMax } from './entity.ts';
import { SkerryError } from './errors.ts';
import { dropTelling, hearParty, noteBreach, retellAgreement } from './hub.ts';
import { dateMsMax } from './limits.ts';
import { isEntityPartner, type PartnerId, typeOf, utf8Length } from './message.ts';
import { type AnyOperation, type Query, type Tentative, validateInput } from './operation.ts';
import type { DeadLetter, EntityRecord, HeldOperation } from './record.ts';
import { timeOf } from './record.ts';
import { type AnswerRow, outputOf, Refusal, refusalOf, type TurnEnvironment } from './request.ts';
import type { TurnScope } from './scope.ts';
import { retained, storable } from './storable.ts';
import { CommandTurnHandle, TurnHandle } from './turn-handle.ts';
import { view } from './view.ts';

export type HandlerTable = Readonly<Record<string, unknown>>;

/** Runs the handler that a message's content asks for and returns the answer row. Throws what the handler throws. */
export function runContent(scope: TurnScope, handlers: HandlerTable, partner: PartnerId, content: Content): AnswerRow {
  switch (content.kind) {
    case 'operation':
      return runOperation(scope, handlers, content);
    case 'confirm':
    case 'cancel':
      return runResolution(scope, handlers, partner, content);
    case 'answer':
      return runAnswer(scope, partner, content);
    case 'dead-retry':
    case 'dead-drop':
      return runDeadLetter(scope, handlers, content);
    case 'outbox-drop':
      return runOutboxDrop(scope, content);
    case 'effect':
      return runBuriedOutcome(scope, partner, content);
    case 'later-answer':
      return receiveLaterAnswer(scope, content);
  }
}

function operationOf(scope: TurnScope, name: string): AnyOperation {
  const { contract } = scope.behaviour;
  const operation = Object.hasOwn(contract.operations, name) ? contract.operations[name] : undefined;
  if (operation !== undefined) return operation;
  const known = Object.keys(contract.operations).join(', ');
  throw new SkerryError('unknown-operation', `'${contract.type}' has no operation '${name}'; it has ${known}`);
}

function functionOf(handlers: HandlerTable, name: string, step?: string): (turn: unknown, input: unknown) => unknown {
  const handler: unknown = step === undefined ? handlers[name] : Reflect.get(Object(handlers[name]), step);
  if (typeof handler !== 'function')
    throw new SkerryError(
      'unknown-operation',
      `The actor class has no ${step === undefined ? name : `${name}.${step}`}`,
    );
  return (turn, input) => Reflect.apply(handler, step === undefined ? handlers : handlers[name], [turn, input]);
}

function decodeInput(
  scope: TurnScope,
  operation: AnyOperation,
  content: { payload: Uint8Array; operation: string },
): unknown {
  const where = `${scope.record.address} ${content.operation}`;
  return validateInput(operation, givenIn(content.payload, where, scope.environment), where);
}

/** Decodes a payload from an untrusted sender. A payload that cannot be decoded is the sender's error. */
function givenIn(payload: Uint8Array, where: string, environment: TurnEnvironment): unknown {
  if (payload.length === 0) return undefined;
  try {
    return environment.decode(payload);
  } catch (error) {
    throw new SkerryError('invalid-input', `The input of ${where} cannot be read as plain data`, { cause: error });
  }
}

function runOperation(scope: TurnScope, handlers: HandlerTable, content: Content): AnswerRow {
  const operation = operationOf(scope, content.operation);
  if (operation.kind === 'query')
    throw new SkerryError(
      'unknown-operation',
      `'${content.operation}' of '${scope.behaviour.contract.type}' is a query but was called as a command; to call it by name, pass { kind: 'query' }`,
    );
  const input = decodeInput(scope, operation, content);
  const { limits } = scope.environment;
  const { operation: name } = content;
  if (operation.kind === 'command') {
    const output = functionOf(handlers, name)(new CommandTurnHandle(scope, content), input);
    return isPutOff(scope, output, name) ? ['later'] : ['done', outputOf(output, name, limits, operation)];
  }
  const turn = new TurnHandle(scope);
  const hold = newHold(scope, operation, content);
  scope.isTentative = true;
  const output = outputOf(functionOf(handlers, name, 'tentative')(turn, input), name, limits, operation);
  scope.add('holds', hold);
  // A hub decides to confirm only what holds for long enough.
  return isOfAgreement(hold.id) ? ['accepted', output, hold.until] : ['accepted', output];
}

function newHold(scope: TurnScope, operation: Tentative<unknown, unknown, unknown>, content: Content): HeldOperation {
  const id = content.hold;
  if (utf8Length(id) > holdIdBytesMax)
    throw new SkerryError('invalid-input', `The id of a hold can have at most ${holdIdBytesMax} bytes`);
  if (id === '')
    throw new SkerryError(
      'unknown-operation',
      `'${content.operation}' of '${scope.behaviour.contract.type}' is tentative but was called as a command; to call it by name, pass { kind: 'tentative' }`,
    );
  if (scope.record.holds.has(id)) throw new SkerryError('invalid-input', `The hold ${id} already exists`);
  const until = Math.min(Math.ceil(scope.now + (operation.holdMs ?? scope.environment.limits.holdMs)), dateMsMax);
  return { id, operation: content.operation, payload: retained(content.payload), until, isLapsed: false };
}

function runResolution(scope: TurnScope, handlers: HandlerTable, sender: PartnerId, content: Content): AnswerRow {
  const step = content.kind === 'confirm' ? 'confirm' : 'cancel';
  // What an agreement holds is settled by its hub's word, or by its own end, and by nobody else (P13).
  const isAllowed = sender === '' || !isOfAgreement(content.hold) || isMadeBy(content.hold, sender);
  const hold = isAllowed ? scope.record.holds.get(content.hold) : undefined;
  // The caller was authorised for this operation only, so a hold of another operation counts as unknown.
  if (hold === undefined || hold.operation !== content.operation)
    return [
      'failed',
      'hold-unknown',
      `${scope.record.address} has no hold with that id: it was already confirmed or cancelled, or never existed`,
    ];
  if (hold.isLapsed) return ['lapsed'];
  const operation = operationOf(scope, hold.operation);
  const input = decodeInput(scope, operation, hold);
  outputOf(
    functionOf(handlers, hold.operation, step)(new TurnHandle(scope), input),
    hold.operation,
    scope.environment.limits,
  );
  scope.remove('holds', hold.id);
  return [step === 'confirm' ? 'confirmed' : 'cancelled'];
}

/** Runs the behaviour's handler for an answer, if it has one by now. */
function runAnswer(scope: TurnScope, sender: PartnerId, content: Content): AnswerRow {
  if (isOfAgreement(content.hold)) return runPartyAnswer(scope, sender, content);
  // An answer that came by a timer is from the entity itself, which is then the partner.
  const partner = sender === '' ? scope.record.address : sender;
  if (sender === '') scope.actAs(partner);
  const handlers = isEntityPartner(partner) ? scope.behaviour.answers.get(typeOf(partner)) : undefined;
  // Own properties only, because the name comes from outside.
  const handler =
    handlers !== undefined && Object.hasOwn(handlers, content.operation) ? handlers[content.operation] : undefined;
  if (handler === undefined) return ['done'];
  const row = readRow(scope.environment.decode(content.payload));
  const hold: Hold | undefined =
    content.hold === '' ? undefined : { entity: partner, operation: content.operation, id: content.hold };
  outputOf(handler(new TurnHandle(scope), { ...answerBody(row), hold }), content.operation, scope.environment.limits);
  return ['done'];
}

/** A party of an agreement has answered; or, of the entity itself, a dead letter of the agreement is retried. */
function runPartyAnswer(scope: TurnScope, sender: PartnerId, { hold, payload }: Content): AnswerRow {
  const { agreement, index } = placeIn(hold);
  const part = scope.partNow('agreements', agreement);
  if (part === undefined) return ['done'];
  if (index < 0 && sender === '') retellAgreement(scope, part);
  if (part.parties[index]?.address !== sender) return ['done'];
  hearParty(scope, part, index, { row: readRow(scope.environment.decode(payload)), payload });
  return ['done'];
}

/** An answer whose turn kept throwing is a dead letter. That the agreement is broken shows until its retry tells it (AG6). */
export function buryAnswer(scope: TurnScope, sender: PartnerId, { kind, hold, payload }: Content): void {
  if (kind !== 'answer' || !isOfAgreement(hold)) return;
  const { agreement, index } = placeIn(hold);
  const part = scope.record.agreements.get(agreement);
  if (part?.parties[index]?.address !== sender) return;
  noteBreach(scope, part, index, readRow(scope.environment.decode(payload))[0]);
}

/** Handlers of agreements hear their news, also what those before them have brought about. A refusal would undo a decision unheard. */
export function runTellings(scope: TurnScope): void {
  for (const { handler, news } of scope.tellings ?? []) {
    try {
      outputOf(handler(new TurnHandle(scope), news), 'the handler of an agreement', scope.environment.limits);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const text = `A handler of an agreement of ${scope.record.address} refused ('${error.reason}'): what is decided cannot be refused`;
      throw new SkerryError('failed', text);
    }
  }
}

/** Checks the row of an answer, which a foreign sender may have made: reason, code and message must be strings. */
export function readRow(row: unknown): AnswerRow {
  const [status, first, second] = Array.isArray(row) ? (row as unknown[]) : [];
  const isRow =
    typeof status === 'string' &&
    (status !== 'refused' || typeof first === 'string') &&
    (status !== 'failed' || (typeof first === 'string' && typeof second === 'string'));
  if (!isRow) throw new SkerryError('invalid-input', 'The answer has an unknown form');
  return [status, first, second];
}

/** An answer as its handler sees it. */
export function answerBody([status, first, second]: AnswerRow): object {
  if (status === 'refused') return { status, reason: first, detail: second };
  if (status === 'failed') return { status, code: first, message: second };
  return { status, output: first };
}

/** Only the retry of a dead letter brings an outcome as a message. An outcome from any other sender is forged. */
function runBuriedOutcome(scope: TurnScope, partner: PartnerId, content: Content): AnswerRow {
  if (partner !== '') throw new SkerryError('unknown-operation', 'The outcome of an effect cannot be sent');
  const handler = scope.behaviour.effects.get(content.operation)?.settled;
  if (handler !== undefined)
    outputOf(
      handler(new TurnHandle(scope), scope.environment.decode(content.payload)),
      content.operation,
      scope.environment.limits,
    );
  return ['done'];
}

export function runEffectOutcome(scope: TurnScope, id: string, outcome: EffectOutcome<unknown>): AnswerRow | undefined {
  const effect = scope.record.effects.get(id);
  if (effect === undefined) return undefined;
  scope.timerOperation = effect.name;
  const handler = scope.behaviour.effects.get(effect.name)?.settled;
  if (handler !== undefined) {
    // Each attempt gets a copy: the next one must not see what a handler that threw did to it (P1).
    const own = storable(outcome, `outcome of effect ${effect.name}`);
    outputOf(handler(new TurnHandle(scope), own), effect.name, scope.environment.limits);
  }
  return ['done'];
}

/** Retries or drops a dead letter. A retry runs its content as if it came from the letter's sender. */
function runDeadLetter(scope: TurnScope, handlers: HandlerTable, content: Content): AnswerRow {
  const id = givenIn(content.payload, content.kind, scope.environment);
  if (typeof id !== 'string') throw new SkerryError('invalid-input', 'The id of a dead letter must be a string');
  const letter = scope.record.dead.get(id);
  // The caller was authorised for this operation only, so a letter of another operation counts as not found.
  if (letter === undefined || letter.content.operation !== content.operation)
    throw new SkerryError('not-found', `${scope.record.address} has no dead letter '${id}'`);
  scope.remove('dead', id);
  if (content.kind === 'dead-drop') {
    // A hold whose lapse was buried stayed for the retry of its cancel, which will not come now.
    if (scope.record.holds.get(letter.content.hold)?.until === Number.MAX_SAFE_INTEGER)
      scope.remove('holds', letter.content.hold);
    dropAgreementLetter(scope, letter.content);
    return ['done'];
  }
  checkAsked(scope, letter);
  if (letter.side === 'sender') {
    scope.sendContent(letter.partner, letter.content);
    return ['done'];
  }
  scope.actAs(letter.partner);
  // Its sender was told that it failed. So nobody hears an answer, now or later.
  const again = { ...letter.content, wantsAnswer: false };
  if (again.kind === 'later-answer') runLaterAnswer(scope, again);
  else runContent(scope, handlers, letter.partner, again);
  return ['done'];
}

function dropAgreementLetter(scope: TurnScope, { kind, hold }: Content): void {
  if (kind !== 'answer' || !isOfAgreement(hold) || placeIn(hold).index >= 0) return;
  const part = scope.partNow('agreements', placeIn(hold).agreement);
  if (part !== undefined) dropTelling(scope, part);
}

/** What an agreement has asked is asked again only while it is open: later nobody would confirm or cancel what is held. */
function checkAsked({ record }: TurnScope, { side, content: { kind, hold } }: DeadLetter): void {
  if (kind !== 'operation' || !isOfAgreement(hold)) return;
  const { agreement, index } = placeIn(hold);
  const part = record.agreements.get(agreement);
  if (side === 'sender' && part?.decision === 'none' && part.parties[index]?.status === 'open') return;
  throw new SkerryError(
    'failed',
    'An agreement asked this, and was told that it failed: nobody would confirm or cancel it now; drop the letter',
  );
}

/**
 * Moves a message from the outbox to the dead letters (P7); it is not sent again. The request names its session too, because a new
 * stream counts from 1 again (A6), and its operation, as for a dead letter.
 */
function runOutboxDrop(scope: TurnScope, content: Content): AnswerRow {
  const { record, environment } = scope;
  const given = givenIn(content.payload, content.kind, environment);
  const [partner, session, seq] = Array.isArray(given) ? (given as unknown[]) : [];
  if (typeof partner !== 'string' || typeof session !== 'number' || typeof seq !== 'number')
    throw new SkerryError('invalid-input', 'A message of an outbox is identified by its receiver, session and number');
  // An activity with unacknowledged messages is always in memory.
  const activity = record.activities.get(partner);
  const { outbound } = activity ?? {};
  const message = unackedOf(outbound, session, seq);
  if (activity === undefined || outbound === undefined || message?.content.operation !== content.operation)
    throw new SkerryError('not-found', `${record.address} has no message ${seq} to ${partner} in its outbox`);
  scope.withdrawn = { activity, outbound, message };
  return ['done', `${record.version + 1}`];
}

/** Runs a query on the record in memory and returns the answer row. Changes nothing. */
export function runQuery(
  record: EntityRecord,
  behaviour: TurnScope['behaviour'],
  handlers: HandlerTable,
  request: { operation: string; payload: Uint8Array },
  environment: TurnEnvironment,
): AnswerRow {
  const { contract } = behaviour;
  const operation = Object.hasOwn(contract.operations, request.operation)
    ? contract.operations[request.operation]
    : undefined;
  const { handle, end } = queryView(record, environment);
  try {
    if (operation?.kind !== 'query')
      throw new SkerryError('unknown-operation', `'${contract.type}' has no query '${request.operation}'`);
    const where = `${record.address} ${request.operation}`;
    const given = givenIn(request.payload, where, environment);
    const input = validateInput(operation satisfies Query<unknown, unknown, unknown>, given, where);
    const output = functionOf(handlers, request.operation)(handle, input);
    return ['done', outputOf(output, request.operation, environment.limits, operation)];
  } finally {
    end();
  }
}

/** The view that a query's handler sees. It is revoked once the query has been answered. */
function queryView(
  record: EntityRecord,
  { now, limits }: TurnEnvironment,
): { handle: View<AnyEntity>; end: () => void } {
  const seen = view(record.state.value);
  const handle: View<AnyEntity> = {
    key: record.key,
    state: seen.value as never,
    now: timeOf(record, now, limits.skewMaxMs),
    refuse: (reason, detail) => {
      throw refusalOf(reason, detail, limits);
    },
  };
  return { handle, end: () => seen.revoke() };
}
