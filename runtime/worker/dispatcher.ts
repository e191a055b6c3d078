/**
 * The pump: gives every entity with something in its mailbox its turns, a few at a time.
 *
 * Owns the list of those that have, and the bounds on what a worker holds (P12): in mailboxes, beside them, and under way to
 * the store. What running an item means is the caller's.
 *
 * Invariants:
 * - W2 What an entity holds, and what all hold together, is bounded in messages and in bytes, from the arrival of each until its
 *   answer has left: what does not fit is not taken (P12).
 * - W5 Queries, and signals of streams, have bounds of their own beside that of messages: an entity that many write to can still
 *   be asked, and one that many talk to written to. Whatever comes is of its kind until its answer has left.
 * - W6 A copy of what is held already is not turned away, and takes no place of its own in a mailbox where many wait.
 * - W7 No turn starts while the answers that wait for the store are past the bound in bytes.
 * - W8 While the store is behind, entities that need it run no turns: what waits can be turned away when it is late, and what
 *   has been run cannot.
 * - W9 A call that arrives is refused where it would come to its turn too late (AM1); a copy of what is held is not (W6), nor is
 *   what is offered again, nor messages of entities and queries.
 * - W10 Where much is held the clients that ask for most leave a part of the bounds to the others (AM3).
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

/** Turns that one entity runs before others get theirs; where many wait a part of those, or it would fall behind for ever. */
const turnsInARow = { least: 64, share: 1 / 32 };
/** Turns before waiting input and timers get their chance: as many as a group of commits has room for. */
const turnsAtOnce = 2_048;
/** A mailbox that is full to this part knows who waits, and no longer when it is down to half of that. */
const registerShare = 1 / 16;
/** Part of the bounds that may be held ahead of its turn: what never comes to its turn must leave room for what does. */
const aheadShare = 1 / 4;
/** Part of the bounds that the clients that ask for most may fill (W10). */
const commonShare = 7 / 8;
/** Of the bound in bytes so much is held before anybody asks who asks for most. */
const muchShare = 1 / 8;

/** `copy`: it is held already, here or as what it is a copy of. */
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
  /** Those with turns to run that wait until the store is no longer behind (W8). */
  #behind: Activation[] = [];
  readonly #registerFrom: number;
  readonly #watch: TurnWatch | undefined;
  readonly #backpressure: Backpressure;
  /** Which calls a busy worker takes in. */
  readonly admission: Admission;
  #list: Activation[] = [];
  #isDispatching = false;
  #isStopped = false;
  /** Of all entities together. */
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

  /** What waits in all mailboxes. */
  get waitingCount(): number {
    return this.held.waiting;
  }

  /** Put an item into a mailbox, if there is room (W2). `isNew`: it has just arrived, and was not taken in before (W9). */
  offer(activation: Activation, item: Item, isNew = false): Offered {
    const { mailbox } = activation;
    if (item.kind === 'message') {
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

  /** How much comes to its turn before what arrives for an entity now, about: of each other entity no more than it runs in a row. */
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
    // A client is told at once, and an entity when there is room again.
    if (item.kind === 'message' && item.replyTo === '' && isEntityPartner(item.from))
      this.#backpressure.turnedAway(activation, item.from);
    return 'full';
  }

  /** For how many more messages of an entity there is room. */
  #roomFor({ held }: Activation): number {
    const { mailboxCountMax, mailboxBytesMax, workerQueueCountMax, workerQueueBytesMax } = this.#limits;
    const { messages, bytes } = this.held;
    if ((held?.bytes ?? 0) >= mailboxBytesMax / 2 || bytes >= workerQueueBytesMax / 2) return 0;
    return Math.min(mailboxCountMax - (held?.messages ?? 0), workerQueueCountMax - messages);
  }

  /** `share`: of the bounds, for this one. */
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
        // Signals of streams: they come again.
        return held.signals <= mailboxCountMax && all.signals <= workerQueueCountMax;
    }
  }

  /** Until it is counted anew. */
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

  /** Whether there is room to hold one more message of an entity ahead of its turn. */
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

  /** What waited for the store has left. */
  stored(activation: Activation): void {
    this.count(activation);
  }

  /** What is held of an entity has changed: count it anew, and run what may run now. */
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

  /** The activation is dropped: nothing of it is held here any more. */
  forget(activation: Activation): void {
    const { held } = activation;
    activation.hold(undefined);
    if (!this.#backpressure.isEmpty) this.#backpressure.forget(activation);
    if (held !== undefined) this.#remove(held);
    if (this.#list.length > 0) this.#start();
  }

  /** An answer waits for a proof of ownership. What comes back says that it has left. */
  prove(activation: Activation, { envelope, asked }: Unproven): () => void {
    const held = activation.held ?? this.#hold(activation);
    const bytes = sizeOfOutput(envelope);
    held.prove(asked, bytes, 1);
    return () => {
      held.prove(asked, bytes, -1);
      if (activation.held === held) this.count(activation);
    };
  }

  /** Items are held outside of any activation, to be tried again. What comes back says that they no longer are. */
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

  /** Everything out of a mailbox, whose activation is about to go. */
  takeAll(activation: Activation): Item[] {
    const items = activation.mailbox.takeAll();
    this.count(activation);
    return items;
  }

  /** The activation may have become able to run what waits for it. */
  enlist(activation: Activation): void {
    if (activation.isListed || activation.phase !== 'ready' || activation.waitingCount === 0) return;
    if (this.#isHeldUp(activation)) return;
    activation.list(true);
    this.#list.push(activation);
    this.#start();
  }

  /** The store may have caught up: those that waited for it go on (W8). */
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

  /** Its answers wait for the store, and are much: what is released lists it again (W7). */
  #isHeldUp({ pendingBytes }: Activation): boolean {
    return pendingBytes >= this.#limits.mailboxBytesMax;
  }

  stop(): void {
    this.#isStopped = true;
    this.#watch?.close();
    this.#backpressure.close();
  }

  /** Run turns: some of each entity that has any, for a while; then let input and timers in. */
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
    // Input gets its chance: what the turns decided may go to the store meanwhile.
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

/** Whether something was taken in before: it waits, is held ahead of its turn, or was processed, and its answer is to come. */
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
