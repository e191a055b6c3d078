/** A server of the test's own: on a free port of loopback, in a folder of its own, ended by its pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts } from '../../runtime/cli/programs.ts';
import { afterPatience } from './patience.ts';
import { pathOf } from './programs.ts';

const readyMs = 15_000;

export abstract class OwnServer {
  readonly port: number;
  /** Its data, and what belongs to it. Goes with it. */
  readonly folder: string;
  #process: ChildProcess | undefined;
  #output = '';
  readonly #program: string;
  readonly #end = (): void => {
    this.#process?.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  };

  protected constructor(program: string, port: number) {
    this.#program = program;
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), `skerry-${program}-`));
    // A test that fails before its end leaves no server behind.
    process.once('exit', this.#end);
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get output(): string {
    return this.#output;
  }

  /** What it is started with. */
  protected abstract readonly words: readonly string[];
  /** What it says when it is there. */
  protected abstract readonly greeting: string;

  /** Starts it on the same port, with the data that it has. */
  async restart(): Promise<void> {
    const child = spawn(pathOf(this.#program), this.words, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    this.#output = '';
    // It ends with this process, which does not wait for it.
    child.unref();
    for (const stream of [child.stdout, child.stderr]) {
      if (stream instanceof Socket) stream.unref();
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
      });
    }
    let isLate = false;
    const cancel = afterPatience(readyMs, () => {
      isLate = true;
    });
    try {
      while (!this.#output.includes(this.greeting) || !(await accepts(this.port))) {
        if (child.exitCode !== null || isLate)
          throw new Error(`${this.#program} did not start on port ${this.port}:\n${this.#output}`);
        await sleep(10);
      }
    } finally {
      cancel();
    }
  }

  /** SIGKILL: no farewell to anybody, and nothing more is written. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    // Somebody waits for it now, and may have nothing else to wait for.
    child.ref();
    await ended;
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Tells it something by a signal: to nats-server SIGHUP is to read its configuration again, SIGUSR2 the lame duck mode. */
  signal(name: NodeJS.Signals): void {
    this.#process?.kill(name);
  }

  async close(): Promise<void> {
    await this.kill();
    this.#end();
    process.removeListener('exit', this.#end);
  }
}
