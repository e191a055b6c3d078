/**
 * An activation: one entity's stay in a worker's memory.
 *
 *     loading ──▶ ready ◀──▶ reading (an activity that a turn needs)
 *        └───────────┴──────────┴──▶ dropped (passivated, failed, or no longer owned)
 *
 * Owns the state of one entity between its turns. Other parts read it, and change it by its methods. `turns.ts` runs turns,
 * `worker/group-commit.ts` makes them durable.
 *
 * Invariants:
 * - V1 `gathering` has the output of turns that no commit carries yet, `flying` that of the commit in flight. Nothing of either
 *   has left the worker (P2).
 * - V2 A dropped activation runs no turn and releases nothing.
 * - V3 A delayed message of a type with durability interval leaves only when its timer is no longer in the store. Otherwise a
 *   crash would send it again, in a session that its receiver does not know (P4).
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { Address } from '../../core/message.ts';
import type { EntityRecord } from '../../core/record.ts';
import { turnKey } from '../../core/turn-parts.ts';
import type { Partition } from '../store.ts';
import type { Envelope } from '../wire/envelope.ts';
import { added, Batch, type Flight } from './batch.ts';
import { Ahead, type Held, Retries } from './held.ts';
import { type Item, Mailbox } from './mailbox.ts';
import type { EntityLayout } from './record-writer.ts';
import { newLayout } from './record-writer.ts';

const nothing: readonly never[] = [];

function addCounts(into: Held, { messageCount, queryCount, signalCount }: Batch): void {
  into.messages += messageCount;
  into.queries += queryCount;
  into.signals += signalCount;
}

/** What a store has of an entity, and how it is laid out there. */
interface Stored {
  readonly layout: EntityLayout;
  readonly version: number;
  readonly wakeAt: number | undefined;
}

type Phase = 'loading' | 'ready' | 'reading' | 'dropped';

/** What everybody else only reads, as this file has it. */
function own(activation: Activation): { -readonly [Field in keyof Activation]: Activation[Field] } {
  return activation;
}

export class Activation {
  readonly address: Address;
  readonly partition: Partition;
  readonly behaviour: Behaviour;
  #mailbox: Mailbox | undefined;
  readonly phase: Phase = 'loading';
  /** Set when the activation is loaded. */
  readonly record: EntityRecord | undefined;
  readonly layout: EntityLayout = newLayout();
  readonly handlers: Readonly<Record<string, unknown>> | undefined;
  readonly gathering: Batch | undefined;
  readonly flying: Batch | undefined;
  /** Output that leaves with the next commit, whatever else the commit contains. */
  readonly owed: readonly Envelope[] | undefined;
  /** The entity's version and wake time in the store. */
  readonly storedVersion: number = 0;
  readonly storedWakeAt: number | undefined;
  /** Messages that arrived out of order. */
  readonly ahead: Ahead | undefined;
  readonly retries: Retries | undefined;
  /** The last count of what is held for it; undefined: nothing. */
  readonly held: Held | undefined;
  readonly flights: Map<string, Flight> | undefined;
  /** When changes that no turn carries are committed, ms; 0: none. */
  readonly writeAt: number = 0;
  /** When to look for expired history, ms. */
  readonly historyDueAt: number = 0;
  readonly usedAt: number = 0;
  /** At rest: its activities in the compact form of `idle.ts`. */
  readonly rested: string | undefined;
  /** At rest: the minute since 1970 in which the first activity may be forgotten. */
  readonly restedMinutes: number = 0;
  /** A message of it may have ended a process, so its turns need permission (`crash-notes.ts`). */
  readonly isCautious: boolean = false;
  /** Notes that are being made durable. */
  readonly noting: Batch | undefined;
  readonly isQueued: boolean = false;
  readonly isListed: boolean = false;
  /** Its stored activities are being searched. None leaves memory meanwhile, because the data read may be outdated. */
  readonly isSearching: boolean = false;

  constructor(address: Address, partition: Partition, behaviour: Behaviour) {
    this.address = address;
    this.partition = partition;
    this.behaviour = behaviour;
  }

  get mailbox(): Mailbox {
    this.#mailbox ??= new Mailbox();
    return this.#mailbox;
  }

  /**
   * Puts back an item that cannot be run yet. One that is tried again stays where it is: the wake by which it ran comes again, and it
   * would be held twice (HD1).
   */
  putBack(item: Item, key: string): void {
    if (this.retries?.get(key)?.item !== item) this.mailbox.unshift(item);
  }

  get waitingCount(): number {
    return this.#mailbox === undefined ? 0 : this.#mailbox.count;
  }

  /** Counts again what is held for it, wherever it is (HD1). */
  measure(into: Held): void {
    const { gathering, flying, ahead, retries } = this;
    const mailbox = this.#mailbox;
    into.waiting = mailbox?.count ?? 0;
    const beside = (ahead?.count ?? 0) + (retries?.size ?? 0);
    into.messages = beside + (mailbox?.messageCount ?? 0) + into.provingMessages;
    into.queries = (mailbox?.queryCount ?? 0) + into.provingQueries;
    into.signals = (mailbox?.signalCount ?? 0) + into.provingSignals;
    if (gathering !== undefined) addCounts(into, gathering);
    if (flying !== undefined) addCounts(into, flying);
    into.pendingBytes = (gathering?.bytes ?? 0) + (flying?.bytes ?? 0) + into.provingBytes;
    into.aheadCount = ahead?.count ?? 0;
    into.aheadBytes = ahead?.bytes ?? 0;
    into.bytes = (mailbox?.bytes ?? 0) + into.pendingBytes + into.aheadBytes + (retries?.bytes ?? 0);
    if (retries !== undefined) into.messages -= retries.ownCount;
  }

  /** Bytes of requests whose turns have run and whose answers wait. */
  get pendingBytes(): number {
    return (this.gathering?.bytes ?? 0) + (this.flying?.bytes ?? 0) + (this.held?.provingBytes ?? 0);
  }

  /** Gives back memory that an idle activation does not need, and that the next message restores. */
  compact(): void {
    this.#mailbox = undefined;
    if (!this.behaviour.isClass) own(this).handlers = undefined;
    own(this).retries = undefined;
    own(this).ahead = undefined;
    own(this).held = undefined;
    if (this.flights?.size === 0) own(this).flights = undefined;
  }

  /** The record of an activation that is loaded. */
  get entity(): EntityRecord {
    if (this.record === undefined)
      throw new Error(`Skerry bug, please report: ${this.address} is used before it is loaded`);
    return this.record;
  }

  /** Whether an effect's outcome has arrived and only its turn is missing. The effect must then not run again (L2). */
  hasOutcome(id: string): boolean {
    if (this.retries?.has(turnKey('effects', id)) === true) return true;
    return this.#mailbox?.peek(this.#mailbox.count).some((item) => item.kind === 'effect' && item.id === id) === true;
  }

  /** Whether volatile turns that wait for the store block those behind them (V3). */
  get isHeld(): boolean {
    return this.gathering?.isHeld === true || this.flying?.isHeld === true;
  }

  get isDurable(): boolean {
    return this.gathering === undefined && this.flying === undefined;
  }

  /** Whether everything in memory is known to the store or to a partner, so that it may be dropped. */
  get isAtRest(): boolean {
    return (
      this.phase === 'ready' &&
      this.isDurable &&
      this.waitingCount === 0 &&
      (this.ahead?.count ?? 0) === 0 &&
      (this.held?.isProving ?? false) === false &&
      this.writeAt === 0 &&
      this.entity.changes.records.size === 0 &&
      (this.retries?.size ?? 0) === 0
    );
  }

  /** The clock was set back: pauses keep their length. Returns when the first ends, or Infinity. */
  setBack(ms: number): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.writeAt !== 0) {
      own(this).writeAt -= ms;
      next = this.writeAt;
    }
    for (const retry of this.retries?.values() ?? []) {
      retry.at -= ms;
      next = Math.min(next, retry.at);
    }
    for (const flight of this.flights?.values() ?? []) {
      if (flight.retryAt === 0) continue;
      flight.retryAt -= ms;
      next = Math.min(next, flight.retryAt);
    }
    return next;
  }

  /** The messages of this record leave with the next write (V3). */
  holdOutbox({ activities }: EntityRecord): void {
    const batch = this.batch();
    batch.isHeld = true;
    for (const activity of activities.values()) batch.addSent(activity);
  }

  batch(): Batch {
    if (this.gathering !== undefined) return this.gathering;
    const batch = new Batch();
    for (const envelope of this.owed ?? []) batch.addEnvelope(envelope);
    own(this).gathering = batch;
    own(this).owed = undefined;
    return batch;
  }

  /** A reply to send when the present content of the record is durable, without its own commit. */
  owe(envelope: Envelope): void {
    if (this.gathering !== undefined) this.gathering.addEnvelope(envelope);
    else own(this).owed = added(this.owed ?? nothing, envelope);
  }

  // ---- phases

  /** Loaded from the store or from an image; with neither, the entity is new. */
  load(record: EntityRecord, { layout = newLayout(), version = 0, wakeAt }: Partial<Stored> = {}): void {
    own(this).record = record;
    own(this).layout = layout;
    own(this).storedVersion = version;
    own(this).storedWakeAt = wakeAt;
  }

  /** It can run turns, for the first time or again. */
  goOn(): void {
    this.#enter('ready');
  }

  /** It runs no turn until a read or write has finished. */
  pause(): void {
    this.#enter('reading');
  }

  /** It has left memory (V2). */
  drop(): void {
    this.#enter('dropped');
  }

  #enter(phase: Phase): void {
    own(this).phase = phase;
  }

  /** It has run a turn, or received an item. */
  use(at: number): void {
    own(this).usedAt = at;
  }

  /** Whether it is in the dispatcher's list. */
  list(isListed: boolean): void {
    own(this).isListed = isListed;
  }

  hold(held: Held | undefined): void {
    own(this).held = held;
  }

  // ---- commits

  /** It waits for a group commit. */
  queue(): void {
    own(this).isQueued = true;
  }

  /** A group commit takes the gathered batch; undefined: there is none. */
  takeOff(): Batch | undefined {
    const batch = this.gathering;
    own(this).isQueued = false;
    if (this.phase === 'dropped' || batch === undefined) return undefined;
    own(this).gathering = undefined;
    own(this).flying = batch;
    return batch;
  }

  /** All changes are in a commit. */
  written(): void {
    own(this).writeAt = 0;
  }

  /** The store has accepted the commit in flight. */
  land(version: number, wakeAt: number | undefined): void {
    own(this).storedVersion = version;
    own(this).storedWakeAt = wakeAt;
    own(this).flying = undefined;
  }

  /** The gathered output of a volatile type leaves at once, except output that must be written first. */
  takeVolatile(): Batch | undefined {
    const batch = this.gathering;
    own(this).gathering = this.behaviour.durability === 'none' ? undefined : batch?.takeClosing();
    return batch;
  }

  /** Changes will be written by then. Returns false if they will be earlier. */
  planWrite(at: number): boolean {
    if (this.writeAt !== 0) return false;
    own(this).writeAt = at;
    return true;
  }

  // ---- state of other parts

  /** The handlers: those of the behaviour, or of an instance of the actor class. Throws what the constructor throws. */
  instance(): Readonly<Record<string, unknown>> {
    const made = this.handlers ?? this.behaviour.instantiate(this.entity.key);
    own(this).handlers = made;
    return made;
  }

  /** A turn did not finish. The fields of an instance are not part of its transaction, so the instance is discarded. */
  forgetInstance(): void {
    if (this.behaviour.isClass) own(this).handlers = undefined;
  }

  /** Created on demand, like the two below. */
  makeAhead(): Ahead {
    const made = this.ahead ?? new Ahead();
    own(this).ahead = made;
    return made;
  }

  makeRetries(): Retries {
    const made = this.retries ?? new Retries();
    own(this).retries = made;
    return made;
  }

  makeFlights(): Map<string, Flight> {
    const made = this.flights ?? new Map();
    own(this).flights = made;
    return made;
  }

  dropAhead(): void {
    own(this).ahead = undefined;
  }

  /** Its activities as one text, see `idle.ts`; undefined: they are in the store. */
  rest(rested: string | undefined, minutes: number): void {
    own(this).rested = rested;
    own(this).restedMinutes = minutes;
  }

  takeRested(): string | undefined {
    const { rested } = this;
    own(this).rested = undefined;
    return rested;
  }

  search(isSearching: boolean): void {
    own(this).isSearching = isSearching;
  }

  planHistory(at: number): void {
    own(this).historyDueAt = at;
  }

  beCautious(isCautious: boolean): void {
    own(this).isCautious = isCautious;
  }

  note(noting: Batch | undefined): void {
    own(this).noting = noting;
  }
}
