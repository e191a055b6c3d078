/**
 * Where the command line writes: results on standard output, everything else on standard error. The only file that
 * touches either.
 *
 * Owns the choice between text for people and JSON for machines, colours, the width, and the live line.
 */
import { everythingDone } from '../environment.ts';
import type { Log } from '../log.ts';
import { standardLog } from '../log.ts';
import { visible } from './escape.ts';
import type { Failure } from './failure.ts';
import { jsonText } from './json.ts';
import { type Column, tableLines } from './table.ts';
import { fitted, wrapped } from './width.ts';

/** Lines that are written before what else waits has its turn. */
const linesAtOnce = 200;

const styles = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 } as const;
export type Style = keyof typeof styles;

export class Output {
  readonly isJson: boolean;
  readonly isTerminal: boolean;
  readonly #hasColours: boolean;
  #liveText = '';
  isReaderGone = false;
  #lineCount = 0;
  #end: (() => void) | undefined;

  constructor(isJson: boolean) {
    this.isJson = isJson;
    this.isTerminal = process.stdout.isTTY === true && !isJson;
    this.#hasColours = this.isTerminal && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';
    // One listener, however often the output is made anew: an earlier one would end the process.
    process.stdout.removeAllListeners('error').on('error', (error: NodeJS.ErrnoException) => this.#readerGone(error));
    // What nobody reads is written for nobody: no reason to end.
    process.stderr.removeAllListeners('error').on('error', () => undefined);
  }

  /** What is to happen when nobody reads any more, instead of the end of the process: what was started is ended first. */
  whenReaderGone(end: () => void): void {
    this.#end = end;
    if (this.isReaderGone) end();
  }

  /** Whoever reads us has seen enough (`| head`), or ended with the same Ctrl-C (`| tee`): that is no failure. */
  #readerGone({ code }: NodeJS.ErrnoException): void {
    if (this.isReaderGone) return;
    this.isReaderGone = true;
    if (this.#end !== undefined) this.#end();
    else process.exit(code === 'EPIPE' ? 0 : 1);
  }

  /** Columns to fill; without a terminal as many as a text needs. */
  get width(): number {
    return this.isTerminal ? Math.max(40, process.stdout.columns || 80) : Number.POSITIVE_INFINITY;
  }

  style(style: Style, text: string): string {
    return this.#hasColours ? `\x1b[${styles[style]}m${text}\x1b[0m` : text;
  }

  line(text = ''): void {
    this.#write(process.stdout, `${text}\n`);
  }

  /**
   * To be waited for now and then by who writes much: until there is room for more, so that nothing piles up where the reader is
   * slow, and everything else (a signal, a reader that has gone) comes to its turn.
   */
  async room(): Promise<void> {
    this.#lineCount += 1;
    if (this.#lineCount % linesAtOnce !== 0) return;
    await everythingDone();
    if (process.stdout.writableNeedDrain && !this.isReaderGone)
      await new Promise<void>((resolve) => void process.stdout.once('drain', resolve));
  }

  /** How far it has come: on the terminal, also where the result goes elsewhere. */
  progress(text: string): void {
    if (process.stderr.isTTY !== true) return;
    process.stderr.write(text === '' ? '\r\x1b[2K' : `\r\x1b[2K${text}`);
  }

  json(value: unknown): void {
    this.line(jsonText(value));
  }

  heading(text: string): void {
    this.line();
    this.line(this.style('bold', text));
  }

  table(columns: readonly Column[], rows: readonly (readonly string[])[], indent = ''): void {
    for (const [index, text] of tableLines(columns, rows, { width: this.width - indent.length }).entries()) {
      this.line(indent + (index === 0 ? this.style('dim', text) : text));
    }
  }

  /** For people only, beside the result. */
  note(text: string): void {
    if (!this.isJson) this.#write(process.stderr, `${text}\n`);
  }

  /** What went wrong, in one or two lines, or as one JSON object. */
  fail(failure: Failure): void {
    const { code, message, advice, effect, detail } = failure;
    if (this.isJson) {
      this.#write(process.stderr, `${jsonText({ error: { code, message, advice, effect, detail } })}\n`);
      return;
    }
    const isTerminal = process.stderr.isTTY === true;
    const name = isTerminal && this.#hasColours ? this.style('red', 'skerry:') : 'skerry:';
    // Whole where it may be read by a program.
    const width = isTerminal ? Math.max(40, process.stderr.columns || 80) : Number.POSITIVE_INFINITY;
    const indent = ' '.repeat('skerry: '.length);
    const shown = (text: string) => wrapped(visible(text), width - indent.length).join(`\n${indent}`);
    this.#write(process.stderr, `${name} ${shown(message)}\n`);
    if (advice !== undefined) this.#write(process.stderr, `${indent}${shown(advice)}\n`);
  }

  /** An empty screen, for what is shown again and again; only of a terminal. */
  clear(): void {
    this.#write(process.stdout, '\x1b[H\x1b[2J');
  }

  /** A line that the next one takes the place of; nothing without a terminal. */
  live(text: string): void {
    if (!this.isTerminal || text === this.#liveText) return;
    this.#liveText = text;
    process.stdout.write(`\r\x1b[2K${this.style('dim', fitted(text, this.width - 1))}`);
  }

  #write(stream: NodeJS.WriteStream, text: string): void {
    if (this.#liveText !== '') {
      process.stdout.write('\r\x1b[2K');
      this.#liveText = '';
    }
    if (stream !== process.stdout || !this.isReaderGone) stream.write(text);
  }

  /** The runtime's log: lines for people on a terminal, else as everywhere. */
  log(level: 'info' | 'warn' | 'error'): Log {
    if (!this.isTerminal || process.stderr.isTTY !== true) return standardLog(level);
    const say = (kind: string, style: Style) => (details: object, message: string) =>
      this.#write(process.stderr, `${this.style(style, kind)} ${visible(logText(details, message))}\n`.trimStart());
    return {
      info: level === 'info' ? say('', 'dim') : () => undefined,
      warn: level === 'error' ? () => undefined : say('warning:', 'yellow'),
      error: say('error:', 'red'),
    };
  }

  /** Ends the process when everything is written; what the app left open does not keep it. */
  exit(code: number): void {
    const end = () => process.stderr.write('', () => process.exit(code));
    if (this.isReaderGone) end();
    else process.stdout.write('', end);
  }
}

/** What was thrown, and where; the frames below are mostly ours, and a log of JSON lines and `dead show` have them. */
function thrownText(stack: unknown): string | undefined {
  if (typeof stack !== 'string') return undefined;
  const [what = '', ...frames] = stack.split('\n');
  const place = frames.find((line) => line.startsWith('    at '))?.trim();
  return place === undefined ? what : `${what} ${place}`;
}

/** Entity first and error last, as one would say it; everything else between. */
export function logText(details: object, message: string): string {
  const { entity, stack, error = thrownText(stack), ...rest } = details as Readonly<Record<string, unknown>>;
  const more = Object.keys(rest).length === 0 ? '' : ` ${jsonText(rest)}`;
  return `${entity === undefined ? '' : `${String(entity)}: `}${message}${more}${error === undefined ? '' : `: ${String(error)}`}`;
}
