/**
 * Activities: an entity's memory of one partner, which makes at-least-once delivery take effect once (P4, P5, P6).
 *
 * Owns the two streams of a pair as seen from one side: the verdict on an arrival, the record kept of it and its end, the
 * sequence numbers of messages sent, and what may be forgotten. It knows nothing of transport or storage.
 *
 *     inbound:   none ──first──▶ {session, through} ──close──▶ closed ──transit + skew──▶ forgotten
 *     outbound:  none ──send──▶ open ──all acknowledged, idle──▶ closing ──closed──▶ forgotten
 *
 * Longer than 400 lines because the two sides of a stream are one argument.
 *
 * Invariants:
 * - A1 A message is processed only as 'next': its number is max(through + 1, floor) of its session, or the floor of a new one; or its
 *   sender has given up all numbers between `through` and its own (`isReached`).
 * - A2 A processed message is never 'next' again while a copy of it could still be accepted.
 * - A3 An inbound record is forgotten only after keepUntil, or transitMax + 2 skewMax after its session was closed.
 * - A4 Sessions of one pair are ascending. A message of a lower session is stale and never processed.
 * - A5 An outbound session is closed only when the store has no unacknowledged message of it.
 * - A6 A session takes messages only in the lineage that opened it, and messages already in it keep their numbers. So no number of a
 *   session ever means two messages, even if the sender's store was rolled back. A later session is sent only after every message of
 *   the earlier ones was acknowledged or became a dead letter (P6).
 * - A7 After it was processed, nothing is remembered for longer than lifeMsMax plus the allowances for doubt and clock skew.
 *
 * Why forgetting is safe: once a record is forgotten, every copy that it guarded against is rejected by its own dates.
 * (a) Past keepUntil a copy is past `expires`, on every clock within skewMax. So is a message that the sender gave up before that date:
 * a client says for how long in `keepMs`, and a copy from an entity is older than sent + transitMax. (b) The sender of a closed session
 * sends nothing more in it, and a copy in flight is older than sent + transitMax. Two skews are added, because the clocks of sender and
 * receiver may differ when the session is closed, and those of two owners of the receiver when it is forgotten and when the copy comes.
 */
import { SkerryError } from './errors.ts';
import type { Limits } from './limits.ts';
import { isEntityPartner, isKeyPartner, type PartnerId } from './message.ts';

/** An answer that a client may still request again. */
export interface KeptAnswer {
  readonly seq: number;
  readonly bytes: Uint8Array;
  /** The deadline of its call, ms since 1970. After it nobody requests the answer. */
  readonly until: number;
  /** Under an idempotency key: the fingerprint of the answered request. */
  readonly request?: Uint8Array;
}

/** The stream from a partner to this entity. */
export interface Inbound {
  session: number;
  /** The highest number processed, or skipped because its sender gave it up. */
  through: number;
  /** Until when copies of processed messages may arrive, ms since 1970. */
  keepUntil: number;
  /** When the sender closed the session, ms since 1970; 0: open. */
  closedAt: number;
  answers: KeptAnswer[];
  /** Numbers from `from` on are not acknowledged while number `until` to the partner is not (`word.ts`). */
  withheld?: { readonly from: number; readonly until: number };
}

/** The content of a message. */
export interface Content {
  readonly kind:
    | 'operation'
    | 'confirm'
    | 'cancel'
    | 'answer'
    | 'dead-retry'
    | 'dead-drop'
    | 'effect'
    | 'outbox-drop'
    /** Another entity answers a later answer of the receiver, whose id is in `hold`. */
    | 'later-answer';
  readonly operation: string;
  readonly payload: Uint8Array;
  /** Id of its hold; '' if it has none. */
  readonly hold: string;
  /** Whether the sender has a handler for the answer. */
  readonly wantsAnswer: boolean;
}

/** A message that is not acknowledged yet. */
export interface OutboxMessage {
  readonly seq: number;
  readonly expires: number;
  readonly content: Content;
}

/** A session of an earlier lineage: messages with numbers below `end` stay in it, and no other ever enters it (A6). */
export interface SealedSession {
  readonly session: number;
  readonly end: number;
}

/** The stream from this entity to a partner. */
export interface Outbound {
  session: number;
  /** The number of the next message. Numbers continue over the sessions of one stream. */
  next: number;
  /** Unacknowledged messages, in order of number. */
  unacked: OutboxMessage[];
  /** Earlier sessions with unacknowledged messages, in order; usually none. */
  sealed: readonly SealedSession[];
  isClosing: boolean;
  /** When a message was last sent or acknowledged, ms since 1970. Idle streams are closed. */
  activeAt: number;
}

/**
 * A period in which an entity cannot lose committed turns: from one claim of its partition to the next or, for a type that is not
 * durable by turn, one stay in memory. Its name contains the claim's epoch, which never recurs, whatever a store loses.
 */
export interface Lineage {
  /** Unique over all lineages of all stores. Ids made in the lineage contain it. */
  readonly name: string;
  /** Sessions up to this one belong to earlier lineages. */
  readonly start: number;
  /** The epoch of the claim. */
  readonly epoch: number;
  /** The last session opened. All entities of a claim, and all of their stays, share one count. */
  readonly opened: { session: number };
}

/** An entity's memory of one partner. */
export interface Activity {
  readonly partner: PartnerId;
  inbound: Inbound | undefined;
  outbound: Outbound | undefined;
  /** The application's state about the partner, in a box so that a draft can replace it. */
  readonly application: { value: unknown };
}

/** The dates and numbers of a message as it arrives. */
export interface Arrival {
  readonly session: number;
  readonly seq: number;
  readonly floor: number;
  readonly expires: number;
  readonly sent: number;
  /** How long after processing the sender wants the answer kept, whatever `expires` is, ms; 0 if it does not ask. */
  readonly keepMs: number;
}

/** `excessive`: the sender wants it remembered for longer than `lifeMsMax`. */
export type Verdict = 'next' | 'duplicate' | 'ahead' | 'stale' | 'expired' | 'excessive';

/** Sessions per epoch. Epochs are milliseconds, and far fewer sessions are opened in one. */
const sessionsAnEpoch = 1_000;
const noSealed: readonly SealedSession[] = [];

/** The lineage of a claim. An epoch of 41 bits and its sessions are a safe integer until the year 2255. */
export function lineageOf(store: string, epoch: number): Lineage {
  const start = epoch * sessionsAnEpoch;
  return { name: `${store}.${epoch.toString(36)}`, start, epoch, opened: { session: start } };
}

/** The lineage of one stay in memory, later than every lineage of the claim so far. */
export function lineageOfStay({ name, start, epoch, opened }: Lineage): Lineage {
  opened.session += 1;
  return { name: `${name}-${(opened.session - start).toString(36)}`, start: opened.session, epoch, opened };
}

/** A stream with nothing in it. */
export function newOutbound(session: number, activeAt: number): Outbound {
  return { session, next: 1, unacked: [], sealed: noSealed, isClosing: false, activeAt };
}

export function newActivity(partner: PartnerId): Activity {
  return { partner, inbound: undefined, outbound: undefined, application: { value: undefined } };
}

/** What to do with an arrival (A1, A2, A4, A7). */
export function judge(inbound: Inbound | undefined, arrival: Arrival, now: number, limits: Limits): Verdict {
  if (now > arrival.expires || now > arrival.sent + limits.transitMaxMs) return 'expired';
  if (arrival.expires > now + limits.lifeMsMax + limits.skewMaxMs || arrival.keepMs > limits.lifeMsMax)
    return 'excessive';
  if (inbound === undefined || arrival.session > inbound.session)
    return arrival.seq === arrival.floor ? 'next' : 'ahead';
  if (arrival.session < inbound.session) return 'stale';
  if (arrival.seq <= inbound.through) return 'duplicate';
  return arrival.seq === Math.max(inbound.through + 1, arrival.floor) ? 'next' : 'ahead';
}

/**
 * Whether an arrival that is ahead is next all the same: its sender has given up every number after `behind` and before its own, which
 * the floor cannot tell while an earlier call waits. From then on they are not processed, like numbers below a floor (A1, A2).
 */
export function isReached(inbound: Inbound | undefined, { session }: Arrival, behind: number | undefined): boolean {
  return behind !== undefined && inbound?.session === session && behind <= inbound.through;
}

/** Why an arrival is excessive. */
export function excess({ expires, keepMs }: Arrival, now: number, { lifeMsMax }: Limits): SkerryError {
  return new SkerryError(
    'invalid-input',
    `The message asks to be remembered for ${Math.max(expires - now, keepMs)} ms; lifeMsMax is ${lifeMsMax}`,
  );
}

/** The inbound record that counts. An idempotency key whose time has ended is free, even if its record is still there. */
export function known({ partner, inbound }: Activity, now: number, limits: Limits): Inbound | undefined {
  return isKeyPartner(partner) && mayForget(inbound, now, limits) ? undefined : inbound;
}

/** Records that an arrival was processed, in the same commit as its turn. */
export function accept(activity: Activity, arrival: Arrival, now: number, limits: Limits): Inbound {
  const { doubtMs, transitMaxMs, skewMaxMs } = limits;
  // Only entities ask later what became of a message. A sender may drop a message before its date while a copy is in flight. A client
  // says for how long (`keepMs`); for an entity it is the age of the oldest copy that is accepted.
  const isAsked = isEntityPartner(activity.partner);
  const keepMs = Math.max(arrival.keepMs, isAsked ? transitMaxMs + skewMaxMs : 0);
  const keepUntil = Math.max(arrival.expires + (isAsked ? doubtMs : 0), now + keepMs) + skewMaxMs;
  const before = known(activity, now, limits);
  if (before === undefined || arrival.session > before.session) {
    // Copies of the earlier session are rejected as stale only while this record exists, so it inherits that session's date.
    const keep = Math.max(before?.keepUntil ?? 0, keepUntil);
    activity.inbound = { session: arrival.session, through: arrival.seq, keepUntil: keep, closedAt: 0, answers: [] };
    return activity.inbound;
  }
  before.through = arrival.seq;
  before.keepUntil = Math.max(before.keepUntil, keepUntil);
  // Answers are in order of number and mostly of deadline. Checking only the first keeps this cheap for a client with hundreds of calls
  // in flight.
  const [first] = before.answers;
  if (first !== undefined && (first.seq < arrival.floor || first.until < now)) dropAnswers(before, arrival.floor, now);
  return before;
}

/** Drops answers that their client has received (below its floor) or can no longer request. */
function dropAnswers(inbound: Inbound, floor: number, now: number): void {
  inbound.answers = inbound.answers.filter((answer) => answer.seq >= floor && answer.until >= now);
}

/** Keeps an answer until its client has received it. */
export function keepAnswer(inbound: Inbound, answer: KeptAnswer): void {
  // A new list of one element has capacity for one, which nearly always suffices.
  if (inbound.answers.length === 0) inbound.answers = [answer];
  else inbound.answers.push(answer);
}

/** Whether the answers that a client may still request, given the floor of its newest call, exceed `bytesMax`. */
export function keepsTooMuch(
  inbound: Inbound | undefined,
  { floor, now, bytesMax }: { floor: number; now: number; bytesMax: number },
): boolean {
  if (inbound === undefined || bytesOf(inbound.answers) <= bytesMax) return false;
  dropAnswers(inbound, floor, now);
  return bytesOf(inbound.answers) > bytesMax;
}

function bytesOf(answers: readonly KeptAnswer[]): number {
  let bytes = 0;
  for (const answer of answers) bytes += answer.bytes.length;
  return bytes;
}

export function keptAnswer(inbound: Inbound | undefined, seq: number): KeptAnswer | undefined {
  return inbound?.answers.find((answer) => answer.seq === seq);
}

/** Numbers a message for a partner (A4, A6). If the stream is closing, a new one is opened. */
export function send(
  activity: Activity,
  content: Content,
  lineage: Lineage,
  dates: { now: number; expires: number },
): OutboxMessage {
  let outbound = activity.outbound;
  if (outbound === undefined || outbound.isClosing) {
    outbound = newOutbound(++lineage.opened.session, dates.now);
    activity.outbound = outbound;
  } else if (outbound.session <= lineage.start) renew(outbound, ++lineage.opened.session);
  const message = { seq: outbound.next++, expires: dates.expires, content };
  outbound.unacked.push(message);
  outbound.activeAt = dates.now;
  return message;
}

/** Continues the stream in a later session, which is sent after the unacknowledged messages of the earlier one. */
function renew(outbound: Outbound, session: number): void {
  const { session: before, next, unacked, sealed } = outbound;
  if (unacked.length > 0) outbound.sealed = [...sealed, { session: before, end: next }];
  outbound.session = session;
}

/** The number below which the sender will never send again. */
export function floorOf(outbound: Outbound): number {
  return outbound.unacked[0]?.seq ?? outbound.next;
}

/** The session that is sent now. Messages in a later one wait (A6). */
export function frontOf({ sealed, session }: Outbound): number {
  return sealed.length === 0 ? session : (sealed[0] as SealedSession).session;
}

/** The number at which that session ends. */
export function frontEndOf({ sealed, next }: Outbound): number {
  return sealed.length === 0 ? next : (sealed[0] as SealedSession).end;
}

/** The session of an unacknowledged message. */
export function sessionOf({ sealed, session }: Outbound, seq: number): number {
  return sealed.find(({ end }) => seq < end)?.session ?? session;
}

/** Removes acknowledged messages from the outbox and returns them; none if the session is not the one being sent. */
export function acknowledge(
  outbound: Outbound | undefined,
  session: number,
  through: number,
  now: number,
): OutboxMessage[] {
  if (outbound === undefined || frontOf(outbound) !== session) return [];
  return takeOut(outbound, Math.min(through + 1, frontEndOf(outbound)), now);
}

function takeOut(outbound: Outbound, end: number, now: number): OutboxMessage[] {
  const { unacked } = outbound;
  let count = 0;
  while (count < unacked.length && (unacked[count] as OutboxMessage).seq < end) count++;
  if (count === 0) return [];
  outbound.activeAt = now;
  const removed = unacked.splice(0, count);
  unseal(outbound);
  return removed;
}

function unseal(outbound: Outbound): void {
  if (outbound.sealed.length === 0) return;
  const floor = floorOf(outbound);
  outbound.sealed = outbound.sealed.filter((one) => floor < one.end);
}

/** The unacknowledged message of this number, if it is of this session. */
export function unackedOf(outbound: Outbound | undefined, session: number, seq: number): OutboxMessage | undefined {
  if (outbound === undefined || sessionOf(outbound, seq) !== session) return undefined;
  return outbound.unacked.find((message) => message.seq === seq);
}

/** Removes one message from anywhere in the outbox. Its number is not reused, and later messages keep theirs (A6). */
export function withdraw(outbound: Outbound, message: OutboxMessage, now: number): void {
  outbound.unacked = outbound.unacked.filter((one) => one !== message);
  outbound.activeAt = now;
  unseal(outbound);
}

/** Whether the partner acknowledges more than this side remembers having sent, so this side has lost history (P8). */
export function isBeyond(outbound: Outbound | undefined, session: number, through: number): boolean {
  return outbound !== undefined && frontOf(outbound) === session && through >= frontEndOf(outbound);
}

/**
 * The partner knows a later session than the one being sent. A later session is sent only after every earlier message was acknowledged
 * or became a dead letter. Messages left here from earlier lineages were therefore settled, by a forgotten acknowledgement or in a lost
 * history (P8): they are removed and returned. Messages of this lineage were rejected as stale each time, so they continue in a session
 * above the partner's.
 */
export function overtaken(activity: Activity, known: number, lineage: Lineage, now: number): OutboxMessage[] {
  const { outbound } = activity;
  if (outbound === undefined) return [];
  lineage.opened.session = Math.max(lineage.opened.session, known);
  const isOwn = outbound.session > lineage.start;
  const last = outbound.sealed.findLast(({ session }) => session < known);
  const isAll = !isOwn && outbound.session < known;
  const settled = takeOut(outbound, isAll ? outbound.next : (last?.end ?? 0), now);
  if (outbound.session >= known) return settled;
  // The stream is empty and takes the session that the partner remembers, so that this session gets closed.
  if (isAll) outbound.session = known;
  else reopen(activity, outbound, ++lineage.opened.session);
  return settled;
}

/** Moves all unacknowledged messages to a new stream with its own session. */
function reopen(activity: Activity, { unacked, activeAt }: Outbound, session: number): void {
  const outbound = newOutbound(session, activeAt);
  outbound.unacked = unacked.map((message, index) => ({ ...message, seq: index + 1 }));
  outbound.next = unacked.length + 1;
  activity.outbound = outbound;
}

/** Whether the sender should close its stream now. The caller ensures A5: it calls this once the acknowledgements are stored. */
export function mayClose(outbound: Outbound | undefined, now: number, limits: Limits): boolean {
  return (
    outbound !== undefined &&
    !outbound.isClosing &&
    outbound.unacked.length === 0 &&
    now - outbound.activeAt >= limits.closeIdleMs
  );
}

/** Whether the inbound record may be forgotten (A3). */
export function mayForget(inbound: Inbound | undefined, now: number, limits: Limits): boolean {
  return inbound === undefined || now >= forgetDate(inbound, limits);
}

/** When the inbound record may be forgotten (A3), ms; Infinity if there is none. */
export function forgetDate(inbound: Inbound | undefined, { transitMaxMs, skewMaxMs }: Limits): number {
  if (inbound === undefined) return Number.POSITIVE_INFINITY;
  const closed = inbound.closedAt > 0 ? inbound.closedAt + transitMaxMs + 2 * skewMaxMs : Number.POSITIVE_INFINITY;
  return Math.min(closed, inbound.keepUntil) + 1;
}

/** Whether the activity holds nothing. */
export function isEmpty({ inbound, outbound, application }: Activity): boolean {
  return inbound === undefined && outbound === undefined && application.value === undefined;
}

/** Whether the activity may be forgotten. */
export function isOver(activity: Activity, now: number, limits: Limits): boolean {
  return (
    activity.outbound === undefined &&
    activity.application.value === undefined &&
    mayForget(activity.inbound, now, limits)
  );
}
