/**
 * Makes sure that a process with open folders can always end.
 *
 * LMDB's binding begins a transaction in its own thread, which then waits for the main thread to say what to write. A process
 * that ends at that moment (`process.exit()`, an uncaught error) waits for the thread, which waits for the process; a supervisor
 * sees a live process with a locked folder. The main thread cannot release the thread any more, because the thread's call
 * arrives through the event loop, which has ended. So such a process kills itself: work in flight is then as after any crash (P8).
 *
 * Owns the record of transactions that wait for the main thread.
 *
 * Invariants:
 * - SX1 A process with open folders ends when it is told to, whatever it was writing. One that has closed them, or writes
 *   nothing, ends with its own exit code.
 */
import { writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

/** Maximum time of a flush, and the interval at which its end is checked, ms. */
const flushMsMax = 2_000;
const lookMs = 5;
const nothing = new Int32Array(new SharedArrayBuffer(4));

const open = new Set<Writes>();

/** The transactions of one folder. */
export class Writes {
  readonly #path: string;
  readonly #transaction: () => number | undefined;
  /** Begun, and not told what to write. */
  #waitingCount = 0;
  /** Told what to write, and not known to be on disk. */
  #writtenCount = 0;

  /** `transaction`: the number of the open transaction of LMDB's thread, 0: none; undefined: nothing was passed to it. */
  constructor(path: string, transaction: () => number | undefined) {
    this.#path = path;
    this.#transaction = transaction;
    // A worker thread of the application ends differently, and must not end the process.
    if (open.size === 0 && isMainThread) process.on('exit', endAtOnce);
    open.add(this);
  }

  /** Runs a transaction. Its body is called when LMDB's thread has begun it. */
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

  /** Whether LMDB's thread waits, or will wait, for a main thread that no longer answers. Blocks until that is known. */
  isStuck(): boolean {
    if (this.#waitingCount === 0 || this.#transaction() === undefined) return false;
    // Begun or not: the first thing that the thread does is to wait for the main thread.
    if (this.#writtenCount === 0) return true;
    // It flushes what it was told and is done; or it has accepted later writes into the same transaction.
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
