/**
 * The worker's side of a handoff: partitions arrive with entities from another worker's memory, and leave in the same way.
 *
 *     take  claimed ─▶ owned ─▶ warm entities restored ─▶ dates of the others read
 *     give  owned ─▶ leaving: no turn starts, waiting items are taken out ─▶ commits end ─▶ images made ─▶ dropped
 *
 * Owns the activations of these partitions. `hosting.ts` decides whether an entity runs here; `cluster/acquisition.ts` decides which
 * partitions are handed off, when, and to whom.
 *
 * Invariants:
 * - HO1 A partition is handed off only when no commit of it by this claim is in flight. From then on nothing of it runs here (P3).
 * - HO2 Items that waited for turns leave with the partition, in order (P6).
 */
import type { Limits } from '../../core/limits.ts';
import type { Address } from '../../core/message.ts';
import type { Activation } from '../entity/activation.ts';
import type { Effects } from '../entity/effects.ts';
import { recall } from '../entity/idle.ts';
import type { Item } from '../entity/mailbox.ts';
import type { Ownership } from '../entity/ownership.ts';
import { imageOf } from '../entity/record-writer.ts';
import type { Schedule } from '../entity/schedule.ts';
import type { WaitingCalls } from '../entity/waiting.ts';
import type { Environment, Moment } from '../environment.ts';
import type { Claim, Epoch, Mark, Partition, Store, Wake } from '../store.ts';
import type { WarmEntity } from '../wire/control-messages.ts';
import type { Envelope } from '../wire/envelope.ts';
import type { Activations } from './activations.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Hosting } from './hosting.ts';
import type { Housekeeping } from './housekeeping.ts';
import type { Offer } from './image-format.ts';
import type { Intake } from './intake.ts';
import type { Life } from './shutdown.ts';
import { inSteps } from './steps.ts';
import { type Heard, nobodyHeard, type VolatileImages } from './volatile-images.ts';

/** Envelopes that are forwarded. Answers go to clients and never wait here. */
export type Forwarded = Exclude<Envelope, { kind: 'reply' }>;

/** A partition that was handed off, as it was. */
export interface Given {
  readonly partition: Partition;
  readonly epoch: Epoch;
  /** The store's mark of it; undefined: unknown, and then nothing goes along. */
  readonly mark: Mark | undefined;
  readonly warm: readonly WarmEntity[];
}

interface Leaving extends Given {
  readonly warm: WarmEntity[];
  warmBytes: number;
}

export interface HandoffParts {
  /** The owner's name in this worker's claims. */
  readonly name: string;
  readonly life: Life;
  readonly environment: Environment;
  readonly limits: Limits;
  readonly store: Store;
  readonly ownership: Ownership;
  readonly activations: Activations;
  readonly images: VolatileImages;
  readonly dispatcher: Dispatcher;
  readonly commits: GroupCommit;
  readonly housekeeping: Housekeeping;
  readonly hosting: Hosting;
  readonly intake: Intake;
  readonly dates: Schedule;
  readonly effects: Effects;
  readonly waiting: WaitingCalls;
}

/** The memory that arrived with a partition. */
export interface Arrived {
  /** Entities that equal the stored ones. */
  readonly warm: readonly WarmEntity[];
  /** Images of volatile entities from other workers, and which workers have answered. */
  readonly offers: readonly Offer[];
  readonly heard: Heard;
  /** The epoch by which its last owner handed it off; undefined: it did not. */
  readonly released: Epoch | undefined;
}

export const nothingArrived: Arrived = { warm: [], offers: [], heard: nobodyHeard, released: undefined };

/** Most activations that go along with a partition. The others are read from the store. */
const warmCountMax = 2_000;
/** Most bytes of them, estimated: the size of one answer to the next owner. */
const warmBytesMax = 16_777_216;
/** Entities used within this time go along, ms. */
const warmForMs = 60_000;
const pageSize = 1_000;

export class Handoff {
  readonly #parts: HandoffParts;
  /** Partitions that this process has claimed and not handed off since. */
  readonly #had = new Set<Partition>();

  constructor(parts: HandoffParts) {
    this.#parts = parts;
  }

  /**
   * This worker owns the partition from now on. `at`: when the claim began (O1). Returns the addresses that do not run by it although an
   * image of them has arrived.
   */
  take(claim: Claim, at: Moment, { warm, offers, heard, released }: Arrived): Address[] {
    const { ownership, activations, hosting, name, environment, limits } = this.#parts;
    const { partition, epoch, previous, before } = claim;
    if (hosting.stay(partition)) this.#forget(partition);
    hosting.claimed(claim);
    // If this process itself had the partition before (a pin, a loss), no process has ended in between.
    const isOwn = before === name && this.#had.has(partition);
    const isOrderly = isOwn || before === undefined || released === previous;
    this.#had.add(partition);
    ownership.take(partition, epoch, at, isOrderly ? 0 : environment.steady() + limits.cautionMs);
    for (const entity of warm)
      if (!hosting.isElsewhere(partition, entity.address)) activations.adopt(entity, partition);
    return this.#board(claim, offers, heard);
  }

  /** Activates the volatile entities of the partition, in steps: only they know their dates. */
  #board(claim: Claim, offers: readonly Offer[], heard: Heard): Address[] {
    const { life, activations, images, hosting, ownership, environment } = this.#parts;
    const { partition } = claim;
    const own = images.offers(partition, hosting.partitionOf);
    const isHere = ({ carried: { address } }: Offer) =>
      hosting.partitionOf(address) === partition && !hosting.isElsewhere(partition, address);
    const here = [...own, ...offers].filter(isHere);
    const boarded = images.board(claim, here, heard).values();
    inSteps(environment, () => {
      const { value: address, done } = boarded.next();
      // An entity that is called before its step is in memory already. One that is handed off before that still has its image.
      const isStill = ownership.epochOf(partition) === claim.epoch && !hosting.isLeaving(partition);
      if (done || !isStill || life.isStopped) return false;
      if (images.get(address) !== undefined) activations.activate(address, partition);
      return true;
    });
    return offers.filter((offer) => !isHere(offer)).map(({ carried }) => carried.address);
  }

  /** The partition was leaving and arrives again. What is left of it ran by the earlier claim, whose pins may differ (HT1). */
  #forget(partition: Partition): void {
    const { activations, images } = this.#parts;
    for (const activation of [...activations.all()]) {
      if (activation.partition !== partition) continue;
      // Its commit is in flight by the old epoch. Only a fence shows whether it was written.
      if (!activation.isDurable) activations.doubt(activation.address);
      images.keep(activation);
      activations.drop(activation);
    }
  }

  /**
   * Entities belong to other partitions by a new view, one by one or by type. The owners of those partitions have not requested them. Of
   * volatile entities another worker may have more than the store (CA1), so those partitions are claimed again.
   */
  askAnew(addresses: readonly Address[], types: readonly string[]): void {
    const { ownership, activations, hosting, store } = this.#parts;
    const { partitionOf } = hosting;
    for (const address of addresses) {
      const partition = partitionOf(address);
      if (activations.isVolatile(address) && ownership.has(partition)) ownership.lose(partition);
    }
    const groupOf = (partition: Partition) => Math.floor(partition / store.partitions);
    const samples = types.map((type) => `${type}/`).filter((sample) => activations.isVolatile(sample));
    if (samples.length === 0) return;
    const groups = new Set(samples.map((sample) => groupOf(partitionOf(sample))));
    ownership.loseAll([...ownership.partitions].filter((partition) => groups.has(groupOf(partition))));
  }

  /** Wakes the entities of a partition that have work of their own. */
  async resume(partition: Partition): Promise<void> {
    const { store, hosting, dates } = this.#parts;
    for (let after: Wake | undefined; ; ) {
      const options = after === undefined ? { limit: pageSize } : { after, limit: pageSize };
      const wakes = await store.wakes(partition, options);
      for (const { address, wakeAt } of wakes)
        if (hosting.partitionOf(address) === partition) dates.setEarlier(address, wakeAt);
      after = wakes[pageSize - 1];
      if (after === undefined) return;
    }
  }

  /** Drops entities that now belong to another partition. Its owner reads them, and gets the waiting items. */
  regroup(): void {
    const waiting: { address: Address; item: Item }[] = [];
    for (const activation of [...this.#parts.activations.all()]) {
      const { address } = activation;
      if (this.#parts.hosting.partitionOf(address) === activation.partition) continue;
      for (const item of this.#parts.dispatcher.takeAll(activation)) waiting.push({ address, item });
      // Its commit is by its former partition. Only a fence keeps it from being written in the middle of a read.
      if (!activation.isDurable) this.#parts.activations.doubt(address);
      this.#parts.images.keep(activation);
      this.#parts.activations.drop(activation);
    }
    for (const { address, item } of waiting) this.#parts.intake.deliver(address, item);
    this.#left();
  }

  /**
   * Finishes the commits in flight of these partitions and hands them off. The volatile entities are kept as images when this returns,
   * without a wait for the store. Resolves with the partitions that this worker still owned at the end, and forwards the waiting items.
   * It takes as long as the store takes for the commits in flight; while the store does not answer it does not resolve.
   */
  async give(partitions: readonly Partition[]): Promise<Given[]> {
    for (const partition of partitions) this.#had.delete(partition);
    const { ownership, store, hosting } = this.#parts;
    const leaving = new Map<Partition, Epoch>();
    for (const partition of partitions)
      if (hosting.has(partition)) leaving.set(partition, ownership.epochOf(partition));
    for (const [partition, epoch] of leaving) hosting.leave(partition, epoch);
    const activations: Activation[] = [];
    // Entities are searched share by share, without a list of all.
    for (const activation of this.#parts.activations.all())
      if (leaving.has(activation.partition)) activations.push(activation);
    for (const activation of activations) this.#empty(activation);
    while (activations.some((activation) => isUnderWay(activation))) await this.#parts.commits.concluded();
    // Without partitions that were lost meanwhile, or acquired again.
    const stillLeaving = () => [...leaving].filter(([partition, epoch]) => hosting.isLeavingBy(partition, epoch));
    const given = stillLeaving().map(([partition, epoch]): Leaving => {
      return { partition, epoch, mark: store.markOf(partition, epoch), warm: [], warmBytes: 0 };
    });
    await this.#leaveAll(activations, given);
    const free = new Map(stillLeaving());
    for (const [partition, epoch] of leaving) hosting.left(partition, epoch);
    for (const partition of free.keys()) ownership.release(partition);
    this.#left();
    return given.filter(({ partition }) => free.has(partition));
  }

  /** What entities had here besides their activations, of those that are not here any more. */
  #left(): void {
    const { effects, waiting, hosting } = this.#parts;
    const isGone = (address: Address) => !hosting.isHere(address);
    effects.leave(isGone);
    waiting.leave(isGone);
  }

  /** Nothing of these runs any more. The stored data, and the memory that goes along, stay the same however long this takes. */
  #leaveAll(activations: readonly Activation[], given: readonly Leaving[]): Promise<void> {
    const byPartition = new Map(given.filter(({ mark }) => mark !== undefined).map((one) => [one.partition, one]));
    const rest = activations.values();
    return new Promise((resolve) =>
      inSteps(this.#parts.environment, () => {
        const { value: activation } = rest.next();
        if (activation === undefined) resolve();
        else this.#leave(activation, byPartition.get(activation.partition));
        return activation !== undefined;
      }),
    );
  }

  /** No turn of the partition starts any more, and no item is accepted. Changes that must be written are sent to the store. */
  #empty(activation: Activation): void {
    const { intake, dispatcher } = this.#parts;
    for (const message of activation.ahead?.takeAll() ?? []) intake.sendOn(message, activation.partition);
    for (const item of dispatcher.takeAll(activation)) if (isForwarded(item)) intake.sendOn(item, activation.partition);
    if (activation.behaviour.durability === 'none') {
      this.#parts.images.keep(activation);
      return this.#parts.activations.drop(activation);
    }
    if (activation.phase === 'ready' && activation.writeAt !== 0) this.#parts.housekeeping.tidy(activation, true);
    // What waits for the next write (V3) gets it now. A read in flight would keep it from being tidied up.
    else if (activation.gathering !== undefined) this.#parts.commits.add(activation);
  }

  #leave(activation: Activation, leaving: Leaving | undefined): void {
    if (activation.phase === 'dropped') return;
    const { activations, environment } = this.#parts;
    const isRecent = activation.usedAt >= environment.steady() - warmForMs;
    if (leaving !== undefined && isRecent && activation.phase === 'ready') goAlong(activation, leaving);
    if (!isWritten(activation)) this.#parts.images.keep(activation);
    activations.drop(activation);
  }
}

function isUnderWay(activation: Activation): boolean {
  return activation.phase !== 'dropped' && !activation.isDurable;
}

function isForwarded(item: Item): item is Forwarded & Item {
  return item.kind !== 'wake' && item.kind !== 'effect';
}

/** Whether memory equals the stored entity completely. */
function isWhole(activation: Activation): boolean {
  return (
    activation.phase === 'ready' &&
    activation.behaviour.durability === 'turn' &&
    activation.entity.isComplete &&
    isWritten(activation)
  );
}

/** Whether the store has everything that memory has. */
function isWritten({ storedVersion, record }: Activation): boolean {
  return (
    storedVersion > 0 &&
    storedVersion === record?.version &&
    record.changes.records.size === 0 &&
    !record.changes.isStateChanged
  );
}

/** Adds an entity to those that go along, if it is complete and there is room. */
function goAlong(activation: Activation, leaving: Leaving): void {
  const isFull = leaving.warm.length >= warmCountMax || leaving.warmBytes + activation.entity.stateBytes > warmBytesMax;
  if (isFull) return;
  recall(activation);
  if (!isWhole(activation)) return;
  const entity = warmOf(activation);
  leaving.warmBytes += warmBytesOf(entity);
  if (leaving.warmBytes <= warmBytesMax) leaving.warm.push(entity);
}

function warmBytesOf({ loaded, activities }: WarmEntity): number {
  const rows = [...loaded.records, ...activities];
  return rows.reduce((sum, [, bytes]) => sum + bytes.length, loaded.head.length);
}

function warmOf({ address, entity, layout, behaviour, storedVersion, storedWakeAt }: Activation): WarmEntity {
  const { head, records, activities } = imageOf(entity, layout, behaviour);
  return { address, loaded: { version: storedVersion, head, wakeAt: storedWakeAt, records }, activities };
}
