/**
 * effect(): a named async function that a worker runs after the commit of the turn that asked for it.
 *
 * Owns what an effect is and how it may end; which run, and when again, is `runtime/entity/effects.ts`.
 */
import { SkerryError } from './errors.ts';
import { checkOptions, count, described, duration, type OptionTable } from './options.ts';

export interface EffectContext {
  /** The same in every try of this effect: pass it to the other side as its idempotency key. */
  readonly idempotencyKey: string;
  /** 1 for the first try since the worker started. */
  readonly attempt: number;
  /** The entity that asked. */
  readonly address: string;
  /**
   * Aborted when this try is given up: at its time limit, and when the worker closes or its entity is another worker's. Pass it on
   * (`fetch(url, { signal })`): what goes on all the same may overlap with the next try.
   */
  readonly signal: AbortSignal;
}

/** A named async function that a worker runs after the commit of the turn that asked for it, until it settles. */
export interface Effect<Given, Output> {
  readonly name: string;
  readonly run: (input: Given, context: EffectContext) => Promise<Output>;
  readonly options: EffectOptions;
}

export interface EffectOptions {
  /** Tries before its outcome is `failed` (default: the limit of that name). */
  readonly attemptsMax?: number | undefined;
  /** A try that takes longer is given up, and counts as one that threw, ms (default: the limit `effectMsMax`). */
  readonly timeoutMs?: number | undefined;
  /** Pause after the first try that threw, twice as long after each further one, ms (default: the limit of that name). */
  readonly retryMs?: number | undefined;
  /** Longest of these pauses, ms (default: the limit of that name). */
  readonly retryMsMax?: number | undefined;
}

const effectOptions: OptionTable<EffectOptions> = {
  attemptsMax: count(1),
  timeoutMs: duration,
  retryMs: duration,
  retryMsMax: duration,
};

/**
 * Declare an effect. A try that throws is repeated with back-off, until its tries are used up or it throws what `permanent` made.
 * At least once outside, once in effect inside. Throws `invalid-definition` for options that cannot be.
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

/** Another copy of this package in the process knows it, too. */
const permanently = Symbol.for('skerry.permanent');

/** What an effect throws where no other try can help (a card that is declined): its outcome is `failed` at once, with this reason. */
export function permanent(reason: string, options: { cause?: unknown } = {}): Error {
  return Object.assign(new Error(reason, options), { [permanently]: true });
}

export function isPermanent(error: unknown): boolean {
  return error instanceof Error && Reflect.get(error, permanently) === true;
}

export type EffectOutcome<Output> =
  | { readonly status: 'done'; readonly output: Output }
  | { readonly status: 'failed'; readonly message: string };

// biome-ignore lint/suspicious/noExplicitAny: a stub stands for an effect of any type
export type EffectStub = (input: any, context: EffectContext) => unknown;
