/**
 * The one error class of Skerry and the closed table of its codes. `docs/errors.md` lists the same codes; a test compares.
 *
 * `isSkerryError` tells errors apart by `code`, because `instanceof` fails when a process has two copies of this package.
 */

/** The meaning of each code, as quoted in `docs/errors.md`. */
export const errorCodes = {
  refused: 'The operation declined. Nothing changed, and a repeated call is refused again.',
  failed: 'The operation threw. Nothing changed; the error comes from the application.',
  'invalid-input': 'The schema of the operation rejected the input, or an option of the call is wrong.',
  'unknown-type': 'No behaviour is registered for this entity type.',
  'unknown-operation': 'The entity type has no such operation.',
  'invalid-address': 'The type or key cannot be an address: empty, too long, or not well-formed Unicode.',
  'invalid-definition': 'A contract, behaviour or option is wrong; the message says where.',
  unstorable: 'A value cannot be stored or sent: a function, a class instance, a cycle, or too deep a nesting.',
  'too-large': 'A state, message, key or turn exceeds its limit; the message names the limit.',
  overloaded:
    'A queue is full, or so long that the call would be answered after its deadline. Nothing was done; try again after a pause.',
  deadline: 'No answer came before the deadline.',
  lapsed: 'The hold had lapsed before it was confirmed; the tentative operation was cancelled.',
  'hold-unknown': 'There is no such hold: it was already confirmed or cancelled, or never existed.',
  'store-failed': 'The store could not write or read: the disk is full, the folder is unreadable, the server refuses.',
  'store-in-use': 'Another live process has this data folder open, or the store belongs to a cluster of another name.',
  'store-format': 'The data has a newer or unknown format, or a different number of partitions.',
  'transport-failed': 'NATS could not be reached, or refused the credentials; the message says which.',
  denied: 'The authorisation hook or the permissions of the server denied the request.',
  closed: 'The cluster handle, worker or store is closed.',
  'not-found': 'There is no such dead letter, data folder or running app.',
} as const;

/** The code of an error; the table `errorCodes` is closed. */
export type ErrorCode = keyof typeof errorCodes;

/**
 * Whether a failed call may have taken effect. `none`: it did not and will not. `unknown`: it may have, or may until its
 * deadline; repeat it with the same idempotency key, or query the entity.
 */
export type CallEffect = 'none' | 'unknown';

/** Every error that Skerry throws. Tell errors apart by `code`, with `isSkerryError`; the text of messages may change. */
export class SkerryError extends Error {
  readonly code: ErrorCode;
  /** Whether the call that failed may have taken effect. */
  readonly effect: CallEffect;
  /** The `detail` that the application passed to `refuse`. */
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

/** Whether a value is an error of Skerry, with the given code if one is given. Works across copies of this package. */
export function isSkerryError(error: unknown, code?: ErrorCode): error is SkerryError {
  // Any value can be thrown, including one that throws when it is inspected.
  try {
    if (!(error instanceof Error) || !('code' in error) || !('effect' in error)) return false;
    const has: unknown = error.code;
    return typeof has === 'string' && Object.hasOwn(errorCodes, has) && (code === undefined || has === code);
  } catch {
    return false;
  }
}

/** A code from another process; 'failed' for a code that this version does not know. */
export function codeOf(value: unknown): ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorCodes, value) ? (value as ErrorCode) : 'failed';
}

/** A text from another process; '' for any other value, which is never rendered. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The thrown value, or an error in its place if inspecting it throws, as a proxy may. */
export function lookedAt(thrown: unknown): unknown {
  try {
    void (thrown instanceof Error);
    return thrown;
  } catch {
    return new Error('a value was thrown that cannot be inspected');
  }
}

/** The message of a thrown value. Never throws, even for a value that cannot be converted to a string. */
export function errorText(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error);
  } catch {
    return 'a value was thrown that has no text';
  }
}

/** Most characters of a stack that are kept. */
const stackLengthMax = 4_000;

/** A message about an entity, prefixed by its address unless it already starts with it. */
export function aboutIt(address: string, what: string, text: string): string {
  const start = text.slice(0, address.length + 1);
  const isNamed = start === address || start === `${address} ` || start === `${address}:`;
  return isNamed ? text : `${address} ${what}: ${text}`;
}

/** The stack of an error and of its cause, for the log. Never throws. */
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

/** Asserts an invariant of Skerry itself. If it is false, Skerry has a bug and the worker must stop. */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new Error(`Skerry bug, please report: ${invariant}`);
}
