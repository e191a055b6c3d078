/**
 * Failures on the command line: one or two lines for people, an object for machines, and an exit code.
 *
 * Owns the exit codes. Errors of the runtime keep their codes; the command line adds `usage`, and advice on what to do.
 */
import { type CallEffect, type ErrorCode, errorCodes, isSkerryError } from '../../core/errors.ts';

export type FailureCode = ErrorCode | 'usage';

export interface Failure {
  readonly code: FailureCode;
  readonly message: string;
  /** What to do about it. */
  readonly advice: string | undefined;
  readonly effect: CallEffect;
  readonly detail: unknown;
}

/** What each exit code means; `--help` and docs/cli.md show these texts. */
export const exitCodes: Readonly<Record<number, string>> = {
  0: 'done',
  1: 'refused or failed; doctor: something is wrong; ready: the worker is not ready',
  2: 'bad request: command line, JSON, address or input',
  3: 'not found: folder, app, type, operation, entity, hold, worker, …',
  4: 'not possible now: data in use, app closing, overloaded, cluster unreachable',
  5: 'outcome unknown: it may have happened, or may still happen',
};

const exitCodeOfCode: Readonly<Record<FailureCode, number>> = {
  usage: 2,
  refused: 1,
  failed: 1,
  lapsed: 1,
  denied: 1,
  deadline: 1,
  'invalid-definition': 1,
  'invalid-input': 2,
  'invalid-address': 2,
  unstorable: 2,
  'too-large': 2,
  'unknown-type': 3,
  'unknown-operation': 3,
  'hold-unknown': 3,
  'not-found': 3,
  overloaded: 4,
  'store-failed': 4,
  'store-in-use': 4,
  'store-format': 4,
  'transport-failed': 4,
  closed: 4,
};

/** A failure on its way to the user; made here or read from a running app's answer. */
export class CliError extends Error {
  readonly failure: Failure;

  constructor(
    code: FailureCode,
    message: string,
    more: { advice?: string; effect?: CallEffect; detail?: unknown; cause?: unknown } = {},
  ) {
    super(message, 'cause' in more ? { cause: more.cause } : undefined);
    this.failure = { code, message, advice: more.advice, effect: more.effect ?? 'none', detail: more.detail };
  }
}

export function exitCodeOf({ code, effect }: Failure): number {
  return effect === 'unknown' ? 5 : exitCodeOfCode[code];
}

const advices: Partial<Record<ErrorCode, string>> = {
  'invalid-definition': 'correct the app, then start it again',
  overloaded: 'nothing was done: try again after a pause',
  'hold-unknown': 'confirm and cancel take the hold that call printed, once',
};

/** The failure behind any error. */
export function failureOf(error: unknown): Failure {
  if (error instanceof CliError) return error.failure;
  if (isSkerryError(error)) {
    const { code, message, effect, detail } = error;
    const advice =
      effect === 'unknown'
        ? 'it may have happened, or may still happen: it is safe to repeat it with the same --idempotency-key'
        : advices[code];
    return { code, message, advice, effect, detail };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'failed', message, advice: undefined, effect: 'none', detail: undefined };
}

export function isFailureCode(code: unknown): code is FailureCode {
  return code === 'usage' || (typeof code === 'string' && Object.hasOwn(errorCodes, code));
}
