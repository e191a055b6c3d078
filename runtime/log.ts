/**
 * The runtime's log: structured lines, through pino. The only file that imports it.
 */
import { pino } from 'pino';

/** A structured log: each line has details and a message. */
export interface Log {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** A log on standard error, as lines of JSON (default level `warn`). Standard output is left to the application. */
export function standardLog(level: 'info' | 'warn' | 'error' | 'silent' = 'warn'): Log {
  return pino({ level, base: null }, pino.destination({ fd: 2, sync: true }));
}

/** A log that drops every line. */
export const silentLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };
