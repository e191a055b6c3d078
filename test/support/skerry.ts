/**
 * The command line as users start it: built, one process per command, in a temporary folder.
 *
 * It is built because that starts in a third of the time, and because the build has to find tsx for the app by itself.
 */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { root } from './tree.ts';

export const appPath = fileURLToPath(new URL('./app.ts', import.meta.url));
/** The next version of that app. */
export const laterAppPath = fileURLToPath(new URL('./app-later.ts', import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

type Running = ChildProcessByStdio<null, Readable, Readable>;

/** Starts commands, and ends those still running. */
export class Skerry {
  readonly #main: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #children = new Set<Running>();

  constructor(temporary: string) {
    this.#main = build(temporary);
    this.#environment = { ...process.env, TMPDIR: temporary, NO_COLOR: '1', SKERRY_DATA: '', SKERRY_NATS: '' };
  }

  #spawn(words: readonly string[]): Running {
    const child = spawn(process.execPath, [this.#main, ...words], {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    child.on('close', () => this.#children.delete(child));
    return child;
  }

  /** Runs a command to its end. */
  async run(...words: string[]): Promise<Ran> {
    const child = this.#spawn(words);
    const [out, err] = [collected(child.stdout), collected(child.stderr)];
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, out: out(), err: err() };
  }

  /** The same in a process with a small heap, MB. */
  async runWithin(megabytes: number, ...words: string[]): Promise<Ran> {
    const before = this.#environment.NODE_OPTIONS;
    this.#environment.NODE_OPTIONS = `--max-old-space-size=${megabytes}`;
    const running = this.run(...words);
    this.#environment.NODE_OPTIONS = before;
    return running;
  }

  /** A command's one JSON document; it must have ended with exit code 0. */
  async json(...words: string[]): Promise<unknown> {
    const { code, out, err } = await this.run(...words, '--json');
    if (code !== 0) throw new Error(`skerry ${words.join(' ')} ended with ${code}: ${err}`);
    return JSON.parse(out);
  }

  /** A command's JSON lines. */
  async lines(...words: string[]): Promise<unknown[]> {
    const { code, out, err } = await this.run(...words, '--json');
    if (code !== 0) throw new Error(`skerry ${words.join(' ')} ended with ${code}: ${err}`);
    return out.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as unknown]));
  }

  /** Starts the app. Resolves when it runs. */
  async start(app: string, data: string, ...words: string[]): Promise<App> {
    const child = this.#spawn(['run', app, '--data', data, '--json', ...words]);
    const [out, err] = [collected(child.stdout), collected(child.stderr)];
    const ended = once(child, 'close').then(([code]) => code as number | null);
    const hasBegun = await Promise.race([once(child.stdout, 'data').then(() => true), ended.then(() => false)]);
    if (!hasBegun) throw new Error(`the app did not start: ${err()}`);
    return {
      announcement: JSON.parse(out().split('\n')[0] ?? '') as App['announcement'],
      end: async (signal) => {
        child.kill(signal);
        return { code: await ended, out: out(), err: err() };
      },
    };
  }

  /** Starts a long-running command with JSON lines as output. */
  begin(...words: string[]): Going {
    return new Going(this.#spawn([...words, '--json']));
  }

  /** The same, as npx does: through a shell that waits for it. `end` ends the shell. */
  beginByNpx(...words: string[]): Going {
    const script = '"$@" & wait';
    const child = spawn('sh', ['-c', script, 'sh', process.execPath, this.#main, ...words, '--json'], {
      env: { ...this.#environment, npm_lifecycle_event: 'npx' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    child.on('close', () => this.#children.delete(child));
    return new Going(child);
  }

  endAll(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }
}

type Said = Readonly<Record<string, unknown>>;

/** A long-running command and its JSON lines. */
export class Going {
  readonly #child: Running;
  readonly #out: () => string;
  readonly #err: () => string;
  readonly #ended: Promise<number | null>;
  #read = 0;

  constructor(child: Running) {
    this.#child = child;
    [this.#out, this.#err] = [collected(child.stdout), collected(child.stderr)];
    this.#ended = once(child, 'close').then(([code]) => code as number | null);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Closes the reading end of its output. */
  stopReading(): void {
    this.#child.stdout.destroy();
  }

  /** The next line with this message. Fails if the command ends without it. */
  async says(expected: Said): Promise<Said> {
    let isOver = false;
    void this.#ended.then(() => {
      isOver = true;
    });
    for (;;) {
      const wasOver = isOver;
      const lines = this.#out().split('\n').slice(0, -1);
      while (this.#read < lines.length) {
        const said = JSON.parse(lines[this.#read++] ?? '') as Said;
        if (Object.entries(expected).every(([name, value]) => said[name] === value)) return said;
      }
      if (wasOver) throw new Error(`it ended without saying ${JSON.stringify(expected)}: ${this.#out()}${this.#err()}`);
      await Promise.race([once(this.#child.stdout, 'data'), this.#ended]);
    }
  }

  /** Waits for a text on standard error. */
  async hears(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#err())) await once(this.#child.stderr, 'data');
  }

  async end(signal?: NodeJS.Signals): Promise<Ran> {
    if (signal !== undefined) this.#child.kill(signal);
    return { code: await this.#ended, out: this.#out(), err: this.#err() };
  }
}

export interface App {
  readonly announcement: { readonly status: string; readonly pid: number; readonly types: readonly { type: string }[] };
  end(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<Ran>;
}

/** Builds into a folder laid out like an installed package. Resolves with the command's path. */
function build(folder: string): string {
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  // Types are checked elsewhere; code emitted in spite of a type error will do.
  spawnSync(tsc, ['-p', 'tsconfig.build.json', '--outDir', join(folder, 'dist')], { cwd: root });
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return join(folder, 'dist', 'runtime', 'cli', 'main.js');
}

function collected(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return () => text;
}
