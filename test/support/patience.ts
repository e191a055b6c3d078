/**
 * Time as the machine gave it: limits of tests count it, so that a busy machine is no failure and a test that hangs is one.
 *
 * What the processes of a test wait for a processor, while they could run, does not count. One that waits for anything else,
 * or runs on for ever, is counted as on a machine of its own. Where the kernel tells no such times (other than Linux),
 * time is the clock's.
 *
 *     schedstat of each thread: time on a processor, time in line for one
 *
 * Invariants:
 * - PA1 Between two looks patient time goes on by no more than the clock, and by at least the share of it in which what could run ran.
 * - PA2 A limit of n ms ends within `slowestMax` · n ms.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** What a machine that is this much slower than it should be does in time is not waited for any more. */
const slowestMax = 30;
const lookMs = 500;

interface Look {
  readonly at: number;
  /** By thread, ms: on a processor, and in line for one. */
  readonly threads: ReadonlyMap<string, readonly [ran: number, waited: number]>;
}

/** How far patient time goes on between two looks, ms (PA1). */
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

/** The patient time of a process and all that it has started. */
export class Patience {
  readonly #pid: number;
  #last: Look;
  #passedMs = 0;

  constructor(pid: number = process.pid) {
    this.#pid = pid;
    this.#last = lookAt(pid);
  }

  /** Since it was made, ms. */
  passedMs(): number {
    const now = lookAt(this.#pid);
    this.#passedMs += patientMs(this.#last, now);
    this.#last = now;
    return this.#passedMs;
  }
}

/** Runs once when so much patient time has passed (PA2); the function that comes back cancels it. */
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

/** A process and all below it that are there now. */
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

/** Empty where there is nothing, or not any more. */
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
