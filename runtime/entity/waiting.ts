/**
 * Waiting calls: where the calls came from whose commands one entity has put off (`turn.later`).
 *
 * Owns the callers in memory, by call. They are not stored: a client sends its call again, also to a next owner, and so makes itself
 * known there. That a command is open, and until when, is the record's.
 *
 * Invariants:
 * - WT1 An answer goes only to callers that sent the call which was put off: of its client the newest copy, and under an idempotency
 *   key every call with the same request.
 * - WT2 Callers are bounded: one for each open command, and as many more as the mailbox has room for (P12).
 */
import { isOfCall, type LaterAnswer } from '../../core/later.ts';
import { isKeyPartner } from '../../core/message.ts';
import type { EntityRecord } from '../../core/record.ts';
import type { MessageEnvelope } from '../wire/envelope.ts';

/** A call that waits. */
interface Caller {
  readonly replyTo: string;
  readonly call: number;
  /** Its own deadline, ms. */
  readonly expires: number;
}

interface Entry {
  readonly open: LaterAnswer;
  callers: readonly Caller[];
}

/** Entries of commands that are no longer open are swept when there are so many more than open ones. */
const sweptFrom = 64;
const nobody: readonly Caller[] = [];

export class Waiting {
  readonly #record: EntityRecord;
  #entries = new Map<string, Entry>();
  /** Callers beyond the first of each command. */
  #others = 0;

  constructor(record: EntityRecord) {
    this.#record = record;
    for (const open of record.later.values()) this.#enter(open);
  }

  #enter(open: LaterAnswer): Entry | undefined {
    if (!isOfCall(open)) return undefined;
    if (this.#entries.size >= 2 * this.#record.later.size + sweptFrom) this.#sweep();
    const entry: Entry = { open, callers: nobody };
    this.#entries.set(nameOf(open.partner, open), entry);
    return entry;
  }

  #sweep(): void {
    for (const { open } of this.#entries.values()) if (!this.#isOpen(open)) this.take(open);
  }

  #isOpen({ id }: LaterAnswer): boolean {
    return this.#record.later.has(id);
  }

  /** The command of this call is put off. */
  putOff(open: LaterAnswer, call: MessageEnvelope): void {
    const entry = this.#enter(open);
    if (entry !== undefined) entry.callers = [callerOf(call)];
  }

  /** What the call waits for; undefined: nothing that is open. */
  openOf({ from, arrival }: MessageEnvelope, now: number): LaterAnswer | undefined {
    const entry = this.#entries.get(nameOf(from, arrival));
    return entry !== undefined && this.#isOpen(entry.open) && entry.open.until > now ? entry.open : undefined;
  }

  /** Another copy of the call. Returns false if there is no room for one more caller. */
  await(open: LaterAnswer, call: MessageEnvelope, { now, countMax }: { now: number; countMax: number }): boolean {
    const entry = this.#entries.get(nameOf(open.partner, open));
    if (entry === undefined) return true;
    const { callers } = entry;
    const caller = callerOf(call);
    const isOnly = !isKeyPartner(open.partner);
    const others = isOnly ? nobody : callers.filter((one) => one.expires > now && !isSame(one, caller));
    this.#others += others.length - Math.max(0, callers.length - 1);
    const hasRoom = others.length === 0 || this.#others <= countMax;
    if (!hasRoom) this.#others -= 1;
    entry.callers = hasRoom ? [...others, caller] : others;
    return hasRoom;
  }

  /** It is answered, or its time is over: who waits for it. */
  take(open: LaterAnswer): readonly Caller[] {
    const name = nameOf(open.partner, open);
    const entry = this.#entries.get(name);
    // A key may have begun a new life meanwhile.
    if (entry?.open.id !== open.id) return nobody;
    this.#entries.delete(name);
    this.#others -= Math.max(0, entry.callers.length - 1);
    return entry.callers;
  }
}

function nameOf(partner: string, { session, seq }: { readonly session: number; readonly seq: number }): string {
  return `${session} ${seq} ${partner}`;
}

function callerOf({ replyTo, call, arrival }: MessageEnvelope): Caller {
  return { replyTo, call, expires: arrival.expires };
}

function isSame(one: Caller, other: Caller): boolean {
  return one.replyTo === other.replyTo && one.call === other.call;
}
