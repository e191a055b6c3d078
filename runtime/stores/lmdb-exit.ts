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

const open = new Set<Writes>();

/** The transactions of one folder. */
export class Writes {
  readonly #path: string;
  readonly #isThreadAtWork: () => boolean;
  /** Asked for, and not told what to write. */
  #waitingCount = 0;
  /** Told what to write, and not on disk: LMDB's thread needs nobody any more. */
  #writtenCount = 0;

  /** `isThreadAtWork`: whether a transaction has been handed to LMDB's thread and is not over. */
  constructor(path: string, isThreadAtWork: () => boolean) {
    this.#path = path;
    this.#isThreadAtWork = isThreadAtWork;
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

  /** Whether LMDB's thread waits, or will, for what the main thread never says. */
  get isStuck(): boolean {
    return this.#waitingCount > 0 && this.#writtenCount === 0 && this.#isThreadAtWork();
  }

  get path(): string {
    return this.#path;
  }
}

function endAtOnce(): void {
  for (const writes of open) {
    if (!writes.isStuck) continue;
    writeSync(
      2,
      `The process ends while it writes to ${writes.path}, and would wait for ever: it is killed. close() first.\n`,
    );
    process.kill(process.pid, 'SIGKILL');
  }
}
