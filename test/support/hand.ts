/**
 * A manual environment: time moves and work runs only when a test says so. Promises settle in between, as in a process.
 */
import type { Environment } from '../../runtime/environment.ts';
import type { Log } from '../../runtime/log.ts';

interface Alarm {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Settles everything that waits for nothing but promises. */
const promises = () => new Promise<void>((resolve) => setImmediate(resolve));

export class HandEnvironment implements Environment {
  #now = 1_000_000;
  /** Clock minus steady time, ms. */
  #offset = 0;
  #order = 0;
  #ids = 0;
  #chance = 1;
  #alarms: Alarm[] = [];
  readonly #soon: (() => void)[] = [];
  readonly logged: { readonly level: string; readonly message: string; readonly details: object }[] = [];
  readonly log: Log;

  constructor() {
    const at = (level: string) => (details: object, message: string) =>
      void this.logged.push({ level, message, details });
    this.log = { info: at('info'), warn: at('warn'), error: at('error') };
  }

  now(): number {
    return this.#now + this.#offset;
  }

  steady(): number {
    return this.#now;
  }

  /** Sets the clock forward, or (negative) back. */
  setClock(ms: number): void {
    this.#offset += ms;
  }

  after(ms: number, run: () => void): () => void {
    const alarm = { at: this.#now + Math.max(0, ms), order: this.#order++, run };
    this.#alarms.push(alarm);
    return () => {
      this.#alarms = this.#alarms.filter((one) => one !== alarm);
    };
  }

  soon(run: () => void): void {
    this.#soon.push(run);
  }

  /** The same numbers in every run. A linear congruential generator is good enough for jitter. */
  random(): number {
    this.#chance = (this.#chance * 48_271) % 2_147_483_647;
    return this.#chance / 2_147_483_647;
  }

  newId(): string {
    return `id${++this.#ids}`;
  }

  get alarmCount(): number {
    return this.#alarms.length;
  }

  /** Moves the clock without running what has become due, as in a process that was paused. */
  jump(ms: number): void {
    this.#now += ms;
  }

  /** Runs everything that can run now. */
  async idle(): Promise<void> {
    for (;;) {
      await promises();
      const run = this.#soon.shift();
      if (run !== undefined) run();
      else if (this.#soon.length === 0) {
        await promises();
        if (this.#soon.length === 0) return;
      }
    }
  }

  /** Runs one task scheduled by `soon`; false: there is none. */
  step(): boolean {
    const run = this.#soon.shift();
    run?.();
    return run !== undefined;
  }

  /** Moves the clock forward. Timers run at their own times, those of one moment together, as in a process. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      await this.idle();
      const first = this.#next();
      if (first === undefined || first.at > until) break;
      this.#now = Math.max(this.#now, first.at);
      for (let alarm = this.#next(); alarm !== undefined && alarm.at <= this.#now; alarm = this.#next()) {
        const due = alarm;
        this.#alarms = this.#alarms.filter((one) => one !== due);
        due.run();
      }
    }
    this.#now = Math.max(this.#now, until);
    await this.idle();
  }

  #next(): Alarm | undefined {
    let next: Alarm | undefined;
    for (const alarm of this.#alarms)
      if (next === undefined || alarm.at < next.at || (alarm.at === next.at && alarm.order < next.order)) next = alarm;
    return next;
  }

  /** Waits for a promise while time moves as fast as it can. Fails after `limitMs` of that time. */
  async during<Value>(promise: Promise<Value>, limitMs = 600_000): Promise<Value> {
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    promise.then(settle, settle);
    const until = this.#now + limitMs;
    for (await this.idle(); !isSettled; ) {
      const alarm = this.#next();
      if (alarm === undefined || alarm.at > until) throw new Error(`nothing came of it within ${limitMs} ms`);
      await this.advance(Math.max(0, alarm.at - this.#now));
    }
    return promise;
  }
}
