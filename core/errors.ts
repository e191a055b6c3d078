/**
 * The one error class of Skerry and the closed table of its codes. `docs/errors.md` lists the same codes; a test compares.
 *
 * Told apart by `code`, through `isSkerryError`, so that two copies of this package in one process agree.
 */

/** What each code means; the text is what `docs/errors.md` shows. */
export const errorCodes = {
  refused: 'The operation declined. Nothing changed, and a repeated call is refused again.',
  failed: "The operation threw. Nothing changed; the error is the application's.",
  'invalid-input': "The operation's schema did not accept the input, or an option of the call is wrong.",
  'unknown-type': 'No behaviour is registered for this entity type.',
  'unknown-operation': 'The entity type has no such operation.',
  'invalid-address': 'The type or key cannot be an address: empty, too long, or not well-formed Unicode.',
  'invalid-definition': 'A contract, behaviour or option is wrong; the message says where.',
  unstorable: 'A value cannot be stored or sent: a function, class instance, cycle, or nesting too deep.',
  'too-large': 'A state, message, key or turn is over its limit; the message names the limit.',
  overloaded: 'A queue is full. Nothing was done; try again after a pause.',
  deadline: 'No answer came before the deadline.',
  lapsed: 'The hold had lapsed before it was confirmed; the tentative operation was cancelled.',
  'hold-unknown': 'No such hold: it was already confirmed or cancelled, or never was.',
  'store-failed': 'The store could not write or read: disk full, folder unreadable, server gone.',
  'store-in-use': 'Another live process has this data folder open.',
  'store-format': 'The data was written by a newer or unknown format, or for another number of partitions.',
  'transport-failed': 'NATS could not be reached, or refused the credentials; the message says which.',
  denied: "The authorisation hook, or the server's permissions, said no.",
  closed: 'The cluster handle, worker or store is closed.',
  'not-found': 'No such thing: a dead letter, data folder or running app that was named.',
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** Whether anything may have happened: 'none' certainly not; 'unknown' perhaps, and repeating the same call is safe. */
export type CallEffect = 'none' | 'unknown';

export class SkerryError extends Error {
  readonly code: ErrorCode;
  readonly effect: CallEffect;
  /** What the application passed along with a refusal. */
  readonly detail: unknown;

  constructor(
    code: ErrorCode,
    message: string,
    options: { effect?: CallEffect; detail?: unknown; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'SkerryError';
    this.code = code;
    this.effect = options.effect ?? 'none';
    this.detail = options.detail;
  }
}

/** True for errors of Skerry, of the given code if one is named. */
export function isSkerryError(error: unknown, code?: ErrorCode): error is SkerryError {
  // Anything can be thrown, also what throws when it is looked at.
  try {
    if (!(error instanceof Error) || !('code' in error) || !('effect' in error)) return false;
    const has: unknown = error.code;
    return typeof has === 'string' && Object.hasOwn(errorCodes, has) && (code === undefined || has === code);
  } catch {
    return false;
  }
}

/** A code that came from elsewhere; 'failed' for what is none of this version. */
export function codeOf(value: unknown): ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorCodes, value) ? (value as ErrorCode) : 'failed';
}

/** A text that came from elsewhere; '' for what is none: nothing else of it is rendered. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** What was thrown, if it can be asked what it is; a proxy may throw again. */
export function lookedAt(thrown: unknown): unknown {
  try {
    void (thrown instanceof Error);
    return thrown;
  } catch {
    return new Error('something was thrown that cannot be looked at');
  }
}

/** What an error says. Anything can be thrown, also what cannot be made a text: that must not throw again. */
export function errorText(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error);
  } catch {
    return 'something was thrown that has no text';
  }
}

/** Characters of a stack that are kept. */
const stackLengthMax = 4_000;

/** A text about something that is named by its address, with that in front unless it begins with it already. */
export function aboutIt(address: string, what: string, text: string): string {
  const start = text.slice(0, address.length + 1);
  const isNamed = start === address || start === `${address} ` || start === `${address}:`;
  return isNamed ? text : `${address} ${what}: ${text}`;
}

/** Where an error was thrown, and what caused it, for people who own the code. Never throws. */
export function stackText(error: unknown): string {
  try {
    if (!(error instanceof Error)) return errorText(error).slice(0, stackLengthMax);
    const stack = String(error.stack ?? error.message).slice(0, stackLengthMax);
    if (!(error.cause instanceof Error)) return stack;
    return `${stack}\ncaused by ${String(error.cause.stack ?? error.cause.message)}`.slice(0, stackLengthMax);
  } catch {
    return errorText(error).slice(0, stackLengthMax);
  }
}

/** Our own bugs: what must be true here, or the worker must not go on. */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new Error(`Skerry bug, please report: ${invariant}`);
}
