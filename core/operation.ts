/**
 * Operations of an entity: commands, queries and tentative operations, with their schemas.
 *
 * Owns the declaration of operations and the validation of inputs and outputs by Standard Schema. `behaviour.ts` has their
 * handlers.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { SkerryError } from './errors.ts';
import { type Check, checkOptions, duration, record } from './options.ts';

/** A schema of any Standard Schema library whose validation is synchronous. */
export type Schema<Given = unknown, Input = Given> = StandardSchemaV1<Given, Input>;

/** An operation that may change its entity. Callers pass `Given`; the turn gets `Input`, the result of validation. */
export interface Command<Given, Input, Output> {
  readonly kind: 'command';
  readonly input: Schema<Given, Input> | undefined;
  readonly output: Schema<unknown, Output> | undefined;
}

/** An operation that reads its entity and cannot change it. It writes nothing to the store. */
export interface Query<Given, Input, Output> {
  readonly kind: 'query';
  readonly input: Schema<Given, Input> | undefined;
  readonly output: Schema<unknown, Output> | undefined;
}

/** An operation that is accepted first and later confirmed or cancelled. Its hold cancels it after `holdMs`. */
export interface Tentative<Given, Input, Output> {
  readonly kind: 'tentative';
  readonly input: Schema<Given, Input> | undefined;
  readonly output: Schema<unknown, Output> | undefined;
  /** How long the hold lasts, ms; `undefined`: the limit `holdMs`. */
  readonly holdMs: number | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: the widest operation; inference narrows it
export type AnyOperation = Command<any, any, any> | Query<any, any, any> | Tentative<any, any, any>;
export type OperationMap = Readonly<Record<string, AnyOperation>>;

/** The result of a type argument without a schema. No contract accepts it, because a type alone validates nothing. */
export interface TypesComeFromSchemas {
  readonly kind: 'types come from schemas: pass unchecked<T>(), or a schema of any library';
}

/**
 * Declare an operation that may change its entity.
 * @param input schema of the input; without it the operation takes no input
 * @param output schema of the output; without it the operation has no output. The handler's return value is validated by
 *   it, and the caller gets the result of that validation. The schema must therefore accept its own results.
 */
export function command(): Command<void, void, void>;
/** A type argument alone is not a schema: write `command(unchecked<Input>())`. */
export function command<_Given>(): TypesComeFromSchemas;
export function command<Given, Input>(input: Schema<Given, Input>): Command<Given, Input, void>;
export function command<Output>(input: undefined, output: Schema<unknown, Output>): Command<void, void, Output>;
export function command<Given, Input, Output>(
  input: Schema<Given, Input>,
  output: Schema<unknown, Output>,
): Command<Given, Input, Output>;
export function command(input?: Schema, output?: Schema): unknown {
  return { kind: 'command', input, output };
}

/**
 * Declare an operation that only reads.
 * @param input schema of the input; leave it out if the query takes no input, so that the output is the only argument
 * @param output schema of the output; the handler's return value is validated by it
 */
export function query<Output>(output: Schema<unknown, Output>): Query<void, void, Output>;
/** A type argument alone is not a schema: write `query(unchecked<Output>())`. */
export function query<_Output>(): TypesComeFromSchemas;
export function query<Given, Input, Output>(
  input: Schema<Given, Input>,
  output: Schema<unknown, Output>,
): Query<Given, Input, Output>;
export function query(...schemas: Schema[]): unknown {
  const [input, output] = schemas.length === 1 ? [undefined, schemas[0]] : schemas;
  return { kind: 'query', input, output };
}

/**
 * Declare an operation that is accepted first and later confirmed or cancelled.
 * @param input schema of the input; without it the operation takes no input
 * @param options `holdMs`: the entity cancels the operation itself if neither has arrived after this long, ms (default: the
 *   limit `holdMs`; `Infinity`: never); `output`: schema of the output
 */
export function tentative(): Tentative<void, void, void>;
/** A type argument alone is not a schema: write `tentative(unchecked<Input>())`. */
export function tentative<_Given>(): TypesComeFromSchemas;
export function tentative(input: undefined, options: { holdMs: number }): Tentative<void, void, void>;
export function tentative<Output>(
  input: undefined,
  options: { holdMs?: number | undefined; output: Schema<unknown, Output> },
): Tentative<void, void, Output>;
export function tentative<Given, Input>(
  input: Schema<Given, Input>,
  options?: { holdMs?: number | undefined },
): Tentative<Given, Input, void>;
export function tentative<Given, Input, Output>(
  input: Schema<Given, Input>,
  options: { holdMs?: number | undefined; output: Schema<unknown, Output> },
): Tentative<Given, Input, Output>;
export function tentative(input?: Schema, options: { holdMs?: number | undefined; output?: Schema } = {}): unknown {
  checkOptions('tentative()', options, { holdMs: hold, output: record });
  return { kind: 'tentative', input, output: options.output, holdMs: options.holdMs };
}

/** A hold without end lapses never: its entity waits for a confirm or a cancel for as long as it takes. */
const hold: Check = (value) => (value === Number.POSITIVE_INFINITY ? undefined : duration(value));

/** A schema that accepts every value: types without validation, for trusted callers and hot paths. */
export function unchecked<Value>(): Schema<Value, Value> {
  return { '~standard': { version: 1, vendor: believing, validate: (value) => ({ value: value as Value }) } };
}

const believing = 'skerry';

/**
 * The output as validated by the operation's schema, which usually copies it and drops undeclared fields. `undefined` if the
 * operation declares no output. The error for an invalid output names the place; the value itself is only in its cause,
 * which never leaves the worker.
 */
export function declaredOutput(operation: AnyOperation, value: unknown, name: string): unknown {
  const { output } = operation;
  if (output === undefined) return undefined;
  if (output['~standard'].vendor === believing) return value;
  const result = output['~standard'].validate(value);
  if (result instanceof Promise) throw asynchronous(result, `the output of ${name}`);
  if (result.issues === undefined) return result.value;
  const places = result.issues.map(({ path }) => placeText(path) || 'the whole').join(', ');
  const text = `'${name}' returned an output that its schema rejects: ${places}; the worker's log has the reason`;
  throw new SkerryError('failed', text, { cause: new Error(issuesText(result.issues)) });
}

function asynchronous(result: Promise<unknown>, where: string): SkerryError {
  result.catch(() => undefined);
  return new SkerryError(
    'invalid-definition',
    `The schema of ${where} validates asynchronously; a turn is synchronous`,
  );
}

/** The input as validated by the operation's schema. Throws `invalid-input`. */
export function validateInput(operation: AnyOperation, value: unknown, where: string): unknown {
  if (operation.input === undefined) {
    if (value === undefined || value === null) return undefined;
    throw new SkerryError('invalid-input', `${where} takes no input`);
  }
  const result = operation.input['~standard'].validate(value);
  if (result instanceof Promise) throw asynchronous(result, where);
  if (result.issues === undefined) return result.value;
  const issues = issuesText(result.issues);
  throw new SkerryError('invalid-input', `${where}: ${issues}`, { detail: issues });
}

function issuesText(issues: readonly StandardSchemaV1.Issue[]): string {
  return issues
    .map(({ path, message }) => {
      const place = placeText(path);
      return place === '' ? message : `${place}: ${message}`;
    })
    .join('; ');
}

function placeText(path: StandardSchemaV1.Issue['path']): string {
  return (path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
}
