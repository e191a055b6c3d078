/**
 * An activation: one entity's stay in a worker's memory.
 *
 *     loading ──▶ ready ◀──▶ reading (an activity that a turn needs)
 *        └───────────┴──────────┴──▶ dropped (passivated, failed, or no longer owned)
 *
 * Owns what belongs to one entity between its turns; what runs turns is `turns.ts`, what makes them durable `worker/group-commit.ts`.
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
import type { Partition } from '../store.ts';
import type { Envelope } from '../wire/envelope.ts';
import { added, Batch, type Flight } from './batch.ts';
import type { Ahead, Held, Retries } from './held.ts';
import { Mailbox } from './mailbox.ts';
import type { EntityLayout } from './record-writer.ts';
import { newLayout } from './record-writer.ts';

const nothing: readonly never[] = [];

function addCounts(into: Held, { messageCount, queryCount, signalCount }: Batch): void {
  into.messages += messageCount;
  into.queries += queryCount;
  into.signals += signalCount;
}

export class Activation {
  readonly address: Address;
  readonly partition: Partition;
  readonly behaviour: Behaviour;
  #mailbox: Mailbox | undefined;
  phase: 'loading' | 'ready' | 'reading' | 'dropped' = 'loading';
  /** Set once loaded. */
  record: EntityRecord | undefined;
  layout: EntityLayout = newLayout();
  handlers: Readonly<Record<string, unknown>> | undefined;
  gathering: Batch | undefined;
  flying: Batch | undefined;
  /** What leaves with the next commit, whatever else that has. */
  owed: readonly Envelope[] | undefined;
  /** The entity's version and wake time in the store. */
  storedVersion = 0;
  storedWakeAt: number | undefined;
  /** Messages that came before their turn. */
  ahead: Ahead | undefined;
  retries: Retries | undefined;
  /** How much of it is held, as it was last counted; undefined: nothing. */
  held: Held | undefined;
  flights: Map<string, Flight> | undefined;
  /** When acknowledgements that no turn carried are to be written, ms; 0: there are none. */
  trimAt = 0;
  /** When to look for history that may go, ms. */
  historyDueAt = 0;
  usedAt = 0;
  /** At rest: all that it remembers about its partners, as `idle.ts` keeps it. */
  rested: string | undefined;
  /** At rest: in which minute since 1970 the first of them may be forgotten. */
  restedMinutes = 0;
  /** Something of it may have ended a process: its turns are asked for (`crash-notes.ts`). */
  isCautious = false;
  /** What makes notes durable that are waited for. */
  noting: Batch | undefined;
  isQueued = false;
  isListed = false;
  /** Its stored activities are being looked through: none leaves memory meanwhile, since what was read of it may be old. */
  isSearching = false;

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
    this.handlers = this.behaviour.isClass ? this.handlers : undefined;
    this.retries = undefined;
    this.ahead = undefined;
    this.held = undefined;
    if (this.flights?.size === 0) this.flights = undefined;
  }

  /** The record of an activation that is loaded. */
  get entity(): EntityRecord {
    if (this.record === undefined)
      throw new Error(`Skerry bug, please report: ${this.address} is used before it is loaded`);
    return this.record;
  }

  /** Whether an effect's outcome is here and only its turn is still to come: for that it must not run again (L2). */
  hasOutcome(id: string): boolean {
    if (this.retries?.has(`f:${id}`) === true) return true;
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
      this.trimAt === 0 &&
      this.entity.changes.records.size === 0 &&
      (this.retries?.size ?? 0) === 0
    );
  }

  /** The clock was set back: what waits for a pause waits as long as it did. Returns when the first is over, or Infinity. */
  setBack(ms: number): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.trimAt !== 0) {
      this.trimAt -= ms;
      next = this.trimAt;
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
    this.gathering = new Batch();
    for (const envelope of this.owed ?? []) this.gathering.addEnvelope(envelope);
    this.owed = undefined;
    return this.gathering;
  }

  /** To be said when what the record holds now is durable, without a commit of its own. */
  owe(envelope: Envelope): void {
    if (this.gathering !== undefined) this.gathering.addEnvelope(envelope);
    else this.owed = added(this.owed ?? nothing, envelope);
  }
}
