/** A command and its arguments: plain values that the parser, the help and `main.ts` read. */
import type { Environment } from '../environment.ts';
import type { Output } from './output.ts';

export interface Option {
  /** As in help: `--workers <n>`; with angle brackets it takes a value. */
  readonly flag: string;
  readonly description: string;
  /** May be given several times, or several values with commas between; they come with commas. */
  readonly isList?: boolean;
}

export interface Given {
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  /** The data folder, as it was given. */
  readonly folder: string;
  readonly output: Output;
  readonly environment: Environment;
}

export interface Command {
  readonly name: string;
  readonly parameters: string;
  readonly summary: string;
  readonly options: readonly Option[];
  /** Paragraphs of help. */
  readonly notes: readonly string[];
  readonly examples: readonly string[];
  /** The exit code. */
  readonly run: (given: Given) => Promise<number>;
}

/** The option's name as it comes in `options`: `--idempotency-key <key>` is `idempotencyKey`. */
export function optionText(given: Given, name: string): string | undefined {
  const value = given.options[name];
  return typeof value === 'string' ? value : undefined;
}
