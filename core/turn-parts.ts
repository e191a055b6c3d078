/**
 * Turns that parts of an entity request when they are due: one member for each kind of part with such turns.
 *
 * Owns the turn that a part requests at its due date, what stays of the part if that turn is refused or buried, and the order of due
 * turns: by date, then in the order of this list. The descriptors in `record.ts` own the dates, and `runtime/entity/turns.ts` runs what
 * is due.
 */
import type { Content } from './activity.ts';
import { ownHoldOf } from './agreement-part.ts';
import { endLater } from './answering.ts';
import { agreementBuried, agreementDue } from './hub.ts';
import { type HandlerTable, runContent } from './perform.ts';
import { firingOf, seriesAfter } from './periods.ts';
import { dateOf, type EntityRecord, type PartOf, parts, type TableName } from './record.ts';
import { type AnswerRow, answerContent, type Request } from './request.ts';
import type { TurnScope } from './scope.ts';
import { isUnnamed, type Timer } from './timer.ts';

interface TurnPart<Part> {
  /** The kind of its turns in history. */
  readonly name: string;
  /** Its name in the log. */
  readonly nameOf: (part: Part) => string;
  /** Orders parts with the same date. Default: in the order of their table. */
  readonly orderOf?: (part: Part) => number;
  /** The message that its turn runs. */
  readonly contentOf: (part: Part) => Content;
  /** The receiver of that message; '' is the entity itself. */
  readonly receiverOf: (part: Part) => string;
  /** Runs its turn at its due date. Undefined: there is nothing to run. */
  readonly due: (scope: TurnScope, handlers: HandlerTable, part: Part) => AnswerRow | undefined;
  /** Handles the refusal of its turn. Undefined: a refusal has no receiver, so it counts as an error. */
  readonly refused?: (scope: TurnScope, part: Part) => void;
  /** Handles the answer of its turn. */
  readonly answered?: (scope: TurnScope, part: Part, answer: Uint8Array) => void;
  /** Handles the burial of its turn, which kept throwing and is a dead letter now. */
  readonly buried: (scope: TurnScope, part: Part) => void;
  /** The id of that dead letter, which replaces an earlier one with the same id. Undefined: it has an id of its own. */
  readonly letterOf?: (part: Part) => string | undefined;
}

/** The turn of a periodic timer. False: all of its dates were missed and are to be skipped. */
function fire(scope: TurnScope, timer: Timer): boolean {
  if (timer.period === undefined) return true;
  const { date, missedCount, next } = firingOf(timer, timer.period, scope.now);
  scope.goOn(timer.name, next);
  scope.scheduledFor = date;
  scope.missedCount = missedCount;
  return date !== undefined;
}

/** Removes a timer whose turn was refused or given up; a periodic one continues with its next date. */
function withoutTurn(scope: TurnScope, timer: Timer): void {
  scope.goOn(timer.name, timer.period === undefined ? undefined : seriesAfter(timer, timer.period, scope.now));
}

/**
 * A delayed message to the entity itself or to another one. The timer is removed with its turn, whatever the outcome; a periodic one
 * continues with its next date instead (PT2).
 */
const timers: TurnPart<PartOf<'timers'>> = {
  name: 'timer',
  nameOf: ({ name }) => `timer ${name}`,
  orderOf: ({ order }) => order,
  contentOf: ({ content }) => content,
  receiverOf: ({ to }) => to,
  due(scope, handlers, timer) {
    const { name, to, content } = timer;
    scope.timerOperation = content.operation;
    scope.scheduledFor = timer.due;
    if (timer.period === undefined) scope.remove('timers', name);
    else if (!fire(scope, timer)) return ['skipped'];
    if (to === '') return runContent(scope, handlers, '', heardContent(name, content));
    scope.sendContent(to, content);
    return ['done'];
  },
  refused: withoutTurn,
  buried: withoutTurn,
  letterOf: ({ name, period }) => (period === undefined || period.missed === 'each' ? undefined : `timer:${name}`),
  // A behaviour that handles answers of its own type gets this one, as any partner would.
  answered(scope, { name, to, content }, answer) {
    if (to === '' && heardContent(name, content).wantsAnswer) scope.askItself(answerContent(content, answer));
  },
};

/** A timer that has a name is a date: nobody hears an answer to it. */
function heardContent(timer: string, content: Content): Content {
  return isUnnamed(timer) ? content : { ...content, wantsAnswer: false };
}

/** A hold whose time has ended: it is cancelled and remembered as lapsed for a late confirm, then removed. */
const holds: TurnPart<PartOf<'holds'>> = {
  name: 'lapse',
  nameOf: () => 'end of a hold',
  contentOf: ({ id, operation, payload }) => ({ kind: 'cancel', operation, payload, hold: id, wantsAnswer: false }),
  receiverOf: () => '',
  due(scope, handlers, hold) {
    if (hold.until > scope.now) return undefined;
    if (hold.isLapsed) {
      scope.remove('holds', hold.id);
      return ['done'];
    }
    const row = runContent(scope, handlers, '', holds.contentOf(hold));
    scope.add('holds', { ...hold, isLapsed: true, until: scope.now + scope.horizonMs });
    return row;
  },
  // The hold stays, so that the retry of the dead letter can cancel it. It does not lapse again.
  buried: (scope, hold) => scope.add('holds', { ...hold, until: Number.MAX_SAFE_INTEGER }),
};

/** The end of the time in which a later answer may come. */
const later: TurnPart<PartOf<'later'>> = {
  name: 'unanswered',
  nameOf: ({ operation }) => `end of the time to answer ${operation}`,
  contentOf: ({ operation }) => ({
    kind: 'operation',
    operation,
    payload: new Uint8Array(0),
    hold: '',
    wantsAnswer: false,
  }),
  receiverOf: () => '',
  due(scope, _handlers, { operation }) {
    scope.timerOperation = operation;
    return endLater(scope);
  },
  buried: (scope, { id }) => scope.remove('later', id),
};

/** An agreement is to be decided by its deadline, or has been heard by every party. */
const agreements: TurnPart<PartOf<'agreements'>> = {
  name: 'agreement',
  nameOf: ({ name }) => `agreement ${name}`,
  contentOf: ({ id, name }) => ({
    kind: 'answer',
    operation: name,
    payload: new Uint8Array(0),
    hold: ownHoldOf(id),
    wantsAnswer: false,
  }),
  receiverOf: () => '',
  due(scope, _handlers, part) {
    if (part.due === 0 || part.due > scope.now) return undefined;
    scope.timerOperation = part.name;
    agreementDue(scope, part);
    return ['done'];
  },
  buried: agreementBuried,
};

/** In the order in which they run if they have the same date. */
const turnParts: { readonly [Kind in TableName]?: TurnPart<PartOf<Kind>> } = { timers, holds, later, agreements };
const kinds = Object.keys(turnParts) as readonly TableName[];

export type DueRequest = Extract<Request, { kind: 'due' }>;

/** The part that requests a turn, with the member of its kind; undefined: the part is gone. */
export function askedBy(
  record: EntityRecord,
  { part: kind, id }: DueRequest,
): { readonly member: TurnPart<unknown>; readonly part: unknown } | undefined {
  const member = turnParts[kind] as TurnPart<unknown> | undefined;
  const part = record[kind].get(id);
  return member === undefined || part === undefined ? undefined : { member, part };
}

/** The receiver of a due part's message; '' is the entity itself. */
export function receiverOf(record: EntityRecord, request: DueRequest): string {
  const { member, part } = askedBy(record, request) ?? {};
  return member?.receiverOf(part) ?? '';
}

/** The kind in history of a turn that no message requested. */
export function turnName(request: Request): string {
  return request.kind === 'due' ? (turnParts[request.part]?.name ?? request.part) : request.kind;
}

/** The key of a turn that a part requests, unique over all kinds of parts. */
export function turnKey(kind: TableName, id: string): string {
  return `${parts[kind].letter}:${id}`;
}

/** When the turn with this key is due; undefined: no part requests it any more. */
export function dateOfTurn(record: EntityRecord, key: string): number | undefined {
  const kind = kinds.find((name) => key.startsWith(turnKey(name, '')));
  return kind === undefined ? undefined : dateOf(record, kind, key.slice(turnKey(kind, '').length));
}

/** A turn that is due. */
export interface DueTurn {
  readonly at: number;
  readonly request: DueRequest;
}

/** The turns due by this time, in the order in which they run. */
export function dueTurns(record: EntityRecord, by: number): DueTurn[] {
  const found: (DueTurn & { readonly rank: number; readonly order: number })[] = [];
  for (const [rank, kind] of kinds.entries())
    for (const id of record[kind].keys()) {
      const at = dateOf(record, kind, id);
      if (at === undefined || at > by) continue;
      const request: DueRequest = { kind: 'due', part: kind, id };
      const { member, part } = askedBy(record, request) ?? {};
      found.push({ at, request, rank, order: member?.orderOf?.(part) ?? 0 });
    }
  return found.sort((one, other) => one.at - other.at || one.rank - other.rank || one.order - other.order);
}
