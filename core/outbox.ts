/**
 * An entity's outbox: what goes into it and what leaves it, for every receiver.
 *
 * Owns its count and bytes in the record, and that a message which is never sent again becomes a dead letter. Numbers and sessions
 * are `activity.ts`'s; when messages are sent is `runtime/entity/delivery.ts`.
 */
import { type Activity, type Content, type Outbound, type OutboxMessage, send, withdraw } from './activity.ts';
import type { PartnerId } from './message.ts';
import { type DeadLetter, type EntityRecord, notePart, putPart, recordName } from './record.ts';
import { bytesOf } from './small-map.ts';
import { undelivered } from './word.ts';

/** It is in an outbox of the entity. */
export function joinOutbox(record: EntityRecord, message: OutboxMessage): void {
  record.outboxCount += 1;
  record.outboxBytes += bytesOf(message);
}

/** It is in none any more. */
export function leaveOutbox(record: EntityRecord, message: OutboxMessage): void {
  record.outboxCount -= 1;
  record.outboxBytes -= bytesOf(message);
}

/** Number a message for a partner and put it into the outbox (R1). */
export function enqueueMessage(
  record: EntityRecord,
  activity: Activity,
  content: Content,
  dates: { now: number; expires: number },
): OutboxMessage {
  const message = send(activity, content, record.lineage, dates);
  joinOutbox(record, message);
  notePart(record, 'outbox', { partner: activity.partner, message });
  record.changes.records.set(recordName.activity(activity.partner), 'activity');
  return message;
}

/** What is never sent again by itself: a dead letter of its sender, named after the version that has it (P7). */
export function buryUnsent(
  record: EntityRecord,
  partner: PartnerId,
  { seq, content }: OutboxMessage,
  { version, reason, at }: { version: number; reason: string; at: number },
): DeadLetter {
  // Several may be buried by one commit.
  const id = record.dead.has(`${version}`) ? `${version}-${seq}` : `${version}`;
  const letter: DeadLetter = { id, side: 'sender', stack: '', partner, content, reason, at, attempts: 0 };
  putPart(record, 'dead', letter);
  undelivered(record, content, at);
  return letter;
}

/** A message that a turn takes out of an outbox. */
export interface Withdrawal {
  readonly activity: Activity;
  readonly outbound: Outbound;
  readonly message: OutboxMessage;
}

/** It leaves the outbox for the dead letters, in one commit (R1, P7). */
export function withdrawMessage(
  record: EntityRecord,
  { activity: { partner }, outbound, message }: Withdrawal,
  burial: { version: number; reason: string; at: number },
): void {
  withdraw(outbound, message, burial.at);
  leaveOutbox(record, message);
  record.changes.records.set(recordName.outbox(partner, message.seq), null);
  record.changes.records.set(recordName.activity(partner), 'activity');
  buryUnsent(record, partner, message, burial);
}
