/**
 * Tenancy: which partitions this worker should have, and how it gets them from whoever has them.
 *
 *     foreign ─ the view gives it to this worker ─▶ asked (everybody) ─ released, or nobody has it, or no answer ─▶ claiming
 *        ▲                                                                                              store ─▶ owned
 *        └────────────── released to who asks and has it by a view that is not older ◀──────────────────────────────┘
 *
 * Owns what waits for a partition that is coming, and sends on what belongs elsewhere. The view says who should have a
 * partition, the store who has it: two views, a cut network or a paused process cost time and never make two histories.
 *
 * Invariants:
 * - TY1 A partition is used only after its claim, by the epoch that the claim gave.
 * - TY2 What another worker had in memory is used only if nobody had the partition between its release and this claim, and
 *   the store has exactly what it had then (S10): it may have come back with less (P8).
 * - TY3 What waits for a partition, and what is sent on, keeps its order (P6), and there is a bound on it (P12).
 * - TY4 Who is not in the view has nothing: the others claim what it had, and it would find that out piece by piece, from
 *   commits that are refused, and meanwhile let rest what its entities have to do.
 */
import type { Limits } from '../core/limits.ts';
import type { Placement } from '../placement/placement.ts';
import type { Environment } from './environment.ts';
import type { Forwarded, Given } from './handover.ts';
import type { Signal, WarmEntity } from './signals.ts';
import type { Claim, Epoch, Mark, Partition, Store } from './store.ts';
import type { Worker } from './worker.ts';

export interface TenancyParts {
  readonly id: string;
  readonly name: string;
  readonly environment: Environment;
  readonly limits: Limits;
  readonly store: Store;
  readonly worker: () => Worker;
  /** To another worker, by its id. */
  readonly signal: (id: string, signal: Signal) => void;
  /** Send on to whom the view gives it. */
  readonly forward: (envelope: Forwarded, hops: number) => void;
  /** Everything that the view gives to this worker is its own. */
  readonly settled: () => void;
  /** Bytes that one signal may have. */
  readonly signalBytesMax: number;
}

type Release = Extract<Signal, { kind: 'release' }>;
type Released = Extract<Signal, { kind: 'released' }>;

/** What one worker says about a partition that is asked for. */
type Said = 'nothing' | 'releasing';

/** What the last owner of a partition had in memory, by which epoch, and what the store had then. */
interface Memory {
  readonly epoch: Epoch;
  readonly mark: Mark | undefined;
  readonly warm: WarmEntity[];
  parts: number;
}

/** A partition on its way to this worker. */
interface Coming {
  readonly partition: Partition;
  /** Workers that may have it and have not said that they do not. */
  readonly asked: Map<string, Said>;
  readonly since: number;
  askedAt: number;
  isClaiming: boolean;
  released: Memory | undefined;
  readonly waiting: { readonly envelope: Forwarded; readonly hops: number }[];
}

/** Asked again for what was not answered after this, ms. */
const askAgainMs = 100;
/** Whoever does not answer, or does not finish, for this long is not waited for any longer, ms. */
const patienceMs = 2_000;
/** Bytes of a signal beside its entities. */
const overheadBytes = 4_096;

export class Tenancy {
  readonly #parts: TenancyParts;
  #placement: Placement | undefined;
  readonly #coming = new Map<Partition, Coming>();
  #toClaim: Coming[] = [];
  #waitingCount = 0;
  #isTicking = false;
  #isClosed = false;
  #resting = new Set<Partition>();
  movedCount = 0;

  constructor(parts: TenancyParts) {
    this.#parts = parts;
  }

  /** Whether everything that the view gives to this worker is its own. */
  get isSettled(): boolean {
    return this.#placement !== undefined && this.#coming.size === 0 && this.#resting.size === 0;
  }

  /** Partitions on their way to this worker. */
  get coming(): Partition[] {
    return [...this.#coming.keys()];
  }

  close(): void {
    this.#isClosed = true;
    this.#coming.clear();
  }

  // ---- the view

  follow(placement: Placement): void {
    if (this.#isClosed) return;
    this.#placement = placement;
    if (!placement.view.workers.some(({ id }) => id === this.#parts.id)) this.#parts.worker().forsake();
    for (const coming of [...this.#coming.values()])
      if (!this.#isMine(coming.partition) && !coming.isClaiming) this.#abandon(coming);
    this.#want(placement.partitionsOf(this.#parts.name));
  }

  #isMine(partition: Partition): boolean {
    return this.#placement?.workerOf(partition)?.id === this.#parts.id;
  }

  #want(partitions: readonly Partition[]): void {
    const wanted = partitions.filter(
      (partition) => this.#isMine(partition) && !this.#parts.worker().has(partition) && !this.#coming.has(partition),
    );
    if (wanted.length === 0 || this.#placement === undefined) return;
    const others = this.#placement.view.workers.filter(({ id }) => id !== this.#parts.id).map(({ id }) => id);
    const now = this.#parts.environment.now();
    for (const partition of wanted) {
      const asked = new Map(others.map((id) => [id, 'nothing' as Said]));
      this.#coming.set(partition, {
        partition,
        asked,
        since: now,
        askedAt: now,
        isClaiming: false,
        released: undefined,
        waiting: [],
      });
    }
    for (const id of others) this.#ask(id, wanted);
    this.#advance();
  }

  #ask(id: string, partitions: readonly Partition[]): void {
    if (this.#placement === undefined) return;
    this.#parts.signal(id, { kind: 'release', id: this.#parts.id, view: this.#placement.view, partitions });
  }

  /** It belongs to somebody else now: so does what waited for it. */
  #abandon(coming: Coming): void {
    this.#coming.delete(coming.partition);
    this.#waitingCount -= coming.waiting.length;
    for (const { envelope, hops } of coming.waiting) this.#parts.forward(envelope, hops);
  }

  // ---- what came for a partition that this worker does not have

  astray(envelope: Forwarded, partition: Partition, hops: number): void {
    if (this.#isClosed) return;
    const coming = this.#coming.get(partition);
    if (coming === undefined && !this.#isMine(partition)) {
      // Being given away by this worker while its view says nothing new: whoever sent it tries again.
      if (isYoung(envelope, this.#parts.environment.now())) this.#parts.forward(envelope, hops);
      return;
    }
    if (coming === undefined) this.#want([partition]);
    const held = this.#coming.get(partition);
    if (held === undefined || this.#waitingCount >= this.#parts.limits.workerQueueCountMax) return;
    held.waiting.push({ envelope, hops });
    this.#waitingCount += 1;
  }

  // ---- getting

  /** Nobody listens at that worker: it has nothing to release. */
  absent(id: string): void {
    for (const coming of this.#coming.values()) coming.asked.delete(id);
    this.#advance();
  }

  none(id: string, partitions: readonly Partition[]): void {
    for (const partition of partitions) this.#coming.get(partition)?.asked.delete(id);
    this.#advance();
  }

  releasing(id: string, partitions: readonly Partition[]): void {
    for (const partition of partitions) {
      const asked = this.#coming.get(partition)?.asked;
      if (asked?.has(id) === true) asked.set(id, 'releasing');
    }
  }

  released({ id, partition, epoch, mark, count, entities }: Released): void {
    const coming = this.#coming.get(partition);
    if (coming === undefined || coming.isClaiming) return;
    if (coming.released === undefined || coming.released.epoch < epoch)
      coming.released = { epoch, mark, warm: [], parts: 0 };
    if (coming.released.epoch !== epoch) return;
    coming.released.parts += 1;
    coming.released.warm.push(...entities);
    if (coming.released.parts < count) return;
    coming.asked.delete(id);
    this.#advance();
  }

  /** Claim what nobody has any more, ask again for the rest, and come again while there is any. */
  #advance(): void {
    const { environment } = this.#parts;
    const now = environment.now();
    const again = new Map<string, Partition[]>();
    for (const coming of this.#coming.values()) {
      if (coming.isClaiming) continue;
      const isOver = now - coming.since >= patienceMs;
      if (coming.asked.size === 0 || isOver) this.#claimSoon(coming);
      else if (now - coming.askedAt >= askAgainMs) {
        coming.askedAt = now;
        for (const id of coming.asked.keys()) again.set(id, [...(again.get(id) ?? []), coming.partition]);
      }
    }
    for (const [id, partitions] of again) this.#ask(id, partitions);
    if (this.#isTicking || this.#coming.size === 0) return;
    this.#isTicking = true;
    environment.after(askAgainMs, () => {
      this.#isTicking = false;
      if (!this.#isClosed) this.#advance();
    });
  }

  #claimSoon(coming: Coming): void {
    coming.isClaiming = true;
    this.#toClaim.push(coming);
    if (this.#toClaim.length > 1) return;
    // Whatever else becomes free in this tick is claimed with it.
    this.#parts.environment.soon(() => void this.#claim());
  }

  async #claim(): Promise<void> {
    const claimed = this.#toClaim;
    this.#toClaim = [];
    const { environment, store, name, limits } = this.#parts;
    const startedAt = environment.now();
    let claims: Claim[];
    try {
      claims = await store.claim(
        claimed.map(({ partition }) => partition),
        name,
      );
    } catch (error) {
      environment.log.warn(
        { error: String(error), partitions: claimed.length },
        'partitions could not be claimed; tried again',
      );
      environment.after(limits.retryMs, () => {
        for (const coming of claimed) coming.isClaiming = false;
        if (!this.#isClosed) this.#advance();
      });
      return;
    }
    for (const [index, coming] of claimed.entries()) {
      const claim = claims[index];
      if (claim !== undefined && !this.#isClosed) this.#take(coming, claim, startedAt);
    }
    if (this.isSettled) this.#parts.settled();
  }

  #take(coming: Coming, claim: Claim, startedAt: number): void {
    const { worker } = this.#parts;
    const { partition, released, waiting } = coming;
    if (!this.#isMine(partition)) return this.#abandon(coming);
    this.#coming.delete(partition);
    this.#waitingCount -= waiting.length;
    this.movedCount += 1;
    worker().take(claim, startedAt, released !== undefined && isAsReleased(claim, released) ? released.warm : []);
    for (const { envelope, hops } of waiting) worker().receive(envelope, hops);
    this.resume(partition);
  }

  /** Have what a partition that is here has to do by itself be done, however often the store fails. */
  resume(partition: Partition): void {
    const { environment, worker, limits } = this.#parts;
    if (this.#isClosed || !worker().has(partition)) return;
    worker()
      .resume(partition)
      .catch((error: unknown) => {
        environment.log.warn(
          { partition, error: String(error) },
          'the dates of a partition could not be read; tried again',
        );
        environment.after(limits.retryMs, () => this.resume(partition));
      });
  }

  /** The store says that somebody else has it. If the view still gives it to this worker, it is claimed again, after a pause. */
  lost(partition: Partition): void {
    if (!this.#isMine(partition) || this.#resting.has(partition)) return;
    const { environment, limits } = this.#parts;
    this.#resting.add(partition);
    environment.after(Math.ceil(limits.retryMs * (0.25 + environment.random() / 4)), () => {
      this.#resting.delete(partition);
      if (!this.#isClosed && this.#isMine(partition)) this.#want([partition]);
    });
  }

  // ---- giving

  /** Somebody wants partitions by a view that is followed here by now. */
  release({ id, partitions }: Release): void {
    const worker = this.#parts.worker();
    const mine = partitions.filter((partition) => worker.has(partition) && this.#belongsTo(partition, id));
    const busy = new Set([...mine, ...partitions.filter((partition) => worker.isLeaving(partition))]);
    const none = partitions.filter((partition) => !busy.has(partition));
    if (none.length > 0) this.#parts.signal(id, { kind: 'none', id: this.#parts.id, partitions: none });
    if (busy.size > 0) this.#parts.signal(id, { kind: 'releasing', id: this.#parts.id, partitions: [...busy] });
    if (mine.length > 0) void this.#give(id, mine);
  }

  #belongsTo(partition: Partition, id: string): boolean {
    return this.#placement?.workerOf(partition)?.id === id;
  }

  async #give(id: string, partitions: readonly Partition[]): Promise<void> {
    for (const given of await this.#parts.worker().give(partitions)) this.#tell(id, given);
  }

  #tell(id: string, { partition, epoch, mark, warm }: Given): void {
    const bundles = bundlesOf(warm, this.#parts.signalBytesMax - overheadBytes);
    for (const [index, entities] of bundles.entries()) {
      const at = { partition, epoch, mark, index, count: bundles.length };
      this.#parts.signal(id, { kind: 'released', id: this.#parts.id, ...at, entities });
    }
  }
}

/** Whether the store has what the last owner had in memory: all of it, and nothing that came after (TY2). */
function isAsReleased({ previous, mark }: Claim, released: Memory): boolean {
  return previous === released.epoch && mark === released.mark;
}

/** In parts of at most so many bytes, at least one; what does not fit alone is left to be read from the store. */
function bundlesOf(warm: readonly WarmEntity[], bytesMax: number): WarmEntity[][] {
  const bundles: WarmEntity[][] = [[]];
  let bytes = 0;
  for (const entity of warm) {
    const size = bytesOf(entity);
    if (size > bytesMax) continue;
    if (bytes + size > bytesMax) {
      bundles.push([]);
      bytes = 0;
    }
    bytes += size;
    bundles[bundles.length - 1]?.push(entity);
  }
  return bundles;
}

function bytesOf({ address, loaded, activities }: WarmEntity): number {
  let bytes = 64 + address.length * 3 + loaded.head.length;
  for (const [name, value] of [...loaded.records, ...activities]) bytes += 16 + name.length * 3 + value.length;
  return bytes;
}

/** Forwarded while somebody waits for it; a stream's own signals are of use at any age. */
function isYoung(envelope: Forwarded, now: number): boolean {
  if (envelope.kind === 'message') return now <= envelope.arrival.expires;
  return envelope.kind === 'query' ? now <= envelope.deadline : true;
}
