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
import { failedRow } from '../../core/turn.ts';
import type { Activation } from '../entity/activation.ts';
import type { Effects } from '../entity/effects.ts';
import { type Item, isYoung } from '../entity/mailbox.ts';
import type { Ownership } from '../entity/ownership.ts';
import type { Schedule } from '../entity/schedule.ts';
import type { Environment } from '../environment.ts';
import { type Epoch, type Loss, type Partition, type Store, StoreAway } from '../store.ts';
import type { Activations } from './activations.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Failure } from './group-commit.ts';
import type { Hosting } from './hosting.ts';
import type { Intake } from './intake.ts';
import type { LossReport } from './loss-report.ts';
import type { Refusals } from './refusals.ts';
import type { Life } from './shutdown.ts';
import { Unmade } from './unmade.ts';
import type { VolatileImages } from './volatile-images.ts';

export interface RecoveryParts {
  readonly store: Store;
  readonly environment: Environment;
  readonly limits: Limits;
  readonly life: Life;
  readonly intake: Intake;
  readonly refusals: Refusals;
  readonly losses: LossReport;
  /** The store said that the partition is another worker's. */
  readonly lost?: ((partition: Partition) => void) | undefined;
  readonly isComing?: ((partition: Partition, epoch: Epoch) => boolean) | undefined;
}

/** What is put in order again. */
interface Inside {
  readonly activations: Activations;
  readonly images: VolatileImages;
  readonly dispatcher: Dispatcher;
  readonly ownership: Ownership;
  readonly hosting: Hosting;
  readonly effects: Effects;
  readonly dates: Schedule;
}

export class Recovery {
  readonly #parts: RecoveryParts;
  #inside!: Inside;
  #endLosses: (() => void) | undefined;
  /** Entities that have something to do and cannot be made. */
  readonly #unmade: Unmade;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
    this.#unmade = new Unmade(parts.limits);
  }

  connect(inside: Inside): void {
    this.#inside = inside;
    this.#endLosses = this.#parts.store.onLoss((loss) => this.#wentBack(loss));
  }

  close(): void {
    this.#endLosses?.();
    this.#parts.losses.close();
  }

  /** A commit did not happen, or nobody knows. */
  failed(activation: Activation, failure: Failure, error: unknown): void {
    if (this.#parts.life.isStopped) return;
    const batches = [activation.flying, activation.gathering];
    const requests = batches.flatMap((batch) => batch?.requests ?? []);
    const waiting = this.#inside.dispatcher.takeAll(activation);
    const held = activation.ahead?.takeAll() ?? [];
    this.#inside.images.keep(activation);
    this.#inside.activations.drop(activation);
    // That the store is away it says itself, once for all entities.
    if (failure !== 'store-away')
      this.#parts.environment.log.warn(
        { entity: activation.address, failure, error: error === undefined ? undefined : String(error) },
        'a commit failed; its activation is dropped and loaded again',
      );
    if (failure === 'store-unknown') this.#inside.activations.doubt(activation.address);
    if (failure === 'store-unknown' || activation.behaviour.durability !== 'turn')
      for (const request of requests) this.#parts.refusals.doubt(request);
    if (failure === 'stale-epoch') {
      this.#inside.ownership.lose(activation.partition);
      for (const item of [...requests, ...waiting, ...held]) this.#parts.intake.deliver(activation.address, item);
      return;
    }
    // Of a volatile type the turns stay: they are in what is kept, and asked again it answers from there.
    const isGone = failure === 'store-refused' && activation.behaviour.durability === 'turn';
    if (isGone)
      for (const request of requests)
        this.#parts.refusals.reply(request, 'store-failed', error instanceof Error ? error.message : String(error));
    this.#again(activation.address, isGone ? [...waiting, ...held] : [...requests, ...waiting, ...held]);
  }

  /** Run requests again on a fresh activation, after a pause: as their senders would, only sooner. */
  #again(address: Address, items: readonly Item[]): void {
    const pause = Math.ceil(this.#parts.limits.retryMs / 5);
    const unpark = this.#inside.dispatcher.park(items);
    this.#parts.environment.after(pause, () => {
      unpark();
      const now = this.#parts.environment.now();
      for (const item of items) if (isYoung(item, now)) this.#parts.intake.deliver(address, item);
      this.#parts.intake.wake(address);
    });
  }

  /** An entity could not be read or made, or something of one that is in memory: then the turns before are as after `failed`. */
  notLoaded(activation: Activation, error: unknown): void {
    const waiting = this.#inside.dispatcher.takeAll(activation);
    const run = this.#interrupted(activation);
    this.#inside.images.keep(activation);
    this.#inside.activations.drop(activation);
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
      if (isStore) this.#parts.refusals.reply(item, 'store-failed', message);
      // An error that nobody remembers, unlike an answer (P5): a later call may find that it can be made.
      else this.#parts.refusals.reply(item, 'not-loaded', failedRow(error));
    }
    const isOwed = waiting.some(({ kind }) => kind === 'wake' || kind === 'effect');
    if (this.#parts.life.isStopped || !(isStore || isOwed)) return;
    const pauseMs = isStore ? this.#parts.limits.retryMsMax : this.#unmade.failed(activation.address);
    this.#inside.dates.setEarlier(activation.address, this.#parts.environment.now() + pauseMs);
  }

  /** An entity is in memory. */
  made({ address }: Activation): void {
    if (this.#unmade.made(address))
      this.#parts.environment.log.info({ entity: address }, 'an entity can be read again');
  }

  /** What asked for turns that no commit has made durable, if a read between them has failed: to be asked again. */
  #interrupted({ address, flying, gathering, behaviour }: Activation): Item[] {
    const isKept = behaviour.durability !== 'turn';
    for (const request of flying?.requests ?? []) this.#parts.refusals.doubt(request);
    if (isKept) for (const request of gathering?.requests ?? []) this.#parts.refusals.doubt(request);
    if (flying !== undefined) this.#inside.activations.doubt(address);
    return [...(flying?.requests ?? []), ...(gathering?.requests ?? [])];
  }

  /** The store has gone back: what is in memory may be newer, and is dropped before anything more is said of it (P8). */
  #wentBack(loss: Loss): void {
    const { ownership, activations } = this.#inside;
    const { partition, epoch } = loss;
    if (partition === undefined) return this.#parts.losses.found(loss, 0);
    // What it has given away is for its next owner to say.
    if (!ownership.has(partition) || ownership.epochOf(partition) !== epoch) {
      if (this.#parts.isComing?.(partition, epoch)) this.#parts.losses.found(loss, 0);
      return;
    }
    let entities = 0;
    for (const activation of activations.all()) if (activation.partition === partition) entities += 1;
    this.#parts.losses.found(loss, entities);
    ownership.lose(partition);
  }

  /** These partitions are other workers'. */
  readonly lost = (partitions: ReadonlySet<Partition>): void => {
    for (const partition of partitions)
      this.#parts.environment.log.info(
        { partition },
        'this worker no longer owns a partition; it dropped the entities of that partition',
      );
    for (const activation of [...this.#inside.activations.all()]) {
      if (!partitions.has(activation.partition)) continue;
      const waiting = this.#inside.dispatcher.takeAll(activation);
      this.#inside.images.keep(activation);
      this.#inside.activations.drop(activation);
      // Turns that no commit carries were certainly not written; what is under way may have been: its senders try again.
      for (const item of [...(activation.gathering?.requests ?? []), ...waiting])
        this.#parts.intake.deliver(activation.address, item);
    }
    const { effects, hosting } = this.#inside;
    effects.leave((address) => !hosting.isHere(address));
    for (const partition of partitions) this.#parts.lost?.(partition);
  };
}
