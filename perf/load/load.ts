/**
 * A load and its latencies: closed (a fixed number of calls in flight) or open (a fixed number of calls per second).
 *
 * The same loop drives floors and Skerry, so its own cost is equal in both.
 *
 * In an open loop each call has a scheduled start time, to the millisecond, and its latency counts from then: a call that
 * could not start because others had not ended has been waiting too (no coordinated omission).
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Load, type Measured, seriesMs, slotMsOf } from '../plan.ts';
import { type Histogram, newHistogram, packed, record, sumOf } from './histogram.ts';

/**
 * Starts the lane's next call. The call ends with the returned promise or, without one, by `lane.done()` or `lane.failed(error)`, but not
 * before this returns.
 */
export type Call = (lane: Lane) => PromiseLike<unknown> | undefined;

/** Receives each call that succeeded. */
export type Watch = (lane: Lane, endedAt: number) => void;

export interface DriveOptions {
  readonly failed?: (lane: Lane, error: unknown) => void;
  readonly ended?: Watch;
  /** Called when the measured time begins. */
  readonly begun?: () => void;
}

/** One place among the calls in flight; it makes one call at a time. */
export class Lane {
  readonly index: number;
  /** The scenario's data about the call. */
  key = 0;
  /** Number of operations in the call. */
  weight = 1;
  /** When the call started; in an open loop, when it should have. */
  startedAt = 0;
  readonly #drive: Drive;

  constructor(index: number, drive: Drive) {
    this.index = index;
    this.#drive = drive;
  }

  readonly done = (): void => this.#drive.ended(this, undefined);
  readonly failed = (error: unknown): void => this.#drive.ended(this, error ?? new Error('no reason'));
}

class Drive {
  readonly #call: Call;
  readonly #load: Load;
  readonly #options: DriveOptions;
  readonly #slotMs: number;
  /** Latencies of each slot. The total is their sum, so a call is recorded once. */
  readonly #slots: Histogram[] = [];
  readonly #series: number[] = [];
  readonly #worst: number[] = [];
  readonly #errors = new Map<string, number>();
  readonly #resting: Lane[] = [];
  readonly startAt: number;
  readonly endAt: number;
  #started = 0;
  #inFlight = 0;
  #calls = 0;
  #things = 0;
  #lastAt = 0;
  #isOver = false;
  /** Open loop: number of calls that should have started, and that did. */
  #due = 0;
  #taken = 0;
  #finish: () => void = () => undefined;

  constructor(call: Call, load: Load, options: DriveOptions) {
    this.#call = call;
    this.#load = load;
    this.#options = options;
    this.#slotMs = slotMsOf(load.durationMs);
    this.startAt = performance.now() + load.warmupMs;
    this.endAt = this.startAt + load.durationMs;
  }

  get things(): number {
    return this.#things;
  }

  async run(): Promise<Measured> {
    const over = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    const begun = setTimeout(() => this.#options.begun?.(), this.#load.warmupMs);
    const lanes = Array.from({ length: this.#load.lanes }, (_, index) => new Lane(index, this));
    if (this.#load.ratePerS === undefined) {
      this.#inFlight = lanes.length;
      for (const lane of lanes) this.#next(lane);
    } else {
      this.#resting.push(...lanes);
      await this.#keepTime(this.#load.ratePerS);
    }
    await over;
    clearTimeout(begun);
    return this.#measured();
  }

  #next(lane: Lane): void {
    const now = performance.now();
    if (now >= this.endAt || this.#started >= (this.#load.callsMax ?? Number.POSITIVE_INFINITY)) {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#finish();
      return;
    }
    this.#started += 1;
    lane.startedAt = now;
    this.#begin(lane);
  }

  #begin(lane: Lane): void {
    let promise: PromiseLike<unknown> | undefined;
    try {
      promise = this.#call(lane);
    } catch (error) {
      promise = Promise.reject(error);
    }
    promise?.then(lane.done, lane.failed);
  }

  ended(lane: Lane, error: unknown): void {
    const now = performance.now();
    if (error === undefined) this.#options.ended?.(lane, now);
    else this.#failed(lane, error, now);
    if (error === undefined && now >= this.startAt && now < this.endAt) {
      const us = (now - lane.startedAt) * 1_000;
      record(this.#slotAt(now), us);
      this.#calls += 1;
      this.#things += lane.weight;
      this.#lastAt = now;
      const slot = Math.floor((now - this.startAt) / seriesMs);
      this.#series[slot] = (this.#series[slot] ?? 0) + lane.weight;
      if (us > (this.#worst[slot] ?? 0)) this.#worst[slot] = us;
    }
    if (this.#load.ratePerS === undefined) this.#next(lane);
    else this.#rest(lane);
  }

  #slotAt(now: number): Histogram {
    const slot = Math.floor((now - this.startAt) / this.#slotMs);
    while (this.#slots.length <= slot) this.#slots.push(newHistogram());
    return this.#slots[slot] as Histogram;
  }

  #failed(lane: Lane, error: unknown, now: number): void {
    this.#options.failed?.(lane, error);
    if (now < this.startAt) return;
    const code = codeOf(error);
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
  }

  // ---- open loop

  async #keepTime(ratePerS: number): Promise<void> {
    const from = performance.now();
    for (let now = from; now < this.endAt; now = performance.now()) {
      this.#due = Math.floor(((now - from) * ratePerS) / 1_000);
      while (this.#taken < this.#due && this.#resting.length > 0) this.#take(from, ratePerS);
      await pause(1);
    }
    this.#isOver = true;
    if (this.#inFlight === 0) this.#finish();
    this.#openLoop = undefined;
  }

  #openLoop: { from: number; ratePerS: number } | undefined;

  #take(from: number, ratePerS: number): void {
    this.#openLoop = { from, ratePerS };
    const lane = this.#resting.pop();
    if (lane === undefined) return;
    // A call belongs to the millisecond in which it is due.
    lane.startedAt = from + Math.ceil((this.#taken * 1_000) / ratePerS);
    this.#taken += 1;
    this.#inFlight += 1;
    this.#begin(lane);
  }

  #rest(lane: Lane): void {
    this.#resting.push(lane);
    this.#inFlight -= 1;
    if (this.#isOver) {
      if (this.#inFlight === 0) this.#finish();
      return;
    }
    if (this.#taken < this.#due && this.#openLoop !== undefined)
      this.#take(this.#openLoop.from, this.#openLoop.ratePerS);
  }

  #measured(): Measured {
    const isCounted = this.#load.callsMax !== undefined && this.#started >= this.#load.callsMax;
    return {
      calls: this.#calls,
      things: this.#things,
      elapsedMs: isCounted ? Math.max(1, this.#lastAt - this.startAt) : this.#load.durationMs,
      errors: Object.fromEntries(this.#errors),
      histogram: packed(sumOf(this.#slots)),
      slotMs: this.#slotMs,
      slots: this.#slots.map(packed),
      series: Array.from(this.#series, (count) => count ?? 0),
      worstUs: Array.from(this.#worst, (us) => Math.round(us ?? 0)),
      extra: {},
    };
  }
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : String(error).slice(0, 80);
}

/** Progress of the running load, for display. */
let underWay: Drive | undefined;
export const thingsSoFar = (): number => underWay?.things ?? 0;

export async function drive(call: Call, load: Load, options: DriveOptions = {}): Promise<Measured> {
  if (load.delayMs > 0) await pause(load.delayMs);
  underWay = new Drive(call, load, options);
  return underWay.run();
}
