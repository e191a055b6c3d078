/**
 * Image fetching: gets the images of volatile entities of partitions just claimed here from the memory of other workers.
 *
 *     claimed ─▶ everybody is asked ─┬─ bare ────────────┬─ all have answered, or are waited for no longer ─▶ taken ─▶ boarded, said until settled
 *                     ▲              └─ carried, whole ──┘
 *                     ├── the last slice that went out by the ask is here, and not all is: asked from where it stopped
 *                     └── a view brings other entities here
 *
 * The claim comes first: it alone decides who may own an entity, so a worker that hands an image over knows for whom. Owns the
 * requests to other workers, and the reports of what became of their images. `worker/volatile-images.ts` decides which image
 * is the entity; `outgoing.ts` answers the requests.
 *
 * Invariants:
 * - FE1 No entity of a partition runs before all workers of the view have answered, by that view or a later one. A worker of
 *   which nothing more has come for `patienceMs` is no longer waited for, nor is any after `wholeMs`.
 * - FE2 A batch is used whole or not at all. Each worker that was asked is told what became of its batch until it confirms it.
 *   An empty slice says that more is coming.
 * - FE3 A request resumes at the first missing slice, so that it makes progress however little gets through at a time. At most
 *   twice `imagesBytesMax` of one batch are accepted (P12).
 * - FE4 Images are read one by one, and taken over partition by partition, so that a new view can intervene in between.
 */
import type { Environment } from '../environment.ts';
import type { Claim, Epoch, Partition } from '../store.ts';
import type { ControlMessage } from '../wire/control-messages.ts';
import { inSteps, type StepLimits } from '../worker/steps.ts';
import { type Place, type SendingLimits, sendingLimits } from './image-sending.ts';
import { type Cargo, type Fetched, ImageUnloading } from './image-unloading.ts';

type Carried = Extract<ControlMessage, { kind: 'carried' }>;
type Boarded = Extract<ControlMessage, { kind: 'boarded' }>;

export interface ImageFetchingParts {
  readonly id: string;
  readonly environment: Environment;
  readonly sendingLimits?: SendingLimits;
  readonly stepLimits?: StepLimits;
  /** Ids of all other workers of the current view. */
  readonly others: () => readonly string[];
  /** Requests a worker's images of these partitions. */
  readonly ask: (id: string, wants: readonly Want[], ask: number) => void;
  readonly sendControl: (id: string, message: ControlMessage) => void;
  /** Whether this worker hosts a type that is not durable by turn. Otherwise no images are requested. */
  readonly isWanted: () => boolean;
  readonly fetched: (fetched: readonly Fetched[]) => void;
}

/** A claim, and the first missing slice of the batch sent for it. */
export interface Want extends Place {
  readonly partition: Partition;
  readonly epoch: Epoch;
}

/** The progress of one worker's answers, over all partitions. */
interface Line {
  /** Number of the latest request. */
  ask: number;
  /** When a missing slice last arrived. */
  heardAt: number;
  /** Whether one has arrived since that request. */
  isFurther: boolean;
}

interface Fetch {
  readonly claim: Claim;
  /** Workers that have not answered. */
  readonly asked: Set<string>;
  readonly answered: Set<string>;
  readonly cargo: Map<string, Cargo>;
  /** Answers to requests before this number belong to another view. */
  readonly soughtBy: number;
  /** Asked before, by another view. */
  readonly isAgain: boolean;
  readonly begunAt: number;
  readonly since: number;
  askedAt: number;
  /** The wait is over; its images are being taken over. */
  isOver: boolean;
  unloading: ImageUnloading | undefined;
}

/** Pause before a request or report is repeated, ms. */
const againMs = 100;
/** A worker that sends nothing for this long counts as crashed, ms. */
const patienceMs = 2_000;
/** Maximum wait for any worker, ms, however much it sends. */
const wholeMs = 300_000;
/** Minimum wait for a worker that does not answer, ms. */
const graceMs = 500;
/** Most partitions in one control message. */
const claimsMax = 4_096;
/** How long reports of what became of images are repeated, ms. A worker that has not got one by then has dropped the images. */
const sayMs = 60_000;

export class ImageFetching {
  readonly #parts: ImageFetchingParts;
  readonly #fetches = new Map<Partition, Fetch>();
  readonly #lines = new Map<string, Line>();
  /** Reports not yet confirmed, by their recipient and claim. */
  readonly #said = new Map<string, { readonly to: string; readonly message: Boarded; readonly until: number }>();
  #askCount = 0;
  #awakeMs = 0;
  #lookedAt: number;
  #isTicking = false;
  #isTaking = false;
  /** The images being read. */
  #unloaded: Fetch | undefined;
  #isClosed = false;

  constructor(parts: ImageFetchingParts) {
    this.#parts = parts;
    this.#lookedAt = parts.environment.steady();
  }

  /** Monotonic time without the pauses of this process: messages that arrived in a pause are unread, so no worker was silent. */
  #now(): number {
    const now = this.#parts.environment.steady();
    this.#awakeMs += Math.min(now - this.#lookedAt, 2 * againMs);
    this.#lookedAt = now;
    return this.#awakeMs;
  }

  /** Most bytes of one batch. Images have names and numbers in addition to the counted bytes. */
  get #bytesMax(): number {
    return 2 * (this.#parts.sendingLimits ?? sendingLimits).imagesBytesMax;
  }

  has(partition: Partition): boolean {
    return this.#fetches.has(partition);
  }

  /** Whether a worker still has to learn what became of its images. Otherwise it would take this worker's end for a crash. */
  get isOwing(): boolean {
    return this.#said.size > 0 || this.#fetches.size > 0;
  }

  close(): void {
    this.#isClosed = true;
    this.#fetches.clear();
    this.#said.clear();
  }

  /** These partitions were just claimed. `isSilent`: claimed without the answer of a silent worker. */
  begin(claims: readonly Claim[], isSilent: (partition: Partition) => boolean): void {
    this.#seek(claims, this.#parts.isWanted() ? this.#parts.others() : [], isSilent);
    this.#advance();
  }

  #seek(claims: readonly Claim[], others: readonly string[], isSilent = (_: Partition) => false): void {
    const now = this.#now();
    for (const claim of claims)
      this.#fetches.set(claim.partition, {
        claim,
        asked: new Set(others),
        answered: new Set(),
        cargo: new Map(),
        soughtBy: this.#askCount + 1,
        isAgain: this.#fetches.has(claim.partition),
        begunAt: this.#fetches.get(claim.partition)?.begunAt ?? now,
        since: isSilent(claim.partition) ? now - patienceMs + graceMs : now,
        askedAt: now,
        isOver: false,
        unloading: undefined,
      });
    const wants = claims.map(({ partition, epoch }) => ({ partition, epoch, batch: 0, slice: 0 }));
    for (const id of others) this.#ask(id, wants);
  }

  #ask(id: string, wants: readonly Want[]): void {
    const heardAt = this.#lines.get(id)?.heardAt ?? Number.NEGATIVE_INFINITY;
    for (let at = 0; at < wants.length; at += claimsMax) {
      const ask = ++this.#askCount;
      this.#lines.set(id, { ask, heardAt, isFurther: false });
      this.#parts.ask(id, wants.slice(at, at + claimsMax), ask);
    }
  }

  /** The entities of these partitions have changed with a new view. */
  follow(regrouped: readonly Partition[] | 'all'): void {
    const others = this.#parts.others();
    const isOther = (partition: Partition) => regrouped === 'all' || regrouped.includes(partition);
    const again: Claim[] = [];
    for (const { claim, asked } of this.#fetches.values()) {
      if (this.#parts.isWanted() && isOther(claim.partition)) again.push(claim);
      // Workers that have left the view are not waited for.
      else for (const id of asked) if (!others.includes(id)) asked.delete(id);
    }
    if (again.length > 0) this.#seek(again, others);
    this.#advance();
  }

  /** The partition belongs to another worker: no image given to this claim runs by it. */
  abandon(partition: Partition): void {
    const fetch = this.#fetches.get(partition);
    if (fetch === undefined) return;
    this.#fetches.delete(partition);
    for (const id of new Set([...fetch.asked, ...fetch.answered])) this.#say(id, fetch.claim, 0, []);
  }

  // ---- answers

  /** The worker is absent. */
  absent(id: string): void {
    for (const { asked } of this.#fetches.values()) asked.delete(id);
    this.#advance();
  }

  bare(id: string, partitions: readonly Partition[], ask: number): void {
    for (const partition of partitions) {
      const fetch = this.#fetches.get(partition);
      if (fetch === undefined || fetch.isOver) continue;
      if (ask < fetch.soughtBy || !fetch.asked.delete(id)) continue;
      fetch.answered.add(id);
      // It may have had images, and may be asked again.
      fetch.cargo.delete(id);
    }
    this.#advance();
  }

  carried(carried: Carried): void {
    this.#load(carried);
    if (carried.isLast) this.#goOn(carried.id, carried.ask);
  }

  #load({ id, name, partition, epoch, ask, batch, index, count, bytes, leftCount }: Carried): void {
    const fetch = this.#fetches.get(partition);
    const line = this.#lines.get(id);
    if (fetch === undefined || line === undefined || fetch.claim.epoch !== epoch) return;
    if (fetch.isOver || ask < fetch.soughtBy || !fetch.asked.has(id)) return;
    if (bytes.length === 0) {
      line.heardAt = this.#now();
      return;
    }
    let cargo = fetch.cargo.get(id);
    if (cargo === undefined || cargo.batch < batch) {
      cargo = { name, batch, count, slices: new Map(), leftCount, next: 0, bytes: 0 };
      fetch.cargo.set(id, cargo);
    }
    if (cargo.batch !== batch || index >= cargo.count || cargo.slices.has(index)) return;
    if (cargo.bytes + bytes.length > this.#bytesMax) return;
    cargo.slices.set(index, bytes);
    cargo.bytes += bytes.length;
    while (cargo.slices.has(cargo.next)) cargo.next += 1;
    line.heardAt = this.#now();
    line.isFurther = true;
    if (cargo.slices.size < cargo.count) return;
    fetch.asked.delete(id);
    fetch.answered.add(id);
    this.#advance();
  }

  /** The answer to the latest request is complete or lost. Missing slices are requested; without progress the wait runs out. */
  #goOn(id: string, ask: number): void {
    const line = this.#lines.get(id);
    if (line === undefined || line.ask !== ask || !line.isFurther) return;
    const now = this.#now();
    const wants: Want[] = [];
    for (const fetch of this.#fetches.values()) {
      if (fetch.isOver || !fetch.asked.has(id)) continue;
      fetch.askedAt = now;
      wants.push(wantOf(fetch, id));
    }
    this.#ask(id, wants);
  }

  // ---- in time

  /** Takes over complete partitions, repeats requests for the others, and runs again while there are any. */
  #advance(): void {
    const now = this.#now();
    let isAnyOver = false;
    for (const fetch of this.#fetches.values()) if (!this.#isWaiting(fetch, now)) isAnyOver = fetch.isOver = true;
    if (isAnyOver) this.#takeAll();
    if (this.#fetches.size === 0) this.#lines.clear();
    this.#tick();
  }

  /** Large partitions take long: a worker that sends anything is still waited for. */
  #isWaiting({ asked, since, begunAt }: Fetch, now: number): boolean {
    if (asked.size === 0 || now - begunAt >= wholeMs) return false;
    return [...asked].some((id) => now - Math.max(since, this.#lines.get(id)?.heardAt ?? since) < patienceMs);
  }

  #takeAll(): void {
    if (this.#isTaking) return;
    this.#isTaking = true;
    const part = () => {
      this.#isTaking = this.#part();
      return this.#isTaking;
    };
    inSteps(this.#parts.environment, part, this.#parts.stepLimits);
  }

  /** Reads one image, or takes over one partition, whose wait is over. Returns false if there is none (FE4). */
  #part(): boolean {
    // It may belong to another worker by now, or be requested again.
    const isStill =
      this.#unloaded !== undefined && this.#fetches.get(this.#unloaded.claim.partition) === this.#unloaded;
    const fetch = isStill ? this.#unloaded : this.#firstOver;
    this.#unloaded = fetch;
    if (fetch === undefined || this.#isClosed) return false;
    fetch.unloading ??= new ImageUnloading(fetch, this.#parts.environment.log);
    if (fetch.unloading.read()) return true;
    this.#unloaded = undefined;
    this.#fetches.delete(fetch.claim.partition);
    this.#parts.fetched([fetch.unloading.fetched]);
    return true;
  }

  get #firstOver(): Fetch | undefined {
    for (const fetch of this.#fetches.values()) if (fetch.isOver) return fetch;
    return undefined;
  }

  #tick(): void {
    if (this.#isTicking || (this.#fetches.size === 0 && this.#said.size === 0)) return;
    this.#isTicking = true;
    this.#parts.environment.after(againMs, () => {
      this.#isTicking = false;
      if (this.#isClosed) return;
      this.#askAgain();
      this.#sayAgain();
      this.#advance();
    });
  }

  #askAgain(): void {
    const until = this.#now() - againMs;
    const wants = new Map<string, Want[]>();
    for (const fetch of this.#fetches.values()) {
      if (fetch.isOver || fetch.askedAt > until) continue;
      fetch.askedAt = until + againMs;
      for (const id of fetch.asked) {
        // The rest follows after the current batch.
        if ((this.#lines.get(id)?.heardAt ?? Number.NEGATIVE_INFINITY) > until) continue;
        const list = wants.get(id) ?? [];
        list.push(wantOf(fetch, id));
        wants.set(id, list);
      }
    }
    for (const [id, list] of wants) this.#ask(id, list);
  }

  // ---- what became of it

  /** The partition runs here with the images that arrived, except these (FE2). */
  boarded({ claim, batches }: Fetched, except: readonly string[]): void {
    for (const [id, batch] of batches) this.#say(id, claim, batch, except);
  }

  #say(to: string, { partition, epoch }: Claim, batch: number, except: readonly string[]): void {
    const message: Boarded = { kind: 'boarded', id: this.#parts.id, partition, epoch, batch, except };
    const until = this.#parts.environment.steady() + sayMs;
    this.#said.set(keyOf(to, partition, epoch), { to, message, until });
    this.#parts.sendControl(to, message);
    this.#tick();
  }

  #sayAgain(): void {
    const now = this.#parts.environment.steady();
    const others = new Set(this.#parts.others());
    for (const [key, { to, message, until }] of this.#said)
      if (now >= until || !others.has(to)) this.#said.delete(key);
      else this.#parts.sendControl(to, message);
  }

  settled({ id, partition, epoch }: Extract<ControlMessage, { kind: 'settled' }>): void {
    this.#said.delete(keyOf(id, partition, epoch));
  }
}

function wantOf({ claim: { partition, epoch }, cargo }: Fetch, id: string): Want {
  const { batch = 0, next = 0 } = cargo.get(id) ?? {};
  return { partition, epoch, batch, slice: next };
}

function keyOf(to: string, partition: Partition, epoch: Epoch): string {
  return `${to} ${partition} ${epoch}`;
}
