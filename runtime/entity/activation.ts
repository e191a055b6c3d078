/**
 * An activation: one entity's stay in a worker's memory.
 *
 *     loading ──▶ ready ◀──▶ reading (an activity that a turn needs)
 *        └───────────┴──────────┴──▶ dropped (passivated, failed, or no longer owned)
 *
 * Owns what belongs to one entity between its turns: its parts read it, and change it by what is said below. What runs turns is `turns.ts`, what makes them durable `worker/group-commit.ts`.
 *
 * Invariants:
 * - V1 `gathering` holds the outputs of turns that no commit carries yet, `flying` those of the commit under way;
 *   nothing of either has left (P2).
 * - V2 A dropped activation runs no turn and releases nothing any more.
 * - V3 A delayed message of a type of durability interval leaves only once the store no longer has its timer: after a crash it
 *   would be sent again, in a session in which its receiver cannot know it (P4).
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { Address } from '../../core/message.ts';
import type { EntityRecord } from '../../core/record.ts';
import { turnKey } from '../../core/turn-parts.ts';
import type { Partition } from '../store.ts';
import type { Envelope } from '../wire/envelope.ts';
import { added, Batch, type Flight } from './batch.ts';
import { Ahead, type Held, Retries } from './held.ts';
import { Mailbox } from './mailbox.ts';
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
  /** Set once loaded. */
  readonly record: EntityRecord | undefined;
  readonly layout: EntityLayout = newLayout();
  readonly handlers: Readonly<Record<string, unknown>> | undefined;
  readonly gathering: Batch | undefined;
  readonly flying: Batch | undefined;
  /** What leaves with the next commit, whatever else that has. */
  readonly owed: readonly Envelope[] | undefined;
  /** The entity's version and wake time in the store. */
  readonly storedVersion: number = 0;
  readonly storedWakeAt: number | undefined;
  /** Messages that came before their turn. */
  readonly ahead: Ahead | undefined;
  readonly retries: Retries | undefined;
  /** How much of it is held, as it was last counted; undefined: nothing. */
  readonly held: Held | undefined;
  readonly flights: Map<string, Flight> | undefined;
  /** When what no turn carries is to be written by itself, ms; 0: there is nothing. */
  readonly writeAt: number = 0;
  /** When to look for history that may go, ms. */
  readonly historyDueAt: number = 0;
  readonly usedAt: number = 0;
  /** At rest: all that it remembers about its partners, as `idle.ts` keeps it. */
  readonly rested: string | undefined;
  /** At rest: in which minute since 1970 the first of them may be forgotten. */
  readonly restedMinutes: number = 0;
  /** Something of it may have ended a process: its turns are asked for (`crash-notes.ts`). */
  readonly isCautious: boolean = false;
  /** What makes notes durable that are waited for. */
  readonly noting: Batch | undefined;
  readonly isQueued: boolean = false;
  readonly isListed: boolean = false;
  /** Its stored activities are being looked through: none leaves memory meanwhile, since what was read of it may be old. */
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

  get waitingCount(): number {
    return this.#mailbox === undefined ? 0 : this.#mailbox.count;
  }

  /** Count anew what is held of it, wherever it is (HD1). */
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

  /** Of those whose turns have been run and whose answers wait. */
  get pendingBytes(): number {
    return (this.gathering?.bytes ?? 0) + (this.flying?.bytes ?? 0) + (this.held?.provingBytes ?? 0);
  }

  /** Give back what an activation at rest does not need: it comes again when somebody asks. */
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

  /** Whether an effect's outcome is here and only its turn is still to come: for that it must not run again (L2). */
  hasOutcome(id: string): boolean {
    if (this.retries?.has(turnKey('effects', id)) === true) return true;
    return this.#mailbox?.peek(this.#mailbox.count).some((item) => item.kind === 'effect' && item.id === id) === true;
  }

  /** Whether turns of a volatile type that wait for the store keep those after them waiting (V3). */
  get isHeld(): boolean {
    return this.gathering?.isHeld === true || this.flying?.isHeld === true;
  }

  get isDurable(): boolean {
    return this.gathering === undefined && this.flying === undefined;
  }

  /** Whether memory holds nothing that the store or a partner does not know, so that it may go. */
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

  /** The clock was set back: what waits for a pause waits as long as it did. Returns when the first is over, or Infinity. */
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

  /** What this record has to send leaves with the next write (V3). */
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

  /** To be said when what the record holds now is durable, without a commit of its own. */
  owe(envelope: Envelope): void {
    if (this.gathering !== undefined) this.gathering.addEnvelope(envelope);
    else own(this).owed = added(this.owed ?? nothing, envelope);
  }

  // ---- its way through a stay

  /** This is what the store has of it, or an image; with neither it is new. */
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

  /** It runs no turn until something has been read or written. */
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

  /** It has run a turn, or been asked for. */
  use(at: number): void {
    own(this).usedAt = at;
  }

  /** Whether it waits for its turns in the list of the dispatcher. */
  list(isListed: boolean): void {
    own(this).isListed = isListed;
  }

  hold(held: Held | undefined): void {
    own(this).held = held;
  }

  // ---- its commits

  /** It waits for a group. */
  queue(): void {
    own(this).isQueued = true;
  }

  /** A group takes what has gathered; undefined: there is nothing. */
  takeOff(): Batch | undefined {
    const batch = this.gathering;
    own(this).isQueued = false;
    if (this.phase === 'dropped' || batch === undefined) return undefined;
    own(this).gathering = undefined;
    own(this).flying = batch;
    return batch;
  }

  /** All that has changed is in a commit. */
  written(): void {
    own(this).writeAt = 0;
  }

  /** The store has accepted the commit of what was under way. */
  land(version: number, wakeAt: number | undefined): void {
    own(this).storedVersion = version;
    own(this).storedWakeAt = wakeAt;
    own(this).flying = undefined;
  }

  /** Of a volatile type what has gathered leaves at once, but for what may not leave before it is written. */
  takeVolatile(): Batch | undefined {
    const batch = this.gathering;
    own(this).gathering = this.behaviour.durability === 'none' ? undefined : batch?.takeClosing();
    return batch;
  }

  /** What has changed is written by then, unless it is before: false. */
  planWrite(at: number): boolean {
    if (this.writeAt !== 0) return false;
    own(this).writeAt = at;
    return true;
  }

  // ---- what its parts keep with it

  /** The operations of the behaviour, of an instance if it is a class. Throws what its constructor throws. */
  instance(): Readonly<Record<string, unknown>> {
    const made = this.handlers ?? this.behaviour.instantiate(this.entity.key);
    own(this).handlers = made;
    return made;
  }

  /** A turn did not come to its end: the fields of an instance are outside of its atomicity. */
  forgetInstance(): void {
    if (this.behaviour.isClass) own(this).handlers = undefined;
  }

  /** Made if there is none, like the two below. */
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

  /** Its partners as one text, see `idle.ts`; undefined: they are in the store. */
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
