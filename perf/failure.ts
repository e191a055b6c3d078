/**
 * Texts of failures: for problems of the environment, one line with what to do next; for our own bugs, the stack.
 */
import { errorText, isSkerryError } from '../core/errors.ts';

/** The environment is not as required. The message says what to do. */
export class WorldError extends Error {}

/** The text that is printed. */
export function failureText(error: unknown): string {
  if (error instanceof WorldError) return oneLine(error.message);
  if (!isOfTheWorld(error)) return error instanceof Error ? (error.stack ?? error.message) : errorText(error);
  const what = oneLine(errorText(error));
  const advice = adviceOn(error, what);
  return advice === undefined ? what : `${what} — ${advice}`;
}

const oneLine = (text: string) => text.trim().replaceAll(/\s*\n\s*/g, ' ');

/** Errors of Skerry, the system or a server. Errors of Node's API (`ERR_…`) are our own mistakes. */
function isOfTheWorld(error: unknown): boolean {
  if (isSkerryError(error)) return true;
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && !error.code.startsWith('ERR_');
}

function adviceOn(error: unknown, what: string): string | undefined {
  if (!isSkerryError(error)) return 'look at the path or address that was given';
  if (/refused the credentials/.test(what))
    return 'write the login into the address: --nats nats://user:password@host:4222, or nats://token@host:4222';
  if (error.code === 'transport-failed') return 'start NATS there, or look at --nats';
  if (error.code === 'store-failed') return 'look at --store, and at the server or folder that it names';
  return undefined;
}
