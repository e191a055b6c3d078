/**
 * The watchdog: names the turn that a process does not come out of. One thread for a process, which looks now and then whether
 * the turn under way is still the same; nothing in the main thread could.
 *
 *     main thread   turn n ───▶ turn n + 1 ──────────── spins ─────────────────────▶        (a counter in shared memory)
 *     watchdog         ·            ·            ·            ·      same for `turnMsMax`: stops it for a moment, asks it what it
 *                                                                    is doing and where, and writes that to standard error
 *
 * Owns the thread, and what is said of long turns. A turn costs two numbers and two references; its name is asked for only where it
 * is too long. While a debugger is attached nothing is said: it stops turns, too.
 */
import { url } from 'node:inspector';
import { Worker as Thread } from 'node:worker_threads';
import type { Address } from '../core/message.ts';
import type { Environment } from './environment.ts';

/** What is said of a turn: an item of a mailbox, of which no more is known here. */
export interface Watched {
  readonly kind: string;
  readonly from?: string;
  readonly operation?: string;
  readonly content?: { readonly operation: string };
}

/** Told what runs. */
export interface TurnWatch {
  begin(address: Address, item: Watched): void;
  end(): void;
  close(): void;
}

/** Looks in the time of a turn that is too long: a process that was stopped, thread and all, is found running before the last one. */
const looks = 5;
/** Shared numbers: the count of turns, whether one runs, whether a debugger is attached. */
const sharedCount = 3;
/** Whether a debugger is attached is looked at this often, ms. */
const debuggerMs = 1_000;
/** By which the thread finds what runs, from inside the main one. */
const registered = Symbol.for('skerry.running');

/**
 * The thread, as CommonJS: a text, since a file of its own would have another name in each form in which this package is
 * run, and what a compiler makes of a function may refer to its helpers.
 */
const threadCode = `
const { Session } = require('node:inspector');
const { writeSync } = require('node:fs');
const { parentPort, workerData: { shared, limitMs, looks } } = require('node:worker_threads');
let turn = 0, seen = 0, told;
function say(ms, what) {
  told = { turn, what };
  const text = 'a turn has been running for ' + ms + ' ms (turnMsMax: ' + limitMs + '): nothing else runs in this process';
  writeSync(2, JSON.stringify({ level: 50, time: Date.now(), ...what, msg: text }) + '\\n');
}
function look(ms) {
  const session = new Session();
  session.connectToMainThread();
  // What runs outside of JavaScript cannot be stopped, and so not asked.
  const late = setTimeout(() => end({}), 10000);
  let isOver = false;
  function end(what) {
    if (isOver) return;
    isOver = true;
    clearTimeout(late);
    session.post('Debugger.resume', () => undefined);
    session.post('Debugger.disable', () => session.disconnect());
    say(ms, what);
  }
  session.on('Debugger.paused', ({ params }) => {
    // Asked from within the turn, so that an error made there has its stack, with the names of the sources.
    const { callFrameId } = params.callFrames[0];
    const expression = "globalThis[Symbol.for('skerry.running')]()";
    session.post('Debugger.evaluateOnCallFrame', { callFrameId, expression, returnByValue: true }, (error, answer) => {
      let what = {};
      try { what = JSON.parse(answer.result.value); } catch {}
      end(what);
    });
  });
  session.post('Debugger.enable', () => session.post('Debugger.pause', () => undefined));
}
setInterval(() => {
  const now = Atomics.load(shared, 0);
  const isRunning = Atomics.load(shared, 1) === 1;
  if (isRunning && now === turn) seen += 1;
  if (told !== undefined && (!isRunning || now !== told.turn)) {
    parentPort.postMessage({ ms: Math.round(limitMs * seen / looks), what: told.what });
    told = undefined;
  }
  if (!isRunning || now !== turn) seen = 0;
  turn = now;
  if (isRunning && seen === looks && Atomics.load(shared, 2) === 0) look(limitMs);
}, limitMs / looks);
`;

class Watchdog {
  readonly #shared = new Int32Array(new SharedArrayBuffer(sharedCount * Int32Array.BYTES_PER_ELEMENT));
  readonly #thread: Thread;
  #address: Address = '';
  #item: Watched | undefined;
  #cancel: () => void = () => undefined;
  users = 0;

  constructor(limitMs: number, environment: Environment) {
    const workerData = { shared: this.#shared, limitMs, looks };
    this.#thread = new Thread(threadCode, { eval: true, workerData, execArgv: [], env: {} });
    this.#thread.on('message', ({ ms, what }: { ms: number; what: object }) =>
      environment.log.error({ ...what, ms }, 'a turn ran for too long: nothing else ran in this process meanwhile'),
    );
    this.#thread.on('error', (error) =>
      environment.log.warn({ error: String(error) }, 'the watchdog for long turns is off'),
    );
    // Listeners keep a process alive.
    this.#thread.unref();
    Reflect.set(globalThis, registered, () => JSON.stringify({ ...this.#what(), stack: stackHere() }));
    this.#noteDebugger(environment);
  }

  begin(address: Address, item: Watched): void {
    const shared = this.#shared;
    this.#address = address;
    this.#item = item;
    shared[0] = ((shared[0] ?? 0) + 1) | 0;
    shared[1] = 1;
  }

  end(): void {
    this.#shared[1] = 0;
  }

  /** To stop a turn that a debugger has stopped, and let it go on, would let it go on for the debugger, too. */
  #noteDebugger(environment: Environment): void {
    this.#shared[2] = url() === undefined ? 0 : 1;
    this.#cancel = environment.after(debuggerMs, () => this.#noteDebugger(environment));
  }

  #what(): object {
    const item = this.#item;
    if (item === undefined) return {};
    const operation = item.content?.operation ?? item.operation ?? item.kind;
    const from = item.kind === 'message' ? { from: item.from } : {};
    return { entity: this.#address, operation, ...from };
  }

  close(): void {
    this.#cancel();
    Reflect.deleteProperty(globalThis, registered);
    void this.#thread.terminate();
  }
}

/** Where the turn is that is asked: from its innermost function outwards. */
function stackHere(): string {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 30;
  const lines = (new Error().stack ?? '').split('\n');
  Error.stackTraceLimit = stackTraceLimit;
  // The first ones are this function, who called it, and the question.
  const question = lines.findIndex((line) => line.includes('eval at '));
  return lines.slice(question + 1).join('\n');
}

let watchdog: Watchdog | undefined;

/** Watch the turns of this process. All that watch share one thread, and the limit of the first. */
export function watchTurns(limitMs: number, environment: Environment): TurnWatch {
  watchdog ??= new Watchdog(limitMs, environment);
  const mine = watchdog;
  mine.users += 1;
  let isClosed = false;
  return {
    begin: (address, item) => mine.begin(address, item),
    end: () => mine.end(),
    close: () => {
      if (isClosed) return;
      isClosed = true;
      mine.users -= 1;
      if (mine.users > 0) return;
      mine.close();
      if (watchdog === mine) watchdog = undefined;
    },
  };
}
