/**
 * How a process ends that has folders open: always.
 *
 * LMDB's binding begins a transaction in a thread of its own, which then waits for the main thread to say what is written. A
 * process that ends just then (`process.exit()`, an uncaught error) waits for that thread, which waits for it, and a supervisor
 * sees a live process with a locked folder. Nothing that the main thread can still do lets the thread go on: its call comes by
 * the event loop, which has ended. So such a process kills itself: what was under way is as after any crash (P8).
 *
 * Owns which transactions wait to be told what to write.
 *
 * Invariants:
 * - SX1 A process that has folders open ends when it is told to, whatever it was writing; one that has closed them, or writes
 *   nothing, with its own exit code.
 */
import { writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

/** A flush takes less, ms; and how often it is looked whether it has ended. */
const flushMsMax = 2_000;
const lookMs = 5;
const nothing = new Int32Array(new SharedArrayBuffer(4));

const open = new Set<Writes>();

/** The transactions of one folder. */
export class Writes {
  readonly #path: string;
  readonly #transaction: () => number | undefined;
  /** Asked for, and not told what to write. */
  #waitingCount = 0;
  /** Told what to write, and not known to be on disk. */
  #writtenCount = 0;

  /** `transaction`: the number of LMDB's thread's, 0 when it has none open; undefined: nothing was handed to it. */
  constructor(path: string, transaction: () => number | undefined) {
    this.#path = path;
    this.#transaction = transaction;
    // A thread of the application's ends otherwise, and must not take the process with it.
    if (open.size === 0 && isMainThread) process.on('exit', endAtOnce);
    open.add(this);
  }

  /** Run a transaction, whose body is called when LMDB's thread has begun it. */
  async run<Result>(transact: (body: () => Result) => Promise<Result>, body: () => Result): Promise<Result> {
    let isWaiting = true;
    this.#waitingCount += 1;
    try {
      return await transact(() => {
        isWaiting = false;
        this.#waitingCount -= 1;
        this.#writtenCount += 1;
        return body();
      });
    } finally {
      if (isWaiting) this.#waitingCount -= 1;
      else this.#writtenCount -= 1;
    }
  }

  close(): void {
    open.delete(this);
    if (open.size === 0) process.off('exit', endAtOnce);
  }

  /** Whether LMDB's thread waits, or will, for what the main thread never says. Waits until that is known. */
  isStuck(): boolean {
    if (this.#waitingCount === 0 || this.#transaction() === undefined) return false;
    // Not begun, or begun: the first thing that it does is to ask.
    if (this.#writtenCount === 0) return true;
    // It flushes what it was told and is done; or it has taken up what came meanwhile, in the same transaction.
    for (let waitedMs = 0; waitedMs < flushMsMax; waitedMs += lookMs) {
      if (this.#transaction() === 0) return false;
      Atomics.wait(nothing, 0, 0, lookMs);
    }
    return true;
  }

  get path(): string {
    return this.#path;
  }
}

function endAtOnce(): void {
  for (const writes of open) {
    if (!writes.isStuck()) continue;
    writeSync(
      2,
      `The process is ending during a write to ${writes.path} and would hang forever: it is killed. Call close() first.\n`,
    );
    process.kill(process.pid, 'SIGKILL');
  }
}
