/**
 * Activities: what an entity remembers about one partner, so that at-least-once delivery has its effect once (P4, P5, P6).
 *
 * Owns the two streams of a pair as seen from one side: the verdict on an arrival, what is kept of it and until when,
 * the sequence numbers of what is sent, and what may be forgotten. Knows nothing of how messages travel or are stored.
 *
 *     inbound:   none ──first──▶ {session, through} ──close──▶ closed ──transit + skew──▶ forgotten
 *     outbound:  none ──send──▶ open ──all acknowledged, idle──▶ closing ──closed──▶ forgotten
 *
 * Invariants:
 * - A1 A message is processed only as 'next': its number is max(through + 1, floor) of its session, or the floor of a new one.
 * - A2 What was processed once is never 'next' again while a copy of it could still be accepted.
 * - A3 An inbound record is forgotten only after keepUntil, or transitMax + skewMax after its session was closed.
 * - A4 Sessions of one pair only grow; a smaller one is stale and never processed.
 * - A5 An outbound session is closed only when nothing of it is unacknowledged in the store.
 *
 * Why forgetting is safe (DESIGN.md section 5): every copy that a record guards against is refused by its own dates once
 * the record goes: (a) past keepUntil it is past `expires`, on every clock within skewMax; (b) a closed session's sender
 * can send nothing more of it, and a copy under way is older than sent + transitMax.
 */
import type { Limits } from './limits.ts';
import { isEntityPartner, type PartnerId } from './message.ts';

/** An answer that a client may still ask for again. */
export interface KeptAnswer {
  readonly seq: number;
  readonly bytes: Uint8Array;
  /** Its call's deadline, ms: after it nobody asks. */
  readonly until: number;
  /** Under an idempotency key: the fingerprint of the request that was answered. */
  readonly request?: Uint8Array;
}

export interface Inbound {
  session: number;
  /** The highest number processed, or skipped because the sender had given it up. */
  through: number;
  /** Until when copies of what was processed may arrive, ms. */
  keepUntil: number;
  /** When the sender closed the session, ms; 0: open. */
  closedAt: number;
  answers: KeptAnswer[];
}

/** What an entity asks of a partner, or answers it. */
export interface Content {
  readonly kind: 'operation' | 'confirm' | 'cancel' | 'answer' | 'dead-retry' | 'dead-drop' | 'effect';
  readonly operation: string;
  readonly payload: Uint8Array;
  /** Id of the hold that it is about; '' where it is about none. */
  readonly hold: string;
  /** Whether the sender has a handler for the answer. */
  readonly wantsAnswer: boolean;
}

export interface OutboxMessage {
  readonly seq: number;
  readonly expires: number;
  readonly content: Content;
}

export interface Outbound {
  session: number;
  /** The number of the next message. */
  next: number;
  /** Not yet acknowledged, in order of number. */
  unacked: OutboxMessage[];
  isClosing: boolean;
  /** When it last sent or was acknowledged, ms: idle streams are closed. */
  activeAt: number;
}

export interface Activity {
  readonly partner: PartnerId;
  inbound: Inbound | undefined;
  outbound: Outbound | undefined;
  /** The application's own state about the partner, in a box so that a draft may replace it. */
  readonly application: { value: unknown };
}

/** The dates and numbers of a message as it arrives. */
export interface Arrival {
  readonly session: number;
  readonly seq: number;
  readonly floor: number;
  readonly expires: number;
  readonly sent: number;
  /** How long beyond that the sender wants its answer kept, ms from processing (idempotency keys); else 0. */
  readonly keepMs: number;
}

export type Verdict = 'next' | 'duplicate' | 'ahead' | 'stale' | 'expired';

export function newActivity(partner: PartnerId): Activity {
  return { partner, inbound: undefined, outbound: undefined, application: { value: undefined } };
}

/** What to do with an arrival (A1, A2, A4). */
export function judge(inbound: Inbound | undefined, arrival: Arrival, now: number, limits: Limits): Verdict {
  if (now > arrival.expires || now > arrival.sent + limits.transitMaxMs) return 'expired';
  if (inbound === undefined || arrival.session > inbound.session)
    return arrival.seq === arrival.floor ? 'next' : 'ahead';
  if (arrival.session < inbound.session) return 'stale';
  if (arrival.seq <= inbound.through) return 'duplicate';
  return arrival.seq === Math.max(inbound.through + 1, arrival.floor) ? 'next' : 'ahead';
}

/** Remember that an arrival was processed; in the same commit as its turn. */
export function accept(activity: Activity, arrival: Arrival, now: number, limits: Limits): Inbound {
  // Only entities ask later what became of a message.
  const doubtMs = isEntityPartner(activity.partner) ? limits.doubtMs : 0;
  const keepUntil = Math.max(arrival.expires + doubtMs, now + arrival.keepMs) + limits.skewMaxMs;
  const known = activity.inbound;
  if (known === undefined || arrival.session > known.session) {
    // Copies of the smaller session are refused as stale only while this record lives, so it takes over their date too.
    const keep = Math.max(known?.keepUntil ?? 0, keepUntil);
    activity.inbound = { session: arrival.session, through: arrival.seq, keepUntil: keep, closedAt: 0, answers: [] };
    return activity.inbound;
  }
  known.through = arrival.seq;
  known.keepUntil = Math.max(known.keepUntil, keepUntil);
  // They are in order of their numbers, mostly of their ends too, and looking at all of them each time is much for a client
  // with hundreds under way.
  const [first] = known.answers;
  if (first !== undefined && (first.seq < arrival.floor || first.until < now)) dropAnswers(known, arrival.floor, now);
  return known;
}

/** Let go of answers that their client has (below its floor) or can no longer ask for. */
function dropAnswers(inbound: Inbound, floor: number, now: number): void {
  inbound.answers = inbound.answers.filter((answer) => answer.seq >= floor && answer.until >= now);
}

/** Keep an answer until its client has it. */
export function keepAnswer(inbound: Inbound, answer: KeptAnswer): void {
  // A list that is made with one has room for one; nearly all are.
  if (inbound.answers.length === 0) inbound.answers = [answer];
  else inbound.answers.push(answer);
}

/** Whether the answers that a client may still ask for, given the floor of its newest call, take more than so many bytes. */
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

/**
 * Number a message for a partner. `session` names the stream if this opens one: the sender's version with this turn, so
 * that a later opening is larger (A4). A stream that is closing is left for a new one.
 */
export function send(
  activity: Activity,
  content: Content,
  session: number,
  dates: { now: number; expires: number },
): OutboxMessage {
  let outbound = activity.outbound;
  if (outbound === undefined || outbound.isClosing) {
    outbound = { session, next: 1, unacked: [], isClosing: false, activeAt: dates.now };
    activity.outbound = outbound;
  }
  const message = { seq: outbound.next++, expires: dates.expires, content };
  outbound.unacked.push(message);
  outbound.activeAt = dates.now;
  return message;
}

/** The number below which the sender will never send again. */
export function floorOf(outbound: Outbound): number {
  return outbound.unacked[0]?.seq ?? outbound.next;
}

/** Messages that an acknowledgement takes out of the outbox; none if it is of another session. */
export function acknowledge(
  outbound: Outbound | undefined,
  session: number,
  through: number,
  now: number,
): OutboxMessage[] {
  if (outbound === undefined || outbound.session !== session) return [];
  let count = 0;
  while (count < outbound.unacked.length && (outbound.unacked[count]?.seq ?? Infinity) <= through) count++;
  if (count > 0) outbound.activeAt = now;
  return count === 0 ? [] : outbound.unacked.splice(0, count);
}

/**
 * The receiver knows a later session than the live one: this entity's history was rolled back (P8). Everything
 * unacknowledged goes into a session above it.
 */
export function reopen(outbound: Outbound, knownSession: number): void {
  outbound.session = knownSession + 1;
  outbound.unacked = outbound.unacked.map((message, index) => ({ ...message, seq: index + 1 }));
  outbound.next = outbound.unacked.length + 1;
  outbound.isClosing = false;
}

/** Whether the sender should close its stream now (A5 is the caller's: it asks only when the store knows the acknowledgements). */
export function mayClose(outbound: Outbound | undefined, now: number, limits: Limits): boolean {
  return (
    outbound !== undefined &&
    !outbound.isClosing &&
    outbound.unacked.length === 0 &&
    now - outbound.activeAt >= limits.closeIdleMs
  );
}

/** Whether the receiver's side may go (A3). */
export function mayForget(inbound: Inbound | undefined, now: number, limits: Limits): boolean {
  return inbound === undefined || now >= forgetDate(inbound, limits);
}

/** From when on the receiver's side may go (A3), ms; Infinity: there is none. */
export function forgetDate(inbound: Inbound | undefined, { transitMaxMs, skewMaxMs }: Limits): number {
  if (inbound === undefined) return Number.POSITIVE_INFINITY;
  const closed = inbound.closedAt > 0 ? inbound.closedAt + transitMaxMs + skewMaxMs : Number.POSITIVE_INFINITY;
  return Math.min(closed, inbound.keepUntil) + 1;
}

/** Whether there is nothing to remember. */
export function isEmpty({ inbound, outbound, application }: Activity): boolean {
  return inbound === undefined && outbound === undefined && application.value === undefined;
}

/** Whether nothing of the activity is left worth keeping. */
export function isOver(activity: Activity, now: number, limits: Limits): boolean {
  return (
    activity.outbound === undefined &&
    activity.application.value === undefined &&
    mayForget(activity.inbound, now, limits)
  );
}
