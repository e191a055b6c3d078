/**
 * The worker's side of a handoff: partitions come with what another worker had of them in memory, and go the same way.
 *
 *     take  claimed ─▶ owned ─▶ warm entities restored ─▶ dates of the others read
 *     give  owned ─▶ leaving: no turn starts, what waits is taken out ─▶ commits end ─▶ images made ─▶ dropped
 *
 * Owns what happens to activations; whether an entity runs here is `hosting.ts`, who hands what to whom, and when, is `cluster/acquisition.ts`.
 *
 * Invariants:
 * - HO1 A partition is given away only when no commit of it by this claim is under way, and from then on nothing of it
 *   runs here (P3).
 * - HO2 What waited for turns leaves with the partition, in its order (P6).
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

/** What is sent on; answers go to clients and never wait here. */
export type Forwarded = Exclude<Envelope, { kind: 'reply' }>;

/** A partition that this worker no longer has, as it was. */
export interface Given {
  readonly partition: Partition;
  readonly epoch: Epoch;
  /** What the store has of it; undefined: unknown, and then nothing goes along. */
  readonly mark: Mark | undefined;
  readonly warm: readonly WarmEntity[];
}

interface Leaving extends Given {
  readonly warm: WarmEntity[];
  warmBytes: number;
}

export interface HandoffParts {
  /** By which this worker claims. */
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
}

/** What came along with a partition. */
export interface Arrived {
  /** What the store has, too. */
  readonly warm: readonly WarmEntity[];
  /** Images of volatile entities that others have, and who has answered. */
  readonly offers: readonly Offer[];
  readonly heard: Heard;
  /** By which epoch its last owner handed it over; undefined: nobody did. */
  readonly released: Epoch | undefined;
}

export const nothingArrived: Arrived = { warm: [], offers: [], heard: nobodyHeard, released: undefined };

/** Activations that leave memory with one partition and go along, at most: the others are read from the store. */
const warmCountMax = 2_000;
/** And bytes of them, about: what a partition's next owner gets in one answer. */
const warmBytesMax = 16_777_216;
/** Entities that were used within this time go along, ms. */
const warmForMs = 60_000;
const pageSize = 1_000;

export class Handoff {
  readonly #parts: HandoffParts;
  /** Partitions that this process has claimed and not given away since. */
  readonly #had = new Set<Partition>();

  constructor(parts: HandoffParts) {
    this.#parts = parts;
  }

  /**
   * The partition is this worker's from now on. `at`: when the claim began (O1). Returns those that do not run by it, though an image
   * of them has come along.
   */
  take(claim: Claim, at: Moment, { warm, offers, heard, released }: Arrived): Address[] {
    const { ownership, activations, hosting, name, environment, limits } = this.#parts;
    const { partition, epoch, previous, before } = claim;
    if (hosting.stay(partition)) this.#forget(partition);
    hosting.claimed(claim);
    // What this process itself had before it claims it again (a pin, a loss) no end of a process has left.
    const isOwn = before === name && this.#had.has(partition);
    const isOrderly = isOwn || before === undefined || released === previous;
    this.#had.add(partition);
    ownership.take(partition, epoch, at, isOrderly ? 0 : environment.steady() + limits.cautionMs);
    for (const entity of warm)
      if (!hosting.isElsewhere(partition, entity.address)) activations.adopt(entity, partition);
    return this.#board(claim, offers, heard);
  }

  /** Volatile entities that belong here come into memory by themselves, many a step at a time: nobody knows their dates but they. */
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
      // What is called before its turn is in memory already; what is given away before has its image.
      const isStill = ownership.epochOf(partition) === claim.epoch && !hosting.isLeaving(partition);
      if (done || !isStill || life.isStopped) return false;
      if (images.get(address) !== undefined) activations.activate(address, partition);
      return true;
    });
    return offers.filter((offer) => !isHere(offer)).map(({ carried }) => carried.address);
  }

  /** It was about to leave and comes again: what is left of it ran by the claim before, whose pins may be others (HT1). */
  #forget(partition: Partition): void {
    const { activations, images } = this.#parts;
    for (const activation of [...activations.all()]) {
      if (activation.partition !== partition) continue;
      // Its commit is under way by the old epoch: nothing but a fence says whether it was written.
      if (!activation.isDurable) activations.doubt(activation.address);
      images.keep(activation);
      activations.drop(activation);
    }
  }

  /**
   * Entities belong to other partitions by a new view, some alone and some with all of their type. Who has claimed those already has
   * asked nobody for them: of what is volatile somebody else may have more than the store (CA1), so they are claimed anew.
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

  /** Have the entities of a partition woken that have something to do by themselves. */
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

  /** Drop the entities that belong to another partition by now: whoever has that one reads them, and gets what waited. */
  regroup(): void {
    const waiting: { address: Address; item: Item }[] = [];
    for (const activation of [...this.#parts.activations.all()]) {
      const { address } = activation;
      if (this.#parts.hosting.partitionOf(address) === activation.partition) continue;
      for (const item of this.#parts.dispatcher.takeAll(activation)) waiting.push({ address, item });
      // Its commit is by the partition that it belonged to: nothing but a fence keeps it from being written in the middle of a read.
      if (!activation.isDurable) this.#parts.activations.doubt(address);
      this.#parts.images.keep(activation);
      this.#parts.activations.drop(activation);
    }
    for (const { address, item } of waiting) this.#parts.intake.deliver(address, item);
  }

  /**
   * Finish what is under way in these partitions and let them go. What is only in memory is in the carriage when this returns:
   * it need not wait for the store. Resolves with those that were still this worker's at the
   * end, and sends on what waited. It takes as long as the store takes for what is under way; while the store
   * does not answer it does not resolve.
   */
  async give(partitions: readonly Partition[]): Promise<Given[]> {
    for (const partition of partitions) this.#had.delete(partition);
    const { ownership, store, hosting, effects } = this.#parts;
    const leaving = new Map<Partition, Epoch>();
    for (const partition of partitions)
      if (hosting.has(partition)) leaving.set(partition, ownership.epochOf(partition));
    for (const [partition, epoch] of leaving) hosting.leave(partition, epoch);
    const activations: Activation[] = [];
    // Share by share all entities are looked through: no list of them all.
    for (const activation of this.#parts.activations.all())
      if (leaving.has(activation.partition)) activations.push(activation);
    for (const activation of activations) this.#empty(activation);
    while (activations.some((activation) => isUnderWay(activation))) await this.#parts.commits.concluded();
    // Not those that were lost meanwhile, or taken again.
    const stillLeaving = () => [...leaving].filter(([partition, epoch]) => hosting.isLeavingBy(partition, epoch));
    const given = stillLeaving().map(([partition, epoch]): Leaving => {
      return { partition, epoch, mark: store.markOf(partition, epoch), warm: [], warmBytes: 0 };
    });
    await this.#leaveAll(activations, given);
    const free = new Map(stillLeaving());
    for (const [partition, epoch] of leaving) hosting.left(partition, epoch);
    for (const partition of free.keys()) ownership.release(partition);
    effects.leave((address) => !hosting.isHere(address));
    return given.filter(({ partition }) => free.has(partition));
  }

  /** Nothing of these runs any more: what the store has, and what goes along, stays the same however long this takes. */
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

  /** No turn of it starts any more, and nothing comes to wait (mayRun); what must still be written is on its way. */
  #empty(activation: Activation): void {
    const { intake, dispatcher } = this.#parts;
    for (const message of activation.ahead?.takeAll() ?? []) intake.sendOn(message, activation.partition);
    for (const item of dispatcher.takeAll(activation)) if (isForwarded(item)) intake.sendOn(item, activation.partition);
    if (activation.behaviour.durability === 'none') {
      this.#parts.images.keep(activation);
      return this.#parts.activations.drop(activation);
    }
    if (activation.phase === 'ready' && activation.writeAt !== 0) this.#parts.housekeeping.tidy(activation, true);
    // What is held for the next write has it now (V3): a read that is under way would keep it from being tidied.
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

/** Whether memory holds exactly what the store has, all of it. */
function isWhole(activation: Activation): boolean {
  return (
    activation.phase === 'ready' &&
    activation.behaviour.durability === 'turn' &&
    activation.entity.isComplete &&
    isWritten(activation)
  );
}

/** Whether the store has everything that memory holds. */
function isWritten({ storedVersion, record }: Activation): boolean {
  return (
    storedVersion > 0 &&
    storedVersion === record?.version &&
    record.changes.records.size === 0 &&
    !record.changes.isStateChanged
  );
}

/** It goes along, if it is whole and there is room. */
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
