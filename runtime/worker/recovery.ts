/**
 * Recovery: handles an activation, and the items that wait for it, when a commit, a read or the ownership of its partition is lost.
 *
 * Owns which requests are tried again, by whom, and what may truthfully be said of them. The store says whether nothing was written,
 * or whether that is unknown.
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
import type { WaitingCalls } from '../entity/waiting.ts';
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
  /** Called when the store says that another worker owns the partition. */
  readonly lost?: ((partition: Partition) => void) | undefined;
  readonly isComing?: ((partition: Partition, epoch: Epoch) => boolean) | undefined;
}

/** The parts that recovery repairs. */
interface Inside {
  readonly activations: Activations;
  readonly images: VolatileImages;
  readonly dispatcher: Dispatcher;
  readonly ownership: Ownership;
  readonly hosting: Hosting;
  readonly effects: Effects;
  readonly waiting: WaitingCalls;
  readonly dates: Schedule;
}

export class Recovery {
  readonly #parts: RecoveryParts;
  #inside!: Inside;
  #endLosses: (() => void) | undefined;
  /** Entities that have work of their own and cannot be activated. */
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

  /** A commit failed, or its outcome is unknown. */
  failed(activation: Activation, failure: Failure, error: unknown): void {
    if (this.#parts.life.isStopped) return;
    const batches = [activation.flying, activation.gathering];
    const requests = batches.flatMap((batch) => batch?.requests ?? []);
    const waiting = this.#inside.dispatcher.takeAll(activation);
    const held = activation.ahead?.takeAll() ?? [];
    this.#inside.images.keep(activation);
    this.#inside.activations.drop(activation);
    // An unavailable store is reported once for all entities, by the store itself.
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
    // The turns of a volatile type remain: they are in the image, and a repeated request is answered from there.
    const isGone = failure === 'store-refused' && activation.behaviour.durability === 'turn';
    if (isGone)
      for (const request of requests)
        this.#parts.refusals.reply(request, 'store-failed', error instanceof Error ? error.message : String(error));
    this.#again(activation.address, isGone ? [...waiting, ...held] : [...requests, ...waiting, ...held]);
  }

  /** Runs requests again on a new activation after a pause, as their senders would, only sooner. */
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

  /** An entity could not be read or activated, or a read of one in memory failed. Earlier turns are then handled as by `failed`. */
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
    // An error of the application's code (an initial state, an upgrade) is not a failure of the store, and its caller gets it.
    const isStore = isSkerryError(error, 'store-failed');
    for (const item of waiting) {
      if (item.kind !== 'message' && item.kind !== 'query') continue;
      if (isStore) this.#parts.refusals.reply(item, 'store-failed', message);
      // Unlike an answer (P5) this error is not remembered: a later call may find that the entity can be activated.
      else this.#parts.refusals.reply(item, 'not-loaded', failedRow(error));
    }
    // Of what is only in memory no store has the dates, and nothing else would wake it.
    const isCarried = this.#inside.images.get(activation.address) !== undefined;
    const isOwed = isCarried || waiting.some(({ kind }) => kind === 'wake' || kind === 'effect');
    if (this.#parts.life.isStopped || !(isStore || isOwed)) return;
    const pauseMs = isStore ? this.#parts.limits.retryMsMax : this.#unmade.failed(activation.address);
    this.#inside.dates.setEarlier(activation.address, this.#parts.environment.now() + pauseMs);
  }

  /** An entity is in memory. */
  made({ address }: Activation): void {
    if (this.#unmade.made(address))
      this.#parts.environment.log.info({ entity: address }, 'an entity can be read again');
  }

  /** The requests of turns that no commit has made durable, when a read between them has failed; to be requested again. */
  #interrupted({ address, flying, gathering, behaviour }: Activation): Item[] {
    const isKept = behaviour.durability !== 'turn';
    for (const request of flying?.requests ?? []) this.#parts.refusals.doubt(request);
    if (isKept) for (const request of gathering?.requests ?? []) this.#parts.refusals.doubt(request);
    if (flying !== undefined) this.#inside.activations.doubt(address);
    return [...(flying?.requests ?? []), ...(gathering?.requests ?? [])];
  }

  /** The store has lost commits. Memory may be newer, and is dropped before anything more is said of it (P8). */
  #wentBack(loss: Loss): void {
    const { ownership, activations } = this.#inside;
    const { partition, epoch } = loss;
    if (partition === undefined) return this.#parts.losses.found(loss, 0);
    // A partition that was handed off is its next owner's to report. What is in memory may be of an earlier epoch than that of the loss,
    // if this worker has claimed the partition again and does not run it yet: the store may have that epoch again.
    if (!ownership.has(partition) || ownership.epochOf(partition) > epoch) {
      if (this.#parts.isComing?.(partition, epoch)) this.#parts.losses.found(loss, 0);
      return;
    }
    let entities = 0;
    for (const activation of activations.all()) if (activation.partition === partition) entities += 1;
    this.#parts.losses.found(loss, entities);
    ownership.lose(partition);
  }

  /** Other workers own these partitions. */
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
      // Turns that no commit carries were certainly not written. Those in flight may have been: their senders retry.
      for (const item of [...(activation.gathering?.requests ?? []), ...waiting])
        this.#parts.intake.deliver(activation.address, item);
    }
    const { effects, hosting, waiting } = this.#inside;
    const isGone = (address: Address) => !hosting.isHere(address);
    effects.leave(isGone);
    waiting.leave(isGone);
    for (const partition of partitions) this.#parts.lost?.(partition);
  };
}
