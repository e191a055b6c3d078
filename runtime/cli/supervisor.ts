/**
 * The processes of `skerry up`: workers under stable names, started again when they crash.
 *
 *     starting ─▶ ready ─▶ crashed ─▶ pause, twice as long each time ─▶ starting …
 *                   └─▶ left (drained): stays away, until it is brought back
 *
 * A worker that cannot even start for a reason that will not go away (an app that does not load, a wrong option) ends
 * everything, if none of them ever started.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Environment } from '../environment.ts';
import type { FromWorker } from './commands/worker.ts';
import { CliError } from './failure.ts';
import { linesOf } from './lines.ts';
import { nodeOptions } from './programs.ts';
import { suggestion } from './suggest.ts';

export type SupervisorEvent =
  | { readonly kind: 'started'; readonly worker: string; readonly pid: number }
  | { readonly kind: 'ready'; readonly worker: string; readonly pid: number; readonly isAuthorising: boolean }
  | { readonly kind: 'line'; readonly worker: string; readonly text: string }
  | {
      readonly kind: 'crashed';
      readonly worker: string;
      readonly code: number | null;
      readonly signal: string | null;
      /** Started again after this. */
      readonly againMs: number;
    }
  | { readonly kind: 'left'; readonly worker: string };

export interface SupervisorParts {
  readonly environment: Environment;
  readonly names: readonly string[];
  /** The program of the command line; default: that of this process. */
  readonly program?: string;
  /** Words of the command line that a worker is started with. */
  readonly words: readonly string[];
  /** Of a worker, beside what this process has. */
  readonly variables: Readonly<Record<string, string>>;
  readonly tell: (event: SupervisorEvent) => void;
  /** Pause before a crashed worker is started again, at most, ms; default: 10,000. */
  readonly pauseMsMax?: number;
}

/** Pause before a crashed worker is started again, at first and at most, ms. */
const pauseMs = { first: 100, most: 10_000 };
/** Ready for this long, it is well again: its next crash is a first one, ms. */
const wellMs = 10_000;
/** Exit codes of a worker that would only end the same way again. */
const hopelessCodes: ReadonlySet<number | null> = new Set([1, 2, 3]);

interface Worker {
  readonly name: string;
  state: 'running' | 'waiting' | 'left';
  child: ChildProcess | undefined;
  crashCount: number;
  readyAt: number | undefined;
  cancelStart: () => void;
}

export class Supervisor {
  readonly #parts: SupervisorParts;
  readonly #workers: readonly Worker[];
  #isStopping = false;
  #hasBeenReady = false;
  #end: (code: number) => void = () => undefined;
  /** Resolves with an exit code when no worker is left, or none can start. */
  readonly ended: Promise<number>;

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#workers = parts.names.map((name) => ({
      name,
      state: 'waiting',
      child: undefined,
      crashCount: 0,
      readyAt: undefined,
      cancelStart: () => undefined,
    }));
  }

  start(): void {
    for (const worker of this.#workers) this.#start(worker);
  }

  #start(worker: Worker): void {
    const { program = process.argv[1] ?? '', words, variables, tell } = this.#parts;
    const { name } = worker;
    const child = spawn(process.execPath, [...nodeOptions(), ...process.execArgv, program, ...words], {
      env: { ...process.env, ...variables, SKERRY_NAME: name, SKERRY_SUPERVISED: '1' },
      // Of a group of its own: Ctrl-C is for the supervisor, which drains.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    worker.child = child;
    worker.state = 'running';
    worker.readyAt = undefined;
    tell({ kind: 'started', worker: name, pid: child.pid ?? 0 });
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null) linesOf(stream, (text) => tell({ kind: 'line', worker: name, text }));
    child.on('message', (said) => {
      const { status, isAuthorising } = said as Partial<FromWorker>;
      if (status === 'ready') this.#ready(worker, isAuthorising === true);
    });
    child.on('error', () => undefined);
    child.on('close', (code, signal) => this.#closed(worker, code, signal));
  }

  /** How many partitions it has is not said: the next one that gets ready takes some of them. */
  #ready(worker: Worker, isAuthorising: boolean): void {
    this.#hasBeenReady = true;
    worker.readyAt = this.#parts.environment.now();
    this.#parts.tell({ kind: 'ready', worker: worker.name, pid: worker.child?.pid ?? 0, isAuthorising });
  }

  #closed(worker: Worker, code: number | null, signal: NodeJS.Signals | null): void {
    const { environment, tell, pauseMsMax = pauseMs.most } = this.#parts;
    const { name, readyAt } = worker;
    worker.child = undefined;
    if (this.#isStopping || code === 0) {
      worker.state = 'left';
      tell({ kind: 'left', worker: name });
      return this.#endIfAllLeft();
    }
    if (!this.#hasBeenReady && hopelessCodes.has(code)) return this.#end(code ?? 1);
    if (readyAt !== undefined && environment.now() - readyAt >= wellMs) worker.crashCount = 0;
    const againMs = Math.min(pauseMsMax, pauseMs.first * 2 ** worker.crashCount);
    worker.crashCount += 1;
    worker.state = 'waiting';
    tell({ kind: 'crashed', worker: name, code, signal, againMs });
    worker.cancelStart = environment.after(againMs, () => this.#start(worker));
  }

  #endIfAllLeft(): void {
    if (this.#workers.every(({ state }) => state === 'left')) this.#end(0);
  }

  /** Starts a worker again that has left. Throws `not-found`, `closed`. */
  bringBack(name: string): { readonly status: 'started' | 'running'; readonly worker: string; readonly pid: number } {
    const worker = this.#workers.find((one) => one.name === name);
    if (worker === undefined) {
      const advice = suggestion(name, this.#parts.names);
      throw new CliError('not-found', `skerry up has no worker '${name}' here`, { advice });
    }
    if (this.#isStopping) throw new CliError('closed', 'skerry up is draining all workers and will end');
    const isNew = worker.state === 'left';
    if (isNew) {
      worker.crashCount = 0;
      this.#start(worker);
    }
    return { status: isNew ? 'started' : 'running', worker: name, pid: worker.child?.pid ?? 0 };
  }

  /** Drain all; `ended` resolves when they have left. */
  stop(): void {
    this.#isStopping = true;
    for (const worker of this.#workers) {
      worker.cancelStart();
      if (worker.state === 'waiting') worker.state = 'left';
      worker.child?.kill('SIGTERM');
    }
    this.#endIfAllLeft();
  }

  /** End all at once. */
  kill(): void {
    this.#isStopping = true;
    for (const worker of this.#workers) {
      worker.cancelStart();
      worker.child?.kill('SIGKILL');
    }
  }
}
