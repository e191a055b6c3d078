/**
 * Fetching: what other workers have in memory, and no store has, of partitions that were just claimed here.
 *
 *     claimed ─▶ everybody is asked ─┬─ bare ────────────┬─ all have answered, or are waited for no longer ─▶ taken ─▶ boarded, said until settled
 *                     ▲              └─ carried, whole ──┘
 *                     ├── the last slice that went out by the ask is here, and not all is: asked from where it stopped
 *                     └── a view brings other entities here
 *
 * A claim comes first: it alone says who may have an entity, and whoever gives an image away knows for whom. Owns who is asked
 * what, and what has become of what was carried. Which image is the entity is `worker/volatile-images.ts`, who answers `outgoing.ts`.
 *
 * Invariants:
 * - FE1 Nothing of a partition runs before all workers of the view have answered, by that view or a later one, or nothing more has
 *   come of one for `patienceMs`, or `wholeMs` have passed.
 * - FE2 A sending is used whole or not at all, and each worker that was asked hears what became of it, until it says so.
 *   A slice of nothing says that more is coming.
 * - FE3 What was sent is asked for from the first slice that is missing: however little gets through at a time, it goes on. At most
 *   twice `imagesBytesMax` are taken in of one sending (P12).
 * - FE4 What came is read image by image, and taken partition by partition; a view that comes meanwhile has its say as before.
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
  /** Ids of all other workers, by the view that holds. */
  readonly others: () => readonly string[];
  /** Ask a worker for what it has of these. */
  readonly ask: (id: string, wants: readonly Want[], ask: number) => void;
  readonly signal: (id: string, signal: ControlMessage) => void;
  /** Whether there is a type here that is not durable by turn: else nobody is asked. */
  readonly isWanted: () => boolean;
  readonly fetched: (fetched: readonly Fetched[]) => void;
}

/** A claim, and from where on what was sent for it is missing. */
export interface Want extends Place {
  readonly partition: Partition;
  readonly epoch: Epoch;
}

/** What comes of one worker, whichever partition it is of. */
interface Line {
  /** The latest ask. */
  ask: number;
  /** When something that was missing came. */
  heardAt: number;
  /** Whether it did since that ask. */
  isFurther: boolean;
}

interface Fetch {
  readonly claim: Claim;
  /** Those that have not answered. */
  readonly asked: Set<string>;
  readonly answered: Set<string>;
  readonly cargo: Map<string, Cargo>;
  /** Answers to earlier asks are of another view. */
  readonly soughtBy: number;
  /** Asked before, by another view. */
  readonly isAgain: boolean;
  readonly begunAt: number;
  readonly since: number;
  askedAt: number;
  /** Nobody is waited for any longer: it is on its way to be taken. */
  isOver: boolean;
  unloading: ImageUnloading | undefined;
}

/** Asked, and said, again after this, ms. */
const againMs = 100;
/** Whoever sends nothing for this long is not waited for, ms: that counts as a crash. */
const patienceMs = 2_000;
/** So long at most anybody is waited for, ms, however much there is and however slowly it comes. */
const wholeMs = 300_000;
/** So long at least whoever it is that does not answer, ms: it may not have answered for longer already. */
const graceMs = 500;
/** Partitions in one signal. */
const claimsMax = 4_096;
/** What became of images is said for so long, ms; who has not heard it by then has let go of them. */
const sayMs = 60_000;

export class ImageFetching {
  readonly #parts: ImageFetchingParts;
  readonly #fetches = new Map<Partition, Fetch>();
  readonly #lines = new Map<string, Line>();
  /** What was said and not settled, by whom it concerns and which claim. */
  readonly #said = new Map<string, { readonly to: string; readonly signal: Boarded; readonly until: number }>();
  #askCount = 0;
  #awakeMs = 0;
  #lookedAt: number;
  #isTicking = false;
  #isTaking = false;
  /** What is being read. */
  #unloaded: Fetch | undefined;
  #isClosed = false;

  constructor(parts: ImageFetchingParts) {
    this.#parts = parts;
    this.#lookedAt = parts.environment.steady();
  }

  /** Steady time without what this process slept or was busy: what came meanwhile has not been read, and nobody was silent. */
  #now(): number {
    const now = this.#parts.environment.steady();
    this.#awakeMs += Math.min(now - this.#lookedAt, 2 * againMs);
    this.#lookedAt = now;
    return this.#awakeMs;
  }

  /** Of one sending: images have names and numbers beside what is counted of them. */
  get #bytesMax(): number {
    return 2 * (this.#parts.sendingLimits ?? sendingLimits).imagesBytesMax;
  }

  has(partition: Partition): boolean {
    return this.#fetches.has(partition);
  }

  /** Whether somebody has not heard what became of what it gave, or may give: without that it would take this worker's end for a crash. */
  get isOwing(): boolean {
    return this.#said.size > 0 || this.#fetches.size > 0;
  }

  close(): void {
    this.#isClosed = true;
    this.#fetches.clear();
    this.#said.clear();
  }

  /** These were just claimed. `isSilent`: somebody has not answered for so long that it was claimed all the same. */
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

  /** A view holds by which entities of these partitions are others than before. */
  follow(regrouped: readonly Partition[] | 'all'): void {
    const others = this.#parts.others();
    const isOther = (partition: Partition) => regrouped === 'all' || regrouped.includes(partition);
    const again: Claim[] = [];
    for (const { claim, asked } of this.#fetches.values()) {
      if (this.#parts.isWanted() && isOther(claim.partition)) again.push(claim);
      // Who is not there any more is not waited for.
      else for (const id of asked) if (!others.includes(id)) asked.delete(id);
    }
    if (again.length > 0) this.#seek(again, others);
    this.#advance();
  }

  /** The partition is another's: nothing of what may have been given to this claim runs by it. */
  abandon(partition: Partition): void {
    const fetch = this.#fetches.get(partition);
    if (fetch === undefined) return;
    this.#fetches.delete(partition);
    for (const id of new Set([...fetch.asked, ...fetch.answered])) this.#say(id, fetch.claim, 0, []);
  }

  // ---- answers

  /** Nobody listens at that worker. */
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
      // It may have had some, and be asked again.
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

  /** All that answers the latest ask is here, or lost. Whatever is still missing is asked for; without progress it has its time. */
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

  /** Take what is complete, ask again for the rest, and come again while there is any. */
  #advance(): void {
    const now = this.#now();
    let isAnyOver = false;
    for (const fetch of this.#fetches.values()) if (!this.#isWaiting(fetch, now)) isAnyOver = fetch.isOver = true;
    if (isAnyOver) this.#takeAll();
    if (this.#fetches.size === 0) this.#lines.clear();
    this.#tick();
  }

  /** Large ones take their time: who sends something is waited for, whatever it is of. */
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

  /** One image is read, or one partition taken, of those that are waited for no longer; false: there is none (FE4). */
  #part(): boolean {
    // It may be another's meanwhile, or asked for anew.
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
        // What else there is comes after what is coming.
        if ((this.#lines.get(id)?.heardAt ?? Number.NEGATIVE_INFINITY) > until) continue;
        const list = wants.get(id) ?? [];
        list.push(wantOf(fetch, id));
        wants.set(id, list);
      }
    }
    for (const [id, list] of wants) this.#ask(id, list);
  }

  // ---- what became of it

  /** A partition runs here, with what came along but for these (FE2). */
  boarded({ claim, batches }: Fetched, except: readonly string[]): void {
    for (const [id, batch] of batches) this.#say(id, claim, batch, except);
  }

  #say(to: string, { partition, epoch }: Claim, batch: number, except: readonly string[]): void {
    const signal: Boarded = { kind: 'boarded', id: this.#parts.id, partition, epoch, batch, except };
    const until = this.#parts.environment.steady() + sayMs;
    this.#said.set(keyOf(to, partition, epoch), { to, signal, until });
    this.#parts.signal(to, signal);
    this.#tick();
  }

  #sayAgain(): void {
    const now = this.#parts.environment.steady();
    const others = new Set(this.#parts.others());
    for (const [key, { to, signal, until }] of this.#said)
      if (now >= until || !others.has(to)) this.#said.delete(key);
      else this.#parts.signal(to, signal);
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
