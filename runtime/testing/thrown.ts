/** The text of a value that a scenario threw: for an author, who wants to see his own code rather than the simulator's. */
import { inspect } from 'node:util';
import { errorText, isSkerryError } from '../../core/errors.ts';

const textLengthMax = 4_000;
const causeCountMax = 5;

/** Where this package's code lies, as stacks name it: a path, or a URL for modules that are not transformed. */
const packageUrl = new URL('../../', import.meta.url);
const ownFolders = ['core', 'placement', 'runtime'].flatMap((folder) => {
  const { href, pathname } = new URL(`${folder}/`, packageUrl);
  return [href, decodeURIComponent(pathname)];
});

/**
 * Name, code, message, detail and causes, with the stack frames outside of Skerry. The error of a call is made where its answer arrives,
 * so it usually has no such frames. Never throws.
 */
export function thrownText(thrown: unknown): string {
  try {
    return textOf(thrown).slice(0, textLengthMax);
  } catch {
    return errorText(thrown).slice(0, textLengthMax);
  }
}

function textOf(thrown: unknown, causes = 0): string {
  if (!(thrown instanceof Error)) return shown(thrown);
  const text = [titleOf(thrown), ...comparison(thrown), ...framesOf(thrown)].join('\n');
  const { cause } = thrown;
  return cause === undefined || causes === causeCountMax ? text : `${text}\ncaused by ${textOf(cause, causes + 1)}`;
}

function titleOf(error: Error): string {
  if (!isSkerryError(error)) return `${error.name}: ${error.message}`;
  const detail = error.detail === undefined ? '' : `, detail ${shown(error.detail)}`;
  return `${error.name} '${error.code}': ${error.message}${detail}`;
}

/** Both sides of an assertion whose message does not show them. */
function comparison(error: Error): string[] {
  if (!('actual' in error) || error.message.includes('\n')) return [];
  const { actual, expected, expects } = error as { actual?: unknown; expected?: unknown; expects?: unknown };
  return [`  actual: ${shown(actual)}`, `  expected: ${shown(expected ?? expects)}`];
}

function framesOf({ stack }: Error): string[] {
  const frames = String(stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line));
  return frames.filter(
    (line) => !/node:|\(<anonymous>\)$/.test(line) && !ownFolders.some((folder) => line.includes(folder)),
  );
}

const shown = (value: unknown) => inspect(value, { depth: 4, breakLength: 120 });
