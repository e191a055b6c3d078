/**
 * A process that talks in lines of JSON: started, asked, signalled, measured and ended by its own pid.
 *
 * Owns its life. Its standard error is kept (the last of it), so that what went wrong can be shown.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

export type Line = Readonly<Record<string, unknown>>;

interface Waiting {
  readonly key: string;
  tell: (line: Line) => void;
}

/** Of what a process writes to its standard error. */
const keptLineCount = 2_000;
/** Where `build` leaves the programs, in a checkout. */
export const builtIn = (root: string) => join(root, '.build', 'faults', 'test', 'real');
export const root = join(import.meta.dirname, '..', '..');

/** Ms since 1970, with fractions: comparable between processes of one machine. */
export function clock(): number {
  return performance.timeOrigin + performance.now();
}

const alive = new Set<Program>();
// A harness that fails before its end leaves no process behind, not even one that is stopped.
process.once('exit', () => {
  for (const program of alive) program.signal('SIGKILL');
});

export class Program {
  readonly name: string;
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: Line[] = [];
  readonly #errors: string[] = [];
  readonly #waiting: Waiting[] = [];

  /** A program of this folder, or of its like in another release, built before. */
  constructor(name: string, script: string, args: readonly string[], builtFolder = builtIn(root)) {
    this.name = name;
    const path = join(builtFolder, `${script}.js`);
    this.#child = spawn(process.execPath, ['--enable-source-maps', path, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    alive.add(this);
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code) => {
        alive.delete(this);
        resolve(code);
      });
    });
    this.#child.on('error', (error) => this.#errors.push(String(error)));
    // Writing to one that has died is no error of the harness': that it does not answer is.
    this.#child.stdin.on('error', () => undefined);
    createInterface({ input: this.#child.stdout }).on('line', (text) => this.#hear(text));
    createInterface({ input: this.#child.stderr }).on('line', (text) => {
      this.#errors.push(text);
      if (this.#errors.length > keptLineCount) this.#errors.shift();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isAlive(): boolean {
    return alive.has(this);
  }

  /** The last lines of its standard error. */
  get errors(): readonly string[] {
    return this.#errors;
  }

  #hear(text: string): void {
    const line = JSON.parse(text) as Line;
    const index = this.#waiting.findIndex(({ key }) => Object.hasOwn(line, key));
    if (index < 0) this.#lines.push(line);
    else this.#waiting.splice(index, 1)[0]?.tell(line);
  }

  /** The next line that has this key. Rejects if the process ends first, or says nothing in time. */
  async hear(key: string, timeoutMs: number): Promise<Line> {
    const index = this.#lines.findIndex((line) => Object.hasOwn(line, key));
    if (index >= 0) return this.#lines.splice(index, 1)[0] as Line;
    const waiting: Waiting = { key, tell: () => undefined };
    const heard = new Promise<Line>((resolve) => {
      waiting.tell = resolve;
      this.#waiting.push(waiting);
    });
    const over = new AbortController();
    const late = sleep(timeoutMs, 'said nothing in time', { signal: over.signal }).catch(() => 'in time');
    const first = await Promise.race([heard, late, this.ended.then((code) => `ended with ${code}`)]);
    over.abort();
    if (typeof first !== 'string') return first;
    const still = this.#waiting.indexOf(waiting);
    if (still >= 0) this.#waiting.splice(still, 1);
    throw new Error(`${this.name} (${key}) ${first}\n${this.#errors.slice(-15).join('\n')}`);
  }

  tell(line: object | string): void {
    this.#child.stdin.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    if (!this.isAlive) return;
    this.signal('SIGKILL');
    await this.ended;
  }
}

/** Processor time, ms. */
export interface Used {
  readonly ranMs: number;
  /** Ready to run, with no processor free. */
  readonly waitedMs: number;
}

/** What a process has used of the processors so far, all its threads together. */
export function usedBy(pid: number): Used {
  let [ran, waited] = [0, 0];
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const [ranNs = 0, waitedNs = 0] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8')
        .split(' ')
        .map(Number);
      ran += ranNs;
      waited += waitedNs;
    }
  } catch {
    // It ended meanwhile, or the system does not tell.
  }
  return { ranMs: ran / 1e6, waitedMs: waited / 1e6 };
}

/** How long the processors of the machine had nothing to do, ms, all together since it was started. */
export function idleMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.idle, 0);
}

/** Waits for something to become true; false when it did not in time. */
export async function until(what: () => boolean | Promise<boolean>, timeoutMs: number, everyMs = 50): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (!(await what())) {
    if (performance.now() > end) return false;
    await sleep(everyMs);
  }
  return true;
}

export { sleep };
