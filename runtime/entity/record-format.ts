/**
 * The rows of an entity's records: for each kind of part one list of columns, by which it is written and read.
 *
 * Owns the columns, their order (`docs/protocol.md`) and their version. `core/record.ts` owns the kinds and their names. Activities
 * and heads, which each commit writes, are coded by hand (docs/decisions/0011-rows-by-hand.md), also with the writer beside the reader.
 *
 * Longer than 400 lines because each kind of row is written and read by one list, and all lists are here.
 */
import type { Activity, Inbound, KeptAnswer, Outbound, SealedSession } from '../../core/activity.ts';
import { isEmpty, newActivity, newOutbound } from '../../core/activity.ts';
import type { AgreementNews, PartyPart } from '../../core/agreement-part.ts';
import { SkerryError } from '../../core/errors.ts';
import type { Address, PartnerId } from '../../core/message.ts';
import type { EntityRecord, HistoryItem, PartOf, PartRow, RowName } from '../../core/record.ts';
import { retained } from '../../core/storable.ts';
import type { Period, Timer } from '../../core/timer.ts';
import { decode, Row, rowOf } from '../wire/codec.ts';
import { MsgpackWriter } from '../wire/msgpack-writer.ts';
import { movedRow, type RowFormat, readRow, unread, writeRow } from './columns.ts';

const packer = new MsgpackWriter();

const onceTimer: RowFormat<Timer> = (to, { name, due, order, to: partner, content }) => ({
  name: to.text(name),
  due: to.date(due),
  order: to.count(order),
  to: to.text(partner),
  content: to.content(content),
});

const period: RowFormat<Period> = (to, { everyMs, cron, zone, missed, upTo, graceMs, missedCount }) => ({
  everyMs: to.count(everyMs),
  cron: to.text(cron),
  zone: to.text(zone),
  missed: to.oneOf(['once', 'skip', 'each'], missed),
  upTo: to.count(upTo),
  graceMs: to.count(graceMs),
  missedCount: to.count(missedCount),
});

const periodColumnCount = 7;

/** Added columns: earlier versions refuse the row (F5), and read those of other timers. */
const periodicTimer: RowFormat<Timer> = (to, part) => ({
  ...onceTimer(to, part),
  period: period(to, part.period ?? unread),
});

const plainHistory: RowFormat<HistoryItem> = (
  to,
  { version, at, partner, kind, operation, payload, status, sent, state },
) => ({
  version: to.count(version),
  at: to.date(at),
  partner: to.text(partner),
  kind: to.text(kind),
  operation: to.text(operation),
  payload: to.bytes(payload),
  status: to.text(status),
  sent: to.rows(sentMessage, sent),
  state: to.bytes(state),
});

/** An added column: earlier versions, which only show history, pass over it. */
const agreementHistory: RowFormat<HistoryItem> = (to, part) => ({
  ...plainHistory(to, part),
  agreements: to.rows(agreementNews, part.agreements ?? []),
});

const formats: { readonly [Kind in RowName]: RowFormat<PartOf<Kind>> } = {
  outbox: (to, { partner, message: { seq, expires, content } = unread }) => ({
    partner: to.text(partner),
    message: { seq: to.count(seq), expires: to.date(expires), content: to.content(content) },
  }),
  timers: (to, part) => {
    const timer = onceTimer(to, part);
    return to.left >= periodColumnCount ? { ...timer, period: period(to, unread) } : timer;
  },
  holds: (to, { id, operation, payload, until, isLapsed }) => ({
    id: to.text(id),
    operation: to.text(operation),
    payload: to.bytes(payload),
    until: to.date(until),
    isLapsed: to.boolean(isLapsed),
  }),
  effects: (to, { id, name, payload }) => ({ id: to.text(id), name: to.text(name), payload: to.bytes(payload) }),
  dead: (to, { id, side, partner, reason, at, attempts, content, stack }) => ({
    id: to.text(id),
    side: to.oneOf(['receiver', 'sender'], side),
    partner: to.text(partner),
    reason: to.text(reason),
    at: to.date(at),
    attempts: to.count(attempts),
    content: to.content(content),
    stack: to.addedText(stack),
  }),
  trials: (to, { key, ends, epoch, until }) => ({
    key: to.text(key),
    ends: to.count(ends),
    epoch: to.count(epoch),
    until: to.date(until),
  }),
  later: (to, { id, partner, operation, session, seq, since, until, wantsAnswer, request }) => ({
    id: to.text(id),
    partner: to.text(partner),
    operation: to.text(operation),
    session: to.count(session),
    seq: to.count(seq),
    since: to.date(since),
    until: to.date(until),
    wantsAnswer: to.boolean(wantsAnswer),
    request: to.bytes(request),
  }),
  agreements: (to, { id, name, at, decideBy, due, decision, because, decidedAt, isUntold, isResolved, parties }) => ({
    id: to.text(id),
    name: to.text(name),
    at: to.date(at),
    decideBy: to.date(decideBy),
    due: to.date(due),
    decision: to.oneOf(['none', 'confirm', 'cancel'], decision),
    because: to.oneOf(['none', 'declined', 'rule', 'cancelled', 'deadline', 'lapsing'], because),
    decidedAt: to.date(decidedAt),
    isUntold: to.boolean(isUntold),
    isResolved: to.boolean(isResolved),
    parties: to.rows(partyPart, parties),
  }),
  history: (to, part) => {
    const item = plainHistory(to, part);
    return to.left > 0 ? { ...item, agreements: to.rows(agreementNews, []) } : item;
  },
};

const partyPart: RowFormat<PartyPart> = (
  to,
  { role, address, operation, status, until, answer, word, isHeard, isWordy, breach, isTold },
) => ({
  role: to.text(role),
  address: to.text(address),
  operation: to.text(operation),
  status: to.oneOf(['open', 'accepted', 'declined'], status),
  until: to.date(until),
  answer: to.bytes(answer),
  word: to.oneOf(['none', 'confirm', 'cancel'], word),
  isHeard: to.boolean(isHeard),
  isWordy: to.boolean(isWordy),
  breach: to.oneOf(['none', 'lapsed', 'failed', 'undelivered'], breach),
  isTold: to.boolean(isTold),
});

const sentMessage: RowFormat<HistoryItem['sent'][number]> = (columns, { to, kind, operation }) => ({
  to: columns.text(to),
  kind: columns.text(kind),
  operation: columns.text(operation),
});

const agreementNews: RowFormat<AgreementNews> = (to, { name, id, event, detail }) => ({
  name: to.text(name),
  id: to.text(id),
  event: to.oneOf(['opened', 'confirmed', 'cancelled', 'broken', 'resolved', 'settled'], event),
  detail: to.text(detail),
});

export function encodePart<Kind extends RowName>({ kind, part }: PartRow<Kind>): Uint8Array {
  packer.begin();
  const timer = kind === 'timers' ? (part as unknown as Timer) : undefined;
  const item = kind === 'history' ? (part as unknown as HistoryItem) : undefined;
  if (timer?.period !== undefined) writeRow(packer, periodicTimer, timer);
  else if (item?.agreements !== undefined) writeRow(packer, agreementHistory, item);
  else writeRow(packer, formats[kind], part);
  return packer.end();
}

/** Throws an error for an invalid row, and `store-format` for one with more columns, because it may be rewritten (F5). */
export function decodePart<Kind extends RowName>(kind: Kind, record: Uint8Array): PartOf<Kind> {
  return readRow(rowOf(record), formats[kind], checkEnd);
}

/** The same for read-only use, where unknown columns do not matter. */
export function glancePart<Kind extends RowName>(kind: Kind, record: Uint8Array): PartOf<Kind> {
  return readRow(rowOf(record), formats[kind]);
}

/** The same part at another time: each of its dates moved. */
export function movedPart<Kind extends RowName>(
  kind: Kind,
  part: PartOf<Kind>,
  move: (date: number) => number,
): PartOf<Kind> {
  return movedRow(formats[kind], part, move);
}

/** Rejects data that this version would lose in rewriting the record (F5). */
function checkEnd(row: Row): void {
  if (!row.isAtEnd) throw newer(`${row.left} more columns`);
}

export function newer(what: string): SkerryError {
  return new SkerryError('store-format', `A newer Skerry wrote it, with ${what} than this version knows`);
}

// ---- heads

/** 2: a head may have activities. 3: a stream may have sealed sessions. Formats 1 and 2 are read. */
export const formatVersion = 3;

export interface Head {
  readonly stateVersion: number;
  readonly now: number;
  readonly snapshotBytes: number;
  readonly patchCount: number;
  readonly patchBytes: number;
  /** Null: the state is in its own records. */
  readonly state: Uint8Array | null;
  readonly forgetAt: number;
  /** All of them (`packActivities`); null: they are records. */
  readonly activities: Uint8Array | null;
}

export function encodeHead(head: Head): Uint8Array {
  const { state, activities } = head;
  packer.begin();
  packer.array(9);
  packer.number(formatVersion);
  packer.number(head.stateVersion);
  packer.number(head.now);
  packer.number(head.snapshotBytes);
  packer.number(head.patchCount);
  packer.number(head.patchBytes);
  if (state === null) packer.nothing();
  else packer.bytes(state);
  packer.number(head.forgetAt);
  if (activities === null) packer.nothing();
  else packer.bytes(activities);
  return packer.end();
}

/** Throws an error for an invalid head, and `store-format` for one of a later version. */
export function decodeHead(address: Address, bytes: Uint8Array): Head {
  const row = rowOf(bytes);
  const format = row.number();
  if (format > formatVersion)
    throw new SkerryError(
      'store-format',
      `${address} was written by a newer Skerry (format ${format}; this one reads ${formatVersion})`,
    );
  const head = {
    stateVersion: row.number(),
    now: row.storedDate(),
    snapshotBytes: row.number(),
    patchCount: row.number(),
    patchBytes: row.number(),
    state: row.bytesOrNull(),
    forgetAt: row.storedDate(),
    activities: format > 1 ? row.bytesOrNull() : null,
  };
  checkEnd(row);
  return head;
}

/** The version of a state; undefined: a newer version of Skerry wrote it, and nothing of it can be read here. */
export function stateVersionOf(head: Uint8Array): number | undefined {
  const row = rowOf(head);
  return row.number() > formatVersion ? undefined : row.number();
}

// ---- activities

export function encodeActivity(activity: Activity): Uint8Array {
  packer.begin();
  packActivity(activity);
  return packer.end();
}

function packActivity({ inbound, outbound, application }: Activity): void {
  packer.array(3);
  if (inbound === undefined) packer.nothing();
  else packInbound(inbound);
  if (outbound === undefined) packer.nothing();
  else packOutbound(outbound);
  packer.value(application.value);
}

function packOutbound({ session, next, isClosing, activeAt, sealed }: Outbound): void {
  packer.array(sealed.length === 0 ? 4 : 5);
  packer.number(session);
  packer.number(next);
  packer.boolean(isClosing);
  packer.number(activeAt);
  if (sealed.length === 0) return;
  packer.array(sealed.length);
  for (const one of sealed) {
    packer.array(2);
    packer.number(one.session);
    packer.number(one.end);
  }
}

function packInbound({ session, through, keepUntil, closedAt, answers, withheld }: Inbound): void {
  packer.array(withheld === undefined ? 5 : 6);
  packer.number(session);
  packer.number(through);
  packer.number(keepUntil);
  packer.number(closedAt);
  packer.array(answers.length);
  for (const { seq, bytes, until, request } of answers) {
    packer.array(request === undefined ? 3 : 4);
    packer.number(seq);
    packer.bytes(bytes);
    packer.number(until);
    if (request !== undefined) packer.bytes(request);
  }
  if (withheld === undefined) return;
  packer.array(2);
  packer.number(withheld.from);
  packer.number(withheld.until);
}

export function decodeActivity(partner: PartnerId, bytes: Uint8Array): Activity {
  // Not a view: the application's state about the partner stays in memory and may contain bytes (P11).
  return readActivity(partner, new Row(decode(bytes)));
}

function readActivity(partner: PartnerId, row: Row): Activity {
  const activity = newActivity(partner);
  const inbound = row.any();
  if (inbound !== null) activity.inbound = readInbound(new Row(inbound));
  const outbound = row.any();
  if (outbound !== null) activity.outbound = readOutbound(new Row(outbound));
  activity.application.value = row.any();
  checkEnd(row);
  return activity;
}

function readOutbound(row: Row): Outbound {
  const session = row.storedCount();
  const next = row.storedCount();
  const isClosing = row.boolean();
  const outbound = newOutbound(session, row.storedDate());
  outbound.next = next;
  outbound.isClosing = isClosing;
  // Formats 1 and 2 have no such column.
  if (row.isAtEnd) return outbound;
  outbound.sealed = row.rows().map(readSealed);
  checkEnd(row);
  return outbound;
}

function readSealed(row: Row): SealedSession {
  const sealed = { session: row.storedCount(), end: row.storedCount() };
  checkEnd(row);
  return sealed;
}

function readInbound(row: Row): Inbound {
  const inbound: Inbound = {
    session: row.storedCount(),
    through: row.storedCount(),
    keepUntil: row.storedDate(),
    closedAt: row.storedDate(),
    answers: row.rows().map(readAnswer),
  };
  // Only while a confirm of an agreement is not acknowledged. Earlier versions have no such columns.
  if (!row.isAtEnd) inbound.withheld = readWithheld(row.any());
  checkEnd(row);
  return inbound;
}

function readWithheld(column: unknown): NonNullable<Inbound['withheld']> {
  if (!Array.isArray(column)) throw newer('1 more columns');
  const row = new Row(column);
  const withheld = { from: row.storedCount(), until: row.storedCount() };
  checkEnd(row);
  return withheld;
}

function readAnswer(row: Row): KeptAnswer {
  const answer = { seq: row.storedCount(), bytes: retained(row.bytes()), until: row.storedDate() };
  if (row.isAtEnd) return answer;
  const request = retained(row.bytes());
  checkEnd(row);
  return { ...answer, request };
}

/**
 * All activities in one value: [partner, [inbound, outbound, application], ...]. Returns undefined if they are too large together, or
 * the partner if one alone is.
 */
export function packActivities(
  { activities }: EntityRecord,
  countMax: number,
  bytesMax: number,
): Uint8Array | PartnerId | undefined {
  if (activities.size > countMax) return undefined;
  let count = 0;
  let bytes = 0;
  for (const activity of activities.values()) {
    if (isEmpty(activity)) continue;
    count += 1;
    // A hot entity keeps thousands of answers: do not pack them in vain.
    const answerBytes = answerBytesOf(activity);
    if (answerBytes > bytesMax) return activity.partner;
    bytes += answerBytes;
    if (bytes > bytesMax) return undefined;
  }
  packer.begin();
  packer.array(2 * count);
  for (const activity of activities.values()) {
    if (isEmpty(activity)) continue;
    const before = packer.length;
    packer.text(activity.partner);
    packActivity(activity);
    if (packer.length <= bytesMax) continue;
    const isAlone = packer.length - before > bytesMax;
    packer.abandon();
    return isAlone ? activity.partner : undefined;
  }
  return packer.end();
}

function answerBytesOf({ inbound }: Activity): number {
  let bytes = 0;
  for (const answer of inbound?.answers ?? []) bytes += answer.bytes.length + 12;
  return bytes;
}

/** The activities encoded by `packActivities`. */
export function unpackActivities(packed: Uint8Array): Activity[] {
  const row = new Row(decode(packed));
  const activities: Activity[] = [];
  while (row.left > 0) {
    const partner = row.string();
    activities.push(readActivity(partner, new Row(row.any())));
  }
  return activities;
}
