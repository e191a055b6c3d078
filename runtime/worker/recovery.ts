/**
 * Ways to fail: what becomes of an activation, and of what waits for it, when a commit, a read or the ownership of its
 * partition is lost.
 *
 * Owns which requests are tried again, by whom, and what may honestly be said of them. That nothing was written, or that
 * nobody knows, is the store's to say.
 */
import { errorText, isSkerryError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Address } from '../../core/message.ts';
import type { AnswerRow } from '../../core/request.ts';
import { failedRow } from '../../core/turn.ts';
import type { Activation } from '../entity/activation.ts';
import { type Item, isYoung } from '../entity/mailbox.ts';
import type { Ownership } from '../entity/ownership.ts';
import type { Environment } from '../environment.ts';
import { type Epoch, type Loss, type Partition, type Store, StoreAway } from '../store.ts';
import type { Envelope, MessageEnvelope, QueryEnvelope, ReplyEnvelope } from '../wire/envelope.ts';
import type { Activations } from './activations.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Failure } from './group-commit.ts';
import { LossReport } from './loss-report.ts';
import { Unmade } from './unmade.ts';
import type { VolatileImages } from './volatile-images.ts';

export interface RecoveryParts {
  /** The worker's. */
  readonly name: string;
  readonly store: Store;
  readonly environment: Environment;
  readonly limits: Limits;
  readonly activations: Activations;
  readonly images: VolatileImages;
  readonly dispatcher: Dispatcher;
  readonly ownership: Ownership;
  readonly isStopped: () => boolean;
  readonly deliver: (address: Address, item: Item) => void;
  readonly wake: (address: Address) => void;
  readonly wakeBy: (address: Address, at: number) => void;
  readonly reply: (
    request: MessageEnvelope | QueryEnvelope,
    status: ReplyEnvelope['status'],
    said?: string | AnswerRow,
  ) => void;
  readonly lost: (partition: Partition) => void;
  readonly isComing?: (partition: Partition, epoch: Epoch) => boolean;
}

export class Recovery {
  readonly #parts: RecoveryParts;
  readonly losses: LossReport;
  readonly #endLosses: () => void;
  /** Requests of which nobody knows whether they were committed. */
  readonly #doubtful = new WeakSet<Envelope>();
  /** Entities that have something to do and cannot be made. */
  readonly #unmade: Unmade;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
    this.#unmade = new Unmade(parts.limits);
    this.losses = new LossReport(parts.environment, parts.name);
    this.#endLosses = parts.store.onLoss((loss) => this.#wentBack(loss));
  }

  close(): void {
    this.#endLosses();
    this.losses.close();
  }

  /** Whether a request may have been committed: only its answer may be told, no 'nothing was done' (C2). */
  isDoubtful(request: Envelope): boolean {
    return this.#doubtful.has(request);
  }

  /** A commit did not happen, or nobody knows. */
  failed(activation: Activation, failure: Failure, error: unknown): void {
    if (this.#parts.isStopped()) return;
    const batches = [activation.flying, activation.gathering];
    const requests = batches.flatMap((batch) => batch?.requests ?? []);
    const waiting = this.#parts.dispatcher.takeAll(activation);
    const held = activation.ahead?.takeAll() ?? [];
    this.#parts.images.keep(activation);
    this.#parts.activations.drop(activation);
    // That the store is away it says itself, once for all entities.
    if (failure !== 'store-away')
      this.#parts.environment.log.warn(
        { entity: activation.address, failure, error: error === undefined ? undefined : String(error) },
        'a commit did not happen; the activation is dropped and read again',
      );
    if (failure === 'store-unknown') this.#parts.activations.doubt(activation.address);
    if (failure === 'store-unknown' || activation.behaviour.durability !== 'turn')
      for (const request of requests) this.#doubtful.add(request);
    if (failure === 'stale-epoch') {
      this.#parts.ownership.lose(activation.partition);
      for (const item of [...requests, ...waiting, ...held]) this.#parts.deliver(activation.address, item);
      return;
    }
    // Of a volatile type the turns stay: they are in what is kept, and asked again it answers from there.
    const isGone = failure === 'store-refused' && activation.behaviour.durability === 'turn';
    if (isGone)
      for (const request of requests)
        this.#parts.reply(request, 'store-failed', error instanceof Error ? error.message : String(error));
    this.#again(activation.address, isGone ? [...waiting, ...held] : [...requests, ...waiting, ...held]);
  }

  /** Run requests again on a fresh activation, after a pause: as their senders would, only sooner. */
  #again(address: Address, items: readonly Item[]): void {
    const pause = Math.ceil(this.#parts.limits.retryMs / 5);
    const unpark = this.#parts.dispatcher.park(items);
    this.#parts.environment.after(pause, () => {
      unpark();
      const now = this.#parts.environment.now();
      for (const item of items) if (isYoung(item, now)) this.#parts.deliver(address, item);
      this.#parts.wake(address);
    });
  }

  /** An entity could not be read or made, or something of one that is in memory: then the turns before are as after `failed`. */
  notLoaded(activation: Activation, error: unknown): void {
    const waiting = this.#parts.dispatcher.takeAll(activation);
    const run = this.#interrupted(activation);
    this.#parts.images.keep(activation);
    this.#parts.activations.drop(activation);
    if (error instanceof StoreAway) return this.#again(activation.address, [...run, ...waiting]);
    if (run.length > 0) this.#again(activation.address, run);
    const message = errorText(error);
    const isKnown = this.#unmade.has(activation.address);
    if (!isKnown)
      this.#parts.environment.log.warn({ entity: activation.address, error: message }, 'an entity could not be read');
    // What the application's code threw (an initial state, an upgrade) is no failure of the store: who calls is told so.
    const isStore = isSkerryError(error, 'store-failed');
    for (const item of waiting) {
      if (item.kind !== 'message' && item.kind !== 'query') continue;
      if (isStore) this.#parts.reply(item, 'store-failed', message);
      // An error that nobody remembers, unlike an answer (P5): a later call may find that it can be made.
      else this.#parts.reply(item, 'not-loaded', failedRow(error));
    }
    const isOwed = waiting.some(({ kind }) => kind === 'wake' || kind === 'effect');
    if (this.#parts.isStopped() || !(isStore || isOwed)) return;
    const pauseMs = isStore ? this.#parts.limits.retryMsMax : this.#unmade.failed(activation.address);
    this.#parts.wakeBy(activation.address, this.#parts.environment.now() + pauseMs);
  }

  /** An entity is in memory. */
  made({ address }: Activation): void {
    if (this.#unmade.made(address))
      this.#parts.environment.log.info({ entity: address }, 'an entity that could not be read is there again');
  }

  /** What asked for turns that no commit has made durable, if a read between them has failed: to be asked again. */
  #interrupted({ address, flying, gathering, behaviour }: Activation): Item[] {
    const isKept = behaviour.durability !== 'turn';
    for (const request of flying?.requests ?? []) this.#doubtful.add(request);
    if (isKept) for (const request of gathering?.requests ?? []) this.#doubtful.add(request);
    if (flying !== undefined) this.#parts.activations.doubt(address);
    return [...(flying?.requests ?? []), ...(gathering?.requests ?? [])];
  }

  /** The store has gone back: what is in memory may be newer, and is dropped before anything more is said of it (P8). */
  #wentBack(loss: Loss): void {
    const { ownership, activations } = this.#parts;
    const { partition, epoch } = loss;
    if (partition === undefined) return this.losses.found(loss, 0);
    // What it has given away is for its next owner to say.
    if (!ownership.has(partition) || ownership.epochOf(partition) !== epoch) {
      if (this.#parts.isComing?.(partition, epoch)) this.losses.found(loss, 0);
      return;
    }
    let entities = 0;
    for (const activation of activations.all()) if (activation.partition === partition) entities += 1;
    this.losses.found(loss, entities);
    ownership.lose(partition);
  }

  /** The partition is another worker's. */
  lost(partition: Partition): void {
    this.#parts.environment.log.info(
      { partition },
      'a partition is not this worker’s any more: its entities here are dropped',
    );
    for (const activation of [...this.#parts.activations.all()]) {
      if (activation.partition !== partition) continue;
      const waiting = this.#parts.dispatcher.takeAll(activation);
      this.#parts.images.keep(activation);
      this.#parts.activations.drop(activation);
      // Turns that no commit carries were certainly not written; what is under way may have been: its senders try again.
      for (const item of [...(activation.gathering?.requests ?? []), ...waiting])
        this.#parts.deliver(activation.address, item);
    }
    this.#parts.lost(partition);
  }
}
