/**
 * effect(): a named async function that a worker runs after the commit of the turn that performed it.
 *
 * Owns the declaration of an effect and its outcomes. `runtime/entity/effects.ts` runs and retries it.
 */
import { SkerryError } from './errors.ts';
import { checkOptions, count, described, duration, type OptionTable } from './options.ts';

export interface EffectContext {
  /** The same in every try of this effect. Pass it to the external service as the idempotency key. */
  readonly idempotencyKey: string;
  /** Number of this try, from 1. It is not stored: after a restart or a handoff it starts at 1 again. */
  readonly attempt: number;
  /** The address of the entity that performed the effect. */
  readonly address: string;
  /**
   * Aborted when this try is given up: at its time limit, when the worker closes, or when the worker loses the entity. Pass
   * it on (`fetch(url, { signal })`): work that continues after the abort may overlap with the next try.
   */
  readonly signal: AbortSignal;
}

/** A named async function that a worker runs after the commit of the turn that performed it, and retries until it settles. */
export interface Effect<Given, Output> {
  readonly name: string;
  readonly run: (input: Given, context: EffectContext) => Promise<Output>;
  readonly options: EffectOptions;
}

export interface EffectOptions {
  /** Tries before the outcome is `failed` (default: the limit of that name). */
  readonly attemptsMax?: number | undefined;
  /** Maximum time of one try, ms (default: the limit `effectMsMax`). A longer one is aborted and counts as a try that threw. */
  readonly timeoutMs?: number | undefined;
  /** Pause after the first try that threw, ms (default: the limit of that name). It doubles after each further one. */
  readonly retryMs?: number | undefined;
  /** Longest pause between two tries, ms (default: the limit of that name). */
  readonly retryMsMax?: number | undefined;
}

const effectOptions: OptionTable<EffectOptions> = {
  attemptsMax: count(1),
  timeoutMs: duration,
  retryMs: duration,
  retryMsMax: duration,
};

/**
 * Declare an effect. A try that throws is repeated with back-off until `attemptsMax` is reached or it throws an error made
 * by `permanent`. The function may run more than once; its outcome reaches the entity exactly once. Throws
 * `invalid-definition` for a wrong argument or option.
 */
export function effect<Given, Output>(
  name: string,
  run: (input: Given, context: EffectContext) => Promise<Output>,
  options: EffectOptions = {},
): Effect<Given, Output> {
  if (typeof name !== 'string' || name === '' || typeof run !== 'function')
    throw new SkerryError(
      'invalid-definition',
      `effect() takes a name and an async function, not ${described(name)} and ${described(run)}`,
    );
  checkOptions(`the effect '${name}'`, options, effectOptions);
  return { name, run, options };
}

/** A registered symbol, so that another copy of this package in the process recognises it. */
const permanently = Symbol.for('skerry.permanent');

/**
 * An error for an effect to throw when another try cannot help, such as a declined card. The outcome is then `failed` at
 * once, with this reason as its message.
 */
export function permanent(reason: string, options: { cause?: unknown } = {}): Error {
  return Object.assign(new Error(reason, options), { [permanently]: true });
}

export function isPermanent(error: unknown): boolean {
  return error instanceof Error && Reflect.get(error, permanently) === true;
}

/** How an effect ended, as passed to its `settled` handler. */
export type EffectOutcome<Output> =
  | { readonly status: 'done'; readonly output: Output }
  | { readonly status: 'failed'; readonly message: string };

/** A function that a test runs in place of an effect. It may return a promise. */
// biome-ignore lint/suspicious/noExplicitAny: a stub replaces an effect of any type
export type EffectStub = (input: any, context: EffectContext) => unknown;
