/**
 * The dispatcher: runs the turns of entities with items in their mailboxes, a few at a time.
 *
 * Owns the list of those entities, and the bounds on what a worker holds (P12): in mailboxes, beside them, and in flight to the
 * store. Its caller decides how an item is run.
 *
 * Invariants:
 * - W2 The items of an entity, and of all entities together, are bounded in messages and in bytes, from their arrival until their
 *   answer has left. An item that does not fit is not accepted (P12).
 * - W5 Queries and stream envelopes have bounds beside that of messages, so that an entity with many messages can still be queried,
 *   and one with many stream envelopes can still get messages. An item counts as its kind until its answer has left.
 * - W6 A copy of a held item is not turned away, and takes no second place in a mailbox where many wait.
 * - W7 No turn starts while the answers that wait for the store exceed the bound in bytes.
 * - W8 While the store is behind, entities that need it run no turns: a waiting item can be turned away when it is late, a turn that
 *   has run cannot.
 * - W9 An arriving call is rejected if it would get its turn too late (AM1). A copy of a held call is not (W6), nor an item that is
 *   offered again, a message of an entity, or a query.
 * - W10 When much is held, the clients that call most leave a part of the bounds to the others (AM3).
 */
import type { Limits } from '../../core/limits.ts';
import { isEntityPartner } from '../../core/message.ts';
import type { Activation } from '../entity/activation.ts';
import type { Unproven } from '../entity/batch.ts';
import { Held, sizeOfOutput } from '../entity/held.ts';
import { type Item, sizeOf } from '../entity/mailbox.ts';
import type { Turns } from '../entity/turns.ts';
import type { Environment } from '../environment.ts';
import type { TurnWatch } from '../watchdog.ts';
import type { Envelope, MessageEnvelope, QueryEnvelope } from '../wire/envelope.ts';
import type { Activations } from './activations.ts';
import { Admission, busyFrom } from './admission.ts';
import { Backpressure } from './backpressure.ts';
import type { GroupCommit } from './group-commit.ts';

/** Turns that one entity runs before others get theirs; fewer where many wait, or it would fall behind for ever. */
const turnsInARow = { least: 64, share: 1 / 32 };
/** Turns before waiting input and timers are handled: as many as a group commit has room for. */
const turnsAtOnce = 2_048;
/** A mailbox this full builds an index of its senders, and drops it at half of that. */
const registerShare = 1 / 16;
/** Part of the bounds for buffered messages: those that never become next must leave room for others. */
const aheadShare = 1 / 4;
/** Part of the bounds that the clients that call most may fill (W10). */
const commonShare = 7 / 8;
/** Part of the bound in bytes from which on the calls of clients are compared. */
const muchShare = 1 / 8;

/** `copy`: it is held already, as itself or as its original. */
export type Offered = 'taken' | 'copy' | 'full';

export interface DispatcherParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly post: (envelope: Envelope) => void;
}

interface Inside {
  readonly turns: Turns;
  readonly commits: GroupCommit;
  readonly activations: Activations;
}

export class Dispatcher {
  readonly #environment: Environment;
  readonly #limits: Limits;
  #inside!: Inside;
  /** Entities with turns to run that wait until the store has caught up (W8). */
  #behind: Activation[] = [];
  readonly #registerFrom: number;
  readonly #watch: TurnWatch | undefined;
  readonly #backpressure: Backpressure;
  /** Decides which calls a busy worker accepts. */
  readonly admission: Admission;
  #list: Activation[] = [];
  #isDispatching = false;
  #isStopped = false;
  /** The items of all entities together. */
  readonly held = new Held();

  constructor(parts: DispatcherParts) {
    this.#environment = parts.environment;
    this.#limits = parts.limits;
    this.admission = new Admission(parts.environment);
    const { turnMsMax } = parts.limits;
    this.#watch = turnMsMax > 0 ? parts.environment.watchTurns?.(turnMsMax) : undefined;
    this.#backpressure = new Backpressure({ ...parts, roomFor: (activation) => this.#roomFor(activation) });
    this.#registerFrom = Math.max(1, Math.ceil(parts.limits.mailboxCountMax * registerShare));
  }

  connect(inside: Inside): void {
    this.#inside = inside;
  }

  /** Number of items in all mailboxes. */
  get waitingCount(): number {
    return this.held.waiting;
  }

  /** Puts an item into a mailbox, if there is room (W2). `isNew`: it has just arrived, and was not accepted before (W9). */
  offer(activation: Activation, item: Item, isNew = false): Offered {
    const { mailbox } = activation;
    if (item.kind === 'message') {
      if (isNew && this.admission.isMeasuring) this.admission.arrived(item, this.#limits);
      if (mailbox.count >= this.#registerFrom) mailbox.registers(true);
      if (mailbox.renew(item)) return 'copy';
    }
    const held = activation.held ?? this.#hold(activation);
    const mayEnter =
      isNew && this.#isMuchHeld && isCall(item) ? this.#admits(activation, held, item) : this.#hasRoom(held, item);
    if (!mayEnter) return isCopy(activation, item) ? 'copy' : this.#turnAway(activation, item);
    mailbox.push(item);
    if (!this.#backpressure.isEmpty && item.kind === 'message') this.#backpressure.came(activation);
    this.#came(held, item);
    this.enlist(activation);
    return 'taken';
  }

  get #isMuchHeld(): boolean {
    const { messages, queries, bytes } = this.held;
    return messages >= busyFrom || queries >= busyFrom || bytes >= this.#limits.workerQueueBytesMax * muchShare;
  }

  #admits(activation: Activation, held: Held, call: MessageEnvelope | QueryEnvelope): boolean {
    const { admission } = this;
    const isLight = admission.isLight(call);
    if (!this.#hasRoom(held, call, isLight === false ? commonShare : 1)) return false;
    if (call.kind === 'query') return true;
    const { waiting } = this.held;
    if (waiting >= busyFrom) return admission.isInTime(call, waiting, this.#before(activation), isLight === true);
    if (admission.isMeasuring) admission.rest();
    return true;
  }

  /** Estimated number of turns before an item that arrives now: of each other entity at most as many as it runs in a row. */
  #before({ waitingCount }: Activation): number {
    const inARow = (this.#list.length + this.#behind.length) * turnsInARow.least;
    return waitingCount + Math.min(this.held.waiting - waitingCount, inARow);
  }

  #hold(activation: Activation): Held {
    const held = new Held();
    activation.hold(held);
    this.#inside.activations.wake(activation);
    return held;
  }

  #turnAway(activation: Activation, item: Item): 'full' {
    // A client is told at once, an entity when there is room again.
    if (item.kind === 'message' && item.replyTo === '' && isEntityPartner(item.from))
      this.#backpressure.turnedAway(activation, item.from);
    return 'full';
  }

  /** For how many more messages an entity has room. */
  #roomFor({ held }: Activation): number {
    const { mailboxCountMax, mailboxBytesMax, workerQueueCountMax, workerQueueBytesMax } = this.#limits;
    const { messages, bytes } = this.held;
    if ((held?.bytes ?? 0) >= mailboxBytesMax / 2 || bytes >= workerQueueBytesMax / 2) return 0;
    return Math.min(mailboxCountMax - (held?.messages ?? 0), workerQueueCountMax - messages);
  }

  /** `share`: the part of the bounds that this item may fill. */
  #hasRoom(held: Held, { kind }: Item, share = 1): boolean {
    const { mailboxCountMax, mailboxBytesMax, workerQueueCountMax, workerQueueBytesMax } = this.#limits;
    const all = this.held;
    switch (kind) {
      case 'message':
        return (
          held.messages < mailboxCountMax * share &&
          all.messages < workerQueueCountMax * share &&
          held.bytes < mailboxBytesMax * share &&
          all.bytes < workerQueueBytesMax * share
        );
      case 'query':
        return (
          held.queries < mailboxCountMax * share &&
          all.queries < workerQueueCountMax * share &&
          held.bytes < mailboxBytesMax * (share + aheadShare) &&
          all.bytes < workerQueueBytesMax * (share + aheadShare)
        );
      case 'wake':
      case 'effect':
        return true;
      default:
        // Stream envelopes, which are sent again.
        return held.signals <= mailboxCountMax && all.signals <= workerQueueCountMax;
    }
  }

  /** Counts the item until the next full count. */
  #came(held: Held, item: Item): void {
    const bytes = sizeOf(item);
    held.waiting += 1;
    held.bytes += bytes;
    this.held.waiting += 1;
    this.held.bytes += bytes;
    if (item.kind === 'query') {
      held.queries += 1;
      this.held.queries += 1;
    } else if (item.kind === 'message') {
      held.messages += 1;
      this.held.messages += 1;
    } else if (item.kind !== 'wake' && item.kind !== 'effect') {
      held.signals += 1;
      this.held.signals += 1;
    }
  }

  /** Whether there is room to buffer one more message that arrived out of order. */
  mayBuffer(activation: Activation): boolean {
    const { mailboxCountMax, mailboxBytesMax, workerQueueCountMax, workerQueueBytesMax } = this.#limits;
    const { ahead } = activation;
    return (
      (ahead === undefined ||
        (ahead.count < mailboxCountMax * aheadShare && ahead.bytes < mailboxBytesMax * aheadShare)) &&
      this.held.aheadCount < workerQueueCountMax * aheadShare &&
      this.held.aheadBytes < workerQueueBytesMax * aheadShare
    );
  }

  /** Output that waited for the store has left. */
  stored(activation: Activation): void {
    this.count(activation);
  }

  /** What is held for the entity has changed: counts it again, and runs what may run now. */
  count(activation: Activation): void {
    if (activation.phase === 'dropped') return;
    const held = activation.held ?? this.#hold(activation);
    this.#remove(held);
    activation.measure(held);
    this.#add(held);
    this.enlist(activation);
    if (this.#list.length > 0) this.#start();
    if (!this.#backpressure.isEmpty) this.#backpressure.tell(activation);
  }

  /** The activation is dropped: nothing is held for it here any more. */
  forget(activation: Activation): void {
    const { held } = activation;
    activation.hold(undefined);
    if (!this.#backpressure.isEmpty) this.#backpressure.forget(activation);
    if (held !== undefined) this.#remove(held);
    if (this.#list.length > 0) this.#start();
  }

  /** An answer waits for a proof of ownership. Call the returned function when it has left. */
  prove(activation: Activation, { envelope, asked }: Unproven): () => void {
    const held = activation.held ?? this.#hold(activation);
    const bytes = sizeOfOutput(envelope);
    held.prove(asked, bytes, 1);
    return () => {
      held.prove(asked, bytes, -1);
      if (activation.held === held) this.count(activation);
    };
  }

  /** Items are held outside of any activation, to be tried again. Call the returned function when they no longer are. */
  park(items: readonly Item[]): () => void {
    const parked = new Held();
    for (const item of items) this.#came(parked, item);
    this.held.waiting -= parked.waiting;
    parked.waiting = 0;
    return () => this.#remove(parked);
  }

  #remove({ waiting, messages, queries, signals, bytes, pendingBytes, aheadCount, aheadBytes }: Held): void {
    const all = this.held;
    all.waiting -= waiting;
    all.messages -= messages;
    all.queries -= queries;
    all.signals -= signals;
    all.bytes -= bytes;
    all.pendingBytes -= pendingBytes;
    all.aheadCount -= aheadCount;
    all.aheadBytes -= aheadBytes;
  }

  #add({ waiting, messages, queries, signals, bytes, pendingBytes, aheadCount, aheadBytes }: Held): void {
    const all = this.held;
    all.waiting += waiting;
    all.messages += messages;
    all.queries += queries;
    all.signals += signals;
    all.bytes += bytes;
    all.pendingBytes += pendingBytes;
    all.aheadCount += aheadCount;
    all.aheadBytes += aheadBytes;
  }

  /** Takes all items out of a mailbox whose activation is about to be dropped. */
  takeAll(activation: Activation): Item[] {
    const items = activation.mailbox.takeAll();
    this.count(activation);
    return items;
  }

  /** The activation may have become able to run its items. */
  enlist(activation: Activation): void {
    if (activation.isListed || activation.phase !== 'ready' || activation.waitingCount === 0) return;
    if (this.#isHeldUp(activation)) return;
    activation.list(true);
    this.#list.push(activation);
    this.#start();
  }

  /** The store may have caught up: the entities that waited for it continue (W8). */
  resume(): void {
    if (this.#behind.length === 0 || this.#inside.commits.isBehind) return;
    this.#list = this.#behind.concat(this.#list);
    this.#behind = [];
    this.#start();
  }

  #start(): void {
    if (this.#isDispatching || this.#isStopped || this.held.pendingBytes >= this.#limits.workerQueueBytesMax) return;
    this.#isDispatching = true;
    this.#environment.soon(() => this.#dispatch());
  }

  /** Its answers wait for the store, and are large. A release lists it again (W7). */
  #isHeldUp({ pendingBytes }: Activation): boolean {
    return pendingBytes >= this.#limits.mailboxBytesMax;
  }

  stop(): void {
    this.#isStopped = true;
    this.#watch?.close();
    this.#backpressure.close();
  }

  /** Runs turns: some of each entity with items, for a while; then lets input and timers in. */
  #dispatch(): void {
    let budget = turnsAtOnce;
    const { workerQueueBytesMax } = this.#limits;
    const mayRun = () => budget > 0 && this.held.pendingBytes < workerQueueBytesMax;
    while (mayRun() && this.#list.length > 0 && !this.#isStopped) {
      const round = this.#list;
      this.#list = [];
      for (const [index, activation] of round.entries()) {
        if (!mayRun()) {
          this.#list = round.slice(index).concat(this.#list);
          break;
        }
        budget -= this.#runSome(activation);
      }
    }
    this.#isDispatching = false;
    if (this.#list.length > 0) this.#start();
    // Lets input in. The output of the turns may go to the store meanwhile.
    this.#inside.commits.flush();
  }

  #runSome(activation: Activation): number {
    if (activation.behaviour.durability === 'turn' && this.#inside.commits.isBehind) {
      this.#behind.push(activation);
      return 0;
    }
    activation.list(false);
    activation.use(this.#environment.steady());
    let count = 0;
    const most = Math.max(turnsInARow.least, activation.waitingCount * turnsInARow.share);
    while (count < most && activation.phase === 'ready' && !this.#isHeldUp(activation)) {
      const item = activation.mailbox.shift();
      if (item === undefined) break;
      this.#watch?.begin(activation.address, item);
      this.#inside.turns.run(activation, item);
      this.#watch?.end();
      count += 1;
    }
    if (activation.waitingCount * 2 < this.#registerFrom) activation.mailbox.registers(false);
    this.count(activation);
    return count;
  }
}

/** Whether a client waits for it. */
function isCall(item: Item): item is MessageEnvelope | QueryEnvelope {
  return item.kind === 'query' || (item.kind === 'message' && item.replyTo !== '');
}

/** Whether an item was accepted before: it waits, is buffered, or was processed and its answer is due. */
function isCopy({ mailbox, record, ahead, retries }: Activation, item: Item): boolean {
  if (item.kind !== 'message') return false;
  mailbox.registers(true);
  if (mailbox.renew(item)) return true;
  const { arrival, from } = item;
  const inbound = record?.activities.get(from)?.inbound;
  if (inbound !== undefined && inbound.session === arrival.session && inbound.through >= arrival.seq) return true;
  const retry = retries?.get(from)?.item;
  if (retry?.kind === 'message' && retry.arrival.session === arrival.session && retry.arrival.seq === arrival.seq)
    return true;
  return ahead?.get(item) !== undefined;
}
