/**
 * uvu with a time limit per test, and with the assertion on promises that it lacks.
 *
 *     const queue = suite('queue');
 *     queue('Q1: first in, first out', async () => { … }, { timeoutMs: 60_000 });
 *     queue.run();
 *
 * The runner (`test/run.ts`) finds what only shows from outside a file: no run(), an .only, an open handle.
 */
import { suite as uvuSuite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ErrorCode, isSkerryError, type SkerryError } from '../../core/errors.ts';
import { afterPatience } from './patience.ts';

export { assert };

type Body = () => void | Promise<void>;

export interface Suite {
  (name: string, body: Body, options?: { timeoutMs?: number }): void;
  before: Hook;
  after: Hook;
  /** A skip without a reason counts as a failure. */
  skip(name: string, because: string): void;
  run(): void;
}

interface Hook {
  (body: Body, options?: { timeoutMs?: number }): void;
  each(body: Body): void;
}

const timeoutDefaultMs = 30_000;

export function suite(title: string): Suite {
  const inner = uvuSuite(title);
  const add = (name: string, body: Body, options: { timeoutMs?: number } = {}) =>
    inner(name, () => within(options.timeoutMs ?? timeoutDefaultMs, name, body));
  const skip = (name: string, because: string) => {
    console.log(`  ${title}: ${name}: skipped because ${because}`);
    inner.skip(name);
  };
  return Object.assign(add, { before: hook(inner.before), after: hook(inner.after), skip, run: () => inner.run() });
}

function hook(inner: { (body: Body): void; each(body: Body): void }): Hook {
  const limited =
    (body: Body, timeoutMs = timeoutDefaultMs) =>
    () =>
      within(timeoutMs, 'a hook', body);
  return Object.assign((body: Body, options: { timeoutMs?: number } = {}) => inner(limited(body, options.timeoutMs)), {
    each: (body: Body) => inner.each(limited(body)),
  });
}

/**
 * The timer is not unref'd: otherwise a test that waits for nothing would end the process before the timer could
 * report it. It is cleared with the test, so it never keeps a finished file alive.
 */
async function within(timeoutMs: number, name: string, body: Body): Promise<void> {
  let cancel: () => void = () => undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = afterPatience(timeoutMs, () => reject(new Error(`'${name}' did not end within ${timeoutMs} ms`)));
  });
  try {
    await Promise.race([body(), late]);
  } finally {
    cancel();
  }
}

/** The error of a rejected promise, which must be a SkerryError with this code and a message that matches the pattern. */
export async function rejects(promise: Promise<unknown>, code: ErrorCode, pattern?: RegExp): Promise<SkerryError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (!isSkerryError(error, code))
      throw new Error(`rejected, but not with '${code}': ${String(error)}`, { cause: error });
    if (pattern !== undefined) assert.match(error.message, pattern);
    return error;
  }
  throw new Error(`expected '${code}', but it resolved to ${JSON.stringify(value)}`);
}
