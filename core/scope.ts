/**
 * The scope of one turn: what its handler sees and decides, until the turn is concluded.
 *
 * Owns the buffers of a turn's decisions and their limits. The drafts that a handler changes in place are in `turn-drafts.ts`. Does not
 * change the record before `apply` (T2 in turn.ts).
 *
 * Longer than 400 lines because a handler sees one object, and all of its decisions fail or are undone together.
 */
import { type Activity, type Content, keepAnswer } from './activity.ts';
import { type AgreementNews, isOfAgreement } from './agreement-part.ts';
import type { AnyHandler, Behaviour, Cron, Every, Partner, When } from './behaviour.ts';
import type { Effect } from './effect.ts';
import { type AnyEntity, checkedHold, type Hold, typeIn } from './entity.ts';
import { SkerryError } from './errors.ts';
import type { LaterAnswer } from './later.ts';
import { dateMsMax } from './limits.ts';
import type { PartnerId } from './message.ts';
import { addressOf, clientOf, isEntityPartner, keyOf, typeOf } from './message.ts';
import type { AnyOperation } from './operation.ts';
import { described } from './options.ts';
import { enqueueMessage, type Withdrawal, withdrawMessage } from './outbox.ts';
import { firstDate, isPeriodic, periodOf } from './periods.ts';
import {
  activityWith,
  dropPart,
  type EntityRecord,
  type HistoryItem,
  isUnread,
  type PartOf,
  type PartRow,
  parts,
  putPart,
  putRow,
  recordName,
  sooner,
  type TableName,
  type Tables,
  timeOf,
} from './record.ts';
import { References } from './reference.ts';
import { NeedActivity, type Request, type TurnEnvironment } from './request.ts';
import { bytesOf } from './small-map.ts';
import { retained, storable } from './storable.ts';
import { isUnnamed, type Period, type Timer } from './timer.ts';
import { Drafts } from './turn-drafts.ts';

interface Target extends Schedule {
  readonly scope: TurnScope;
  readonly to: PartnerId;
}

/** When a message is to leave. */
interface Schedule {
  readonly timer: string | undefined;
  readonly when: When | undefined;
  readonly period?: Period | undefined;
}

const recipients = new References<Target>(
  (target, name, operation, given) => target.scope.ask(target.to, target, name, operation, given[0]),
  () => true,
);

const droppedInDoubt = 'dropped by an operator, in doubt: its receiver may have processed it, or may still do so';

/** The answer to a client's call that was put off. */
export interface AnsweredCall {
  readonly later: LaterAnswer;
  readonly bytes: Uint8Array;
}

interface Outgoing {
  readonly to: PartnerId;
  readonly content: Content;
}

export class TurnScope {
  readonly record: EntityRecord;
  readonly behaviour: Behaviour;
  readonly environment: TurnEnvironment;
  readonly now: number;
  readonly request: Request;
  partner: PartnerId;
  timerOperation: string | undefined;
  /** The right to answer its own command, taken by its handler. */
  taken: LaterAnswer | undefined;
  /** Ids of those that it has answered: once. */
  spent: Set<string> | undefined;
  /** Calls that it answers, beside its own. */
  answered: AnsweredCall[] | undefined;
  /** In the turn of a timer: its date. */
  scheduledFor: number | undefined;
  /** In the turn of a periodic timer: the dates before this one without a turn. */
  missedCount = 0;
  /** Its handler is that of a tentative operation. */
  isTentative = false;
  /** What it does to agreements. */
  agreementNews: AgreementNews[] | undefined;
  /** What handlers of agreements are to hear at its end, in this order. */
  tellings: { readonly handler: AnyHandler; readonly news: unknown }[] | undefined;
  /** The message that this turn takes out of an outbox. */
  withdrawn: Withdrawal | undefined;
  /** Activities whose outbox changed. */
  sentTo: Set<Activity> | undefined;
  sentLog: HistoryItem['sent'][number][] | undefined;
  readonly #drafts: Drafts;
  #isEnded = false;
  #outgoing: Outgoing[] | undefined;
  #removed: { readonly kind: TableName; readonly id: string }[] | undefined;
  #added: PartRow<TableName>[] | undefined;
  /** The periodic timer of this turn, with its next date. */
  #series: Timer | undefined;
  /** Timers and effects among the added parts. */
  #askedCount = 0;
  #timerCount = 0;
  /** Payload bytes of messages, timers and effects so far. */
  #bytes = 0;

  constructor(record: EntityRecord, behaviour: Behaviour, request: Request, environment: TurnEnvironment) {
    this.record = record;
    this.behaviour = behaviour;
    this.environment = environment;
    this.#drafts = new Drafts(record, behaviour, environment);
    this.now = timeOf(record, environment.now, environment.limits.skewMaxMs);
    this.request = request;
    this.partner = request.kind === 'message' ? request.partner : '';
  }

  /** Removes a part when the turn is applied. */
  remove(kind: TableName, id: string): void {
    this.#removed ??= [];
    this.#removed.push({ kind, id });
  }

  /** Adds a part when the turn is applied. It replaces a part with the same id. */
  add<Kind extends TableName>(kind: Kind, part: PartOf<Kind>): void {
    this.#added ??= [];
    this.#added.push({ kind, part } as PartRow<TableName>);
  }

  /** Parts of this kind that the turn has added so far; undefined: none of any kind. */
  added<Kind extends TableName>(kind: Kind): PartOf<Kind>[] | undefined {
    return this.#added?.flatMap((one) => (one.kind === kind ? [one.part as PartOf<Kind>] : []));
  }

  /** The same, also in place of one that this turn has added already. */
  put<Kind extends TableName>(kind: Kind, part: PartOf<Kind>): void {
    this.#withdrawAdded(kind, parts[kind].idOf(part));
    this.add(kind, part);
  }

  /** Removes a part of the record, or one that this turn has added. */
  discard(kind: TableName, id: string): void {
    this.#withdrawAdded(kind, id);
    if (this.record[kind].has(id)) this.remove(kind, id);
  }

  #withdrawAdded<Kind extends TableName>(kind: Kind, id: string): void {
    this.#added = this.#added?.filter((one) => one.kind !== kind || parts[kind].idOf(one.part as PartOf<Kind>) !== id);
  }

  /** A part as this turn has left it so far. */
  partNow<Kind extends TableName>(kind: Kind, id: string): PartOf<Kind> | undefined {
    const added = this.added(kind)?.find((part) => parts[kind].idOf(part) === id);
    if (added !== undefined) return added;
    if (this.#removed?.some((one) => one.kind === kind && one.id === id)) return undefined;
    const { [kind]: table }: Tables = this.record;
    return table.get(id);
  }

  /** A handler of an agreement runs when the turn's own has returned. */
  tell(handler: AnyHandler, news: unknown): void {
    this.tellings ??= [];
    this.tellings.push({ handler, news });
  }

  /** Runs the retry of a dead letter as if it came from the letter's sender. */
  actAs(partner: PartnerId): void {
    this.partner = partner;
  }

  get isStateChanged(): boolean {
    return this.#drafts.isStateChanged;
  }

  get horizonMs(): number {
    return this.behaviour.horizonMs ?? this.environment.limits.horizonMs;
  }

  // ---- what the handler sees

  /** Throws if the turn is over. */
  checkOpen(): void {
    if (this.#isEnded)
      throw new SkerryError('failed', `The turn of ${this.record.address} is over: read what you need before it ends`);
  }

  get from(): Partner {
    if (this.partner === '') return { kind: 'self' };
    if (!isEntityPartner(this.partner)) return { kind: 'client', ...clientOf(this.partner) };
    return { kind: 'entity', type: typeOf(this.partner), key: keyOf(this.partner) };
  }

  get state(): unknown {
    return this.#drafts.state;
  }

  set state(value: unknown) {
    this.#drafts.state = value;
  }

  activityState(partner: PartnerId): unknown {
    this.checkOpen();
    if (!this.#drafts.hasActivityState(partner)) return undefined;
    this.#require(partner);
    return this.#drafts.activityState(partner);
  }

  setActivityState(partner: PartnerId, value: unknown): void {
    this.checkOpen();
    if (partner === '' || !isEntityPartner(partner))
      throw new SkerryError('failed', 'Only activities with other entities have application state');
    this.#require(partner);
    this.#drafts.setActivityState(partner, value);
  }

  /** Remembered, because a handler that catches this error must not commit without its message (P7). */
  #needed: NeedActivity | undefined;

  get needed(): NeedActivity | undefined {
    return this.#needed;
  }

  #require(partner: PartnerId): void {
    if (!isUnread(this.record, partner)) return;
    this.#needed ??= new NeedActivity(partner);
    throw this.#needed;
  }

  to(contract: AnyEntity, key: string, when: When | undefined): object {
    const to = addressOf(typeIn(contract), key);
    const reference = recipients.make(contract, { scope: this, to, timer: undefined, when });
    Object.defineProperty(reference, 'activity', {
      get: () => this.activityState(to),
      set: (value: unknown) => this.setActivityState(to, value),
    });
    return reference;
  }

  timer(name: string, when: When | Every | Cron): object {
    if (
      typeof name !== 'string' ||
      name.length === 0 ||
      name.length > this.environment.limits.nameLengthMax ||
      isUnnamed(name) ||
      !name.isWellFormed()
    ) {
      throw new SkerryError(
        'invalid-definition',
        `'${String(name)}' cannot name a timer: 1 to ${this.environment.limits.nameLengthMax} characters of well-formed Unicode, not starting with '~'`,
      );
    }
    const target = { scope: this, to: this.record.address, timer: name };
    const schedule = isPeriodic(when) ? { when: undefined, period: periodOf(when) } : { when };
    return recipients.make(this.behaviour.contract, { ...target, ...schedule });
  }

  ask(to: PartnerId, options: Schedule, name: string, operation: AnyOperation, given: unknown): Hold | undefined {
    this.checkOpen();
    if (operation.kind === 'query')
      throw new SkerryError(
        'invalid-definition',
        `'${name}' of ${to} is a query: a turn cannot send it, because a turn never waits; send it from an effect`,
      );
    if (operation.kind === 'tentative' && options.period !== undefined)
      throw new SkerryError(
        'invalid-definition',
        `'${name}' of ${to} is tentative: a periodic timer can only ask for commands`,
      );
    const hold = operation.kind === 'tentative' ? { entity: to, operation: name, id: this.newId() } : undefined;
    const content: Content = {
      kind: 'operation',
      operation: name,
      payload: this.encodeMessage(given, `${to} ${name}`),
      hold: hold?.id ?? '',
      wantsAnswer: this.#answersTo(to, name),
    };
    const isSelf = to === this.record.address;
    if (isSelf || options.when !== undefined) this.#setTimer(isSelf ? '' : to, options, content);
    else this.sendContent(to, content);
    return hold;
  }

  resolve(hold: Hold, kind: 'confirm' | 'cancel'): void {
    const { entity, operation, id } = checkedHold(hold);
    if (isOfAgreement(id))
      throw new SkerryError(
        'invalid-input',
        `The hold ${id} is of an agreement, which alone confirms or cancels it: cancel the agreement, by what turn.agree() returned`,
      );
    this.sendContent(entity, {
      kind,
      operation,
      payload: new Uint8Array(0),
      hold: id,
      wantsAnswer: this.#answersTo(entity, operation),
    });
  }

  perform(effect: Effect<unknown, unknown>, input: unknown): void {
    if (this.behaviour.effects.get(effect.name)?.effect !== effect) {
      throw new SkerryError(
        'invalid-definition',
        `Effect '${effect.name}' is not among the effects of the behaviour of '${this.behaviour.contract.type}': add settled(…) to its options`,
      );
    }
    const payload = this.encodeMessage(input, `effect ${effect.name}`);
    this.add('effects', { id: this.newId(), name: effect.name, payload });
    this.#askedCount += 1;
    this.#count(payload.length);
  }

  // ---- what it decides

  #answersTo(to: PartnerId, operation: string): boolean {
    return this.behaviour.answers.get(typeOf(to))?.[operation] !== undefined;
  }

  #idCount = 0;
  /**
   * Unique over all turns of all entities of all stores, forgotten ones included: lineage, version that this turn makes, number within
   * the turn, address. A provider ignores a request whose effect key it has seen before, so a key must never recur.
   */
  newId(): string {
    const { lineage, version, address } = this.record;
    return `${lineage.name}.${(version + 1).toString(36)}.${(this.#idCount++).toString(36)}.${address}`;
  }

  encodeMessage(value: unknown, where: string): Uint8Array {
    const { encode, limits } = this.environment;
    const bytes = value === undefined ? new Uint8Array(0) : encode(storable(value, where, limits.messageBytesMax));
    if (bytes.length > limits.messageBytesMax) {
      throw new SkerryError(
        'too-large',
        `The input of ${where} takes ${bytes.length} bytes; messageBytesMax is ${limits.messageBytesMax}`,
      );
    }
    return retained(bytes);
  }

  sendContent(to: PartnerId, content: Content): void {
    this.#require(to);
    this.#outgoing ??= [];
    this.#outgoing.push({ to, content });
    this.#count(content.payload.length);
  }

  /** The answer to an earlier call is kept for its client (P5). */
  keepAnswer(answered: AnsweredCall): void {
    this.#require(answered.later.partner);
    this.answered ??= [];
    this.answered.push(answered);
    this.#count(answered.bytes.length);
  }

  /** A message that this turn processes, and that cannot be used (P7). */
  bury(content: Content, reason: string): void {
    const id = `${this.record.version + 1}`;
    this.add('dead', {
      id,
      side: 'receiver',
      partner: this.partner,
      content,
      reason,
      stack: '',
      at: this.now,
      attempts: 1,
    });
  }

  #setTimer(to: PartnerId, { timer, when, period }: Schedule, content: Content): void {
    if (period === undefined) this.#addTimer(timer, { due: this.#dueTime(when), to, content });
    else this.#addTimer(timer, { due: firstDate(period, this.now), to, content, period });
    this.#count(content.payload.length);
  }

  /** The series of a timer whose turn this is goes on with its next date; undefined: it has none. */
  goOn(name: string, next: Timer | undefined): void {
    this.#series = next;
    if (next === undefined) this.remove('timers', name);
  }

  #addTimer(name: string | undefined, timer: Omit<Timer, 'name' | 'order'>): void {
    const order = (this.record.version + 1) * 16_384 + this.#timerCount++;
    this.#askedCount += 1;
    this.add('timers', { name: name ?? `~${this.newId()}`, order, ...timer });
  }

  /** Sends the entity a message that is due now. It takes the place of the timer whose turn this is, so no limit is checked. */
  askItself(content: Content): void {
    this.#addTimer(undefined, { due: this.now, to: '', content });
  }

  #dueTime(when: When | undefined): number {
    if (when === undefined) return this.now;
    if (isPeriodic(when))
      throw new SkerryError(
        'invalid-input',
        'Only timers are periodic: set one by turn.timer, whose turn sends the message',
      );
    const names = typeof when === 'object' && when !== null ? Object.keys(when) : ['?'];
    if (names.length !== 1 || (names[0] !== 'afterMs' && names[0] !== 'at'))
      throw new SkerryError('invalid-input', 'A time is given by { afterMs } or { at }, and by no other option');
    // Undefined means absent. Null is an error: the caller meant a time and had none.
    const at: unknown = 'at' in when ? when.at : undefined;
    const afterMs: unknown = 'afterMs' in when ? when.afterMs : undefined;
    if (afterMs !== undefined && !(typeof afterMs === 'number' && afterMs >= 0))
      throw new SkerryError(
        'invalid-input',
        `afterMs must be a number of milliseconds from 0, not ${described(afterMs)}`,
      );
    const due = at !== undefined ? at : this.now + (afterMs ?? 0);
    if (typeof due !== 'number' || !(Math.abs(due) <= dateMsMax))
      throw new SkerryError('invalid-input', `A time must be a finite number of milliseconds, up to ${dateMsMax}`);
    return Math.max(Math.ceil(due), this.now);
  }

  cancelTimer(name: string): void {
    const before = this.#added?.length ?? 0;
    this.#added = this.#added?.filter(({ kind, part }) => kind !== 'timers' || part.name !== name);
    this.#askedCount -= before - (this.#added?.length ?? 0);
    if (this.#series?.name === name) this.#series = undefined;
    if (this.record.timers.has(name)) this.remove('timers', name);
  }

  /** Counts one more output. Checked at each one, so that a turn over its limits stops at once. */
  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#checkCount();
  }

  #checkCount(): void {
    const count = (this.#outgoing?.length ?? 0) + (this.answered?.length ?? 0) + this.#askedCount;
    const { turnOutputCountMax, outboxBytesMax } = this.environment.limits;
    if (this.#bytes > outboxBytesMax) {
      throw new SkerryError(
        'too-large',
        `A turn of ${this.record.address} produces ${this.#bytes} bytes of messages, timers and effects; outboxBytesMax is ${outboxBytesMax}`,
      );
    }
    if (count > turnOutputCountMax) {
      throw new SkerryError(
        'too-large',
        `A turn of ${this.record.address} produces more than turnOutputCountMax (${turnOutputCountMax}) messages, timers and effects`,
      );
    }
  }

  // ---- its end

  /** Runs every check that can still fail, after the handler returned (T2). */
  validate(): void {
    const { record, environment } = this;
    const { limits } = environment;
    // The handler may have caught the error of a limit or of a missing activity.
    if (this.#needed !== undefined) throw this.#needed;
    this.#checkCount();
    if (this.#outgoing !== undefined && record.outboxCount + this.#outgoing.length > limits.outboxCountMax) {
      throw new SkerryError(
        'overloaded',
        `${record.address} has ${record.outboxCount} unacknowledged messages; with those of this turn they exceed outboxCountMax (${limits.outboxCountMax})`,
      );
    }
    if (this.#outgoing !== undefined) this.#checkOutbox(bytesOfAll(this.#outgoing));
    if (this.#added !== undefined) this.#checkRooms(this.#added);
    this.#drafts.settle();
  }

  #checkOutbox(bytes: number): void {
    const { address, outboxBytes } = this.record;
    const { outboxBytesMax } = this.environment.limits;
    if (outboxBytes + bytes > outboxBytesMax)
      throw new SkerryError(
        'overloaded',
        `${address} has ${outboxBytes} bytes of unacknowledged messages; with the ${bytes} of this turn they exceed outboxBytesMax (${outboxBytesMax})`,
      );
  }

  #checkRooms(added: readonly PartRow<TableName>[]): void {
    const bytes = bytesOfAll(added.map(({ part }) => part));
    const tight = new Set<TableName>();
    for (const { kind } of added) if (!this.#isRoomy(kind, added.length, bytes)) tight.add(kind);
    for (const kind of tight) this.#checkRoom(kind);
  }

  /** Whether this many more parts fit, however many of them replace others. */
  #isRoomy(kind: TableName, count: number, bytes: number): boolean {
    const { room } = parts[kind];
    if (room === undefined) return true;
    const { limits } = this.environment;
    const table = this.record[kind];
    return table.size + count <= limits[room.countMax] && table.bytes + bytes <= limits[room.bytesMax];
  }

  /** A part that replaces another, or follows one that this turn removes, needs no more room. */
  #checkRoom<Kind extends TableName>(kind: Kind): void {
    const { idOf, room } = parts[kind];
    if (room === undefined) return;
    const { [kind]: table }: Tables = this.record;
    const after = new Map((this.added(kind) ?? []).map((part) => [idOf(part), part]));
    const gone = new Set((this.#removed ?? []).flatMap((one) => (one.kind === kind ? [one.id] : [])));
    for (const [id, part] of table) if (!after.has(id) && !gone.has(id)) after.set(id, part);
    const { [room.countMax]: countMax, [room.bytesMax]: bytesMax } = this.environment.limits;
    if (after.size <= countMax && bytesOfAll(after.values()) <= bytesMax) return;
    throw new SkerryError(
      'overloaded',
      `${this.record.address} has too many ${kind}: ${room.countMax} is ${countMax}, ${room.bytesMax} ${bytesMax}`,
    );
  }

  undo(): void {
    this.#drafts.undo();
  }

  /** Drops every decision. The turn continues only to be remembered as declined. */
  forget(): void {
    this.#outgoing = undefined;
    this.#bytes = 0;
    this.#removed = undefined;
    this.#added = undefined;
    this.#series = undefined;
    this.tellings = undefined;
    this.agreementNews = undefined;
    this.withdrawn = undefined;
    this.taken = undefined;
    this.spent = undefined;
    this.answered = undefined;
  }

  /** Revokes the drafts and closes the handle. */
  end(): void {
    this.#isEnded = true;
    this.#drafts.end();
  }

  /** Applies the decisions to the record. Cannot fail. */
  apply(): void {
    const { record } = this;
    this.#drafts.apply();
    // Most turns have none of these, so the lists are made on demand.
    if (this.#removed !== undefined) for (const { kind, id } of this.#removed) dropPart(record, kind, id);
    if (this.#series !== undefined) putPart(record, 'timers', this.#series);
    if (this.#added !== undefined) for (const row of this.#added) putRow(record, row);
    if (this.#outgoing !== undefined)
      for (const { to, content } of this.#outgoing) this.enqueue(activityWith(record, to), content);
    this.#outgoing = undefined;
    if (this.withdrawn !== undefined) this.#withdraw(this.withdrawn);
    if (this.answered !== undefined) this.answered = this.answered.filter((one) => this.#keep(one));
  }

  /** False: its client has begun anew, and waits no more. */
  #keep({ later, bytes }: AnsweredCall): boolean {
    const { partner, session, seq, until, request } = later;
    const inbound = this.record.activities.get(partner)?.inbound;
    if (inbound?.session !== session) return false;
    keepAnswer(inbound, request.length === 0 ? { seq, bytes, until } : { seq, bytes, until, request });
    this.record.changes.records.set(recordName.activity(partner), 'activity');
    return true;
  }

  #withdraw(withdrawn: Withdrawal): void {
    const { record, now } = this;
    withdrawMessage(record, withdrawn, { version: record.version, reason: droppedInDoubt, at: now });
    this.sentTo ??= new Set();
    this.sentTo.add(withdrawn.activity);
  }

  enqueue(activity: Activity, content: Content): void {
    enqueueMessage(this.record, activity, content, { now: this.now, expires: this.environment.now + this.horizonMs });
    // The stream is closed once it has been idle, by the next owner too, and even if nobody calls the entity.
    this.record.forgetAt = sooner(this.record.forgetAt, this.now + this.environment.limits.closeIdleMs);
    if (this.behaviour.historyMs !== undefined) {
      this.sentLog ??= [];
      this.sentLog.push({ to: activity.partner, kind: content.kind, operation: content.operation });
    }
    this.sentTo ??= new Set();
    this.sentTo.add(activity);
  }
}

function bytesOfAll(parts: Iterable<object>): number {
  let bytes = 0;
  for (const part of parts) bytes += bytesOf(part);
  return bytes;
}
