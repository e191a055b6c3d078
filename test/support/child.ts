/** A child process that prints lines: started, read, and ended by its pid. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

export class Child {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  readonly #ended: Promise<unknown>;

  /** `command` is put before node's command line, such as a shell that sets limits. */
  constructor(script: string, args: readonly string[], command: readonly string[] = []) {
    const path = fileURLToPath(new URL(script, import.meta.url));
    const [program = process.execPath, ...rest] = [...command, process.execPath, '--import', 'tsx', path, ...args];
    this.#process = spawn(program, rest, { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#ended = once(this.#process, 'close');
    // Writing to a dead child is no failure by itself; the line that it did not print is.
    this.#process.stdin.on('error', () => {});
    this.#reader = createInterface({ input: this.#process.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** The next line; undefined when there are no more. */
  async line(): Promise<string | undefined> {
    const { done, value } = await this.#lines.next();
    return done === true ? undefined : value;
  }

  async rest(): Promise<string[]> {
    const lines: string[] = [];
    for (let line = await this.line(); line !== undefined; line = await this.line()) lines.push(line);
    return lines;
  }

  tell(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** Ends stdin and waits for the process to exit. Resolves with its remaining output. */
  async finish(): Promise<string[]> {
    this.#process.stdin.end();
    const lines = await this.rest();
    await this.#ended;
    return lines;
  }

  /** SIGKILL. Resolves with the output until then. */
  async kill(): Promise<string[]> {
    this.#process.kill('SIGKILL');
    const lines = await this.rest();
    await this.#ended;
    return lines;
  }
}
