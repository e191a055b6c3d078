/** A server for one test: on a free loopback port, in a temporary folder, ended by its pid. */
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
  /** Its data and configuration; deleted with the server. */
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
    // A test that fails early leaves no server behind.
    process.once('exit', this.#end);
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get output(): string {
    return this.#output;
  }

  /** Its command line. */
  protected abstract readonly words: readonly string[];
  /** The line that it prints when it is ready. */
  protected abstract readonly greeting: string;

  /** Starts it again on the same port with its data. */
  async restart(): Promise<void> {
    const child = spawn(pathOf(this.#program), this.words, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    this.#output = '';
    // It ends with this process, which it does not keep alive.
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

  /** SIGKILL: clients are not told, and nothing more is written. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    // The caller now waits for its end, perhaps with nothing else that keeps the process alive.
    child.ref();
    await ended;
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Sends a signal: SIGHUP makes a nats-server reload its configuration, SIGUSR2 starts its lame duck mode. */
  signal(name: NodeJS.Signals): void {
    this.#process?.kill(name);
  }

  async close(): Promise<void> {
    await this.kill();
    this.#end();
    process.removeListener('exit', this.#end);
  }
}
