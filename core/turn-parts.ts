/**
 * What parts of an entity ask of it by themselves: one member for each kind whose dates bring turns.
 *
 * Owns which turn a part asks for when its date has come, what stays of the part when that turn is refused or given up, and the order
 * of what is due: by date, then in the order of this list. The dates are the descriptors' (`record.ts`); who looks for them is
 * `runtime/entity/turns.ts`.
 */
import type { Content } from './activity.ts';
import { type HandlerTable, runContent } from './perform.ts';
import { dateOf, type EntityRecord, isUnnamed, type PartOf, parts, type TableName } from './record.ts';
import type { AnswerRow, Request } from './request.ts';
import type { TurnScope } from './scope.ts';

interface TurnPart<Part> {
  /** What history calls its turns. */
  readonly name: string;
  /** What the log calls it. */
  readonly nameOf: (part: Part) => string;
  /** Of those with one date, which comes first; else as they came. */
  readonly orderOf?: (part: Part) => number;
  /** What it asks for. */
  readonly contentOf: (part: Part) => Content;
  /** Whom it asks: '' is the entity itself. */
  readonly receiverOf: (part: Part) => string;
  /** Its date has come: runs its turn. Undefined: there is nothing to run. */
  readonly due: (scope: TurnScope, handlers: HandlerTable, part: Part) => AnswerRow | undefined;
  /** Its turn was refused, which is an answer to it. Undefined: nobody hears that, so that it counts as an error. */
  readonly refused?: (scope: TurnScope, part: Part) => void;
  /** Its turn has this answer. */
  readonly answered?: (scope: TurnScope, part: Part, answer: Uint8Array) => void;
  /** Its turn kept throwing, and it is a dead letter now. */
  readonly buried: (scope: TurnScope, part: Part) => void;
}

/** A message to itself at a date, or one to another entity that leaves then. It goes with its turn, however that ends. */
const timers: TurnPart<PartOf<'timers'>> = {
  name: 'timer',
  nameOf: ({ name }) => `timer ${name}`,
  orderOf: ({ order }) => order,
  contentOf: ({ content }) => content,
  receiverOf: ({ to }) => to,
  due(scope, handlers, { name, to, content }) {
    scope.remove('timers', name);
    scope.timerOperation = content.operation;
    if (to === '') return runContent(scope, handlers, '', content);
    scope.sendContent(to, content);
    return ['done'];
  },
  refused: (scope, { name }) => scope.remove('timers', name),
  buried: (scope, { name }) => scope.remove('timers', name),
  // Who handles its own answers gets them as any partner would. What has a name is a date.
  answered(scope, { name, to, content }, answer) {
    if (to === '' && content.wantsAnswer && isUnnamed(name)) scope.askItself(answerContent(content, answer));
  },
};

/** The end of a hold's time: it is cancelled, and remembered for a late confirm; the end of that. */
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
  // It stays, for the dead letter's retry to cancel; only its time never ends again by itself.
  buried: (scope, hold) => scope.add('holds', { ...hold, until: Number.MAX_SAFE_INTEGER }),
};

/** In the order in which they run where they have one date. */
const turnParts: { readonly [Kind in TableName]?: TurnPart<PartOf<Kind>> } = { timers, holds };
const kinds = Object.keys(turnParts) as readonly TableName[];

export type DueRequest = Extract<Request, { kind: 'due' }>;

/** The part that asks for a turn, and what is to be known of its kind; undefined: it has gone meanwhile. */
export function askedBy(
  record: EntityRecord,
  { part: kind, id }: DueRequest,
): { readonly member: TurnPart<unknown>; readonly part: unknown } | undefined {
  const member = turnParts[kind] as TurnPart<unknown> | undefined;
  const part = record[kind].get(id);
  return member === undefined || part === undefined ? undefined : { member, part };
}

/** Whom it asks; '' is the entity itself. */
export function receiverOf(record: EntityRecord, request: DueRequest): string {
  const { member, part } = askedBy(record, request) ?? {};
  return member?.receiverOf(part) ?? '';
}

/** What history calls a turn that no message asked for. */
export function turnName(request: Request): string {
  return request.kind === 'due' ? (turnParts[request.part]?.name ?? request.part) : request.kind;
}

export function answerContent({ operation, hold }: Content, answer: Uint8Array): Content {
  return { kind: 'answer', operation, payload: answer, hold, wantsAnswer: false };
}

/** What names a turn that a part asks for, beside those of other parts. */
export function turnKey(kind: TableName, id: string): string {
  return `${parts[kind].letter}:${id}`;
}

/** When the turn of that name is due; undefined: nothing asks for it any more. */
export function dateOfTurn(record: EntityRecord, key: string): number | undefined {
  const kind = kinds.find((name) => key.startsWith(turnKey(name, '')));
  return kind === undefined ? undefined : dateOf(record, kind, key.slice(turnKey(kind, '').length));
}

/** A turn that is due. */
export interface DueTurn {
  readonly at: number;
  readonly request: DueRequest;
}

/** The turns that are due by then, in the order in which they run. */
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
