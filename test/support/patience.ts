/**
 * Patient time: the time that the machine gave to a test. Time limits count it, so a busy machine fails no test and a hang does.
 *
 * Time that the test's processes spend runnable but without a processor does not count. Waiting for anything else, and running,
 * count as on an idle machine. Where the kernel does not report such times (anything but Linux), patient time is clock time.
 *
 *     schedstat of each thread: time on a processor, time on a run queue
 *
 * Invariants:
 * - PA1 Between two samples patient time advances by at most the clock, and by at least the share of it in which runnable threads ran.
 * - PA2 A limit of n ms ends within `slowestMax` · n ms.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Slowest machine that is waited for, as a multiple of the clock. */
const slowestMax = 30;
const lookMs = 500;

interface Look {
  readonly at: number;
  /** By thread, ms: on a processor, and on a run queue. */
  readonly threads: ReadonlyMap<string, readonly [ran: number, waited: number]>;
}

/** Advance of patient time between two samples, ms (PA1). */
export function patientMs(before: Look, after: Look): number {
  const ms = after.at - before.at;
  let [ran, waited] = [0, 0];
  for (const [thread, [nowRan, nowWaited]] of after.threads) {
    const [wasRan, wasWaited] = before.threads.get(thread) ?? [0, 0];
    ran += Math.max(0, nowRan - wasRan);
    waited += Math.max(0, nowWaited - wasWaited);
  }
  if (waited === 0) return ms;
  return Math.max(ms - waited, (ms * ran) / (ran + waited));
}

/** The patient time of a process and its descendants. */
export class Patience {
  readonly #pid: number;
  #last: Look;
  #passedMs = 0;

  constructor(pid: number = process.pid) {
    this.#pid = pid;
    this.#last = lookAt(pid);
  }

  /** Patient time since this object was made, ms. */
  passedMs(): number {
    const now = lookAt(this.#pid);
    this.#passedMs += patientMs(this.#last, now);
    this.#last = now;
    return this.#passedMs;
  }
}

/** Runs once after this much patient time (PA2). The returned function cancels it. */
export function afterPatience(ms: number, run: () => void, pid?: number): () => void {
  const patience = new Patience(pid);
  const startedAt = performance.now();
  let timer: NodeJS.Timeout;
  const look = () => {
    const leftMs = ms - patience.passedMs();
    if (leftMs <= 0 || performance.now() - startedAt > slowestMax * ms) run();
    else timer = setTimeout(look, Math.min(leftMs, lookMs));
  };
  timer = setTimeout(look, Math.min(ms, lookMs));
  return () => clearTimeout(timer);
}

function lookAt(pid: number): Look {
  const threads = new Map<string, readonly [number, number]>();
  for (const one of treeOf(pid))
    for (const thread of namesIn(`/proc/${one}/task`)) {
      const [ran = 0, waited = 0] = textIn(`/proc/${one}/task/${thread}/schedstat`).split(' ').map(Number);
      threads.set(`${one} ${thread}`, [ran / 1e6, waited / 1e6]);
    }
  return { at: performance.now(), threads };
}

/** A process and its present descendants. */
function treeOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of namesIn('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // After the name in parentheses, which may hold anything: the state, and the parent.
    const parent = Number(/\) \S (\d+) [^)]*$/.exec(textIn(`/proc/${name}/stat`))?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [pid];
  for (const one of found) found.push(...(children.get(one) ?? []));
  return found;
}

/** Empty if the file does not exist (any more). */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function textIn(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
