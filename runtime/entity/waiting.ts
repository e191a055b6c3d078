/**
 * Waiting calls: where the calls came from whose commands entities of one worker have put off (`turn.later`).
 *
 * Owns the callers in memory, by entity and call, also while the entity is not in memory. They are not stored: a client sends its call
 * again, also to a next owner, and so makes itself known there. That a command is open, and until when, is the record's.
 *
 * Invariants:
 * - WT1 An answer goes only to callers that sent the call which was put off: of its client the newest copy, and under an idempotency
 *   key every call with the same request.
 * - WT2 Callers are bounded: of one entity one for each open command, and as many more as the mailbox has room for; of all entities
 *   `waitingCallCountMax`. A caller beyond it hears the answer when it repeats its call (P12).
 * - WT3 A caller hears the answer at once, wherever the entity was meanwhile: in memory, in the store, loaded again after a failure. If
 *   it can no longer hear it from here, because the entity has left or has answered in a commit whose outcome was unknown, it is told to
 *   send its call again.
 */
import { isOfCall, type LaterAnswer } from '../../core/later.ts';
import type { Limits } from '../../core/limits.ts';
import { type Address, isKeyPartner } from '../../core/message.ts';
import type { EntityRecord } from '../../core/record.ts';
import type { Environment } from '../environment.ts';
import type { MessageEnvelope } from '../wire/envelope.ts';
import type { Activation } from './activation.ts';

/** A call that waits. */
export interface Caller {
  readonly replyTo: string;
  readonly call: number;
  /** Its own deadline, ms. */
  readonly expires: number;
}

export interface WaitingParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly refusals: {
    /** Tells it to send its call again. */
    moved(caller: Caller): void;
  };
}

interface Entry {
  readonly open: LaterAnswer;
  callers: readonly Caller[];
}

/** What waits for one entity. */
interface Waiting {
  /** The record whose open commands these are. */
  record: EntityRecord;
  readonly entries: Map<string, Entry>;
  /** Callers beyond the first of each command. */
  others: number;
}

/** Entries of commands that are no longer open are swept when there are so many more than open ones. */
const sweptFrom = 64;
/** How often a full table is searched for callers that no longer wait, ms. */
const searchMs = 1_000;
const nobody: readonly Caller[] = [];

export class WaitingCalls {
  readonly #parts: WaitingParts;
  readonly #entities = new Map<Address, Waiting>();
  /** Callers of all. */
  #count = 0;
  #searchedAt = Number.NEGATIVE_INFINITY;

  constructor(parts: WaitingParts) {
    this.#parts = parts;
  }

  /** Callers that wait. */
  get count(): number {
    return this.#count;
  }

  /** The command of this call is put off. */
  putOff(activation: Activation, open: LaterAnswer, call: MessageEnvelope): void {
    const waiting = this.#of(activation);
    const entry = this.#enter(waiting, open);
    this.#prune(waiting);
    if (entry !== undefined && this.#hasRoom()) this.#set(waiting, entry, [callerOf(call)]);
  }

  /** What the call waits for; undefined: nothing that is open. */
  openOf(activation: Activation, { from, arrival }: MessageEnvelope, now: number): LaterAnswer | undefined {
    const waiting = this.#of(activation);
    const entry = waiting.entries.get(nameOf(from, arrival));
    return entry !== undefined && isOpen(waiting, entry) && entry.open.until > now ? entry.open : undefined;
  }

  /** Another copy of the call. Returns false if there is no room for one more caller. */
  await(activation: Activation, open: LaterAnswer, call: MessageEnvelope, now: number): boolean {
    const waiting = this.#of(activation);
    const entry = waiting.entries.get(nameOf(open.partner, open));
    if (entry === undefined) return true;
    const caller = callerOf(call);
    const isOnly = !isKeyPartner(open.partner);
    const others = isOnly ? nobody : entry.callers.filter((one) => one.expires > now && !isSame(one, caller));
    this.#set(waiting, entry, others);
    if (others.length > 0 && waiting.others + 1 > this.#parts.limits.mailboxCountMax) return false;
    if (this.#hasRoom()) this.#set(waiting, entry, [...others, caller]);
    return true;
  }

  /** Who waits for it. They are known until its answer is durable, since the turn that gives it may have to run again. */
  callersOf({ address }: Activation, open: LaterAnswer): readonly Caller[] {
    const entry = this.#entities.get(address)?.entries.get(nameOf(open.partner, open));
    // A key may have begun a new life meanwhile.
    return entry?.open.id === open.id ? entry.callers : nobody;
  }

  /**
   * Whether this is a copy of a call that is known to wait for an entity that is not in memory. It need not be activated for that: it
   * would find what it was when it left.
   */
  isKnown(call: MessageEnvelope): boolean {
    if (this.#entities.size === 0) return false;
    const entry = this.#entities.get(call.to)?.entries.get(nameOf(call.from, call.arrival));
    if (entry === undefined || entry.open.until <= this.#parts.environment.now()) return false;
    return entry.callers.some((one) => isSame(one, callerOf(call)));
  }

  /** The entity is loaded. Callers whose commands it does not have open any more ask again (WT3). */
  ready(activation: Activation): void {
    if (this.#entities.has(activation.address)) this.#of(activation);
  }

  /** The entity rests, or leaves memory, with everything durable: who is answered waits no more. */
  rest({ address }: Activation): void {
    const waiting = this.#entities.get(address);
    if (waiting === undefined) return;
    for (const [name, entry] of waiting.entries)
      if (entry.callers.length === 0 || !isOpen(waiting, entry)) this.#remove(waiting, name, entry);
    if (waiting.entries.size === 0) this.#entities.delete(address);
  }

  /** Entities are not here any more: their callers ask elsewhere (WT3). */
  leave(isGone: (address: Address) => boolean): void {
    for (const [address, waiting] of this.#entities) {
      if (!isGone(address)) continue;
      this.#entities.delete(address);
      for (const [name, entry] of waiting.entries) this.#release(waiting, name, entry);
    }
  }

  #of({ address, entity }: Activation): Waiting {
    let waiting = this.#entities.get(address);
    if (waiting === undefined) {
      waiting = { record: entity, entries: new Map(), others: 0 };
      this.#entities.set(address, waiting);
      for (const open of entity.later.values()) this.#enter(waiting, open);
    } else if (waiting.record !== entity) this.#renew(waiting, entity);
    return waiting;
  }

  /** It was loaded again. */
  #renew(waiting: Waiting, record: EntityRecord): void {
    waiting.record = record;
    for (const [name, entry] of waiting.entries) if (!isOpen(waiting, entry)) this.#release(waiting, name, entry);
    for (const open of record.later.values()) this.#enter(waiting, open);
  }

  /** The entry of a command; undefined: no client's call waits for it. */
  #enter(waiting: Waiting, open: LaterAnswer): Entry | undefined {
    if (!isOfCall(open)) return undefined;
    const name = nameOf(open.partner, open);
    const known = waiting.entries.get(name);
    if (known?.open.id === open.id) return known;
    // Another life of a key, or another run of a turn that no commit made durable.
    if (known !== undefined) this.#release(waiting, name, known);
    const entry: Entry = { open, callers: nobody };
    waiting.entries.set(name, entry);
    return entry;
  }

  #prune(waiting: Waiting): void {
    if (waiting.entries.size < 2 * waiting.record.later.size + sweptFrom) return;
    for (const [name, entry] of waiting.entries) if (!isOpen(waiting, entry)) this.#remove(waiting, name, entry);
  }

  /** Its callers are told to send their calls again. */
  #release(waiting: Waiting, name: string, entry: Entry): void {
    const now = this.#parts.environment.now();
    for (const caller of entry.callers) if (caller.expires > now) this.#parts.refusals.moved(caller);
    this.#remove(waiting, name, entry);
  }

  #remove(waiting: Waiting, name: string, entry: Entry): void {
    this.#set(waiting, entry, nobody);
    waiting.entries.delete(name);
  }

  #set(waiting: Waiting, entry: Entry, callers: readonly Caller[]): void {
    waiting.others += Math.max(0, callers.length - 1) - Math.max(0, entry.callers.length - 1);
    this.#count += callers.length - entry.callers.length;
    entry.callers = callers;
  }

  #hasRoom(): boolean {
    const { waitingCallCountMax } = this.#parts.limits;
    if (this.#count < waitingCallCountMax) return true;
    const steady = this.#parts.environment.steady();
    if (steady - this.#searchedAt < searchMs) return false;
    this.#searchedAt = steady;
    const now = this.#parts.environment.now();
    for (const waiting of this.#entities.values())
      for (const entry of waiting.entries.values())
        this.#set(
          waiting,
          entry,
          entry.callers.filter(({ expires }) => expires > now),
        );
    return this.#count < waitingCallCountMax;
  }
}

function isOpen({ record }: Waiting, { open }: Entry): boolean {
  return record.later.has(open.id);
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
