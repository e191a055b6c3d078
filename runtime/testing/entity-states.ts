/**
 * The states that the entities of an enumeration can be in, and the turns that lead from one to the next: each exists once.
 *
 * Owns what makes two states the same, and that a turn from one of them is run once, however many situations it occurs in. Turns
 * are the real ones (`core/turn.ts`), each on a record read from what a store would have, as after a crash. What happens when is
 * `steps.ts`'s.
 *
 * Longer than 400 lines because what is merged and what is run from it have to agree: each turn begins and ends in a merged state.
 *
 * Invariants:
 * - EI1 A state is what the store would have of an entity, without what only counts: versions that are part of no id, sessions and
 *   numbers of streams, the record of what was processed, dead letters, history. No handler can see any of it.
 * - EI2 A turn is run twice from the state that it begins with, as by a worker that dies before its commit and by the next owner. If
 *   the two differ, a handler depends on something else than its turn.
 * - EI3 A message is judged as `core/activity.ts` judges it: it is next, and a copy of it that comes after its turn is a duplicate.
 * - EI4 On a relative clock a state has the time that is left until each of its dates, and it is always the same time. The first of the
 *   two runs of a turn is then at another time. If that makes a difference to anything but dates, a handler sees or keeps the time of
 *   day: the enumeration is begun again on an absolute clock.
 */
import { type Arrival, type Content, isEmpty, judge, lineageOf } from '../../core/activity.ts';
import type { Behaviour } from '../../core/behaviour.ts';
import { SkerryError } from '../../core/errors.ts';
import { dateMsMax, type Limits } from '../../core/limits.ts';
import { type Address, type PartnerId, typeOf } from '../../core/message.ts';
import { readRow } from '../../core/perform.ts';
import { type EntityRecord, forgetChanges, type PartOf, type PendingEffect, partNames } from '../../core/record.ts';
import type { AnswerRow, Request, TurnEnvironment } from '../../core/request.ts';
import type { Parts } from '../../core/small-map.ts';
import { bury, runTurn, type TurnResult } from '../../core/turn.ts';
import { type DueTurn, dueTurns } from '../../core/turn-parts.ts';
import { fingerprintOf } from '../entity/fingerprint.ts';
import { movedPart } from '../entity/record-format.ts';
import { freshRecord, restore } from '../entity/record-reader.ts';
import { type Image, imageOf, newLayout } from '../entity/record-writer.ts';
import { decode, encode, packContent } from '../wire/codec.ts';
import { MsgpackWriter } from '../wire/msgpack-writer.ts';
import { SeededRandom } from './random.ts';

/** A message under way. */
export interface Underway {
  /** The same for messages that mean the same. */
  readonly id: number;
  readonly content: Content;
  readonly session: number;
  readonly seq: number;
}

/** What an entity can be: one object for each. */
export interface EntityState {
  readonly id: number;
  readonly address: Address;
  /** Decoded; nobody changes it. */
  readonly record: EntityRecord;
  /** When it asks for turns by itself, ms, in order. */
  readonly dates: readonly number[];
  readonly effects: readonly PendingEffect[];
  /** Counts the turns that made ids. */
  readonly version: number;
  readonly image: Image;
  /** Turns from here, by what asks for them and when. */
  readonly turns: Map<string, EnumeratedTurn>;
  /** The same state when so much time has passed, on a relative clock. */
  readonly later: Map<number, EntityState>;
}

/** What is made to happen to a turn. */
export type Injected = 'none' | 'refusal' | 'failure';

export type EnumeratedTurn =
  | {
      readonly kind: 'committed';
      readonly next: EntityState;
      readonly sent: readonly { readonly to: PartnerId; readonly message: Underway }[];
      /** Undefined: it is put off. */
      readonly answer: AnswerRow | undefined;
      /** Calls of earlier turns that it answers. */
      readonly answered: readonly { readonly partner: PartnerId; readonly answer: AnswerRow }[];
    }
  | { readonly kind: 'void' }
  /** Its handler threw, or depends on what it must not. */
  | { readonly kind: 'threw'; readonly error: unknown };

/** What asks for a turn: a message of a partner, a date, or the outcome of an effect. */
export type Cause =
  | { readonly kind: 'message'; readonly partner: PartnerId; readonly message: Underway }
  | { readonly kind: 'due'; readonly due: DueTurn }
  | { readonly kind: 'effect'; readonly request: Extract<Request, { kind: 'effect' }>; readonly index: number };

/** How situations are told apart by their time (EI4). */
export type EnumerationClock = 'relative' | 'absolute';

/** A handler sees or keeps the time of day (EI4). */
export class ClockMatters extends Error {}

export interface EntityStatesParts {
  readonly behaviours: ReadonlyMap<string, Behaviour>;
  readonly limits: Limits;
  readonly clock: EnumerationClock;
  /** Keep versions, sessions and numbers apart as well, so that what EI1 merges can be compared. */
  readonly isExact: boolean;
}

const refusalReason = 'refused by enumerate()';

export class EntityStates {
  readonly #parts: EntityStatesParts;
  readonly #states = new Map<string, EntityState>();
  readonly #messages = new Map<string, Underway>();
  readonly #initial = new Map<Address, EntityState>();
  /** Different states of each entity: which of them grows without end. */
  readonly counts = new Map<Address, number>();
  /** Turns that were run, and copies of messages that were recognised. */
  turns = 0;
  copies = 0;

  constructor(parts: EntityStatesParts) {
    this.#parts = parts;
  }

  /** What an entity is before its first turn. */
  initial(address: Address): EntityState {
    let state = this.#initial.get(address);
    if (state === undefined) {
      const behaviour = this.#behaviourOf(address);
      const record = freshRecord(address, behaviour, this.#parts.limits);
      state = this.#state(record, 0, imageOf(record, newLayout(), behaviour));
      this.#initial.set(address, state);
    }
    return state;
  }

  #behaviourOf(address: Address): Behaviour {
    const behaviour = this.#parts.behaviours.get(typeOf(address));
    if (behaviour === undefined)
      throw new SkerryError(
        'invalid-definition',
        `${address} is asked, and enumerate() was given no behaviour of '${typeOf(address)}'`,
      );
    return behaviour;
  }

  /** A message with this content, which is one object as long as it means the same. */
  message(content: Content, session = 0, seq = 0): Underway {
    const packer = new MsgpackWriter();
    packer.begin();
    packContent(packer, content);
    const numbers = this.#parts.isExact ? `${session}.${seq} ` : '';
    const key = numbers + latin1(packer.end());
    let message = this.#messages.get(key);
    if (message === undefined) {
      message = { id: this.#messages.size + 1, content, session: this.#parts.isExact ? session : 0, seq };
      this.#messages.set(key, message);
    }
    return message;
  }

  /** The turn that this asks for at this time. */
  turn(state: EntityState, cause: Cause, now: number, injected: Injected): EnumeratedTurn {
    const key = `${causeKey(cause)} ${now} ${injected}`;
    let turn = state.turns.get(key);
    if (turn === undefined) {
      turn = this.#twice(state, cause, now, injected);
      state.turns.set(key, turn);
    }
    return turn;
  }

  /** The same state when so much time has passed, as it is on this clock. */
  later(state: EntityState, ms: number): EntityState {
    if (this.#parts.clock === 'absolute' || state.dates.length === 0) return state;
    let later = state.later.get(ms);
    if (later === undefined) {
      const behaviour = this.#behaviourOf(state.address);
      const record = this.#load(state, behaviour);
      moveDates(record, -ms);
      later = this.#state(record, state.version, imageOf(record, newLayout(), behaviour));
      state.later.set(ms, later);
    }
    return later;
  }

  /** EI2, EI4 */
  #twice(state: EntityState, cause: Cause, now: number, injected: Injected): EnumeratedTurn {
    const isRelative = this.#parts.clock === 'relative';
    const lost = this.#run(state, cause, { now, injected, movedMs: isRelative ? anotherTimeMs : 0 });
    const turn = this.#run(state, cause, { now, injected, movedMs: 0 });
    this.turns += 1;
    if (isSame(lost, turn)) return turn;
    if (isRelative && isSame(turn, this.#run(state, cause, { now, injected, movedMs: 0 }))) throw new ClockMatters();
    return { kind: 'threw', error: new Error(twoResults) };
  }

  #run(
    state: EntityState,
    cause: Cause,
    { now: clock, injected, movedMs }: { readonly now: number; readonly injected: Injected; readonly movedMs: number },
  ): EnumeratedTurn {
    const now = clock + movedMs;
    const behaviour = this.#behaviourOf(state.address);
    const record = this.#load(state, behaviour);
    if (movedMs !== 0) moveDates(record, movedMs);
    const request = this.#requestOf(record, cause, now);
    const environment = this.#environment(now);
    const handlers = injected === 'refusal' ? refusing(cause) : behaviour.instantiate(record.key);
    if (request.kind === 'message') this.#judge(record, request, now, 'next');
    const result: TurnResult =
      injected === 'failure'
        ? bury(
            record,
            behaviour,
            request,
            { error: injectedFailure, attempts: this.#parts.limits.attemptsMax },
            environment,
          )
        : runTurn(record, behaviour, handlers, request, environment);
    if (result.kind === 'void') return result;
    if (result.kind === 'threw') return result;
    if (result.kind === 'needs') throw new Error(`Skerry bug, please report: ${state.address} has lost its partners`);
    if (result.thrown !== undefined) return { kind: 'threw', error: result.thrown.error };
    if (request.kind === 'message') this.#judge(record, request, now, 'duplicate');
    const sent = this.#takeSent(result);
    const texts = sent.flatMap(({ message: { content } }) => [content.hold, latin1(content.payload)]);
    const next = this.#settled(record, state, { movedMs, texts: [...texts, latin1(result.answer)] });
    const answered = (result.answered ?? []).map(({ later: { partner }, bytes }) => ({
      partner,
      answer: readRow(decode(bytes)),
    }));
    const answer = result.putOff === undefined ? readRow(decode(result.answer)) : undefined;
    return { kind: 'committed', next, sent, answer, answered };
  }

  /** What runs the turn read the entity from its store. */
  #load({ address, image, version }: EntityState, behaviour: Behaviour): EntityRecord {
    const { limits } = this.#parts;
    const { record } = restore(address, { version, wakeAt: undefined, ...image }, behaviour, limits);
    const lineage = lineageOf('enumerated', 1);
    for (const { outbound } of record.activities.values())
      lineage.opened.session = Math.max(lineage.opened.session, outbound?.session ?? 0);
    record.lineage = lineage;
    return record;
  }

  #environment(now: number): TurnEnvironment {
    const chance = new SeededRandom(1, 'enumerated turn');
    const { limits } = this.#parts;
    return { now, random: () => chance.next(), encode, decode, fingerprint: fingerprintOf, limits };
  }

  #requestOf(record: EntityRecord, cause: Cause, now: number): Request {
    if (cause.kind === 'due') return cause.due.request;
    if (cause.kind === 'effect') return cause.request;
    const { partner, message } = cause;
    const known = record.activities.get(partner)?.inbound;
    const session = message.session === 0 ? (known?.session ?? 1) : message.session;
    const seq = message.session === 0 ? (known?.through ?? 0) + 1 : message.seq;
    const expires = now + this.#parts.limits.horizonMs;
    const arrival: Arrival = { session, seq, floor: seq, expires, sent: now, keepMs: 0 };
    return { kind: 'message', partner, arrival, content: message.content };
  }

  /** EI3 */
  #judge(
    record: EntityRecord,
    { partner, arrival }: Extract<Request, { kind: 'message' }>,
    now: number,
    expected: 'next' | 'duplicate',
  ): void {
    const verdict = judge(record.activities.get(partner)?.inbound, arrival, now, this.#parts.limits);
    if (verdict !== expected)
      throw new Error(`Skerry bug, please report: ${record.address} judged a message as ${verdict}, not ${expected}`);
    if (expected === 'duplicate') this.copies += 1;
  }

  #takeSent({
    sentTo,
  }: Extract<TurnResult, { kind: 'committed' }>): { readonly to: PartnerId; readonly message: Underway }[] {
    return [...sentTo].flatMap(({ partner, outbound }) =>
      (outbound?.unacked.splice(0) ?? []).map(({ content, seq }) => ({
        to: partner,
        message: this.message(content, outbound?.session ?? 0, seq),
      })),
    );
  }

  /** The state that a turn leaves (EI1); `texts`: what else it has made. */
  #settled(
    record: EntityRecord,
    before: EntityState,
    { movedMs, texts }: { readonly movedMs: number; readonly texts: readonly string[] },
  ): EntityState {
    record.outboxCount = 0;
    record.outboxBytes = 0;
    settle(record, this.#parts.isExact);
    if (movedMs !== 0) moveDates(record, -movedMs);
    const image = imageOf(record, newLayout(), this.#behaviourOf(record.address));
    if (!this.#parts.isExact && !hasMadeIds(record, [textOf(image), ...texts])) record.version = before.version;
    return this.#state(record, record.version, image);
  }

  #state(record: EntityRecord, version: number, image: Image): EntityState {
    const { address } = record;
    const key = `${address}\n${version}\n${textOf(image)}`;
    let state = this.#states.get(key);
    if (state === undefined) {
      state = {
        id: this.#states.size + 1,
        address,
        record,
        dates: datesOf(record),
        effects: [...record.effects.values()],
        version,
        image,
        turns: new Map(),
        later: new Map(),
      };
      this.#states.set(key, state);
      this.counts.set(address, (this.counts.get(address) ?? 0) + 1);
    }
    return state;
  }
}

/** An odd time, so that few calculations with it come out even. */
const anotherTimeMs = 1_234_567_891;

const injectedFailure = new SkerryError('failed', 'its turn failed each time, as enumerate() was asked to make it');
const twoResults =
  'A turn had two results from one state: its handler depends on something besides its turn, such as a variable of its module, Date.now() or Math.random()';

/** Handlers of which the one that the message is for refuses. */
function refusing(cause: Cause): Readonly<Record<string, unknown>> {
  if (cause.kind !== 'message') return {};
  const refuse = (turn: { refuse(reason: string): never }) => turn.refuse(refusalReason);
  const handler = Object.assign(refuse, { tentative: refuse, confirm: refuse, cancel: refuse });
  return { [cause.message.content.operation]: handler };
}

function causeKey(cause: Cause): string {
  switch (cause.kind) {
    case 'message':
      return `m${cause.message.id} ${cause.partner}`;
    case 'due':
      return `d${cause.due.request.part}:${cause.due.request.id}`;
    case 'effect':
      return `e${cause.index} ${cause.request.id}`;
  }
}

function isSame(one: EnumeratedTurn, other: EnumeratedTurn): boolean {
  if (one.kind !== 'committed' || other.kind !== 'committed') return one.kind === other.kind;
  return (
    one.next === other.next &&
    Buffer.compare(encode([one.answer, one.answered]), encode([other.answer, other.answered])) === 0 &&
    one.sent.length === other.sent.length &&
    one.sent.every(({ to, message }, index) => to === other.sent[index]?.to && message === other.sent[index]?.message)
  );
}

/** When an entity asks for turns by itself, ms, in order. The end of what it only remembers is no such date. */
function datesOf(record: EntityRecord): number[] {
  const isMemory = ({ request: { part, id } }: DueTurn) => part === 'holds' && record.holds.get(id)?.isLapsed === true;
  return dueTurns(record, Number.MAX_SAFE_INTEGER).flatMap((due) =>
    isMemory(due) || due.at >= neverMs ? [] : [due.at],
  );
}

/** What only counts is the same in all that are the same (EI1), and what has no order is in the order of its ids. */
function settle(record: EntityRecord, isExact: boolean): void {
  record.forgetAt = 0;
  record.searchAt = 0;
  record.dead.clear();
  record.trials.clear();
  if (!isExact) {
    record.now = 0;
    for (const hold of [...record.holds.values()])
      if (hold.isLapsed) record.holds.set(hold.id, { ...hold, until: neverMs });
  }
  const waiting = new Set([...record.later.values()].map(({ partner }) => partner));
  for (const activity of record.activities.values()) {
    if (activity.outbound !== undefined) activity.outbound.activeAt = 0;
    if (isExact) continue;
    // The answer to a call that was put off is kept where its call was processed.
    if (!waiting.has(activity.partner)) activity.inbound = undefined;
    activity.outbound = undefined;
  }
  for (const [partner, activity] of [...record.activities]) if (isEmpty(activity)) record.activities.delete(partner);
  sortParts(record.activities);
  const byOrder = [...record.timers.values()].sort((one, other) => one.order - other.order);
  for (const [order, timer] of byOrder.entries()) record.timers.set(timer.name, { ...timer, order });
  for (const kind of partNames)
    if (kind !== 'activities' && kind !== 'outbox' && kind !== 'history') sortParts<unknown>(record[kind]);
  forgetChanges(record.changes);
}

/** What is remembered for a late confirm is remembered for longer than anything takes. */
const neverMs = dateMsMax;

/** Moves each date of an entity, but those that never come. */
function moveDates(record: EntityRecord, byMs: number): void {
  const move = (date: number) => (date >= neverMs ? date : date + byMs);
  for (const kind of partNames) {
    if (kind === 'activities' || kind === 'outbox' || kind === 'history') continue;
    const table: Parts<string, PartOf<typeof kind>> = record[kind];
    for (const [id, part] of [...table]) table.set(id, movedPart(kind, part as never, move));
  }
}

function sortParts<Part>(parts: Parts<string, Part>): void {
  if (parts.size < 2) return;
  const sorted = [...parts].sort(([one], [other]) => (one < other ? -1 : 1));
  parts.clear();
  for (const [id, part] of sorted) parts.set(id, part);
}

/** Whether ids begin with the version of the turn that has just run: it is then part of what the entity is. */
function hasMadeIds(record: EntityRecord, texts: Iterable<string>): boolean {
  const start = `${record.lineage.name}.${record.version.toString(36)}.`;
  for (const text of texts) if (text.includes(start)) return true;
  return false;
}

function textOf({ head, records }: Image): string {
  const pieces = [head, ...records.flatMap(([name, bytes]) => [Buffer.from(name), bytes])];
  return pieces.map((bytes) => `${bytes.length}:${latin1(bytes)}`).join();
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
