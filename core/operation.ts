/**
 * What can be asked of an entity: commands, queries and tentative operations, with their schemas.
 *
 * Owns the operations' declarations and the validation of inputs through Standard Schema; who performs them is `behaviour.ts`.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { SkerryError } from './errors.ts';
import { checkOptions, duration, record } from './options.ts';

/** A schema of any Standard Schema library whose validation is synchronous. */
export type Schema<Given = unknown, Input = Given> = StandardSchemaV1<Given, Input>;

/** May change the entity. `Given` is what callers pass, `Input` what the turn gets after validation. */
export interface Command<Given, Input, Output> {
  readonly kind: 'command';
  readonly input: Schema<Given, Input> | undefined;
  readonly output: Schema<unknown, Output> | undefined;
}

/** May not change the entity; costs the store nothing of its own. */
export interface Query<Given, Input, Output> {
  readonly kind: 'query';
  readonly input: Schema<Given, Input> | undefined;
  readonly output: Schema<unknown, Output> | undefined;
}

/** Accepted with a right to cancel, which ends with confirm, cancel, or the end of its hold. */
export interface Tentative<Given, Input, Output> {
  readonly kind: 'tentative';
  readonly input: Schema<Given, Input> | undefined;
  readonly output: Schema<unknown, Output> | undefined;
  /** How long it is held, ms; undefined: the limit `holdMs`. */
  readonly holdMs: number | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: the widest operation; inference narrows it
export type AnyOperation = Command<any, any, any> | Query<any, any, any> | Tentative<any, any, any>;
export type OperationMap = Readonly<Record<string, AnyOperation>>;

/** What a type argument without a schema gives, which no contract takes: a type alone would validate nothing. */
export interface TypesComeFromSchemas {
  readonly kind: 'types come from schemas: pass unchecked<T>(), or a schema of any library';
}

/**
 * An operation that may change its entity.
 * @param input schema of its input; none: it takes no input
 * @param output schema of its output: what a behaviour returns is validated and cut to it, so it must accept what it makes; none: no output
 */
export function command(): Command<void, void, void>;
/** A type argument alone is no schema: `command(unchecked<Input>())`. */
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
 * An operation that only reads. What it returns is validated and cut to its output.
 * @param input schema of its input; most queries have none: then the output's is the only one
 * @param output schema of its output
 */
export function query<Output>(output: Schema<unknown, Output>): Query<void, void, Output>;
/** A type argument alone is no schema: `query(unchecked<Output>())`. */
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
 * An operation that is accepted with a right to cancel.
 * @param options `holdMs`: after this long without confirm or cancel the entity cancels by itself; `output`: schema of the output
 */
export function tentative(): Tentative<void, void, void>;
/** A type argument alone is no schema: `tentative(unchecked<Input>())`. */
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
  checkOptions('tentative()', options, { holdMs: duration, output: record });
  return { kind: 'tentative', input, output: options.output, holdMs: options.holdMs };
}

/** A schema that believes its callers: types without validation, for trusted callers and hot paths. */
export function unchecked<Value>(): Schema<Value, Value> {
  return { '~standard': { version: 1, vendor: believing, validate: (value) => ({ value: value as Value }) } };
}

const believing = 'skerry';

/**
 * Of an output what the operation's schema makes of it: mostly a copy without what it does not declare; `undefined` where it
 * declares none. The error for one that does not fit names the place, and only its cause, which stays here, what was there.
 */
export function declaredOutput(operation: AnyOperation, value: unknown, name: string): unknown {
  const { output } = operation;
  if (output === undefined) return undefined;
  if (output['~standard'].vendor === believing) return value;
  const result = output['~standard'].validate(value);
  if (result instanceof Promise) throw asynchronous(result, `the output of ${name}`);
  if (result.issues === undefined) return result.value;
  const places = result.issues.map(({ path }) => placeText(path) || 'the whole').join(', ');
  const text = `'${name}' returned what its output schema does not accept: ${places}; why is in the worker's log`;
  throw new SkerryError('failed', text, { cause: new Error(issuesText(result.issues)) });
}

function asynchronous(result: Promise<unknown>, where: string): SkerryError {
  result.catch(() => undefined);
  return new SkerryError(
    'invalid-definition',
    `The schema of ${where} validates asynchronously; a turn is synchronous`,
  );
}

/** The input as the operation's schema has it. Throws `invalid-input`. */
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
